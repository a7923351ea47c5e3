//! Walks: exports of what rows go on changing, a few pages at a time.
//!
//! What an operator holds lies in slots, and in each of them in pages, which know what of them was told in the export that is under way. An export walks
//! round and round. It tells all that is there the first time, and then what has come behind it: fewer and fewer keys, as long as less comes in
//! between two parts than one part tells. A part that comes all the way round is the last: nothing is left to tell then, and all parts together are the
//! state of that moment.

use std::collections::BTreeMap;
use std::ops::Bound;

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;

use super::{Cursor, ExportPart, Part, StateChunk, Tick, chunk};
use crate::columns;

/// The export that is under way, of slots that are called so.
#[derive(Debug)]
pub(super) struct Walk<K> {
    /// Which one it is; zero where none has begun.
    export: usize,
    /// The next page.
    next: Option<(K, usize)>,
    /// How often it has come round.
    rounds: u32,
}

/// How a slot is told.
#[derive(Debug, Clone, Copy)]
pub(super) struct Named {
    /// The tick of its chunks.
    pub(super) tick: Tick,
    /// What they are called.
    pub(super) part: Part,
    /// How many pages it has.
    pub(super) pages: usize,
}

/// After how many rounds each tells twice as much at once as the one before, so that an export ends whatever comes in.
///
/// Unit: count. Source: guess; where a part tells ten times of what comes in between two, a million keys are told in five rounds.
const ROUNDS_EVEN: u32 = 6;

impl<K> Default for Walk<K> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> Walk<K> {
    /// No export has begun.
    pub(super) const fn new() -> Self {
        Self {
            export: 0,
            next: None,
            rounds: 0,
        }
    }

    /// Begins the export that a cursor asks for, and gives its first chunk; nothing where it is the one that is under way.
    pub(super) fn begin(&mut self, at: &mut Cursor) -> Option<StateChunk> {
        if at.within == Some(self.export) {
            return None;
        }
        *self = Self {
            export: self.export + 1,
            ..Self::new()
        };
        at.within = Some(self.export);
        Some(chunk::anew(at.since))
    }
}

impl<K: Ord + Copy> Walk<K> {
    /// The next part of the export that a cursor is at, where all ticks before `open` are closed.
    ///
    /// `tell` gives the next columns of a page that were not told in an export, which is called by its number; nothing where all were.
    pub(super) fn export<V>(
        &mut self,
        at: &mut Cursor,
        bytes_max: usize,
        open: Tick,
        held: &mut BTreeMap<K, V>,
        name: impl Fn(&K, &V) -> Named,
        tell: impl FnMut(&mut V, usize, usize) -> Option<RecordBatch>,
    ) -> ExportPart {
        let anew = self.begin(at);
        let ExportPart { chunks, is_last } = self.go_on(at.since, bytes_max, held, name, tell);
        let closed = is_last.then(|| chunk::closed(open, at.since)).flatten();
        ExportPart {
            chunks: anew.into_iter().chain(chunks).chain(closed).collect(),
            is_last,
        }
    }

    /// Goes on with the export, of slots behind `since`.
    pub(super) fn go_on<V>(
        &mut self,
        since: Option<Tick>,
        bytes_max: usize,
        held: &mut BTreeMap<K, V>,
        name: impl Fn(&K, &V) -> Named,
        mut tell: impl FnMut(&mut V, usize, usize) -> Option<RecordBatch>,
    ) -> ExportPart {
        let doublings = self.rounds.saturating_sub(ROUNDS_EVEN).min(u32::BITS / 2);
        let bytes_max = bytes_max.saturating_mul(1 << doublings);
        let mut told = Told::default();
        let (from, first_page) = self.next.take().unzip();
        let first_page = first_page.unwrap_or_default();
        for is_behind in [true, false] {
            let range = match (from, is_behind) {
                (Some(from), true) => (Bound::Included(from), Bound::Unbounded),
                (Some(from), false) => (Bound::Unbounded, Bound::Included(from)),
                (None, true) => (Bound::Unbounded, Bound::Unbounded),
                (None, false) => break,
            };
            for (key, slot) in held.range_mut(range) {
                let named = name(key, slot);
                if since.is_some_and(|since| named.tick <= since) {
                    continue;
                }
                let pages = match (from == Some(*key), is_behind) {
                    (false, _) => 0..named.pages,
                    (true, true) => first_page..named.pages,
                    (true, false) => 0..first_page.min(named.pages),
                };
                for page in pages {
                    while let Some(columns) = tell(slot, page, self.export) {
                        told.push(named, columns);
                        // Another one as large would be too much.
                        if told.bytes + told.largest > bytes_max {
                            self.next = Some((*key, page));
                            return told.into_part(false);
                        }
                    }
                }
            }
            if is_behind {
                self.rounds += 1;
            }
        }
        told.into_part(true)
    }
}

/// What one part tells.
#[derive(Default)]
struct Told {
    slots: Vec<(Named, Vec<RecordBatch>)>,
    bytes: usize,
    /// The most that a page told at once.
    largest: usize,
}

impl Told {
    fn push(&mut self, named: Named, columns: RecordBatch) {
        let values: usize = columns.columns().iter().map(columns::bytes).sum();
        self.bytes += values;
        self.largest = self.largest.max(values);
        let is_same = |known: &Named| (known.tick, known.part) == (named.tick, named.part);
        match self.slots.last_mut() {
            Some((last, pages)) if is_same(last) => pages.push(columns),
            _ => self.slots.push((named, vec![columns])),
        }
    }

    /// As few chunks, of all pages of a slot one.
    fn into_part(self, is_last: bool) -> ExportPart {
        let chunks = self.slots.into_iter().map(|(named, pages)| StateChunk {
            tick: named.tick,
            part: named.part,
            columns: match pages.as_slice() {
                [only] => only.clone(),
                several => concat_batches(&several[0].schema(), several)
                    .expect("all pages of a slot have the same columns"),
            },
        });
        ExportPart {
            chunks: chunks.collect(),
            is_last,
        }
    }
}
