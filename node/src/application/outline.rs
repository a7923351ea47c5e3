//! The outline: a file's sections, each checked for itself, before anything is compiled.

use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use engine::operator::Parameter;
use model::plan::{INPUTS_MAX, OPERATORS_MAX};
use model::{Arguments, OnInfeasible, Qos, QosError, Replication, Scalar, Value};
use toml::de::{DeTable, DeValue};

use super::Kinds;
use super::keys::{self, Key};
use super::report::{Report, quoted};
use super::section::{Role, Section};
use super::syntax::Damage;
use super::walk::{Item, Walker};

/// What a file says, as far as each section can be understood by itself.
#[derive(Debug)]
pub(super) struct Outline<'t> {
    /// The application's name; empty where there is no good one.
    pub(super) name: String,
    /// What is required.
    pub(super) qos: Qos,
    /// The sections, sources first, then operators, then sinks, each in the order of the file.
    pub(super) sections: Vec<Section<'t>>,
    /// The keys of the top that are there, but written wrongly: `oprator`.
    pub(super) meant: Vec<&'static str>,
    /// The names of what was to be a section, and is none.
    pub(super) lost: Vec<&'t str>,
}

/// Reads the sections of a file's top table. References in connectors start from `folder`.
pub(super) fn read<'t>(
    root: &'t DeTable<'t>,
    damage: &Damage,
    kinds: &Kinds,
    folder: &Path,
    report: &mut Report,
) -> Outline<'t> {
    const TOP: [&str; 5] = ["name", "qos", "source", "operator", "sink"];
    let mut meant = Vec::new();
    let mut lost = Vec::new();
    for (key, item) in root {
        if !TOP.contains(&key.get_ref().as_ref()) {
            meant.extend(report.add_unknown(key.span(), "key", key.get_ref(), &TOP));
            let names = item.get_ref().as_table().into_iter().flatten();
            lost.extend(names.map(|(name, _)| name.get_ref().as_ref()));
        }
    }
    let mut reader = Reader {
        damage,
        kinds,
        folder,
        report,
        starts: starts(root),
        meant,
        lost,
        sections: Vec::new(),
    };
    let name = reader.name(root.get("name"));
    let qos = reader.qos(root.get("qos"));
    for role in [Role::Source(None), Role::Operator(None), Role::Sink(None)] {
        reader.group(role, root.get(role.word()));
    }
    Outline {
        name,
        qos,
        sections: reader.sections,
        meant: reader.meant,
        lost: reader.lost,
    }
}

/// Reads a file that is one source: its top table is what stands in a table `[source.NAME]` elsewhere.
pub(super) fn read_source<'t>(
    root: &'t DeTable<'t>,
    span: Range<usize>,
    damage: &Damage,
    kinds: &Kinds,
    folder: &Path,
    report: &mut Report,
) -> Section<'t> {
    let mut reader = Reader {
        damage,
        kinds,
        folder,
        report,
        starts: Vec::new(),
        meant: Vec::new(),
        lost: Vec::new(),
        sections: Vec::new(),
    };
    let found_before = reader.report.count();
    let mut section = Section {
        name: "source",
        header: span,
        table: root,
        role: Role::Source(None),
        common: Arguments::new(),
        arguments: Arguments::new(),
        inputs: None,
        is_broken: false,
    };
    reader.fill(&mut section);
    section.is_broken = reader.report.count() > found_before;
    section
}

#[derive(Debug)]
struct Reader<'r, 't> {
    damage: &'r Damage,
    kinds: &'r Kinds,
    folder: &'r Path,
    report: &'r mut Report,
    /// Where each table of the file begins, ascending.
    starts: Vec<usize>,
    /// The keys of the top that are there, but written wrongly.
    meant: Vec<&'static str>,
    /// The names of what stands where no section can be read.
    lost: Vec<&'t str>,
    sections: Vec<Section<'t>>,
}

