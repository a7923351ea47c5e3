//! What application files say of sources of records, as types.

use engine::operator::{ArgumentError, Parameter, Shape};
use model::{Arguments, DataType, Field, Scalar, Schema, Value};

use super::cell::Unit;
use super::format::Format;
use super::{Overflow, Pace};

/// `format`.
pub(super) const FORMAT: Parameter = Parameter {
    name: "format",
    shape: Shape::Word(Format::WORDS),
    required: false,
    doc: "How records are written; by default what the file's name ends in.",
};

/// `schema`.
pub(super) const SCHEMA: Parameter = Parameter {
    name: "schema",
    shape: Shape::Types,
    required: false,
    doc: "The columns and their types; by default they are inferred from the first 1,000 records.",
};

/// `time`.
pub(super) const TIME: Parameter = Parameter {
    name: "time",
    shape: Shape::Table(&[
        Parameter {
            name: "field",
            shape: Shape::Text,
            required: true,
            doc: "The column that says when a record was.",
        },
        Parameter {
            name: "unit",
            shape: Shape::Word(Unit::WORDS),
            required: false,
            doc: "What it counts since 1970, where it holds numbers.",
        },
        Parameter {
            name: "out_of_order",
            shape: Shape::Duration,
            required: false,
            doc: "By how much a record may come after later ones.",
        },
    ]),
    required: false,
    doc: "When records were; by default the time at which each is read.",
};

/// `speed`.
pub(super) const SPEED: Parameter = Parameter {
    name: "speed",
    shape: Shape::Number,
    required: false,
    doc: "How much faster than event time records are replayed; by default as fast as possible.",
};

/// `overflow`.
pub(super) const OVERFLOW: Parameter = Parameter {
    name: "overflow",
    shape: Shape::Word(&["block", "drop-oldest"]),
    required: false,
    doc: "What happens to records that cannot be taken in: they wait, or the oldest are dropped.",
};

/// What is said of a source of records.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) format: Option<Format>,
    pub(super) declared: Option<Schema>,
    pub(super) time: Option<TimeOption>,
    pub(super) pace: Pace,
}

/// `time`.
#[derive(Debug)]
pub(super) struct TimeOption {
    pub(super) field: String,
    pub(super) unit: Option<Unit>,
}

impl Options {
    /// Reads what is given; `is_live` is of the source.
    ///
    /// # Errors
    /// With all that is wrong.
    pub(super) fn parse(arguments: &Arguments, is_live: bool) -> Result<Self, Vec<ArgumentError>> {
        let mut errors = Vec::new();
        let mut keep = |error| errors.push(error);
        let format = match text(arguments, "format") {
            None => None,
            Some(word) => Format::parse(word).or_else(|| {
                let expected = Format::WORDS.join(" | ");
                keep(wrong("format", format!("{word:?} is no format"), expected));
                None
            }),
        };
        let declared = match arguments.find("schema") {
            Some(Value::Table(types)) => match declared(types) {
                Ok(schema) => Some(schema),
                Err(error) => {
                    keep(error);
                    None
                }
            },
            Some(_) => {
                keep(wrong("schema", "is no table", "column types by name"));
                None
            }
            None => None,
        };
        let (time, out_of_order_micros) = match arguments.find("time") {
            Some(Value::Table(entries)) => match time(entries) {
                Ok((time, out_of_order_micros)) => (Some(time), out_of_order_micros),
                Err(error) => {
                    keep(error);
                    (None, 0)
                }
            },
            Some(_) => {
                keep(wrong(
                    "time",
                    "is no table",
                    "a field, and perhaps its unit",
                ));
                (None, 0)
            }
            None => (None, 0),
        };
        let (speed, overflow) = (speed(arguments), overflow(arguments));
        if time.is_none() && !is_live && matches!(speed, Ok(Some(_))) {
            let message = "needs event times to go by: without `time` records have none";
            errors.push(wrong("speed", message, "`time` beside it"));
        }
        for error in [speed.as_ref().err(), overflow.as_ref().err()] {
            errors.extend(error.cloned());
        }
        match (speed, overflow) {
            (Ok(speed), Ok(overflow)) if errors.is_empty() => Ok(Self {
                format,
                declared,
                time,
                pace: Pace {
                    speed,
                    out_of_order_micros,
                    overflow,
                    is_live,
                },
            }),
            _ => Err(errors),
        }
    }
}

