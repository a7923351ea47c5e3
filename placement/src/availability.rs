//! How likely all operators of an application have a host that is up.
//!
//! Hosts fail independently, host `v` is up with probability `a_v`, and an operator is up where at least one of its
//! hosts is. For operators `i` on sets of hosts `V_i` the availability of the whole is
//!
//! ```text
//! A = P(for all i, some v in V_i is up)
//!   = prod over i (1 - prod over v in V_i (1 - a_v))      where the sets are disjoint      (R1)
//!   = 1 - prod over v in V (1 - a_v)                      where all are one set V          (R2)
//!   = (1 - (1 - a)^k)^ceil(n / g)                         of n operators, g on each set of k hosts of one a   (R3)
//! ```
//!
//! Source: papers, section 9.2. Whatever the sets are, one that contains another says nothing beyond it, and sets that
//! share no host, directly or through others, are independent. What is left after both is a product of parts, and each
//! part is computed by the first of these that can: the closed form, enumeration, sampling.

use std::collections::BTreeSet;

use model::{Rng, convert};

/// How often the states of hosts are split in two, at most, before enumeration gives up.
///
/// Unit: splits. Range: 2^16 - 1 is enough for any part of 16 hosts. Source: design, protocols 5. States that are
/// decided are not split, so that parts of more hosts are often enumerated too.
pub const SPLITS_MAX: u32 = 1 << 16;

/// How many states are drawn where enumeration gives up.
///
/// Unit: states. Source: papers, section 9.2. The standard error is at most 0.0016.
pub const SAMPLES: u32 = 100_000;

/// An availability, and how it was found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// The probability that all operators are up. Range: 0..=1.
    pub value: f64,
    /// The standard error of `value`; zero where nothing was sampled. Unit: as `value`.
    pub error: f64,
    /// The least exact way that a part of it was found in.
    pub method: Method,
}

/// How an availability was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Method {
    /// By the closed form: the sets of hosts are equal, contain each other, or are disjoint.
    Closed,
    /// By the states of the hosts.
    Enumerated,
    /// By states that were drawn.
    Sampled,
}

/// The availability of operators, each on a set of hosts, given by their indices in `available`: the probability of
/// each host to be up, 0..=1. The order of operators and of hosts within one does not matter.
///
/// No operators are always up; one without hosts never is. Randomness is drawn only where something is sampled.
///
/// # Panics
/// When there is no such host, or its availability is no probability.
pub fn availability(operators: &[Vec<usize>], available: &[f64], rng: &mut Rng) -> Estimate {
    let mut whole = Estimate {
        value: 1.0,
        error: 0.0,
        method: Method::Closed,
    };
    // Of a product of independent estimates the squares of relative errors add up.
    let mut squares = 0.0;
    for part in parts(essential(operators)) {
        let hosts = Hosts::of(&part, available);
        let estimate = hosts
            .closed()
            .or_else(|| hosts.enumerated())
            .unwrap_or_else(|| hosts.sampled(SAMPLES, rng));
        whole.value *= estimate.value;
        whole.method = whole.method.max(estimate.method);
        if estimate.error > 0.0 {
            squares += (estimate.error / estimate.value).powi(2);
        }
    }
    whole.error = whole.value * squares.sqrt();
    whole
}

/// The availability by the states of all hosts, whatever else could find it; nothing where there are too many of them.
///
/// # Panics
/// As [`availability`].
pub fn enumerated(operators: &[Vec<usize>], available: &[f64]) -> Option<Estimate> {
    Hosts::of(operators, available).enumerated()
}

/// The availability by states that are drawn, whatever else could find it.
///
/// # Panics
/// As [`availability`]; or when no states are to be drawn.
pub fn sampled(
    operators: &[Vec<usize>],
    available: &[f64],
    samples: u32,
    rng: &mut Rng,
) -> Estimate {
    assert!(samples > 0, "nothing is known of no states");
    Hosts::of(operators, available).sampled(samples, rng)
}

/// The probability that something is down, to first order: the sum, over the sets of hosts that matter, of the
/// probability that all of a set are down.
///
/// It is never below `1 - A` (Boole), and above it by products of two such probabilities only. It costs no more than
/// looking at the sets, which is why placement searches by it.
///
/// # Panics
/// When there is no such host.
pub fn unavailability_at_most(operators: &[Vec<usize>], available: &[f64]) -> f64 {
    let sets = essential(operators);
    let all_down = |set: &Vec<usize>| {
        set.iter()
            .map(|host| 1.0 - available[*host])
            .product::<f64>()
    };
    sets.iter().map(all_down).sum()
}

