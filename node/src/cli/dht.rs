//! `synergy dht`: what the overlay has.

use std::fmt::Write;

use clap::Subcommand;

use super::app::Named;
use super::output::{Output, Table, short};
use super::{Globals, Status};
use crate::api::NetworkRow;
use crate::application::problem::printable;
use crate::client::encoded;
use crate::node::{EntryRow, Failure, FailureKind};

#[derive(Debug, Subcommand)]
pub(super) enum Dht {
    /// Look up what stands under the name of a stream or an application, or under APP/OPERATOR.
    Lookup(Named),
    /// Show what the node counted of the overlay.
    Stats {
        #[command(flatten)]
        output: Output,
    },
}

impl Dht {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        match self {
            Self::Lookup(Named { name, output }) => {
                let path = format!("/v1/dht/{}", encoded(&name));
                let answer = globals.client()?.get(&path)?;
                let is_empty = answer.as_array().is_some_and(Vec::is_empty);
                let printed = output.print(
                    answer,
                    |rows: &Vec<EntryRow>| entries(rows),
                    |rows| rows.iter().map(|row| row.owner.clone()).collect(),
                )?;
                if is_empty {
                    let message = format!(
                        "nothing stands under {name:?}: nobody has registered it, or it has expired; `synergy app ls` \
                         and `synergy stream ls` list what there is"
                    );
                    return Err(Failure::new(FailureKind::NotFound, message));
                }
                Ok(printed)
            }
            Self::Stats { output } => {
                let answer = globals.client()?.get("/v1/dht")?;
                output.print(answer, stats, |row: &NetworkRow| {
                    row.refused.keys().cloned().collect()
                })
            }
        }
    }
}

fn entries(rows: &[EntryRow]) -> String {
    let mut table = Table::new(&["KIND", "OWNER", "VERSION", "ADDRESSES", "SAYS"]);
    for row in rows {
        let addresses = row.addresses.join(", ");
        table.row(&[
            &row.kind,
            short(&row.owner),
            &row.version.to_string(),
            &addresses,
            &row.says,
        ]);
    }
    table.to_string()
}

fn stats(row: &NetworkRow) -> String {
    let mut text = String::new();
    for (what, count) in [
        ("hosts known", row.hosts_known),
        ("connections", row.connections),
        ("peers in the routing table", row.routing_peers),
        ("entries held", row.entries_held),
        ("keys held", row.keys_held),
        ("entries registered", row.entries_registered),
        ("look-ups answered here", row.queries_local),
        ("look-ups answered by others", row.queries_remote),
        ("walks", row.walks),
    ] {
        // Writing into a string does not fail.
        let _ = writeln!(text, "{what}: {count}");
    }
    for (reason, count) in &row.refused {
        let _ = writeln!(text, "refused, {}: {count}", printable(reason));
    }
    text
}
