//! The keys of a node: what there is, what may stand behind it, and how each is read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use toml::de::DeValue;

use crate::application::units;

/// A key, and what may stand behind it.
#[derive(Debug)]
pub(super) struct Key {
    /// Its section and name: `network.listen`.
    pub(super) name: &'static str,
    pub(super) form: Form,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    Text,
    Texts,
    Switch,
    Cores,
    Size,
    Rate,
    Time,
    Labels,
    Socket,
}

const fn key(name: &'static str, form: Form) -> Key {
    Key { name, form }
}

/// All keys. Those of a section stand together.
pub(super) const KEYS: &[Key] = &[
    key("name", Form::Text),
    key("data_dir", Form::Text),
    key("memory", Form::Size),
    key("disk", Form::Size),
    key("policy", Form::Text),
    key("migrate", Form::Text),
    key("drain", Form::Time),
    key("network.id", Form::Text),
    key("network.listen", Form::Texts),
    key("network.join", Form::Texts),
    key("network.insecure_listen", Form::Switch),
    key("offer.operators", Form::Texts),
    key("offer.labels", Form::Labels),
    key("offer.cpu", Form::Cores),
    key("offer.memory", Form::Size),
    key("offer.uplink", Form::Rate),
    key("api.listen", Form::Socket),
];

/// The sections of a node file.
pub(super) const SECTIONS: &[&str] = &["network", "offer", "api"];

impl Key {
    /// The environment variable that gives it.
    pub(super) fn variable(&self) -> String {
        format!("SYNERGY_{}", self.name.replace('.', "_").to_uppercase())
    }
}

/// A value as it was written, before it is known what it must be.
#[derive(Debug)]
pub(super) enum Written {
    /// In an environment variable or behind a flag: everything is text there.
    Flat(String),
    /// In the file.
    Text(String),
    Number(String),
    Switch(bool),
    Texts(Vec<String>),
    Table(Vec<(String, String)>),
    /// Something that no key takes.
    Other,
}

impl From<&DeValue<'_>> for Written {
    fn from(value: &DeValue<'_>) -> Self {
        match value {
            DeValue::String(text) => Self::Text(text.to_string()),
            DeValue::Integer(number) => Self::Number(number.to_string()),
            DeValue::Float(number) => Self::Number(number.as_str().to_owned()),
            DeValue::Boolean(is_on) => Self::Switch(*is_on),
            DeValue::Datetime(_) => Self::Other,
            DeValue::Array(items) => {
                let texts = items.iter().map(|item| item.get_ref().as_str());
                let texts: Option<Vec<&str>> = texts.collect();
                texts.map_or(Self::Other, |texts| {
                    Self::Texts(texts.into_iter().map(str::to_owned).collect())
                })
            }
            DeValue::Table(table) => {
                let entries = table.iter().map(|(key, item)| {
                    let value = item.get_ref().as_str()?;
                    Some((key.get_ref().to_string(), value.to_owned()))
                });
                let entries: Option<Vec<_>> = entries.collect();
                entries.map_or(Self::Other, Self::Table)
            }
        }
    }
}

/// A value of the right form.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Texts(Vec<String>),
    Switch(bool),
    Number(f64),
    Bytes(u64),
    Time(Duration),
    Labels(BTreeMap<String, String>),
    Socket(SocketAddr),
}

/// Why something cannot stand behind a key: what is wrong, and what would be right.
pub(super) type Mistake = (String, String);

impl Form {
    /// What was written, as the key wants it.
    pub(super) fn read(self, written: Written) -> Result<Value, Mistake> {
        match (self, written) {
            (Self::Text, Written::Text(text) | Written::Flat(text)) => Ok(Value::Text(text)),
            (Self::Texts, Written::Texts(texts)) => Ok(Value::Texts(texts)),
            (Self::Texts, Written::Flat(text)) => Ok(Value::Texts(parts(&text).collect())),
            (Self::Switch, Written::Switch(is_on)) => Ok(Value::Switch(is_on)),
            (Self::Switch, Written::Flat(text)) => match text.as_str() {
                "true" => Ok(Value::Switch(true)),
                "false" => Ok(Value::Switch(false)),
                _ => Err((format!("{text:?} is neither"), self.words())),
            },
            (Self::Cores, Written::Number(text) | Written::Flat(text)) => {
                let cores = text.parse().ok();
                let cores = cores.filter(|cores: &f64| cores.is_finite() && *cores > 0.0);
                let cores = cores.ok_or_else(|| (format!("{text} is no number"), self.words()));
                Ok(Value::Number(cores?))
            }
            (Self::Size, Written::Text(text) | Written::Flat(text)) => units::size(&text)
                .map(Value::Bytes)
                .map_err(|error| (format!("{text:?} is no size: {error}"), self.words())),
            (Self::Rate, Written::Text(text) | Written::Flat(text)) => units::rate(&text)
                .map(Value::Number)
                .map_err(|error| (format!("{text:?} is no rate: {error}"), self.words())),
            (Self::Time, Written::Text(text) | Written::Flat(text)) => units::duration(&text)
                .map(Value::Time)
                .map_err(|error| (format!("{text:?} is no time: {error}"), self.words())),
            (Self::Labels, Written::Table(labels)) => {
                Ok(Value::Labels(labels.into_iter().collect()))
            }
            (Self::Labels, Written::Flat(text)) => {
                let labels = parts(&text).map(|part| {
                    let (name, value) = part.split_once('=')?;
                    Some((name.to_owned(), value.to_owned()))
                });
                let labels: Option<BTreeMap<_, _>> = labels.collect();
                labels
                    .map(Value::Labels)
                    .ok_or_else(|| (format!("{text:?} is no list of labels"), self.words()))
            }
            (Self::Socket, Written::Text(text) | Written::Flat(text)) => {
                let address = text.replacen("localhost:", "127.0.0.1:", 1);
                address
                    .parse()
                    .map(Value::Socket)
                    .map_err(|_| (format!("{text:?} is no address"), self.words()))
            }
            _ => Err(("the value is of another kind".to_owned(), self.words())),
        }
    }

    /// What must stand behind a key of this form.
    fn words(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Texts => "a list of texts: [\"a\", \"b\"] in a file, a,b elsewhere".to_owned(),
            Self::Switch => "true or false".to_owned(),
            Self::Cores => "a number of cores above zero, such as 1.5".to_owned(),
            Self::Size => units::SIZE_FORM.to_owned(),
            Self::Rate => units::RATE_FORM.to_owned(),
            Self::Time => units::DURATION_FORM.to_owned(),
            Self::Labels => {
                "labels: { site = \"a\" } in a file, site=a,rack=b elsewhere".to_owned()
            }
            Self::Socket => "an address and a port, such as 127.0.0.1:4171".to_owned(),
        }
    }
}

/// The parts of a text between commas, without the spaces around them.
fn parts(text: &str) -> impl Iterator<Item = String> + '_ {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).map(str::to_owned)
}
