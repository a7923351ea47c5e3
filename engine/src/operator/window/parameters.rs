//! What a window is given, checked and brought to one form.

use model::{Arguments, Scalar, Schema, Value};

use super::layout::Layout;
use super::panes::Panes;
use super::select::Selected;
use super::{SPAN_MAX_MICROS, Window};
use crate::aggregate::EncodedKeys;
use crate::operator::arguments::{check, entry, only, texts, wrong};
use crate::operator::{
    ArgumentError, Compiled, DefaultCost, Inputs, Kind, Numbering, Parameter, Shape, bad_schema,
};

/// The shortest slide.
///
/// Unit: microseconds. Source: a tick must leave room for 2,230 years; see `layout`.
pub(in crate::operator) const SLIDE_MIN_MICROS: i64 = 1_000;

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
    parameters: PARAMETERS,
    numbering: Numbering::Own,
    compile,
};

/// How windows lie in event time.
pub(in crate::operator) const SPANS: &[Parameter] = &[
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
];

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "window",
        shape: Shape::Table(SPANS),
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
];

/// What the parameters say, before the expressions are looked at.
struct Given<'a> {
    slide_micros: i64,
    panes: i64,
    lateness_micros: i64,
    by: Vec<String>,
    select: Vec<(&'a str, &'a str)>,
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let input = only(inputs)?;
    let Given {
        slide_micros,
        panes,
        lateness_micros,
        by,
        select,
    } = Given::read(arguments, input)?;
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
        let (slide_micros, panes) = note(window(arguments.find("window")), &mut errors);
        let lateness = match arguments.find("lateness") {
            None => Ok(0),
            Some(Value::Scalar(given)) => span(given, 0, "lateness"),
            Some(_) => Err(wrong("lateness", "not a time span")),
        };
        let lateness_micros = note(lateness.map_err(|error| vec![error]), &mut errors);
        let by = note(by(arguments.find("by"), input), &mut errors);
        let missing = || vec![wrong("select", "missing").expecting("{ name = \"count(*)\" }")];
        let select = texts(arguments, "select").and_then(|texts| texts.ok_or_else(missing));
        let select = note(select, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            slide_micros,
            panes,
            lateness_micros,
            by,
            select,
        })
    }
}

/// What was read; where it could not be, nothing, with the errors noted.
pub(in crate::operator) fn note<T: Default>(
    read: Result<T, Vec<ArgumentError>>,
    errors: &mut Vec<ArgumentError>,
) -> T {
    read.unwrap_or_else(|found| {
        errors.extend(found);
        T::default()
    })
}

/// The slide and the number of panes.
pub(in crate::operator) fn window(given: Option<&Value>) -> Result<(i64, i64), Vec<ArgumentError>> {
    const EXPECTED: &str = "{ tumbling = \"10s\" } or { sliding = \"10s\", slide = \"2s\" }";
    let refuse =
        |parameter: &str, message: String| Err(vec![wrong(parameter, message).expecting(EXPECTED)]);
    let entries = match given {
        Some(Value::Table(entries)) => entries,
        Some(_) => return refuse("window", "not a table of time spans".into()),
        None => return refuse("window", "missing".into()),
    };
    let mut spans = [("tumbling", None), ("sliding", None), ("slide", None)];
    for (name, given) in entries {
        let parameter = entry("window", name);
        let Some((known, micros)) = spans.iter_mut().find(|(known, _)| known == name) else {
            return refuse(&parameter, "there is no such parameter".into());
        };
        // What slides is a multiple of its slide, which has the same limit.
        let least = if *known == "sliding" {
            1
        } else {
            SLIDE_MIN_MICROS
        };
        *micros = Some(span(given, least, &parameter).map_err(|error| vec![error])?);
    }
    match spans.map(|(_, micros)| micros) {
        [Some(size), None, None] => Ok((size, 1)),
        [None, Some(size), Some(slide)] if size % slide != 0 => refuse(
            "window.sliding",
            format!("{size} us are no multiple of the slide of {slide} us"),
        ),
        [None, Some(size), Some(slide)] if size / slide > PANES_MAX => refuse(
            "window.sliding",
            format!("{} slides are more than {PANES_MAX}", size / slide),
        ),
        [None, Some(size), Some(slide)] => Ok((slide, size / slide)),
        [None, Some(_), None] => refuse("window.slide", "missing".into()),
        [None, None, Some(_)] => refuse("window.sliding", "missing".into()),
        [None, None, None] => refuse(
            "window",
            "neither one that tumbles nor one that slides".into(),
        ),
        [Some(_), _, _] => refuse("window", "one that tumbles does not slide".into()),
    }
}

/// A span of at least so much, and at most the longest.
pub(in crate::operator) fn span(
    given: &Scalar,
    least: i64,
    parameter: &str,
) -> Result<i64, ArgumentError> {
    let Scalar::Micros(micros) = given else {
        return Err(wrong(parameter, "not a time span"));
    };
    if (least..=SPAN_MAX_MICROS).contains(micros) {
        return Ok(*micros);
    }
    let days = SPAN_MAX_MICROS / (24 * 3600 * 1_000_000);
    let refused = wrong(parameter, format!("{micros} us are out of range"));
    Err(refused.expecting(&format!("{least} us to {days} days")))
}

/// The key columns.
fn by(given: Option<&Value>, input: &Schema) -> Result<Vec<String>, Vec<ArgumentError>> {
    let names = match given {
        None => return Ok(Vec::new()),
        Some(Value::List(names)) => names,
        Some(_) => return Err(vec![wrong("by", "not a list of columns")]),
    };
    if names.len() > KEYS_MAX {
        let message = format!("{} columns are more than {KEYS_MAX}", names.len());
        return Err(vec![wrong("by", message)]);
    }
    let mut by: Vec<String> = Vec::new();
    let mut errors = Vec::new();
    for name in names {
        let Scalar::Text(name) = name else {
            errors.push(wrong("by", "not a list of columns"));
            continue;
        };
        if input.find(name).is_none() {
            let known = input.fields().iter().map(|field| field.name.as_str());
            let known: Vec<&str> = known.collect();
            let refused = wrong("by", format!("no column is called {name:?}"));
            errors.push(refused.expecting(&format!("one of {}", known.join(", "))));
        } else if by.contains(name) {
            errors.push(wrong("by", format!("{name:?} is there twice")));
        } else {
            by.push(name.clone());
        }
    }
    if errors.is_empty() {
        Ok(by)
    } else {
        Err(errors)
    }
}

impl ArgumentError {
    /// The same, and what would be right.
    pub(in crate::operator) fn expecting(self, expected: &str) -> Self {
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
