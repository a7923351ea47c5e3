//! Records without what they say that runs.

use super::super::record::{Listing, Standing};
use super::*;

/// What a node says that it holds of the application of [`record`].
fn present(standing: Option<Standing>, gone: Option<CompositionId>) -> Message {
    Message::Present {
        application: record().listing.head.application,
        standing,
        finished: None,
        gone,
    }
}

fn sends(effects: &[Effect], to: u8, message: &Message) -> bool {
    effects.contains(&Effect::Send {
        to: identity(to).node(),
        bytes: wire::encode(message),
    })
}

/// The listing in the records that are sent to a node.
fn record_sent(effects: &[Effect], to: u8) -> Option<Listing> {
    let to = identity(to).node();
    effects.iter().find_map(|effect| match effect {
        Effect::Send { to: it, bytes } if *it == to => match wire::decode(bytes) {
            Ok(Message::Record(record)) => Some(record.listing),
            _ => None,
        },
        _ => None,
    })
}

/// The look-up of a record, if there is one.
fn record_lookup(effects: &[Effect]) -> Option<u64> {
    let wanted = Key::application(&record().listing.head.application);
    effects.iter().find_map(|effect| match effect {
        Effect::Query {
            query,
            ask: Query::Lookup { key, .. },
        } if *key == wanted => Some(*query),
        _ => None,
    })
}

/// Lets a node do what is due until then; gives all that it wants done.
fn wait(node: &mut Node, until: Instant) -> Vec<Effect> {
    let mut effects = Vec::new();
    while let Some(due) = node.poll_timeout().filter(|due| *due <= until) {
        effects.extend(handle_at(node, due, Input::Timeout));
    }
    effects
}

#[test]
fn a_host_that_was_started_anew_asks_for_the_record_and_ends_what_has_lost_its_sinks() {
    // Node 2 had accepted the application, and all its sinks: it knows nothing of it any more.
    let mut node = node_of(2);
    let record = record();
    let (standing, id) = (record.listing.standing(), record.listing.head.composition);
    let asked = receive(&mut node, 1, &present(Some(standing), None));
    assert!(sends(&asked, 1, &present(None, None)), "{asked:?}");
    let told = receive(&mut node, 1, &Message::Record(Box::new(record.clone())));
    assert!(sends(&told, 1, &present(Some(standing), Some(id))));
    assert!(record_lookup(&told).is_some());
    // Others may say first that it has ended.
    let effects = wait(&mut node, Instant::from_nanos(29_000_000_000));
    assert_eq!(record_sent(&effects, 1), None);
    let effects = wait(&mut node, Instant::from_nanos(60_000_000_000));
    let ended = record_sent(&effects, 1).expect("it has ended");
    assert_eq!(ended.check(), Ok(()));
    assert_eq!(ended.state().word(), "failed");
    assert_eq!(ended.standing().signer, Some(identity(2).node()));
}

#[test]
fn what_was_stopped_by_a_host_that_went_down_is_learned_from_the_overlay() {
    let mut node = node_of(2);
    let record = record();
    let told = receive(&mut node, 1, &Message::Record(Box::new(record.clone())));
    let query = record_lookup(&told).expect("a look-up");
    let stopped = Record {
        listing: record.listing.changed(State::Stopped, &identity(2)),
        body: None,
    };
    let entry = model::Entry {
        owner: identity(3).node(),
        key: Key::application(&record.listing.head.application),
        slot: 0,
        version: 1,
        ttl: Duration::from_secs(180),
        addresses: Vec::new(),
        load: LoadInterval::default(),
        coordinate: Coordinate::default(),
        payload: Some(wire::encode(&stopped)),
        signature: [0; 64],
    };
    let outcome = Outcome::Entries(vec![entry]);
    handle(&mut node, Input::Outcome { query, outcome });
    let effects = wait(&mut node, Instant::from_nanos(100_000_000_000));
    assert_eq!(record_sent(&effects, 1), None, "nothing has failed");
    // Who still runs a part of it is told.
    let told = receive(
        &mut node,
        1,
        &present(Some(record.listing.standing()), None),
    );
    assert_eq!(record_sent(&told, 1), Some(stopped.listing));
}

#[test]
fn an_application_whose_sinks_are_elsewhere_goes_on_until_they_are_gone_as_well() {
    // Node 1 lacks its operator. The sink is on node 2, which may be cut off.
    let mut node = node();
    let record = record();
    let (standing, id) = (record.listing.standing(), record.listing.head.composition);
    receive(&mut node, 2, &Message::Record(Box::new(record)));
    let hour = Instant::from_nanos(3_600_000_000_000);
    let effects = wait(&mut node, hour);
    assert_eq!(record_sent(&effects, 2), None);
    assert!(sends(&effects, 2, &present(Some(standing), Some(id))));
    // Nobody but a host of it has a say.
    receive(&mut node, 3, &present(Some(standing), Some(id)));
    let effects = wait(&mut node, hour + Duration::from_secs(60));
    assert_eq!(record_sent(&effects, 2), None);
    receive(&mut node, 2, &present(Some(standing), Some(id)));
    let effects = wait(&mut node, hour + Duration::from_secs(120));
    let ended = record_sent(&effects, 2).expect("it has ended");
    assert_eq!(ended.state().word(), "failed");
}
