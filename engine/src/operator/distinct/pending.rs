//! Rows of ticks that are not complete: of each key, the first of each origin.

use std::collections::BTreeMap;

use arrow_array::{RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::concat::concat_batches;
use arrow_select::take::take_record_batch;
use model::Origin;

use crate::aggregate::{EncodedKeys, Keys};
use crate::operator::selection::Selection;
use crate::operator::walk::{Named, Walk};
use crate::operator::{Cursor, ExportPart, Part, StateChunk, Tick};

/// Rows by tick and origin.
#[derive(Debug)]
pub(super) struct Pending {
    schema: SchemaRef,
    slots: BTreeMap<(i64, Origin), Slot>,
    bytes: usize,
    walk: Walk<(i64, Origin)>,
}

/// The first rows of each key: the n-th row is of the n-th key.
#[derive(Debug)]
struct Slot {
    keys: Keys,
    rows: Vec<RecordBatch>,
    bytes: usize,
    /// The export that it was told in last, and how many of the batches were.
    told: (usize, usize),
}

impl Pending {
    /// Nothing yet, of rows with these columns.
    pub(super) const fn new(schema: SchemaRef) -> Self {
        Self {
            schema,
            slots: BTreeMap::new(),
            bytes: 0,
            walk: Walk::new(),
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

    /// Forgets the rows of a tick and of later ones: where state is imported that has them anew.
    pub(super) fn forget_from(&mut self, tick: i64) {
        let gone = self.slots.split_off(&(tick, Origin(0)));
        self.bytes -= gone.values().map(Slot::measure).sum::<usize>();
    }

    /// Begins the export that a cursor asks for, and gives its first chunk; nothing where it is the one that is under way.
    pub(super) fn begin_export(&mut self, at: &mut Cursor) -> Option<StateChunk> {
        self.walk.begin(at)
    }

    /// The next part of it.
    pub(super) fn export(&mut self, since: Option<Tick>, bytes_max: usize) -> ExportPart {
        let name = |(tick, origin): &(i64, Origin), slot: &Slot| Named {
            tick: Tick(*tick),
            part: Part {
                origin: *origin,
                number: 0,
            },
            pages: slot.rows.len(),
        };
        let slots = &mut self.slots;
        self.walk.go_on(since, bytes_max, slots, name, Slot::tell)
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
            told: (0, 0),
        }
    }

    /// A batch, unless it was told in an export.
    fn tell(&mut self, page: usize, export: usize) -> Option<RecordBatch> {
        if self.told.0 != export {
            self.told = (export, 0);
        }
        if page < self.told.1 {
            return None;
        }
        self.told.1 = page + 1;
        Some(self.rows[page].clone())
    }

    /// The memory that it holds, in bytes.
    const fn measure(&self) -> usize {
        self.keys.bytes() + self.bytes + size_of::<Self>() + size_of::<(i64, Origin)>()
    }
}

const SAME_COLUMNS: &str = "all rows have the columns of the input";
