//! A source whose host is killed and started again, and that is asked for what was released long ago: nothing is lost or doubled.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::edge::{Arrival, Consumer, Mark};
use engine::intake::Intake;
use engine::{Batch, Config, Deployed, Engine, columns};
use model::{EventTime, Instant, Positions, Rng};

use crate::hosts::{Places, part};
use crate::support::{Flow, Record, origin, reading, schema};

const RECORDS: u64 = 400;
const OUT_OF_ORDER: i64 = 20;

/// When a row is, when it is due, and its key: by index.
type Seen = BTreeMap<u64, (i64, i64, String)>;

fn records() -> Vec<Record> {
    let record = |n: u64| {
        let n = i64::try_from(n).unwrap();
        // Out of order by more than what is allowed, here and there; and some are bad.
        (n % 17 != 3).then_some((n, n * 7, n * 10 - (n * 31 % 70)))
    };
    (1..=RECORDS).map(record).collect()
}

fn note(seen: &mut Seen, batch: &Batch) {
    let rows = &batch.rows;
    for (row, index) in batch.indices().enumerate() {
        let values = format!("{:?}", rows.columns().slice(row, 1).columns());
        let before = seen.insert(index, (rows.times()[row], rows.dues()[row], values));
        assert_eq!(before, None, "row {index} came twice");
    }
}

/// A source as its host drives it. The checkpoints outlive the host.
#[derive(Debug)]
struct Source {
    intake: Intake,
    /// How many records were read.
    read: u64,
    checkpoints: Vec<Mark>,
    /// What nobody asks for again, as it is known outside of the host.
    kept: u64,
    has_begun: bool,
    has_ended: bool,
}

impl Source {
    fn go_to(&mut self, index: u64) -> Mark {
        let before = self.checkpoints.iter().rev().find(|it| it.index <= index);
        let mark = before.copied().unwrap_or(Mark::BEGINNING);
        self.intake = Intake::new(origin(0), OUT_OF_ORDER).behind(mark);
        self.read = mark.index;
        self.has_ended = false;
        mark
    }

    fn step(&mut self, host: &mut Host, rng: &mut Rng) {
        let (engine, id) = (&mut host.engine, host.deployed.sources[0].unwrap());
        if let Some(back) = engine.goes_back(id) {
            let reached = self.intake.mark().index;
            let mark = self.go_to(back);
            return engine.read_again(id, mark, reached);
        }
        if self.has_ended || !engine.has_room(id) {
            return;
        }
        if !std::mem::replace(&mut self.has_begun, true) {
            let asked = engine.asked(id);
            let latest = asked.latest.then_some(self.kept);
            let index = asked.after.into_iter().chain(latest).min();
            let mark = self.go_to(index.unwrap_or(self.kept));
            return engine.read_again(id, mark, self.kept);
        }
        self.kept = self.kept.max(engine.kept(id).unwrap_or(0));
        let count = (1 + rng.below(9)).min(RECORDS - self.read);
        let from = usize::try_from(self.read).unwrap();
        let some = &records()[from..from + usize::try_from(count).unwrap()];
        self.read += count;
        let taken = match count {
            0 => {
                self.has_ended = true;
                let schema = columns::to_arrow(&schema());
                self.intake.advance(host.now, EventTime::MAX, &schema)
            }
            _ => self.intake.take(host.now, reading(some)),
        };
        engine.offer(host.now, id, taken);
        let mark = self.intake.mark();
        let last = self.checkpoints.last().map_or(0, |last| last.index);
        if rng.below(4) == 0 && mark.index > last && !self.has_ended {
            self.checkpoints.push(mark);
        }
    }
}

/// The host of the source.
#[derive(Debug)]
struct Host {
    engine: Engine,
    deployed: Deployed,
    now: Instant,
}

impl Host {
    fn start() -> Self {
        let mut flow = Flow::new();
        let source = flow.source();
        flow.sink(source);
        flow.sink(source);
        let places = Places {
            sources: vec![0],
            operators: vec![],
            sinks: vec![1, 1],
        };
        let mut engine = Engine::new(Config::default());
        let deployed = engine
            .deploy(Instant::ZERO, part(flow, &places, 0))
            .unwrap();
        engine.set_again(deployed.sources[0].unwrap());
        Self {
            engine,
            deployed,
            now: Instant::ZERO,
        }
    }
}

/// Who reads the source, on a host that lives on.
#[derive(Debug)]
struct Reader {
    consumer: Consumer,
    seen: Seen,
    has_ended: bool,
}

const CREDIT: u64 = 2048;

impl Reader {
    fn new() -> Self {
        Self {
            consumer: Consumer::latest(CREDIT),
            seen: Seen::new(),
            has_ended: false,
        }
    }

