//! Hosts that fail and come back: for which part of the time an application is up.

use model::Rng;

/// The mean time that a host is down. Unit: hours. Source: papers, section 9.5.
const DOWN_HOURS: f64 = 0.1;

/// For how long hosts are watched. Unit: hours. Source: guess; a host of availability 0.9 fails 2,000 times, so that its part of
/// the time is known to 0.003.
const WATCHED_HOURS: f64 = 2000.0;

/// The least availability for which times up are drawn: below it a host that is hardly ever up would fail without end. Source:
/// guess.
const AVAILABLE_MIN: f64 = 0.01;

/// For which part of a time all operators have a host that is up, each on these hosts, which are up with these probabilities:
/// times down have a mean of six minutes, times up what follows from that.
///
/// # Panics
/// When a host's availability is not between 0.01 and 1.
pub(super) fn measured(operators: &[Vec<usize>], available: &[f64], rng: &mut Rng) -> f64 {
    let mut hosts: Vec<usize> = operators.iter().flatten().copied().collect();
    hosts.sort_unstable();
    hosts.dedup();
    let mut up = vec![true; available.len()];
    // When each host changes next, first.
    let mut changes: Vec<(f64, usize)> = Vec::new();
    for host in hosts {
        let it = available[host];
        assert!(
            (AVAILABLE_MIN..=1.0).contains(&it),
            "{it} is no availability of a host that fails and comes back"
        );
        up[host] = rng.fraction() < it;
        changes.push((lasts(up[host], it, rng), host));
    }
    let (mut now, mut up_hours) = (0.0, 0.0);
    while now < WATCHED_HOURS {
        let is_up = |hosts: &Vec<usize>| hosts.iter().any(|host| up[*host]);
        let is_whole = operators.iter().all(is_up);
        let next = changes
            .iter_mut()
            .min_by(|(one, _), (two, _)| one.total_cmp(two));
        let at = next
            .as_ref()
            .map_or(WATCHED_HOURS, |(at, _)| at.min(WATCHED_HOURS));
        if is_whole {
            up_hours += at - now;
        }
        now = at;
        if let Some((at, host)) = next {
            up[*host] = !up[*host];
            *at += lasts(up[*host], available[*host], rng);
        }
    }
    up_hours / WATCHED_HOURS
}

/// How long a host stays as it is, drawn from an exponential distribution. Unit: hours.
fn lasts(is_up: bool, available: f64, rng: &mut Rng) -> f64 {
    let mean = match is_up {
        true => DOWN_HOURS * available / (1.0 - available),
        false => DOWN_HOURS,
    };
    // One less a fraction is above zero. A host that never fails has an infinite mean.
    -mean * (1.0 - rng.fraction()).ln().min(-f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_what_is_computed() {
        let available = [0.8, 0.9, 0.7];
        for (operators, expected) in [
            (vec![vec![0]], 0.8),
            (vec![vec![0, 1]], 0.98),
            (vec![vec![0], vec![1]], 0.72),
            (vec![vec![0, 2], vec![1, 2]], 0.7 + 0.3 * 0.72),
        ] {
            let found = measured(&operators, &available, &mut Rng::from_seed(3));
            assert!(
                (found - expected).abs() < 0.01,
                "{operators:?}: {found}, not {expected}"
            );
        }
        let never = measured(&[vec![0]], &[1.0], &mut Rng::from_seed(3));
        assert!((never - 1.0).abs() < 1e-12);
    }
}
