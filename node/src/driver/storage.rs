//! The storage: what the engine retains beyond its memory lies in segments of the data folder. A thread of its own carries out orders.
//!
//! A record is two bytes of length, little-endian, what is said of a batch ([`Label`]), and the batch as it is on the wire. Of operators whose state
//! outlives their process that says whose it is: a new process finds it, and the operator that goes on from its state takes it over. What nobody takes over
//! makes room for what comes.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_schema::SchemaRef;
use engine::edge::storage::{Answer, Former, Order};
use engine::runtime::Handle;
use engine::{Batch, Slot, frame};
use model::{ComponentId, CompositionId, Instant, convert, wire};

use crate::segments::{Segments, Spot};

/// An operator, as it is called also by the next process: by its place in the plan.
pub(super) type Place = (CompositionId, u16);

/// What is said of a batch that lies in the storage.
#[derive(Debug, Clone, bincode::Encode, bincode::Decode)]
struct Label {
    /// Whose it is, and of which output port; nothing where it does not outlive the process.
    of: Option<(Place, u16)>,
    rows: u64,
    bytes: u64,
    told: u64,
}

/// What the storage knows of a batch that lies in it.
#[derive(Debug)]
struct Stored {
    spot: Spot,
    /// When it arrived at its source: that is no time of another process.
    arrival: Instant,
    schema: SchemaRef,
}

/// The storage of a node, for all who use it: held for the time of one order.
#[derive(Debug, Clone)]
pub(super) struct Shared(Arc<Mutex<Storage>>);

/// The storage of a node.
#[derive(Debug)]
struct Storage {
    segments: Segments,
    /// What all segments may take. Unit: bytes.
    bytes_max: u64,
    stored: BTreeMap<(Slot, u64), Stored>,
    /// The operators here whose batches outlive this process.
    places: BTreeMap<ComponentId, Place>,
    /// What another process has left, in the order in which it was written.
    former: BTreeMap<(Place, u16), Vec<(Spot, Former)>>,
}

