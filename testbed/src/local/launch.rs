//! Nodes on their way up: started, reachable, joined, known to all.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use anyhow::Context;
use model::{Clock, Instant, convert};
use node::clock::MachineClock;
use node::node::NodeInfo;

use super::api::{self, Api};
use super::folder::{Folder, Record};
use super::interrupt::Interrupt;
use super::process::{self, Process};
use super::program;
use super::up::{Up, millis};

/// Nodes that are being started.
#[derive(Debug)]
pub(super) struct Launch<'a> {
    folder: &'a Folder,
    record: &'a Record,
    /// Whom each of them has to know: the names of all.
    names: BTreeSet<String>,
    interrupt: &'a Interrupt,
    api: Api,
    clock: MachineClock,
    starting: Vec<Starting>,
    /// Those of `starting`, in the same order.
    processes: Vec<Process>,
}

/// A node on its way up.
#[derive(Debug)]
struct Starting {
    node: u32,
    child: Child,
    began: Instant,
    /// How long it took until it said that it has joined.
    ready: Option<Duration>,
    up: Option<Up>,
    ask_at: Instant,
    backoff: Duration,
    /// What it lacks, for who asks why it is not up.
    lacks: String,
}

/// How long nodes may take to know one another: so much for up to [`NODES_FEW`], and [`JOIN_WAIT_EACH`] for each more.
///
/// Unit: time. Source: three times what is promised for thirty nodes.
const JOIN_WAIT: Duration = Duration::from_secs(30);
/// Unit: nodes. Source: see [`JOIN_WAIT`].
const NODES_FEW: usize = 30;
/// Unit: time. Source: see [`JOIN_WAIT`].
const JOIN_WAIT_EACH: Duration = Duration::from_secs(1);

/// How long it takes until a node is asked again: at first, and at most.
///
/// Unit: time. Source: guess; the first is below what a start takes, the last costs little of what a node needs.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(200));

/// How many others a node knows at most: in a larger testbed each has joined that knows so many.
///
/// Unit: nodes. Source: what the overlay keeps.
const HOSTS_KNOWN_MAX: usize = 128;

/// How much of what a node printed is shown when it did not come up. Unit: lines. Source: guess.
const LOG_LINES: usize = 15;

impl<'a> Launch<'a> {
    /// Nothing is started yet; each node will have to know those of `names`.
    pub(super) fn new(
        folder: &'a Folder,
        record: &'a Record,
        names: BTreeSet<String>,
        interrupt: &'a Interrupt,
    ) -> Self {
        Self {
            folder,
            record,
            names,
            interrupt,
            api: Api::default(),
            clock: MachineClock::start(),
            starting: Vec::new(),
            processes: Vec::new(),
        }
    }

    /// Starts a node that joins those who are reached at some addresses.
    pub(super) fn start(&mut self, node: u32, join: &[String]) -> anyhow::Result<()> {
        self.interrupt.check()?;
        let began = self.clock.now();
        let child = program::start(self.folder, self.record, node, join)?;
        let process = Process::of_child(node, &child).context("nodes cannot be watched")?;
        self.processes.push(process);
        self.starting.push(Starting {
            node,
            child,
            began,
            ready: None,
            up: None,
            ask_at: began,
            backoff: BACKOFF.0,
            lacks: "was not asked".to_owned(),
        });
        Ok(())
    }

    /// Waits until a node has said where others reach it.
    pub(super) fn until_reachable(&mut self, node: u32) -> anyhow::Result<Vec<String>> {
        loop {
            let addresses = api::addresses(&self.folder.node(node));
            if !addresses.is_empty() {
                return Ok(addresses);
            }
            self.wait(BACKOFF.0)?;
        }
    }

    /// Waits until each node that was started knows all.
    pub(super) fn until_joined(&mut self) -> anyhow::Result<Vec<Up>> {
        loop {
            for index in 0..self.starting.len() {
                self.ask(index);
            }
            let missing = self.starting.iter().filter(|node| node.up.is_none());
            let Some(next) = missing.map(|node| node.ask_at).min() else {
                break;
            };
            self.wait(next.since(self.clock.now()))?;
        }
        Ok(self
            .starting
            .iter()
            .filter_map(|node| node.up.clone())
            .collect())
    }

