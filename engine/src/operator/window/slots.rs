//! What windows hold, by slot: for each pane, first window and origin one thing, which goes with the last window that needs it.

use std::collections::BTreeMap;

use arrow_array::RecordBatch;
use model::{EventTime, Origin};

use super::layout::{Layout, Place};
use crate::operator::chunk::{self, CLOSED};
use crate::operator::{
    Closing, CompleteTick, Cursor, Emitter, ImportError, Part, StateChunk, Tick,
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
}

/// Which rows: of which pane, counting first in which window, and of which origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operator) struct Slot {
    pub(in crate::operator) place: Place,
    pub(in crate::operator) origin: Origin,
}

/// Something that says how much memory it holds.
pub(in crate::operator) trait Measured {
    /// The memory behind it, in bytes.
    fn bytes(&self) -> usize;
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

    /// Lets `change` change all that counts first in some windows.
    ///
    /// # Errors
    /// The first that `change` gives; what comes behind that is as it was.
    pub(in crate::operator) fn change_all<E>(
        &mut self,
        windows: Windows,
        mut change: impl FnMut(&mut T) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut slots = self.held.iter_mut();
        slots.try_for_each(|(slot, held)| match windows.have(*slot) {
            true => held.touch(&mut self.bytes, &mut change),
            false => Ok(()),
        })
    }

    /// What counts first in windows behind `since`, as chunks of state, and which windows are closed.
    pub(in crate::operator) fn export(
        &self,
        since: Option<Tick>,
        to_columns: impl Fn(&T) -> RecordBatch,
    ) -> Vec<StateChunk> {
        let chunks = self.chunks(Windows::behind(since), to_columns);
        chunk::export(Tick(self.open), since, chunks)
    }

    /// What counts first in some windows, as chunks of state.
    pub(in crate::operator) fn chunks(
        &self,
        windows: Windows,
        to_columns: impl Fn(&T) -> RecordBatch,
    ) -> impl Iterator<Item = StateChunk> {
        let slots = self.held.iter();
        let wanted = slots.filter(move |(slot, _)| windows.have(**slot));
        wanted.map(move |(slot, held)| StateChunk {
            tick: slot.tick(),
            part: Part {
                origin: slot.origin,
                number: slot.place.pane,
            },
            columns: to_columns(&held.it),
        })
    }

    /// The next closed windows behind a cursor, of which what counts first holds about so many bytes; the cursor goes on behind them. Nothing where
    /// less is left.
    pub(in crate::operator) fn next_closed(
        &self,
        at: &mut Cursor,
        bytes_max: usize,
    ) -> Option<Windows> {
        let mut sizes: BTreeMap<i64, usize> = BTreeMap::new();
        let closed = self.held.iter().filter(|(slot, _)| {
            slot.place.first < self.open && Windows::behind(at.since).have(**slot)
        });
        for (slot, held) in closed {
            *sizes.entry(slot.place.first).or_default() += held.bytes;
        }
        let mut sum = 0;
        let (last, _) = sizes.into_iter().find(|(_, bytes)| {
            sum += bytes;
            sum >= bytes_max
        })?;
        let windows = Windows {
            since: at.since,
            through: last,
        };
        at.since = Some(Tick(last));
        Some(windows)
    }

    /// Takes a chunk of state in: in the place of what is in its slot, or nothing where no open window needs it.
    ///
    /// # Errors
    /// When the chunk is not of these windows, or `from_columns` refuses it.
    pub(in crate::operator) fn import(
        &mut self,
        chunk: &StateChunk,
        from_columns: impl FnOnce(Place, &RecordBatch) -> Result<T, ImportError>,
    ) -> Result<(), ImportError> {
        if chunk.part == CLOSED {
            self.open_from(chunk.tick.0);
            return Ok(());
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
        self.remove(slot);
        if self.layout.last(pane) >= self.open {
            self.update(slot, || it, |_| ());
        }
        Ok(())
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

/// A run of windows.
#[derive(Debug, Clone, Copy)]
pub(in crate::operator) struct Windows {
    since: Option<Tick>,
    through: i64,
}

impl Windows {
    /// All behind one.
    pub(in crate::operator) const fn behind(since: Option<Tick>) -> Self {
        let through = i64::MAX;
        Self { since, through }
    }

    /// Whether one of them is the first in which a slot counts.
    fn have(self, slot: Slot) -> bool {
        self.since.is_none_or(|since| slot.tick() > since) && slot.place.first <= self.through
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
