//! What is composed where.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use composition::{Check, Input, Place};
use model::{CompositionId, Entry, Key, NodeId, Resources, wire};

use crate::support::{CHAIN, Network, SLIDES, host, id, node, order};

/// Six hosts on a line, of two cores each.
pub(crate) fn six(seed: u64) -> Network {
    let places = [0.0, 2.0, 3.0, 4.0, 5.0, 8.0];
    let hosts = (1..).zip(places);
    let hosts: Vec<_> = hosts
        .map(|(number, place)| host(number, place, 2.0))
        .collect();
    Network::new(seed, &hosts)
}

/// Where the operators of a composition are.
fn operators(network: &Network, id: CompositionId) -> Vec<NodeId> {
    let composed = network.outcome(id).expect("it was composed");
    let bindings = composed.graph.operators().iter();
    bindings.map(|binding| binding.host).collect()
}

#[test]
fn the_plan_of_the_slides_is_composed_and_its_hosts_start() {
    let mut network = six(1);
    let wanted = order("slides", 400, SLIDES, &["o5"], (2, 1), 0.5);
    network.compose(1, id(1), wanted);
    network.run(30);
    let composed = network.outcome(id(1)).expect("there is room");
    assert!(composed.predicted_delay <= Duration::from_millis(400));
    assert!(
        composed.predicted_delay >= Duration::from_millis(20),
        "four operators of 5 ms"
    );
    assert_eq!(composed.reasons.len(), 6);
    assert!(composed.reasons[0].contains("hosts that fit; adds "));
    let runner_up = composed.runner_up.as_ref().expect("six hosts fit");
    assert!(runner_up.congestion >= composed.congestion);
    assert!(
        (10..=2000).contains(&composed.probe_count),
        "{}",
        composed.probe_count
    );
    let deployed: BTreeSet<NodeId> = network
        .members
        .iter()
        .filter(|(_, member)| member.deployed.contains_key(&id(1)))
        .map(|(node, _)| *node)
        .collect();
    assert_eq!(deployed, composed.graph.hosts());
    network.assert_whole_or_nowhere(id(1));
    network.assert_nothing_is_left(&[id(1)]);
}

#[test]
fn several_sources_and_sinks_are_one_graph() {
    let mut network = six(1);
    // Two sources meet; the second sink reads what is in the middle, and one operator reads a stream twice.
    let plan: &[&[&str]] = &[&["s0", "s1"], &["o0", "o0"], &["s1"]];
    let wanted = order("many", 400, plan, &["o1", "o0", "o2", "s0"], (2, 1), 0.5);
    network.compose(1, id(1), wanted);
    network.run(30);
    network.outcome(id(1)).expect("there is room");
    network.assert_whole_or_nowhere(id(1));
    network.assert_nothing_is_left(&[id(1)]);
}

#[test]
fn what_is_taken_is_exactly_what_the_graph_asks_for_and_is_free_when_it_is_retired() {
    let mut network = six(1);
    network.compose(1, id(1), order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5));
    network.run(30);
    let hosts = operators(&network, id(1));
    for (node, member) in &network.members {
        let here = hosts.iter().filter(|host| *host == node).count();
        let expected = 0.5 * f64::from(u8::try_from(here).unwrap());
        assert!((member.composer.taken().cpu_cores - expected).abs() < 1e-9);
    }
    for node in network.members.keys().copied().collect::<Vec<_>>() {
        network.input(node, Input::Retired(id(1)));
        let taken = network.members[&node].composer.taken();
        assert_eq!(taken, Resources::default());
    }
}

#[test]
fn no_two_operators_share_a_host_where_they_are_to_be_spread() {
    // Four hosts, of which one is the source's and the sink's: three are left for three operators.
    let hosts: Vec<_> = (1..=4).map(|number| host(number, 0.0, 4.0)).collect();
    let mut network = Network::new(1, &hosts);
    let mut wanted = order("chain", 1000, CHAIN, &["o2"], (1, 1), 0.01);
    wanted.spread = true;
    network.compose(1, id(1), wanted);
    network.run(30);
    let distinct: BTreeSet<NodeId> = operators(&network, id(1)).into_iter().collect();
    assert_eq!(distinct, [node(2), node(3), node(4)].into());

    // Six operators on six hosts need the ends' hosts too.
    let mut network = six(1);
    let mut wanted = order("slides", 1000, SLIDES, &["o5"], (1, 1), 0.01);
    wanted.spread = true;
    network.compose(1, id(1), wanted);
    network.run(30);
    let distinct: BTreeSet<NodeId> = operators(&network, id(1)).into_iter().collect();
    assert_eq!(distinct.len(), 6);

    // Six on four: as many as there are.
    let mut network = Network::new(1, &hosts);
    let mut wanted = order("slides", 1000, SLIDES, &["o5"], (1, 1), 0.01);
    wanted.spread = true;
    network.compose(1, id(1), wanted);
    network.run(30);
    let distinct: BTreeSet<NodeId> = operators(&network, id(1)).into_iter().collect();
    assert_eq!(distinct.len(), 4);
}

