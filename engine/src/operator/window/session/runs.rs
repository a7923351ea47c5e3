//! Runs: the panes of event time that sessions are put together from.
//!
//! Event time is cut into *panes* as long as the gap. All rows of a key within a pane belong to one session, and one
//! reaches from a pane into the next when less than the gap lies between its last row here and the first there. So
//! a pane needs one group for each key, as that of a sliding window does.
//!
//! A pane is complete when it can get no more rows. It is *listed* then: sessions that reach into it bring with them what they came to before,
//! so that a pane holds all of every session whose last row lies in it, however long that is; and the tick in which each could end is noted. What they
//! bring lies beside the rows of the pane itself and before them, so that what was exported of those stays as it is. What was
//! listed follows from which ticks are closed, and is no state of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use arrow_array::RecordBatch;
use datafusion_common::Result;
use model::Origin;

use super::fragment::{Fragment, Span, Spans};
use crate::aggregate::{Aggregates, Groups};
use crate::operator::ticks::{self, REACH_MICROS, TICK_MICROS};
use crate::operator::walk::{Named, Walk};
use crate::operator::{Cursor, ExportPart, Part, Tick};

/// All sessions that have not ended, and those that have not left.
#[derive(Debug)]
pub(super) struct Runs {
    gap_micros: i64,
    fragments: BTreeMap<Place, (Fragment, usize)>,
    /// By tick, the sessions that end there unless they reach into the next pane.
    ends: BTreeMap<i64, Vec<End>>,
    /// The last pane that was listed.
    listed: Option<i64>,
    /// State was imported, and what is listed is not known yet.
    is_new: bool,
    /// The last tick that is closed.
    closed: i64,
    bytes: usize,
    walk: Walk<Place>,
}

/// Where a fragment is: in which pane, of which origin, and whether it has the rows of the pane itself, or what came to it from the pane before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) pane: i64,
    pub(super) origin: Origin,
    pub(super) is_own: bool,
}

/// A key whose last row in a pane is at this time.
#[derive(Debug)]
struct End {
    pane: i64,
    last: i64,
    key: Box<[u8]>,
}

/// The sessions that end in one tick.
#[derive(Debug)]
pub(super) struct Ended {
    /// What each key comes to.
    pub(super) groups: Groups,
    /// From its first row to its last.
    pub(super) spans: BTreeMap<Box<[u8]>, Span>,
}

/// The event times that can be counted. Unit: microseconds since the epoch.
pub(super) const fn reachable() -> RangeInclusive<i64> {
    -REACH_MICROS..=REACH_MICROS
}

impl Runs {
    /// Nothing yet.
    pub(super) const fn new(gap_micros: i64) -> Self {
        Self {
            gap_micros,
            fragments: BTreeMap::new(),
            ends: BTreeMap::new(),
            listed: None,
            is_new: false,
            closed: i64::MIN,
            bytes: 0,
            walk: Walk::new(),
        }
    }

    /// The gap that ends a session. Unit: microseconds.
    pub(super) const fn gap_micros(&self) -> i64 {
        self.gap_micros
    }

    /// The last tick that is closed.
    pub(super) const fn closed(&self) -> i64 {
        self.closed
    }

    /// Where time begins that is not closed. Unit: microseconds since the epoch.
    pub(super) const fn open_micros(&self) -> i64 {
        self.closed.saturating_mul(TICK_MICROS)
    }

    /// The memory that all of it holds, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// The tick in which a session ends whose last row is at this time.
    const fn end(&self, last: i64) -> i64 {
        end(self.gap_micros, last)
    }

    /// The first tick in which a session could end whose last row lies in a pane: the pane gets no more
    /// rows by then.
    pub(super) const fn listing(&self, pane: i64) -> i64 {
        listing(self.gap_micros, pane)
    }

    /// Lets `update` take rows into a pane.
    ///
    /// # Errors
    /// When `update` fails.
    pub(super) fn update(
        &mut self,
        pane: i64,
        origin: Origin,
        aggregates: &Aggregates,
        update: impl FnOnce(&mut Groups, &mut Spans) -> Result<()>,
    ) -> Result<()> {
        let is_own = true;
        let place = Place {
            pane,
            origin,
            is_own,
        };
        self.change(place, aggregates, |fragment| {
            update(&mut fragment.groups, &mut fragment.spans)
        })
    }

    /// The next tick up to `through` in which a session may end or a pane is listed.
    pub(super) fn next_tick(&mut self, through: i64) -> Option<i64> {
        if std::mem::take(&mut self.is_new) {
            self.relist();
        }
        let unlisted = self.unlisted().map(|pane| self.listing(pane));
        let end = self.ends.first_key_value().map(|(tick, _)| *tick);
        let next = unlisted.into_iter().chain(end).min()?;
        (next <= through).then_some(next)
    }

    /// The first pane that is not listed.
    fn unlisted(&self) -> Option<i64> {
        let from = self.listed.map_or(i64::MIN, |pane| pane.saturating_add(1));
        let (place, _) = self.fragments.range(Place::least(from)..).next()?;
        Some(place.pane)
    }