impl<'t> Reader<'_, 't> {
    fn name(&mut self, item: Option<&Item<'_>>) -> String {
        let form = "a letter, then letters, digits, \"_\" or \"-\", at most 64 in all";
        let Some(item) = item else {
            let top = 0..self.starts.first().copied().unwrap_or(usize::MAX);
            if self.damage.touches(&top) || self.meant.contains(&"name") {
                return String::new();
            }
            self.report
                .add_whole("the key \"name\" is missing", "name = \"…\" at the top");
            return String::new();
        };
        match item.get_ref() {
            DeValue::String(name) if model::name::is_valid(name) => name.to_string(),
            DeValue::String(name) => {
                let message = format!("{} is no name", quoted(name));
                self.report.add(item.span(), message, Some(form.to_owned()));
                String::new()
            }
            _ => {
                let expected = Some(format!("text in quotes: {form}"));
                self.report
                    .add(item.span(), "the name is not text", expected);
                String::new()
            }
        }
    }

    fn qos(&mut self, item: Option<&Item<'_>>) -> Qos {
        let mut qos = Qos::default();
        let Some(item) = item else {
            return qos;
        };
        let DeValue::Table(table) = item.get_ref() else {
            let expected = Some("a table [qos]".to_owned());
            self.report
                .add(item.span(), "\"qos\" is no table", expected);
            return qos;
        };
        let is_damaged = self.is_damaged(&item.span());
        let mut walker = Walker {
            report: self.report,
            is_damaged,
            references: None,
        };
        for (key, value) in walker.table(table, keys::QOS, &item.span()).iter() {
            set_qos(&mut qos, key, value);
        }
        if let Err(error) = qos.check() {
            let key = match error {
                QosError::Latency => "latency",
                QosError::Quantile(_) => "quantile",
                QosError::Replicas(_) => "replicas",
                QosError::LostAfter => "lost_after",
                QosError::Share(_) => "rows_per_second",
            };
            let span = table.get(key).unwrap_or(item).span();
            self.report.add(span, error.to_string(), None);
        }
        qos
    }

    /// The sections of `[source]`, `[operator]` or `[sink]`.
    fn group(&mut self, role: Role, item: Option<&'t Item<'t>>) {
        let word = role.word();
        let expected = || Some(format!("tables [{word}.NAME]"));
        let Some(item) = item else { return };
        let DeValue::Table(tables) = item.get_ref() else {
            let message = format!("\"{word}\" is no table of {word}s by name");
            self.report.add(item.span(), message, expected());
            return;
        };
        for (index, (name, item)) in tables.iter().enumerate() {
            let DeValue::Table(table) = item.get_ref() else {
                let message = format!("the {word} {} is no table", quoted(name.get_ref()));
                self.report.add(name.span(), message, expected());
                self.lost.push(name.get_ref());
                continue;
            };
            if index >= OPERATORS_MAX {
                let message = format!("more than {OPERATORS_MAX} {word}s");
                self.report.add(name.span(), message, None);
                break;
            }
            let found_before = self.report.count();
            let is_damaged = self.is_damaged(&name.span());
            self.check_section_name(name.get_ref(), name.span(), role);
            let mut section = Section {
                name: name.get_ref(),
                header: name.span(),
                table,
                role,
                common: Arguments::new(),
                arguments: Arguments::new(),
                inputs: None,
                is_broken: false,
            };
            self.fill(&mut section);
            section.is_broken = is_damaged || self.report.count() > found_before;
            self.sections.push(section);
        }
    }

    fn check_section_name(&mut self, name: &str, span: Range<usize>, role: Role) {
        if !model::name::is_valid(name) {
            let form = "a letter, then letters, digits, \"_\" or \"-\", at most 64 in all";
            let message = format!("{} is no name", quoted(name));
            self.report
                .add(span.clone(), message, Some(form.to_owned()));
        }
        if let Some(other) = self.sections.iter().find(|other| other.name == name) {
            let message = format!(
                "{} is there twice: {} and {}",
                quoted(name),
                other.role.one(),
                role.one()
            );
            self.report
                .add(span, message, Some("a name of its own".to_owned()));
        }
    }

    /// Reads what stands in a section, by its role and kind.
    fn fill(&mut self, section: &mut Section<'t>) {
        match section.role {
            Role::Source(_) if section.table.contains_key(keys::STREAM.name) => {
                self.published_source(section);
            }
            Role::Source(_) => {
                let names = self.kinds.sources.iter().map(|kind| kind.name);
                let word = self.kind_word(section, keys::CONNECTOR, names.collect());
                let kind = self
                    .kinds
                    .sources
                    .iter()
                    .find(|kind| Some(kind.name) == word);
                section.role = Role::Source(kind.copied());
                let parameters = kind.map(|kind| kind.parameters);
                self.walk(section, keys::INLINE_SOURCE, parameters, true);
            }
            Role::Operator(_) => {
                let names = self.kinds.operators.iter().map(|kind| kind.name);
                let word = self.kind_word(section, keys::USE, names.collect());
                let kind = self
                    .kinds
                    .operators
                    .iter()
                    .find(|kind| Some(kind.name) == word);
                section.role = Role::Operator(kind.copied());
                let parameters = kind.map(|kind| kind.parameters);
                self.walk(section, keys::OPERATOR, parameters, false);
            }
            Role::Sink(_) => {
                let names = self.kinds.sinks.iter().map(|kind| kind.name);
                let word = self.kind_word(section, keys::CONNECTOR, names.collect());
                let kind = self.kinds.sinks.iter().find(|kind| Some(kind.name) == word);
                section.role = Role::Sink(kind.copied());
                let parameters = kind.map(|kind| kind.parameters);
                self.walk(section, keys::SINK, parameters, true);
            }
        }
        section.inputs = section.read_inputs();
        let input_count = section.inputs.as_ref().map_or(0, Vec::len);
        if input_count > INPUTS_MAX {
            let message = format!("more than {INPUTS_MAX} streams");
            self.report.add(section.span_of("from"), message, None);
            section.inputs = None;
        }
    }

    fn published_source(&mut self, section: &mut Section<'t>) {
        self.walk(section, keys::PUBLISHED_SOURCE, Some(&[]), false);
    }

    /// The word by which a section names its kind, if it is one of those known.
    fn kind_word(
        &mut self,
        section: &Section<'t>,
        key: Key,
        known: Vec<&'static str>,
    ) -> Option<&'static str> {
        // That the key is missing, or no text, is found by the walk that follows.
        let item = section.table.get(key.name)?;
        let word = item.get_ref().as_str()?;
        let found = known.iter().find(|name| **name == word).copied();
        if found.is_none() {
            let what = match section.role {
                Role::Operator(_) => "operator",
                Role::Source(_) => "source connector",
                Role::Sink(_) => "sink connector",
            };
            self.report.add_unknown(item.span(), what, word, &known);
        }
        found
    }

    /// Whether a mistake of syntax lies in the table that begins here.
    fn is_damaged(&self, header: &Range<usize>) -> bool {
        let next = self.starts.partition_point(|start| *start <= header.start);
        let end = self.starts.get(next).copied().unwrap_or(usize::MAX);
        self.damage.touches(&(header.start..end))
    }

    /// Reads the common keys and those of the kind. Where the kind is not known, nor are its keys.
    fn walk(
        &mut self,
        section: &mut Section<'t>,
        common: &[Key],
        parameters: Option<&[Parameter]>,
        follows_references: bool,
    ) {
        let is_damaged = self.is_damaged(&section.header);
        let mut walker = Walker {
            report: self.report,
            is_damaged,
            references: follows_references.then_some(self.folder),
        };
        let walked = match parameters {
            Some(parameters) => {
                let keys = keys::with_parameters(common, parameters);
                walker.table(section.table, &keys, &section.header)
            }
            None => walker.known_part(section.table, common, &section.header),
        };
        let is_common = |key: &str| common.iter().any(|known| known.name == key);
        let (common, own): (Vec<_>, Vec<_>) = walked
            .iter()
            .map(|(key, value)| (key.to_owned(), value.clone()))
            .partition(|(key, _)| is_common(key));
        section.common = common.into_iter().collect();
        section.arguments = own.into_iter().collect();
    }
}

