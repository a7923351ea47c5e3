//! What an application is now: pure functions of its record and of what its hosts said.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ApplicationId, ComponentGraph, NodeId};

use super::asking::{Asking, Heard};
use super::message::PartTold;
use super::record::State;
use super::repair::{BACKUPS, lacks_backups};
use super::view::{View, hex};
use super::{ApplicationStatus, ComponentRow, Counted, Quantiles, Why};

/// A duration as people and programs read it.
pub(super) fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The parts of a graph: name, kind and host, sources first.
pub(super) fn parts(graph: &ComponentGraph) -> impl Iterator<Item = (&str, &str, NodeId, bool)> {
    let plan = graph.plan();
    let sources = plan.sources().iter().zip(graph.sources());
    let sources = sources.map(|(part, binding)| (part.name.as_str(), "source", binding));
    let operators = plan.operators().iter().zip(graph.operators());
    let operators =
        operators.map(|(part, binding)| (part.name.as_str(), part.kind.as_str(), binding));
    let sinks = plan.sinks().iter().zip(graph.sinks());
    let sinks = sinks.map(|(part, binding)| (part.name.as_str(), "sink", binding));
    sources
        .chain(operators)
        .chain(sinks)
        .map(|(name, kind, binding)| (name, kind, binding.host, binding.shared))
}

/// An application that is being composed.
pub(super) fn composing(id: &ApplicationId, target: Duration) -> ApplicationStatus {
    ApplicationStatus {
        name: id.name.clone(),
        owner: hex(id.owner),
        status: "composing".to_owned(),
        reason: None,
        target_delay_ms: milliseconds(target),
        ended_s: None,
        predicted_delay_ms: None,
        delay_ms: None,
        recent_delay_ms: None,
        counted: None,
        components: Vec::new(),
    }
}

/// What an application is, as those of its hosts say that answered.
pub(super) fn status(asking: &Asking, view: &View) -> ApplicationStatus {
    let head = &asking.listing.head;
    let components = components(asking, view);
    let (status, reason) = judge(asking, &components, view);
    let reports = told(asking).map(|(_, part)| &part.report);
    let longest = |delays: &mut dyn Iterator<Item = Quantiles>| {
        delays.max_by(|a: &Quantiles, b| a.p99.total_cmp(&b.p99))
    };
    let predicted = asking.body.as_ref();
    let predicted = predicted.and_then(|body| body.composition.predicted_delay_ms);
    ApplicationStatus {
        name: head.application.name.clone(),
        owner: hex(head.application.owner),
        status: status.to_owned(),
        reason,
        target_delay_ms: milliseconds(head.target),
        ended_s: None,
        predicted_delay_ms: predicted,
        delay_ms: longest(&mut reports.clone().filter_map(|it| it.delay_ms)),
        recent_delay_ms: longest(&mut reports.filter_map(|it| it.recent_delay_ms)),
        counted: counted(asking, &components),
        components,
    }
}

/// What those hosts counted that answered; nothing where none did.
fn counted(asking: &Asking, components: &[ComponentRow]) -> Option<Counted> {
    let reports = told(asking).map(|(_, part)| &part.report);
    reports.clone().next()?;
    Some(Counted {
        results: reports.clone().map(|report| report.results).sum(),
        misses: reports.clone().map(|report| report.misses).sum(),
        missing: reports.clone().map(|report| report.missing).sum(),
        recent_results: reports.clone().map(|report| report.recent_results).sum(),
        recent_misses: reports.map(|report| report.recent_misses).sum(),
        late: components.iter().map(|row| row.late).sum(),
        bad: components.iter().map(|row| row.bad).sum(),
        drops: components.iter().map(|row| row.drops).sum(),
        duplicates: components.iter().map(|row| row.duplicates).sum(),
        gaps: components.iter().map(|row| row.gaps).sum(),
        refused: components.iter().map(|row| row.refused).sum(),
    })
}

