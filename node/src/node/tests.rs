//! One input, and exactly what follows from it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use composition::Order;
use model::plan::Builder;
use model::{
    ApplicationId, Binding, ComponentGraph, CompositionId, Coordinate, DataType, Field,
    HostSummary, Index, Instant, Key, LoadInterval, NodeId, Origin, Outcome, Qos, Query, Resources,
    Rng, Schema, SourceName, StreamName, wire,
};
use overlay::Identity;
use proptest::prelude::*;

use super::message::{Message, Told};
use super::record::{Body, Record, RecordError, State};
use super::records::slot;
use super::*;

mod handover;
mod missing;
mod repair;

pub(super) fn identity(number: u8) -> Identity {
    Identity::from_secret([number; 32])
}

fn summary(number: u8) -> HostSummary {
    HostSummary {
        node: identity(number).node(),
        name: format!("n{number}"),
        addresses: Vec::new(),
        coordinate: Coordinate::default(),
        load: LoadInterval::default(),
        capacity: Resources {
            cpu_cores: 2.0,
            memory_bytes: 1 << 30,
            uplink_bytes_per_second: 1e9,
        },
        labels: BTreeMap::new(),
        operators: None,
        version: 1,
    }
}

/// Node 1 at its start, its first input taken.
pub(super) fn node() -> Node {
    let config = Config {
        identity: identity(1),
        host: summary(1),
        network: "test".to_owned(),
        composition: composition::Config::default(),
        first_number: 100,
        is_new: false,
        migrates: true,
        repairs: false,
    };
    let mut node = Node::new(config, Rng::from_seed(1));
    handle(&mut node, Input::Timeout);
    node
}

pub(super) fn handle(node: &mut Node, input: Input) -> Vec<Effect> {
    handle_at(node, Instant::from_nanos(1), input)
}

pub(super) fn handle_at(node: &mut Node, now: Instant, input: Input) -> Vec<Effect> {
    let mut out = Vec::new();
    node.handle_input(now, input, &mut out);
    out
}

pub(super) fn receive(node: &mut Node, from: u8, message: &Message) -> Vec<Effect> {
    let input = Input::Message {
        from: identity(from).node(),
        bytes: wire::encode(message),
    };
    handle(node, input)
}

fn command(node: &mut Node, command: Command) -> Vec<Effect> {
    let id = CommandId(5);
    handle(node, Input::Command { id, command })
}

fn schema() -> Schema {
    Schema::new(vec![Field::new("value", DataType::Int64)]).expect("one column")
}

/// An application of node 2 whose source and sink are there, and whose operator is on node 1.
pub(super) fn record() -> Record {
    let owner = identity(2).node();
    let mut plan = Builder::new("intrusion", Qos::default()).expect("a name");
    let source = SourceName::Published {
        publisher: owner,
        name: "lab/flows".to_owned(),
    };
    let ports = || vec![("out".to_owned(), schema())];
    let rows = plan.source("flows", source, ports()).expect("a source");
    let rows = rows.port(0).expect("a port");
    let few = plan.operator("few", "filter", model::Arguments::new(), &[rows], ports());
    let few = few.expect("an operator").port(0).expect("a port");
    plan.sink("out", few).expect("a sink");
    let graph = ComponentGraph::new(
        plan.build().expect("a plan"),
        vec![Origin(1)],
        vec![Binding::new(owner)],
        vec![Binding::new(identity(1).node())],
        vec![Binding::new(owner)],
    );
    let graph = graph.expect("a graph");
    let application = ApplicationId {
        owner,
        name: "intrusion".to_owned(),
    };
    let id = CompositionId {
        node: owner,
        number: 9,
    };
    let body = Body {
        composition: composed::unasked(&graph),
        graph,
        reasons: Vec::new(),
        terms: composition::Terms::default(),
    };
    Record::new(application, id, body, &identity(2))
}

/// The graph of [`record`], its operator on another node.
pub(super) fn graph_with_operator_on(number: u8) -> ComponentGraph {
    let body = record().body.expect("a body");
    let graph = &body.graph;
    let operators = vec![Binding::new(identity(number).node())];
    let (origins, sources) = (graph.origins().to_vec(), graph.sources().to_vec());
    let sinks = graph.sinks().to_vec();
    let graph = ComponentGraph::new(graph.plan().clone(), origins, sources, operators, sinks);
    graph.expect("a graph")
}

/// A record after its operator has gone to another node, as one of its hosts says.
pub(super) fn moved(record: &Record, to: u8, signer: u8) -> Record {
    let name = |host: NodeId| host.to_string();
    let moved = record.rebound(graph_with_operator_on(to), &identity(signer), name);
    moved.expect("a host says so")
}

