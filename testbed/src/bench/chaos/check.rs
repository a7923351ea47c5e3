//! Compares what sinks wrote with what they should have: lost, doubled, wrong, and how long results were away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{Instant, convert};

use super::load::SLIDE_MS;
use super::reference::Row;
use super::sinks::Written;

/// What happens to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its process is killed, and started again.
    Kill,
    /// Its process is stopped where it stands, and goes on.
    Silence,
    /// It is cut off from all others, and is not any more.
    CutOff,
}

/// Some hosts failed together, or shortly one after the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shock {
    pub(super) fault: Fault,
    pub(super) hits: Vec<Hit>,
    /// Applications of which they ran something, and what.
    pub(super) applications: BTreeMap<usize, Part>,
}

/// A host failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) host: usize,
    pub(super) at: Instant,
    /// When it began to come back.
    pub(super) again: Instant,
}

/// What hosts that failed ran of an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    /// Operators only.
    Operators,
    /// A source or a sink, and not all.
    Ends,
    /// All of it.
    Whole,
}

impl Part {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Operators, Self::Ends, Self::Whole];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Operators => "operators",
            Self::Ends => "ends",
            Self::Whole => "whole",
        }
    }
}

/// What came of an application's results.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Verdict {
    /// How many there should be.
    pub(super) expected: u64,
    /// Those of them that are nowhere.
    pub(super) lost: u64,
    /// Copies of one that is there already.
    pub(super) doubled: u64,
    /// Copies of one that a sink wrote in the moment in which its host failed: whoever takes over cannot know whether it had.
    pub(super) rewritten: u64,
    /// Rows, or lines, that are no results of this application.
    pub(super) wrong: u64,
    /// Lines that were there and were taken back.
    pub(super) taken_back: u64,
    /// The ends of the first and of the last window of which something is lost. Unit: milliseconds behind the first row.
    pub(super) lost_ms: Option<(u64, u64)>,
    /// The first result that is doubled: which, and who wrote it before and after.
    pub(super) doubled_by: Option<(Row, Copy, Copy)>,
}

/// How long before its host fails a result may be written, so that whoever takes over cannot know of it.
///
/// Unit: time. Source: guess; what a sink has written is told upstream at once, and so known elsewhere after a way and what a busy machine adds.
const UNTOLD: Duration = Duration::from_secs(1);

/// Compares all that the sinks of an application wrote with its results, of which those that are of windows up to `until_ms` have to be there.
pub(super) fn judge(
    reference: &BTreeSet<Row>,
    until_ms: u64,
    files: &[&Written],
    shocks: &[Shock],
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
        if !copies.contains_key(row) {
            verdict.lost += 1;
            let first = verdict.lost_ms.map_or(row.end_ms, |(first, _)| first);
            verdict.lost_ms = Some((first, row.end_ms));
        }
    }
    for (row, mut copies) in copies {
        copies.sort_unstable();
        if !reference.contains(&row) {
            verdict.wrong += convert::size(copies.len());
            continue;
        }
        for pair in copies.windows(2) {
            if pair[1].is_by_another(pair[0], shocks) {
                verdict.rewritten += 1;
            } else {
                verdict.doubled += 1;
                let first = verdict.doubled_by.take();
                verdict.doubled_by = first.or(Some((row, pair[0], pair[1])));
            }
        }
    }
    verdict
}

/// A line that says a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Copy {
    pub(super) at: Instant,
    file: usize,
    pub(super) host: usize,
}

impl Copy {
    /// Whether the host of the one before failed as soon as that was written, and this was written by who came in its place or after it; where hosts are
    /// only not heard, whoever of the two it was.
    fn is_by_another(self, before: Self, shocks: &[Shock]) -> bool {
        let is_other_file = self.file != before.file;
        let hits = shocks
            .iter()
            .flat_map(|shock| shock.hits.iter().map(|hit| (shock.fault, hit)));
        let mut is_of = hits.map(|(fault, hit)| match fault {
            // Who is dead writes no more, which is seen a little later.
            Fault::Kill => {
                let is_last = hit.wrote(before, hit.again.min(hit.at + UNTOLD));
                is_last && (is_other_file || self.at >= hit.again)
            }
            // Who is alive does until it hears that it was given up.
            Fault::Silence | Fault::CutOff => {
                let until = hit.again + UNTOLD;
                is_other_file && (hit.wrote(before, until) || hit.wrote(self, until))
            }
        });
        is_of.any(|is_of| is_of)
    }
}

impl Hit {
    /// Whether its host wrote something shortly before it failed, or after that until some time.
    fn wrote(&self, copy: Copy, until: Instant) -> bool {
        self.host == copy.host && self.at.since(copy.at) <= UNTOLD && copy.at < until
    }
}

/// What a shock was for an application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Back {
    /// Which of all shocks.
    pub(super) shock: usize,
    pub(super) part: Part,
    pub(super) recovery: Recovery,
    /// Whether it had come back from what was before.
    pub(super) is_back: bool,
    /// From the same moment to the first right result, of whichever time: not long after it where results only have much to catch up with.
    pub(super) any: Option<Duration>,
}

/// How an application came back after hosts of it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Recovery {
    /// From the last of them to the first right result of after the first.
    After(Duration),
    /// The same, but from when the host of its sources began to come back.
    AfterStart(Duration),
    /// There was none.
    Never,
    /// It never came back from what was before.
    StillAway,
}

/// How long it takes at most until a result that is on its way is written. Unit: milliseconds. Source: guess; half of what lies between two.
const UNDER_WAY_MS: u64 = SLIDE_MS / 2;

/// How an application came back from each shock that hit it. `owner` is where its sources are, which began at `started`; `right` are its results in their order.
pub(super) fn recoveries(
    application: usize,
    owner: usize,
    started: Instant,
    right: &[(Instant, Row)],
    shocks: &[Shock],
) -> Vec<Back> {
    let mut came_back = Vec::new();
    // Since when its sources read without a break, when it is back from what was last, and which window is known of.
    let (mut since, mut back_at, mut known) = (started, Some(started), 0);
    for (index, shock) in shocks.iter().enumerate() {
        let Some(part) = shock.applications.get(&application) else {
            continue;
        };
        let at = shock.hits.iter().map(|it| it.at);
        let (first, last) = (at.clone().min(), at.max());
        let (first, last) = first.zip(last).expect("somebody failed");
        let of_sources = shock.hits.iter().find(|it| it.host == owner);
        let from = of_sources.map_or(last, |it| it.again.max(last));
        let after = right.iter().filter(|(at, _)| *at >= from);
        let is_back = back_at.is_some_and(|at| at <= first);
        let recovery = match back_at {
            None => Recovery::StillAway,
            Some(_) => {
                known = known_at(first, since, right).max(known);
                let back = after.clone().find(|(_, row)| row.end_ms > known);
                back_at = back.map(|(at, _)| *at);
                let took = back_at.map(|at| at.since(from));
                took.map_or(Recovery::Never, |took| match of_sources {
                    None => Recovery::After(took),
                    Some(_) => Recovery::AfterStart(took),
                })
            }
        };
        came_back.push(Back {
            shock: index,
            part: *part,
            recovery,
            is_back,
            any: after.clone().next().map(|(at, _)| at.since(from)),
        });
        if of_sources.is_some() {
            since = from;
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
