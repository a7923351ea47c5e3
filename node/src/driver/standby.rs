//! Copies that run here of operators that run elsewhere, of applications whose backups are active.
//!
//! A copy takes over the operator's state once, as a migration's does, and then reads what the operator reads: what it gives has the same positions, and
//! waits here for whoever loses the other one. The state is held as well: it says what readers had done with, and is there where the copy lacks rows. It is nobody's until a graph binds the operator to this host: then readers are turned to it, and nothing
//! has to be made. A copy that did not get what the operator did, or whose inputs come from other hosts by now, takes the state again; until
//! that is here it goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::state::Resumed;
use engine::{Deployed, Deployment, OperatorPart, RemoteEdge};
use model::plan::{Reader, Stream};
use model::{ComponentGraph, ComponentId, CompositionId, NodeId, Replication};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::adopt::turn_to;
use super::control::{Control, Inbound};
use super::migration::{STATE_DIVISOR, take_state};
use super::parts::{Means, Part};
use crate::node::{Input, PartEvent};

/// How long to wait before a state is asked for again that could not be had. Unit: time. Source: guess; an operator comes up in less.
const RETRY: Duration = Duration::from_millis(250);

/// An operator that runs elsewhere, and here.
#[derive(Debug)]
pub(super) struct Standby {
    /// Which attempt it is: answers to others are too late.
    number: u64,
    primary: NodeId,
    /// The hosts that its inputs come from.
    feeding: Vec<NodeId>,
    /// What takes the state over, and keeps what comes behind it until all inputs are open.
    task: JoinHandle<()>,
    keeping: Option<oneshot::Sender<()>>,
    running: Option<Deployed>,
    /// A state is on its way that what runs, if anything, is to give its place to.
    is_coming: bool,
}

impl Standby {
    fn component(&self, operator: u16) -> Option<ComponentId> {
        let running = self.running.as_ref()?;
        *running.operators.get(usize::from(operator))?
    }
}

impl Control {
    /// Runs copies of these operators of a composition, which run on those hosts, and no others.
    pub(super) fn let_stand_by(&mut self, id: CompositionId, wanted: &BTreeMap<u16, NodeId>) {
        let known = self.standbys.keys().filter(|(it, _)| *it == id);
        let unwanted = known.filter(|(_, operator)| !wanted.contains_key(operator));
        let unwanted: Vec<(CompositionId, u16)> = unwanted.copied().collect();
        for place in unwanted {
            if let Some(standby) = self.standbys.remove(&place) {
                self.end_standby(standby);
            }
        }
        let Some(graph) = self.parts.get(&id).map(|part| part.graph.clone()) else {
            return;
        };
        for (operator, primary) in wanted {
            let place = (id, *operator);
            let feeding = feeding(&graph, *operator);
            let known = self.standbys.get(&place);
            // Wherever the operator has gone, a copy that runs goes on.
            let stays = known.is_some_and(|it| {
                it.feeding == feeding
                    && (it.is_coming && it.primary == *primary
                        || !it.is_coming && it.running.is_some())
            });
            if !stays {
                self.begin_standby(place, graph.clone(), *primary, feeding);
            }
        }
    }

    /// Begins to take over the state of an operator; what runs of it goes on meanwhile.
    fn begin_standby(
        &mut self,
        place: (CompositionId, u16),
        graph: Box<ComponentGraph>,
        primary: NodeId,
        feeding: Vec<NodeId>,
    ) {
        let before = self.standbys.remove(&place);
        if let Some(before) = &before {
            before.task.abort();
        }
        let number = before.as_ref().map_or(0, |it| it.number + 1);
        let (keeping, is_done) = oneshot::channel();
        let bytes_max = self.config.memory_bytes / STATE_DIVISOR;
        let means = self.means.clone();
        let task = tokio::spawn(take(
            means,
            place,
            number,
            (graph, primary, bytes_max),
            is_done,
        ));
        let standby = Standby {
            number,
            primary,
            feeding,
            task,
            keeping: Some(keeping),
            running: before.and_then(|it| it.running),
            is_coming: true,
        };
        self.standbys.insert(place, standby);
    }

    /// The state of an operator is here: a copy runs from it, in the place of one that may run already.
    pub(super) fn on_stands(
        &mut self,
        place: (CompositionId, u16),
        number: u64,
        resumed: Box<Resumed>,
    ) {
        let Some(standby) = self.standbys.get_mut(&place) else {
            return;
        };
        let Some(part) = self
            .parts
            .get_mut(&place.0)
            .filter(|_| standby.number == number)
        else {
            return;
        };
        let engine = &self.means.engine;
        standby.is_coming = false;
        if let Some(before) = standby.running.take() {
            engine.retire(before.application);
        }
        let index = usize::from(place.1);
        let graph = part.graph.clone();
        let made = OperatorPart::Resumed(resumed);
        let deployment = Deployment::of_operator(&graph, index, made);
        let deployed = match self.runtime.deploy(deployment) {
            Ok(deployed) => deployed,
            Err(error) => {
                tracing::warn!(%error, "a copy of an operator cannot run");
                return;
            }
        };
        for edge in &deployed.upstream {
            let host = graph.producer(edge.stream).host;
            if host != self.network.node() {
                part.pull(&self.means, place.0, (*edge, host), false);
            } else if let Err(reason) = part.read_here(engine, *edge) {
                tracing::debug!(reason, "a copy of an operator finds nothing to read");
                engine.retire(deployed.application);
                return;
            }
        }
        if let Some(component) = deployed.operators[index] {
            engine.stand_by(component);
        }
        engine.start(deployed.application);
        standby.running = Some(deployed);
    }

