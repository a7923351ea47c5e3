//! Join: rows of two streams that agree in keys and lie near one another in event time.
//!
//! ```toml
//! [operator.sellers]
//! use = "join"
//! from = ["persons", "auctions"]            # the left one, then the right one
//! on = { id = "seller" }                    # left expression = right expression; several must all agree
//! window = { tumbling = "10s" }             # or sliding and slide, as windows have it; or
//! # interval = { lower = "-5s", upper = "1min" }
//! where = "right_price > 10"                # what else must hold of both
//! select = { seller = "left_id", name = "left_name", auction = "right_id" }
//! type = "inner"                            # or left: left rows that nothing met leave as well
//! ```
//!
//! `where` and `select` call the columns of the left stream `left_…`, those of the right one `right_…`; `as = ["person",
//! "auction"]` chooses other words. Without `select`, all columns of both leave. Null agrees with nothing.
//!
//! - With `window`, rows meet that are in one window, and again in each window that both are in. Results leave when the
//!   window closes. The condition and the selection may read `window_start` and `window_end`.
//! - With `interval`, rows meet when the time of the right row is that of the left row plus `lower` at least and plus `upper`
//!   at most. Results leave as soon as both rows are certain to be there: when progress has passed the tick of the later one, of 10 ms or
//!   as long as `granularity` says. A left row that nothing met leaves alone once nothing can meet it any more.
//!
//! Results leave by ticks and lie at their end, within a tick in the order of keys, and of event times within a key. Both
//! wait `lateness` longer for rows that come late. A row leaves at `late` when all that it could meet may have gone, at `bad` when a
//! key cannot be evaluated or its time is too far from the epoch; both ports have the columns of both sides. Where `where`
//! cannot be evaluated for two rows they do not meet; a result that cannot be computed is null.
//!
//! ```
//! use engine::operator;
//! use model::{Arguments, DataType, Field, Scalar, Schema, Value};
//!
//! let schema = |names: [&str; 2]| {
//!     let fields = names.map(|name| Field::new(name, DataType::Int64));
//!     Schema::new(fields.into()).expect("two names that differ")
//! };
//! let table = |entries: &[(&str, Scalar)]| {
//!     let entries = entries.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
//!     Value::Table(entries.collect())
//! };
//! let parameters = Arguments::from_iter([
//!     ("on", table(&[("id", "auction".into())])),
//!     ("interval", table(&[("lower", Scalar::Micros(0)), ("upper", Scalar::Micros(60_000_000))])),
//!     ("select", table(&[("auction", "left_id".into()), ("gain", "right_price - left_reserve".into())])),
//! ]);
//! let join = operator::find("join").expect("it is one of the kinds");
//! let inputs = [schema(["id", "reserve"]), schema(["auction", "price"])];
//! let compiled = (join.compile)(&parameters, &inputs).expect("valid");
//! let (_, columns) = &compiled.outputs[0];
//! assert_eq!(columns.to_string(), "auction int64, gain int64");
//! ```

use arrow_array::{Array, ArrayRef, BooleanArray};
use model::{EventTime, Origin};

use crate::batch::{self, Batch};
use crate::frontier::Slide;
use crate::operator::evaluate::evaluate;
use crate::operator::{self, Cursor, Emitter, ExportPart, ImportError, Operator, StateChunk, Tick};

mod closing;
mod parameters;
mod rows;
mod selected;
mod state;
#[cfg(test)]
mod tests;
mod timing;

use closing::{Closing, Context, Gathered};
use rows::{Row, Rows};
use selected::Selected;
use timing::{Placement, Timing};

pub(super) use parameters::KIND;

/// One of the two streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Left,
    Right,
}

impl Side {
    /// The stream that comes in at a port.
    const fn of_port(port: u16) -> Self {
        match port {
            0 => Self::Left,
            _ => Self::Right,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }

    const fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }
}

/// Joins rows of two streams.
#[derive(Debug)]
struct Join {
    timing: Timing,
    selected: Selected,
    left: Rows,
    right: Rows,
    /// How many rows have come.
    came: usize,
    /// The earliest tick that is not closed.
    open: i64,
    /// That tick, where it has begun to close.
    closing: Option<Closing>,
}

