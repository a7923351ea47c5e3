//! Cost estimates: how long a component takes for a batch, learned while it runs.

use std::time::Duration;

use model::convert;

use crate::operator::DefaultCost;

/// How much a new sample counts against all before it.
///
/// Unit: fraction. Range: above 0, below 1. Source: guess; follows a change within about fifty batches.
const WEIGHT: f64 = 0.05;

/// How much a new closing counts against all before it.
///
/// Unit: fraction. Range: above 0, below 1. Source: guess; closings are rare.
const CLOSING_WEIGHT: f64 = 0.2;

/// From how many samples on they count alone, and the declared or default cost does not.
///
/// Unit: samples. Source: guess; the first may have found cold caches.
const SAMPLES_MIN: u32 = 3;

/// How many rows a batch is taken to have before one was seen. Unit: rows. Source: guess.
const ROWS_AT_FIRST: f64 = 32.0;

/// Processor time of a batch as `a + b * rows`, by exponentially weighted least squares.
///
/// The sums are those of ordinary least squares, each multiplied by `1 - WEIGHT` before a sample is added. The line is drawn with each
/// sample and not when it is asked for, which is several times for each batch.
#[derive(Debug, Clone)]
pub struct Cost {
    /// What is declared, or usual for the kind.
    default: DefaultCost,
    samples: u32,
    weight: f64,
    rows: f64,
    seconds: f64,
    rows_squared: f64,
    rows_seconds: f64,
    residual_squared: f64,
    /// What closing adds to a batch, smoothed, in seconds; nothing before the first.
    closing_seconds: Option<f64>,
    line: Line,
}

/// What a batch costs by how many rows it has.
#[derive(Debug, Clone, Copy)]
struct Line {
    /// A batch of the usual size: its rows, and what it costs.
    rows: f64,
    seconds: f64,
    usual: Duration,
    /// The cost of a row: nothing where batches of one size say nothing of it, and every batch costs as much as the usual one.
    row_seconds: Option<f64>,
}

impl Cost {
    /// The estimate before anything was measured.
    pub fn new(default: DefaultCost) -> Self {
        Self {
            default,
            samples: 0,
            weight: 0.0,
            rows: 0.0,
            seconds: 0.0,
            rows_squared: 0.0,
            rows_seconds: 0.0,
            residual_squared: 0.0,
            closing_seconds: None,
            line: Line::declared(default, ROWS_AT_FIRST),
        }
    }

    /// A batch of so many rows took so long.
    pub fn observe(&mut self, rows: usize, took: Duration) {
        let rows = convert::count_to_f64(convert::size(rows));
        let seconds = took.as_secs_f64();
        let residual = seconds - self.line.seconds_for(rows);
        let keep = 1.0 - WEIGHT;
        self.residual_squared = keep * self.residual_squared + WEIGHT * residual * residual;
        self.weight = keep * self.weight + 1.0;
        self.rows = keep * self.rows + rows;
        self.seconds = keep * self.seconds + seconds;
        self.rows_squared = keep * self.rows_squared + rows * rows;
        self.rows_seconds = keep * self.rows_seconds + rows * seconds;
        self.samples = self.samples.saturating_add(1);
        self.line = self.drawn();
    }

    /// A batch of so many rows that closed something took so long: what its rows do not explain, closing does.
    pub fn observe_closing(&mut self, rows: usize, took: Duration) {
        let added = took.saturating_sub(self.expect(rows)).as_secs_f64();
        self.closing_seconds = Some(match self.closing_seconds {
            None => added,
            Some(mean) => (added - mean).mul_add(CLOSING_WEIGHT, mean),
        });
    }

    /// What closing adds to a batch.
    pub fn closing(&self) -> Duration {
        convert::seconds(self.closing_seconds.unwrap_or(0.0))
    }

