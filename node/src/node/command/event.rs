//! What is answered about decisions: each with the numbers that it was taken by.

use serde::{Deserialize, Serialize};

use super::Moved;

/// Decisions of one host, or of all that have to do with an application, the oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct EventList {
    /// The decisions.
    pub events: Vec<EventRow>,
    /// How many older ones were dropped: by hosts that keep no more, and here where there are too many to tell.
    pub dropped: u64,
    /// Hosts that were asked and have not answered.
    pub silent: Vec<String>,
}

/// A decision, and who took it when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct EventRow {
    /// How long ago, as its host says, for clocks differ. Unit: seconds.
    pub age_s: f64,
    /// The host's name.
    pub host: String,
    /// The host's id, in full.
    pub node: String,
    /// Of which application.
    pub application: String,
    /// What, with its numbers.
    #[serde(flatten)]
    pub decision: Decision,
}

/// A host that could run an operator, and what would be then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct RankedHost {
    /// Its name.
    pub host: String,
    /// Its id, in full.
    pub node: String,
    /// The load that it told, as a fraction of its processors.
    pub load: f64,
    /// The same with the operator.
    pub load_after: f64,
    /// The slack that the operator would have; nothing where no target lies behind. Unit: milliseconds.
    pub slack_ms: Option<f64>,
}

impl RankedHost {
    fn is_sound(&self) -> bool {
        let slack = self.slack_ms.is_none_or(f64::is_finite);
        self.load.is_finite() && self.load_after.is_finite() && slack
    }
}

/// The most hosts that are told of which are asked for one hot-spot. Source: three are asked.
const RANKED_MAX: usize = 3;

/// What a host decided, or had to take note of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Decision {
    /// It composed the application.
    Composed {
        /// How many operators it has.
        operators: u64,
        /// How many of them ran already.
        shared: u64,
        /// On how many hosts.
        hosts: u64,
        /// The delay that is expected. Unit: milliseconds.
        predicted_delay_ms: Option<f64>,
        /// The delay that was asked for. Unit: milliseconds.
        target_delay_ms: f64,
        /// How many probes it took.
        probes: u64,
    },
    /// It refused to compose it, or to move an operator of it.
    Refused {
        /// Which operator was to move; none where the whole was to be composed.
        operator: Option<String>,
        /// Why.
        reason: String,
    },
    /// An operator went to another host.
    Moved {
        /// Why it went.
        why: String,
        /// How much less than what its target allows results were expected to take, had it stayed: negative where it would have been missed.
        /// Unit: milliseconds.
        slack_ms: Option<f64>,
        /// What it took of the processors of the host that it left, as a fraction of them; nothing where that was not measured.
        load: Option<f64>,
        /// From where, where to, who was asked, and what it cost.
        moved: Box<Moved>,
    },
    /// It heard that the application has another graph.
    Rebound {
        /// Of which version the record is.
        version: u64,
        /// Who said so: the name of a host.
        by: String,
        /// The names of the hosts that it runs on from then on.
        hosts: Vec<String>,
    },
    /// It said that what hosts ran that are gone runs elsewhere from then on.
    Repaired {
        /// The names of those hosts.
        lost: String,
        /// What ran there.
        components: Vec<String>,
        /// The names of the hosts where each of these runs from then on.
        hosts: Vec<String>,
        /// How long after they were missed. Unit: milliseconds.
        after_ms: f64,
    },
    /// It made a component in the place of one that was lost, which goes on.
    Restored {
        /// Which component.
        component: String,
        /// How much state it goes on with. Unit: bytes.
        state_bytes: u64,
    },
    /// The state of an operator was lost with the process that ran it: it begins here with nothing, and what its results lack is told as missing.
    StateLost {
        /// Which operator.
        component: String,
    },
    /// A load or a delay was seen, or is expected, that is too much.
    HotSpot {
        /// At which operator, where it is one: it should go elsewhere.
        operator: Option<String>,
        /// What is wrong.
        reason: String,
        /// The load of the host, as a fraction of its processors.
        load: f64,
        /// The same without the operator; nothing where it stays.
        load_after: Option<f64>,
        /// The slack that is expected; nothing where no target lies behind. Unit: milliseconds.
        slack_ms: Option<f64>,
        /// For how long ahead; nothing where it stays. Unit: seconds.
        horizon_s: Option<f64>,
        /// Who is asked to take it, the best first.
        candidates: Vec<RankedHost>,
        /// Why it stays; nothing where somebody is asked.
        stays: Option<String>,
    },
    /// Something of it does not do what it should.
    Degraded {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// An edge to another host is broken.
    Disconnected {
        /// The name of that host.
        to: String,
    },
    /// It goes on.
    Returned {
        /// The name of the other host.
        to: String,
    },
    /// Results no longer wait for a source whose host is away, and which cannot be read again.
    Passed {
        /// Which source.
        source: String,
        /// The name of its host.
        of: String,
    },
    /// What the record binds to this host is not there.
    Missing,
    /// What ran here of it is gone: nobody reads it any more.
    Retired,
    /// It heard that somebody stopped it.
    Stopped {
        /// The name of the host that says so.
        by: String,
    },
    /// All its results have left.
    Finished {
        /// The name of the host that says so.
        by: String,
    },
    /// A component failed, and with it the application.
    Failed {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// No sink of it is left.
    Lost {
        /// The first of its sinks.
        component: String,
        /// How that is known.
        reason: String,
    },
}

impl Decision {
    /// Whether all numbers are such as a host can have.
    pub(in crate::node) fn is_sound(&self) -> bool {
        let all = |numbers: &[Option<f64>]| numbers.iter().flatten().all(|it| it.is_finite());
        match self {
            Self::Composed {
                predicted_delay_ms,
                target_delay_ms,
                ..
            } => all(&[*predicted_delay_ms, Some(*target_delay_ms)]),
            Self::Moved {
                slack_ms,
                load,
                moved,
                ..
            } => all(&[*slack_ms, *load]) && moved.is_sound(),
            Self::Repaired { after_ms, .. } => all(&[Some(*after_ms)]),
            Self::HotSpot {
                load,
                load_after,
                slack_ms,
                horizon_s,
                candidates,
                ..
            } => {
                all(&[Some(*load), *load_after, *slack_ms, *horizon_s])
                    && candidates.len() <= RANKED_MAX
                    && candidates.iter().all(RankedHost::is_sound)
            }
            Self::Refused { .. }
            | Self::Rebound { .. }
            | Self::Restored { .. }
            | Self::StateLost { .. }
            | Self::Degraded { .. }
            | Self::Disconnected { .. }
            | Self::Returned { .. }
            | Self::Passed { .. }
            | Self::Missing
            | Self::Retired
            | Self::Stopped { .. }
            | Self::Finished { .. }
            | Self::Failed { .. }
            | Self::Lost { .. } => true,
        }
    }
}
