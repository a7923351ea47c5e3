//! Exactly once: what leaves at sinks is what a sequential reference makes of the rows of the sources alone.
//!
//! Sources number their rows, and say here what they offer; sinks say here what leaves, by position, as it came. The reference evaluates the plan row
//! after row: it knows no engine, no edge, no host and no batch, and judges no duplicate. What an operator holds as state is judged by what
//! comes of it: a window whose state took a row twice, or never, has another sum.
//!
//! Rows that a sink was told it lacks may lack; nothing else may, and nothing may leave twice or differ. Only where a sink goes on in the place of one
//! that is gone, what left there last may leave again, as it was.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use arrow_array::{Array, Int64Array, TimestampMicrosecondArray};
use engine::Batch;
use model::name::Digest;
use model::{ComponentGraph, CompositionId, Instant, Origin, convert};

mod reference;

use reference::Output;
pub(super) use reference::WINDOW_MICROS;

/// What a source offers: its own number for it, what it says, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offered {
    pub(super) number: u64,
    pub(super) value: i64,
    /// Unit: microseconds since the epoch.
    pub(super) time: i64,
}

/// Where an output stands in what leaves at a sink: its origin and index, or of results of a window, whose they are and when that began.
type Place = (Origin, i64);

/// How long after it left a result may leave again, where a sink goes on in the place of another: for that long nobody may have heard of it.
///
/// Unit: time. Source: guess; above what a host is missed for and what lost messages add.
const AGAIN_MAX: Duration = Duration::from_secs(4);

/// What has left at a sink.
#[derive(Debug, Default)]
struct Left {
    /// Every row that left, as often as it did.
    rows: Vec<(Origin, u64, Vec<i64>, Instant)>,
    /// Rows that it was told it lacks.
    missing: u64,
    /// Whether it was made again where another one had been: what had left there and was not known to have is told again.
    is_again: bool,
}

/// What sources have offered, and what has left.
#[derive(Debug, Default)]
pub(super) struct Exact {
    /// By origin, in order of their numbers from 1.
    offered: BTreeMap<Origin, Vec<Offered>>,
    /// How many of these each source of its own has offered.
    counts: BTreeMap<(CompositionId, usize), u64>,
    left: BTreeMap<(CompositionId, usize), Left>,
    /// Compositions that share something that others feed, or did once.
    sharing: BTreeSet<CompositionId>,
    /// Compositions of which rows may lack that nobody knows of.
    lacking: BTreeSet<CompositionId>,
    /// Whether hosts were cut off from one another: each side may have given what the other gives when they are one again.
    is_parted: bool,
    wrong: Vec<String>,
}

/// How much of what was offered must have left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Through {
    /// All of it: nothing is under way any more.
    All,
    /// What came before the last that left.
    Last,
}

impl Exact {
    /// A composition goes by a graph from here on.
    pub(super) fn bind(&mut self, id: CompositionId, graph: &ComponentGraph) {
        let mut parts = graph.sources().iter().chain(graph.operators());
        if parts.any(|binding| binding.shared) {
            self.sharing.insert(id);
        }
    }

    /// Hosts are cut off from one another.
    pub(super) const fn part(&mut self) {
        self.is_parted = true;
    }

    /// Rows of a composition may lack from here on, though none may differ or leave twice.
    pub(super) fn lose(&mut self, id: CompositionId) {
        self.lacking.insert(id);
    }

    /// A source, or a sink, of a composition is made anew.
    pub(super) fn begin_source(&mut self, of: (CompositionId, usize)) {
        self.counts.insert(of, 0);
    }

    /// See [`Exact::begin_source`].
    pub(super) fn begin_sink(&mut self, of: (CompositionId, usize)) {
        self.left.insert(of, Left::default());
    }

    /// A sink goes on in the place of one that is gone: nobody knows of the last rows there whether they have left, and they leave again.
    pub(super) fn resume_sink(&mut self, of: (CompositionId, usize)) {
        self.left.entry(of).or_default().is_again = true;
    }

    /// A source offers a row. Sources of one origin say the same.
    pub(super) fn offer(&mut self, of: (CompositionId, usize), origin: Origin, row: Offered) {
        let count = self.counts.entry(of).or_default();
        *count += 1;
        let rows = self.offered.entry(origin).or_default();
        let known = rows.get(convert::index(row.number.saturating_sub(1)));
        let is_next = row.number == convert::size(rows.len()) + 1;
        if *count != row.number || !(known == Some(&row) || known.is_none() && is_next) {
            let what =
                format!("{row:?} of {origin:?} is number {count} of {of:?}, after {known:?}");
            self.wrong.push(what);
        } else if is_next {
            rows.push(row);
        }
    }