/// Why an application is where it is; nothing where nobody has its graph.
pub(super) fn why(asking: &Asking, view: &View) -> Option<Why> {
    let body = asking.body.as_ref()?;
    let components = components(asking, view);
    let (status, reason) = judge(asking, &components, view);
    let mut composition = body.composition.clone();
    // What was answered when it was composed is history: what it is now its hosts have just said.
    status.clone_into(&mut composition.status);
    let (changes, _) = asking.listing.graph_version();
    if changes > 0 {
        composition.remarks.push(format!(
            "delays, margin, runner-up and feasible target are of when it was composed; its graph has changed since, up to version {changes}: see `app events`"
        ));
    }
    Some(Why {
        composition,
        reason,
        reasons: body.reasons.clone(),
        components,
    })
}

/// What hosts said that run something, as far as it is of the newest graph.
fn told(asking: &Asking) -> impl Iterator<Item = (NodeId, &PartTold)> + Clone {
    asking.heard.iter().filter_map(|(node, heard)| match heard {
        Heard::Told(Some(part)) if asking.listing.is_host(*node) => Some((*node, &**part)),
        Heard::Told(_) | Heard::Unreachable => None,
    })
}

/// Each part of the graph as its host describes it, or what is known of it without the host.
fn components(asking: &Asking, view: &View) -> Vec<ComponentRow> {
    let Some(body) = &asking.body else {
        return Vec::new();
    };
    let of_state = |name: &str| match asking.listing.state() {
        State::Running => None,
        State::Finished => Some("finished"),
        State::Stopped => Some("gone"),
        State::Failed { component, .. } | State::Lost { component, .. } if component == name => {
            Some("failed")
        }
        State::Failed { .. } | State::Lost { .. } => Some("gone"),
    };
    let describe = |(name, kind, host, _): (&str, &str, NodeId, bool)| {
        let heard = asking.heard.get(&host);
        let told = match heard {
            Some(Heard::Told(Some(part))) => {
                let mut rows = part.report.components.iter();
                rows.find(|row| row.name == name).cloned()
            }
            _ => None,
        };
        let status = match heard {
            _ if of_state(name).is_some() => of_state(name),
            None | Some(Heard::Unreachable) => Some("unreachable"),
            Some(Heard::Told(None)) => Some("gone"),
            Some(Heard::Told(Some(part))) if has_failed(part, name) => Some("failed"),
            // It runs, and the driver has not counted anything of it yet.
            Some(Heard::Told(Some(_))) => None,
        };
        let mut row = told.unwrap_or_else(|| nothing_counted(name, "running"));
        if let Some(status) = status {
            status.clone_into(&mut row.status);
        }
        name.clone_into(&mut row.name);
        kind.clone_into(&mut row.kind);
        row.host = match name_of(host, asking, view) {
            "" => view.name(host),
            name => name.to_owned(),
        };
        row.node = hex(host);
        row
    };
    parts(&body.graph).map(describe).collect()
}

/// The name of a host, also of one that this node has never heard of: who composed the application knew it. Empty where nobody
/// knows it.
fn name_of<'a>(host: NodeId, asking: &'a Asking, view: &'a View) -> &'a str {
    let known = view.known_name(host);
    if !known.is_empty() {
        return known;
    }
    let id = hex(host);
    let placed = asking.body.iter();
    let mut placed = placed.flat_map(|body| &body.composition.operators);
    let found = placed.find(|part| part.node == id && part.host != host.to_string());
    found.map_or("", |part| &part.host)
}

fn has_failed(part: &PartTold, name: &str) -> bool {
    part.failed
        .as_ref()
        .is_some_and(|(component, _)| component == name)
}

fn nothing_counted(name: &str, status: &str) -> ComponentRow {
    ComponentRow {
        name: name.to_owned(),
        status: status.to_owned(),
        ..ComponentRow::default()
    }
}

