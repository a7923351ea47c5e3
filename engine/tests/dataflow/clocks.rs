//! Clocks that show different times change no deadline: what crosses hosts is how old a batch is.

use std::time::Duration;

use engine::Config;
use engine::report::RoleReport;
use model::{ComponentId, Rng};

use crate::hosts::{Faults, Feed, Hosts, Places, Stamps, drain};
use crate::support::{Flow, Left, records};

/// A source, two filters, windows and a sink.
fn flow() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let first = flow.filter("v % 7 <> 0", source);
    let second = flow.filter("v % 5 <> 0", first);
    let windows = flow.window(10, second);
    flow.sink(windows);
    flow
}

/// What was seen of a run: in which order components were worked on, the rows that left, and their delays.
#[derive(Debug, PartialEq)]
struct Seen {
    order: Vec<(usize, ComponentId)>,
    left: Vec<Left>,
    delays: Vec<Duration>,
    misses: u64,
}

/// Runs applications whose parts meet on three hosts. Batches from elsewhere wait there beside such of the host itself, and more come than are
/// worked off at once, so that their deadlines decide.
fn run(clocks: [Duration; 3], stamps: Stamps) -> Seen {
    let rng = Rng::from_seed(5);
    let faults = Faults { one_in: 0 };
    let mut hosts = Hosts::new(3, Config::default(), faults, rng.keyed("hosts"));
    hosts.ahead = clocks.to_vec();
    hosts.stamps = stamps;
    let places = |source: usize, sink: usize| Places {
        sources: vec![source],
        operators: vec![1, 2, 1],
        sinks: vec![sink],
    };
    let places = [places(0, 2), places(1, 0), places(2, 1)];
    let mut feeds = Vec::new();
    let mut sinks = Vec::new();
    for (number, places) in places.iter().enumerate() {
        let deployed = hosts.deploy(flow, places);
        let (source, sink) = (places.sources[0], places.sinks[0]);
        let part = |host: usize| deployed[host].as_ref().unwrap();
        let records = records(&mut rng.keyed(&number.to_string()), 3_000);
        feeds.push(Feed::new(
            source,
            part(source).sources[0].unwrap(),
            0,
            &records,
        ));
        let id = part(sink).sinks[0].unwrap();
        sinks.push((sink, id, part(sink).application));
        hosts.start(&deployed);
    }
    let mut left = vec![Left::new(); sinks.len()];
    let mut draws = rng.keyed("draws");
    for _ in 0..40_000 {
        hosts.step();
        let which = usize::try_from(draws.below(12)).unwrap();
        if let Some(feed) = feeds.get_mut(which) {
            feed.offer(&mut hosts, 5);
        }
        for ((host, sink, _), left) in sinks.iter().zip(&mut left) {
            drain(&mut hosts, *host, *sink, left);
        }
    }
    let (mut delays, mut misses) = (Vec::new(), 0);
    for (host, _, application) in sinks {
        let now = hosts.now_at(host);
        let report = hosts.engines[host].report(now, application).unwrap();
        for component in report.components {
            if let RoleReport::Sink(of_sink) = component.role {
                delays.extend([of_sink.times.all.p50, of_sink.times.all.longest]);
                misses += of_sink.misses;
            }
        }
    }
    Seen {
        order: hosts.order,
        left,
        delays,
        misses,
    }
}

/// So much every clock shows at least: none is before its start when something is as old as it may become here.
const START: Duration = Duration::from_secs(1000);

#[test]
fn clocks_far_apart_change_no_order_and_no_delay() {
    let together = run([START; 3], Stamps::Ages);
    assert!(together.order.len() > 2_000, "{}", together.order.len());
    assert!(together.left.iter().all(|left| left.len() > 100));
    for apart in [Duration::from_millis(100), Duration::from_hours(1)] {
        let clocks = [START, START + apart, START + 2 * apart];
        assert_eq!(run(clocks, Stamps::Ages), together, "{apart:?} apart");
    }
}

/// What the other test would not see if deadlines decided nothing in it.
#[test]
fn by_clocks_that_differ_another_order_would_follow() {
    let together = run([START; 3], Stamps::Clocks);
    let apart = Duration::from_millis(100);
    let skewed = run([START, START + apart, START + 2 * apart], Stamps::Clocks);
    assert_ne!(skewed.order, together.order);
    assert_ne!(skewed.delays, together.delays);
}
