//! The best rows so far: for each pane, first window and origin, and in it for each key.
//!
//! The greatest rows of a window are among those of its panes, so that a pane keeps no more than a window needs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use model::Origin;

use super::encoding::{Encoding, Newcomers};
use crate::aggregate::Keys;
use crate::operator::window::layout::{Layout, Place};

/// What becomes of rows that equal the last that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ties {
    /// The first of them count.
    #[default]
    First,
    /// All of them do.
    All,
}

/// The best rows of all windows that are not closed.
#[derive(Debug)]
pub(super) struct Best {
    layout: Layout,
    count: usize,
    ties: Ties,
    slots: BTreeMap<Slot, Groups>,
    /// How many slots count first in each window.
    firsts: BTreeMap<i64, usize>,
    /// The earliest window that is not closed.
    open: i64,
    bytes: usize,
}

/// Which rows: of which pane, counting first in which window, and of which origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) origin: Origin,
}

/// The best rows of a slot, by key.
#[derive(Debug)]
struct Groups {
    keys: Keys,
    /// By group, best first.
    best: Vec<Vec<Candidate>>,
    /// The memory that the candidates hold.
    bytes: usize,
}

/// A row that may be among the greatest.
#[derive(Debug)]
pub(super) struct Candidate {
    value: Box<[u8]>,
    pub(super) time: i64,
    pub(super) index: u64,
    pub(super) row: Box<[u8]>,
}

impl Ties {
    /// The words for them.
    pub(super) const WORDS: &'static [&'static str] = &["first", "all"];

    /// The word for it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::First => Self::WORDS[0],
            Self::All => Self::WORDS[1],
        }
    }

    /// How many of some rows leave, best first, of which `count` were asked for.
    fn leaving(self, count: usize, rows: &[(Origin, &Candidate)]) -> usize {
        match (self, rows.get(count - 1)) {
            (Self::All, Some((_, last))) => {
                let equals = |(_, row): &&(Origin, &Candidate)| row.value == last.value;
                count + rows[count..].iter().take_while(equals).count()
            }
            _ => count.min(rows.len()),
        }
    }
}

impl Candidate {
    /// How it stands to another of the same origin: what is less is better.
    fn standing(&self, value: &[u8], time: i64, index: u64) -> Ordering {
        let position = (self.time, self.index).cmp(&(time, index));
        (*self.value).cmp(value).then(position)
    }

    const fn bytes(&self) -> usize {
        self.value.len() + self.row.len() + size_of::<Self>()
    }
}

impl Groups {
    const fn new() -> Self {
        Self {
            keys: Keys::new(),
            best: Vec::new(),
            bytes: 0,
        }
    }

    /// The memory that it holds, in bytes.
    fn measure(&self) -> usize {
        let lists = self.best.len() * size_of::<Vec<Candidate>>();
        self.keys.bytes() + lists + self.bytes + size_of::<Self>() + size_of::<Slot>()
    }

    /// Takes in rows, as far as they are among the best so far.
    fn update(&mut self, count: usize, ties: Ties, newcomers: &Newcomers<'_>) {
        let mut promising: Vec<(u32, usize)> = Vec::new();
        for (place, row) in (0u32..).zip(0..newcomers.len()) {
            let group = self.keys.intern(newcomers.key(row));
            if group == self.best.len() {
                self.best.push(Vec::new());
            }
            if self.is_promising(group, count, ties, newcomers, row) {
                promising.push((place, group));
            }
        }
        if promising.is_empty() {
            return;
        }
        // Only what may stay is encoded: of many rows that is few.
        let encoded = newcomers.rows(promising.iter().map(|(place, _)| *place).collect());
        for (at, (place, group)) in promising.into_iter().enumerate() {
            let row = usize::try_from(place).expect("32 bits fit a pointer");
            // Others that came before it in this batch may be better.
            if self.is_promising(group, count, ties, newcomers, row) {
                let candidate = Candidate {
                    value: newcomers.value(row).into(),
                    time: newcomers.time(row),
                    index: newcomers.index(row),
                    row: encoded.row(at).into(),
                };
                self.insert(group, count, ties, candidate);
            }
        }
    }

    /// Whether a row would be among the best of its group.
    fn is_promising(
        &self,
        group: usize,
        count: usize,
        ties: Ties,
        newcomers: &Newcomers<'_>,
        row: usize,
    ) -> bool {
        let value = newcomers.value(row);
        let (time, index) = (newcomers.time(row), newcomers.index(row));
        self.best[group]
            .get(count - 1)
            .is_none_or(|last| match ties {
                Ties::First => last.standing(value, time, index).is_gt(),
                Ties::All => *last.value >= *value,
            })
    }

