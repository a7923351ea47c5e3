//! What is answered about applications: in lists, each by itself, and why it is as it is.

use serde::{Deserialize, Serialize};

use super::Composition;

/// An application in a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct ApplicationRow {
    /// Its name.
    pub name: String,
    /// Whose it is: the id of the host that accepted it, in full.
    pub owner: String,
    /// The name of that host, where it is known.
    pub owner_name: String,
    /// As this node knows without asking: `running` where its record says so and all its hosts are heard of, `degraded` where
    /// one of them is gone or has lost what it ran, `unheard` where nothing is known of one of them; else `finished`, `failed`
    /// or `stopped`, as the record says. `app show` asks.
    pub status: String,
    /// What it was asked to meet.
    pub target_delay_ms: f64,
    /// How many operators it has.
    pub operators: u64,
    /// On how many hosts.
    pub hosts: u64,
}

/// An application as its hosts describe it now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct ApplicationStatus {
    /// Its name.
    pub name: String,
    /// Whose it is, in full.
    pub owner: String,
    /// `composing`, `running`, `degraded`, `waiting`, `failed`, `finished` or `stopped`.
    pub status: String,
    /// Why it is degraded, waiting or failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// What it was asked to meet.
    pub target_delay_ms: f64,
    /// How long ago the node that is asked heard that it had ended, where it keeps its record.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ended_s: Option<f64>,
    /// What was expected when it was composed, where that is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub predicted_delay_ms: Option<f64>,
    /// The delays of its results.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub delay_ms: Option<Quantiles>,
    /// The delays of those that left in the last minute or half of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recent_delay_ms: Option<Quantiles>,
    /// What its hosts counted; nothing where none of them says, as of what was stopped.
    #[serde(flatten, skip_serializing_if = "Option::is_none", default)]
    pub counted: Option<Counted>,
    /// Its parts.
    pub components: Vec<ComponentRow>,
}

/// What the hosts of an application counted since it started.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Default,
    Serialize,
    Deserialize,
    bincode::Encode,
    bincode::Decode,
)]
pub struct Counted {
    /// Rows that left its sinks.
    pub results: u64,
    /// Rows that left after the target.
    pub misses: u64,
    /// Rows that results say they lack.
    pub missing: u64,
    /// Rows that were late for every window.
    pub late: u64,
    /// Rows that could not be parsed or evaluated.
    pub bad: u64,
    /// Rows that were dropped on the way because their reader was too slow.
    pub drops: u64,
    /// Rows that left its sinks in the last minute or half of it.
    #[serde(default)]
    pub recent_results: u64,
    /// Of these, after the target.
    #[serde(default)]
    pub recent_misses: u64,
    /// Batches that came twice and were dropped.
    #[serde(default)]
    pub duplicates: u64,
    /// How often a batch was dropped because one before it had not come; it is asked for again.
    #[serde(default)]
    pub gaps: u64,
    /// Batches of other hosts that were refused: beyond what was granted, or of too many origins.
    #[serde(default)]
    pub refused: u64,
}

/// Times in milliseconds.
#[derive(
    Debug, Clone, Copy, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode,
)]
pub struct Quantiles {
    /// The median.
    pub p50: f64,
    /// 95 % were at most this.
    pub p95: f64,
    /// 99 % were at most this.
    pub p99: f64,
    /// 99.9 % were at most this.
    pub p999: f64,
}

/// A component as its host describes it.
#[derive(
    Debug, Clone, PartialEq, Default, Serialize, Deserialize, bincode::Encode, bincode::Decode,
)]
pub struct ComponentRow {
    /// Its name in the file.
    pub name: String,
    /// `source`, the operator's kind, or `sink`.
    pub kind: String,
    /// The host's name.
    pub host: String,
    /// The host's id, in full.
    pub node: String,
    /// `running`, `unreachable`, `failed`, `finished`, `gone`.
    pub status: String,
    /// Rows that came in since the start.
    pub rows_in: u64,
    /// Rows that left since the start.
    pub rows_out: u64,
    /// Rows that came in, per second since the start.
    pub rows_per_second: f64,
    /// Processor time for a row, in microseconds.
    pub cost_us_per_row: f64,
    /// The budget less the age that batches had lately: what may still be lost before a target is missed. Nothing
    /// is known before the first batch.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub slack_ms: Option<f64>,
    /// Rows that were late.
    pub late: u64,
    /// Rows that could not be parsed or evaluated.
    pub bad: u64,
    /// Rows that its readers did not take in time and were dropped.
    pub drops: u64,
    /// Batches that wait.
    pub waiting: u64,
    /// The memory of its state.
    pub state_bytes: u64,
    /// Batches that were worked off, several small ones as one.
    #[serde(default)]
    pub batches: u64,
    /// How long batches waited here before they were worked on, since the start; nothing where none was.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queueing_ms: Option<Quantiles>,
    /// The same of the last minute or half of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recent_queueing_ms: Option<Quantiles>,
    /// All of that waiting together.
    #[serde(default)]
    pub queueing_total_ms: f64,
    /// How much processor time batches took, since the start; only of operators.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub execution_ms: Option<Quantiles>,
    /// The same of the last minute or half of it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub recent_execution_ms: Option<Quantiles>,
    /// All of that time together.
    #[serde(default)]
    pub execution_total_ms: f64,
    /// Batches that came twice and were dropped.
    #[serde(default)]
    pub duplicates: u64,
    /// How often a batch was dropped because one before it had not come; it is asked for again.
    #[serde(default)]
    pub gaps: u64,
    /// Batches of other hosts that were refused: beyond what was granted, or of too many origins.
    #[serde(default)]
    pub refused: u64,
    /// Pulls of other hosts that asked for more urgency than was admitted; they were given that.
    #[serde(default)]
    pub clamped: u64,
}

/// Why the parts of an application are where they are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Why {
    /// How it was composed; its status is what the application is now.
    pub composition: Composition,
    /// Why it is degraded, waiting or failed.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// For each operator: why it is where it is.
    pub reasons: Vec<(String, String)>,
    /// Each component as its host describes it now.
    pub components: Vec<ComponentRow>,
}

/// What stopping an application came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
pub struct Stopped {
    /// The application's name.
    pub name: String,
    /// Hosts that confirmed.
    pub confirmed: Vec<String>,
    /// Hosts that have not; they are told again until they do.
    pub unconfirmed: Vec<String>,
}
