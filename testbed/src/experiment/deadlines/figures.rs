//! Figures of a run: delays of all windows that should have closed, and what workers took.

use std::collections::BTreeMap;
use std::time::Duration;

use model::convert;

use super::reference::{Reference, applications};
use super::run::Run;
use super::scenario::{Group, Overheads, Role, Scenario, millis};

/// The delay of every window that was completed while it counted, in seconds; of one that has not left it is infinite.
///
/// The delay is from the arrival of the last batch without which the window cannot close, by the reference and so the same for every
/// policy, to its receipt at the sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Delays {
    windows: Vec<Delay>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Delay {
    role: Role,
    completed: Duration,
    target: Duration,
    seconds: f64,
}

impl Delays {
    /// The delays of a run.
    pub fn of(scenario: &Scenario, reference: &Reference, run: &Run) -> Self {
        let groups = applications(scenario);
        let left: BTreeMap<_, Duration> = run.left.iter().map(|it| (it.window, it.at)).collect();
        let from = millis(scenario.warm_up_ms);
        let until = millis(scenario.warm_up_ms + scenario.measured_ms);
        let delay = |(window, completed): (&(usize, i64), Duration)| {
            let group = groups[window.0];
            let at = left.get(window);
            Delay {
                role: group.role,
                completed,
                target: millis(group.target_ms),
                seconds: at.map_or(f64::INFINITY, |at| {
                    at.saturating_sub(completed).as_secs_f64()
                }),
            }
        };
        let windows = reference.windows.iter();
        let windows = windows.filter_map(|(window, it)| Some((window, it.completed?)));
        let counted = windows.filter(|(_, completed)| (from..until).contains(completed));
        Self {
            windows: counted.map(delay).collect(),
        }
    }

    /// Those of a role, in seconds.
    pub fn of_role(&self, role: Role) -> Vec<f64> {
        let own = self.windows.iter().filter(|it| it.role == role);
        own.map(|it| it.seconds).collect()
    }

    /// Which part of a role's windows left within their targets; nothing where there are none.
    fn on_time(&self, role: Role) -> Option<f64> {
        let own = self.windows.iter().filter(|it| it.role == role);
        let is_on_time = |it: &&Delay| it.seconds <= it.target.as_secs_f64();
        fraction(own.clone().filter(is_on_time).count(), own.count())
    }

    /// From when on all windows of a role are on time: since `from`, until the first of them is completed. Nothing where the last is
    /// late.
    fn on_time_again(&self, role: Role, from: Duration) -> Option<Duration> {
        let mut own: Vec<&Delay> = self.windows.iter().filter(|it| it.role == role).collect();
        own.sort_by_key(|it| it.completed);
        let is_late = |it: &&&Delay| it.seconds > it.target.as_secs_f64();
        let last_late = own.iter().rposition(|it| is_late(&it));
        let first = own.get(last_late.map_or(0, |it| it + 1))?;
        Some(first.completed.saturating_sub(from))
    }
}

/// The p-quantile: the least that so many of the numbers do not exceed. Nothing where there are none.
pub fn quantile(numbers: &[f64], p: f64) -> Option<f64> {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (convert::count_to_f64(convert::size(sorted.len())) * p).ceil();
    let rank = usize::try_from(convert::round(rank)).unwrap_or(0);
    sorted.get(rank.saturating_sub(1)).copied()
}

fn fraction(part: usize, whole: usize) -> Option<f64> {
    let float = |count: usize| convert::count_to_f64(convert::size(count));
    (whole > 0).then(|| float(part) / float(whole))
}

/// The names of a role's figures.
struct Names {
    p50: &'static str,
    p95: &'static str,
    p99: &'static str,
    deviation: &'static str,
    on_time: &'static str,
    unfinished: &'static str,
    windows: &'static str,
}

const fn names(role: Role) -> Names {
    match role {
        Role::Tight => Names {
            p50: "tight_p50_ms",
            p95: "tight_p95_ms",
            p99: "tight_p99_ms",
            deviation: "tight_deviation_ms",
            on_time: "tight_on_time_fraction",
            unfinished: "tight_unfinished_fraction",
            windows: "tight_windows",
        },
        Role::Bulk => Names {
            p50: "bulk_p50_ms",
            p95: "bulk_p95_ms",
            p99: "bulk_p99_ms",
            deviation: "bulk_deviation_ms",
            on_time: "bulk_on_time_fraction",
            unfinished: "bulk_unfinished_fraction",
            windows: "bulk_windows",
        },
    }
}

/// The figures of a run, by name. A quantile among unfinished windows is told as the whole run: it is at least that.
pub fn figures(
    scenario: &Scenario,
    reference: &Reference,
    run: &Run,
    overheads: Overheads,
) -> BTreeMap<&'static str, f64> {
    let span = scenario.end().as_secs_f64();
    let mut figures = delays(scenario, reference, run);
    figures.extend(shares(scenario, run));
    let total = run.total();
    let rows = convert::count_to_f64(total.rows);
    figures.insert("rows_per_second", rows / span);
    if total.rows > 0 {
        figures.insert("cpu_ns_per_row", run.worker_cpu.as_secs_f64() * 1e9 / rows);
    }
    figures.insert("dispatch_us", run.dispatch().as_secs_f64() * 1e6);
    let given = overheads.capacity * span;
    figures.insert("measured_load", run.worker_cpu.as_secs_f64() / given);
    figures.insert(
        "generator_cpu_fraction",
        run.generator_cpu.as_secs_f64() / span,
    );
    figures.insert("generator_late_ms", run.generator_late.as_secs_f64() * 1e3);
    figures
}

