//! Engines on virtual cores: rows by position, and delays beside those of the fluid model.

use std::sync::Arc;
use std::time::Duration;

use composition::queue::Discipline;
use composition::{Order, Place};
use engine::operator;
use model::plan::Builder;
use model::{
    ApplicationId, Arguments, DataType, Demand, Field, Origin, Qos, Schema, SourceName, Value,
};
use testbed::simulator::discrete::{Arrivals, Costs};
use testbed::simulator::swarm::Plane;
use testbed::simulator::{Fidelity, HostSetup, Setup, Ticket, World};

const HOSTS: usize = 6;

fn world(fidelity: Fidelity) -> World {
    let mut rng = model::Rng::from_seed(11);
    let hosts = (0..HOSTS).map(|number| HostSetup {
        cores: 1.0,
        clock_offset: Duration::from_secs(3 * u64::try_from(number).expect("few")),
        clock_drift: if number % 2 == 0 { 1e-5 } else { -1e-5 },
        ..HostSetup::default()
    });
    let mut world = World::new(Setup {
        seed: 11,
        topology: Arc::new(Plane::draw(HOSTS, Duration::from_millis(20), &mut rng)),
        hosts: hosts.collect(),
        composition: composition::Config::default(),
        fidelity,
        execution: Discipline::Rank,
        repairs: false,
    });
    world.check_each_event();
    world.run_for(Duration::from_secs(1));
    world
}

/// Filters in a row that pass every row.
fn order(world: &World, number: usize) -> Order {
    let schema = Schema::new(vec![Field::new("value", DataType::Int64)]).expect("one column");
    let qos = Qos {
        latency: Duration::from_millis(500),
        ..Qos::default()
    };
    let name = format!("app{number}");
    let (at, from) = (number % HOSTS, (number + 3) % HOSTS);
    let owner = world.node(at);
    let mut plan = Builder::new(&name, qos).expect("a name");
    let source = SourceName::Published {
        publisher: world.node(from),
        name: format!("lab/flows{number}"),
    };
    let bad = engine::intake::bad_schema();
    let ports = vec![("out".to_owned(), schema.clone()), ("bad".to_owned(), bad)];
    let source = plan.source("flows", source, ports).expect("a source");
    let mut stream = source.port(0).expect("a port");
    let kind = operator::find("filter").expect("it is there");
    for place in 0..3 {
        let text = format!("value > -{place}");
        let arguments = Arguments::from_iter([("where".to_owned(), Value::from(text.as_str()))]);
        let compiled =
            (kind.compile)(&arguments, std::slice::from_ref(&schema)).expect("it is right");
        let accepted = plan.operator(
            &format!("filter{place}"),
            kind.name,
            compiled.parameters,
            &[stream],
            compiled.outputs,
        );
        stream = accepted.expect("an operator").port(0).expect("a port");
    }
    plan.sink("out", stream).expect("a sink");
    let demand = Demand {
        rows_per_second: 50.0,
        row_bytes: 8.0,
        cost_seconds: 0.004,
        selectivity: 1.0,
    };
    Order {
        application: ApplicationId { owner, name },
        plan: plan.build().expect("a plan"),
        origins: vec![Origin(1 + u128::try_from(number).expect("few"))],
        sources: vec![world.node(from)],
        source_demands: vec![demand],
        demands: vec![demand; 3],
        places: vec![Place::Any; 3],
        sinks: vec![owner],
        spread: true,
        is_trial: false,
    }
}

fn run(world: &mut World, count: usize) -> Vec<Ticket> {
    let mut tickets = Vec::new();
    for number in 0..count {
        let order = order(world, number);
        tickets.push(world.apply(number % HOSTS, order));
        world.run_until_answered();
    }
    world.run_for(Duration::from_secs(60));
    for ticket in &tickets {
        let outcome = world.outcome(*ticket).expect("it is answered");
        assert!(outcome.admitted.is_some(), "{:?}", outcome.refusal);
    }
    tickets
}

/// Medians are within 12 % of what the formulas say. Means are up to 25 % above: rows that waited together leave together, and the
/// next component finds them all at once, where the formulas have them come one by one.
#[test]
fn delays_of_engines_are_those_of_the_fluid_model() {
    let (mut fluid, mut discrete) = (world(Fidelity::Fluid), world(Fidelity::Discrete));
    discrete.set_costs(Costs::Exponential);
    let tickets = run(&mut fluid, 4);
    assert_eq!(run(&mut discrete, 4), tickets);
    let seconds = |it: Option<Duration>| it.expect("it runs").as_secs_f64();
    for ticket in tickets {
        let modelled = seconds(fluid.delay(ticket).map(|it| it.full));
        let median = seconds(discrete.delay(ticket).map(|it| it.full));
        let mean = seconds(discrete.counted(ticket)[0].mean());
        for (measured, room) in [(median, 0.12), (mean, 0.25)] {
            let apart = (modelled - measured).abs() / measured;
            assert!(
                apart < room,
                "{ticket:?}: {modelled}, and {mean} and {median}"
            );
        }
    }
    assert_eq!(fluid.violations(), []);
    assert_eq!(discrete.violations(), []);
}

#[test]
fn every_row_leaves_once_however_rows_come() {
    let bursty = Arrivals::Bursty {
        period: Duration::from_secs(2),
        share: 0.25,
    };
    for arrivals in [Arrivals::Regular, Arrivals::Poisson, bursty] {
        let mut world = world(Fidelity::Discrete);
        world.set_arrivals(arrivals);
        let tickets = run(&mut world, 2);
        world.stop_sources();
        world.run_for(Duration::from_secs(5));
        for ticket in tickets {
            let (offered, dropped) = world.offered(ticket);
            assert!(offered > 2500, "{arrivals:?}: {offered}");
            assert_eq!(dropped, 0);
            let counted = world.counted(ticket);
            let rows: u64 = counted.iter().map(|it| it.rows + it.missing).sum();
            assert_eq!((counted.len(), rows), (1, offered), "{arrivals:?}");
            world.stop(ticket);
        }
        world.run_until_answered();
        world.run_for(Duration::from_secs(5));
        assert_eq!(world.violations(), []);
        assert!((0..HOSTS).all(|host| world.load(host) < 1e-9));
    }
}
