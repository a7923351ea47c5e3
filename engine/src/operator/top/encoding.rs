//! Rows, keys and values as bytes that compare as they do.

use arrow_array::{ArrayRef, RecordBatch, UInt32Array};
use arrow_row::{RowConverter, Rows as EncodedRows, SortField};
use arrow_schema::{ArrowError, SchemaRef, SortOptions};
use arrow_select::take::take_record_batch;
use model::{DataType, Schema};

use crate::aggregate::{EncodedKeys, KeyEncoder};
use crate::columns;

/// Encodes rows of one schema, their keys and their values.
#[derive(Debug)]
pub(super) struct Encoding {
    schema: SchemaRef,
    rows: KeyEncoder,
    keys: KeyEncoder,
    values: RowConverter,
}

/// Rows that may be among the greatest.
#[derive(Debug)]
pub(super) struct Newcomers<'a> {
    encoding: &'a Encoding,
    columns: &'a RecordBatch,
    keys: EncodedKeys,
    values: EncodedRows,
    times: &'a [i64],
    indices: Vec<u64>,
}

impl Encoding {
    /// Of rows of this schema with a key of these columns and values of this type.
    pub(super) fn new(input: &Schema, by: &[String], value: DataType) -> Result<Self, ArrowError> {
        let fields = input.fields();
        let types = fields
            .iter()
            .map(|field| columns::to_arrow_type(field.data_type));
        let key = by.iter().filter_map(|name| input.find(name));
        let (key_columns, key_types): (Vec<usize>, Vec<_>) = key
            .map(|(index, field)| (index, columns::to_arrow_type(field.data_type)))
            .unzip();
        let greatest_first = SortOptions {
            descending: true,
            nulls_first: false,
        };
        let value = SortField::new_with_options(columns::to_arrow_type(value), greatest_first);
        Ok(Self {
            schema: columns::to_arrow(input),
            rows: KeyEncoder::new((0..fields.len()).collect(), types)?,
            keys: KeyEncoder::new(key_columns, key_types.into_iter())?,
            values: RowConverter::new(vec![value])?,
        })
    }

    /// Encodes keys and values of rows at these indices.
    pub(super) fn encode<'a>(
        &'a self,
        columns: &'a RecordBatch,
        values: &ArrayRef,
        times: &'a [i64],
        indices: Vec<u64>,
    ) -> Newcomers<'a> {
        let mut keys = EncodedKeys::default();
        self.keys
            .encode(columns, &mut keys)
            .expect("key columns are of the input's types");
        let values = self
            .values
            .convert_columns(std::slice::from_ref(values))
            .expect("values are of the type of their expression");
        Newcomers {
            encoding: self,
            columns,
            keys,
            values,
            times,
            indices,
        }
    }

    /// The rows that these bytes are, in their order.
    pub(super) fn decode<'r>(&self, rows: impl Iterator<Item = &'r [u8]>) -> RecordBatch {
        let columns = self
            .rows
            .decode(rows)
            .expect("rows are decoded by who encoded them");
        RecordBatch::try_new(self.schema.clone(), columns)
            .expect("rows have the columns that they were made of")
    }

    /// The columns of the rows.
    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

impl Newcomers<'_> {
    /// How many there are.
    pub(super) const fn len(&self) -> usize {
        self.times.len()
    }

    /// The key of a row.
    pub(super) fn key(&self, row: usize) -> &[u8] {
        self.keys.row(row)
    }

    /// The value of a row: the greater it is, the less are its bytes.
    pub(super) fn value(&self, row: usize) -> &[u8] {
        self.values.row(row).data()
    }

    /// The event time of a row.
    pub(super) const fn time(&self, row: usize) -> i64 {
        self.times[row]
    }

    /// The index of a row.
    pub(super) fn index(&self, row: usize) -> u64 {
        self.indices[row]
    }

    /// These rows, which do not decrease, encoded.
    pub(super) fn rows(&self, places: Vec<u32>) -> EncodedKeys {
        let mut encoded = EncodedKeys::default();
        let rows = take_record_batch(self.columns, &UInt32Array::from(places))
            .expect("places lie within the batch");
        self.encoding
            .rows
            .encode(&rows, &mut encoded)
            .expect("rows have the columns of the input");
        encoded
    }
}
