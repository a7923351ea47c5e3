//! What a storage has of a stream since another process: it is served before all that the state had, and what lacks of it is told.

use std::collections::BTreeMap;

use super::*;
use crate::edge::storage::{Answer, Former, Order};

const SLOW: EdgeId = EdgeId(2);

/// What was written to a storage and not dropped, by number.
type Kept = BTreeMap<u64, (Former, Arc<Batch>)>;

/// Carries out what is ordered; what is written from a number on is still on its way.
fn carry_out(producer: &mut Producer, kept: &mut Kept, written_to: u64) {
    for order in producer.take_orders() {
        match order {
            Order::Write(number, told, batch) if number < written_to => {
                let former = Former {
                    header: batch.header.clone(),
                    rows: u64::try_from(batch.rows.len()).unwrap(),
                    bytes: u64::try_from(batch.rows.bytes()).unwrap(),
                    told,
                };
                kept.insert(number, (former, batch));
                producer.handle_answer(Answer::Written(number), &mut Vec::new());
            }
            Order::Write(..) | Order::Read(_) => {}
            Order::Drop(number) => drop(kept.remove(&number)),
        }
    }
}

/// Thirty batches that a fast application has taken and a slow one has not, but for the first two. Every fifth has no rows, and says that two
/// are missing.
fn spilled(written_to: u64) -> (Vec<Retained>, Kept) {
    let size = u64::try_from(batch(1, 0, 10).rows.bytes()).unwrap();
    let mut producer = Producer::new(Retention {
        bytes_max: 4 * size,
        flows_unread: false,
    });
    producer.set_storage(1 << 20);
    let (mut fast, mut slow) = (Consumer::new(1 << 20), Consumer::new(2 * size));
    for (edge, consumer) in [(EDGE, &mut fast), (SLOW, &mut slow)] {
        producer.open(Instant::ZERO, edge, held(edge.0));
        producer.handle_pull(Instant::ZERO, edge, &consumer.pull(), &mut Vec::new());
    }
    let (mut out, mut kept) = (Vec::new(), Kept::new());
    for n in 0..30 {
        let mut next = batch(1, n * 10, n * 10 + 10);
        if n % 5 == 4 {
            next.rows = Rows::empty(next.rows.columns().schema());
            next.header.missing = 2;
        }
        producer.append(next, &mut out);
        carry_out(&mut producer, &mut kept, written_to);
        fast.take(Origin(1), n * 10 + 10, n * 10 + 10);
        producer.handle_pull(Instant::ZERO, EDGE, &fast.pull(), &mut out);
    }
    slow.take(Origin(1), 20, 20);
    producer.handle_pull(Instant::ZERO, SLOW, &slow.pull(), &mut out);
    carry_out(&mut producer, &mut kept, written_to);
    assert!(kept.len() > 10, "{} were stored", kept.len());
    (producer.retained(&BTreeMap::new()), kept)
}

