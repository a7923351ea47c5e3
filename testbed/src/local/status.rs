//! `status`: each node of a testbed as its process and its API show it.

use std::thread;

use serde::Serialize;

use super::api::{self, Api};
use super::folder::Folder;
use super::process::Process;
use super::program;
use crate::bench::machine::Sample;

/// A node of a testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Which node of the testbed.
    pub number: u32,
    /// What it is called.
    pub name: String,
    /// `up`, `paused`, `silent` where it runs and does not answer, or `dead`.
    pub state: &'static str,
    /// Its process, while it runs.
    pub pid: Option<u32>,
    /// Where its API is.
    pub api: Option<String>,
    /// The memory that it occupies.
    pub resident_bytes: Option<u64>,
    /// Hosts that it knows.
    pub hosts_known: Option<u64>,
    /// Components that run there.
    pub components: Option<u64>,
    /// Applications that it takes part in.
    pub applications: Option<u64>,
}

/// All nodes of a testbed.
///
/// # Errors
/// When there is no testbed, or the system does not show processes.
pub fn status(folder: &Folder) -> anyhow::Result<Vec<Row>> {
    let record = folder.expect_record()?;
    let processes = Process::all_of(folder)?;
    let api = Api::default();
    // At the same time: those that do not answer are waited for once, and not one after the other.
    let rows = thread::scope(|scope| {
        let threads: Vec<_> = (1..=record.nodes)
            .map(|node| {
                let process = processes.iter().find(|process| process.node == node);
                let api = &api;
                scope.spawn(move || row(folder, api, node, process))
            })
            .collect();
        threads
            .into_iter()
            .map(thread::ScopedJoinHandle::join)
            .collect::<Result<_, _>>()
    });
    rows.or_else(|panic| std::panic::resume_unwind(panic))
}

fn row(folder: &Folder, api: &Api, node: u32, process: Option<&Process>) -> Row {
    let mut row = Row {
        number: node,
        name: program::name(node),
        state: "dead",
        pid: None,
        api: None,
        resident_bytes: None,
        hosts_known: None,
        components: None,
        applications: None,
    };
    let Some(process) = process else {
        return row;
    };
    let data = folder.node(node);
    row.pid = Some(process.id);
    row.api = api::address(&data).ok().map(|it| it.to_string());
    row.resident_bytes = Sample::of(process.id).map(|sample| sample.resident_bytes);
    if process.is_paused() {
        row.state = "paused";
        return row;
    }
    let Ok(info) = api.info(&data) else {
        row.state = "silent";
        return row;
    };
    row.state = "up";
    row.hosts_known = Some(info.hosts_known);
    row.components = Some(info.components);
    row.applications = Some(info.applications);
    row
}
