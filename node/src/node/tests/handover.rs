//! Records of applications whose graph changes, among nodes.

use super::super::record::{HANDOVERS_MAX, Handover, Listing, Standing};
use super::super::records::Listed;
use super::*;

fn present(standing: Option<Standing>) -> Message {
    Message::Present {
        application: record().listing.head.application,
        standing,
        finished: None,
        gone: None,
    }
}

fn messages(effects: &[Effect], to: u8) -> Vec<Message> {
    let to = identity(to).node();
    let sent = effects.iter().filter_map(|effect| match effect {
        Effect::Send { to: it, bytes } if *it == to => Some(bytes),
        _ => None,
    });
    let decoded = sent.map(|bytes| wire::decode(bytes).expect("a message"));
    decoded.collect()
}

fn record_message(record: &Record) -> Message {
    Message::Record(Box::new(record.clone()))
}

/// The listing that a confirmation to a node says.
fn confirmed(effects: &[Effect], to: u8) -> Listing {
    let mut said = messages(effects, to).into_iter();
    let listing = said.find_map(|message| match message {
        Message::Confirm { listing, .. } => Some(*listing),
        _ => None,
    });
    listing.expect("a confirmation")
}

fn count(node: &Node, what: &str) -> u64 {
    let counts = node.info(Instant::ZERO).counts;
    counts.get(what).copied().unwrap_or_default()
}

fn payload<T: bincode::Decode<()>>(effects: &[Effect], wanted: Key) -> Option<T> {
    effects.iter().rev().find_map(|effect| match effect {
        Effect::Query {
            ask: Query::Register { key, payload, .. },
            ..
        } if *key == wanted => wire::decode(payload).ok(),
        _ => None,
    })
}

/// Node 1 says that its operator is on node 3 now.
fn say_moved(node: &mut Node) -> Vec<Effect> {
    let id = record().listing.head.application;
    let mut out = Vec::new();
    let now = Instant::from_nanos(1);
    let said = node.say_rebound(now, &id, graph_with_operator_on(3), &mut out);
    assert_eq!(said, Ok(()));
    out
}

#[test]
fn a_host_says_another_graph_to_those_that_are_in_it_and_that_were() {
    let mut node = node();
    receive(&mut node, 2, &record_message(&record()));
    let effects = say_moved(&mut node);
    let expected = moved(&record(), 3, 1);
    for host in [2, 3] {
        let sent = messages(&effects, host);
        let Some(Message::Record(sent)) = sent.first() else {
            panic!("{sent:?}");
        };
        assert_eq!(sent.listing, expected.listing);
        assert_eq!(sent.body, expected.body);
    }
    // Whoever reads the entries can check them by themselves.
    let key = Key::application(&expected.listing.head.application);
    let kept: Record = payload(&effects, key).expect("a record");
    assert_eq!(kept, expected);
    let index = Key::index(Index::Applications, key.shard());
    let listed: Listed = payload(&effects, index).expect("a listing");
    assert_eq!(listed.listing, expected.listing);
}

#[test]
fn what_the_owner_hears_of_it_signs_anew_and_says_to_who_told_it() {
    let mut owner = node_of(2);
    receive(&mut owner, 1, &record_message(&record()));
    let chain = moved(&record(), 3, 1);
    let effects = receive(&mut owner, 1, &record_message(&chain));
    let sealed = chain.listing.sealed(&identity(2));
    assert_eq!(confirmed(&effects, 1), sealed);
    let key = Key::application(&sealed.head.application);
    let kept: Record = payload(&effects, key).expect("a record");
    assert_eq!(kept.listing, sealed);
    assert_eq!(kept.body, chain.body);
    // The chain once more is what it has: neither newer nor older.
    let again = receive(&mut owner, 3, &record_message(&chain));
    assert_eq!(again.len(), 1);
    assert_eq!(confirmed(&again, 3), sealed);
    assert_eq!(count(&owner, "older_records"), 0);
    // Who presents itself with the chain gets the owner's signature, and not the graph again.
    let standing = Some(chain.listing.standing());
    let told = receive(&mut owner, 3, &present(standing));
    let expected = Record {
        listing: sealed,
        body: None,
    };
    assert_eq!(messages(&told, 3), [record_message(&expected)]);
}

