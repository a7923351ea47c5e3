//! The walker: from the values of a file to arguments, by what tables of keys ask for.
//!
//! Everything that is wrong goes into the report; the rest goes on, so that one walk finds all of it.

use std::borrow::Cow;
use std::ops::Range;
use std::path::Path;

use engine::operator::{Parameter, Shape};
use model::{Arguments, DataType, REPLICAS_MAX, Scalar, Value};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{Form, Key};
use super::nearest;
use super::reference;
use super::report::{Report, quoted};
use super::units::{self, UnitError};

/// A value of a file and where it stands.
pub(super) type Item<'t> = Spanned<DeValue<'t>>;

/// Walks through tables.
#[derive(Debug)]
pub(super) struct Walker<'r> {
    /// Where problems go.
    pub(super) report: &'r mut Report,
    /// The folder that references start from; without one a text is taken as it is.
    pub(super) references: Option<&'r Path>,
    /// Whether keys may be missing because the lines that gave them could not be read.
    pub(super) is_damaged: bool,
}

impl Walker<'_> {
    /// The values of `table` for `keys`, in the order of the keys. `header` is where the table is named.
    pub(super) fn table(
        &mut self,
        table: &DeTable<'_>,
        keys: &[Key],
        header: &Range<usize>,
    ) -> Arguments {
        let known: Vec<&str> = keys.iter().map(|key| key.name).collect();
        let mut meant = Vec::new();
        for (key, _) in table {
            let word = key.get_ref();
            if !known.contains(&word.as_ref()) {
                meant.extend(self.report.add_unknown(key.span(), "key", word, &known));
            }
        }
        // A key that is written wrongly is not missing as well.
        let is_wanted = |key: &&Key| table.contains_key(key.name) || !meant.contains(&key.name);
        let wanted: Vec<Key> = keys.iter().filter(is_wanted).copied().collect();
        self.known_part(table, &wanted, header)
    }

    /// The same where other keys may stand in the table too.
    pub(super) fn known_part(
        &mut self,
        table: &DeTable<'_>,
        keys: &[Key],
        header: &Range<usize>,
    ) -> Arguments {
        let mut arguments = Arguments::new();
        for key in keys {
            match table.get(key.name) {
                Some(item) => {
                    if let Some(value) = self.value(key, item) {
                        arguments.push(key.name, value);
                    }
                }
                None if key.required && !self.is_damaged => self.report.add(
                    header.clone(),
                    format!("the key \"{}\" is missing", key.name),
                    Some(format!("{}: {}", describe(key.form), sentence(key.doc))),
                ),
                None => {}
            }
        }
        arguments
    }

    fn value(&mut self, key: &Key, item: &Item<'_>) -> Option<Value> {
        match key.form {
            Form::Streams => self.texts_or_text(key.name, item).map(Value::List),
            Form::Count => self.count(key.name, item).map(Value::Scalar),
            Form::Nanos => {
                let span = self.duration(key.name, item)?;
                let nanos = i64::try_from(span.as_nanos()).ok();
                let nanos = nanos.or_else(|| self.not_a_duration(item, UnitError::TooLarge));
                Some(Value::Scalar(Scalar::Integer(nanos?)))
            }
            Form::Place => self.place(key.name, item),
            Form::Shape(shape) => self.shape(key.name, shape, item),
        }
    }

    fn shape(&mut self, name: &str, shape: Shape, item: &Item<'_>) -> Option<Value> {
        match shape {
            Shape::Expressions => self.named_texts(name, shape, item).map(Value::Table),
            Shape::Types => {
                let types = self.named_texts(name, shape, item)?;
                self.check_types(item, &types);
                Some(Value::Table(types))
            }
            Shape::Columns => {
                let DeValue::Array(items) = item.get_ref() else {
                    return self.wrong(name, Form::Shape(shape), item);
                };
                self.texts(name, items.as_ref()).map(Value::List)
            }
            Shape::Table(parameters) => self.named_values(name, parameters, item).map(Value::Table),
            Shape::Expression
            | Shape::Duration
            | Shape::SignedDuration
            | Shape::Text
            | Shape::Word(_)
            | Shape::Number => self.scalar(name, shape, item).map(Value::Scalar),
        }
    }

    /// A value of its own, not a list or table.
    fn scalar(&mut self, name: &str, shape: Shape, item: &Item<'_>) -> Option<Scalar> {
        match shape {
            Shape::Number => self.number(name, item),
            Shape::Duration => {
                let text = self.text(name, Form::Shape(shape), item)?;
                self.micros(&text, item).map(Scalar::Micros)
            }
            Shape::SignedDuration => {
                let text = self.text(name, Form::Shape(shape), item)?;
                let micros = match text.strip_prefix('-') {
                    Some(text) => -self.micros(text, item)?,
                    None => self.micros(&text, item)?,
                };
                Some(Scalar::Micros(micros))
            }
            Shape::Word(words) => {
                let word = self.text(name, Form::Shape(shape), item)?;
                if words.contains(&word.as_ref()) {
                    return Some(Scalar::Text(word.into_owned()));
                }
                self.report.add_unknown(item.span(), "word", &word, words);
                None
            }
            Shape::Expression | Shape::Text => {
                let text = self.text(name, Form::Shape(shape), item)?;
                Some(Scalar::Text(text.into_owned()))
            }
            Shape::Expressions | Shape::Columns | Shape::Table(_) | Shape::Types => {
                self.wrong(name, Form::Shape(shape), item)
            }
        }
    }

    /// The entries of a table that `parameters` describe, in their order.
    fn named_values(
        &mut self,
        name: &str,
        parameters: &[Parameter],
        item: &Item<'_>,
    ) -> Option<Vec<(String, Scalar)>> {
        let DeValue::Table(table) = item.get_ref() else {
            return self.wrong(name, Form::Shape(Shape::Table(&[])), item);
        };
        let keys: Vec<Key> = parameters.iter().map(Key::from).collect();
        let walked = self.table(table, &keys, &item.span());
        let scalars = walked.iter().filter_map(|(key, value)| match value {
            Value::Scalar(scalar) => Some((key.to_owned(), scalar.clone())),
            Value::List(_) | Value::Table(_) => None,
        });
        Some(scalars.collect())
    }

    /// The entries of a table of texts, in the order of the file.
    fn named_texts(
        &mut self,
        name: &str,
        shape: Shape,
        item: &Item<'_>,
    ) -> Option<Vec<(String, Scalar)>> {
        let DeValue::Table(table) = item.get_ref() else {
            return self.wrong(name, Form::Shape(shape), item);
        };
        let mut texts = Vec::new();
        for (key, item) in table {
            let full = format!("{name}.{key}", key = key.get_ref());
            if let Some(text) = self.text(&full, Form::Shape(Shape::Text), item) {
                texts.push((key.get_ref().to_string(), Scalar::Text(text.into_owned())));
            }
        }
        Some(texts)
    }

    fn check_types(&mut self, item: &Item<'_>, types: &[(String, Scalar)]) {
        let known = DataType::ALL.map(|(_, name)| name);
        for (column, word) in types {
            let Scalar::Text(word) = word else { continue };
            if DataType::parse(word).is_none() {
                let span = item.get_ref().get(column.as_str()).map(Spanned::span);
                let span = span.unwrap_or_else(|| item.span());
                self.report.add_unknown(span, "type", word, &known);
            }
        }
    }

    fn texts_or_text(&mut self, name: &str, item: &Item<'_>) -> Option<Vec<Scalar>> {
        match item.get_ref() {
            DeValue::Array(items) if items.is_empty() => {
                let expected = Some(describe(Form::Streams).to_owned());
                self.report
                    .add(item.span(), format!("\"{name}\" is empty"), expected);
                None
            }
            DeValue::Array(items) => self.texts(name, items.as_ref()),
            _ => {
                let text = self.text(name, Form::Streams, item)?;
                Some(vec![Scalar::Text(text.into_owned())])
            }
        }
    }

    fn texts(&mut self, name: &str, items: &[Item<'_>]) -> Option<Vec<Scalar>> {
        let mut texts = Vec::new();
        for item in items {
            let text = self.text(name, Form::Shape(Shape::Text), item);
            texts.extend(text.map(|text| Scalar::Text(text.into_owned())));
        }
        (texts.len() == items.len()).then_some(texts)
    }

    fn text<'t>(&mut self, name: &str, form: Form, item: &'t Item<'_>) -> Option<Cow<'t, str>> {
        let DeValue::String(text) = item.get_ref() else {
            return self.wrong(name, form, item);
        };
        let Some(folder) = self.references else {
            return Some(Cow::Borrowed(text));
        };
        match reference::resolve(text, folder) {
            Ok(resolved) => Some(resolved),
            Err(error) => {
                let expected = "\"${env:NAME}\" or \"${file:PATH}\", of what is there";
                self.report
                    .add(item.span(), error.to_string(), Some(expected.to_owned()));
                None
            }
        }
    }

    fn duration(&mut self, name: &str, item: &Item<'_>) -> Option<std::time::Duration> {
        let text = self.text(name, Form::Shape(Shape::Duration), item)?;
        match units::duration(&text) {
            Ok(duration) => Some(duration),
            Err(error) => self.not_a_duration(item, error),
        }
    }

    /// The time span that a text says, in microseconds, of which it must be a whole number.
    fn micros(&mut self, text: &str, item: &Item<'_>) -> Option<i64> {
        match units::duration(text) {
            Ok(span) if span.subsec_nanos() % 1_000 == 0 => Some(model::convert::micros(span)),
            Ok(_) => self.not_a_duration(item, UnitError::TooFine),
            Err(error) => self.not_a_duration(item, error),
        }
    }

    fn not_a_duration<T>(&mut self, item: &Item<'_>, error: UnitError) -> Option<T> {
        let text = item.get_ref().as_str().unwrap_or_default();
        let message = format!("{} is no time span: {error}", quoted(text));
        let expected = Some(units::DURATION_FORM.to_owned());
        self.report.add(item.span(), message, expected);
        None
    }

    fn number(&mut self, name: &str, item: &Item<'_>) -> Option<Scalar> {
        let number = match item.get_ref() {
            DeValue::Integer(integer) => i64::from_str_radix(integer.as_str(), integer.radix())
                .ok()
                .map(|integer| integer.to_string()),
            DeValue::Float(float) => Some(float.as_str().to_owned()),
            _ => return self.wrong(name, Form::Shape(Shape::Number), item),
        };
        let is_usable = |text: &String| {
            text.parse()
                .is_ok_and(|number: f64| number.is_finite() && number > 0.0)
        };
        match number.filter(is_usable) {
            Some(text) => Some(Scalar::Text(text)),
            None => self.wrong(name, Form::Shape(Shape::Number), item),
        }
    }

    fn count(&mut self, name: &str, item: &Item<'_>) -> Option<Scalar> {
        let count = match item.get_ref() {
            DeValue::Integer(integer) => u8::from_str_radix(integer.as_str(), integer.radix()).ok(),
            _ => None,
        };
        match count.filter(|count| *count <= REPLICAS_MAX) {
            Some(count) => Some(Scalar::Integer(i64::from(count))),
            None => self.wrong(name, Form::Count, item),
        }
    }

    /// A place, its labels as entries `label.site`.
    fn place(&mut self, name: &str, item: &Item<'_>) -> Option<Value> {
        let DeValue::Table(table) = item.get_ref() else {
            return self.wrong(name, Form::Place, item);
        };
        let mut entries = Vec::new();
        for (key, item) in table {
            match key.get_ref().as_ref() {
                "node" => {
                    let node = self.text("place.node", Form::Shape(Shape::Text), item)?;
                    entries.push(("node".to_owned(), Scalar::Text(node.into_owned())));
                }
                "label" => {
                    let labels = self.named_texts("place.label", Shape::Table(&[]), item)?;
                    let labels = labels.into_iter();
                    entries.extend(labels.map(|(label, value)| (format!("label.{label}"), value)));
                }
                other => {
                    let known = ["node", "label"];
                    self.report.add_unknown(key.span(), "key", other, &known);
                }
            }
        }
        Some(Value::Table(entries))
    }

    fn wrong<T>(&mut self, name: &str, form: Form, item: &Item<'_>) -> Option<T> {
        let found = match item.get_ref() {
            DeValue::String(_) => "text",
            DeValue::Integer(integer) => &format!("the number {integer}"),
            DeValue::Float(float) => &format!("the number {float}"),
            DeValue::Boolean(true) => "true",
            DeValue::Boolean(false) => "false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let message = format!("{} cannot be {found}", quoted(name));
        let expected = match form {
            Form::Shape(Shape::Word(words)) => nearest::one_of("", words),
            _ => Some(describe(form).to_owned()),
        };
        self.report.add(item.span(), message, expected);
        None
    }
}

/// What a value must be, in words, with an example.
const fn describe(form: Form) -> &'static str {
    match form {
        Form::Streams => "a stream such as \"flows\" or \"scanners.late\", or a list of streams",
        Form::Count => {
            const { assert!(REPLICAS_MAX == 7) };
            "a whole number from 0 to 7"
        }
        Form::Nanos | Form::Shape(Shape::Duration) => "a time span such as \"250ms\"",
        Form::Shape(Shape::SignedDuration) => "a time span such as \"250ms\" or \"-10s\"",
        Form::Place => "{ node = \"…\" } or { label = { site = \"…\" } }",
        Form::Shape(Shape::Expression) => "an SQL expression in quotes",
        Form::Shape(Shape::Expressions) => {
            "a table of SQL expressions, { name = \"expression\", … }"
        }
        Form::Shape(Shape::Columns) => "a list of columns, [\"a\", \"b\"]",
        Form::Shape(Shape::Table(_)) => "a table, { key = \"value\", … }",
        Form::Shape(Shape::Text) => "text in quotes",
        Form::Shape(Shape::Word(_)) => "a word in quotes",
        Form::Shape(Shape::Number) => "a number above zero",
        Form::Shape(Shape::Types) => "a table of types, { column = \"int64\", … }",
    }
}

/// A sentence as a part of another.
fn sentence(doc: &str) -> String {
    let mut chars = doc.trim_end_matches('.').chars();
    let first = chars.next().map(char::to_lowercase).into_iter().flatten();
    first.chain(chars).collect()
}
