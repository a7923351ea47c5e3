//! Every decoder of what others send, with random bytes and with damaged ones that were good.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use engine::budget::Budget;
use engine::edge::{From, Pull};
use engine::mailbox::Channel;
use engine::operator::{Cursor, Emitter, Tick};
use engine::state::{Arrived, Item, Piece, Shadow, Standing};
use engine::step::Counted;
use engine::{Batch, Header, Note, Rows, Token, frame};
use model::plan::Builder;
use model::{
    Arguments, Binding, ComponentGraph, Coordinate, Entry, EventTime, HostSummary, Instant,
    Interval, Key, LoadInterval, NodeId, Origin, Positions, Qos, QueryPlan, Resources, Slack,
    SourceName, Value, wire,
};
use proptest::prelude::*;
use proptest::sample::Index;
use testbed::fuzz::{self, TARGETS};

/// A batch of two rows with a value and a null of every type, one row of them due later and not next to the other.
fn batch() -> Vec<u8> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![Some(true), None])),
        Arc::new(Int64Array::from(vec![None, Some(-1)])),
        Arc::new(UInt64Array::from(vec![Some(1), Some(2)])),
        Arc::new(Float64Array::from(vec![Some(0.5), None])),
        Arc::new(StringArray::from(vec![Some("né"), Some("")])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(7), None])),
    ];
    let columns = RecordBatch::try_new(engine::columns::to_arrow(&fuzz::schema()), columns)
        .expect("columns of the schema");
    let header = Header {
        origin: Origin(1),
        interval: Interval::new(3, 9),
        arrival: Instant::ZERO,
        progress: EventTime(5),
        token: Token::Unmetered,
        missing: 1,
        note: Some(Note::Moved(NodeId([7; 32]))),
    };
    let rows = Rows::sparse(columns, vec![1, 2], Some(vec![1, 3]), vec![4, 0]);
    let mut bytes = Vec::new();
    frame::encode_batch(
        Instant::ZERO,
        Instant::ZERO,
        &Batch { header, rows },
        &mut bytes,
    )
    .expect("a small batch");
    bytes
}

fn pull() -> Vec<u8> {
    let at = |origin, index| Positions::from_iter([(Origin(origin), index), (Origin(9), 9)]);
    let pull = Pull {
        from: Some(From::Positions(at(1, 2))),
        taken: at(3, 4),
        keep: Some(at(5, 6)),
        credit: 1 << 20,
        budget: Some(Budget::at_once(Slack::from_nanos(-6))),
    };
    let mut bytes = Vec::new();
    frame::encode_pull(&pull, &mut bytes).expect("few origins");
    bytes
}

fn plan() -> QueryPlan {
    let outputs = || vec![("out".to_owned(), fuzz::schema())];
    let published = SourceName::Published {
        publisher: NodeId([7; 32]),
        name: "lab/flows".into(),
    };
    let mut plan = Builder::new("intrusion", Qos::default()).expect("a name");
    let flows = plan
        .source("flows", published, outputs())
        .expect("a source");
    let flows = flows.port(0).expect("one port");
    let arguments = Arguments::from_iter([("where", Value::from("int64 > 1"))]);
    let syn = plan.operator("syn", "filter", arguments, &[flows], outputs());
    let syn = syn.expect("an operator").port(0).expect("one port");
    let all = plan.commutative_operator("all", "union", Arguments::new(), &[syn, flows], outputs());
    let all = all.expect("an operator").port(0).expect("one port");
    plan.sink("out", all).expect("a sink");
    plan.build().expect("a whole plan")
}

fn graph() -> ComponentGraph {
    let at = |host| Binding::new(NodeId([host; 32]));
    ComponentGraph::new(
        plan(),
        vec![Origin(1)],
        vec![at(1)],
        vec![at(2), at(3)],
        vec![at(1)],
    )
    .expect("one binding for each part")
}

fn entry() -> Entry {
    Entry {
        owner: NodeId([1; 32]),
        key: Key::published("lab/flows"),
        slot: 3,
        version: 4,
        ttl: Duration::from_secs(180),
        addresses: vec!["/ip4/127.0.0.1/tcp/4170".into()],
        load: LoadInterval(2),
        coordinate: Coordinate::default(),
        payload: Some(vec![7; 10]),
        signature: [9; 64],
    }
}

fn host() -> HostSummary {
    HostSummary {
        node: NodeId([1; 32]),
        name: "gw1".into(),
        addresses: vec!["/ip4/127.0.0.1/tcp/4170".into()],
        coordinate: Coordinate::default(),
        load: LoadInterval(1),
        capacity: Resources::default(),
        labels: [("site".to_owned(), "a".to_owned())].into(),
        operators: Some(vec!["filter".into()]),
        version: 3,
    }
}

/// Bytes that one of the decoders accepts.
fn good() -> Vec<Vec<u8>> {
    let message = overlay::Message::keep(7, entry());
    vec![
        batch(),
        pull(),
        wire::encode(&plan()),
        wire::encode(&graph()),
        wire::encode(&entry()),
        wire::encode(&host()),
        wire::encode(&message),
        edge(),
        state(),
    ]
}