/// The status of the whole, and why it is not simply running.
fn judge(
    asking: &Asking,
    components: &[ComponentRow],
    view: &View,
) -> (&'static str, Option<String>) {
    let state = asking.listing.state();
    match state {
        State::Running => {}
        State::Failed { component, reason } | State::Lost { component, reason } => {
            return (state.word(), Some(format!("{component}: {reason}")));
        }
        State::Finished | State::Stopped => return (state.word(), None),
    }
    let failed = told(asking).find_map(|(_, part)| part.failed.as_ref());
    if let Some((component, reason)) = failed {
        return ("failed", Some(format!("{component}: {reason}")));
    }
    let missing = missing_hosts(asking, components, view);
    let degraded = told(asking).flat_map(|(_, part)| &part.degraded);
    let degraded = degraded.map(|(component, reason)| format!("{component}: {reason}"));
    let reasons: Vec<String> = missing
        .into_iter()
        .chain(outdated_hosts(asking, view))
        .chain(unprotected(asking, view))
        .chain(degraded)
        .collect();
    if !reasons.is_empty() {
        return ("degraded", Some(reasons.join("; ")));
    }
    let broken = told(asking).flat_map(|(node, part)| {
        let hosts = part.disconnected.iter();
        hosts.map(move |other| (node, *other))
    });
    let broken: Vec<String> = broken
        .map(|(node, other)| {
            let (node, other) = (view.full_name(node), view.full_name(other));
            format!("an edge between {node} and {other} is being opened again")
        })
        .collect();
    if !broken.is_empty() {
        return ("waiting", Some(broken.join("; ")));
    }
    ("running", None)
}

/// A sentence for each host that does not run what it should.
fn missing_hosts(asking: &Asking, components: &[ComponentRow], view: &View) -> Vec<String> {
    let mut names: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for row in components {
        if ["unreachable", "gone"].contains(&row.status.as_str()) {
            names.entry(&row.node).or_default().push(&row.name);
        }
    }
    let hosts = asking.listing.hosts();
    let sentence = |host: &NodeId| {
        let what = match asking.heard.get(host) {
            Some(Heard::Told(Some(_))) => return None,
            Some(Heard::Told(None)) => "runs nothing of it any more",
            Some(Heard::Unreachable) => "is unreachable",
            None => "does not answer",
        };
        let host_name = match name_of(*host, asking, view) {
            "" => host.to_string(),
            name => format!("{name} ({host})"),
        };
        let runs = names.get(hex(*host).as_str());
        let ran = if what.starts_with("runs") {
            "ran"
        } else {
            "runs"
        };
        Some(match runs {
            Some(parts) => format!("host {host_name} {what}: it {ran} {}", parts.join(", ")),
            None => format!("host {host_name} {what}"),
        })
    };
    hosts.iter().filter_map(sentence).collect()
}

/// A sentence for each host that has not heard of the newest graph.
fn outdated_hosts(asking: &Asking, view: &View) -> Vec<String> {
    let graphs = asking.graphs.iter();
    let outdated = graphs
        .filter(|(host, graph)| asking.listing.is_host(**host) && **graph != asking.listing.body());
    let sentence = |host: NodeId| {
        format!(
            "host {} does not have its newest graph yet",
            view.full_name(host)
        )
    };
    outdated.map(|(host, _)| sentence(*host)).collect()
}

/// Which operators have fewer backups than were asked for, where no host says why.
fn unprotected(asking: &Asking, view: &View) -> Option<String> {
    let graph = &asking.body.as_ref()?.graph;
    let wanted = usize::from(graph.plan().qos().replicas);
    let mut reasons = told(asking).flat_map(|(_, part)| &part.degraded);
    if reasons.any(|(what, _)| what == BACKUPS) {
        return None;
    }
    let operators = graph.plan().operators().iter().enumerate();
    let lacking = operators.filter(|(index, _)| lacks_backups(graph, *index, wanted, view));
    let names: Vec<&str> = lacking.map(|(_, it)| it.name.as_str()).collect();
    (!names.is_empty()).then(|| format!("a backup of {} is still to be chosen", names.join(", ")))
}
