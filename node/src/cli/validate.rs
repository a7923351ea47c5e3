//! `synergy validate`: checks a file, and says what it computes.

use std::fmt::Write;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum, ValueHint};
use engine::operator::Numbering;
use model::{NodeId, Replication, Schema};
use serde_json::{Map, Value, json};

use super::{Status, output};
use crate::application::{self, Application, Host, Kinds, Problem, Problems};
use crate::clock::MachineClock;
use crate::node::stream_name;

#[derive(Debug, Args)]
pub(super) struct Validate {
    /// The application file.
    #[arg(value_hint = ValueHint::FilePath, required_unless_present = "schema")]
    file: Option<PathBuf>,
    /// Print the JSON schema of application files instead.
    #[arg(long, conflicts_with_all = ["file", "output"])]
    schema: bool,
    /// How to print what was found.
    #[arg(short, long, value_enum, default_value_t)]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

impl Validate {
    pub(super) fn execute(self) -> Status {
        let Some(file) = self.file else {
            let schema = application::json_schema(&Kinds::ALL);
            return output::results(&format!("{schema:#}\n"));
        };
        let clock = MachineClock::start();
        // Names of streams are not shown, so that it does not matter whose application this is.
        let nobody = NodeId([0; 32]);
        let host = Host {
            owner: nobody,
            node: nobody,
            streams: None,
            epoch: clock.epoch(),
            clock: Arc::new(clock),
        };
        let loaded = application::load(&file, &Kinds::ALL, &host);
        match (loaded, self.output) {
            (Ok(application), Format::Text) => output::results(&as_text(&application)),
            (Ok(application), Format::Json) => {
                output::results(&format!("{:#}\n", as_json(&application)))
            }
            (Err(problems), Format::Text) => {
                output::note(&problems.to_string());
                Status::Invalid
            }
            (Err(problems), Format::Json) => {
                match output::results(&format!("{:#}\n", problems_as_json(&problems))) {
                    Status::Ok => Status::Invalid,
                    failed => failed,
                }
            }
        }
    }
}

fn as_text(application: &Application) -> String {
    let mut text = format!("{} is valid\n", application.plan.application());
    for part in parts(application) {
        let from = match part.from.as_slice() {
            [] => String::new(),
            from => format!(" from {}", from.join(", ")),
        };
        // Writing into a string does not fail.
        let _ = writeln!(text, "{} {} ({}){from}", part.role, part.name, part.kind);
        for (port, schema) in part.outputs {
            let _ = writeln!(text, "  {port}: {schema}");
        }
    }
    if let Some(backed) = backed(application) {
        let replicas = application.plan.qos().replicas;
        let running = match application.plan.qos().replication {
            Replication::Passive => "",
            Replication::Active => ", which run as well",
        };
        let _ = writeln!(
            text,
            "replicas: {replicas} of each of {}{running}",
            backed.join(", ")
        );
    }
    for remark in &application.remarks {
        let _ = writeln!(text, "remark: {remark}");
    }
    text
}

fn as_json(application: &Application) -> Value {
    let parts = parts(application).into_iter().map(|part| {
        let outputs = part.outputs.iter().map(|(port, schema)| {
            let columns = schema
                .fields()
                .iter()
                .map(|field| json!({ "name": field.name, "type": field.data_type.name() }));
            (port.clone(), columns.collect())
        });
        let outputs: Map<String, Value> = outputs.collect();
        json!({
            "role": part.role,
            "name": part.name,
            "kind": part.kind,
            "from": part.from,
            "outputs": outputs,
        })
    });
    json!({
        "application": application.plan.application(),
        "valid": true,
        "parts": parts.collect::<Vec<_>>(),
        "replicas": application.plan.qos().replicas,
        "replication": match application.plan.qos().replication {
            Replication::Passive => "passive",
            Replication::Active => "active",
        },
        "backed": backed(application).unwrap_or_default(),
        "remarks": application.remarks,
    })
}

/// The operators that are to have backups, where any are: those that keep state.
fn backed(application: &Application) -> Option<Vec<&str>> {
    let operators = application.plan.operators().iter();
    let operators = operators.zip(&application.operators);
    let keeping = operators.filter(|(_, operator)| operator.kind.numbering == Numbering::Own);
    let names: Vec<&str> = keeping.map(|(planned, _)| planned.name.as_str()).collect();
    let has_replicas = application.plan.qos().replicas > 0;
    (has_replicas && !names.is_empty()).then_some(names)
}

fn problems_as_json(problems: &Problems) -> Value {
    let shown = |problem: &Problem| {
        json!({
            "file": problem.file,
            "line": problem.place.as_ref().map(|place| place.line),
            "column": problem.place.as_ref().map(|place| place.column),
            "message": problem.message,
            "expected": problem.expected,
        })
    };
    json!({
        "valid": false,
        "problems": problems.problems.iter().map(shown).collect::<Vec<_>>(),
        "more": problems.more,
    })
}

/// A source, an operator or a sink, as it is shown.
struct Part<'a> {
    role: &'static str,
    name: &'a str,
    kind: &'static str,
    from: Vec<String>,
    outputs: &'a [(String, Schema)],
}

fn parts(application: &Application) -> Vec<Part<'_>> {
    let plan = &application.plan;
    let sources = plan.sources().iter().zip(&application.sources);
    let sources = sources.map(|(planned, source)| Part {
        role: "source",
        name: &planned.name,
        kind: match source {
            application::Source::Inline(source) => source.kind.name,
            application::Source::Published { .. } => "published",
        },
        from: Vec::new(),
        outputs: &planned.outputs,
    });
    let operators = plan.operators().iter().zip(&application.operators);
    let operators = operators.map(|(planned, operator)| Part {
        role: "operator",
        name: &planned.name,
        kind: operator.kind.name,
        from: planned
            .inputs
            .iter()
            .map(|input| stream_name(plan, *input))
            .collect(),
        outputs: &planned.outputs,
    });
    let sinks = plan.sinks().iter().zip(&application.sinks);
    let sinks = sinks.map(|(planned, sink)| Part {
        role: "sink",
        name: &planned.name,
        kind: sink.kind.name,
        from: vec![stream_name(plan, planned.input)],
        outputs: &[],
    });
    sources.chain(operators).chain(sinks).collect()
}
