//! What is compared: an engine's configuration by name.

use engine::Config;
use engine::scheduler::{Policy, Rules};

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

/// What no order can undercut, beside them.
pub const LEAST: &str = "least";

/// The baseline.
pub const FIFO: &str = "fifo";

/// Policies by the names of figures.
const POLICIES: &[(&str, Policy)] = &[
    (FIFO, Policy::Fifo),
    ("bag", Policy::Lifo),
    ("slot", Policy::Slot),
    ("sjf", Policy::Sjf),
    ("edf", Policy::Edf),
    ("llf", Policy::Llf),
    ("tokens", Policy::Tokens),
    (OURS, Policy::Deadline),
];

/// Ours without one of its rules each.
const WITHOUT: &[(&str, Rules)] = &[
    (
        "without_frontier",
        Rules {
            frontier: false,
            ..Rules::ALL
        },
    ),
    (
        "without_closing",
        Rules {
            closing: false,
            ..Rules::ALL
        },
    ),
    (
        "without_foremost",
        Rules {
            foremost: false,
            ..Rules::ALL
        },
    ),
    (
        "without_late",
        Rules {
            late: false,
            ..Rules::ALL
        },
    ),
    (
        "without_ahead",
        Rules {
            ahead: false,
            ..Rules::ALL
        },
    ),
    (
        "without_ties",
        Rules {
            ties: false,
            ..Rules::ALL
        },
    ),
    (
        "without_units",
        Rules {
            units: false,
            ..Rules::ALL
        },
    ),
];

/// Ours, where workers go on with one operator for so many milliseconds before they compare.
const QUANTA: &[(&str, u64)] = &[("quantum_1", 1), ("quantum_10", 10), ("quantum_100", 100)];

/// All of them.
pub fn all() -> Vec<Series> {
    let base = Config {
        memory_bytes: MEMORY_BYTES,
        ..Config::default()
    };
    let policies = POLICIES.iter().map(|(name, policy)| {
        (
            *name,
            Config {
                policy: *policy,
                ..base
            },
        )
    });
    let without = WITHOUT.iter().map(|(name, rules)| {
        (
            *name,
            Config {
                rules: *rules,
                ..base
            },
        )
    });
    let quanta = QUANTA.iter().map(|(name, millis)| {
        let quantum = Some(std::time::Duration::from_millis(*millis));
        (*name, Config { quantum, ..base })
    });
    let all = policies.chain(without).chain(quanta);
    all.map(|(name, config)| Series { name, config }).collect()
}

/// The one of this name.
pub fn find(name: &str) -> Option<Series> {
    all().into_iter().find(|it| it.name == name)
}

impl Series {
    /// Whether virtual cores can run it: not where each operator has a thread, which the system's own scheduler gives to cores.
    pub fn is_modelled(&self) -> bool {
        self.config.policy != Policy::Slot
    }
}
