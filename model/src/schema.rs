//! The columns of a stream, in the closed list of types that crosses the wire.

use std::fmt;

/// The most columns a stream may have.
///
/// Unit: columns. Source: guess; the widest data set at hand (flow records) has 23.
pub const COLUMNS_MAX: usize = 1024;

/// The type of a column. The list is closed: a remote can name no other.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub enum DataType {
    /// True or false.
    Boolean,
    /// A signed 64-bit integer.
    Int64,
    /// An unsigned 64-bit integer: what counting yields.
    UInt64,
    /// A 64-bit float.
    Float64,
    /// Text in UTF-8.
    Utf8,
    /// An event time: microseconds since the Unix epoch, UTC.
    Timestamp,
}

impl DataType {
    /// All types, with the name that files use.
    pub const ALL: [(Self, &'static str); 6] = [
        (Self::Boolean, "boolean"),
        (Self::Int64, "int64"),
        (Self::UInt64, "uint64"),
        (Self::Float64, "float64"),
        (Self::Utf8, "string"),
        (Self::Timestamp, "timestamp"),
    ];

    /// The type that files call `name`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind)
    }

    /// The name that files use.
    pub fn name(self) -> &'static str {
        Self::ALL
            .iter()
            .find(|(kind, _)| *kind == self)
            .map_or("unknown", |(_, name)| name)
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A column: its name and type. Every column may hold nulls.
#[derive(Debug, Clone, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub struct Field {
    /// The name, without dots.
    pub name: String,
    /// The type of its values.
    pub data_type: DataType,
}

impl Field {
    /// A column of this name and type.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        Self {
            name: name.into(),
            data_type,
        }
    }
}

/// The columns of a stream, in order, of distinct names.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, bincode::Encode)]
pub struct Schema {
    fields: Vec<Field>,
}

impl<Context> bincode::Decode<Context> for Schema {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        Self::new(Vec::decode(decoder)?)
            .map_err(|error| bincode::error::DecodeError::OtherString(error.to_string()))
    }
}
bincode::impl_borrow_decode!(Schema);

/// Why a list of columns is no schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// Two columns have this name.
    #[error("two columns are called {0:?}")]
    Repeated(String),
    /// A column has no name.
    #[error("column {0} has no name")]
    Nameless(usize),
    /// There are too many columns.
    #[error("{0} columns are more than {COLUMNS_MAX}")]
    TooMany(usize),
}

impl Schema {
    /// The schema of these columns.
    ///
    /// # Errors
    /// When a name is empty or repeated, or there are more than [`COLUMNS_MAX`] columns.
    pub fn new(fields: Vec<Field>) -> Result<Self, SchemaError> {
        if fields.len() > COLUMNS_MAX {
            return Err(SchemaError::TooMany(fields.len()));
        }
        let mut names = std::collections::BTreeSet::new();
        for (index, field) in fields.iter().enumerate() {
            if field.name.is_empty() {
                return Err(SchemaError::Nameless(index));
            }
            if !names.insert(field.name.as_str()) {
                return Err(SchemaError::Repeated(field.name.clone()));
            }
        }
        Ok(Self { fields })
    }

    /// The columns, in order.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Where the column called `name` stands, and what it is.
    pub fn find(&self, name: &str) -> Option<(usize, &Field)> {
        self.fields
            .iter()
            .enumerate()
            .find(|(_, field)| field.name == name)
    }
}

impl fmt::Display for Schema {
    /// `a int64, b string`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.fields.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{} {}", field.name, field.data_type)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_distinct() {
        let twice = vec![
            Field::new("a", DataType::Int64),
            Field::new("a", DataType::Utf8),
        ];
        assert_eq!(Schema::new(twice), Err(SchemaError::Repeated("a".into())));
        assert_eq!(
            Schema::new(vec![Field::new("", DataType::Utf8)]),
            Err(SchemaError::Nameless(0))
        );
    }

    #[test]
    fn every_type_is_found_by_its_own_name() {
        for (kind, name) in DataType::ALL {
            assert_eq!(DataType::parse(name), Some(kind));
            assert_eq!(kind.name(), name);
        }
        assert_eq!(DataType::parse("int"), None);
    }
}
