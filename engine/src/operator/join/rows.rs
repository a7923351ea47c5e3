//! The rows of one side: those that have not entered yet, and those that are held for rows of the other side.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Weak};

use model::Origin;

use super::Side;
use super::timing::Timing;

/// A row, as bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// Its keys, and behind them what the condition and the selection read of it: one allocation, since rows come and go by themselves.
    bytes: Box<[u8]>,
    key_len: usize,
    pub(super) time: i64,
    pub(super) origin: Origin,
    /// The tick from which on it counts.
    pub(super) enters: i64,
}

/// What a row costs beside its own bytes: where it is counted and where it is listed, as entered, as leaving and as having come.
///
/// Unit: bytes. Source: the layout of a counted allocation and three lists on a 64-bit machine, of which the last may be twice as long as need be.
const ROW_BYTES: usize = size_of::<Row>() + 4 * size_of::<usize>() + 2 * size_of::<Came>();

/// How many entries [`Rows::came`] may have before it is looked at which of them are left. Unit: count. Source: guess; few enough to be nothing.
const SWEEP_LEAST: usize = 256;

/// A row, and how many had come to the join before it.
type Came = (usize, Weak<Row>);

/// What a key costs beside its own bytes: its place in the map, and its list.
///
/// Unit: bytes. Source: the layout of a map's entry and a list with room for four on a 64-bit machine.
const KEY_BYTES: usize = size_of::<(Box<[u8]>, VecDeque<Arc<Row>>)>() + 4 * size_of::<usize>();

impl Row {
    /// A row that has these keys, and of which that is read.
    pub(super) fn new(
        key: &[u8],
        values: &[u8],
        (time, origin, enters): (i64, Origin, i64),
    ) -> Self {
        Self {
            bytes: [key, values].concat().into(),
            key_len: key.len(),
            time,
            origin,
            enters,
        }
    }

    /// Its keys.
    pub(super) fn key(&self) -> &[u8] {
        &self.bytes[..self.key_len]
    }

    /// What the condition and the selection read of it.
    pub(super) fn values(&self) -> &[u8] {
        &self.bytes[self.key_len..]
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes.len() + ROW_BYTES
    }

    /// Rows of one key stand in this order; those that are equal in it, of one origin, in that in which they came.
    const fn order(&self) -> (i64, Origin) {
        (self.time, self.origin)
    }
}

/// Puts rows into the one order that no interleaving changes.
pub(super) fn sort(rows: &mut [Arc<Row>]) {
    rows.sort_by(|one, other| {
        let by_key = one.key().cmp(other.key());
        by_key.then_with(|| one.order().cmp(&other.order()))
    });
}

/// The rows of one side.
#[derive(Debug)]
pub(super) struct Rows {
    side: Side,
    timing: Timing,
    /// By the tick at which they enter.
    pending: BTreeMap<i64, Vec<Arc<Row>>>,
    /// By key, in the order of [`Row::order`].
    held: BTreeMap<Box<[u8]>, VecDeque<Arc<Row>>>,
    /// By the last tick for which they are held.
    expiring: BTreeMap<i64, Vec<Arc<Row>>>,
    /// In the order in which they came; some of them may be gone.
    came: Vec<Came>,
    /// How long that is when those that are gone are taken out of it.
    sweep_at: usize,
    bytes: usize,
}

impl Rows {
    /// No rows yet.
    pub(super) const fn new(side: Side, timing: Timing) -> Self {
        Self {
            side,
            timing,
            pending: BTreeMap::new(),
            held: BTreeMap::new(),
            expiring: BTreeMap::new(),
            came: Vec::new(),
            sweep_at: SWEEP_LEAST,
            bytes: 0,
        }
    }

    /// The memory that they hold, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a row in, before which so many have come to the join. Rows of one origin come in their order.
    pub(super) fn push(&mut self, number: usize, row: Row) {
        self.bytes += row.bytes();
        if self.came.len() >= self.sweep_at {
            self.came.retain(|(_, row)| row.strong_count() > 0);
            self.sweep_at = SWEEP_LEAST.max(2 * self.came.len());
        }
        let row = Arc::new(row);
        self.came.push((number, Arc::downgrade(&row)));
        self.pending.entry(row.enters).or_default().push(row);
    }

    /// The first tick at which a row enters.
    pub(super) fn next_to_enter(&self) -> Option<i64> {
        self.pending.keys().next().copied()
    }

    /// The first tick after which a row is held no longer.
    pub(super) fn next_to_expire(&self) -> Option<i64> {
        self.expiring.keys().next().copied()
    }

