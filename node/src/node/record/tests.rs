//! Graphs that change, forged and not.

use std::collections::BTreeSet;

use super::handover::{HANDOVERS_MAX, MOVES_MAX};
use super::*;
use crate::node::tests::{graph_with_operator_on, identity, moved, record};

fn nodes(numbers: &[u8]) -> BTreeSet<NodeId> {
    let nodes = numbers.iter().map(|number| identity(*number).node());
    nodes.collect()
}

/// A listing as who gets it reads it.
fn read(listing: &Listing) -> Result<Listing, wire::DecodeError> {
    wire::decode(&wire::encode(listing))
}

/// The last handover of a record signed anew, after something of it was changed.
fn signed_again(record: &Record, signer: u8, change: impl FnOnce(&mut Handover)) -> Record {
    let mut changed = record.clone();
    let mut last = changed.listing.handovers.pop().expect("a handover");
    let before = changed.listing.graph_digest();
    last.signer = identity(signer).node();
    change(&mut last);
    last.sign(&before, &identity(signer));
    changed.listing.handovers.push(last);
    changed
}

#[test]
fn a_graph_goes_on_from_host_to_host_and_each_says_where_to() {
    let first = record();
    let second = moved(&first, 3, 1);
    let third = moved(&second, 4, 3);
    assert_eq!(third.check(), Ok(()));
    let listing = &third.listing;
    assert_eq!(listing.hosts(), nodes(&[2, 4]));
    assert_eq!(listing.keepers(), nodes(&[1, 2, 3, 4]));
    let may_change = |number: u8| listing.may_change(identity(number).node());
    assert_eq!(
        [1, 2, 3, 4, 5].map(may_change),
        [false, true, false, true, false]
    );
    let standings = [&first, &second, &third].map(|record| record.listing.standing());
    assert!(standings.is_sorted_by(|a, b| a < b));
    assert_eq!(standings.map(|standing| standing.version), [0, 1, 2]);
    // What becomes of it later is said by who has it then.
    for signer in [2, 4] {
        let failed = listing.changed(State::failed("few", "a fault"), &identity(signer));
        assert_eq!(failed.check(), Ok(()));
        assert_eq!(failed.hosts(), nodes(&[2, 4]));
        assert_eq!(failed.body(), listing.body());
        assert!(failed.standing() > listing.standing());
    }
    assert_eq!(read(listing).expect("a listing"), *listing);
}

#[test]
fn a_body_says_where_its_parts_are_now() {
    let mut first = record();
    let body = first.body.as_mut().expect("a body");
    let placed = |name: &str, kind: &str, number: u8| crate::node::Placed {
        name: name.to_owned(),
        kind: kind.to_owned(),
        host: format!("n{number}"),
        node: crate::node::view::hex(identity(number).node()),
        shared: false,
    };
    let others = [placed("flows", "source", 2), placed("out", "sink", 2)];
    let [source, sink] = others.clone();
    body.composition.operators = vec![source, placed("few", "filter", 1), sink];
    body.reasons = vec![("few".to_owned(), "it is near".to_owned())];
    first.listing.head.body = body.digest();
    let first = Record {
        listing: Listing::new(first.listing.head, &identity(2)),
        ..first
    };
    let name = |_| "n3".to_owned();
    let second = first.rebound(graph_with_operator_on(3), &identity(1), name);
    let second = second.expect("a host says so");
    assert_eq!(second.check(), Ok(()));
    let body = second.body.expect("a body");
    let [source, sink] = others;
    let expected = vec![source, placed("few", "filter", 3), sink];
    assert_eq!(body.composition.operators, expected);
    let reason = "moved from n1 to n3".to_owned();
    assert_eq!(body.reasons, [("few".to_owned(), reason)]);
}

#[test]
fn the_owner_signs_the_newest_graph_and_the_chain_is_gone() {
    let chain = moved(&moved(&record(), 3, 1), 4, 3);
    let sealed = Record {
        listing: chain.listing.sealed(&identity(2)),
        body: chain.body.clone(),
    };
    assert_eq!(sealed.check(), Ok(()));
    assert!(sealed.listing.handovers.is_empty());
    assert_eq!(sealed.listing.hosts(), chain.listing.hosts());
    // Who is out is still told.
    assert_eq!(sealed.listing.keepers(), chain.listing.keepers());
    let (sealed_standing, standing) = (sealed.listing.standing(), chain.listing.standing());
    assert!(sealed_standing > standing);
    assert!(standing.covers(sealed_standing) && sealed_standing.covers(standing));
    // Who has not heard of that changes the graph all the same.
    let next = moved(&chain, 5, 4);
    assert!(next.listing.standing() > sealed_standing);
    assert!(!sealed_standing.covers(next.listing.standing()));
    assert_eq!(read(&sealed.listing).expect("a listing"), sealed.listing);
    let stopped = sealed.listing.changed(State::Stopped, &identity(4));
    assert_eq!(stopped.check(), Ok(()));
    assert!(stopped.standing() > next.listing.standing());
}

