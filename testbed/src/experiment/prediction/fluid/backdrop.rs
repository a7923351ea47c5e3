//! What hosts have to do beside components, and how far they are apart, second by second.

use std::path::Path;

use anyhow::{Context, ensure};
use model::{Rng, convert};

use super::super::series;

/// For how long a recorded sample stands, until the next one. Unit: seconds. Source: five minutes of the recording in one, so that an hour
/// shows half a day.
const STEP: u32 = 60;

/// Background loads and ways.
#[derive(Debug, Clone)]
pub struct Backdrop {
    /// By host, one sample a step: part of the processors.
    loads: Vec<Vec<f64>>,
    /// By step, by pair of hosts: one way, in seconds.
    ways: Vec<Vec<f64>>,
}

impl Backdrop {
    /// Recorded processor loads (`planetlab_cpu_2011`) and round trips (`seattle99_rtt_time`), of hosts that are drawn. Nothing where
    /// one of them is not there.
    ///
    /// # Errors
    /// When a file cannot be read or has no numbers where they should be.
    pub fn recorded(data: &Path, hosts: usize, rng: &mut Rng) -> anyhow::Result<Option<Self>> {
        let (loads, ways) = (
            data.join("planetlab_cpu_2011"),
            data.join("seattle99_rtt_time"),
        );
        if !loads.is_dir() || !ways.is_dir() {
            return Ok(None);
        }
        let runs = series::wide(&loads, 1)?;
        let busy = |run: &Vec<f64>| mean(run) >= BUSY_MIN;
        let mut runs: Vec<Vec<f64>> = runs.into_iter().filter(busy).collect();
        ensure!(
            runs.len() >= hosts,
            "of {} hosts there are loads",
            runs.len()
        );
        let loads = (0..hosts)
            .map(|_| runs.swap_remove(below(rng, runs.len())))
            .map(|run| run.into_iter().map(|it| it / 100.0).collect())
            .collect();
        let text = series::text(&series::first(&ways, ".tsv.gz")?)?;
        let mut slices: Vec<Vec<Vec<f64>>> = Vec::new();
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            if line.starts_with('#') {
                slices.push(Vec::new());
                continue;
            }
            let row: Result<Vec<f64>, _> = line.split_whitespace().map(str::parse).collect();
            let slice = slices
                .last_mut()
                .context("a slice begins with its number")?;
            slice.push(row?);
        }
        let nodes = slices.first().map_or(0, Vec::len);
        ensure!(nodes >= hosts, "of {nodes} hosts there are round trips");
        let mut free: Vec<usize> = (0..nodes).collect();
        let chosen: Vec<usize> = (0..hosts)
            .map(|_| free.swap_remove(below(rng, free.len())))
            .collect();
        let way = |slice: &Vec<Vec<f64>>, from: usize, to: usize| {
            let round_trip = slice.get(from).and_then(|row| row.get(to));
            round_trip.copied().unwrap_or(0.0) / 2.0
        };
        let ways = slices.iter().map(|slice| {
            let pairs = chosen
                .iter()
                .flat_map(|from| chosen.iter().map(move |to| (*from, *to)));
            pairs.map(|(from, to)| way(slice, from, to)).collect()
        });
        Ok(Some(Self {
            loads,
            ways: ways.collect(),
        }))
    }

    /// Loads that wander and hosts in a square that is 100 ms wide.
    pub fn generated(hosts: usize, seconds: u32, rng: &mut Rng) -> Self {
        let steps = seconds.div_ceil(STEP) + 1;
        let loads = (0..hosts)
            .map(|_| {
                let mean = 0.1 + 0.3 * rng.fraction();
                let mut off = 0.0;
                let mut next = || {
                    off = 0.9 * off + 0.3 * (rng.fraction() - 0.5);
                    f64::clamp(mean + off, 0.0, 1.0)
                };
                (0..steps).map(|_| next()).collect()
            })
            .collect();
        let places: Vec<(f64, f64)> = (0..hosts)
            .map(|_| (0.1 * rng.fraction(), 0.1 * rng.fraction()))
            .collect();
        let way = |a: &(f64, f64), b: &(f64, f64)| (a.0 - b.0).hypot(a.1 - b.1);
        let pairs = places
            .iter()
            .flat_map(|a| places.iter().map(move |b| way(a, b)));
        Self {
            loads,
            ways: vec![pairs.collect()],
        }
    }

    /// The same with all loads multiplied, so that their mean is this one.
    #[must_use]
    pub fn with_mean(mut self, wanted: f64) -> Self {
        let means: Vec<f64> = self.loads.iter().map(|run| mean(run)).collect();
        let factor = wanted / mean(&means).max(f64::MIN_POSITIVE);
        let loads = self.loads.iter_mut().flatten();
        loads.for_each(|it| *it = (*it * factor).min(LOAD_MAX));
        self
    }

    /// The same with ways that stay as they are at the beginning.
    #[must_use]
    pub fn with_still_ways(mut self) -> Self {
        self.ways.truncate(1);
        self
    }

    /// The same with loads that stay as they are at the beginning.
    #[must_use]
    pub fn with_still_loads(mut self) -> Self {
        self.loads.iter_mut().for_each(|run| run.truncate(1));
        self
    }

    /// The recorded samples of each host's load.
    pub fn into_loads(self) -> Vec<Vec<f64>> {
        self.loads
    }

    /// The load of a host, between samples as on a straight line.
    pub(super) fn load(&self, host: usize, second: u32) -> f64 {
        let run = &self.loads[host];
        let step = index(second / STEP);
        let part = f64::from(second % STEP) / f64::from(STEP);
        let (from, to) = (run[step % run.len()], run[(step + 1) % run.len()]);
        from + part * (to - from)
    }

    /// The way from a host to another one. Unit: seconds.
    pub(super) fn way(&self, from: usize, to: usize, second: u32) -> f64 {
        let step = index(second / STEP);
        self.ways[step % self.ways.len()][from * self.loads.len() + to]
    }
}

/// The least mean load of recorded hosts that are drawn. Unit: per cent. Source: guess; most recorded hosts do nothing.
const BUSY_MIN: f64 = 10.0;

/// The most that others take of a host. Source: a system that shares a host fairly with others always gets something.
const LOAD_MAX: f64 = 0.9;

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / convert::count_to_f64(convert::size(numbers.len().max(1)))
}

pub(super) fn index(number: u32) -> usize {
    convert::index(u64::from(number))
}

pub(super) fn below(rng: &mut Rng, bound: usize) -> usize {
    convert::index(rng.below(convert::size(bound)))
}