    /// Whether any row is held.
    pub(super) fn is_any_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Holds all rows that enter up to a tick, and gives those that enter at it, in order.
    pub(super) fn enter(&mut self, tick: i64) -> Vec<Arc<Row>> {
        let mut entering = Vec::new();
        while let Some(entry) = self.pending.first_entry()
            && *entry.key() <= tick
        {
            // Rows that entered before this tick are there where state was imported.
            let is_new = *entry.key() == tick;
            let rows = entry.remove();
            for row in &rows {
                self.hold(row);
            }
            if is_new {
                entering = rows;
            }
        }
        sort(&mut entering);
        entering
    }

    fn hold(&mut self, row: &Arc<Row>) {
        let expires = self.timing.held_through(self.side, row.time);
        self.expiring
            .entry(expires)
            .or_default()
            .push(Arc::clone(row));
        let bytes = &mut self.bytes;
        let rows = match self.held.get_mut(row.key()) {
            Some(rows) => rows,
            None => {
                *bytes += row.key().len() + KEY_BYTES;
                self.held.entry(row.key().into()).or_default()
            }
        };
        // Nearly always the last place.
        let place = rows.partition_point(|held| held.order() <= row.order());
        rows.insert(place, Arc::clone(row));
    }

    /// Lets go of all rows that are held through a tick and no longer.
    pub(super) fn release(&mut self, tick: i64) {
        while let Some(entry) = self.expiring.first_entry()
            && *entry.key() <= tick
        {
            for row in entry.remove() {
                self.bytes -= row.bytes();
                let rows = self.held.get_mut(row.key()).expect("what expires is held");
                // Who is earlier is not held longer, so that the rows of this tick stand in front.
                rows.pop_front();
                if rows.is_empty() {
                    self.held.remove(row.key());
                    self.bytes -= row.key().len() + KEY_BYTES;
                }
            }
        }
    }

    /// The rows that are held through this very tick, in order.
    pub(super) fn expiring(&self, tick: i64) -> Vec<Arc<Row>> {
        let mut rows = self.expiring.get(&tick).cloned().unwrap_or_default();
        sort(&mut rows);
        rows
    }

    /// All rows that are held, in order.
    pub(super) fn held(&self) -> impl Iterator<Item = &Arc<Row>> {
        self.held.values().flatten()
    }

    /// The held rows of a key.
    pub(super) fn of_key(&self, key: &[u8]) -> Option<&VecDeque<Arc<Row>>> {
        self.held.get(key)
    }

    /// Where the rows that a row of the other side could meet stand among those of its key.
    pub(super) fn partners(&self, rows: &VecDeque<Arc<Row>>, of: &Row) -> Range<usize> {
        let times = self.timing.partners(self.side.other(), of.time);
        let start = rows.partition_point(|row| row.time < *times.start());
        let end = rows.partition_point(|row| row.time <= *times.end());
        start..end
    }

    /// The rows that are left of those before which so many or more have come, in order, each with how many.
    pub(super) fn came_from(&self, number: usize) -> impl Iterator<Item = (usize, Arc<Row>)> {
        let start = self.came.partition_point(|(known, _)| *known < number);
        let came = self.came[start..].iter();
        came.filter_map(|(number, row)| Some((*number, row.upgrade()?)))
    }

    /// Lets go of all rows that enter at a tick or later: where state is imported that has them anew.
    pub(super) fn forget_from(&mut self, tick: i64) {
        // What was imported before has nowhere been held, unless this operator has gone on meanwhile.
        if self.held().any(|row| row.enters >= tick) {
            self.unhold();
        }
        let gone = self.pending.split_off(&tick);
        let gone: usize = gone.values().flatten().map(|row| row.bytes()).sum();
        self.bytes -= gone;
    }

    /// Lets go of rows that have not entered here and are not held behind a tick: where state was imported.
    pub(super) fn forget(&mut self, tick: i64) {
        let (side, timing, bytes) = (self.side, self.timing, &mut self.bytes);
        self.pending.retain(|_, rows| {
            rows.retain(|row| {
                let is_needed = timing.held_through(side, row.time) > tick;
                if !is_needed {
                    *bytes -= row.bytes();
                }
                is_needed
            });
            !rows.is_empty()
        });
    }

    /// Makes all held rows pending again: they enter anew with the next tick.
    fn unhold(&mut self) {
        for (key, rows) in std::mem::take(&mut self.held) {
            self.bytes -= key.len() + KEY_BYTES;
            for row in rows {
                self.pending.entry(row.enters).or_default().push(row);
            }
        }
        self.expiring.clear();
    }
}