#[test]
fn graphs_that_somebody_made_up_are_refused() {
    let chain = moved(&moved(&record(), 3, 1), 4, 3);
    assert_eq!(chain.check(), Ok(()));
    let by_stranger = signed_again(&chain, 9, |_| {});
    let by_former = signed_again(&chain, 1, |_| {});
    let mut in_other_name = chain.clone();
    in_other_name.listing.handovers[1].signature = by_stranger.listing.handovers[1].signature;
    let mut without_link = chain.clone();
    without_link.listing.handovers.remove(0);
    let mut swapped = chain.clone();
    swapped.listing.handovers.swap(0, 1);
    let mut twice = chain.clone();
    twice
        .listing
        .handovers
        .push(chain.listing.handovers[1].clone());
    let mut other_hosts = chain.clone();
    other_hosts.listing.handovers[0]
        .joined
        .insert(identity(9).node());
    let from_nowhere = signed_again(&chain, 3, |it| {
        it.left.insert(identity(9).node());
    });
    let skipped = signed_again(&chain, 3, |it| it.version = 9);
    let other_body = Record {
        body: moved(&record(), 5, 1).body,
        ..chain.clone()
    };
    // A host may sign what it will: the graph has the hosts that are named, and the plan that the owner signed.
    let hosts = signed_again(&chain, 3, |it| {
        it.joined.insert(identity(9).node());
    });
    let mut plan = chain.clone();
    plan.listing.head.plan = Digest([7; 32]);
    let plan = Record {
        listing: Listing::new(plan.listing.head, &identity(2)),
        body: record().body,
    };
    let mut former_changes = chain.clone();
    let before = record().listing.changed(State::Finished, &identity(1));
    former_changes.listing.change = before.change.map(|change| Change {
        version: 3,
        ..change
    });
    let mut old_change = chain.clone();
    let finished = chain.listing.changed(State::Finished, &identity(4)).change;
    old_change.listing.change = finished.map(|change| Change {
        version: 2,
        ..change
    });
    let mut other_chain = moved(&moved(&record(), 5, 1), 4, 5);
    other_chain.listing.change = chain.listing.changed(State::Finished, &identity(4)).change;
    let forged = [
        ("by a stranger", by_stranger, RecordError::Stranger),
        ("by who is out", by_former, RecordError::Stranger),
        ("in other name", in_other_name, RecordError::Handover),
        ("a link is left out", without_link, RecordError::Order),
        ("out of order", swapped, RecordError::Order),
        ("repeated", twice, RecordError::Order),
        ("other hosts", other_hosts, RecordError::Handover),
        ("left from nowhere", from_nowhere, RecordError::Handover),
        ("a version skipped", skipped, RecordError::Order),
        ("another body", other_body, RecordError::Body),
        ("hosts that are not there", hosts, RecordError::Hosts),
        ("another plan", plan, RecordError::Plan),
        (
            "changed by who is out",
            former_changes,
            RecordError::Stranger,
        ),
        ("an old change", old_change, RecordError::Order),
        (
            "a change of another chain",
            other_chain,
            RecordError::Change,
        ),
    ];
    for (what, record, error) in forged {
        assert_eq!(record.check(), Err(error), "{what}");
    }
    // A chain that lost its end is what stood before, and no more.
    let mut cut = chain.clone();
    cut.listing.handovers.pop();
    cut.body = None;
    assert_eq!(cut.check(), Ok(()));
    assert!(cut.listing.standing() < chain.listing.standing());
}

#[test]
fn who_may_not_or_cannot_change_a_graph_changes_nothing() {
    let record = record();
    let graph = || graph_with_operator_on(3);
    let name = |host: NodeId| host.to_string();
    let ended = Record {
        listing: record.listing.changed(State::Stopped, &identity(1)),
        ..record.clone()
    };
    let bodiless = Record {
        body: None,
        ..record.clone()
    };
    let plan = {
        let mut other = record.clone();
        other.listing.head.plan = Digest([7; 32]);
        other
    };
    let cases = [
        (&record, 3, RecordError::Stranger),
        (&ended, 1, RecordError::Ended),
        (&bodiless, 1, RecordError::Unknown),
        (&plan, 1, RecordError::Plan),
    ];
    for (record, signer, error) in cases {
        let rebound = record.rebound(graph(), &identity(signer), name);
        assert_eq!(rebound, Err(error));
    }
}

#[test]
fn a_chain_ends_where_its_owner_stays_away() {
    let mut record = record();
    let mut at = 1;
    for _ in 0..HANDOVERS_MAX {
        let to = 4 - at;
        record = moved(&record, to, at);
        at = to;
    }
    assert_eq!(record.check(), Ok(()));
    let graph = graph_with_operator_on(4 - at);
    let name = |host: NodeId| host.to_string();
    let rebound = record.rebound(graph.clone(), &identity(at), name);
    assert_eq!(rebound, Err(RecordError::Long));
    // Nobody can send a longer one either.
    let mut longer = record.listing.clone();
    longer.handovers.push(longer.handovers[0].clone());
    assert!(read(&longer).is_err());
    // Nor one that names more hosts than fit.
    let mut wider = record.listing.clone();
    let many = (0..MOVES_MAX).map(|number| {
        let mut node = NodeId([0; 32]);
        node.0[..8].copy_from_slice(&number.to_le_bytes());
        node
    });
    wider.handovers[0].joined = many.collect();
    assert!(read(&wider).is_err());
    // The owner itself is not bound: it signs the whole.
    let by_owner = record.rebound(graph, &identity(2), name);
    let by_owner = by_owner.expect("the owner says so");
    assert_eq!(by_owner.check(), Ok(()));
    assert!(by_owner.listing.handovers.is_empty());
    assert!(by_owner.listing.standing() > record.listing.standing());
}
