//! How a composition, or a refusal, is told to people: pure functions.

use std::collections::BTreeSet;

use composition::{Composed, Constraint, Order, Place, Reason, Refusal};
use model::{ComponentGraph, NodeId, QueryPlan};

use super::command::edges_of;
use super::status::{milliseconds, parts};
use super::view::{View, hex};
use super::{Binding, Composition, Failure, FailureKind, Placed, RunnerUp};

/// What came of an order.
pub(super) fn composition(
    order: &Order,
    composed: &Composed,
    status: &str,
    view: &View,
) -> Composition {
    let graph = &composed.graph;
    let shared = graph.operators().iter().zip(&order.demands);
    let shared = shared.filter(|(binding, _)| binding.shared);
    let runner_up = composed.runner_up.as_ref().map(|outline| RunnerUp {
        hosts: outline
            .operators
            .iter()
            .map(|binding| view.name(binding.host))
            .collect(),
        predicted_delay_ms: milliseconds(outline.predicted_delay),
        congestion: outline.congestion,
    });
    Composition {
        predicted_delay_ms: Some(milliseconds(composed.predicted_delay)),
        operators: placed(graph, view),
        shared: model::convert::size(shared.clone().count()),
        // A sum of nothing would begin at a negative zero.
        saved_cores: shared.fold(0.0, |sum, (_, demand)| sum + demand.resources(0).cpu_cores),
        runner_up,
        congestion: Some(composed.congestion),
        probes: composed.probe_count,
        lookups: composed.lookup_count,
        discovery_ms: Some(milliseconds(composed.spent.discovery)),
        probing_ms: Some(milliseconds(composed.spent.probing)),
        commit_ms: Some(milliseconds(composed.spent.commit)),
        delay_from_sharing_ms: (composed.delay_from_sharing < composed.predicted_delay)
            .then(|| milliseconds(composed.delay_from_sharing)),
        feasible_target_ms: composed.feasible_target.map(milliseconds),
        ..nothing(order, status)
    }
}

fn placed(graph: &ComponentGraph, view: &View) -> Vec<Placed> {
    let place = |(name, kind, host, shared): (&str, &str, _, _)| Placed {
        name: name.to_owned(),
        kind: kind.to_owned(),
        host: view.name(host),
        node: hex(host),
        shared,
    };
    parts(graph).map(place).collect()
}

/// An order of which nothing came yet.
fn nothing(order: &Order, status: &str) -> Composition {
    of_plan(&order.plan, status)
}

/// A composition that nobody waits for any more.
pub(super) fn unasked(graph: &ComponentGraph) -> Composition {
    of_plan(graph.plan(), "stopped")
}

fn of_plan(plan: &QueryPlan, status: &str) -> Composition {
    Composition {
        application: plan.application().to_owned(),
        status: status.to_owned(),
        predicted_delay_ms: None,
        delay_from_sharing_ms: None,
        target_delay_ms: milliseconds(plan.qos().latency),
        operators: Vec::new(),
        edges: edges_of(plan),
        shared: 0,
        saved_cores: 0.0,
        runner_up: None,
        congestion: None,
        probes: 0,
        lookups: 0,
        discovery_ms: None,
        probing_ms: None,
        commit_ms: None,
        binding: None,
        feasible_target_ms: None,
        remarks: Vec::new(),
    }
}

/// Why each operator is where it is, by name.
pub(super) fn reasons(order: &Order, composed: &Composed) -> Vec<(String, String)> {
    let names = order.plan.operators().iter().map(|it| it.name.clone());
    names.zip(composed.reasons.iter().cloned()).collect()
}

/// What a refusal means: what happened, why, and what to do.
pub(super) fn failure(order: &Order, refusal: &Refusal) -> Failure {
    let name = &order.application.name;
    let binding = refusal.binding.as_ref().map(binding);
    let kind = match refusal.reason {
        Reason::Infeasible | Reason::Unconfirmed => FailureKind::Refused,
        Reason::Timeout => FailureKind::Unreachable,
        Reason::Busy => FailureKind::Failed,
    };
    let why = match refusal.reason {
        Reason::Infeasible => "no placement meets its target with the resources there are",
        Reason::Unconfirmed => "placements were found, and their hosts did not confirm them",
        Reason::Timeout => "nobody answered in time",
        Reason::Busy => "this node composes as many applications as it may at once",
    };
    let mut message = format!("{name} was refused: {why}.");
    if let Some(binding) = &binding {
        let asked = match binding.hosts_asked {
            0 => "no host was asked".to_owned(),
            1 => "1 host was asked".to_owned(),
            count => format!("{count} hosts were asked"),
        };
        message.push_str(&format!(
            " {} ({}): {asked}; needed {}, the best had {}.",
            binding.operator, binding.check, binding.needed, binding.had
        ));
    }
    let feasible = refusal.feasible_target;
    if let Some(target) = feasible {
        let target = milliseconds(target).ceil();
        // Nothing stricter is named than what was refused, and hosts may expect less by now than when they refused it.
        let is_same = target <= milliseconds(order.plan.qos().latency) + 1.0;
        let when = match is_same {
            true => "Hosts expect less by now: try again, or",
            false => "It would be accepted now",
        };
        message.push_str(&format!(" {when} with latency = \"{target}ms\"."));
    }
    if refusal.reason == Reason::Busy {
        message.push_str(" Try again later, or at another node.");
    }
    let refused = Composition {
        binding,
        feasible_target_ms: feasible.map(|target| milliseconds(target).ceil()),
        probes: refusal.probe_count,
        lookups: refusal.lookup_count,
        ..nothing(order, "refused")
    };
    Failure {
        kind,
        message,
        refusal: Some(Box::new(refused)),
    }
}

fn binding(constraint: &Constraint) -> Binding {
    Binding {
        operator: constraint.operator.clone(),
        check: constraint.check.word().to_owned(),
        needed: constraint.needed.clone(),
        had: constraint.had.clone(),
        hosts_asked: model::convert::size(constraint.hosts_asked),
    }
}

/// What is said where operators were to be spread and some are on one host all the same. What is shared is where it is.
pub(super) fn not_spread(order: &Order, graph: &ComponentGraph) -> Option<String> {
    let own = graph.operators().iter().filter(|binding| !binding.shared);
    let hosts: BTreeSet<NodeId> = own.clone().map(|binding| binding.host).collect();
    let (operators, hosts) = (own.count(), hosts.len());
    (order.spread && hosts < operators).then(|| {
        let on = if hosts == 1 { "host" } else { "hosts" };
        format!(
            "operators were to be spread: {operators} of them are on {hosts} {on}, since no more were found that have room"
        )
    })
}

/// A remark on operators that may go to fewer hosts than there are to be backups of them, and one more.
pub(super) fn not_backed_up(order: &Order, view: &View) -> Option<String> {
    let wanted = usize::from(order.plan.qos().replicas);
    let hosts = || view.hosts.hosts.values().map(|host| &**host);
    let places = |place: &Place| {
        hosts()
            .chain([&view.hosts.host])
            .filter(|it| place.admits(it))
            .count()
    };
    let operators = order.plan.operators().iter().zip(&order.places);
    let lacking = operators.filter(|(_, place)| places(place) <= wanted);
    let names: Vec<&str> = lacking
        .map(|(operator, _)| operator.name.as_str())
        .collect();
    (wanted > 0 && !names.is_empty()).then(|| {
        format!(
            "replicas = {wanted}, but there are no hosts for as many backups of {}: the application is degraded until there are",
            names.join(", ")
        )
    })
}
