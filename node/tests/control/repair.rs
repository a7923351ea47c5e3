//! Hosts that are gone, cut off or started anew: the others go on in their place, and all agree in the end on who runs what.

use std::collections::BTreeSet;
use std::time::Duration;

use model::plan::Builder;
use model::{ComponentGraph, NodeId, Qos, Rng};
use node::node::{Answer, Command, Decision};

use crate::support::{Net, order, plan};

/// How long everything may take to come to rest once all hosts are there. Source: three turns of who says it, and the retries of a record.
const REST: Duration = Duration::from_secs(90);

/// An application of the first host, with as many backups of each operator.
fn running(net: &mut Net, replicas: u8) {
    let mut order = order(0, "intrusion", "5");
    let with = plan(net.ids[0], "intrusion", "5", Duration::from_secs(1));
    order.plan = with_replicas(&with, replicas);
    net.apply(0, order);
    net.pass(Duration::from_secs(2));
    net.load();
    net.pass(Duration::from_secs(2));
}

/// The same plan, with another number of backups.
fn with_replicas(plan: &model::QueryPlan, replicas: u8) -> model::QueryPlan {
    let qos = Qos {
        replicas,
        ..*plan.qos()
    };
    let mut copy = Builder::new(plan.application(), qos).expect("a name");
    for source in plan.sources() {
        let added = copy.source(&source.name, source.source.clone(), source.outputs.clone());
        added.expect("a source");
    }
    for operator in plan.operators() {
        let (name, kind) = (&operator.name, &operator.kind);
        let parameters = operator.parameters.clone();
        let added = copy.operator(
            name,
            kind,
            parameters,
            &operator.inputs,
            operator.outputs.clone(),
        );
        added.expect("an operator");
    }
    for sink in plan.sinks() {
        copy.sink(&sink.name, sink.input).expect("a sink");
    }
    copy.build().expect("a plan")
}

/// The graph that all hosts that are up and have anything of it agree on.
fn agreed(net: &Net) -> ComponentGraph {
    let up: BTreeSet<NodeId> = net.up().into_iter().collect();
    let here = net
        .deployed
        .iter()
        .filter(|((host, _), _)| up.contains(host));
    let graphs: Vec<(NodeId, &ComponentGraph)> =
        here.map(|((host, _), (graph, _))| (*host, graph)).collect();
    let (_, first) = graphs.first().expect("somebody runs something");
    for (host, graph) in &graphs {
        assert_eq!(graph, first, "{host} has another graph");
    }
    let hosts: BTreeSet<NodeId> = graphs.iter().map(|(host, _)| *host).collect();
    let bound: BTreeSet<NodeId> = first.hosts().intersection(&up).copied().collect();
    assert_eq!(hosts, bound, "who runs something is bound to");
    (*first).clone()
}

fn index_of(net: &Net, host: NodeId) -> usize {
    let found = net.ids.iter().position(|id| *id == host);
    found.expect("a host of the network")
}

/// The status that a node shows.
fn status(net: &mut Net, at: usize) -> (String, Option<String>) {
    let shown = net.command(at, Command::Application("intrusion".to_owned()));
    let Ok(Answer::Application(shown)) = shown else {
        panic!("not shown: {shown:?}");
    };
    (shown.status, shown.reason)
}

#[test]
fn every_operator_has_its_backups_and_they_are_on_other_hosts() {
    for replicas in [1, 2] {
        let mut net = Net::that_repairs(6, 1);
        running(&mut net, replicas);
        let graph = agreed(&net);
        for (binding, backups) in graph.operators().iter().zip(graph.backups()) {
            assert_eq!(backups.len(), usize::from(replicas), "{backups:?}");
            assert!(!backups.contains(&binding.host));
        }
    }
}