    fn pull(&mut self, host: &mut Host, edge: usize, rng: &mut Rng) {
        let edge = host.deployed.downstream[edge].edge;
        let pull = match rng.below(3) {
            0 => self.consumer.pull_again(),
            _ => self.consumer.pull(),
        };
        host.engine.handle_pull(host.now, edge, &pull);
        self.take(host, edge);
    }

    fn take(&mut self, host: &mut Host, edge: model::EdgeId) {
        let mut batches = Vec::new();
        host.engine.take_batches(edge, usize::MAX, &mut batches);
        for batch in batches {
            assert_eq!(batch.header.missing, 0, "nothing is told to be missing");
            let Arrival::Next(batch) = self.consumer.handle_batch(Arc::clone(&batch)) else {
                continue;
            };
            note(&mut self.seen, &batch);
            self.has_ended |= batch.header.progress == EventTime::MAX;
            let through = batch.header.interval.through();
            self.consumer.take(origin(0), through, through);
        }
    }

    /// It stands where it was before, with nothing of what came since.
    fn forget(&mut self, rng: &mut Rng) {
        let last = self.consumer.taken(origin(0));
        let at = rng.below(last + 1);
        if at > 0 {
            let positions: Positions = [(origin(0), at)].into_iter().collect();
            self.consumer = Consumer::resumed(&positions, CREDIT);
            self.seen.split_off(&(at + 1));
            self.has_ended = false;
        }
    }
}

fn run(seed: u64, expected: &Seen) -> (u64, u64) {
    let mut rng = Rng::from_seed(seed);
    let mut host = Host::start();
    let mut source = Source {
        intake: Intake::new(origin(0), OUT_OF_ORDER),
        read: 0,
        checkpoints: Vec::new(),
        kept: 0,
        has_begun: false,
        has_ended: false,
    };
    let mut readers = [Reader::new(), Reader::new()];
    let (mut kills, mut losses) = (0, 0);
    let mut steps = 0;
    while !readers.iter().all(|reader| reader.has_ended) {
        steps += 1;
        assert!(steps < 20_000, "seed {seed}: it stands still");
        match rng.below(40) {
            0 if kills < 4 => {
                kills += 1;
                host = Host::start();
                source.has_begun = false;
                source.has_ended = false;
                for reader in &mut readers {
                    reader.consumer.turn();
                }
            }
            1 if losses < 6 => {
                losses += 1;
                let reader = usize::try_from(rng.below(2)).unwrap();
                readers[reader].forget(&mut rng);
            }
            2..20 => source.step(&mut host, &mut rng),
            n => {
                let reader = usize::from(n % 2 == 0);
                readers[reader].pull(&mut host, reader, &mut rng);
            }
        }
    }
    for reader in &readers {
        assert_eq!(reader.seen, *expected, "seed {seed}");
    }
    (kills, losses)
}

#[test]
fn a_source_goes_on_where_its_readers_are_and_back_to_where_one_of_them_was() {
    let mut expected = Seen::new();
    let mut intake = Intake::new(origin(0), OUT_OF_ORDER);
    note(
        &mut expected,
        &intake.take(Instant::ZERO, reading(&records())).rows,
    );
    let (mut kills, mut losses) = (0, 0);
    for seed in 0..100 {
        let (killed, lost) = run(seed, &expected);
        kills += killed;
        losses += lost;
    }
    assert!(kills > 100, "{kills} times a host was killed");
    assert!(losses > 200, "{losses} times a reader forgot");
}

#[test]
fn a_source_that_goes_on_in_its_middle_has_room_for_readers_of_its_own_host() {
    let mut flow = Flow::new();
    let source = flow.source();
    flow.sink(source);
    let places = Places {
        sources: vec![0],
        operators: vec![],
        sinks: vec![0],
    };
    let (mut engine, now) = (Engine::new(Config::default()), Instant::ZERO);
    let deployed = engine.deploy(now, part(flow, &places, 0)).unwrap();
    let (id, sink) = (deployed.sources[0].unwrap(), deployed.sinks[0].unwrap());
    engine.start(now, deployed.application);
    // They have pulled by now, and pull no more before something comes.
    let mark = Mark {
        index: 40,
        ..Mark::BEGINNING
    };
    engine.read_again(id, mark, mark.index);
    assert!(engine.has_room(id));
    let mut intake = Intake::new(origin(0), OUT_OF_ORDER).behind(mark);
    engine.offer(now, id, intake.take(now, reading(&records()[40..50])));
    let mut seen = Seen::new();
    while let Some((_, batch)) = engine.receive(now, sink) {
        note(&mut seen, &batch);
    }
    assert_eq!(
        seen.keys().copied().collect::<Vec<_>>(),
        (41..=50).collect::<Vec<_>>()
    );
    assert!(engine.has_room(id));
}
