//! Who comes after a reader: where it begins, and what it is told.

use super::*;

const FORK: EdgeId = EdgeId(2);

/// The interval of a batch, its progress, and how many rows it says are missing.
type Told = (u64, u64, EventTime, u32);

/// A producer whose rows are of one origin, and a consumer elsewhere that began at the latest and has taken and kept up to somewhere.
fn read_to(batches: &[(u64, u64)], taken: u64, kept: u64) -> Producer {
    let mut producer = Producer::new(IN_PROCESS);
    let opening = Opening {
        lapses: true,
        ..held(0)
    };
    producer.open(Instant::ZERO, EDGE, opening);
    let mut consumer = Consumer::latest(1 << 20);
    let mut out = Vec::new();
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    for (after, through) in batches {
        producer.append(batch(1, *after, *through), &mut out);
    }
    for (_, batch) in out.drain(..) {
        assert!(matches!(consumer.handle_batch(batch), Arrival::Next(_)));
    }
    consumer.take(Origin(1), taken, kept);
    producer.handle_pull(Instant::ZERO, EDGE, &consumer.pull(), &mut out);
    producer
}

/// What a consumer gets with its first pull.
fn first_of(producer: &mut Producer, edge: EdgeId, consumer: &mut Consumer) -> Vec<Told> {
    let mut out = Vec::new();
    producer.handle_pull(Instant::ZERO, edge, &consumer.pull(), &mut out);
    let next = out
        .into_iter()
        .filter_map(|(_, batch)| match consumer.handle_batch(batch) {
            Arrival::Next(batch) => Some(batch.header.clone()),
            Arrival::Duplicate => None,
            Arrival::Gap => panic!("something is left out"),
        });
    let told = |header: Header| {
        (
            header.interval.after(),
            header.interval.through(),
            header.progress,
            header.missing,
        )
    };
    next.map(told).collect()
}

#[test]
fn who_comes_with_nothing_begins_where_that_begins_which_is_kept() {
    let progress = EventTime;
    // Between two batches it is known how far the origin was, in the middle of one it is not; and all may have been released.
    let cases: [(u64, Vec<Told>); 4] = [
        (
            10,
            vec![
                (10, 10, progress(10), 0),
                (10, 20, progress(20), 0),
                (20, 30, progress(30), 0),
            ],
        ),
        (
            13,
            vec![
                (13, 13, EventTime::MIN, 0),
                (13, 20, progress(20), 0),
                (20, 30, progress(30), 0),
            ],
        ),
        (
            20,
            vec![(20, 20, progress(20), 0), (20, 30, progress(30), 0)],
        ),
        (30, vec![]),
    ];
    for (kept, expected) in cases {
        let mut producer = read_to(&[(0, 10), (10, 20), (20, 30)], 30, kept);
        producer.fork(Instant::ZERO, FORK, EDGE);
        producer.close(EDGE);
        let mut anew = Consumer::latest(1 << 20);
        assert_eq!(
            first_of(&mut producer, FORK, &mut anew),
            expected,
            "kept {kept}"
        );
        assert_eq!(producer.drops(), 0);
        let mut out = Vec::new();
        producer.append(batch(1, 30, 40), &mut out);
        let rows: Vec<i64> = out
            .into_iter()
            .filter_map(|(_, batch)| match anew.handle_batch(batch) {
                Arrival::Next(batch) => Some(values(&batch)),
                _ => None,
            })
            .flatten()
            .collect();
        assert_eq!(
            rows,
            (31..=40).collect::<Vec<_>>(),
            "kept {kept}: it goes on"
        );
    }
}

