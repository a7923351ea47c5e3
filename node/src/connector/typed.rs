//! Typed columns: where parsed records are put together.

use std::sync::Arc;

use arrow_array::builder::{
    ArrayBuilder, BooleanBuilder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder, UInt64Builder,
};
use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use arrow_schema::SchemaRef;
use engine::batch::ROWS_MAX;
use engine::columns;
use engine::intake::{BAD_BYTES_MAX, BadRecord, Records};
use engine::operator::ArgumentError;
use model::{DataType, EventTime, Schema};
use serde_json::Value;

use super::cell::{Cell, Unit};
use super::options::TimeOption;

/// The bytes of records after which no more are taken into one batch.
///
/// Unit: bytes. Source: guess; lets ordinary records fill a batch, and bounds the memory of others.
const BATCH_BYTES_MAX: usize = 16 << 20;

/// How much of a value a message shows.
///
/// Unit: bytes. Source: guess; a line on a screen.
const SHOWN_BYTES_MAX: usize = 60;

/// Records that are being put together: a value at a time, then [`close`](Self::close).
#[derive(Debug)]
pub(super) struct Assembly {
    schema: SchemaRef,
    columns: Vec<Column>,
    time: Option<TimeColumn>,
    /// The event time of records that carry none.
    now: EventTime,
    /// The event time of the record in hand, once its value was seen.
    record_time: Option<i64>,
    /// Closed records. A bad one has a row too, which is taken out at the end: bad records are rare, and so
    /// they cost the good ones nothing.
    count: usize,
    bytes: usize,
    times: Vec<i64>,
    bad: Vec<BadRecord>,
}

/// The column that says when a record was.
#[derive(Debug, Clone, Copy)]
struct TimeColumn {
    index: usize,
    unit: Option<Unit>,
}

impl Assembly {
    /// Of records with these columns. Numbers in columns of times count `unit`s, or what `time` says of its
    /// own column.
    ///
    /// # Errors
    /// When `time` names no column that can be an event time.
    pub(super) fn new(
        schema: &Schema,
        time: Option<&TimeOption>,
        unit: Option<Unit>,
    ) -> Result<Self, ArgumentError> {
        let time = time
            .map(|time| TimeColumn::find(schema, time))
            .transpose()?;
        let unit_of = |index: usize| match time {
            Some(time) if time.index == index => time.unit.or(unit),
            _ => unit,
        };
        let columns = schema.fields().iter().enumerate();
        Ok(Self {
            schema: columns::to_arrow(schema),
            columns: columns
                .map(|(index, field)| Column {
                    name: field.name.clone(),
                    data_type: field.data_type,
                    unit: unit_of(index),
                    builder: Builder::new(field.data_type),
                })
                .collect(),
            time,
            now: EventTime::default(),
            record_time: None,
            count: 0,
            bytes: 0,
            times: Vec::new(),
            bad: Vec::new(),
        })
    }

    /// Records that carry no time were read at this one, from here on.
    pub(super) const fn set_now(&mut self, now: EventTime) {
        self.now = now;
    }

    /// Whether no record is there.
    pub(super) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether no more records should be added.
    pub(super) const fn is_full(&self) -> bool {
        self.count >= ROWS_MAX || self.bytes >= BATCH_BYTES_MAX
    }

    /// The value of the record in hand in a column, as text.
    ///
    /// # Errors
    /// When it is no such value; the record is to be closed with this message.
    ///
    /// # Panics
    /// When there is no such column.
    #[inline]
    pub(super) fn text(&mut self, index: usize, text: &[u8]) -> Result<(), String> {
        let column = &self.columns[index];
        match Cell::of_text(text, column.data_type, column.unit) {
            Some(cell) => self.put(index, &cell),
            None => Err(column.misfit(&String::from_utf8_lossy(text))),
        }
    }

