//! What a query takes.

use std::time::Duration;

use model::convert;

/// How many nodes a bucket of a routing table has. Source: the routing library's default, Kademlia's k.
const BUCKET: usize = 20;

/// How many nodes a walk asks side by side. Source: the routing library's default, Kademlia's alpha.
const PARALLEL: u64 = 3;

/// What a node answers on a walk: twenty nodes with an address. Unit: bytes. Source: 20 x 80.
const WALK_ANSWER_BYTES: u64 = 1600;

/// What a question takes. Unit: bytes. Source: a key, numbers, and what frames it.
const QUESTION_BYTES: u64 = 64;

/// What a query, or several, took.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Cost {
    /// Until the answer.
    pub time: Duration,
    /// Hops of walks, one after the other.
    pub hops: u64,
    /// Messages, questions and answers.
    pub messages: u64,
    /// Their size. Unit: bytes.
    pub bytes: u64,
}

impl Cost {
    /// A walk of these hops, one after the other.
    pub(super) fn walk(&mut self, hops: Vec<Duration>) {
        let count = convert::size(hops.len());
        self.hops += count;
        self.messages += 2 * PARALLEL * count;
        self.bytes += PARALLEL * count * (QUESTION_BYTES + WALK_ANSWER_BYTES);
        self.time += hops.into_iter().sum::<Duration>();
    }

    /// A question of these bytes and its answer, where there is one; nothing is sent where a node asks itself.
    pub(super) fn ask(&mut self, is_sent: bool, asked: u64, answered: Option<u64>) {
        if is_sent {
            self.messages += 1 + u64::from(answered.is_some());
            self.bytes += asked + answered.unwrap_or(0);
        }
    }

    /// What took place beside it; of the times, that of both is the caller's to say.
    pub(super) fn add(&mut self, other: Self) {
        self.hops += other.hops;
        self.messages += other.messages;
        self.bytes += other.bytes;
    }
}

/// How many hops a walk takes among so many nodes.
///
/// A node knows all of the last [`BUCKET`] around it; each hop before asks for the bucket of the key, where the best of
/// [`BUCKET`] agrees with it in `log2(BUCKET)` bits more. Source: Maymounkov and Mazieres, Kademlia (2002).
pub(super) fn hops(node_count: usize) -> u64 {
    let bits = |count: usize| convert::count_to_f64(convert::size(count)).log2();
    if node_count <= BUCKET {
        return 0;
    }
    let apart = bits(node_count) - bits(BUCKET);
    let hops = (apart / bits(BUCKET)).ceil();
    u64::try_from(convert::round(hops)).unwrap_or(0).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hops_grow_with_the_logarithm_of_the_nodes() {
        let counts = [1, 20, 21, 400, 500, 8000, 10_000];
        assert_eq!(counts.map(hops), [0, 0, 1, 1, 2, 2, 3]);
    }
}
