//! Memory stays within its bound, whoever does not read.

use std::time::Duration;

use engine::intake::Intake;
use engine::scheduler::Worker;
use engine::{Config, Engine, Event, MEMORY_MIN, columns};
use model::{EventTime, Instant, Scalar, Value};

use crate::support::{
    Flow, Left, Record, Started, collect, origin, reading, schema, started, table,
};

fn batch_of(first: i64) -> Vec<Record> {
    (first..first + 1000).map(|n| Some((n, n, n))).collect()
}

/// Runs all there is to run.
fn settle(engine: &mut Engine, now: Instant) {
    while let Some(dispatch) = engine.next(now, Worker::default()) {
        engine.complete(now, dispatch.run(), Duration::from_nanos(100));
    }
}

#[test]
fn a_sink_that_stops_reading_stops_the_source_and_loses_nothing() {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v >= 0", source);
    flow.sink(passed);
    let mut engine = Engine::new(Config {
        memory_bytes: MEMORY_MIN,
        ..Config::default()
    });
    let deployed = started(&mut engine, flow.deployment());
    let (source, sink) = (deployed.sources[0], deployed.sinks[0]);
    let mut intake = Intake::new(origin(0), 0);
    let mut fed = 0;
    while engine.has_room(source) {
        assert!(fed < 10_000_000, "the source is never stopped");
        engine.offer(
            Instant::ZERO,
            source,
            intake.take(Instant::ZERO, reading(&batch_of(fed))),
        );
        fed += 1000;
        settle(&mut engine, Instant::ZERO);
    }
    assert!(
        engine.memory().peak_bytes() <= MEMORY_MIN,
        "{} bytes",
        engine.memory().peak_bytes()
    );
    assert!(fed > 10_000, "some of it is on its way: {fed} rows");

    let mut left = Left::new();
    for more in [true, false] {
        while let Some((channel, batch)) = engine.receive(Instant::ZERO, sink) {
            collect(&mut left, &batch);
            engine.acknowledge(Instant::ZERO, sink, channel, &batch);
            settle(&mut engine, Instant::ZERO);
        }
        assert!(engine.has_room(source), "who is read again goes on");
        if more {
            engine.offer(
                Instant::ZERO,
                source,
                intake.take(Instant::ZERO, reading(&batch_of(fed))),
            );
            fed += 1000;
            let schema = columns::to_arrow(&schema());
            engine.offer(
                Instant::ZERO,
                source,
                intake.advance(Instant::ZERO, EventTime::MAX, &schema),
            );
            settle(&mut engine, Instant::ZERO);
        }
    }
    let values: Vec<i64> = left.values().map(|row| row[1]).collect();
    assert_eq!(values, (0..fed).collect::<Vec<_>>());
    assert_eq!(
        engine.take_events(),
        [Event::Finished {
            application: deployed.application
        }]
    );
    assert_eq!(engine.memory().used_bytes(), 0);
}

