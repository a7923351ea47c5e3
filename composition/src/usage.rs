//! What a component takes, as it was measured.

use std::time::Duration;

/// What an operator that runs here was measured to take since the last time.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Usage {
    /// Its place in the plan.
    pub operator: u16,
    /// Processor time a second. Unit: cores.
    pub cores: f64,
    /// The mean processor time of what is worked off at once, without a wait.
    pub execution: Duration,
}
