//! The keys of an application file that belong to no kind of operator or connector.
//!
//! These tables are all that there is: the checks and the JSON schema follow from them.

use engine::operator::{Parameter, Shape};

/// A key, and what may stand behind it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    /// The key.
    pub(super) name: &'static str,
    /// What its value must be.
    pub(super) form: Form,
    /// Whether it must be given.
    pub(super) required: bool,
    /// What it means, in a sentence.
    pub(super) doc: &'static str,
}

/// What a value must be: what operators can ask for, and what only files know.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// As for a parameter of an operator or connector.
    Shape(Shape),
    /// A stream, or a list of streams: `"flows"`, `["a", "b.late"]`.
    Streams,
    /// A whole number from 0 to [`model::REPLICAS_MAX`].
    Count,
    /// A time span down to nanoseconds; reaches its reader as an integer of them.
    Nanos,
    /// Where an operator must run: `{ node = "…" }` or `{ label = { site = "a" } }`.
    Place,
}

impl Key {
    const fn new(name: &'static str, form: Form, required: bool, doc: &'static str) -> Self {
        Self {
            name,
            form,
            required,
            doc,
        }
    }
}

impl From<&Parameter> for Key {
    fn from(parameter: &Parameter) -> Self {
        Self {
            name: parameter.name,
            form: Form::Shape(parameter.shape),
            required: parameter.required,
            doc: parameter.doc,
        }
    }
}

/// All keys of a table: the common ones, then those of the kind.
pub(super) fn with_parameters(common: &[Key], parameters: &[Parameter]) -> Vec<Key> {
    let own = parameters.iter().map(Key::from);
    common.iter().copied().chain(own).collect()
}

const TEXT: Form = Form::Shape(Shape::Text);
const NUMBER: Form = Form::Shape(Shape::Number);

/// The words of [`model::OnInfeasible`], in its order.
pub(super) const ON_INFEASIBLE: &[&str] = &["reject", "wait"];

/// The words of [`model::Replication`], in its order.
pub(super) const REPLICATION: &[&str] = &["passive", "active"];

/// The keys of `[qos]`.
pub(super) const QOS: &[Key] = &[
    Key::new(
        "latency",
        Form::Shape(Shape::Duration),
        false,
        "The latency target: from the arrival of the last contributing row to the result.",
    ),
    Key::new(
        "quantile",
        NUMBER,
        false,
        "The fraction of results that must meet the target, above 0 and at most 1.",
    ),
    Key::new(
        "replicas",
        Form::Count,
        false,
        "Backups of each operator that keeps state, on other hosts: 0 to 7.",
    ),
    Key::new(
        "replication",
        Form::Shape(Shape::Word(REPLICATION)),
        false,
        "What backups do: hold the state (passive), or run from the same inputs and are turned to at once (active).",
    ),
    Key::new(
        "on_infeasible",
        Form::Shape(Shape::Word(ON_INFEASIBLE)),
        false,
        "What happens when the target cannot be met.",
    ),
    Key::new(
        "lost_after",
        Form::Shape(Shape::Duration),
        false,
        "For how long results wait for a source that cannot be read again, such as host, while its host is away.",
    ),
    Key::new(
        "rows_per_second",
        NUMBER,
        false,
        "How many rows of its sources go first in a second; what is beyond that waits for others. All, if not given.",
    ),
];

const RATE: Key = Key::new(
    "rate",
    NUMBER,
    false,
    "Rows a second that are expected to leave, for prediction.",
);

/// The key by which a source names a published stream.
pub(super) const STREAM: Key = Key::new(
    "stream",
    TEXT,
    true,
    "A published stream, found in the overlay.",
);

/// The key by which a source or a sink names its connector.
pub(super) const CONNECTOR: Key =
    Key::new("connector", TEXT, true, "Which kind of connector it is.");

/// The keys of a source that names a published stream.
pub(super) const PUBLISHED_SOURCE: &[Key] = &[STREAM, RATE];

/// The common keys of a source with a connector.
pub(super) const INLINE_SOURCE: &[Key] = &[CONNECTOR, RATE];

/// The key by which an operator says what it computes.
pub(super) const USE: Key = Key::new("use", TEXT, true, "Which kind of operator it is.");

const FROM: Key = Key::new(
    "from",
    Form::Streams,
    true,
    "What it reads: a source or operator, or a port of one, as in \"alerts.late\".",
);

/// The common keys of an operator.
pub(super) const OPERATOR: &[Key] = &[
    USE,
    FROM,
    Key::new(
        "cost",
        Form::Nanos,
        false,
        "The processing time that a row is expected to take.",
    ),
    Key::new(
        "selectivity",
        NUMBER,
        false,
        "How many rows are expected to leave for each that comes in.",
    ),
    RATE,
    Key::new(
        "place",
        Form::Place,
        false,
        "Where it must run: a node, or labels that the host must have.",
    ),
];

/// The common keys of a sink.
pub(super) const SINK: &[Key] = &[
    FROM,
    CONNECTOR,
    Key::new(
        "publish",
        TEXT,
        false,
        "Also a named stream that others can share.",
    ),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::application::Kinds;

    /// What kinds declare is what files can say: every key means one thing, and tables hold plain values.
    #[test]
    fn what_kinds_declare_fits_a_file() {
        let kinds = Kinds::ALL;
        let operators = kinds.operators.iter();
        let operators = operators.map(|kind| (kind.name, OPERATOR, kind.parameters));
        let sources = kinds.sources.iter();
        let sources = sources.map(|kind| (kind.name, INLINE_SOURCE, kind.parameters));
        let sinks = kinds.sinks.iter();
        let sinks = sinks.map(|kind| (kind.name, SINK, kind.parameters));
        for (kind, common, parameters) in operators.chain(sources).chain(sinks) {
            let keys = with_parameters(common, parameters);
            let names: BTreeSet<&str> = keys.iter().map(|key| key.name).collect();
            assert_eq!(names.len(), keys.len(), "{kind} has a key twice: {names:?}");
            for parameter in parameters {
                let Shape::Table(entries) = parameter.shape else {
                    continue;
                };
                for entry in entries {
                    let is_plain = !matches!(
                        entry.shape,
                        Shape::Table(_) | Shape::Columns | Shape::Expressions | Shape::Types
                    );
                    assert!(is_plain, "{kind}: {}.{}", parameter.name, entry.name);
                }
            }
        }
    }
}
