//! Assembly: from sections that are good in themselves to a typed plan, its sources and its operators.
//!
//! What depends on something broken is left out without a word: one mistake is one problem.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use engine::operator::{ArgumentError, Inputs};
use model::plan::{Accepted, Builder, Connector, PlanError, Stream};
use model::{Scalar, Schema, SourceName, Value};

use super::outline::Outline;
use super::report::{Report, quoted};
use super::section::{Input, Role, Section};
use super::{Application, Host, OpenSource, Operator, Place, Sink, Source, keys, nearest, order};
use crate::connector::{Context, SinkKind, SourceKind};

/// The application that an outline describes, if nothing is wrong with it.
pub(super) fn assemble(
    outline: &Outline<'_>,
    path: &Path,
    host: &Host,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Application> {
    let name = application_name(outline);
    // What is wrong with the name or the requirement is in the report; the rest is checked all the same.
    let builder = Builder::new(name, outline.qos.clone())
        .or_else(|_| Builder::new(name, model::Qos::default()))
        .ok()?;
    let mut assembly = Assembly {
        outline,
        host,
        context,
        report,
        builder,
        made: BTreeMap::new(),
        sources: Vec::new(),
        operators: Vec::new(),
        sinks: Vec::new(),
        remarks: Vec::new(),
        files: path
            .canonicalize()
            .map(|file| (file, false, "the application file"))
            .into_iter()
            .collect(),
    };
    if outline.qos.replicas > 0 && host.streams.is_none() {
        let remark = "\"replicas\" counts in an overlay; in one process there are none";
        assembly.remarks.push(format!("qos: {remark}"));
    }
    for index in order::topological(outline) {
        assembly.add(&outline.sections[index]);
    }
    assembly.finish()
}

/// The word for standard input, which only one source can read.
const STDIN: &str = "stdin";

struct Assembly<'a> {
    outline: &'a Outline<'a>,
    host: &'a Host,
    context: &'a Context<'a>,
    report: &'a mut Report,
    builder: Builder,
    /// The streams of what is in the plan, by name.
    made: BTreeMap<&'a str, Made>,
    sources: Vec<Source>,
    operators: Vec<Operator>,
    sinks: Vec<Sink>,
    remarks: Vec<String>,
    /// The files that sections read or write: which, whether it is written, and by whom.
    files: Vec<(PathBuf, bool, &'a str)>,
}

/// What the builder accepted, and what its ports are called.
#[derive(Debug)]
struct Made {
    accepted: Accepted,
    ports: Vec<String>,
}

impl<'a> Assembly<'a> {
    fn add(&mut self, section: &'a Section<'a>) {
        if section.is_broken {
            return;
        }
        match section.role {
            Role::Source(Some(kind)) => self.add_source(section, kind),
            Role::Operator(Some(kind)) => self.add_operator(section, kind),
            Role::Sink(Some(kind)) => self.add_sink(section, kind),
            Role::Source(None) => self.add_published(section),
            Role::Operator(None) | Role::Sink(None) => {}
        }
    }

    fn add_source(&mut self, section: &'a Section<'a>, kind: &'static SourceKind) {
        let source = match (kind.open)(&section.arguments, self.context) {
            Ok(source) => source,
            Err(errors) => return self.arguments_are_wrong(section, errors),
        };
        let name = SourceName::Inline {
            owner: self.host.owner,
            application: application_name(self.outline).to_owned(),
            source: section.name.to_owned(),
            host: self.host.node,
        };
        let reads_stdin =
            |other: &Source| matches!(other, Source::Inline(other) if other.kind.name == STDIN);
        if kind.name == STDIN && self.sources.iter().any(reads_stdin) {
            let message = "standard input is read by another source";
            let expected = "one source that reads it; several operators may read that";
            self.report
                .add(section.header.clone(), message, Some(expected.to_owned()));
        }
        self.claims_file(section, false);
        let outputs = vec![
            ("out".to_owned(), source.schema().clone()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ];
        let ports = vec!["out".to_owned(), "bad".to_owned()];
        match self.builder.source(section.name, name, outputs) {
            Ok(accepted) => self.made.insert(section.name, Made { accepted, ports }),
            Err(error) => return self.is_refused(section, &error),
        };
        self.builder.set_live((kind.live)(&section.arguments));
        self.connect(section, kind.name);
        let remarks = source.remarks().iter();
        let remarks = remarks.map(|remark| format!("{}: {remark}", section.name));
        self.remarks.extend(remarks);
        self.sources.push(Source::Inline(OpenSource {
            kind,
            arguments: section.arguments.clone(),
            source,
            rate_hz: section.number("rate"),
        }));
    }

    /// A source that somebody publishes: bound now, and never later.
    fn add_published(&mut self, section: &'a Section<'a>) {
        let Some(Value::Scalar(Scalar::Text(name))) = section.common.find(keys::STREAM.name) else {
            return;
        };
        let span = section.span_of(keys::STREAM.name);
        let Some(streams) = &self.host.streams else {
            let message = "published streams need an overlay; this command runs one process";
            let expected = "a connector that reads the rows here, such as connector = \"file\"";
            self.report.add(span, message, Some(expected.to_owned()));
            return;
        };
        let Some(publication) = streams.get(name) else {
            let message = format!("nobody publishes a stream called {}", quoted(name));
            let expected = "a stream of `synergy stream ls`, or one to be published first";
            self.report.add(span, message, Some(expected.to_owned()));
            return;
        };
        let source = SourceName::Published {
            publisher: publication.publisher,
            name: publication.name.clone(),
        };
        let outputs = publication.outputs.clone();
        let ports = outputs.iter().map(|(port, _)| port.clone()).collect();
        match self.builder.source(section.name, source, outputs) {
            Ok(accepted) => self.made.insert(section.name, Made { accepted, ports }),
            Err(error) => return self.is_refused(section, &error),
        };
        self.builder.set_live(publication.live);
        self.sources.push(Source::Published {
            publication: publication.clone(),
            rate_hz: section.number("rate"),
        });
    }

    fn add_operator(&mut self, section: &'a Section<'a>, kind: &'static engine::operator::Kind) {
        let named = section.inputs.as_deref().unwrap_or_default();
        let Some(inputs) = self.streams(named) else {
            return;
        };
        if kind.inputs == Inputs::One && inputs.len() > 1 {
            let message = format!("{} streams for an operator that reads one", inputs.len());
            let expected = "one stream; an operator with use = \"union\" makes one of several";
            self.report
                .add(section.span_of("from"), message, Some(expected.to_owned()));
            return;
        }
        if kind.inputs == Inputs::Two && inputs.len() != 2 {
            let message = format!(
                "an operator that reads two streams was given {}",
                inputs.len()
            );
            let expected = "two streams, the left one and the right one: [\"a\", \"b\"]";
            self.report
                .add(section.span_of("from"), message, Some(expected.to_owned()));
            return;
        }
        let schemas: Vec<Schema> = inputs
            .iter()
            .map(|input| self.builder.schema(*input).clone())
            .collect();
        let compiled = match (kind.compile)(&section.arguments, &schemas) {
            Ok(compiled) => compiled,
            Err(errors) => return self.arguments_are_wrong(section, errors),
        };
        let parameters = compiled.parameters.clone();
        let outputs = compiled.outputs.clone();
        let ports = outputs.iter().map(|(port, _)| port.clone()).collect();
        let builder = &mut self.builder;
        let accepted = match kind.inputs {
            Inputs::One | Inputs::Two => {
                builder.operator(section.name, kind.name, parameters, &inputs, outputs)
            }
            Inputs::AnyOrder => {
                builder.commutative_operator(section.name, kind.name, parameters, &inputs, outputs)
            }
        };
        match accepted {
            Ok(accepted) => self.made.insert(section.name, Made { accepted, ports }),
            Err(error) => return self.is_refused(section, &error),
        };
        if section.common.find("place").is_some() && self.host.streams.is_none() {
            let remark = "\"place\" counts in an overlay; in one process there is one place";
            self.remarks.push(format!("{}: {remark}", section.name));
        }
        self.operators.push(Operator {
            kind,
            compiled,
            cost: section.nanos("cost"),
            selectivity: section.number("selectivity"),
            rate_hz: section.number("rate"),
            place: place(section),
        });
    }

    fn add_sink(&mut self, section: &'a Section<'a>, kind: &'static SinkKind) {
        let named = section.inputs.as_deref().unwrap_or_default();
        let input = match self.streams(named).as_deref() {
            Some([input]) => *input,
            Some(inputs) => {
                let message = format!("{} streams for a sink, which takes one", inputs.len());
                let expected = "one stream; an operator with use = \"union\" makes one of several";
                self.report
                    .add(section.span_of("from"), message, Some(expected.to_owned()));
                return;
            }
            None => return,
        };
        if let Err(errors) = (kind.check)(&section.arguments, self.context) {
            return self.arguments_are_wrong(section, errors);
        }
        self.claims_file(section, true);
        let schema = self.builder.schema(input).clone();
        if let Err(error) = self.builder.sink(section.name, input) {
            return self.is_refused(section, &error);
        }
        self.connect(section, kind.name);
        if section.common.find("publish").is_some() {
            let remark = "\"publish\" is not carried out yet: tap APP/OPERATOR instead";
            self.remarks.push(format!("{}: {remark}", section.name));
        }
        self.sinks.push(Sink {
            kind,
            arguments: section.arguments.clone(),
            schema,
        });
    }

    /// Lets the plan say how a part is opened: whoever has the plan needs neither the file nor this process.
    fn connect(&mut self, section: &'a Section<'a>, kind: &str) {
        let folder = match path(section) {
            Some(_) => from_root(self.context.folder),
            None => Some(String::new()),
        };
        let Some(folder) = folder else {
            // In one process nobody opens anything by the plan.
            if self.host.streams.is_some() {
                let message =
                    "its folder has a name that is no text, which cannot go along with it";
                let expected = "a folder of a name in UTF-8".to_owned();
                let span = section.span_of("path");
                self.report.add(span, message, Some(expected));
            }
            return;
        };
        let connector = Connector {
            kind: kind.to_owned(),
            folder,
            arguments: section.arguments.clone(),
        };
        if let Err(error) = self.builder.connect(section.name, connector) {
            self.is_refused(section, &error);
        }
    }

    /// Notes which file a section reads or writes: what is written is read and written by nobody else.
    fn claims_file(&mut self, section: &'a Section<'a>, is_written: bool) {
        let Some(path) = path(section) else {
            return;
        };
        let path = self.context.folder.join(path);
        // A file that is not there yet is where its folder is.
        let folder = path.parent().and_then(|folder| folder.canonicalize().ok());
        let missing = folder
            .zip(path.file_name())
            .map(|(folder, name)| folder.join(name));
        let Some(file) = path.canonicalize().ok().or(missing) else {
            return;
        };
        let other = self
            .files
            .iter()
            .find(|(known, written, _)| *known == file && (*written || is_written));
        if let Some((_, _, other)) = other {
            let message = format!(
                "{} belongs to {} already",
                quoted(&path.display().to_string()),
                quoted(other)
            );
            self.report.add(
                section.span_of("path"),
                message,
                Some("a file of its own".to_owned()),
            );
        }
        self.files.push((file, is_written, section.name));
    }

    /// The streams that are read, if all of them are in the plan.
    fn streams(&mut self, inputs: &[Input]) -> Option<Vec<Stream>> {
        let mut streams = Vec::new();
        let mut is_whole = true;
        for input in inputs {
            let Some(made) = self.made.get(input.name.as_str()) else {
                is_whole = false;
                continue;
            };
            let port = match &input.port {
                None => Some(0),
                Some(port) => made.ports.iter().position(|known| known == port),
            };
            match port.and_then(|port| made.accepted.port(port)) {
                Some(stream) => streams.push(stream),
                None => {
                    is_whole = false;
                    let ports: Vec<&str> = made.ports.iter().map(String::as_str).collect();
                    let port = input.port.as_deref().unwrap_or_default();
                    let message = format!("{} has no port {}", quoted(&input.name), quoted(port));
                    let expected = nearest::one_of(port, &ports);
                    self.report.add(input.span.clone(), message, expected);
                }
            }
        }
        is_whole.then_some(streams)
    }

    fn arguments_are_wrong(&mut self, section: &Section<'_>, errors: Vec<ArgumentError>) {
        for error in errors {
            let span = section.span_of(&error.parameter);
            // Where the place does not show which parameter is meant, the message must.
            let message = if span == section.header {
                error.to_string()
            } else {
                error.message
            };
            self.report.add(span, message, error.expected);
        }
    }

    fn is_refused(&mut self, section: &Section<'_>, error: &PlanError) {
        self.report
            .add(section.header.clone(), error.to_string(), None);
    }

    fn finish(self) -> Option<Application> {
        if self.report.count() > 0 {
            return None;
        }
        match self.builder.build() {
            Ok(plan) => Some(Application {
                plan,
                sources: self.sources,
                operators: self.operators,
                sinks: self.sinks,
                remarks: self.remarks,
            }),
            Err(errors) => {
                for error in errors {
                    self.report.add_whole(error.to_string(), "a whole plan");
                }
                None
            }
        }
    }
}

/// The file that a section reads or writes, where it does.
fn path<'s>(section: &'s Section<'_>) -> Option<&'s str> {
    match section.arguments.find("path") {
        Some(Value::Scalar(Scalar::Text(path))) => Some(path),
        _ => None,
    }
}

/// A folder as it is found from anywhere on this host; nothing where its name is no text.
fn from_root(folder: &Path) -> Option<String> {
    let here = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    let folder = std::path::absolute(here).ok()?;
    Some(folder.to_str()?.to_owned())
}

/// The application's name, or what stands for one that is missing or none, so that the rest can be checked.
fn application_name<'o>(outline: &'o Outline<'_>) -> &'o str {
    match outline.name.as_str() {
        "" => "nameless",
        name => name,
    }
}

/// Where a section wants to run.
fn place(section: &Section<'_>) -> Place {
    let Some(Value::Table(entries)) = section.common.find("place") else {
        return Place::Anywhere;
    };
    let text = |value: &Scalar| match value {
        Scalar::Text(text) => Some(text.clone()),
        Scalar::Boolean(_) | Scalar::Integer(_) | Scalar::Micros(_) => None,
    };
    let node = entries.iter().find(|(key, _)| key == "node");
    if let Some(node) = node.and_then(|(_, value)| text(value)) {
        return Place::Node(node);
    }
    let labels = entries.iter().filter_map(|(key, value)| {
        let label = key.strip_prefix("label.")?;
        Some((label.to_owned(), text(value)?))
    });
    Place::Labels(labels.collect())
}
