//! What is done to single nodes of a testbed, to see how the others take it.

use anyhow::Context;

use super::down;
use super::folder::Folder;
use super::process::{Process, Signal};

/// A thing to do to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It ends at once and says goodbye to nobody.
    Kill,
    /// It does nothing until it is resumed, and keeps what it has.
    Pause,
    /// It goes on.
    Resume,
}

/// Does something to nodes. Those that are killed have ended when this returns.
///
/// # Errors
/// When there is no testbed, or a node does not run. Nothing was done to the nodes then.
pub fn apply(folder: &Folder, nodes: &[u32], fault: Fault) -> anyhow::Result<()> {
    let record = folder.expect_record()?;
    let (mut chosen, mut others) = (Vec::new(), Process::all_of(folder)?);
    for node in nodes {
        anyhow::ensure!(
            (1..=record.nodes).contains(node),
            "the testbed has nodes 1 to {}",
            record.nodes
        );
        let found = others.iter().position(|process| process.node == *node);
        let found = found.with_context(|| format!("node {node} does not run"))?;
        chosen.push(others.swap_remove(found));
    }
    for process in &chosen {
        process.signal(match fault {
            Fault::Kill => Signal::KILL,
            Fault::Pause => Signal::STOP,
            Fault::Resume => Signal::CONT,
        })?;
    }
    if fault == Fault::Kill {
        down::outlast(&mut chosen, down::KILL_WAIT)?;
        anyhow::ensure!(chosen.is_empty(), "processes that do not end: {chosen:?}");
    }
    Ok(())
}
