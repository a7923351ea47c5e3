//! What a join is given, checked and brought to one form.

use model::{Arguments, COLUMNS_MAX, DataType, Field, Scalar, Schema, Value};

use super::rows::Rows;
use super::selected::{Scope, Selected, Texts};
use super::timing::{Interval, Timing};
use super::{Join, Side};
use crate::expression::Expression;
use crate::operator::arguments::{
    check, check_column_name, entry, table, text, texts, wrong, wrong_expression,
};
use crate::operator::window::SPAN_MAX_MICROS;
use crate::operator::window::layout::Layout;
use crate::operator::window::parameters::{SLIDE_MIN_MICROS, SPANS, fixed, note, span};
use crate::operator::{
    ArgumentError, Compiled, DefaultCost, Inputs, Kind, Numbering, Parameter, Shape, bad_schema,
};

/// How long the ticks of an interval join are where nothing is said.
///
/// Unit: microseconds. Source: guess; a result waits for half of it on average, and each tick in which rows enter makes a batch.
const GRANULARITY_MICROS: i64 = 10_000;

/// The most keys.
///
/// Unit: expressions. Source: guess.
const KEYS_MAX: usize = 16;

/// Joins rows of two streams.
pub(in crate::operator) const KIND: Kind = Kind {
    name: "join",
    doc: "Pairs of rows of two streams that agree in keys and lie near one another in event time.",
    inputs: Inputs::Two,
    parameters: PARAMETERS,
    numbering: Numbering::Own,
    compile,
};

const PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "on",
        shape: Shape::Expressions,
        required: true,
        doc: "What must agree: expressions on the left stream, each with the one on the right stream that it equals.",
    },
    Parameter {
        name: "window",
        shape: Shape::Table(SPANS),
        required: false,
        doc: "Rows of one window meet: `tumbling`, or `sliding` with `slide`. Either this or `interval` is given.",
    },
    Parameter {
        name: "interval",
        shape: Shape::Table(&[
            Parameter {
                name: "lower",
                shape: Shape::SignedDuration,
                required: true,
                doc: "How much later than the left row the right one is at least; negative where it may be earlier.",
            },
            Parameter {
                name: "upper",
                shape: Shape::SignedDuration,
                required: true,
                doc: "How much later than the left row the right one is at most.",
            },
        ]),
        required: false,
        doc: "Rows meet of which the right one lies within bounds around the event time of the left one.",
    },
    Parameter {
        name: "granularity",
        shape: Shape::Duration,
        required: false,
        doc: "How long the ticks are by which the results of an interval leave: 10ms if nothing is said.",
    },
    Parameter {
        name: "type",
        shape: Shape::Word(&["inner", "left"]),
        required: false,
        doc: "Whether left rows that nothing met leave as well, with nulls for the right one: `left`, else `inner`.",
    },
    Parameter {
        name: "as",
        shape: Shape::Columns,
        required: false,
        doc: "What stands before the columns of the left and of the right stream: `left` and `right` if nothing is said.",
    },
    Parameter {
        name: "where",
        shape: Shape::Expression,
        required: false,
        doc: "What else must hold of two rows, on the columns of both.",
    },
    Parameter {
        name: "select",
        shape: Shape::Expressions,
        required: false,
        doc: "All columns of the result, in order, on the columns of both; without it those of both.",
    },
    Parameter {
        name: "lateness",
        shape: Shape::Duration,
        required: false,
        doc: "For how much longer rows wait for others that are late.",
    },
];

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let [left, right] = inputs else {
        let message = format!("{} inputs where two are read", inputs.len());
        return Err(vec![wrong("from", message)]);
    };
    let mut errors = Vec::new();
    let lateness = match arguments.find("lateness") {
        None => Ok(0),
        Some(Value::Scalar(given)) => span(given, 0, "lateness"),
        Some(_) => Err(wrong("lateness", "not a time span")),
    };
    let lateness_micros = note(lateness.map_err(|error| vec![error]), &mut errors);
    let keeps_left = note(keeps_left(arguments), &mut errors);
    let timing = timing(arguments, lateness_micros, keeps_left);
    let timing = timing.map_err(|found| errors.extend(found)).ok();
    let keys = note(keys(arguments, left, right), &mut errors);
    let prefixes = note(prefixes(arguments), &mut errors);
    let (Some(timing), []) = (timing, errors.as_slice()) else {
        return Err(errors);
    };

    let scope = scope([left, right], &prefixes, timing)?;
    let texts = Texts {
        keys,
        condition: condition(arguments, &scope)?,
        results: results(arguments, &scope)?,
    };
    let output = texts.results.iter();
    let output = output.map(|(name, result)| Field::new(name, result.data_type()));
    let output = Schema::new(output.collect());
    let output = output.map_err(|error| vec![wrong("select", error.to_string())])?;
    let parameters = normalized(arguments, &texts, &prefixes, timing);
    let selected = Selected::new(&scope, texts, keeps_left);
    let selected = selected.map_err(|message| vec![wrong("select", message)])?;
    let bad = bad_schema(&scope.both);
    Ok(Compiled {
        parameters,
        outputs: vec![
            ("out".into(), output),
            ("late".into(), scope.both),
            ("bad".into(), bad),
        ],
        operator: Box::new(Join {
            timing,
            selected,
            left: Rows::new(Side::Left, timing),
            right: Rows::new(Side::Right, timing),
            came: 0,
            open: i64::MIN,
            closing: None,
        }),
        cost: COST,
    })
}

