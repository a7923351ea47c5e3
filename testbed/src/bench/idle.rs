//! `bench idle`: what nodes occupy and use that have joined and have nothing to do.
//!
//! A testbed is brought up and left alone. When it has settled, each of its processes is looked at for a time: the
//! memory that it occupies, and the processor time that it uses. The worst node counts.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use model::{Clock, convert};
use node::clock::MachineClock;

use super::machine::Footprint;
use super::report::Report;
use crate::cli::note;
use crate::local::down;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::process::{self, Process};
use crate::local::up::{self, Testbed};

/// What is measured.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the testbed is meanwhile.
    pub folder: Folder,
    /// How many nodes.
    pub nodes: u32,
    /// The program that they run.
    pub program: PathBuf,
    /// What they are told beside what each testbed tells its nodes.
    pub arguments: Vec<String>,
    /// How long nodes are left alone before they are looked at.
    pub settle: Duration,
    /// For how long they are looked at.
    pub duration: Duration,
}

/// How often nodes are looked at. Unit: time. Source: guess; a look takes some 50 us.
const INTERVAL: Duration = Duration::from_millis(500);

/// The memory that a node may occupy. Unit: bytes. Source: what is promised.
const RESIDENT_GOAL_BYTES: u64 = 30 << 20;

/// The share of a core that a node may use. Unit: fraction. Source: what is promised.
const CPU_GOAL: f64 = 0.005;

/// Measures; see the module. Signals to stop are heard until it is done.
///
/// # Errors
/// When the testbed does not come up, a node ends, or somebody wants to stop. A goal that is missed is no error, but a
/// claim that does not hold. Nothing of the testbed is left.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let interrupt = Interrupt::by_signals()?;
    let testbed = up::up(
        &options.folder,
        &up::Options {
            nodes: options.nodes,
            program: options.program.clone(),
            arguments: options.arguments.clone(),
            shape: None,
            netns: None,
        },
        &interrupt,
    )?;
    let watched = watch(options, &interrupt);
    down::down(&options.folder).context("the testbed could not be ended")?;
    Ok(report(options, &testbed, &watched?))
}

/// What was seen of a node.
#[derive(Debug)]
struct Watched {
    first: Footprint,
    last: Footprint,
    /// How long it was looked at.
    time: Duration,
    samples: u64,
    /// Of all samples, together.
    resident_bytes: u64,
    anonymous_bytes: u64,
    file_bytes: u64,
    resident_bytes_max: u64,
}

fn watch(options: &Options, interrupt: &Interrupt) -> anyhow::Result<Vec<Watched>> {
    let clock = MachineClock::start();
    let processes = Process::all_of(&options.folder)?;
    note(&format!(
        "{} nodes have joined; looking at them from {:?} on, for {:?}",
        processes.len(),
        options.settle,
        options.duration
    ));
    leave_alone(&processes, options.settle, interrupt)?;
    let footprint = |process: &Process| {
        let footprint = Footprint::of(process.id);
        footprint.with_context(|| format!("node {} has ended", process.node))
    };
    let begin = clock.now();
    let mut watched: Vec<Watched> = Vec::new();
    for process in &processes {
        watched.push(Watched::new(footprint(process)?));
    }
    while clock.now().since(begin) < options.duration {
        let left = options.duration.saturating_sub(clock.now().since(begin));
        leave_alone(&processes, INTERVAL.min(left), interrupt)?;
        for (process, watched) in processes.iter().zip(&mut watched) {
            watched.add(footprint(process)?, clock.now().since(begin));
        }
    }
    Ok(watched)
}

/// Lets nodes be; fails when one ends or somebody wants to stop.
fn leave_alone(processes: &[Process], time: Duration, interrupt: &Interrupt) -> anyhow::Result<()> {
    let ended = process::wait(processes, time)?;
    interrupt.check()?;
    anyhow::ensure!(
        !ended.contains(&true),
        "a node has ended that had nothing to do"
    );
    Ok(())
}

impl Watched {
    const fn new(first: Footprint) -> Self {
        Self {
            first,
            last: first,
            time: Duration::ZERO,
            samples: 0,
            resident_bytes: 0,
            anonymous_bytes: 0,
            file_bytes: 0,
            resident_bytes_max: 0,
        }
    }

    fn add(&mut self, footprint: Footprint, time: Duration) {
        self.last = footprint;
        self.time = time;
        self.samples += 1;
        self.resident_bytes += footprint.resident_bytes;
        self.anonymous_bytes += footprint.anonymous_bytes;
        self.file_bytes += footprint.file_bytes;
        self.resident_bytes_max = self.resident_bytes_max.max(footprint.resident_bytes);
    }

    fn mean(&self, sum: u64) -> f64 {
        convert::count_to_f64(sum) / convert::count_to_f64(self.samples.max(1))
    }

    fn cpu_fraction(&self) -> f64 {
        let used = self.last.cpu.saturating_sub(self.first.cpu);
        used.as_secs_f64() / self.time.as_secs_f64()
    }
}

fn report(options: &Options, testbed: &Testbed, watched: &[Watched]) -> Report {
    let of_all = |figure: &dyn Fn(&Watched) -> f64| watched.iter().map(figure).collect::<Vec<_>>();
    let resident = of_all(&|it| it.mean(it.resident_bytes));
    let cpu = of_all(&Watched::cpu_fraction);
    let mut report = Report::new("idle", Vec::new());
    report.count("nodes", u64::from(options.nodes));
    report.number("settle_s", options.settle.as_secs_f64());
    report.number("duration_s", options.duration.as_secs_f64());
    report.count("samples", watched.iter().map(|it| it.samples).sum());
    report.number("joined_ms", testbed.joined_ms);
    let ready: Vec<f64> = testbed.nodes.iter().map(|node| node.ready_ms).collect();
    report.spread("ready_ms", &ready);
    report.spread("resident_bytes", &resident);
    report.spread(
        "resident_bytes.anonymous",
        &of_all(&|it| it.mean(it.anonymous_bytes)),
    );
    report.spread("resident_bytes.file", &of_all(&|it| it.mean(it.file_bytes)));
    let peaks = of_all(&|it| convert::count_to_f64(it.resident_bytes_max));
    report.spread("resident_bytes_peak", &peaks);
    report.spread("cpu_fraction", &cpu);
    let threads = of_all(&|it| convert::count_to_f64(it.last.threads));
    report.spread("threads", &threads);
    report.count("resident_bytes_goal", RESIDENT_GOAL_BYTES);
    report.number("cpu_fraction_goal", CPU_GOAL);
    let resident_goal = convert::count_to_f64(RESIDENT_GOAL_BYTES);
    let holds = |figures: &[f64], goal: f64| figures.iter().all(|figure| *figure <= goal);
    report.claim("resident_within_goal", holds(&resident, resident_goal));
    report.claim("cpu_within_goal", holds(&cpu, CPU_GOAL));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn means_are_over_what_was_seen() {
        let footprint = |resident_bytes, millis| Footprint {
            resident_bytes,
            anonymous_bytes: 1,
            file_bytes: 2,
            threads: 3,
            cpu: Duration::from_millis(millis),
        };
        let mut watched = Watched::new(footprint(100, 70));
        watched.add(footprint(10, 75), Duration::from_secs(1));
        watched.add(footprint(30, 90), Duration::from_secs(2));
        assert!((watched.mean(watched.resident_bytes) - 20.0).abs() < 1e-9);
        assert_eq!(watched.resident_bytes_max, 30);
        assert!((watched.cpu_fraction() - 0.01).abs() < 1e-9);
    }
}
