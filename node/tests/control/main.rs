//! Several nodes in memory: any of them lists, describes and stops what another composed, whoever dies.

mod applications;
mod events;
mod failures;
mod moves;
mod repair;
mod streams;
mod support;
mod watch;
