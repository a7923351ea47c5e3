use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use model::{Arguments, DataType, EventTime, Field, Instant, Interval, Schema};

use super::counting::index;
use super::*;
use crate::batch::{Note, ROWS_MAX};
use crate::operator::{CompleteTick, DefaultCost, TickRows, bad_schema};

fn schema() -> Schema {
    Schema::new(vec![Field::new("x", DataType::Int64)]).unwrap()
}

fn rows_of(values: &[i64]) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
    RecordBatch::try_new(columns::to_arrow(&schema()), vec![column]).unwrap()
}

fn batch(origin: u128, after: u64, values: &[i64], progress: i64) -> Batch {
    let header = Header {
        origin: Origin(origin),
        interval: Interval::new(after, after + convert::size(values.len())),
        arrival: Instant::from_nanos(7),
        progress: EventTime(progress),
        token: Token::Unmetered,
        missing: 2,
        note: None,
    };
    Batch {
        header,
        rows: Rows::dense(rows_of(values), values.to_vec(), None),
    }
}

/// Emits, for each progress, a tick with as many rows as the progress says.
#[derive(Debug)]
struct Counter;

impl Operator for Counter {
    fn process(&mut self, _: u16, batch: &Batch, emit: &mut Emitter) {
        emit.late(batch.rows.slice(0, 1));
        emit.bad(batch.rows.slice(1, 1), "second".to_owned());
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let values: Vec<i64> = (0..progress.0).collect();
        emit.tick(CompleteTick {
            tick: Tick(progress.0),
            began: progress.minus(1),
            time: progress.minus(1),
            columns: rows_of(&values),
        });
        emit.progress(progress);
        Closing::Done
    }
}

/// Gives a tick in two parts, a call for each, and then one that is whole.
#[derive(Debug, Default)]
struct Parted(usize);

impl Operator for Parted {
    fn process(&mut self, _: u16, _: &Batch, _: &mut Emitter) {}

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let (tick, rows) = [(5, 2 * ROWS_MAX), (5, 3), (6, 1)][self.0];
        self.0 += 1;
        emit.tick(CompleteTick {
            tick: Tick(tick),
            began: EventTime(tick - 1),
            time: EventTime(tick),
            columns: rows_of(&vec![0; rows]),
        });
        if self.0 < 3 {
            return Closing::More;
        }
        emit.progress(progress);
        Closing::Done
    }
}

#[test]
fn a_tick_that_comes_in_parts_is_numbered_as_one() {
    let (_, wanted) = step(Numbering::Own, &[LEFT]);
    let mut step = step_of(Box::new(Parted::default()), Numbering::Own, &[LEFT]);
    let first = step.run(LEFT, &batch(1, 0, &[], 7), wanted);
    assert!(first.closing.is_some());
    let second = step.close(wanted);
    let third = step.close(wanted);
    assert!(third.closing.is_none());
    let of_out = |outcome: &Outcome| -> Vec<(u64, usize)> {
        let outputs = outcome.outputs.iter().filter(|(port, _)| *port == 0);
        let seen =
            |(_, batch): &(u16, Arc<Batch>)| (batch.header.interval.through(), batch.rows.len());
        outputs.map(seen).collect()
    };
    let (five, six) = (index(Tick(5), 0), index(Tick(6), 0));
    assert_eq!(of_out(&first), [(five, ROWS_MAX), (five + 1, ROWS_MAX)]);
    assert_eq!(of_out(&second), [(five + 2, 3)]);
    assert_eq!(of_out(&third), [(six, 1)]);
}

/// Gives ticks at once, each of so many rows.
#[derive(Debug)]
struct Several(Vec<(i64, usize)>);

impl Operator for Several {
    fn process(&mut self, _: u16, _: &Batch, _: &mut Emitter) {}

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let ticks = self.0.iter().map(|(tick, rows)| TickRows {
            tick: Tick(*tick),
            began: EventTime(tick - 1),
            time: EventTime(*tick),
            rows: *rows,
        });
        let values: Vec<i64> = self
            .0
            .iter()
            .flat_map(|(tick, rows)| vec![*tick; *rows])
            .collect();
        emit.ticks(ticks, rows_of(&values));
        emit.progress(progress);
        Closing::Done
    }
}

