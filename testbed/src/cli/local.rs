//! The commands of testbeds.

use std::num::{NonZeroU64, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use model::convert;
use node::application::units;
use node::cli::memory;
use serde::Serialize;

use super::{Output, note, print};
use crate::bench::{applications, idle, moves};
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::status::{self, Row};
use crate::local::table::{ABSENT, table};
use crate::local::up::{self, NODES_MAX, Testbed, Up as UpRow};
use crate::local::{down, program, shape};

/// Which testbed, and how it is shown.
#[derive(Debug, Args)]
pub(super) struct At {
    /// The folder of the testbed.
    #[arg(
        long,
        value_name = "DIR",
        env = "SYNERGY_TESTBED",
        default_value = ".synergy/testbed"
    )]
    dir: PathBuf,
}

/// How results are shown.
#[derive(Debug, Args)]
pub(super) struct Shown {
    /// How results are printed: as a table on a terminal, as JSON elsewhere.
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

#[derive(Debug, Args)]
pub(super) struct Up {
    /// How many nodes.
    #[arg(short, long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// The memory that each may take for rows and state.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    /// Delay everything between nodes as between hosts of a file of round trips.
    #[arg(long, value_name = "FILE")]
    latency: Option<PathBuf>,
    /// Which hosts of that file the nodes stand for.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// Let the ways between nodes be changed while they run, by `slow`, `partition` and `heal`.
    #[arg(long)]
    faults: bool,
    /// How nodes compose, by the word for it in experiments.
    #[arg(long, value_name = "NAME", value_parser = policy)]
    policy: Option<String>,
    /// How many threads of each run operators; one for each core if not given.
    #[arg(long, value_name = "N")]
    workers: Option<NonZeroUsize>,
    /// By how much the clocks of the first, the second and so on are ahead, such as 0s,100ms,1h.
    #[arg(long, value_name = "DURATION,...", value_delimiter = ',', value_parser = units::duration)]
    clocks: Vec<Duration>,
    /// Give each node a network namespace, with an address and a link of its own. Needs root, `ip` and, for --rate, `tc`.
    #[arg(long)]
    netns: bool,
    /// What each of these links carries, each way, such as 10mbit.
    #[arg(long, value_name = "RATE", requires = "netns")]
    rate: Option<String>,
    /// What else each is told, as `synergy node start` takes it.
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
    #[command(flatten)]
    program: Program,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    shown: Shown,
}

/// What nodes run; where the ways between them are shaped, this program instead.
#[derive(Debug, Args)]
pub(super) struct Program {
    /// The program that nodes run; the one beside this if not given.
    #[arg(long, value_name = "PATH", env = "SYNERGY_BIN")]
    synergy: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Status {
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Args)]
pub(super) struct Start {
    /// Which node, by its number.
    #[arg(value_name = "K")]
    node: u32,
    #[command(flatten)]
    at: At,
    #[command(flatten)]
    shown: Shown,
}

#[derive(Debug, Args)]
pub(super) struct Idle {
    /// How many nodes.
    #[arg(short, long, value_name = "N", default_value = "8", value_parser = clap::value_parser!(u32).range(1..=i64::from(NODES_MAX)))]
    nodes: u32,
    /// For how long they are looked at, such as 60s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "60s")]
    for_: Duration,
    /// For how long they are left alone before.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "10s")]
    settle: Duration,
    /// The memory that each may take for rows and state.
    #[arg(long, value_name = "SIZE", value_parser = memory)]
    memory: Option<u64>,
    #[command(flatten)]
    program: Program,
    /// The folder of the testbed, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/idle")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Applications {
    /// With how many applications the memory is looked at.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,...",
        default_value = "10,100,1000"
    )]
    counts: Vec<NonZeroU64>,
    /// How long it may take at most to ask for all of them, with sharing and without.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5min")]
    limit: Duration,
    /// For how long the node is left alone before its memory is looked at.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "5s")]
    settle: Duration,
    /// The folder of the node, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/applications")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Moves {
    /// How many moves there are to be.
    #[arg(long, default_value = "1000")]
    moves: NonZeroU64,
    /// For how long rows flow: long enough for all moves.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration, default_value = "10min")]
    for_: Duration,
    /// How many rows a second flow.
    #[arg(long, value_name = "N", default_value = "1000")]
    rate: NonZeroU64,
    /// What rows and moves are drawn from.
    #[arg(long, default_value = "1")]
    seed: u64,
    /// The folder of the nodes, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/moves")]
    dir: PathBuf,
}

