use std::collections::VecDeque;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use model::{DataType, EdgeId, EventTime, Field, Instant, Interval, Origin, Rng, Schema};
use proptest::prelude::*;

use super::*;
use crate::batch::{Batch, Header, Note, Rows, Token};
use crate::columns;

mod forks;
mod former;

const EDGE: EdgeId = EdgeId(1);
const IN_PROCESS: Retention = Retention {
    bytes_max: 1 << 30,
    flows_unread: false,
};

fn held(application: u64) -> Opening {
    Opening {
        application,
        lapses: false,
        begin: Begin::Held,
    }
}

/// Rows whose value is their own index, `after + 1 ..= through`.
fn batch(origin: u128, after: u64, through: u64) -> Batch {
    let schema = Schema::new(vec![Field::new("index", DataType::Int64)]).unwrap();
    let values: Vec<i64> = (after + 1..=through)
        .map(|index| i64::try_from(index).unwrap())
        .collect();
    let column: ArrayRef = Arc::new(Int64Array::from(values.clone()));
    let header = Header {
        origin: Origin(origin),
        interval: Interval::new(after, through),
        arrival: Instant::ZERO,
        progress: EventTime(i64::try_from(through).unwrap()),
        token: Token::Unmetered,
        missing: 0,
        note: None,
    };
    let columns = RecordBatch::try_new(columns::to_arrow(&schema), vec![column]).unwrap();
    Batch {
        header,
        rows: Rows::dense(columns, values, None),
    }
}

fn values(batch: &Batch) -> Vec<i64> {
    let column = batch.rows.columns().column(0);
    column
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap()
        .values()
        .to_vec()
}

fn opened(credit: u64) -> (Producer, Consumer) {
    let mut producer = Producer::new(IN_PROCESS);
    let mut consumer = Consumer::new(credit);
    producer.open(Instant::ZERO, EDGE, held(0));
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut Vec::new());
    (producer, consumer)
}

#[test]
fn nothing_is_sent_beyond_the_credit_and_all_of_it_after_more() {
    let bytes = u64::try_from(batch(1, 0, 10).rows.bytes()).unwrap();
    let (mut producer, mut consumer) = opened(2 * bytes);
    let mut out = Vec::new();
    for n in 0..5 {
        producer.append(batch(1, n * 10, n * 10 + 10), &mut out);
    }
    assert_eq!(out.len(), 2, "credit for two");
    assert!(!producer.has_room(Origin(1)));
    for (_, batch) in out.drain(..) {
        assert_eq!(
            consumer.handle_batch(Arc::clone(&batch)),
            Arrival::Next(batch)
        );
    }
    consumer.take(Origin(1), 20, 10);
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    assert_eq!(
        out.len(),
        2,
        "what was taken frees credit, what is kept does not matter"
    );
    assert_eq!(producer.retained_bytes(), 4 * bytes, "what is kept stays");
    consumer.take(Origin(1), 20, 20);
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    assert_eq!(producer.retained_bytes(), 3 * bytes);
}

