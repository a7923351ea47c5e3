//! What time brings: pulls that keep edges alive, consumers that lapse, components that nobody reads any more.

use std::time::Duration;

use model::{ComponentId, EdgeId, Instant};

use super::Engine;
use super::component::Stay;
use super::edges::{Consuming, Producing, Telling};
use crate::edge::LAPSE;

/// How long an edge may be without a pull.
///
/// Unit: time. Range: below [`LAPSE`] / 3. Source: design; guess.
const PULL_INTERVAL: Duration = Duration::from_secs(1);

/// How long a component stays that has consumers on other hosts of which none is heard, or none has been heard yet.
///
/// An application may be cut into two in the moment in which it starts, before the first pull has come: that is no reason to end it sooner
/// than one that ran before. What never came about its control plane takes away.
///
/// Unit: time. Range: above any repair. Source: guess.
pub(super) const IDLE_MAX: Duration = Duration::from_secs(60);

/// How often timers are looked at, while there is anything that waits for one.
///
/// Unit: time. Range: at most half of [`PULL_INTERVAL`], so that pulls keep to it. Source: guess.
const SWEEP: Duration = Duration::from_millis(500);

impl Engine {
    /// When [`Engine::handle_timeout`] wants to be called, if anything waits for time to pass.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        self.timers_due
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.timers_due.is_none_or(|due| now < due) {
            return;
        }
        self.timers_due = None;
        self.sweep_edges(now);
        self.end_silent_edges(now);
        self.sweep_states(now);
        self.sweep_rebuilding(now);
        self.sweep_components(now);
        self.compute_budgets(now);
        self.arm(now);
    }

    /// Sets the timer, where something waits for one.
    pub(super) fn arm(&mut self, now: Instant) {
        if self.timers_due.is_none() && self.waits_for_time() {
            self.timers_due = Some(now + SWEEP);
        }
    }

    fn waits_for_time(&self) -> bool {
        let is_remote = |edge: &super::Edge| {
            edge.closing.is_some()
                || matches!(edge.producer, Producing::Elsewhere(_))
                || matches!(edge.consumer, Consuming::Elsewhere(_))
        };
        let is_waited_for = |component: &super::Component| component.rebuilding.is_some();
        !self.states.is_empty()
            || self.edges.values().any(is_remote)
            || self.components.values().any(is_waited_for)
    }

    /// Lets pulls go that are due, and ends edges whose end no link has taken.
    fn sweep_edges(&mut self, now: Instant) {
        let mut unheard: Vec<EdgeId> = Vec::new();
        for (id, edge) in self.edges.iter_mut() {
            if edge.closing.is_some_and(|since| now.since(since) >= LAPSE) {
                unheard.push(*id);
                continue;
            }
            let (Producing::Elsewhere(link), Consuming::Here(inbound)) =
                (&mut edge.producer, &edge.consumer)
            else {
                continue;
            };
            if link
                .told
                .is_some_and(|told| now.since(told) + SWEEP / 2 >= PULL_INTERVAL)
            {
                // Where batches arrive in order nothing need be asked for again: the last may have been lost
                // only where nothing has come since.
                let is_well = link.has_arrived && !inbound.state.awaits_rewind();
                let telling = if is_well {
                    Telling::All
                } else {
                    Telling::Again
                };
                link.telling = link.telling.max(telling);
                link.told = Some(now);
                link.has_arrived = false;
                if !std::mem::replace(&mut link.is_due, true) {
                    self.ready.push(*id);
                }
            }
        }
        for id in unheard {
            self.edges.remove(&id);
            self.ready.push(id);
        }
    }

    /// Lets consumers lapse, and retires what nobody reads any more.
    fn sweep_components(&mut self, now: Instant) {
        let mut unread: Vec<ComponentId> = Vec::new();
        for (id, component) in self.components.iter_mut() {
            let mut heard = None;
            let mut is_waited_for = false;
            for output in &mut component.outputs {
                // Others may have waited for who lapses.
                self.signals.all |= output.producer.handle_timeout(now);
                is_waited_for |= output.producer.has_own_consumers();
                heard = heard.max(output.producer.last_heard());
            }
            let is_unread = heard.is_some_and(|heard| now.since(heard) >= IDLE_MAX);
            if component.stay == Stay::WhileRead && is_unread && !is_waited_for {
                unread.push(*id);
            }
        }
        for id in unread {
            self.retire_lapsed(now, id);
        }
    }

    /// Retires a component whose consumers are not heard any more.
    fn retire_lapsed(&mut self, now: Instant, id: ComponentId) {
        let Some(application) = self
            .components
            .get(&id)
            .map(|component| component.application)
        else {
            return;
        };
        self.remove(now, id);
        self.check_gone(now, application);
    }
}