fn keeps_left(arguments: &Arguments) -> Result<bool, Vec<ArgumentError>> {
    match arguments.find("type") {
        None => Ok(false),
        Some(Value::Scalar(Scalar::Text(word))) if word == "inner" => Ok(false),
        Some(Value::Scalar(Scalar::Text(word))) if word == "left" => Ok(true),
        Some(_) => Err(vec![
            wrong("type", "no type of a join").expecting("\"inner\" or \"left\""),
        ]),
    }
}

/// When rows meet.
fn timing(
    arguments: &Arguments,
    lateness_micros: i64,
    keeps_left: bool,
) -> Result<Timing, Vec<ArgumentError>> {
    const EXPECTED: &str =
        "window = { tumbling = \"10s\" } or interval = { lower = \"-5s\", upper = \"5s\" }";
    let granularity = arguments.find("granularity");
    match (arguments.find("window"), arguments.find("interval")) {
        (Some(_), None) if granularity.is_some() => Err(vec![wrong(
            "granularity",
            "the results of a window leave when it closes",
        )]),
        (given @ Some(_), None) => {
            let (slide_micros, panes) = fixed(given)?;
            let layout = Layout::new(slide_micros, panes, lateness_micros);
            Ok(Timing::Windows(layout))
        }
        (None, Some(interval)) => {
            let granularity_micros = match granularity {
                None => GRANULARITY_MICROS,
                Some(Value::Scalar(given)) => {
                    span(given, SLIDE_MIN_MICROS, "granularity").map_err(|error| vec![error])?
                }
                Some(_) => return Err(vec![wrong("granularity", "not a time span")]),
            };
            let bounds = bounds(interval)?;
            let interval = Interval::new(granularity_micros, bounds, lateness_micros, keeps_left);
            Ok(Timing::Interval(interval))
        }
        (Some(_), Some(_)) => {
            let refused = wrong("interval", "given together with window");
            Err(vec![refused.expecting(EXPECTED)])
        }
        (None, None) => {
            let refused = wrong("window", "neither window nor interval is given");
            Err(vec![refused.expecting(EXPECTED)])
        }
    }
}

/// The bounds of an interval.
fn bounds(given: &Value) -> Result<(i64, i64), Vec<ArgumentError>> {
    const EXPECTED: &str = "{ lower = \"-5s\", upper = \"5s\" }";
    let refuse =
        |parameter: &str, message: String| Err(vec![wrong(parameter, message).expecting(EXPECTED)]);
    let Value::Table(entries) = given else {
        return refuse("interval", "not a table of time spans".into());
    };
    let mut bounds = [("lower", None), ("upper", None)];
    for (name, given) in entries {
        let parameter = entry("interval", name);
        let Some((_, bound)) = bounds.iter_mut().find(|(known, _)| known == name) else {
            return refuse(&parameter, "there is no such parameter".into());
        };
        let Scalar::Micros(micros) = given else {
            return refuse(&parameter, "not a time span".into());
        };
        if !(-SPAN_MAX_MICROS..=SPAN_MAX_MICROS).contains(micros) {
            return refuse(&parameter, format!("{micros} us are out of range"));
        }
        *bound = Some(*micros);
    }
    match bounds.map(|(_, bound)| bound) {
        [Some(lower), Some(upper)] if lower <= upper => Ok((lower, upper)),
        [Some(lower), Some(upper)] => refuse(
            "interval.lower",
            format!("{lower} us lie behind the upper bound, {upper} us"),
        ),
        [None, _] => refuse("interval.lower", "missing".into()),
        [_, None] => refuse("interval.upper", "missing".into()),
    }
}