#[test]
fn a_node_lists_its_host_with_its_first_input() {
    let config = Config {
        identity: identity(1),
        host: summary(1),
        network: "test".to_owned(),
        composition: composition::Config::default(),
        first_number: 100,
        is_new: false,
        migrates: true,
        repairs: false,
    };
    let mut node = Node::new(config, Rng::from_seed(1));
    assert_eq!(node.poll_timeout(), Some(Instant::ZERO));
    let here = identity(1).node();
    let shard = here.0[0] % model::entry::INDEX_SHARDS;
    let keys = [Key::index(Index::Hosts, shard), Key::host(here)];
    let expected = (100..).zip(keys).map(|(query, key)| {
        let ask = Query::Register {
            key,
            slot: 0,
            payload: wire::encode(&summary(1)),
        };
        Effect::Query { query, ask }
    });
    let expected: Vec<Effect> = expected.collect();
    assert_eq!(handle(&mut node, Input::Timeout), expected);
    assert_eq!(handle(&mut node, Input::Timeout), Vec::new());
    assert_eq!(node.poll_timeout(), None);
}

#[test]
fn a_load_is_told_when_it_leaves_its_interval() {
    let mut node = node();
    assert_eq!(handle(&mut node, load(0.1)), []);
    let told = handle(&mut node, load(1.0));
    let mut host = summary(1);
    host.load = LoadInterval::default().moved_to(0.5);
    host.version = 2;
    assert_eq!(told, [Effect::Describe(host)]);
    assert_eq!(handle(&mut node, load(1.02)), []);
    assert_eq!(handle(&mut node, load(f64::NAN)), []);
}

#[test]
fn a_full_uplink_is_a_load_as_well() {
    let mut node = node();
    assert_eq!(handle(&mut node, load(0.1)), []);
    let uplink_bytes_per_second = 0.5 * summary(1).capacity.uplink_bytes_per_second;
    let used = Resources {
        uplink_bytes_per_second,
        ..Resources::default()
    };
    let told = handle(&mut node, Input::Load { used });
    let mut host = summary(1);
    host.load = LoadInterval::default().moved_to(0.5);
    host.version = 2;
    assert_eq!(told, [Effect::Describe(host)]);
}

/// So many cores are in use, and nothing else.
fn load(cpu_cores: f64) -> Input {
    let used = Resources {
        cpu_cores,
        ..Resources::default()
    };
    Input::Load { used }
}

#[test]
fn a_name_is_looked_up_before_it_is_registered() {
    let mut node = node();
    let here = identity(1).node();
    let publication = Publication {
        name: "lab/flows".to_owned(),
        stream: StreamName(model::name::Digest([3; 32])),
        origin: Origin(1),
        outputs: vec![("out".to_owned(), schema())],
        publisher: here,
        rate_hz: None,
        row_bytes: None,
        live: None,
    };
    let asked = command(&mut node, Command::Publish(publication.clone()));
    let key = Key::published("lab/flows");
    let lookup = |effect: &Effect| match effect {
        Effect::Query {
            query,
            ask: Query::Lookup { key: of, .. },
        } if *of == key => Some(*query),
        _ => None,
    };
    assert_eq!(asked.len(), 1);
    let query = lookup(&asked[0]).expect("a look-up");
    let outcome = Outcome::Entries(Vec::new());
    let registered = handle(&mut node, Input::Outcome { query, outcome });
    let keys: Vec<Key> = registered
        .iter()
        .filter_map(|effect| match effect {
            Effect::Query {
                ask: Query::Register { key, slot: of, .. },
                ..
            } => {
                assert_eq!(*of, slot(Key::published("lab/flows")));
                Some(*key)
            }
            _ => None,
        })
        .collect();
    let index = Key::index(Index::Streams, key.shard());
    assert_eq!(keys, [index, Key::stream(publication.stream), key]);
    let Some(Effect::Query { query, .. }) = registered.last() else {
        panic!("{registered:?}");
    };
    let done = Input::Outcome {
        query: *query,
        outcome: Outcome::Done,
    };
    let row = StreamRow {
        name: "lab/flows".to_owned(),
        host: "n1".to_owned(),
        node: view::hex(here),
        columns: vec![("value".to_owned(), "int64".to_owned())],
        rows_per_second: None,
        status: "running".to_owned(),
    };
    let answer = Effect::Answer {
        id: CommandId(5),
        answered: Ok(Answer::Stream(Box::new(row))),
    };
    assert_eq!(handle(&mut node, done), [answer]);
}

