//! The thread of the storage: what the engine retains beyond its memory lies in segments of the data folder.

use std::collections::BTreeMap;
use std::io::Error;
use std::path::Path;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use engine::edge::storage::{Answer, Order};
use engine::runtime::Handle;
use engine::{Batch, Slot, frame};
use model::Instant;

use crate::segments::{Segments, Spot};

/// What the storage knows of a batch that lies in it.
#[derive(Debug)]
struct Stored {
    spot: Spot,
    /// When it arrived at its source: that is no time of another process.
    arrival: Instant,
    schema: SchemaRef,
}

/// The storage of a node.
#[derive(Debug)]
struct Storage {
    segments: Segments,
    /// What all segments may take. Unit: bytes.
    bytes_max: u64,
    stored: BTreeMap<(Slot, u64), Stored>,
}

/// Carries out what the engine orders on a thread of its own, until the runtime stops.
///
/// # Errors
/// When the folder cannot be used, or the system gives no thread.
pub(super) fn start(engine: Handle, folder: &Path, bytes_max: u64) -> Result<(), Error> {
    let (mut segments, former) = Segments::open(folder)?;
    // Who asks for it now asks its source, or who holds the state that it was made of: its components have gone with their process.
    former.into_iter().try_for_each(|it| segments.release(it))?;
    let mut storage = Storage {
        segments,
        bytes_max,
        stored: BTreeMap::new(),
    };
    let serve = move || {
        loop {
            let orders = engine.wait_for_orders();
            if orders.is_empty() {
                return;
            }
            for (slot, order) in orders {
                if let Some(answer) = storage.carry_out(slot, order) {
                    engine.handle_answer(slot, answer);
                }
            }
        }
    };
    let thread = std::thread::Builder::new().name("storage".to_owned());
    thread.spawn(serve).map(drop)
}