#[derive(Debug, Args)]
pub(super) struct Down {
    #[command(flatten)]
    at: At,
}

impl At {
    pub(super) fn folder(&self) -> anyhow::Result<Folder> {
        Ok(Folder::at(&self.dir)?)
    }
}

impl Program {
    pub(super) fn find(&self) -> anyhow::Result<PathBuf> {
        program::find(self.synergy.as_deref())
    }
}

impl Up {
    pub(super) fn execute(self) -> anyhow::Result<()> {
        let folder = self.at.folder()?;
        let is_told = self.policy.is_some() || self.workers.is_some() || !self.clocks.is_empty();
        let is_shaped = self.latency.is_some() || self.faults || is_told;
        let options = up::Options {
            nodes: self.nodes,
            // Nodes of a testbed that is shaped run this very program.
            program: match is_shaped {
                true => PathBuf::new(),
                false => self.program.find()?,
            },
            arguments: arguments(self.memory, self.arguments),
            shape: is_shaped.then_some(shape::Options {
                latency: self.latency,
                seed: self.seed,
                policy: self.policy,
                workers: self.workers,
                clocks: self.clocks,
                background: None,
            }),
            netns: self.netns.then_some(up::Links { rate: self.rate }),
        };
        let testbed = up::up(&folder, &options, &Interrupt::by_signals()?)?;
        show(&testbed, || started(&testbed.nodes), &self.shown)?;
        note(&next(&testbed, &self.at));
        Ok(())
    }
}

/// A word for a way of composing.
pub(super) fn policy(text: &str) -> Result<String, String> {
    let names: Vec<_> = composition::policy::ALL
        .iter()
        .map(|it| it.name())
        .collect();
    match names.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("expected one of {}", names.join(", "))),
    }
}

/// What nodes are told beside what each testbed tells its nodes.
pub(super) fn arguments(memory: Option<u64>, more: Vec<String>) -> Vec<String> {
    let memory = memory.map(|bytes| ["--memory".to_owned(), format!("{bytes}B")]);
    memory.into_iter().flatten().chain(more).collect()
}

impl Idle {
    pub(super) fn into_options(self) -> anyhow::Result<idle::Options> {
        Ok(idle::Options {
            folder: Folder::at(&self.dir)?,
            nodes: self.nodes,
            program: self.program.find()?,
            arguments: arguments(self.memory, Vec::new()),
            settle: self.settle,
            duration: self.for_,
        })
    }
}

impl Applications {
    pub(super) fn into_options(self) -> anyhow::Result<applications::Options> {
        let mut counts: Vec<u64> = self.counts.iter().map(|it| it.get()).collect();
        counts.sort_unstable();
        counts.dedup();
        Ok(applications::Options {
            folder: Folder::at(&self.dir)?,
            counts,
            limit: self.limit,
            settle: self.settle,
        })
    }
}

impl Moves {
    pub(super) fn into_options(self) -> anyhow::Result<moves::Options> {
        Ok(moves::Options {
            folder: Folder::at(&self.dir)?,
            moves: self.moves.get(),
            duration: self.for_,
            rate: self.rate.get(),
            seed: self.seed,
        })
    }
}

/// A time that is not over at once.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let form = units::DURATION_FORM;
    let time = units::duration(text).map_err(|error| format!("{error}; expected {form}"))?;
    match time.is_zero() {
        true => Err(format!("expected {form}, longer than nothing")),
        false => Ok(time),
    }
}

