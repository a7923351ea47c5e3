//! `bench applications`: what an application occupies on a node that runs many that are nearly the same.
//!
//! All of them read one stream and do the same with it, but for the last filter of each. Once nodes share what runs already, and once they do
//! not. What counts is what no file stands behind: the data of the process, its threads' stacks among them.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use model::{Clock, convert};
use node::clock::MachineClock;

use super::machine::Footprint;
use super::report::Report;
use crate::cli::note;
use crate::local::bed::Bed;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::{shape, up};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the node is meanwhile.
    pub folder: Folder,
    /// With how many applications the memory is looked at. Range: ascending, from 1.
    pub counts: Vec<u64>,
    /// How long it may take at most to ask for all of them, with sharing and without.
    pub limit: Duration,
    /// How long the node is left alone before its memory is looked at.
    pub settle: Duration,
}

/// The ways of composing that are compared, and what their figures are called.
const POLICIES: [(&str, &str); 2] = [("shared", "synergy"), ("unshared", "composition")];

/// How many rows a second the stream has. Unit: rows per second. Source: guess; memory is asked about, not work.
const RATE: u64 = 10;

/// How many rows there are: for as long as a run may take.
///
/// Unit: rows. Source: an hour at [`RATE`].
const ROWS: u64 = 3_600 * RATE;

/// The target of each. Source: guess; none is refused for it.
const TARGET: &str = "10s";

/// What a light edge engine takes for a rule, as it says itself. Unit: bytes. Source: what its makers publish.
const GOAL_BYTES: f64 = 450e3;

/// What is looked at.
#[derive(Debug)]
struct Seen {
    word: &'static str,
    /// With how many applications, and how many bytes each of them took.
    each: Vec<(u64, f64)>,
    refused: u64,
    asked_s: f64,
}

/// Measures; see the module. Signals to stop are heard until it is done.
///
/// # Errors
/// When the node does not come up, it ends, or somebody wants to stop. Nothing of it is left.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let interrupt = Interrupt::by_signals()?;
    let mut seen = Vec::new();
    for (word, policy) in POLICIES {
        seen.push(look(options, word, policy, &interrupt)?);
    }
    Ok(report(options, &seen))
}

fn look(
    options: &Options,
    word: &'static str,
    policy: &str,
    interrupt: &Interrupt,
) -> anyhow::Result<Seen> {
    let wanted = up::Options {
        nodes: 1,
        program: PathBuf::new(),
        // What is promised to applications is not what is asked about.
        arguments: ["--set", "offer.cpu=1000", "--memory", "64GiB"]
            .map(str::to_owned)
            .to_vec(),
        shape: Some(shape::Options {
            policy: Some(policy.to_owned()),
            ..shape::Options::default()
        }),
        netns: None,
    };
    let bed = Bed::up(&options.folder, &wanted, interrupt)?;
    std::fs::write(bed.files().join("rows.csv"), rows())?;
    bed.publish(0, "bench/rows", &source())?;
    let process = bed.testbed.nodes[0].pid;
    let footprint = || {
        bed.pass(options.settle)?;
        let footprint = Footprint::of(process).context("the node has ended")?;
        anyhow::Ok(convert::count_to_f64(footprint.anonymous_bytes))
    };
    let before = footprint()?;
    let clock = MachineClock::start();
    let begin = clock.now();
    let mut seen = Seen {
        word,
        each: Vec::new(),
        refused: 0,
        asked_s: 0.0,
    };
    let mut number = 0;
    'counts: for count in &options.counts {
        while number < *count {
            if clock.now().since(begin) >= options.limit {
                note(&format!(
                    "{word}: {number} applications in {:?}",
                    options.limit
                ));
                break 'counts;
            }
            if let Err(failure) = bed.ask(0, application(number)) {
                interrupt.check()?;
                note(&format!(
                    "{word}: application {number}: {}",
                    failure.message
                ));
                seen.refused += 1;
                break 'counts;
            }
            number += 1;
        }
        seen.asked_s = clock.now().since(begin).as_secs_f64();
        let bytes = (footprint()? - before) / convert::count_to_f64(*count);
        note(&format!(
            "{word}: {count} applications, {bytes:.0} bytes each"
        ));
        seen.each.push((*count, bytes));
    }
    Ok(seen)
}

fn rows() -> String {
    let mut text = "time,key,value\n".to_owned();
    for row in 0..ROWS {
        let time = 1_700_000_000_000 + row * 1_000 / RATE;
        writeln!(text, "{time},{},{}", row % 10, row % 1_000)
            .expect("writing into memory does not fail");
    }
    text
}

fn source() -> String {
    format!(
        "connector = \"file\"\npath = \"rows.csv\"\ntime = {{ field = \"time\", unit = \"ms\" }}\n\
         schema = {{ time = \"int64\", key = \"int64\", value = \"int64\" }}\nspeed = 1.0\nrate = {RATE}\n"
    )
}

/// An application like all others but for its last filter.
fn application(number: u64) -> String {
    format!(
        "name = \"application-{number}\"\n[qos]\nlatency = \"{TARGET}\"\n\
         [source.rows]\nstream = \"bench/rows\"\n\
         [operator.valid]\nfrom = \"rows\"\nuse = \"filter\"\nwhere = \"value >= 0\"\n\
         [operator.sums]\nfrom = \"valid\"\nuse = \"window\"\nwindow = {{ tumbling = \"1s\" }}\nby = [\"key\"]\n\
         [operator.sums.select]\ntotal = \"sum(value)\"\n\
         [operator.alerts]\nfrom = \"sums\"\nuse = \"filter\"\nwhere = \"total > {number}\"\n\
         [sink.out]\nfrom = \"alerts\"\nconnector = \"requester\"\n"
    )
}

fn report(options: &Options, seen: &[Seen]) -> Report {
    let mut report = Report::new("applications", Vec::new());
    report.number("settle_s", options.settle.as_secs_f64());
    report.number("limit_s", options.limit.as_secs_f64());
    report.number("bytes_per_application_goal", GOAL_BYTES);
    for it in seen {
        let word = it.word;
        for (count, bytes) in &it.each {
            report.number(&format!("bytes_per_application.{word}.{count}"), *bytes);
        }
        // Of as many as there were at most: what the node took for the first of its kind counts least there.
        if let Some((count, bytes)) = it.each.last() {
            report.count(&format!("applications.{word}"), *count);
            report.number(&format!("bytes_per_application.{word}"), *bytes);
        }
        report.count(&format!("refused.{word}"), it.refused);
        report.number(&format!("asked_s.{word}"), it.asked_s);
    }
    let most = options.counts.last();
    let is_complete = |it: &Seen| it.each.last().map(|(count, _)| count) == most;
    report.claim("all_counts_reached", seen.iter().all(is_complete));
    let last = |it: &Seen| it.each.last().map_or(f64::INFINITY, |(_, bytes)| *bytes);
    let holds = seen.iter().all(|it| last(it) <= GOAL_BYTES);
    report.claim("bytes_per_application_within_goal", holds);
    report
}
