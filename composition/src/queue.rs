//! How long components take on a host beside the others that run there: pure functions.
//!
//! The scheduler takes the batch that can wait least. What a component can wait is its *laxity*: the target of its
//! application less the longest way through it, links and bare costs alone. Components of a smaller laxity are stricter, and go
//! first; a batch in execution is not interrupted. With all loads as fractions of the host's cores,
//!
//! ```text
//! x = tau / (1 - b) + w / ((1 - S)(1 - S'))
//! ```
//!
//! where b is the load of others than Synergy, which the system shares with us; S the load of b and of all components that are at least as strict, S'
//! of those that are strictly stricter; and w the mean remaining time of the batches in execution, `sum of cores x tau / cores^2`:
//! exact for one core and exponential times, an upper bound for several cores (Erlang's C is at most the load) and for less variable times.
//! Source: non-preemptive priorities, Cobham 1954; design, protocols 2.
//!
//! As published, without ranks (papers, section 4.1): `x = tau / (1 - p)`.
//!
//! **Bursts** (papers, section 4.2, B1): of the components that a load counts, one may be in its burst: the one that adds most.

use std::time::Duration;

use model::convert;

use crate::request::TARGET_MAX;

/// The greatest load with which anything is computed: above, estimates are of no use. See `measure::LOAD_MAX`.
const LOAD_MAX: f64 = crate::measure::LOAD_MAX;

/// How a host's processors are shared among its components.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discipline {
    /// By rank: the strictest goes first.
    Rank,
    /// All at once, each as fast as the others.
    ProcessorSharing,
}

/// A component that runs, or would.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Job {
    /// How long its batches can wait.
    pub laxity: Duration,
    /// The processor time that it takes a second. Unit: cores.
    pub cores: f64,
    /// How much more it takes in a burst. Unit: cores.
    pub burst_cores: f64,
    /// The processor time of what is worked off at once, without a wait.
    pub execution: Duration,
}

/// A host and all that runs there.
#[derive(Debug, Clone)]
pub struct Queue {
    cores: f64,
    /// The load of others than Synergy.
    background: f64,
    discipline: Discipline,
    /// By laxity, the strictest first.
    jobs: Vec<Job>,
    /// After each job: the load of it and all before it.
    loads: Vec<f64>,
    /// The mean remaining time of what is in execution, in seconds.
    work: f64,
}

/// What a newcomer of some laxity would find.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Found {
    /// The load of others than Synergy.
    pub(crate) background: f64,
    /// The load of those that are strictly stricter.
    pub(crate) stricter: f64,
    /// The load of those that are at least as strict.
    pub(crate) as_strict: f64,
    /// The mean remaining time of what is in execution, in seconds.
    pub(crate) work: f64,
}

impl Job {
    /// Whether all of it are amounts.
    pub(crate) fn is_valid(&self) -> bool {
        let is_amount = |amount: f64| amount.is_finite() && amount >= 0.0;
        is_amount(self.cores) && is_amount(self.burst_cores) && self.execution <= TARGET_MAX
    }
}

impl Queue {
    /// A host of `cores`, of which `background_cores` work for others than Synergy.
    pub fn new(
        discipline: Discipline,
        cores: f64,
        background_cores: f64,
        mut jobs: Vec<Job>,
    ) -> Self {
        jobs.sort_by_key(|job| job.laxity);
        let fraction = |amount: f64| {
            if cores > 0.0 {
                amount / cores
            } else {
                LOAD_MAX
            }
        };
        let background = fraction(background_cores);
        let mut queue = Self {
            cores,
            background,
            discipline,
            loads: Vec::with_capacity(jobs.len()),
            work: 0.0,
            jobs,
        };
        let (mut sum, mut burst) = (0.0, 0.0_f64);
        let (mut work, mut burst_work) = (0.0, 0.0_f64);
        for job in &queue.jobs {
            sum += job.cores;
            burst = burst.max(job.burst_cores);
            queue.loads.push(background + fraction(sum + burst));
            work += job.cores * job.execution.as_secs_f64();
            burst_work = burst_work.max(job.burst_cores * job.execution.as_secs_f64());
        }
        if cores > 0.0 {
            queue.work = (work + burst_work) / (cores * cores);
        }
        queue
    }

    /// The load of all. Unit: fraction of the host's processors; above 1 where work piles up.
    pub fn load(&self) -> f64 {
        self.loads.last().copied().unwrap_or(self.background)
    }

    /// How long a component takes here, which is one of those that the queue was made of.
    pub fn execution(&self, job: &Job) -> Duration {
        let tau = job.execution.as_secs_f64();
        match self.discipline {
            Discipline::ProcessorSharing => convert::seconds(tau / left(self.load())),
            Discipline::Rank => convert::seconds(self.found(job.laxity).execution(tau)),
        }
    }