/// The figures of a run's delays, by name.
pub fn delays(
    scenario: &Scenario,
    reference: &Reference,
    run: &Run,
) -> BTreeMap<&'static str, f64> {
    let delays = Delays::of(scenario, reference, run);
    let span = scenario.end().as_secs_f64();
    let mut figures = BTreeMap::new();
    for role in [Role::Tight, Role::Bulk] {
        let names = names(role);
        let own = delays.of_role(role);
        for (name, p) in [(names.p50, 0.5), (names.p95, 0.95), (names.p99, 0.99)] {
            figures.extend(quantile(&own, p).map(|it| (name, it.min(span) * 1e3)));
        }
        let finished: Vec<f64> = own.iter().copied().filter(|it| it.is_finite()).collect();
        let unfinished = fraction(own.len() - finished.len(), own.len());
        figures.extend(unfinished.map(|it| (names.unfinished, it)));
        figures.extend(delays.on_time(role).map(|it| (names.on_time, it)));
        figures.extend(deviation(&finished).map(|it| (names.deviation, it * 1e3)));
        if !own.is_empty() {
            let count = convert::count_to_f64(convert::size(own.len()));
            figures.insert(names.windows, count);
        }
    }
    if let Some((from, window_ms)) = scenario.disturbed() {
        let again = delays.on_time_again(Role::Tight, from);
        // Whoever never was on time again is told as if it were behind the end.
        let again = again.unwrap_or_else(|| scenario.end().saturating_sub(from));
        let windows = again.as_secs_f64() / (window_ms / 1e3);
        figures.insert("tight_windows_until_on_time", windows);
    }
    figures
}

/// What applications with shares had of what all did, by phase and in their order; and by how much of its share the one is off that is
/// furthest from it, in any phase. Also what was done while the first was alone, of what all did in the end. Nothing where there are no shares.
fn shares(scenario: &Scenario, run: &Run) -> Vec<(&'static str, f64)> {
    let groups = applications(scenario);
    let float = |rows: u64| convert::count_to_f64(rows);
    let mut figures = Vec::new();
    let mut error_max = f64::NAN;
    let mut rates = Vec::new();
    let phases = scenario.phases().into_iter().zip(run.phase_rows());
    for (((from, until), rows), names) in phases.zip(SHARES) {
        let begun = |group: &Group| millis(group.starts_ms) < until;
        let sharing: Vec<(f64, f64)> = groups
            .iter()
            .zip(&rows)
            .filter_map(|(group, rows)| Some((group.share.filter(|_| begun(group))?, float(*rows))))
            .collect();
        let shares: f64 = sharing.iter().map(|(share, _)| share).sum();
        let all: f64 = sharing.iter().map(|(_, rows)| rows).sum();
        for ((share, own), name) in sharing.iter().zip(names) {
            figures.push((name, own / all));
            error_max = error_max.max((own / all / (share / shares) - 1.0).abs());
        }
        rates.push(all / until.saturating_sub(from).as_secs_f64());
    }
    if let ([first, ..], [.., last]) = (rates.as_slice(), rates.as_slice()) {
        figures.push(("share_error_fraction", error_max));
        figures.push(("alone_over_all_rows_per_second", first / last));
    }
    figures.retain(|(_, it)| it.is_finite());
    figures
}

/// What the first applications with shares had in the first phases: of more there is one figure only, the greatest error.
const SHARES: [[&str; 3]; 3] = [
    [
        "phase_1_share_1_fraction",
        "phase_1_share_2_fraction",
        "phase_1_share_3_fraction",
    ],
    [
        "phase_2_share_1_fraction",
        "phase_2_share_2_fraction",
        "phase_2_share_3_fraction",
    ],
    [
        "phase_3_share_1_fraction",
        "phase_3_share_2_fraction",
        "phase_3_share_3_fraction",
    ],
];

/// The standard deviation; nothing of fewer than two numbers.
fn deviation(numbers: &[f64]) -> Option<f64> {
    let count = convert::count_to_f64(convert::size(numbers.len()));
    if numbers.len() < 2 {
        return None;
    }
    let mean = numbers.iter().sum::<f64>() / count;
    let squares: f64 = numbers.iter().map(|it| (it - mean).powi(2)).sum();
    Some((squares / (count - 1.0)).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(seconds: &[f64]) -> Delays {
        let delay = |(number, seconds): (u64, &f64)| Delay {
            role: Role::Tight,
            completed: Duration::from_secs(number),
            target: Duration::from_millis(300),
            seconds: *seconds,
        };
        Delays {
            windows: (0..).zip(seconds).map(delay).collect(),
        }
    }

    #[test]
    fn what_has_not_left_counts_as_the_longest_delay_and_as_late() {
        let all = delays(&[0.1, f64::INFINITY, 0.2, 0.4]);
        assert_eq!(quantile(&all.of_role(Role::Tight), 0.5), Some(0.2));
        assert_eq!(
            quantile(&all.of_role(Role::Tight), 0.99),
            Some(f64::INFINITY)
        );
        assert_eq!(all.on_time(Role::Tight), Some(0.5));
        assert_eq!(all.on_time(Role::Bulk), None);
    }

    #[test]
    fn who_is_on_time_again_stays_so() {
        let second = Duration::from_secs;
        let again = |all: &[f64]| delays(all).on_time_again(Role::Tight, second(1));
        assert_eq!(again(&[0.1, 0.9, 0.1, 0.9, 0.2]), Some(second(3)));
        assert_eq!(again(&[0.1, 0.1]), Some(Duration::ZERO));
        assert_eq!(again(&[0.1, 0.9]), None);
    }
}
