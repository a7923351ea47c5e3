//! `synergy plan` and `synergy apply`: a file to a node, and what comes of it.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};
use serde_json::Value;

use super::output::{self, Format, Output, Progress};
use super::{Globals, Status, composition};
use crate::api::ApplyBody;
use crate::application::FILE_BYTES_MAX;
use crate::application::text::Text;
use crate::node::{Composition, Failure, FailureKind};

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The application file; - for standard input.
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Put no two operators on one node where there are enough.
    #[arg(long)]
    spread: bool,
    #[command(flatten)]
    output: Output,
}

impl Apply {
    pub(super) fn execute(self, globals: &Globals, is_trial: bool) -> Result<Status, Failure> {
        let client = globals.client()?;
        let file = File::read(&self.file)?;
        let body = ApplyBody {
            file: file.name,
            text: file.text,
            folder: file.folder,
            spread: self.spread,
        };
        let path = if is_trial { "/v1/plan" } else { "/v1/apps" };
        let progress = Progress::start(&globals.verbosity, format!("composing {}", body.file));
        let answered = client.post(path, &body);
        drop(progress);
        match answered {
            Ok(answer) => self.print(answer),
            Err(mut failure) => {
                // What was refused, and why, is the result of having asked; that it was refused, an error.
                if let Some(refusal) = failure.refusal.take() {
                    let answer = serde_json::to_value(&refusal).unwrap_or(Value::Null);
                    self.print(answer)?;
                }
                Err(failure)
            }
        }
    }

    fn print(&self, answer: Value) -> Result<Status, Failure> {
        // A refused application has no name to go on with.
        if self.output.format() == Format::Name && answer["status"] == "refused" {
            return Ok(Status::Ok);
        }
        self.output
            .print(answer, composition::table, |composition: &Composition| {
                vec![composition.application.clone()]
            })
    }
}

/// A file as nodes take it.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: String,
    pub(super) text: String,
    /// Where relative paths in it start from.
    pub(super) folder: PathBuf,
}

impl File {
    pub(super) fn read(path: &Path) -> Result<Self, Failure> {
        let here = || std::env::current_dir().unwrap_or_default();
        if path == Path::new("-") {
            return Ok(Self {
                name: "-".to_owned(),
                text: standard_input()?,
                folder: here(),
            });
        }
        let text = Text::read(path)
            .map_err(|problems| Failure::new(FailureKind::Invalid, problems.to_string()))?;
        let path = path.canonicalize().unwrap_or_else(|_| here().join(path));
        Ok(Self {
            name: text.file,
            text: text.text,
            folder: path.parent().map(Path::to_owned).unwrap_or_default(),
        })
    }
}

fn standard_input() -> Result<String, Failure> {
    let invalid =
        |reason: String| Failure::new(FailureKind::Invalid, format!("standard input {reason}"));
    let limit = model::convert::size(FILE_BYTES_MAX) + 1;
    let mut text = String::new();
    std::io::stdin()
        .take(limit)
        .read_to_string(&mut text)
        .map_err(|error| invalid(format!("cannot be read: {error}")))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(invalid(format!("is larger than {FILE_BYTES_MAX} bytes")));
    }
    Ok(text)
}

impl Globals {
    /// A client of the node that is meant.
    pub(super) fn client(&self) -> Result<crate::client::Client, Failure> {
        self.target.client(self.verbosity.verbose > 0)
    }

    /// Says something that is no result, unless nothing is to be said.
    pub(super) fn note(&self, text: &str) {
        if !self.verbosity.quiet {
            output::note(text);
        }
    }
}