#[test]
fn who_said_it_goes_on_when_its_owner_has_signed_it() {
    let mut node = node();
    receive(&mut node, 2, &record_message(&record()));
    say_moved(&mut node);
    let sealed = moved(&record(), 3, 1).listing.sealed(&identity(2));
    let confirm = Message::Confirm {
        ticket: 0,
        listing: Box::new(sealed.clone()),
    };
    receive(&mut node, 2, &confirm);
    let due = Instant::from_nanos(5_000_000_000);
    let effects = handle_at(&mut node, due, Input::Timeout);
    // Node 3 has not confirmed yet, and has heard of it by nobody else.
    let sent = messages(&effects, 3);
    let Some(Message::Record(sent)) = sent.first() else {
        panic!("{sent:?}");
    };
    assert_eq!(sent.listing, sealed);
    assert!(sent.body.is_some());
    assert_eq!(messages(&effects, 2), []);
}

#[test]
fn a_graph_that_comes_without_itself_is_asked_for() {
    let mut owner = node_of(2);
    receive(&mut owner, 1, &record_message(&record()));
    let whole = moved(&record(), 3, 1);
    let bodiless = Record {
        body: None,
        ..whole.clone()
    };
    let effects = receive(&mut owner, 3, &record_message(&bodiless));
    assert!(messages(&effects, 1).contains(&present(None)));
    let id = &whole.listing.head.application;
    assert!(
        owner
            .records
            .find(id)
            .is_some_and(|record| record.body.is_none())
    );
    receive(&mut owner, 1, &record_message(&whole));
    let kept = owner.records.find(id).expect("a record");
    assert_eq!(kept.body, whole.body);
}

#[test]
fn where_a_part_runs_whose_graph_is_older_whoever_moves_components_is_told_once_the_graph_is_here()
{
    let mut node = node();
    let first = record();
    let head = first.listing.head.clone();
    let graph = first.body.clone().expect("a body").graph;
    let now = Instant::from_nanos(1);
    node.on_deploy(
        now,
        head.composition,
        head.application.clone(),
        graph,
        &mut Vec::new(),
    );
    receive(&mut node, 2, &record_message(&first));
    assert_eq!(count(&node, "rebound_records"), 0);
    let chain = moved(&first, 3, 2);
    let bodiless = Record {
        body: None,
        ..chain.clone()
    };
    receive(&mut node, 3, &record_message(&bodiless));
    assert_eq!(count(&node, "rebound_records"), 0);
    receive(&mut node, 2, &record_message(&chain));
    assert_eq!(count(&node, "rebound_records"), 1);
    // What runs is left alone.
    assert!(node.parts.contains_key(&head.composition));
}

#[test]
fn who_is_out_says_so_no_more_after_a_while_and_takes_no_older_record_for_newer() {
    let mut node = node();
    receive(&mut node, 2, &record_message(&record()));
    let chain = moved(&record(), 3, 2);
    let effects = receive(&mut node, 2, &record_message(&chain));
    assert_eq!(confirmed(&effects, 2), chain.listing);
    // It lacks nothing, since nothing is bound to it any more.
    assert!(node.missing.is_empty());
    receive(&mut node, 3, &record_message(&record()));
    assert_eq!(count(&node, "older_records"), 1);
    let id = chain.listing.head.application.clone();
    assert_eq!(node.records.listing(&id), Some(&chain.listing));
    let mut withdrawn = 0;
    let end = Instant::from_nanos(300_000_000_000);
    while let Some(due) = node.poll_timeout().filter(|due| *due < end) {
        let effects = handle_at(&mut node, due, Input::Timeout);
        let is_withdrawal = |effect: &&Effect| {
            matches!(
                effect,
                Effect::Query {
                    ask: Query::Withdraw { .. },
                    ..
                }
            )
        };
        withdrawn += effects.iter().filter(is_withdrawal).count();
    }
    assert_eq!(withdrawn, 2);
    assert_eq!(node.records.listing(&id), None);
}

