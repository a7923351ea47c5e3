//! Pieces of state on the wire.

use std::sync::Arc;

use arrow_array::ListArray;
use arrow_array::types::Int64Type;

use super::*;
use crate::edge::{Mark, Retained};
use crate::mailbox::Channel;
use crate::operator::{Part, Tick};
use crate::state::{Item, Piece, Standing, StatePull};
use crate::step::Counted;

const NOW: Instant = Instant::from_nanos(1 << 40);

fn channel() -> impl Strategy<Value = Channel> {
    (any::<u16>(), any::<u128>()).prop_map(|(port, origin)| Channel {
        port,
        origin: Origin(origin),
    })
}

fn counted() -> impl Strategy<Value = Counted> {
    let inputs = prop::collection::btree_map(channel(), any::<(i64, bool)>(), 0..4);
    let times = any::<[i64; 3]>();
    let numbers = (any::<u64>(), any::<i64>(), any::<u64>(), any::<u32>());
    (inputs, times, numbers).prop_map(
        |(inputs, times, (through, tick, chunks, missing))| Counted {
            joined_blindly: inputs
                .iter()
                .filter(|(_, (_, is_blind))| *is_blind)
                .map(|(channel, _)| *channel)
                .collect(),
            inputs: inputs
                .into_iter()
                .map(|(channel, (progress, _))| (channel, EventTime(progress)))
                .collect(),
            reached: EventTime(times[0]),
            progress: EventTime(times[1]),
            complete_from: EventTime(times[2]),
            through,
            chunks: (Tick(tick), chunks),
            missing,
        },
    )
}

fn standing() -> impl Strategy<Value = Standing> {
    let origins =
        prop::collection::btree_map(any::<u128>(), any::<((u64, i64, i64), i64, u64)>(), 0..4);
    let output = origins.prop_map(|origins| -> Vec<Retained> {
        let retained = |(origin, ((index, reached, due), progress, after))| Retained {
            origin: Origin(origin),
            released: Mark {
                index,
                progress: EventTime(reached),
                due: EventTime(due),
            },
            progress: EventTime(progress),
            after,
            batches: Vec::new(),
        };
        origins.into_iter().map(retained).collect()
    });
    (
        prop::collection::vec(positions(), 0..3),
        prop::option::of(counted()),
        prop::collection::vec(output, 0..3),
        any::<(u64, u64)>(),
    )
        .prop_map(|(inputs, counted, outputs, (late, bad))| Standing {
            inputs,
            counted,
            outputs,
            late,
            bad,
        })
}

fn item() -> impl Strategy<Value = Item> {
    let chunk = (any::<(i64, u128, i64, bool)>(), rows());
    let chunk = chunk.prop_map(|((tick, origin, number, goes_on), (rows, _))| Item::Chunk {
        tick: Tick(tick),
        part: Part {
            origin: Origin(origin),
            number,
        },
        goes_on,
        columns: named_by_place(rows.columns()),
    });
    prop_oneof![standing().prop_map(Item::Standing), chunk]
}

/// What is decoded has columns without the names that nobody sends.
fn named_by_place(columns: &RecordBatch) -> RecordBatch {
    let arrays = columns.columns().to_vec();
    let fields: Vec<arrow_schema::Field> = (0..)
        .zip(&arrays)
        .map(|(place, array): (usize, _)| {
            arrow_schema::Field::new(place.to_string(), array.data_type().clone(), true)
        })
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(columns.num_rows()));
    let schema = Arc::new(arrow_schema::Schema::new(fields));
    RecordBatch::try_new_with_options(schema, arrays, &options).expect("the same columns")
}

fn encoded(piece: &Piece) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode_piece(NOW, Instant::ZERO, piece, &mut bytes).expect("a small piece");
    bytes
}

