//! Types of columns that nobody declared, from the first records.

use std::collections::BTreeMap;

use engine::operator::ArgumentError;
use model::{DataType, Field, Schema};
use serde_json::Value;

use super::cell;

/// How many records are looked at.
///
/// Unit: records. Source: guess; enough to meet the usual exceptions, and no noticeable wait.
pub(super) const RECORDS_MAX: usize = 1000;

/// The most bytes that are looked at, where a thousand records are more than that.
///
/// Unit: bytes. Source: guess; bounds the memory that is held before the first row.
pub(super) const BYTES_MAX: usize = 16 << 20;

/// What was seen of columns, in the order in which they were met.
#[derive(Debug, Default)]
pub(super) struct Findings {
    columns: Vec<(String, Evidence)>,
    indices: BTreeMap<String, usize>,
}

/// What was seen of one column.
#[derive(Debug, Clone, Copy, Default)]
struct Evidence {
    booleans: bool,
    integers: bool,
    floats: bool,
    /// Words that a float may be, but a name as well: `nan`.
    words: bool,
    times: bool,
    texts: bool,
    objects: bool,
}

impl Findings {
    /// Where the column of this name stands; it is a new one if the name is new.
    pub(super) fn column(&mut self, name: &str) -> usize {
        if let Some(index) = self.indices.get(name) {
            return *index;
        }
        let index = self.columns.len();
        self.indices.insert(name.to_owned(), index);
        self.columns.push((name.to_owned(), Evidence::default()));
        index
    }

    /// A value was seen as text; an empty one says nothing.
    ///
    /// # Panics
    /// When there is no such column.
    pub(super) fn see_text(&mut self, index: usize, text: &[u8]) {
        let evidence = &mut self.columns[index].1;
        let trimmed = text.trim_ascii();
        let text = std::str::from_utf8(trimmed).unwrap_or("?");
        if trimmed.is_empty() {
        } else if cell::integer(trimmed).is_some() {
            evidence.integers = true;
        } else if text.parse::<f64>().is_ok() {
            let digits = trimmed.iter().filter(|byte| byte.is_ascii_digit()).count();
            let is_whole = digits > 0
                && trimmed
                    .iter()
                    .all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-'));
            match digits {
                0 => evidence.words = true,
                // A float would round so long a number, and identifiers look like this.
                _ if is_whole => evidence.texts = true,
                _ => evidence.floats = true,
            }
        } else if text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false") {
            evidence.booleans = true;
        } else if cell::date(text).is_some() {
            evidence.times = true;
        } else {
            evidence.texts = true;
        }
    }

    /// A JSON value was seen; null says nothing.
    ///
    /// # Panics
    /// When there is no such column.
    pub(super) fn see_json(&mut self, index: usize, value: &Value) {
        let evidence = &mut self.columns[index].1;
        match value {
            Value::Null => {}
            Value::Bool(_) => evidence.booleans = true,
            Value::Number(number) if number.is_i64() => evidence.integers = true,
            Value::Number(number) if number.is_f64() => evidence.floats = true,
            Value::String(text) if cell::date(text.trim()).is_some() => evidence.times = true,
            Value::Object(_) => evidence.objects = true,
            Value::Number(_) | Value::String(_) | Value::Array(_) => evidence.texts = true,
        }
    }

    /// The columns with the narrowest types that hold everything that was seen.
    ///
    /// # Errors
    /// When there are too many columns.
    pub(super) fn schema(&self) -> Result<Schema, ArgumentError> {
        let fields = self.columns.iter().filter_map(|(name, evidence)| {
            let data_type = evidence.data_type()?;
            Some(Field::new(name, data_type))
        });
        Schema::new(fields.collect()).map_err(|error| ArgumentError {
            parameter: "path".to_owned(),
            message: error.to_string(),
            expected: None,
        })
    }
}

impl Evidence {
    /// The type, unless the column is nothing but the name of an object whose members are columns.
    const fn data_type(self) -> Option<DataType> {
        let numbers = self.integers || self.floats;
        let kinds = self.booleans as u8 + numbers as u8 + self.times as u8 + self.texts as u8;
        if kinds == 0 && !self.words {
            return if self.objects {
                None
            } else {
                Some(DataType::Utf8)
            };
        }
        if kinds != 1 || (self.words && !numbers) {
            return Some(DataType::Utf8);
        }
        Some(match self {
            Self { booleans: true, .. } => DataType::Boolean,
            Self { times: true, .. } => DataType::Timestamp,
            Self { floats: true, .. } | Self { words: true, .. } => DataType::Float64,
            Self { integers: true, .. } => DataType::Int64,
            _ => DataType::Utf8,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_narrowest_type_that_holds_all_is_found() {
        for (texts, expected) in [
            (&["1", "-2", ""][..], DataType::Int64),
            (&["1", "2.5"], DataType::Float64),
            (&["nan", "1"], DataType::Float64),
            (&["Nan", "Inf"], DataType::Utf8),
            (&["true", "FALSE"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["2024-01-31T10:00:00Z", "2024-02-01"], DataType::Timestamp),
            (&["2024-01-31", "7"], DataType::Utf8),
            (&["99999999999999999999"], DataType::Utf8),
            (&["", ""], DataType::Utf8),
            (&["1", "x"], DataType::Utf8),
        ] {
            let mut findings = Findings::default();
            let index = findings.column("x");
            for text in texts {
                findings.see_text(index, text.as_bytes());
            }
            let schema = findings.schema().unwrap();
            assert_eq!(schema.fields(), [Field::new("x", expected)], "{texts:?}");
        }
    }
}
