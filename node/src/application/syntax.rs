//! Syntax: a file's text as tables, as far as it can be understood, and where it cannot.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::report::{Report, quoted};
use super::text::Text;

/// Where a file's syntax is broken. What stands there is not looked at further.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// The lines that hold a mistake, and those under a heading with one, as bytes, in order.
    lines: Vec<Range<usize>>,
    /// What may have been the name of a section that a mistake swallowed.
    names: BTreeSet<String>,
}

impl Damage {
    /// Whether there is none.
    pub(crate) const fn is_none(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether a section of this name may have been there.
    pub(crate) fn may_hide(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Whether a mistake lies within these bytes.
    pub(crate) fn touches(&self, span: &Range<usize>) -> bool {
        let first = self.lines.partition_point(|line| line.end <= span.start);
        self.lines
            .get(first)
            .is_some_and(|line| line.start < span.end)
    }
}

/// The tables of a text. Mistakes go into the report, the first of each line.
pub(crate) fn parse<'t>(text: &'t Text, report: &mut Report) -> (Spanned<DeTable<'t>>, Damage) {
    let (root, errors) = DeTable::parse_recoverable(&text.text);
    let mut first_by_line = BTreeMap::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.line(span.start);
        let first = first_by_line
            .entry(line)
            .or_insert_with(|| (span.clone(), error));
        if span.start < first.0.start {
            *first = (span, error);
        }
    }
    let mut damage = Damage::default();
    for (line, (span, error)) in first_by_line {
        let is_repeated = error.message() == REPEATED;
        if is_repeated && damage.touches(&span) {
            continue;
        }
        damage.lines.push(extent(text, line));
        if is_repeated {
            let message = format!("{} is there twice", quoted(text.slice(&span)));
            report.add(span, message, Some("each name once".to_owned()));
        } else {
            let (message, expected) = words(error.message());
            report.add(span, message, expected);
        }
    }
    if !damage.is_none() {
        damage.names = possible_names(text);
    }
    report.mute(damage.lines.clone());
    (root, damage)
}

/// How the parser calls a key or table that is there twice.
const REPEATED: &str = "duplicate key";

/// The parser's words for a mistake and for what it expected.
fn words(message: &str) -> (&str, Option<String>) {
    match message.split_once(", expected ") {
        Some((message, "literal string")) => (message, Some("text in quotes".to_owned())),
        Some((message, expected)) => (message, Some(expected.to_owned())),
        None => (message, None),
    }
}

/// The bytes that a mistake on a line makes doubtful: the line; of a heading, all that stands under it.
fn extent(text: &Text, line: usize) -> Range<usize> {
    let mut extent = text.line_span(line);
    if is_header(text, line) {
        let below = line + 1..text.line_count();
        for line in below.take_while(|line| !is_header(text, *line)) {
            extent.end = text.line_span(line).end;
        }
    }
    extent
}

/// What stands in headings and in keys at the beginnings of lines.
fn possible_names(text: &Text) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for line in 0..text.line_count() {
        let line = text.line_text(line);
        let key = line.split('=').next().unwrap_or(line);
        let words = key.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
        names.extend(words.map(str::to_owned));
    }
    names
}

fn is_header(text: &Text, line: usize) -> bool {
    text.line_text(line).trim_start().starts_with('[')
}