#[test]
fn a_record_is_kept_registered_and_confirmed() {
    let mut node = node();
    let record = record();
    let owner = identity(2).node();
    let effects = receive(&mut node, 2, &Message::Record(Box::new(record.clone())));
    let key = Key::application(&record.listing.head.application);
    let keys: Vec<Key> = effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Query {
                ask: Query::Register { key, .. },
                ..
            } => Some(*key),
            _ => None,
        })
        .collect();
    let index = Key::index(Index::Applications, key.shard());
    assert_eq!(keys, [key, index]);
    let listing = Box::new(record.listing.clone());
    let confirm = wire::encode(&Message::Confirm { ticket: 0, listing });
    let confirm = Effect::Send {
        to: owner,
        bytes: confirm,
    };
    assert_eq!(effects.last(), Some(&confirm));
    // Once more changes nothing and is confirmed again.
    let again = receive(&mut node, 2, &Message::Record(Box::new(record)));
    assert_eq!(again, [confirm]);
}

#[test]
fn who_is_asked_to_stop_says_so_in_its_own_name() {
    let mut node = node();
    let listing = record().listing;
    let stop = Message::Stop {
        ticket: 7,
        listing: Box::new(listing.clone()),
    };
    let effects = receive(&mut node, 3, &stop);
    let stopped = listing.changed(State::Stopped, &identity(1));
    let confirm = Message::Confirm {
        ticket: 7,
        listing: Box::new(stopped.clone()),
    };
    let confirm = Effect::Send {
        to: identity(3).node(),
        bytes: wire::encode(&confirm),
    };
    assert_eq!(effects.last(), Some(&confirm));
    // A record that was overtaken is answered with what stands.
    let effects = receive(&mut node, 2, &Message::Record(Box::new(record())));
    let confirm = Message::Confirm {
        ticket: 0,
        listing: Box::new(stopped),
    };
    let confirm = Effect::Send {
        to: identity(2).node(),
        bytes: wire::encode(&confirm),
    };
    assert_eq!(effects, [confirm]);
    let counts = node.info(Instant::ZERO).counts;
    assert_eq!(counts["older_records"], 1);
}

#[test]
fn who_runs_nothing_of_an_application_says_so() {
    let mut node = node();
    let head = record().listing.head;
    let ask = Message::Ask {
        ticket: 8,
        application: head.application,
        composition: head.composition,
        body: None,
        wants_events: false,
    };
    let told = Message::Told {
        ticket: 8,
        told: Box::new(Told::default()),
    };
    let told = Effect::Send {
        to: identity(2).node(),
        bytes: wire::encode(&told),
    };
    assert_eq!(receive(&mut node, 2, &ask), [told]);
}

#[test]
fn records_that_somebody_made_up_are_refused() {
    let genuine = record();
    assert_eq!(genuine.check(), Ok(()));
    let stopped = genuine.listing.changed(State::Stopped, &identity(1));
    assert_eq!(stopped.check(), Ok(()));
    let mut other_head = genuine.clone();
    other_head.listing.head.target = Duration::from_secs(9);
    let mut other_body = genuine.clone();
    let body = other_body.body.as_mut().expect("a body");
    body.reasons.push(("few".to_owned(), "because".to_owned()));
    let mut other_state = genuine.clone();
    other_state.listing = stopped.clone();
    let change = other_state.listing.change.as_mut().expect("a change");
    change.state = State::Finished;
    let mut by_stranger = genuine.clone();
    by_stranger.listing = stopped;
    let change = by_stranger.listing.change.as_mut().expect("a change");
    change.signer = identity(3).node();
    let forged = [
        (other_head, RecordError::Head),
        (other_body, RecordError::Body),
        (other_state, RecordError::Change),
        (by_stranger, RecordError::Stranger),
    ];
    let mut node = node();
    for (count, (record, error)) in (1..).zip(forged) {
        assert_eq!(record.check(), Err(error));
        let message = Message::Record(Box::new(record));
        assert_eq!(receive(&mut node, 2, &message), [], "{error}");
        let counts = node.info(Instant::ZERO).counts;
        assert_eq!(counts["forged_records"], count);
    }
    // A genuine one of others is none of this node's business.
    let mut other = node_of(4);
    let message = Message::Record(Box::new(genuine));
    assert_eq!(receive(&mut other, 2, &message), []);
    let counts = other.info(Instant::ZERO).counts;
    assert_eq!(counts["records_of_others"], 1);
}

