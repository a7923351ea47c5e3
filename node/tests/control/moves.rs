//! Moving components by hand, from any node.

use std::time::Duration;

use node::node::{Answer, Command, Failure, FailureKind};

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

#[test]
fn the_host_that_runs_it_decides_whoever_asked() {
    let (mut net, _) = running();
    for at in 0..6 {
        let refused = failure(&mut net, at, move_to("second", None));
        assert_eq!(refused.kind, FailureKind::Refused, "{refused:?}");
        assert!(refused.message.starts_with("refused: "), "{refused:?}");
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
fn a_host_is_drained_from_elsewhere_and_says_what_stays() {
    let (mut net, host) = running();
    for at in 0..6 {
        let drained = net.command(at, Command::Drain(Some(host.clone())));
        let Ok(Answer::Drained(drained)) = drained else {
            panic!("not drained: {drained:?}");
        };
        assert_eq!((&drained.host, drained.left), (&host, 0));
        let here: Vec<&str> = drained
            .stayed
            .iter()
            .map(|it| it.operator.as_str())
            .collect();
        assert!(here.contains(&"second"), "{drained:?}");
        assert!(
            drained
                .stayed
                .iter()
                .all(|it| it.application == "intrusion")
        );
    }
    // Who is not named drains itself.
    let Ok(Answer::Drained(drained)) = net.command(0, Command::Drain(None)) else {
        panic!("not drained");
    };
    assert_eq!(drained.host, "n0");
}