#[test]
fn more_state_than_memory_fails_with_the_reason_and_frees_it() {
    let mut flow = Flow::new();
    let source = flow.source();
    let windows = flow.window(1_000_000, source);
    flow.sink(windows);
    let mut engine = Engine::new(Config {
        memory_bytes: MEMORY_MIN,
        ..Config::default()
    });
    let deployed = started(&mut engine, flow.deployment());
    let mut intake = Intake::new(origin(0), 0);
    for first in 0..10_000 {
        if engine.has_ended(deployed.application) {
            break;
        }
        let taken = intake.take(Instant::ZERO, reading(&batch_of(first * 1000)));
        engine.offer(Instant::ZERO, deployed.sources[0], taken);
        settle(&mut engine, Instant::ZERO);
    }
    let events = engine.take_events();
    let [
        Event::Failed {
            component, reason, ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(component, "operator0");
    assert!(reason.contains("more memory"), "{reason}");
    assert_eq!(engine.memory().used_bytes(), 0);
    assert!(
        !engine.has_room(deployed.sources[0]),
        "nothing more is taken in"
    );
}

/// Two sources that meet at a window: the second says nothing, so that no window closes, and the first is fed
/// until the state that it leaves behind stops it.
fn ahead_of_another() -> (Engine, Started) {
    let mut flow = Flow::new();
    let sources = [flow.source(), flow.source()];
    let both = flow.operator("union", [], &sources);
    let windows = flow.window(1, both.port(0).unwrap());
    flow.sink(windows);
    let mut engine = Engine::new(Config {
        memory_bytes: MEMORY_MIN,
        ..Config::default()
    });
    let deployed = started(&mut engine, flow.deployment());
    let mut intake = Intake::new(origin(0), 0);
    let mut fed = 0;
    while engine.has_room(deployed.sources[0]) {
        assert!(
            fed < 10_000_000,
            "the source that is ahead is never stopped"
        );
        let taken = intake.take(Instant::ZERO, reading(&batch_of(fed)));
        engine.offer(Instant::ZERO, deployed.sources[0], taken);
        fed += 1000;
        settle(&mut engine, Instant::ZERO);
    }
    (engine, deployed)
}

#[test]
fn the_source_that_others_wait_for_goes_on_when_memory_is_short() {
    let (mut engine, deployed) = ahead_of_another();
    assert!(
        !engine.has_ended(deployed.application),
        "it waits before it fails"
    );
    assert!(
        engine.has_room(deployed.sources[1]),
        "the one that is waited for may go on"
    );
    let schema = columns::to_arrow(&schema());
    let mut intake = Intake::new(origin(1), 0);
    let taken = intake.advance(Instant::ZERO, EventTime::MAX, &schema);
    engine.offer(Instant::ZERO, deployed.sources[1], taken);
    settle(&mut engine, Instant::ZERO);
    while let Some((channel, batch)) = engine.receive(Instant::ZERO, deployed.sinks[0]) {
        engine.acknowledge(Instant::ZERO, deployed.sinks[0], channel, &batch);
        settle(&mut engine, Instant::ZERO);
    }
    assert!(
        engine.has_room(deployed.sources[0]),
        "closed windows free what held the source"
    );
}

#[test]
fn thousands_of_windows_close_a_part_at_a_time() {
    let mut flow = Flow::new();
    let source = flow.source();
    let windows = flow.window(1, source);
    flow.sink(windows);
    let memory_bytes = 8 * MEMORY_MIN;
    let mut engine = Engine::new(Config {
        memory_bytes,
        ..Config::default()
    });
    let deployed = started(&mut engine, flow.deployment());
    // Rows that come an hour late at most: none of their windows closes before the end.
    let mut intake = Intake::new(origin(0), 3_600_000_000);
    for first in 0..40 {
        let records: Vec<Record> = (first * 500..first * 500 + 500)
            .map(|n| Some((n, n, n * 1000)))
            .collect();
        engine.offer(
            Instant::ZERO,
            deployed.sources[0],
            intake.take(Instant::ZERO, reading(&records)),
        );
        settle(&mut engine, Instant::ZERO);
    }
    let schema = columns::to_arrow(&schema());
    let end = intake.advance(Instant::ZERO, EventTime::MAX, &schema);
    engine.offer(Instant::ZERO, deployed.sources[0], end);
    settle(&mut engine, Instant::ZERO);
    assert!(
        !engine.has_ended(deployed.application),
        "what has no room waits"
    );
    let mut left = Left::new();
    while let Some((channel, batch)) = engine.receive(Instant::ZERO, deployed.sinks[0]) {
        collect(&mut left, &batch);
        engine.acknowledge(Instant::ZERO, deployed.sinks[0], channel, &batch);
        settle(&mut engine, Instant::ZERO);
    }
    assert_eq!(left.len(), 20_000, "each window has one row");
    assert_eq!(
        engine.take_events(),
        [Event::Finished {
            application: deployed.application
        }]
    );
    assert!(
        engine.memory().peak_bytes() <= memory_bytes,
        "{} bytes",
        engine.memory().peak_bytes()
    );
}

#[test]
fn a_key_that_many_rows_share_is_joined_a_part_at_a_time() {
    let mut flow = Flow::new();
    let source = flow.source();
    let spans = vec![("tumbling".to_owned(), Scalar::Micros(1_000_000))];
    let given = [
        ("on", table([("k", "k")])),
        ("window", Value::Table(spans)),
        ("where", Value::from("left_v % 10 < 3")),
    ];
    let joined = flow.operator("join", given, &[source, source]);
    flow.sink(joined.port(0).unwrap());
    let mut engine = Engine::new(Config {
        memory_bytes: MEMORY_MIN,
        ..Config::default()
    });
    let deployed = started(&mut engine, flow.deployment());
    let mut intake = Intake::new(origin(0), 0);
    // Each meets each: of 1.44 million pairs 0.43 remain, of 40 bytes each.
    let records: Vec<Record> = (0..1_200).map(|n| Some((7, n, n))).collect();
    let schema = columns::to_arrow(&schema());
    let taken = [
        intake.take(Instant::ZERO, reading(&records)),
        intake.advance(Instant::ZERO, EventTime::MAX, &schema),
    ];
    for taken in taken {
        engine.offer(Instant::ZERO, deployed.sources[0], taken);
        settle(&mut engine, Instant::ZERO);
    }
    assert!(
        !engine.has_ended(deployed.application),
        "what has no room waits"
    );
    let (mut left, mut last) = (0, None);
    while let Some((channel, batch)) = engine.receive(Instant::ZERO, deployed.sinks[0]) {
        assert!(
            batch.rows.is_empty() || last < batch.indices().last(),
            "chunks of one tick have an index each"
        );
        last = batch.indices().last().or(last);
        left += batch.rows.len();
        engine.acknowledge(Instant::ZERO, deployed.sinks[0], channel, &batch);
        settle(&mut engine, Instant::ZERO);
    }
    assert_eq!(left, 360 * 1_200);
    assert!(
        engine.memory().peak_bytes() <= MEMORY_MIN,
        "{} bytes",
        engine.memory().peak_bytes()
    );
}

#[test]
fn sources_that_meet_nowhere_do_not_wait_for_one_another() {
    let mut flow = Flow::new();
    let (silent, busy) = (flow.source(), flow.source());
    flow.sink(silent);
    let windows = flow.window(1_000_000, busy);
    flow.sink(windows);
    let mut engine = Engine::new(Config {
        memory_bytes: MEMORY_MIN,
        ..Config::default()
    });
    let deployed = started(&mut engine, flow.deployment());
    let mut intake = Intake::new(origin(1), 0);
    let mut fed = 0;
    while !engine.has_ended(deployed.application) {
        assert!(
            engine.has_room(deployed.sources[1]),
            "its own windows are all that it waits for"
        );
        let taken = intake.take(Instant::ZERO, reading(&batch_of(fed)));
        engine.offer(Instant::ZERO, deployed.sources[1], taken);
        fed += 1000;
        settle(&mut engine, Instant::ZERO);
    }
}

#[test]
fn who_waits_for_a_source_that_breaks_is_told() {
    let (mut engine, deployed) = ahead_of_another();
    engine.take_signals();
    engine.break_source(Instant::ZERO, deployed.sources[1], "gone");
    assert!(engine.has_room(deployed.sources[0]));
    assert!(engine.take_signals().all, "nobody looks again unless told");
}
