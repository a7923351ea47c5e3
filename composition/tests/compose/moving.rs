//! Operators go to other hosts while everything runs, or nothing has changed.

use std::time::Duration;

use composition::{Event, Input, Migrated, Place, Unmigrated};
use model::{CompositionId, NodeId};

use crate::placing::six;
use crate::support::{CHAIN, Network, host, id, node, order};

fn by(number: u8) -> CompositionId {
    CompositionId {
        node: node(number),
        number: 1,
    }
}

/// Where the operators of a composition are, as its hosts say, which agree.
fn places(network: &Network, id: CompositionId) -> Vec<NodeId> {
    network.assert_whole_or_nowhere(id);
    let mut members = network.members.values();
    let graph = members.find_map(|member| member.deployed.get(&id));
    let graph = graph.expect("it runs");
    graph.operators().iter().map(|it| it.host).collect()
}

fn migrate(network: &mut Network, composition: CompositionId, operator: u16, to: &[NodeId]) {
    let at = places(network, composition)[usize::from(operator)];
    let to = to.to_vec();
    network.input(
        at,
        Input::Migrate {
            composition,
            operator,
            to,
        },
    );
}

fn migrated(network: &Network) -> Vec<&Migrated> {
    let events = network.events.iter();
    let migrated = events.filter_map(|(_, event)| match event {
        Event::Migrated(migrated) => Some(migrated),
        _ => None,
    });
    migrated.collect()
}

fn unmigrated(network: &Network) -> Vec<&Unmigrated> {
    let events = network.events.iter();
    let unmigrated = events.filter_map(|(_, event)| match event {
        Event::Unmigrated(unmigrated) => Some(unmigrated),
        _ => None,
    });
    unmigrated.collect()
}

/// Six hosts on which a chain runs.
fn running(seed: u64) -> Network {
    let mut network = six(seed);
    network.compose(1, id(1), order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5));
    network.run(30);
    network.outcome(id(1)).expect("there is room");
    network
}

/// A host that has nothing to do with a composition.
fn stranger(network: &Network, id: CompositionId) -> NodeId {
    let mut members = network.members.iter();
    let stranger = members.find(|(_, member)| !member.deployed.contains_key(&id));
    *stranger.expect("it is not everywhere").0
}

fn allocated(network: &Network) -> f64 {
    let members = network.members.values();
    members.map(|it| it.composer.allocated().cpu_cores).sum()
}

#[test]
fn an_operator_goes_to_a_stranger_and_everybody_knows() {
    let mut network = running(1);
    let taken = allocated(&network);
    let before = places(&network, id(1));
    let to = stranger(&network, id(1));
    migrate(&mut network, id(1), 1, &[to]);
    network.run(30);
    let mut expected = before;
    expected[1] = to;
    assert_eq!(places(&network, id(1)), expected);
    let [migrated] = migrated(&network)[..] else {
        panic!("{:?}", network.events);
    };
    assert_eq!((migrated.to, migrated.operator), (to, 1));
    assert_eq!(migrated.taken.state_bytes, 1000);
    assert!(migrated.unheard.is_empty() && migrated.declined.is_empty());
    assert!((allocated(&network) - taken).abs() < 1e-9, "it runs once");
    network.assert_nothing_is_left(&[id(1)]);
    // What is registered says where it is now.
    let stream = migrated
        .graph
        .plan()
        .stream_name(model::plan::Stream::Operator(1, 0));
    let owners: Vec<NodeId> = network
        .entries
        .keys()
        .filter(|(key, _, _)| *key == model::Key::stream(stream))
        .map(|(_, owner, _)| *owner)
        .collect();
    assert_eq!(owners, [to]);
}

#[test]
fn any_operator_goes_anywhere_again_and_again() {
    for seed in 0..10 {
        let mut network = running(seed);
        let taken = allocated(&network);
        for step in 0..12_u8 {
            let operator = u16::from(step % 3);
            let to = node(1 + (step * 5 + 3) % 6);
            if places(&network, id(1))[usize::from(operator)] == to {
                continue;
            }
            migrate(&mut network, id(1), operator, &[to]);
            network.run(30);
            let unmoved = unmigrated(&network);
            assert!(unmoved.is_empty(), "seed {seed}, step {step}: {unmoved:?}");
            let at = places(&network, id(1))[usize::from(operator)];
            assert_eq!(at, to, "seed {seed}, step {step}");
            assert!((allocated(&network) - taken).abs() < 1e-9, "step {step}");
        }
        network.assert_nothing_is_left(&[id(1)]);
    }
}

