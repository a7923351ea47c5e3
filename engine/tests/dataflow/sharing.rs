//! A stream that several read: each at its own pace, within one bound of memory, and from when it came.

use engine::edge::Consumer;
use engine::report::{ComponentReport, RoleReport};
use engine::{EdgeKind, Event, MEMORY_MIN, Note};

use crate::published::Published;
use crate::support::{Flow, Left, Record, Started, has_retired};
use model::Rng;

impl Published {
    /// Deploys and starts a dataflow whose source is this one.
    fn read_by(&mut self, flow: Flow) -> Started {
        self.run(flow, &[]).into()
    }

    fn source_report(&self) -> ComponentReport {
        let report = self.engine.report(self.now, self.application).unwrap();
        report.components.into_iter().next().unwrap()
    }

    fn check_memory(&self) {
        let peak = self.engine.memory().peak_bytes();
        assert!(peak <= MEMORY_MIN, "{peak} bytes");
    }
}

fn passing() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v >= 0", source);
    flow.sink(passed);
    flow
}

#[test]
fn rows_flow_and_nothing_is_retained_where_nobody_reads() {
    let mut published = Published::new();
    assert_eq!(published.feed(100), 100);
    assert_eq!(published.engine.memory().used_bytes(), 0);
    assert_eq!(published.source_report().rows_in, 100_000);
    assert!(
        published.source_report().rate > 1000.0,
        "{}",
        published.source_report().rate
    );
}

#[test]
fn whoever_reads_a_published_stream_begins_at_the_latest() {
    let mut published = Published::new();
    published.feed(3);
    let first = published.read_by(passing());
    published.feed(2);
    let second = published.read_by(passing());
    published.feed(1);
    published.end();
    let mut left = [Left::new(), Left::new()];
    for (reader, left) in [&first, &second].into_iter().zip(&mut left) {
        assert_eq!(
            published.drain(reader.sinks[0], left),
            0,
            "nothing is missing"
        );
    }
    let values = |left: &Left| left.values().map(|row| row[1]).collect::<Vec<_>>();
    assert_eq!(values(&left[0]), (3000..6000).collect::<Vec<_>>());
    assert_eq!(values(&left[1]), (5000..6000).collect::<Vec<_>>());
    let finished = |reader: &Started| Event::Finished {
        application: reader.application,
    };
    assert_eq!(
        published.engine.take_events(),
        [finished(&first), finished(&second)]
    );
    assert_eq!(published.engine.memory().used_bytes(), 0);
}

#[test]
fn whoever_joins_later_gives_only_windows_that_it_saw_from_their_start() {
    let windows = || {
        let mut flow = Flow::new();
        let source = flow.source();
        let passed = flow.filter("v >= 0", source);
        let windows = flow.window(700, passed);
        flow.sink(windows);
        flow
    };
    let mut published = Published::new();
    let early = published.read_by(windows());
    published.feed(2);
    let late = published.read_by(windows());
    published.feed(3);
    published.end();
    let mut left = [Left::new(), Left::new()];
    for (reader, left) in [&early, &late].into_iter().zip(&mut left) {
        published.drain(reader.sinks[0], left);
    }
    let [early, late] = left;
    // Row n has event time n ms; the second reader begins behind row 1999, in the window from 1400.
    let from = early
        .iter()
        .filter(|(_, row)| row[1] >= 2_100_000)
        .map(|(place, row)| (*place, row.clone()))
        .collect::<Left>();
    assert!(!late.is_empty() && late.len() < early.len());
    assert_eq!(late, from);
}

#[test]
fn an_application_that_stands_still_slows_no_other_and_is_told_what_it_lost() {
    let mut published = Published::new();
    let (stalled, brisk) = (published.read_by(passing()), published.read_by(passing()));
    let mut left = Left::new();
    for _ in 0..400 {
        assert_eq!(published.feed(1), 1, "it goes at the pace of the brisk one");
        assert_eq!(published.drain(brisk.sinks[0], &mut left), 0);
        published.check_memory();
    }
    assert_eq!(left.len(), 400_000);
    let dropped = published.source_report().drops;
    assert!(dropped > 0, "its share holds less than all of it");

    let mut late = Left::new();
    let mut missing = published.drain(stalled.sinks[0], &mut late);
    published.feed(1);
    missing += published.drain(stalled.sinks[0], &mut late);
    assert_eq!(
        missing, dropped,
        "it is told of every row that it did not get"
    );
    assert_eq!(u64::try_from(late.len()).unwrap() + missing, 401_000);
}

#[test]
fn an_application_alone_stops_the_source_and_loses_nothing() {
    let mut published = Published::new();
    let only = published.read_by(passing());
    assert!(published.feed(1000) < 1000, "it waits for its only reader");
    published.check_memory();
    let mut left = Left::new();
    assert_eq!(published.drain(only.sinks[0], &mut left), 0);
    assert_eq!(i64::try_from(left.len()).unwrap(), published.fed);
    assert_eq!(published.feed(1), 1, "who is read again goes on");
}

