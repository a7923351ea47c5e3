//! `bench chaos`: hosts fail one after the other while applications run over all of them, and what comes of the results.
//!
//! Nodes are processes. Each accepts some of the applications (`chaos/load.rs`), whose sources replay files of numbered rows there and whose
//! operators are where the composer wants them. In an order drawn from a seed every process is killed, by a signal that it does not hear; so each is once the host
//! of sources, of sinks, of operators, and the one that accepted. It starts again 5 s later, as itself. The next one is killed as soon as no application says any more that it
//! is degraded. Several may fail together or shortly one after the other, and instead of being killed they may be stopped or cut off for that time.
//!
//! What counts is computed by plain code from the files (`chaos/reference.rs`), which a run of each kind in one process has to equal, and compared (`chaos/check.rs`) with all that
//! all sinks wrote on all hosts (`chaos/sinks.rs`): nothing may be lost, doubled or wrong. Sources still flow then: what is of windows that should have
//! closed when the last host was back has to be there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::{Clock, Instant, Rng};

use super::report::Report;
use crate::cli::note;
use crate::experiment::written;
use crate::local::bed::Bed;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::{shape, up};

mod check;
mod load;
mod outcome;
mod reference;
mod sinks;

use check::{Hit, Part, Shock};
use load::{Input, Load, Rate, shuffle};
use sinks::{Reader, Written};

pub use check::Fault;
pub use outcome::{Outcome, Told};

/// What is done.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where the nodes are meanwhile.
    pub folder: Folder,
    /// How many there are. Range: 2 to [`up::NODES_MAX`].
    pub nodes: u32,
    /// How many applications. Range: from 1.
    pub applications: usize,
    /// How often hosts fail; each does once before one does again. Range: from 1.
    pub kills: usize,
    /// What happens to them.
    pub fault: Fault,
    /// How many fail before it is waited for. Range: from 1, below `nodes`.
    pub together: usize,
    /// The time between them.
    pub apart: Duration,
    /// For how long they are away, from the last one on.
    pub away: Duration,
    /// How many backups each application asks for.
    pub replicas: u32,
    /// Whether backups run, and do not only hold the state.
    pub is_active: bool,
    /// How fast each source flows. Unit: rows per second. Range: 1 to 1,000.
    pub rate: u64,
    /// How long an application may say that it is degraded after all hosts are there again, and how long it may yield nothing new at the end.
    pub settle: Duration,
    /// In which time results have to be back, for 99 of 100 kills and applications.
    pub recovery: Duration,
    /// What rows and the order in which hosts fail are drawn from.
    pub seed: u64,
    /// Into which folder figures and tables are written, if anywhere.
    pub out: Option<PathBuf>,
}

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
    shocks: Vec<Shock>,
    /// Shocks after which some application said for too long that it is degraded.
    unsettled: u64,
}

/// Measures; see the module. Signals to stop are heard until it is done.
///
/// # Errors
/// When nodes do not come up, an application is refused, or somebody wants to stop. Nothing of it is left.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let interrupt = Interrupt::by_signals()?;
    let told = run(options, &interrupt)?.told();
    let mut report = Report::new("chaos", vec![options.seed]);
    told.figures("", &mut report);
    told.claims("", &mut report);
    report.tables(&told.tables());
    if let Some(folder) = &options.out {
        written::report(folder, "chaos", &report)?;
    }
    Ok(report)
}

/// Does it, and says all that happened.
///
/// # Errors
/// When nodes do not come up, an application is refused, or somebody wants to stop. Nothing of it is left.
pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<Outcome> {
    let wanted = up::Options {
        nodes: options.nodes,
        program: PathBuf::new(),
        arguments: Vec::new(),
        shape: Some(shape::Options::default()),
        netns: None,
    };
    let bed = Bed::up(&options.folder, &wanted, interrupt)?;
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
        shocks: Vec::new(),
        unsettled: 0,
    };
    chaos.begin()?;
    let order = order(options, nodes, &mut rng);
    for hosts in order.chunks(options.together) {
        chaos.shock(hosts)?;
    }
    let until_ms = chaos.end()?;
    let statuses = chaos.statuses();
    let written = chaos.reader.finish();
    Ok(Outcome {
        options: options.clone(),
        loads: chaos.loads,
        inputs,
        rate,
        asked: chaos.asked,
        until_ms,
        shocks: chaos.shocks,
        statuses,
        unsettled: chaos.unsettled,
        is_reference_right,
        written,
    })
}

