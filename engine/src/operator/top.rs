//! Top: the greatest rows of each window, by an expression and key.
//!
//! ```toml
//! [operator.dearest]
//! use = "top"
//! from = "bids"
//! window = { tumbling = "10s" }     # or { sliding = "10s", slide = "2s" }
//! rows = 3
//! of = "price"
//! by = ["auction"]
//! ties = "first"                    # or "all"
//! lateness = "0s"
//! ```
//!
//! Windows are those of `window`, and so is what is late. When one closes, the `rows` greatest rows of each key leave, greatest
//! first, keys in their order; their columns are those of the input. Rows without a value come last. Of equal ones the first goes first, in the order
//! of event time, origin and index; with `ties = "all"` those that equal the last of them leave as well.
//!
//! Ports: `out`, `late` as of windows, and `bad` for rows whose value cannot be computed, or whose time is too far
//! from the epoch.

use arrow_array::ArrayRef;
use model::{Arguments, EventTime, Origin, Scalar, Schema, Value};

use super::arguments::{check, only, text, wrong, wrong_expression};
use super::evaluate::evaluate;
use super::window::layout::Layout;
use super::window::parameters::{Bounds, LATENESS, SPANS, by, fixed, lateness, note};
use super::window::slots::Slot;
use super::{
    ArgumentError, Closing, Compiled, Cursor, DefaultCost, Emitter, ExportPart, ImportError,
    Inputs, Kind, Numbering, Operator, Parameter, Shape, StateChunk, Tick, bad_schema,
};
use crate::batch::{Batch, Rows};
use crate::expression::Expression;
use crate::frontier::Slide;

mod best;
mod encoding;
mod state;
#[cfg(test)]
mod tests;

use best::{Best, Groups, Ties, Wanted, greatest};
use encoding::Encoding;

/// The most rows that may be asked for.
///
/// Unit: rows of each key. Source: guess; each new one is put in its place among so many.
const ROWS_MAX: usize = 1_000;

pub(super) const KIND: Kind = Kind {
    name: "top",
    doc: "The greatest rows of each window of event time, by key.",
    inputs: Inputs::One,
    parameters: PARAMETERS,
    numbering: Numbering::Own,
    compile,
};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "window",
        shape: Shape::Table(SPANS),
        required: true,
        doc: "The windows: `tumbling`, or `sliding` with `slide`.",
    },
    Parameter {
        name: "rows",
        shape: Shape::Number,
        required: true,
        doc: "How many rows of each key leave.",
    },
    Parameter {
        name: "of",
        shape: Shape::Expression,
        required: true,
        doc: "The value by which one row is greater than another.",
    },
    Parameter {
        name: "by",
        shape: Shape::Columns,
        required: false,
        doc: "The key: the greatest rows are found for each value of these columns.",
    },
    Parameter {
        name: "ties",
        shape: Shape::Word(Ties::WORDS),
        required: false,
        doc: "What becomes of rows that equal the last that leaves: only the first of them count, or all do.",
    },
    LATENESS,
];

/// Finds the greatest rows by window and key.
#[derive(Debug)]
struct Top {
    value: Expression,
    encoding: Encoding,
    best: Best,
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let input = only(inputs)?;
    let mut errors = Vec::new();
    let (slide, panes) = note(fixed(arguments.find("window")), &mut errors);
    let lateness_micros = note(lateness(arguments.find("lateness")), &mut errors);
    let count = note(rows(arguments), &mut errors);
    let ties = note(ties(arguments), &mut errors);
    let by = note(by(arguments.find("by"), input), &mut errors);
    let value = text(arguments, "of").and_then(|text| {
        Expression::parse(text, input).map_err(|error| wrong_expression("of", &error))
    });
    let value = note(value.map(Some).map_err(|error| vec![error]), &mut errors);
    let (Some(value), true) = (value, errors.is_empty()) else {
        return Err(errors);
    };
    let layout = Layout::new(slide, panes, lateness_micros);
    let encoding = Encoding::new(input, &by, value.data_type())
        .map_err(|refused| vec![wrong("from", refused.to_string())])?;
    let mut parameters = Arguments::from_iter([
        ("window", Bounds::Fixed { slide, panes }.into_value()),
        ("rows", Value::Scalar(Scalar::Text(count.to_string()))),
        ("of", value.text().into()),
    ]);
    if !by.is_empty() {
        let by = by.iter().map(|name| Scalar::from(name.as_str()));
        parameters.push("by", Value::List(by.collect()));
    }
    if ties == Ties::All {
        parameters.push("ties", ties.word().into());
    }
    if lateness_micros > 0 {
        parameters.push("lateness", Value::Scalar(Scalar::Micros(lateness_micros)));
    }
    Ok(Compiled {
        parameters,
        outputs: vec![
            ("out".to_owned(), input.clone()),
            ("late".to_owned(), input.clone()),
            ("bad".to_owned(), bad_schema(input)),
        ],
        operator: Box::new(Top {
            value,
            encoding,
            best: Best::new(layout, Wanted { count, ties }),
        }),
        cost: COST,
    })
}

