//! What is kept of decisions, and what is told.

use model::wire;

use super::super::record::{Record, State};
use super::super::tests::{handle_at, identity, moved, node, receive, record};
use super::*;
use crate::node::message::{Message, Told};
use crate::node::{Command, Failure, FailureKind, Input, Moved, PartEvent};

fn at(seconds: u64) -> Instant {
    Instant::from_nanos(seconds * 1_000_000_000)
}

fn id() -> ApplicationId {
    record().listing.head.application
}

fn events(node: &mut Node, now: Instant) -> EventList {
    let command = Input::Command {
        id: CommandId(5),
        command: Command::Events(None),
    };
    let effects = handle_at(node, now, command);
    match effects.into_iter().next() {
        Some(Effect::Answer {
            answered: Ok(Answer::Events(list)),
            ..
        }) => *list,
        other => panic!("no decisions: {other:?}"),
    }
}

#[test]
fn the_oldest_go_and_that_is_counted() {
    let mut node = node();
    let many = u64::try_from(EVENTS_MAX).expect("a few hundred") + 3;
    for second in 0..many {
        node.decided(at(second), &id(), Decision::Retired);
    }
    let list = events(&mut node, at(many));
    assert_eq!(list.events.len(), EVENTS_MAX);
    assert_eq!(list.dropped, 3);
    let mut ages = list.events.iter().map(|row| row.age_s);
    assert!(ages.clone().is_sorted_by(|older, newer| older > newer));
    assert_eq!(ages.next_back(), Some(1.0));
    assert_eq!(node.info(at(many)).counts["events_dropped"], 3);
}

#[test]
fn a_host_tells_what_it_decided_about_one_application_and_nothing_of_others() {
    let mut node = node();
    let other = ApplicationId {
        name: "other".to_owned(),
        ..id()
    };
    node.decided(at(1), &id(), Decision::Missing);
    node.decided(at(2), &other, Decision::Retired);
    let ask = Message::Ask {
        ticket: 8,
        application: id(),
        composition: record().listing.head.composition,
        body: None,
        wants_events: true,
    };
    let input = Input::Message {
        from: identity(2).node(),
        bytes: wire::encode(&ask),
    };
    let effects = handle_at(&mut node, at(5), input);
    let events = EventsTold {
        events: vec![(Duration::from_secs(4), Decision::Missing)],
        dropped: 0,
    };
    let told = Message::Told {
        ticket: 8,
        told: Box::new(Told {
            events: Some(events),
            ..Told::default()
        }),
    };
    let bytes = wire::encode(&told);
    let to = identity(2).node();
    assert_eq!(effects, [Effect::Send { to, bytes }]);
}

#[test]
fn records_are_news_where_they_say_something_new() {
    let first = record();
    let second = moved(&first, 3, 1);
    let mut node = node();
    for record in [&first, &first, &second, &first, &second] {
        receive(&mut node, 2, &Message::Record(Box::new(record.clone())));
    }
    let stopped = Record {
        listing: second.listing.changed(State::Stopped, &identity(3)),
        body: None,
    };
    receive(&mut node, 2, &Message::Record(Box::new(stopped)));
    let list = events(&mut node, at(1));
    let said: Vec<&Decision> = list.events.iter().map(|row| &row.decision).collect();
    let hosts = second.listing.hosts();
    let name = |number: u8| identity(number).node().to_string();
    let rebound = Decision::Rebound {
        version: 1,
        by: "n1".to_owned(),
        hosts: hosts.iter().map(ToString::to_string).collect(),
    };
    let stopped = Decision::Stopped { by: name(3) };
    // Node 1 has the record, and runs nothing of it.
    assert_eq!(said, [&Decision::Missing, &rebound, &stopped]);
}

