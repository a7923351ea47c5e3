//! H6: how often hosts tell their load, over how far the intervals overlap by which they tell it.

use model::{LoadInterval, Rng};

use crate::bench::report::Report;
use crate::experiment::grid::Grid;

/// For how long loads are drawn. Unit: seconds, of which each has a sample.
const SECONDS: u32 = 7200;

/// How many hosts there are.
const HOSTS: u32 = 20;

/// What of its distance from the mean a load keeps a second later, and how far it is off in the mean. Source: papers, section 8.1.
const LOAD: (f64, f64) = (0.9, 0.03);

/// The part of an interval that the next one covers as well. Source: papers, section 8.1.
const OVERLAPS: [f64; 5] = [0.0, 0.1, 0.25, 0.4, 0.5];

/// How wide intervals are. Source: papers, section 8.1.
const WIDTHS: [(f64, &str); 2] = [(0.1, "width_0.1"), (0.2, "width_0.2")];

/// The figures that are shown.
pub(super) const SHOWN: &[&str] = &["updates_per_host_minute"];

/// Counts updates of hosts whose loads vary around means from 0.2 to 0.8.
pub(super) fn run(seeds: &[u64]) -> (Grid, Report) {
    let mut grid = Grid::new("H6", "overlap, as a part of the width");
    for (width, series) in WIDTHS {
        for overlap in OVERLAPS {
            for seed in seeds {
                let updates = updates(*seed, width, overlap);
                grid.add(series, overlap, SHOWN[0], updates);
            }
        }
    }
    let mut report = Report::new("H6", seeds.to_vec());
    report.simulated("loads: an autoregressive process, a sample a second");
    report.tables(&grid.tables(SHOWN));
    grid.report(&mut report);
    for (_, series) in WIDTHS {
        let at = |overlap| {
            grid.find(series, overlap, SHOWN[0])
                .map_or(0.0, |it| it.mean)
        };
        let falls = OVERLAPS.windows(2).all(|pair| at(pair[1]) < at(pair[0]));
        report.claim(&format!("{series}_falls_with_overlap"), falls);
        report.claim(
            &format!("{series}_falls_to_half_at_0.25"),
            at(0.25) <= at(0.0) / 2.0,
        );
    }
    (grid, report)
}

/// How often a host tells its load in a minute.
fn updates(seed: u64, width: f64, overlap: f64) -> f64 {
    let mut rng = Rng::from_seed(seed).keyed("loads");
    let (kept, deviation) = LOAD;
    let mut updates = 0u32;
    for host in 0..HOSTS {
        let mean = 0.2 + 0.6 * f64::from(host) / f64::from(HOSTS - 1);
        let mut off = 0.0;
        let mut told = LoadInterval::default();
        for second in 0..SECONDS {
            // Twelve draws make a normal one.
            let normal = (0..12).map(|_| rng.fraction()).sum::<f64>() - 6.0;
            off = kept * off + deviation * (1.0 - kept * kept).sqrt() * normal;
            let next = told.moved_within((mean + off).max(0.0), width, overlap);
            // The first is how the host begins.
            updates += u32::from(next != told && second > 0);
            told = next;
        }
    }
    let minutes = f64::from(SECONDS) / 60.0;
    f64::from(updates) / f64::from(HOSTS) / minutes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlapping_intervals_are_told_less_often() {
        let (_, report) = run(&[1]);
        assert!(report.holds(), "{}", report.table());
    }

    #[test]
    fn the_rate_is_that_of_the_reference_model() {
        // Papers, section 8.1: 0.24 updates a sample without overlap, 0.10 with a quarter, of loads around one half.
        for (overlap, published) in [(0.0, 0.24), (0.25, 0.10), (0.5, 0.054)] {
            let found = updates(1, 0.1, overlap) / 60.0;
            let ratio: f64 = found / published;
            assert!((0.3..3.0).contains(&ratio), "{overlap}: {found}");
        }
    }
}
