//! Columns of state on the wire. Operators choose their types, so that each column says its own: a byte, for a list followed by that
//! of its values.
//!
//! A count of rows in four bytes, one of columns in two. A column is its type, a byte that tells whether a bitmap of valid
//! rows follows, the bitmap, the values. Numbers stand one behind the other, booleans as bits; of text, bytes and lists first
//! where each row's ends, then all values: those of a list again as a count and a column.
//! What the operator does not expect, it refuses when it is imported.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimestampMicrosecondType,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{
    Array, ArrayRef, BinaryArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch,
    RecordBatchOptions, StringArray,
};
use arrow_buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, Schema};
use model::convert;

use super::bytes::{self, Reader};
use super::columns::{put_bits, take_bits};
use super::{EncodeError, FrameError};

/// How deep lists may stand in lists.
///
/// Unit: levels. Source: no state of an aggregate has lists of lists of lists.
const DEPTH_MAX: usize = 3;

/// The most columns of a chunk.
///
/// Unit: count. Range: from the columns of a stream and the states of the aggregates of a window. Source: guess.
const COLUMNS_MAX: usize = 1 << 12;

/// The most rows, or values of a list column, of a chunk. A type without bytes may not take memory without bytes.
///
/// Unit: rows. Source: what a frame of booleans has at most.
const ROWS_MAX: usize = super::BYTES_MAX * 8;

const BOOLEAN: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const LIST: u8 = 3;

/// The numbers, each with its byte, its type and its width.
macro_rules! numbers {
    ($visit:ident) => {
        $visit! {
            4 Int8Type i8 1, 5 Int16Type i16 2, 6 Int32Type i32 4, 7 Int64Type i64 8,
            8 UInt8Type u8 1, 9 UInt16Type u16 2, 10 UInt32Type u32 4, 11 UInt64Type u64 8,
            12 Float32Type f32 4, 13 Float64Type f64 8, 14 TimestampMicrosecondType i64 8
        }
    };
}

/// Appends columns.
pub(super) fn encode(columns: &RecordBatch, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_rows(columns.num_rows(), out);
    let count = u16::try_from(columns.num_columns()).unwrap_or(u16::MAX);
    if usize::from(count) > COLUMNS_MAX {
        return Err(EncodeError::Column("one of too many".to_owned()));
    }
    out.extend_from_slice(&count.to_le_bytes());
    columns
        .columns()
        .iter()
        .try_for_each(|column| put(column, out))
}

/// The columns that follow.
pub(super) fn decode(reader: &mut Reader<'_>) -> Result<RecordBatch, FrameError> {
    let rows = take_rows(reader)?;
    let count = u16::from_le_bytes(reader.array()?);
    if usize::from(count) > COLUMNS_MAX {
        return Err(FrameError::Count("columns", count.into()));
    }
    let mut columns = Vec::new();
    for index in 0..usize::from(count) {
        columns.push(take(reader, rows, index, DEPTH_MAX)?);
    }
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(index.to_string(), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .map_err(|error| FrameError::Columns(error.to_string()))
}

fn put(column: &ArrayRef, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    put_type(column.data_type(), out)?;
    match column.nulls().filter(|nulls| nulls.null_count() > 0) {
        None => out.push(0),
        Some(nulls) => {
            out.push(1);
            put_bits(nulls.inner(), out);
        }
    }
    macro_rules! numbers_of {
        ($($tag:literal $arrow:ident $native:ident $width:literal),*) => {
            match column.data_type() {
                $(data_type if *data_type == <$arrow as arrow_array::types::ArrowPrimitiveType>::DATA_TYPE => {
                    let values = column.as_primitive::<$arrow>().values();
                    bytes::put::<$width>(out, values.iter().map(|value| value.to_le_bytes()));
                })*
                _ => put_others(column, out)?,
            }
        };
    }
    numbers!(numbers_of);
    Ok(())
}

/// A column that is none of numbers.
fn put_others(column: &ArrayRef, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match column.data_type() {
        DataType::Boolean => put_bits(column.as_boolean().values(), out),
        DataType::Utf8 => {
            let text = column.as_string::<i32>();
            let (first, last) = put_ends(text.value_offsets(), out);
            out.extend_from_slice(&text.value_data()[first..last]);
        }
        DataType::Binary => {
            let binary = column.as_binary::<i32>();
            let (first, last) = put_ends(binary.value_offsets(), out);
            out.extend_from_slice(&binary.value_data()[first..last]);
        }
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            let (first, last) = put_ends(list.value_offsets(), out);
            put_rows(last - first, out);
            put(&list.values().slice(first, last - first), out)?;
        }
        other => return Err(EncodeError::Column(other.to_string())),
    }
    Ok(())
}

