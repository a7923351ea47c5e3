//! When rows of two sides meet: from which tick on a row counts, through which, and with rows of which times.
//!
//! Both kinds of join are one here. A row *enters* at a tick and *leaves* after one, and two rows meet when they
//! agree in keys, each lies within the times that the other looks for, and neither has left before the other
//! enters. With windows they meet in every tick in which both are there; with an interval once, when the second of
//! them enters. All of that is decided by the rows alone.

use std::ops::RangeInclusive;

use model::EventTime;

use super::Side;
use crate::operator::window::layout::{Layout, Place};

/// When rows meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    /// In every window that both are in.
    Windows(Layout),
    /// When the right row's time lies within bounds around the left row's.
    Interval(Interval),
}

/// How far the time of a right row may lie from that of a left row that it meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Interval {
    /// The ticks at which rows enter and leave.
    ticks: Layout,
    /// The least and the greatest difference, in microseconds; negative where the right row is earlier.
    lower_micros: i64,
    upper_micros: i64,
    lateness_micros: i64,
    /// Whether left rows leave that nothing met.
    keeps_left: bool,
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Placement {
    /// It counts from this tick on.
    Enters(i64),
    /// All rows that it could meet may have gone.
    Late,
    /// Its time is too far from the epoch.
    Unreachable,
}

impl Interval {
    /// Bounds around the time of a left row, in ticks of `granularity_micros`.
    ///
    /// # Panics
    /// When the bounds are crossed, or a span is longer than the longest.
    pub(super) fn new(
        granularity_micros: i64,
        (lower_micros, upper_micros): (i64, i64),
        lateness_micros: i64,
        keeps_left: bool,
    ) -> Self {
        let longest = crate::operator::window::SPAN_MAX_MICROS;
        assert!(
            lower_micros <= upper_micros,
            "from {lower_micros} to {upper_micros} us"
        );
        assert!(
            -longest <= lower_micros && upper_micros <= longest,
            "bounds of {lower_micros} and {upper_micros} us"
        );
        assert!(
            (0..=longest).contains(&lateness_micros),
            "a lateness of {lateness_micros} us"
        );
        Self {
            ticks: Layout::new(granularity_micros, 1, 0),
            lower_micros,
            upper_micros,
            lateness_micros,
            keeps_left,
        }
    }

    /// The least and the greatest difference.
    pub(super) const fn bounds_micros(self) -> (i64, i64) {
        (self.lower_micros, self.upper_micros)
    }

    /// For how long behind its time a row of a side waits for rows that it could meet.
    fn wait_micros(self, side: Side) -> i64 {
        let ahead = match side {
            Side::Left => self.upper_micros,
            Side::Right => -self.lower_micros,
        };
        ahead.max(0) + self.lateness_micros
    }

    /// For how long behind its time a row of a side is held. A left row that leaves alone must still find
    /// whatever it has met, also what can meet nothing else any more.
    fn hold_micros(self, side: Side) -> i64 {
        match side {
            Side::Right if self.keeps_left => self.wait_micros(Side::Left) - self.lower_micros,
            _ => self.wait_micros(side),
        }
    }

    /// How far before a tick the rows may lie that are part of its results.
    fn reach_micros(self) -> i64 {
        self.upper_micros.max(0) + (-self.lower_micros).max(0) + self.lateness_micros
    }

    fn place(self, side: Side, time: i64, due: i64, open: i64) -> Placement {
        let reachable = self.ticks.reachable();
        let reach = self.reach_micros();
        let within =
            reachable.start().saturating_add(reach)..=reachable.end().saturating_sub(reach);
        if !within.contains(&time) {
            return Placement::Unreachable;
        }
        // Nothing that is due can fall before the open tick: its rows could not leave any more.
        let enters = self.ticks.pane(due).max(open);
        if enters > self.ticks.pane(time + self.wait_micros(side)) {
            return Placement::Late;
        }
        Placement::Enters(enters)
    }
}

impl Timing {
    /// What becomes of a row of this event time that is due then, when all ticks before `open` are closed.
    pub(super) fn place(self, side: Side, time: i64, due: i64, open: i64) -> Placement {
        match self {
            Self::Windows(layout) if !layout.reachable().contains(&time) => Placement::Unreachable,
            Self::Windows(layout) => match layout.place(time, due, open) {
                Some(Place { first, .. }) => Placement::Enters(first),
                None => Placement::Late,
            },
            Self::Interval(interval) => interval.place(side, time, due, open),
        }
    }

    /// The last tick in which a row can meet one that enters then.
    pub(super) fn leaves(self, side: Side, time: i64) -> i64 {
        match self {
            Self::Windows(layout) => layout.last(layout.pane(time)),
            Self::Interval(interval) => interval.ticks.pane(time + interval.wait_micros(side)),
        }
    }

    /// The last tick for which a row is held.
    pub(super) fn held_through(self, side: Side, time: i64) -> i64 {
        match self {
            Self::Windows(_) => self.leaves(side, time),
            Self::Interval(interval) => interval.ticks.pane(time + interval.hold_micros(side)),
        }
    }

    /// The times of the rows of the other side that a row of this time can meet.
    pub(super) fn partners(self, side: Side, time: i64) -> RangeInclusive<i64> {
        match (self, side) {
            (Self::Windows(_), _) => i64::MIN..=i64::MAX,
            (Self::Interval(interval), Side::Left) => {
                time + interval.lower_micros..=time + interval.upper_micros
            }
            (Self::Interval(interval), Side::Right) => {
                time - interval.upper_micros..=time - interval.lower_micros
            }
        }
    }

    /// Whether rows meet in every tick in which both are there.
    pub(super) const fn is_windowed(self) -> bool {
        matches!(self, Self::Windows(_))
    }

    /// The ticks.
    pub(super) const fn ticks(self) -> Layout {
        match self {
            Self::Windows(layout) => layout,
            Self::Interval(interval) => interval.ticks,
        }
    }

    /// The earliest event time that counts in a tick.
    pub(super) fn began(self, tick: i64) -> EventTime {
        let start = self.ticks().bounds(tick).0;
        EventTime(match self {
            Self::Windows(_) => start,
            Self::Interval(interval) => start - interval.reach_micros(),
        })
    }

    /// Whether a tick can have rows of a side that came in as this place says: what is imported may be anything.
    pub(super) fn has(self, side: Side, time: i64, enters: i64) -> bool {
        let least = match self {
            Self::Windows(layout) => layout.pane(time),
            Self::Interval(interval) => interval.ticks.pane(time),
        };
        self.place(side, time, time, i64::MIN) != Placement::Unreachable
            && (least..=self.leaves(side, time)).contains(&enters)
    }
}
