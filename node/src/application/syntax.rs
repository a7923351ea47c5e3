//! Syntax: a file's text as tables, as far as it can be understood, and where it cannot.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::DeTable;

use super::report::Report;
use super::text::Text;

/// Where a file's syntax is broken. What stands there is not looked at further.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// The lines that hold a mistake, each as its bytes, in order.
    lines: Vec<Range<usize>>,
    /// Whether the names of all sections are known: no mistake could have swallowed one.
    pub(super) spares_headers: bool,
}

impl Damage {
    /// Whether a mistake lies within these bytes.
    pub(super) fn touches(&self, span: &Range<usize>) -> bool {
        let first = self.lines.partition_point(|line| line.end <= span.start);
        self.lines
            .get(first)
            .is_some_and(|line| line.start < span.end)
    }
}

/// The tables of a text. Mistakes go into the report, the first of each line.
pub(super) fn parse<'t>(text: &'t Text, report: &mut Report) -> (Spanned<DeTable<'t>>, Damage) {
    let (root, errors) = DeTable::parse_recoverable(&text.text);
    let mut first_by_line = BTreeMap::new();
    for error in &errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.line(span.start);
        let first = first_by_line.entry(line).or_insert((span.clone(), error));
        if span.start < first.0.start {
            *first = (span, error);
        }
    }
    let mut damage = Damage {
        lines: Vec::new(),
        spares_headers: true,
    };
    for (line, (span, error)) in first_by_line {
        let (message, expected) = match error.message().split_once(", expected ") {
            Some((message, expected)) => (message, Some(expected.to_owned())),
            None => (error.message(), None),
        };
        // What is not closed at the end of the text may hold any number of lines.
        let is_header = text.line_text(line).trim_start().starts_with('[');
        let is_open = span.start >= text.text.trim_end().len();
        damage.spares_headers &= !is_header && !is_open;
        damage.lines.push(text.line_span(line));
        report.add(span, message, expected);
    }
    report.mute(damage.lines.clone());
    (root, damage)
}