#[test]
fn a_batch_larger_than_the_credit_is_sent_alone() {
    let (mut producer, _) = opened(1);
    let mut out = Vec::new();
    producer.append(batch(1, 0, 10), &mut out);
    producer.append(batch(1, 10, 20), &mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn an_idle_stream_piles_nothing_up_and_tells_late_comers_how_far_it_is() {
    let (mut producer, mut consumer) = opened(1000);
    let mut out = Vec::new();
    producer.append(batch(1, 0, 10), &mut out);
    consumer.take(Origin(1), 10, 10);
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    for time in 11..1000 {
        let mut idle = batch(1, 10, 10);
        idle.header.progress = EventTime(time);
        producer.append(idle, &mut out);
    }
    assert_eq!(producer.retained_bytes(), 0);
    out.clear();
    let other = EdgeId(2);
    producer.open(Instant::ZERO, other, held(0));
    producer.handle_pull(Instant::ZERO, other, &Consumer::new(1000).pull(), &mut out);
    let told: Vec<_> = out
        .iter()
        .map(|(edge, batch)| (*edge, batch.header.note, batch.header.progress))
        .collect();
    let gap = (other, Some(Note::Gap), EventTime::MIN);
    assert_eq!(
        told,
        [gap, (other, None, EventTime(999))],
        "the gap first, then one batch without rows"
    );
}

#[test]
fn who_lapses_holds_back_nobody_and_finds_what_it_keeps() {
    let mut producer = Producer::new(IN_PROCESS);
    let mut consumer = Consumer::new(1);
    let mut out = Vec::new();
    let opening = Opening {
        lapses: true,
        ..held(0)
    };
    producer.open(Instant::ZERO, EDGE, opening);
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    producer.append(batch(1, 0, 10), &mut out);
    producer.append(batch(1, 10, 20), &mut out);
    assert!(!producer.has_room(Origin(1)));
    let lapse = Instant::ZERO + LAPSE;
    assert!(producer.handle_timeout(lapse), "a consumer can lapse");
    assert!(
        producer.has_room(Origin(1)),
        "one that lapsed holds back no pace"
    );
    assert!(!producer.handle_timeout(lapse), "it lapses once");
    producer.append(batch(1, 20, 30), &mut out);
    assert_eq!(out.len(), 1, "one that lapsed gets nothing");
    consumer = Consumer::new(1 << 20);
    producer.handle_pull(lapse, EDGE, &consumer.pull(), &mut out);
    let all: Vec<i64> = out
        .drain(1..)
        .flat_map(|(_, batch)| values(&batch))
        .collect();
    assert_eq!(
        all,
        (1..=30).collect::<Vec<_>>(),
        "all it keeps is there when it returns"
    );
}

#[test]
fn the_slowest_edge_of_an_application_holds_it_back_and_no_other_application() {
    let mut producer = Producer::new(IN_PROCESS);
    let mut out = Vec::new();
    for (edge, application, credit) in [(1, 7, 1 << 20), (2, 7, 1), (3, 8, 1 << 20)] {
        producer.open(Instant::ZERO, EdgeId(edge), held(application));
        producer.handle_pull(
            Instant::ZERO,
            EdgeId(edge),
            &Consumer::new(credit).pull(),
            &mut out,
        );
    }
    producer.append(batch(1, 0, 10), &mut out);
    producer.append(batch(1, 10, 20), &mut out);
    assert!(producer.has_room(Origin(1)), "application 8 goes on");
    producer.close(EdgeId(3));
    assert!(
        !producer.has_room(Origin(1)),
        "application 7 goes at the pace of its slowest edge"
    );
}

#[test]
fn what_nobody_keeps_is_told_as_a_gap_and_counted_as_missing() {
    let (mut producer, mut consumer) = opened(1 << 20);
    let mut out = Vec::new();
    producer.append(batch(1, 0, 10), &mut out);
    producer.append(batch(1, 10, 20), &mut out);
    consumer.take(Origin(1), 10, 10);
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    out.clear();
    let mut late = Consumer::new(1 << 20);
    producer.open(Instant::ZERO, EdgeId(2), held(1));
    producer.handle_pull(Instant::ZERO, EdgeId(2), &late.pull(), &mut out);
    let arrivals: Vec<Arrival> = out
        .drain(..)
        .map(|(_, batch)| late.handle_batch(batch))
        .collect();
    let [Arrival::Next(gap), Arrival::Next(rest)] = arrivals.as_slice() else {
        panic!("{arrivals:?}")
    };
    assert_eq!(
        (gap.header.missing, gap.header.interval),
        (10, Interval::new(0, 10))
    );
    assert_eq!(values(rest), (11..=20).collect::<Vec<_>>());
}

#[test]
fn who_names_a_position_that_was_released_is_told_once() {
    let (mut producer, mut consumer) = opened(1 << 20);
    let mut out = Vec::new();
    // An origin that is taken up in its middle has no beginning here either.
    for (origin, first) in [(1, 0), (2, 30)] {
        producer.append(batch(origin, first, first + 10), &mut out);
        producer.append(batch(origin, first + 10, first + 20), &mut out);
        consumer.take(Origin(origin), first + 10, first + 10);
    }
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    out.clear();
    let mut late = Consumer::new(1 << 20);
    for origin in [1, 2] {
        assert!(matches!(
            late.handle_batch(Arc::new(batch(origin, 0, 4))),
            Arrival::Next(_)
        ));
    }
    producer.open(Instant::ZERO, EdgeId(2), held(1));
    producer.handle_pull(Instant::ZERO, EdgeId(2), &late.pull_again(), &mut out);
    let mut lost = Vec::new();
    for (_, batch) in out.drain(..) {
        let Arrival::Next(batch) = late.handle_batch(batch) else {
            panic!("all of it follows")
        };
        lost.push((
            batch.header.origin.0,
            batch.header.missing,
            batch.rows.len(),
        ));
    }
    assert_eq!(lost, [(1, 6, 0), (1, 0, 10), (2, 36, 0), (2, 0, 10)]);
}

#[test]
fn asking_again_grants_no_credit_anew() {
    let bytes = u64::try_from(batch(1, 0, 10).rows.bytes()).unwrap();
    let (mut producer, mut consumer) = opened(2 * bytes);
    let mut out = Vec::new();
    for n in 0..9 {
        producer.append(batch(1, n * 10, n * 10 + 10), &mut out);
    }
    let mut waiting = 0;
    for _ in 0..5 {
        for (_, batch) in out.drain(..) {
            waiting += u64::from(matches!(consumer.handle_batch(batch), Arrival::Next(_)));
        }
        producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull_again(), &mut out);
    }
    assert_eq!(waiting, 2, "what waits is never more than the credit");
}

#[test]
fn progress_is_as_old_as_what_brings_it_or_what_waits_with_it() {
    let (mut producer, _) = opened(1 << 20);
    let mut out = Vec::new();
    let mut idle = |arrival: u64, out: &mut Vec<_>| {
        let mut batch = batch(1, 0, 0);
        batch.header.arrival = Instant::from_nanos(arrival);
        batch.header.progress = EventTime(i64::try_from(arrival).unwrap());
        producer.append(batch, out);
    };
    idle(1, &mut out);
    idle(2, &mut out);
    let arrivals = |out: &[(EdgeId, Arc<Batch>)]| -> Vec<u64> {
        out.iter()
            .map(|(_, batch)| batch.header.arrival.as_nanos())
            .collect()
    };
    assert_eq!(
        arrivals(&out),
        [1, 2],
        "the first was sent before the second came"
    );

    let mut producer = Producer::new(IN_PROCESS);
    producer.open(Instant::ZERO, EDGE, held(0));
    out.clear();
    for arrival in [3, 4] {
        let mut waiting = batch(1, 0, 0);
        waiting.header.arrival = Instant::from_nanos(arrival);
        producer.append(waiting, &mut out);
    }
    assert!(out.is_empty(), "without credit nothing is sent");
    producer.handle_pull(Instant::ZERO, EDGE, &Consumer::new(1).pull(), &mut out);
    assert_eq!(
        arrivals(&out),
        [3],
        "what waited is as old as its oldest piece"
    );
}

#[test]
fn progress_is_news_also_where_no_index_is() {
    let mut consumer = Consumer::new(1);
    let mut empty = batch(1, 0, 10);
    empty.rows = empty.rows.slice(0, 0);
    assert!(matches!(
        consumer.handle_batch(Arc::new(empty.clone())),
        Arrival::Next(_)
    ));
    assert_eq!(
        consumer.handle_batch(Arc::new(empty.clone())),
        Arrival::Duplicate
    );
    empty.header.progress = EventTime::MAX;
    let Arrival::Next(end) = consumer.handle_batch(Arc::new(empty.clone())) else {
        panic!("the end is news")
    };
    assert_eq!(
        (end.header.interval, end.header.progress),
        (Interval::empty(10), EventTime::MAX)
    );
    assert_eq!(consumer.handle_batch(Arc::new(empty)), Arrival::Duplicate);
}

#[test]
fn batches_without_rows_pile_up_nowhere() {
    let (mut producer, mut consumer) = opened(1 << 20);
    let mut out = Vec::new();
    producer.append(batch(1, 0, 10), &mut out);
    for progress in 11..500u64 {
        let mut empty = batch(1, progress - 1, progress);
        empty.rows = empty.rows.slice(0, 0);
        producer.append(empty, &mut out);
    }
    let mut last = 0;
    for (_, batch) in out.drain(..) {
        if let Arrival::Next(batch) = consumer.handle_batch(batch) {
            assert_eq!(batch.header.interval.after(), last);
            last = batch.header.interval.through();
        }
    }
    assert_eq!(last, 499, "who reads along has every index");
    producer.open(Instant::ZERO, EdgeId(2), held(0));
    producer.handle_pull(
        Instant::ZERO,
        EdgeId(2),
        &Consumer::new(1 << 20).pull(),
        &mut out,
    );
    assert_eq!(
        out.len(),
        2,
        "what is retained is the rows and one batch without"
    );
}

#[test]
fn whoever_asks_for_the_latest_gets_nothing_older() {
    let mut producer = Producer::new(IN_PROCESS);
    let mut out = Vec::new();
    producer.open(Instant::ZERO, EdgeId(2), held(0));
    producer.handle_pull(Instant::ZERO, EdgeId(2), &Consumer::new(1).pull(), &mut out);
    producer.append(batch(1, 0, 10), &mut out);
    out.clear();
    producer.open(Instant::ZERO, EDGE, held(1));
    let latest = Pull {
        from: Some(From::Latest),
        taken: Positions::new(),
        keep: None,
        credit: 1000,
        budget: None,
    };
    producer.handle_pull(Instant::ZERO, EDGE, &latest, &mut out);
    assert!(out.is_empty());
    producer.append(batch(1, 10, 20), &mut out);
    producer.append(batch(2, 0, 5), &mut out);
    let tapped: Vec<i64> = out
        .iter()
        .filter(|(edge, _)| *edge == EDGE)
        .flat_map(|(_, batch)| values(batch))
        .collect();
    assert_eq!(
        tapped,
        (11..=20).chain(1..=5).collect::<Vec<_>>(),
        "a later origin from its beginning"
    );
}

/// A network that loses, repeats and reorders frames.
struct Network<T> {
    frames: VecDeque<T>,
    rng: Rng,
}

impl<T: Clone> Network<T> {
    fn new(rng: Rng) -> Self {
        Self {
            frames: VecDeque::new(),
            rng,
        }
    }

    fn send(&mut self, frame: T) {
        match self.rng.below(10) {
            0 => {}
            1 => self.frames.extend([frame.clone(), frame]),
            2 => self.frames.push_front(frame),
            _ => self.frames.push_back(frame),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever happens to frames, every row is applied once and in order, and in the end all is released.
    #[test]
    fn every_row_is_applied_once(seed in any::<u64>(), sizes in prop::collection::vec(0u64..12, 1..60)) {
        let rng = Rng::from_seed(seed);
        let (mut steps, mut downstream, mut upstream) =
            (rng.keyed("steps"), Network::new(rng.keyed("down")), Network::new(rng.keyed("up")));
        let (mut producer, mut consumer) = opened(300);
        let mut applied: [Vec<i64>; 2] = [Vec::new(), Vec::new()];
        let mut produced = [0u64, 0];
        let mut sizes = VecDeque::from(sizes);
        let mut out = Vec::new();
        let receive = |consumer: &mut Consumer, applied: &mut [Vec<i64>; 2], batch: Arc<Batch>| {
            if let Arrival::Next(batch) = consumer.handle_batch(batch) {
                let origin = batch.header.origin;
                applied[usize::try_from(origin.0).unwrap()].extend(values(&batch));
                let through = batch.header.interval.through();
                consumer.take(origin, through, through);
            }
        };
        while !sizes.is_empty() {
            match steps.below(4) {
                0 => {
                    let size = sizes.pop_front().unwrap();
                    let origin = usize::try_from(steps.below(2)).unwrap();
                    let after = produced[origin];
                    produced[origin] += size;
                    producer.append(batch(origin as u128, after, after + size), &mut out);
                }
                1 => if let Some(frame) = downstream.frames.pop_front() {
                    receive(&mut consumer, &mut applied, frame);
                },
                2 => if let Some(pull) = upstream.frames.pop_front() {
                    producer.handle_pull(Instant::ZERO, EDGE, &pull, &mut out);
                },
                _ => upstream.send(if steps.below(3) == 0 { consumer.pull_again() } else { consumer.pull() }),
            }
            out.drain(..).for_each(|(_, batch)| downstream.send(batch));
        }
        // The network recovers: what it still holds arrives, then a few pulls bring the rest.
        downstream.frames.drain(..).for_each(|batch| receive(&mut consumer, &mut applied, batch));
        for _ in 0..100 {
            producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull_again(), &mut out);
            out.drain(..).for_each(|(_, batch)| receive(&mut consumer, &mut applied, batch));
        }
        producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull_again(), &mut out);
        for origin in 0..2 {
            let all: Vec<i64> = (1..=i64::try_from(produced[origin]).unwrap()).collect();
            prop_assert_eq!(&applied[origin], &all);
        }
        prop_assert_eq!(producer.retained_bytes(), 0);
    }

    /// A batch cut at any index is the rest of it.
    #[test]
    fn a_cut_is_the_rest(through in 1u64..40, keep in prop::collection::vec(any::<bool>(), 40)) {
        let whole = batch(1, 0, through);
        let mask: arrow_array::BooleanArray = keep[..usize::try_from(through).unwrap()].to_vec().into();
        let sparse = Batch { header: whole.header.clone(), rows: whole.rows.filter(&mask) };
        for at in 0..=through {
            let rest = sparse.cut(at);
            let expected: Vec<i64> = values(&sparse).into_iter().filter(|v| *v > i64::try_from(at).unwrap()).collect();
            prop_assert_eq!(values(&rest), expected);
            prop_assert_eq!(rest.indices().collect::<Vec<_>>(), sparse.indices().filter(|i| *i > at).collect::<Vec<_>>());
        }
    }
}
