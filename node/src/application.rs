//! Application files: what people write, checked as a whole, and made into what a process can run.
//!
//! A file is read in four steps. TOML gives tables with the place of every value. `outline` reads each
//! section for itself, by the tables of keys that kinds of operators and connectors declare. `assembly`
//! opens sources and compiles operators, each behind what it reads. The builder of [`model::plan`] types the
//! whole. Each step goes on behind a mistake, so that all of a file's problems are shown at once; what
//! depends on something broken is not looked at, so that one mistake is one problem.

mod assembly;
pub mod demand;
mod json_schema;
mod keys;
mod names;
mod nearest;
mod order;
mod outline;
mod problem;
mod reference;
mod report;
mod section;
mod syntax;
mod text;
pub mod units;
mod walk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::operator::{Compiled, Kind};
use model::{Arguments, Clock, EventTime, NodeId, QueryPlan, Schema};

use crate::connector::{self, Context, SinkKind, SourceKind};

pub use json_schema::json_schema;
pub use problem::{Place, Problem, Problems};
pub use report::PROBLEMS_MAX;
pub use text::FILE_BYTES_MAX;

use report::Report;
use text::Text;

/// The kinds that an application file can name.
#[derive(Debug, Clone, Copy)]
pub struct Kinds {
    /// Of operators, by `use`.
    pub operators: &'static [&'static Kind],
    /// Of sources, by `connector`.
    pub sources: &'static [&'static SourceKind],
    /// Of sinks, by `connector`.
    pub sinks: &'static [&'static SinkKind],
}

impl Kinds {
    /// All that there are.
    pub const ALL: Self = Self {
        operators: engine::operator::KINDS,
        sources: connector::SOURCES,
        sinks: connector::SINKS,
    };
}

/// Where and for whom an application is loaded.
#[derive(Clone)]
pub struct Host {
    /// Whose application it is.
    pub owner: NodeId,
    /// The node that reads its sources.
    pub node: NodeId,
    /// The clock that sources read.
    pub clock: Arc<dyn Clock>,
    /// The event time of [`model::Instant::ZERO`].
    pub epoch: EventTime,
}

impl std::fmt::Debug for Host {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Host")
            .field("owner", &self.owner)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// An application that can be run: its plan, and what belongs to each part of it, in the plan's order.
#[derive(Debug)]
pub struct Application {
    /// What is computed, typed and named.
    pub plan: QueryPlan,
    /// The open sources.
    pub sources: Vec<Source>,
    /// The compiled operators.
    pub operators: Vec<Operator>,
    /// The sinks, which are opened when the application runs.
    pub sinks: Vec<Sink>,
    /// What people should know of how the file was understood.
    pub remarks: Vec<String>,
}

/// An open source.
#[derive(Debug)]
pub struct Source {
    /// What it is.
    pub kind: &'static SourceKind,
    /// What it was opened with.
    pub arguments: Arguments,
    /// The source.
    pub source: Box<dyn connector::Source>,
    /// The declared rate in rows a second.
    pub rate_hz: Option<f64>,
}

/// A compiled operator.
#[derive(Debug)]
pub struct Operator {
    /// What it is.
    pub kind: &'static Kind,
    /// The operator, and what is known of it.
    pub compiled: Compiled,
    /// The declared processing time of a row.
    pub cost: Option<Duration>,
    /// The declared number of rows that leave for each that comes in.
    pub selectivity: Option<f64>,
    /// The declared rate in rows a second.
    pub rate_hz: Option<f64>,
}

/// A sink that is not open yet.
#[derive(Debug)]
pub struct Sink {
    /// What it is.
    pub kind: &'static SinkKind,
    /// What it is to be opened with.
    pub arguments: Arguments,
    /// The columns that it will get.
    pub schema: Schema,
}

/// Loads an application file, opens its sources and compiles its operators.
///
/// # Errors
/// All that is wrong with the file, in its order.
pub fn load(path: &Path, kinds: &Kinds, host: &Host) -> Result<Application, Problems> {
    let text = Text::read(path)?;
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    load_text(&text, path, folder, kinds, host)
}

fn load_text(
    text: &Text,
    path: &Path,
    folder: &Path,
    kinds: &Kinds,
    host: &Host,
) -> Result<Application, Problems> {
    let mut report = Report::default();
    if text.text.trim().is_empty() {
        report.add_whole(
            "the file is empty",
            "an application: name = \"…\" and tables",
        );
        return Err(report.into_problems(text));
    }
    let (root, damage) = syntax::parse(text, &mut report);
    let outline = outline::read(root.get_ref(), &damage, kinds, folder, &mut report);
    names::check(&outline, &damage, &mut report);
    let context = Context {
        folder,
        clock: Arc::clone(&host.clock),
        epoch: host.epoch,
    };
    assembly::assemble(&outline, path, host, &context, &mut report)
        .ok_or_else(|| report.into_problems(text))
}