    /// The same of a JSON value.
    ///
    /// # Errors
    /// As [`Self::text`].
    ///
    /// # Panics
    /// When there is no such column.
    pub(super) fn json(&mut self, index: usize, value: &Value) -> Result<(), String> {
        let column = &self.columns[index];
        match Cell::of_json(value, column.data_type, column.unit) {
            Some(cell) => self.put(index, &cell),
            None => Err(column.misfit(&value.to_string())),
        }
    }

    /// The text of the record in hand in a column is empty, which is not the same as absent.
    ///
    /// # Errors
    /// As [`Self::text`].
    ///
    /// # Panics
    /// When there is no such column.
    pub(super) fn empty(&mut self, index: usize) -> Result<(), String> {
        match self.columns[index].data_type {
            DataType::Utf8 => self.put(index, &Cell::Text("".into())),
            _ => self.put(index, &Cell::Null),
        }
    }

    #[inline]
    fn put(&mut self, index: usize, cell: &Cell<'_>) -> Result<(), String> {
        let column = &mut self.columns[index];
        if column.builder.len() > self.count {
            return Err(format!("column {} is there twice", column.name));
        }
        if let Some(time) = self.time
            && time.index == index
        {
            self.record_time = cell.micros(time.unit);
            if self.record_time.is_none() {
                return Err(match cell {
                    Cell::Null => format!("column {} says no time", column.name),
                    cell => {
                        let cell = cell.to_string();
                        let cell = shown(&cell, SHOWN_BYTES_MAX);
                        format!("column {}: {cell} is no time", column.name)
                    }
                });
            }
        }
        column.builder.push(cell);
        Ok(())
    }

    /// Ends the record in hand, which was `text`. Columns that had no value are null.
    pub(super) fn close(&mut self, outcome: Result<(), String>, text: &[u8]) {
        for column in &mut self.columns {
            if column.builder.len() == self.count {
                column.builder.push(&Cell::Null);
            }
        }
        let time = match (self.time, self.record_time.take()) {
            (None, _) => Ok(self.now.0),
            (Some(_), Some(time)) => Ok(time),
            (Some(time), None) => Err(format!(
                "column {} says no time",
                self.columns[time.index].name
            )),
        };
        match outcome.and(time) {
            Ok(time) => self.times.push(time),
            Err(message) => self.bad.push(BadRecord {
                place: u32::try_from(self.count).expect("a batch has fewer records than 2^32"),
                record: shown(
                    &String::from_utf8_lossy(&text[..text.len().min(BAD_BYTES_MAX)]),
                    BAD_BYTES_MAX,
                )
                .to_owned(),
                message,
            }),
        }
        self.count += 1;
        self.bytes += text.len();
    }

    /// The closed records; none remain.
    pub(super) fn finish(&mut self) -> Records {
        let count = std::mem::take(&mut self.count);
        self.bytes = 0;
        let bad = std::mem::take(&mut self.bad);
        let arrays = self
            .columns
            .iter_mut()
            .map(|column| column.builder.finish());
        let options = arrow_array::RecordBatchOptions::new().with_row_count(Some(count));
        let mut columns =
            RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays.collect(), &options)
                .expect("columns are as long as there are records, and of the schema's types");
        let count = u32::try_from(count).expect("a batch has fewer records than 2^32");
        let mut places: Vec<u32> = (0..count).collect();
        if !bad.is_empty() {
            let is_bad = |place: &u32| bad.binary_search_by_key(place, |bad| bad.place).is_ok();
            let keep: BooleanArray = places.iter().map(|place| Some(!is_bad(place))).collect();
            columns = arrow_select::filter::filter_record_batch(&columns, &keep)
                .expect("there is an answer for each record");
            places.retain(|place| !is_bad(place));
        }
        Records {
            count,
            columns,
            times: std::mem::take(&mut self.times),
            places,
            bad,
        }
    }
}