#[test]
fn where_nobody_is_named_the_least_loaded_is_asked() {
    let mut network = running(2);
    let before = places(&network, id(1));
    migrate(&mut network, id(1), 0, &[]);
    network.run(30);
    assert_ne!(places(&network, id(1))[0], before[0]);
}

#[test]
fn who_shares_an_operator_follows_it() {
    let mut network = running(3);
    network.compose(5, by(5), order("second", 400, CHAIN, &["o2"], (2, 5), 0.5));
    network.run(30);
    let shared = network.outcome(by(5)).expect("it is shared").graph.clone();
    assert!(shared.operators().iter().all(|it| it.shared));
    let taken = allocated(&network);
    let from = places(&network, id(1))[1];
    let to = stranger(&network, id(1));
    migrate(&mut network, id(1), 1, &[to]);
    network.run(30);
    let sharing = migrated(&network)[0].sharing.clone();
    assert_eq!(sharing, [(by(5), 1)]);
    network.input(
        from,
        Input::Migrate {
            composition: by(5),
            operator: 1,
            to: vec![to],
        },
    );
    network.run(30);
    assert_eq!(places(&network, by(5)), places(&network, id(1)));
    assert!(
        (allocated(&network) - taken).abs() < 1e-9,
        "no operator runs twice"
    );
    network.assert_nothing_is_left(&[id(1), by(5)]);
    assert!(unmigrated(&network).is_empty());
}

#[test]
fn who_has_no_room_declines_and_the_next_is_asked() {
    let places_ms = [0.0, 1.0, 2.0, 3.0, 4.0];
    let mut hosts: Vec<_> = (1..)
        .zip(places_ms)
        .map(|(number, place)| host(number, place, 4.0))
        .collect();
    hosts[3].capacity.cpu_cores = 0.1;
    let mut network = Network::new(1, &hosts);
    let mut wanted = order("one", 400, &CHAIN[..1], &["o0"], (2, 1), 0.5);
    wanted.places[0] = Place::Any;
    network.compose(1, id(1), wanted);
    network.run(30);
    migrate(&mut network, id(1), 0, &[node(4), node(5)]);
    network.run(30);
    assert_eq!(places(&network, id(1)), [node(5)]);
    let declined = &migrated(&network)[0].declined;
    assert_eq!(declined.len(), 1);
    assert_eq!(declined[0].0, node(4));
    assert!(declined[0].1.contains("cores"), "{declined:?}");
    network.assert_nothing_is_left(&[id(1)]);
}

#[test]
fn an_operator_stays_where_it_was_pinned_and_where_others_are_too_far() {
    let hosts: Vec<_> = (1..)
        .zip([0.0, 1.0, 1.0, 60.0])
        .map(|(number, place)| host(number, place, 4.0))
        .collect();
    let mut network = Network::new(1, &hosts);
    let mut pinned = order("pinned", 100, &CHAIN[..1], &["o0"], (2, 1), 0.5);
    pinned.places[0] = Place::Node(node(2));
    network.compose(1, id(1), pinned);
    let free = order("free", 100, &CHAIN[..1], &["o0"], (3, 1), 0.5);
    network.compose(1, id(2), free);
    network.run(30);
    migrate(&mut network, id(1), 0, &[node(3)]);
    migrate(&mut network, id(2), 0, &[node(4)]);
    network.run(90);
    let why: Vec<&str> = unmigrated(&network)
        .iter()
        .map(|it| it.declined[0].1.as_str())
        .collect();
    assert!(why.iter().any(|it| it.contains("does not let")), "{why:?}");
    assert!(why.iter().any(|it| it.contains("delay")), "{why:?}");
    network.assert_nothing_is_left(&[id(1), id(2)]);
}

#[test]
fn what_cannot_be_made_ready_leaves_all_as_it_was() {
    let mut network = running(4);
    let before = places(&network, id(1));
    let to = stranger(&network, id(1));
    let taken = allocated(&network);
    network.broken.insert(to);
    migrate(&mut network, id(1), 1, &[to]);
    network.run(90);
    assert_eq!(places(&network, id(1)), before);
    assert_eq!(unmigrated(&network).len(), 1);
    assert!((allocated(&network) - taken).abs() < 1e-9);
    network.assert_nothing_is_left(&[id(1)]);
    // And another one can follow.
    network.broken.clear();
    migrate(&mut network, id(1), 1, &[to]);
    network.run(30);
    assert_eq!(places(&network, id(1))[1], to);
}

