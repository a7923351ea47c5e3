//! What is answered about components that went to other hosts.

use serde::{Deserialize, Serialize};

/// The most hosts that are told of which were asked for room. Source: guess; who moves something asks three.
const CANDIDATES_MAX: usize = 64;

/// What moving a component came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Moved {
    /// The application that was named.
    pub application: String,
    /// The operator that went.
    pub operator: String,
    /// The name of the host that it left.
    pub from: String,
    /// That host's id, in full.
    pub from_node: String,
    /// The name of the host that runs it now.
    pub to: String,
    /// That host's id, in full.
    pub to_node: String,
    /// Hosts that were asked for room, in the order in which they were asked.
    pub candidates: Vec<Candidate>,
    /// How much state went along. Unit: bytes.
    pub state_bytes: u64,
    /// How much came over the network for it. Unit: bytes.
    pub sent_bytes: u64,
    /// How long that took, from when its first piece was there until its new host could go on from it. Unit: milliseconds.
    pub transfer_ms: f64,
    /// How long it took from when all were ready until all had gone over. Unit: milliseconds.
    pub switch_ms: f64,
    /// How long all of it took. Unit: milliseconds.
    pub total_ms: f64,
    /// Other applications that read it, and went with it.
    pub shared_with: Vec<String>,
}

/// A host that was asked for room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Candidate {
    /// Its name.
    pub host: String,
    /// Its id, in full.
    pub node: String,
    /// Why it was not taken; nothing of the one that was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
}

impl Moved {
    /// Whether all numbers are such as a host can have measured, and no list is longer than it can be.
    pub(in crate::node) fn is_sound(&self) -> bool {
        let times = [self.transfer_ms, self.switch_ms, self.total_ms];
        times.iter().all(|time| time.is_finite() && *time >= 0.0)
            && self.candidates.len() <= CANDIDATES_MAX
    }
}

/// What came of asking a host to give away what it runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Drained {
    /// The host's name.
    pub host: String,
    /// Its id, in full.
    pub node: String,
    /// What has gone.
    pub moved: Vec<Moved>,
    /// What stays.
    pub stayed: Vec<Stayed>,
    /// How many components are still to go: the host goes on by itself.
    pub left: u64,
}

/// A component that stays where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Stayed {
    /// Its application.
    pub application: String,
    /// Which operator.
    pub operator: String,
    /// Why.
    pub reason: String,
}
