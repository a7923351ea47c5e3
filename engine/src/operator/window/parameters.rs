//! What a window is given, checked and brought to one form.

use model::{Arguments, Scalar, Schema, Value};

use super::layout::Layout;
use super::panes::Panes;
use super::select::Selected;
use super::session::Sessions;
use super::{SPAN_MAX_MICROS, Window};
use crate::aggregate::EncodedKeys;
use crate::operator::arguments::{check, entry, only, texts, wrong};
use crate::operator::ticks::TICK_MICROS;
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

/// How windows of fixed bounds lie in event time.
pub(in crate::operator) const SPANS: &[Parameter] = &[TUMBLING, SLIDING, SLIDE];

const TUMBLING: Parameter = Parameter {
    name: "tumbling",
    shape: Shape::Duration,
    required: false,
    doc: "How long windows are that follow one another.",
};

const SLIDING: Parameter = Parameter {
    name: "sliding",
    shape: Shape::Duration,
    required: false,
    doc: "How long windows are that overlap: a multiple of `slide`.",
};

const SLIDE: Parameter = Parameter {
    name: "slide",
    shape: Shape::Duration,
    required: false,
    doc: "How much later each overlapping window begins.",
};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "window",
        shape: Shape::Table(&[
            TUMBLING,
            SLIDING,
            SLIDE,
            Parameter {
                name: "session",
                shape: Shape::Duration,
                required: false,
                doc: "How long no row of a key comes before its window ends.",
            },
        ]),
        required: true,
        doc: "The windows: `tumbling`, `sliding` with `slide`, or `session`.",
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
    LATENESS,
];

pub(in crate::operator) const LATENESS: Parameter = Parameter {
    name: "lateness",
    shape: Shape::Duration,
    required: false,
    doc: "How long a window waits behind its end for rows that are late.",
};

/// What the parameters say, before the expressions are looked at.
struct Given<'a> {
    bounds: Bounds,
    lateness_micros: i64,
    by: Vec<String>,
    select: Vec<(&'a str, &'a str)>,
}

/// When windows begin and end. Unit: microseconds.
#[derive(Debug, Clone, Copy)]
pub(in crate::operator) enum Bounds {
    /// Every window has as many slides.
    Fixed { slide: i64, panes: i64 },
    /// One ends when no row has come for so long.
    Session { gap: i64 },
}

impl Bounds {
    /// As they are given, in their one form: a window that slides by its own length tumbles.
    pub(in crate::operator) fn into_value(self) -> Value {
        let spans = match self {
            Self::Fixed { slide, panes: 1 } => vec![("tumbling", slide)],
            Self::Fixed { slide, panes } => vec![("sliding", slide * panes), ("slide", slide)],
            Self::Session { gap } => vec![("session", gap)],
        };
        let span = |(name, micros): (&str, i64)| (name.to_owned(), Scalar::Micros(micros));
        Value::Table(spans.into_iter().map(span).collect())
    }
}

/// Stands where there was a mistake: no window can be like this.
impl Default for Bounds {
    fn default() -> Self {
        Self::Session { gap: 0 }
    }
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let input = only(inputs)?;
    let Given {
        bounds,
        lateness_micros,
        by,
        select,
    } = Given::read(arguments, input)?;
    let (selected, texts) = Selected::compile(&by, &select, input)?;
    let names = select.iter().map(|(name, _)| (*name).to_owned());
    Ok(Compiled {
        parameters: normalized(bounds, lateness_micros, &by, names.zip(texts).collect()),
        outputs: vec![
            ("out".into(), selected.output().clone()),
            ("late".into(), input.clone()),
            ("bad".into(), bad_schema(input)),
        ],
        operator: match bounds {
            Bounds::Fixed { slide, panes } => {
                let layout = Layout::new(slide, panes, lateness_micros);
                Box::new(Window {
                    selected,
                    panes: Panes::new(layout),
                    keys: EncodedKeys::default(),
                    groups: Vec::new(),
                })
            }
            Bounds::Session { gap } => Box::new(Sessions::new(gap, lateness_micros, selected)),
        },
        cost: COST,
    })
}