#[test]
fn twelve_operators_are_spread_over_twelve_of_sixteen_hosts() {
    let hosts: Vec<_> = (1..=16)
        .map(|number| host(number, f64::from(number) / 8.0, 4.0))
        .collect();
    let mut network = Network::new(3, &hosts);
    let inputs: Vec<String> = std::iter::once("s0".to_owned())
        .chain((0..11).map(|index| format!("o{index}")))
        .collect();
    let inputs: Vec<[&str; 1]> = inputs.iter().map(|it| [it.as_str()]).collect();
    let plan: Vec<&[&str]> = inputs.iter().map(<[&str; 1]>::as_slice).collect();
    let mut wanted = order("chain", 1000, &plan, &["o11"], (1, 1), 0.01);
    wanted.spread = true;
    network.compose(1, id(1), wanted);
    network.run(30);
    let distinct: BTreeSet<NodeId> = operators(&network, id(1)).into_iter().collect();
    assert_eq!(distinct.len(), 12);
    assert!(!distinct.contains(&node(1)), "there are enough others");
}

#[test]
fn operators_go_where_the_application_wants_them() {
    let mut network = six(1);
    for member in network.members.values_mut() {
        let labels = BTreeMap::from([("site".to_owned(), "north".to_owned())]);
        if let Some(host) = member.view.hosts.get_mut(&node(6)) {
            Arc::make_mut(host).labels = labels;
        } else {
            member.view.host.labels = labels;
        }
    }
    let mut wanted = order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5);
    wanted.places[0] = Place::Node(node(5));
    wanted.places[1] = Place::Labels([("site".to_owned(), "north".to_owned())].into());
    network.compose(1, id(1), wanted);
    network.run(30);
    let operators = operators(&network, id(1));
    assert_eq!(operators[..2], [node(5), node(6)]);
    let composed = network.outcome(id(1)).unwrap();
    assert!(composed.reasons[0].starts_with("h5: where the application wants it"));
}

#[test]
fn hosts_that_an_order_names_and_that_are_not_known_are_looked_up() {
    let composed = |is_registered: bool| {
        let mut network = six(1);
        let pinned = network.members[&node(5)].view.host.clone();
        let composer = network.members.get_mut(&node(1)).unwrap();
        composer.view.hosts.remove(&pinned.node);
        if is_registered {
            let entry = Entry {
                owner: pinned.node,
                key: Key::host(pinned.node),
                slot: 0,
                version: 1,
                ttl: Duration::from_secs(180),
                addresses: Vec::new(),
                load: pinned.load,
                coordinate: pinned.coordinate,
                payload: Some(wire::encode(&pinned)),
                signature: [0; 64],
            };
            let name = (entry.key, entry.owner, entry.slot);
            network.entries.insert(name, entry);
        }
        let mut wanted = order("chain", 400, CHAIN, &["o2"], (2, 1), 0.5);
        wanted.places[0] = Place::Node(pinned.node);
        network.compose(1, id(1), wanted);
        network.run(30);
        match network.outcome(id(1)) {
            Ok(composed) => Ok(composed.graph.operators()[0].host),
            Err(refusal) => Err(refusal.binding.as_ref().map(|it| it.check)),
        }
    };
    assert_eq!(composed(true), Ok(node(5)));
    assert_eq!(composed(false), Err(Some(Check::Offer)));
}

#[test]
fn the_least_congested_hosts_are_taken() {
    // Equally far; the one with the most to spare is the fourth.
    let cores = [2.0, 2.0, 2.0, 8.0, 2.0];
    let hosts: Vec<_> = (1..)
        .zip(cores)
        .map(|(it, cores)| host(it, 0.0, cores))
        .collect();
    let mut network = Network::new(1, &hosts);
    network.compose(
        1,
        id(1),
        order("one", 400, &[&["s0"]], &["o0"], (2, 1), 1.0),
    );
    network.run(30);
    assert_eq!(operators(&network, id(1)), [node(4)]);
    // Background load counts as much as what others have taken.
    let mut network = Network::new(1, &hosts);
    network.members.get_mut(&node(4)).unwrap().view.busy_cores = 7.5;
    network.compose(
        1,
        id(1),
        order("one", 400, &[&["s0"]], &["o0"], (2, 1), 1.0),
    );
    network.run(30);
    assert_ne!(operators(&network, id(1)), [node(4)]);
}