    /// How many rows are expected to be worked off within a unit of time: one at least. Where a batch costs more than its rows, splitting
    /// saves little, and rows may take as long as the batch itself.
    pub fn rows_within(&self, unit: Duration) -> usize {
        let Line { rows, seconds, .. } = self.line;
        let row_seconds = match self.line.row_seconds {
            Some(row_seconds) => row_seconds,
            // Batches of one size: what they cost, their rows cost.
            None if rows > 0.0 => seconds / rows,
            None => 0.0,
        };
        if row_seconds <= 0.0 {
            return usize::MAX;
        }
        let batch_seconds = (seconds - row_seconds * rows).max(0.0);
        let left = (unit.as_secs_f64() - batch_seconds).max(batch_seconds);
        let rows = convert::round((left / row_seconds).clamp(1.0, 1e9));
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    /// How long a batch of so many rows is expected to take.
    pub fn expect(&self, rows: usize) -> Duration {
        let rows = convert::count_to_f64(convert::size(rows));
        convert::seconds(self.line.seconds_for(rows))
    }

    /// How long a batch of the usual size is expected to take.
    pub const fn usual(&self) -> Duration {
        self.line.usual
    }

    /// How far batches lie off the estimate: the root of the mean squared difference.
    pub fn deviation(&self) -> Duration {
        convert::seconds(self.residual_squared.sqrt())
    }

    /// The line through what was measured; before that is enough, the declared one.
    fn drawn(&self) -> Line {
        let rows = self.rows / self.weight;
        if self.samples < SAMPLES_MIN {
            return Line::declared(self.default, rows);
        }
        let seconds = self.seconds / self.weight;
        let variance = self.rows_squared / self.weight - rows * rows;
        let covariance = self.rows_seconds / self.weight - rows * seconds;
        // Relative to the size: what is left of two batches long ago must not count for a line.
        let row_seconds = (variance > 1e-4 * rows * rows).then(|| (covariance / variance).max(0.0));
        Line::through(rows, seconds, row_seconds)
    }
}

impl Line {
    fn through(rows: f64, seconds: f64, row_seconds: Option<f64>) -> Self {
        Self {
            rows,
            seconds,
            usual: convert::seconds(seconds),
            row_seconds,
        }
    }

    /// What is declared, where batches have so many rows.
    fn declared(default: DefaultCost, rows: f64) -> Self {
        let DefaultCost {
            batch_seconds,
            row_seconds,
        } = default;
        let seconds = row_seconds * rows + batch_seconds;
        Self::through(rows, seconds, Some(row_seconds))
    }

    fn seconds_for(&self, rows: f64) -> f64 {
        let row_seconds = self.row_seconds.unwrap_or(0.0);
        (row_seconds * (rows - self.rows) + self.seconds).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEFAULT: DefaultCost = DefaultCost {
        batch_seconds: 1e-6,
        row_seconds: 1e-8,
    };

    #[test]
    fn at_first_it_is_what_is_declared() {
        let cost = Cost::new(DEFAULT);
        assert_eq!(cost.expect(0).as_nanos(), 1000);
        assert_eq!(cost.expect(1000).as_nanos(), 11_000);
    }

    #[test]
    fn a_line_is_learned() {
        let mut cost = Cost::new(DEFAULT);
        for n in 0..2000usize {
            let rows = n * 7 % 900;
            cost.observe(rows, Duration::from_nanos(5_000 + 50 * convert::size(rows)));
        }
        for rows in [0, 100, 1000] {
            let error = cost.expect(rows).as_secs_f64() - (5e-6 + 5e-8 * rows as f64);
            assert!(error.abs() < 1e-7, "{rows} rows: {error} s off");
        }
        assert!(cost.deviation() < Duration::from_micros(1));
    }

    #[test]
    fn only_what_takes_longer_than_the_unit_is_split() {
        let mut cost = Cost::new(DEFAULT);
        for _ in 0..2000 {
            cost.observe(10_000, Duration::from_micros(25));
        }
        assert!(cost.rows_within(Duration::from_millis(1)) > 10_000);
        let split = cost.rows_within(Duration::from_micros(5));
        assert!((1_500..2_500).contains(&split), "{split} rows");
    }

    #[test]
    fn batches_of_one_size_cost_their_mean() {
        let mut cost = Cost::new(DEFAULT);
        for _ in 0..2000 {
            cost.observe(100, Duration::from_micros(30));
        }
        assert!((cost.usual().as_secs_f64() - 30e-6).abs() < 1e-7);
        assert!((cost.expect(100).as_secs_f64() - 30e-6).abs() < 1e-6);
    }
}
