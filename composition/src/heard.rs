//! What hosts have said lately that they have left: newer than their summaries, and what they have promised is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Instant, NodeId};

/// How long it counts what a host has said.
///
/// Unit: time. Source: guess. It only says in which order hosts are asked: too long, and a host whose applications have ended is asked after others.
const LIFE: Duration = Duration::from_secs(60);

/// The most hosts of which it is remembered; of more, the one that would be forgotten first is.
///
/// Unit: hosts of some 50 bytes. Source: guess; eight times those that a node knows.
const HOSTS_MAX: usize = 1024;

/// What hosts have said lately that they have left.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    /// Unit: cores; and until when it counts.
    cores: BTreeMap<NodeId, (f64, Instant)>,
}

impl Heard {
    /// A host has so many cores left.
    pub(crate) fn note(&mut self, now: Instant, node: NodeId, cores: f64) {
        self.cores.insert(node, (cores, now + LIFE));
        if self.cores.len() > HOSTS_MAX {
            let first = self.cores.iter().min_by_key(|(node, it)| (it.1, **node));
            if let Some(first) = first.map(|(node, _)| *node) {
                self.cores.remove(&first);
            }
        }
    }

    /// A host has promised so many cores more.
    pub(crate) fn take(&mut self, node: NodeId, cores: f64) {
        if let Some((left, _)) = self.cores.get_mut(&node) {
            *left = (*left - cores).max(0.0);
        }
    }

    /// How many cores a host has left, if it has said so lately.
    pub(crate) fn left(&self, node: NodeId) -> Option<f64> {
        self.cores.get(&node).map(|(left, _)| *left)
    }

    pub(crate) fn lapse(&mut self, now: Instant) {
        self.cores.retain(|_, (_, until)| *until > now);
    }

    /// Gives back the room of what is over.
    pub(crate) fn trim(&mut self) {
        if self.cores.is_empty() {
            self.cores = BTreeMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: usize) -> NodeId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        NodeId(bytes)
    }

    #[test]
    fn what_was_promised_is_counted_and_what_is_old_is_not() {
        let mut heard = Heard::default();
        heard.note(Instant::ZERO, node(1), 1.5);
        heard.take(node(1), 0.5);
        heard.take(node(2), 0.5);
        assert_eq!(heard.left(node(1)), Some(1.0));
        assert_eq!(heard.left(node(2)), None);
        heard.take(node(1), 2.0);
        assert_eq!(heard.left(node(1)), Some(0.0));
        heard.lapse(Instant::ZERO + LIFE);
        assert_eq!(heard.left(node(1)), None);
    }

    #[test]
    fn of_too_many_hosts_the_oldest_is_forgotten() {
        let mut heard = Heard::default();
        for number in 0..=HOSTS_MAX {
            let now = Instant::ZERO + Duration::from_millis(model::convert::size(number));
            heard.note(now, node(number), 1.0);
        }
        assert_eq!(heard.cores.len(), HOSTS_MAX);
        assert_eq!(heard.left(node(0)), None);
    }
}
