//! The source `stdin`: records that another program writes into this one.

use std::io::IsTerminal;

use engine::operator::Parameter;
use model::Arguments;
use model::plan::Live;

use super::format::Format;
use super::options::{self, Options, wrong};
use super::reader::{Input, RecordSource};
use super::{Context, Opened, Source, SourceKind};

/// The kind.
pub(super) const KIND: SourceKind = SourceKind {
    name: "stdin",
    doc: "Records from standard input, as they come.",
    parameters: &[
        Parameter {
            required: true,
            doc: "How records are written.",
            ..options::FORMAT
        },
        Parameter {
            doc: "The columns and their types; only a Zeek log names its own.",
            ..options::SCHEMA
        },
        options::TIME,
        options::SPEED,
        options::OVERFLOW,
    ],
    live,
    open,
};

/// Without event times of their own, rows have those at which they come; with them somebody has to say how fast these pass.
fn live(arguments: &Arguments) -> Option<Live> {
    let options = Options::parse(arguments, true).ok()?;
    match options.time {
        None => Some(Live {
            speed: 1.0,
            is_by_clock: true,
        }),
        Some(_) => options.pace.speed.map(|speed| Live {
            speed,
            is_by_clock: false,
        }),
    }
}

fn open(arguments: &Arguments, context: &Context<'_>) -> Opened<dyn Source> {
    let mut options = Options::parse(arguments, true)?;
    let Some(format) = options.format else {
        return Err(vec![wrong(
            "format",
            "is missing",
            Format::WORDS.join(" | "),
        )]);
    };
    let place = "standard input".to_owned();
    let input = Input::Waiting(Box::new(std::io::stdin()));
    let source = match options.declared.take() {
        // With declared columns nothing is read here, so that an application can be checked twice.
        Some(schema) => {
            options.declared = Some(schema.clone());
            RecordSource::declared(place, input, format, options, schema, context)
        }
        None if format != Format::Zeek || std::io::stdin().is_terminal() => Err(wrong(
            "schema",
            "is missing: what will be read cannot be looked at before",
            "the columns and their types",
        )),
        None => RecordSource::open(place, input, format, options, context),
    };
    match source {
        Ok(source) => Ok(Box::new(source)),
        Err(error) => Err(vec![match error.parameter.as_str() {
            "path" => wrong("format", error.message, error.expected.unwrap_or_default()),
            _ => error,
        }]),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use model::{EventTime, Scalar, Value};

    use super::*;
    use crate::clock::MachineClock;

    fn check(format: &[&str], schema: &[(&str, &str)], expected: Result<&str, &str>) {
        let context = Context {
            folder: Path::new("."),
            clock: Arc::new(MachineClock::start()),
            epoch: EventTime(0),
        };
        let mut arguments = Arguments::new();
        for word in format {
            arguments.push("format", Value::from(*word));
        }
        let types = schema.iter();
        let types = types.map(|(name, word)| ((*name).to_owned(), Scalar::from(*word)));
        if !schema.is_empty() {
            arguments.push("schema", Value::Table(types.collect()));
        }
        // Twice, as when an application is checked and then run.
        for _ in 0..2 {
            match (open(&arguments, &context), expected) {
                (Ok(source), _) => assert_eq!(Ok(&*source.schema().to_string()), expected),
                (Err(errors), _) => assert_eq!(Err(&*errors[0].parameter), expected),
            }
        }
    }

    #[test]
    fn columns_are_declared_so_that_nothing_is_read_before_its_time() {
        check(&["csv"], &[("n", "int64")], Ok("n int64"));
        check(&["zeek"], &[("ts", "timestamp")], Ok("ts timestamp"));
        check(&["csv"], &[], Err("schema"));
        check(&["jsonl"], &[], Err("schema"));
        check(&[], &[("n", "int64")], Err("format"));
        check(&["csv"], &[("n", "integer")], Err("schema.n"));
    }
}
