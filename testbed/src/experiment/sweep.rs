//! Many runs: policies, seeds and places on an axis, some at a time.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use super::Options;
use super::build_up::{Case, Checkpoint};
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
    let mut cases = VecDeque::new();
    for (number, point) in points.iter().enumerate() {
        for seed in &options.seeds {
            for policy in &options.policies {
                let case = Case {
                    policy: *policy,
                    seed: *seed,
                    settings: point.settings.clone(),
                    execution: options.execution,
                    background: point.background,
                    every: None,
                    checkpoints: point.checkpoints.clone(),
                };
                cases.push_back((number, case));
            }
        }
    }
    let all = cases.len();
    let cases = Mutex::new(cases);
    let found = Mutex::new(Vec::new());
    let work = || {
        while let Some((number, case)) = lock(&cases).pop_front() {
            let checkpoints = case.run();
            let mut found = lock(&found);
            found.push((number, case.policy.name(), case.seed, checkpoints));
            let seed = case.seed;
            told(&format!(
                "{} of {all}: {}, seed {seed}",
                found.len(),
                case.policy.name()
            ));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..options.jobs {
            scope.spawn(work);
        }
        work();
    });
    // In an order of its own: runs end as they like.
    let mut found: Vec<(usize, &'static str, u64, Vec<Checkpoint>)> =
        found.into_inner().unwrap_or_else(PoisonError::into_inner);
    let place = |name: &str| options.policies.iter().position(|it| it.name() == name);
    found.sort_by_key(|(number, name, seed, _)| (place(name), *number, *seed));
    for (number, name, _, checkpoints) in found {
        for checkpoint in checkpoints {
            let place = points[number].place.unwrap_or_else(|| {
                model::convert::count_to_f64(model::convert::size(checkpoint.requests))
            });
            for (figure, value) in checkpoint.figures {
                grid.add(name, place, figure, value);
            }
        }
    }
}

/// What a thread that panicked held is still in order: each change of it is one step.
fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
