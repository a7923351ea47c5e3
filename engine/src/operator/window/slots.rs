//! What windows hold, by slot: for each pane, first window and origin one thing, which goes with the last window that needs it.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use model::{EventTime, Origin};

use super::layout::{Layout, Place};
use crate::operator::chunk::{ANEW, CLOSED};
use crate::operator::walk::{Named, Walk};
use crate::operator::{
    Closing, CompleteTick, Cursor, Emitter, ExportPart, ImportError, Part, StateChunk, Tick,
};

/// Things by slot, for all windows that are not closed.
#[derive(Debug)]
pub(in crate::operator) struct Slots<T> {
    layout: Layout,
    held: BTreeMap<Slot, Held<T>>,
    /// How many slots count first in each window.
    firsts: BTreeMap<i64, usize>,
    /// The earliest window that is not closed.
    open: i64,
    bytes: usize,
    walk: Walk<Slot>,
}

/// Which rows: of which pane, counting first in which window, and of which origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operator) struct Slot {
    pub(in crate::operator) place: Place,
    pub(in crate::operator) origin: Origin,
}

/// Something that says how much it holds.
pub(in crate::operator) trait Measured {
    /// The memory behind it, in bytes.
    fn bytes(&self) -> usize;

    /// How many pages it is told in.
    fn pages(&self) -> usize;
}

/// What is in a slot, and how much memory it held when it was touched last.
#[derive(Debug)]
struct Held<T> {
    it: T,
    bytes: usize,
}

impl<T: Measured> Held<T> {
    /// Lets something be done with it, and corrects the sum that it is part of.
    fn touch<R>(&mut self, sum: &mut usize, change: impl FnOnce(&mut T) -> R) -> R {
        let outcome = change(&mut self.it);
        let bytes = self.it.bytes() + size_of::<Self>() + size_of::<Slot>();
        *sum = *sum + bytes - self.bytes;
        self.bytes = bytes;
        outcome
    }
}

impl<T: Measured> Slots<T> {
    /// Nothing yet.
    pub(in crate::operator) const fn new(layout: Layout) -> Self {
        Self {
            layout,
            held: BTreeMap::new(),
            firsts: BTreeMap::new(),
            open: i64::MIN,
            bytes: 0,
            walk: Walk::new(),
        }
    }

    /// How windows lie.
    pub(in crate::operator) const fn layout(&self) -> Layout {
        self.layout
    }

    /// The earliest window that is not closed.
    pub(in crate::operator) const fn open(&self) -> i64 {
        self.open
    }

    /// The memory that all of it holds, in bytes.
    pub(in crate::operator) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Lets `change` change what is in a slot: what `make` makes where there is nothing.
    pub(in crate::operator) fn update<R>(
        &mut self,
        slot: Slot,
        make: impl FnOnce() -> T,
        change: impl FnOnce(&mut T) -> R,
    ) -> R {
        let held = self.held.entry(slot).or_insert_with(|| {
            *self.firsts.entry(slot.place.first).or_default() += 1;
            Held {
                it: make(),
                bytes: 0,
            }
        });
        held.touch(&mut self.bytes, change)
    }

    /// Lets `change` change what is in a slot, where there is something.
    pub(in crate::operator) fn change<R>(
        &mut self,
        slot: Slot,
        change: impl FnOnce(&mut T) -> R,
    ) -> Option<R> {
        let held = self.held.get_mut(&slot)?;
        Some(held.touch(&mut self.bytes, change))
    }

    /// Closes what a progress completes, window by window, as far as there is room; `close` gives what leaves of one, in key order.
    pub(in crate::operator) fn on_progress(
        &mut self,
        progress: EventTime,
        emit: &mut Emitter,
        mut close: impl FnMut(&mut Self, i64) -> RecordBatch,
    ) -> Closing {
        let through = self.layout.complete(progress);
        while let Some(window) = self.next_window(through) {
            if emit.is_full() {
                emit.holds(self.bytes);
                return Closing::More;
            }
            let columns = close(self, window);
            self.open_from(window.saturating_add(1));
            emit.tick(CompleteTick {
                tick: Tick(window),
                began: EventTime(self.layout.bounds(window).0),
                time: self.layout.time(window),
                columns,
            });
        }
        self.open_from(through.saturating_add(1));
        emit.progress(self.layout.time_of_next(self.open));
        emit.holds(self.bytes);
        Closing::Done
    }