/// The parameters in their one form.
fn normalized(
    bounds: Bounds,
    lateness_micros: i64,
    by: &[String],
    select: Vec<(String, String)>,
) -> Arguments {
    let select = select
        .into_iter()
        .map(|(name, text)| (name, Scalar::Text(text)));
    let mut arguments = Arguments::new();
    arguments.push("window", bounds.into_value());
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
        let bounds = note(window(arguments.find("window")), &mut errors);
        let lateness_micros = note(lateness(arguments.find("lateness")), &mut errors);
        let by = note(by(arguments.find("by"), input), &mut errors);
        let missing = || vec![wrong("select", "missing").expecting("{ name = \"count(*)\" }")];
        let select = texts(arguments, "select").and_then(|texts| texts.ok_or_else(missing));
        let select = note(select, &mut errors);
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self {
            bounds,
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

/// The slide and the number of panes of windows of fixed bounds.
pub(in crate::operator) fn fixed(given: Option<&Value>) -> Result<(i64, i64), Vec<ArgumentError>> {
    match window(given)? {
        Bounds::Fixed { slide, panes } => Ok((slide, panes)),
        Bounds::Session { .. } => {
            let refused = wrong("window", "a session is of one key alone");
            Err(vec![refused.expecting("{ tumbling = \"10s\" }")])
        }
    }
}

/// The windows' bounds.
pub(in crate::operator) fn window(given: Option<&Value>) -> Result<Bounds, Vec<ArgumentError>> {
    const EXPECTED: &str =
        "{ tumbling = \"10s\" }, { sliding = \"10s\", slide = \"2s\" } or { session = \"10s\" }";
    let refuse =
        |parameter: &str, message: String| Err(vec![wrong(parameter, message).expecting(EXPECTED)]);
    let entries = match given {
        Some(Value::Table(entries)) => entries,
        Some(_) => return refuse("window", "not a table of time spans".into()),
        None => return refuse("window", "missing".into()),
    };
    let mut spans = ["tumbling", "sliding", "slide", "session"].map(|name| (name, None));
    for (name, given) in entries {
        let parameter = entry("window", name);
        let Some((known, micros)) = spans.iter_mut().find(|(known, _)| known == name) else {
            return refuse(&parameter, "there is no such parameter".into());
        };
        // What slides is a multiple of its slide, which has the same limit.
        let least = match *known {
            "sliding" => 1,
            "session" => TICK_MICROS,
            _ => SLIDE_MIN_MICROS,
        };
        *micros = Some(span(given, least, &parameter).map_err(|error| vec![error])?);
    }
    match spans.map(|(_, micros)| micros) {
        [Some(slide), None, None, None] => Ok(Bounds::Fixed { slide, panes: 1 }),
        [None, Some(size), Some(slide), None] if size % slide != 0 => refuse(
            "window.sliding",
            format!("{size} us are no multiple of the slide of {slide} us"),
        ),
        [None, Some(size), Some(slide), None] if size / slide > PANES_MAX => refuse(
            "window.sliding",
            format!("{} slides are more than {PANES_MAX}", size / slide),
        ),
        [None, Some(size), Some(slide), None] => Ok(Bounds::Fixed {
            slide,
            panes: size / slide,
        }),
        [None, None, None, Some(gap)] => Ok(Bounds::Session { gap }),
        [None, Some(_), None, None] => refuse("window.slide", "missing".into()),
        [None, None, Some(_), None] => refuse("window.sliding", "missing".into()),
        [None, None, None, None] => refuse(
            "window",
            "neither one that tumbles nor one that slides, and no session".into(),
        ),
        [_, _, _, Some(_)] => refuse("window", "a session neither tumbles nor slides".into()),
        [Some(_), _, _, None] => refuse("window", "one that tumbles does not slide".into()),
    }
}

/// How long windows wait behind their end.
pub(in crate::operator) fn lateness(given: Option<&Value>) -> Result<i64, Vec<ArgumentError>> {
    match given {
        None => Ok(0),
        Some(Value::Scalar(given)) => span(given, 0, "lateness").map_err(|error| vec![error]),
        Some(_) => Err(vec![wrong("lateness", "not a time span")]),
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
pub(in crate::operator) fn by(
    given: Option<&Value>,
    input: &Schema,
) -> Result<Vec<String>, Vec<ArgumentError>> {
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
