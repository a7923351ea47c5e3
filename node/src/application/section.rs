//! Sections: a source, an operator or a sink as a file describes it.

use std::ops::Range;
use std::time::Duration;

use engine::operator::Kind;
use model::{Arguments, Scalar, Value};
use toml::de::DeTable;

use crate::connector::{SinkKind, SourceKind};

/// A source, an operator or a sink.
#[derive(Debug)]
pub(super) struct Section<'t> {
    /// Its name.
    pub(super) name: &'t str,
    /// Where it is named.
    pub(super) header: Range<usize>,
    /// What stands in it.
    pub(super) table: &'t DeTable<'t>,
    /// What it is.
    pub(super) role: Role,
    /// The values of the keys that all of its role have in common.
    pub(super) common: Arguments,
    /// The values for the parameters of its kind.
    pub(super) arguments: Arguments,
    /// What it reads, where that could be understood.
    pub(super) inputs: Option<Vec<Input>>,
    /// Whether something is wrong with it. It is not compiled then, and nor is what reads it.
    pub(super) is_broken: bool,
}

/// What a section is; its kind where that is known.
#[derive(Debug, Clone, Copy)]
pub(super) enum Role {
    /// A source.
    Source(Option<&'static SourceKind>),
    /// An operator.
    Operator(Option<&'static Kind>),
    /// A sink.
    Sink(Option<&'static SinkKind>),
}

impl Role {
    /// The word for it, with its article.
    pub(super) const fn one(self) -> &'static str {
        match self {
            Self::Source(_) => "a source",
            Self::Operator(_) => "an operator",
            Self::Sink(_) => "a sink",
        }
    }

    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Source(_) => "source",
            Self::Operator(_) => "operator",
            Self::Sink(_) => "sink",
        }
    }
}

/// A stream that a section reads.
#[derive(Debug)]
pub(super) struct Input {
    /// The source or operator.
    pub(super) name: String,
    /// The port; absent where it is the first.
    pub(super) port: Option<String>,
    /// Where it is named.
    pub(super) span: Range<usize>,
}

impl Section<'_> {
    /// Where a parameter stands, or an entry of one: `where`, `select.attempts`. The header, if nowhere.
    pub(super) fn span_of(&self, parameter: &str) -> Range<usize> {
        let (key, entry) = match parameter.split_once('.') {
            Some((key, entry)) => (key, Some(entry)),
            None => (parameter, None),
        };
        let Some(item) = self.table.get(key) else {
            return self.header.clone();
        };
        let entry = entry.and_then(|entry| item.get_ref().get(entry));
        entry.unwrap_or(item).span()
    }

    /// A time span in nanoseconds among the common keys.
    pub(super) fn nanos(&self, key: &str) -> Option<Duration> {
        match self.common.find(key) {
            Some(Value::Scalar(Scalar::Integer(nanos))) => {
                Some(Duration::from_nanos(nanos.unsigned_abs()))
            }
            _ => None,
        }
    }

    /// A number among the common keys.
    pub(super) fn number(&self, key: &str) -> Option<f64> {
        match self.common.find(key) {
            Some(Value::Scalar(Scalar::Text(text))) => text.parse().ok(),
            _ => None,
        }
    }

    /// What the key `from` says.
    pub(super) fn read_inputs(&self) -> Option<Vec<Input>> {
        let Some(Value::List(streams)) = self.common.find("from") else {
            return None;
        };
        let item = self.table.get("from")?;
        let input = |(index, stream): (usize, &Scalar)| {
            let Scalar::Text(stream) = stream else {
                return None;
            };
            let (name, port) = match stream.split_once('.') {
                Some((name, port)) => (name, Some(port.to_owned())),
                None => (stream.as_str(), None),
            };
            Some(Input {
                name: name.to_owned(),
                port,
                span: item.get_ref().get(index).unwrap_or(item).span(),
            })
        };
        streams.iter().enumerate().map(input).collect()
    }
}
