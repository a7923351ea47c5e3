//! What windows hold: groups for each pane, first window and origin.
//!
//! They take in rows while their first window is open, are sealed when that closes, are merged into each
//! window that the pane is part of, and go with the last of them.

use datafusion_common::Result;

use super::slots::{Measured, Slot, Slots};
use crate::aggregate::{Aggregates, Groups};

/// The groups of all windows that are not closed.
pub(super) type Panes = Slots<Groups>;

impl Measured for Groups {
    fn bytes(&self) -> usize {
        self.bytes()
    }

    fn pages(&self) -> usize {
        self.pages()
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
        self.update(slot, || aggregates.groups(), update)
    }

    /// What a window comes to: all of its groups, merged in order of origin, pane and first window.
    ///
    /// # Errors
    /// When state does not merge.
    pub(super) fn merged(&mut self, window: i64, aggregates: &Aggregates) -> Result<Groups> {
        let mut slots: Vec<Slot> = self.of_window(window).map(|(slot, _)| slot).collect();
        slots.sort_by_key(|slot| (slot.origin, slot.place));
        match slots.as_slice() {
            // Nobody else needs these: they can be evaluated as they are.
            [only] if self.layout().last(only.place.pane) == window => {
                let groups = self.remove(*only);
                Ok(groups.unwrap_or_else(|| aggregates.groups()))
            }
            several => {
                let mut merged = aggregates.groups();
                for slot in several {
                    let merging = self.change(*slot, |groups| {
                        groups.seal()?;
                        merged.merge(aggregates, groups)
                    });
                    merging.unwrap_or(Ok(()))?;
                }
                Ok(merged)
            }
        }
    }
}
