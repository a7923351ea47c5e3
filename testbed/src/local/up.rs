//! `up`: starts nodes and waits until each knows all of them. `start` does the same for one that was killed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use model::{Clock, Instant};
use node::clock::MachineClock;
use serde::Serialize;

use super::folder::{Folder, Record};
use super::interrupt::Interrupt;
use super::launch::Launch;
use super::netns::Net;
use super::process::{Process, Signal};
use super::shape::{self, Area, SHAPE, Shape};
use super::{down, program};
use crate::cli::note;

/// What is brought up.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes. Range: 1 to [`NODES_MAX`].
    pub nodes: u32,
    /// The program that they run.
    pub program: PathBuf,
    /// What they are told beside what each testbed tells its nodes.
    pub arguments: Vec<String>,
    /// How the ways between them are shaped, if they are. They run this program then, whatever `program` is.
    pub shape: Option<shape::Options>,
    /// Whether each has a network namespace of its own.
    pub netns: Option<Links>,
}

/// What the links of nodes are that have network namespaces.
#[derive(Debug, Clone, Default)]
pub struct Links {
    /// What each carries, as `tc` writes it, such as `10mbit`; without it, what the machine makes of it.
    pub rate: Option<String>,
}

/// The most nodes that a testbed may have. Unit: nodes. Source: guess; more than one machine carries.
pub const NODES_MAX: u32 = 200;

/// A node that is up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Up {
    /// Which node of the testbed: what `synergy --node` takes.
    pub number: u32,
    /// What it is called.
    pub name: String,
    /// Its id in the network.
    pub node: String,
    /// Where its API is.
    pub api: String,
    /// Its process.
    pub pid: u32,
    /// From its start until it said that it has joined.
    pub ready_ms: f64,
}

/// A testbed whose nodes all know one another.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Testbed {
    /// Where it is.
    pub folder: PathBuf,
    /// The network of its nodes.
    pub network: String,
    /// From the start of the first until each knew all.
    pub joined_ms: f64,
    /// Where its nodes are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub area: Option<Area>,
    /// Its nodes.
    pub nodes: Vec<Up>,
}

/// Brings a testbed up.
///
/// # Errors
/// When it runs already, or a node does not come up, with what that one said last. Nothing of what was started is
/// left then.
pub fn up(folder: &Folder, options: &Options, interrupt: &Interrupt) -> anyhow::Result<Testbed> {
    let here = folder.path().display();
    folder.create().with_context(|| here.to_string())?;
    anyhow::ensure!(
        folder.is_ours()?,
        "{here} has files of something else: name a folder for the testbed with --dir"
    );
    let lock = folder.lock()?;
    let running = Process::all_of(folder)?.len();
    anyhow::ensure!(
        running == 0,
        "a testbed runs already in {here}, with {running} nodes: `synergy-testbed status` shows it, \
         `synergy-testbed down` ends it"
    );
    if folder.record()?.is_some() {
        note("cleaning up what a testbed left that was not ended by `down`");
        down::unmake(folder)?;
        folder.clear()?;
    }
    let clock = MachineClock::start();
    let record = Record {
        network: network(&clock),
        nodes: options.nodes,
        program: match options.shape {
            Some(_) => folder.path().join(program::LINK),
            None => options.program.clone(),
        },
        arguments: options.arguments.clone(),
        is_shaped: options.shape.is_some(),
        net: options
            .netns
            .as_ref()
            .map(|links| Net::of(folder, links.rate.clone())),
    };
    folder.write_record(&record)?;
    let names = (1..=options.nodes).map(program::name).collect();
    let made = record.net.as_ref().map_or(Ok(()), |net| net.make());
    let shaped = made.and_then(|()| shape(folder, options));
    let clock = MachineClock::start();
    let started = shaped.and_then(|area| {
        let launch = Launch::new(folder, &record, names, interrupt);
        Ok((area, bring_up(launch, options.nodes)?))
    });
    let (area, nodes) = match started {
        Ok(started) => started,
        Err(error) => {
            down::end(folder).context("what was started could not be ended")?;
            down::unmake(folder)?;
            folder.remove()?;
            drop(lock);
            return Err(error);
        }
    };
    Ok(Testbed {
        folder: folder.path().to_owned(),
        network: record.network,
        joined_ms: millis(clock.now().since(Instant::ZERO)),
        area,
        nodes,
    })
}

/// Writes what nodes follow, where they follow anything.
fn shape(folder: &Folder, options: &Options) -> anyhow::Result<Option<Area>> {
    let Some(wanted) = &options.shape else {
        return Ok(None);
    };
    let (shape, area) = Shape::make(folder, options.nodes, wanted)?;
    shape::write(folder, SHAPE, &shape)?;
    program::link(folder)?;
    Ok(area)
}

/// The first alone, then one that joins it, then all others, which join these two: so the network outlives either.
fn bring_up(mut launch: Launch<'_>, nodes: u32) -> anyhow::Result<Vec<Up>> {
    let mut join = Vec::new();
    for node in 1..=nodes {
        launch.start(node, &join)?;
        if node <= ENTRY_POINTS && node < nodes {
            join.extend(launch.until_reachable(node)?);
        }
    }
    launch.until_joined()
}

/// How many nodes the others join. Unit: nodes. Source: guess; one may go.
const ENTRY_POINTS: u32 = 2;

/// Starts a node of a testbed again that has ended, with the identity that it had.
///
/// # Errors
/// When it runs, there is no such node, or it does not come up, with what it said last.
pub fn start(folder: &Folder, node: u32, interrupt: &Interrupt) -> anyhow::Result<Up> {
    let record = folder.expect_record()?;
    let _lock = folder.lock()?;
    anyhow::ensure!(
        (1..=record.nodes).contains(&node),
        "the testbed has nodes 1 to {}",
        record.nodes
    );
    let running = Process::all_of(folder)?;
    if let Some(process) = running.iter().find(|process| process.node == node) {
        anyhow::bail!("node {node} runs already, as process {}", process.id);
    }
    let others = running.iter().filter(|process| !process.is_paused());
    let others: BTreeSet<u32> = others.map(|process| process.node).collect();
    let join: Vec<String> = others
        .iter()
        .flat_map(|other| super::api::addresses(&folder.node(*other)))
        .take(JOIN_MAX)
        .collect();
    let names = others.iter().chain([&node]).copied().map(program::name);
    let mut launch = Launch::new(folder, &record, names.collect(), interrupt);
    let started = launch
        .start(node, &join)
        .and_then(|()| launch.until_joined());
    if started.is_err() {
        for process in Process::all_of(folder)? {
            if process.node == node {
                process.signal(Signal::KILL)?;
            }
        }
    }
    started?.pop().context("one node was started")
}

/// How many addresses a node is given that is started again. Unit: addresses. Source: guess; some may be gone.
const JOIN_MAX: usize = 4;

/// A network that no other testbed has: when it was made, and by which process.
fn network(clock: &MachineClock) -> String {
    let micros = clock.epoch().0.unsigned_abs();
    format!("testbed-{micros:x}-{:x}", std::process::id())
}

/// A time in milliseconds.
pub(super) fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