    fn insert(&mut self, group: usize, count: usize, ties: Ties, candidate: Candidate) {
        let best = &mut self.best[group];
        let Candidate { time, index, .. } = candidate;
        let at =
            best.partition_point(|known| known.standing(&candidate.value, time, index).is_le());
        self.bytes += candidate.bytes();
        best.insert(at, candidate);
        let is_over = |best: &[Candidate]| match (ties, best) {
            (_, best) if best.len() <= count => false,
            (Ties::First, _) => true,
            (Ties::All, [.., last]) => last.value != best[count - 1].value,
            (Ties::All, []) => false,
        };
        while is_over(best) {
            let gone = best.pop().expect("there are more than were asked for");
            self.bytes -= gone.bytes();
        }
    }
}

impl Best {
    /// Nothing yet.
    pub(super) const fn new(layout: Layout, count: usize, ties: Ties) -> Self {
        Self {
            layout,
            count,
            ties,
            slots: BTreeMap::new(),
            firsts: BTreeMap::new(),
            open: i64::MIN,
            bytes: 0,
        }
    }

    /// The earliest window that is not closed.
    pub(super) const fn open(&self) -> i64 {
        self.open
    }

    /// The memory that all of it holds, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes rows into a slot.
    pub(super) fn update(&mut self, slot: Slot, newcomers: &Newcomers<'_>) {
        let groups = self.slots.entry(slot).or_insert_with(|| {
            *self.firsts.entry(slot.place.first).or_default() += 1;
            let groups = Groups::new();
            self.bytes += groups.measure();
            groups
        });
        let before = groups.measure();
        groups.update(self.count, self.ties, newcomers);
        self.bytes = self.bytes + groups.measure() - before;
    }

    /// The earliest open window that holds rows, if it is not behind `through`.
    pub(super) fn next_window(&self, through: i64) -> Option<i64> {
        let (first, _) = self.firsts.first_key_value()?;
        let window = (*first).max(self.open);
        (window <= through).then_some(window)
    }

    /// Closes a window, and gives its greatest rows in order of keys.
    pub(super) fn close(&mut self, window: i64, encoding: &Encoding) -> RecordBatch {
        let mut by_key: BTreeMap<&[u8], Vec<(Origin, &Candidate)>> = BTreeMap::new();
        let panes = window - self.layout.panes() + 1..=window;
        let slots = self.slots.range(Slot::least(*panes.start())..);
        for (slot, groups) in slots.take_while(|(slot, _)| panes.contains(&slot.place.pane)) {
            if slot.place.first <= window {
                for (key, best) in groups.keys.iter().zip(&groups.best) {
                    let candidates = best.iter().map(|candidate| (slot.origin, candidate));
                    by_key.entry(key).or_default().extend(candidates);
                }
            }
        }
        let mut rows: Vec<&[u8]> = Vec::new();
        for candidates in by_key.values_mut() {
            candidates.sort_by_key(|(origin, row)| (&row.value, row.time, *origin, row.index));
            let leaving = self.ties.leaving(self.count, candidates);
            rows.extend(candidates[..leaving].iter().map(|(_, row)| &*row.row));
        }
        let rows = encoding.decode(rows.into_iter());
        self.open_from(window.saturating_add(1));
        rows
    }

    /// Says that the windows before `open` are closed, and forgets what only they needed.
    pub(super) fn open_from(&mut self, open: i64) {
        self.open = self.open.max(open);
        while let Some((slot, _)) = self.slots.first_key_value()
            && self.layout.last(slot.place.pane) < self.open
        {
            let slot = *slot;
            self.remove(slot);
        }
    }

    /// Puts rows in the place of what is in a slot; nothing where no open window needs it.
    pub(super) fn replace(&mut self, slot: Slot, newcomers: &Newcomers<'_>) {
        self.remove(slot);
        if self.layout.last(slot.place.pane) >= self.open {
            self.update(slot, newcomers);
        }
    }

    /// The rows that count first in a window after `since`, by slot.
    pub(super) fn since(&self, since: i64) -> impl Iterator<Item = (Slot, Vec<&Candidate>)> + '_ {
        self.slots
            .iter()
            .filter(move |(slot, _)| slot.place.first > since)
            .map(|(slot, groups)| (*slot, groups.best.iter().flatten().collect()))
    }

    fn remove(&mut self, slot: Slot) {
        let Some(groups) = self.slots.remove(&slot) else {
            return;
        };
        self.bytes -= groups.measure();
        if let Some(count) = self.firsts.get_mut(&slot.place.first) {
            *count -= 1;
            if *count == 0 {
                self.firsts.remove(&slot.place.first);
            }
        }
    }
}

impl Slot {
    /// The first slot that a pane can have.
    const fn least(pane: i64) -> Self {
        let place = Place {
            pane,
            first: i64::MIN,
        };
        Self {
            place,
            origin: Origin(0),
        }
    }
}
