//! Hosts, requests and what becomes of them, in fluid fidelity.

use std::sync::Arc;
use std::time::Duration;

use composition::queue::Discipline;
use composition::{Order, Place};
use model::plan::Builder;
use model::{
    ApplicationId, Arguments, DataType, Demand, Field, Origin, Qos, Schema, SourceName, Value,
};
use testbed::simulator::{Fidelity, HostSetup, Setup, World};
use testbed::topology::Topology;

/// Hosts on a line: the farther apart their numbers, the longer the way.
#[derive(Debug)]
struct Line(usize);

impl Topology for Line {
    fn host_count(&self) -> usize {
        self.0
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        let apart = u32::try_from(from.abs_diff(to)).expect("few hosts");
        Duration::from_millis(2) * apart
    }
}

fn world(seed: u64, hosts: usize) -> World {
    let mut world = World::new(Setup {
        seed,
        topology: Arc::new(Line(hosts)),
        hosts: vec![HostSetup::default(); hosts],
        composition: composition::Config::default(),
        fidelity: Fidelity::Fluid,
        execution: Discipline::Rank,
        repairs: true,
    });
    world.check_each_event();
    world.keep_digest();
    world.run_for(Duration::from_secs(1));
    world
}

/// An order of filters in a row from a stream at a host to another.
fn order(world: &World, at: usize, name: &str, from: usize, limit: u32, length: usize) -> Order {
    let schema = || Schema::new(vec![Field::new("value", DataType::Int64)]).expect("one column");
    let qos = Qos {
        latency: Duration::from_millis(300),
        ..Qos::default()
    };
    let owner = world.node(at);
    let mut plan = Builder::new(name, qos).expect("a name");
    let source = SourceName::Published {
        publisher: world.node(from),
        name: "lab/flows".to_owned(),
    };
    let source = plan.source("flows", source, vec![("out".to_owned(), schema())]);
    let mut stream = source.expect("a source").port(0).expect("a port");
    for number in 0..length {
        let text = format!("value > {limit} + {number}");
        let parameters: Arguments = [("where", Value::from(text.as_str()))]
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect();
        let operator = format!("filter{number}");
        let outputs = vec![("out".to_owned(), schema())];
        let accepted = plan.operator(&operator, "filter", parameters, &[stream], outputs);
        stream = accepted.expect("an operator").port(0).expect("a port");
    }
    plan.sink("out", stream).expect("a sink");
    let demand = Demand {
        rows_per_second: 1000.0,
        row_bytes: 100.0,
        cost_seconds: 2e-4,
        selectivity: 1.0,
    };
    Order {
        application: ApplicationId {
            owner,
            name: name.to_owned(),
        },
        plan: plan.build().expect("a plan"),
        origins: vec![Origin(5)],
        sources: vec![world.node(from)],
        source_demands: vec![demand],
        demands: vec![demand; length],
        places: vec![Place::Any; length],
        sinks: vec![owner],
        spread: true,
        is_trial: false,
    }
}

#[test]
fn requests_are_composed_run_and_stopped() {
    let mut world = world(1, 12);
    let tickets: Vec<_> = (0..8)
        .map(|n| {
            let limit = u32::try_from(n).expect("few");
            let order = order(&world, n, &format!("app{n}"), 11 - n, limit, 3);
            world.apply(n, order)
        })
        .collect();
    world.run_until_answered();
    for ticket in &tickets {
        let outcome = world.outcome(*ticket).expect("it is answered").clone();
        let admitted = outcome.admitted.expect("there is room for all");
        assert!(
            outcome.messages > 10 && outcome.bytes > 1000,
            "{}",
            outcome.messages
        );
        assert!(outcome.lookups > 0 && outcome.probes > 3);
        let delays = world.delay(*ticket).expect("it runs");
        assert!(delays.full <= delays.target);
        let apart = delays.full.abs_diff(admitted.predicted_delay);
        assert!(apart < Duration::from_millis(20), "{delays:?} {admitted:?}");
    }
    assert!((0..12).any(|host| world.load(host) > 0.04));
    world.run_for(Duration::from_secs(30));
    for ticket in &tickets {
        world.stop(*ticket).expect("an application");
    }
    world.run_until_answered();
    world.run_for(Duration::from_secs(30));
    for host in 0..12 {
        assert!(world.load(host) < 1e-9, "host {host}: {}", world.load(host));
    }
    assert_eq!(world.violations(), []);
}

#[test]
fn one_seed_is_one_run() {
    let digest = |seed| {
        let mut world = world(seed, 9);
        let order = order(&world, 2, "app", 7, 1, 2);
        world.apply(2, order);
        world.run_until_answered();
        world.digest().expect("it is kept")
    };
    assert_eq!(digest(1), digest(1));
    assert_ne!(digest(1), digest(2));
}
