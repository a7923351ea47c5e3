//! Moving components by hand, from any node.

use std::collections::BTreeSet;
use std::time::Duration;

use node::node::{Answer, Command, Decision, Failure, FailureKind, Moved};

use crate::support::{Net, order};

fn move_to(operator: &str, to: Option<&str>) -> Command {
    Command::Move {
        application: "intrusion".to_owned(),
        operator: operator.to_owned(),
        to: to.map(str::to_owned),
    }
}

fn failure(net: &mut Net, at: usize, command: Command) -> Failure {
    net.command(at, command).expect_err("it must fail")
}

/// Six nodes, an application of the first, and the name of the host of its second operator.
fn running() -> (Net, String) {
    let mut net = Net::new(6, 1);
    let composed = net.apply(0, order(0, "intrusion", "5"));
    let second = composed.operators.iter().find(|it| it.name == "second");
    let host = second.expect("an operator").host.clone();
    net.pass(Duration::from_secs(2));
    (net, host)
}

#[test]
fn what_cannot_move_says_why_at_whichever_node_it_is_asked() {
    let (mut net, host) = running();
    for at in 0..6 {
        for (command, kind, says) in [
            (
                move_to("fourth", None),
                FailureKind::NotFound,
                "first, second, third",
            ),
            (
                move_to("out", None),
                FailureKind::NotFound,
                "sources and sinks stay",
            ),
            (
                move_to("second", Some("n9")),
                FailureKind::NotFound,
                "synergy node ls",
            ),
            (
                move_to("second", Some(&host)),
                FailureKind::Invalid,
                "already",
            ),
        ] {
            let failure = failure(&mut net, at, command);
            assert_eq!(failure.kind, kind, "{failure:?}");
            assert!(failure.message.contains(says), "{failure:?}");
        }
    }
    let unknown = Command::Move {
        application: "other".to_owned(),
        operator: "second".to_owned(),
        to: None,
    };
    let unknown = failure(&mut net, 3, unknown);
    assert_eq!(unknown.kind, FailureKind::NotFound);
    net.command(4, Command::Stop("intrusion".to_owned()))
        .expect("it is stopped");
    let ended = failure(&mut net, 5, move_to("second", None));
    assert_eq!(ended.kind, FailureKind::Invalid);
    assert!(ended.message.contains("is stopped"), "{ended:?}");
}

/// Where an operator is, as a node shows it.
fn shown(net: &mut Net, at: usize, operator: &str) -> (String, String) {
    let shown = net.command(at, Command::Application("intrusion".to_owned()));
    let Ok(Answer::Application(status)) = shown else {
        panic!("not shown: {shown:?}");
    };
    let row = status.components.iter().find(|row| row.name == operator);
    let row = row.expect("an operator");
    (row.host.clone(), status.status.clone())
}

fn moved(net: &mut Net, at: usize, operator: &str, to: Option<&str>) -> Moved {
    match net.command(at, move_to(operator, to)) {
        Ok(Answer::Moved(moved)) => *moved,
        other => panic!("not moved: {other:?}"),
    }
}