impl Storage {
    fn carry_out(&mut self, slot: Slot, order: Order) -> Option<Answer> {
        match order {
            Order::Write(number, batch) => {
                match self.write(&batch) {
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
                if let Some(stored) = self.stored.remove(&(slot, number))
                    && let Err(error) = self.segments.release(stored.spot)
                {
                    tracing::warn!(%error, "a file of the storage is left behind");
                }
                None
            }
        }
    }

    fn write(&mut self, batch: &Batch) -> Result<Stored, Error> {
        let arrival = batch.header.arrival;
        let mut bytes = Vec::new();
        frame::encode_batch(arrival, arrival, batch, &mut bytes).map_err(Error::other)?;
        if self.segments.bytes() + model::convert::size(bytes.len()) > self.bytes_max {
            return Err(std::io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Stored {
            spot: self.segments.append(&bytes)?,
            arrival,
            schema: batch.rows.columns().schema(),
        })
    }

    fn read(&self, stored: &Stored) -> Result<Batch, Error> {
        let bytes = self.segments.read(stored.spot)?;
        let received = frame::decode_batch(&bytes, &stored.schema, stored.arrival);
        let received = received.map_err(Error::other)?;
        Ok(received.after(std::time::Duration::ZERO))
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};

    use engine::edge::{Arrival, Consumer};
    use engine::intake::{Intake, Records};
    use engine::runtime::Runtime;
    use engine::{EdgeKind, Header, Rows, Token, columns};
    use model::{ComponentId, DataType, EdgeId, EventTime, Field, Interval, Origin, Schema};

    use super::*;

    fn batch(n: u64) -> Arc<Batch> {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100));
        let texts = (0..100).map(|it| format!("row {it} of {n}"));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values(texts));
        let columns = [("n", numbers, true), ("text", texts, true)];
        let columns = RecordBatch::try_from_iter_with_nullable(columns).unwrap();
        Arc::new(Batch {
            header: Header {
                origin: Origin(1),
                interval: Interval::new(n * 100, n * 100 + 100),
                arrival: Instant::from_nanos(n * 1_234_567),
                progress: EventTime(17),
                token: Token::At(Instant::from_nanos(5)),
                missing: 3,
                note: None,
            },
            rows: Rows::dense(columns, (0..100).collect(), None),
        })
    }

    fn open(folder: &Path, bytes_max: u64) -> Storage {
        Storage {
            segments: Segments::open(folder).unwrap().0,
            bytes_max,
            stored: BTreeMap::new(),
        }
    }

    fn read(storage: &mut Storage, slot: Slot, number: u64) -> Option<Arc<Batch>> {
        match storage.carry_out(slot, Order::Read(number)) {
            Some(Answer::Read(of, batch)) if of == number => batch,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_was_written_is_read_as_it_was_until_it_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = open(folder.path(), 1 << 20);
        let slots = [1, 2].map(|it| Slot {
            component: ComponentId(it),
            port: 0,
        });
        for n in 0..20 {
            let slot = slots[usize::from(n % 2 == 0)];
            let answer = storage.carry_out(slot, Order::Write(n, batch(n)));
            assert!(matches!(answer, Some(Answer::Written(of)) if of == n));
        }
        for n in 0..20 {
            let slot = slots[usize::from(n % 2 == 0)];
            assert_eq!(read(&mut storage, slot, n), Some(batch(n)));
            assert_eq!(read(&mut storage, slots[usize::from(n % 2 != 0)], n), None);
            assert!(storage.carry_out(slot, Order::Drop(n)).is_none());
            assert_eq!(read(&mut storage, slot, n), None);
        }
        assert_eq!(storage.segments.bytes(), 0);
    }

    #[test]
    fn no_more_lies_there_than_may_and_who_asks_for_the_rest_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = open(folder.path(), 20_000);
        let slot = Slot {
            component: ComponentId(1),
            port: 0,
        };
        for n in 0..20 {
            storage.carry_out(slot, Order::Write(n, batch(n)));
        }
        let there: Vec<bool> = (0..20)
            .map(|n| read(&mut storage, slot, n).is_some())
            .collect();
        assert!(there[0] && !there[19], "{there:?}");
        assert!(storage.segments.bytes() <= 20_000);
    }

    /// Who looks at a stream of a running engine and takes all of it.
    struct Looker {
        edge: EdgeId,
        consumer: Consumer,
        rows: u64,
        missing: u64,
    }

    impl Looker {
        fn open(engine: &Handle, source: ComponentId) -> Self {
            let edge = engine
                .open_edge(source, 0, None, EdgeKind::Consumer)
                .unwrap();
            let mut consumer = Consumer::latest(1 << 20);
            engine.handle_pull(edge, &consumer.pull()).unwrap();
            Self {
                edge,
                consumer,
                rows: 0,
                missing: 0,
            }
        }

        /// Takes what is there; whether it pulls for more is up to the caller.
        fn take(&mut self, engine: &Handle) {
            let mut cx = Context::from_waker(Waker::noop());
            let mut batches = Vec::new();
            let _ = engine.poll_batches(self.edge, &mut cx, &mut batches);
            for arrived in batches {
                let Arrival::Next(next) = self.consumer.handle_batch(arrived) else {
                    panic!("what comes is next");
                };
                self.rows += u64::try_from(next.rows.len()).unwrap();
                self.missing += u64::from(next.header.missing);
                let through = next.header.interval.through();
                self.consumer.take(next.header.origin, through, through);
            }
        }

        fn pull(&mut self, engine: &Handle) {
            let pull = self.consumer.pull_all();
            engine.handle_pull(self.edge, &pull).unwrap();
        }
    }

    #[test]
    fn a_slow_reader_beside_a_fast_one_gets_all_of_it_from_the_disk() {
        let folder = tempfile::tempdir().unwrap();
        let config = engine::Config {
            memory_bytes: engine::MEMORY_MIN,
            disk_bytes: 64 << 20,
            ..engine::Config::default()
        };
        let clock = Arc::new(crate::clock::MachineClock::start());
        let runtime = Runtime::start(config, 1, clock).unwrap();
        let engine = runtime.handle();
        start(engine.clone(), folder.path(), 64 << 20).unwrap();
        let fields = vec![Field::new("n", DataType::Int64)];
        let schema = Schema::new(fields).unwrap();
        let outputs = vec![("out".to_owned(), schema.clone())];
        let (_, source) = engine.publish("numbers", Origin(1), &outputs);
        let [mut fast, mut slow] = [(); 2].map(|()| Looker::open(&engine, source));
        let mut intake = Intake::new(Origin(1), 0);
        let (rows, batches) = (1000u32, 400);
        for n in 0..batches {
            let numbers: ArrayRef = Arc::new(Int64Array::from(vec![n; 1000]));
            let columns = RecordBatch::try_new(columns::to_arrow(&schema), vec![numbers]);
            let records = Records {
                count: rows,
                columns: columns.unwrap(),
                times: vec![n; 1000],
                places: (0..rows).collect(),
                bad: Vec::new(),
            };
            engine.offer(source, intake.take(Instant::ZERO, records));
            fast.take(&engine);
            fast.pull(&engine);
            while engine.writing_bytes() > 0 {
                std::thread::yield_now();
            }
        }
        let all = u64::from(rows) * u64::try_from(batches).unwrap();
        assert_eq!((fast.rows, fast.missing), (all, 0));
        assert!(engine.stored_bytes() > 0);
        while slow.rows < all {
            slow.take(&engine);
            slow.pull(&engine);
        }
        assert_eq!((slow.rows, slow.missing), (all, 0));
        assert_eq!(engine.stored_bytes(), 0);
    }
}
