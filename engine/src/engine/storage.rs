//! What is retained beyond the memory: orders to a storage that somebody outside of the engine carries out, and what came of them.

use model::{ComponentId, Instant};

use super::{Component, Engine};
use crate::edge::storage::{Answer, Former, Order};
use crate::ledger::Ledger;

/// Whose order it is: the output port of a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot {
    /// The component. No other one ever has its number.
    pub component: ComponentId,
    /// The port.
    pub port: u16,
}

impl Engine {
    /// What a storage is to do since this was last asked, in order.
    pub fn take_orders(&mut self) -> Vec<(Slot, Order)> {
        std::mem::take(&mut self.orders)
    }

    /// Whether a storage is to do something.
    pub const fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// Takes what came of an order.
    pub fn handle_answer(&mut self, now: Instant, slot: Slot, answer: Answer) {
        let mut sends = std::mem::take(&mut self.sends);
        let component = self.components.get_mut(&slot.component);
        let Some(output) = component.and_then(|it| it.outputs.get_mut(usize::from(slot.port)))
        else {
            // It has gone, and said so to the storage.
            self.sends = sends;
            return;
        };
        output.producer.handle_answer(answer, &mut sends);
        if let Some(component) = self.components.get_mut(&slot.component) {
            component.enter_retained(&mut self.ledger);
        }
        self.order(slot.component);
        self.deliver(now, sends);
    }

    /// Gives an output port of an operator that has just been deployed, and goes on from its state, what the storage has of it since
    /// another process: see [`Producer::recover`](crate::edge::Producer::recover).
    pub fn recover(&mut self, slot: Slot, former: Vec<Former>) {
        let component = self.components.get_mut(&slot.component);
        if let Some(output) = component.and_then(|it| it.outputs.get_mut(usize::from(slot.port))) {
            output.producer.recover(former, &output.schema);
            self.order(slot.component);
        }
    }

    /// How many bytes lie in the storage.
    pub fn stored_bytes(&self) -> u64 {
        let outputs = self.components.values().flat_map(|it| &it.outputs);
        outputs.map(|output| output.producer.stored_bytes()).sum()
    }

    /// How many bytes are on their way to the storage, and in memory still.
    pub fn writing_bytes(&self) -> u64 {
        let outputs = self.components.values().flat_map(|it| &it.outputs);
        let writing = outputs.map(|output| output.producer.writing_bytes());
        writing.sum()
    }

    /// Gives the storage what a component has for it to do.
    pub(super) fn order(&mut self, component: ComponentId) {
        if self.config.disk_bytes == 0 {
            return;
        }
        let Some(here) = self.components.get_mut(&component) else {
            return;
        };
        for (port, output) in (0..).zip(&mut here.outputs) {
            let slot = Slot { component, port };
            let orders = output.producer.take_orders();
            self.orders.extend(orders.into_iter().map(|it| (slot, it)));
        }
    }

    /// A component goes: the storage keeps nothing of it.
    pub(super) fn drop_stored(&mut self, component: ComponentId) {
        let Some(here) = self.components.get_mut(&component) else {
            return;
        };
        for (port, output) in (0..).zip(&mut here.outputs) {
            let slot = Slot { component, port };
            let orders = output.producer.drop_all_stored();
            self.orders.extend(orders.into_iter().map(|it| (slot, it)));
        }
    }
}

impl Component {
    /// How much memory takes what its producers retain, with what is on its way to the storage.
    pub(crate) fn retained_bytes(&self) -> u64 {
        self.outputs
            .iter()
            .map(|output| output.producer.retained_bytes() + output.producer.writing_bytes())
            .sum()
    }

    /// Enters into the ledger how much its producers retain.
    pub(crate) fn enter_retained(&mut self, ledger: &mut Ledger) {
        let retained = self.retained_bytes();
        let before = std::mem::replace(&mut self.entered_bytes, retained);
        if before != retained {
            ledger.change_retained(before, retained);
        }
    }
}
