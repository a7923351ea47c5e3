//! Components that go on where others were: from their state, with what these had retained; and copies that run beside others and are not read until they
//! are needed. Both read the same inputs from the same positions, so that what they give has the same positions.

use model::{ComponentId, Instant, Positions};

use super::component::Stay;
use super::edges::Producing;
use super::{Engine, HERE};
use crate::edge::Consumer;
use crate::state::{Resumed, Standing};

/// How a component stands that runs and is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StandingBy {
    /// All that it reads is open where it comes from: nothing need be kept for it by others any more.
    pub is_fed: bool,
    /// How many rows it lacks that the component has whose place it would take.
    pub missing: u64,
    /// The memory that its state holds.
    pub state_bytes: u64,
}

impl Engine {
    /// Gives a component that was just made the place of the one whose state its operator holds. Gives up to where each of its inputs was
    /// worked off.
    pub(super) fn take_place(
        &mut self,
        now: Instant,
        id: ComponentId,
        standing: Standing,
        state_bytes: u64,
    ) -> Vec<Positions> {
        let component = self.components.get_mut(&id).expect(HERE);
        component.is_resumed = true;
        component.counters.late = standing.late;
        component.counters.bad = standing.bad;
        if let (Some(step), Some(counted)) = (&mut component.step, standing.counted) {
            step.resume(counted);
        }
        for (output, retained) in component.outputs.iter_mut().zip(standing.outputs) {
            output.producer.restore(now, retained);
        }
        component.enter_retained(&mut self.ledger);
        self.ledger.set_state(id, state_bytes);
        standing.inputs
    }

    /// A sink that has just been deployed has written everything up to these positions before: it is given what lies behind them.
    pub fn go_on_behind(&mut self, sink: ComponentId, positions: Positions) {
        if self.components.contains_key(&sink) {
            self.read_on(sink, vec![positions]);
        }
    }

    /// Lets a component read on from where the one was that it comes after.
    pub(super) fn read_on(&mut self, id: ComponentId, inputs: Vec<Positions>) {
        let edges = self.component(id).inputs.clone();
        for (edge, positions) in edges.into_iter().zip(inputs) {
            let edge = self.edges.get_mut(&edge);
            if let Some(inbound) = edge.and_then(|edge| edge.inbound_mut()) {
                inbound.state = Consumer::resumed(&positions, inbound.credit);
            }
        }
    }

    /// Lets a component run that nobody reads, until it steps in or its application is retired. What it gives is retained as far as its share of the
    /// memory goes, and the oldest goes first: who will read it, how far nobody knows, lacks only what the other one had not yet sent.
    pub fn stand_by(&mut self, component: ComponentId) {
        let Some(component) = self.components.get_mut(&component) else {
            return;
        };
        component.stay = Stay::Forever;
        for output in &mut component.outputs {
            output.producer.set_flows_unread(true);
        }
    }

    /// A component that has stood by is read from now on, and stays as long as it is. What all had done with who read the one in whose place it is,
    /// as far as its last state tells, is released: a reader that has nothing would else get it again.
    pub fn step_in(&mut self, now: Instant, component: ComponentId, last: Option<&Resumed>) {
        let Some(component) = self.components.get_mut(&component) else {
            return;
        };
        component.stay = Stay::WhileRead;
        let mut released = last.map(|it| it.standing.outputs.iter());
        for output in &mut component.outputs {
            output.producer.set_flows_unread(false);
            output.producer.await_readers(now);
            let retained = released.as_mut().and_then(Iterator::next);
            output
                .producer
                .release_before(retained.map_or(&[], Vec::as_slice));
        }
        component.enter_retained(&mut self.ledger);
    }

    /// How a component stands by; nothing where it does not run.
    pub fn standing_by(&self, id: ComponentId) -> Option<StandingBy> {
        let component = self.components.get(&id)?;
        if component.failure.is_some() {
            return None;
        }
        let edges = component.inputs.iter();
        let mut producers = edges.map(|edge| self.edges.get(edge).map(|edge| &edge.producer));
        let is_fed = producers.all(|producer| match producer {
            Some(Producing::Here(..)) => true,
            Some(Producing::Elsewhere(link)) => link.told.is_some(),
            Some(Producing::Gone) | None => false,
        });
        Some(StandingBy {
            is_fed,
            missing: component.counters.missing,
            state_bytes: self.ledger.state_bytes(id),
        })
    }
}
