//! `down`: ends every node of a testbed, and removes what it made.

use std::time::Duration;

use anyhow::Context;
use model::Clock;
use node::clock::MachineClock;
use serde::Serialize;

use super::folder::Folder;
use super::process::{self, Process, Signal};

/// How nodes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Ended {
    /// When they were asked to.
    pub in_order: usize,
    /// Only when they were killed.
    pub killed: usize,
}

/// How long nodes may take to leave in order. Unit: time. Source: guess; far above what a leave takes.
const LEAVE_WAIT: Duration = Duration::from_secs(5);

/// How long the system may take to end a process that is killed. Unit: time. Source: guess.
pub(super) const KILL_WAIT: Duration = Duration::from_secs(5);

/// Ends all nodes of a testbed and removes its folder; where there is none, nodes that still name it.
///
/// # Errors
/// When another command works on it, a process cannot be ended, or the folder has files of somebody else.
pub fn down(folder: &Folder) -> anyhow::Result<Ended> {
    let is_ours = folder.exists() && folder.is_ours()?;
    let _lock = is_ours.then(|| folder.lock()).transpose()?;
    let ended = end(folder)?;
    if is_ours {
        unmake(folder)?;
    }
    if folder.exists() {
        folder.remove()?;
    }
    Ok(ended)
}

/// Ends all nodes of a testbed.
///
/// # Errors
/// When one cannot be ended.
pub fn end(folder: &Folder) -> anyhow::Result<Ended> {
    let mut processes = Process::all_of(folder)?;
    let count = processes.len();
    for process in &processes {
        process.signal(Signal::TERM)?;
        // One that was paused hears of it only now.
        process.signal(Signal::CONT)?;
    }
    outlast(&mut processes, LEAVE_WAIT)?;
    let killed = processes.len();
    for process in &processes {
        process.signal(Signal::KILL)?;
    }
    outlast(&mut processes, KILL_WAIT)?;
    let left = Process::all_of(folder)?;
    anyhow::ensure!(
        left.is_empty(),
        "processes that do not end: {:?}",
        left.iter().map(|process| process.id).collect::<Vec<_>>()
    );
    Ok(Ended {
        in_order: count - killed,
        killed,
    })
}

/// Removes the network namespaces of a testbed whose nodes have ended, where it has any.
pub(super) fn unmake(folder: &Folder) -> anyhow::Result<()> {
    let net = folder.record()?.and_then(|record| record.net);
    net.map_or(Ok(()), |net| net.remove())
}

/// Waits until all have ended, at most for a time; those that have are taken out.
pub(super) fn outlast(processes: &mut Vec<Process>, most: Duration) -> anyhow::Result<()> {
    let clock = MachineClock::start();
    let until = clock.now() + most;
    while !processes.is_empty() && clock.now() < until {
        let left = until.since(clock.now());
        let ended = process::wait(processes, left).context("nodes cannot be watched")?;
        let mut ended = ended.into_iter();
        processes.retain(|_| !ended.next().unwrap_or(false));
    }
    Ok(())
}
