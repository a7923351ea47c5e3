//! Columns on the wire: each a byte that tells whether a bitmap of valid rows follows, the bitmap, the values.
//!
//! Numbers stand one behind the other, booleans as bits, the first row in the lowest bit. Of text stands first where
//! each row's ends, then all bytes: the first row begins at 0, and where the last ends is how many bytes there
//! are. What stands in the place of a null does not matter.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BooleanArray, PrimitiveArray, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::SchemaRef;
use model::DataType;

use super::bytes::{self, Reader};
use super::{EncodeError, FrameError};
use crate::columns::{from_arrow_type, to_arrow_type};

/// The type of the closed list that this is exactly.
fn closed_type(data_type: &arrow_schema::DataType) -> Option<DataType> {
    from_arrow_type(data_type).filter(|closed| to_arrow_type(*closed) == *data_type)
}

/// How many bytes these columns will be.
pub(super) fn len(columns: &RecordBatch) -> Result<usize, EncodeError> {
    columns.columns().iter().map(column_len).sum()
}

fn column_len(column: &ArrayRef) -> Result<usize, EncodeError> {
    let rows = column.len();
    let closed = closed_type(column.data_type())
        .ok_or_else(|| EncodeError::Column(column.data_type().to_string()))?;
    let validity = match column.null_count() {
        0 => 1,
        _ => 1 + rows.div_ceil(8),
    };
    let values = match closed {
        DataType::Boolean => rows.div_ceil(8),
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Timestamp => rows * 8,
        DataType::Utf8 => rows * 4 + text(column.as_string()).len(),
    };
    Ok(validity + values)
}

/// Appends columns whose [`len`] was found.
pub(super) fn encode(columns: &RecordBatch, out: &mut Vec<u8>) {
    for column in columns.columns() {
        match column.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => out.push(0),
            Some(nulls) => {
                out.push(1);
                put_bits(nulls.inner(), out);
            }
        }
        match closed_type(column.data_type()).expect("the length of the column was found") {
            DataType::Boolean => put_bits(column.as_boolean().values(), out),
            DataType::Int64 => put_numbers::<Int64Type, 8>(column, i64::to_le_bytes, out),
            DataType::UInt64 => put_numbers::<UInt64Type, 8>(column, u64::to_le_bytes, out),
            DataType::Float64 => put_numbers::<Float64Type, 8>(column, f64::to_le_bytes, out),
            DataType::Timestamp => {
                put_numbers::<TimestampMicrosecondType, 8>(column, i64::to_le_bytes, out);
            }
            DataType::Utf8 => put_text(column.as_string(), out),
        }
    }
}

fn put_numbers<T: ArrowPrimitiveType, const N: usize>(
    column: &ArrayRef,
    write: fn(T::Native) -> [u8; N],
    out: &mut Vec<u8>,
) {
    let values = column.as_primitive::<T>().values();
    bytes::put(out, values.iter().map(|value| write(*value)));
}

/// Bits that may begin within a byte. Those behind the last row are zero.
pub(super) fn put_bits(bits: &BooleanBuffer, out: &mut Vec<u8>) {
    let len = bits.len().div_ceil(8);
    out.extend_from_slice(&bits.sliced()[..len]);
    if let Some(last) = out.last_mut()
        && !bits.len().is_multiple_of(8)
    {
        *last &= (1 << (bits.len() % 8)) - 1;
    }
}

fn put_text(column: &StringArray, out: &mut Vec<u8>) {
    let offsets = column.value_offsets();
    let first = offsets[0];
    let ends = offsets[1..].iter().map(|end| (end - first).to_le_bytes());
    bytes::put(out, ends);
    out.extend_from_slice(text(column));
}

/// The bytes of all rows of a column that may be part of a longer one.
fn text(column: &StringArray) -> &[u8] {
    let offsets = column.value_offsets();
    let place = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
    let (first, last) = (offsets[0], offsets[column.len()]);
    &column.value_data()[place(first)..place(last)]
}

/// The columns of `rows` rows of this schema.
pub(super) fn decode(
    reader: &mut Reader<'_>,
    schema: &SchemaRef,
    rows: usize,
) -> Result<RecordBatch, FrameError> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let closed = closed_type(field.data_type()).ok_or_else(|| {
            FrameError::Columns(format!("a column of type {}", field.data_type()))
        })?;
        columns.push(decode_column(reader, index, closed, rows)?);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
        .map_err(|error| FrameError::Columns(error.to_string()))
}

fn decode_column(
    reader: &mut Reader<'_>,
    index: usize,
    data_type: DataType,
    rows: usize,
) -> Result<ArrayRef, FrameError> {
    let nulls = match reader.byte()? {
        0 => None,
        1 => Some(NullBuffer::new(take_bits(reader, rows)?)),
        other => return Err(FrameError::Flags("nulls", other)),
    };
    Ok(match data_type {
        DataType::Boolean => Arc::new(BooleanArray::new(take_bits(reader, rows)?, nulls)),
        DataType::Int64 => take_numbers::<Int64Type, 8>(reader, i64::from_le_bytes, rows, nulls)?,
        DataType::UInt64 => take_numbers::<UInt64Type, 8>(reader, u64::from_le_bytes, rows, nulls)?,
        DataType::Float64 => {
            take_numbers::<Float64Type, 8>(reader, f64::from_le_bytes, rows, nulls)?
        }
        DataType::Timestamp => {
            take_numbers::<TimestampMicrosecondType, 8>(reader, i64::from_le_bytes, rows, nulls)?
        }
        DataType::Utf8 => Arc::new(take_text(reader, index, rows, nulls)?),
    })
}

pub(super) fn take_bits(reader: &mut Reader<'_>, rows: usize) -> Result<BooleanBuffer, FrameError> {
    let bytes = reader.take(rows.div_ceil(8))?;
    Ok(BooleanBuffer::new(
        Buffer::from_vec(bytes.to_vec()),
        0,
        rows,
    ))
}

fn take_numbers<T: ArrowPrimitiveType, const N: usize>(
    reader: &mut Reader<'_>,
    read: fn([u8; N]) -> T::Native,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, FrameError> {
    let values = reader.numbers(rows, read)?;
    Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), nulls)))
}

fn take_text(
    reader: &mut Reader<'_>,
    index: usize,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<StringArray, FrameError> {
    let ends = reader.take(rows.saturating_mul(4))?;
    let (ends, _) = ends.as_chunks::<4>();
    let mut offsets = Vec::with_capacity(rows + 1);
    let mut last = 0;
    offsets.push(last);
    for end in ends {
        let end = i32::from_le_bytes(*end);
        if end < last {
            return Err(FrameError::Text(index));
        }
        last = end;
        offsets.push(last);
    }
    let len = usize::try_from(last).map_err(|_| FrameError::Text(index))?;
    let bytes = reader.take(len)?;
    let offsets = OffsetBuffer::new(offsets.into());
    StringArray::try_new(offsets, Buffer::from_vec(bytes.to_vec()), nulls)
        .map_err(|_| FrameError::Text(index))
}
