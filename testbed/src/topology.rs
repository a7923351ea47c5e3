//! Where hosts are in a network: how long something small takes from one to another.

use std::fmt::Debug;
use std::time::Duration;

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
