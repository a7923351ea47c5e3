//! Sessions: windows of one key that last as long as its rows follow one another closely.
//!
//! Two rows of a key belong to one session when no more than the gap lies between their event times, the gap itself
//! excluded, or when others stand between them that do. A session begins with its first row and ends one gap
//! behind its last.
//!
//! **Lateness.** A row is late when it is due more than the allowed lateness behind its event time: a fact of the row
//! alone. What is not late was due before a session that it belongs to could close, which it does when progress reaches
//! its end plus the allowed lateness; so sessions of one key never overlap, and no cut, interleaving or replica
//! changes one. A window of fixed bounds can take in rows that are later than that, since it need not know what lies behind its end; who
//! wants the same of sessions says by `lateness` how long they wait.
//!
//! **Ticks.** Sessions end anywhere, so their results are numbered by 10 ms of event time ([`TICK_MICROS`]): a tick
//! has all sessions that end in it, in key order, and its rows lie at its last moment.

use arrow_array::{ArrayRef, BooleanArray};
use model::{EventTime, Origin};

use super::select::Selected;
use crate::aggregate::EncodedKeys;
use crate::batch::{Batch, Rows};
use crate::frontier::Slide;
use crate::operator::ticks::{self, TICK_MICROS};
use crate::operator::{
    Closing, CompleteTick, Cursor, Emitter, ExportPart, ImportError, Operator, StateChunk, Tick,
};

mod fragment;
mod runs;
mod state;

use runs::Runs;

/// Aggregates rows by session and key.
#[derive(Debug)]
pub(super) struct Sessions {
    gap_micros: i64,
    lateness_micros: i64,
    selected: Selected,
    runs: Runs,
    /// Scratch: the keys of the batch in hand.
    keys: EncodedKeys,
    /// Scratch: the group of each of some rows.
    groups: Vec<usize>,
}

impl Sessions {
    /// Sessions that a gap of this length ends, at least a tick.
    pub(super) fn new(gap_micros: i64, lateness_micros: i64, selected: Selected) -> Self {
        Self {
            gap_micros,
            lateness_micros,
            selected,
            runs: Runs::new(gap_micros),
            keys: EncodedKeys::default(),
            groups: Vec::new(),
        }
    }

    /// The rows that count; the others leave.
    fn admit(&self, rows: &Rows, emit: &mut Emitter) -> Rows {
        let is_reachable = |time: i64| runs::reachable().contains(&time);
        let is_late = |time: i64, due: i64| {
            due.saturating_sub(time) > self.lateness_micros || time < self.runs.open_micros()
        };
        let each = || {
            rows.times()
                .iter()
                .copied()
                .zip(rows.dues().iter().copied())
        };
        if each().all(|(time, due)| is_reachable(time) && !is_late(time, due)) {
            return rows.clone();
        }
        let part = |belongs: &dyn Fn(i64, i64) -> bool| {
            let mask: BooleanArray = each().map(|(time, due)| Some(belongs(time, due))).collect();
            rows.filter(&mask)
        };
        emit.late(part(&|time, due| is_reachable(time) && is_late(time, due)));
        let unreachable = part(&|time, _| !is_reachable(time));
        emit.bad(
            unreachable,
            "the event time lies beyond all sessions".into(),
        );
        part(&|time, due| is_reachable(time) && !is_late(time, due))
    }

    /// Adds rows, with the arguments of the aggregates for them, to the sessions that they belong to.
    fn accumulate(
        &mut self,
        origin: Origin,
        rows: &Rows,
        arguments: &[ArrayRef],
        emit: &mut Emitter,
    ) {
        self.selected
            .encoder()
            .encode(rows.columns(), &mut self.keys)
            .expect("key columns are of the input's types");
        let (keys, scratch, aggregates) =
            (&self.keys, &mut self.groups, self.selected.aggregates());
        for (pane, selection) in ticks::parts(rows.times(), self.gap_micros) {
            scratch.clear();
            let updated = self.runs.update(pane, origin, aggregates, |groups, spans| {
                let outcome = selection
                    .of_columns(arguments)
                    .map_err(Into::into)
                    .and_then(|arguments| {
                        groups.update(aggregates, keys, selection.rows(), &arguments, scratch)
                    });
                // Also where the accumulators failed: their groups are there, and each has a span.
                for (row, group) in selection.rows().zip(scratch.iter()) {
                    spans.extend(*group, rows.times()[row]);
                }
                outcome
            });
            if let Err(refused) = updated {
                emit.bad(selection.of_rows(rows), refused.to_string());
            }
        }
    }
}

impl Operator for Sessions {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let admitted = self.admit(&batch.rows, emit);
        if let Some((rows, arguments)) = self.selected.evaluate(&admitted, emit) {
            self.accumulate(batch.header.origin, &rows, &arguments, emit);
        }
        emit.holds(self.runs.bytes());
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let through = ticks::complete(progress, self.lateness_micros);
        while let Some(tick) = self.runs.next_tick(through) {
            if emit.is_full() {
                emit.holds(self.runs.bytes());
                return Closing::More;
            }
            let ended = self
                .runs
                .close(tick, self.selected.aggregates())
                .expect("state merges with state of the same aggregates");
            let Some(ended) = ended else { continue };
            let began = ended.spans.values().map(|span| span.first).min();
            let began = began.expect("something ended");
            emit.tick(CompleteTick {
                tick: Tick(tick),
                // Rows of the session may have come up to a gap before its first.
                began: EventTime(began - self.gap_micros),
                time: ticks::time(tick),
                columns: self.selected.results(ended.groups, |key| {
                    let span = ended.spans[key];
                    (span.first, span.last + self.gap_micros)
                }),
            });
        }
        self.runs.close_through(through);
        emit.progress(ticks::time_of_next(through));
        emit.holds(self.runs.bytes());
        Closing::Done
    }

    /// Any tick may end a session.
    fn slide(&self) -> Option<Slide> {
        Some(Slide {
            every_micros: TICK_MICROS,
            lateness_micros: self.lateness_micros,
        })
    }

    fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        state::export(&mut self.runs, &self.selected, at, bytes_max)
    }

    fn complete(&self) -> Option<Tick> {
        Tick::before(self.runs.closed().saturating_add(1))
    }

    fn bytes(&self) -> usize {
        self.runs.bytes()
    }

    fn import(&mut self, chunk: StateChunk) -> Result<(), ImportError> {
        state::import(&mut self.runs, &self.selected, &chunk)
    }
}
