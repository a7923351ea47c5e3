//! Hosts that are missed: who goes on without them, and who waits.

use super::*;

/// Node 1, which runs the operator of an application of node 2 for which others hold its state.
fn node_with_backups(backups: &[u8]) -> Node {
    let mut node = node();
    node.config.repairs = true;
    let first = record();
    let head = first.listing.head;
    let graph = first.body.expect("a body").graph;
    let backups = backups.iter().map(|it| identity(*it).node()).collect();
    let graph = graph.with_backups(0, backups);
    let body = Body {
        composition: composed::unasked(&graph),
        graph: graph.clone(),
        reasons: Vec::new(),
        terms: composition::Terms::default(),
    };
    let (application, id) = (head.application, head.composition);
    let record = Record::new(application.clone(), id, body, &identity(2));
    let now = Instant::from_nanos(1);
    node.on_deploy(now, id, application, graph, &mut Vec::new());
    receive(&mut node, 2, &Message::Record(Box::new(record)));
    node
}

/// How often a node has said where something goes on, a while after it missed hosts.
fn repaired(node: &mut Node, missed: &[u8], after: Duration) -> u64 {
    let from = Instant::from_nanos(1);
    for host in missed {
        handle(node, Input::Unreachable(identity(*host).node()));
    }
    let mut now = from;
    while let Some(due) = node.poll_timeout().filter(|due| *due <= from + after) {
        // What is due was seen to.
        now = due.max(now + Duration::from_millis(1));
        handle_at(node, now, Input::Timeout);
    }
    node.counts
        .iter()
        .find(|it| it.0 == "repaired")
        .map_or(0, |it| it.1)
}

const SOON: Duration = Duration::from_secs(2);

#[test]
fn who_misses_one_of_three_hosts_says_how_it_goes_on() {
    let mut node = node_with_backups(&[3]);
    assert_eq!(repaired(&mut node, &[2], SOON), 1);
}

#[test]
fn of_two_hosts_each_goes_on_without_the_other() {
    let mut node = node_with_backups(&[]);
    assert_eq!(repaired(&mut node, &[2], SOON), 1);
}

#[test]
fn who_misses_most_hosts_waits_for_them_before_it_goes_on_without() {
    let mut node = node_with_backups(&[3]);
    let lost_after = Qos::default().lost_after;
    assert_eq!(repaired(&mut node, &[2, 3], lost_after), 0);
    let part = node.parts.values().next().expect("a part");
    let said = part
        .degraded
        .values()
        .any(|it| it.contains("waits for them"));
    assert!(said, "{:?}", part.degraded);
    assert_eq!(repaired(&mut node, &[], lost_after + SOON), 1);
    let part = node.parts.values().next().expect("a part");
    assert!(
        !part
            .degraded
            .values()
            .any(|it| it.contains("waits for them"))
    );
}

#[test]
fn hosts_that_come_back_meanwhile_find_all_as_it_was() {
    let mut node = node_with_backups(&[3]);
    assert_eq!(repaired(&mut node, &[2, 3], SOON), 0);
    for host in [2, 3] {
        let seen = Input::Seen {
            summary: Arc::new(summary(host)),
            round_trip: None,
        };
        handle_at(&mut node, Instant::from_nanos(1) + SOON, seen);
    }
    let lost_after = Qos::default().lost_after;
    assert_eq!(repaired(&mut node, &[], lost_after + SOON), 0);
}
