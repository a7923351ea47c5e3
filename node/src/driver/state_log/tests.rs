//! Logs that are torn, damaged and begun anew.

use std::fs;
use std::path::PathBuf;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use engine::edge::{Mark, Retained};
use engine::state::{Item, Piece, Standing};
use engine::{Batch, Header, Rows, Token};
use model::{EventTime, Interval, NodeId, Origin, Positions, Rng};

use super::*;
use crate::application::{self, Host, Kinds};
use crate::clock::MachineClock;
use crate::driver::deploy::compile;

const ORIGIN: Origin = Origin(1);

/// How many rows an increment has.
const ROWS: u64 = 10;

/// A folder for a log, and an operator whose state it is.
struct Bed {
    folder: tempfile::TempDir,
    plan: model::QueryPlan,
}

impl Bed {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("in.csv"), "n\n1\n2\n").unwrap();
        let clock = Arc::new(MachineClock::start());
        let host = Host {
            owner: NodeId([1; 32]),
            node: NodeId([1; 32]),
            streams: Some(BTreeMap::new()),
            clock: clock.clone(),
            epoch: clock.epoch(),
        };
        let text = "name = \"a\"\n[source.rows]\nconnector = \"file\"\npath = \"in.csv\"\n\
                    [operator.some]\nuse = \"filter\"\nfrom = \"rows\"\nwhere = \"n >= 0\"\n\
                    [sink.out]\nfrom = \"some\"\nconnector = \"discard\"\n";
        let file = folder.path().join("app.toml");
        let application = application::load_text(text, &file, &Kinds::ALL, &host).unwrap();
        Self {
            folder,
            plan: application.plan,
        }
    }

    fn log_folder(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn open(&self) -> StateLog {
        StateLog::open(&self.log_folder(), allowance(1 << 20)).unwrap()
    }

    /// The one file that the log has.
    fn file(&self) -> PathBuf {
        let mut files = fs::read_dir(self.log_folder()).unwrap();
        let file = files.next().unwrap().unwrap().path();
        assert!(files.next().is_none());
        file
    }

    /// How many increments the log holds, where what it holds is as it was written.
    fn held(&self, log: &StateLog) -> u64 {
        let compile = || compile(&self.plan, 0);
        let Some(shadow) = log.last_whole(compile, 1 << 20, Instant::ZERO) else {
            return 0;
        };
        let standing = shadow.standing().unwrap();
        let count = standing.inputs[0].through(ORIGIN).unwrap() / ROWS;
        let batches = &standing.outputs[0][0].batches;
        let there = batches
            .iter()
            .map(|it| (it.header.interval, it.rows.columns().clone()));
        let expected =
            (1..=count).map(|n| (batch(n).header.interval, batch(n).rows.columns().clone()));
        assert!(there.eq(expected), "{count} increments: {standing:?}");
        count
    }

    /// Writes an increment; the one before is held.
    fn write(&self, log: &mut StateLog, number: u64, base: u64) {
        let new = base + 1..=number;
        let retained = new.map(|n| Item::Retained {
            port: 0,
            batch: batch(n),
        });
        let compiled = compile(&self.plan, 0).unwrap();
        let mut outputs = vec![Vec::new(); compiled.compiled.outputs.len()];
        outputs[0].push(Retained {
            origin: ORIGIN,
            released: Mark::BEGINNING,
            progress: EventTime(i64::try_from(number).unwrap()),
            after: base * ROWS,
            batches: Vec::new(),
        });
        let standing = Item::Standing(Standing {
            inputs: vec![Positions::from_iter([(ORIGIN, number * ROWS)])],
            counted: None,
            outputs,
            late: 0,
            bad: 0,
        });
        for (place, item) in (0..).zip(retained.chain([standing])) {
            let (mut bytes, now) = (Vec::new(), Instant::ZERO);
            let piece = Piece {
                number,
                base,
                place,
                item,
            };
            frame::encode_piece(now, now, &piece, &mut bytes).unwrap();
            log.append(&bytes).unwrap();
        }
        log.complete().unwrap();
    }
}

