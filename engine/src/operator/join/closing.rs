//! The tick in hand: which rows meet in it, a part at a time.
//!
//! A key that many rows of both sides share makes their product: it is looked at in parts, and results leave in
//! chunks of [`ROWS_MAX`], the same ones however the tick is parted.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use super::Side;
use super::rows::{Row, Rows};
use super::selected::Selected;
use super::timing::Timing;
use crate::batch::ROWS_MAX;
use crate::operator::{CLOSING_ROWS_MAX, Emitter, Tick, TickRows};

/// How many rows are looked at in one go.
///
/// Unit: rows that might meet. Source: guess, of the same reason as [`CLOSING_ROWS_MAX`]: a condition that rarely holds
/// must not hold a worker for long either.
const LOOKS_MAX: usize = 4 * CLOSING_ROWS_MAX;

/// A left row and the right row that it has met, or none.
pub(super) type Pair = (Arc<Row>, Option<Arc<Row>>);

/// What is left to be done in a tick.
#[derive(Debug)]
pub(super) struct Closing {
    tick: i64,
    /// The rows whose partners are looked up, in order.
    drivers: Vec<Driver>,
    /// The first driver that is not through, and how many of its partners were looked at.
    next: usize,
    looked_at: usize,
    /// Results that do not fill a chunk.
    rest: Option<RecordBatch>,
}

/// A row whose partners are looked up.
#[derive(Debug)]
struct Driver {
    row: Arc<Row>,
    task: Task,
}

/// What is done with a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    /// A left row meets all right rows that are there.
    MeetRight,
    /// A right row meets the left rows that were there before this tick.
    MeetLeft,
    /// A left row leaves alone if nothing has met it.
    LeaveAlone,
}

/// Ticks in which few rows meet: results are made of those of many at once, since columns cost more than rows do.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pairs: Vec<Pair>,
    /// Each with how many of the pairs are of it.
    ticks: Vec<(i64, usize)>,
}

/// What the rows of a tick are made of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) timing: Timing,
    pub(super) left: &'a Rows,
    pub(super) right: &'a Rows,
    pub(super) selected: &'a Selected,
}

impl Closing {
    /// Begins a tick, in which these rows enter.
    pub(super) fn new(
        tick: i64,
        context: Context<'_>,
        entering: (Vec<Arc<Row>>, Vec<Arc<Row>>),
    ) -> Self {
        let Context { timing, left, .. } = context;
        let alone = if !context.selected.keeps_left() {
            Vec::new()
        } else if timing.is_windowed() {
            left.held().cloned().collect()
        } else {
            left.expiring(tick)
        };
        let (lefts, rights) = if timing.is_windowed() {
            (left.held().cloned().collect(), Vec::new())
        } else {
            entering
        };
        let with = |task| move |row| Driver { row, task };
        let mut drivers: Vec<Driver> = lefts.into_iter().map(with(Task::MeetRight)).collect();
        drivers.extend(rights.into_iter().map(with(Task::MeetLeft)));
        drivers.extend(alone.into_iter().map(with(Task::LeaveAlone)));
        // Each of the parts is in order, and stays so.
        drivers.sort_by(|one, other| {
            let by_key = one.row.key().cmp(other.row.key());
            by_key.then_with(|| one.task.cmp(&other.task))
        });
        Self {
            tick,
            drivers,
            next: 0,
            looked_at: 0,
            rest: None,
        }
    }

    /// The tick in hand.
    pub(super) const fn tick(&self) -> i64 {
        self.tick
    }

    /// The memory that it holds, in bytes.
    pub(super) fn bytes(&self) -> usize {
        let rest = self
            .rest
            .as_ref()
            .map_or(0, RecordBatch::get_array_memory_size);
        self.drivers.capacity() * size_of::<Driver>() + rest
    }

    /// Goes on until all is done, which is said, or there is no room for more. What is done may still lie with what was gathered.
    pub(super) fn advance(
        &mut self,
        context: Context<'_>,
        gathered: &mut Gathered,
        emit: &mut Emitter,
    ) -> bool {
        let mut looks = LOOKS_MAX;
        while self.next < self.drivers.len() {
            if looks == 0 || emit.is_full() {
                return false;
            }
            let pairs = self.collect(context, &mut looks);
            if pairs.is_empty() {
                // In most ticks of a sparse stream nothing meets: that must cost no columns.
                continue;
            }
            if self.rest.is_none() && self.next == self.drivers.len() && pairs.len() < ROWS_MAX {
                gathered.add(self.tick, pairs, context, emit);
                return true;
            }
            gathered.leave(context, emit);
            let ticks = [(self.tick, pairs.len())];
            let (results, _) = context.selected.results(&pairs, context.timing, &ticks);
            self.leave(results, context, emit);
        }
        if let Some(rest) = self.rest.take() {
            self.emit(rest, context, emit);
        }
        true
    }

