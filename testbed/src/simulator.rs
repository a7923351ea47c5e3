//! The simulator: production's nodes and engines over virtual time, from one seed.
//!
//! A [`World`] holds hosts, and for each of them production's [`node::node::Node`] with its composer. What happens is one
//! queue of events in order of time; the same [`Setup`] and the same calls give the same run, in every process. Start at [`World`].
//!
//! What is production's own: everything that decides (`Node`, composition, the overlay's store and its merging of answers,
//! Vivaldi, the queueing formulas; in discrete fidelity the engine). What is modelled: the network (`network`), how many hops
//! a look-up takes and who knows whom (`overlay`), and what components take (`fluid`).
//!
//! # Fidelity
//!
//! *Fluid*: a component is a demand. It takes `rate x cost` cores of its host, and what it adds to the delay is the
//! execution time that production's queueing formula gives for all that runs there; the delay of an application is
//! its longest path of links and execution times. *Discrete* (`discrete`): production's engines run real operators on rows, and processors and links
//! take virtual time; streams between hosts break and are opened again. Each result says which it is of. A part of the swarm's
//! small networks is discrete.

mod acquaintance;
mod check;
mod clock;
pub(crate) mod coordinates;
pub(crate) mod cores;
pub mod discrete;
mod exact;
mod fluid;
mod host;
pub mod network;
mod outcome;
pub mod overlay;
mod queue;
mod setup;
pub mod swarm;
mod world;

pub use check::Violation;
pub use outcome::{Admitted, Delays, Outcome, Ticket, Traffic};
pub use setup::{Fidelity, HostSetup, Setup};
pub use world::World;
