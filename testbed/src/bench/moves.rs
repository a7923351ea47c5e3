//! `bench moves`: an application whose operators go from host to host all the time, beside a run of it without any move.
//!
//! Rows flow through a filter, a sliding window and a filter on five nodes. An operator, a host and who is asked are drawn again and again.
//! What has left at the sink in the end has to be what the same file gives in one process, row for row.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use model::{Clock, Rng, convert};

use super::report::Report;
use crate::cli::note;
use crate::local::bed::Bed;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::{shape, up};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the nodes are meanwhile.
    pub folder: Folder,
    /// How many moves there are to be. Range: from 1.
    pub moves: u64,
    /// For how long rows flow.
    pub duration: Duration,
    /// How many of them. Unit: rows per second.
    pub rate: u64,
    /// What rows and moves are drawn from.
    pub seed: u64,
}

/// How many nodes there are. Source: guess; two more than operators.
const NODES: u32 = 5;

/// What moves.
const OPERATORS: [&str; 3] = ["some", "counted", "big"];

/// How long what has flowed may take to its end. Unit: time. Source: guess; a busy machine.
const END_WAIT: Duration = Duration::from_secs(60);

/// How often it is asked whether it has ended. Unit: time.
const END_INTERVAL: Duration = Duration::from_millis(200);

/// What came of all moves.
#[derive(Debug, Default)]
struct Seen {
    total_ms: Vec<f64>,
    switch_ms: Vec<f64>,
    /// Those that were refused for another reason than that the operator was there.
    refused: u64,
    /// Those that no record could tell of, since its owner was behind.
    unrecorded: u64,
}

/// Measures; see the module. Signals to stop are heard until it is done.
///
/// # Errors
/// When nodes do not come up, the application is refused or does not end, or somebody wants to stop. Nothing of it is left.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let interrupt = Interrupt::by_signals()?;
    let wanted = up::Options {
        nodes: NODES,
        program: PathBuf::new(),
        arguments: Vec::new(),
        shape: Some(shape::Options::default()),
        netns: None,
    };
    let bed = Bed::up(&options.folder, &wanted, &interrupt)?;
    let mut rng = Rng::from_seed(options.seed);
    std::fs::write(bed.files().join("rows.csv"), rows(options, &mut rng))?;
    bed.run_alone(&application("", "alone"))?;
    let asked = bed.ask(0, application("speed = 1\n", "moved"));
    asked.map_err(|refused| anyhow::anyhow!(refused.message))?;
    let begin = bed.clock.now();
    let mut seen = shuffle(options, &bed, &mut rng)?;
    let until = begin + options.duration + END_WAIT;
    while bed.status(0, "moved")?.status != "finished" {
        anyhow::ensure!(bed.clock.now() < until, "it does not come to its end");
        bed.pass(END_INTERVAL)?;
    }
    seen.unrecorded = bed.counted("handovers_over_limit")?;
    let lines = |name: &str| Lines::read(&bed.files().join(format!("{name}.jsonl")));
    let (expected, found) = (lines("alone")?, lines("moved")?);
    Ok(report(options, &seen, &expected, &found))
}

/// Moves operators until there were as many moves as are wanted, or rows end.
fn shuffle(options: &Options, bed: &Bed<'_>, rng: &mut Rng) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let until = bed.clock.now() + options.duration;
    let mut below = |count: usize| convert::index(rng.below(convert::size(count)));
    let nodes = bed.testbed.nodes.len();
    while convert::size(seen.total_ms.len()) < options.moves && bed.clock.now() < until {
        bed.interrupt.check()?;
        let operator = OPERATORS[below(OPERATORS.len())];
        let (by, to) = (below(nodes), &bed.testbed.nodes[below(nodes)].name);
        match bed.move_operator(by, ("moved", operator), to) {
            Ok(moved) => {
                seen.total_ms.push(moved.total_ms);
                seen.switch_ms.push(moved.switch_ms);
            }
            Err(failure) if failure.message.contains("already") => {}
            Err(failure) => {
                note(&format!("{operator} to {to}: {}", failure.message));
                seen.refused += 1;
            }
        }
    }
    Ok(seen)
}

fn rows(options: &Options, rng: &mut Rng) -> String {
    let mut text = "seq,at,key,value\n".to_owned();
    for seq in 0..options.duration.as_secs() * options.rate {
        let at = 1_700_000_000_000 + seq * 1_000 / options.rate;
        let (key, value) = (rng.below(200), rng.below(1_000));
        writeln!(text, "{seq},{at},{key},{value}").expect("writing into memory does not fail");
    }
    text
}

/// The application, to a file of its name.
fn application(speed: &str, name: &str) -> String {
    format!(
        "name = \"{name}\"\n[qos]\nlatency = \"2s\"\n\
         [source.rows]\nconnector = \"file\"\npath = \"rows.csv\"\n{speed}\
         time = {{ field = \"at\", unit = \"ms\", out_of_order = \"10ms\" }}\n\
         [operator.some]\nuse = \"filter\"\nfrom = \"rows\"\nwhere = \"value >= 100\"\n\
         [operator.counted]\nuse = \"window\"\nfrom = \"some\"\nwindow = {{ sliding = \"5s\", slide = \"1s\" }}\n\
         by = [\"key\"]\nselect = {{ n = \"count(*)\", total = \"sum(seq)\" }}\n\
         [operator.big]\nuse = \"filter\"\nfrom = \"counted\"\nwhere = \"n > 1\"\n\
         [sink.out]\nfrom = \"big\"\nconnector = \"file\"\npath = \"{name}.jsonl\"\n"
    )
}

/// How often each line is in a file.
#[derive(Debug)]
pub(crate) struct Lines(BTreeMap<String, u64>);

impl Lines {
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Ok(Self::of(&text))
    }

    pub(crate) fn of(text: &str) -> Self {
        let mut lines = BTreeMap::new();
        for line in text.lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
        Self(lines)
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.values().sum()
    }

    /// How many lines there are that the other does not have.
    pub(crate) fn beyond(&self, other: &Self) -> u64 {
        let beyond = self.0.iter().map(|(line, count)| {
            let there = other.0.get(line).copied().unwrap_or(0);
            count.saturating_sub(there)
        });
        beyond.sum()
    }
}

fn report(options: &Options, seen: &Seen, expected: &Lines, found: &Lines) -> Report {
    let mut report = Report::new("moves", vec![options.seed]);
    let moves = convert::size(seen.total_ms.len());
    let (lost, doubled) = (expected.beyond(found), found.beyond(expected));
    report.count("moves", moves);
    report.count("refused", seen.refused);
    report.count("unrecorded", seen.unrecorded);
    report.count("rows", options.duration.as_secs() * options.rate);
    report.count("results", expected.count());
    report.count("lost", lost);
    report.count("doubled", doubled);
    report.spread("total_ms", &seen.total_ms);
    report.spread("switch_ms", &seen.switch_ms);
    report.claim("all_moves_done", moves >= options.moves);
    report.claim("all_moves_recorded", seen.unrecorded == 0);
    report.claim(
        "results_equal",
        lost == 0 && doubled == 0 && expected.count() > 0,
    );
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_and_what_is_doubled_is_counted() {
        let (expected, found) = (Lines::of("a\nb\nc\n"), Lines::of("a\nc\nc\nd\n"));
        assert_eq!(expected.beyond(&found), 1);
        assert_eq!(found.beyond(&expected), 2);
        assert_eq!(expected.beyond(&expected), 0);
    }
}
