//! What a window is given, checked and brought to one form.

use model::{Arguments, Scalar, Schema, Value};

use super::layout::Layout;
use super::panes::Panes;
use super::select::Selected;
use super::{SPAN_MAX_MICROS, Window};
use crate::aggregate::EncodedKeys;
use crate::operator::{
    ArgumentError, Compiled, DefaultCost, Inputs, Kind, Numbering, Parameter, Shape, bad_schema,
};

/// The shortest slide.
///
/// Unit: microseconds. Source: a tick must leave room for 2,230 years; see `layout`.
const SLIDE_MIN_MICROS: i64 = 1_000;

/// The most panes of a window.
///
/// Unit: panes. Source: guess; each window merges all of its panes when it closes.
const PANES_MAX: i64 = 10_000;

/// The most key columns.
///
/// Unit: columns. Source: guess.
const KEYS_MAX: usize = 16;

/// Aggregates rows by window of event time and key.
pub(in crate::operator) const KIND: Kind = Kind {
    name: "window",
    doc: "Aggregates the rows of each window of event time, by key.",
    inputs: Inputs::One,
    parameters: &[
        Parameter {
            name: "window",
            shape: Shape::Table(&[
                Parameter {
                    name: "tumbling",
                    shape: Shape::Duration,
                    required: false,
                    doc: "How long windows are that follow one another.",
                },
                Parameter {
                    name: "sliding",
                    shape: Shape::Duration,
                    required: false,
                    doc: "How long windows are that overlap: a multiple of `slide`.",
                },
                Parameter {
                    name: "slide",
                    shape: Shape::Duration,
                    required: false,
                    doc: "How much later each overlapping window begins.",
                },
            ]),
            required: true,
            doc: "The windows: `tumbling`, or `sliding` with `slide`.",
        },
        Parameter {
            name: "by",
            shape: Shape::Columns,
            required: false,
            doc: "The key: rows are aggregated for each value of these columns.",
        },
        Parameter {
            name: "select",
            shape: Shape::Expressions,
            required: true,
            doc: "The results: expressions over aggregates, key columns, `window_start` and `window_end`.",
        },
        Parameter {
            name: "lateness",
            shape: Shape::Duration,
            required: false,
            doc: "How long a window waits behind its end for rows that are late.",
        },
    ],
    numbering: Numbering::Own,
    compile,
};

/// What the parameters say, before the expressions are looked at.
struct Given<'a> {
    slide_micros: i64,
    panes: i64,
    lateness_micros: i64,
    by: Vec<String>,
    select: Vec<(&'a str, &'a str)>,
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    let [input] = inputs else {
        return Err(vec![error("from", "a window reads one stream")]);
    };
    let given = Given::read(arguments, input)?;
    let Given {
        slide_micros,
        panes,
        lateness_micros,
        by,
        select,
    } = given;
    let layout = Layout::new(slide_micros, panes, lateness_micros);
    let (selected, texts) = Selected::compile(&by, &select, input)?;
    let names = select.iter().map(|(name, _)| (*name).to_owned());
    Ok(Compiled {
        parameters: normalized(layout, lateness_micros, &by, names.zip(texts).collect()),
        outputs: vec![
            ("out".into(), selected.output().clone()),
            ("late".into(), input.clone()),
            ("bad".into(), bad_schema(input)),
        ],
        operator: Box::new(Window {
            layout,
            selected,
            panes: Panes::new(layout),
            keys: EncodedKeys::default(),
            groups: Vec::new(),
        }),
        cost: COST,
    })
}

/// The parameters in their one form: a window that slides by its own length tumbles.
fn normalized(
    layout: Layout,
    lateness_micros: i64,
    by: &[String],
    select: Vec<(String, String)>,
) -> Arguments {
    let size = ("sliding", layout.size_micros());
    let window = if layout.panes() == 1 {
        vec![("tumbling", layout.size_micros())]
    } else {
        vec![size, ("slide", layout.slide_micros())]
    };
    let window = window
        .into_iter()
        .map(|(name, micros)| (name.to_owned(), Scalar::Micros(micros)));
    let select = select
        .into_iter()
        .map(|(name, text)| (name, Scalar::Text(text)));
    let mut arguments = Arguments::new();
    arguments.push("window", Value::Table(window.collect()));
    if !by.is_empty() {
        let by = by.iter().map(|name| Scalar::from(name.as_str()));
        arguments.push("by", Value::List(by.collect()));
    }
    arguments.push("select", Value::Table(select.collect()));
    if lateness_micros > 0 {
        arguments.push("lateness", Value::Scalar(Scalar::Micros(lateness_micros)));
    }
    arguments
}

impl<'a> Given<'a> {
    /// Reads all parameters, and finds all that is wrong with them.
    fn read(arguments: &'a Arguments, input: &Schema) -> Result<Self, Vec<ArgumentError>> {
        let mut errors = Vec::new();
        let (slide_micros, panes) = window(arguments.find("window"), &mut errors);
        let lateness_micros = match arguments.find("lateness") {
            None => 0,
            Some(Value::Scalar(Scalar::Micros(micros))) => {
                span(*micros, 0, "lateness", &mut errors)
            }
            Some(_) => {
                errors.push(error("lateness", "not a time span"));
                0
            }
        };
        let by = by(arguments.find("by"), input, &mut errors);
        let select = select(arguments.find("select"), &mut errors);
        if errors.is_empty() {
            Ok(Self {
                slide_micros,
                panes,
                lateness_micros,
                by,
                select,
            })
        } else {
            Err(errors)
        }
    }
}

