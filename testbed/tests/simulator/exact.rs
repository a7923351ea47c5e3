//! Every row leaves once: while operators move with their state, and while the network is bad; and who checks that can fail.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use composition::queue::Discipline;
use composition::{Order, Place};
use engine::operator;
use model::plan::{Builder, Stream};
use model::{
    ApplicationId, Arguments, DataType, Demand, Field, Origin, Qos, QueryPlan, Scalar, Schema,
    SourceName, Value,
};
use node::node::{Answer, Command, Decision};
use testbed::simulator::discrete::Tampering;
use testbed::simulator::network::{Jitter, Loss, Partition};
use testbed::simulator::swarm::Plane;
use testbed::simulator::{Fidelity, HostSetup, Setup, Ticket, World};

const HOSTS: usize = 6;

/// Six hosts whose clocks are apart and drift, and which may repair what those ran that are gone.
fn world(seed: u64, repairs: bool) -> World {
    let mut rng = model::Rng::from_seed(seed);
    let hosts = (0..HOSTS).map(|number| HostSetup {
        clock_offset: Duration::from_secs(3 * u64::try_from(number).expect("few")),
        clock_drift: if number % 2 == 0 { 1e-4 } else { -1e-4 },
        ..HostSetup::default()
    });
    let mut world = World::new(Setup {
        seed,
        topology: Arc::new(Plane::draw(HOSTS, Duration::from_millis(20), &mut rng)),
        hosts: hosts.collect(),
        composition: composition::Config::default(),
        fidelity: Fidelity::Discrete,
        execution: Discipline::Rank,
        repairs,
    });
    world.check_each_event();
    world.keep_rows();
    world.run_for(Duration::from_secs(1));
    world
}

/// Two filters in a row, and sums over windows behind them where that is wanted.
fn plan(world: &World, name: &str, is_windowed: bool) -> Option<QueryPlan> {
    let schema = Schema::new(vec![Field::new("value", DataType::Int64)]).ok()?;
    let qos = Qos {
        latency: Duration::from_millis(900),
        // Held where nodes repair what is gone.
        replicas: 1,
        ..Qos::default()
    };
    let mut plan = Builder::new(name, qos).ok()?;
    let source = SourceName::Published {
        publisher: world.node(0),
        name: format!("lab/{name}"),
    };
    let bad = engine::intake::bad_schema();
    let ports = vec![("out".to_owned(), schema.clone()), ("bad".to_owned(), bad)];
    let mut stream = plan.source("flows", source, ports).ok()?.port(0)?;
    for place in 0..2 {
        let text = format!("value > {}", 7 + place);
        let arguments = Arguments::from_iter([("where".to_owned(), Value::from(text.as_str()))]);
        stream = add(
            &mut plan,
            &format!("filter{place}"),
            "filter",
            &arguments,
            stream,
            &schema,
        )?;
    }
    if is_windowed {
        let column = |name: &str, text: &str| (name.to_owned(), Scalar::from(text));
        let columns = vec![column("rows", "count(*)"), column("sum", "sum(value)")];
        let window = vec![("tumbling".to_owned(), Scalar::Micros(1_000_000))];
        let arguments = Arguments::from_iter([
            ("window".to_owned(), Value::Table(window)),
            ("select".to_owned(), Value::Table(columns)),
        ]);
        stream = add(&mut plan, "sums", "window", &arguments, stream, &schema)?;
    }
    plan.sink("out", stream).ok()?;
    plan.build().ok()
}

fn add(
    plan: &mut Builder,
    name: &str,
    kind: &str,
    arguments: &Arguments,
    input: Stream,
    schema: &Schema,
) -> Option<Stream> {
    let kind = operator::find(kind)?;
    let compiled = (kind.compile)(arguments, std::slice::from_ref(schema)).ok()?;
    let (parameters, outputs) = (compiled.parameters, compiled.outputs);
    let added = plan.operator(name, kind.name, parameters, &[input], outputs);
    added.ok()?.port(0)
}

fn apply(world: &mut World, number: u128, is_windowed: bool) -> Ticket {
    let name = format!("app{number}");
    let owner = world.node(1);
    let plan = plan(world, &name, is_windowed).expect("a plan");
    let demand = Demand {
        rows_per_second: 40.0,
        row_bytes: 8.0,
        cost_seconds: 0.001,
        selectivity: 1.0,
    };
    let count = plan.operators().len();
    let order = Order {
        application: ApplicationId { owner, name },
        plan,
        origins: vec![Origin(1 + number)],
        sources: vec![world.node(0)],
        source_demands: vec![demand],
        demands: vec![demand; count],
        places: vec![Place::Any; count],
        sinks: vec![owner],
        spread: true,
        is_trial: false,
    };
    let ticket = world.apply(1, order);
    world.run_until_answered();
    let outcome = world.outcome(ticket).expect("it is answered");
    assert!(outcome.admitted.is_some(), "{:?}", outcome.refusal);
    ticket
}

/// Asks for a move, and lets time pass until it has ended. Gives whether it came about.
fn relocate(world: &mut World, application: &str, operator: &str, to: usize) -> bool {
    let command = Command::Move {
        application: application.to_owned(),
        operator: operator.to_owned(),
        to: Some(world.summary(to).name.clone()),
    };
    let moved = world.command(1, command);
    world.run_until_answered();
    world.run_for(Duration::from_millis(300));
    matches!(world.answer(moved), Some(Ok(Answer::Moved(_))))
}

/// Lets all that is under way leave. Gives how many rows did, and what is wrong with them.
fn finish(world: &mut World, ticket: Ticket) -> (usize, Vec<String>) {
    world.stop_sources();
    world.run_for(Duration::from_secs(20));
    assert_eq!(world.violations(), []);
    world.check_rows(ticket, true)
}