proptest! {
    #[test]
    fn pieces_cross_the_wire(item in item(), number in any::<(u64, u64)>(), place in 0u32..9) {
        let piece = Piece { number: number.0, base: number.1, place, item };
        let bytes = encoded(&piece);
        prop_assert_eq!(&decode_piece(&bytes, &[], NOW), &Ok(piece));
        for len in 0..bytes.len() {
            prop_assert!(decode_piece(&bytes[..len], &[], NOW).is_err(), "{} of {} bytes", len, bytes.len());
        }
        let longer = [bytes.as_slice(), &[0]].concat();
        prop_assert!(decode_piece(&longer, &[], NOW).is_err());
    }

    #[test]
    fn retained_batches_cross_the_wire(batch in batch()) {
        let schema = batch.rows.columns().schema();
        let batch = Arc::new(Batch {
            header: Header { arrival: NOW, ..batch.header.clone() },
            rows: batch.rows.clone(),
        });
        let item = Item::Retained { port: 1, batch: Arc::clone(&batch) };
        let piece = Piece { number: 1, base: 0, place: 1, item };
        let bytes = encoded(&piece);
        let schemas = [Arc::clone(&schema), schema];
        let decoded = decode_piece(&bytes, &schemas, NOW).expect("our own bytes");
        let Item::Retained { port: 1, batch: received } = decoded.item else {
            panic!("another item");
        };
        prop_assert_eq!(received.rows.columns(), batch.rows.columns());
        prop_assert_eq!(received.rows.times(), batch.rows.times());
        prop_assert_eq!(received.header.interval, batch.header.interval);
        let unknown = FrameError::Count("output ports", 1);
        prop_assert_eq!(decode_piece(&bytes, &schemas[..1], NOW), Err(unknown));
    }

    #[test]
    fn state_pulls_cross_the_wire(holds in any::<u64>(), request in any::<u64>(), is_goodbye in any::<bool>()) {
        let pull = StatePull { holds, request, is_goodbye };
        let mut bytes = Vec::new();
        encode_state_pull(pull, &mut bytes);
        prop_assert_eq!(decode_state_pull(&bytes), Ok(pull));
    }
}

#[test]
fn lists_of_lists_cross_the_wire_and_deeper_ones_do_not() {
    let inner = ListArray::from_iter_primitive::<Int64Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(4)]),
    ]);
    let list = |values: ArrayRef, ends: Vec<i32>| -> ArrayRef {
        let field = arrow_schema::Field::new_list_field(values.data_type().clone(), true);
        let offsets = arrow_buffer::OffsetBuffer::new(ends.into());
        Arc::new(ListArray::new(Arc::new(field), offsets, values, None))
    };
    let mut column = list(Arc::new(inner), vec![0, 1, 4]);
    for is_sent in [true, true, false] {
        let columns = RecordBatch::try_from_iter([("0", column.slice(1, 1))]).expect("a column");
        let item = Item::Chunk {
            tick: Tick(1),
            part: Part {
                origin: Origin(1),
                number: 1,
            },
            goes_on: false,
            columns: named_by_place(&columns),
        };
        let piece = Piece {
            number: 1,
            base: 0,
            place: 0,
            item,
        };
        let decoded = decode_piece(&encoded(&piece), &[], NOW);
        assert_eq!(decoded.is_ok(), is_sent, "{:?}", column.data_type());
        if let Ok(decoded) = decoded {
            assert_eq!(decoded, piece);
        }
        let len = i32::try_from(column.len()).expect("few");
        column = list(column, vec![0, 1, len]);
    }
}

#[test]
fn what_no_state_can_have_is_refused() {
    let standing = Standing {
        inputs: Vec::new(),
        counted: None,
        outputs: Vec::new(),
        late: 0,
        bad: 0,
    };
    let piece = Piece {
        number: 1,
        base: 0,
        place: 0,
        item: Item::Standing(standing),
    };
    let bytes = encoded(&piece);
    let with = |place: usize, value: u8| {
        let mut damaged = bytes.clone();
        damaged[place] = value;
        decode_piece(&damaged, &[], NOW)
    };
    assert_eq!(with(19, 1), Err(FrameError::Count("pieces", 1 << 16)));
    assert_eq!(with(21, 9), Err(FrameError::Flags("the item", 9)));
    assert_eq!(with(38, 200), Err(FrameError::Count("ports", 200)));
    assert_eq!(with(40, 2), Err(FrameError::Flags("what was counted", 2)));
}
