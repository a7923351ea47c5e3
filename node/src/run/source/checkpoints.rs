//! Where a source was, so that it is read on from there after a restart, with the same numbers.
//!
//! A connector that can be read again has *checkpoints*: a place in the origin and one in what is read. Asked for a position, the source
//! goes to the last checkpoint before it and numbers on. One that cannot be read again *reserves* what it is about to give, on the disk
//! and before it gives it, and notes each time how far it is. After a restart it goes on behind what was noted: nothing counts as missing but
//! what was given and is lost. Where the system itself has failed since, the note may be an old one: then it goes on behind all that was
//! reserved, and what lies between counts as missing.

use std::time::Duration;

use engine::edge::{Asked, Mark};
use model::{EventTime, Instant, Origin, wire};

use crate::connector::Bookmark;
use crate::note::Note;
use crate::store::Store;

/// How often a source notes where it is.
///
/// Unit: time. Source: guess; a restart reads so much again, which takes less than that.
const INTERVAL: Duration = Duration::from_secs(1);

/// The most checkpoints of a source: of more every second goes.
///
/// Unit: count. Range: from 4. Source: guess; a file of 6 KiB each second, and never more than a thirtieth of the source is read again.
const CHECKPOINTS_MAX: usize = 64;

/// How much is reserved at least.
///
/// Unit: records, and microseconds of event time. Source: guess; a write to the disk once a second at most, as more is reserved each time.
const RESERVED_MIN: (u64, i64) = (1024, 1_000_000);

/// Where a source was.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct Checkpoint {
    index: u64,
    progress: EventTime,
    pub(super) bookmark: Bookmark,
}

impl Checkpoint {
    pub(super) const fn mark(&self) -> Mark {
        mark(self.index, self.progress)
    }
}

/// Where what is known of a source stands on the disk.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    pub(crate) store: Store,
    pub(crate) name: String,
}

/// What stands there.
#[derive(Debug, Clone, Default, bincode::Encode, bincode::Decode)]
struct Known {
    /// By rising index; the first is the beginning.
    checkpoints: Vec<Checkpoint>,
    /// What nobody asks for again.
    kept: u64,
    /// Up to where a source that cannot be read again may have given something.
    reserved: Option<(u64, EventTime)>,
}

/// The checkpoints of a source, here and, where it has a shelf, on the disk.
#[derive(Debug)]
pub(super) struct Checkpoints {
    known: Known,
    shelf: Option<Shelf>,
    /// Where a source that cannot be read again notes how far it is.
    note: Option<Note>,
    /// What the process before has noted, unless that may be an old note.
    noted_before: Option<Mark>,
    noted: Option<Instant>,
    /// When something was last reserved, and how much.
    reserving: (Instant, (u64, i64)),
}

/// Where a source begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// At its beginning: nobody has read it.
    Beginning,
    /// Behind this index; who takes whatever comes next begins behind `latest`.
    Behind { index: u64, latest: u64 },
    /// It cannot be read again, and goes on behind all that it may have given.
    Reserved(Mark),
}

impl Checkpoints {
    /// What is known of a source that begins at this bookmark, where it can be read again.
    pub(super) fn new(beginning: Option<Bookmark>, shelf: Option<Shelf>) -> Self {
        let stored = shelf
            .as_ref()
            .and_then(|shelf| wire::decode::<Known>(&shelf.store.read(&shelf.name)?).ok());
        let mut known = stored.unwrap_or_default();
        match beginning {
            Some(bookmark) if known.checkpoints.is_empty() => known.checkpoints.push(Checkpoint {
                index: 0,
                progress: EventTime::MIN,
                bookmark,
            }),
            Some(_) => {}
            None => known.checkpoints.clear(),
        }
        let mut note = None;
        let mut noted_before = None;
        if let Some(shelf) = shelf.as_ref().filter(|_| known.checkpoints.is_empty()) {
            match shelf.store.open_note(&note_name(shelf)) {
                Ok((opened, found)) => {
                    note = Some(opened);
                    let latest = found.filter(|found| found.is_latest);
                    noted_before = latest.and_then(|latest| mark_of(&latest.says));
                }
                Err(error) => tracing::warn!(%error, "a source cannot note how far it is"),
            }
        }
        Self {
            known,
            shelf,
            note,
            noted_before,
            noted: None,
            reserving: (Instant::ZERO, RESERVED_MIN),
        }
    }

    /// Whether the source can be read again.
    pub(super) const fn is_again(&self) -> bool {
        !self.known.checkpoints.is_empty()
    }

    /// Where the source begins for those who ask.
    pub(super) fn start(&self, asked: Asked) -> Start {
        if !self.is_again() {
            let reserved = self.known.reserved;
            return reserved.map_or(Start::Beginning, |(index, progress)| {
                let reserved = mark(index, progress);
                Start::Reserved(self.noted_before.unwrap_or(reserved))
            });
        }
        let latest = self.known.kept;
        let goes_on = (asked.latest || asked.after.is_none()).then_some(latest);
        let index = asked.after.into_iter().chain(goes_on).min().unwrap_or(0);
        match (index, latest) {
            (0, 0) => Start::Beginning,
            _ => Start::Behind { index, latest },
        }
    }