    /// A batch leaves at a sink.
    pub(super) fn leave(&mut self, now: Instant, of: (CompositionId, usize), batch: &Batch) {
        let left = self.left.entry(of).or_default();
        left.missing += u64::from(batch.header.missing);
        let columns: Option<Vec<Vec<i64>>> = batch
            .rows
            .columns()
            .columns()
            .iter()
            .map(|it| numbers(it.as_ref()))
            .collect();
        let Some(columns) = columns else {
            self.wrong.push(format!("{of:?} gives no numbers"));
            return;
        };
        for (row, index) in batch.indices().enumerate() {
            let values = columns.iter().map(|column| column[row]).collect();
            left.rows.push((batch.header.origin, index, values, now));
        }
    }

    /// What is wrong with what left for a composition.
    pub(super) fn check(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        through: Through,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        for sink in 0..graph.plan().sinks().len() {
            if let Some(left) = self.left.get(&(id, sink)) {
                match self.expected(id, graph, sink) {
                    Ok(expected) => {
                        let is_own = !self.sharing.contains(&id);
                        let missing = match self.lacking.contains(&id) {
                            true => u64::MAX,
                            false => left.missing,
                        };
                        let late = (!self.is_parted).then(|| left_again_late(left)).flatten();
                        let found = compare(left, missing, &expected, is_own, through).or(late);
                        wrong.extend(found.map(|what| format!("sink {sink} of {id:?}: {what}")));
                    }
                    Err(what) => wrong.push(what),
                }
            }
        }
        wrong
    }

    /// What is wrong with what sources and sinks told.
    pub(super) fn wrong(&self) -> &[String] {
        &self.wrong
    }

    /// How many rows have left for a composition.
    pub(super) fn left_rows(&self, id: CompositionId) -> usize {
        let of_it = self.left.iter().filter(|((of, _), _)| *of == id);
        of_it.map(|(_, left)| left.rows.len()).sum()
    }

    /// What the reference makes of what the sources of a composition have offered.
    fn expected(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        sink: usize,
    ) -> Result<Output, String> {
        let is_own = !self.sharing.contains(&id);
        let sources = graph.origins().iter().enumerate();
        let sources = sources.map(|(index, origin)| {
            let all = self.offered.get(origin).map_or(&[][..], Vec::as_slice);
            // Of what another composition feeds, by a source or something later that is shared, it is not known here how far that is.
            let own = self.counts.get(&(id, index)).filter(|_| is_own);
            let count = own.map_or(all.len(), |it| convert::index(*it));
            (*origin, &all[..count.min(all.len())])
        });
        reference::evaluate(graph.plan(), &sources.collect::<Vec<_>>(), sink)
    }
}

/// The first that left again long after it had.
fn left_again_late(left: &Left) -> Option<String> {
    let mut since: BTreeMap<(Origin, u64), Instant> = BTreeMap::new();
    left.rows.iter().find_map(|(origin, index, _, at)| {
        let first = *since.entry((*origin, *index)).or_insert(*at);
        let after = at.since(first);
        (after >= AGAIN_MAX)
            .then(|| format!("{origin:?}, index {index}, leaves again after {after:?}"))
    })
}