    /// Closes the next tick, and gives what ends in it.
    ///
    /// # Errors
    /// When state does not merge.
    pub(super) fn close(&mut self, tick: i64, aggregates: &Aggregates) -> Result<Option<Ended>> {
        while let Some(pane) = self.unlisted()
            && self.listing(pane) <= tick
        {
            self.carry(pane, aggregates)?;
            self.list(pane);
        }
        let mut by_pane: BTreeMap<i64, Vec<End>> = BTreeMap::new();
        for end in self.ends.remove(&tick).unwrap_or_default() {
            self.bytes -= end.bytes();
            if !self.reaches_on(&end) {
                by_pane.entry(end.pane).or_default().push(end);
            }
        }
        let ended = self.collect(&by_pane, aggregates)?;
        self.close_through(tick);
        Ok(ended)
    }

    /// Says that nothing ends up to a tick that has not left, and forgets what is not needed behind it.
    pub(super) fn close_through(&mut self, tick: i64) {
        self.closed = self.closed.max(tick);
        while let Some((place, _)) = self.fragments.first_key_value()
            && self.listing(place.pane.saturating_add(1)) <= self.closed
        {
            let gone = self.fragments.pop_first();
            self.bytes -= gone.map_or(0, |(_, (_, bytes))| bytes);
        }
    }

    /// Brings into a pane that is complete what sessions that reach into it came to in the pane before.
    fn carry(&mut self, pane: i64, aggregates: &Aggregates) -> Result<()> {
        let here = self.keys(pane);
        let reaches = |key: &[u8], span: &Span| {
            let begins = here.get(key).map(|here| here.first);
            begins.is_some_and(|begins| begins < span.last.saturating_add(self.gap_micros))
        };
        let before = self.keys(pane.saturating_sub(1)).into_iter();
        let carried = before.filter(|(key, span)| reaches(key, span));
        let carried: BTreeSet<Box<[u8]>> = carried.map(|(key, _)| key).collect();
        if carried.is_empty() {
            return Ok(());
        }
        for from in self.places(pane.saturating_sub(1)) {
            let Some(before) = self.sealed(from)? else {
                continue;
            };
            let groups = before.groups.keys().iter().enumerate();
            let groups = groups.filter(|(_, key)| carried.contains(*key));
            let groups: Vec<usize> = groups.map(|(group, _)| group).collect();
            if groups.is_empty() {
                continue;
            }
            let earlier = before.take(&groups)?;
            let to = Place {
                pane,
                is_own: false,
                ..from
            };
            self.change(to, aggregates, |fragment| {
                fragment.append(&earlier)?;
                // Else a session would hold more with each pane that it reaches into.
                fragment.groups.fold(aggregates)
            })?;
        }
        Ok(())
    }

    /// Notes when each session could end whose last row so far lies in a pane.
    fn list(&mut self, pane: i64) {
        for (key, span) in self.keys(pane) {
            let tick = self.end(span.last);
            // After an import some have ended before.
            if tick > self.closed {
                let last = span.last;
                let end = End { pane, last, key };
                self.bytes += end.bytes();
                self.ends.entry(tick).or_default().push(end);
            }
        }
        self.listed = Some(pane);
    }

    /// Whether a session goes on in the next pane.
    fn reaches_on(&self, end: &End) -> bool {
        let mut next = self.of_pane(end.pane.saturating_add(1));
        next.any(|(_, fragment)| {
            let span = fragment.span(&end.key);
            span.is_some_and(|span| span.first < end.last.saturating_add(self.gap_micros))
        })
    }

    /// What these sessions come to, merged in order of origin and pane.
    fn collect(
        &mut self,
        by_pane: &BTreeMap<i64, Vec<End>>,
        aggregates: &Aggregates,
    ) -> Result<Option<Ended>> {
        if by_pane.is_empty() {
            return Ok(None);
        }
        let mut groups = aggregates.groups();
        let mut spans: BTreeMap<Box<[u8]>, Span> = BTreeMap::new();
        for (pane, ends) in by_pane {
            for place in self.places(*pane) {
                let Some(fragment) = self.sealed(place)? else {
                    continue;
                };
                let keys = fragment.groups.keys();
                let found = ends.iter().filter_map(|end| keys.find(&end.key));
                let taken = fragment.take(&found.collect::<Vec<usize>>())?;
                groups.merge(aggregates, &taken.groups)?;
                for (key, span) in taken.iter() {
                    let known = spans.entry(key.into()).or_insert(span);
                    *known = known.and(span);
                }
            }
        }
        Ok(Some(Ended { groups, spans }))
    }

    /// The keys of a pane, whoever their rows are of, with their spans.
    fn keys(&self, pane: i64) -> BTreeMap<Box<[u8]>, Span> {
        let mut keys: BTreeMap<Box<[u8]>, Span> = BTreeMap::new();
        for (key, span) in self.of_pane(pane).flat_map(|(_, fragment)| fragment.iter()) {
            let known = keys.entry(key.into()).or_insert(span);
            *known = known.and(span);
        }
        keys
    }

