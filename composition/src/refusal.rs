//! What people are told: why a request was refused, and why an operator is where it is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ComponentGraph, NodeId, NodeView, convert};

use crate::effect::{Check, Constraint};
use crate::measure::Lack;
use crate::merge::Blocked;
use crate::order::Place;
use crate::request::{HostIndex, Part};
use crate::select::Graph;
use crate::session::Session;

/// How much longer than the best delay a target is that is offered: for what may change until it is asked for.
///
/// Unit: factor, above 1. Source: guess; Vivaldi's estimates move by some per cent.
const TARGET_MARGIN: f64 = 1.1;

/// The target that is offered where the best graph takes `delay`: with the margin, in full milliseconds, rounded up.
pub(crate) fn feasible_target(delay: Duration) -> Duration {
    full_milliseconds(convert::seconds(delay.as_secs_f64() * TARGET_MARGIN).max(delay))
}

/// The least number of full milliseconds, one at least, that is no shorter.
pub(crate) fn full_milliseconds(time: Duration) -> Duration {
    let millis = time.as_nanos().div_ceil(1_000_000).max(1);
    Duration::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}

/// The constraint by which the best attempt failed: of the part that nothing could be found for, the last check that any host came to,
/// and who came closest.
pub(crate) fn constraint(session: &Session, blocked: &Blocked) -> Option<Constraint> {
    let mut checks: BTreeMap<Check, Vec<&Lack>> = BTreeMap::new();
    for lack in blocked.lacks.values() {
        checks.entry(lack.check).or_default().push(lack);
    }
    // Checks come in this order at a hop: who failed the last of them passed the others.
    let (_, furthest) = checks.last_key_value()?;
    let closest = furthest
        .iter()
        .min_by(|a, b| a.severity().total_cmp(&b.severity()))?;
    let asked = session.facts.asked_count(blocked.part);
    let asked = asked.max(blocked.lacks.len());
    Some(lacks(session.name(blocked.part), closest, asked))
}

/// That the only host for a part cannot be reached.
pub(crate) fn unreachable(name: &str, node: NodeId) -> Constraint {
    Constraint {
        operator: name.to_owned(),
        check: Check::Offer,
        needed: format!("host {node}, where it must be"),
        had: "it cannot be reached from here".to_owned(),
        hosts_asked: 0,
        suffers: None,
    }
}

/// That a host could not be used in the end, for a reason.
pub(crate) fn unusable(operator: String, node: NodeId, reason: String) -> Constraint {
    Constraint {
        operator,
        check: Check::Offer,
        needed: format!("that host {node} runs it"),
        had: reason,
        hosts_asked: 1,
        suffers: None,
    }
}

/// That the best of some hosts lacked something.
pub(crate) fn lacks(operator: String, lack: &Lack, hosts_asked: usize) -> Constraint {
    let (needed, had) = amounts(lack);
    Constraint {
        operator,
        check: lack.check,
        needed,
        had,
        hosts_asked,
        suffers: lack.suffers.clone(),
    }
}

/// What a host lacks, in short: `cpu: needed 0.5 cores, had 0.1 cores`.
pub(crate) fn sentence(lack: &Lack) -> String {
    let (needed, had) = amounts(lack);
    format!("{}: needed {needed}, had {had}", lack.check.word())
}

/// What was needed and what was had, with units.
fn amounts(lack: &Lack) -> (String, String) {
    match lack.check {
        Check::Cpu => (cores(lack.needed), cores(lack.had)),
        Check::Memory => (bytes(lack.needed), bytes(lack.had)),
        Check::Bandwidth => (
            format!("{}/s", bytes(lack.needed)),
            format!("{}/s", bytes(lack.had)),
        ),
        Check::Impact => {
            let suffers = lack.suffers.as_ref();
            let suffers = suffers.map_or_else(String::new, |it| format!(" for {}", it.name));
            let [slack, increase] =
                [lack.needed, lack.had].map(|it| milliseconds(convert::seconds(it)));
            (
                format!("at most {slack} more{suffers}"),
                format!("{increase} more"),
            )
        }
        Check::Delay | Check::Offer => (
            milliseconds(convert::seconds(lack.needed)),
            milliseconds(convert::seconds(lack.had)),
        ),
    }
}

fn cores(cores: f64) -> String {
    format!("{cores:.2} cores")
}

