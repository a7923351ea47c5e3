//! Steps: an operator and the frame around it, which gives what it emits positions and headers.
//!
//! This is where positions are made. A stateless operator's rows keep those of the rows they were made of; a union renames
//! origins by port; a stateful operator is an origin of its own and numbers its rows by tick and chunk: `index = tick * 65,536 + chunk`, shifted so that ticks before the epoch have indices too.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use model::{Instant, Origin, convert};

use crate::batch::{Batch, Header, Rows, Token};
use crate::columns;
use crate::mailbox::Channel;
use crate::operator::{Closing, Compiled, Cursor, Emitter, ExportPart, Numbering, Operator, Tick};

mod counting;
#[cfg(test)]
mod tests;

use counting::Counting;
pub(crate) use counting::is_of_tick;
pub use counting::{CHUNKS_MAX, Counted, TICK_MAX};

/// A set of output ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports(u128);

impl Ports {
    /// Puts a port into the set.
    pub const fn insert(&mut self, port: u16) {
        self.0 |= 1 << port;
    }

    /// Whether a port is in the set.
    pub const fn contains(self, port: u16) -> bool {
        self.0 >> port & 1 == 1
    }
}

/// An operator with what its output is framed by.
#[derive(Debug)]
pub struct Step {
    operator: Box<dyn Operator>,
    numbering: Numbering,
    outputs: Vec<Outlet>,
    late_port: Option<u16>,
    bad_port: Option<u16>,
    counting: Counting,
    /// What it is to be run on next; empty in between, as are the following, and kept since it has grown already.
    pub(crate) input: Vec<Arc<Batch>>,
    /// For the next outcome.
    pub(crate) batches: Vec<(u16, Arc<Batch>)>,
    emit: Emitter,
}

/// An output port.
#[derive(Debug)]
struct Outlet {
    /// The rows of a batch where there are none, which is most of the time for late and bad ones; they have the schema that was declared.
    none: Rows,
    /// A schema that rows came with, and that equals that one.
    known: Option<SchemaRef>,
}

/// What results inherit of the batch that completed them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// When it arrived at its source.
    pub arrival: Instant,
    /// Its part of its application's share.
    pub token: Token,
}

/// What running a step on a batch gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Batches by output port, in order.
    pub outputs: Vec<(u16, Arc<Batch>)>,
    /// How many rows were late for every window.
    pub late: u64,
    /// How many rows could not be evaluated.
    pub bad: u64,
    /// Why the first of them could not.
    pub bad_reason: Option<String>,
    /// Windows are left to be closed: what is known of the batch that completed them.
    pub closing: Option<Stamp>,
    /// Whether progress has completed something.
    pub has_closed: bool,
    /// The memory that the operator's state holds, where it has any.
    pub state_bytes: Option<u64>,
}

impl Step {
    /// The step of an operator that numbers its own rows, if it does, as `origin`, and waits for `inputs`.
    pub fn new(
        compiled: Compiled,
        numbering: Numbering,
        origin: Origin,
        inputs: impl IntoIterator<Item = Channel>,
    ) -> Self {
        let port = |name: &str| {
            let found = compiled.outputs.iter().position(|(known, _)| known == name);
            found.and_then(|port| u16::try_from(port).ok())
        };
        Self {
            late_port: port("late"),
            bad_port: port("bad"),
            outputs: compiled
                .outputs
                .iter()
                .map(|(_, schema)| Outlet::new(columns::to_arrow(schema)))
                .collect(),
            operator: compiled.operator,
            numbering,
            counting: Counting::new(origin, inputs),
            input: Vec::new(),
            batches: Vec::new(),
            emit: Emitter::default(),
        }
    }

    /// The operator inside, for its state.
    pub fn operator_mut(&mut self) -> &mut dyn Operator {
        self.operator.as_mut()
    }

