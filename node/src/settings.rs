//! What a node is told at its start: the node file, environment variables and flags.
//!
//! Every key can be given in the file, as `SYNERGY_SECTION_KEY` in the environment and as `--set section.key=value`.
//! A flag counts before the environment, that before the file, that before what holds where nothing is said. What is
//! not known is an error, wherever it stands, and all errors are told at once.
//!
//! What holds where nothing is said is safe: the node listens on loopback only. Listening where others can reach it
//! takes `insecure_listen`, until there are network keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use engine::scheduler::Policy;

use crate::application::Problems;

mod check;
mod keys;
mod layers;

use layers::Layers;

/// What a node is told at its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// What people call the node.
    pub name: String,
    /// Where it keeps who it is.
    pub data_dir: PathBuf,
    /// The memory that waiting rows and state may take. Unit: bytes.
    pub memory_bytes: u64,
    /// What of waiting rows may lie in the data folder, beyond the memory; nothing for none. Unit: bytes.
    pub disk_bytes: u64,
    /// In which order operators run.
    pub policy: Policy,
    /// Whether it moves components elsewhere by itself, where targets or hosts are in danger.
    pub migrates: bool,
    /// How long it may give away what it runs before it leaves. Range: up to [`DRAIN_MAX`]; nothing for at once.
    pub drain: Duration,
    /// How it is part of a network.
    pub network: Network,
    /// What it runs for others.
    pub offer: Offer,
    /// Its HTTP interface.
    pub api: Api,
}

/// How a node is part of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Which network. Nodes of different networks do not see each other.
    pub id: String,
    /// Where it listens: multiaddresses.
    pub listen: Vec<String>,
    /// Whom it joins: multiaddresses.
    pub join: Vec<String>,
    /// Whether it may listen where others can reach it although nothing keeps them out.
    pub insecure_listen: bool,
}

/// What a node runs for others.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// Which kinds of operators; nothing for all.
    pub operators: Option<Vec<String>>,
    /// What people say of where it is and what it is for.
    pub labels: BTreeMap<String, String>,
    /// Processor time. Unit: cores.
    pub cpu_cores: f64,
    /// Memory. Unit: bytes.
    pub memory_bytes: u64,
    /// Network. Unit: bytes per second.
    pub uplink_bytes_per_second: f64,
}

/// The HTTP interface of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Where it listens.
    pub listen: SocketAddr,
}

/// What was given, and where.
#[derive(Debug, Clone, Default)]
pub struct Given {
    /// The node file.
    pub file: Option<PathBuf>,
    /// Environment variables: all of them; those of other programs are left alone.
    pub environment: Vec<(String, String)>,
    /// What `--set` was given: `section.key=value`.
    pub set: Vec<String>,
    /// What flags of their own were given: the flag, its key, and the value.
    pub flags: Vec<(&'static str, &'static str, String)>,
}

/// What this machine is, which holds where nothing is said.
#[derive(Debug, Clone)]
pub struct Machine {
    /// What it is called.
    pub name: Option<String>,
    /// How many cores it has.
    pub cores: f64,
    /// Where programs keep their data.
    pub data_dir: Option<PathBuf>,
}

/// Where a node listens for others, where nothing is said.
pub const LISTEN_DEFAULT: &str = "/ip4/127.0.0.1/tcp/4170";

/// Where a node's HTTP interface listens, where nothing is said.
pub const API_DEFAULT: &str = "127.0.0.1:4171";

/// The network that a node is of, where nothing is said.
pub const NETWORK_DEFAULT: &str = "main";

/// The memory for data, where nothing is said. Unit: bytes. Source: that of `synergy run`.
pub const MEMORY_DEFAULT: u64 = 256 << 20;

/// What may lie on the disk of rows that wait, where nothing is said. Unit: bytes. Source: guess; minutes of a fast stream.
pub const DISK_DEFAULT: u64 = 1 << 30;

/// The uplink, where nothing is said. Unit: bytes per second. Source: guess; what a local network gives.
pub const UPLINK_DEFAULT: f64 = 125e6;

/// The longest that a node may give away what it runs before it leaves, and how long where nothing is said.
///
/// Unit: time. Relation: below the 14 s that a request over HTTP may take. Source: a transfer of 10 MiB over 10 Mbit/s takes 8 s.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

impl Settings {
    /// What all that was given comes to.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn load(given: &Given, machine: &Machine) -> Result<Self, Problems> {
        Layers::read(given).and_then(|layers| check::settings(layers, machine))
    }
}

#[cfg(test)]
mod tests;
