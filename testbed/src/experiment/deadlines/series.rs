//! What is compared: an engine's configuration by name.

use engine::Config;
use engine::scheduler::Policy;

use super::plan::MEMORY_BYTES;

/// A way to order work.
#[derive(Debug, Clone, Copy)]
pub struct Series {
    /// Its name in figures.
    pub name: &'static str,
    /// How the engine is told.
    pub config: Config,
}

/// The one that others are compared with.
pub const OURS: &str = "ours";

/// The baseline.
pub const FIFO: &str = "fifo";

/// All of them.
pub fn all() -> Vec<Series> {
    let series = |name, policy| Series {
        name,
        config: Config {
            memory_bytes: MEMORY_BYTES,
            policy,
        },
    };
    vec![series(FIFO, Policy::Fifo), series(OURS, Policy::Deadline)]
}

/// The one of this name.
pub fn find(name: &str) -> Option<Series> {
    all().into_iter().find(|it| it.name == name)
}
