//! What a host has left, and how long an operator would take there.

use std::time::Duration;

use model::{ApplicationId, NodeView, Resources, convert};

use crate::effect::Check;
use crate::queue::Found;

/// The greatest load up to which a host takes more: above it, predictions of execution times are of no use.
///
/// Unit: fraction of a host's processor time. Range: below 1. Source: papers, section 4.1; the estimate grows by a factor of
/// 20 here, and without end behind it.
pub(crate) const LOAD_MAX: f64 = 0.95;

/// What a host could give a request.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Spare {
    /// What is left for it: capacity up to the greatest load, less background load and what others hold.
    pub(crate) available: Resources,
    /// All processor time that the host offers.
    pub(crate) cores: f64,
    /// What the request's operators find there, where hosts project by rank.
    pub(crate) found: Option<Found>,
}

impl Spare {
    /// What the node of a view has for a request, when others hold `held`.
    pub(crate) fn new(view: &NodeView, held: Resources) -> Self {
        let capacity = view.host.capacity;
        let bounded = Resources {
            cpu_cores: capacity.cpu_cores * LOAD_MAX,
            ..capacity
        };
        let background = Resources {
            cpu_cores: view.busy_cores.max(0.0),
            ..Resources::default()
        };
        Self {
            available: bounded - background - held,
            cores: capacity.cpu_cores,
            found: None,
        }
    }

    /// Whether all of it are amounts.
    pub(crate) fn is_valid(&self) -> bool {
        let amounts = [
            self.cores,
            self.available.cpu_cores,
            self.available.uplink_bytes_per_second,
        ];
        amounts.iter().all(|it| !it.is_nan() && *it >= 0.0)
            && self.found.is_none_or(|found| found.is_valid())
    }

    /// How long an operator that costs `cost_seconds` for a row takes here when the request has placed `placed_cores` on the
    /// host, itself included: by rank where hosts project so (see [`crate::queue`]), else
    ///
    /// ```text
    /// x = tau / (1 - rho)        rho = load of the host with all that is placed
    /// ```
    ///
    /// the mean time in an M/G/1 queue with processor sharing; the load is a fraction of all cores, so that for several
    /// cores it is on the safe side. Source: papers, section 4.1 (E1).
    pub(crate) fn execution(&self, cost_seconds: f64, placed_cores: f64) -> Duration {
        if let Some(found) = &self.found {
            let execution = found.execution_of_newcomer(cost_seconds, placed_cores, self.cores);
            return convert::seconds(execution);
        }
        let left = if self.cores > 0.0 {
            (self.available.cpu_cores - placed_cores).max(0.0) / self.cores
        } else {
            0.0
        };
        let load = (LOAD_MAX - left).clamp(0.0, LOAD_MAX);
        convert::seconds(cost_seconds / (1.0 - load))
    }
}

/// A check that failed, with the amounts in its unit: cores, bytes, bytes per second, or seconds.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Lack {
    pub(crate) check: Check,
    pub(crate) needed: f64,
    pub(crate) had: f64,
    /// Whose target it is, where it is that of an application that runs already.
    pub(crate) suffers: Option<Box<ApplicationId>>,
}

impl Lack {
    /// What of `asked` is not in `available`: the first check that fails, if one does.
    pub(crate) fn of(asked: &Resources, available: &Resources) -> Option<Self> {
        let lack = |check, needed, had| {
            Some(Self {
                check,
                needed,
                had,
                suffers: None,
            })
        };
        if asked.cpu_cores > available.cpu_cores {
            return lack(Check::Cpu, asked.cpu_cores, available.cpu_cores);
        }
        if asked.memory_bytes > available.memory_bytes {
            return lack(
                Check::Memory,
                convert::count_to_f64(asked.memory_bytes),
                convert::count_to_f64(available.memory_bytes),
            );
        }
        if asked.uplink_bytes_per_second > available.uplink_bytes_per_second {
            return lack(
                Check::Bandwidth,
                asked.uplink_bytes_per_second,
                available.uplink_bytes_per_second,
            );
        }
        None
    }

    /// That a delay is longer than the target.
    pub(crate) fn of_delay(delay: Duration, target: Duration) -> Self {
        Self {
            check: Check::Delay,
            needed: target.as_secs_f64(),
            had: delay.as_secs_f64(),
            suffers: None,
        }
    }

    /// That an application that runs already can spare only `slack`, and would be slowed by `increase`.
    pub(crate) fn of_impact(suffers: &ApplicationId, increase: Duration, slack: Duration) -> Self {
        Self {
            check: Check::Impact,
            needed: slack.as_secs_f64(),
            had: increase.as_secs_f64(),
            suffers: Some(Box::new(suffers.clone())),
        }
    }

    /// How far what was had is from what was needed, as a factor: the least is the best attempt.
    pub(crate) fn severity(&self) -> f64 {
        let (more, less) = match self.check {
            Check::Delay | Check::Impact => (self.had, self.needed),
            Check::Offer | Check::Cpu | Check::Memory | Check::Bandwidth => (self.needed, self.had),
        };
        more / less.max(f64::MIN_POSITIVE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spare(cores: f64, load: f64) -> Spare {
        let available = Resources {
            cpu_cores: cores * (LOAD_MAX - load),
            ..Resources::default()
        };
        Spare {
            available,
            cores,
            found: None,
        }
    }

    #[test]
    fn execution_times_grow_with_the_load_as_the_formula_says() {
        // tau 10 ms: the table of papers, section 4.1.
        for (load, expected_ms) in [
            (0.1, 11.1),
            (0.3, 14.3),
            (0.5, 20.0),
            (0.7, 33.3),
            (0.9, 100.0),
        ] {
            for cores in [1.0, 8.0] {
                let taken = spare(cores, load).execution(0.01, 0.0);
                let placed = spare(cores, 0.0).execution(0.01, load * cores);
                assert!(
                    (taken.as_secs_f64() * 1e3 - expected_ms).abs() < 0.1,
                    "{taken:?}"
                );
                assert!((taken.as_secs_f64() - placed.as_secs_f64()).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_host_without_processors_is_as_slow_as_a_full_one() {
        let none = spare(0.0, 0.0).execution(0.001, 0.0);
        assert!((none.as_secs_f64() - 0.02).abs() < 1e-6, "{none:?}");
    }

    #[test]
    fn the_first_check_that_fails_is_told_with_its_amounts() {
        let available = Resources {
            cpu_cores: 0.5,
            memory_bytes: 100,
            uplink_bytes_per_second: 10.0,
        };
        assert_eq!(Lack::of(&available, &available), None);
        let asked = Resources {
            cpu_cores: 0.75,
            memory_bytes: 200,
            ..available
        };
        let lack = Lack::of(&asked, &available).unwrap();
        assert_eq!((lack.check, lack.severity()), (Check::Cpu, 1.5));
        let asked = Resources {
            cpu_cores: 0.5,
            ..asked
        };
        assert_eq!(Lack::of(&asked, &available).unwrap().check, Check::Memory);
    }
}