impl Operator for Join {
    fn process(&mut self, port: u16, batch: &Batch, emit: &mut Emitter) {
        let side = Side::of_port(port);
        let admitted = self.admit(side, &batch.rows, emit);
        let mut own = Emitter::default();
        let evaluated = evaluate(&admitted, &mut own, |rows| self.selected.keys(side, rows));
        for (rows, reason) in own.bad {
            emit.bad(self.selected.widened(side, &rows), reason);
        }
        if let Some((rows, keys)) = evaluated {
            self.push(side, batch.header.origin, &rows, &keys);
        }
        emit.holds(self.bytes());
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> operator::Closing {
        let through = self.timing.ticks().complete(progress);
        let mut gathered = Gathered::default();
        while let Some(mut closing) = self.closing.take().or_else(|| self.begin(through)) {
            let is_done = closing.advance(self.context(), &mut gathered, emit);
            if !is_done {
                gathered.leave(self.context(), emit);
                self.closing = Some(closing);
                emit.holds(self.bytes());
                return operator::Closing::More;
            }
            self.open = closing.tick().saturating_add(1);
        }
        gathered.leave(self.context(), emit);
        self.open = self.open.max(through.saturating_add(1));
        self.release();
        emit.progress(self.timing.ticks().time_of_next(self.open));
        emit.holds(self.bytes());
        operator::Closing::Done
    }

    fn slide(&self) -> Option<Slide> {
        Some(self.timing.ticks().slide())
    }

    fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        state::export(self, at, bytes_max)
    }

    fn complete(&self) -> Option<Tick> {
        Tick::before(self.open)
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn import(&mut self, chunk: StateChunk) -> Result<(), ImportError> {
        state::import(self, &chunk)
    }
}

impl Join {
    /// The rows that may meet others; what is too late, or too far from the epoch, leaves.
    fn admit(&self, side: Side, rows: &batch::Rows, emit: &mut Emitter) -> batch::Rows {
        let each = rows.times().iter().zip(rows.dues());
        let places: Vec<Placement> = each
            .map(|(time, due)| self.timing.place(side, *time, *due, self.open))
            .collect();
        let part = |wanted: fn(&Placement) -> bool| -> BooleanArray {
            places.iter().map(|place| Some(wanted(place))).collect()
        };
        let admitted = part(|place| matches!(place, Placement::Enters(_)));
        if admitted.true_count() < rows.len() {
            let late = rows.filter(&part(|place| *place == Placement::Late));
            emit.late(self.selected.widened(side, &late));
            let unreachable = rows.filter(&part(|place| *place == Placement::Unreachable));
            let message = "the event time lies too far from the epoch";
            emit.bad(self.selected.widened(side, &unreachable), message.into());
        }
        rows.filter(&admitted)
    }

    /// Takes in rows that were admitted, which have these keys.
    fn push(&mut self, side: Side, origin: Origin, rows: &batch::Rows, keys: &[ArrayRef]) {
        // What agrees with nothing meets nothing, but a left row may leave alone.
        let leaves_alone = side == Side::Left && self.selected.keeps_left();
        let counts = |row: usize| leaves_alone || keys.iter().all(|key| key.is_valid(row));
        let kept = self.selected.kept_of(side, rows.columns());
        let (encoded, values) = self.selected.encode(side, keys, &kept);
        for row in (0..rows.len()).filter(|row| counts(*row)) {
            let (time, due) = (rows.times()[row], rows.dues()[row]);
            let placement = self.timing.place(side, time, due, self.open);
            let Placement::Enters(enters) = placement else {
                unreachable!("a row that was admitted enters");
            };
            let when = (time, origin, enters);
            self.take(side, Row::new(encoded.row(row), values.row(row), when));
        }
    }

    fn take(&mut self, side: Side, row: Row) {
        let number = self.came;
        self.came += 1;
        self.side_mut(side).push(number, row);
    }

    /// Begins to close the next tick that anything happens in, up to this one.
    fn begin(&mut self, through: i64) -> Option<Closing> {
        let tick = self.next_tick()?.max(self.open);
        if tick > through {
            return None;
        }
        self.open = tick;
        self.release();
        let entering = (self.left.enter(tick), self.right.enter(tick));
        Some(Closing::new(tick, self.context(), entering))
    }

    /// The next tick in which rows enter, meet again or leave alone.
    fn next_tick(&self) -> Option<i64> {
        let (left, right) = (&self.left, &self.right);
        let keeps_left = self.selected.keeps_left();
        let again = if self.timing.is_windowed() {
            let is_any = left.is_any_held() && (keeps_left || right.is_any_held());
            is_any.then_some(self.open)
        } else {
            left.next_to_expire().filter(|_| keeps_left)
        };
        let ticks = [left.next_to_enter(), right.next_to_enter(), again];
        ticks.into_iter().flatten().min()
    }

    /// Lets go of rows that no open tick needs.
    fn release(&mut self) {
        let closed = self.open.saturating_sub(1);
        self.left.release(closed);
        self.right.release(closed);
    }

    const fn context(&self) -> Context<'_> {
        Context {
            timing: self.timing,
            left: &self.left,
            right: &self.right,
            selected: &self.selected,
        }
    }

    const fn side_mut(&mut self, side: Side) -> &mut Rows {
        match side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        }
    }

    /// The memory that the state holds, in bytes.
    fn bytes(&self) -> usize {
        let closing = self.closing.as_ref().map_or(0, Closing::bytes);
        self.left.bytes() + self.right.bytes() + closing
    }
}
