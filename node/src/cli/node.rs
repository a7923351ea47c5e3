//! `synergy node`: the node of this host, and others.

use std::fmt::Write;

use clap::Subcommand;
use model::time::milliseconds;
use serde_json::json;

use super::output::{Output, Progress, Table, bytes, results, short};
use super::start::Start;
use super::{Globals, Status};
use crate::application::problem::printable;
use crate::data_dir;
use crate::node::{Failure, FailureKind, NodeInfo, NodeRow};

#[derive(Debug, Subcommand)]
pub(super) enum Node {
    /// Start the node of this host; it runs until it is stopped.
    Start(Box<Start>),
    /// Print the id of a node.
    Id {
        #[command(flatten)]
        output: Output,
    },
    /// List all hosts of the network.
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Show what a node knows of itself.
    Info {
        #[command(flatten)]
        output: Output,
    },
    /// Let a node leave the network in order and end.
    Stop,
}

impl Node {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        match self {
            Self::Start(start) => start.execute(globals),
            Self::Id { output } => id(output, globals),
            Self::Ls { output } => {
                let answer = globals.client()?.get("/v1/nodes")?;
                output.print(
                    answer,
                    |rows: &Vec<NodeRow>| list(rows),
                    |rows| rows.iter().map(|row| row.name.clone()).collect(),
                )
            }
            Self::Info { output } => {
                let answer = globals.client()?.get("/v1/node")?;
                output.print(answer, info, |info| vec![info.name.clone()])
            }
            Self::Stop => {
                let client = globals.client()?;
                let progress =
                    Progress::start(&globals.verbosity, "leaving the network".to_owned());
                let stopped = client.post("/v1/node/stop", &json!({}));
                drop(progress);
                stopped?;
                globals.note(&format!(
                    "the node at {} has left the network and ends",
                    client.address()
                ));
                Ok(Status::Ok)
            }
        }
    }
}

/// Prints who a node is. That of this host has an id also while it does not run.
fn id(output: Output, globals: &Globals) -> Result<Status, Failure> {
    let kept = match (globals.target.is_local(), globals.target.data_dir()) {
        (true, Some(folder)) => data_dir::read_identity(&folder)
            .map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))?,
        _ => None,
    };
    let node = match kept {
        Some(identity) => identity
            .node()
            .0
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
        None => super::output::read::<NodeInfo>(globals.client()?.get("/v1/node")?)?.node,
    };
    match output.format() {
        super::output::Format::Json => Ok(results(&format!("{:#}\n", json!({ "node": node })))),
        super::output::Format::Table | super::output::Format::Name => {
            Ok(results(&format!("{node}\n")))
        }
    }
}

pub(super) fn list(rows: &[NodeRow]) -> String {
    let mut table = Table::new(&[
        "NAME",
        "NODE",
        "STATUS",
        "LOAD",
        "CORES",
        "MEMORY",
        "ROUND TRIP",
        "ADDRESSES",
    ]);
    for row in rows {
        table.row(&[
            &row.name,
            short(&row.node),
            &row.status,
            &format!("{:.2}", row.load),
            &format!("{:.1}", row.cores),
            &bytes(row.memory_bytes),
            &row.round_trip_ms
                .map_or_else(|| "-".to_owned(), milliseconds),
            &row.addresses.join(", "),
        ]);
    }
    table.to_string()
}

fn info(info: &NodeInfo) -> String {
    let mut text = String::new();
    let mut line = |what: &str, value: &str| {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{what}: {}", printable(value));
    };
    line("name", &info.name);
    line("node", &info.node);
    line("version", &info.version);
    line("network", &info.network);
    info.addresses
        .iter()
        .for_each(|address| line("address", address));
    line("runs for", &format!("{:.0} s", info.uptime_s));
    line("hosts known", &info.hosts_known.to_string());
    line("delays known", &info.delays_known.to_string());
    line("components", &info.components.to_string());
    line("applications", &info.applications.to_string());
    line(
        "cores",
        &format!("{:.2} of {:.2} taken", info.cores_taken, info.cores),
    );
    line(
        "memory",
        &format!(
            "{} of {} taken",
            bytes(info.memory_taken_bytes),
            bytes(info.memory_bytes)
        ),
    );
    for (reason, count) in &info.counts {
        line(reason, &count.to_string());
    }
    text
}
