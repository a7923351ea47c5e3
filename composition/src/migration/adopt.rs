//! A graph that holds, whoever was asked: where hosts are gone nobody can agree with them, so that a record alone says where their parts run from then on.
//!
//! The record that stands is the same everywhere in the end, and each host takes it as it comes. What a host is bound to it runs, whether or not it
//! has room: whoever is late by that is seen to be, and something moves.

use model::{CompositionId, Instant, NodeView};

use super::host::uses;
use crate::allocation::room::copies;
use crate::allocation::{Allocation, State, newcomer};
use crate::composer::{Composer, Outbox, Rebound};
use crate::effect::{Effect, Event, Unmigrated};

use crate::serving::{Newcomer, Shared};
use crate::stream::Before;

impl Composer {
    /// The record of a composition says that it has a graph: a host that is ready for it goes over, and any other takes it as it is.
    pub(crate) fn on_rebound(
        &mut self,
        now: Instant,
        view: &NodeView,
        rebound: Rebound,
        out: &mut Outbox<'_>,
    ) {
        if let Some(allocation) = self.allocations.get_mut(&rebound.id) {
            if allocation.graph == rebound.graph && allocation.state == State::Started {
                allocation.generation = allocation.generation.max(rebound.generation);
                return;
            }
            // Other backups may have been chosen since: they are followed as ever, below.
            let pending = &mut allocation.pending;
            let ready = pending.take_if(|it| it.is_ready && it.graph.runs_as(&rebound.graph));
            if let Some(pending) = ready {
                let is_all = pending.graph == rebound.graph;
                self.go_over(view, pending.id, *pending, out);
                if is_all {
                    return;
                }
            } else {
                if allocation.state == State::Ended {
                    return;
                }
                // What is being composed starts or lapses; what this host knows of a later graph, the record will.
                let is_coming = allocation.state != State::Started && allocation.pending.is_none();
                if is_coming || allocation.generation > rebound.generation {
                    return;
                }
            }
        }
        if rebound.is_adopted && rebound.terms.is_of(rebound.graph.plan()) {
            self.adopt(now, view, rebound, out);
        }
    }

    fn adopt(&mut self, now: Instant, view: &NodeView, rebound: Rebound, out: &mut Outbox<'_>) {
        let (id, here) = (rebound.id, view.node());
        self.give_up_moves(now, id, out);
        let Rebound {
            application,
            generation,
            graph,
            terms,
            ..
        } = rebound;
        let job = |operator: usize| terms.jobs[operator];
        let mut newcomer = newcomer(here, application.clone(), (None, &graph), job);
        let shared = std::mem::take(&mut newcomer.shared);
        for shared in shared {
            let operator = shared.operator;
            let is_own = self.serving.uses(id, (shared.stream, id, operator));
            match self.serving.provider(id, &shared).filter(|_| !is_own) {
                Some(made_of) => newcomer.shared.push(Shared { made_of, ..shared }),
                // What others had here and is gone is made for this one.
                None => {
                    let own = (
                        shared.stream,
                        operator,
                        job(operator.into()),
                        shared.made_of,
                    );
                    newcomer.own.push(own);
                }
            }
        }
        // All that it shares is here, so that it is admitted.
        let _: Result<(), _> = self.serving.admit(id, newcomer);
        let delay = self.serving.delay(id).unwrap_or(terms.delay);
        self.serving.start(id, delay);
        let allocation = self.allocations.entry(id).or_insert_with(|| {
            let graph = graph.clone();
            Box::new(Allocation::joining(application, terms.attempt, graph))
        });
        allocation.graph = graph.clone();
        allocation.state = State::Started;
        allocation.generation = generation;
        allocation.switched = None;
        allocation.projection = terms.projection;
        allocation.leaves = terms.wants.leaves(&graph, here);
        allocation.copies = copies(&graph, here, &terms.jobs);
        allocation.wants = terms.wants;
        allocation.jobs = terms.jobs;
        allocation.ages = terms.ages;
        let application = allocation.application.clone();
        self.serving.rebind(id, uses(&graph, here));
        out.effect(Effect::Adopt {
            id,
            application,
            graph,
            cores: self.serving.cores(id),
        });
        Self::withdraw(id, &self.allocations[&id], out);
        self.register(view, id, out);
    }

    /// An operator of an adopted graph runs here for its own application, whether or not that was expected.
    pub(crate) fn on_made(&mut self, view: &NodeView, id: CompositionId, operator: u16) {
        let Some(allocation) = self.allocations.get(&id) else {
            return;
        };
        let (graph, index) = (&allocation.graph, usize::from(operator));
        let Some(job) = allocation.jobs.get(index).copied() else {
            return;
        };
        let stream = Before::Operator(index).stream(graph.plan());
        if self.serving.uses(id, (stream, id, operator)) {
            return;
        }
        let application = allocation.application.clone();
        let own = (stream, operator, job, graph.made_of(index));
        let newcomer = Newcomer {
            own: vec![own],
            shared: Vec::new(),
            ..newcomer(view.node(), application, (Some(graph), graph), |_| job)
        };
        // It shares nothing, so that it is admitted.
        let _: Result<(), _> = self.serving.admit(id, newcomer);
        if let Some(delay) = self.serving.delay(id) {
            self.serving.start(id, delay);
        }
    }

    /// Nothing that is being moved of a composition goes on: the graph that it was to have is not the one that follows.
    fn give_up_moves(&mut self, now: Instant, id: CompositionId, out: &mut Outbox<'_>) {
        if let Some(migration) = self.migrations.remove(&id) {
            self.reminders
                .remove(&(id, crate::reminder::Kind::Migration));
            out.event(Event::Unmigrated(Unmigrated {
                composition: id,
                operator: migration.operator,
                declined: vec![(
                    out.node(),
                    "a host of it is gone, or has come back".to_owned(),
                )],
            }));
        }
        let pending = self.allocations.get(&id).and_then(|it| it.pending.as_ref());
        if let Some(pending) = pending.map(|it| it.id) {
            self.undo(now, pending, out);
        }
    }
}
