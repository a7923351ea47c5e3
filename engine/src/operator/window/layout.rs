//! The layout of windows in event time, and which rows count in which.
//!
//! Event time is cut into *panes*, as long as a window slides. A pane and a window are called by their tick:
//! the number of their end, counted in slides from the epoch. With `n` panes to a window, a row in pane `q`
//! counts in the windows `q ..= q + n - 1`, but for those that it is late for: a row is late for window `w`
//! when it is due at `w * slide + lateness` or after. That is decided by the row alone.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use arrow_array::BooleanArray;
use model::EventTime;

use crate::batch::Rows;
use crate::frontier::Slide;
use crate::operator::Emitter;
use crate::operator::selection::Selection;
use crate::step::TICK_MAX;

/// How long windows are, how they slide, and for how long they wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::operator) struct Layout {
    slide_micros: i64,
    panes: i64,
    lateness_micros: i64,
}

/// Where rows count: in all windows of a pane, from the window `first` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::operator) struct Place {
    pub(in crate::operator) pane: i64,
    pub(in crate::operator) first: i64,
}

impl Layout {
    /// Windows of `panes` slides that wait for `lateness_micros` behind their end.
    ///
    /// # Panics
    /// When the slide or the number of panes is not positive, the lateness is negative, or one of the spans is longer than
    /// [`super::SPAN_MAX_MICROS`].
    pub(in crate::operator) fn new(slide_micros: i64, panes: i64, lateness_micros: i64) -> Self {
        let spans = 1..=super::SPAN_MAX_MICROS;
        assert!(
            spans.contains(&slide_micros),
            "a slide of {slide_micros} us"
        );
        assert!(panes >= 1, "a window of {panes} panes");
        let size = slide_micros.checked_mul(panes);
        assert!(
            size.is_some_and(|size| spans.contains(&size)),
            "a window of {panes} times {slide_micros} us"
        );
        assert!(
            lateness_micros == 0 || spans.contains(&lateness_micros),
            "a lateness of {lateness_micros} us"
        );
        Self {
            slide_micros,
            panes,
            lateness_micros,
        }
    }

    /// How much later each window begins, in microseconds.
    pub(in crate::operator) const fn slide_micros(self) -> i64 {
        self.slide_micros
    }

    /// When windows close.
    pub(in crate::operator) const fn slide(self) -> Slide {
        Slide {
            every_micros: self.slide_micros,
            lateness_micros: self.lateness_micros,
        }
    }

    /// The length of a window in microseconds.
    pub(in crate::operator) const fn size_micros(self) -> i64 {
        self.slide_micros * self.panes
    }

    /// How many panes a window has.
    pub(in crate::operator) const fn panes(self) -> i64 {
        self.panes
    }

    /// The pane that a row of this event time lies in.
    pub(in crate::operator) const fn pane(self, time: i64) -> i64 {
        time.div_euclid(self.slide_micros) + 1
    }

    /// The last window that a pane is part of.
    pub(in crate::operator) const fn last(self, pane: i64) -> i64 {
        pane + self.panes - 1
    }

    /// Whether rows can be at this place.
    pub(in crate::operator) fn has(self, place: Place) -> bool {
        let ticks = 1 - TICK_MAX..TICK_MAX;
        ticks.contains(&place.pane)
            && place
                .pane
                .checked_mul(self.slide_micros)
                .is_some_and(|end| {
                    end.checked_sub(1)
                        .is_some_and(|last| self.reachable().contains(&last))
                })
            && (place.pane..=self.last(place.pane)).contains(&place.first)
    }

    /// The last window that is complete when no row is due before `progress` any more.
    pub(in crate::operator) fn complete(self, progress: EventTime) -> i64 {
        if progress == EventTime::MAX {
            return i64::MAX;
        }
        let reached = progress.minus(self.lateness_micros);
        reached.0.div_euclid(self.slide_micros)
    }

    /// Start and end of a window, in microseconds since the epoch.
    ///
    /// # Panics
    /// When no row can be in this window.
    pub(in crate::operator) fn bounds(self, window: i64) -> (i64, i64) {
        let end = window
            .checked_mul(self.slide_micros)
            .expect("times of admitted rows leave room for their windows");
        (end - self.size_micros(), end)
    }

    /// The event time of a window's results: the last moment of it.
    pub(in crate::operator) fn time(self, window: i64) -> EventTime {
        EventTime(self.bounds(window).1 - 1)
    }

