//! What the thread of a storage needs.

use super::{Handle, alive};
use crate::edge::storage::{Answer, Former, Order};
use crate::engine::Slot;

impl Handle {
    /// Waits for orders to a storage, which are to be carried out one after the other. One thread at a time may wait.
    ///
    /// Gives nothing when the runtime is stopping.
    pub fn wait_for_orders(&self) -> Vec<(Slot, Order)> {
        let mut state = self.shared.lock();
        loop {
            if state.is_stopping {
                return Vec::new();
            }
            let orders = state.engine.take_orders();
            if !orders.is_empty() {
                return orders;
            }
            state = alive(self.shared.orders.wait(state));
        }
    }

    /// Takes what came of an order.
    pub fn handle_answer(&self, slot: Slot, answer: Answer) {
        self.change(|engine, now| engine.handle_answer(now, slot, answer));
    }

    /// See [`Engine::recover`](crate::Engine::recover).
    pub fn recover(&self, slot: Slot, former: Vec<Former>) {
        self.change(|engine, _| engine.recover(slot, former));
    }

    /// How many bytes are on their way to the storage, and in memory still.
    pub fn writing_bytes(&self) -> u64 {
        self.shared.lock().engine.writing_bytes()
    }

    /// How many bytes lie in the storage.
    pub fn stored_bytes(&self) -> u64 {
        self.shared.lock().engine.stored_bytes()
    }
}