impl TimeColumn {
    fn find(schema: &Schema, time: &TimeOption) -> Result<Self, ArgumentError> {
        let error = |parameter: &str, message, expected| ArgumentError {
            parameter: parameter.to_owned(),
            message,
            expected: Some(expected),
        };
        let name = super::format::column_name(&time.field);
        let Some((index, field)) = schema.find(&name) else {
            return Err(error(
                "time.field",
                format!("no column is called {:?}", time.field),
                format!("one of the columns {schema}"),
            ));
        };
        match field.data_type {
            DataType::Timestamp | DataType::Utf8 => {}
            DataType::Int64 | DataType::UInt64 | DataType::Float64 => {
                if time.unit.is_none() {
                    let message = format!("column {name} holds numbers, and nothing says of what");
                    return Err(error("time.unit", message, Unit::WORDS.join(" | ")));
                }
            }
            DataType::Boolean => {
                let message = format!("column {name} is boolean, which is no time");
                return Err(error("time.field", message, "a column of times".to_owned()));
            }
        }
        Ok(Self {
            index,
            unit: time.unit,
        })
    }
}

#[derive(Debug)]
struct Column {
    name: String,
    data_type: DataType,
    unit: Option<Unit>,
    builder: Builder,
}

impl Column {
    fn misfit(&self, value: &str) -> String {
        let dots = if value.len() > SHOWN_BYTES_MAX {
            "…"
        } else {
            ""
        };
        let value = shown(value, SHOWN_BYTES_MAX);
        format!(
            "column {}: {value:?}{dots} is no {}",
            self.name, self.data_type
        )
    }
}

/// The start of a text, at most `bytes_max` of it.
fn shown(text: &str, bytes_max: usize) -> &str {
    &text[..text.floor_char_boundary(bytes_max)]
}

#[derive(Debug)]
enum Builder {
    Boolean(BooleanBuilder),
    Int64(Int64Builder),
    UInt64(UInt64Builder),
    Float64(Float64Builder),
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Builder {
    fn new(data_type: DataType) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean(BooleanBuilder::new()),
            DataType::Int64 => Self::Int64(Int64Builder::new()),
            DataType::UInt64 => Self::UInt64(UInt64Builder::new()),
            DataType::Float64 => Self::Float64(Float64Builder::new()),
            DataType::Utf8 => Self::Text(StringBuilder::new()),
            DataType::Timestamp => Self::Time(TimestampMicrosecondBuilder::new()),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Self::Boolean(builder) => builder.len(),
            Self::Int64(builder) => builder.len(),
            Self::UInt64(builder) => builder.len(),
            Self::Float64(builder) => builder.len(),
            Self::Text(builder) => builder.len(),
            Self::Time(builder) => builder.len(),
        }
    }

    /// Appends a value, which must be null or of this type.
    #[inline]
    fn push(&mut self, cell: &Cell<'_>) {
        match (self, cell) {
            (Self::Boolean(builder), Cell::Boolean(value)) => builder.append_value(*value),
            (Self::Int64(builder), Cell::Int64(value)) => builder.append_value(*value),
            (Self::UInt64(builder), Cell::UInt64(value)) => builder.append_value(*value),
            (Self::Float64(builder), Cell::Float64(value)) => builder.append_value(*value),
            (Self::Text(builder), Cell::Text(value)) => builder.append_value(value),
            (Self::Time(builder), Cell::Time(value)) => builder.append_value(*value),
            (Self::Boolean(builder), Cell::Null) => builder.append_null(),
            (Self::Int64(builder), Cell::Null) => builder.append_null(),
            (Self::UInt64(builder), Cell::Null) => builder.append_null(),
            (Self::Float64(builder), Cell::Null) => builder.append_null(),
            (Self::Text(builder), Cell::Null) => builder.append_null(),
            (Self::Time(builder), Cell::Null) => builder.append_null(),
            (builder, cell) => unreachable!("{cell:?} was parsed for another column: {builder:?}"),
        }
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Boolean(builder) => Arc::new(builder.finish()),
            Self::Int64(builder) => Arc::new(builder.finish()),
            Self::UInt64(builder) => Arc::new(builder.finish()),
            Self::Float64(builder) => Arc::new(builder.finish()),
            Self::Text(builder) => Arc::new(builder.finish()),
            Self::Time(builder) => Arc::new(builder.finish()),
        }
    }
}
