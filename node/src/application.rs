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
pub(crate) mod nearest;
mod order;
mod outline;
pub(crate) mod problem;
mod reference;
pub(crate) mod report;
mod section;
pub(crate) mod syntax;
pub(crate) mod text;
pub mod units;
mod walk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use engine::operator::{Compiled, Kind};
use model::{Arguments, Clock, EventTime, NodeId, QueryPlan, Schema};

use crate::connector::{self, Context, SinkKind, SourceKind};
use crate::node::Publication;

pub use json_schema::json_schema;
pub use problem::{Place as ProblemPlace, Problem, Problems};
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
    /// What published names stand for, of those that the file names and somebody publishes; absent where
    /// there is no overlay to ask.
    pub streams: Option<BTreeMap<String, Publication>>,
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

/// Where rows enter.
#[derive(Debug)]
pub enum Source {
    /// Here, by a connector.
    Inline(OpenSource),
    /// Where somebody publishes them.
    Published {
        /// The stream.
        publication: Publication,
        /// The rate in rows a second that the file declares.
        rate_hz: Option<f64>,
    },
}

impl Source {
    /// The declared rate in rows a second, or what the publisher says of it.
    pub const fn rate_hz(&self) -> Option<f64> {
        match self {
            Self::Inline(source) => source.rate_hz,
            Self::Published {
                publication,
                rate_hz,
            } => match rate_hz {
                Some(rate) => Some(*rate),
                None => publication.rate_hz,
            },
        }
    }
}

/// An open source.
#[derive(Debug)]
pub struct OpenSource {
    /// What it is.
    pub kind: &'static SourceKind,
    /// What it was opened with.
    pub arguments: Arguments,
    /// The source.
    pub source: Box<dyn connector::Source>,
    /// The declared rate in rows a second.
    pub rate_hz: Option<f64>,
}

/// Where an operator must run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Place {
    /// Anywhere.
    #[default]
    Anywhere,
    /// On the host of this name or id.
    Node(String),
    /// On a host with all of these labels.
    Labels(BTreeMap<String, String>),
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
    /// Where it must run.
    pub place: Place,
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
    load_checked(&text, path, folder, kinds, host)
}

/// Loads the text of an application file that somebody sent: `path` is where it lies, and what relative
/// paths in it start from.
///
/// # Errors
/// All that is wrong with the file, in its order.
pub fn load_text(
    text: &str,
    path: &Path,
    kinds: &Kinds,
    host: &Host,
) -> Result<Application, Problems> {
    let text = Text::new(path.display().to_string(), text);
    let folder = path.parent().unwrap_or_else(|| Path::new(""));
    load_checked(&text, path, folder, kinds, host)
}

/// Opens the source that a file describes: its keys are those of a table `[source.NAME]` of an application.
///
/// # Errors
/// All that is wrong with the file, in its order.
pub fn load_source(text: &str, path: &Path, context: &Context<'_>) -> Result<OpenSource, Problems> {
    let text = Text::new(path.display().to_string(), text);
    let mut report = Report::default();
    let (root, damage) = syntax::parse(&text, &mut report);
    let whole = 0..text.text.len().min(1);
    let section = outline::read_source(
        root.get_ref(),
        whole,
        &damage,
        &Kinds::ALL,
        context.folder,
        &mut report,
    );
    let opened = match section.role {
        section::Role::Source(Some(kind)) if report.count() == 0 => {
            let opened = (kind.open)(&section.arguments, context);
            opened.map(|source| OpenSource {
                kind,
                arguments: section.arguments.clone(),
                source,
                rate_hz: section.number("rate"),
            })
        }
        section::Role::Source(None) if report.count() == 0 => {
            report.add_whole(
                "a stream that somebody publishes cannot be published again",
                "a connector that reads the rows here, such as connector = \"file\"",
            );
            return Err(report.into_problems(&text));
        }
        _ => return Err(report.into_problems(&text)),
    };
    opened.map_err(|errors| {
        for error in errors {
            let span = section.span_of(&error.parameter);
            report.add(span, error.to_string(), error.expected);
        }
        report.into_problems(&text)
    })
}

/// The published streams that the text of an application file names, as far as it can be read.
///
/// What is wrong with it is found when it is loaded.
pub fn published_names(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    visit_parts(text, "source", |source| {
        let stream = source.get(keys::STREAM.name);
        names.extend(stream.and_then(|it| Some(it.get_ref().as_str()?.to_owned())));
    });
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether the text of an application file asks for hosts by their names, as far as it can be read: then all hosts must be known to load it.
pub fn names_hosts(text: &str) -> bool {
    let mut names_any = false;
    visit_parts(text, "operator", |operator| {
        let place = operator.get("place");
        names_any |= place.is_some_and(|place| place.get_ref().get("node").is_some());
    });
    names_any
}

/// Shows all parts of a kind in the text of an application file.
fn visit_parts<'t>(text: &'t str, kind: &str, mut visit: impl FnMut(&toml::de::DeValue<'t>)) {
    let (root, _) = toml::de::DeTable::parse_recoverable(text);
    let parts = root.get_ref().get(kind).map(toml::Spanned::get_ref);
    if let Some(toml::de::DeValue::Table(parts)) = parts {
        for (_, part) in parts {
            visit(part.get_ref());
        }
    }
}

fn load_checked(
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
