//! Components that go elsewhere by themselves, where a target or a host is in danger.

use std::time::Duration;

use composition::Usage;
use model::{CompositionId, NodeId, Resources, Slack, convert};
use node::node::{Answer, Command, Decision, EventRow, Input, Measured, Pace};

use crate::support::{Net, order};

/// What a component takes of its host, of four cores.
const CORES: f64 = 0.04;

/// How long a batch takes where nothing else runs. Unit: seconds.
const IDLE: f64 = 0.005;

/// Six nodes, an application of the first, and the index of the host of its second operator.
fn running(migrates: bool) -> (Net, usize) {
    let mut net = Net::that_moves(6, 1, migrates);
    let composed = net.apply(0, order(0, "intrusion", "5"));
    let second = composed.operators.iter().find(|it| it.name == "second");
    let host = second.expect("an operator").host.clone();
    net.pass(Duration::from_secs(2));
    let index = (0..6).find(|index| format!("n{index}") == host);
    (net, index.expect("a host"))
}

/// What runs on a host: the composition, and the places of its operators there.
fn operators_at(net: &Net, host: NodeId) -> Vec<(CompositionId, Vec<u16>)> {
    let here = net.deployed.iter().filter(|((at, _), _)| *at == host);
    here.map(|((_, id), (graph, _))| {
        let operators = (0..).zip(graph.operators());
        let own = operators.filter(|(_, binding)| binding.host == host && !binding.shared);
        (*id, own.map(|(operator, _)| operator).collect())
    })
    .collect()
}

/// Lets seconds pass in which each host has so much to do beside what runs there, as a part of what it offers: batches wait as in a
/// queue with one server, and have to start in time after they arrived.
fn pass_seconds(net: &mut Net, seconds: u32, budget_ms: u64, background: impl Fn(usize) -> f64) {
    for _ in 0..seconds {
        for (index, host) in net.ids.clone().into_iter().enumerate() {
            let parts = operators_at(net, host);
            let count: usize = parts.iter().map(|(_, operators)| operators.len()).sum();
            let busy_cores =
                4.0 * background(index) + CORES * convert::count_to_f64(convert::size(count));
            let execution = IDLE / (1.0 - (busy_cores / 4.0).min(0.99));
            for (id, operators) in parts {
                let usage = |operator: &u16| Usage {
                    operator: *operator,
                    cores: CORES,
                    execution: convert::seconds(IDLE),
                };
                let pace = |operator: &u16| Pace {
                    operator: *operator,
                    rows_per_second: 1000.0,
                    execution: Some(convert::seconds(execution)),
                    age: Some(convert::seconds(0.020 + execution - IDLE)),
                    budget: Slack::from(Duration::from_millis(budget_ms)),
                };
                let measured = Measured {
                    operators: operators.iter().map(usage).collect(),
                    paces: operators.iter().map(pace).collect(),
                    kept: Vec::new(),
                    delay: None,
                };
                net.push(host, Duration::ZERO, Input::Measured { id, measured });
            }
            net.push(
                host,
                Duration::from_millis(1),
                Input::Load {
                    used: Resources {
                        cpu_cores: busy_cores,
                        ..Resources::default()
                    },
                },
            );
        }
        net.pass(Duration::from_secs(1));
    }
}

/// What was decided about the application, the oldest first.
fn events(net: &mut Net) -> Vec<EventRow> {
    match net.command(1, Command::Events(Some("intrusion".to_owned()))) {
        Ok(Answer::Events(list)) => list.events,
        other => panic!("no decisions: {other:?}"),
    }
}

fn is_moved(row: &&EventRow) -> bool {
    matches!(row.decision, Decision::Moved { .. })
}

/// How loaded the other hosts are, how loaded the one gets, how old batches may be there in milliseconds, and what is wrong then.
const CASES: [(f64, f64, u64, &str); 3] = [
    (0.55, 0.75, 30, "a target would be missed"),
    (0.60, 0.95, 1000, "its host has too much to do"),
    (0.20, 0.70, 1000, "others have clearly less to do"),
];

