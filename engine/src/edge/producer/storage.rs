//! Retention beyond the memory: who is too far behind for it is served out of a storage.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use model::{EdgeId, Origin};

use super::Producer;
use crate::batch::Batch;
use crate::edge::log::Log;
use crate::edge::storage::{Answer, Former, Order};
use crate::few::Few;

/// What of the share of memory may wait to be written: beyond that it is lost to who is behind, as if there were no storage.
///
/// Unit: divisor. Source: guess; so much more memory is used while the disk is busy.
const WRITING_DIVISOR: u64 = 2;

/// What a producer has in a storage.
#[derive(Debug, Default)]
pub(super) struct Storage {
    /// How many bytes may lie there. Unit: bytes; zero where there is no storage.
    bytes_max: u64,
    /// The next number.
    next: u64,
    /// What is being written, and is in memory still, by number: of which origin, and how many bytes.
    writing: Few<u64, (Origin, u64)>,
    /// What was asked for.
    reading: Few<u64, Origin>,
    orders: Vec<Order>,
}

impl Storage {
    pub(super) const fn new() -> Self {
        Self {
            bytes_max: 0,
            next: 0,
            writing: Few::new(),
            reading: Few::new(),
            orders: Vec::new(),
        }
    }
}

impl Producer {
    /// Stores at most so much from now on.
    pub const fn set_storage(&mut self, bytes_max: u64) {
        self.storage.bytes_max = bytes_max;
    }

    /// How many bytes lie in the storage.
    pub fn stored_bytes(&self) -> u64 {
        self.logs.values().map(Log::stored_bytes).sum()
    }

    /// How many bytes are on their way there, and in memory still.
    pub fn writing_bytes(&self) -> u64 {
        let writing = self.storage.writing.values();
        writing.map(|(_, bytes)| bytes).sum()
    }

    /// What the storage is to do since this was last asked.
    pub fn take_orders(&mut self) -> Vec<Order> {
        if self.storage.next == 0 {
            return Vec::new();
        }
        for log in self.logs.values_mut() {
            let dropped = log.take_dropped().into_iter().map(Order::Drop);
            self.storage.orders.extend(dropped);
        }
        for reader in self.readers.values_mut() {
            for (origin, number) in reader.take_awaited() {
                if self.storage.reading.insert(number, origin).is_none() {
                    self.storage.orders.push(Order::Read(number));
                }
            }
        }
        std::mem::take(&mut self.storage.orders)
    }

    /// Takes what came of an order, and sends what was waited for.
    pub fn handle_answer(&mut self, answer: Answer, out: &mut Vec<(EdgeId, Arc<Batch>)>) {
        let (number, batch) = match answer {
            Answer::Written(number) => {
                let written = self.storage.writing.remove(&number);
                let log = written.and_then(|(origin, _)| self.logs.get_mut(&origin));
                if let Some(log) = log {
                    log.written(number);
                }
                return;
            }
            Answer::Read(number, batch) => (number, batch),
        };
        let Some(origin) = self.storage.reading.remove(&number) else {
            return;
        };
        // It may have been released meanwhile, or is to be read again from the source.
        let is_held = self.goes_back().is_some();
        let Some(log) = self.logs.get_mut(&origin) else {
            return;
        };
        if !log.fetched(number, batch) || is_held {
            return;
        }
        for (id, reader) in self.readers.iter_mut() {
            reader.send(*id, origin, log, out);
        }
        log.put_back(number);
    }

    /// Lets the oldest that only those keep who are behind `kept` go to the storage. Says whether something did.
    pub(super) fn store_oldest(&mut self, kept: &Few<Origin, u64>) -> bool {
        let storage = &self.storage;
        let is_busy = self.writing_bytes() >= self.retention.bytes_max / WRITING_DIVISOR;
        if is_busy || self.stored_bytes() >= storage.bytes_max {
            return false;
        }
        let storable = self.logs.iter().filter_map(|(origin, log)| {
            let arrival = log.storable(*kept.get(origin)?)?;
            Some((arrival, *origin))
        });
        let Some((_, origin)) = storable.min() else {
            return false;
        };
        let number = self.storage.next + 1;
        let stored = self.logs.get_mut(&origin).and_then(|log| log.store(number));
        if let Some((order, bytes)) = stored {
            self.storage.next = number;
            self.storage.writing.insert(number, (origin, bytes));
            self.storage.orders.push(order);
            self.retained_bytes -= bytes;
        }
        true
    }

    /// Takes over what the storage has of the stream since another process, as it was written: its numbers count from one. This comes
    /// after [`Producer::restore`], and before anybody pulls: what lies before what was restored is served out of the storage.
    ///
    /// # Panics
    /// When something was stored before.
    pub fn recover(&mut self, former: Vec<Former>, schema: &SchemaRef) {
        assert!(self.storage.next == 0, "only a new producer takes over");
        let mut by_origin: BTreeMap<Origin, Vec<(u64, Former)>> = BTreeMap::new();
        for (number, former) in (1..).zip(former) {
            self.storage.next = number;
            let of_origin = by_origin.entry(former.header.origin).or_default();
            of_origin.push((number, former));
        }
        for (origin, former) in by_origin {
            if let Some(log) = self.logs.remove(&origin) {
                self.logs.insert(origin, log.behind_former(former, schema));
            } else {
                let dropped = former.into_iter().map(|(number, _)| Order::Drop(number));
                self.storage.orders.extend(dropped);
            }
        }
    }

    /// Nothing of a log is wanted any more.
    pub(super) fn drop_stored(&mut self, mut log: Log) {
        let dropped = log.all_stored().into_iter().map(Order::Drop);
        self.storage.orders.extend(dropped);
    }

    /// Nothing is wanted any more: what the storage has of it is to go.
    pub fn drop_all_stored(&mut self) -> Vec<Order> {
        for log in self.logs.values_mut() {
            let dropped = log.all_stored().into_iter().map(Order::Drop);
            self.storage.orders.extend(dropped);
        }
        std::mem::take(&mut self.storage.orders)
    }
}
