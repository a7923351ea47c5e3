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
    Storage::open(folder, bytes_max, Instant::ZERO).unwrap()
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
        let answer = storage.carry_out(slot, Order::Write(n, 0, batch(n)));
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
        storage.carry_out(slot, Order::Write(n, 0, batch(n)));
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
    let storage = Shared::open(folder.path(), 64 << 20, Instant::ZERO).unwrap();
    storage.start(engine.clone()).unwrap();
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

const PLACE: Place = (
    CompositionId {
        node: model::NodeId([7; 32]),
        number: 3,
    },
    1,
);

const SLOT: Slot = Slot {
    component: ComponentId(5),
    port: 0,
};

/// Twenty batches of an operator that outlives its process, each with one of another one that does not; of the former the first five were
/// dropped. Gives the files.
fn left_by_another(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut storage = open(folder, 1 << 20);
    storage.places.insert(SLOT.component, PLACE);
    let other = Slot {
        component: ComponentId(6),
        port: 0,
    };
    for n in 0..20 {
        storage.carry_out(SLOT, Order::Write(n, n * 100, batch(n)));
        storage.carry_out(other, Order::Write(n, 0, batch(n)));
    }
    for n in 0..5 {
        storage.carry_out(SLOT, Order::Drop(n));
    }
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().path()).collect()
}

/// The batches that who goes on finds.
fn found(storage: &mut Storage) -> Vec<u64> {
    let schema = batch(0).rows.columns().schema();
    let former = storage.take_over((PLACE, SLOT), &schema);
    let mut found = Vec::new();
    for (number, former) in (1..).zip(former) {
        let n = former.header.interval.after() / 100;
        let said = (former.told, former.rows);
        assert_eq!(said, (n * 100, 100));
        let read = read(storage, SLOT, number).unwrap();
        assert_eq!(read.rows, batch(n).rows);
        assert_eq!(read.header.interval, batch(n).header.interval);
        assert_eq!(
            (read.header.progress, read.header.missing),
            (EventTime(17), 3)
        );
        storage.carry_out(SLOT, Order::Drop(number));
        found.push(n);
    }
    found
}

#[test]
fn another_process_finds_what_is_wanted_of_who_goes_on_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    left_by_another(folder.path());
    let mut storage = open(folder.path(), 1 << 20);
    assert_eq!(storage.former.len(), 1);
    assert_eq!(found(&mut storage), (5..20).collect::<Vec<_>>());
    assert_eq!(found(&mut storage), [] as [u64; 0], "it is taken over once");
    assert_eq!(storage.segments.bytes(), 0);
}

#[test]
fn of_a_file_that_is_torn_or_damaged_anywhere_what_is_whole_is_found_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let [file] = left_by_another(folder.path()).try_into().unwrap();
    let whole = std::fs::read(&file).unwrap();
    for place in (0..whole.len()).step_by(whole.len() / 301) {
        std::fs::write(&file, &whole[..place]).unwrap();
        let torn = found(&mut open(folder.path(), 1 << 20));
        let count = u64::try_from(torn.len()).unwrap();
        assert_eq!(torn, (5..5 + count).collect::<Vec<_>>(), "cut at {place}");

        let mut damaged = whole.clone();
        damaged[place] ^= 0x41;
        std::fs::write(&file, &damaged).unwrap();
        let left = found(&mut open(folder.path(), 1 << 20));
        assert!(left.is_sorted(), "damaged at {place}: {left:?}");
        assert!(left.len() >= torn.len(), "damaged at {place}: {left:?}");
        if file.exists() {
            std::fs::remove_file(&file).unwrap();
        }
    }
}

#[test]
fn what_nobody_takes_over_makes_room() {
    let folder = tempfile::tempdir().unwrap();
    left_by_another(folder.path());
    let mut storage = open(folder.path(), 1 << 20);
    let left = storage.segments.bytes();
    storage.bytes_max = left + 1000;
    assert!(matches!(
        storage.carry_out(SLOT, Order::Write(1, 0, batch(1))),
        Some(Answer::Written(1))
    ));
    assert!(storage.segments.bytes() < left);
    assert_eq!(read(&mut storage, SLOT, 1), Some(batch(1)));
    assert!(storage.former.is_empty());

    left_by_another(folder.path());
    let mut storage = open(folder.path(), 1 << 20);
    storage.forget(PLACE);
    assert_eq!(found(&mut storage), [] as [u64; 0]);
    assert_eq!(storage.segments.bytes(), 0);
}
