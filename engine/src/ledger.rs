//! The memory ledger: who holds how much of what the host gives to data.

use model::ComponentId;

use crate::paged::Paged;

/// The bytes that components hold: their state, and what they retain for those who pull them.
///
/// What waits in a mailbox is retained by who produced it, and counted there; what came from another host is
/// counted here as received.
#[derive(Debug)]
pub struct Ledger {
    limit_bytes: u64,
    holdings: Paged<ComponentId, Holding>,
    state_bytes: u64,
    retained_bytes: u64,
    received_bytes: u64,
    copied_bytes: u64,
    peak_bytes: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Holding {
    state_bytes: u64,
    received_bytes: u64,
    copied_bytes: u64,
}

/// Of the memory, state may take a half and retention a quarter: the last quarter covers, for a moment, the
/// results of a window beside the state that they come from. Unit: divisors. Source: guess.
pub const STATE_DIVISOR: u64 = 2;
/// See [`STATE_DIVISOR`].
pub const RETENTION_DIVISOR: u64 = 4;

impl Ledger {
    /// An empty ledger of a host that gives so many bytes.
    pub const fn new(limit_bytes: u64) -> Self {
        Self {
            limit_bytes,
            holdings: Paged::new(),
            state_bytes: 0,
            retained_bytes: 0,
            received_bytes: 0,
            copied_bytes: 0,
            peak_bytes: 0,
        }
    }

    /// A component's state is this large now.
    pub fn set_state(&mut self, component: ComponentId, bytes: u64) {
        let holding = self
            .holdings
            .get_or_insert_with(component, Holding::default);
        self.state_bytes = self.state_bytes - holding.state_bytes + bytes;
        holding.state_bytes = bytes;
        self.note_peak();
    }

    /// A component retains `now` and no longer `before`, which it notes itself: that changes with each batch.
    pub const fn change_retained(&mut self, before: u64, now: u64) {
        self.retained_bytes = self.retained_bytes - before + now;
        self.note_peak();
    }

    /// So much waits at a component now that came from other hosts.
    pub fn set_received(&mut self, component: ComponentId, bytes: u64) {
        let holding = self
            .holdings
            .get_or_insert_with(component, Holding::default);
        self.received_bytes = self.received_bytes - holding.received_bytes + bytes;
        holding.received_bytes = bytes;
        self.note_peak();
    }

    /// So much of a component's state is copied here now: of one here for others, or of one elsewhere.
    pub fn set_copied(&mut self, component: ComponentId, bytes: u64) {
        let holding = self
            .holdings
            .get_or_insert_with(component, Holding::default);
        self.copied_bytes = self.copied_bytes - holding.copied_bytes + bytes;
        holding.copied_bytes = bytes;
        self.note_peak();
    }

    /// How much of a component's state is copied here.
    pub fn copied(&self, component: ComponentId) -> u64 {
        let holding = self.holdings.get(&component);
        holding.map_or(0, |holding| holding.copied_bytes)
    }

    /// Whether so much more may be copied: state and copies together may take what state may.
    pub const fn has_room_to_copy(&self, bytes: u64) -> bool {
        self.state_bytes + self.copied_bytes + bytes <= self.limit_bytes / STATE_DIVISOR
    }

    /// A component is no longer here; what it retains changes to nothing apart.
    pub fn remove(&mut self, component: ComponentId) {
        if let Some(holding) = self.holdings.remove(&component) {
            self.state_bytes -= holding.state_bytes;
            self.received_bytes -= holding.received_bytes;
            self.copied_bytes -= holding.copied_bytes;
        }
    }

    /// How large a component's state is.
    pub fn state_bytes(&self, component: ComponentId) -> u64 {
        self.holdings
            .get(&component)
            .map_or(0, |holding| holding.state_bytes)
    }

    /// How many components hold or held state, or what came from other hosts.
    pub fn len(&self) -> usize {
        self.holdings.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.holdings.len() == 0
    }

    /// All that is held.
    pub const fn used_bytes(&self) -> u64 {
        self.state_bytes + self.retained_bytes + self.received_bytes + self.copied_bytes
    }

    /// The most that was ever held.
    pub const fn peak_bytes(&self) -> u64 {
        self.peak_bytes
    }

    /// What may be held.
    pub const fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Whether state takes so much that only the origins that are waited for should go on: three quarters
    /// of what it may take.
    pub const fn is_short(&self) -> bool {
        self.state_bytes >= self.limit_bytes / STATE_DIVISOR / 4 * 3
    }

    /// The component with the largest state, where all state together is more than it may be.
    pub fn overdrawn(&self) -> Option<(ComponentId, u64)> {
        if self.state_bytes <= self.limit_bytes / STATE_DIVISOR {
            return None;
        }
        let largest = self
            .holdings
            .iter()
            .max_by_key(|(_, holding)| holding.state_bytes);
        largest.map(|(component, holding)| (*component, holding.state_bytes))
    }

    const fn note_peak(&mut self) {
        if self.used_bytes() > self.peak_bytes {
            self.peak_bytes = self.used_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_state_is_named_when_all_of_them_are_too_much() {
        let mut ledger = Ledger::new(1000);
        ledger.set_state(ComponentId(1), 200);
        ledger.set_state(ComponentId(2), 300);
        ledger.change_retained(0, 900);
        assert_eq!(ledger.overdrawn(), None, "retention is bounded elsewhere");
        assert!(ledger.is_short());
        ledger.set_state(ComponentId(1), 201);
        assert_eq!(ledger.overdrawn(), Some((ComponentId(2), 300)));
        ledger.set_state(ComponentId(2), 0);
        assert_eq!((ledger.used_bytes(), ledger.peak_bytes()), (1101, 1401));
    }
}
