//! Whom a graph slows: the hosts of their sinks say whether that may be, for all hosts of the graph together.
//!
//! A sink grants what its application can still spare: its target less its delay and what it has granted already and not yet seen. An
//! application that has not started knows its delay when its hosts have confirmed; who asks before that waits, unless its id is the lower.

use std::collections::BTreeSet;
use std::time::Duration;

use model::{CompositionId, Instant, NodeId, NodeView};

use super::State;
use crate::composer::{Composer, Outbox};
use crate::counts::Ignored;
use crate::measure::Lack;
use crate::message::{Body, Decline};
use crate::usage::Usage;

/// The most applications that a sink is asked about at once. Source: those of a host.
pub(crate) const CHARGES_MAX: usize = super::ALLOCATIONS_MAX;

/// The most charges that wait; who is not among them asks again. Source: guess.
const DEFERRED_MAX: usize = 64;

/// What somebody asks of sinks here.
#[derive(Debug)]
pub(crate) struct Deferred {
    pub(super) id: CompositionId,
    attempt: u8,
    charges: Vec<(CompositionId, Duration)>,
}

impl Composer {
    /// Whether the applications whose sinks are here can be slowed.
    pub(crate) fn on_charge(
        &mut self,
        now: Instant,
        from: NodeId,
        (id, attempt): (CompositionId, u8),
        charges: Vec<(CompositionId, Duration)>,
        delay: Option<Duration>,
        out: &mut Outbox<'_>,
    ) {
        if from != id.node {
            return self.counts.ignore(Ignored::Foreign);
        }
        if charges.len() > CHARGES_MAX {
            return self.counts.ignore(Ignored::Full);
        }
        if let Some(delay) = delay
            && let Err((suffers, left)) = self.serving.settle(id, delay)
        {
            let lack = Lack::of_impact(&suffers, delay, left);
            self.counts.refuse(lack.check);
            let why = Decline::Lacks(lack);
            return out.send(from, Body::Declined { id, attempt, why });
        }
        let deferred = Deferred {
            id,
            attempt,
            charges,
        };
        self.grant(now, deferred, out);
        if delay.is_some() {
            self.answer_deferred(now, out);
        }
    }

    fn grant(&mut self, now: Instant, asked: Deferred, out: &mut Outbox<'_>) {
        let (id, attempt) = (asked.id, asked.attempt);
        let until = now + self.config.lease;
        match self.serving.grant(id, &asked.charges, until) {
            Ok(()) => out.send(id.node, Body::Granted { id, attempt }),
            Err((_, suffers, Some(slack))) => {
                let increase = asked.charges.iter().map(|(_, increase)| *increase).max();
                let lack = Lack::of_impact(&suffers, increase.unwrap_or_default(), slack);
                self.counts.refuse(lack.check);
                let why = Decline::Lacks(lack);
                out.send(id.node, Body::Declined { id, attempt, why });
            }
            // What it can spare will be known.
            Err((_, _, None)) => {
                self.deferred.retain(|it| it.id != id);
                if self.deferred.len() < DEFERRED_MAX {
                    self.deferred.push(asked);
                } else {
                    self.counts.ignore(Ignored::Full);
                }
            }
        }
    }

    /// It is known of one more what it can spare, or it is gone.
    pub(crate) fn answer_deferred(&mut self, now: Instant, out: &mut Outbox<'_>) {
        for asked in std::mem::take(&mut self.deferred) {
            self.grant(now, asked, out);
        }
    }

    /// The sink of an application says how long its results take.
    pub(crate) fn on_delay(&mut self, from: NodeId, id: CompositionId, delay: Duration) {
        let allocation = self.allocations.get(&id);
        if allocation.is_some_and(|it| it.graph.sinks()[0].host == from) {
            self.serving.set_delay(id, delay);
        } else {
            self.counts.ignore(Ignored::Foreign);
        }
    }

    /// What runs here was measured.
    pub(crate) fn on_measured(
        &mut self,
        view: &NodeView,
        id: CompositionId,
        (usage, kept): (&[Usage], &[u16]),
        delay: Option<Duration>,
        out: &mut Outbox<'_>,
    ) {
        self.serving.measure(id, usage);
        let Some(allocation) = self.allocations.get(&id) else {
            return;
        };
        let (wanted, coming) = allocation.wanted(view.node());
        let measured = usage.iter().map(|it| it.operator);
        let here: BTreeSet<u16> = measured.chain(kept.iter().copied()).collect();
        self.serving.keep(id, &here, &wanted, &coming);
        if allocation.state != State::Started || allocation.graph.sinks()[0].host != view.node() {
            return;
        }
        if let Some(delay) = delay
            && self.serving.set_delay(id, delay)
        {
            let hosts = allocation.graph.hosts();
            for host in hosts.into_iter().filter(|it| *it != view.node()) {
                out.send(host, Body::Delay { id, delay });
            }
        }
    }
}
