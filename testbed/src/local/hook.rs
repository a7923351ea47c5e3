//! What a testbed's nodes are told beside their command line, by this program where it is called `synergy`.
//!
//! The ways from other nodes follow the testbed's files: a node looks at them at its start and at each signal
//! `SIGUSR1`. The program that people install knows nothing of it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use anyhow::Context;
use model::NodeId;
use node::driver::Hooks;
use overlay::net::Way;
use signal_hook::consts::SIGUSR1;
use signal_hook::iterator::Signals;
use tokio::sync::watch;

use super::folder::Folder;
use super::shape::{self, FAULTS, Faults, SHAPE, Shape};
use crate::cli::note;

/// The variable by which a node is told its data folder, and with it that it is one of a testbed that is shaped.
pub(super) const VARIABLE: &str = "SYNERGY_TESTBED_NODE";

/// What the environment says that this node is told; nothing where it is none of a testbed that is shaped.
///
/// # Errors
/// When the testbed's files cannot be read, or the system refuses.
pub fn hooks() -> anyhow::Result<Hooks> {
    let Some(data) = std::env::var_os(VARIABLE).map(PathBuf::from) else {
        return Ok(Hooks::default());
    };
    let folder = Folder::at(data.parent().context("a data folder is in a testbed's")?)?;
    let node = folder.node_of(&data).context("no data folder of a node")?;
    let shape: Shape = shape::read(&folder, SHAPE)?.context("the testbed is not shaped")?;
    let policy = shape.policy.as_deref().map(|name| {
        let policy = composition::policy::find(name);
        policy.with_context(|| format!("nobody composes by {name:?}"))
    });
    let policy = policy.transpose()?;
    let workers = shape.workers;
    let clock_ahead = shape.clock_ahead(node);
    if let Some(background) = shape.background.clone() {
        background.start(node)?;
    }
    let ways = Followed::start(folder, node, shape)?;
    // Somebody of another testbed is as near as this machine makes it.
    let other = watch::Sender::new(Way::default());
    let of = move |from: NodeId| ways.get(&from).unwrap_or(&other).subscribe();
    Ok(Hooks {
        ways: Some(Arc::new(of)),
        policy,
        workers,
        clock_ahead,
    })
}

/// The ways to this node, as the files have them.
struct Followed {
    folder: Folder,
    node: u32,
    shape: Shape,
    ways: Arc<BTreeMap<NodeId, watch::Sender<Way>>>,
}

impl Followed {
    /// Follows the files from now on, on a thread of its own.
    fn start(
        folder: Folder,
        node: u32,
        shape: Shape,
    ) -> anyhow::Result<Arc<BTreeMap<NodeId, watch::Sender<Way>>>> {
        // Heard from here on: what is written after the files were read is told by another signal.
        let mut signals = Signals::new([SIGUSR1])?;
        let nodes = shape.nodes.iter().copied().map(NodeId);
        let ways = nodes.map(|id| (id, watch::Sender::default()));
        let ways: Arc<BTreeMap<_, _>> = Arc::new(ways.collect());
        let followed = Self {
            folder,
            node,
            shape,
            ways: Arc::clone(&ways),
        };
        followed.look()?;
        let thread = thread::Builder::new().name("faults".to_owned());
        thread.spawn(move || {
            for _ in signals.forever() {
                if let Err(error) = followed.look() {
                    note(&format!("the ways stay as they are: {error:#}"));
                }
            }
        })?;
        Ok(ways)
    }

    fn look(&self) -> anyhow::Result<()> {
        let faults: Option<Faults> = shape::read(&self.folder, FAULTS)?;
        let ways = self.shape.ways(self.node, &faults.unwrap_or_default());
        for (from, way) in ways {
            if let Some(sender) = self.ways.get(&from) {
                sender.send_if_modified(|before| std::mem::replace(before, way) != way);
            }
        }
        Ok(())
    }
}