#[test]
fn ticks_that_leave_at_once_leave_together_as_far_as_a_batch_holds_them() {
    let far = 6 + (1 << 20);
    let ticks = vec![(5, 1), (6, 2), (far, 1), (far + 1, ROWS_MAX), (far + 2, 3)];
    let operator = Box::new(Several(ticks));
    let mut step = step_of(operator, Numbering::Own, &[LEFT]);
    let mut wanted = Ports::default();
    wanted.insert(0);
    let outcome = step.run(LEFT, &batch(1, 0, &[], far + 9), wanted);
    let mut after = 0;
    let mut seen = Vec::new();
    for (_, batch) in &outcome.outputs {
        assert_eq!(batch.header.interval.after(), after);
        after = batch.header.interval.through();
        let rows = batch.indices().zip(batch.rows.times()).collect::<Vec<_>>();
        for (at, time) in &rows {
            assert_eq!(*at, index(Tick(**time), 0));
        }
        seen.push((rows.len(), batch.header.progress));
    }
    let progress = |tick| EventTime(tick);
    assert_eq!(
        seen,
        [
            (3, progress(6)),
            (1, progress(far)),
            (ROWS_MAX, progress(far + 1)),
            (3, progress(far + 9))
        ],
        "places are 32 bits wide, and a batch is full"
    );
}

fn step(numbering: Numbering, inputs: &[Channel]) -> (Step, Ports) {
    let mut all = Ports::default();
    (0..3).for_each(|port| all.insert(port));
    (step_of(Box::new(Counter), numbering, inputs), all)
}

fn step_of(operator: Box<dyn Operator>, numbering: Numbering, inputs: &[Channel]) -> Step {
    let outputs = vec![
        ("out".to_owned(), schema()),
        ("late".to_owned(), schema()),
        ("bad".to_owned(), bad_schema(&schema())),
    ];
    let cost = DefaultCost {
        batch_seconds: 0.0,
        row_seconds: 0.0,
    };
    let compiled = Compiled {
        parameters: Arguments::new(),
        outputs,
        operator,
        cost,
    };
    Step::new(compiled, numbering, Origin(99), inputs.iter().copied())
}

const LEFT: Channel = Channel {
    port: 0,
    origin: Origin(1),
};
const RIGHT: Channel = Channel {
    port: 1,
    origin: Origin(2),
};

#[test]
fn ticks_are_numbered_in_chunks_and_wait_for_every_origin() {
    let (mut step, mut wanted) = step(Numbering::Own, &[LEFT, RIGHT]);
    wanted = {
        let mut only = Ports::default();
        only.insert(0);
        assert!(wanted.contains(2));
        only
    };
    let none = step.run(LEFT, &batch(1, 0, &[5, 6], 2500), wanted);
    assert!(none.outputs.is_empty(), "the other origin is not so far");
    assert_eq!(
        (none.late, none.bad, none.bad_reason.as_deref()),
        (1, 1, Some("second"))
    );

    let outcome = step.run(RIGHT, &batch(2, 0, &[5, 6], 1500), wanted);
    let base = (1500 + u64::try_from(TICK_MAX).unwrap()) * CHUNKS_MAX;
    let intervals: Vec<Interval> = outcome
        .outputs
        .iter()
        .map(|(_, batch)| batch.header.interval)
        .collect();
    assert_eq!(
        intervals,
        [Interval::new(0, base), Interval::new(base, base + 1)]
    );
    let lens: Vec<usize> = outcome
        .outputs
        .iter()
        .map(|(_, batch)| batch.rows.len())
        .collect();
    assert_eq!(lens, [ROWS_MAX, 1500 - ROWS_MAX]);
    let headers: Vec<_> = outcome
        .outputs
        .iter()
        .map(|(_, batch)| batch.header.clone())
        .collect();
    assert_eq!(
        (headers[0].progress, headers[1].progress),
        (EventTime(1499), EventTime(1500))
    );
    assert_eq!(
        (headers[0].missing, headers[1].missing),
        (4, 0),
        "what is missing is said once"
    );
    assert!(headers.iter().all(|header| header.origin == Origin(99)));
}

