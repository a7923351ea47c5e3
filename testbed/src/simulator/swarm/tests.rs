//! Seeds, and repairs of what is shared that seeds seldom draw.

use std::collections::BTreeSet;
use std::sync::Arc;

use composition::queue::Discipline;
use model::{ComponentGraph, Demand};

use super::case::Request;
use super::*;
use crate::simulator::{HostSetup, Setup, Ticket};

#[test]
fn some_seeds_converge_and_are_the_same_twice() {
    for seed in 0..3 {
        let first = run(seed, None);
        assert_eq!(first.violations, [], "seed {seed}: {}", first.case);
        assert_eq!(first.digest, run(seed, None).digest);
    }
}

/// The graph of an application, as the host has it that was asked for it.
fn graph(world: &World, ticket: Ticket) -> ComponentGraph {
    let asked = world.asked_of(ticket);
    let application = asked.application.as_ref().expect("it is named");
    let node = &world.hosts[asked.host].node;
    node.recorded_graph(application).expect("it runs").clone()
}

/// An application of two filters, and one that shares both and has a third. Gives them in this order.
fn sharing() -> (World, Ticket, Ticket) {
    let mut rng = Rng::from_seed(5);
    let mut world = World::new(Setup {
        seed: 5,
        topology: Arc::new(Plane::draw(9, Duration::from_millis(20), &mut rng)),
        hosts: vec![HostSetup::default(); 9],
        composition: composition::Config::default(),
        fidelity: Fidelity::Fluid,
        execution: Discipline::Rank,
        repairs: true,
    });
    world.check_each_event();
    world.notice_down(true);
    world.run_for(Duration::from_secs(2));
    let mut tickets = Vec::new();
    for (at, length) in [(8, 2), (7, 3)] {
        let request = Request {
            at,
            name: format!("of{at}"),
            from: 0,
            meaning: 0,
            length,
            is_forked: false,
            is_windowed: false,
            is_trial: false,
            target: Duration::from_millis(500),
            replicas: 0,
            demand: Demand {
                rows_per_second: 100.0,
                row_bytes: 100.0,
                cost_seconds: 0.001,
                selectivity: 1.0,
            },
            spread: true,
        };
        let order = request.order(&world);
        tickets.push(world.apply(at, order));
        world.run_until_answered();
    }
    world.run_for(Duration::from_secs(10));
    let graph = graph(&world, tickets[1]);
    let shared: Vec<bool> = graph.operators().iter().map(|it| it.shared).collect();
    assert_eq!(shared, [true, true, false]);
    let ends = [0, 7, 8].map(|host| world.node(host));
    let middle: BTreeSet<_> = graph.operators()[..2].iter().map(|it| it.host).collect();
    assert!(middle.len() == 2 && ends.iter().all(|host| !middle.contains(host)));
    (world, tickets[0], tickets[1])
}

/// The host of an operator goes down, and there is time to make it again. Gives which operators of a graph are shared then.
fn lose(world: &mut World, ticket: Ticket, operator: usize) -> Vec<bool> {
    let lost = graph(world, ticket).operators()[operator].host;
    world.crash(world.host_of(lost).expect("a host"));
    world.run_for(Duration::from_secs(120));
    let graph = graph(world, ticket);
    assert!(!graph.hosts().contains(&lost), "{:?}", world.places(&graph));
    let id = world.asked_of(ticket).composition.expect("it was admitted");
    assert!(world.yields(id, &graph), "{:?}", world.places(&graph));
    assert_eq!(world.violations(), []);
    graph.operators().iter().map(|it| it.shared).collect()
}

#[test]
fn who_shares_follows_whose_it_is() {
    let (mut world, _, second) = sharing();
    assert_eq!(lose(&mut world, second, 0), [true, true, false]);
}

#[test]
fn what_has_no_owner_any_more_is_made_by_who_reads_it() {
    let (mut world, first, second) = sharing();
    world.stop(first).expect("it is known");
    world.run_until_answered();
    assert_eq!(lose(&mut world, second, 0), [false; 3]);
    // From then on it is as any other.
    assert_eq!(lose(&mut world, second, 1), [false; 3]);
}