/// Where each table of the file begins, ascending.
fn starts(root: &DeTable<'_>) -> Vec<usize> {
    let mut starts = Vec::new();
    for (key, item) in root {
        let DeValue::Table(table) = item.get_ref() else {
            continue;
        };
        starts.push(key.span().start);
        if key.get_ref() != "qos" {
            starts.extend(table.iter().map(|(name, _)| name.span().start));
        }
    }
    starts.sort_unstable();
    starts
}

fn set_qos(qos: &mut Qos, key: &str, value: &Value) {
    match (key, value) {
        ("latency", Value::Scalar(Scalar::Micros(micros))) => {
            qos.latency = Duration::from_micros(micros.unsigned_abs());
        }
        ("quantile", Value::Scalar(Scalar::Text(text))) => {
            qos.quantile = text.parse().unwrap_or(qos.quantile);
        }
        ("replicas", Value::Scalar(Scalar::Integer(count))) => {
            qos.replicas = u8::try_from(*count).unwrap_or(qos.replicas);
        }
        ("replication", Value::Scalar(Scalar::Text(word))) => {
            qos.replication = match word.as_str() {
                "active" => Replication::Active,
                _ => Replication::Passive,
            };
        }
        ("lost_after", Value::Scalar(Scalar::Micros(micros))) => {
            qos.lost_after = Duration::from_micros(micros.unsigned_abs());
        }
        ("rows_per_second", Value::Scalar(Scalar::Text(text))) => {
            qos.rows_per_second = text.parse().ok();
        }
        ("on_infeasible", Value::Scalar(Scalar::Text(word))) => {
            qos.on_infeasible = match word.as_str() {
                "wait" => OnInfeasible::Wait,
                _ => OnInfeasible::Reject,
            };
        }
        _ => {}
    }
}
