//! How what composition costs grows with the number of hosts: as many requests as hosts, and kinds and pipelines in proportion.

use std::time::Duration;

use model::{Clock, convert};
use node::clock::MachineClock;

use super::Options;
use super::build_up::Case;
use super::grid::Grid;
use crate::bench::machine::Sample;

/// The time from one request to the next with 500 hosts, and as much less with more: each host asks as often. Source: papers, section 10,
/// five a second.
const SPACING: Duration = Duration::from_millis(200);

/// Runs one size after the other, the smallest first: memory is the most that the process has occupied so far.
pub(super) fn run(options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    let clock = MachineClock::start();
    let mut sizes = options.hosts.clone();
    sizes.sort_unstable();
    for hosts in sizes {
        let place = convert::count_to_f64(convert::size(hosts));
        for policy in &options.policies {
            for seed in &options.seeds {
                let case = Case {
                    policy: *policy,
                    seed: *seed,
                    settings: options.settings.scaled_to(hosts),
                    execution: options.execution,
                    background: 0.0,
                    every: Some(SPACING.mul_f64(500.0 / place)),
                    checkpoints: vec![hosts],
                };
                let start = clock.now();
                let found = case.run();
                let elapsed = clock.now().since(start).as_secs_f64();
                let series = policy.name();
                for (figure, value) in found.into_iter().flat_map(|it| it.figures) {
                    grid.add(series, place, figure, value);
                }
                grid.add(series, place, "elapsed_s", elapsed);
                if let Some(sample) = Sample::of_this_process() {
                    let bytes = convert::count_to_f64(sample.resident_peak_bytes);
                    grid.add(series, place, "resident_bytes", bytes);
                }
                told(&format!(
                    "{hosts} hosts, {series}, seed {seed}: {elapsed:.1} s"
                ));
            }
        }
    }
}
