//! What decodes bytes of others, as functions that any bytes may be given to: each panics only where a decoder
//! breaks its promise.
//!
//! `tests/fuzz.rs` gives them random and damaged bytes, `fuzz/` lets cargo-fuzz find worse:
//!
//! ```text
//! cargo +nightly fuzz run --fuzz-dir testbed/fuzz frame_batch
//! ```

use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, BooleanArray, RecordBatch};
use engine::edge::{Arrival, Begin, Consumer, Opening, Producer, Retention};
use engine::mailbox::{Channel, Mailbox, NO_DEADLINE, Waiting};
use engine::state::Shadow;
use engine::{Batch, Header, OperatorDeployment, Rows, Token};
use engine::{frame, operator};
use model::{
    Arguments, ComponentGraph, DataType, EdgeId, Entry, EventTime, Field, HostSummary, Instant,
    Interval, Origin, Outcome, Query, QueryPlan, Scalar, Schema, Value, wire,
};

/// A decoder under test: what it is called, and what any bytes may be given to.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("frame_batch", frame_batch),
    ("frame_pull", frame_pull),
    ("frame_state", frame_state),
    ("edge", edge),
    ("model", model),
    ("overlay_message", overlay_message),
    ("composition_message", composition_message),
];

/// When frames are received: long after the start, so that ages are not cut off.
const NOW: Instant = Instant::from_nanos(1 << 62);

/// One column of each type.
pub fn schema() -> Schema {
    let fields = DataType::ALL.map(|(data_type, name)| Field::new(name, data_type));
    Schema::new(fields.to_vec()).expect("types have distinct names")
}

/// Batches from other hosts.
///
/// # Panics
/// When what is accepted cannot be sent on as it came, or takes more memory than its bytes allow.
pub fn frame_batch(bytes: &[u8]) {
    let schema = engine::columns::to_arrow(&schema());
    let Ok(received) = frame::decode_batch(bytes, &schema, NOW) else {
        return;
    };
    let rows = &received.batch.rows;
    assert!(
        rows.bytes() <= 2 * bytes.len() + 8 * schema.fields().len(),
        "{} bytes became {}",
        bytes.len(),
        rows.bytes()
    );
    let batch = received.after(Duration::ZERO);
    let (first, last) = (batch.indices().next(), batch.indices().last());
    let interval = batch.header.interval;
    assert!(first.is_none_or(|first| first > interval.after()));
    assert!(last.is_none_or(|last| last <= interval.through()));
    let mut again = Vec::new();
    frame::encode_batch(NOW, NOW, &batch, &mut again).expect("what fitted a frame fits one");
    let twice = frame::decode_batch(&again, &schema, NOW).expect("our own bytes");
    assert_eq!(twice.batch.rows, batch.rows);
}

/// Pulls from other hosts.
///
/// # Panics
/// When what is accepted cannot be sent on as it came.
pub fn frame_pull(bytes: &[u8]) {
    if let Ok(pull) = frame::decode_pull(bytes) {
        let mut again = Vec::new();
        frame::encode_pull(&pull, &mut again).expect("no more origins than came");
        assert_eq!(again, bytes, "there is one way to write a pull");
    }
}

/// Pieces of state one behind the other, each behind its length in two bytes, as the shadow of a window gets them; and its pulls.
///
/// # Panics
/// When what is accepted cannot be sent on as it came, or a shadow takes more memory than it may.
pub fn frame_state(bytes: &[u8]) {
    const BYTES_MAX: u64 = 1 << 20;
    let mut shadow = Some(Shadow::new(window(), BYTES_MAX));
    let schemas = shadow.as_ref().map(|shadow| shadow.schemas().to_vec());
    let schemas = schemas.unwrap_or_default();
    let mut rest = bytes;
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        if let Ok(pull) = frame::decode_state_pull(frame) {
            let mut again = Vec::new();
            frame::encode_state_pull(pull, &mut again);
            assert_eq!(again, frame, "there is one way to write a pull");
        }
        let Ok(piece) = frame::decode_piece(frame, &schemas, NOW) else {
            continue;
        };
        let mut again = Vec::new();
        frame::encode_piece(NOW, NOW, &piece, &mut again).expect("what fitted a frame fits one");
        frame::decode_piece(&again, &schemas, NOW).expect("our own bytes");
        let Some(taking) = &mut shadow else { return };
        match taking.handle_piece(NOW, piece) {
            Ok(_) => assert!(taking.bytes() <= 2 * BYTES_MAX, "{} bytes", taking.bytes()),
            Err(_) => shadow = None,
        }
    }
    // Whatever was held makes a component.
    shadow.and_then(Shadow::activate);
}

/// A window that counts and adds up, with keys.
pub fn window() -> OperatorDeployment {
    let select = [
        ("n", "count(*)"),
        ("total", "sum(int64)"),
        ("middle", "median(int64)"),
    ];
    let select = select.map(|(name, text)| (name.to_owned(), text.into()));
    let span = vec![("tumbling".to_owned(), Scalar::Micros(10_000))];
    let arguments = Arguments::from_iter([
        ("window", Value::Table(span)),
        ("by", Value::List(vec!["boolean".into()])),
        ("select", Value::Table(select.to_vec())),
    ]);
    let kind = operator::find("window").expect("a kind of operator");
    OperatorDeployment {
        compiled: (kind.compile)(&arguments, &[schema()]).expect("a window of these columns"),
        numbering: kind.numbering,
        declared: None,
    }
}

