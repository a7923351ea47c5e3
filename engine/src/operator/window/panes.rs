//! What windows hold: a partial for each pane, first window and origin.
//!
//! A partial takes in rows while its first window is open, is frozen when that closes, is merged into each
//! window that the pane is part of, and goes with the last of them.

use datafusion_common::Result;

use super::slots::{Measured, Slot, Slots, Windows};
use crate::aggregate::{Aggregates, Frozen, Groups};

/// The partials of all windows that are not closed.
pub(super) type Panes = Slots<Partial>;

/// The rows of one slot: what was frozen of them, and what came after that.
#[derive(Debug, Default)]
pub(super) struct Partial {
    frozen: Option<Frozen>,
    live: Option<Groups>,
}

impl Measured for Partial {
    fn bytes(&self) -> usize {
        let frozen = self.frozen.as_ref().map_or(0, Frozen::bytes);
        let live = self.live.as_ref().map_or(0, Groups::bytes);
        frozen + live
    }
}

impl From<Frozen> for Partial {
    fn from(frozen: Frozen) -> Self {
        Self {
            frozen: Some(frozen),
            live: None,
        }
    }
}

impl Partial {
    /// Its state; it must have been frozen.
    pub(super) const fn frozen(&self) -> Option<&Frozen> {
        self.frozen.as_ref()
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
    /// Lets `update` take rows into a slot.
    ///
    /// # Errors
    /// When `update` fails.
    pub(super) fn accumulate(
        &mut self,
        slot: Slot,
        aggregates: &Aggregates,
        update: impl FnOnce(&mut Groups) -> Result<()>,
    ) -> Result<()> {
        self.update(slot, Partial::default, |partial| {
            update(partial.live.get_or_insert_with(|| aggregates.groups()))
        })
    }

    /// Freezes what counts first in some windows; later rows are kept beside it.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn freeze(&mut self, windows: Windows, aggregates: &Aggregates) -> Result<()> {
        self.change_all(windows, |partial| partial.freeze(aggregates))
    }

    /// What a window comes to: all of its partials, merged in order of origin, pane and first window.
    ///
    /// # Errors
    /// When state does not merge.
    pub(super) fn merged(&mut self, window: i64, aggregates: &Aggregates) -> Result<Groups> {
        let mut slots: Vec<(Slot, bool)> = self
            .of_window(window)
            .map(|(slot, partial)| (slot, partial.frozen.is_some()))
            .collect();
        slots.sort_by_key(|(slot, _)| (slot.origin, slot.place));
        match slots.as_slice() {
            // Nobody else needs this one: it can be evaluated as it is.
            [(only, false)] if self.layout().last(only.place.pane) == window => {
                let live = self.remove(*only).and_then(|partial| partial.live);
                Ok(live.unwrap_or_else(|| aggregates.groups()))
            }
            several => {
                let mut merged = aggregates.groups();
                for (slot, _) in several {
                    let merging = self.change(*slot, |partial| {
                        partial.freeze(aggregates)?;
                        partial.frozen().map_or(Ok(()), |it| merged.merge(it))
                    });
                    merging.unwrap_or(Ok(()))?;
                }
                Ok(merged)
            }
        }
    }
}