    /// The earliest event time of a result that is yet to come, when all windows before `open` are closed.
    pub(in crate::operator) fn time_of_next(self, open: i64) -> EventTime {
        if open == i64::MAX {
            return EventTime::MAX;
        }
        let end = open.saturating_mul(self.slide_micros);
        // The greatest value would end the origin.
        EventTime(end.saturating_sub(1)).min(EventTime::MAX.minus(1))
    }

    /// The event times that can be counted: all bounds of all windows of such a row can be computed.
    pub(in crate::operator) fn reachable(self) -> RangeInclusive<i64> {
        let ticks = TICK_MAX.saturating_mul(self.slide_micros);
        let reach = self.size_micros() + self.slide_micros + self.lateness_micros;
        reach - ticks..=ticks - reach
    }

    /// Where a row of this event time that is due then counts, if it counts in a window from `open` on.
    pub(in crate::operator) fn place(self, time: i64, due: i64, open: i64) -> Option<Place> {
        let pane = self.pane(time);
        let too_late_for = due
            .saturating_sub(self.lateness_micros)
            .div_euclid(self.slide_micros);
        // Nothing that is due can fall before the open window: its rows could not leave any more.
        let first = pane.max(too_late_for.saturating_add(1)).max(open);
        (first <= self.last(pane)).then_some(Place { pane, first })
    }

    /// The rows that count in some window; those that are too late for every one, or too far from the epoch, leave.
    pub(in crate::operator) fn admit(self, rows: &Rows, open: i64, emit: &mut Emitter) -> Rows {
        let reachable = self.reachable();
        let (earliest, latest) = extremes(rows.times());
        let all_reachable = reachable.contains(&earliest) && reachable.contains(&latest);
        if all_reachable
            && self
                .place(earliest, extremes(rows.dues()).1, open)
                .is_some()
        {
            return rows.clone();
        }
        let is_reachable = |time: i64| all_reachable || reachable.contains(&time);
        let each = || rows.times().iter().zip(rows.dues());
        let counts: BooleanArray = each()
            .map(|(time, due)| Some(is_reachable(*time) && self.place(*time, *due, open).is_some()))
            .collect();
        if counts.true_count() == rows.len() {
            return rows.clone();
        }
        let late: BooleanArray = each()
            .map(|(time, due)| Some(is_reachable(*time) && self.place(*time, *due, open).is_none()))
            .collect();
        let unreachable: BooleanArray =
            each().map(|(time, _)| Some(!is_reachable(*time))).collect();
        emit.late(rows.filter(&late));
        let message = "the event time lies beyond all windows";
        emit.bad(rows.filter(&unreachable), message.into());
        rows.filter(&counts)
    }

    /// Where admitted rows count, each place once.
    ///
    /// # Panics
    /// When one of the rows was not admitted.
    pub(in crate::operator) fn places(self, rows: &Rows, open: i64) -> Vec<(Place, Selection)> {
        if rows.is_empty() {
            return Vec::new();
        }
        let place = |time: i64, due: i64| {
            self.place(time, due, open)
                .expect("rows were admitted for these windows")
        };
        let (earliest, latest) = extremes(rows.times());
        let (_, due_last) = extremes(rows.dues());
        let pane = self.pane(earliest);
        if pane == self.pane(latest) {
            // A row is due at its event time or later, and the later it is due the later it counts first.
            let least = place(earliest, earliest);
            if self.place(earliest, due_last, open) == Some(least) {
                let all = Selection::Range {
                    offset: 0,
                    len: rows.len(),
                };
                return vec![(least, all)];
            }
        }
        let mut places: Vec<(Place, Vec<u32>)> = Vec::new();
        let mut known: BTreeMap<Place, usize> = BTreeMap::new();
        let mut last: Option<(Place, usize)> = None;
        for ((row, time), due) in (0u32..).zip(rows.times()).zip(rows.dues()) {
            let place = place(*time, *due);
            let index = match last {
                Some((known, index)) if known == place => index,
                _ => *known.entry(place).or_insert_with(|| {
                    places.push((place, Vec::new()));
                    places.len() - 1
                }),
            };
            last = Some((place, index));
            places[index].1.push(row);
        }
        places
            .into_iter()
            .map(|(place, rows)| (place, Selection::of(rows)))
            .collect()
    }
}

/// The least and the greatest of some times; of none, the ends of time crossed over.
fn extremes(times: &[i64]) -> (i64, i64) {
    times
        .iter()
        .fold((i64::MAX, i64::MIN), |(least, greatest), time| {
            (least.min(*time), greatest.max(*time))
        })
}