#[test]
fn a_host_that_gets_too_much_to_do_moves_what_suffers_and_everything_settles() {
    for (others, most, budget, wrong) in CASES {
        let (mut net, hot) = running(true);
        // All hear of the loads of all while nobody looks for less loaded ones.
        pass_seconds(&mut net, 5, budget, |_| others.min(0.4));
        pass_seconds(&mut net, 30, budget, |_| others);
        let before = events(&mut net);
        assert_eq!(before.iter().find(is_moved), None, "{wrong}");
        let background = |index| if index == hot { most } else { others };
        pass_seconds(&mut net, 60, budget, background);
        let found = events(&mut net);
        let on_host = operators_at(&net, net.ids[hot]);
        assert!(on_host.iter().all(|it| it.1.is_empty()), "{found:?}");
        let hot_spot = found.iter().find_map(|row| match &row.decision {
            Decision::HotSpot {
                operator: Some(operator),
                reason,
                load,
                load_after: Some(load_after),
                slack_ms: Some(slack_ms),
                horizon_s: Some(horizon_s),
                candidates,
                stays: None,
            } => {
                assert_eq!((operator.as_str(), reason.as_str()), ("second", wrong));
                assert!(load_after < load && *horizon_s > 0.0, "{row:?}");
                assert_eq!(row.host, format!("n{hot}"));
                assert!((1..=3).contains(&candidates.len()), "{row:?}");
                let first = &candidates[0];
                assert!(first.load_after < *load && first.slack_ms > Some(*slack_ms));
                Some((first.host.clone(), *slack_ms))
            }
            _ => None,
        });
        let (to, slack) = hot_spot.expect("a hot-spot with its numbers");
        let moves: Vec<&EventRow> = found.iter().filter(is_moved).collect();
        let [row] = moves[..] else {
            panic!("{wrong}: {found:?}");
        };
        let Decision::Moved {
            why,
            slack_ms,
            load,
            moved,
        } = &row.decision
        else {
            panic!("{row:?}");
        };
        assert_eq!((why.as_str(), *slack_ms), (wrong, Some(slack)));
        assert_eq!((&moved.operator, &moved.to), (&"second".to_owned(), &to));
        assert!(*load > Some(0.0), "{load:?}");
        assert_eq!(slack < 0.0, wrong == CASES[0].3, "{slack}");
        // Long after everybody has rested, nothing has moved again, nor is there any reason to.
        pass_seconds(&mut net, 300, budget, background);
        let later = events(&mut net);
        assert_eq!(later.iter().filter(is_moved).count(), 1, "{later:?}");
    }
}

#[test]
fn where_people_want_that_nothing_moves_nothing_does_until_they_ask() {
    for (others, most, budget, _) in CASES {
        let (mut net, hot) = running(false);
        let background = |index| if index == hot { most } else { others };
        pass_seconds(&mut net, 120, budget, background);
        let found = events(&mut net);
        let is_hot = |row: &&EventRow| matches!(row.decision, Decision::HotSpot { .. });
        assert_eq!(found.iter().find(is_moved), None);
        assert_eq!(found.iter().find(is_hot), None);
        let command = Command::Move {
            application: "intrusion".to_owned(),
            operator: "second".to_owned(),
            to: None,
        };
        let moved = net.command(1, command);
        assert!(matches!(moved, Ok(Answer::Moved(_))), "{moved:?}");
    }
}

#[test]
fn where_nobody_has_room_it_is_told_once_and_everything_stays() {
    let (mut net, hot) = running(true);
    let background = |index| if index == hot { 0.95 } else { 0.75 };
    pass_seconds(&mut net, 5, 30, |_| 0.4);
    pass_seconds(&mut net, 300, 30, background);
    let found = events(&mut net);
    assert_eq!(found.iter().find(is_moved), None);
    let host = format!("n{hot}");
    let stays = found.iter().filter(|row| {
        row.host == host && matches!(&row.decision, Decision::HotSpot { stays: Some(_), .. })
    });
    assert_eq!(stays.count(), 1, "{found:?}");
}

#[test]
fn what_moved_is_replayed_from_what_was_recorded() {
    let run = || {
        let (mut net, hot) = running(true);
        pass_seconds(
            &mut net,
            90,
            30,
            |index| if index == hot { 0.95 } else { 0.5 },
        );
        let events = events(&mut net);
        assert!(events.iter().any(|row| is_moved(&row)));
        let digests = net.hosts.values().map(|host| host.digest.digest());
        digests.collect::<Vec<_>>()
    };
    assert_eq!(run(), run());
}
