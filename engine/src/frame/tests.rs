use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, RecordBatchOptions, StringArray,
    TimestampMicrosecondArray, UInt64Array,
};
use arrow_schema::SchemaRef;
use model::{
    DataType, EventTime, Field, Instant, Interval, NodeId, Origin, Positions, Schema, Slack,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::*;
use crate::budget::{Budget, SLIDES_MAX};
use crate::columns::to_arrow;
use crate::edge::{From, Pull};
use crate::frontier::Slide;

mod state;

/// When the sender opened the edge and when it sends, by its clock; and when the receiver receives, by its own.
const OPENED: Instant = Instant::from_nanos(1_000_000);
const SENT: Instant = Instant::from_nanos(5_000_000);
const RECEIVED: Instant = Instant::from_nanos(90_000_000);

fn encoded(batch: &Batch) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_batch(SENT, OPENED, batch, &mut bytes).expect("a batch that fits a frame");
    bytes
}

fn decoded(bytes: &[u8], schema: &SchemaRef) -> Result<Batch, FrameError> {
    Ok(decode_batch(bytes, schema, RECEIVED)?.batch)
}

/// The batch as the receiver sees it: its age is the same by another clock.
fn by_receiver(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    let arrived = |time: Instant| match time > SENT {
        true => RECEIVED + time.since(SENT),
        false => RECEIVED.before(SENT.since(time)),
    };
    batch.header.arrival = RECEIVED.before(batch.header.age(SENT));
    if let Token::At(time) = batch.header.token {
        batch.header.token = Token::At(arrived(time));
    }
    if batch.rows.is_empty() {
        // Of no rows there is nothing to tell but that.
        batch.rows = Rows::empty(batch.rows.columns().schema());
    }
    batch
}

/// What a column of any type can be made of, for one row.
type Cell = (bool, u64, String);

fn column(data_type: DataType, cells: &[Cell]) -> ArrayRef {
    let valid = cells
        .iter()
        .map(|(is_valid, number, _)| is_valid.then_some(*number));
    let signed = || valid.clone().map(|it| it.map(u64::cast_signed));
    match data_type {
        DataType::Boolean => Arc::new(BooleanArray::from_iter(
            valid.map(|it| it.map(|number| number % 2 == 0)),
        )),
        DataType::Int64 => Arc::new(Int64Array::from_iter(signed())),
        DataType::UInt64 => Arc::new(UInt64Array::from_iter(valid)),
        DataType::Float64 => Arc::new(Float64Array::from_iter(
            valid.map(|it| it.map(convert::count_to_f64)),
        )),
        DataType::Utf8 => Arc::new(StringArray::from_iter(
            cells
                .iter()
                .map(|(is_valid, _, text)| is_valid.then_some(text)),
        )),
        DataType::Timestamp => Arc::new(TimestampMicrosecondArray::from_iter(signed())),
    }
}

fn columns(types: &[DataType], rows: &[Vec<Cell>], len: usize) -> RecordBatch {
    let fields = types.iter().enumerate();
    let fields = fields.map(|(index, data_type)| Field::new(format!("c{index}"), *data_type));
    let schema = Schema::new(fields.collect()).expect("distinct names");
    let arrays = types.iter().enumerate().map(|(index, data_type)| {
        let cells: Vec<Cell> = rows.iter().map(|row| row[index].clone()).collect();
        column(*data_type, &cells)
    });
    let options = RecordBatchOptions::new().with_row_count(Some(len));
    RecordBatch::try_new_with_options(to_arrow(&schema), arrays.collect(), &options)
        .expect("columns of the schema")
}

fn note() -> impl Strategy<Value = Option<Note>> {
    prop_oneof![
        Just(None),
        any::<[u8; 32]>().prop_map(|host| Some(Note::Moved(NodeId(host)))),
        Just(Some(Note::Gone)),
        Just(Some(Note::Gap)),
        any::<i64>().prop_map(|due| Some(Note::Begin(EventTime(due)))),
        Just(Some(Note::Finished)),
    ]
}