    /// What somebody of this laxity finds.
    pub(crate) fn found(&self, laxity: Duration) -> Found {
        let before = |count: usize| match count.checked_sub(1) {
            Some(last) => self.loads[last],
            None => self.background,
        };
        Found {
            background: self.background,
            stricter: before(self.jobs.partition_point(|it| it.laxity < laxity)),
            as_strict: before(self.jobs.partition_point(|it| it.laxity <= laxity)),
            work: self.work,
        }
    }

    /// The same host with some components more.
    #[must_use]
    pub fn with(&self, newcomers: &[Job]) -> Self {
        let jobs = self.jobs.iter().chain(newcomers).copied().collect();
        Self::new(
            self.discipline,
            self.cores,
            self.background * self.cores,
            jobs,
        )
    }
}

impl Found {
    /// How long something that takes `tau` seconds without a wait takes, which is counted in what was found.
    pub(crate) fn execution(&self, tau: f64) -> f64 {
        tau / left(self.background) + self.work / (left(self.as_strict) * left(self.stricter))
    }

    /// The same, of a newcomer that takes `cores` of `total`, which were not counted yet.
    pub(crate) fn execution_of_newcomer(&self, tau: f64, cores: f64, total: f64) -> f64 {
        let more = if total > 0.0 { cores / total } else { LOAD_MAX };
        let beside = Self {
            as_strict: self.as_strict + more,
            work: self.work + more * tau / total.max(f64::MIN_POSITIVE),
            ..*self
        };
        beside.execution(tau)
    }

    /// Whether all of it are amounts.
    pub(crate) fn is_valid(&self) -> bool {
        let amounts = [self.background, self.stricter, self.as_strict, self.work];
        amounts.iter().all(|it| it.is_finite() && *it >= 0.0)
    }
}

/// What a load leaves.
fn left(load: f64) -> f64 {
    1.0 - load.clamp(0.0, LOAD_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(laxity_ms: u64, cores: f64, tau_ms: u64) -> Job {
        Job {
            laxity: Duration::from_millis(laxity_ms),
            cores,
            burst_cores: 0.0,
            execution: Duration::from_millis(tau_ms),
        }
    }

    fn close(measured: Duration, expected_ms: f64) {
        let measured = measured.as_secs_f64() * 1e3;
        assert!((measured - expected_ms).abs() < 0.01, "{measured} ms");
    }

    #[test]
    fn one_rank_and_one_core_is_the_queue_of_the_paper() {
        for discipline in [Discipline::Rank, Discipline::ProcessorSharing] {
            for (load, expected_ms) in [(0.1, 11.111), (0.5, 20.0), (0.7, 33.333), (0.9, 100.0)] {
                let job = job(100, load, 10);
                let queue = Queue::new(discipline, 1.0, 0.0, vec![job]);
                close(queue.execution(&job), expected_ms);
            }
        }
    }

    #[test]
    fn the_lax_feel_a_strict_newcomer_in_full_and_the_strict_a_lax_one_hardly() {
        let (strict, lax) = (job(50, 0.3, 10), job(500, 0.3, 10));
        let alone = |it: Job| Queue::new(Discipline::Rank, 1.0, 0.0, vec![it]).execution(&it);
        let both = Queue::new(Discipline::Rank, 1.0, 0.0, vec![lax, strict]);
        // w = 6 ms; strict: S' = 0, S = 0.3; lax: S' = 0.3, S = 0.6.
        close(both.execution(&strict), 10.0 + 6.0 / 0.7);
        close(both.execution(&lax), 10.0 + 6.0 / (0.4 * 0.7));
        let more = |it: Job| both.execution(&it) - alone(it);
        assert!(more(lax) > 3 * more(strict));
    }

    #[test]
    fn a_newcomer_that_is_counted_takes_as_long_as_was_foretold() {
        for cores in [1.0, 2.0, 8.0] {
            let running = Queue::new(
                Discipline::Rank,
                cores,
                0.1,
                vec![job(10, 0.2, 4), job(90, 0.3, 20)],
            );
            let newcomer = job(40, 0.15, 7);
            let foretold = running.found(newcomer.laxity).execution_of_newcomer(
                newcomer.execution.as_secs_f64(),
                newcomer.cores,
                cores,
            );
            let counted = running.with(&[newcomer]).execution(&newcomer);
            assert!((counted.as_secs_f64() - foretold).abs() < 1e-9);
        }
    }

    #[test]
    fn only_the_greatest_burst_counts() {
        let bursty = |cores, burst_cores| Job {
            burst_cores,
            ..job(100, cores, 10)
        };
        let jobs = vec![bursty(0.1, 0.2), bursty(0.1, 0.3), bursty(0.1, 0.0)];
        let queue = Queue::new(Discipline::Rank, 1.0, 0.0, jobs);
        assert!((queue.load() - 0.6).abs() < 1e-12);
    }

    #[test]
    fn a_host_without_processors_and_one_that_is_full_are_slow_and_not_endless() {
        let it = job(10, 2.0, 1);
        for cores in [0.0, 1.0] {
            let queue = Queue::new(Discipline::Rank, cores, 0.5, vec![it]);
            assert!(queue.execution(&it) < Duration::from_secs(60));
        }
    }
}
