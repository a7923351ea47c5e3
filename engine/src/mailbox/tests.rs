use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema};
use model::{EventTime, Interval};

use super::*;
use crate::batch::Token;
use crate::batch::{Header, Rows};

const FIRST: Channel = Channel {
    port: 0,
    origin: Origin(1),
};
const SECOND: Channel = Channel {
    port: 0,
    origin: Origin(2),
};

/// A batch of so many rows, all of them at its last index.
fn batch(channel: Channel, after: u64, through: u64, arrival: u64, rows: usize) -> Arc<Batch> {
    let header = Header {
        origin: channel.origin,
        interval: Interval::new(after, through),
        arrival: Instant::from_nanos(arrival),
        progress: EventTime::MIN,
        token: Token::Unmetered,
        missing: 0,
        note: None,
    };
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1; rows]));
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
    let columns = RecordBatch::try_new(Arc::new(schema), vec![column]).expect("one column");
    Arc::new(Batch {
        header,
        rows: Rows::chunk(columns, EventTime(1)),
    })
}

fn take(mailbox: &mut Mailbox, channel: Channel, rows_max: usize) -> Vec<Arc<Batch>> {
    let mut taken = Vec::new();
    mailbox.take(channel, rows_max, &mut taken);
    taken
}

/// What waits, without a deadline.
fn waiting(batch: Arc<Batch>, sequence: u64) -> Waiting {
    Waiting {
        batch,
        sequence,
        entered: Instant::ZERO,
        deadline: NO_DEADLINE,
        window: EventTime::MIN,
        is_apart: false,
    }
}

#[test]
fn the_channel_whose_first_batch_is_most_urgent_goes_first_unless_it_may_not() {
    let mut mailbox = Mailbox::default();
    mailbox.push(FIRST, waiting(batch(FIRST, 0, 1, 50, 1), 1));
    mailbox.push(FIRST, waiting(batch(FIRST, 1, 2, 10, 1), 2));
    mailbox.push(SECOND, waiting(batch(SECOND, 0, 1, 40, 1), 3));
    let oldest = |waiting: &Waiting| waiting.batch.header.arrival;
    let by_number = |waiting: &Waiting| waiting.sequence;
    assert_eq!(mailbox.first(oldest, |_| true), Some(SECOND));
    assert_eq!(mailbox.first(by_number, |_| true), Some(FIRST));
    assert_eq!(
        mailbox.first(oldest, |channel| channel != SECOND),
        Some(FIRST)
    );
    assert_eq!(mailbox.first(oldest, |_| false), None);
}

#[test]
fn consecutive_batches_leave_together_and_others_apart() {
    let mut mailbox = Mailbox::default();
    for (sequence, index) in [(1, 0), (2, 1), (3, 5)] {
        mailbox.push(
            FIRST,
            waiting(batch(FIRST, index, index + 1, index, 1), sequence),
        );
    }
    let head = |mailbox: &Mailbox| Some(mailbox.head(FIRST)?.sequence);
    assert_eq!(head(&mailbox), Some(1));
    assert_eq!(
        take(&mut mailbox, FIRST, usize::MAX).len(),
        2,
        "the third does not join the second"
    );
    assert_eq!((head(&mailbox), mailbox.len()), (Some(3), 1));
    assert_eq!(take(&mut mailbox, FIRST, usize::MAX).len(), 1);
    assert!(mailbox.is_drained(FIRST) && mailbox.is_empty());
    assert!(take(&mut mailbox, FIRST, usize::MAX).is_empty());
}

#[test]
fn no_more_rows_leave_together_than_a_full_batch_has() {
    let mut mailbox = Mailbox::default();
    for index in 0..3 {
        let half = batch(FIRST, index, index + 1, 0, ROWS_MAX / 2);
        mailbox.push(FIRST, waiting(half, index));
    }
    assert_eq!(
        (
            take(&mut mailbox, FIRST, usize::MAX).len(),
            take(&mut mailbox, FIRST, usize::MAX).len()
        ),
        (2, 1)
    );
}

#[test]
fn what_spans_more_than_places_can_tell_leaves_apart() {
    // As of a window whose results are far apart: each interval is narrow enough, all together are not.
    let mut mailbox = Mailbox::default();
    let tick = 1 << 30;
    for n in 0..6 {
        mailbox.push(
            FIRST,
            waiting(batch(FIRST, n * tick, (n + 1) * tick, 0, 1), n),
        );
    }
    let taken: Vec<usize> = std::iter::from_fn(|| {
        let batches = take(&mut mailbox, FIRST, usize::MAX);
        Batch::join(&batches).expect("equal columns");
        (!mailbox.is_empty()).then_some(batches.len())
    })
    .collect();
    assert_eq!(taken, [3], "the rest is the last");
}

#[test]
fn batches_without_rows_do_not_pile_up() {
    let mut mailbox = Mailbox::default();
    for index in 0..1000 {
        mailbox.push(FIRST, waiting(batch(FIRST, index, index + 1, 0, 0), index));
    }
    assert_eq!(mailbox.len(), 1);
    assert_eq!(
        take(&mut mailbox, FIRST, usize::MAX)[0].header.interval,
        Interval::new(0, 1000)
    );
}

