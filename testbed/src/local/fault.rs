//! What is done to single nodes of a testbed and to the ways between them, to see how the others take it.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;

use super::down;
use super::folder::{Folder, Record};
use super::process::{Process, Signal};
use super::program;
use super::shape::{self, FAULTS, Faults};

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
        check(&record, *node)?;
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

/// From now on everything takes longer to and from nodes, by this much each way, on top of what their ways take anyway.
/// Said of a node again, the last counts.
///
/// # Errors
/// When there is no testbed with faults, or no such node. Nothing was changed then.
pub fn slow(folder: &Folder, nodes: &[u32], by: Duration) -> anyhow::Result<()> {
    change(folder, nodes, |faults| {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        let slow = nodes.iter().map(|node| (*node, micros));
        faults.slow_us.extend(slow);
    })
}

/// From now on nodes reach only those of their group; those in no group are one more. Nothing that is sent over a border
/// arrives, and nobody is told. Groups of before are forgotten.
///
/// # Errors
/// When there is no testbed with faults, no such node, or a node is in two groups. Nothing was changed then.
pub fn partition(folder: &Folder, groups: &[Vec<u32>]) -> anyhow::Result<()> {
    let nodes = groups.concat();
    let mut seen = BTreeSet::new();
    if let Some(twice) = nodes.iter().find(|node| !seen.insert(**node)) {
        anyhow::bail!("node {twice} is in two groups");
    }
    change(folder, &nodes, |faults| faults.groups = groups.to_vec())
}

/// All ways are again as they were at the start. What was sent over a border meanwhile and whose connection has not been given
/// up arrives now.
///
/// # Errors
/// When there is no testbed with faults.
pub fn heal(folder: &Folder) -> anyhow::Result<()> {
    let record = folder.expect_record()?;
    if let Some(net) = &record.net {
        let nodes: Vec<u32> = (1..=record.nodes).collect();
        net.plug(&nodes, true)?;
        if !record.is_shaped {
            return Ok(());
        }
    }
    change(folder, &[], |faults| *faults = Faults::default())
}

/// Takes the links of nodes down, in the kernel: they reach nobody, and their own interface says so.
///
/// # Errors
/// When there is no testbed with network namespaces, no such node, or the system refuses.
pub fn unplug(folder: &Folder, nodes: &[u32]) -> anyhow::Result<()> {
    let record = folder.expect_record()?;
    let net = record.net.as_ref().context(
        "the nodes of this testbed have no links of their own: start them with `synergy-testbed up --netns`",
    )?;
    nodes.iter().try_for_each(|node| check(&record, *node))?;
    net.plug(nodes, false)
}

/// The node that people call so: by its number, or by its name.
///
/// # Errors
/// When the text is neither.
pub fn number(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix(program::NAME_STEM).unwrap_or(text);
    let number = digits.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        format!("expected a node's number, such as 3, or its name, such as n3; not {text:?}")
    })
}

fn check(record: &Record, node: u32) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=record.nodes).contains(&node),
        "the testbed has nodes 1 to {}",
        record.nodes
    );
    Ok(())
}

/// Changes what is wrong with the ways, and tells all nodes that run.
fn change(folder: &Folder, nodes: &[u32], change: impl FnOnce(&mut Faults)) -> anyhow::Result<()> {
    let record = folder.expect_record()?;
    anyhow::ensure!(
        record.is_shaped,
        "the nodes of this testbed run the program that people install, which nobody can slow down or cut off: \
         start them with `synergy-testbed up --faults`, or with --latency"
    );
    nodes.iter().try_for_each(|node| check(&record, *node))?;
    // While nodes start, a signal could come before they listen to it.
    let _lock = folder.lock()?;
    let mut faults: Faults = shape::read(folder, FAULTS)?.unwrap_or_default();
    change(&mut faults);
    shape::write(folder, FAULTS, &faults)?;
    for process in Process::all_of(folder)? {
        process.signal(Signal::USR1)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_called_by_number_or_name() {
        assert_eq!(number("3"), Ok(3));
        assert_eq!(number("n12"), Ok(12));
        for text in ["", "n", "0", "n0", "-1", "x3", "nn3"] {
            assert!(number(text).is_err(), "{text}");
        }
    }
}
