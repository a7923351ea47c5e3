//! Names: what sections say of one another, before anything is compiled.

use std::collections::BTreeSet;

use super::order;
use super::outline::Outline;
use super::report::{Report, quoted};
use super::section::{Input, Role, Section};
use super::syntax::Damage;

/// Checks that what is read is there, that nothing reads itself, and that what is there is read.
pub(super) fn check(outline: &Outline<'_>, damage: &Damage, report: &mut Report) {
    let readable = readable(outline);
    let mut read = BTreeSet::new();
    // A section that was not understood may read anything.
    let mut is_all_known = damage.is_none() && outline.meant.is_empty();
    for section in &outline.sections {
        let Some(inputs) = &section.inputs else {
            is_all_known &= matches!(section.role, Role::Source(_));
            continue;
        };
        for input in inputs {
            let meant = if readable.contains(&input.name.as_str()) {
                Some(input.name.as_str())
            } else if outline.lost.contains(&input.name.as_str()) || damage.may_hide(&input.name) {
                None
            } else {
                // A slip of the pen still says what is meant, so that it is not unread as well.
                add_unknown(outline, input, &readable, report)
            };
            is_all_known &= meant.is_some();
            read.extend(meant);
        }
    }
    add_cycles(outline, report);
    if is_all_known {
        let written = outline
            .sections
            .iter()
            .filter(|section| is_readable(section));
        for section in written.filter(|section| !read.contains(section.name)) {
            add_unread(section, report);
        }
    }
    if damage.is_none() {
        add_absent(outline, report);
    }
}

fn is_readable(section: &Section<'_>) -> bool {
    !matches!(section.role, Role::Sink(_))
}

/// The names of all sources and operators, each once.
fn readable<'t>(outline: &Outline<'t>) -> Vec<&'t str> {
    let mut names = Vec::new();
    for section in outline
        .sections
        .iter()
        .filter(|section| is_readable(section))
    {
        if !names.contains(&section.name) {
            names.push(section.name);
        }
    }
    names
}

/// Nothing that can be read has this name. Returns what may be meant.
fn add_unknown<'t>(
    outline: &Outline<'_>,
    input: &Input,
    readable: &[&'t str],
    report: &mut Report,
) -> Option<&'t str> {
    let span = input.span.clone();
    let is_sink = |section: &Section<'_>| section.name == input.name;
    if outline.sections.iter().any(is_sink) {
        let message = format!(
            "{} is a sink: nothing can be read there",
            quoted(&input.name)
        );
        report.add(span, message, Some("a source or an operator".to_owned()));
        return None;
    }
    report.add_unknown(span, "stream", &input.name, readable)
}

fn add_cycles(outline: &Outline<'_>, report: &mut Report) {
    for cycle in order::cycles(outline) {
        let names = cycle.iter().chain(cycle.first());
        let names: Vec<&str> = names.map(|index| outline.sections[*index].name).collect();
        report.add(
            outline.sections[cycle[0]].span_of("from"),
            format!("these operators read one another: {}", names.join(" -> ")),
            Some("streams that do not come from the operator itself".to_owned()),
        );
    }
}

fn add_unread(section: &Section<'_>, report: &mut Report) {
    let name = section.name;
    let word = section.role.word();
    report.add(
        section.header.clone(),
        format!("nothing reads {}", quoted(name)),
        Some(format!(
            "an operator or sink with from = \"{name}\", or no such {word}"
        )),
    );
}

fn add_absent(outline: &Outline<'_>, report: &mut Report) {
    let is_there = |word| {
        let mut words = outline.sections.iter().map(|section| section.role.word());
        outline.meant.contains(&word) || words.any(|known| known == word)
    };
    if !is_there("source") {
        let message = "nothing enters the application: it has no source";
        report.add_whole(message, "a table [source.NAME]");
    }
    if !is_there("sink") {
        let message = "nothing leaves the application: it has no sink";
        report.add_whole(message, "a table [sink.NAME]");
    }
}
