//! The driver: what joins a node's control plane, its engine, its network and its HTTP interface.
//!
//! One task owns [`crate::node::Node`] and carries out its effects (`control`). Applications become threads and
//! edges here (`deploy`, `open`, `parts`); an edge to another host is a task on a data stream (`link`, [`edge`]); a tap
//! is one as well (`tap`). Nothing here decides anything: that is done by machines.

mod adopt;
mod awaiting;
mod backup;
mod control;
pub mod daemon;
mod deploy;
pub mod edge;
mod effects;
mod elsewhere;
mod former;
mod gone;
mod hello;
mod leaving;
mod lent;
mod link;
mod load;
mod migration;
mod open;
mod parts;
mod passing;
mod preparing;
mod publish;
mod report;
mod request;
mod standby;
mod state;
mod state_log;
mod storage;
mod surviving;
mod tap;
mod used;

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use engine::runtime::Runtime;
use engine::scheduler::Policy;
use model::{Clock, HostSummary, LoadInterval, NodeId, Resources, Rng};
use overlay::Identity;
use overlay::net::{self, Network};
use tokio::task::JoinHandle;

use crate::api::Gate;
use crate::clock::MachineClock;
use crate::node::{self, Node, PartReport};
use crate::priority;
use crate::run::{Limit, News};
use crate::store::Store;

/// What a node is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who it is.
    pub identity: Identity,
    /// Whether nobody was this node before.
    pub is_new: bool,
    /// What people call it.
    pub name: String,
    /// The network that it belongs to.
    pub network: String,
    /// Where it listens: multiaddresses.
    pub listen: Vec<String>,
    /// Whom it joins: multiaddresses.
    pub join: Vec<String>,
    /// What people say of where it is and what it is for.
    pub labels: BTreeMap<String, String>,
    /// Which kinds of operators it runs for others; absent, all.
    pub operators: Option<Vec<String>>,
    /// What it offers.
    pub capacity: Resources,
    /// The memory for data. Unit: bytes. Range: from [`engine::MEMORY_MIN`].
    pub memory_bytes: u64,
    /// Where what is retained beyond the memory lies, and how much at most; nothing where it is lost to who is that far behind. Unit: bytes.
    pub storage: Option<(PathBuf, u64)>,
    /// How many worker threads there are. Range: from 1.
    pub workers: usize,
    /// How components are ordered.
    pub policy: Policy,
    /// Whether it moves components by itself.
    pub migrates: bool,
    /// How long it may give away what it runs before it leaves; nothing for at once. Range: up to
    /// [`crate::settings::DRAIN_MAX`].
    pub drain: Duration,
    /// Where it keeps what is to outlive it, and what it writes for others, if it keeps anything.
    pub data_dir: Option<PathBuf>,
    /// What becomes of results that are meant for whoever asked.
    pub results: Results,
    /// What it keeps for a restart; nothing where there is none.
    pub store: Option<Store>,
    /// What only testbeds tell it.
    pub hooks: Hooks,
}

/// What testbeds tell a node by a program of their own. The program `synergy` has no words for it.
#[derive(Clone, Default)]
pub struct Hooks {
    /// How the ways from other nodes are shaped.
    pub ways: Option<net::Ways>,
    /// How it composes; as every node does if not given.
    pub policy: Option<&'static dyn composition::policy::Policy>,
    /// How many worker threads there are, if not one for each core. Range: from 1.
    pub workers: Option<NonZeroUsize>,
    /// By how much its clock is ahead of those of others.
    pub clock_ahead: Duration,
}

impl std::fmt::Debug for Hooks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hooks")
            .field("policy", &self.policy)
            .field("workers", &self.workers)
            .field("clock_ahead", &self.clock_ahead)
            .finish_non_exhaustive()
    }
}

/// What becomes of results that are meant for whoever asked: of sinks that write to standard output.
#[derive(Debug, Clone)]
pub enum Results {
    /// They are counted; people see them by a tap.
    Tapped,
    /// They are written to this process's standard output.
    Shown {
        /// How many rows may leave, where that is limited.
        limit: Option<Arc<Limit>>,
        /// Who hears how it goes.
        news: SyncSender<News>,
        /// What was counted of parts that are gone, by host and component.
        last: LastCounts,
    },
}