    /// Lets go of what was kept for copies that are fed, and makes those again that are not what their operators are.
    pub(super) fn tend_standbys(&mut self) {
        let mut again = Vec::new();
        for ((id, operator), standby) in &mut self.standbys {
            if standby.is_coming {
                continue;
            }
            let component = standby.component(*operator);
            let stands = component.and_then(|it| self.means.engine.standing_by(it));
            match stands.filter(|it| it.missing == 0) {
                Some(it) if it.is_fed => standby.keeping = None,
                Some(_) => {}
                None => again.push((*id, *operator)),
            }
        }
        for place in again {
            let Some(graph) = self.parts.get(&place.0).map(|part| part.graph.clone()) else {
                continue;
            };
            let primary = graph.operators()[usize::from(place.1)].host;
            let feeding = feeding(&graph, place.1);
            self.begin_standby(place, graph, primary, feeding);
        }
    }

    /// Whether a copy of an operator runs here that could go on in its place.
    pub(super) fn stands_by(&self, place: (CompositionId, u16)) -> bool {
        let standby = self.standbys.get(&place);
        standby.is_some_and(|it| !it.is_coming && it.keeping.is_none())
    }

    /// Copies of what the graph binds to this host by now are what is read from here on.
    pub(super) fn step_in(&mut self, id: CompositionId) {
        let here = self.network.node();
        let Some(graph) = self.parts.get(&id).map(|part| part.graph.clone()) else {
            return;
        };
        let mut stepped = Vec::new();
        for ((operator, index), binding) in (0u16..).zip(0..).zip(graph.operators()) {
            if binding.host != here || binding.shared {
                continue;
            }
            let Some(standby) = self.standbys.remove(&(id, operator)) else {
                continue;
            };
            standby.task.abort();
            let component = standby.component(operator);
            let stands = component.and_then(|it| self.means.engine.standing_by(it));
            let (Some(component), Some(stands)) = (component, stands.filter(|it| it.missing == 0))
            else {
                // It goes on from the last state that is held.
                self.end_standby(standby);
                continue;
            };
            let Some(deployed) = standby.running else {
                continue;
            };
            let last = self.take_backup((id, operator)).map(|(resumed, _)| resumed);
            self.means.engine.step_in(component, last.as_ref());
            let Some(part) = self.parts.get_mut(&id) else {
                continue;
            };
            part.operators[index] = Some(component);
            part.numbers.push(deployed.application);
            for RemoteEdge {
                edge,
                stream,
                reader,
            } in &deployed.downstream
            {
                let peer = part.graph.reader(*reader).host;
                part.serve((*stream, *reader, peer), *edge);
            }
            stepped.push(deployed);
            let component = part.graph.plan().operators()[index].name.clone();
            let event = PartEvent::Restored {
                component,
                state_bytes: stands.state_bytes,
            };
            self.pending.push_back(Input::Happened { id, event });
        }
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let numbers = part.numbers.clone();
        for deployed in stepped {
            turn_to(part, &self.means.engine, &deployed, &numbers, here);
        }
    }

    fn end_standby(&self, standby: Standby) {
        standby.task.abort();
        if let Some(running) = standby.running {
            self.means.engine.retire(running.application);
        }
    }
}

impl Part {
    /// Lets a copy of a reader, on another host, read beside it what runs here: from what is kept for the reader itself.
    pub(super) fn serve_standby(
        &mut self,
        engine: &engine::runtime::Handle,
        by: (Stream, Reader, NodeId),
    ) {
        let (stream, reader, peer) = by;
        let Reader::Operator(index, _) = reader else {
            return;
        };
        let is_copy = self.graph.plan().qos().replication == Replication::Active
            && self
                .graph
                .backups()
                .get(index)
                .is_some_and(|it| it.contains(&peer));
        if !is_copy || self.serves(engine, &by) {
            return;
        }
        let beside = self.yielding_edge(engine, stream, reader);
        if let Ok(Ok(fork)) = beside.map(|edge| engine.fork_edge(edge)) {
            self.serve(by, fork);
        }
    }
}

/// The hosts that the inputs of an operator come from, in their order.
fn feeding(graph: &ComponentGraph, operator: u16) -> Vec<NodeId> {
    let inputs = graph.plan().operators()[usize::from(operator)]
        .inputs
        .iter();
    inputs.map(|it| graph.producer(*it).host).collect()
}

/// Takes over the state of an operator, as often as it takes, and keeps what comes behind it until that need not be.
async fn take(
    means: Means,
    place: (CompositionId, u16),
    number: u64,
    (graph, primary, bytes_max): (Box<ComponentGraph>, NodeId, u64),
    is_done: oneshot::Receiver<()>,
) {
    let arrived = loop {
        match take_state(&means, place, graph.clone(), primary, bytes_max).await {
            Ok(arrived) => break arrived,
            Err(reason) => tracing::debug!(host = %primary, reason, "a state is not to be had"),
        }
        tokio::time::sleep(RETRY).await;
    };
    let (resumed, _, keeping) = arrived.split();
    let resumed = Box::new(resumed);
    let stands = Inbound::Stands {
        place,
        number,
        resumed,
    };
    if means.inbox.send(stands).await.is_ok() {
        keeping.run(is_done).await;
    }
}