fn allowance(most: u64) -> Allowance {
    Allowance {
        taken: Arc::default(),
        most,
    }
}

fn batch(n: u64) -> Arc<Batch> {
    let first = i64::try_from(n * ROWS).unwrap();
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + 10));
    let columns = RecordBatch::try_from_iter_with_nullable([("n", numbers, true)]).unwrap();
    Arc::new(Batch {
        header: Header {
            origin: ORIGIN,
            interval: Interval::new((n - 1) * ROWS, n * ROWS),
            arrival: Instant::ZERO,
            progress: EventTime(i64::try_from(n).unwrap()),
            token: Token::Unmetered,
            missing: 0,
            note: None,
        },
        rows: Rows::dense(columns, (0..10).collect(), None),
    })
}

/// A log of so many increments, and where each ends in its file.
fn written(bed: &Bed, count: u64) -> (Vec<u8>, Vec<usize>) {
    let mut log = bed.open();
    log.begin();
    let mut ends = Vec::new();
    for number in 1..=count {
        bed.write(&mut log, number, number - 1);
        ends.push(fs::read(bed.file()).unwrap().len());
    }
    assert_eq!(bed.held(&log), count);
    (fs::read(bed.file()).unwrap(), ends)
}

#[test]
fn of_a_log_that_is_torn_or_damaged_anywhere_what_lies_before_is_resumed_and_nothing_else() {
    let bed = Bed::new();
    let (whole, ends) = written(&bed, 12);
    let file = bed.file();
    let mut rng = Rng::from_seed(1);
    let len = u64::try_from(whole.len()).unwrap();
    for turn in 0..300 {
        let at = usize::try_from(rng.below(len)).unwrap();
        let mut bytes = whole.clone();
        match turn % 2 {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << rng.below(8),
        }
        fs::write(&file, bytes).unwrap();
        let held = bed.held(&bed.open());
        let expected = ends.iter().filter(|end| **end <= at).count();
        assert_eq!(held, u64::try_from(expected).unwrap(), "at {at} of {len}");
        // An empty log goes with its file.
        fs::write(&file, &whole).unwrap();
    }
    assert_eq!(bed.held(&bed.open()), 12);
}

#[test]
fn a_state_goes_when_a_later_one_is_whole_and_not_before() {
    let bed = Bed::new();
    written(&bed, 5);
    let mut log = bed.open();
    assert_eq!(bed.held(&log), 5);
    log.begin();
    let piece = vec![0x23; 40];
    log.append(&piece).unwrap();
    drop(log);
    // The process ended before its first state was whole.
    let mut log = bed.open();
    assert_eq!(bed.held(&log), 5);
    log.begin();
    bed.write(&mut log, 1, 0);
    assert_eq!(log.generations.len(), 1);
    bed.write(&mut log, 2, 1);
    assert_eq!(bed.held(&log), 2);
    drop(log);
    assert_eq!(bed.held(&bed.open()), 2);
}

#[test]
fn an_increment_whose_base_is_lost_is_not_taken() {
    let bed = Bed::new();
    let mut log = bed.open();
    log.begin();
    bed.write(&mut log, 1, 0);
    bed.write(&mut log, 3, 2);
    assert_eq!(bed.held(&log), 1);
}

#[test]
fn no_more_is_written_than_all_logs_may_take() {
    let bed = Bed::new();
    let allowance = allowance(1000);
    let mut log = StateLog::open(&bed.log_folder(), allowance.clone()).unwrap();
    log.begin();
    let written = (0..100).take_while(|_| log.append(&[7; 100]).is_ok());
    let written = written.count();
    assert!((8..12).contains(&written), "{written}");
    let taken = |it: &Allowance| it.taken.load(Ordering::Relaxed);
    assert_eq!(taken(&allowance), log.segments.bytes());
    drop(log);
    assert_eq!(taken(&allowance), 0);
}