    /// The next pairs, at most a chunk of them, and as many looks as are left.
    fn collect(&mut self, context: Context<'_>, looks: &mut usize) -> Vec<Pair> {
        let mut pairs = Vec::new();
        while pairs.len() < ROWS_MAX
            && *looks > 0
            && let Some(driver) = self.drivers.get(self.next)
        {
            let (row, task) = (Arc::clone(&driver.row), driver.task);
            let others = match task {
                Task::MeetRight | Task::LeaveAlone => context.right,
                Task::MeetLeft => context.left,
            };
            let of_key = others.of_key(row.key());
            let range = of_key.map_or(0..0, |rows| others.partners(rows, &row));
            let seen = range.start + self.looked_at;
            let end = range.end.min(seen + (ROWS_MAX - pairs.len()).min(*looks));
            let partners = of_key.into_iter().flat_map(|rows| rows.range(seen..end));
            let meets = |other: &&Arc<Row>| context.meets(&row, other, task);
            let met = partners.filter(meets);
            let mut is_over = end == range.end;
            match task {
                Task::MeetRight => {
                    pairs.extend(met.map(|right| (Arc::clone(&row), Some(Arc::clone(right)))));
                }
                Task::MeetLeft => {
                    pairs.extend(met.map(|left| (Arc::clone(left), Some(Arc::clone(&row)))));
                }
                Task::LeaveAlone => {
                    let met: Vec<Pair> = met
                        .map(|right| (Arc::clone(&row), Some(Arc::clone(right))))
                        .collect();
                    if context.selected.any_holds(&met, context.timing, self.tick) {
                        is_over = true;
                    } else if is_over {
                        pairs.push((row, None));
                    }
                }
            }
            *looks = looks.saturating_sub(1 + end - seen);
            if is_over {
                self.next += 1;
                self.looked_at = 0;
            } else {
                self.looked_at += end - seen;
            }
        }
        pairs
    }

    /// Lets results leave in whole chunks, and keeps the rest of them for later.
    fn leave(&mut self, results: RecordBatch, context: Context<'_>, emit: &mut Emitter) {
        let all = match self.rest.take() {
            None => results,
            Some(rest) => concat_batches(&rest.schema(), [&rest, &results])
                .expect("results are of the same columns"),
        };
        let whole = all.num_rows() / ROWS_MAX * ROWS_MAX;
        if whole == 0 {
            self.rest = Some(all);
            return;
        }
        self.rest = Some(all.slice(whole, all.num_rows() - whole));
        self.emit(all.slice(0, whole), context, emit);
    }

    fn emit(&self, columns: RecordBatch, context: Context<'_>, emit: &mut Emitter) {
        emit.ticks([context.rows_of(self.tick, columns.num_rows())], columns);
    }
}

impl Gathered {
    /// Takes all the pairs of a tick, and lets those of others leave where there is no room for both.
    fn add(&mut self, tick: i64, pairs: Vec<Pair>, context: Context<'_>, emit: &mut Emitter) {
        if self.pairs.len() + pairs.len() > ROWS_MAX {
            self.leave(context, emit);
        }
        self.ticks.push((tick, pairs.len()));
        if self.pairs.is_empty() {
            self.pairs = pairs;
        } else {
            self.pairs.extend(pairs);
        }
    }

    /// Lets the results of all ticks that were gathered leave.
    pub(super) fn leave(&mut self, context: Context<'_>, emit: &mut Emitter) {
        if self.pairs.is_empty() {
            return;
        }
        let Context {
            selected, timing, ..
        } = context;
        let (results, rows) = selected.results(&self.pairs, timing, &self.ticks);
        let ticks = self.ticks.iter().zip(rows);
        emit.ticks(
            ticks.map(|((tick, _), rows)| context.rows_of(*tick, rows)),
            results,
        );
        self.pairs.clear();
        self.ticks.clear();
    }
}

impl Context<'_> {
    /// A tick that gives so many rows.
    fn rows_of(self, tick: i64, rows: usize) -> TickRows {
        TickRows {
            tick: Tick(tick),
            began: self.timing.began(tick),
            time: self.timing.ticks().time(tick),
            rows,
        }
    }

    /// Whether a row meets one of the other side, as far as time goes: neither leaves before the other enters.
    fn meets(self, row: &Row, other: &Row, task: Task) -> bool {
        let (left, right) = match task {
            Task::MeetRight | Task::LeaveAlone => (row, other),
            Task::MeetLeft => (other, row),
        };
        let met = left.enters.max(right.enters);
        // What entered together has met already where the left row was looked at.
        (task != Task::MeetLeft || left.enters < right.enters)
            && met <= self.timing.leaves(Side::Left, left.time)
            && met <= self.timing.leaves(Side::Right, right.time)
    }
}
