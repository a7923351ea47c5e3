//! What windows hold: a partial for each pane, first window and origin.
//!
//! A partial takes in rows while its first window is open, is frozen when that closes, is merged into each
//! window that the pane is part of, and goes with the last of them.

use std::collections::BTreeMap;

use datafusion_common::Result;
use model::Origin;

use super::layout::{Layout, Place};
use crate::aggregate::{Aggregates, Frozen, Groups};

/// The partials of all windows that are not closed.
#[derive(Debug)]
pub(super) struct Panes {
    layout: Layout,
    partials: BTreeMap<Slot, Partial>,
    /// How many partials count first in each window.
    firsts: BTreeMap<i64, usize>,
    /// The earliest window that is not closed.
    open: i64,
    bytes: usize,
}

/// Which partial: its pane, then the first window it counts in, then whose rows they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot {
    pub(super) place: Place,
    pub(super) origin: Origin,
}

/// The rows of one slot: what was frozen of them, and what came after that.
#[derive(Debug, Default)]
struct Partial {
    frozen: Option<Frozen>,
    live: Option<Groups>,
    bytes: usize,
}

impl Partial {
    /// The memory that it holds, in bytes.
    fn measure(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, Frozen::bytes);
        let live = self.live.as_ref().map_or(0, Groups::bytes);
        frozen + live + size_of::<Self>() + size_of::<Slot>()
    }

    /// Measures it again, and corrects the sum that it is part of.
    fn remeasure(&mut self, sum: &mut usize) {
        let bytes = self.measure();
        *sum = *sum + bytes - self.bytes;
        self.bytes = bytes;
    }

    /// Turns what is live into state.
    fn freeze(&mut self, aggregates: &Aggregates) -> Result<()> {
        let Some(live) = self.live.take() else {
            return Ok(());
        };
        let later = live.freeze()?;
        self.frozen = Some(match self.frozen.take() {
            None => later,
            Some(earlier) => {
                let mut both = aggregates.groups();
                both.merge(&earlier)?;
                both.merge(&later)?;
                both.freeze()?
            }
        });
        Ok(())
    }
}

impl Panes {
    /// Nothing yet.
    pub(super) const fn new(layout: Layout) -> Self {
        Self {
            layout,
            partials: BTreeMap::new(),
            firsts: BTreeMap::new(),
            open: i64::MIN,
            bytes: 0,
        }
    }

    /// The earliest window that is not closed.
    pub(super) const fn open(&self) -> i64 {
        self.open
    }

    /// The memory that all partials hold, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets `update` take rows into a slot.
    ///
    /// # Errors
    /// When `update` fails.
    pub(super) fn update(
        &mut self,
        slot: Slot,
        aggregates: &Aggregates,
        update: impl FnOnce(&mut Groups) -> Result<()>,
    ) -> Result<()> {
        let partial = self.partials.entry(slot).or_insert_with(|| {
            *self.firsts.entry(slot.place.first).or_default() += 1;
            Partial::default()
        });
        let outcome = update(partial.live.get_or_insert_with(|| aggregates.groups()));
        partial.remeasure(&mut self.bytes);
        outcome
    }

    /// Puts state in the place of what is in a slot; nothing where no open window needs it.
    pub(super) fn replace(&mut self, slot: Slot, frozen: Frozen) {
        self.remove(slot);
        if self.layout.last(slot.place.pane) < self.open {
            return;
        }
        let mut partial = Partial {
            frozen: Some(frozen),
            ..Partial::default()
        };
        partial.remeasure(&mut self.bytes);
        *self.firsts.entry(slot.place.first).or_default() += 1;
        self.partials.insert(slot, partial);
    }

    /// The partials that count first in a window after `since`, as state, in order.
    ///
    /// What is live is frozen for that; later rows are kept beside it.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn export(
        &mut self,
        since: i64,
        aggregates: &Aggregates,
    ) -> Result<Vec<(Slot, Frozen)>> {
        let mut exported = Vec::new();
        for (slot, partial) in &mut self.partials {
            if slot.place.first > since {
                partial.freeze(aggregates)?;
                partial.remeasure(&mut self.bytes);
                exported.extend(partial.frozen.clone().map(|frozen| (*slot, frozen)));
            }
        }
        Ok(exported)
    }

    /// The earliest open window that holds rows, if it is not behind `through`.
    pub(super) fn next_window(&self, through: i64) -> Option<i64> {
        let (first, _) = self.firsts.first_key_value()?;
        let window = (*first).max(self.open);
        (window <= through).then_some(window)
    }

    /// Closes a window that holds rows: all of them, merged in order of origin, pane and first window.
    ///
    /// # Errors
    /// When state does not merge.
    ///
    /// # Panics
    /// When an earlier window holds rows.
    pub(super) fn close(&mut self, window: i64, aggregates: &Aggregates) -> Result<Groups> {
        assert_eq!(
            self.next_window(window),
            Some(window),
            "windows close in order"
        );
        let panes = window - self.layout.panes() + 1..=window;
        let mut slots: Vec<Slot> = self
            .partials
            .range(Slot::least(*panes.start())..)
            .take_while(|(slot, _)| panes.contains(&slot.place.pane))
            .filter(|(slot, _)| slot.place.first <= window)
            .map(|(slot, _)| *slot)
            .collect();
        slots.sort_by_key(|slot| (slot.origin, slot.place));

        let merged = match slots.as_slice() {
            // Nobody else needs this one: it can be evaluated as it is.
            [only] if self.layout.last(only.place.pane) == window && !self.is_frozen(*only) => {
                let partial = self.remove(*only);
                partial
                    .and_then(|partial| partial.live)
                    .unwrap_or_else(|| aggregates.groups())
            }
            several => {
                let mut merged = aggregates.groups();
                for slot in several {
                    let Some(partial) = self.partials.get_mut(slot) else {
                        continue;
                    };
                    partial.freeze(aggregates)?;
                    partial.remeasure(&mut self.bytes);
                    if let Some(frozen) = &partial.frozen {
                        merged.merge(frozen)?;
                    }
                }
                merged
            }
        };
        self.open_from(window.saturating_add(1));
        Ok(merged)
    }

    /// Says that the windows before `open` are closed, and forgets what only they needed.
    pub(super) fn open_from(&mut self, open: i64) {
        self.open = self.open.max(open);
        while let Some((slot, _)) = self.partials.first_key_value()
            && self.layout.last(slot.place.pane) < self.open
        {
            let slot = *slot;
            self.remove(slot);
        }
    }

    fn is_frozen(&self, slot: Slot) -> bool {
        self.partials
            .get(&slot)
            .is_some_and(|partial| partial.frozen.is_some())
    }

    fn remove(&mut self, slot: Slot) -> Option<Partial> {
        let partial = self.partials.remove(&slot)?;
        self.bytes -= partial.bytes;
        if let Some(count) = self.firsts.get_mut(&slot.place.first) {
            *count -= 1;
            if *count == 0 {
                self.firsts.remove(&slot.place.first);
            }
        }
        Some(partial)
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
