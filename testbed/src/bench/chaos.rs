//! `bench chaos`: hosts are killed one after the other while applications run over all of them, and what comes of the results.
//!
//! Nodes are processes. Each accepts some of the applications (`chaos/load.rs`), whose sources replay files of numbered rows there and whose
//! operators are where the composer wants them. In an order drawn from a seed every process is killed, by a signal that it does not hear; so each is once the host
//! of sources, of sinks, of operators, and the one that accepted. It starts again 5 s later, as itself. The next one is killed as soon as no application says any more that it
//! is degraded.
//!
//! What counts is computed by plain code from the files (`chaos/reference.rs`), which a run of each kind in one process has to equal, and compared (`chaos/check.rs`) with all that
//! all sinks wrote on all hosts (`chaos/sinks.rs`): nothing may be lost, doubled or wrong. Sources still flow then: what is of windows that should have
//! closed when the last host was back has to be there.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::{Clock, Instant, Rng};

use super::report::Report;
use crate::cli::note;
use crate::local::bed::Bed;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::{shape, up};

mod check;
mod load;
mod outcome;
mod reference;
mod sinks;

use check::Kill;
use load::{Input, Load, Rate, shuffle};
use outcome::Outcome;
use sinks::Reader;

/// What is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the nodes are meanwhile.
    pub folder: Folder,
    /// How many there are. Range: 2 to [`up::NODES_MAX`].
    pub nodes: u32,
    /// How many applications. Range: from 1.
    pub applications: usize,
    /// How many hosts are killed, one after the other: each once before one is killed again. Range: from 1.
    pub kills: usize,
    /// How many backups each application asks for.
    pub replicas: u32,
    /// How fast each source flows. Unit: rows per second. Range: 1 to 1,000.
    pub rate: u64,
    /// How long an application may say that it is degraded after its host is there again, and how long it may yield nothing new at the end.
    pub settle: Duration,
    /// In which time results have to be back, for 99 of 100 kills and applications.
    pub recovery: Duration,
    /// What rows and the order of kills are drawn from.
    pub seed: u64,
}

/// After what time a host that was killed starts again. Unit: time. Source: of the definition of the benchmark.
const AWAY: Duration = Duration::from_secs(5);

/// For how long rows flow before the first kill, behind the last application's first result. Unit: time. Source: guess; what a backup has to have by then is older.
const WARM_UP: Duration = Duration::from_secs(3);

/// For how long all applications may take to be admitted, each, and to yield their first result. Unit: time. Source: guess; a busy machine.
const ADMIT_WAIT: Duration = Duration::from_secs(5);

/// For how long a host may take to be back, beside the time it is away. Unit: time. Source: guess; what a testbed allows, mostly unused.
const START_WAIT: Duration = Duration::from_secs(10);

/// How often hosts are asked. Unit: time. Source: guess; below what anybody would call a pause.
const ASK_INTERVAL: Duration = Duration::from_millis(100);

/// The rows of the run in one process that the reference is held to. Unit: time. Source: two spans of the longest window.
const ALONE: Duration = Duration::from_secs(10);

/// What runs.
struct Chaos<'a> {
    options: &'a Options,
    bed: Bed<'a>,
    loads: Vec<Load>,
    reader: Reader,
    /// When each application was asked for.
    asked: Vec<Instant>,
    kills: Vec<Kill>,
    /// Kills after which some application said for too long that it is degraded.
    unsettled: u64,
}

