//! Where hosts are in a network: how long something small takes from one to another.

use std::fmt::Debug;
use std::time::Duration;

use model::{Rng, convert};

pub mod alt;
pub mod graph;
pub mod hosts;
pub mod matrix;
pub mod placed;
pub mod transit_stub;

pub use hosts::Hosts;
pub use placed::Placed;
pub use transit_stub::Shape;

/// The delays between hosts, which are numbered from 0.
pub trait Topology: Debug + Send + Sync {
    /// How many hosts there are.
    fn host_count(&self) -> usize;

    /// How long something small takes from one host to another, one way; nothing to itself.
    ///
    /// # Panics
    /// When there is no such host.
    fn delay(&self, from: usize, to: usize) -> Duration;
}

/// `count` of these in an order that is drawn; all of them where there are fewer.
pub(crate) fn choose<T>(mut from: Vec<T>, count: usize, rng: &mut Rng) -> Vec<T> {
    let count = count.min(from.len());
    for index in 0..count {
        let rest = convert::size(from.len() - index);
        from.swap(index, index + convert::index(rng.below(rest)));
    }
    from.truncate(count);
    from
}
