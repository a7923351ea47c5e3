//! The JSON schema of application files, for editors: from the same tables by which files are checked.

use engine::operator::{Inputs, Parameter, Shape};
use model::{DataType, REPLICAS_MAX};
use serde_json::{Map, Value, json};

use super::Kinds;
use super::keys::{self, Form, Key};

/// The schema (draft 2020-12) of application files that name these kinds.
pub fn json_schema(kinds: &Kinds) -> Value {
    let sources = kinds.sources.iter().map(|kind| {
        let keys = keys::with_parameters(keys::INLINE_SOURCE, kind.parameters);
        variant(keys::CONNECTOR, kind.name, kind.doc, &keys)
    });
    let published = object("A stream that somebody publishes.", keys::PUBLISHED_SOURCE);
    let sources: Vec<Value> = sources.chain([published]).collect();
    let operators: Vec<Value> = kinds.operators.iter().map(|kind| operator(kind)).collect();
    let sinks = kinds.sinks.iter().map(|kind| {
        let keys = keys::with_parameters(keys::SINK, kind.parameters);
        let mut sink = variant(keys::CONNECTOR, kind.name, kind.doc, &keys);
        sink["properties"]["from"] = one_stream(&sink["properties"]["from"]);
        sink
    });
    let sinks: Vec<Value> = sinks.collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Synergy application",
        "type": "object",
        "properties": {
            "name": {
                "description": "The application's name.",
                "type": "string",
                "pattern": name_pattern(),
            },
            "qos": object("What is required of the application.", keys::QOS),
            "source": sections("Where rows enter, by name.", sources),
            "operator": sections("What is computed, by name.", operators),
            "sink": sections("Where results leave, by name.", sinks),
        },
        "required": ["name", "source", "sink"],
        "additionalProperties": false,
    })
}

fn operator(kind: &engine::operator::Kind) -> Value {
    let keys = keys::with_parameters(keys::OPERATOR, kind.parameters);
    let mut operator = variant(keys::USE, kind.name, kind.doc, &keys);
    let from = &operator["properties"]["from"];
    operator["properties"]["from"] = match kind.inputs {
        Inputs::One => one_stream(from),
        Inputs::Two => two_streams(from),
        Inputs::AnyOrder => from.clone(),
    };
    operator
}

/// Tables by name, each of which is one of these.
fn sections(description: &str, variants: Vec<Value>) -> Value {
    // No table can be one of nothing; `false` says that, `oneOf: []` is no schema.
    let section = if variants.is_empty() {
        Value::Bool(false)
    } else {
        json!({ "oneOf": variants })
    };
    json!({
        "description": description,
        "type": "object",
        "propertyNames": { "pattern": name_pattern() },
        "additionalProperties": section,
    })
}

/// A table of a kind, told apart by the word behind `tag`.
fn variant(tag: Key, word: &str, doc: &str, keys: &[Key]) -> Value {
    let mut table = object(doc, keys);
    table["title"] = word.into();
    table["properties"][tag.name] = json!({ "description": tag.doc, "const": word });
    table
}

fn object(doc: &str, keys: &[Key]) -> Value {
    let required: Vec<&str> = keys
        .iter()
        .filter(|key| key.required)
        .map(|key| key.name)
        .collect();
    let mut properties = Map::new();
    for key in keys {
        let mut property = form(key.form);
        property["description"] = key.doc.into();
        properties.insert(key.name.to_owned(), property);
    }
    json!({
        "description": doc,
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": false,
    })
}

fn form(form: Form) -> Value {
    match form {
        Form::Streams => json!({
            "oneOf": [stream(), { "type": "array", "items": stream(), "minItems": 1 }],
        }),
        Form::Count => json!({ "type": "integer", "minimum": 0, "maximum": REPLICAS_MAX }),
        Form::Nanos => duration(),
        Form::Place => json!({
            "type": "object",
            "properties": { "node": { "type": "string" }, "label": table_of(json!({ "type": "string" })) },
            "additionalProperties": false,
        }),
        Form::Shape(wanted) => shape(wanted),
    }
}

fn shape(shape: Shape) -> Value {
    match shape {
        Shape::Expression | Shape::Text => json!({ "type": "string" }),
        Shape::Expressions => table_of(json!({ "type": "string" })),
        Shape::Columns => json!({ "type": "array", "items": { "type": "string" } }),
        Shape::Duration => duration(),
        Shape::SignedDuration => signed_duration(),
        Shape::Table(parameters) => table(parameters),
        Shape::Word(words) => json!({ "enum": words }),
        Shape::Number => json!({ "type": "number", "exclusiveMinimum": 0 }),
        Shape::Types => table_of(json!({ "enum": DataType::ALL.map(|(_, name)| name) })),
    }
}

fn table(parameters: &[Parameter]) -> Value {
    let keys: Vec<Key> = parameters.iter().map(Key::from).collect();
    object("", &keys)
}

fn table_of(values: Value) -> Value {
    json!({ "type": "object", "additionalProperties": values })
}

fn duration() -> Value {
    json!({ "type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?(ns|us|ms|s|min|h|d)$" })
}

fn signed_duration() -> Value {
    json!({ "type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?(ns|us|ms|s|min|h|d)$" })
}

fn stream() -> Value {
    json!({ "type": "string", "pattern": r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*)?$" })
}

/// The key `from` where two streams are read, of which the first is the left one.
fn two_streams(from: &Value) -> Value {
    json!({
        "description": from["description"],
        "type": "array",
        "items": stream(),
        "minItems": 2,
        "maxItems": 2,
    })
}

/// The key `from` where only one stream can be read.
fn one_stream(from: &Value) -> Value {
    let mut one = stream();
    one["description"] = from["description"].clone();
    one
}

fn name_pattern() -> String {
    format!(
        "^[A-Za-z][A-Za-z0-9_-]{{0,{}}}$",
        model::name::NAME_BYTES_MAX - 1
    )
}
