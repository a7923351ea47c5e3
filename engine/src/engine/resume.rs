//! Components that go on where others were: from their state, with what these had retained.

use model::{ComponentId, Instant, Positions};

use super::{Engine, HERE};
use crate::edge::Consumer;
use crate::state::Standing;

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
}