/// Measures; see the module. Signals to stop are heard until it is done.
///
/// # Errors
/// When nodes do not come up, an application is refused, or somebody wants to stop. Nothing of it is left.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let interrupt = Interrupt::by_signals()?;
    let wanted = up::Options {
        nodes: options.nodes,
        program: PathBuf::new(),
        arguments: Vec::new(),
        shape: Some(shape::Options::default()),
        netns: None,
    };
    let bed = Bed::up(&options.folder, &wanted, &interrupt)?;
    let nodes = bed.testbed.nodes.len();
    let loads: Vec<Load> = (0..options.applications)
        .map(|index| Load::of(index, nodes))
        .collect();
    let mut rng = Rng::from_seed(options.seed);
    let is_reference_right = agrees(&bed, &rng, options)?;
    let rate = Rate {
        rows_per_second: options.rate,
        duration: longest(options),
    };
    let inputs: Vec<Vec<Input>> = loads
        .iter()
        .map(|load| load.write_inputs(&rng, rate, bed.files()))
        .collect::<Result<_, _>>()?;
    let reader = Reader::start(&options.folder, options.nodes, bed.files(), &loads)?;
    let mut chaos = Chaos {
        options,
        bed,
        loads,
        reader,
        asked: Vec::new(),
        kills: Vec::new(),
        unsettled: 0,
    };
    chaos.begin()?;
    for host in order(options, nodes, &mut rng) {
        chaos.kill(host)?;
    }
    let until_ms = chaos.end()?;
    let statuses = chaos.statuses();
    let outcome = Outcome {
        options,
        loads: &chaos.loads,
        inputs: &inputs,
        rate,
        asked: &chaos.asked,
        until_ms: &until_ms,
        kills: &chaos.kills,
        statuses: &statuses,
        unsettled: chaos.unsettled,
        is_reference_right,
    };
    let written = chaos.reader.finish();
    Ok(outcome.report(&written))
}

/// How long all of it may take, so that no source comes to its end before.
fn longest(options: &Options) -> Duration {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let begin = ADMIT_WAIT * count(options.applications) + ADMIT_WAIT + WARM_UP;
    let kill = AWAY + START_WAIT + options.settle;
    let end = options.settle * 2;
    begin + kill * count(options.kills) + end + kill
}

/// In which order hosts are killed.
fn order(options: &Options, nodes: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order = Vec::new();
    while order.len() < options.kills {
        let mut turn: Vec<usize> = (0..nodes).collect();
        shuffle(rng, &mut turn);
        order.extend(turn);
    }
    order.truncate(options.kills);
    order
}

/// Whether an application of each family yields in one process what it should.
fn agrees(bed: &Bed<'_>, rng: &Rng, options: &Options) -> anyhow::Result<bool> {
    let rate = Rate {
        rows_per_second: options.rate,
        duration: ALONE,
    };
    let mut is_right = true;
    for index in 0..load::Family::ALL.len() {
        let mut load = Load::of(index, 1);
        load.name = format!("alone-{index}");
        let inputs = load.write_inputs(rng, rate, bed.files())?;
        bed.run_alone(&load.file(0, false))?;
        let text = std::fs::read_to_string(bed.files().join(load.output()))?;
        let lines = text.lines();
        let rows: Option<Vec<_>> = lines
            .map(|line| reference::Row::read(load.family, line))
            .collect();
        let mut rows = rows.context("a result that is none")?;
        rows.sort_unstable();
        let expected = reference::results(load.family, rate, &inputs);
        is_right &= rows.into_iter().eq(expected);
    }
    Ok(is_right)
}