/// What the slow one gets of who goes on, and how many rows it is told to be missing.
fn read_on(retained: Vec<Retained>, mut kept: Kept) -> (Vec<i64>, u64) {
    let mut producer = Producer::new(IN_PROCESS);
    producer.set_storage(1 << 20);
    producer.restore(Instant::ZERO, retained);
    let schema = batch(1, 0, 0).rows.columns().schema();
    let former: Vec<Former> = kept.values().map(|(former, _)| former.clone()).collect();
    producer.recover(former, &schema);
    // Numbers count anew.
    kept = (1..).zip(std::mem::take(&mut kept).into_values()).collect();
    producer.open(
        Instant::ZERO,
        SLOW,
        Opening {
            begin: Begin::Retained,
            ..held(1)
        },
    );
    let known: Positions = [(Origin(1), 20)].into_iter().collect();
    let mut consumer = Consumer::resumed(&known, 1 << 20);
    let (mut rows, mut missing, mut out) = (Vec::new(), 0, Vec::new());
    producer.handle_pull(Instant::ZERO, SLOW, &consumer.pull(), &mut out);
    loop {
        for (_, batch) in out.drain(..) {
            let Arrival::Next(batch) = consumer.handle_batch(batch) else {
                panic!("all that comes is new");
            };
            rows.extend(values(&batch));
            missing += u64::from(batch.header.missing);
            let through = batch.header.interval.through();
            consumer.take(Origin(1), through, through);
        }
        for order in producer.take_orders() {
            match order {
                Order::Read(number) => {
                    let found = kept.get(&number).map(|(_, batch)| Arc::clone(batch));
                    producer.handle_answer(Answer::Read(number, found), &mut out);
                }
                Order::Drop(number) => drop(kept.remove(&number)),
                Order::Write(..) => panic!("there is room"),
            }
        }
        let told = out.len();
        producer.handle_pull(Instant::ZERO, SLOW, &consumer.pull(), &mut out);
        if told == 0 && out.is_empty() {
            break;
        }
    }
    producer.handle_timeout(Instant::ZERO + LAPSE);
    carry_out(&mut producer, &mut kept, 0);
    assert!(kept.is_empty(), "what was read is dropped");
    assert_eq!(producer.stored_bytes(), 0);
    (rows, missing)
}

fn expected() -> Vec<i64> {
    let batches = (2..30).filter(|n| n % 5 < 4);
    batches.flat_map(|n| n * 10 + 1..=n * 10 + 10).collect()
}

#[test]
fn who_was_behind_gets_all_of_it_from_who_goes_on() {
    let (retained, kept) = spilled(u64::MAX);
    assert_eq!(read_on(retained, kept), (expected(), 12));
    // What was on its way to the storage is in the state.
    let (retained, kept) = spilled(20);
    assert_eq!(read_on(retained, kept), (expected(), 12));
}

#[test]
fn what_the_storage_lacks_is_told_row_by_row_and_all_else_comes() {
    let (_, whole) = spilled(u64::MAX);
    let numbers: Vec<u64> = whole.keys().copied().collect();
    for (place, number) in numbers.iter().enumerate() {
        let (retained, mut kept) = spilled(u64::MAX);
        let (former, _) = kept.remove(number).unwrap();
        let lost = former.header.interval;
        let (rows, missing) = read_on(retained, kept);
        let is_there = |row: &i64| {
            let row = u64::try_from(*row).unwrap();
            row <= lost.after() || row > lost.through()
        };
        let expected: Vec<i64> = expected().into_iter().filter(is_there).collect();
        assert_eq!(rows, expected, "without {number}");
        // Of what would have come last nobody knows how much it was, and what was said to be missing just before it.
        match place + 1 == numbers.len() {
            true => assert!(missing > 10, "without {number}"),
            false => assert_eq!(missing, 12 + 10, "without {number}"),
        }
    }
}

#[test]
fn what_the_state_has_as_well_is_dropped() {
    let (retained, kept) = spilled(u64::MAX);
    let begin = retained[0].released.index;
    let schema = batch(1, 0, 0).rows.columns().schema();
    let mut producer = Producer::new(IN_PROCESS);
    producer.restore(Instant::ZERO, retained);
    let mut former: Vec<Former> = kept.into_values().map(|(former, _)| former).collect();
    let mut known = former[0].clone();
    known.header.interval = Interval::new(begin, begin + 10);
    former.push(known);
    let mut foreign = former[0].clone();
    foreign.header.origin = Origin(2);
    former.push(foreign);
    let last = u64::try_from(former.len()).unwrap();
    producer.recover(former, &schema);
    let dropped: Vec<u64> = producer
        .take_orders()
        .iter()
        .map(|order| match order {
            Order::Drop(number) => *number,
            other => panic!("{other:?}"),
        })
        .collect();
    let mut sorted = dropped;
    sorted.sort_unstable();
    assert_eq!(sorted, [last - 1, last]);
}