/// The keys of the left and of the right stream.
fn keys(
    arguments: &Arguments,
    left: &Schema,
    right: &Schema,
) -> Result<[Vec<Expression>; 2], Vec<ArgumentError>> {
    const EXPECTED: &str = "{ left_column = \"right_column\" }";
    let missing = || vec![wrong("on", "missing").expecting(EXPECTED)];
    let entries = texts(arguments, "on")?.ok_or_else(missing)?;
    if entries.len() > KEYS_MAX {
        let message = format!("{} keys are more than {KEYS_MAX}", entries.len());
        return Err(vec![wrong("on", message)]);
    }
    let mut keys = [Vec::new(), Vec::new()];
    let mut errors = Vec::new();
    for (left_text, right_text) in entries {
        let parameter = entry("on", left_text);
        let sides = [(left_text, left, "left"), (right_text, right, "right")];
        let [one, other] = sides.map(|(text, schema, side)| {
            Expression::parse(text, schema).map_err(|error| {
                let wrong = wrong_expression(&parameter, &error);
                let message = format!("{side} stream: {}", wrong.message);
                ArgumentError { message, ..wrong }
            })
        });
        match (one, other) {
            (Ok(one), Ok(other)) if one.data_type() != other.data_type() => {
                let message = format!(
                    "{} of type {} cannot equal {} of type {}",
                    one.text(),
                    one.data_type(),
                    other.text(),
                    other.data_type()
                );
                errors.push(
                    wrong(&parameter, message).expecting("two of one type: CAST(id AS bigint)"),
                );
            }
            (Ok(one), Ok(_))
                if keys[0]
                    .iter()
                    .any(|key: &Expression| key.text() == one.text()) =>
            {
                errors.push(wrong(&parameter, "given twice"));
            }
            (Ok(one), Ok(other)) => {
                keys[0].push(one);
                keys[1].push(other);
            }
            (one, other) => errors.extend(one.err().into_iter().chain(other.err())),
        }
    }
    if errors.is_empty() {
        Ok(keys)
    } else {
        Err(errors)
    }
}

/// What stands before the columns of each side.
fn prefixes(arguments: &Arguments) -> Result<[String; 2], Vec<ArgumentError>> {
    let refuse = |message: &str| {
        let refused = wrong("as", message);
        Err(vec![
            refused.expecting("two words, [\"person\", \"auction\"]"),
        ])
    };
    match arguments.find("as") {
        None => Ok(["left".into(), "right".into()]),
        Some(Value::List(words)) => match words.as_slice() {
            [Scalar::Text(left), Scalar::Text(right)] if left != right => {
                let errors = [left, right].map(|word| check_column_name("as", word).err());
                let errors: Vec<ArgumentError> = errors.into_iter().flatten().collect();
                if errors.is_empty() {
                    Ok([left.clone(), right.clone()])
                } else {
                    Err(errors)
                }
            }
            _ => refuse("not two words that differ"),
        },
        Some(_) => refuse("not a list of words"),
    }
}

/// The columns that the condition and the results may read.
fn scope(
    inputs: [&Schema; 2],
    prefixes: &[String; 2],
    timing: Timing,
) -> Result<Scope, Vec<ArgumentError>> {
    let columns = inputs.iter().zip(prefixes).flat_map(|(input, prefix)| {
        let called =
            move |field: &Field| Field::new(format!("{prefix}_{}", field.name), field.data_type);
        input.fields().iter().map(called)
    });
    let columns: Vec<Field> = columns.collect();
    if columns.len() + BOUNDS.len() > COLUMNS_MAX {
        let message = format!("{} columns of both streams are too many", columns.len());
        let refused = wrong("from", message);
        return Err(vec![
            refused.expecting(&format!("at most {}", COLUMNS_MAX - BOUNDS.len())),
        ]);
    }
    let refuse = |error: model::SchemaError| vec![wrong("as", error.to_string())];
    let bounds = BOUNDS.map(|name| Field::new(name, DataType::Timestamp));
    let bounds = bounds.into_iter().filter(|_| timing.is_windowed());
    Ok(Scope {
        both: Schema::new(columns.clone()).map_err(refuse)?,
        left_count: inputs[0].fields().len(),
        all: Schema::new(columns.into_iter().chain(bounds).collect()).map_err(refuse)?,
    })
}