/// Frames one behind the other, each behind its length in two bytes, as both ends of an edge get them: batches
/// are judged, wait, and are joined; pulls are answered.
///
/// # Panics
/// When frames that were accepted break what they are for.
pub fn edge(bytes: &[u8]) {
    let schema = engine::columns::to_arrow(&schema());
    let (mut consumer, mut mailbox) = (Consumer::new(1 << 20), Mailbox::default());
    let mut producer = producer();
    let (mut rest, mut sends, mut sequence) = (bytes, Vec::new(), 0);
    while let Some((length, behind)) = rest.split_first_chunk() {
        let length = usize::from(u16::from_le_bytes(*length)).min(behind.len());
        let (frame, behind) = behind.split_at(length);
        rest = behind;
        if let Ok(pull) = frame::decode_pull(frame) {
            producer.handle_pull(NOW, EDGE, &pull, &mut sends);
        }
        let Ok(received) = frame::decode_batch(frame, &schema, NOW) else {
            continue;
        };
        let batch = received.after(Duration::ZERO);
        if let Arrival::Next(batch) = consumer.handle_batch(Arc::new(batch)) {
            let origin = batch.header.origin;
            sequence += 1;
            let waiting = Waiting {
                batch,
                sequence,
                entered: NOW,
                deadline: NO_DEADLINE,
                window: EventTime::MIN,
                is_apart: false,
            };
            mailbox.push(Channel { port: 0, origin }, waiting);
        }
    }
    while let Some(channel) = mailbox.first(|waiting| waiting.sequence, |_| true) {
        let mut taken = Vec::new();
        mailbox.take(channel, usize::MAX, &mut taken);
        let joined = Batch::join(&taken).expect("one schema");
        consumer.take(channel.origin, joined.header.interval.through(), 0);
    }
    let mut pull = Vec::new();
    frame::encode_pull(&consumer.pull_again(), &mut pull).expect("as many origins as there may be");
}

/// The edge that is pulled.
const EDGE: EdgeId = EdgeId(1);

/// A producer that has retained some batches of one origin.
fn producer() -> Producer {
    let mut producer = Producer::new(Retention {
        bytes_max: 1 << 20,
        flows_unread: true,
    });
    let opening = Opening {
        application: 1,
        lapses: true,
        begin: Begin::Held,
    };
    producer.open(NOW, EDGE, opening);
    let column: ArrayRef = Arc::new(BooleanArray::from(vec![true]));
    let columns = RecordBatch::try_from_iter([("a", column)]).expect("one column");
    for after in 0..4 {
        let header = Header {
            origin: Origin(1),
            interval: Interval::new(after, after + 1),
            arrival: NOW,
            progress: EventTime::MIN,
            token: Token::Unmetered,
            missing: 0,
            note: None,
        };
        let rows = match after {
            2 => Rows::empty(columns.schema()),
            _ => Rows::dense(columns.clone(), vec![0], None),
        };
        producer.append(Batch { header, rows }, &mut Vec::new());
    }
    producer
}

/// The vocabulary that messages of all kinds are made of. Bytes that are a plan are asked for everything of it.
///
/// # Panics
/// When what is accepted cannot be sent on as it came.
pub fn model(bytes: &[u8]) {
    if let Ok(plan) = wire::decode::<QueryPlan>(bytes) {
        let inputs = plan.operators().iter().flat_map(|it| it.inputs.iter());
        for stream in inputs.chain(plan.sinks().iter().map(|sink| &sink.input)) {
            plan.schema(*stream);
            plan.stream_name(*stream);
        }
    }
    if let Ok(graph) = wire::decode::<ComponentGraph>(bytes) {
        for sink in graph.plan().sinks() {
            graph.producer(sink.input);
        }
        graph.hosts();
    }
    round_trip::<QueryPlan>(bytes);
    round_trip::<ComponentGraph>(bytes);
    round_trip::<Schema>(bytes);
    round_trip::<Entry>(bytes);
    round_trip::<HostSummary>(bytes);
    round_trip::<Query>(bytes);
    round_trip::<Outcome>(bytes);
}

/// What overlays say to each other.
///
/// # Panics
/// When what is accepted cannot be sent on as it came.
pub fn overlay_message(bytes: &[u8]) {
    round_trip::<overlay::Message>(bytes);
}

/// What composers say to each other.
///
/// # Panics
/// When what is accepted cannot be sent on as it came.
pub fn composition_message(bytes: &[u8]) {
    round_trip::<composition::Message>(bytes);
}

/// Whether what is decoded comes back from its own bytes. Compared as bytes, for not-a-number equals nothing.
fn round_trip<T: bincode::Encode + bincode::Decode<()>>(bytes: &[u8]) {
    if let Ok(message) = wire::decode::<T>(bytes) {
        let again = wire::encode(&message);
        let Ok(decoded) = wire::decode::<T>(&again) else {
            panic!("what was accepted is refused when it is sent on");
        };
        assert_eq!(wire::encode(&decoded), again);
    }
}
