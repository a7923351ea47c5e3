//! Kinds that are as simple as they can be: what is tested here is the file, not what it computes.

use std::time::Duration;

use arrow_array::RecordBatch;
use engine::batch::Batch;
use engine::operator::{
    ArgumentError, Compiled, DefaultCost, Emitter, Inputs, Kind, Numbering, Operator, Parameter,
    Shape, bad_schema,
};
use model::{Arguments, DataType, Field, Scalar, Schema, Value};
use node::application::Kinds;
use node::connector::{
    Context, Elsewhere, Reading, Sink, SinkKind, Source, SourceError, SourceKind,
};

pub(crate) const KINDS: Kinds = Kinds {
    operators: &[&FILTER, &PICK, &UNION, &MEET],
    sources: &[&ROWS],
    sinks: &[&VOID],
};

const fn parameter(name: &'static str, shape: Shape, required: bool) -> Parameter {
    Parameter {
        name,
        shape,
        required,
        doc: "What it is for.",
    }
}

static ROWS: SourceKind = SourceKind {
    name: "rows",
    doc: "Rows of these columns, of which there are none.",
    parameters: &[
        parameter("path", Shape::Text, false),
        parameter("schema", Shape::Types, true),
        parameter(
            "time",
            Shape::Table(&[
                parameter("field", Shape::Text, true),
                parameter("out_of_order", Shape::Duration, false),
            ]),
            false,
        ),
        parameter("speed", Shape::Number, false),
        parameter("overflow", Shape::Word(&["block", "drop-oldest"]), false),
    ],
    live: |_| None,
    open: open_rows,
};

#[derive(Debug)]
struct Rows {
    schema: Schema,
    remarks: Vec<String>,
}

impl Source for Rows {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn remarks(&self) -> &[String] {
        &self.remarks
    }

    fn read(&mut self, _wait: Duration) -> Result<Reading, SourceError> {
        Ok(Reading::End)
    }
}

fn open_rows(
    arguments: &Arguments,
    _context: &Context<'_>,
) -> Result<Box<dyn Source>, Vec<ArgumentError>> {
    let path = arguments.find("path").cloned();
    if path == Some("missing.csv".into()) {
        return Err(vec![error("path", "there is no such file", None)]);
    }
    let Some(Value::Table(types)) = arguments.find("schema") else {
        return Err(vec![error("schema", "there is no schema", None)]);
    };
    let field = |(name, word): &(String, Scalar)| match word {
        Scalar::Text(word) => DataType::parse(word).map(|kind| Field::new(name, kind)),
        _ => None,
    };
    let fields: Option<Vec<Field>> = types.iter().map(field).collect();
    let schema = Schema::new(fields.unwrap_or_default());
    let schema = schema.map_err(|error_| vec![error("schema", &error_.to_string(), None)])?;
    let remarks = path.map(|path| format!("{path:?} was not opened"));
    Ok(Box::new(Rows {
        schema,
        remarks: remarks.into_iter().collect(),
    }))
}

static VOID: SinkKind = SinkKind {
    is_shown: false,
    elsewhere: Elsewhere::Same,
    check: |_, _| Ok(()),
    name: "void",
    doc: "Nowhere.",
    parameters: &[parameter("token", Shape::Text, false)],
    open: |_, _, _, _| Ok(Box::new(Void)),
};

#[derive(Debug)]
struct Void;

impl Sink for Void {
    fn write(&mut self, _rows: &RecordBatch) -> Result<(), std::io::Error> {
        Ok(())
    }
}

static FILTER: Kind = Kind {
    name: "filter",
    doc: "Keeps rows whose column is not null.",
    inputs: Inputs::One,
    parameters: &[parameter("where", Shape::Expression, true)],
    numbering: Numbering::Kept,
    compile: |arguments, inputs| {
        let columns = vec![("where".to_owned(), arguments.find("where").cloned())];
        compile(arguments, &inputs[0], columns)
    },
};

static PICK: Kind = Kind {
    name: "pick",
    doc: "Keeps some columns.",
    inputs: Inputs::One,
    parameters: &[
        parameter("select", Shape::Expressions, true),
        parameter("by", Shape::Columns, false),
        parameter(
            "window",
            Shape::Table(&[parameter("tumbling", Shape::Duration, true)]),
            false,
        ),
    ],
    numbering: Numbering::Own,
    compile: |arguments, inputs| {
        let Some(Value::Table(select)) = arguments.find("select") else {
            return Err(vec![error("select", "there is nothing to select", None)]);
        };
        let columns = select.iter().map(|(name, column)| {
            (
                format!("select.{name}"),
                Some(Value::Scalar(column.clone())),
            )
        });
        compile(arguments, &inputs[0], columns.collect())
    },
};

static UNION: Kind = Kind {
    name: "union",
    doc: "All rows of streams of the same columns.",
    inputs: Inputs::AnyOrder,
    parameters: &[],
    numbering: Numbering::KeptByPort,
    compile: |arguments, inputs| {
        if inputs.iter().any(|input| *input != inputs[0]) {
            return Err(vec![error(
                "from",
                "the streams differ in their columns",
                None,
            )]);
        }
        compile(arguments, &inputs[0], Vec::new())
    },
};

static MEET: Kind = Kind {
    name: "meet",
    doc: "Passes on what comes first of two streams.",
    inputs: Inputs::Two,
    parameters: &[parameter(
        "interval",
        Shape::Table(&[
            parameter("lower", Shape::SignedDuration, true),
            parameter("upper", Shape::SignedDuration, true),
        ]),
        true,
    )],
    numbering: Numbering::Own,
    compile: |arguments, inputs| {
        assert_eq!(inputs.len(), 2, "the loader counts streams before it asks");
        compile(arguments, &inputs[0], Vec::new())
    },
};

/// An operator that passes everything on, if the named parameters are columns of the input.
fn compile(
    arguments: &Arguments,
    input: &Schema,
    columns: Vec<(String, Option<Value>)>,
) -> Result<Compiled, Vec<ArgumentError>> {
    let known: Vec<&str> = input
        .fields()
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    let errors: Vec<ArgumentError> = columns
        .iter()
        .filter_map(|(parameter, value)| match value {
            Some(Value::Scalar(Scalar::Text(column))) if input.find(column).is_none() => {
                let expected = format!("one of: {}", known.join(", "));
                let message = format!("unknown column {column:?}");
                Some(error(parameter, &message, Some(expected)))
            }
            _ => None,
        })
        .collect();
    if !errors.is_empty() {
        return Err(errors);
    }
    Ok(Compiled {
        parameters: arguments.clone(),
        outputs: vec![
            ("out".to_owned(), input.clone()),
            ("bad".to_owned(), bad_schema(input)),
        ],
        operator: Box::new(Pass),
        cost: DefaultCost {
            batch_seconds: 0.0,
            row_seconds: 0.0,
        },
    })
}

#[derive(Debug)]
struct Pass;

impl Operator for Pass {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        emit.rows(0, batch.rows.clone());
    }
}

fn error(parameter: &str, message: &str, expected: Option<String>) -> ArgumentError {
    ArgumentError {
        parameter: parameter.to_owned(),
        message: message.to_owned(),
        expected,
    }
}
