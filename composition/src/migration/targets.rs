//! The hosts that are asked to take an operator.

use std::time::Duration;

use model::{CompositionId, HostSummary, NodeId, NodeView};

use super::TARGETS_MAX;
use crate::candidates::{STEP, offers};
use crate::composer::Composer;
use crate::order::Place;

impl Composer {
    /// The other hosts that may run an operator that runs here: they offer its kind, and the application allows them. None where it does not
    /// run here.
    pub fn may_run<'a>(
        &'a self,
        view: &'a NodeView,
        composition: CompositionId,
        operator: u16,
    ) -> impl Iterator<Item = &'a HostSummary> {
        let wanted = self.place_of(composition, operator);
        wanted.into_iter().flat_map(move |(kind, place)| {
            let others = view.hosts.values().map(|host| &**host);
            others.filter(move |host| offers(host, kind) && place.admits(host))
        })
    }

    /// All hosts that may run an operator of what is allocated here, this one among them: as [`Composer::may_run`].
    pub fn hosts_for<'a>(
        &'a self,
        view: &'a NodeView,
        composition: CompositionId,
        operator: u16,
    ) -> impl Iterator<Item = &'a HostSummary> {
        let others = self.may_run(view, composition, operator);
        let here = self.place_of(composition, operator);
        let here =
            here.filter(|(kind, place)| offers(&view.host, kind) && place.admits(&view.host));
        others.chain(here.map(|_| &view.host))
    }

    /// The kind of an operator of what is allocated here, and where it may be.
    fn place_of(&self, composition: CompositionId, operator: u16) -> Option<(&str, &Place)> {
        let index = usize::from(operator);
        let allocation = self.allocations.get(&composition)?;
        let part = allocation.graph.plan().operators().get(index)?;
        Some((&part.kind, &allocation.wants.operators.get(index)?.place))
    }

    /// The hosts that may take an operator, the best first, and why others of those that were named may not.
    pub(super) fn targets(
        &self,
        view: &NodeView,
        composition: CompositionId,
        operator: usize,
        named: Vec<NodeId>,
    ) -> (Vec<NodeId>, Vec<(NodeId, String)>) {
        let allocation = &self.allocations[&composition];
        let graph = &allocation.graph;
        let kind = &graph.plan().operators()[operator].kind;
        let place = &allocation.wants.operators[operator].place;
        let may_run = |host: &HostSummary| offers(host, kind) && place.admits(host);
        if !named.is_empty() {
            let refusal = |node: NodeId| match view.find(node) {
                _ if node == view.node() => Some("it runs there".to_owned()),
                None => Some("nobody knows that host here".to_owned()),
                Some(host) if !offers(host, kind) => Some(format!("it offers no `{kind}`")),
                Some(host) if !place.admits(host) => {
                    Some("the application does not let it run there".to_owned())
                }
                Some(_) => None,
            };
            let (refused, targets): (Vec<_>, Vec<_>) = named
                .into_iter()
                .map(|node| (node, refusal(node)))
                .partition(|(_, refusal)| refusal.is_some());
            let targets = targets.into_iter().map(|(node, _)| node).collect();
            let refused = refused.into_iter();
            return (
                targets,
                refused
                    .filter_map(|(node, why)| Some((node, why?)))
                    .collect(),
            );
        }
        // What it reads and who reads it are where they are: the shorter the detour over a host the better, of hosts that are as little loaded.
        let plan = graph.plan();
        let inputs = plan.operators()[operator].inputs.iter();
        let before = inputs.map(|input| graph.producer(*input).host);
        let behind = plan.readers_of(operator);
        let ends: Vec<NodeId> = before
            .chain(behind.map(|reader| graph.reader(reader).host))
            .collect();
        let detour = |node: NodeId| {
            let ways = ends.iter().filter_map(|end| view.delay(*end, node));
            ways.sum::<Duration>().as_nanos() / STEP.as_nanos()
        };
        let others = view.hosts.values().filter(|host| may_run(host));
        let mut ranked: Vec<_> = others
            .map(|host| (host.load, detour(host.node), host.node))
            .collect();
        ranked.sort_unstable();
        let targets = ranked.into_iter().take(TARGETS_MAX);
        (targets.map(|(_, _, node)| node).collect(), Vec::new())
    }
}