#[test]
fn a_trial_tells_what_would_be_composed_and_leaves_nothing() {
    let mut network = six(1);
    let mut wanted = order("slides", 400, SLIDES, &["o5"], (2, 1), 0.5);
    wanted.is_trial = true;
    network.compose(1, id(1), wanted.clone());
    let mut has_reserved = false;
    let end = network.now + Duration::from_secs(30);
    while network.step(end) {
        let members = network.members.values();
        has_reserved |= members
            .into_iter()
            .any(|it| it.composer.taken() != Resources::default());
    }
    assert!(!has_reserved, "a trial reserves nothing");
    network.assert_nothing_is_left(&[]);
    let trial = network.outcome(id(1)).expect("there is room").clone();
    wanted.is_trial = false;
    network.compose(1, id(2), wanted);
    network.run(30);
    let composed = network.outcome(id(2)).expect("as the trial said");
    assert_eq!(composed.graph, trial.graph);
    assert_eq!(composed.predicted_delay, trial.predicted_delay);
}

#[test]
fn one_host_alone_composes_without_a_word_to_others() {
    let mut network = Network::new(1, &[host(1, 0.0, 4.0)]);
    network.compose(1, id(1), order("slides", 400, SLIDES, &["o5"], (1, 1), 0.1));
    network.run(30);
    network.outcome(id(1)).expect("there is room");
    network.assert_whole_or_nowhere(id(1));
    network.assert_nothing_is_left(&[id(1)]);
}

/// A network of hosts that are a quarter of a millisecond apart.
fn line(count: u8) -> Network {
    let hosts: Vec<_> = (1..=count)
        .map(|number| host(number, f64::from(number) / 4.0, 16.0))
        .collect();
    Network::new(9, &hosts)
}

#[test]
fn plans_of_any_size_are_composed_within_the_bound_on_probes() {
    // Rows of operators, each of which reads the one before it.
    for length in [1, 12, 30, 60, 256] {
        let inputs: Vec<String> = std::iter::once("s0".to_owned())
            .chain((1..length).map(|index| format!("o{}", index - 1)))
            .collect();
        let inputs: Vec<[&str; 1]> = inputs.iter().map(|it| [it.as_str()]).collect();
        let plan: Vec<&[&str]> = inputs.iter().map(<[&str; 1]>::as_slice).collect();
        let last = format!("o{}", length - 1);
        let wanted = order("long", 5000, &plan, &[&last], (1, 2), 0.01);
        let mut network = line(16);
        network.compose(1, id(1), wanted);
        network.run(30);
        let composed = network.outcome(id(1)).expect("there is room");
        assert!(
            composed.probe_count <= 2000,
            "{length}: {}",
            composed.probe_count
        );
    }
}

#[test]
fn wide_plans_and_forks_in_a_row_are_composed() {
    // 32 sources, each filtered, that meet in one operator.
    let mut words: Vec<String> = (0..32).map(|index| format!("s{index}")).collect();
    words.extend((0..32).map(|index| format!("o{index}")));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let mut plan: Vec<&[&str]> = words[..32].chunks(1).collect();
    plan.push(&words[32..]);
    let wanted = order("wide", 5000, &plan, &["o32"], (1, 2), 0.01);
    let mut network = line(12);
    network.compose(1, id(1), wanted);
    network.run(30);
    let composed = network.outcome(id(1)).expect("there is room");
    assert!(composed.probe_count <= 2000, "{}", composed.probe_count);

    // Six times a fork and a join: 64 ways, and each fork is closed where its branches meet.
    let mut inputs = vec![vec!["s0".to_owned()]];
    for _ in 0..6 {
        let fork = inputs.len() - 1;
        let read = |index: usize| format!("o{index}");
        inputs.push(vec![read(fork)]);
        inputs.push(vec![read(fork)]);
        inputs.push(vec![read(fork + 1), read(fork + 2)]);
    }
    let inputs: Vec<Vec<&str>> = inputs
        .iter()
        .map(|it| it.iter().map(String::as_str).collect())
        .collect();
    let plan: Vec<&[&str]> = inputs.iter().map(Vec::as_slice).collect();
    let wanted = order("forks", 5000, &plan, &["o18"], (1, 2), 0.01);
    let mut network = line(12);
    network.compose(1, id(1), wanted);
    network.run(30);
    let composed = network.outcome(id(1)).expect("there is room");
    assert!(composed.probe_count <= 2000, "{}", composed.probe_count);
}