/// Rows of any types, dense or not, with due times or without, whole or part of more; and how many indices they
/// need.
fn rows() -> impl Strategy<Value = (Rows, u64)> {
    let types = prop::collection::vec(prop::sample::select(DataType::ALL.to_vec()), 0..5);
    let shape = (types, 0usize..40, any::<bool>(), any::<bool>());
    let filled = shape.prop_flat_map(|(types, len, is_sparse, has_dues)| {
        let cell = (prop::bool::weighted(0.8), any::<u64>(), ".{0,9}");
        let cells = prop::collection::vec(cell, types.len());
        let numbers = || prop::collection::vec(any::<i64>(), len);
        let sparse = prop::collection::vec(0u32..3, if is_sparse { len } else { 0 });
        (
            Just((types, is_sparse, has_dues)),
            prop::collection::vec(cells, len),
            (numbers(), numbers(), sparse),
            any::<(Index, Index)>(),
        )
    });
    filled.prop_map(
        |((types, is_sparse, has_dues), cells, (times, dues, gaps), cut)| {
            let types: Vec<DataType> = types.into_iter().map(|(data_type, _)| data_type).collect();
            let len = cells.len();
            let columns = columns(&types, &cells, len);
            let dues = has_dues.then_some(dues);
            let rows = if is_sparse {
                let mut back = 0;
                let mut backs: Vec<u32> = gaps
                    .iter()
                    .map(|gap| {
                        back += gap;
                        back
                    })
                    .collect();
                backs.reverse();
                Rows::sparse(columns, times, dues, backs)
            } else {
                Rows::dense(columns, times, dues)
            };
            let (a, b) = (cut.0.index(len + 1), cut.1.index(len + 1));
            (
                rows.slice(a.min(b), a.max(b) - a.min(b)),
                convert::size(len) * 3 + 1,
            )
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    let header = (
        any::<u128>(),
        any::<u64>(),
        any::<i64>(),
        any::<u32>(),
        (token(), note()),
    );
    (rows(), header, 0u64..5_000_000).prop_map(|((rows, indices), header, arrival)| {
        let (origin, after, progress, missing, (token, note)) = header;
        let after = after.min(u64::MAX - indices);
        let header = Header {
            origin: Origin(origin),
            interval: Interval::new(after, after + indices),
            arrival: Instant::from_nanos(arrival),
            progress: EventTime(progress),
            token,
            missing,
            note,
        };
        Batch { header, rows }
    })
}

fn positions() -> impl Strategy<Value = Positions> {
    prop::collection::btree_map(any::<u128>(), any::<u64>(), 0..6).prop_map(|map| {
        map.into_iter()
            .map(|(origin, index)| (Origin(origin), index))
            .collect()
    })
}

fn budget() -> impl Strategy<Value = Budget> {
    let slide = (1..i64::MAX, 0..i64::MAX).prop_map(|(every_micros, lateness_micros)| Slide {
        every_micros,
        lateness_micros,
    });
    let slides = prop::collection::btree_map(slide, any::<i64>(), 0..=SLIDES_MAX);
    (any::<i64>(), slides).prop_map(|(at_once, slides)| {
        let mut budget = Budget::at_once(Slack::from_nanos(at_once));
        for (slide, nanos) in slides {
            budget.join_slide(slide, Slack::from_nanos(nanos));
        }
        budget
    })
}

/// A token of any time within the reach of both clocks.
fn token() -> impl Strategy<Value = Token> {
    prop_oneof![
        Just(Token::Unmetered),
        (0u64..6_000_000).prop_map(|nanos| Token::At(Instant::from_nanos(nanos))),
    ]
}

fn pull() -> impl Strategy<Value = Pull> {
    let from = prop_oneof![
        Just(None),
        Just(Some(From::Latest)),
        positions().prop_map(|positions| Some(From::Positions(positions))),
        positions().prop_map(|positions| Some(From::LatestBut(positions))),
    ];
    let keep = prop::option::of(positions());
    let budget = prop::option::of(budget());
    (from, positions(), keep, any::<u64>(), budget).prop_map(
        |(from, taken, keep, credit, budget)| Pull {
            from,
            taken,
            keep,
            credit,
            budget,
        },
    )
}

/// What becomes of bytes on a bad way: some are changed, and the end is cut off or grows.
fn mutated(bytes: &[u8], changes: &[(Index, u8)], end: Index, tail: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for (place, value) in changes {
        let place = place.index(bytes.len());
        bytes[place] = *value;
    }
    bytes.truncate(end.index(bytes.len() * 4).max(1));
    bytes.extend_from_slice(tail);
    bytes
}

fn changes() -> impl Strategy<Value = (Vec<(Index, u8)>, Index, Vec<u8>)> {
    let few = prop::collection::vec(any::<(Index, u8)>(), 0..4);
    (
        few,
        any::<Index>(),
        prop::collection::vec(any::<u8>(), 0..3),
    )
}

fn all_types() -> SchemaRef {
    columns(&DataType::ALL.map(|(data_type, _)| data_type), &[], 0).schema()
}

proptest! {
    #[test]
    fn a_batch_comes_as_it_was(batch in batch()) {
        let schema = batch.rows.columns().schema();
        let arrived = decoded(&encoded(&batch), &schema);
        prop_assert_eq!(arrived, Ok(by_receiver(&batch)));
    }

    #[test]
    fn a_pull_comes_as_it_was(pull in pull()) {
        let mut bytes = Vec::new();
        encode_pull(&pull, &mut bytes).expect("few origins");
        prop_assert_eq!(decode_pull(&bytes), Ok(pull));
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in prop_oneof![Just(BATCH), Just(PULL)]) {
        let bytes = [&[kind], bytes.as_slice()].concat();
        drop(decoded(&bytes, &all_types()));
        drop(decode_pull(&bytes));
    }

    /// What is accepted of damaged bytes is a batch that could have been sent, and no larger than its bytes allow.
    #[test]
    fn a_damaged_batch_is_refused_or_another_batch(batch in batch(), (changes, end, tail) in changes()) {
        let schema = batch.rows.columns().schema();
        let bytes = mutated(&encoded(&batch), &changes, end, &tail);
        if let Ok(accepted) = decoded(&bytes, &schema) {
            let again = decoded(&encoded(&by_sender(&accepted)), &schema);
            prop_assert_eq!(again.map(|it| it.rows), Ok(accepted.rows.clone()));
            prop_assert!(accepted.rows.bytes() <= 2 * bytes.len() + 8 * schema.fields().len());
        }
    }

    #[test]
    fn a_damaged_pull_is_refused_or_another_pull(pull in pull(), (changes, end, tail) in changes()) {
        let mut bytes = Vec::new();
        encode_pull(&pull, &mut bytes).expect("few origins");
        let bytes = mutated(&bytes, &changes, end, &tail);
        if let Ok(accepted) = decode_pull(&bytes) {
            let mut again = Vec::new();
            encode_pull(&accepted, &mut again).expect("no more origins than came");
            prop_assert_eq!(again, bytes, "there is one way to write a pull");
        }
    }

    /// Whatever its shape, the pieces of a batch cover it, hold its rows at their indices, and end as it does.
    #[test]
    fn the_pieces_of_a_batch_are_the_batch(batch in batch(), rows_max in 1usize..10) {
        let batch = Arc::new(batch);
        let fits = |batch: &Batch, _| batch.rows.len() <= rows_max;
        let Ok(pieces) = pieces::pieces_that(fits, &batch) else {
            let indices: Vec<u64> = batch.indices().collect();
            let is_one = |rows: &[u64]| rows.first() == rows.last();
            prop_assert!(indices.windows(rows_max + 1).any(is_one), "rows of one index are too many");
            return Ok(());
        };
        prop_assert!(pieces.iter().all(|piece| fits(piece, 0)));
        let (mut through, mut missing, mut rows) = (batch.header.interval.after(), 0, 0);
        for piece in &pieces {
            prop_assert_eq!(piece.header.interval.after(), through);
            through = piece.header.interval.through();
            missing += piece.header.missing;
            let part = batch.rows.slice(rows, piece.rows.len());
            prop_assert_eq!(piece.rows.columns(), part.columns());
            prop_assert_eq!((piece.rows.times(), piece.rows.dues()), (part.times(), part.dues()));
            rows += piece.rows.len();
        }
        let last = pieces.last().expect("a batch is at least one piece");
        prop_assert_eq!((through, missing), (batch.header.interval.through(), batch.header.missing));
        prop_assert_eq!((last.header.progress, last.header.note), (batch.header.progress, batch.header.note));
        let indices: Vec<u64> = pieces.iter().flat_map(|piece| piece.indices()).collect();
        prop_assert_eq!(indices, batch.indices().collect::<Vec<_>>());
    }
}

/// A batch that was received, as one of the sender's.
fn by_sender(batch: &Batch) -> Batch {
    let mut batch = batch.clone();
    batch.header.arrival = SENT;
    batch
}

fn numbered(backs: Vec<u32>, len: u64) -> Batch {
    let cells: Vec<Vec<Cell>> = backs
        .iter()
        .map(|_| vec![(true, 7, String::new())])
        .collect();
    let times = vec![0; backs.len()];
    let columns = columns(&[DataType::Int64], &cells, backs.len());
    Batch {
        header: Header {
            origin: Origin(1),
            interval: Interval::new(100, 100 + len),
            arrival: SENT,
            progress: EventTime(9),
            token: Token::Unmetered,
            missing: 3,
            note: None,
        },
        rows: Rows::sparse(columns, times, None, backs),
    }
}

#[test]
fn batches_of_too_many_rows_go_in_pieces_and_come_together() {
    let count = u32::try_from(ROWS_MAX * 2 + 10).unwrap();
    let batch = Arc::new(numbered((0..count).rev().collect(), count.into()));
    let mut out = Vec::new();
    assert!(matches!(
        encode_batch(SENT, OPENED, &batch, &mut out),
        Err(EncodeError::TooLarge { .. })
    ));
    assert!(out.is_empty(), "nothing was written");
    let pieces = pieces(&batch).unwrap();
    assert_eq!(pieces.len(), 4);
    assert_eq!(Batch::join(&pieces).unwrap(), *batch);
}

#[test]
fn rows_of_one_index_stay_together() {
    let one = Arc::new(numbered(vec![0; ROWS_MAX + 1], 1));
    assert!(matches!(pieces(&one), Err(EncodeError::TooLarge { .. })));
    // Most rows at the last index: what lies before goes first.
    let backs = [vec![1; 10], vec![0; ROWS_MAX]].concat();
    let pieces = pieces(&Arc::new(numbered(backs, 2))).unwrap();
    let rows: Vec<usize> = pieces.iter().map(|piece| piece.rows.len()).collect();
    assert_eq!(rows, [10, ROWS_MAX]);
}

/// The bytes of a small batch. A change here is another version of the wire: give the frames other kinds.
#[test]
fn the_bytes_of_a_batch_are_fixed() {
    let types = DataType::ALL.map(|(data_type, _)| data_type);
    let row = |number: u64, text: &str, is_valid| vec![(is_valid, number, text.to_owned()); 6];
    let cells = [row(2, "né", true), row(3, "", false), row(5, "x", true)];
    let batch = Batch {
        header: Header {
            origin: Origin(0x0102_0304),
            interval: Interval::new(4, 9),
            arrival: Instant::from_nanos(2_000_000),
            progress: EventTime(-1),
            token: Token::At(Instant::from_nanos(4_999_999)),
            missing: 6,
            note: Some(Note::Moved(NodeId([0xaa; 32]))),
        },
        rows: Rows::sparse(
            columns(&types, &cells, 3),
            vec![1, 2, 3],
            Some(vec![1, 2, 4]),
            vec![2, 2, 0],
        ),
    };
    let expected = [
        "31",
        "04030201000000000000000000000000",
        "0400000000000000 0900000000000000",
        "c0c62d0000000000",
        "a00f000000000000",
        "ffffffffffffffff",
        "01 0100000000000000",
        "06000000",
        "01 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        "03000000",
        "03",
        "0100000000000000 0200000000000000 0300000000000000",
        "0100000000000000 0200000000000000 0400000000000000",
        "02000000 02000000 00000000",
        "01 05 01",
        "01 05 0200000000000000 0000000000000000 0500000000000000",
        "01 05 0200000000000000 0000000000000000 0500000000000000",
        "01 05 0000000000000040 0000000000000000 0000000000001440",
        "01 05 03000000 03000000 04000000 6ec3a978",
        "01 05 0200000000000000 0000000000000000 0500000000000000",
    ]
    .concat()
    .replace(' ', "");
    let bytes = encoded(&batch);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
    let schema = batch.rows.columns().schema();
    assert_eq!(decoded(&bytes, &schema), Ok(by_receiver(&batch)));
}

#[test]
fn the_bytes_of_a_pull_are_fixed() {
    let at = |origin, index| Positions::from_iter([(Origin(origin), index)]);
    let pull = Pull {
        from: Some(From::Positions(at(1, 2))),
        taken: at(3, 4),
        keep: Some(Positions::new()),
        credit: 5,
        budget: Some({
            let mut budget = Budget::at_once(Slack::from_nanos(-6));
            let slide = Slide {
                every_micros: 7,
                lateness_micros: 8,
            };
            budget.join_slide(slide, Slack::from_nanos(9));
            budget
        }),
    };
    let expected = [
        "32 0e 0500000000000000 faffffffffffffff",
        "01 0700000000000000 0800000000000000 0900000000000000",
        "01000000 01000000000000000000000000000000 0200000000000000",
        "01000000 03000000000000000000000000000000 0400000000000000",
        "00000000",
    ]
    .concat()
    .replace(' ', "");
    let mut bytes = Vec::new();
    encode_pull(&pull, &mut bytes).unwrap();
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, expected);
}

#[test]
fn each_refusal_of_a_batch_has_its_reason() {
    let good = encoded(&numbered(vec![2, 1, 0], 3));
    let schema = numbered(vec![], 0).rows.columns().schema();
    let rows_at = HEADER_BYTES - 5;
    let backs_at = HEADER_BYTES + 3 * 8;
    let check = |change: &dyn Fn(&mut Vec<u8>), reason: &str| {
        let mut bytes = good.clone();
        change(&mut bytes);
        let refused = decoded(&bytes, &schema).expect_err(reason);
        assert_eq!(refused.reason(), reason, "{refused}");
    };
    check(&Vec::clear, "size");
    check(&|bytes| bytes.resize(BYTES_MAX + 1, 0), "size");
    check(&|bytes| bytes[0] = PULL, "kind");
    check(&|bytes| bytes[0] = 0x11, "kind");
    check(&|bytes| bytes.truncate(20), "short");
    check(&|bytes| bytes.truncate(good.len() - 1), "short");
    check(&|bytes| bytes.push(0), "trailing");
    check(&|bytes| bytes[24] = 1, "interval");
    check(&|bytes| bytes[rows_at - 1] = 6, "flags");
    check(&|bytes| bytes[rows_at + 4] = 4, "flags");
    check(&|bytes| bytes[rows_at] = 4, "places");
    check(&|bytes| bytes[rows_at + 1] = 1, "short");
    check(&|bytes| bytes[rows_at + 3] = 1, "rows");
    check(&|bytes| bytes[backs_at] = 3, "places");
    check(&|bytes| bytes[backs_at + 4] = 9, "places");
    check(&|bytes| bytes[backs_at + 12] = 2, "flags");
}

#[test]
fn text_that_is_none_is_refused() {
    let cells = [
        vec![(true, 0, "é".to_owned())],
        vec![(true, 0, "a".to_owned())],
    ];
    let mut batch = numbered(vec![1, 0], 2);
    batch.rows = Rows::dense(columns(&[DataType::Utf8], &cells, 2), vec![0, 0], None);
    let good = encoded(&batch);
    let schema = batch.rows.columns().schema();
    let ends_at = HEADER_BYTES + 2 * 8 + 1;
    assert!(decoded(&good, &schema).is_ok());
    let refused = |place: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[place] = value;
        decoded(&bytes, &schema).map(drop)
    };
    assert_eq!(
        refused(ends_at, 1),
        Err(FrameError::Text(0)),
        "within a letter"
    );
    assert_eq!(refused(ends_at, 4), Err(FrameError::Text(0)), "backward");
    assert_eq!(
        refused(ends_at + 7, 0x80),
        Err(FrameError::Text(0)),
        "below zero"
    );
    assert_eq!(
        refused(ends_at + 8, 0xff),
        Err(FrameError::Text(0)),
        "no letter"
    );
}

#[test]
fn a_column_that_is_not_in_the_closed_list_is_not_sent() {
    let mut batch = numbered(vec![0], 1);
    let narrow: ArrayRef = Arc::new(arrow_array::Int32Array::from(vec![1]));
    let columns = RecordBatch::try_from_iter([("a", narrow)]).unwrap();
    batch.rows = Rows::dense(columns, vec![0], None);
    assert_eq!(
        encode_batch(SENT, OPENED, &batch, &mut Vec::new()),
        Err(EncodeError::Column("Int32".into()))
    );
}

#[test]
fn too_many_origins_are_neither_sent_nor_taken() {
    let many = (0..=u128::try_from(ORIGINS_MAX).unwrap()).map(|origin| (Origin(origin), 1));
    let pull = Pull {
        from: None,
        taken: many.collect(),
        keep: None,
        credit: 0,
        budget: None,
    };
    let refused = encode_pull(&pull, &mut Vec::new());
    assert_eq!(refused, Err(EncodeError::Origins(ORIGINS_MAX + 1)));
    let mut bytes = vec![PULL, 0];
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[0xff; 4]);
    assert_eq!(decode_pull(&bytes), Err(FrameError::Origins(u32::MAX)));
}