fn bytes(bytes: f64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut amount = bytes;
    let mut unit = 0;
    while amount >= 1024.0 && unit + 1 < UNITS.len() {
        amount /= 1024.0;
        unit += 1;
    }
    let digits = usize::from(unit > 0);
    format!("{amount:.digits$} {}", UNITS[unit])
}

/// A delay as people read it.
pub(crate) fn milliseconds(delay: Duration) -> String {
    model::time::milliseconds(delay.as_secs_f64() * 1e3)
}

/// For each operator of the plan, why it is where it is: the graph was chosen as a whole, so that all reasons are about it.
pub(crate) fn reasons(
    view: &NodeView,
    session: &Session,
    graph: &ComponentGraph,
    graphs: &[Graph],
) -> Vec<String> {
    let Some((best, others)) = graphs.split_first() else {
        return Vec::new();
    };
    let called = |node: NodeId| {
        let summary = view.find(node).filter(|it| !it.name.is_empty());
        summary.map_or_else(|| node.to_string(), |it| it.name.clone())
    };
    let request = &session.request;
    let places = session.order.places.iter().enumerate();
    places
        .map(|(index, place)| {
            let binding = graph.operators()[index];
            let Some(at) = session.parts.operators.iter().position(|it| *it == index) else {
                return shared(session, index, &called(binding.host), binding.host);
            };
            let number = u16::try_from(at).unwrap_or(u16::MAX);
            let host = best.hosts[at];
            let fitting: BTreeSet<HostIndex> = graphs.iter().map(|it| it.hosts[at]).collect();
            let asked = session.facts.asked_count(Part::Operator(number));
            let choice = match (place, fitting.len()) {
                (Place::Node(_), _) => "where the application wants it".to_owned(),
                (_, 1) if asked <= 1 => "the only host that was asked".to_owned(),
                (_, 1) => format!("the only one of {asked} hosts asked that fits"),
                (_, count) if session.order.spread => {
                    format!("spreads best and is least congested of {count} hosts that fit")
                }
                (_, count) => format!("least congested of {count} hosts that fit"),
            };
            let adds = milliseconds(best.adds[at]);
            let next = others.iter().map(|it| it.hosts[at]);
            let next = next.into_iter().find(|it| *it != host);
            let next = next.map_or_else(String::new, |it| {
                format!("; next best {}", called(request.node(it)))
            });
            format!("{}: {choice}; adds {adds}{next}", called(binding.host))
        })
        .collect()
}

/// Why an operator was not made anew.
fn shared(session: &Session, operator: usize, called: &str, host: NodeId) -> String {
    let saved = cores(session.order.demands[operator].resources(0).cpu_cores);
    let providers = session.split.shared.get(&operator);
    let provider = providers.and_then(|it| it.iter().find(|it| it.node == host));
    match provider {
        Some(provider) => format!(
            "{called}: runs there already for {}; what it yields is {} old; saves {saved}",
            provider.application,
            milliseconds(provider.age),
        ),
        None => format!("{called}: part of what is shared; saves {saved}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_offered_with_a_margin_in_full_milliseconds() {
        for (micros, expected_ms) in [
            (0, 1),
            (1, 1),
            (909, 1),
            (910, 2),
            (38_000, 42),
            (40_000, 44),
        ] {
            let delay = Duration::from_micros(micros);
            let target = feasible_target(delay);
            assert_eq!(target, Duration::from_millis(expected_ms), "{delay:?}");
            assert!(target >= delay);
        }
    }

    #[test]
    fn amounts_have_units() {
        let lack = |check, needed, had| Lack {
            check,
            needed,
            had,
            suffers: None,
        };
        for (lack, expected) in [
            (lack(Check::Cpu, 0.8, 0.25), ("0.80 cores", "0.25 cores")),
            (
                lack(Check::Delay, 0.000_001, 0.002),
                ("0.001 ms", "2.00 ms"),
            ),
            (lack(Check::Delay, 0.03, 0.038_2), ("30.0 ms", "38.2 ms")),
            (
                lack(Check::Memory, 3_145_728.0, 512.0),
                ("3.0 MiB", "512 bytes"),
            ),
            (
                lack(Check::Bandwidth, 2048.0, 1024.0),
                ("2.0 KiB/s", "1.0 KiB/s"),
            ),
        ] {
            let (needed, had) = amounts(&lack);
            assert_eq!((needed.as_str(), had.as_str()), expected);
        }
    }
}