#[test]
fn who_was_away_learns_that_it_is_out_and_strangers_learn_nothing() {
    let mut node = node_of(3);
    let chain = moved(&record(), 3, 1);
    // The operator went from node 1 by way of node 4, and node 4 heard of nothing after that.
    let chain = moved(&moved(&chain, 4, 3), 3, 4);
    let sealed = Record {
        listing: chain.listing.sealed(&identity(2)),
        ..chain
    };
    let last = moved(&sealed, 1, 3);
    receive(&mut node, 2, &record_message(&last));
    let older = Some(record().listing.standing());
    let told = receive(&mut node, 5, &present(older));
    assert_eq!(messages(&told, 5), [record_message(&last)]);
    assert_eq!(receive(&mut node, 6, &present(None)), []);
    assert_eq!(count(&node, "present_by_stranger"), 1);
}

/// Two that could not reach each other handed the application over to one host each.
#[test]
fn a_host_of_a_graph_that_another_one_stands_above_gets_that_graph() {
    let lesser = moved(&record(), 3, 1);
    let greater = moved(&moved(&record(), 4, 1), 5, 4);
    let mut node = node_of(3);
    receive(&mut node, 2, &record_message(&lesser));
    let listing = Record {
        body: None,
        ..greater.clone()
    };
    let effects = receive(&mut node, 5, &record_message(&listing));
    let asked = messages(&effects, 4);
    let [question @ Message::Present { .. }] = asked.as_slice() else {
        panic!("it asks for the graph: {asked:?}");
    };
    let mut there = node_of(4);
    receive(&mut there, 2, &record_message(&greater));
    let told = receive(&mut there, 3, question);
    assert_eq!(messages(&told, 3), [record_message(&greater)]);
}

#[test]
fn a_stop_that_was_asked_by_an_older_graph_stops_the_newest() {
    let stop = |listing: Listing| Message::Stop {
        ticket: 7,
        listing: Box::new(listing),
    };
    let older = record().listing;
    let chain = moved(&record(), 3, 1);
    // Who is out says who is in.
    let mut out = node();
    receive(&mut out, 2, &record_message(&chain));
    let effects = receive(&mut out, 9, &stop(older.clone()));
    assert_eq!(confirmed(&effects, 9), chain.listing);
    // Who is in stops the graph that it knows, also where it is told that the older one is stopped.
    for asked in [
        older.clone(),
        older.changed(State::Stopped, &identity(1)),
        chain.listing.clone(),
    ] {
        let mut there = node_of(3);
        receive(&mut there, 2, &record_message(&chain));
        let effects = receive(&mut there, 9, &stop(asked.clone()));
        let stopped = confirmed(&effects, 9);
        assert_eq!(*stopped.state(), State::Stopped);
        assert_eq!(stopped.hosts(), chain.listing.hosts());
        assert_eq!(stopped.check(), Ok(()));
        assert!(stopped.standing() > asked.standing());
    }
}