#[test]
fn who_comes_after_one_that_lapsed_long_ago_finds_what_that_kept() {
    let mut producer = read_to(&[(0, 10), (10, 20)], 20, 10);
    assert!(producer.handle_timeout(Instant::ZERO + LAPSE));
    producer.append(batch(1, 20, 30), &mut Vec::new());
    producer.fork(Instant::ZERO + LAPSE, FORK, EDGE);
    producer.close(EDGE);
    assert!(
        !producer.handle_timeout(Instant::ZERO + LAPSE),
        "the fork was made just now"
    );
    producer.append(batch(1, 30, 40), &mut Vec::new());
    let mut anew = Consumer::latest(1 << 20);
    let told = first_of(&mut producer, FORK, &mut anew);
    let intervals: Vec<(u64, u64)> = told.iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(intervals, [(10, 10), (10, 20), (20, 30), (30, 40)]);
    assert!(told.iter().all(|it| it.3 == 0), "nothing is missing");
}

#[test]
fn who_comes_with_positions_gets_what_lies_behind_them_also_of_origins_that_come_later() {
    let mut producer = read_to(&[(0, 10), (10, 20)], 20, 10);
    producer.fork(Instant::ZERO, FORK, EDGE);
    producer.close(EDGE);
    let positions = [(Origin(1), 15), (Origin(2), 25)].into_iter().collect();
    let mut resumed = Consumer::resumed(&positions, 1);
    let mut out = Vec::new();
    producer.handle_pull(Instant::ZERO, FORK, &resumed.pull(), &mut out);
    // An origin that was taken up before where the consumer is: what it has is not sent, and takes none of its credit.
    for after in [0, 10, 20, 30] {
        producer.append(batch(2, after, after + 10), &mut out);
    }
    let sent: Vec<(u128, u64, usize)> = out
        .iter()
        .map(|(_, batch)| {
            (
                batch.header.origin.0,
                batch.header.interval.through(),
                batch.rows.len(),
            )
        })
        .collect();
    assert_eq!(
        sent,
        [(1, 20, 10), (2, 30, 10)],
        "and then the credit is used up"
    );
    let taken: usize = out
        .into_iter()
        .map(|(_, batch)| match resumed.handle_batch(batch) {
            Arrival::Next(batch) => values(&batch).len(),
            other => panic!("{other:?}"),
        })
        .sum();
    assert_eq!(taken, 5 + 5);
}

#[test]
fn who_reads_what_goes_on_here_begins_where_that_begins() {
    let mut before = Producer::new(IN_PROCESS);
    let mut out = Vec::new();
    before.open(Instant::ZERO, EDGE, held(0));
    for after in [0, 10, 20] {
        before.append(batch(1, after, after + 10), &mut out);
    }
    let mut reader = Consumer::latest(1 << 20);
    reader.take(Origin(1), 10, 10);
    before.handle_pull(Instant::ZERO, EDGE, &reader.pull(), &mut out);
    let mut producer = Producer::new(IN_PROCESS);
    producer.restore(Instant::ZERO, before.retained(&Held::new()));
    let opening = Opening {
        begin: Begin::Retained,
        ..held(0)
    };
    producer.open(Instant::ZERO, FORK, opening);
    producer.handle_timeout(Instant::ZERO + LAPSE);
    producer.append(batch(1, 30, 40), &mut out);
    let mut anew = Consumer::latest(1 << 20);
    let told = first_of(&mut producer, FORK, &mut anew);
    let intervals: Vec<(u64, u64)> = told.iter().map(|it| (it.0, it.1)).collect();
    assert_eq!(intervals, [(10, 10), (10, 20), (20, 30), (30, 40)]);
    assert_eq!(producer.drops(), 0);
}

