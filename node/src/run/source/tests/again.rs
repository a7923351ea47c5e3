//! Sources whose process is started again: with what stands on the disk, and with nothing else.

use std::collections::BTreeMap;
use std::path::Path;
use std::task::{Context as TaskContext, Poll, Wake, Waker};
use std::thread::{self, Thread as OsThread};

use engine::EdgeKind;
use engine::edge::{Arrival, Consumer};
use model::Arguments;

use super::*;
use crate::connector::{Context, SOURCES};
use crate::store::Store;

/// A clock that goes two hundred times as fast: a checkpoint each five milliseconds.
#[derive(Debug)]
struct Fast(MachineClock);

impl Clock for Fast {
    fn now(&self) -> Instant {
        Instant::ZERO + self.0.now().since(Instant::ZERO) * 200
    }

    fn thread_cpu(&self) -> Duration {
        self.0.thread_cpu()
    }
}

struct Parked(OsThread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits until something is ready, or for as long as a consumer may be silent without anybody noticing: a second of that clock.
fn wait<T>(mut poll: impl FnMut(&mut TaskContext<'_>) -> Poll<T>) -> Option<T> {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut cx = TaskContext::from_waker(&waker);
    for _ in 0..2 {
        match poll(&mut cx) {
            Poll::Ready(ready) => return Some(ready),
            Poll::Pending => thread::park_timeout(Duration::from_millis(5)),
        }
    }
    None
}

/// A reader on another host.
struct Elsewhere {
    consumer: Consumer,
    /// When a row is, when it is due, and what it says: by index.
    seen: BTreeMap<u64, (i64, i64, String)>,
    missing: u64,
    duplicates: u64,
    has_ended: bool,
}

impl Elsewhere {
    fn new() -> Self {
        Self {
            consumer: Consumer::latest(1 << 14),
            seen: BTreeMap::new(),
            missing: 0,
            duplicates: 0,
            has_ended: false,
        }
    }

    fn take(&mut self, batch: &Arc<Batch>) {
        let Arrival::Next(batch) = self.consumer.handle_batch(Arc::clone(batch)) else {
            self.duplicates += u64::try_from(batch.rows.len()).unwrap();
            return;
        };
        for (row, index) in batch.indices().enumerate() {
            let values = format!("{:?}", batch.rows.columns().slice(row, 1).columns());
            let row = (batch.rows.times()[row], batch.rows.dues()[row], values);
            assert_eq!(self.seen.insert(index, row), None, "row {index} came twice");
        }
        self.missing += u64::from(batch.header.missing);
        self.has_ended |= batch.header.progress == EventTime::MAX;
        let through = batch.header.interval.through();
        self.consumer.take(ORIGIN, through, through);
    }

    /// Reads from a host that is started anew until it was sent so many rows more, or all.
    fn read(&mut self, store: &Path, open: impl FnOnce() -> Box<dyn Source>, rows: usize) {
        let clock = Arc::new(Fast(MachineClock::start()));
        let runtime = Runtime::start(Config::default(), 1, clock.clone()).unwrap();
        let source = open();
        let outputs = vec![
            ("out".to_owned(), source.schema().clone()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ];
        let handle = runtime.handle();
        let (application, id) = handle.publish("s", ORIGIN, &outputs);
        let edge = handle.open_edge(id, 0, None, EdgeKind::Consumer).unwrap();
        let place = Place {
            handle: handle.clone(),
            application,
            id,
            idle_after: Duration::from_millis(5),
        };
        let shelf = Shelf {
            store: Store::open(store).unwrap(),
            name: "source".to_owned(),
        };
        let wanted = self.seen.len() + rows;
        self.consumer.turn();
        handle.handle_pull(edge, &self.consumer.pull()).unwrap();
        let source = Thread::new(place, source, ORIGIN, clock, Some(shelf));
        thread::scope(|scope| {
            scope.spawn(move || source.run());
            let mut batches = Vec::new();
            while self.seen.len() < wanted && !self.has_ended {
                let waited = wait(|cx| handle.poll_batches(edge, cx, &mut batches));
                batches.drain(..).for_each(|batch| self.take(&batch));
                let pull = match waited {
                    Some(open) => open.map(|()| self.consumer.pull()).unwrap(),
                    None => self.consumer.pull_all(),
                };
                handle.handle_pull(edge, &pull).unwrap();
            }
            handle.stop();
        });
    }
}

fn open(folder: &Path, path: &str) -> Box<dyn Source> {
    let kind = SOURCES.iter().find(|kind| kind.name == "file").unwrap();
    let time = vec![
        ("field".to_owned(), Scalar::from("at")),
        ("unit".to_owned(), Scalar::from("ms")),
        ("out_of_order".to_owned(), Scalar::Micros(40_000)),
    ];
    let arguments = [("path", Value::from(path)), ("time", Value::Table(time))];
    let context = Context {
        folder,
        clock: Arc::new(MachineClock::start()),
        epoch: EventTime(0),
    };
    let arguments: Arguments = arguments.into_iter().collect();
    (kind.open)(&arguments, &context).unwrap()
}

const ROWS: usize = 30_000;

fn write(folder: &Path, path: &str) {
    let mut text = String::from("at,text\n");
    for n in 0..ROWS {
        // Some are further out of order than is allowed, some are bad, and some go over lines.
        let at = if n > 1000 && n % 101 == 7 {
            "?".to_owned()
        } else {
            (i64::try_from(n).unwrap() * 10 - i64::try_from(n * 37 % 90).unwrap()).to_string()
        };
        text.push_str(&format!(
            "{at},\"row {n}{}\"\n",
            if n % 13 == 0 { "\n," } else { "" }
        ));
    }
    let text = text.as_bytes();
    let bytes = match path.ends_with(".gz") {
        true => {
            use std::io::Write;
            let level = flate2::Compression::fast();
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(text).unwrap();
            encoder.finish().unwrap()
        }
        false => text.to_vec(),
    };
    std::fs::write(folder.join(path), bytes).unwrap();
}

#[test]
fn a_file_is_read_on_from_where_its_reader_is_by_whoever_has_its_checkpoints() {
    for path in ["rows.csv", "rows.csv.gz"] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), path);
        let mut whole = Elsewhere::new();
        let kept = folder.path().join("whole");
        whole.read(&kept, || open(folder.path(), path), usize::MAX / 2);
        assert!(whole.has_ended);
        assert!(whole.seen.len() > ROWS * 9 / 10);

        let mut broken = Elsewhere::new();
        let kept = folder.path().join("broken");
        for rows in [1, 5_000, 3, 12_000, usize::MAX / 2] {
            broken.read(&kept, || open(folder.path(), path), rows);
        }
        assert!(broken.has_ended);
        assert_eq!(broken.seen, whole.seen, "{path}");
        assert_eq!(broken.missing, 0);
        assert_eq!(broken.duplicates, 0, "what it has is not sent again");
    }
}

