//! JSON lines: each line an object. Members of objects within are columns of their own, their names joined
//! by underscores; arrays stay JSON. A member that no column is for is left out, one that is absent is null.

use std::collections::{BTreeMap, BTreeSet};

use engine::operator::ArgumentError;
use model::Schema;
use serde_json::{Map, Value};

use super::cutter::Cutter;
use super::format::{Beginning, Found, Parser, renaming};
use super::infer::Findings;
use super::options::wrong;
use super::typed::Assembly;

/// Parses lines.
#[derive(Debug)]
pub(super) struct Jsonl {
    /// Columns by the joined names of the members that fill them.
    indices: BTreeMap<String, usize>,
    /// The joined names down to the member in hand.
    path: String,
}

/// Looks at the first records, unless the columns are declared.
pub(super) fn discover(beginning: Beginning<'_>) -> Result<Option<Found>, ArgumentError> {
    if let Some(declared) = beginning.declared {
        return Ok(Some(found(declared.clone(), Vec::new())));
    }
    let mut sample = Sample::default();
    if !beginning.sample(Cutter::lines(), 0, |line, _| sample.see(line)) {
        return Ok(None);
    }
    let schema = sample.findings.schema()?;
    if schema.fields().is_empty() {
        let message = match sample.lines {
            0 => "the file is empty",
            _ => "none of the first records is a JSON object with members",
        };
        return Err(wrong(
            "path",
            message,
            "JSON objects, one in each line; or declare a `schema`",
        ));
    }
    let mut remarks = Vec::from_iter(renaming(sample.dotted.iter().map(String::as_str)));
    remarks.push(format!("columns are inferred: {schema}"));
    Ok(Some(found(schema, remarks)))
}

/// A source of these columns.
pub(super) fn found(schema: Schema, remarks: Vec<String>) -> Found {
    let columns = schema.fields().iter().enumerate();
    Found {
        parser: Parser::Jsonl(Jsonl {
            indices: columns
                .map(|(index, field)| (field.name.clone(), index))
                .collect(),
            path: String::new(),
        }),
        schema,
        cutter: Cutter::lines(),
        header_len: 0,
        unit: None,
        remarks,
    }
}

impl Jsonl {
    /// Puts a line into the assembly.
    pub(super) fn parse(&mut self, line: &[u8], into: &mut Assembly) {
        self.path.clear();
        let outcome = match serde_json::from_slice(line) {
            Ok(Value::Object(members)) => self.put(&members, into),
            Ok(_) => Err("the line is JSON, but no object".to_owned()),
            Err(error) => Err(format!("the line is not JSON: {error}")),
        };
        into.close(outcome, line);
    }

    fn put(&mut self, members: &Map<String, Value>, into: &mut Assembly) -> Result<(), String> {
        for (name, value) in members {
            let len = self.path.len();
            descend(&mut self.path, name);
            if let Some(index) = self.indices.get(&self.path) {
                into.json(*index, value)?;
            }
            if let Value::Object(members) = value {
                self.put(members, into)?;
            }
            self.path.truncate(len);
        }
        Ok(())
    }
}

/// What was seen of the first lines.
#[derive(Debug, Default)]
struct Sample {
    findings: Findings,
    dotted: BTreeSet<String>,
    lines: usize,
}

impl Sample {
    fn see(&mut self, line: &[u8]) {
        self.lines += 1;
        if let Ok(Value::Object(members)) = serde_json::from_slice(line) {
            self.see_members(&mut String::new(), &members);
        }
    }

    fn see_members(&mut self, path: &mut String, members: &Map<String, Value>) {
        for (name, value) in members {
            let len = path.len();
            descend(path, name);
            if name.contains('.') {
                self.dotted.insert(name.clone());
            }
            let index = self.findings.column(path);
            self.findings.see_json(index, value);
            if let Value::Object(members) = value {
                self.see_members(path, members);
            }
            path.truncate(len);
        }
    }
}

/// Appends a member's name to those of the objects that it is in.
fn descend(path: &mut String, name: &str) {
    if !path.is_empty() {
        path.push('_');
    }
    let name = if name.is_empty() { "_" } else { name };
    path.extend(name.chars().map(|c| if c == '.' { '_' } else { c }));
}
