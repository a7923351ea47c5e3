//! The state of an operator on this host's disk: the pieces of its state stream, as another host that holds it would have got them.
//!
//! A log has *generations*, each a whole state and increments on it; a record is the generation's number, eight bytes, little-endian, and a piece as it
//! is on the wire. Segments check each record. What is missing of a generation, for whatever reason, ends it there: an increment names the one that it adds to,
//! and counts only when all of it is there. A generation goes as soon as a later one has a whole state.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use engine::state::{Resumed, Shadow};
use engine::{OperatorDeployment, frame};
use model::{Instant, convert};

use crate::segments::{Segments, Spot};

/// What increments may take before a new generation begins, beside twice what the whole state took.
///
/// Unit: bytes. Source: guess; a state of a few kilobytes is written whole once in thousands of increments.
const INCREMENTS_BYTES: u64 = 4 << 20;

/// How much all logs of a host take, and may take. Unit: bytes.
#[derive(Debug, Clone)]
pub(super) struct Allowance {
    pub(super) taken: Arc<AtomicU64>,
    pub(super) most: u64,
}

/// The state of one operator on the disk.
#[derive(Debug)]
pub(super) struct StateLog {
    segments: Segments,
    generations: BTreeMap<u64, Vec<Spot>>,
    /// The generation that is written; nothing where none was begun.
    current: u64,
    /// What its whole state took, once that is there, and all of it. Unit: bytes.
    whole_bytes: Option<u64>,
    bytes: u64,
    allowance: Allowance,
    /// What of the allowance is this one's.
    entered: u64,
}

impl StateLog {
    /// The log in a folder, which is made where it is not there. What was torn is cut off.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn open(folder: &Path, allowance: Allowance) -> Result<Self, Error> {
        let (segments, spots) = Segments::open(folder)?;
        let mut generations: BTreeMap<u64, Vec<Spot>> = BTreeMap::new();
        for spot in spots {
            let record = segments.read(spot)?;
            let (number, _) = record
                .split_first_chunk()
                .ok_or_else(|| Error::from(ErrorKind::InvalidData))?;
            let generation = generations.entry(u64::from_le_bytes(*number));
            generation.or_default().push(spot);
        }
        let current = generations.last_key_value().map_or(0, |(last, _)| *last);
        let mut log = Self {
            segments,
            generations,
            current,
            whole_bytes: None,
            bytes: 0,
            allowance,
            entered: 0,
        };
        log.enter();
        Ok(log)
    }

    /// The operator in the last state that is whole, and how many bytes that holds; nothing where none is. `compile` makes the operator anew.
    pub(super) fn resume(
        &self,
        compile: impl Fn() -> Result<OperatorDeployment, String>,
        bytes_max: u64,
        now: Instant,
    ) -> Option<(Resumed, u64)> {
        let shadow = self.last_whole(compile, bytes_max, now)?;
        let bytes = shadow.bytes();
        Some((shadow.activate()?, bytes))
    }

    fn last_whole(
        &self,
        compile: impl Fn() -> Result<OperatorDeployment, String>,
        bytes_max: u64,
        now: Instant,
    ) -> Option<Shadow> {
        let mut generations = self.generations.values().rev();
        generations.find_map(|spots| {
            let mut shadow = Shadow::new(compile().ok()?, bytes_max);
            let schemas = shadow.schemas().to_vec();
            for spot in spots {
                let record = self.segments.read(*spot).ok()?;
                let (_, piece) = record.split_first_chunk::<8>()?;
                let piece = frame::decode_piece(piece, &schemas, now).ok()?;
                // What does not fit breaks what was held before.
                shadow.handle_piece(now, piece).ok()?;
            }
            shadow.standing().is_some().then_some(shadow)
        })
    }

    /// A whole state is going to be written, and then what changes of it.
    pub(super) fn begin(&mut self) {
        self.current += 1;
        self.whole_bytes = None;
        self.bytes = 0;
    }

    /// Writes a piece as it is on the wire.
    ///
    /// # Errors
    /// When the disk does not take it, or all logs take as much as they may. Then this generation is at its end.
    pub(super) fn append(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.allowance.taken.load(Ordering::Relaxed) > self.allowance.most {
            return Err(Error::new(
                ErrorKind::QuotaExceeded,
                "states take as much of the disk as they may",
            ));
        }
        let mut record = Vec::with_capacity(8 + piece.len());
        record.extend_from_slice(&self.current.to_le_bytes());
        record.extend_from_slice(piece);
        let spot = self.segments.append(&record)?;
        self.generations.entry(self.current).or_default().push(spot);
        self.bytes += convert::size(record.len());
        self.enter();
        Ok(())
    }

    /// All pieces of an increment were written: says so when they are on the disk. What was there before a whole state goes.
    ///
    /// # Errors
    /// When the disk did not take them.
    pub(super) fn complete(&mut self) -> Result<(), Error> {
        self.segments.sync()?;
        if self.whole_bytes.is_none() {
            self.whole_bytes = Some(self.bytes);
            let current = self.generations.split_off(&self.current);
            let former = std::mem::replace(&mut self.generations, current);
            for spot in former.into_values().flatten() {
                self.segments.release(spot)?;
            }
            self.enter();
        }
        Ok(())
    }

    /// Whether a whole state anew would take much less than what there is.
    pub(super) fn is_long(&self) -> bool {
        let whole = self.whole_bytes.unwrap_or(u64::MAX);
        self.bytes > whole.saturating_mul(3).saturating_add(INCREMENTS_BYTES)
    }

    /// Enters what it takes into the account of all.
    fn enter(&mut self) {
        let taken = &self.allowance.taken;
        taken.fetch_add(self.segments.bytes(), Ordering::Relaxed);
        taken.fetch_sub(self.entered, Ordering::Relaxed);
        self.entered = self.segments.bytes();
    }
}

impl Drop for StateLog {
    fn drop(&mut self) {
        self.allowance
            .taken
            .fetch_sub(self.entered, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
