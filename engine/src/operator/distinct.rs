//! Distinct: the first row of each key.
//!
//! ```toml
//! [operator.visitors]
//! use = "distinct"
//! from = "visits"
//! by = ["visitor"]      # all columns where it is not given
//! for = "10s"           # without it, forever
//! ```
//!
//! Rows count in the tick of 10 ms that they are due in, and within it in the order of (origin, index). The first of a key
//! leaves. With `for`, a key of which no row has come in so many ticks is forgotten, and the next row of it is a first one again: what leaves
//! then depends on the rows of so long a time alone, wherever the operator was started. Without it every key is
//! kept as long as the operator runs, which the memory of its host's state must hold; and one that is started in the middle of a
//! stream knows nothing of keys before that.
//!
//! No row is late: it counts when it is due. What leaves lies at the last moment of its tick, in the order of
//! origin and index.

use arrow_array::RecordBatch;
use model::{Arguments, EventTime, Scalar, Schema, Value};

use super::arguments::{check, only, wrong};
use super::ticks::{self, TICK_MICROS};
use super::window::SPAN_MAX_MICROS;
use super::window::parameters::{by, note};
use super::{
    ArgumentError, Closing, Compiled, CompleteTick, Cursor, DefaultCost, Emitter, ExportPart,
    ImportError, Inputs, Kind, Numbering, Operator, Parameter, Shape, StateChunk, Tick, bad_schema,
};
use crate::aggregate::{EncodedKeys, KeyEncoder};
use crate::batch::Batch;
use crate::columns;
use crate::frontier::Slide;

mod memory;
mod pending;
mod state;
#[cfg(test)]
mod tests;

use memory::Memory;
use pending::Pending;

pub(super) const KIND: Kind = Kind {
    name: "distinct",
    doc: "The first row of each key.",
    inputs: Inputs::One,
    parameters: PARAMETERS,
    numbering: Numbering::Own,
    compile,
};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "by",
        shape: Shape::Columns,
        required: false,
        doc: "The key; all columns where it is not given.",
    },
    Parameter {
        name: "for",
        shape: Shape::Duration,
        required: false,
        doc: "How long no row of a key comes before it is forgotten: a multiple of 10 ms; never where it is not given.",
    },
];

/// Finds the first row of each key.
#[derive(Debug)]
struct Distinct {
    /// How long keys are remembered. Unit: ticks; absent: forever.
    horizon: Option<i64>,
    encoder: KeyEncoder,
    pending: Pending,
    memory: Memory,
    /// The last tick that is closed.
    closed: i64,
    /// Scratch: the keys of the batch in hand.
    keys: EncodedKeys,
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let input = only(inputs)?;
    let mut errors = Vec::new();
    let by = note(by(arguments.find("by"), input), &mut errors);
    let horizon = note(horizon(arguments.find("for")), &mut errors);
    if !errors.is_empty() {
        return Err(errors);
    }
    let key = input.fields().iter().enumerate();
    let key = key.filter(|(_, field)| by.is_empty() || by.contains(&field.name));
    let (key_columns, types): (Vec<usize>, Vec<_>) = key
        .map(|(index, field)| (index, columns::to_arrow_type(field.data_type)))
        .unzip();
    let encoder = KeyEncoder::new(key_columns, types.into_iter())
        .map_err(|refused| vec![wrong("by", refused.to_string())])?;
    let mut parameters = Arguments::new();
    // Their order means nothing: it is that of the columns.
    let names = input.fields().iter().map(|field| &field.name);
    let names: Vec<Scalar> = names
        .filter(|name| by.contains(name))
        .map(|name| Scalar::from(name.as_str()))
        .collect();
    if !names.is_empty() && names.len() < input.fields().len() {
        parameters.push("by", Value::List(names));
    }
    if let Some(ticks) = horizon {
        let micros = Scalar::Micros(ticks * TICK_MICROS);
        parameters.push("for", Value::Scalar(micros));
    }
    Ok(Compiled {
        parameters,
        outputs: vec![
            ("out".to_owned(), input.clone()),
            ("bad".to_owned(), bad_schema(input)),
        ],
        operator: Box::new(Distinct {
            horizon,
            encoder,
            pending: Pending::new(columns::to_arrow(input)),
            memory: Memory::default(),
            closed: i64::MIN,
            keys: EncodedKeys::default(),
        }),
        cost: COST,
    })
}