/// The pieces of an increment that a window has, and one more, each behind its length.
fn state() -> Vec<u8> {
    let standing = Standing {
        inputs: vec![Positions::from_iter([(Origin(1), 9)])],
        counted: Some(Counted {
            inputs: [(
                Channel {
                    port: 0,
                    origin: Origin(1),
                },
                EventTime(5),
            )]
            .into(),
            reached: EventTime(5),
            through: 70_000,
            chunks: (Tick(1), 2),
            progress: EventTime(4),
            missing: 0,
            complete_from: EventTime::MIN,
            joined_blindly: BTreeSet::new(),
        }),
        outputs: fuzz::window()
            .compiled
            .outputs
            .iter()
            .map(|_| Vec::new())
            .collect(),
        late: 3,
        bad: 1,
    };
    let mut operator = fuzz::window().compiled.operator;
    let received = frame::decode_batch(
        &batch(),
        &engine::columns::to_arrow(&fuzz::schema()),
        Instant::ZERO,
    );
    let batch = received.expect("a good batch").batch;
    operator.process(0, &batch, &mut Emitter::default());
    let chunks = operator
        .export(&mut Cursor::default(), usize::MAX)
        .chunks
        .into_iter()
        .map(|chunk| Item::Chunk {
            tick: chunk.tick,
            part: chunk.part,
            goes_on: false,
            columns: chunk.columns,
        });
    let items = chunks.chain([Item::Standing(standing)]);
    let mut framed = Vec::new();
    for (place, item) in (0..).zip(items) {
        let piece = Piece {
            number: 1,
            base: 0,
            place,
            item,
        };
        let mut bytes = Vec::new();
        frame::encode_piece(Instant::ZERO, Instant::ZERO, &piece, &mut bytes).expect("small");
        let length = u16::try_from(bytes.len()).expect("short");
        framed.extend_from_slice(&length.to_le_bytes());
        framed.extend(bytes);
    }
    framed
}

/// Frames of an edge one behind the other: batches that join, and pulls.
fn edge() -> Vec<u8> {
    let frames = [
        batch(),
        batch_behind(9),
        pull(),
        batch_behind(20),
        batch_behind(10),
    ];
    let framed = |frame: &Vec<u8>| {
        let length = u16::try_from(frame.len()).expect("short");
        [&length.to_le_bytes(), frame.as_slice()].concat()
    };
    frames.iter().flat_map(framed).collect()
}

/// A batch of one dense row behind an index.
fn batch_behind(after: u64) -> Vec<u8> {
    let schema = engine::columns::to_arrow(&fuzz::schema());
    let nulls = RecordBatch::new_empty(schema.clone());
    let nulls = nulls
        .columns()
        .iter()
        .map(|column| arrow_array::new_null_array(column.data_type(), 1));
    let header = Header {
        origin: Origin(1),
        interval: Interval::new(after, after + 1),
        arrival: Instant::ZERO,
        progress: EventTime(6),
        token: Token::Unmetered,
        missing: 0,
        note: None,
    };
    let columns = RecordBatch::try_new(schema, nulls.collect()).expect("columns of the schema");
    let rows = Rows::dense(columns, vec![5], None);
    let mut bytes = Vec::new();
    frame::encode_batch(
        Instant::ZERO,
        Instant::ZERO,
        &Batch { header, rows },
        &mut bytes,
    )
    .expect("a small batch");
    bytes
}

/// Whether some decoder accepts each of the good ones is the least that the rest of this file rests on.
#[test]
fn what_is_damaged_here_was_good() {
    let arrow = engine::columns::to_arrow(&fuzz::schema());
    frame::decode_batch(&batch(), &arrow, Instant::ZERO).expect("a batch");
    frame::decode_pull(&pull()).expect("a pull");
    let bytes = good();
    let mut shadow = Shadow::new(fuzz::window(), 1 << 20);
    let (mut state, mut arrived) = (bytes[8].as_slice(), None);
    while let Some((length, behind)) = state.split_first_chunk() {
        let (piece, behind) = behind.split_at(usize::from(u16::from_le_bytes(*length)));
        state = behind;
        let piece = frame::decode_piece(piece, shadow.schemas(), Instant::ZERO).expect("a piece");
        arrived = Some(
            shadow
                .handle_piece(Instant::ZERO, piece)
                .expect("state of a window"),
        );
    }
    assert_eq!(arrived, Some(Arrived::Whole));
    assert!(shadow.bytes() > 0);
    wire::decode::<QueryPlan>(&bytes[2]).expect("a plan");
    wire::decode::<ComponentGraph>(&bytes[3]).expect("a graph");
    wire::decode::<Entry>(&bytes[4]).expect("an entry");
    wire::decode::<HostSummary>(&bytes[5]).expect("a summary");
    wire::decode::<overlay::Message>(&bytes[6]).expect("a message");
}

proptest! {
    #[test]
    fn random_bytes_break_no_decoder(kind in prop_oneof![Just(wire::VERSION), Just(0x11), Just(0x12), any::<u8>()],
        bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let bytes = [&[kind], bytes.as_slice()].concat();
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn damaged_bytes_break_no_decoder(
        pick in any::<Index>(),
        changes in prop::collection::vec((any::<Index>(), prop_oneof![Just(0), Just(0xff), any::<u8>()]), 0..6),
        cut in prop::option::of(any::<(Index, Index)>()),
        tail in prop::collection::vec(any::<u8>(), 0..3),
    ) {
        let good = good();
        let mut bytes = pick.get(&good).clone();
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Some((a, b)) = cut {
            let (a, b) = (a.index(bytes.len()), b.index(bytes.len()));
            bytes.drain(a.min(b)..a.max(b));
        }
        bytes.extend(tail);
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}
