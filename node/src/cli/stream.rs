//! `synergy stream`: published streams.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::apply::File;
use super::output::{Output, Progress, Table};
use super::tap::Tap;
use super::{Globals, Status};
use crate::api::PublishBody;
use crate::application::problem::printable;
use crate::client::encoded;
use crate::node::{Failure, StreamRow};

#[derive(Debug, Subcommand)]
pub(super) enum Stream {
    /// List all published streams of the network.
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Show a stream and its columns: a published one, or APP/OPERATOR[.PORT].
    Show(Named),
    /// Attach a source to this host and publish what it yields.
    ///
    /// The file holds what a table [source.NAME] of an application holds: connector, path, format, time, schema, speed,
    /// overflow, rate. Its rows flow from now on, whether somebody reads them or not.
    Publish(Publish),
    /// Show the rows of a stream, as JSON lines.
    Tap(Tap),
    /// End a publication of the node that is asked.
    Stop(Named),
}

/// A stream.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The stream.
    name: String,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// The name to publish under, such as lab/flows.
    name: String,
    /// The source file; - for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    output: Output,
}

impl Stream {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        match self {
            Self::Ls { output } => {
                let answer = globals.client()?.get("/v1/streams")?;
                output.print(
                    answer,
                    |rows: &Vec<StreamRow>| list(rows),
                    |rows| rows.iter().map(|row| row.name.clone()).collect(),
                )
            }
            Self::Show(named) => {
                let path = format!("/v1/streams/{}", encoded(&named.name));
                let answer = globals.client()?.get(&path)?;
                named
                    .output
                    .print(answer, show, |row| vec![row.name.clone()])
            }
            Self::Publish(publish) => publish.execute(globals),
            Self::Tap(tap) => tap.execute(globals),
            Self::Stop(named) => {
                let path = format!("/v1/streams/{}", encoded(&named.name));
                let answer = globals.client()?.delete(&path)?;
                let stopped =
                    |row: &StreamRow| format!("{} is no longer published\n", printable(&row.name));
                named
                    .output
                    .print(answer, stopped, |row| vec![row.name.clone()])
            }
        }
    }
}

impl Publish {
    fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let client = globals.client()?;
        let file = File::read(&self.file)?;
        let body = PublishBody {
            name: self.name,
            file: file.name,
            text: file.text,
            folder: file.folder,
        };
        let progress = Progress::start(&globals.verbosity, format!("publishing {}", body.name));
        let answer = client.post("/v1/streams", &body);
        drop(progress);
        self.output
            .print(answer?, show, |row| vec![row.name.clone()])
    }
}

fn list(rows: &[StreamRow]) -> String {
    let mut table = Table::new(&["NAME", "HOST", "STATUS", "ROWS/S", "COLUMNS"]);
    for row in rows {
        let columns: Vec<String> = row
            .columns
            .iter()
            .map(|(name, kind)| format!("{name} {kind}"))
            .collect();
        table.row(&[
            &row.name,
            &row.host,
            &row.status,
            &rate(row),
            &columns.join(", "),
        ]);
    }
    table.to_string()
}

fn show(row: &StreamRow) -> String {
    let mut table = Table::new(&["COLUMN", "TYPE"]);
    for (name, kind) in &row.columns {
        table.row(&[name, kind]);
    }
    let line = format!(
        "{} is {} at {}; rows/s {}",
        row.name,
        row.status,
        row.host,
        rate(row)
    );
    format!("{}\n{table}", printable(&line))
}

fn rate(row: &StreamRow) -> String {
    row.rows_per_second
        .map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_shown_with_its_columns() {
        let row = StreamRow {
            name: "lab/flows".to_owned(),
            host: "n1".to_owned(),
            node: "aa".repeat(32),
            columns: vec![
                ("ts".to_owned(), "timestamp".to_owned()),
                ("n".to_owned(), "int64".to_owned()),
            ],
            rows_per_second: None,
            status: "running".to_owned(),
        };
        let expected = "lab/flows is running at n1; rows/s -\nCOLUMN  TYPE\nts      timestamp\nn       int64\n";
        assert_eq!(show(&row), expected);
        let expected = "\
NAME       HOST  STATUS   ROWS/S  COLUMNS
lab/flows  n1    running  -       ts timestamp, n int64
";
        assert_eq!(list(&[row]), expected);
    }
}
