//! What a simulation begins with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use composition::queue::Discipline;

use crate::topology::Topology;

/// What a simulation begins with: together with the calls that follow, all that decides what happens in it.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Where all randomness comes from.
    pub seed: u64,
    /// How far the hosts are from each other.
    pub topology: Arc<dyn Topology>,
    /// The hosts, by their numbers in the topology.
    pub hosts: Vec<HostSetup>,
    /// How nodes compose.
    pub composition: composition::Config,
    /// How closely what runs is followed.
    pub fidelity: Fidelity,
    /// How hosts share their processors among components; in fluid fidelity alone.
    pub execution: Discipline,
    /// Whether nodes repair what hosts that are gone ran.
    pub repairs: bool,
}

/// How closely what runs is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Fidelity {
    /// Components are demands, and delays come from formulas.
    #[default]
    Fluid,
    /// Production's engines run the operators on rows.
    Discrete,
}

impl Fidelity {
    /// The word for it, to stand beside every result.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fluid => "fluid",
            Self::Discrete => "discrete",
        }
    }
}

/// A host.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSetup {
    /// Processors that it offers. Unit: cores.
    pub cores: f64,
    /// Of these, in use by others than Synergy. Unit: cores.
    pub background: f64,
    /// What it can send. Unit: bytes per second.
    pub uplink_bytes_per_second: f64,
    /// Memory that it offers. Unit: bytes.
    pub memory_bytes: u64,
    /// Which kinds of operators it runs; all where absent.
    pub operators: Option<Vec<String>>,
    /// What people say of it.
    pub labels: BTreeMap<String, String>,
    /// How far its clock is ahead of the simulation's at the start.
    pub clock_offset: Duration,
    /// How much faster its clock goes than the simulation's. Unit: fraction; below zero where it is slower. Range: above -1.
    pub clock_drift: f64,
}

impl Default for HostSetup {
    fn default() -> Self {
        Self {
            cores: 4.0,
            background: 0.0,
            uplink_bytes_per_second: 125e6,
            memory_bytes: 8 << 30,
            operators: None,
            labels: BTreeMap::new(),
            clock_offset: Duration::ZERO,
            clock_drift: 0.0,
        }
    }
}
