//! Compares what sinks wrote with what they should have: lost, doubled, wrong, and how long results were away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Instant, convert};

use super::load::SLIDE_MS;
use super::reference::Row;
use super::sinks::Written;

/// A host was killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kill {
    pub(super) host: usize,
    pub(super) at: Instant,
    /// When it was started again.
    pub(super) again: Instant,
    /// Applications of which it ran something.
    pub(super) hit: BTreeSet<usize>,
}

/// What came of an application's results.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// How many there should be.
    pub(super) expected: u64,
    /// Those of them that are nowhere.
    pub(super) lost: u64,
    /// Copies of one that is there already.
    pub(super) doubled: u64,
    /// Copies of one that a sink wrote in the moment in which its host was killed: nobody can know whether it had.
    pub(super) rewritten: u64,
    /// Rows, or lines, that are no results of this application.
    pub(super) wrong: u64,
    /// Lines that were there and were taken back.
    pub(super) taken_back: u64,
}

/// How long before a kill of its host a result may be written, so that whoever takes over cannot know of it.
///
/// Unit: time. Source: guess; what a sink has written is told upstream at once, and so known elsewhere after a way and what a busy machine adds.
const UNTOLD: Duration = Duration::from_secs(1);

/// Compares all that the sinks of an application wrote with its results, of which those that are of windows up to `until_ms` have to be there.
pub(super) fn judge(
    reference: &BTreeSet<Row>,
    until_ms: u64,
    files: &[&Written],
    kills: &[Kill],
) -> Verdict {
    let mut verdict = Verdict::default();
    let mut copies: BTreeMap<Row, Vec<Copy>> = BTreeMap::new();
    for (file, written) in files.iter().enumerate() {
        verdict.wrong += written.strange;
        verdict.taken_back += written.taken_back;
        for (at, row) in &written.rows {
            let (host, at) = (written.host, *at);
            let copy = Copy { at, file, host };
            copies.entry(*row).or_default().push(copy);
        }
    }
    for row in reference.iter().filter(|row| row.end_ms <= until_ms) {
        verdict.expected += 1;
        verdict.lost += u64::from(!copies.contains_key(row));
    }
    for (row, mut copies) in copies {
        copies.sort_unstable();
        if !reference.contains(&row) {
            verdict.wrong += convert::size(copies.len());
            continue;
        }
        for pair in copies.windows(2) {
            match pair[1].is_by_another(pair[0], kills) {
                true => verdict.rewritten += 1,
                false => verdict.doubled += 1,
            }
        }
    }
    verdict
}

/// A line that says a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Copy {
    at: Instant,
    file: usize,
    host: usize,
}

impl Copy {
    /// Whether the host of the one before was killed as soon as that was written, and this was written by who came after it.
    fn is_by_another(self, before: Self, kills: &[Kill]) -> bool {
        let kills = kills.iter().filter(|kill| kill.host == before.host);
        let mut moments = kills.filter(|kill| {
            let is_untold = kill.at.since(before.at) <= UNTOLD;
            // What was written before the kill is seen a little later.
            let is_written = before.at.since(kill.at) <= UNTOLD && before.at < kill.again;
            is_untold && is_written
        });
        moments.any(|kill| self.file != before.file || self.at >= kill.again)
    }
}

/// How an application came back after a host of it was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// From the kill to the first right result of after it.
    After(Duration),
    /// The same, but from when the host was started again: its sources were there.
    AfterStart(Duration),
    /// There was none.
    Never,
    /// An earlier kill was not over for it.
    StillAway,
}

/// How long it takes at most until a result that is on its way is written. Unit: milliseconds. Source: guess; half of what lies between two.
const UNDER_WAY_MS: u64 = SLIDE_MS / 2;

/// How an application came back after each kill that hit it. `starts` is when its sources began; `owner` is where they are.
pub(super) fn recoveries(
    application: usize,
    owner: usize,
    started: Instant,
    right: &[(Instant, Row)],
    kills: &[Kill],
) -> Vec<Recovery> {
    let mut came_back = Vec::new();
    // Since when its sources read without a break, and until when it is away.
    let (mut since, mut away_until) = (started, Some(started));
    for kill in kills.iter().filter(|it| it.hit.contains(&application)) {
        let is_sources = kill.host == owner;
        if away_until.is_none_or(|until| until > kill.at) {
            came_back.push(Recovery::StillAway);
        } else {
            let known = known_at(kill.at, since, right);
            let from = if is_sources { kill.again } else { kill.at };
            let mut after = right.iter().filter(|(at, _)| *at >= from);
            let first = after.find(|(_, row)| row.end_ms > known);
            away_until = first.map(|(at, _)| *at);
            came_back.push(match away_until {
                None => Recovery::Never,
                Some(until) if is_sources => Recovery::AfterStart(until.since(from)),
                Some(until) => Recovery::After(until.since(from)),
            });
        }
        if is_sources {
            since = kill.again;
        }
    }
    came_back
}

/// The end of the last window that may have closed before a moment: no result of a later one can be on its way. Unit: milliseconds behind the first row.
fn known_at(moment: Instant, since: Instant, right: &[(Instant, Row)]) -> u64 {
    let before = right.iter().filter(|(at, _)| *at <= moment);
    let written = before.clone().map(|(_, row)| row.end_ms).max();
    let flowing = before.filter(|(at, _)| *at >= since);
    // Of no result it is longer from its window's end until it was seen than it was for the fastest.
    let begun = flowing.map(|(at, row)| millis(*at).saturating_sub(row.end_ms));
    let read = begun
        .min()
        .map(|begun| millis(moment) - begun + UNDER_WAY_MS);
    written.max(read).unwrap_or(0)
}

fn millis(at: Instant) -> u64 {
    at.as_nanos() / 1_000_000
}

#[cfg(test)]
mod tests;
