//! Keys: the columns by which rows are grouped, as bytes that sort as the columns do.

use arrow_array::{ArrayRef, RecordBatch};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::ArrowError;
use foldhash::fast::FixedState;
use indexmap::IndexSet;

/// Turns key columns into bytes and back.
#[derive(Debug)]
pub(crate) struct KeyEncoder {
    columns: Vec<usize>,
    /// Absent where there is no key: then all rows are one group.
    converter: Option<RowConverter>,
}

/// The keys of some rows, encoded.
#[derive(Debug, Default)]
pub(crate) struct EncodedKeys {
    /// Absent where there is no key.
    rows: Option<Rows>,
}

impl KeyEncoder {
    /// Encodes the columns at these indices, which have these types.
    ///
    /// # Errors
    /// When a type cannot be encoded.
    pub(crate) fn new(
        columns: Vec<usize>,
        types: impl Iterator<Item = arrow_schema::DataType>,
    ) -> Result<Self, ArrowError> {
        let converter = if columns.is_empty() {
            None
        } else {
            Some(RowConverter::new(types.map(SortField::new).collect())?)
        };
        Ok(Self { columns, converter })
    }

    /// Encodes the keys of all rows of a batch, in the place of what was encoded before.
    ///
    /// # Errors
    /// When the columns are not of the types that were announced.
    pub(crate) fn encode(
        &self,
        batch: &RecordBatch,
        keys: &mut EncodedKeys,
    ) -> Result<(), ArrowError> {
        self.encode_columns(&self.columns_of(batch), keys)
    }

    /// The key columns of a batch.
    pub(crate) fn columns_of(&self, batch: &RecordBatch) -> Vec<ArrayRef> {
        let columns = self.columns.iter();
        columns.map(|index| batch.column(*index).clone()).collect()
    }

    /// Encodes key columns, in the place of what was encoded before.
    ///
    /// # Errors
    /// When the columns are not of the types that were announced.
    pub(crate) fn encode_columns(
        &self,
        columns: &[ArrayRef],
        keys: &mut EncodedKeys,
    ) -> Result<(), ArrowError> {
        let Some(converter) = &self.converter else {
            return Ok(());
        };
        let rows = keys.rows.get_or_insert_with(|| converter.empty_rows(0, 0));
        rows.clear();
        converter.append(rows, columns)
    }

    /// The key columns of these keys, in the order in which they come.
    ///
    /// # Errors
    /// When the keys were not encoded here.
    pub(crate) fn decode<'k>(
        &self,
        keys: impl Iterator<Item = &'k [u8]>,
    ) -> Result<Vec<ArrayRef>, ArrowError> {
        let Some(converter) = &self.converter else {
            return Ok(Vec::new());
        };
        let parser = converter.parser();
        let mut rows = converter.empty_rows(0, 0);
        for key in keys {
            rows.push(parser.parse(key));
        }
        converter.convert_rows(&rows)
    }
}

impl EncodedKeys {
    /// The key of a row, as bytes.
    ///
    /// # Panics
    /// When there is no such row.
    pub(crate) fn row(&self, place: usize) -> &[u8] {
        self.rows
            .as_ref()
            .map_or(&[], |rows| rows.row(place).data())
    }
}

/// Distinct keys in the order in which they came: a group's index is its key's place.
///
/// The hash is fixed, so that equal rows make equal sets in every process.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    set: IndexSet<Box<[u8]>, FixedState>,
    bytes: usize,
}

impl Keys {
    /// No key yet.
    pub(crate) const fn new() -> Self {
        Self {
            set: IndexSet::with_hasher(FixedState::with_seed(0)),
            bytes: 0,
        }
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.set.len()
    }

    /// The keys in the order of their groups.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + '_ {
        self.set.iter().map(|key| &**key)
    }

    /// The key of a group.
    ///
    /// # Panics
    /// When there is no such group.
    pub(crate) fn key(&self, group: usize) -> &[u8] {
        &self.set[group]
    }

    /// The group of a key, if it is there.
    pub(crate) fn find(&self, key: &[u8]) -> Option<usize> {
        self.set.get_index_of(key)
    }

    /// The memory that the keys hold, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The group of a key, a new one if it is new.
    pub(crate) fn intern(&mut self, key: &[u8]) -> usize {
        if let Some(group) = self.set.get_index_of(key) {
            return group;
        }
        self.bytes += key.len() + ENTRY_BYTES;
        self.set.insert_full(key.into()).0
    }

    /// Puts the group of each of these rows into `groups`.
    pub(crate) fn intern_rows(
        &mut self,
        keys: &EncodedKeys,
        places: impl Iterator<Item = usize>,
        groups: &mut Vec<usize>,
    ) {
        groups.clear();
        match &keys.rows {
            Some(rows) => {
                groups.extend(places.map(|place| self.intern(rows.row(place).data())));
            }
            None => {
                let group = self.intern(&[]);
                groups.extend(places.map(|_| group));
            }
        }
    }
}

/// What a key costs beside its own bytes: its box, its hash and its place in the table.
///
/// Unit: bytes. Source: the layout of an index set's entry on a 64-bit machine.
const ENTRY_BYTES: usize = size_of::<Box<[u8]>>() + 2 * size_of::<usize>();