#[test]
fn who_is_gone_is_followed_within_a_second_and_told_so_when_it_is_back() {
    for operator in 0..3 {
        let mut net = Net::that_repairs(6, 1);
        running(&mut net, 1);
        let before = agreed(&net);
        let lost = before.operators()[operator].host;
        let backup = before.backups()[operator][0];
        let lost_index = index_of(&net, lost);
        net.cut(lost_index);
        net.lose(lost_index);
        net.pass(Duration::from_secs(1));
        let after = agreed(&net);
        assert_eq!(after.operators()[operator].host, backup);
        assert!(!after.running_hosts().contains(&lost));
        net.pass(Duration::from_secs(1));
        net.load();
        net.pass(Duration::from_secs(1));
        let protected = agreed(&net);
        assert!(protected.backups().iter().all(|backups| backups.len() == 1));
        assert!(!protected.hosts().contains(&lost), "it is no backup");
        let at = index_of(&net, backup);
        assert_eq!(status(&mut net, at), ("running".to_owned(), None));
        net.join(lost_index);
        net.pass(REST);
        let healed = agreed(&net);
        assert!(!healed.running_hosts().contains(&lost));
        let told = net.command(at, Command::Events(Some("intrusion".to_owned())));
        let Ok(Answer::Events(list)) = told else {
            panic!("nothing is told");
        };
        let mut all = list.events.iter();
        assert!(all.any(|row| matches!(&row.decision, Decision::Repaired { .. })));
    }
}

#[test]
fn sinks_go_on_where_they_are_fed_from_and_their_host_takes_back_its_sources() {
    let mut net = Net::that_repairs(6, 3);
    running(&mut net, 1);
    let owner = net.ids[0];
    net.cut(0);
    net.lose(0);
    net.pass(Duration::from_secs(1));
    let after = agreed(&net);
    assert_eq!(after.sinks()[0].host, after.operators()[2].host);
    assert_eq!(
        after.sources()[0].host,
        owner,
        "a source is where its data is"
    );
    net.restart(0);
    net.pass(REST);
    let back = agreed(&net);
    assert_eq!(back.sources()[0].host, owner);
    assert!(
        net.deployed.keys().any(|(host, _)| *host == owner),
        "it reads again"
    );
    let (word, reason) = status(&mut net, 3);
    assert_eq!(word, "running", "{reason:?}");
}

#[test]
fn what_was_stopped_is_not_repaired() {
    let mut net = Net::that_repairs(6, 4);
    running(&mut net, 1);
    let lost = index_of(&net, agreed(&net).operators()[1].host);
    net.cut(lost);
    net.command((lost + 1) % 6, Command::Stop("intrusion".to_owned()))
        .expect("it is stopped");
    net.lose(lost);
    net.pass(Duration::from_secs(5));
    net.join(lost);
    net.pass(REST);
    assert!(net.deployed.is_empty(), "{:?}", net.deployed.keys());
}

#[test]
fn whatever_happens_to_hosts_all_agree_in_the_end() {
    for seed in 0..40 {
        let mut net = Net::that_repairs(6, seed);
        net.loss = 0.02;
        net.repetition = 0.02;
        running(&mut net, 1 + u8::try_from(seed % 2).expect("small"));
        let mut rng = Rng::from_seed(seed);
        for _ in 0..6 {
            let host = usize::try_from(rng.below(6)).expect("small");
            let is_up = net.hosts[&net.ids[host]].is_up;
            let up = net.up().len();
            match rng.below(3) {
                0 if is_up && up > 3 => {
                    net.cut(host);
                    net.lose(host);
                }
                1 if !is_up => net.join(host),
                2 => net.restart(host),
                _ => {}
            }
            net.pass(Duration::from_millis(100 + rng.below(3_000)));
            net.load();
        }
        net.loss = 0.0;
        for host in 0..6 {
            if !net.hosts[&net.ids[host]].is_up {
                net.join(host);
            }
        }
        for _ in 0..3 {
            net.pass(REST);
            net.load();
        }
        net.pass(Duration::from_secs(5));
        let graph = agreed(&net);
        let all: BTreeSet<NodeId> = net.ids.iter().copied().collect();
        assert!(graph.hosts().is_subset(&all), "seed {seed}");
        for at in 0..6 {
            let (word, reason) = status(&mut net, at);
            assert_eq!(word, "running", "seed {seed}, at {at}: {reason:?}");
        }
        net.command(2, Command::Stop("intrusion".to_owned()))
            .expect("it is stopped");
        net.pass(REST);
        assert!(
            net.deployed.is_empty(),
            "seed {seed}: {:?}",
            net.deployed.keys()
        );
        assert!(net.taken().abs() < 1e-9, "seed {seed}");
    }
}
