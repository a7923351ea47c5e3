//! A source whose host is away: time passes without it, and what it still gives of that time is late.

use std::time::Duration;

use engine::{Config, columns};
use model::Rng;
use model::plan::{Reader, Stream};

use crate::hosts::{Faults, Feed, Hosts, Places, drain};
use crate::support::{Flow, Left, Record, schema};

/// Two sources, each on a host of its own, and windows of 10 ms over both on a third.
fn both() -> Flow {
    let mut flow = Flow::new();
    let sources = [flow.source(), flow.source()];
    let union = flow.operator("union", [], &sources).port(0).unwrap();
    let counted = flow.window(10, union);
    flow.sink(counted);
    flow
}

/// Where windows are.
const READER: usize = 2;

/// A row for each millisecond.
fn rows(count: i64) -> Vec<Record> {
    (0..count).map(|n| Some((0, n, n * 1000))).collect()
}

/// How many rows all windows have that left: behind the key and the ends of the window.
fn counted(left: &Left) -> (usize, i64) {
    (left.len(), left.values().map(|row| row[3]).sum())
}

#[test]
fn windows_do_not_wait_for_a_source_that_is_given_up() {
    let places = Places {
        sources: vec![0, 1],
        operators: vec![READER, READER],
        sinks: vec![READER],
    };
    let faults = Faults { one_in: 0 };
    let mut hosts = Hosts::new(3, Config::default(), faults, Rng::from_seed(3));
    let deployed = hosts.deploy(both, &places);
    hosts.start(&deployed);
    let part = |host: usize| deployed[host].as_ref().unwrap();
    let mut feeds = [0, 1].map(|host| {
        let count = [100, 200][host];
        Feed::new(host, part(host).sources[host].unwrap(), host, &rows(count))
    });
    let (mut left, sink) = (Left::new(), part(READER).sinks[0].unwrap());
    // Half of what the one has, and all of the other.
    let mut given = 0;
    for _ in 0..5_000 {
        hosts.step();
        given += i64::from(given < 50 && feeds[0].offer(&mut hosts, 1));
        feeds[1].offer(&mut hosts, 40);
        drain(&mut hosts, READER, sink, &mut left);
    }
    assert_eq!(given, 50);
    let (windows, _) = counted(&left);
    assert!((4..=5).contains(&windows), "{windows} windows are whole");

    let read = (Stream::Source(0, 0), Reader::Operator(0, 0));
    let engine = &mut hosts.engines[READER];
    let edge = engine
        .reading_edge(part(READER).application, read.0, read.1)
        .unwrap();
    let now = hosts.now_at(READER);
    let schema = columns::to_arrow(&schema());
    hosts.engines[READER].pass(now, edge, (100_000, None), &schema);
    for _ in 0..500 {
        hosts.step();
        drain(&mut hosts, READER, sink, &mut left);
    }
    let (windows, rows) = counted(&left);
    assert!((14..=15).contains(&windows), "{windows} windows are whole");
    assert_eq!(rows, i64::try_from(windows).unwrap() * 10 + 50);

    // It is back: what it gives of the time that has passed is late, and nothing else is lost.
    for _ in 0..5_000 {
        hosts.step();
        feeds[0].offer(&mut hosts, 40);
        drain(&mut hosts, READER, sink, &mut left);
    }
    hosts.pass(Duration::from_secs(1));
    drain(&mut hosts, READER, sink, &mut left);
    let now = hosts.now_at(READER);
    let report = hosts.engines[READER].report(now, part(READER).application);
    let late: u64 = report.unwrap().components.iter().map(|it| it.late).sum();
    assert_eq!(late, 50);
    assert_eq!(counted(&left), (20, 250));
}
