//! Window aggregate: what the rows of a span of event time come to, by key.
//!
//! ```toml
//! [operator.scanners]
//! use = "window"
//! from = "syn"
//! window = { tumbling = "10s" }     # or { sliding = "10s", slide = "2s" }, or { session = "30s" }
//! by = ["src"]
//! select = { attempts = "count(*)", mean = "sum(bytes) / count(*)" }
//! lateness = "0s"
//! ```
//!
//! Windows are aligned to the epoch and contain their start, not their end. One closes when progress reaches
//! its end plus the allowed lateness, and its results leave in key order: the columns of `by`, `window_start`,
//! `window_end` and those of `select`. A window without rows yields none. Sessions have bounds of their own: see [`session`].
//!
//! Rows that are too late for every window leave at `late`; rows that cannot be evaluated, or whose time is
//! too far from the epoch, at `bad`. A result that cannot be computed, such as a division by a count of zero,
//! is null.
//!
//! ```
//! use engine::operator;
//! use model::{Arguments, DataType, Field, Scalar, Schema, Value};
//!
//! let flows = vec![Field::new("src", DataType::Utf8), Field::new("bytes", DataType::Int64)];
//! let flows = Schema::new(flows).expect("two names that differ");
//! let table = |name: &str, value| Value::Table(vec![(name.to_owned(), value)]);
//! let parameters = Arguments::from_iter([
//!     ("window", table("tumbling", Scalar::Micros(10_000_000))),
//!     ("by", Value::List(vec![Scalar::from("src")])),
//!     ("select", table("mean", Scalar::from("sum(bytes) / count(*)"))),
//! ]);
//! let window = operator::find("window").expect("it is one of the kinds");
//! let compiled = (window.compile)(&parameters, &[flows]).expect("valid");
//! let (_, columns) = &compiled.outputs[0];
//! assert_eq!(
//!     columns.to_string(),
//!     "src string, window_start timestamp, window_end timestamp, mean int64"
//! );
//! ```

use arrow_array::ArrayRef;
use model::{EventTime, Origin};

use crate::aggregate::EncodedKeys;
use crate::batch::{Batch, Rows};
use crate::frontier::Slide;
use crate::operator::{
    Closing, Cursor, Emitter, ExportPart, ImportError, Operator, StateChunk, Tick,
};

pub(super) mod layout;
mod panes;
pub(super) mod parameters;
mod select;
mod session;
pub(super) mod slots;
mod state;
#[cfg(test)]
mod tests;

use panes::Panes;
use select::Selected;
use slots::Slot;

pub(super) use parameters::KIND;

/// The longest span: of a window, a slide, or the allowed lateness.
///
/// Unit: microseconds, 366 days. Source: guess; a year is the longest period that people report on.
pub(super) const SPAN_MAX_MICROS: i64 = 366 * 24 * 3600 * 1_000_000;

/// Aggregates rows by window and key.
#[derive(Debug)]
struct Window {
    selected: Selected,
    panes: Panes,
    /// Scratch: the keys of the batch in hand.
    keys: EncodedKeys,
    /// Scratch: the group of each of some rows.
    groups: Vec<usize>,
}

impl Operator for Window {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let panes = &self.panes;
        let admitted = panes.layout().admit(&batch.rows, panes.open(), emit);
        if let Some((rows, arguments)) = self.selected.evaluate(&admitted, emit) {
            self.accumulate(batch.header.origin, &rows, &arguments, emit);
        }
        emit.holds(self.panes.bytes());
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let selected = &self.selected;
        self.panes.on_progress(progress, emit, |panes, window| {
            let groups = panes
                .merged(window, selected.aggregates())
                .expect("state merges with state of the same aggregates");
            let bounds = panes.layout().bounds(window);
            selected.results(groups, |_| bounds)
        })
    }

    fn slide(&self) -> Option<Slide> {
        Some(self.panes.layout().slide())
    }

    fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        state::export(&mut self.panes, &self.selected, at, bytes_max)
    }

    fn complete(&self) -> Option<Tick> {
        Tick::before(self.panes.open())
    }

    fn bytes(&self) -> usize {
        self.panes.bytes()
    }

    fn import(&mut self, chunk: StateChunk) -> Result<(), ImportError> {
        state::import(&mut self.panes, &self.selected, &chunk)
    }
}

impl Window {
    /// Adds rows, with the arguments of the aggregates for them, to the partials that they belong to.
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
        let (keys, scratch) = (&self.keys, &mut self.groups);
        for (place, selection) in self.panes.layout().places(rows, self.panes.open()) {
            let slot = Slot { place, origin };
            let aggregates = self.selected.aggregates();
            let updated = self.panes.accumulate(slot, aggregates, |groups| {
                let arguments = selection.of_columns(arguments)?;
                groups.update(aggregates, keys, selection.rows(), &arguments, scratch)
            });
            if let Err(refused) = updated {
                emit.bad(selection.of_rows(rows), refused.to_string());
            }
        }
    }
}
