//! Applications: applied at one node, known at all.

use std::time::Duration;

use node::node::{Answer, Command, Failure, FailureKind, PartEvent, replay};

use crate::support::{Net, identity, order};

fn status(net: &mut Net, at: usize, name: &str) -> node::node::ApplicationStatus {
    match net.command(at, Command::Application(name.to_owned())) {
        Ok(Answer::Application(status)) => *status,
        other => panic!("no status: {other:?}"),
    }
}

fn listed(net: &mut Net, at: usize) -> Vec<(String, String)> {
    match net.command(at, Command::Applications) {
        Ok(Answer::Applications(rows)) => {
            let rows = rows.into_iter();
            rows.map(|row| (row.name, row.status)).collect()
        }
        other => panic!("no list: {other:?}"),
    }
}

fn hex(node: model::NodeId) -> String {
    node.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn failure(net: &mut Net, at: usize, command: Command) -> Failure {
    net.command(at, command).expect_err("it must fail")
}

#[test]
fn what_one_node_composes_every_other_lists_describes_and_stops() {
    let mut net = Net::new(6, 1);
    let composed = net.apply(0, order(0, "intrusion", "5"));
    assert_eq!(composed.status, "running");
    assert_eq!(composed.operators.len(), 5);
    assert!(composed.predicted_delay_ms.expect("a prediction") <= composed.target_delay_ms);
    net.pass(Duration::from_secs(2));
    for at in 0..6 {
        let expected = vec![("intrusion".to_owned(), "running".to_owned())];
        assert_eq!(listed(&mut net, at), expected, "at {at}");
        let status = status(&mut net, at, "intr");
        assert_eq!((status.status.as_str(), status.reason), ("running", None));
        assert_eq!(status.components.len(), 5);
        let counted = status.counted.expect("its hosts counted");
        assert_eq!(counted.late, 3, "each operator is counted once");
        let why = net.command(at, Command::Why("intrusion".to_owned()));
        let Ok(Answer::Why(why)) = why else {
            panic!("no reasons: {why:?}");
        };
        assert_eq!(why.reasons.len(), 3);
        assert_eq!(why.composition.operators, composed.operators);
    }
    let keepers: Vec<_> = net.deployed.keys().map(|(host, _)| *host).collect();
    let before = net.now;
    let stopped = net.command(5, Command::Stop("intrusion".to_owned()));
    assert!(net.now - before < Duration::from_secs(1));
    let Ok(Answer::Stopped(stopped)) = stopped else {
        panic!("not stopped: {stopped:?}");
    };
    assert_eq!(stopped.unconfirmed, Vec::<String>::new());
    net.pass(Duration::from_secs(30));
    assert_eq!(net.running(), 0);
    assert!(net.taken().abs() < 1e-9);
    for at in 0..6 {
        let expected = vec![("intrusion".to_owned(), "stopped".to_owned())];
        assert_eq!(listed(&mut net, at), expected, "at {at}");
        let status = status(&mut net, at, "intrusion");
        assert_eq!(status.status, "stopped");
        assert_eq!((status.counted, status.predicted_delay_ms), (None, None));
        // Who took part in it knows since when.
        let ago = status.ended_s;
        assert_eq!(ago.is_some(), keepers.contains(&net.ids[at]), "at {at}");
        assert!(ago.is_none_or(|ago| (29.0..31.0).contains(&ago)), "{ago:?}");
    }
    // Entries of it lapse in the end.
    net.pass(Duration::from_secs(300));
    assert_eq!(
        net.entries.len(),
        2 * 6,
        "only hosts are registered: in the index, and by their ids"
    );
}

#[test]
fn applying_the_same_again_changes_nothing_and_another_plan_is_refused() {
    let mut net = Net::new(4, 2);
    let first = net.apply(0, order(0, "intrusion", "5"));
    let running = net.deployed.len();
    let again = net.apply(0, order(0, "intrusion", "5"));
    assert_eq!(again.status, "unchanged");
    assert_eq!(again.operators, first.operators);
    assert_eq!(net.deployed.len(), running);
    let other = Command::Apply(Box::new(order(0, "intrusion", "6")));
    let failure = failure(&mut net, 0, other);
    assert_eq!(failure.kind, FailureKind::Invalid);
    let advice = "stop it first (`synergy stop n0:intrusion`)";
    assert!(failure.message.contains(advice), "{failure:?}");
    assert_eq!(net.deployed.len(), running);
    // After it was stopped the name is free.
    net.command(1, Command::Stop("intrusion".to_owned()))
        .expect("stopped");
    net.pass(Duration::from_secs(1));
    let other = net.apply(0, order(0, "intrusion", "6"));
    assert_eq!(other.status, "running");
    net.pass(Duration::from_secs(2));
    assert_eq!(status(&mut net, 3, "intrusion").status, "running");
}

#[test]
fn a_plan_is_only_tried() {
    let mut net = Net::new(4, 3);
    let mut order = order(0, "intrusion", "5");
    order.is_trial = true;
    let tried = net.apply(0, order);
    assert_eq!(tried.status, "feasible");
    net.pass(Duration::from_secs(20));
    assert!(net.deployed.is_empty());
    assert!(net.taken().abs() < 1e-9);
    assert_eq!(listed(&mut net, 0), Vec::new());
}

#[test]
fn an_impossible_target_is_refused_with_what_would_do() {
    let mut net = Net::new(4, 4);
    let mut wanted = order(0, "intrusion", "5");
    let owner = net.ids[0];
    wanted.plan = crate::support::plan(owner, "intrusion", "5", Duration::from_micros(1));
    let failure = failure(&mut net, 0, Command::Apply(Box::new(wanted.clone())));
    assert_eq!(failure.kind, FailureKind::Refused);
    let refusal = failure.refusal.expect("the refused composition");
    assert_eq!(refusal.status, "refused");
    assert_eq!(refusal.binding.expect("a constraint").check, "delay");
    let target = refusal.feasible_target_ms.expect("a target");
    let target = Duration::from_secs_f64(target / 1e3);
    wanted.plan = crate::support::plan(owner, "intrusion", "5", target);
    assert_eq!(net.apply(0, wanted).status, "running");
}

#[test]
fn names_may_be_shortened_while_they_are_unique() {
    let mut net = Net::new(4, 5);
    net.apply(0, order(0, "intrusion", "5"));
    net.apply(1, order(1, "intake", "5"));
    net.apply(2, order(2, "intake", "5"));
    net.pass(Duration::from_secs(2));
    assert_eq!(status(&mut net, 3, "intr").name, "intrusion");
    let show = |name: &str| Command::Application(name.to_owned());
    for ambiguous in ["int", "intake"] {
        let failure = failure(&mut net, 3, show(ambiguous));
        assert_eq!(failure.kind, FailureKind::Invalid, "{ambiguous}");
        assert!(failure.message.contains("OWNER:NAME"), "{failure:?}");
        for whole in ["n1:intake", "n2:intake"] {
            assert!(failure.message.contains(whole), "{failure:?}");
        }
    }
    // An owner is called as lists call it, and keeps that name when it is gone.
    for at in [1, 2] {
        let owned = status(&mut net, 3, &format!("n{at}:intake"));
        assert_eq!(owned.owner, hex(net.ids[at]));
    }
    net.cut(1);
    net.lose(1);
    let owned = status(&mut net, 3, "n1:int");
    assert_eq!(owned.owner, hex(net.ids[1]));
    let owner = net.ids[2];
    let short = status(&mut net, 3, &format!("{owner}:intake"));
    let full = hex(owner);
    assert_eq!(short.owner, full);
    assert_eq!(status(&mut net, 0, &format!("{full}:intake")).owner, full);
    let failure = failure(&mut net, 3, show("nothing"));
    assert_eq!(failure.kind, FailureKind::NotFound);
    for there in ["n0:intrusion", "n1:intake", "n2:intake"] {
        assert!(failure.message.contains(there), "{failure:?}");
    }
}

#[test]
fn a_failed_component_ends_the_application_everywhere() {
    let mut net = Net::new(5, 6);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    net.happen(
        0,
        PartEvent::Failed {
            component: "first".to_owned(),
            reason: "it divided by zero".to_owned(),
        },
    );
    assert_eq!(net.running(), 0);
    for at in 0..5 {
        let status = status(&mut net, at, "intrusion");
        assert_eq!(status.status, "failed", "at {at}");
        assert_eq!(status.reason.as_deref(), Some("first: it divided by zero"));
    }
    assert!(net.taken().abs() < 1e-9);
}

#[test]
fn what_others_read_keeps_what_it_took_until_they_stop() {
    let mut net = Net::new(6, 5);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    net.is_read_by_others = true;
    let taken = net.taken();
    net.command(5, Command::Stop("intrusion".to_owned()))
        .expect("stopped");
    net.pass(Duration::from_secs(120));
    assert!((net.taken() - taken).abs() < 1e-9, "it runs on");
    let hosts: Vec<usize> = (0..6)
        .filter(|host| net.deployed.keys().any(|(at, _)| *at == net.ids[*host]))
        .collect();
    assert!(hosts.len() > 1);
    // What happens to what is left ends nothing: the application has ended.
    let reason = "it broke".to_owned();
    let component = "few".to_owned();
    net.happen(hosts[0], PartEvent::Failed { component, reason });
    assert_eq!(status(&mut net, 5, "intrusion").status, "stopped");
    for host in hosts {
        net.happen(host, PartEvent::Retired);
    }
    assert!(net.taken().abs() < 1e-9);
}

#[test]
fn a_finished_application_is_finished_everywhere() {
    let mut net = Net::new(5, 7);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    net.happen(0, PartEvent::Finished);
    assert_eq!(net.running(), 0);
    for at in 0..5 {
        assert_eq!(status(&mut net, at, "intrusion").status, "finished");
    }
    // It may be applied again.
    assert_eq!(net.apply(0, order(0, "intrusion", "5")).status, "running");
}

#[test]
fn a_broken_edge_and_a_broken_source_are_said() {
    let mut net = Net::new(5, 8);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let host = net.ids[1];
    net.happen(0, PartEvent::Disconnected { host });
    assert_eq!(status(&mut net, 2, "intrusion").status, "waiting");
    net.happen(0, PartEvent::Reconnected { host });
    assert_eq!(status(&mut net, 2, "intrusion").status, "running");
    net.happen(
        0,
        PartEvent::Degraded {
            component: "flows".to_owned(),
            reason: "the file is gone".to_owned(),
        },
    );
    let status = status(&mut net, 2, "intrusion");
    assert_eq!(status.status, "degraded");
    assert_eq!(status.reason.as_deref(), Some("flows: the file is gone"));
}

#[test]
fn what_had_gone_is_not_missed_any_more_once_it_is_read_elsewhere() {
    let mut net = Net::new(5, 8);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let gone = |stream: &str, host| PartEvent::Gone {
        component: "alerts".to_owned(),
        stream: stream.to_owned(),
        host,
    };
    let replaced = |stream: &str| PartEvent::Replaced {
        component: "alerts".to_owned(),
        stream: stream.to_owned(),
    };
    let host = net.ids[1];
    net.happen(0, gone("flows", host));
    net.happen(0, gone("known", host));
    net.happen(0, replaced("flows"));
    let told = status(&mut net, 2, "intrusion");
    assert_eq!(told.status, "degraded");
    let reason = told.reason.expect("a reason");
    assert!(
        reason.starts_with("alerts: known, which it reads, has gone from")
            && !reason.contains("flows"),
        "{reason}"
    );
    net.happen(0, replaced("known"));
    assert_eq!(status(&mut net, 2, "intrusion").status, "running");
}

#[test]
fn a_recorded_node_does_the_same_again() {
    let mut net = Net::new(4, 9);
    net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(40));
    status(&mut net, 1, "intrusion");
    net.command(2, Command::Stop("intrusion".to_owned()))
        .expect("stopped");
    net.pass(Duration::from_secs(5));
    for (index, id) in net.ids.clone().into_iter().enumerate() {
        let host = net.hosts.remove(&id).expect("a host");
        let recorded = host.recorder.into_writer();
        assert!(recorded.len() > 1000);
        let (digest, _) = replay(recorded.as_slice(), identity(index)).expect("a recording");
        assert_eq!(digest, host.digest.digest(), "node {index}");
    }
}
