//! The host's side of a commit: what was confirmed here, and whether it has started.
//!
//! Confirmed is what reserves for good and deploys; it lapses unless a start follows. A start comes from the composing node, and from
//! every other host of the graph that has been told: when the composing node vanishes in the middle of it, either
//! everybody starts or nobody does.

use std::collections::BTreeSet;

use model::{ComponentGraph, CompositionId, Instant, NodeId, NodeView};

use crate::composer::{Composer, Outbox};
use crate::config::ATTEMPTS_MAX;
use crate::counts::Ignored;
use crate::effect::Effect;
use crate::ledger::Claim;
use crate::message::{Body, Confirm, Decline};
use crate::reminder::{Kind, Reminder};

/// A graph of which this host runs a part, or is about to.
#[derive(Debug)]
pub(crate) struct Allocation {
    attempt: u8,
    state: State,
    graph: ComponentGraph,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It was ordered, and lapses then.
    Deploying { until: Instant },
    /// It is there, and lapses then.
    Deployed { until: Instant },
    /// It runs, until it is retired.
    Started,
}

impl Allocation {
    /// When it lapses, unless it has started.
    pub(crate) const fn until(&self) -> Option<Instant> {
        match self.state {
            State::Deploying { until } | State::Deployed { until } => Some(until),
            State::Started => None,
        }
    }
}

impl Composer {
    pub(crate) fn on_confirm(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        confirm: Confirm,
        out: &mut Outbox<'_>,
    ) {
        let Confirm {
            id,
            attempt,
            application,
            graph,
            takes,
        } = confirm;
        if from != id.node {
            return self.counts.ignore(Ignored::Foreign);
        }
        if !graph.hosts().contains(&view.node()) || !(1..=ATTEMPTS_MAX).contains(&attempt) {
            return self.counts.ignore(Ignored::Unfit);
        }
        if self.closed.has_attempt(id, attempt) {
            self.counts.ignore(Ignored::Late);
            let why = Decline::Gone;
            return out.send(from, Body::Declined { id, attempt, why });
        }
        if let Some(known) = self.allocations.get(&id) {
            if known.attempt > attempt {
                return self.counts.ignore(Ignored::Late);
            }
            if known.attempt == attempt {
                self.counts.ignore(Ignored::Repeated);
                if !matches!(known.state, State::Deploying { .. }) {
                    out.send(from, Body::Confirmed { id, attempt });
                }
                return;
            }
            // An earlier graph, of which the release was overtaken or left out because this one follows.
            self.allocations.remove(&id);
            out.effect(Effect::Undeploy { id });
        }
        let failed = attempt - 1;
        if let Err(lack) = self.ledger.allocate(view, Claim { id, failed }, takes) {
            self.counts.refuse(lack.check);
            self.ledger.release(id);
            let why = Decline::Lacks(lack);
            return out.send(from, Body::Declined { id, attempt, why });
        }
        let until = now + self.config.lease;
        *self.answers_due.entry(id).or_default() += 1;
        out.effect(Effect::Deploy {
            id,
            application,
            graph: graph.clone(),
        });
        let state = State::Deploying { until };
        let allocation = Allocation {
            attempt,
            state,
            graph,
        };
        self.allocations.insert(id, allocation);
    }

    pub(crate) fn on_deployed(&mut self, id: CompositionId, out: &mut Outbox<'_>) {
        if !self.is_last_answer(id) {
            return;
        }
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        if let State::Deploying { until } = allocation.state {
            allocation.state = State::Deployed { until };
            let attempt = allocation.attempt;
            out.send(id.node, Body::Confirmed { id, attempt });
        }
    }

    pub(crate) fn on_deploy_failed(
        &mut self,
        now: Instant,
        id: CompositionId,
        reason: &str,
        out: &mut Outbox<'_>,
    ) {
        if !self.is_last_answer(id) {
            return;
        }
        let Some(allocation) = self.allocations.remove(&id) else {
            return;
        };
        self.ledger.release(id);
        let attempt = allocation.attempt;
        self.closed.close(id, attempt, now + self.config.lease);
        let why = Decline::failed(reason);
        out.send(id.node, Body::Declined { id, attempt, why });
    }

