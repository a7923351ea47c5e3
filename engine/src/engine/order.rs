//! Which component runs next: budgets from what lies behind, and what each has to do first.

use std::collections::BTreeMap;

use model::{ComponentId, EdgeId, Instant};

use super::{Component, Engine};
use crate::budget::{self, Stage};
use crate::mailbox::Channel;
use crate::scheduler::{Policy, Waiting};

/// What a component is to do next.
#[derive(Debug, Clone, Copy)]
pub(super) struct FirstWork {
    /// Whose batches it works on; of none where it goes on closing windows.
    pub(super) channel: Option<Channel>,
    pub(super) arrival: Instant,
    pub(super) sequence: u64,
}

impl Engine {
    pub(super) fn compute_budgets(&mut self) {
        let places: BTreeMap<ComponentId, usize> =
            self.components.keys().copied().zip(0..).collect();
        let consumer = |edge: &EdgeId| {
            let inbound = self.edges.get(edge)?.inbound()?;
            places.get(&inbound.component).copied()
        };
        let stage = |component: &Component| {
            let outputs = || component.outputs.iter();
            Stage {
                cost: component.cost.usual(),
                target: component.target(),
                pulled: outputs()
                    .filter_map(|output| output.producer.budget())
                    .min(),
                consumers: outputs()
                    .flat_map(|output| &output.readers)
                    .filter_map(consumer)
                    .collect(),
            }
        };
        let stages: Vec<Stage> = self.components.values().map(stage).collect();
        let budgets = budget::budgets(&stages);
        for (component, budget) in self.components.values_mut().zip(budgets) {
            component.budget = budget;
        }
        for id in places.into_keys() {
            self.refresh(id);
        }
    }

    /// What a component is to do next, if what comes of it has room.
    pub(super) fn first_work(&self, id: ComponentId) -> Option<FirstWork> {
        let component = self.component(id);
        if let Some(arrival) = component.closing {
            // Windows that are closing go on before anything else comes in.
            return component.has_room_to_close().then_some(FirstWork {
                channel: None,
                arrival,
                sequence: 0,
            });
        }
        let urgency = |arrival: Instant, sequence| match self.config.policy {
            Policy::Deadline => arrival.as_nanos(),
            Policy::Fifo => sequence,
        };
        let channel = component
            .mailbox
            .first(urgency, |channel| component.has_room(channel))?;
        let (arrival, sequence) = component.mailbox.head(channel)?;
        Some(FirstWork {
            channel: Some(channel),
            arrival,
            sequence,
        })
    }

    /// Gives a component its place in the order, or takes it away.
    pub(super) fn refresh(&mut self, id: ComponentId) {
        let Some(component) = self.components.get(&id) else {
            self.scheduler.set(id, None);
            return;
        };
        let could_run = component.step.is_some() && !component.has_failed();
        let first = if could_run { self.first_work(id) } else { None };
        let rank = first.map(|first| {
            self.config.policy.rank(Waiting {
                arrival: first.arrival,
                budget: component.budget,
                sequence: first.sequence,
                depth: component.depth,
            })
        });
        self.scheduler.set(id, rank);
    }
}
