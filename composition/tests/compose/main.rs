//! Some composers in memory, with virtual time.

mod support;

use std::collections::BTreeSet;

use composition::{Check, Reason};
use support::{CHAIN, Network, SLIDES, host, id, node, order};

fn six() -> Network {
    let places = [0.0, 2.0, 3.0, 4.0, 5.0, 8.0];
    let hosts = (1..)
        .zip(places)
        .map(|(number, place)| host(number, place, 2.0));
    Network::new(1, &hosts.collect::<Vec<_>>())
}

#[test]
fn the_plan_of_the_slides_is_composed() {
    let mut network = six();
    let wanted = order("slides", 400, SLIDES, &["o5"], (2, 1), 0.5);
    network.compose(1, id(1), wanted);
    network.run(30);
    let composed = network.outcome(id(1)).expect("there is room");
    eprintln!("{composed:#?}");
    assert!(composed.predicted_delay <= std::time::Duration::from_millis(400));
    assert_eq!(composed.reasons.len(), 6);
    assert!(composed.runner_up.is_some());
    let hosts = composed.graph.hosts();
    for (node, member) in &network.members {
        let has = member.deployed.contains(&id(1));
        assert_eq!(has, hosts.contains(node), "{node}");
        let is_sink = *node == support::node(1);
        assert_eq!(member.started.contains(&id(1)), is_sink);
    }
    network.assert_nothing_is_left(&[id(1)]);
}