#[test]
fn background_is_what_is_busy_beside_what_runs_and_not_beside_what_is_only_reserved() {
    let mut node = node();
    let here = identity(1).node();
    let id = CompositionId {
        node: here,
        number: 7,
    };
    let plan = record().body.expect("a body").graph.plan().clone();
    let demand = model::Demand {
        rows_per_second: 100.0,
        row_bytes: 8.0,
        cost_seconds: 0.005,
        selectivity: 1.0,
    };
    let order = Order {
        application: ApplicationId {
            owner: here,
            name: plan.application().to_owned(),
        },
        plan,
        origins: vec![Origin(1)],
        sources: vec![here],
        source_demands: vec![demand],
        demands: vec![demand],
        places: vec![composition::Place::Any],
        sinks: vec![here],
        spread: false,
        is_trial: false,
    };
    // Another host is asked as well and says nothing, so that what is reserved here is not allocated yet.
    let seen = Input::Seen {
        summary: Arc::new(summary(2)),
        round_trip: Some(Duration::from_millis(1)),
    };
    handle(&mut node, seen);
    let mut effects = Vec::new();
    let now = Instant::from_nanos(1);
    let input = composition::Input::Compose { id, order };
    node.compose(now, input, &mut effects);
    for effect in effects {
        if let Effect::Query { query, .. } = effect {
            let outcome = Outcome::Entries(Vec::new());
            handle(&mut node, Input::Outcome { query, outcome });
        }
    }
    assert!(node.composer.reserved().cpu_cores > 0.4);
    assert!(node.composer.allocated().cpu_cores.abs() < 1e-9);
    handle(&mut node, load(1.0));
    assert!((node.view.hosts.busy_cores - 1.0).abs() < 1e-9);
}

fn node_of(number: u8) -> Node {
    let config = Config {
        identity: identity(number),
        host: summary(number),
        network: "test".to_owned(),
        composition: composition::Config::default(),
        first_number: 1,
        is_new: false,
        migrates: true,
        repairs: false,
    };
    let mut node = Node::new(config, Rng::from_seed(1));
    handle(&mut node, Input::Timeout);
    node
}

#[test]
fn what_remotes_can_make_grow_has_an_end() {
    let mut node = node();
    for number in 0..3000_u32 {
        let mut host = summary(2);
        host.node.0[..4].copy_from_slice(&number.to_le_bytes());
        let round_trip = None;
        handle(
            &mut node,
            Input::Seen {
                summary: Arc::new(host),
                round_trip,
            },
        );
    }
    let mut answers = 0;
    for number in 0..2000 {
        let input = Input::Command {
            id: CommandId(number),
            command: Command::Applications,
        };
        let effects = handle(&mut node, input).into_iter();
        answers += effects
            .filter(|effect| matches!(effect, Effect::Answer { .. }))
            .count();
    }
    let info = node.info(Instant::ZERO);
    assert_eq!(info.hosts_known, 1024);
    assert_eq!(info.counts["hosts_over_limit"], 3000 - 1024);
    assert_eq!(info.counts["commands_over_limit"], 2000 - 1024);
    assert_eq!(answers, 2000 - 1024);
}

#[test]
fn an_order_of_another_node_is_invalid() {
    let mut node = node();
    let record = record();
    let plan = record.body.expect("a body").graph.plan().clone();
    let order = Order {
        application: record.listing.head.application,
        plan,
        origins: vec![Origin(1)],
        sources: Vec::new(),
        source_demands: Vec::new(),
        demands: Vec::new(),
        places: Vec::new(),
        sinks: Vec::new(),
        spread: false,
        is_trial: false,
    };
    let effects = command(&mut node, Command::Apply(Box::new(order)));
    let [Effect::Answer { answered, .. }] = effects.as_slice() else {
        panic!("{effects:?}");
    };
    let failure = answered.as_ref().expect_err("it is not of this node");
    assert_eq!(failure.kind, FailureKind::Invalid);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut node = node();
        let from = identity(2).node();
        handle(&mut node, Input::Message { from, bytes: bytes.clone() });
        // The first byte is the version: behind the right one the rest is read.
        let bytes = [&[wire::VERSION], bytes.as_slice()].concat();
        handle(&mut node, Input::Message { from, bytes });
    }

    #[test]
    fn no_entry_panics(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut node = node();
        let bytes = [&[wire::VERSION], bytes.as_slice()].concat();
        for ask in [Command::Applications, Command::Streams, Command::Nodes] {
            let effects = command(&mut node, ask);
            let Some(Effect::Query { query, .. }) = effects.first() else {
                panic!("{effects:?}");
            };
            let entry = model::Entry {
                owner: NodeId([2; 32]),
                key: Key::published("x"),
                slot: 0,
                version: 1,
                ttl: Duration::from_secs(1),
                addresses: Vec::new(),
                load: LoadInterval::default(),
                coordinate: Coordinate::default(),
                payload: Some(bytes.clone()),
                signature: [0; 64],
            };
            let outcome = Outcome::Entries(vec![entry]);
            let effects = handle(&mut node, Input::Outcome { query: *query, outcome });
            prop_assert_eq!(effects.len(), 1);
        }
    }
}
