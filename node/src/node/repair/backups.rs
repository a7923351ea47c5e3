//! Hosts that hold the state of an operator beside the one that runs it: as many as were asked for, chosen so that the whole is up as often as can be.

use std::collections::BTreeSet;

use engine::operator;
use model::plan::Stream;
use model::{
    ComponentGraph, CompositionId, HostSummary, Instant, NodeId, Replication, Resources, convert,
};
use placement::replicas;

use super::super::view::View;
use super::super::{Effect, Node};
use super::RETRY;
use super::shared::is_of_others;

/// How likely a host is up, where nothing is known of it. Source: guess; it is the same for all, so that only how few hosts are needed counts.
const AVAILABLE: f64 = 0.99;

/// What a backup is expected to hold. Unit: bytes. Source: guess; what it does hold is in its ledger.
const STANDBY_MEMORY_BYTES: u64 = 1 << 20;

/// As which component it is said that an application has fewer backups than were asked for.
pub(in crate::node) const BACKUPS: &str = "replicas";

/// Whether an operator is to have backups: what keeps no state is made anew where it is needed, so that no copy of it need run.
fn has_copies(graph: &ComponentGraph, operator: usize) -> bool {
    let plan = graph.plan();
    plan.qos().replication == Replication::Passive
        || operator::has_state(&plan.operators()[operator].kind)
}

/// Whether an operator has fewer backups on hosts that are there than are wanted.
pub(in crate::node) fn lacks_backups(
    graph: &ComponentGraph,
    operator: usize,
    wanted: usize,
    view: &View,
) -> bool {
    let backups = graph.backups()[operator].iter();
    !is_of_others(graph, operator)
        && has_copies(graph, operator)
        && backups.filter(|host| !view.is_absent(**host)).count() < wanted
}

impl Node {
    /// Chooses backups where some are missing: the first host that runs anything of it does.
    pub(super) fn protect(&mut self, now: Instant, id: CompositionId, out: &mut Vec<Effect>) {
        let Some(part) = self.parts.get(&id).filter(|part| part.is_running()) else {
            return;
        };
        let wanted = usize::from(part.graph.plan().qos().replicas);
        let application = part.application.clone();
        let hosts = part.graph.running_hosts();
        let mut present = hosts.iter().filter(|host| !self.view.is_absent(**host));
        let is_mine = present.next() == Some(&self.id());
        if wanted == 0 || now < part.protect_at || !self.is_current(&application, id) {
            return;
        }
        if !is_mine {
            if let Some(part) = self.parts.get_mut(&id) {
                part.degraded.remove(BACKUPS);
            }
            return;
        }
        let is_changing = self.composer.is_making_ready(id) || !self.is_recorded(id);
        if is_changing || self.repairs.due.contains_key(&id) {
            return;
        }
        let graph = part.graph.clone();
        let (after, missing) = self.protected(id, &graph, wanted);
        match self.parts.get_mut(&id) {
            Some(part) if missing.is_empty() => drop(part.degraded.remove(BACKUPS)),
            Some(part) => {
                part.protect_at = now + RETRY;
                let reason = format!("no host is left for a backup of {}", missing.join(", "));
                self.degrade(now, id, BACKUPS.to_owned(), reason, out);
            }
            None => {}
        }
        if after != graph {
            // Where it cannot be said, nothing has changed, and it is counted.
            let _: Result<(), _> = self.say_rebound(now, &application, after, out);
        }
    }

