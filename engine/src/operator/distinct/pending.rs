//! Rows of ticks that are not complete: of each key, the first of each origin.

use std::collections::BTreeMap;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use model::Origin;

use crate::aggregate::{EncodedKeys, Keys};
use crate::operator::selection::Selection;

/// Rows by tick and origin.
#[derive(Debug)]
pub(super) struct Pending {
    schema: SchemaRef,
    slots: BTreeMap<(i64, Origin), Slot>,
    bytes: usize,
}

/// The first rows of each key: the n-th row is of the n-th key.
#[derive(Debug)]
struct Slot {
    keys: Keys,
    rows: Vec<RecordBatch>,
    bytes: usize,
}

impl Pending {
    /// Nothing yet, of rows with these columns.
    pub(super) const fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            slots: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// The memory that all rows hold, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The columns of the rows.
    pub(super) const fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Takes selected rows, whose keys these are, into a tick.
    pub(super) fn update(
        &mut self,
        tick: i64,
        origin: Origin,
        columns: &RecordBatch,
        keys: &EncodedKeys,
        selection: &Selection,
    ) {
        let slot = self.slots.entry((tick, origin)).or_insert_with(|| {
            let slot = Slot::new();
            self.bytes += slot.measure();
            slot
        });
        let before = slot.measure();
        let mut new: Vec<u32> = Vec::new();
        for row in selection.rows() {
            let known = slot.keys.len();
            slot.keys.intern(keys.row(row));
            if slot.keys.len() > known {
                new.push(u32::try_from(row).expect("a batch has fewer rows than 2^32"));
            }
        }
        if !new.is_empty() {
            // Taken and not sliced, so that the batch itself can go.
            let rows = take_record_batch(columns, &UInt32Array::from(new))
                .expect("places lie within the batch");
            slot.bytes += rows.get_array_memory_size();
            slot.rows.push(rows);
        }
        self.bytes = self.bytes + slot.measure() - before;
    }

    /// The next tick up to `through` that has rows.
    pub(super) fn next_tick(&self, through: i64) -> Option<i64> {
        let ((tick, _), _) = self.slots.first_key_value()?;
        (*tick <= through).then_some(*tick)
    }

    /// Takes the rows of the next tick out, in order of origin and index: those whose key is new.
    pub(super) fn take(&mut self, tick: i64, mut is_new: impl FnMut(&[u8]) -> bool) -> RecordBatch {
        let mut taken = Vec::new();
        while let Some(slot) = self.pop(tick) {
            let places = (0u32..).zip(slot.keys.iter());
            let places = places
                .filter(|(_, key)| is_new(key))
                .map(|(place, _)| place);
            let places = UInt32Array::from_iter_values(places);
            let rows = concat_batches(&self.schema, &slot.rows).expect(SAME_COLUMNS);
            let rows = take_record_batch(&rows, &places).expect("each key has a row");
            taken.push(rows);
        }
        concat_batches(&self.schema, &taken).expect(SAME_COLUMNS)
    }

    /// Forgets the rows of ticks up to this one.
    pub(super) fn forget_through(&mut self, tick: i64) {
        while self.pop(tick).is_some() {}
    }

    /// Forgets the rows of an origin in a tick.
    pub(super) fn remove(&mut self, tick: i64, origin: Origin) {
        if let Some(slot) = self.slots.remove(&(tick, origin)) {
            self.bytes -= slot.measure();
        }
    }

    /// The rows of ticks after this one, by tick and origin.
    pub(super) fn since(&self, tick: i64) -> impl Iterator<Item = (i64, Origin, RecordBatch)> + '_ {
        let later = self.slots.range((tick.saturating_add(1), Origin(0))..);
        later.map(|((tick, origin), slot)| {
            let rows = concat_batches(&self.schema, &slot.rows).expect(SAME_COLUMNS);
            (*tick, *origin, rows)
        })
    }

    /// Takes the first slot out of those up to a tick.
    fn pop(&mut self, tick: i64) -> Option<Slot> {
        let entry = self.slots.first_entry()?;
        if entry.key().0 > tick {
            return None;
        }
        let slot = entry.remove();
        self.bytes -= slot.measure();
        Some(slot)
    }
}

impl Slot {
    const fn new() -> Self {
        Self {
            keys: Keys::new(),
            rows: Vec::new(),
            bytes: 0,
        }
    }

    /// The memory that it holds, in bytes.
    const fn measure(&self) -> usize {
        self.keys.bytes() + self.bytes + size_of::<Self>() + size_of::<(i64, Origin)>()
    }
}

const SAME_COLUMNS: &str = "all rows have the columns of the input";
