//! What a composer is told at its start.

use std::time::Duration;

use crate::policy::{Policy, Synergy};
use crate::request::PROBES_MAX;

/// What a composer is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// The way of composing.
    pub policy: &'static dyn Policy,
    /// The probing ratio alpha: which part of [`Config::fan_out_max`] candidates each hop probes.
    ///
    /// Unit: fraction, above 0, at most 1. Source: design, protocols 2.
    pub probing_ratio: f64,
    /// How many candidates of an operator a hop probes at most: k.
    ///
    /// Unit: hosts, 1 to 8. Source: design, protocols 2; five replicas of each component in Synergy, slide 17.
    pub fan_out_max: u8,
    /// How many probes a request may have under way.
    ///
    /// Unit: probes. Range: 1 to 2000; above the number of operators times candidates. Source: papers, section 3.5.
    pub probes_max: u16,
    /// How long a reservation is held before it lapses, and a confirmed graph that is not started.
    ///
    /// Unit: time. Range: above three times [`CONFIRM_ROUNDS`] times [`Config::confirm_interval`], once for each step of a commit, and above
    /// [`Config::collection_max`], so that nothing lapses while its composing node still works on it; long ones block other requests
    /// when a composing node dies. Source: papers, section 3.4.
    pub lease: Duration,
    /// The shortest and the longest time for which ends of probes are collected; in between, twice the target.
    ///
    /// Unit: time. Source: design, protocols 2.
    pub collection_min: Duration,
    /// See [`Config::collection_min`].
    pub collection_max: Duration,
    /// After what time a confirmation, a start or a release that was not answered is sent again.
    ///
    /// Unit: time. Range: a round trip and the time of deploying. Source: design.
    pub confirm_interval: Duration,
    /// How long a migration may take until all are ready: after that it is given up everywhere.
    ///
    /// Unit: time. Range: the transfer of the largest state over a slow link. Source: guess; 64 MiB at 10 Mbit/s.
    pub migration_max: Duration,
    /// How many requests are composed here at once; more are refused as [`crate::Reason::Busy`].
    ///
    /// Unit: requests. Each has a table of facts of at most 8 x 8 per edge of its plan. Source: guess.
    pub sessions_max: usize,
}

/// How often a confirmation, a start, and a release are sent before it is given up. Source: design.
pub(crate) const CONFIRM_ROUNDS: u8 = 3;

/// How many graphs are tried for a request with what it shares: each failure tells what hosts have measured, so that the next is chosen better.
///
/// Source: in the simulator (C6 at 1,000 requests) three leave 1.3 % refused, mostly by ways that coordinates took for shorter than they are.
pub(crate) const ATTEMPTS_EACH: u8 = 5;

/// How many are tried in all, where it shares less after that. Source: guess; twice, and once more.
pub(crate) const ATTEMPTS_MAX: u8 = 15;

impl Config {
    /// How many candidates each hop probes: `ceil(alpha k)`.
    pub(crate) fn fan_out(&self) -> u8 {
        let ratio = self.probing_ratio.clamp(0.0, 1.0);
        let count = (ratio * f64::from(self.fan_out_max)).ceil();
        let count = u8::try_from(model::convert::round(count)).unwrap_or(u8::MAX);
        count.clamp(1, 8)
    }
}

impl Default for Config {
    fn default() -> Self {
        let config = Self {
            policy: &Synergy,
            probing_ratio: 1.0,
            fan_out_max: 5,
            probes_max: PROBES_MAX,
            lease: Duration::from_secs(15),
            collection_min: Duration::from_secs(1),
            collection_max: Duration::from_secs(5),
            confirm_interval: Duration::from_millis(1500),
            migration_max: Duration::from_secs(60),
            sessions_max: 64,
        };
        assert!(config.confirm_interval * 3 * u32::from(CONFIRM_ROUNDS) < config.lease);
        assert!(config.collection_max < config.lease);
        config
    }
}