#[test]
fn a_tap_that_is_never_read_slows_nobody_holds_nothing_and_hears_what_it_lost() {
    let mut published = Published::new();
    let reader = published.read_by(passing());
    let now = published.now;
    let tap = published
        .engine
        .open_edge(now, published.source, 0, None, EdgeKind::Tap)
        .unwrap();
    let mut consumer = Consumer::tap(20_000);
    published.engine.handle_pull(now, tap, &consumer.pull());
    let mut left = Left::new();
    for _ in 0..300 {
        assert_eq!(published.feed(1), 1);
        published.drain(reader.sinks[0], &mut left);
    }
    assert_eq!(left.len(), 300_000);
    assert_eq!(
        published.engine.memory().used_bytes(),
        0,
        "nothing is kept for a tap"
    );
    let mut taken = Vec::new();
    published.engine.take_batches(tap, usize::MAX, &mut taken);
    let bytes: usize = taken.iter().map(|batch| batch.rows.bytes()).sum();
    assert!(bytes <= 2 * 32_000, "{bytes} bytes waited");
    let mut seen: u64 = 0;
    let mut missing: u64 = 0;
    let mut look = |consumer: &mut Consumer, batch: std::sync::Arc<engine::Batch>| {
        let origin = batch.header.origin;
        if let engine::edge::Arrival::Next(batch) = consumer.handle_batch(batch) {
            seen += batch.rows.len() as u64;
            missing += u64::from(batch.header.missing);
            let through = batch.header.interval.through();
            consumer.take(origin, through, through);
        }
    };
    taken.drain(..).for_each(|batch| look(&mut consumer, batch));
    let now = published.now;
    published.engine.handle_pull(now, tap, &consumer.pull());
    published.feed(1);
    published.engine.take_batches(tap, usize::MAX, &mut taken);
    assert!(
        taken
            .iter()
            .any(|batch| batch.header.note == Some(Note::Gap)),
        "the gap is told"
    );
    taken.drain(..).for_each(|batch| look(&mut consumer, batch));
    assert_eq!(seen + missing, 301_000);
    assert_eq!(missing, published.source_report().drops);

    published
        .engine
        .handle_pull(now, tap, &engine::edge::Pull::goodbye());
    assert!(!published.engine.is_open(tap));
    assert_eq!(
        published.source_report().drops,
        missing,
        "what was dropped stays counted"
    );
}

#[test]
fn applications_that_have_gone_leave_nothing_behind() {
    let mut published = Published::new();
    let mut sizes = Vec::new();
    for _ in 0..10_000 {
        let reader = published.read_by(passing());
        let now = published.now;
        published.engine.retire(now, reader.application);
        assert!(published.engine.report(now, reader.application).is_none());
        sizes.push(published.engine.sizes());
    }
    assert_eq!(sizes.last(), sizes.first());
    assert_eq!(sizes[0], [1, 1, 0, 0], "the published source stays");
    assert_eq!(published.engine.take_events().len(), 10_000);
    assert_eq!(published.engine.runnable(), 0);
    published.feed(1);
    let reader = published.read_by(passing());
    published.feed(1);
    let mut left = Left::new();
    published.drain(reader.sinks[0], &mut left);
    assert_eq!(left.len(), 1000, "and what comes after them runs");
    let report = published
        .engine
        .report(published.now, reader.application)
        .unwrap();
    let sink = report.components.last().unwrap();
    assert!(matches!(sink.role, RoleReport::Sink(_)));
    assert!(sink.slack.is_some_and(|slack| slack.as_nanos() > 0));
}

#[test]
fn a_published_source_that_goes_is_missed_by_those_who_read_it() {
    let mut published = Published::new();
    let reader = published.read_by(passing());
    let (now, application) = (published.now, published.application);
    published.engine.retire(now, application);
    let events = published.engine.take_events();
    assert!(has_retired(&events, application));
    let gone = events
        .iter()
        .find(|event| matches!(event, Event::Gone { .. }));
    assert_eq!(
        gone.map(Event::application),
        Some(reader.application),
        "{events:?}"
    );
    assert!(!published.engine.has_ended(reader.application));
    published.engine.retire(now, reader.application);
    assert_eq!(published.engine.sizes(), [0; 4]);
}

#[test]
fn who_joins_rows_out_of_order_in_their_middle_gives_whole_windows_and_no_other() {
    let windows = || {
        let mut flow = Flow::new();
        let source = flow.source();
        let counted = flow.window(10, source);
        flow.sink(counted);
        flow
    };
    let mut rng = Rng::from_seed(3);
    let disorder = 25_000;
    let mut given = 0;
    for joins in 1..40 {
        let mut published = Published::new().out_of_order(disorder);
        let mut left = [Left::new(), Left::new()];
        let mut sinks = vec![published.run(windows(), &[]).sinks[0].unwrap()];
        for n in 0..60 {
            if n == joins {
                sinks.push(published.run(windows(), &[]).sinks[0].unwrap());
            }
            let rows: Vec<Record> = (0..20)
                .map(|row| {
                    let behind = i64::try_from(rng.below(disorder.unsigned_abs())).unwrap();
                    Some((row % 3, row, (n * 20 + row) * 1000 - behind))
                })
                .collect();
            published.offer(&rows);
            for (sink, left) in sinks.iter().zip(&mut left) {
                published.drain(*sink, left);
            }
        }
        published.end();
        for (sink, left) in sinks.iter().zip(&mut left) {
            published.drain(*sink, left);
        }
        let [whole, joined] = left;
        for (position, row) in &joined {
            assert_eq!(whole.get(position), Some(row), "joined at {joins}");
        }
        given += joined.len();
    }
    assert!(given > 1000, "{given} rows of windows");
}
