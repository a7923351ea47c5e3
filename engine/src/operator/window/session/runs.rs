//! Runs: the panes of event time that sessions are put together from.
//!
//! Event time is cut into *panes* as long as the gap. All rows of a key within a pane belong to one session, and one
//! reaches from a pane into the next when less than the gap lies between its last row here and the first there. So
//! a pane needs one group for each key, as that of a sliding window does.
//!
//! A pane is complete when it can get no more rows. It is *listed* then: sessions that reach into it bring with them what they came to before,
//! so that a pane holds all of every session whose last row lies in it, however long that is; and the tick in which each could end is noted. What was
//! listed follows from which ticks are closed, and is no state of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use datafusion_common::Result;
use model::Origin;

use super::fragment::{Done, Fragment, Span, Spans};
use crate::aggregate::{Aggregates, Groups};
use crate::operator::ticks::{self, REACH_MICROS, TICK_MICROS};

/// All sessions that have not ended, and those that have not left.
#[derive(Debug)]
pub(super) struct Runs {
    gap_micros: i64,
    fragments: BTreeMap<(i64, Origin), (Fragment, usize)>,
    /// By tick, the sessions that end there unless they reach into the next pane.
    ends: BTreeMap<i64, Vec<End>>,
    /// The last pane that was listed.
    listed: Option<i64>,
    /// The last tick that is closed.
    closed: i64,
    bytes: usize,
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
            closed: i64::MIN,
            bytes: 0,
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
        // The end itself is not part of the session: it may be that of the tick.
        ticks::tick_of(last.saturating_add(self.gap_micros - 1))
    }

    /// The first tick in which a session could end whose last row lies in a pane: the pane gets no more
    /// rows by then.
    pub(super) const fn listing(&self, pane: i64) -> i64 {
        self.end(pane.saturating_mul(self.gap_micros))
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
        let (fragment, bytes) = self.fragments.entry((pane, origin)).or_default();
        let (groups, spans) = fragment.live(aggregates);
        let outcome = update(groups, spans);
        remeasure(fragment, bytes, &mut self.bytes);
        outcome
    }

    /// The next tick up to `through` in which a session may end or a pane is listed.
    pub(super) fn next_tick(&mut self, through: i64) -> Option<i64> {
        let unlisted = self.unlisted().map(|pane| self.listing(pane));
        let end = self.ends.first_key_value().map(|(tick, _)| *tick);
        let next = unlisted.into_iter().chain(end).min()?;
        (next <= through).then_some(next)
    }

    /// The first pane that is not listed.
    fn unlisted(&self) -> Option<i64> {
        let from = self.listed.map_or(i64::MIN, |pane| pane.saturating_add(1));
        let (pane, _) = self.fragments.range((from, Origin(0))..).next()?.0;
        Some(*pane)
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
            self.list(pane, aggregates)?;
        }
        let mut by_pane: BTreeMap<i64, Vec<End>> = BTreeMap::new();
        for end in self.ends.remove(&tick).unwrap_or_default() {
            self.bytes -= end.bytes();
            if !self.reaches_on(&end, aggregates)? {
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
        while let Some(((pane, origin), _)) = self.fragments.first_key_value()
            && self.listing(pane.saturating_add(1)) <= self.closed
        {
            let slot = (*pane, *origin);
            let gone = self.fragments.remove(&slot);
            self.bytes -= gone.map_or(0, |(_, bytes)| bytes);
        }
    }

    /// Brings into a pane that is complete what sessions that reach into it came to in the pane before.
    fn carry(&mut self, pane: i64, aggregates: &Aggregates) -> Result<()> {
        let before = self.keys(pane.saturating_sub(1), aggregates)?;
        let here = self.keys(pane, aggregates)?;
        let reaches = |key: &[u8], span: &Span| {
            let begins = here.get(key).map(|here| here.first);
            begins.is_some_and(|begins| begins < span.last.saturating_add(self.gap_micros))
        };
        let before = before.iter().map(|(key, span)| (&**key, span));
        let carried = before.filter(|(key, span)| reaches(key, span));
        let carried: BTreeSet<&[u8]> = carried.map(|(key, _)| key).collect();
        if carried.is_empty() {
            return Ok(());
        }
        for origin in self.origins(pane - 1) {
            let Some(done) = self.done(pane - 1, origin, aggregates)? else {
                continue;
            };
            let groups = done.iter().enumerate();
            let groups: Vec<usize> = groups
                .filter(|(_, (key, _))| carried.contains(key))
                .map(|(group, _)| group)
                .collect();
            if groups.is_empty() {
                continue;
            }
            let earlier = done.take(&groups)?;
            let (fragment, bytes) = self.fragments.entry((pane, origin)).or_default();
            fragment.begin_with(earlier, aggregates)?;
            remeasure(fragment, bytes, &mut self.bytes);
        }
        Ok(())
    }

    /// Notes when each session could end whose last row so far lies in a pane.
    fn list(&mut self, pane: i64, aggregates: &Aggregates) -> Result<()> {
        for (key, span) in self.keys(pane, aggregates)? {
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
        Ok(())
    }

    /// Whether a session goes on in the next pane.
    fn reaches_on(&mut self, end: &End, aggregates: &Aggregates) -> Result<bool> {
        let next = end.pane.saturating_add(1);
        for origin in self.origins(next) {
            let done = self.done(next, origin, aggregates)?;
            let span = done.and_then(|done| done.span(&end.key));
            if span.is_some_and(|span| span.first < end.last.saturating_add(self.gap_micros)) {
                return Ok(true);
            }
        }
        Ok(false)
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
            for origin in self.origins(*pane) {
                let Some(done) = self.done(*pane, origin, aggregates)? else {
                    continue;
                };
                let found = ends
                    .iter()
                    .filter_map(|end| done.frozen.keys().find(&end.key));
                let taken = done.take(&found.collect::<Vec<usize>>())?;
                groups.merge(&taken.frozen)?;
                for (key, span) in taken.iter() {
                    let known = spans.entry(key.into()).or_insert(span);
                    *known = known.and(span);
                }
            }
        }
        Ok(Some(Ended { groups, spans }))
    }

    /// The keys of a pane, whoever their rows are of, with their spans.
    fn keys(&mut self, pane: i64, aggregates: &Aggregates) -> Result<BTreeMap<Box<[u8]>, Span>> {
        let mut keys: BTreeMap<Box<[u8]>, Span> = BTreeMap::new();
        for origin in self.origins(pane) {
            let Some(done) = self.done(pane, origin, aggregates)? else {
                continue;
            };
            for (key, span) in done.iter() {
                let known = keys.entry(key.into()).or_insert(span);
                *known = known.and(span);
            }
        }
        Ok(keys)
    }

    /// The origins of which rows lie in a pane.
    fn origins(&self, pane: i64) -> Vec<Origin> {
        let in_pane = (pane, Origin(0))..=(pane, Origin(u128::MAX));
        let origins = self.fragments.range(in_pane);
        origins.map(|((_, origin), _)| *origin).collect()
    }

    /// The rows of an origin in a pane, frozen.
    fn done(
        &mut self,
        pane: i64,
        origin: Origin,
        aggregates: &Aggregates,
    ) -> Result<Option<&Done>> {
        let Some((fragment, bytes)) = self.fragments.get_mut(&(pane, origin)) else {
            return Ok(None);
        };
        fragment.freeze(aggregates)?;
        remeasure(fragment, bytes, &mut self.bytes);
        fragment.freeze(aggregates)
    }

    /// The panes that change after the tick `since`, as state, in order.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn export(
        &mut self,
        since: i64,
        aggregates: &Aggregates,
    ) -> Result<Vec<(i64, Origin, Done)>> {
        let slots: Vec<(i64, Origin)> = self.fragments.keys().copied().collect();
        let mut exported = Vec::new();
        for (pane, origin) in slots {
            if self.listing(pane) > since {
                let done = self.done(pane, origin, aggregates)?.cloned();
                exported.extend(done.map(|done| (pane, origin, done)));
            }
        }
        Ok(exported)
    }

    /// Puts state in the place of what is there of an origin in a pane; nothing where it is not needed any more.
    pub(super) fn replace(&mut self, pane: i64, origin: Origin, done: Done) {
        if let Some((_, bytes)) = self.fragments.remove(&(pane, origin)) {
            self.bytes -= bytes;
        }
        let (fragment, bytes) = self
            .fragments
            .entry((pane, origin))
            .or_insert_with(|| (Fragment::of(done), 0));
        remeasure(fragment, bytes, &mut self.bytes);
        self.close_through(self.closed);
    }

    /// Lists anew what is listed when the ticks up to here are closed, after state was replaced.
    ///
    /// What was exported has brought with it what was carried.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(super) fn relist(&mut self, aggregates: &Aggregates) -> Result<()> {
        for end in std::mem::take(&mut self.ends).into_values().flatten() {
            self.bytes -= end.bytes();
        }
        self.listed = None;
        while let Some(pane) = self.unlisted()
            && self.listing(pane) <= self.closed
        {
            self.list(pane, aggregates)?;
        }
        Ok(())
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
