//! The scheduler: which component runs next.

use std::collections::BTreeSet;

use model::{ComponentId, Instant, Slack};

/// What a component's place in the order follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// When the batch that is to run next arrived at its source.
    pub arrival: Instant,
    /// The greatest age at which it may start here.
    pub budget: Slack,
    /// How many batches had been offered to anybody before this one.
    pub sequence: u64,
    /// How many operators lie before this one on the longest way.
    pub depth: u32,
}

/// A place in the order: the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// What the policy orders by.
    pub urgency: i64,
    /// Where that is equal: what lies deeper goes first, so that one result leaves before the next begins.
    pub depth: std::cmp::Reverse<u32>,
}

/// How components are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// The earliest deadline first: see [`crate::budget::deadline`].
    #[default]
    Deadline,
    /// In the order in which batches were offered: the baseline.
    Fifo,
}

impl Policy {
    /// The place of a component for which this waits.
    pub fn rank(self, waiting: Waiting) -> Rank {
        let urgency = match self {
            Self::Deadline => crate::budget::deadline(waiting.arrival, waiting.budget),
            Self::Fifo => i64::try_from(waiting.sequence).unwrap_or(i64::MAX),
        };
        Rank {
            urgency,
            depth: std::cmp::Reverse(waiting.depth),
        }
    }
}

/// The components that could run now, in order.
#[derive(Debug, Default)]
pub struct Scheduler {
    order: BTreeSet<(Rank, ComponentId)>,
    ranks: std::collections::BTreeMap<ComponentId, Rank>,
}

impl Scheduler {
    /// Gives a component its place, or none where it cannot run now.
    pub fn set(&mut self, component: ComponentId, rank: Option<Rank>) {
        let known = self.ranks.get(&component).copied();
        if known == rank {
            return;
        }
        if let Some(known) = known {
            self.order.remove(&(known, component));
            self.ranks.remove(&component);
        }
        if let Some(rank) = rank {
            self.order.insert((rank, component));
            self.ranks.insert(component, rank);
        }
    }

    /// Takes out the component that goes first.
    pub fn pop(&mut self) -> Option<ComponentId> {
        let (_, component) = self.order.pop_first()?;
        self.ranks.remove(&component);
        Some(component)
    }

    /// How many could run now.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Whether none could.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting(arrival: u64, budget: i64, sequence: u64, depth: u32) -> Waiting {
        Waiting {
            arrival: Instant::from_nanos(arrival),
            budget: Slack::from_nanos(budget),
            sequence,
            depth,
        }
    }

    #[test]
    fn policies_by_table() {
        let tight_and_late = waiting(50, 10, 2, 0);
        let lax_and_early = waiting(0, 100, 1, 0);
        let cases = [
            (Policy::Deadline, tight_and_late, lax_and_early),
            (Policy::Fifo, lax_and_early, tight_and_late),
            (Policy::Deadline, waiting(50, -60, 9, 0), lax_and_early),
            (Policy::Deadline, waiting(0, 10, 2, 3), waiting(0, 10, 1, 2)),
        ];
        for (policy, first, second) in cases {
            assert!(
                policy.rank(first) < policy.rank(second),
                "{policy:?}: {first:?}"
            );
        }
    }

    #[test]
    fn a_new_place_takes_that_of_the_old() {
        let mut scheduler = Scheduler::default();
        let rank = |budget| Some(Policy::Deadline.rank(waiting(0, budget, 0, 0)));
        scheduler.set(ComponentId(1), rank(10));
        scheduler.set(ComponentId(2), rank(20));
        scheduler.set(ComponentId(1), rank(30));
        assert_eq!(scheduler.pop(), Some(ComponentId(2)));
        scheduler.set(ComponentId(1), None);
        assert_eq!(scheduler.pop(), None);
    }
}