/// How many ticks keys are remembered.
fn horizon(given: Option<&Value>) -> Result<Option<i64>, Vec<ArgumentError>> {
    let refuse = |message: String| {
        let refused = wrong("for", message);
        Err(vec![
            refused.expecting("a multiple of 10 ms, at most 366 days"),
        ])
    };
    match given {
        None => Ok(None),
        Some(Value::Scalar(Scalar::Micros(micros))) => match micros {
            TICK_MICROS..=SPAN_MAX_MICROS if micros % TICK_MICROS == 0 => {
                Ok(Some(micros / TICK_MICROS))
            }
            _ => refuse(format!(
                "{micros} us are out of range or no multiple of 10 ms"
            )),
        },
        Some(_) => refuse("not a time span".to_owned()),
    }
}

impl Operator for Distinct {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let rows = &batch.rows;
        let reach = -ticks::REACH_MICROS..=ticks::REACH_MICROS;
        let is_reachable = |due: &i64| reach.contains(due);
        let rows = if rows.dues().iter().all(is_reachable) {
            rows.clone()
        } else {
            let mask = |wanted: bool| {
                let dues = rows.dues().iter();
                dues.map(|due| Some(is_reachable(due) == wanted)).collect()
            };
            let unreachable = rows.filter(&mask(false));
            emit.bad(unreachable, "it is due beyond all ticks".into());
            rows.filter(&mask(true))
        };
        self.encoder
            .encode(rows.columns(), &mut self.keys)
            .expect("key columns are of the input's types");
        for (part, selection) in ticks::parts(rows.dues(), TICK_MICROS) {
            // Parts of time are called by their beginning, ticks by their end. Nothing that is due can fall
            // into a closed tick: its rows could not leave any more.
            let tick = (part + 1).max(self.closed.saturating_add(1));
            let origin = batch.header.origin;
            self.pending
                .update(tick, origin, rows.columns(), &self.keys, &selection);
        }
        emit.holds(self.bytes());
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let through = ticks::complete(progress, 0);
        while let Some(tick) = self.pending.next_tick(through) {
            if emit.is_full() {
                emit.holds(self.bytes());
                return Closing::More;
            }
            let columns = self.close(tick);
            let began = ticks::time(tick).minus(TICK_MICROS - 1);
            let remembered = self.horizon.map_or(0, |ticks| ticks * TICK_MICROS);
            emit.tick(CompleteTick {
                tick: Tick(tick),
                began: began.minus(remembered),
                time: ticks::time(tick),
                columns,
            });
        }
        self.close_through(through);
        emit.progress(ticks::time_of_next(through));
        emit.holds(self.bytes());
        Closing::Done
    }

    /// A tick is not waited for: the first row of a key leaves with the next progress.
    fn slide(&self) -> Option<Slide> {
        Some(Slide {
            every_micros: TICK_MICROS,
            lateness_micros: 0,
        })
    }

    fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        state::export(self, at, bytes_max)
    }

    fn complete(&self) -> Option<Tick> {
        Tick::before(self.closed.saturating_add(1))
    }

    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn import(&mut self, chunk: StateChunk) -> Result<(), ImportError> {
        state::import(self, &chunk)
    }
}

impl Distinct {
    /// Closes the next tick, and gives the first rows in it.
    fn close(&mut self, tick: i64) -> RecordBatch {
        self.forget_before(tick);
        let memory = &mut self.memory;
        let first = self.pending.take(tick, |key| memory.remember(key, tick));
        self.closed = tick;
        first
    }

    /// Says that all ticks up to here are closed.
    fn close_through(&mut self, tick: i64) {
        self.closed = self.closed.max(tick);
        self.pending.forget_through(self.closed);
        self.forget_before(self.closed.saturating_add(1));
    }

    /// Forgets the keys that rows of a tick are too late for.
    fn forget_before(&mut self, tick: i64) {
        if let Some(horizon) = self.horizon {
            self.memory.forget_through(tick.saturating_sub(horizon));
        }
    }

    /// The memory that all of it holds, in bytes.
    const fn bytes(&self) -> usize {
        self.pending.bytes() + self.memory.bytes()
    }
}

/// What a batch and a row cost, until they are measured.
///
/// Source: guess: that of a window by one key column.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 10e-6,
    row_seconds: 50e-9,
};