#[test]
fn every_row_leaves_once_while_operators_move() {
    let mut world = world(3, false);
    let tickets = [apply(&mut world, 0, true), apply(&mut world, 1, false)];
    world.run_for(Duration::from_secs(5));
    let mut moved = 0;
    for to in [2, 3, 4, 0, 1, 5, 2] {
        for (application, operator) in [("app0", "sums"), ("app0", "filter1"), ("app1", "filter0")]
        {
            moved += usize::from(relocate(&mut world, application, operator, to));
        }
    }
    assert!(moved >= 15, "{moved} moves came about");
    for (ticket, least) in tickets.into_iter().zip([30, 300]) {
        let (rows, wrong) = finish(&mut world, ticket);
        assert_eq!(wrong, Vec::<String>::new());
        assert!(rows >= least, "{rows} rows have left");
    }
}

/// For less time than after which readers lapse.
#[test]
fn every_row_leaves_once_while_operators_move_in_a_bad_network() {
    let mut world = world(4, false);
    let ticket = apply(&mut world, 0, true);
    let mut moved = 0;
    for to in [2, 3, 4, 5, 0] {
        world.add_fault(Box::new(Loss(0.1)));
        world.add_fault(Box::new(Jitter(Duration::from_millis(200))));
        moved += usize::from(relocate(&mut world, "app0", "sums", to));
        let side: BTreeSet<usize> = [to, 1].into();
        world.add_fault(Box::new(Partition(side)));
        world.run_for(Duration::from_secs(3));
        world.clear_faults();
        world.run_for(Duration::from_secs(5));
        moved += usize::from(relocate(&mut world, "app0", "filter1", to));
    }
    assert!(moved >= 5, "{moved} moves came about");
    let (rows, wrong) = finish(&mut world, ticket);
    assert_eq!(wrong, Vec::<String>::new());
    assert!(rows >= 100, "{rows} rows have left");
}

#[test]
fn rows_that_are_doubled_or_dropped_are_found() {
    for is_windowed in [false, true] {
        for tampering in [None, Some(Tampering::Double), Some(Tampering::Drop)] {
            let mut world = world(5, false);
            let ticket = apply(&mut world, 0, is_windowed);
            world.run_for(Duration::from_secs(5));
            if let Some(tampering) = tampering {
                // The sink of results may be the only one that reads from elsewhere: rows before the windows are what is meant.
                (0..HOSTS).for_each(|host| world.tamper(host, tampering));
            }
            world.run_for(Duration::from_secs(5));
            let (rows, wrong) = finish(&mut world, ticket);
            assert!(rows > 10, "{rows} rows have left");
            assert_eq!(wrong.is_empty(), tampering.is_none(), "{wrong:?}");
        }
    }
}

/// What hosts have made in the place of what was lost, and how much state that went on with.
fn restored(world: &mut World, application: &str) -> Vec<(String, u64)> {
    let asked = world.command(1, Command::Events(Some(application.to_owned())));
    world.run_until_answered();
    let Some(Ok(Answer::Events(list))) = world.answer(asked) else {
        return Vec::new();
    };
    let events = list.events.iter();
    let restored = events.filter_map(|event| match &event.decision {
        Decision::Restored {
            component,
            state_bytes,
        } => Some((component.clone(), *state_bytes)),
        _ => None,
    });
    restored.collect()
}

/// The name of the host that runs an operator.
fn place(world: &mut World, application: &str, operator: &str) -> Option<String> {
    let asked = world.command(1, Command::Application(application.to_owned()));
    world.run_until_answered();
    let Some(Ok(Answer::Application(status))) = world.answer(asked) else {
        return None;
    };
    let mut components = status.components.iter();
    let found = components.find(|it| it.name == operator);
    found.map(|it| it.host.clone())
}

/// One host after the other that runs an operator is gone for good: windows go on from the state that a backup holds, filters where they are asked to.
/// No row is lost, none is doubled, and none is told as missing; also where frames are lost and late meanwhile.
#[test]
fn every_row_leaves_once_while_hosts_of_operators_are_lost() {
    for (seed, is_bad) in [(6, false), (7, true), (8, true), (9, false)] {
        let mut world = world(seed, true);
        let ticket = apply(&mut world, 0, true);
        for (operator, to) in [("filter0", 2), ("sums", 3), ("filter1", 4)] {
            // It may run there already.
            relocate(&mut world, "app0", operator, to);
            let at = place(&mut world, "app0", operator);
            let wanted = world.summary(to).name.clone();
            assert_eq!(at, Some(wanted), "seed {seed}: {operator}");
        }
        world.run_for(Duration::from_secs(8));
        if is_bad {
            world.add_fault(Box::new(Loss(0.05)));
            world.add_fault(Box::new(Jitter(Duration::from_millis(100))));
        }
        for host in [3, 2, 4] {
            world.crash(host);
            world.run_for(Duration::from_secs(8));
        }
        world.clear_faults();
        let restored = restored(&mut world, "app0");
        let of = |name: &'static str| restored.iter().filter(move |(it, _)| it == name);
        let has_state = of("sums").any(|(_, bytes)| *bytes > 0);
        assert!(has_state, "seed {seed}: {restored:?}");
        assert!(of("filter0").count() > 0, "seed {seed}: {restored:?}");
        assert!(of("filter1").count() > 0, "seed {seed}: {restored:?}");
        let (rows, wrong) = finish(&mut world, ticket);
        assert_eq!(wrong, Vec::<String>::new(), "seed {seed}");
        let missing: u64 = world.counted(ticket).iter().map(|it| it.missing).sum();
        assert!(
            rows >= 50 && missing == 0,
            "seed {seed}: {rows} rows, {missing} missing"
        );
    }
}