    /// A graph with the backups that there should be, and the operators that have fewer.
    fn protected(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        wanted: usize,
    ) -> (ComponentGraph, Vec<String>) {
        // Whose host is gone gives its state to nobody: who came to hold it now would go on with nothing.
        let is_there = |index: usize| !self.view.is_absent(graph.operators()[index].host);
        let lacks =
            |index: usize| is_there(index) && lacks_backups(graph, index, wanted, &self.view);
        let operators = 0..graph.operators().len();
        if !operators.clone().any(lacks) {
            return (graph.clone(), Vec::new());
        }
        let ranked = self.ranked(id, graph, wanted);
        let mut after = graph.clone();
        let mut missing = Vec::new();
        for index in operators.filter(|index| lacks(*index)) {
            let all = graph.backups()[index].iter().copied();
            let is_absent = |host: &NodeId| self.view.is_absent(*host);
            let (absent, known): (Vec<NodeId>, Vec<NodeId>) = all.partition(is_absent);
            let known = known.into_iter();
            let mut seen = BTreeSet::from([graph.operators()[index].host]);
            let others = self.hosts_for(id, index);
            let chosen = known.chain(ranked[index].iter().copied()).chain(others);
            let mut chosen: Vec<NodeId> = chosen
                .filter(|host| seen.insert(*host))
                .take(wanted)
                .collect();
            if chosen.len() < wanted {
                // Who cannot be reached and has nobody in its place comes back with what it holds.
                let lacking = wanted - chosen.len();
                let absent = absent.into_iter().filter(|host| seen.insert(*host));
                chosen.extend(absent.take(lacking));
                missing.push(graph.plan().operators()[index].name.clone());
            }
            after = after.with_backups(index, chosen);
        }
        (after, missing)
    }

    /// The hosts that each operator is ranked on behind its own, so that the whole is up as often as can be; nothing where that cannot be said.
    fn ranked(&self, id: CompositionId, graph: &ComponentGraph, wanted: usize) -> Vec<Vec<NodeId>> {
        let nothing = vec![Vec::new(); graph.operators().len()];
        let view = &self.view.hosts;
        let mut hosts: Vec<&HostSummary> = view.hosts.values().map(|host| &**host).collect();
        hosts.push(&view.host);
        hosts.retain(|host| !self.view.is_absent(host.node));
        hosts.sort_unstable_by_key(|host| host.node);
        let place = |node: NodeId| hosts.binary_search_by_key(&node, |host| host.node).ok();
        let components: Option<Vec<replicas::Component>> = graph
            .operators()
            .iter()
            .enumerate()
            .map(|(index, binding)| {
                let primary = place(binding.host)?;
                let candidates = self.hosts_for(id, index).filter_map(place);
                let candidates: BTreeSet<usize> = candidates.chain([primary]).collect();
                Some(replicas::Component {
                    active: Resources::default(),
                    standby: Resources {
                        memory_bytes: STANDBY_MEMORY_BYTES,
                        ..Resources::default()
                    },
                    state_bytes_per_second: 0.0,
                    ranks: (wanted + 1).min(candidates.len()),
                    candidates: candidates.into_iter().collect(),
                    primary: Some(primary),
                    weight: 1.0,
                })
            })
            .collect();
        let Some(components) = components else {
            return nothing;
        };
        let plan = graph.plan();
        let links = plan
            .operators()
            .iter()
            .enumerate()
            .flat_map(|(index, operator)| {
                let inputs = operator.inputs.iter().filter_map(move |input| match input {
                    Stream::Operator(before, _) => Some(*before),
                    Stream::Source(..) => None,
                });
                inputs.map(move |before| replicas::Link {
                    from: replicas::End::Component(before),
                    to: replicas::End::Component(index),
                    weight: 1.0,
                })
            });
        let host = |host: &&HostSummary| replicas::Host {
            node: host.node,
            room: replicas::usable(
                &host.capacity,
                &Resources {
                    cpu_cores: host.load.middle() * host.capacity.cpu_cores,
                    ..Resources::default()
                },
            ),
            coordinate: host.coordinate,
            available: AVAILABLE,
        };
        let request = replicas::Request {
            hosts: hosts.iter().map(host).collect(),
            components,
            links: links.collect(),
        };
        let seed = model::Rng::from_seed(convert::size(hosts.len()));
        let placed = replicas::find("concentrate").map(|policy| {
            let mut rng = seed.keyed("backups");
            policy.place(&request, &mut rng)
        });
        let Some(Ok(placement)) = placed else {
            return nothing;
        };
        let mut ranked = request.nodes(&placement);
        for hosts in &mut ranked {
            hosts.remove(0);
        }
        ranked
    }
}