#[test]
fn a_file_that_was_replaced_is_not_read_on() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "rows.csv");
    let mut source = open(folder.path(), "rows.csv");
    for _ in 0..4 {
        assert!(matches!(
            source.read(Duration::ZERO),
            Ok(Reading::Records(_))
        ));
    }
    let bookmark = source.bookmark().unwrap();
    let mut again = open(folder.path(), "rows.csv");
    again.go_to(&bookmark).unwrap();
    let texts = |source: &mut dyn Source| match source.read(Duration::ZERO) {
        Ok(Reading::Records(records)) => format!("{:?}", records.columns),
        other => panic!("{other:?}"),
    };
    assert_eq!(texts(&mut *again), texts(&mut *source));

    let text = std::fs::read_to_string(folder.path().join("rows.csv")).unwrap();
    std::fs::write(
        folder.path().join("rows.csv"),
        text.replace("row 4", "roe 4"),
    )
    .unwrap();
    let error = open(folder.path(), "rows.csv")
        .go_to(&bookmark)
        .unwrap_err();
    assert!(error.reason.contains("another file"), "{error}");
}

#[test]
fn what_cannot_be_read_again_goes_on_behind_all_that_it_has_given() {
    let folder = tempfile::tempdir().unwrap();
    let mut reader = Elsewhere::new();
    let mut last = (0, i64::MIN);
    for life in 0..6 {
        if life == 5 {
            // As after a failure of the system: nobody knows how much was given of what was reserved.
            std::fs::remove_file(folder.path().join("source-at")).unwrap();
        }
        let before = reader.seen.len();
        let (script, readings) = mpsc::sync_channel(8);
        for n in 0..4 {
            script.send(records(&[life * 1000 + n * 10])).unwrap();
        }
        let source = Scripted {
            schema: schema(),
            pace: Pace::default(),
            readings,
        };
        // Of some lives it goes away before it has all.
        let wanted = if life % 2 == 0 { 4 } else { 2 };
        reader.read(folder.path(), || Box::new(source), wanted);
        drop(script);
        let got = reader.seen.len() - before;
        assert!(got >= wanted, "each row is new to who reads");
        let (index, (_, due, _)) = reader.seen.last_key_value().unwrap();
        assert!((*index, *due) > last);
        last = (*index, *due);
        let known = u64::try_from(reader.seen.len()).unwrap() + reader.missing;
        assert_eq!(last.0, known, "what did not come is missing");
        let given = u64::try_from(life + 1).unwrap() * 4;
        match life {
            5 => assert!(reader.missing > 900, "{}", reader.missing),
            _ => assert!(last.0 <= given, "nothing else is: {last:?} of {given}"),
        }
    }
}