    /// The next part of the state behind a cursor, about so many bytes.
    ///
    /// # Panics
    /// While windows are left to be closed: some of what they give is counted, and is state still.
    pub(crate) fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        assert!(
            self.counting.closing.is_none(),
            "nothing is exported in the middle of a closing"
        );
        self.operator.export(at, bytes_max)
    }

    /// Up to which tick the state is complete, and what was counted.
    pub(crate) fn counted(&self) -> (Option<Tick>, Counted) {
        (self.operator.complete(), self.counting.counted.clone())
    }

    /// Goes on from what the frame around another instance has counted, whose state the operator holds.
    pub(crate) fn resume(&mut self, counted: Counted) {
        // Ways in that the plan has and the other did not know are waited for all the same.
        let known = std::mem::replace(&mut self.counting.counted, counted).inputs;
        for (channel, progress) in known {
            self.counting
                .counted
                .inputs
                .entry(channel)
                .or_insert(progress);
        }
    }

    /// What it does not give since it did not see it from its start is missing to those who read another instance before.
    pub(crate) const fn tell_left_out(&mut self) {
        self.counting.tells_left_out = true;
    }

    /// Runs the operator on a batch that came in by `channel`; `wanted` are the ports that somebody reads.
    pub fn run(&mut self, channel: Channel, batch: &Batch, wanted: Ports) -> Outcome {
        let mut emit = std::mem::take(&mut self.emit);
        if !batch.rows.is_empty() {
            self.operator.process(channel.port, batch, &mut emit);
        }
        if self.numbering == Numbering::Own {
            self.counting.reach(channel, batch);
        }
        let mut outcome = self.finish(&mut emit, wanted);
        outcome.late = emit.late.iter().map(|rows| convert::size(rows.len())).sum();
        outcome.bad = emit
            .bad
            .iter()
            .map(|(rows, _)| convert::size(rows.len()))
            .sum();
        outcome.bad_reason = emit.bad.first().map(|(_, reason)| reason.clone());
        self.frame(channel, batch, &mut emit, wanted, &mut outcome);
        emit.clear();
        self.emit = emit;
        outcome
    }

    /// Goes on closing windows that were too many for one go.
    pub fn close(&mut self, wanted: Ports) -> Outcome {
        self.finish(&mut Emitter::default(), wanted)
    }

    /// Lets the operator complete what a progress completes, and numbers what comes of it.
    fn finish(&mut self, emit: &mut Emitter, wanted: Ports) -> Outcome {
        let mut outcome = Outcome {
            outputs: std::mem::take(&mut self.batches),
            ..Outcome::default()
        };
        if let Some((progress, stamp)) = self.counting.closing {
            outcome.has_closed = true;
            if self.operator.on_progress(progress, emit) == Closing::Done {
                self.counting.closing = None;
            }
            let numbered = self.counting.number(emit, stamp, &self.outputs[0].none);
            if wanted.contains(0) {
                outcome
                    .outputs
                    .extend(numbered.into_iter().map(|batch| (0, Arc::new(batch))));
            }
        }
        outcome.closing = self.counting.closing.map(|(_, stamp)| stamp);
        outcome.state_bytes = emit.state_bytes.map(convert::size);
        outcome
    }

    /// Frames what keeps its positions: one batch for each wanted port, also where it has no rows, so that
    /// every reader knows how far the origin is.
    fn frame(
        &mut self,
        channel: Channel,
        batch: &Batch,
        emit: &mut Emitter,
        wanted: Ports,
        outcome: &mut Outcome,
    ) {
        for (port, outlet) in (0..).zip(&mut self.outputs) {
            let is_numbered = self.numbering == Numbering::Own && port == 0;
            if is_numbered || !wanted.contains(port) {
                continue;
            }
            let none = &outlet.none;
            let rows = if Some(port) == self.late_port {
                together(emit.late.drain(..), none)
            } else if Some(port) == self.bad_port {
                let schema = none.columns().schema_ref();
                let with_reason = |(rows, reason): &(Rows, String)| reasoned(rows, reason, schema);
                together(emit.bad.iter().map(with_reason), none)
            } else {
                let of_port = emit.kept.extract_if(.., |(other, _)| *other == port);
                together(of_port.map(|(_, rows)| rows), none)
            };
            let rows = outlet.declared(rows);
            let origin = self.numbering.leaving(self.counting.origin, channel, port);
            let header = Header {
                origin,
                ..batch.header.clone()
            };
            let batch = Arc::new(Batch { header, rows });
            outcome.outputs.push((port, batch));
        }
    }
}

impl Outlet {
    fn new(schema: SchemaRef) -> Self {
        Self {
            none: Rows::empty(schema),
            known: None,
        }
    }

    /// Rows under the schema of the port, or one that equals it: what hands rows on keeps theirs, which is compared once.
    fn declared(&mut self, rows: Rows) -> Rows {
        let declared = self.none.columns().schema_ref();
        let schema = rows.columns().schema_ref();
        if let Some(known) = &self.known
            && Arc::ptr_eq(known, schema)
        {
            return rows;
        }
        if schema == declared {
            self.known = Some(Arc::clone(schema));
            return rows;
        }
        rows.map_columns(|columns| self::declared(columns, declared))
    }
}

/// Rows of one batch that leave at one port.
fn together(mut parts: impl Iterator<Item = Rows>, none: &Rows) -> Rows {
    match (parts.next(), parts.next()) {
        (None, _) => none.clone(),
        (Some(only), None) => only,
        (Some(first), Some(second)) => {
            let all: Vec<Rows> = [first, second].into_iter().chain(parts).collect();
            Rows::merge(&all)
        }
    }
}

/// Columns under the schema that was declared for them: what an operator makes may differ from it in metadata,
/// never in types.
fn declared(columns: RecordBatch, schema: &SchemaRef) -> RecordBatch {
    if Arc::ptr_eq(columns.schema_ref(), schema) {
        return columns;
    }
    let (_, columns, _) = columns.into_parts();
    RecordBatch::try_new(Arc::clone(schema), columns)
        .expect("an operator emits the columns that it declared")
}

/// Rows with a last column that says what is wrong with them.
fn reasoned(rows: &Rows, reason: &str, schema: &SchemaRef) -> Rows {
    let reasons = StringArray::from_iter_values(std::iter::repeat_n(reason, rows.len()));
    let mut columns: Vec<ArrayRef> = rows.columns().columns().to_vec();
    columns.push(Arc::new(reasons));
    let columns = RecordBatch::try_new(Arc::clone(schema), columns)
        .expect("the columns of the port `bad` are those of the input and the reason");
    rows.with_columns(columns)
}

/// The origins that leave at an output port, given the ways in.
pub fn origins(numbering: Numbering, own: Origin, inputs: &[Channel], port: u16) -> Vec<Origin> {
    let leaving = |channel: &Channel| numbering.leaving(own, *channel, port);
    let mut origins: Vec<Origin> = inputs.iter().map(leaving).collect();
    origins.sort_unstable();
    origins.dedup();
    origins
}