    /// The earliest open window that holds something, if it is not behind `through`.
    fn next_window(&self, through: i64) -> Option<i64> {
        let (first, _) = self.firsts.first_key_value()?;
        let window = (*first).max(self.open);
        (window <= through).then_some(window)
    }

    /// What counts in a window, in order.
    pub(in crate::operator) fn of_window(&self, window: i64) -> impl Iterator<Item = (Slot, &T)> {
        let panes = window - self.layout.panes() + 1..=window;
        self.held
            .range(Slot::least(*panes.start())..)
            .take_while(move |(slot, _)| panes.contains(&slot.place.pane))
            .filter(move |(slot, _)| slot.place.first <= window)
            .map(|(slot, held)| (*slot, &held.it))
    }

    /// Says that the windows before `open` are closed, and forgets what only they needed.
    fn open_from(&mut self, open: i64) {
        self.open = self.open.max(open);
        while let Some((slot, _)) = self.held.first_key_value()
            && self.layout.last(slot.place.pane) < self.open
        {
            let slot = *slot;
            self.remove(slot);
        }
    }

    /// The next part of what counts first in windows behind a cursor. `tell` gives the next columns of a page that were not told in an export.
    pub(in crate::operator) fn export(
        &mut self,
        at: &mut Cursor,
        bytes_max: usize,
        mut tell: impl FnMut(&mut T, usize, usize) -> Option<RecordBatch>,
    ) -> ExportPart {
        let name = |slot: &Slot, held: &Held<T>| Named {
            tick: slot.tick(),
            part: Part {
                origin: slot.origin,
                number: slot.place.pane,
            },
            pages: held.it.pages(),
        };
        let sum = &mut self.bytes;
        let tell = |held: &mut Held<T>, page, export| held.touch(sum, |it| tell(it, page, export));
        let (open, held) = (Tick(self.open), &mut self.held);
        self.walk.export(at, bytes_max, open, held, name, tell)
    }

    /// Takes a chunk of state in: `append` puts it behind what is in its slot. It comes to nothing where no open window needs it.
    ///
    /// # Errors
    /// When the chunk is not of these windows, or `from_columns` refuses it.
    pub(in crate::operator) fn import(
        &mut self,
        chunk: &StateChunk,
        from_columns: impl FnOnce(Place, &RecordBatch) -> Result<T, ImportError>,
        append: impl FnOnce(&mut T, T),
    ) -> Result<(), ImportError> {
        match chunk.part {
            CLOSED => {
                self.open_from(chunk.tick.0);
                return Ok(());
            }
            ANEW => {
                self.forget_from(chunk.tick.0);
                return Ok(());
            }
            _ => {}
        }
        let slot = Slot {
            place: Place {
                pane: chunk.part.number,
                first: chunk.tick.0,
            },
            origin: chunk.part.origin,
        };
        let Place { pane, first } = slot.place;
        if !self.layout.has(slot.place) {
            return Err(ImportError::Columns(format!(
                "pane {pane} does not count first in window {first}"
            )));
        }
        let it = from_columns(slot.place, &chunk.columns)?;
        if self.layout.last(pane) < self.open {
            return Ok(());
        }
        if self.held.contains_key(&slot) {
            self.change(slot, |held| append(held, it));
        } else {
            self.update(slot, || it, |_| ());
        }
        Ok(())
    }

    /// Forgets what counts first in a window or in a later one: where state is imported that has it anew.
    fn forget_from(&mut self, window: i64) {
        let slots = self.held.keys();
        let gone = slots.filter(|slot| slot.place.first >= window);
        for slot in gone.copied().collect::<Vec<_>>() {
            self.remove(slot);
        }
    }

    /// Takes out what is in a slot.
    pub(in crate::operator) fn remove(&mut self, slot: Slot) -> Option<T> {
        let held = self.held.remove(&slot)?;
        self.bytes -= held.bytes;
        if let Some(count) = self.firsts.get_mut(&slot.place.first) {
            *count -= 1;
            if *count == 0 {
                self.firsts.remove(&slot.place.first);
            }
        }
        Some(held.it)
    }
}

impl Slot {
    /// The tick of its chunk of state.
    const fn tick(&self) -> Tick {
        Tick(self.place.first)
    }

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