    /// Whether an answer belongs to the last deployment that was ordered: those before it were undone.
    fn is_last_answer(&mut self, id: CompositionId) -> bool {
        let Some(due) = self.answers_due.get_mut(&id) else {
            return false;
        };
        *due -= 1;
        if *due == 0 {
            self.answers_due.remove(&id);
            return true;
        }
        false
    }

    pub(crate) fn on_start(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        (id, attempt): (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        let Some(allocation) = self.allocations.get_mut(&id) else {
            self.counts.ignore(Ignored::Unknown);
            let why = Decline::Gone;
            return out.send(from, Body::Declined { id, attempt, why });
        };
        let hosts = allocation.graph.hosts();
        if from != id.node && !hosts.contains(&from) {
            return self.counts.ignore(Ignored::Foreign);
        }
        if allocation.attempt != attempt {
            return self.counts.ignore(Ignored::Late);
        }
        match allocation.state {
            State::Deploying { .. } => return self.counts.ignore(Ignored::Unfit),
            State::Started => self.counts.ignore(Ignored::Repeated),
            State::Deployed { .. } => {
                allocation.state = State::Started;
                let sinks = allocation.graph.sinks();
                if sinks.iter().any(|sink| sink.host == view.node()) {
                    out.effect(Effect::Start { id });
                }
                let others: BTreeSet<NodeId> = hosts
                    .into_iter()
                    .filter(|it| *it != view.node() && *it != from)
                    .collect();
                let message = Body::Start { id, attempt };
                self.remind(now, (id, Kind::Start), Reminder::new(message, others), out);
            }
        }
        out.send(from, Body::Started { id, attempt });
    }

    pub(crate) fn on_release(
        &mut self,
        now: Instant,
        from: NodeId,
        (id, attempt): (CompositionId, u8),
        out: &mut Outbox<'_>,
    ) {
        if from != id.node {
            return self.counts.ignore(Ignored::Foreign);
        }
        let known = self.allocations.get(&id).map(|it| it.attempt);
        if known.is_some_and(|known| known > attempt) {
            self.counts.ignore(Ignored::Late);
        } else {
            self.drop_allocation(now, id, out);
            self.ledger.release(id);
            self.visits.forget(id);
        }
        self.closed.close(id, attempt, now + self.config.lease);
        out.send(from, Body::Released { id, attempt });
    }

    /// Its components are gone already.
    pub(crate) fn on_retired(&mut self, now: Instant, id: CompositionId) {
        if let Some(allocation) = self.allocations.remove(&id) {
            let until = now + self.config.lease;
            self.closed.close(id, allocation.attempt, until);
            self.reminders.remove(&(id, Kind::Start));
        }
        self.ledger.release(id);
    }

    /// Undoes what was confirmed here of a composition, if anything was.
    fn drop_allocation(&mut self, now: Instant, id: CompositionId, out: &mut Outbox<'_>) {
        if let Some(allocation) = self.allocations.remove(&id) {
            self.ledger.release(id);
            self.reminders.remove(&(id, Kind::Start));
            self.closed
                .close(id, allocation.attempt, now + self.config.lease);
            out.effect(Effect::Undeploy { id });
        }
    }

    /// Lets go of what was confirmed and never started.
    pub(crate) fn lapse_allocations(&mut self, now: Instant, out: &mut Outbox<'_>) {
        let lapsed = self.allocations.iter();
        let lapsed = lapsed.filter(|(_, it)| it.until().is_some_and(|until| until <= now));
        let lapsed: Vec<CompositionId> = lapsed.map(|(id, _)| *id).collect();
        for id in lapsed {
            self.counts.lapsed += 1;
            self.drop_allocation(now, id, out);
        }
    }
}

#[cfg(test)]
mod tests;