/// What was counted of parts that are gone: the name of the host and its report.
pub type LastCounts = Arc<Mutex<Vec<(String, PartReport)>>>;

/// Why a node was not started. Nothing of it runs.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The network was not started.
    #[error(transparent)]
    Network(#[from] net::StartError),
    /// The system gave no thread.
    #[error("the system refused what a node needs: {0}")]
    System(#[from] std::io::Error),
}

/// A node that runs.
#[derive(Debug)]
pub struct Running {
    /// Who it is.
    pub node: NodeId,
    /// The way to it.
    pub gate: Gate,
    /// Its network.
    pub network: Network,
    task: JoinHandle<()>,
}

impl Running {
    /// Waits until the node has gone down.
    pub async fn ended(self) {
        // A panic has said what it was.
        drop(self.task.await);
    }
}

/// Starts a node: it listens when this returns, and joins in the background.
///
/// # Errors
/// When it cannot listen, or the system gives no thread.
pub async fn start(
    config: Config,
    clock: Arc<MachineClock>,
    rng: Rng,
) -> Result<Running, StartError> {
    let id = config.identity.node();
    // Larger than any number that was used before, also before a restart: microseconds since 1970.
    let first_number = clock.epoch().plus(model::convert::micros(
        clock.now().since(model::Instant::ZERO),
    ));
    let first_number = first_number.0.unsigned_abs();
    let host = HostSummary {
        node: id,
        name: config.name.clone(),
        addresses: Vec::new(),
        coordinate: overlay::coordinate::unknown(),
        load: LoadInterval::default(),
        capacity: config.capacity,
        labels: config.labels.clone(),
        operators: config.operators.clone(),
        version: first_number,
    };
    let network = net::Config {
        identity: config.identity.clone(),
        network: config.network.clone(),
        listen: config.listen.clone(),
        join: config.join.clone(),
        host: host.clone(),
        first_version: first_number,
        ways: config.hooks.ways.clone(),
    };
    let shared: Arc<dyn Clock> = clock.clone();
    let (network, events) = net::start(network, shared.clone(), rng.keyed("network")).await?;
    let runtime = Runtime::start_with(
        engine::Config {
            memory_bytes: config.memory_bytes,
            disk_bytes: config.storage.as_ref().map_or(0, |(_, bytes)| *bytes),
            policy: config.policy,
            ..engine::Config::default()
        },
        config.workers,
        shared,
        priority::after_others,
    )?;
    let storage = match &config.storage {
        Some((folder, bytes_max)) => {
            let storage = storage::Shared::open(folder, *bytes_max, clock.now())?;
            storage.start(runtime.handle())?;
            Some(storage)
        }
        None => None,
    };
    let node = Node::new(
        node::Config {
            identity: config.identity.clone(),
            host: HostSummary {
                addresses: network.addresses(),
                ..host
            },
            network: config.network.clone(),
            composition: composition(&config.hooks),
            first_number,
            is_new: config.is_new,
            migrates: config.migrates,
            repairs: true,
        },
        rng.keyed("node"),
    );
    let (gate, requests) = Gate::new();
    let surviving = match (&config.data_dir, &config.storage, storage) {
        (Some(folder), Some((_, bytes_max)), Some(storage)) => {
            let folder = folder.join(crate::data_dir::STATES);
            Some(surviving::Surviving::open(folder, *bytes_max, storage)?)
        }
        _ => None,
    };
    let control = control::Control::new(node, config, clock, network.clone(), runtime, surviving);
    let task = tokio::spawn(control.run(events, requests));
    Ok(Running {
        node: id,
        gate,
        network,
        task,
    })
}

fn composition(hooks: &Hooks) -> composition::Config {
    let config = composition::Config::default();
    composition::Config {
        policy: hooks.policy.unwrap_or(config.policy),
        ..config
    }
}