/// The slide and the number of panes.
fn window(given: Option<&Value>, errors: &mut Vec<ArgumentError>) -> (i64, i64) {
    let expected = "{ tumbling = \"10s\" } or { sliding = \"10s\", slide = \"2s\" }";
    let entries = match given {
        Some(Value::Table(entries)) => entries.as_slice(),
        Some(_) => {
            errors.push(error("window", "not a table of time spans").expecting(expected));
            return (1, 1);
        }
        None => {
            errors.push(error("window", "missing").expecting(expected));
            return (1, 1);
        }
    };
    let mut spans = [("tumbling", None), ("sliding", None), ("slide", None)];
    for (name, value) in entries {
        let parameter = format!("window.{name}");
        let Some((known, micros)) = spans.iter_mut().find(|(known, _)| known == name) else {
            errors.push(error(&parameter, "unknown").expecting(expected));
            continue;
        };
        let least = if *known == "sliding" {
            1
        } else {
            SLIDE_MIN_MICROS
        };
        match value {
            Scalar::Micros(given) => *micros = Some(span(*given, least, &parameter, errors)),
            _ => errors.push(error(&parameter, "not a time span")),
        }
    }
    if !errors.is_empty() {
        return (1, 1);
    }
    match spans.map(|(_, micros)| micros) {
        [Some(size), None, None] => (size, 1),
        [None, Some(size), Some(slide)] if size % slide != 0 => {
            let message = format!("{size} us are no multiple of the slide of {slide} us");
            errors.push(error("window.sliding", &message));
            (1, 1)
        }
        [None, Some(size), Some(slide)] if size / slide > PANES_MAX => {
            let message = format!("{} slides are more than {PANES_MAX}", size / slide);
            errors.push(error("window.sliding", &message));
            (1, 1)
        }
        [None, Some(size), Some(slide)] => (slide, size / slide),
        [None, Some(_), None] => {
            errors.push(error("window.slide", "missing").expecting(expected));
            (1, 1)
        }
        [None, None, Some(_)] => {
            errors.push(error("window.sliding", "missing").expecting(expected));
            (1, 1)
        }
        [None, None, None] | [Some(_), _, _] => {
            errors.push(
                error("window", "neither one that tumbles nor one that slides").expecting(expected),
            );
            (1, 1)
        }
    }
}

/// A span between `least` and the longest.
fn span(micros: i64, least: i64, parameter: &str, errors: &mut Vec<ArgumentError>) -> i64 {
    if !(least..=SPAN_MAX_MICROS).contains(&micros) {
        let message = format!("{micros} us are out of range");
        let expected = format!(
            "{least} us to {} days",
            SPAN_MAX_MICROS / (24 * 3600 * 1_000_000)
        );
        errors.push(error(parameter, &message).expecting(&expected));
    }
    micros
}

fn by(given: Option<&Value>, input: &Schema, errors: &mut Vec<ArgumentError>) -> Vec<String> {
    let names = match given {
        None => return Vec::new(),
        Some(Value::List(names)) => names,
        Some(_) => {
            errors.push(error("by", "not a list of columns"));
            return Vec::new();
        }
    };
    if names.len() > KEYS_MAX {
        let message = format!("{} columns are more than {KEYS_MAX}", names.len());
        errors.push(error("by", &message));
        return Vec::new();
    }
    let mut by: Vec<String> = Vec::new();
    for name in names {
        let Scalar::Text(name) = name else {
            errors.push(error("by", "not a list of columns"));
            continue;
        };
        if input.find(name).is_none() {
            let known: Vec<&str> = input
                .fields()
                .iter()
                .map(|field| field.name.as_str())
                .collect();
            let expected = format!("one of {}", known.join(", "));
            errors.push(error("by", &format!("no column is called {name:?}")).expecting(&expected));
        } else if by.contains(name) {
            errors.push(error("by", &format!("{name:?} is there twice")));
        } else {
            by.push(name.clone());
        }
    }
    by
}

fn select<'a>(
    given: Option<&'a Value>,
    errors: &mut Vec<ArgumentError>,
) -> Vec<(&'a str, &'a str)> {
    let expected = "{ name = \"count(*)\" }";
    let Some(Value::Table(entries)) = given else {
        let message = if given.is_none() {
            "missing"
        } else {
            "not a table of expressions"
        };
        errors.push(error("select", message).expecting(expected));
        return Vec::new();
    };
    if entries.is_empty() {
        errors.push(error("select", "nothing is selected").expecting(expected));
    }
    let mut select = Vec::new();
    for (name, text) in entries {
        match text {
            Scalar::Text(text) => select.push((name.as_str(), text.as_str())),
            _ => errors.push(error(&format!("select.{name}"), "not an expression")),
        }
    }
    select
}

/// An error of a parameter, with nothing to say about what would be right.
pub(super) fn error(parameter: &str, message: &str) -> ArgumentError {
    ArgumentError {
        parameter: parameter.to_owned(),
        message: message.to_owned(),
        expected: None,
    }
}

impl ArgumentError {
    /// The same, and what would be right.
    pub(super) fn expecting(self, expected: &str) -> Self {
        Self {
            expected: Some(expected.to_owned()),
            ..self
        }
    }
}

/// What a window costs before it is measured: by one key column, with a count and a sum.
///
/// Source: guess.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 10e-6,
    row_seconds: 50e-9,
};
