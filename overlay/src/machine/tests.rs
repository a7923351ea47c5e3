use std::sync::Arc;

use model::{Coordinate, Entry, LoadInterval, Rng, wire};
use proptest::prelude::*;

use super::*;
use crate::message::{Answer, Bounded, Gossip, Held, NearBy, Request, Rumor};

fn at(millis: u64) -> Instant {
    Instant::ZERO + Duration::from_millis(millis)
}

fn identity(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

fn summary(node: NodeId) -> HostSummary {
    HostSummary {
        addresses: vec!["/memory/1".to_owned()],
        ..HostSummary::new(node, "host")
    }
}

fn overlay() -> Overlay {
    let identity = identity(0);
    let host = summary(identity.node());
    let config = Config {
        identity,
        host,
        first_version: 100,
    };
    Overlay::new(at(0), config, Rng::from_seed(1))
}

fn input(overlay: &mut Overlay, millis: u64, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    overlay.handle_input(at(millis), input, &mut out);
    out
}

fn entry(of: &Identity, key: Key, slot: u64, version: u64) -> Entry {
    let mut entry = Entry {
        owner: of.node(),
        key,
        slot,
        version,
        ttl: model::entry::TTL_MAX,
        addresses: vec!["/memory/owner".to_owned()],
        load: LoadInterval::default(),
        coordinate: Coordinate::default(),
        payload: Some(b"payload".to_vec()),
        signature: [0; 64],
    };
    entry.signature = of.sign(&entry.signed_bytes());
    entry
}

fn message(from: &Identity, message: Message) -> Input {
    let from = from.node();
    Input::Message { from, message }
}

fn find(number: u64, key: Key) -> Message {
    let request = Request::Find {
        key,
        near: None,
        count: 10,
    };
    Message::Request { number, request }
}

/// How many entries each answer among these holds.
fn answers(out: &[Effect]) -> Vec<usize> {
    let entries = |effect: &Effect| match effect {
        Effect::Send {
            message:
                Message::Answer {
                    answer: Answer::Entries { entries, .. },
                    ..
                },
            ..
        } => Some(entries.as_slice().len()),
        _ => None,
    };
    out.iter().filter_map(entries).collect()
}

fn outcomes(out: &[Effect]) -> Vec<(QueryId, Outcome)> {
    let outcome = |effect: &Effect| match effect {
        Effect::Answer { id, outcome } => Some((*id, outcome.clone())),
        _ => None,
    };
    out.iter().filter_map(outcome).collect()
}

#[test]
fn an_owner_that_a_reader_could_not_reach_is_asked_before_it_is_served_again() {
    let mut overlay = overlay();
    let (owner, reader) = (identity(1), identity(2));
    let key = Key::published("flows");
    let kept = Message::keep(1, entry(&owner, key, 0, 1));
    input(&mut overlay, 0, message(&owner, kept));
    assert_eq!(
        answers(&input(&mut overlay, 1, message(&reader, find(1, key)))),
        [1]
    );
    let suspect = Message::Suspect {
        owner: owner.node(),
    };
    let out = input(&mut overlay, 2, message(&reader, suspect));
    let [
        Effect::Send {
            to,
            addresses,
            message: Message::Ping { number, .. },
        },
    ] = &out[..]
    else {
        panic!("one ping: {out:?}");
    };
    assert_eq!(
        (*to, addresses.as_slice()),
        (owner.node(), &["/memory/owner".to_owned()][..])
    );
    assert_eq!(
        answers(&input(&mut overlay, 3, message(&reader, find(2, key)))),
        [0]
    );
    let gossip = Gossip {
        summary: summary(owner.node()),
        known: 0,
        rumors: Bounded::first_of([]),
    };
    let number = *number;
    input(
        &mut overlay,
        4,
        message(&owner, Message::Pong { number, gossip }),
    );
    assert_eq!(
        answers(&input(&mut overlay, 5, message(&reader, find(3, key)))),
        [1]
    );
}

#[test]
fn a_query_is_answered_also_where_no_walk_ever_ends() {
    let mut overlay = overlay();
    let key = Key::published("flows");
    let query = Query::Register {
        key,
        slot: 0,
        payload: Vec::new(),
    };
    let out = input(
        &mut overlay,
        0,
        Input::Query {
            id: QueryId(5),
            query,
        },
    );
    assert!(matches!(out[..], [Effect::Walk { .. }]), "{out:?}");
    let wake = overlay.poll_timeout().unwrap();
    assert!(wake <= at(3000), "{wake:?}");
    let mut out = Vec::new();
    overlay.handle_input(wake, Input::Timeout, &mut out);
    assert_eq!(
        outcomes(&out),
        [(QueryId(5), Outcome::Done)],
        "it is its own holder"
    );
    assert_eq!(overlay.stats().entries_held, 1);
}

#[test]
fn what_is_too_large_or_too_much_is_refused_with_the_reason() {
    let mut overlay = overlay();
    let key = Key::published("flows");
    let register = |slot, payload| Query::Register { key, slot, payload };
    let id = QueryId(0);
    let large = register(0, vec![0; model::entry::PAYLOAD_BYTES_MAX + 1]);
    let out = input(&mut overlay, 0, Input::Query { id, query: large });
    let error = QueryError::TooLarge(model::entry::PAYLOAD_BYTES_MAX + 1);
    assert_eq!(outcomes(&out), [(id, Outcome::Failed(error))]);
    for slot in 0..4096 {
        let query = register(slot, Vec::new());
        assert_eq!(
            outcomes(&input(&mut overlay, 0, Input::Query { id, query })),
            []
        );
    }
    let query = register(5000, Vec::new());
    let out = input(&mut overlay, 0, Input::Query { id, query });
    assert_eq!(
        outcomes(&out),
        [(id, Outcome::Failed(QueryError::TooMany(4096)))]
    );
}

#[test]
fn leaving_ends_in_bounded_time_and_answers_what_was_asked() {
    let mut overlay = overlay();
    let key = Key::published("flows");
    let query = Query::Lookup {
        key,
        near: None,
        count: 1,
    };
    let register = Query::Register {
        key,
        slot: 0,
        payload: Vec::new(),
    };
    input(
        &mut overlay,
        0,
        Input::Query {
            id: QueryId(0),
            query: register,
        },
    );
    input(
        &mut overlay,
        0,
        Input::Query {
            id: QueryId(1),
            query,
        },
    );
    assert!(!input(&mut overlay, 1, Input::Leave).contains(&Effect::Left));
    let out = input(&mut overlay, 501, Input::Timeout);
    assert_eq!(out.last(), Some(&Effect::Left));
    let answered: Vec<_> = outcomes(&out).into_iter().map(|(id, _)| id.0).collect();
    assert_eq!(answered, [1, 0]);
    assert_eq!(overlay.poll_timeout(), None);
}

fn coordinate() -> impl Strategy<Value = Coordinate> {
    (
        prop::array::uniform3(-1.0f64..1.0),
        0.0f64..1.0,
        0.0f64..1.0,
    )
        .prop_map(|(place, height, error)| Coordinate {
            place,
            height,
            error,
        })
}

fn host() -> impl Strategy<Value = HostSummary> {
    (0..300u16, coordinate(), any::<u64>()).prop_map(|(n, coordinate, version)| {
        let mut id = [3; 32];
        id[..2].copy_from_slice(&n.to_le_bytes());
        let node = if n < 10 {
            identity(u8::try_from(n).unwrap()).node()
        } else {
            NodeId(id)
        };
        HostSummary {
            coordinate,
            version,
            ..summary(node)
        }
    })
}

fn some_entry() -> impl Strategy<Value = Entry> {
    (
        0..10u8,
        0..4u8,
        0..3u64,
        any::<u64>(),
        any::<bool>(),
        any::<bool>(),
    )
        .prop_map(|(owner, key, slot, version, is_there, is_genuine)| {
            let of = identity(owner);
            let mut entry = entry(&of, Key::published(&key.to_string()), slot, version);
            if !is_there {
                entry.payload = None;
            }
            if is_genuine {
                entry.signature = of.sign(&entry.signed_bytes());
            }
            entry
        })
}

fn held() -> impl Strategy<Value = Held> {
    (some_entry(), 0..200u64).prop_map(|(entry, age)| Held {
        entry: Arc::new(entry),
        age: Duration::from_secs(age),
    })
}

fn any_message() -> impl Strategy<Value = Message> {
    let gossip = || {
        let age = (0..100u64).prop_map(Duration::from_secs);
        let rumor = (host(), age).prop_map(|(summary, age)| Rumor { summary, age });
        (host(), any::<u64>(), prop::collection::vec(rumor, 0..30)).prop_map(
            |(summary, known, rumors)| Gossip {
                summary,
                known,
                rumors: Bounded::first_of(rumors),
            },
        )
    };
    let key = || (0..4u8).prop_map(|n| Key::published(&n.to_string()));
    let entries = || prop::collection::vec(held(), 0..10).prop_map(Bounded::first_of);
    let request = prop_oneof![
        (key(), prop::option::of(coordinate()), any::<u32>()).prop_map(|(key, near, count)| {
            let near = near.map(NearBy);
            Request::Find { key, near, count }
        }),
        (key(), any::<Option<[u8; 32]>>(), any::<u64>()).prop_map(|(key, node, slot)| {
            let after = node.map(|node| (NodeId(node), slot));
            Request::Page { key, after }
        }),
        some_entry().prop_map(|entry| Request::Keep {
            entry: Arc::new(entry)
        }),
    ];
    let answer = prop_oneof![
        (entries(), any::<bool>())
            .prop_map(|(entries, has_more)| Answer::Entries { entries, has_more }),
        Just(Answer::Kept),
        Just(Answer::Refused),
    ];
    prop_oneof![
        (0..20u64, gossip()).prop_map(|(number, gossip)| Message::Ping { number, gossip }),
        (0..20u64, gossip()).prop_map(|(number, gossip)| Message::Pong { number, gossip }),
        (any::<u64>(), request).prop_map(|(number, request)| Message::Request { number, request }),
        (0..50u64, answer).prop_map(|(number, answer)| Message::Answer { number, answer }),
        entries().prop_map(|entries| Message::HandOver { entries }),
        (0..10u8).prop_map(|n| Message::Suspect {
            owner: identity(n).node()
        }),
        Just(Message::Farewell),
    ]
}

fn any_input() -> impl Strategy<Value = Input> {
    let key = || (0..4u8).prop_map(|n| Key::published(&n.to_string()));
    let node = || (0..10u8).prop_map(|n| identity(n).node());
    let query = prop_oneof![
        key().prop_map(|key| Query::Lookup {
            key,
            near: None,
            count: 3
        }),
        (key(), 0..3u64).prop_map(|(key, slot)| Query::Register {
            key,
            slot,
            payload: vec![1]
        }),
        (key(), 0..3u64).prop_map(|(key, slot)| Query::Withdraw { key, slot }),
        Just(Query::List {
            index: model::Index::Hosts
        }),
    ];
    prop_oneof![
        8 => (node(), any_message()).prop_map(|(from, message)| Input::Message { from, message }),
        1 => query.prop_map(|query| Input::Query { id: QueryId(0), query }),
        1 => (0..40u64, prop::collection::vec(node(), 0..8)).prop_map(|(walk, nodes)| {
            let peer = |node| Peer { node, addresses: Vec::new() };
            Input::Walked { walk: WalkId(walk), peers: nodes.into_iter().map(peer).collect() }
        }),
        1 => node().prop_map(Input::Connected),
        1 => node().prop_map(Input::Unreachable),
        1 => Just(Input::Timeout),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_peers_say_a_node_stays_within_its_limits(
        inputs in prop::collection::vec((any_input(), 0..3000u64), 1..120),
    ) {
        let mut overlay = overlay();
        let mut now = 0;
        let mut asked = 0;
        let mut answered = 0;
        for (number, (mut next, later)) in inputs.into_iter().enumerate() {
            now += later;
            if let Input::Query { id, .. } = &mut next {
                *id = QueryId(convert::size(number));
                asked += 1;
            }
            let out = input(&mut overlay, now, next);
            prop_assert!(out.len() < 1000);
            for effect in &out {
                if let Effect::Send { message, .. } = effect {
                    let bytes = wire::encode(message);
                    prop_assert!(bytes.len() < 256 << 10);
                    prop_assert_eq!(&wire::decode::<Message>(&bytes).unwrap(), message);
                }
            }
            answered += outcomes(&out).len();
            let stats = overlay.stats();
            prop_assert!(stats.hosts_known <= 128);
            prop_assert!(stats.entries_held <= 4 * 10 * 3);
            prop_assert!(overlay.poll_timeout().is_some());
        }
        // Each query has one answer, in bounded time.
        for _ in 0..8 {
            now += 1000;
            answered += outcomes(&input(&mut overlay, now, Input::Timeout)).len();
        }
        prop_assert_eq!(answered, asked);
    }
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        drop(wire::decode::<Message>(&bytes));
        let framed = [&[wire::VERSION][..], &bytes].concat();
        drop(wire::decode::<Message>(&framed));
    }

    #[test]
    fn no_damage_to_a_message_panics(
        whole in any_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = wire::encode(&whole);
        for (at, with) in damage {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        if let Ok(damaged) = wire::decode::<Message>(&bytes) {
            input(&mut overlay(), 1, message(&identity(1), damaged));
        }
    }
}