impl Shared {
    /// The storage in a folder, with what another process has left of operators that may go on.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn open(folder: &Path, bytes_max: u64, now: Instant) -> Result<Self, Error> {
        let storage = Storage::open(folder, bytes_max, now)?;
        Ok(Self(Arc::new(Mutex::new(storage))))
    }

    /// Carries out what the engine orders on a thread of its own, until the runtime stops.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(super) fn start(&self, engine: Handle) -> Result<(), Error> {
        let this = self.clone();
        let serve = move || {
            loop {
                let orders = engine.wait_for_orders();
                if orders.is_empty() {
                    return;
                }
                for (slot, order) in orders {
                    let answer = this.lock().carry_out(slot, order);
                    if let Some(answer) = answer {
                        engine.handle_answer(slot, answer);
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("storage".to_owned());
        thread.spawn(serve).map(drop)
    }

    /// Gives an output port of an operator that goes on, in the order in which it was written, what another process has left of it. It counts
    /// as having arrived when the storage was opened.
    pub(super) fn take_over(
        &self,
        (place, slot): (Place, Slot),
        schema: &SchemaRef,
    ) -> Vec<Former> {
        self.lock().take_over((place, slot), schema)
    }

    /// What is stored of an operator outlives this process from now on. What is left of it from before is not wanted any more.
    pub(super) fn keep(&self, component: ComponentId, place: Place) {
        let mut storage = self.lock();
        storage.forget(place);
        storage.places.insert(component, place);
    }

    /// Nobody will go on from what is stored of an operator.
    pub(super) fn forget(&self, place: Place) {
        self.lock().forget(place);
    }

    fn lock(&self) -> MutexGuard<'_, Storage> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Storage {
    fn open(folder: &Path, bytes_max: u64, now: Instant) -> Result<Self, Error> {
        let (mut segments, spots) = Segments::open(folder)?;
        let mut former: BTreeMap<(Place, u16), Vec<(Spot, Former)>> = BTreeMap::new();
        for spot in spots {
            let record = segments.read(spot)?;
            match read_former(&record, now) {
                Some((of, found)) => former.entry(of).or_default().push((spot, found)),
                // Its component has gone with its process.
                None => segments.release(spot)?,
            }
        }
        Ok(Self {
            segments,
            bytes_max,
            stored: BTreeMap::new(),
            places: BTreeMap::new(),
            former,
        })
    }

    fn carry_out(&mut self, slot: Slot, order: Order) -> Option<Answer> {
        match order {
            Order::Write(number, told, batch) => {
                match self.write(slot, told, &batch) {
                    Ok(stored) => drop(self.stored.insert((slot, number), stored)),
                    Err(error) => tracing::warn!(%error, "rows that wait are not stored"),
                }
                Some(Answer::Written(number))
            }
            Order::Read(number) => {
                let stored = self.stored.get(&(slot, number));
                let batch = stored.map(|stored| self.read(stored)).transpose();
                let batch = batch.unwrap_or_else(|error| {
                    tracing::warn!(%error, "rows that were stored are lost");
                    None
                });
                Some(Answer::Read(number, batch.map(Arc::new)))
            }
            Order::Drop(number) => {
                if let Some(stored) = self.stored.remove(&(slot, number)) {
                    self.release(stored.spot);
                }
                None
            }
        }
    }

    fn write(&mut self, slot: Slot, told: u64, batch: &Batch) -> Result<Stored, Error> {
        let arrival = batch.header.arrival;
        let label = wire::encode(&Label {
            of: self.places.get(&slot.component).map(|it| (*it, slot.port)),
            rows: convert::size(batch.rows.len()),
            bytes: convert::size(batch.rows.bytes()),
            told,
        });
        let len = u16::try_from(label.len()).map_err(Error::other)?;
        let mut bytes = len.to_le_bytes().to_vec();
        bytes.extend_from_slice(&label);
        frame::encode_batch(arrival, arrival, batch, &mut bytes).map_err(Error::other)?;
        self.make_room(convert::size(bytes.len()));
        if self.segments.bytes() + convert::size(bytes.len()) > self.bytes_max {
            return Err(ErrorKind::QuotaExceeded.into());
        }
        Ok(Stored {
            spot: self.segments.append(&bytes)?,
            arrival,
            schema: batch.rows.columns().schema(),
        })
    }

    fn read(&self, stored: &Stored) -> Result<Batch, Error> {
        let bytes = self.segments.read(stored.spot)?;
        let (_, bytes) = split(&bytes).ok_or(ErrorKind::InvalidData)?;
        let received = frame::decode_batch(bytes, &stored.schema, stored.arrival);
        let received = received.map_err(Error::other)?;
        Ok(received.after(std::time::Duration::ZERO))
    }

    fn take_over(&mut self, (place, slot): (Place, Slot), schema: &SchemaRef) -> Vec<Former> {
        let left = self.former.remove(&(place, slot.port)).unwrap_or_default();
        let mut taken = Vec::with_capacity(left.len());
        // As the engine numbers them.
        for (number, (spot, former)) in (1..).zip(left) {
            let stored = Stored {
                spot,
                arrival: former.header.arrival,
                schema: schema.clone(),
            };
            self.stored.insert((slot, number), stored);
            taken.push(former);
        }
        taken
    }

    /// Lets go of what nobody has taken over, where so many bytes more are to be written.
    fn make_room(&mut self, bytes: u64) {
        while self.segments.bytes() + bytes > self.bytes_max
            && let Some((_, left)) = self.former.pop_first()
        {
            left.into_iter().for_each(|(spot, _)| self.release(spot));
        }
    }

    fn forget(&mut self, place: Place) {
        self.places.retain(|_, it| *it != place);
        let ports: Vec<(Place, u16)> = self
            .former
            .range((place, 0)..=(place, u16::MAX))
            .map(|(of, _)| *of)
            .collect();
        for of in ports {
            let left = self.former.remove(&of).unwrap_or_default();
            left.into_iter().for_each(|(spot, _)| self.release(spot));
        }
    }

    fn release(&mut self, spot: Spot) {
        if let Err(error) = self.segments.release(spot) {
            tracing::warn!(%error, "something of the storage is left behind");
        }
    }
}

/// What is said of a batch, and the batch.
fn split(record: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = record.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*len).into())
}

/// What another process has left, and whose it is; nothing where it did not outlive that.
fn read_former(record: &[u8], now: Instant) -> Option<((Place, u16), Former)> {
    let (label, batch) = split(record)?;
    let label: Label = wire::decode(label).ok()?;
    let former = Former {
        header: frame::decode_header(batch, now).ok()?,
        rows: label.rows,
        bytes: label.bytes,
        told: label.told,
    };
    Some((label.of?, former))
}

#[cfg(test)]
mod tests;