/// How long all of it may take, so that no source comes to its end before.
fn longest(options: &Options) -> Duration {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let begin = ADMIT_WAIT * count(options.applications) + ADMIT_WAIT + WARM_UP;
    let kill = options.apart + options.away + START_WAIT + options.settle;
    let end = options.settle * 2;
    begin + kill * count(options.kills) + end + kill
}

/// In which order hosts fail. No two that fail together are one.
fn order(options: &Options, nodes: usize, rng: &mut Rng) -> Vec<usize> {
    let mut order = Vec::new();
    while order.len() < options.kills {
        let mut turn: Vec<usize> = (0..nodes).collect();
        shuffle(rng, &mut turn);
        // Those that fail together are of one turn.
        turn.truncate(nodes / options.together * options.together);
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
        bed.run_alone(&load.file(0, false, false))?;
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
            self.asked.push(self.reader.clock.now());
            self.bed.until(&format!("{} is admitted", load.name), || {
                let file = load.file(self.options.replicas, self.options.is_active, true);
                let asked = self.bed.ask_spread(load.owner, file, load.is_spread);
                // A machine with more to do than it can has refused or said nothing: what runs by then is left as it is.
                asked.map_err(|refused| {
                    note(&format!("{}: {}", load.name, refused.message));
                    anyhow!(refused.message)
                })
            })?;
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

    /// Lets hosts fail, brings them back, and waits until nobody says that anything is missed.
    fn shock(&mut self, hosts: &[usize]) -> anyhow::Result<()> {
        let fault = self.options.fault;
        let mut others = 0..self.bed.testbed.nodes.len();
        let other = others.find(|it| !hosts.contains(it));
        let other = other.context("somebody has to be left")?;
        let applications = self.applications_of(other, hosts);
        let mut hits: Vec<Hit> = Vec::new();
        for (index, host) in hosts.iter().enumerate() {
            if index > 0 {
                self.bed.pass(self.options.apart)?;
            }
            let at = self.now();
            match fault {
                Fault::Kill => self.bed.kill(&[*host])?,
                Fault::Silence => self.bed.pause(&[*host])?,
                Fault::CutOff => self.bed.cut_off(&hosts[..=index])?,
            }
            let (host, again) = (*host, at);
            hits.push(Hit { host, at, again });
        }
        self.bed.pass(self.options.away)?;
        for hit in &mut hits {
            hit.again = self.reader.clock.now();
            match fault {
                Fault::Kill => self.bed.start(hit.host)?,
                Fault::Silence => self.bed.resume(&[hit.host])?,
                Fault::CutOff => self.bed.heal()?,
            }
        }
        let names = hosts.iter().map(|it| self.name(*it));
        let names: Vec<&str> = names.collect();
        note(&format!(
            "{} failed, which {} applications used, and came back",
            names.join(", "),
            applications.len()
        ));
        self.shocks.push(Shock {
            fault,
            hits,
            applications,
        });
        if !self.settle(other)? {
            self.unsettled += 1;
        }
        Ok(())
    }

    fn name(&self, host: usize) -> &str {
        &self.bed.testbed.nodes[host].name
    }

    /// The applications of which hosts run something, as another one knows, and what.
    fn applications_of(&self, asked: usize, hosts: &[usize]) -> BTreeMap<usize, Part> {
        let names: Vec<&str> = hosts.iter().map(|it| self.name(*it)).collect();
        let part = |load: &Load| {
            let is_owner = hosts.contains(&load.owner).then_some(Part::Ends);
            let Ok(status) = self.bed.status(asked, &load.name) else {
                return is_owner;
            };
            let parts = &status.components;
            let there = parts.iter().filter(|it| names.contains(&&*it.host));
            let is_end = |kind: &str| ["source", "sink"].contains(&kind);
            let part = match there.clone().count() {
                0 => return is_owner,
                count if count == parts.len() => Part::Whole,
                _ if there.into_iter().any(|it| is_end(&it.kind)) => Part::Ends,
                _ => Part::Operators,
            };
            Some(part.max(is_owner.unwrap_or(part)))
        };
        let loads = self.loads.iter().enumerate();
        loads
            .filter_map(|(index, load)| Some((index, part(load)?)))
            .collect()
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