    /// Asks a node how far it is, where that is due.
    fn ask(&mut self, index: usize) {
        let starting = &mut self.starting[index];
        let now = self.clock.now();
        if starting.up.is_some() || now < starting.ask_at {
            return;
        }
        let data = self.folder.node(starting.node);
        if starting.ready.is_none() && self.api.is_ready(&data) {
            starting.ready = Some(self.clock.now().since(starting.began));
            starting.backoff = BACKOFF.0;
        }
        let api = api::address(&data);
        let (Some(ready), Ok(api)) = (starting.ready, &api) else {
            starting.lacks = match api {
                Ok(_) => "has not joined".to_owned(),
                Err(error) => error.to_string(),
            };
            starting.ask_later(now);
            return;
        };
        match self.knows_all(&data) {
            Ok(itself) => {
                let starting = &mut self.starting[index];
                starting.up = Some(Up {
                    number: starting.node,
                    name: itself.name,
                    node: itself.node,
                    api: api.to_string(),
                    pid: starting.child.id(),
                    ready_ms: millis(ready),
                });
            }
            Err(error) => {
                let starting = &mut self.starting[index];
                starting.lacks = format!("{error:#}");
                starting.ask_later(now);
            }
        }
    }

    /// What a node says of itself that knows all of whom it has to know, or as many as a node ever knows.
    fn knows_all(&self, data: &Path) -> anyhow::Result<NodeInfo> {
        let info = self.api.info(data)?;
        let all = self.names.len();
        let known = convert::index(info.hosts_known) + 1;
        anyhow::ensure!(
            known >= all.min(HOSTS_KNOWN_MAX + 1),
            "knows {known} of {all} nodes"
        );
        // Of a whole testbed nobody else can be known. The list is looked up in the network, and so takes its time.
        if convert::size(all) < u64::from(self.record.nodes) {
            let known = self.api.nodes(data)?;
            let heard = known.iter().filter(|row| row.status != "unheard");
            let heard = heard.filter(|row| self.names.contains(&row.name)).count();
            anyhow::ensure!(heard >= all, "knows {heard} of {all} nodes");
        }
        Ok(info)
    }

    /// Waits a time, or until something happens that a start cannot survive.
    fn wait(&mut self, most: Duration) -> anyhow::Result<()> {
        self.interrupt.check()?;
        let ended = process::wait(&self.processes, most).context("nodes cannot be watched")?;
        self.interrupt.check()?;
        if let Some(index) = ended.iter().position(|has_ended| *has_ended) {
            let status = self.starting[index].child.wait()?;
            let node = self.starting[index].node;
            return Err(self.failure(node, &format!("ended: {status}")));
        }
        let more = self.starting.len().saturating_sub(NODES_FEW);
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        let limit = JOIN_WAIT.saturating_add(JOIN_WAIT_EACH.saturating_mul(more));
        if self.clock.now().since(Instant::ZERO) < limit {
            return Ok(());
        }
        let late = self.starting.iter().find(|node| node.up.is_none());
        let late = late.context("nobody is late")?;
        let what = format!("{} after {} s", late.lacks, limit.as_secs());
        Err(self.failure(late.node, &what))
    }

    /// What happened to a node, and what it said last.
    fn failure(&self, node: u32, what: &str) -> anyhow::Error {
        let mut text = format!("node {node} {what}; it said last:");
        let log = log_end(self.folder, node);
        for line in &log {
            write!(text, "\n  {line}").expect("writing into memory does not fail");
        }
        if log.is_empty() {
            text.push_str(" nothing");
        }
        anyhow::anyhow!(text)
    }
}

impl Starting {
    fn ask_later(&mut self, now: Instant) {
        self.ask_at = now + self.backoff;
        self.backoff = self.backoff.saturating_mul(2).min(BACKOFF.1);
    }
}

/// The last lines of what a node printed.
pub(crate) fn log_end(folder: &Folder, node: u32) -> Vec<String> {
    let bytes = std::fs::read(folder.log(node)).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.len().saturating_sub(LOG_LINES);
    lines[first..]
        .iter()
        .map(|line| (*line).to_owned())
        .collect()
}