    /// The fragments of a pane, in order.
    fn of_pane(&self, pane: i64) -> impl Iterator<Item = (Place, &Fragment)> {
        let from = self.fragments.range(Place::least(pane)..);
        let of_pane = from.take_while(move |(place, _)| place.pane == pane);
        of_pane.map(|(place, (fragment, _))| (*place, fragment))
    }

    /// Where they are.
    fn places(&self, pane: i64) -> Vec<Place> {
        self.of_pane(pane).map(|(place, _)| place).collect()
    }

    /// A fragment whose pane gets no more rows, sealed.
    fn sealed(&mut self, place: Place) -> Result<Option<&Fragment>> {
        let Some((fragment, bytes)) = self.fragments.get_mut(&place) else {
            return Ok(None);
        };
        fragment.groups.seal()?;
        remeasure(fragment, bytes, &mut self.bytes);
        Ok(Some(fragment))
    }

    /// Lets `change` change a fragment: an empty one where there is none.
    fn change<R>(
        &mut self,
        place: Place,
        aggregates: &Aggregates,
        change: impl FnOnce(&mut Fragment) -> R,
    ) -> R {
        let held = self.fragments.entry(place);
        let (fragment, bytes) = held.or_insert_with(|| (Fragment::new(aggregates), 0));
        let outcome = change(fragment);
        remeasure(fragment, bytes, &mut self.bytes);
        outcome
    }

    /// The next part of the panes that change behind a cursor. `tell` gives the next columns of a fragment's page that were not told in an export.
    pub(super) fn export(
        &mut self,
        at: &mut Cursor,
        bytes_max: usize,
        mut tell: impl FnMut(&mut Fragment, usize, usize) -> Option<RecordBatch>,
    ) -> ExportPart {
        let (gap_micros, sum) = (self.gap_micros, &mut self.bytes);
        let name = |place: &Place, (fragment, _): &(Fragment, usize)| Named {
            tick: Tick(listing(gap_micros, place.pane)),
            part: place.part(),
            pages: fragment.groups.pages(),
        };
        let tell = |(fragment, bytes): &mut (Fragment, usize), page, export| {
            let told = tell(fragment, page, export);
            remeasure(fragment, bytes, sum);
            told
        };
        let (open, fragments) = (ticks::open(self.closed), &mut self.fragments);
        self.walk.export(at, bytes_max, open, fragments, name, tell)
    }

    /// Puts state that was imported behind what is there; it comes to nothing where it is not needed any more.
    pub(super) fn append(&mut self, place: Place, later: &Fragment, aggregates: &Aggregates) {
        self.change(place, aggregates, |fragment| fragment.append(later))
            .expect("accumulators give their state");
        self.close_through(self.closed);
        self.is_new = true;
    }

    /// Forgets the panes that are listed in a tick or later: where state is imported that has them anew.
    pub(super) fn forget_from(&mut self, tick: i64) {
        let (gap_micros, sum) = (self.gap_micros, &mut self.bytes);
        self.fragments.retain(|place, (_, bytes)| {
            let stays = listing(gap_micros, place.pane) < tick;
            *sum -= if stays { 0 } else { *bytes };
            stays
        });
        self.is_new = true;
    }

    /// Lists anew what is listed when the ticks up to here are closed, after state was imported: that has brought with it what was carried.
    fn relist(&mut self) {
        for end in std::mem::take(&mut self.ends).into_values().flatten() {
            self.bytes -= end.bytes();
        }
        self.listed = None;
        while let Some(pane) = self.unlisted()
            && self.listing(pane) <= self.closed
        {
            self.list(pane);
        }
    }
}

/// The tick in which a session ends whose last row is at this time.
const fn end(gap_micros: i64, last: i64) -> i64 {
    // The end itself is not part of the session: it may be that of the tick.
    ticks::tick_of(last.saturating_add(gap_micros - 1))
}

/// See [`Runs::listing`].
const fn listing(gap_micros: i64, pane: i64) -> i64 {
    end(gap_micros, pane.saturating_mul(gap_micros))
}

impl Place {
    /// The first place of a pane.
    const fn least(pane: i64) -> Self {
        Self {
            pane,
            origin: Origin(0),
            is_own: false,
        }
    }

    /// What its chunks of state are called.
    fn part(self) -> Part {
        Part {
            origin: self.origin,
            number: 2 * self.pane + i64::from(self.is_own),
        }
    }

    /// The place whose chunks are called so.
    pub(super) const fn of_part(part: Part) -> Self {
        Self {
            pane: part.number.div_euclid(2),
            origin: part.origin,
            is_own: part.number.rem_euclid(2) == 1,
        }
    }
}

impl End {
    /// The memory that it holds, in bytes.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.key.len()
    }
}

/// Measures a fragment again, and corrects the sum that it is part of.
fn remeasure(fragment: &Fragment, bytes: &mut usize, sum: &mut usize) {
    let measured = fragment.bytes();
    *sum = *sum + measured - *bytes;
    *bytes = measured;
}