/// What the bounds of a window are called.
const BOUNDS: [&str; 2] = ["window_start", "window_end"];

fn condition(
    arguments: &Arguments,
    scope: &Scope,
) -> Result<Option<Expression>, Vec<ArgumentError>> {
    if arguments.find("where").is_none() {
        return Ok(None);
    }
    let text = text(arguments, "where").map_err(|error| vec![error])?;
    match Expression::parse_predicate(text, &scope.all) {
        Ok(condition) => Ok(Some(condition)),
        Err(error) => Err(vec![wrong_expression("where", &error)]),
    }
}

/// The columns of the result.
fn results(
    arguments: &Arguments,
    scope: &Scope,
) -> Result<Vec<(String, Expression)>, Vec<ArgumentError>> {
    let everything: Vec<(&str, String)>;
    let entries = match texts(arguments, "select")? {
        Some(entries) => entries,
        None => {
            let quoted = |field: &Field| format!("\"{}\"", field.name.replace('"', "\"\""));
            let fields = scope.both.fields().iter();
            everything = fields
                .map(|field| (field.name.as_str(), quoted(field)))
                .collect();
            everything
                .iter()
                .map(|(name, text)| (*name, text.as_str()))
                .collect()
        }
    };
    let mut results = Vec::with_capacity(entries.len());
    let mut errors = Vec::new();
    for (name, text) in entries {
        errors.extend(check_column_name("select", name).err());
        match Expression::parse(text, &scope.all) {
            Ok(expression) => results.push((name.to_owned(), expression)),
            Err(error) => errors.push(wrong_expression(&entry("select", name), &error)),
        }
    }
    if errors.is_empty() {
        Ok(results)
    } else {
        Err(errors)
    }
}

/// The parameters in their one form: what is left out means the same as what it stands for.
fn normalized(
    given: &Arguments,
    texts: &Texts,
    prefixes: &[String; 2],
    timing: Timing,
) -> Arguments {
    let [left, right] = &texts.keys;
    let keys = left.iter().zip(right);
    let keys = keys.map(|(left, right)| (left.text(), right.text()));
    let spans = |entries: &[(&str, i64)]| {
        let entries = entries.iter();
        let entries = entries.map(|(name, micros)| ((*name).to_owned(), Scalar::Micros(*micros)));
        Value::Table(entries.collect())
    };
    let mut arguments = Arguments::new();
    arguments.push("on", table(keys));
    match timing {
        Timing::Windows(layout) if layout.panes() == 1 => {
            arguments.push("window", spans(&[("tumbling", layout.size_micros())]));
        }
        Timing::Windows(layout) => {
            let slide = ("slide", layout.slide_micros());
            arguments.push("window", spans(&[("sliding", layout.size_micros()), slide]));
        }
        Timing::Interval(interval) => {
            let (lower, upper) = interval.bounds_micros();
            arguments.push("interval", spans(&[("lower", lower), ("upper", upper)]));
            let granularity = timing.ticks().slide_micros();
            arguments.push("granularity", Value::Scalar(Scalar::Micros(granularity)));
        }
    }
    if given.find("type") == Some(&Value::from("left")) {
        arguments.push("type", Value::from("left"));
    }
    let words = prefixes.iter().map(|word| Scalar::from(word.as_str()));
    arguments.push("as", Value::List(words.collect()));
    if let Some(condition) = &texts.condition {
        arguments.push("where", condition.text().into());
    }
    let results = texts.results.iter();
    let results = results.map(|(name, result)| (name.as_str(), result.text()));
    arguments.push("select", table(results));
    match given.find("lateness") {
        None | Some(Value::Scalar(Scalar::Micros(0))) => {}
        Some(lateness) => arguments.push("lateness", lateness.clone()),
    }
    arguments
}

/// What a join costs before it is measured: by one key, where each row meets one other.
///
/// Source: guess.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 20e-6,
    row_seconds: 500e-9,
};