#[test]
fn an_empty_tick_says_how_far_it_goes_and_is_covered_by_the_next_interval() {
    let (mut step, _) = step(Numbering::Own, &[LEFT]);
    let mut wanted = Ports::default();
    wanted.insert(0);
    let empty = step.run(LEFT, &batch(1, 0, &[], 0), wanted);
    let [(0, only)] = empty.outputs.as_slice() else {
        panic!("{empty:?}")
    };
    assert_eq!(
        (only.header.interval, only.header.progress),
        (Interval::empty(0), EventTime(0))
    );
    let next = step.run(LEFT, &batch(1, 0, &[], 3), wanted);
    assert_eq!(next.outputs[0].1.header.interval.after(), 0);
}

#[test]
fn late_and_bad_rows_keep_their_positions_and_say_why() {
    let (mut step, wanted) = step(Numbering::Kept, &[LEFT]);
    let outcome = step.run(LEFT, &batch(1, 10, &[5, 6, 7], 4), wanted);
    let [(0, out), (1, late), (2, bad)] = outcome.outputs.as_slice() else {
        panic!("{outcome:?}")
    };
    assert!(
        out.rows.is_empty(),
        "a reader of a port without rows learns how far the origin is"
    );
    assert_eq!(out.header.progress, EventTime(4));
    assert_eq!(late.indices().collect::<Vec<_>>(), [11]);
    assert_eq!(bad.indices().collect::<Vec<_>>(), [12]);
    assert_eq!(bad.rows.columns().num_columns(), 2);
    assert_eq!(late.header.interval, Interval::new(10, 13));
}

#[test]
fn a_port_that_nobody_reads_costs_nothing() {
    let (mut step, _) = step(Numbering::Kept, &[LEFT]);
    assert!(
        step.run(LEFT, &batch(1, 0, &[5, 6], 4), Ports::default())
            .outputs
            .is_empty()
    );
}

#[test]
fn a_union_renames_origins_by_port() {
    assert_eq!(
        origins(Numbering::KeptByPort, Origin(99), &[LEFT, RIGHT], 0).len(),
        2,
        "one origin for each way in",
    );
    let same = Channel { port: 1, ..LEFT };
    assert_eq!(
        origins(Numbering::KeptByPort, Origin(99), &[LEFT, same], 0).len(),
        2
    );
    assert_eq!(
        origins(Numbering::Kept, Origin(99), &[LEFT, same], 0),
        [Origin(1)]
    );
    assert_eq!(
        origins(Numbering::Own, Origin(99), &[LEFT, RIGHT], 0),
        [Origin(99)]
    );
    assert_eq!(origins(Numbering::Own, Origin(99), &[LEFT], 1), [Origin(1)]);
    assert_eq!(
        origins(Numbering::Own, Origin(99), &[LEFT, same], 1).len(),
        2,
        "late rows of one stream that comes in twice are no duplicates",
    );
}

#[test]
fn ticks_before_the_epoch_have_indices_too() {
    assert!(index(Tick(-5), 65_535) < index(Tick(-4), 0));
    assert!(index(Tick(-1), 0) < index(Tick(0), 0));
    assert!(index(Tick(1 - TICK_MAX), 0) > 0);
}

#[test]
fn ticks_that_began_before_a_way_in_was_joined_are_not_given() {
    let (mut step, mut wanted) = step(Numbering::Own, &[LEFT]);
    wanted = {
        let mut only = Ports::default();
        only.insert(0);
        assert!(wanted.contains(0));
        only
    };
    let mut joined = batch(1, 40, &[], 5);
    joined.header.note = Some(Note::Begin(EventTime(5)));
    let told = step.run(LEFT, &joined, wanted);
    assert!(
        told.outputs.iter().all(|(_, batch)| batch.rows.is_empty()),
        "the tick that the progress completes began before"
    );
    let next = step.run(LEFT, &batch(1, 40, &[], 6), wanted);
    assert!(
        next.outputs.iter().all(|(_, batch)| batch.rows.is_empty()),
        "rows that were due when the tick began may have come before"
    );
    let next = step.run(LEFT, &batch(1, 40, &[], 7), wanted);
    let rows: usize = next.outputs.iter().map(|(_, batch)| batch.rows.len()).sum();
    assert_eq!(rows, 7, "the first that was seen from its start");
}
