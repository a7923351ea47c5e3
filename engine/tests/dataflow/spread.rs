//! A plan spread over hosts gives what it gives on one, and goes as it came.

use std::time::Duration;

use engine::{Config, Event};
use model::Rng;
use proptest::prelude::*;

use crate::hosts::{Faults, Feed, Hosts, Places, drain, run_spread};
use crate::support::{Flow, Left, Record, has_retired, records, run, table};

const NO_FAULTS: Faults = Faults { one_in: 0 };

/// Two sources, a split, filters on both of its ways, a union, windows, and two sinks.
fn branching() -> Flow {
    let mut flow = Flow::new();
    let sources = [flow.source(), flow.source()];
    let both = flow.operator("union", [], &sources).port(0).unwrap();
    let split = flow.operator("split", [("when", table([("even", "v % 2 = 0")]))], &[both]);
    let even = flow.filter("v % 3 <> 1", split.port(0).unwrap());
    let odd = flow.filter("v % 5 <> 1", split.port(1).unwrap());
    let again = flow.operator("union", [], &[even, odd]).port(0).unwrap();
    let windows = flow.window(10, again);
    flow.sink(windows);
    flow.sink(again);
    flow
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn a_plan_spread_over_hosts_gives_the_rows_of_one(seed in any::<u64>(), lossy in any::<bool>()) {
        let mut rng = Rng::from_seed(seed);
        let feeds = [records(&mut rng, 300), records(&mut rng, 200)];
        let (one, _) = run(branching(), &feeds, Config::default(), &mut rng);
        let mut place = || usize::try_from(rng.below(3)).unwrap();
        let mut places = Places {
            sources: vec![place(), place()],
            operators: (0..6).map(|_| place()).collect(),
            sinks: vec![place(), place()],
        };
        // Each host has a part, so that all of them are there.
        places.operators[0] = 0;
        places.operators[1] = 1;
        places.operators[2] = 2;
        let faults = Faults { one_in: if lossy { 12 } else { 0 } };
        let (spread, mut hosts, deployed) = run_spread(branching, &places, &feeds, faults, &rng);
        prop_assert_eq!(&spread, &one);

        // Where the sinks are it is retired by command; all else goes by itself.
        for host in &places.sinks {
            let application = deployed[*host].as_ref().unwrap().application;
            let now = hosts.now;
            hosts.engines[*host].retire(now, application);
        }
        hosts.pass(Duration::from_secs(3));
        for (host, engine) in hosts.engines.iter().enumerate() {
            prop_assert_eq!(engine.sizes(), [0; 4], "host {}: {:?}", host, hosts.events[host]);
            prop_assert_eq!(engine.memory().used_bytes(), 0);
            let application = deployed[host].as_ref().unwrap().application;
            prop_assert!(has_retired(&hosts.events[host], application));
        }
    }
}

/// A source on host 0 that two filters on hosts 1 and 2 read, each with a sink.
fn fan_out() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let (left, right) = (flow.filter("v >= 0", source), flow.filter("v >= 0", source));
    flow.sink(left);
    flow.sink(right);
    flow
}

fn fanned_out() -> Places {
    Places {
        sources: vec![0],
        operators: vec![1, 2],
        sinks: vec![1, 2],
    }
}

fn counting(count: i64) -> Vec<Record> {
    (0..count).map(|n| Some((n, n, n))).collect()
}

#[test]
fn whoever_starts_later_misses_nothing() {
    let rng = Rng::from_seed(5);
    let mut hosts = Hosts::new(3, Config::default(), NO_FAULTS, rng);
    let deployed = hosts.deploy(fan_out, &fanned_out());
    let part = |host: usize| deployed[host].as_ref().unwrap();
    let mut feed = Feed::new(0, part(0).sources[0].unwrap(), 0, &counting(100));
    let (now, first) = (hosts.now, part(1).application);
    hosts.engines[1].start(now, first);
    hosts.pass(Duration::from_secs(1));
    assert!(
        !feed.offer(&mut hosts, 40),
        "nobody goes on before all readers have pulled"
    );
    let (now, second) = (hosts.now, part(2).application);
    hosts.engines[2].start(now, second);
    let mut left = [Left::new(), Left::new()];
    for _ in 0..5_000 {
        hosts.step();
        feed.offer(&mut hosts, 40);
        for (host, left) in [1, 2].into_iter().zip(&mut left) {
            let sink = part(host).sinks[host - 1].unwrap();
            drain(&mut hosts, host, sink, left);
        }
    }
    assert_eq!((left[0].len(), left[1].len()), (100, 100));
}

#[test]
fn parts_that_nobody_ever_pulls_go_after_a_while() {
    let rng = Rng::from_seed(6);
    let mut hosts = Hosts::new(3, Config::default(), NO_FAULTS, rng);
    let deployed = hosts.deploy(fan_out, &fanned_out());
    hosts.pass(Duration::from_secs(55));
    assert_eq!(hosts.engines[0].sizes()[1], 1, "there is still time");
    hosts.pass(Duration::from_secs(10));
    assert_eq!(hosts.engines[0].sizes(), [0; 4]);
    let application = deployed[0].as_ref().unwrap().application;
    assert!(has_retired(&hosts.events[0], application));
}

#[test]
fn parts_whose_readers_vanish_go_and_others_hear_that_what_they_read_has_gone() {
    let rng = Rng::from_seed(7);
    let mut hosts = Hosts::new(3, Config::default(), NO_FAULTS, rng);
    let mut flow_places = fanned_out();
    flow_places.operators[1] = 1;
    flow_places.sinks[1] = 1;
    let deployed = hosts.deploy(fan_out, &flow_places);
    hosts.start(&deployed);
    hosts.pass(Duration::from_secs(1));
    hosts.links.iter_mut().for_each(|link| link.is_down = true);
    hosts.pass(Duration::from_secs(55));
    assert_eq!(hosts.engines[0].sizes()[1], 1, "a repair takes its time");
    hosts.pass(Duration::from_secs(10));
    assert_eq!(hosts.engines[0].sizes(), [0; 4]);

    hosts.links.iter_mut().for_each(|link| link.is_down = false);
    let deployed = hosts.deploy(fan_out, &flow_places);
    hosts.start(&deployed);
    hosts.pass(Duration::from_secs(1));
    hosts.links.iter_mut().for_each(|link| link.is_down = true);
    let (now, source) = (hosts.now, deployed[0].as_ref().unwrap().application);
    hosts.engines[0].release(now, source);
    hosts.pass(Duration::from_secs(7));
    assert_eq!(
        hosts.engines[0].sizes(),
        [0; 4],
        "it was ended for all who read"
    );
    hosts.pass(Duration::from_secs(60));
    hosts.links.iter_mut().for_each(|link| link.is_down = false);

    let deployed = hosts.deploy(fan_out, &flow_places);
    hosts.start(&deployed);
    hosts.pass(Duration::from_secs(1));
    let (now, source) = (hosts.now, deployed[0].as_ref().unwrap().application);
    hosts.engines[0].retire(now, source);
    hosts.pass(Duration::from_secs(1));
    assert_eq!(hosts.engines[0].sizes(), [0; 4]);
    let gone = |event: &&Event| matches!(event, Event::Gone { .. });
    assert_eq!(hosts.events[1].iter().filter(gone).count(), 2);
}