/// The sets that matter, each once and in order: one that contains another is up whenever that is.
fn essential(operators: &[Vec<usize>]) -> BTreeSet<Vec<usize>> {
    let sorted = |hosts: &Vec<usize>| {
        let once: BTreeSet<usize> = hosts.iter().copied().collect();
        once.into_iter().collect::<Vec<usize>>()
    };
    let sets: BTreeSet<Vec<usize>> = operators.iter().map(sorted).collect();
    let contains = |set: &[usize], other: &[usize]| {
        other.len() < set.len() && other.iter().all(|host| set.binary_search(host).is_ok())
    };
    let matters = |set: &&Vec<usize>| !sets.iter().any(|other| contains(set, other));
    sets.iter().filter(matters).cloned().collect()
}

/// Sets that share hosts, directly or through others, together.
fn parts(sets: BTreeSet<Vec<usize>>) -> Vec<Vec<Vec<usize>>> {
    let mut parts: Vec<Vec<Vec<usize>>> = Vec::new();
    for set in sets {
        let shares = |part: &Vec<Vec<usize>>| {
            let mut hosts = part.iter().flatten();
            hosts.any(|host| set.binary_search(host).is_ok())
        };
        let (joined, apart): (Vec<_>, Vec<_>) = parts.into_iter().partition(shares);
        let mut part: Vec<Vec<usize>> = joined.into_iter().flatten().collect();
        part.push(set.clone());
        parts = apart;
        parts.push(part);
    }
    parts
}

/// The hosts of one part, numbered from 0 in their order, and its sets by these numbers.
struct Hosts {
    available: Vec<f64>,
    sets: Vec<Vec<usize>>,
}

impl Hosts {
    fn of(part: &[Vec<usize>], available: &[f64]) -> Self {
        let hosts: BTreeSet<usize> = part.iter().flatten().copied().collect();
        let hosts: Vec<usize> = hosts.into_iter().collect();
        for host in &hosts {
            let it = available[*host];
            assert!((0.0..=1.0).contains(&it), "{it} is no probability");
        }
        let place = |host: &usize| hosts.partition_point(|it| it < host);
        Self {
            available: hosts.iter().map(|host| available[*host]).collect(),
            sets: part
                .iter()
                .map(|set| set.iter().map(place).collect())
                .collect(),
        }
    }

    /// By the closed form, where the part is one set.
    fn closed(&self) -> Option<Estimate> {
        (self.sets.len() == 1).then(|| Estimate {
            value: 1.0 - self.available.iter().map(|it| 1.0 - it).product::<f64>(),
            error: 0.0,
            method: Method::Closed,
        })
    }

    /// By the states of all hosts, unless there are too many.
    fn enumerated(&self) -> Option<Estimate> {
        if self.available.len() > HOSTS_MAX {
            return None;
        }
        let mask = |set: &Vec<usize>| set.iter().fold(0, |mask, host| mask | 1 << *host);
        let sets: Vec<u64> = self.sets.iter().map(mask).collect();
        let mut splits = SPLITS_MAX;
        Some(Estimate {
            value: self.split(&sets, &mut splits)?,
            error: 0.0,
            method: Method::Enumerated,
        })
    }

    /// The probability that each of these sets has a host that is up. Splits by the host that most of them have: where
    /// it is up they are, where it is down it is no longer in them.
    fn split(&self, sets: &[u64], splits: &mut u32) -> Option<f64> {
        if sets.is_empty() {
            return Some(1.0);
        }
        if sets.contains(&0) {
            return Some(0.0);
        }
        *splits = splits.checked_sub(1)?;
        let having = |host: &usize| sets.iter().filter(|set| *set >> host & 1 == 1).count();
        // The last of several greatest; which of them does not matter for what is found.
        let host = (0..self.available.len()).max_by_key(having)?;
        let bit = 1 << host;
        let others: Vec<u64> = sets.iter().copied().filter(|set| set & bit == 0).collect();
        let without: Vec<u64> = sets.iter().map(|set| set & !bit).collect();
        let up = self.split(&others, splits)?;
        let down = self.split(&without, splits)?;
        let available = self.available[host];
        Some(available * up + (1.0 - available) * down)
    }

    /// By states that are drawn. With the same randomness it never falls when a host's availability rises.
    fn sampled(&self, samples: u32, rng: &mut Rng) -> Estimate {
        let mut up = vec![false; self.available.len()];
        let mut count = 0;
        for _ in 0..samples {
            for (up, available) in up.iter_mut().zip(&self.available) {
                *up = rng.fraction() < *available;
            }
            let is_up = |set: &Vec<usize>| set.iter().any(|host| up[*host]);
            count += u64::from(self.sets.iter().all(is_up));
        }
        let samples = f64::from(samples);
        let value = convert::count_to_f64(count) / samples;
        Estimate {
            value,
            error: (value * (1.0 - value) / samples).sqrt(),
            method: Method::Sampled,
        }
    }
}

/// How many hosts a part may have that is enumerated: the bits of a set.
const HOSTS_MAX: usize = 64;

#[cfg(test)]
mod tests;
