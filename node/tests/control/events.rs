//! What was decided about an application, as any node tells it.

use std::time::Duration;

use node::node::{Answer, Command, Decision, EventList, PartEvent};

use crate::support::{Net, order};

fn events(net: &mut Net, at: usize, name: Option<&str>) -> EventList {
    match net.command(at, Command::Events(name.map(str::to_owned))) {
        Ok(Answer::Events(list)) => *list,
        other => panic!("no decisions: {other:?}"),
    }
}

#[test]
fn all_hosts_tell_and_their_decisions_are_in_the_order_of_time() {
    let mut net = Net::new(6, 1);
    let composed = net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let second = composed.operators.iter().find(|it| it.name == "second");
    let host = &second.expect("an operator").host;
    let index = (0..6).find(|index| format!("n{index}") == *host);
    let index = index.expect("a host");
    let degraded = PartEvent::Degraded {
        component: "second".to_owned(),
        reason: "it is tired".to_owned(),
    };
    net.happen(index, degraded);
    net.pass(Duration::from_secs(3));
    net.command(5, Command::Stop("intrusion".to_owned()))
        .expect("it is stopped");
    net.pass(Duration::from_secs(1));
    for at in 0..6 {
        let list = events(&mut net, at, Some("intrusion"));
        assert_eq!((list.dropped, list.silent.len()), (0, 0), "{list:?}");
        let [first, rest @ ..] = list.events.as_slice() else {
            panic!("nothing is told at {at}");
        };
        assert_eq!(first.host, "n0");
        let Decision::Composed {
            operators, hosts, ..
        } = first.decision
        else {
            panic!("{first:?}");
        };
        assert_eq!((operators, hosts), (3, 4));
        assert!((5.9..8.0).contains(&first.age_s), "{first:?}");
        let degraded = &rest[0];
        assert_eq!(
            (&degraded.host, degraded.application.as_str()),
            (host, "intrusion")
        );
        assert!(matches!(degraded.decision, Decision::Degraded { .. }));
        // Each host has heard that it is stopped.
        let stopped = rest[1..].iter();
        let stopped = stopped.filter(|row| matches!(row.decision, Decision::Stopped { .. }));
        assert_eq!(stopped.count(), 4, "{list:?}");
        assert!(
            list.events
                .is_sorted_by(|older, newer| older.age_s >= newer.age_s)
        );
    }
    // One host tells its own.
    let own = events(&mut net, 0, None);
    assert!(own.events.iter().all(|row| row.host == "n0"));
    assert!(!own.events.is_empty());
}

#[test]
fn who_is_gone_is_named() {
    let mut net = Net::new(6, 1);
    let composed = net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let second = composed.operators.iter().find(|it| it.name == "second");
    let host = second.expect("an operator").host.clone();
    let index = (0..6).find(|index| format!("n{index}") == host);
    let index = index.expect("a host");
    net.cut(index);
    let list = events(&mut net, (index + 1) % 6, Some("intrusion"));
    assert_eq!(list.silent.len(), 1, "{list:?}");
    assert!(list.silent[0].starts_with(&host), "{list:?}");
    assert!(matches!(list.events[0].decision, Decision::Composed { .. }));
}

#[test]
fn a_refusal_is_told_where_it_was_decided() {
    let mut net = Net::new(3, 1);
    let mut wish = order(0, "intrusion", "5");
    wish.demands.iter_mut().for_each(|it| it.cost_seconds = 1.0);
    net.command(0, Command::Apply(Box::new(wish)))
        .expect_err("nobody has so many cores");
    let list = events(&mut net, 0, None);
    let [row] = list.events.as_slice() else {
        panic!("{list:?}");
    };
    let Decision::Refused { operator, reason } = &row.decision else {
        panic!("{row:?}");
    };
    assert_eq!(*operator, None);
    assert!(reason.contains("was refused"), "{reason}");
}
