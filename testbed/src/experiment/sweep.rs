//! Many runs: policies, seeds and places on an axis, some at a time.

use std::sync::atomic::{AtomicUsize, Ordering};

use model::Clock;
use node::clock::MachineClock;

use super::Options;
use super::at_once::at_once;
use super::build_up::Case;
use super::grid::Grid;
use super::workload::Settings;

/// A place on the axis, and what is asked for there.
#[derive(Debug, Clone)]
pub struct Point {
    /// The place; where there is none, each checkpoint is one.
    pub place: Option<f64>,
    /// What is asked for.
    pub settings: Settings,
    /// The most that others take of a host's processor; see [`Case::background`].
    pub background: f64,
    /// After how many requests figures are taken.
    pub checkpoints: Vec<usize>,
}

/// Runs all policies and seeds at all points, and adds what was found to the grid. `told` hears of every run that has ended.
pub fn run(points: &[Point], options: &Options, grid: &mut Grid, told: &(dyn Fn(&str) + Sync)) {
    let mut cases: Vec<(&Point, Case)> = Vec::new();
    for policy in &options.policies {
        for point in points {
            for seed in &options.seeds {
                let case = Case {
                    policy: *policy,
                    seed: *seed,
                    settings: point.settings.clone(),
                    execution: options.execution,
                    background: point.background,
                    every: None,
                    checkpoints: point.checkpoints.clone(),
                };
                cases.push((point, case));
            }
        }
    }
    let ended = AtomicUsize::new(0);
    let clock = MachineClock::start();
    let begin = clock.now();
    let found = at_once(options.jobs, 0..cases.len(), |number| {
        let (_, case) = &cases[number];
        let checkpoints = case.run();
        let ended = ended.fetch_add(1, Ordering::Relaxed) + 1;
        told(&format!(
            "{ended} of {}: {}, seed {}, {:.0} s",
            cases.len(),
            case.policy.name(),
            case.seed,
            clock.now().since(begin).as_secs_f64(),
        ));
        checkpoints
    });
    for ((point, case), checkpoints) in cases.iter().zip(found) {
        for checkpoint in checkpoints {
            let place = point.place.unwrap_or_else(|| {
                model::convert::count_to_f64(model::convert::size(checkpoint.requests))
            });
            for (figure, value) in checkpoint.figures {
                grid.add(case.policy.name(), place, figure, value);
            }
        }
    }
}