#[test]
fn who_holds_what_is_retained_gets_all_of_it_when_somebody_reads_from_further_back() {
    let mut before = Producer::new(IN_PROCESS);
    let mut out = Vec::new();
    before.open(Instant::ZERO, EDGE, held(0));
    for after in [0, 10, 20] {
        before.append(batch(1, after, after + 10), &mut out);
    }
    // Nothing is released yet: others that read are yet to come.
    let mut producer = Producer::new(IN_PROCESS);
    producer.restore(Instant::ZERO, before.retained(&Held::new()));
    producer.open(Instant::ZERO, EDGE, held(0));
    let mut reader = Consumer::latest(1 << 20);
    reader.take(Origin(1), 20, 20);
    producer.handle_pull(Instant::ZERO, EDGE, &reader.pull(), &mut out);

    let mut known = producer.retained(&Held::new()).remove(0);
    assert_eq!((known.released.index, known.batches.len()), (20, 1));
    let holds = Held::from([(Origin(1), known.stretch())]);
    assert_eq!(producer.retained(&holds)[0].batches, []);
    let opening = Opening {
        begin: Begin::Retained,
        ..held(0)
    };
    producer.open(Instant::ZERO, FORK, opening);
    let new = producer.retained(&holds).remove(0);
    assert!(known.advance(new));
    let intervals = known.batches.iter().map(|it| it.header.interval);
    let through: Vec<u64> = intervals.map(|it| it.through()).collect();
    assert_eq!((known.released.index, through), (0, vec![10, 20, 30]));
}

#[test]
fn where_a_fork_begins_is_no_beginning_to_who_goes_on_from_a_state() {
    let mut producer = read_to(&[(0, 10), (10, 20)], 20, 10);
    producer.fork(Instant::ZERO, FORK, EDGE);
    producer.close(EDGE);
    let mut resumed = Consumer::resumed(&[(Origin(1), 10)].into_iter().collect(), 1 << 20);
    // The first pull, which says from where, is lost; one that only says where it stands comes through.
    let first = resumed.pull();
    assert!(first.from.is_some());
    let second = Pull {
        from: None,
        ..first
    };
    let mut out = Vec::new();
    producer.handle_pull(Instant::ZERO, FORK, &second, &mut out);
    let told = &out[0].1.header;
    assert_eq!(
        (told.note, told.interval),
        (Some(Note::Begin(EventTime(10))), Interval::empty(10))
    );
    let arrivals: Vec<Arrival> = out
        .into_iter()
        .map(|(_, batch)| resumed.handle_batch(batch))
        .collect();
    let [Arrival::Duplicate, Arrival::Next(next)] = arrivals.as_slice() else {
        panic!("its rows and nothing else: {arrivals:?}")
    };
    assert_eq!(next.header.interval, Interval::new(10, 20));
}

#[test]
fn an_origin_that_has_ended_says_so_to_who_comes_after_all_was_released() {
    let mut producer = read_to(&[(0, 10)], 0, 0);
    let mut last = batch(1, 10, 20);
    last.header.progress = EventTime::MAX;
    let mut out = Vec::new();
    producer.append(last, &mut out);
    let all = Pull {
        from: None,
        taken: [(Origin(1), 20)].into_iter().collect(),
        keep: Some([(Origin(1), 20)].into_iter().collect()),
        credit: 1 << 20,
        budget: None,
    };
    producer.handle_pull(Instant::ZERO, EDGE, &all, &mut out);
    assert_eq!(producer.retained_bytes(), 0, "its rows are released");
    producer.fork(Instant::ZERO, FORK, EDGE);
    producer.close(EDGE);
    let mut anew = Consumer::latest(1 << 20);
    let told = first_of(&mut producer, FORK, &mut anew);
    assert_eq!(told.last(), Some(&(20, 20, EventTime::MAX, 0)));
    assert_eq!(producer.drops(), 0);
    // One that had come further than whoever says so hears it, too.
    let further = [(Origin(1), 25)].into_iter().collect();
    let mut further = Consumer::resumed(&further, 1);
    let mut end = batch(1, 20, 20);
    end.header.progress = EventTime::MAX;
    let Arrival::Next(end) = further.handle_batch(Arc::new(end)) else {
        panic!("the end is news")
    };
    assert_eq!(
        (end.header.interval, end.rows.len()),
        (Interval::empty(25), 0)
    );
}

