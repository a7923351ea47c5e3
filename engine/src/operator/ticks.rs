//! Ticks of a fixed length: what numbers the output of operators that have no windows of fixed bounds.
//!
//! Ticks are called by the number of their end, counted from the epoch: tick `n` has the times from
//! `(n - 1) * 10 ms` up to, and without, `n * 10 ms`.

use std::collections::BTreeMap;

use model::EventTime;

use super::Tick;
use super::selection::Selection;
use crate::step::TICK_MAX;

/// How long a tick is.
///
/// Unit: microseconds of event time, 10 ms. Source: `dataplane.md`, section 1: what a tick adds to a delay is small beside any target.
pub(super) const TICK_MICROS: i64 = 10_000;

/// The times that can be counted are at most this far from the epoch. Unit: microseconds, some 22,000 years.
///
/// Source: ticks must stay below [`TICK_MAX`], also those that lie some of the longest spans behind a time.
pub(super) const REACH_MICROS: i64 = TICK_MAX / 64 * 63 * TICK_MICROS;

/// The tick that a time lies in.
pub(super) const fn tick_of(time: i64) -> i64 {
    time.div_euclid(TICK_MICROS) + 1
}

/// The last tick that is complete when no row is due before `progress` any more and all wait for `lateness_micros`.
pub(super) const fn complete(progress: EventTime, lateness_micros: i64) -> i64 {
    if progress.0 == EventTime::MAX.0 {
        return i64::MAX;
    }
    progress.minus(lateness_micros).0.div_euclid(TICK_MICROS)
}

/// The event time of a tick's rows: its last moment.
pub(super) const fn time(tick: i64) -> EventTime {
    EventTime(tick.saturating_mul(TICK_MICROS).saturating_sub(1))
}

/// The earliest event time of rows that are yet to come, when all ticks up to `through` are closed.
pub(super) fn time_of_next(through: i64) -> EventTime {
    if through == i64::MAX {
        return EventTime::MAX;
    }
    // The greatest value would end the origin.
    time(through.saturating_add(1)).min(EventTime::MAX.minus(1))
}

/// The tick of a chunk of state that says that all ticks up to `closed` are closed.
pub(super) const fn open(closed: i64) -> Tick {
    Tick(closed.saturating_add(1))
}

/// The rows with these times by the part of time that they lie in, parts of this length numbered from the
/// epoch, rows in their order.
pub(super) fn parts(times: &[i64], length_micros: i64) -> Vec<(i64, Selection)> {
    let part = |time: &i64| time.div_euclid(length_micros);
    let Some(first) = times.first() else {
        return Vec::new();
    };
    let first = part(first);
    if times.iter().all(|time| part(time) == first) {
        let all = Selection::Range {
            offset: 0,
            len: times.len(),
        };
        return vec![(first, all)];
    }
    let mut places: BTreeMap<i64, Vec<u32>> = BTreeMap::new();
    for (row, time) in (0u32..).zip(times) {
        places.entry(part(time)).or_default().push(row);
    }
    let selected = |(part, rows)| (part, Selection::of(rows));
    places.into_iter().map(selected).collect()
}