/// How many rows leave.
fn rows(arguments: &Arguments) -> Result<usize, Vec<ArgumentError>> {
    let refuse = |message: &str| {
        let refused = wrong("rows", message);
        Err(vec![refused.expecting(&format!("1 to {ROWS_MAX}"))])
    };
    let count = match arguments.find("rows") {
        Some(Value::Scalar(Scalar::Text(text))) => text.parse(),
        Some(_) => return refuse("not a number"),
        None => return refuse("missing"),
    };
    match count {
        Ok(count) if (1..=ROWS_MAX).contains(&count) => Ok(count),
        _ => refuse("not a number of rows"),
    }
}

/// What becomes of rows that are equal.
fn ties(arguments: &Arguments) -> Result<Ties, Vec<ArgumentError>> {
    let Some(given) = arguments.find("ties") else {
        return Ok(Ties::First);
    };
    let known = [Ties::First, Ties::All];
    let found = known.into_iter().find(|ties| match given {
        Value::Scalar(Scalar::Text(word)) => ties.word() == word,
        _ => false,
    });
    found.ok_or_else(|| {
        let refused = wrong("ties", "no word for what becomes of equal rows");
        vec![refused.expecting(&Ties::WORDS.join(" or "))]
    })
}

impl Operator for Top {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let slots = &self.best.slots;
        let admitted = slots.layout().admit(&batch.rows, slots.open(), emit);
        let value = |columns: &_| Ok(vec![self.value.evaluate(columns)?]);
        if let Some((rows, values)) = evaluate(&admitted, emit, value) {
            let through = batch.header.interval.through();
            self.take(batch.header.origin, through, &rows, &values);
        }
        emit.holds(self.best.slots.bytes());
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let Best { slots, wanted } = &mut self.best;
        slots.on_progress(progress, emit, |slots, window| {
            greatest(slots, window, *wanted, &self.encoding)
        })
    }

    fn slide(&self) -> Option<Slide> {
        Some(self.best.slots.layout().slide())
    }

    fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        state::export(&mut self.best, &self.encoding, at, bytes_max)
    }

    fn complete(&self) -> Option<Tick> {
        Tick::before(self.best.slots.open())
    }

    fn bytes(&self) -> usize {
        self.best.slots.bytes()
    }

    fn import(&mut self, chunk: StateChunk) -> Result<(), ImportError> {
        state::import(&mut self.best, &self.encoding, &self.value, &chunk)
    }
}

impl Top {
    /// Takes in rows of a batch that ends at the index `through`, with their values.
    fn take(&mut self, origin: Origin, through: u64, rows: &Rows, values: &[ArrayRef]) {
        let Best { slots, wanted } = &mut self.best;
        for (place, selection) in slots.layout().places(rows, slots.open()) {
            let selected = selection.of_rows(rows);
            let values = selection
                .of_columns(values)
                .expect("values do not grow where some are left out");
            let indices = (0..selected.len()).map(|row| through - u64::from(selected.back(row)));
            let newcomers = self.encoding.encode(
                selected.columns(),
                &values[0],
                selected.times(),
                indices.collect(),
            );
            let slot = Slot { place, origin };
            slots.update(slot, Groups::new, |groups| {
                groups.update(*wanted, &newcomers);
            });
        }
    }
}

/// What a batch and a row cost, until they are measured.
///
/// Source: guess: that of a window by one key column.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 10e-6,
    row_seconds: 50e-9,
};
