//! Rows as text.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};
use arrow_json::LineDelimitedWriter;
use arrow_json::writer::LineDelimited;
use arrow_schema::{ArrowError, DataType, Field, Schema, TimeUnit};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    /// An object in each line, with all its columns.
    Jsonl,
    /// Comma-separated values, the first line of the first rows naming the columns.
    Csv,
}

impl Text {
    /// The words that files use.
    pub(super) const WORDS: &'static [&'static str] = &["jsonl", "csv"];

    /// Appends rows.
    ///
    /// # Errors
    /// When a value cannot be written, such as a date beyond all calendars.
    pub fn write(
        self,
        rows: &RecordBatch,
        with_header: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), ArrowError> {
        let rows = in_utc(rows)?;
        match self {
            Self::Jsonl => {
                let mut writer: LineDelimitedWriter<_> = arrow_json::WriterBuilder::new()
                    .with_explicit_nulls(true)
                    .build::<_, LineDelimited>(out);
                writer.write(&rows)?;
                writer.finish()
            }
            Self::Csv => arrow_csv::WriterBuilder::new()
                .with_header(with_header)
                .build(out)
                .write(&rows),
        }
    }
}

/// The rows with times that say that they are in UTC.
fn in_utc(rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        if let DataType::Timestamp(TimeUnit::Microsecond, None) = field.data_type() {
            fields.push(Field::new(field.name(), utc.clone(), true));
            columns.push(arrow_cast::cast(column, &utc)?);
        } else {
            fields.push(Field::clone(field));
            columns.push(Arc::clone(column));
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

#[cfg(test)]
mod tests {
    use engine::columns;
    use model::DataType as Type;

    use super::*;

    fn rows() -> RecordBatch {
        let fields = [
            ("at", Type::Timestamp),
            ("n", Type::Int64),
            ("x", Type::Float64),
            ("s", Type::Utf8),
        ];
        let fields = fields.map(|(name, data_type)| model::Field::new(name, data_type));
        let schema = columns::to_arrow(&model::Schema::new(fields.to_vec()).unwrap());
        let columns: Vec<ArrayRef> = vec![
            Arc::new(arrow_array::TimestampMicrosecondArray::from(vec![
                Some(1_664_462_456_755_299),
                Some(0),
                None,
            ])),
            Arc::new(arrow_array::Int64Array::from(vec![Some(1), None, Some(-3)])),
            Arc::new(arrow_array::Float64Array::from(vec![
                f64::NAN,
                f64::NEG_INFINITY,
                0.5,
            ])),
            Arc::new(arrow_array::StringArray::from(vec![
                Some("a \"b\",\n"),
                Some(""),
                None,
            ])),
        ];
        RecordBatch::try_new(schema, columns).unwrap()
    }

    fn written(text: Text, with_header: bool) -> String {
        let mut out = Vec::new();
        text.write(&rows(), with_header, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn json_says_null_and_times_are_in_utc() {
        assert_eq!(
            written(Text::Jsonl, true),
            "{\"at\":\"2022-09-29T14:40:56.755299Z\",\"n\":1,\"x\":null,\"s\":\"a \\\"b\\\",\\n\"}\n\
             {\"at\":\"1970-01-01T00:00:00Z\",\"n\":null,\"x\":null,\"s\":\"\"}\n\
             {\"at\":null,\"n\":-3,\"x\":0.5,\"s\":null}\n"
        );
    }

    #[test]
    fn csv_quotes_what_needs_it() {
        let lines = "2022-09-29T14:40:56.755299Z,1,NaN,\"a \"\"b\"\",\n\"\n\
                     1970-01-01T00:00:00Z,,-inf,\n\
                     ,-3,0.5,\n";
        assert_eq!(written(Text::Csv, true), format!("at,n,x,s\n{lines}"));
        assert_eq!(written(Text::Csv, false), lines);
    }
}