#[test]
fn of_ticks_only_rows_that_were_here_are_told_as_missing() {
    // Two ticks of a window's, which are indices apart that nobody numbered rows by.
    let tick = |tick: u64| (1 << 62) + tick * 65_536;
    let mut producer = Producer::new(IN_PROCESS);
    let mut out = Vec::new();
    producer.open(Instant::ZERO, EDGE, held(0));
    for (after, through) in [(0, tick(0)), (tick(0), tick(5)), (tick(5), tick(9))] {
        let rows = batch(1, 0, 3).rows;
        let chunk = Rows::chunk(rows.columns().clone(), EventTime(1));
        let header = Header {
            interval: Interval::new(after, through),
            ..batch(1, 0, 3).header
        };
        producer.append(
            Batch {
                header,
                rows: chunk,
            },
            &mut out,
        );
    }
    let kept = [(Origin(1), tick(5))].into_iter().collect();
    producer.handle_pull(
        Instant::ZERO,
        EDGE,
        &Consumer::at(&kept, 1).pull_all(),
        &mut out,
    );
    let behind = [(Origin(1), tick(0))].into_iter().collect();
    producer.open(Instant::ZERO, FORK, held(1));
    let mut behind = Consumer::at(&behind, 1 << 20);
    let told = first_of(&mut producer, FORK, &mut behind);
    assert_eq!((told[0].0, told[0].1), (tick(0), tick(5)));
    assert!((3..=6).contains(&told[0].3), "{} rows", told[0].3);
}

/// Where somebody begins who takes whatever comes next: the index, the progress there, and up to when rows before it were due.
fn begun(producer: &mut Producer, edge: EdgeId) -> (u64, EventTime, EventTime) {
    let mut out = Vec::new();
    let mut anew = Consumer::latest(1 << 20);
    producer.handle_pull(Instant::ZERO, edge, &anew.pull(), &mut out);
    producer.append(disordered(30, 40), &mut out);
    let told = out.iter().find(|(to, _)| *to == edge).expect("it is told");
    assert!(matches!(
        anew.handle_batch(Arc::clone(&told.1)),
        Arrival::Next(_)
    ));
    match told.1.header.note {
        Some(Note::Begin(due)) => (told.1.header.interval.after(), told.1.header.progress, due),
        note => panic!("{note:?}"),
    }
}

/// Rows that are due up to their last index, of an origin whose rows may be six out of order.
fn disordered(after: u64, through: u64) -> Batch {
    let mut batch = batch(1, after, through);
    batch.header.progress = batch.header.progress.minus(6);
    batch
}

#[test]
fn where_somebody_begins_it_is_known_when_rows_before_were_due_also_out_of_order() {
    let time = EventTime;
    let read = |kept: u64| {
        let mut producer = read_to(&[], 0, 0);
        let mut out = Vec::new();
        for (after, through) in [(0, 10), (10, 20), (20, 30)] {
            producer.append(disordered(after, through), &mut out);
        }
        let all = Pull {
            from: None,
            taken: [(Origin(1), 30)].into_iter().collect(),
            keep: Some([(Origin(1), kept)].into_iter().collect()),
            credit: 1 << 20,
            budget: None,
        };
        producer.handle_pull(Instant::ZERO, EDGE, &all, &mut out);
        producer
    };
    let latest = |mut producer: Producer| {
        producer.open(Instant::ZERO, FORK, held(1));
        begun(&mut producer, FORK)
    };
    // Where the stream is, whether or not something of it is still here, and where it is another producer's.
    for kept in [5, 30] {
        assert_eq!(latest(read(kept)), (30, time(24), time(30)), "kept {kept}");
        let mut moved = Producer::new(IN_PROCESS);
        moved.restore(Instant::ZERO, read(kept).retained(&Held::new()));
        assert_eq!(latest(moved), (30, time(24), time(30)), "kept {kept}");
    }
    // In place of a reader that is lost: between two batches, and within one, whose rows may all be before it.
    for (kept, expected) in [
        (10, (10, time(4), time(10))),
        (13, (13, EventTime::MIN, time(20))),
    ] {
        let mut producer = read(kept);
        producer.fork(Instant::ZERO, FORK, EDGE);
        producer.close(EDGE);
        assert_eq!(begun(&mut producer, FORK), expected, "kept {kept}");
    }
}
