//! Columns: the closed list of types on arrow's arrays.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, Schema as ArrowSchema, SchemaRef, TimeUnit};
use model::{DataType, Field, Schema, convert};

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

/// The memory that the values of an array take, in bytes: of a slice, what lies in it.
pub fn bytes(array: &ArrayRef) -> usize {
    let len = array.len();
    let values = if let Some(width) = array.data_type().primitive_width() {
        width * len
    } else if let Some(texts) = array.as_string_opt::<i32>() {
        let offsets = texts.offsets();
        let texts = offsets[len].abs_diff(offsets[0]);
        size_of_val::<[i32]>(offsets) + convert::index(texts.into())
    } else if array.as_boolean_opt().is_some() {
        len.div_ceil(8)
    } else {
        // None of the closed list: whoever makes one is to convert it, and until then it counts.
        return array.to_data().get_slice_memory_size().unwrap_or(0);
    };
    let has_nulls = array.null_count() > 0;
    values + if has_nulls { len.div_ceil(8) } else { 0 }
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

#[cfg(test)]
mod tests {
    use arrow_array::{BooleanArray, Float32Array, Int64Array, LargeStringArray, StringArray};

    use super::*;

    #[test]
    fn bytes_are_those_of_the_slice() {
        let arrays: [ArrayRef; 7] = [
            Arc::new(Int64Array::from(vec![1; 100])),
            Arc::new(Int64Array::from_iter(
                (0..100).map(|n| (n % 3 == 0).then_some(n)),
            )),
            Arc::new(Float32Array::from(vec![1.0; 100])),
            Arc::new(BooleanArray::from(vec![true; 100])),
            Arc::new(StringArray::from_iter_values(
                (0..100).map(|n| "x".repeat(n)),
            )),
            Arc::new(StringArray::from_iter(
                (0..100).map(|n| (n > 50).then_some("text")),
            )),
            Arc::new(LargeStringArray::from(vec!["text"; 100])),
        ];
        for array in &arrays {
            for (offset, len) in [(0, 100), (3, 50), (99, 1), (100, 0)] {
                let slice = array.slice(offset, len);
                let expected = slice.to_data().get_slice_memory_size();
                assert_eq!(
                    bytes(&slice),
                    expected.expect("a known layout"),
                    "{slice:?}"
                );
            }
        }
    }
}