fn put_type(data_type: &DataType, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    macro_rules! numbers_of {
        ($($tag:literal $arrow:ident $native:ident $width:literal),*) => {
            match data_type {
                DataType::Boolean => BOOLEAN,
                DataType::Utf8 => TEXT,
                DataType::Binary => BINARY,
                DataType::List(_) => LIST,
                $(data_type if *data_type == <$arrow as arrow_array::types::ArrowPrimitiveType>::DATA_TYPE => $tag,)*
                other => return Err(EncodeError::Column(other.to_string())),
            }
        };
    }
    out.push(numbers!(numbers_of));
    Ok(())
}

fn take(
    reader: &mut Reader<'_>,
    rows: usize,
    index: usize,
    depth: usize,
) -> Result<ArrayRef, FrameError> {
    let tag = reader.byte()?;
    let nulls = match reader.byte()? {
        0 => None,
        1 => Some(NullBuffer::new(take_bits(reader, rows)?)),
        other => return Err(FrameError::Flags("nulls", other)),
    };
    macro_rules! numbers_of {
        ($($number:literal $arrow:ident $native:ident $width:literal),*) => {
            match tag {
                $($number => {
                    let values = reader.numbers::<$native, $width>(rows, $native::from_le_bytes)?;
                    Arc::new(PrimitiveArray::<$arrow>::new(values.into(), nulls))
                })*
                _ => take_others(reader, tag, (rows, nulls), index, depth)?,
            }
        };
    }
    let column: ArrayRef = numbers!(numbers_of);
    Ok(column)
}

fn take_others(
    reader: &mut Reader<'_>,
    tag: u8,
    (rows, nulls): (usize, Option<NullBuffer>),
    index: usize,
    depth: usize,
) -> Result<ArrayRef, FrameError> {
    let text = || FrameError::Text(index);
    Ok(match tag {
        BOOLEAN => Arc::new(BooleanArray::new(take_bits(reader, rows)?, nulls)),
        TEXT => {
            let (offsets, len) = take_ends(reader, rows, index)?;
            let bytes = Buffer::from_vec(reader.take(len)?.to_vec());
            Arc::new(StringArray::try_new(offsets, bytes, nulls).map_err(|_| text())?)
        }
        BINARY => {
            let (offsets, len) = take_ends(reader, rows, index)?;
            let bytes = Buffer::from_vec(reader.take(len)?.to_vec());
            Arc::new(BinaryArray::try_new(offsets, bytes, nulls).map_err(|_| text())?)
        }
        LIST if depth > 0 => {
            let (offsets, len) = take_ends(reader, rows, index)?;
            if take_rows(reader)? != len {
                return Err(text());
            }
            let values = take(reader, len, index, depth - 1)?;
            let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
            Arc::new(ListArray::try_new(field, offsets, values, nulls).map_err(|_| text())?)
        }
        other => return Err(FrameError::Flags("the type of a column", other)),
    })
}

fn put_rows(rows: usize, out: &mut Vec<u8>) {
    let rows = u32::try_from(rows).unwrap_or(u32::MAX);
    out.extend_from_slice(&rows.to_le_bytes());
}

fn take_rows(reader: &mut Reader<'_>) -> Result<usize, FrameError> {
    let rows = u32::from_le_bytes(reader.array()?);
    match convert::index(rows.into()) {
        len if len <= ROWS_MAX => Ok(len),
        _ => Err(FrameError::Rows(rows)),
    }
}

/// Where each row's values end, counted from the first row's beginning; says where they lie.
fn put_ends(offsets: &[i32], out: &mut Vec<u8>) -> (usize, usize) {
    let place = |offset: i32| usize::try_from(offset).expect("offsets are not negative");
    let first = offsets[0];
    let ends = offsets[1..].iter().map(|end| (end - first).to_le_bytes());
    bytes::put(out, ends);
    (place(first), place(offsets[offsets.len() - 1]))
}

/// Where each row's values begin and end, and how many there are.
fn take_ends(
    reader: &mut Reader<'_>,
    rows: usize,
    index: usize,
) -> Result<(OffsetBuffer<i32>, usize), FrameError> {
    let ends = reader.numbers(rows, i32::from_le_bytes)?;
    let mut last = 0;
    for end in &ends {
        if *end < last {
            return Err(FrameError::Text(index));
        }
        last = *end;
    }
    let offsets: Vec<i32> = std::iter::once(0).chain(ends).collect();
    let len = usize::try_from(last).map_err(|_| FrameError::Text(index))?;
    Ok((OffsetBuffer::new(offsets.into()), len))
}