const NOW: Instant = Instant::from_nanos(1000);
const AHEAD: Ahead = Ahead {
    cost_nanos: 100,
    leaves_out_late: true,
};

/// A mailbox with one batch of a row for each of these: its channel, deadline and window.
fn mailbox_of(waits: &[(Channel, i64, i64)]) -> Mailbox {
    let mut mailbox = Mailbox::default();
    for (number, (channel, deadline, window)) in (0..).zip(waits) {
        let batch = batch(*channel, number, number + 1, 0, 1);
        let waiting = Waiting {
            deadline: *deadline,
            window: EventTime(*window),
            ..waiting(batch, number)
        };
        mailbox.push(*channel, waiting);
    }
    mailbox
}

fn most_urgent(mailbox: &mut Mailbox) -> (Channel, i64, bool) {
    let first = mailbox.most_urgent(NOW, AHEAD, |_| true);
    let first = first.expect("something waits");
    (first.channel, first.start_by, first.is_late)
}

const AT_ONCE: i64 = i64::MIN;

#[test]
fn what_lies_behind_lax_work_makes_all_before_it_urgent() {
    let mut mailbox = mailbox_of(&[
        (FIRST, 90_000, AT_ONCE),
        (FIRST, 80_000, AT_ONCE),
        (FIRST, 5000, AT_ONCE),
        (SECOND, 4900, AT_ONCE),
    ]);
    assert_eq!(
        most_urgent(&mut mailbox),
        (FIRST, 4800, false),
        "two ahead of it"
    );
    take(&mut mailbox, FIRST, 2);
    assert_eq!(most_urgent(&mut mailbox), (SECOND, 4900, false));
}

#[test]
fn what_cannot_be_met_is_passed_over_for_what_can() {
    let mut mailbox = mailbox_of(&[
        (FIRST, 900, AT_ONCE),
        (FIRST, 1050, AT_ONCE),
        (FIRST, 3000, AT_ONCE),
        (SECOND, 999, AT_ONCE),
    ]);
    assert_eq!(
        most_urgent(&mut mailbox),
        (FIRST, 3000, false),
        "what is late ahead of it makes it no more urgent"
    );
    take(&mut mailbox, FIRST, usize::MAX);
    assert_eq!(most_urgent(&mut mailbox), (SECOND, 999, true));
    mailbox.set_deadlines(|_| 2000);
    assert_eq!(most_urgent(&mut mailbox), (SECOND, 2000, false));
}

#[test]
fn all_of_a_window_is_ahead_of_what_closes_it() {
    let mut mailbox = mailbox_of(&[
        (FIRST, 7000, 10),
        (FIRST, 7000, 10),
        (SECOND, 7000, 10),
        (SECOND, 9000, 20),
    ]);
    assert_eq!(most_urgent(&mut mailbox), (FIRST, 6800, false));
    take(&mut mailbox, FIRST, usize::MAX);
    assert_eq!(most_urgent(&mut mailbox), (SECOND, 7000, false));
    mailbox.take_one(SECOND);
    assert_eq!(most_urgent(&mut mailbox), (SECOND, 9000, false));
}

#[test]
fn what_is_beyond_a_share_is_late() {
    let mut spent = batch(FIRST, 0, 1, 0, 1);
    Arc::make_mut(&mut spent).header.token = Token::At(Instant::from_nanos(1001));
    let mut mailbox = Mailbox::default();
    let spent = Waiting {
        deadline: 9000,
        ..waiting(spent, 1)
    };
    mailbox.push(FIRST, spent);
    assert_eq!(most_urgent(&mut mailbox), (FIRST, 9000, true));
    let later = mailbox.most_urgent(Instant::from_nanos(1001), AHEAD, |_| true);
    assert!(
        later.is_some_and(|first| !first.is_late),
        "its time has come"
    );
}

#[test]
fn a_long_batch_is_split_at_its_rows_and_each_part_says_how_far_it_is() {
    let columns = batch(FIRST, 0, 10, 0, 10).rows.columns().clone();
    let mut whole = Arc::unwrap_or_clone(batch(FIRST, 0, 12, 0, 0));
    whole.header.progress = EventTime(50);
    whole.header.missing = 2;
    // Rows at the indices 3, 4, 4, 4, 5, ...: what shares an index stays together.
    let backs = vec![9, 8, 8, 8, 7, 6, 5, 4, 3, 0];
    whole.rows = Rows::sparse(columns, (0..10).collect(), None, backs);
    let mut mailbox = Mailbox::default();
    mailbox.push(FIRST, waiting(Arc::new(whole), 1));
    let parts: Vec<(usize, u64, i64, u32)> = std::iter::from_fn(|| {
        let taken = take(&mut mailbox, FIRST, 3);
        let part = taken.first()?;
        assert_eq!(taken.len(), 1);
        let header = &part.header;
        Some((
            part.rows.len(),
            header.interval.through(),
            header.progress.0,
            header.missing,
        ))
    })
    .collect();
    // As far as the next part begins.
    assert_eq!(
        parts,
        [(1, 3, 1, 0), (3, 4, 4, 0), (3, 7, 7, 0), (3, 12, 50, 2)]
    );
    assert!(mailbox.is_empty());
}
