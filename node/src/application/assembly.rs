//! Assembly: from sections that are good in themselves to a typed plan, its sources and its operators.
//!
//! What depends on something broken is left out without a word: one mistake is one problem.

use std::collections::{BTreeMap, BTreeSet};

use engine::operator::{ArgumentError, Inputs};
use model::plan::{Accepted, Builder, PlanError, Stream};
use model::{Schema, SourceName};

use super::outline::{Input, Outline, Role, Section};
use super::report::{Report, quoted};
use super::{Application, Host, Operator, Sink, Source, nearest, order};
use crate::connector::{Context, SinkKind, SourceKind};

/// The application that an outline describes, if nothing is wrong with it.
pub(super) fn assemble(
    outline: &Outline<'_>,
    host: &Host,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Application> {
    let name = match outline.name.as_str() {
        "" => "nameless",
        name => name,
    };
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
    };
    assembly.check_names();
    for index in order::topological(outline) {
        assembly.add(&outline.sections[index]);
    }
    assembly.finish()
}

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
}

/// What the builder accepted, and what its ports are called.
#[derive(Debug)]
struct Made {
    accepted: Accepted,
    ports: Vec<String>,
}

impl<'a> Assembly<'a> {
    /// Checks what sections say of one another: what `from` names, cycles, what nobody reads, what is missing.
    fn check_names(&mut self) {
        let sections = &self.outline.sections;
        let readable = sections
            .iter()
            .filter(|section| !matches!(section.role, Role::Sink(_)));
        let readable: Vec<&str> = readable.map(|section| section.name).collect();
        let mut read: BTreeSet<&str> = BTreeSet::new();
        let mut is_all_known = true;
        for section in sections {
            if matches!(section.role, Role::Source(_)) {
                continue;
            }
            let Some(inputs) = &section.inputs else {
                is_all_known = false;
                continue;
            };
            for input in inputs {
                if readable.contains(&input.name.as_str()) {
                    read.insert(&input.name);
                    continue;
                }
                self.unknown_input(input, &readable);
                // A slip of the pen still says what is meant, so that it is not reported as unread as well.
                match nearest::nearest(&input.name, &readable) {
                    Some(meant) => {
                        read.insert(meant);
                    }
                    None => is_all_known = false,
                }
            }
        }
        for cycle in order::cycles(self.outline) {
            let span = sections[cycle[0]].span_of("from");
            let names = cycle.iter().chain(cycle.first());
            let names: Vec<&str> = names.map(|index| sections[*index].name).collect();
            let message = format!("these operators read one another: {}", names.join(" -> "));
            let expected = Some("streams that do not come from the operator itself".to_owned());
            self.report.add(span, message, expected);
        }
        if is_all_known {
            for section in sections {
                if !matches!(section.role, Role::Sink(_)) && !read.contains(section.name) {
                    let message = format!("nothing reads {}", quoted(section.name));
                    let expected = format!(
                        "an operator or sink with from = \"{}\", or no such {}",
                        section.name,
                        section.role.word()
                    );
                    self.report
                        .add(section.header.clone(), message, Some(expected));
                }
            }
        }
        let is_there = |word| sections.iter().any(|section| section.role.word() == word);
        if !is_there("source") {
            let message = "nothing enters the application: it has no source";
            self.report.add_whole(message, "a table [source.NAME]");
        }
        if !is_there("sink") {
            let message = "nothing leaves the application: it has no sink";
            self.report.add_whole(message, "a table [sink.NAME]");
        }
    }

    fn unknown_input(&mut self, input: &Input, readable: &[&str]) {
        let sections = &self.outline.sections;
        if sections.iter().any(|section| section.name == input.name) {
            let message = format!(
                "{} is a sink: nothing can be read there",
                quoted(&input.name)
            );
            let expected = "a source or an operator".to_owned();
            self.report.add(input.span.clone(), message, Some(expected));
        } else {
            let span = input.span.clone();
            self.report
                .add_unknown(span, "stream", &input.name, readable);
        }
    }

    fn add(&mut self, section: &'a Section<'a>) {
        if section.is_broken {
            return;
        }
        match section.role {
            Role::Source(Some(kind)) => self.add_source(section, kind),
            Role::Operator(Some(kind)) => self.add_operator(section, kind),
            Role::Sink(Some(kind)) => self.add_sink(section, kind),
            Role::Source(None) | Role::Operator(None) | Role::Sink(None) => {}
        }
    }

    fn add_source(&mut self, section: &'a Section<'a>, kind: &'static SourceKind) {
        let source = match (kind.open)(&section.arguments, self.context) {
            Ok(source) => source,
            Err(errors) => return self.arguments_are_wrong(section, errors),
        };
        let name = SourceName::Inline {
            owner: self.host.owner,
            application: self.outline.name.clone(),
            source: section.name.to_owned(),
            host: self.host.node,
        };
        let outputs = vec![
            ("out".to_owned(), source.schema().clone()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ];
        let ports = vec!["out".to_owned(), "bad".to_owned()];
        match self.builder.source(section.name, name, outputs) {
            Ok(accepted) => self.made.insert(section.name, Made { accepted, ports }),
            Err(error) => return self.is_refused(section, &error),
        };
        let remarks = source.remarks().iter();
        let remarks = remarks.map(|remark| format!("{}: {remark}", section.name));
        self.remarks.extend(remarks);
        self.sources.push(Source {
            kind,
            arguments: section.arguments.clone(),
            source,
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
            Inputs::One => builder.operator(section.name, kind.name, parameters, &inputs, outputs),
            Inputs::AnyOrder => {
                builder.commutative_operator(section.name, kind.name, parameters, &inputs, outputs)
            }
        };
        match accepted {
            Ok(accepted) => self.made.insert(section.name, Made { accepted, ports }),
            Err(error) => return self.is_refused(section, &error),
        };
        if section.common.find("place").is_some() {
            let remark = "\"place\" counts in an overlay; in one process there is one place";
            self.remarks.push(format!("{}: {remark}", section.name));
        }
        self.operators.push(Operator {
            kind,
            compiled,
            cost: section.nanos("cost"),
            selectivity: section.number("selectivity"),
            rate_hz: section.number("rate"),
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
        let schema = self.builder.schema(input).clone();
        if let Err(error) = self.builder.sink(section.name, input) {
            return self.is_refused(section, &error);
        }
        if section.common.find("publish").is_some() {
            let remark = "\"publish\" counts in an overlay; in one process nobody else can read";
            self.remarks.push(format!("{}: {remark}", section.name));
        }
        self.sinks.push(Sink {
            kind,
            arguments: section.arguments.clone(),
            schema,
        });
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
                    let what = format!("port of {}", quoted(&input.name));
                    let port = input.port.as_deref().unwrap_or_default();
                    self.report
                        .add_unknown(input.span.clone(), &what, port, &ports);
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