impl Status {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        let rows = status::status(&self.at.folder()?)?;
        show(&rows, || states(&rows), &self.shown)
    }
}

impl Start {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        let started_node = up::start(&self.at.folder()?, self.node, &Interrupt::by_signals()?)?;
        show(
            &started_node,
            || started(std::slice::from_ref(&started_node)),
            &self.shown,
        )
    }
}

impl Down {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        let folder = self.at.folder()?;
        let ended = down::down(&folder)?;
        if ended == down::Ended::default() {
            note(&format!(
                "nothing ran in {}, and nothing is left there",
                folder.path().display()
            ));
            return Ok(());
        }
        let killed = match ended.killed {
            0 => String::new(),
            killed => format!(", {killed} more did not leave in time and were killed"),
        };
        note(&format!(
            "{} nodes have ended{killed}; {} is gone",
            ended.in_order,
            folder.path().display()
        ));
        Ok(())
    }
}

fn show(
    what: &impl Serialize,
    as_table: impl FnOnce() -> String,
    shown: &Shown,
) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(what)?;
    print(as_table, || json, shown.output)
}

/// What to type next.
fn next(testbed: &Testbed, at: &At) -> String {
    let last = testbed.nodes.len();
    let (dir, before) = match at.dir.to_str() {
        Some(".synergy/testbed") | None => (String::new(), String::new()),
        Some(dir) => (format!(" --dir {dir}"), format!("SYNERGY_TESTBED={dir} ")),
    };
    let area = testbed.area.as_ref().map_or_else(String::new, |area| {
        format!(
            "The nodes stand for hosts {} of {}: a round trip takes {:.1} ms on average, and {:.1} ms at most.\n",
            area.hosts.join(", "),
            area.file.display(),
            area.mean_round_trip_ms,
            area.longest_round_trip_ms,
        )
    });
    format!(
        "{area}{last} nodes know one another after {:.1} s. What to type next, in this folder:\n  \
         {before}synergy --node {last} apply examples/intrusion/app.toml\n  \
         {before}synergy --node 1 app ls\n  \
         synergy-testbed status{dir}\n  \
         synergy-testbed kill {last}{dir}\n  \
         synergy-testbed down{dir}",
        testbed.joined_ms / 1e3
    )
}

fn started(nodes: &[UpRow]) -> String {
    let row = |node: &UpRow| {
        vec![
            node.number.to_string(),
            node.name.clone(),
            node.node.chars().take(ID_SHOWN).collect(),
            node.api.clone(),
            node.pid.to_string(),
            format!("{:.0}", node.ready_ms),
        ]
    };
    let rows: Vec<Vec<String>> = nodes.iter().map(row).collect();
    table(&["K", "NAME", "NODE", "API", "PID", "READY MS"], &rows)
}

/// How much of a node's id is in a table. Unit: characters. Source: guess; enough to tell nodes apart.
const ID_SHOWN: usize = 12;

fn states(rows: &[Row]) -> String {
    let count = |count: Option<u64>| count.map_or_else(absent, |count| count.to_string());
    let row = |row: &Row| {
        let mebibytes = row
            .resident_bytes
            .map(|bytes| convert::count_to_f64(bytes) / MEBIBYTE);
        vec![
            row.number.to_string(),
            row.name.clone(),
            row.state.to_owned(),
            row.pid.map_or_else(absent, |pid| pid.to_string()),
            row.api.clone().unwrap_or_else(absent),
            mebibytes.map_or_else(absent, |size| format!("{size:.1}")),
            count(row.hosts_known),
            count(row.components),
            count(row.applications),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    let headings = [
        "K",
        "NAME",
        "STATE",
        "PID",
        "API",
        "MIB",
        "HOSTS",
        "COMPONENTS",
        "APPLICATIONS",
    ];
    table(&headings, &rows)
}

const MEBIBYTE: f64 = 1_048_576.0;

fn absent() -> String {
    ABSENT.to_owned()
}
