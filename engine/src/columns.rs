//! Columns: the closed list of types on arrow's arrays.

use std::sync::Arc;

use arrow_array::ArrayRef;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, Schema as ArrowSchema, SchemaRef, TimeUnit};
use model::{DataType, Field, Schema};

/// The arrow type of a column of this type.
pub const fn to_arrow_type(data_type: DataType) -> arrow_schema::DataType {
    match data_type {
        DataType::Boolean => arrow_schema::DataType::Boolean,
        DataType::Int64 => arrow_schema::DataType::Int64,
        DataType::UInt64 => arrow_schema::DataType::UInt64,
        DataType::Float64 => arrow_schema::DataType::Float64,
        DataType::Utf8 => arrow_schema::DataType::Utf8,
        DataType::Timestamp => arrow_schema::DataType::Timestamp(TimeUnit::Microsecond, None),
    }
}

/// The type of the closed list that can hold every value of an arrow type, if there is one.
pub const fn from_arrow_type(data_type: &arrow_schema::DataType) -> Option<DataType> {
    use arrow_schema::DataType as Arrow;
    match data_type {
        Arrow::Boolean => Some(DataType::Boolean),
        Arrow::Int8 | Arrow::Int16 | Arrow::Int32 | Arrow::Int64 => Some(DataType::Int64),
        Arrow::UInt8 | Arrow::UInt16 | Arrow::UInt32 | Arrow::UInt64 => Some(DataType::UInt64),
        Arrow::Float16 | Arrow::Float32 | Arrow::Float64 | Arrow::Decimal128(..) => {
            Some(DataType::Float64)
        }
        Arrow::Utf8 | Arrow::LargeUtf8 | Arrow::Utf8View => Some(DataType::Utf8),
        Arrow::Timestamp(..) | Arrow::Date32 | Arrow::Date64 => Some(DataType::Timestamp),
        _ => None,
    }
}

/// The arrow schema of these columns; every column may hold nulls.
pub fn to_arrow(schema: &Schema) -> SchemaRef {
    let field =
        |field: &Field| arrow_schema::Field::new(&field.name, to_arrow_type(field.data_type), true);
    Arc::new(ArrowSchema::new(
        schema.fields().iter().map(field).collect::<Vec<_>>(),
    ))
}

/// The array as one of this type.
///
/// # Errors
/// When a value does not fit.
pub fn coerce(array: ArrayRef, data_type: DataType) -> Result<ArrayRef, ArrowError> {
    let wanted = to_arrow_type(data_type);
    if *array.data_type() == wanted {
        return Ok(array);
    }
    cast_with_options(
        &array,
        &wanted,
        &CastOptions {
            safe: false,
            ..CastOptions::default()
        },
    )
}