/// The text that is given as `name`.
pub(super) fn text<'a>(arguments: &'a Arguments, name: &str) -> Option<&'a str> {
    match arguments.find(name) {
        Some(Value::Scalar(Scalar::Text(text))) => Some(text),
        _ => None,
    }
}

/// An error of one parameter.
pub(super) fn wrong(
    parameter: &str,
    message: impl Into<String>,
    expected: impl Into<String>,
) -> ArgumentError {
    ArgumentError {
        parameter: parameter.to_owned(),
        message: message.into(),
        expected: Some(expected.into()),
    }
}

fn declared(types: &[(String, Scalar)]) -> Result<Schema, ArgumentError> {
    let words = || DataType::ALL.map(|(_, word)| word).join(" | ");
    let mut fields = Vec::new();
    for (name, scalar) in types {
        let data_type = match scalar {
            Scalar::Text(word) => DataType::parse(word),
            _ => None,
        };
        let Some(data_type) = data_type else {
            let message = format!("{scalar:?} is no type");
            return Err(wrong(&format!("schema.{name}"), message, words()));
        };
        fields.push(Field::new(super::format::column_name(name), data_type));
    }
    if fields.is_empty() {
        return Err(wrong("schema", "names no column", "at least one column"));
    }
    Schema::new(fields).map_err(|error| wrong("schema", error.to_string(), "columns that differ"))
}

fn time(entries: &[(String, Scalar)]) -> Result<(TimeOption, i64), ArgumentError> {
    let (mut field, mut unit, mut out_of_order_micros) = (None, None, 0);
    for (name, scalar) in entries {
        match (name.as_str(), scalar) {
            ("field", Scalar::Text(column)) => field = Some(column.clone()),
            ("unit", Scalar::Text(word)) => {
                let Some(known) = Unit::parse(word) else {
                    let message = format!("{word:?} is no unit");
                    return Err(wrong("time.unit", message, Unit::WORDS.join(" | ")));
                };
                unit = Some(known);
            }
            ("out_of_order", Scalar::Micros(micros)) if *micros >= 0 => {
                out_of_order_micros = *micros;
            }
            (_, scalar) => {
                let message = format!("{scalar:?} is not understood");
                return Err(wrong(
                    &format!("time.{name}"),
                    message,
                    "field, unit, out_of_order",
                ));
            }
        }
    }
    match field {
        Some(field) => Ok((TimeOption { field, unit }, out_of_order_micros)),
        None => Err(wrong("time.field", "is missing", "a column")),
    }
}

fn speed(arguments: &Arguments) -> Result<Option<f64>, ArgumentError> {
    let Some(text) = text(arguments, "speed") else {
        return Ok(None);
    };
    match text.parse::<f64>() {
        Ok(speed) if speed.is_finite() && speed > 0.0 => Ok(Some(speed)),
        _ => Err(wrong(
            "speed",
            format!("{text:?} is no speed"),
            "a number above zero",
        )),
    }
}

fn overflow(arguments: &Arguments) -> Result<Overflow, ArgumentError> {
    match text(arguments, "overflow") {
        None | Some("block") => Ok(Overflow::Block),
        Some("drop-oldest") => Ok(Overflow::DropOldest),
        Some(word) => {
            let message = format!("{word:?} is no policy");
            Err(wrong("overflow", message, "block | drop-oldest"))
        }
    }
}