impl Chaos<'_> {
    fn now(&self) -> Instant {
        self.reader.clock.now()
    }

    /// Asks for all applications, each at its owner, and waits until they flow.
    fn begin(&mut self) -> anyhow::Result<()> {
        for load in &self.loads {
            self.asked.push(self.now());
            let file = load.file(self.options.replicas, true);
            let asked = self.bed.ask_spread(load.owner, file, load.is_spread);
            asked.map_err(|refused| anyhow!("{}: {}", load.name, refused.message))?;
        }
        self.bed.until("all applications yield results", || {
            let silent = (0..self.loads.len()).find(|it| self.last_end(*it).is_none());
            silent.map_or(Ok(()), |it| {
                Err(anyhow!("{} is silent", self.loads[it].name))
            })
        })?;
        self.bed.pass(WARM_UP)?;
        self.settle(0).map(drop)
    }

    /// Kills a host, starts it again, and waits until nobody says that it is missed.
    fn kill(&mut self, host: usize) -> anyhow::Result<()> {
        let other = (host + 1) % self.bed.testbed.nodes.len();
        let hit = self.hit(other, host);
        let at = self.now();
        self.bed.kill(&[host])?;
        self.bed.pass(AWAY)?;
        let again = self.now();
        self.bed.start(host)?;
        let name = &self.bed.testbed.nodes[host].name;
        note(&format!(
            "{name} was killed, which {} applications used, and is there again",
            hit.len()
        ));
        self.kills.push(Kill {
            host,
            at,
            again,
            hit,
        });
        if !self.settle(other)? {
            self.unsettled += 1;
        }
        Ok(())
    }

    /// The applications of which a host runs something, as another one knows. What is not known anywhere is missed as well.
    fn hit(&self, asked: usize, host: usize) -> BTreeSet<usize> {
        let name = &self.bed.testbed.nodes[host].name;
        let is_hit = |application: &usize| {
            let load = &self.loads[*application];
            let status = self.bed.status(asked, &load.name);
            let runs = |it: node::node::ApplicationStatus| {
                it.components
                    .iter()
                    .any(|component| component.host == *name)
            };
            load.owner == host || status.is_ok_and(runs)
        };
        (0..self.loads.len()).filter(is_hit).collect()
    }

    /// Waits until no application is degraded, as a host knows; false when one is for too long.
    fn settle(&self, asked: usize) -> anyhow::Result<bool> {
        let until = self.now() + self.options.settle;
        loop {
            let degraded = self.loads.iter().find_map(|load| {
                let status = self.bed.status(asked, &load.name);
                let why = match status {
                    Ok(it) if !is_away(&it.status) => return None,
                    Ok(it) => it.reason.unwrap_or(it.status),
                    Err(error) => format!("{error:#}"),
                };
                Some((&load.name, why))
            });
            let Some((name, why)) = degraded else {
                return Ok(true);
            };
            if self.now() >= until {
                note(&format!("{name} is still away: {why}"));
                return Ok(false);
            }
            self.bed.pass(ASK_INTERVAL)?;
        }
    }

    /// The last window of which an application has a result. Unit: milliseconds behind the first row.
    fn last_end(&self, application: usize) -> Option<u64> {
        self.reader.seen(|written| {
            let files = written.iter().filter(|it| it.application == application);
            let ends = files.flat_map(|it| it.rows.iter().map(|(_, row)| row.end_ms));
            ends.max()
        })
    }

    /// Waits until each application has yielded what was due when the last host was back, or nobody who lacks it yields anything new; gives what was due.
    /// Unit: milliseconds behind the first row.
    fn end(&self) -> anyhow::Result<Vec<u64>> {
        let now = self.now();
        let due = |asked: &Instant| {
            let flowed = now.since(*asked).as_millis();
            u64::try_from(flowed).expect("a run takes no ages")
        };
        let due: Vec<u64> = self.asked.iter().map(due).collect();
        let ends = || (0..due.len()).map(|it| self.last_end(it).unwrap_or(0));
        let (mut before, mut moved) = (Vec::new(), now);
        loop {
            // A result of a later window says that all of those before have left.
            let behind = ends().zip(&due).filter(|(end, due)| end <= due);
            let behind: Vec<u64> = behind.map(|(end, _)| end).collect();
            if behind != before {
                (before, moved) = (behind, self.now());
            }
            if before.is_empty() || self.now().since(moved) > self.options.settle {
                return Ok(due);
            }
            self.bed.pass(ASK_INTERVAL)?;
        }
    }

    /// What each application is in the end.
    fn statuses(&self) -> Vec<String> {
        let status = |load: &Load| match self.bed.status(load.owner, &load.name) {
            Ok(status) => status.status,
            Err(_) => "unknown".to_owned(),
        };
        self.loads.iter().map(status).collect()
    }
}

/// Whether what runs of an application is not all that should, and may come back.
fn is_away(status: &str) -> bool {
    !["running", "failed", "stopped", "finished"].contains(&status)
}
