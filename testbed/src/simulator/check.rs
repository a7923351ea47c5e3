//! Checkers: what must hold of every host at every moment, whatever happens to it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{Instant, Resources, convert};
use node::node::Node;

/// Something that must never be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// When, in the time of the simulation.
    pub at: Instant,
    /// At which host; nowhere in particular where absent.
    pub host: Option<usize>,
    /// What, in a sentence.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.at.since(Instant::ZERO);
        match self.host {
            Some(host) => write!(f, "{at:?}, host {host}: {}", self.what),
            None => write!(f, "{at:?}: {}", self.what),
        }
    }
}

/// The most violations that are kept: the first ones say what went wrong. Source: guess.
const KEPT_MAX: usize = 100;

/// The most that may wait to happen at once. Source: guess; a million messages are some hundred at every host of the largest simulation.
const QUEUE_MAX: usize = 4_000_000;

/// How much more than its capacity a host may have promised by rounding. Unit: a fraction.
const ROUNDING: f64 = 1e-9;

/// How long a host that took a graph without being asked may run more than it has promised: it hears what it made when that is there.
///
/// Unit: time. Source: more than the simulator takes to make it.
const MADE_WITHIN: Duration = Duration::from_millis(10);

/// What was found so far.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) violations: Vec<Violation>,
    /// Since when hosts run more than they have promised.
    unpromised: BTreeMap<usize, Instant>,
    answered: BTreeMap<u64, u32>,
}

impl Checker {
    pub(super) fn report(&mut self, at: Instant, host: Option<usize>, what: String) {
        if self.violations.len() < KEPT_MAX {
            self.violations.push(Violation { at, host, what });
        }
    }

    /// A host never promises more than it has, where it has a choice, and all that runs is promised.
    pub(super) fn check_host(
        &mut self,
        now: Instant,
        host: usize,
        node: &Node,
        capacity: Option<&Resources>,
        running_cores: f64,
    ) {
        let (reserved, allocated) = node.promised();
        let taken = reserved + allocated;
        let most = |amount: f64| amount * (1.0 + ROUNDING);
        if let Some(capacity) = capacity
            && (taken.cpu_cores > most(capacity.cpu_cores)
                || taken.uplink_bytes_per_second > most(capacity.uplink_bytes_per_second)
                || taken.memory_bytes > capacity.memory_bytes)
        {
            let what = format!(
                "{:.6} cores, {:.0} bytes/s and {} bytes are promised, of {:.6}, {:.0} and {}",
                taken.cpu_cores,
                taken.uplink_bytes_per_second,
                taken.memory_bytes,
                capacity.cpu_cores,
                capacity.uplink_bytes_per_second,
                capacity.memory_bytes
            );
            self.report(now, Some(host), what);
        }
        if running_cores <= most(allocated.cpu_cores) + ROUNDING {
            self.unpromised.remove(&host);
        } else if now.since(*self.unpromised.entry(host).or_insert(now)) > MADE_WITHIN {
            let what = format!(
                "components for {running_cores:.6} cores run, and {:.6} are allocated",
                allocated.cpu_cores
            );
            self.report(now, Some(host), what);
        }
    }

    /// Each command is answered once.
    pub(super) fn check_answer(&mut self, now: Instant, host: usize, command: u64) {
        let times = self.answered.entry(command).or_default();
        *times += 1;
        if *times > 1 {
            let what = format!("command {command} is answered {times} times");
            self.report(now, Some(host), what);
        }
    }

    /// What waits to happen is bounded.
    pub(super) fn check_queue(&mut self, now: Instant, waiting: usize) {
        if waiting > QUEUE_MAX {
            let what = format!("{} events wait", convert::size(waiting));
            self.report(now, None, what);
        }
    }
}
