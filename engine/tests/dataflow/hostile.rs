//! Other hosts that do not keep to what was agreed cost no more than those that do.

use std::time::Duration;

use engine::edge::{From, ORIGINS_MAX, Pull};
use engine::intake::Intake;
use engine::{Batch, Config, Deployed, EdgeKind, Engine, MEMORY_MIN, TAPS_MAX};
use model::{EdgeId, Instant, Origin};

use crate::hosts::{Places, part};
use crate::support::{Flow, Record, origin, reading};

/// The host of a sink, or that of the source before it.
fn half(host: usize) -> (Engine, Deployed) {
    let mut flow = Flow::new();
    let source = flow.source();
    flow.sink(source);
    let places = Places {
        sources: vec![0],
        operators: Vec::new(),
        sinks: vec![1],
    };
    let mut engine = Engine::new(Config {
        memory_bytes: MEMORY_MIN,
        ..Config::default()
    });
    let deployed = engine
        .deploy(Instant::ZERO, part(flow, &places, host))
        .unwrap();
    engine.start(Instant::ZERO, deployed.application);
    (engine, deployed)
}

fn batches(count: i64) -> impl Iterator<Item = Batch> {
    let mut intake = Intake::new(origin(0), 0);
    (0..count).map(move |n| {
        let rows: Vec<Record> = (0..1000)
            .map(|row| Some((n, row, n * 1000 + row)))
            .collect();
        intake.take(Instant::ZERO, reading(&rows)).rows
    })
}

fn refused(engine: &Engine, deployed: &Deployed) -> u64 {
    let report = engine.report(Instant::ZERO, deployed.application).unwrap();
    report.components[0].refused
}

#[test]
fn what_is_sent_before_it_was_asked_for_or_beyond_the_credit_is_refused_and_counted() {
    let (mut engine, deployed) = half(1);
    let edge = deployed.upstream[0].edge;
    let first = batches(1).next().unwrap();
    engine.handle_batch(Instant::ZERO, edge, first);
    assert_eq!(refused(&engine, &deployed), 1, "nobody has pulled yet");
    assert!(engine.take_pull(Instant::ZERO, edge).is_some());
    for batch in batches(2000) {
        engine.handle_batch(Instant::ZERO, edge, batch);
    }
    assert!(refused(&engine, &deployed) > 1000);
    let used = engine.memory().used_bytes();
    assert!(0 < used && used < MEMORY_MIN / 8, "{used} bytes wait");
}

#[test]
fn an_edge_has_no_more_origins_than_plans_can_have() {
    let (mut engine, deployed) = half(1);
    let edge = deployed.upstream[0].edge;
    engine.take_pull(Instant::ZERO, edge);
    let mut empty = batches(1).next().unwrap();
    empty.rows = empty.rows.slice(0, 0);
    for number in 0..2 * ORIGINS_MAX {
        let mut batch = empty.clone();
        batch.header.origin = Origin(1000 + number as u128);
        engine.handle_batch(Instant::ZERO, edge, batch);
    }
    assert_eq!(
        refused(&engine, &deployed),
        u64::try_from(ORIGINS_MAX).unwrap()
    );
}

#[test]
fn whatever_a_pull_grants_and_keeps_the_queue_has_a_bound() {
    let (mut engine, deployed) = half(0);
    let (source, edge) = (deployed.sources[0].unwrap(), deployed.downstream[0].edge);
    let greedy = Pull {
        from: Some(From::Latest),
        taken: (0..1000).map(|n| (Origin(n), u64::MAX)).collect(),
        keep: Some((0..1000).map(|n| (Origin(n), u64::MAX)).collect()),
        credit: u64::MAX,
        budget: None,
    };
    engine.handle_pull(Instant::ZERO, edge, &greedy);
    let mut intake = Intake::new(origin(0), 0);
    let rows: Vec<Record> = (0..1000).map(|n| Some((n, n, n))).collect();
    for _ in 0..1000 {
        if engine.has_room(source) {
            let taken = intake.take(Instant::ZERO, reading(&rows));
            engine.offer(Instant::ZERO, source, taken);
        }
        // Asking again and again frees nothing and doubles nothing.
        engine.handle_pull(Instant::ZERO, edge, &greedy);
    }
    let mut taken = Vec::new();
    engine.take_batches(edge, usize::MAX, &mut taken);
    let bytes: usize = taken.iter().map(|batch| batch.rows.bytes()).sum();
    assert!(bytes < 1 << 20, "{bytes} bytes waited");
    assert!(engine.memory().peak_bytes() < MEMORY_MIN);
}

#[test]
fn pulls_and_batches_for_edges_that_are_not_here_change_nothing() {
    let (mut engine, deployed) = half(0);
    let before = engine.sizes();
    let nowhere = EdgeId(77);
    engine.handle_pull(Instant::ZERO, nowhere, &Pull::goodbye());
    let batch = batches(1).next().unwrap();
    engine.handle_batch(Instant::ZERO, nowhere, batch.clone());
    engine.handle_batch(Instant::ZERO, deployed.downstream[0].edge, batch);
    assert!(
        engine
            .take_pull(Instant::ZERO, deployed.downstream[0].edge)
            .is_none()
    );
    assert_eq!(engine.sizes(), before);
}

#[test]
fn taps_are_limited_in_number() {
    let (mut engine, deployed) = half(0);
    let source = deployed.sources[0].unwrap();
    let mut open = || engine.open_edge(Instant::ZERO, source, 0, None, EdgeKind::Tap);
    for _ in 0..TAPS_MAX {
        assert!(open().is_ok());
    }
    assert_eq!(open(), Err(engine::DeployError::TooManyTaps));
    let timers = engine.poll_timeout();
    assert!(timers.is_some_and(|due| due <= Instant::ZERO + Duration::from_secs(1)));
}