    /// The last checkpoint from which what lies behind an index can be read; nothing where there is none at all.
    pub(super) fn before(&self, index: u64) -> Option<&Checkpoint> {
        let checkpoints = self.known.checkpoints.iter().rev();
        checkpoints.into_iter().find(|it| it.index <= index)
    }

    /// Whether it is time to note where the source is.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_again() && self.noted.is_none_or(|noted| now.since(noted) >= INTERVAL)
    }

    /// Notes where the source is, if that can be said now, and up to where nobody asks for anything again.
    pub(super) fn note(&mut self, now: Instant, at: Option<(Mark, Bookmark)>, kept: Option<u64>) {
        self.noted = Some(now);
        let Known {
            checkpoints,
            kept: known_kept,
            ..
        } = &mut self.known;
        let kept = kept.unwrap_or(0).max(*known_kept);
        let last = checkpoints.last().map_or(0, |last| last.index);
        let new = at.filter(|(mark, _)| mark.index > last);
        if new.is_none() && kept == *known_kept {
            return;
        }
        *known_kept = kept;
        checkpoints.extend(new.map(|(mark, bookmark)| Checkpoint {
            index: mark.index,
            progress: mark.progress,
            bookmark,
        }));
        // The beginning stays for whoever comes anew.
        let needed = checkpoints.partition_point(|it| it.index <= kept);
        checkpoints.drain(1..needed.saturating_sub(1).max(1));
        if checkpoints.len() > CHECKPOINTS_MAX {
            let mut number = 0;
            checkpoints.retain(|_| {
                number += 1;
                number <= 2 || number % 2 == 0
            });
        }
        if let Some(shelf) = &self.shelf {
            shelf.store.put(&shelf.name, wire::encode(&self.known));
        }
    }

    /// Nobody will read the source again.
    pub(super) fn forget(&self) {
        if let Some(shelf) = &self.shelf {
            shelf.store.remove(&shelf.name);
            shelf.store.remove(&note_name(shelf));
        }
    }

    /// A source that cannot be read again is about to have given all up to a mark: what a restart must know is on the disk when this returns.
    pub(super) fn give(&mut self, now: Instant, mark: Mark) {
        self.reserve(now, mark);
        let progress = match mark.progress {
            // The end of a source is no time that another one could begin at.
            EventTime::MAX => self.known.reserved.map_or(EventTime::MIN, |(_, it)| it),
            progress => progress,
        };
        let says = wire::encode(&(mark.index, progress));
        if let Some(Err(error)) = self.note.as_mut().map(|note| note.write(&says)) {
            tracing::warn!(%error, "a source cannot note how far it is any more");
            self.note = None;
            if let Some(shelf) = &self.shelf {
                shelf.store.remove(&note_name(shelf));
            }
        }
    }

    fn reserve(&mut self, now: Instant, mark: Mark) {
        let Some(shelf) = self.shelf.as_ref().filter(|_| !self.is_again()) else {
            return;
        };
        let is_enough = |(index, progress): (u64, EventTime)| {
            mark.index <= index && (mark.progress <= progress || mark.progress == EventTime::MAX)
        };
        if self.known.reserved.is_some_and(is_enough) {
            return;
        }
        let (before, progress_before) = self.known.reserved.unwrap_or((0, EventTime::MIN));
        let (reserved, mut amount) = self.reserving;
        match now.since(reserved) < INTERVAL {
            // More of what ran short: what is reserved and not given counts as missing after a restart.
            true if mark.index > before => amount.0 = amount.0.saturating_mul(2),
            true => amount.1 = amount.1.saturating_mul(2),
            false => amount = RESERVED_MIN,
        }
        self.reserving = (now, amount);
        let progress = match mark.progress {
            EventTime::MIN | EventTime::MAX => progress_before,
            progress => progress_before.max(progress.plus(amount.1)),
        };
        let index = before.max(mark.index.saturating_add(amount.0));
        self.known.reserved = Some((index, progress));
        if !shelf.store.put_now(&shelf.name, wire::encode(&self.known)) {
            tracing::warn!(
                "a restart of this host may drop rows of a source: nothing could be reserved"
            );
        }
    }
}

fn note_name(shelf: &Shelf) -> String {
    format!("{}-at", shelf.name)
}

fn mark_of(says: &[u8]) -> Option<Mark> {
    let (index, progress) = wire::decode::<(u64, EventTime)>(says).ok()?;
    Some(mark(index, progress))
}

/// What is said of a place on the disk; up to when rows before it are due follows from the source's order.
const fn mark(index: u64, progress: EventTime) -> Mark {
    Mark {
        index,
        progress,
        due: progress,
    }
}

/// The name of the file of a source: of one application, as it was composed, and of one origin.
pub(crate) fn shelf_name(of: &impl bincode::Encode, origin: Origin) -> String {
    let hash = model::name::Digest::of(
        "synergy 2026 checkpoints",
        &[&wire::encode(of), &origin.0.to_le_bytes()],
    );
    format!("source-{}", hash.file_name())
}