#[test]
fn who_stops_an_older_graph_hears_of_the_newest_and_asks_its_hosts() {
    let mut node = node_of(9);
    let chain = moved(&record(), 3, 1);
    let older = record().listing;
    let id = CommandId(5);
    let mut out = Vec::new();
    let now = Instant::from_nanos(1);
    node.begin_stopping(now, 77, id, older, &mut out);
    assert_eq!(messages(&out, 1).len(), 1);
    assert_eq!(messages(&out, 3), []);
    let confirm = |listing: Listing| Message::Confirm {
        ticket: 77,
        listing: Box::new(listing),
    };
    receive(&mut node, 1, &confirm(chain.listing.clone()));
    let effects = handle(&mut node, Input::Timeout);
    let sent = messages(&effects, 3);
    assert!(
        matches!(sent.as_slice(), [Message::Stop { ticket: 77, listing }] if **listing == chain.listing)
    );
    let stopped = chain.listing.changed(State::Stopped, &identity(3));
    receive(&mut node, 2, &confirm(stopped.clone()));
    let effects = receive(&mut node, 3, &confirm(stopped));
    let answer = effects.iter().find_map(|effect| match effect {
        Effect::Answer { answered, .. } => answered.as_ref().ok(),
        _ => None,
    });
    let Some(Answer::Stopped(stopped)) = answer else {
        panic!("{effects:?}");
    };
    assert_eq!(stopped.confirmed.len(), 2);
    // The one that is out has nothing to stop.
    assert_eq!(stopped.unconfirmed, Vec::<String>::new());
}

#[test]
fn who_asks_by_an_older_graph_is_led_to_the_newest() {
    let mut node = node_of(9);
    let chain = moved(&record(), 3, 1);
    let id = CommandId(5);
    let mut out = Vec::new();
    let now = Instant::from_nanos(1);
    let intent = finding::Intent::Show;
    let older = record().listing;
    node.begin_asking(now, 77, id, intent, older, &mut out);
    assert_eq!(messages(&out, 3), []);
    let told = |record: Option<Record>| Message::Told {
        ticket: 77,
        told: Box::new(Told {
            record,
            ..Told::default()
        }),
    };
    let effects = receive(&mut node, 2, &told(Some(chain.clone())));
    let asked = messages(&effects, 3);
    assert!(
        matches!(asked.as_slice(), [Message::Ask { ticket: 77, body: Some(body), .. }] if *body == chain.listing.body())
    );
    // Node 1 is out: nobody waits for it.
    let effects = receive(&mut node, 3, &told(None));
    let answer = effects.iter().find_map(|effect| match effect {
        Effect::Answer { answered, .. } => answered.as_ref().ok(),
        _ => None,
    });
    let Some(Answer::Application(status)) = answer else {
        panic!("{effects:?}");
    };
    let hosts = status.components.iter().map(|row| row.node.clone());
    let hosts: Vec<String> = hosts.collect();
    let expected = [2, 3, 2].map(|number| view::hex(identity(number).node()));
    assert_eq!(hosts, expected);
}

#[test]
fn forged_graphs_are_counted_and_change_nothing() {
    let mut node = node();
    receive(&mut node, 2, &record_message(&record()));
    let chain = moved(&record(), 3, 1);
    let mut forged = chain.clone();
    forged
        .listing
        .handovers
        .push(Handover::clone(&chain.listing.handovers[0]));
    assert_eq!(receive(&mut node, 2, &record_message(&forged)), []);
    let mut other_graph = chain.clone();
    other_graph.body = record().body;
    assert_eq!(receive(&mut node, 2, &record_message(&other_graph)), []);
    assert_eq!(count(&node, "forged_records"), 2);
    let id = &chain.listing.head.application;
    assert_eq!(node.records.listing(id), Some(&record().listing));
}

#[test]
fn a_graph_that_changed_too_often_without_its_owner_stays_and_that_is_counted() {
    let mut node = node();
    let mut chain = record();
    let mut at = 1;
    for _ in 0..HANDOVERS_MAX {
        chain = moved(&chain, 4 - at, at);
        at = 4 - at;
    }
    assert_eq!(at, 1);
    receive(&mut node, 3, &record_message(&chain));
    let id = chain.listing.head.application.clone();
    let mut out = Vec::new();
    let now = Instant::from_nanos(1);
    let said = node.say_rebound(now, &id, graph_with_operator_on(3), &mut out);
    assert_eq!(said, Err(RecordError::Long));
    assert_eq!(out, []);
    assert_eq!(count(&node, "handovers_over_limit"), 1);
    assert_eq!(node.records.listing(&id), Some(&chain.listing));
}
