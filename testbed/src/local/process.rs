//! The processes of a testbed: found by what they were started with, and held so that a signal reaches no other.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Child;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};

pub use rustix::process::Signal;

use super::folder::Folder;

/// A process that runs a node of a testbed.
///
/// It is held by a descriptor and not by its id, which the system gives to another process when this one has ended.
#[derive(Debug)]
pub struct Process {
    /// Which node it runs.
    pub node: u32,
    /// Its id.
    pub id: u32,
    descriptor: OwnedFd,
}

impl Process {
    /// All that run a node of a testbed, whoever started them, in the order of their nodes.
    ///
    /// # Errors
    /// When the system does not say which processes there are.
    pub fn all_of(folder: &Folder) -> Result<Vec<Self>, io::Error> {
        let mut tries = 0..EXEC_TRIES;
        loop {
            let mut found = Vec::new();
            let mut is_any_unnamed = false;
            for entry in std::fs::read_dir("/proc")? {
                let name = entry?.file_name();
                let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else {
                    continue;
                };
                match node_of(folder, id) {
                    Named::Node(_) => found.extend(Self::open(folder, id)),
                    Named::NotYet => is_any_unnamed = true,
                    Named::Other => {}
                }
            }
            if is_any_unnamed && tries.next().is_some() {
                pause(EXEC_INTERVAL)?;
                continue;
            }
            found.sort_by_key(|process| (process.node, process.id));
            return Ok(found);
        }
    }

    /// A process that this one has just started to run a node.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn of_child(node: u32, child: &Child) -> Result<Self, io::Error> {
        let id = child.id();
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
        let pid = pid.ok_or(io::ErrorKind::InvalidInput)?;
        // Its id is no other's before it was waited for.
        let descriptor = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self {
            node,
            id,
            descriptor,
        })
    }

    /// The process of an id, if it runs a node of the testbed.
    fn open(folder: &Folder, id: u32) -> Option<Self> {
        let pid = Pid::from_raw(i32::try_from(id).ok()?)?;
        let descriptor = pidfd_open(pid, PidfdFlags::empty()).ok()?;
        // Looked at when it is held: a process that came to the id later is not what the descriptor stands for.
        let Named::Node(node) = node_of(folder, id) else {
            return None;
        };
        Some(Self {
            node,
            id,
            descriptor,
        })
    }

    /// Sends it a signal; one that has ended is past all of them.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn signal(&self, signal: Signal) -> Result<(), io::Error> {
        match pidfd_send_signal(&self.descriptor, signal) {
            Err(error) if error != Errno::SRCH => Err(error.into()),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Whether it is stopped by a signal, and goes on by another.
    pub fn is_paused(&self) -> bool {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.id)).unwrap_or_default();
        // Its name stands before, in parentheses, and may contain whatever it likes.
        let state = stat.rsplit_once(')').map(|(_, rest)| rest.trim_start());
        state.is_some_and(|state| state.starts_with('T'))
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn has_ended(&self) -> Result<bool, io::Error> {
        wait(std::slice::from_ref(self), Duration::ZERO).map(|ended| ended.contains(&true))
    }
}

/// Waits until one of some processes has ended, a time has passed or this process was told to stop; says of each
/// whether it has ended.
///
/// # Errors
/// When the system refuses.
pub fn wait(processes: &[Process], most: Duration) -> Result<Vec<bool>, io::Error> {
    let mut descriptors: Vec<PollFd<'_>> = processes
        .iter()
        .map(|process| PollFd::from_borrowed_fd(process.descriptor.as_fd(), PollFlags::IN))
        .collect();
    let most = Timespec::try_from(most).map_err(io::Error::other)?;
    match poll(&mut descriptors, Some(&most)) {
        Err(error) if error != Errno::INTR => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    let ended = descriptors.iter().map(|it| !it.revents().is_empty());
    Ok(ended.collect())
}

/// Waits before looking again at what gives no sign when it changes; ends early when this process is told to stop.
///
/// # Errors
/// When the system refuses.
pub fn pause(most: Duration) -> Result<(), io::Error> {
    wait(&[], most).map(|_| ())
}

/// What a process is by what it was started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Named {
    /// It runs a node of the testbed.
    Node(u32),
    /// It is about to run another program, and the system does not say yet with which arguments.
    NotYet,
    /// Something else, the system's own processes and those that have ended among them.
    Other,
}

/// How often processes are looked at again when one is about to run another program, and when.
///
/// Unit: times, and time. Source: guess; the system takes microseconds. Some programs hide their arguments for good.
const EXEC_TRIES: u32 = 3;
const EXEC_INTERVAL: Duration = Duration::from_millis(5);

/// The node that a process was started to run: its data folder is behind `--data-dir` in its arguments. A process
/// that merely names a file of the testbed, such as one that shows a log, is none.
fn node_of(folder: &Folder, id: u32) -> Named {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    if line.is_empty() {
        return match std::fs::read_link(format!("/proc/{id}/exe")) {
            Ok(_) => Named::NotYet,
            Err(_) => Named::Other,
        };
    }
    node_in(folder, &line).map_or(Named::Other, Named::Node)
}

fn node_in(folder: &Folder, line: &[u8]) -> Option<u32> {
    let arguments: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    let mut pairs = arguments.windows(2);
    pairs.find_map(|pair| match pair[0] == b"--data-dir" {
        true => folder.node_of(Path::new(OsStr::from_bytes(pair[1]))),
        false => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_runs_a_node_of_the_folder_is_found() {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::at(around.path()).unwrap();
        let here = folder.path().display();
        for (line, node) in [
            (
                format!("synergy\0node\0start\0--data-dir\0{here}/node-7\0"),
                Some(7),
            ),
            (
                format!("sh\0synergy\0--data-dir\0{here}/node-12\0--name\0n"),
                Some(12),
            ),
            (format!("tail\0-f\0{here}/node-7/log\0"), None),
            (format!("synergy\0--data-dir\0{here}-2/node-7\0"), None),
            (format!("synergy\0--data-dir\0{here}/node-7/node-1\0"), None),
            ("synergy\0--data-dir\0".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(node_in(&folder, line.as_bytes()), node, "{line:?}");
        }
        assert!(Process::all_of(&folder).unwrap().is_empty());
        assert!(Process::open(&folder, std::process::id()).is_none());
    }
}