#[test]
fn what_happens_to_a_part_is_noted_once() {
    let mut node = node();
    let record = record();
    let composition = record.listing.head.composition;
    let graph = record.body.expect("a body").graph;
    node.on_deploy(at(0), composition, id(), graph, &mut Vec::new());
    let degraded = PartEvent::Degraded {
        component: "flows".to_owned(),
        reason: "the file is gone".to_owned(),
    };
    let host = identity(2).node();
    for event in [
        degraded.clone(),
        degraded,
        PartEvent::Disconnected { host },
        PartEvent::Disconnected { host },
        PartEvent::Reconnected { host },
        PartEvent::Reconnected { host },
        PartEvent::Retired,
    ] {
        let id = composition;
        handle_at(&mut node, at(1), Input::Happened { id, event });
    }
    let list = events(&mut node, at(2));
    let said: Vec<&Decision> = list.events.iter().map(|row| &row.decision).collect();
    let to = host.to_string();
    let expected = [
        Decision::Degraded {
            component: "flows".to_owned(),
            reason: "the file is gone".to_owned(),
        },
        Decision::Disconnected { to: to.clone() },
        Decision::Returned { to },
        Decision::Retired,
    ];
    assert_eq!(said, expected.iter().collect::<Vec<_>>());
}

#[test]
fn nobody_tells_more_than_a_host_keeps_nor_numbers_that_are_none() {
    let many = EventsTold {
        events: vec![(Duration::ZERO, Decision::Missing); EVENTS_MAX],
        dropped: 9,
    };
    assert!(many.is_sound());
    let mut too_many = many.clone();
    too_many.events.push((Duration::ZERO, Decision::Missing));
    let impossible = EventsTold {
        events: vec![(
            Duration::ZERO,
            Decision::HotSpot {
                operator: None,
                reason: "its host has too much to do".to_owned(),
                load: f64::NAN,
                load_after: None,
                slack_ms: None,
                horizon_s: None,
                candidates: Vec::new(),
                stays: None,
            },
        )],
        dropped: 0,
    };
    for told in [too_many, impossible] {
        let mut node = node();
        let listing = record().listing;
        let intent = super::super::finding::Intent::Events;
        let mut out = Vec::new();
        node.begin_asking(at(0), 77, CommandId(5), intent, listing, &mut out);
        let told = Message::Told {
            ticket: 77,
            told: Box::new(Told {
                events: Some(told),
                ..Told::default()
            }),
        };
        assert_eq!(receive(&mut node, 2, &told), []);
        assert_eq!(node.info(at(0)).counts["answers_unsound"], 1);
    }
}

#[test]
fn programs_read_what_is_told() {
    let moved = Moved {
        application: "intrusion".to_owned(),
        operator: "few".to_owned(),
        from: "n1".to_owned(),
        from_node: hex(identity(1).node()),
        to: "n3".to_owned(),
        to_node: hex(identity(3).node()),
        candidates: Vec::new(),
        state_bytes: 1,
        sent_bytes: 4 << 20,
        transfer_ms: 240.0,
        switch_ms: 2.0,
        total_ms: 3.0,
        shared_with: Vec::new(),
    };
    let failure = Failure::new(FailureKind::Refused, "nobody has room");
    let decisions = [
        Decision::Composed {
            operators: 3,
            shared: 1,
            hosts: 2,
            predicted_delay_ms: Some(12.0),
            target_delay_ms: 250.0,
            probes: 6,
        },
        Decision::Refused {
            operator: Some("few".to_owned()),
            reason: failure.message,
        },
        Decision::Moved {
            why: "it would have been late".to_owned(),
            slack_ms: Some(-3.0),
            load: Some(0.1),
            moved: Box::new(moved),
        },
        Decision::HotSpot {
            operator: None,
            reason: "its host has too much to do".to_owned(),
            load: 0.9,
            load_after: None,
            slack_ms: None,
            horizon_s: None,
            candidates: Vec::new(),
            stays: None,
        },
        Decision::Missing,
    ];
    for decision in decisions {
        let row = EventRow {
            age_s: 1.5,
            host: "n1".to_owned(),
            node: hex(identity(1).node()),
            application: "intrusion".to_owned(),
            decision,
        };
        let text = serde_json::to_value(&row).expect("JSON");
        assert_eq!(text["application"], "intrusion");
        let again: EventRow = serde_json::from_value(text).expect("the same");
        assert_eq!(again, row);
    }
}