#[test]
fn an_operator_goes_where_somebody_wants_it_and_every_node_says_so() {
    let (mut net, mut host) = running();
    for (asked_at, to) in [(5, "n4"), (2, "n3"), (0, "n5")] {
        if host == to {
            continue;
        }
        let moved = moved(&mut net, asked_at, "second", Some(to));
        assert_eq!((&moved.from, moved.to.as_str()), (&host, to));
        assert_eq!(moved.state_bytes, 7);
        to.clone_into(&mut host);
        net.pass(Duration::from_secs(2));
        for at in 0..6 {
            let expected = (host.clone(), "running".to_owned());
            assert_eq!(shown(&mut net, at, "second"), expected, "at {at}");
        }
    }
    // All that happened is told, in its order, also by those that it has left.
    let Ok(Answer::Events(list)) = net.command(1, Command::Events(Some("intr".to_owned()))) else {
        panic!("nothing is told");
    };
    let mut moves = list.events.iter().filter_map(|row| match &row.decision {
        Decision::Moved { moved, .. } => Some(moved.to.clone()),
        _ => None,
    });
    assert_eq!(moves.next_back(), Some(host), "{list:?}");
    let rows = net.command(1, Command::Applications);
    let Ok(Answer::Applications(rows)) = rows else {
        panic!("not listed: {rows:?}");
    };
    let parts = ["first", "second", "third", "out"];
    let hosts = parts.map(|part| shown(&mut net, 1, part).0);
    let hosts: BTreeSet<String> = hosts.into_iter().collect();
    let row = (rows[0].status.as_str(), rows[0].hosts);
    assert_eq!(row, ("running", model::convert::size(hosts.len())));
    let stopped = net.command(1, Command::Stop("intrusion".to_owned()));
    let Ok(Answer::Stopped(stopped)) = stopped else {
        panic!("not stopped: {stopped:?}");
    };
    assert_eq!(stopped.unconfirmed, Vec::<String>::new());
    net.pass(Duration::from_secs(30));
    assert_eq!(net.running(), 0);
    assert!(net.taken().abs() < 1e-9);
}

#[test]
fn what_was_moved_is_known_when_those_that_ran_it_before_and_its_owner_were_away() {
    let (mut net, host) = running();
    let to = ["n4", "n5"].into_iter().find(|to| *to != host);
    let to = to.expect("another host");
    moved(&mut net, 1, "second", Some(to));
    net.pass(Duration::from_secs(60));
    // Nothing is known any more by the host that it left: entries and listings say where it is.
    let before = (0..6).find(|index| format!("n{index}") == host);
    net.restart(before.expect("a host"));
    net.pass(Duration::from_secs(300));
    for at in 0..6 {
        let expected = (to.to_owned(), "running".to_owned());
        assert_eq!(shown(&mut net, at, "second"), expected, "at {at}");
    }
}

#[test]
fn a_host_that_is_gone_moves_nothing_and_that_is_said() {
    let (mut net, host) = running();
    let index = (0..6)
        .find(|index| format!("n{index}") == host)
        .expect("a host");
    net.cut(index);
    let asking = (index + 1) % 6;
    let unheard = failure(&mut net, asking, move_to("second", None));
    assert_eq!(unheard.kind, FailureKind::Unreachable, "{unheard:?}");
    assert!(
        unheard.message.contains("may or may not have moved"),
        "{unheard:?}"
    );
    // Also where nobody notices that it is gone.
    net.is_down_noticed = false;
    let before = net.now;
    let unheard = failure(&mut net, asking, Command::Drain(Some(host)));
    assert_eq!(unheard.kind, FailureKind::Unreachable, "{unheard:?}");
    assert!(net.now - before < Duration::from_secs(14));
}

#[test]
fn a_host_is_drained_from_elsewhere_and_nothing_of_it_stops() {
    let (mut net, host) = running();
    let drained = net.command(1, Command::Drain(Some(host.clone())));
    let Ok(Answer::Drained(drained)) = drained else {
        panic!("not drained: {drained:?}");
    };
    assert_eq!((&drained.host, drained.left), (&host, 0));
    assert_eq!(drained.stayed, [], "{drained:?}");
    let gone: Vec<&str> = drained
        .moved
        .iter()
        .map(|it| it.operator.as_str())
        .collect();
    assert!(gone.contains(&"second"), "{drained:?}");
    net.pass(Duration::from_secs(2));
    for at in 0..6 {
        for operator in &gone {
            let (at_host, status) = shown(&mut net, at, operator);
            assert_ne!(at_host, host);
            assert_eq!(status, "running");
        }
    }
    // Who is not named drains itself.
    let Ok(Answer::Drained(drained)) = net.command(0, Command::Drain(None)) else {
        panic!("not drained");
    };
    assert_eq!(drained.host, "n0");
}