#[test]
fn of_two_at_once_one_comes_about_and_the_other_can_be_tried_again() {
    for seed in 0..10 {
        let mut network = running(seed);
        let before = places(&network, id(1));
        let to = stranger(&network, id(1));
        let operators: Vec<u16> = match before[0] == before[2] {
            true => vec![0, 0],
            false => vec![0, 2],
        };
        for operator in operators {
            migrate(&mut network, id(1), operator, &[to]);
        }
        network.run(90);
        assert!(migrated(&network).len() <= 1, "seed {seed}");
        assert!(!unmigrated(&network).is_empty(), "seed {seed}");
        places(&network, id(1));
        network.assert_nothing_is_left(&[id(1)]);
        if places(&network, id(1))[0] != to {
            migrate(&mut network, id(1), 0, &[to]);
            network.run(30);
            assert_eq!(places(&network, id(1))[0], to, "seed {seed}");
        }
    }
}

#[test]
fn loss_repetition_and_reordering_leave_a_whole_graph() {
    let mut moved = 0;
    for seed in 0..40 {
        let mut network = running(seed);
        network.loss = 0.1;
        network.repetition = 0.2;
        network.jitter = Duration::from_millis(20);
        let before = places(&network, id(1));
        let to = stranger(&network, id(1));
        migrate(&mut network, id(1), 1, &[to]);
        network.run(200);
        let came_about = network
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::Rebound { .. }));
        moved += u32::from(came_about);
        if came_about {
            // Who was not heard learns it of the record, which is not of this machine.
            if migrated(&network)[0].unheard.is_empty() {
                assert_eq!(places(&network, id(1))[1], to, "seed {seed}");
            }
        } else {
            assert_eq!(places(&network, id(1)), before, "seed {seed}");
        }
    }
    assert!(moved >= 30, "{moved} of 40");
}

/// What is asked to happen in the middle of a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Middle {
    /// The application ends everywhere.
    Stop,
    /// A host vanishes: the one that moves, or the one that takes.
    Vanish { mover: bool },
}

/// The application ends on a host, if it runs there.
fn end(network: &mut Network, host: NodeId) {
    let member = network.members.get_mut(&host).expect("a host");
    if member.deployed.remove(&id(1)).is_some() {
        member.started.remove(&id(1));
        network.input(host, Input::Ended(id(1)));
        network.input(host, Input::Retired(id(1)));
    }
}

/// Lets something happen at a step of a move; says whether the move lasted as long.
fn interrupted(seed: u64, step: u64, middle: Middle) -> bool {
    let mut network = running(seed);
    let from = places(&network, id(1))[1];
    let to = stranger(&network, id(1));
    migrate(&mut network, id(1), 1, &[to]);
    let (first, until) = (network.steps, network.now + Duration::from_secs(5));
    let has_ended = |network: &Network| {
        let mut events = network.events.iter();
        events.any(|(_, it)| matches!(it, Event::Migrated(_) | Event::Unmigrated(_)))
    };
    while network.steps < first + step && !has_ended(&network) {
        network.step(until);
    }
    let lasted = !has_ended(&network);
    match middle {
        Middle::Stop => {
            let hosts: Vec<NodeId> = network.members.keys().copied().collect();
            for host in hosts {
                end(&mut network, host);
            }
        }
        Middle::Vanish { mover } => {
            let gone = if mover { from } else { to };
            network.kill(gone.0[0]);
        }
    }
    network.run(200);
    if middle == Middle::Stop {
        // Who was told to go over when it had ended everywhere else learns that of the record.
        if network.members[&to].deployed.contains_key(&id(1)) {
            end(&mut network, to);
        }
        network.run(30);
        network.assert_nothing_is_left(&[]);
    } else {
        network.assert_nothing_is_left(&[id(1)]);
    }
    lasted
}

#[test]
fn whatever_happens_at_whichever_step_nothing_is_left_half_done() {
    for middle in [
        Middle::Stop,
        Middle::Vanish { mover: true },
        Middle::Vanish { mover: false },
    ] {
        for seed in 1..4 {
            let mut step = 0;
            while interrupted(seed, step, middle) {
                step += 1;
                assert!(step < 200, "a move takes fewer steps");
            }
            assert!(step > 5, "{middle:?}: it was interrupted at {step} steps");
        }
    }
}
