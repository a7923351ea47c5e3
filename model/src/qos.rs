//! What an application requires.

use std::time::Duration;

/// The longest latency target.
///
/// Unit: time. Source: guess; a result after an hour is none of a stream.
pub const LATENCY_MAX: Duration = Duration::from_secs(3600);

/// The most backups that a component may have.
///
/// Unit: hosts. Source: guess; with hosts that are down one hour in ten, seven are down together for ten seconds in thirty years.
pub const REPLICAS_MAX: u8 = 7;

/// For how long a source that cannot be read again is waited for at least.
///
/// Unit: time. Source: above what a repair takes.
pub const LOST_AFTER_MIN: Duration = Duration::from_secs(1);

/// A QoS requirement: the latency target of an application and what to do about it.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Qos {
    /// The latency target: from the arrival of the last contributing row at a source to the result at the
    /// destination. Range: above zero, at most [`LATENCY_MAX`].
    pub latency: Duration,
    /// The fraction of results that must meet the target. Range: above 0, at most 1.
    pub quantile: f64,
    /// Backups of each stateful component. Range: 0 to [`REPLICAS_MAX`].
    pub replicas: u8,
    /// What backups do.
    pub replication: Replication,
    /// What happens to a request whose target cannot be met.
    pub on_infeasible: OnInfeasible,
    /// For how long results wait for a source whose host is away, where it gives rows as things happen and cannot be read again. Range: from
    /// [`LOST_AFTER_MIN`].
    pub lost_after: Duration,
    /// How many rows of its sources go first, where that is limited: what is beyond it counts as late. Unit: rows per second. Range: above zero.
    pub rows_per_second: Option<f64>,
}

/// What backups do until they are needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Replication {
    /// They hold the state.
    Passive,
    /// They run from the same inputs, and nobody reads them.
    Active,
}

/// What happens to a request whose target cannot be met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum OnInfeasible {
    /// It is refused with the reason.
    Reject,
    /// It waits until it can be composed.
    Wait,
}

/// Why a QoS requirement is none.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum QosError {
    /// The latency target is zero, or longer than [`LATENCY_MAX`].
    #[error("the latency target must be above zero and at most an hour")]
    Latency,
    /// The quantile is no fraction that can be met.
    #[error("the quantile must be above 0 and at most 1, not {0}")]
    Quantile(f64),
    /// There are more backups than anybody needs.
    #[error("the replicas must be at most {REPLICAS_MAX}, not {0}")]
    Replicas(u8),
    /// A source is given up before its host could be back.
    #[error("a source must be waited for a second at least")]
    LostAfter,
    /// The share is no number of rows that can go first.
    #[error("the rows per second that go first must be above 0, not {0}")]
    Share(f64),
}

impl Qos {
    /// Whether the requirement makes sense.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn check(&self) -> Result<(), QosError> {
        if self.latency.is_zero() || self.latency > LATENCY_MAX {
            return Err(QosError::Latency);
        }
        if !(self.quantile > 0.0 && self.quantile <= 1.0) {
            return Err(QosError::Quantile(self.quantile));
        }
        if self.replicas > REPLICAS_MAX {
            return Err(QosError::Replicas(self.replicas));
        }
        if self.lost_after < LOST_AFTER_MIN {
            return Err(QosError::LostAfter);
        }
        if let Some(share) = self.rows_per_second
            && !(share > 0.0 && share.is_finite())
        {
            return Err(QosError::Share(share));
        }
        Ok(())
    }
}

impl Default for Qos {
    /// One second for 99 % of results, no backups. Source: guess; what a person watching a screen accepts. A source is waited for thirty, in which a
    /// host starts again.
    fn default() -> Self {
        Self {
            latency: Duration::from_secs(1),
            quantile: 0.99,
            replicas: 0,
            replication: Replication::Passive,
            on_infeasible: OnInfeasible::Reject,
            lost_after: Duration::from_secs(30),
            rows_per_second: None,
        }
    }
}
