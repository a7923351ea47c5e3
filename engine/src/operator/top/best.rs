//! The best rows so far: for each pane, first window and origin, and in it for each key.
//!
//! The greatest rows of a window are among those of its panes, so that a pane keeps no more than a window needs.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use model::Origin;

use super::encoding::{Encoding, Newcomers};
use crate::aggregate::{Keys, TOLD_ROWS};
use crate::operator::window::layout::Layout;
use crate::operator::window::slots::{Measured, Slots};

/// What becomes of rows that equal the last that leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Ties {
    /// The first of them count.
    #[default]
    First,
    /// All of them do.
    All,
}

/// How many rows of each key leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) count: usize,
    pub(super) ties: Ties,
}

/// The best rows of all windows that are not closed.
#[derive(Debug)]
pub(super) struct Best {
    pub(super) slots: Slots<Groups>,
    pub(super) wanted: Wanted,
}

/// The best rows of a slot, by key.
#[derive(Debug)]
pub(super) struct Groups {
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
    /// The export that it was told in last.
    told: usize,
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
}

impl Wanted {
    /// How many of some rows leave, best first.
    fn leaving(self, rows: &[(Origin, &Candidate)]) -> usize {
        let count = self.count;
        match (self.ties, rows.get(count - 1)) {
            (Ties::All, Some((_, last))) => {
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

impl Measured for Groups {
    fn bytes(&self) -> usize {
        let lists = self.best.len() * size_of::<Vec<Candidate>>();
        self.keys.bytes() + lists + self.bytes
    }

    fn pages(&self) -> usize {
        self.best.len().div_ceil(PAGE_GROUPS)
    }
}

/// How many keys a page has, and how many of their rows are told at once.
///
/// Unit: count. Range: from a batch to what is looked at in much less time than a batch takes. Source: guess.
const PAGE_GROUPS: usize = TOLD_ROWS;

impl Groups {
    /// Nothing yet.
    pub(super) const fn new() -> Self {
        Self {
            keys: Keys::new(),
            best: Vec::new(),
            bytes: 0,
        }
    }

    /// The next candidates of a page that were not told in an export.
    pub(super) fn tell(&mut self, page: usize, export: usize) -> Vec<&Candidate> {
        let of_page = self.best.iter_mut().skip(page * PAGE_GROUPS);
        let candidates = of_page.take(PAGE_GROUPS).flatten();
        let untold = candidates.filter(|candidate| candidate.told != export);
        let told = untold.take(TOLD_ROWS).map(|candidate| {
            candidate.told = export;
            &*candidate
        });
        told.collect()
    }

    /// Takes in the best of other rows of the same slot.
    pub(super) fn append(&mut self, wanted: Wanted, others: Self) {
        for (key, best) in others.keys.iter().zip(others.best) {
            let group = self.keys.intern(key);
            if group == self.best.len() {
                self.best.push(Vec::new());
            }
            for candidate in best {
                self.insert(group, wanted, candidate);
            }
        }
    }

    /// Takes in rows, as far as they are among the best so far.
    pub(super) fn update(&mut self, wanted: Wanted, newcomers: &Newcomers<'_>) {
        let mut promising: Vec<(u32, usize)> = Vec::new();
        for (place, row) in (0u32..).zip(0..newcomers.len()) {
            let group = self.keys.intern(newcomers.key(row));
            if group == self.best.len() {
                self.best.push(Vec::new());
            }
            if self.is_promising(group, wanted, newcomers, row) {
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
            if self.is_promising(group, wanted, newcomers, row) {
                let candidate = Candidate {
                    value: newcomers.value(row).into(),
                    time: newcomers.time(row),
                    index: newcomers.index(row),
                    row: encoded.row(at).into(),
                    told: 0,
                };
                self.insert(group, wanted, candidate);
            }
        }
    }

    /// Whether a row would be among the best of its group.
    fn is_promising(
        &self,
        group: usize,
        wanted: Wanted,
        newcomers: &Newcomers<'_>,
        row: usize,
    ) -> bool {
        let value = newcomers.value(row);
        let (time, index) = (newcomers.time(row), newcomers.index(row));
        self.best[group]
            .get(wanted.count - 1)
            .is_none_or(|last| match wanted.ties {
                Ties::First => last.standing(value, time, index).is_gt(),
                Ties::All => *last.value >= *value,
            })
    }

    fn insert(&mut self, group: usize, wanted: Wanted, candidate: Candidate) {
        let Wanted { count, ties } = wanted;
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
    pub(super) const fn new(layout: Layout, wanted: Wanted) -> Self {
        Self {
            slots: Slots::new(layout),
            wanted,
        }
    }
}

/// The greatest rows of a window, in order of keys.
pub(super) fn greatest(
    slots: &Slots<Groups>,
    window: i64,
    wanted: Wanted,
    encoding: &Encoding,
) -> RecordBatch {
    let mut by_key: BTreeMap<&[u8], Vec<(Origin, &Candidate)>> = BTreeMap::new();
    for (slot, groups) in slots.of_window(window) {
        for (key, best) in groups.keys.iter().zip(&groups.best) {
            let candidates = best.iter().map(|candidate| (slot.origin, candidate));
            by_key.entry(key).or_default().extend(candidates);
        }
    }
    let mut rows: Vec<&[u8]> = Vec::new();
    for candidates in by_key.values_mut() {
        candidates.sort_by_key(|(origin, row)| (&row.value, row.time, *origin, row.index));
        let leaving = wanted.leaving(candidates);
        rows.extend(candidates[..leaving].iter().map(|(_, row)| &*row.row));
    }
    encoding.decode(rows.into_iter())
}