/// What is wrong with what left, if anything is.
fn compare(
    left: &Left,
    missing: u64,
    expected: &Output,
    is_own: bool,
    through: Through,
) -> Option<String> {
    // Of two sides of a network that was parted each has results of its own, and one of them knows what it lacks.
    let is_whole = missing == 0;
    let mut found: BTreeMap<Place, Vec<i64>> = BTreeMap::new();
    for (origin, index, values, _) in &left.rows {
        let place = match expected.is_windowed {
            true => (*origin, values[0]),
            false => (*origin, i64::try_from(*index).unwrap_or(i64::MAX)),
        };
        let before = found.insert(place, values.clone());
        let may_leave = |before: &Vec<i64>| left.is_again && (before == values || !is_whole);
        if let Some(before) = before.filter(|before| !may_leave(before)) {
            return Some(format!(
                "{place:?}, index {index}, leaves twice: {before:?} and {values:?}"
            ));
        }
    }
    // Windows are their component's own: the reference does not say how that is called.
    let expected = match (expected.is_windowed, found.keys().next()) {
        (true, Some((origin, _))) => expected.named(*origin),
        _ => expected.rows.clone(),
    };
    for (place, values) in &found {
        match expected.get(place) {
            Some(reference) if reference == values => {}
            Some(_) if !is_whole => {}
            reference => {
                return Some(format!(
                    "{values:?} leaves at {place:?}, and the reference says {reference:?}"
                ));
            }
        }
    }
    let origins: BTreeSet<Origin> = expected.keys().map(|(origin, _)| *origin).collect();
    let mut wanted: BTreeMap<Place, Vec<i64>> = BTreeMap::new();
    for origin in origins {
        let of_it = (origin, i64::MIN)..=(origin, i64::MAX);
        let first = found.range(of_it.clone()).next().map(|(place, _)| place.1);
        let last = found
            .range(of_it.clone())
            .next_back()
            .map(|(place, _)| place.1);
        // Who shares something reads from where that was, and how far others feed it is not known here.
        let from = if is_own { Some(i64::MIN) } else { first };
        let to = match through {
            Through::All if is_own => Some(i64::MAX),
            Through::All | Through::Last => last,
        };
        let (Some(from), Some(to)) = (from, to) else {
            continue;
        };
        let range = expected.range((origin, from)..=(origin, to));
        wanted.extend(range.map(|(place, values)| (*place, values.clone())));
    }
    if digest(&wanted) == digest(&found) {
        return None;
    }
    let lacking: Vec<&Place> = wanted.keys().filter(|it| !found.contains_key(it)).collect();
    if convert::size(lacking.len()) <= missing {
        return None;
    }
    Some(format!(
        "{} of {} rows never left, and {missing} are known to be missing; the first is {:?}",
        lacking.len(),
        wanted.len(),
        lacking.first()
    ))
}

fn digest(rows: &BTreeMap<Place, Vec<i64>>) -> Digest {
    let mut bytes = Vec::new();
    for ((origin, place), values) in rows {
        bytes.extend(origin.0.to_le_bytes());
        bytes.extend(place.to_le_bytes());
        bytes.extend(values.iter().flat_map(|it| it.to_le_bytes()));
    }
    Digest::of("synergy 2026 outputs", &[&bytes])
}

/// A column of numbers or times; nothing where it is another.
fn numbers(column: &dyn Array) -> Option<Vec<i64>> {
    let any = column.as_any();
    if let Some(integers) = any.downcast_ref::<Int64Array>() {
        return Some(integers.values().to_vec());
    }
    let times = any.downcast_ref::<TimestampMicrosecondArray>()?;
    Some(times.values().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: Origin = Origin(7);

    fn left(rows: &[(u64, i64)], is_again: bool) -> Left {
        let rows = rows
            .iter()
            .map(|(index, value)| (ORIGIN, *index, vec![*value], Instant::ZERO));
        Left {
            rows: rows.collect(),
            missing: 0,
            is_again,
        }
    }

    #[test]
    fn rows_leave_again_soon_or_not_at_all() {
        let mut left = left(&[(1, 10), (2, 20), (2, 20)], true);
        left.rows[2].3 = Instant::ZERO + AGAIN_MAX / 2;
        assert_eq!(left_again_late(&left), None);
        left.rows[2].3 = Instant::ZERO + AGAIN_MAX;
        assert!(left_again_late(&left).is_some());
    }

    #[test]
    fn rows_leave_again_only_as_they_were_and_where_a_sink_goes_on() {
        let expected = Output {
            rows: (1..=3)
                .map(|index| ((ORIGIN, index), vec![10 * index]))
                .collect(),
            is_windowed: false,
        };
        let wrong = |rows: &[(u64, i64)], is_again| {
            compare(&left(rows, is_again), 0, &expected, true, Through::All)
        };
        let once = [(1, 10), (2, 20), (3, 30)];
        let again = [(1, 10), (2, 20), (2, 20), (3, 30)];
        let other = [(1, 10), (2, 21), (2, 20), (3, 30)];
        let lacking = [(1, 10), (3, 30)];
        assert_eq!(wrong(&once, false), None);
        assert_eq!(wrong(&once, true), None);
        assert_eq!(wrong(&again, true), None);
        assert!(wrong(&again, false).is_some());
        for is_again in [false, true] {
            assert!(wrong(&other, is_again).is_some());
            assert!(wrong(&lacking, is_again).is_some());
        }
    }
}
