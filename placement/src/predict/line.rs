//! A straight line through the latest pairs of total rate and execution time.

use std::collections::VecDeque;

use model::convert::{count_to_f64, size};

/// Through how many pairs the line goes. Unit: samples. Range: at least 2; the true curve is convex, so that few are nearer to it.
/// Source: papers, section 8.4.
const PAIRS: usize = 60;

/// The least variance of rates at which a slope means anything, as a part of the square of their mean. Source: guess; rates that differ
/// by less than 0.01 % tell nothing.
const VARIANCE_MIN: f64 = 1e-8;

/// Execution time against the total rate of the host, by least squares over the latest pairs.
///
/// ```text
/// t = a + b r;  b = sum (r_k - r_mean)(t_k - t_mean) / sum (r_k - r_mean)^2;  a = t_mean - b r_mean
/// ```
///
/// (papers, section 8.4, H4). Noting a pair takes constant time: sums are kept relative to a point near their means, and taken anew each
/// time that all pairs have been replaced, so that rounding never piles up.
#[derive(Debug, Clone, Default)]
pub struct Line {
    pairs: VecDeque<(f64, f64)>,
    /// What sums are relative to.
    origin: (f64, f64),
    rate: f64,
    time: f64,
    rate_squares: f64,
    products: f64,
    noted: usize,
}

impl Line {
    /// Notes that at a total rate the execution time was this. What is no number is not noted.
    pub fn note(&mut self, rate: f64, time: f64) {
        if !rate.is_finite() || !time.is_finite() {
            return;
        }
        if self.pairs.len() == PAIRS
            && let Some(oldest) = self.pairs.pop_front()
        {
            self.add(oldest, -1.0);
        }
        self.pairs.push_back((rate, time));
        self.add((rate, time), 1.0);
        self.noted += 1;
        if self.noted.is_multiple_of(PAIRS) {
            self.sum_anew();
        }
    }

    /// The execution time that is expected at a total rate, not below what it takes on an idle host; nothing before the first pair. Where
    /// rates hardly vary, or the slope is negative, that is the mean.
    pub fn predict(&self, rate: f64, idle: f64) -> Option<f64> {
        if self.pairs.is_empty() {
            return None;
        }
        let count = count_to_f64(size(self.pairs.len()));
        let (mean_rate, mean_time) = (self.rate / count, self.time / count);
        let variance = self.rate_squares / count - mean_rate * mean_rate;
        let covariance = self.products / count - mean_rate * mean_time;
        let scale = mean_rate + self.origin.0;
        let expected = match variance > VARIANCE_MIN * scale * scale && covariance > 0.0 {
            true => mean_time + covariance / variance * (rate - self.origin.0 - mean_rate),
            false => mean_time,
        };
        Some((self.origin.1 + expected).max(idle))
    }

    fn add(&mut self, (rate, time): (f64, f64), sign: f64) {
        let (rate, time) = (rate - self.origin.0, time - self.origin.1);
        self.rate += sign * rate;
        self.time += sign * time;
        self.rate_squares += sign * rate * rate;
        self.products += sign * rate * time;
    }

    fn sum_anew(&mut self) {
        let count = count_to_f64(size(self.pairs.len()));
        let origin = (
            self.pairs.iter().map(|it| it.0).sum::<f64>() / count,
            self.pairs.iter().map(|it| it.1).sum::<f64>() / count,
        );
        let (pairs, noted) = (std::mem::take(&mut self.pairs), self.noted);
        *self = Self {
            origin,
            noted,
            ..Self::default()
        };
        for pair in &pairs {
            self.add(*pair, 1.0);
        }
        self.pairs = pairs;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The line through the last pairs, computed at once by the formula.
    fn from_scratch(pairs: &[(f64, f64)], rate: f64) -> f64 {
        let pairs = &pairs[pairs.len().saturating_sub(PAIRS)..];
        let count = count_to_f64(size(pairs.len()));
        let mean = (
            pairs.iter().map(|it| it.0).sum::<f64>() / count,
            pairs.iter().map(|it| it.1).sum::<f64>() / count,
        );
        let squares: f64 = pairs.iter().map(|it| (it.0 - mean.0).powi(2)).sum();
        let products: f64 = pairs
            .iter()
            .map(|it| (it.0 - mean.0) * (it.1 - mean.1))
            .sum();
        if squares / count <= VARIANCE_MIN * mean.0 * mean.0 || products <= 0.0 {
            return mean.1.max(0.0);
        }
        (mean.1 + products / squares * (rate - mean.0)).max(0.0)
    }

    proptest! {
        #[test]
        fn adding_one_at_a_time_is_computing_at_once(
            pairs in prop::collection::vec((1.0..1e5f64, 1e-4..1.0f64), 2..400),
            rate in 0.0..1e5f64,
        ) {
            let mut line = Line::default();
            for (rate, time) in &pairs {
                line.note(*rate, *time);
            }
            let expected = from_scratch(&pairs, rate);
            let found = line.predict(rate, 0.0).expect("pairs were noted");
            prop_assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{found} {expected}");
        }

        #[test]
        fn a_fit_to_a_straight_line_is_that_line(
            slope in 1e-6..1e-2f64,
            base in 0.0..1.0f64,
            start in 1.0..1e4f64,
            count in 2u32..200,
        ) {
            let mut line = Line::default();
            for step in 0..count {
                let rate = start * (1.0 + 0.1 * f64::from(step % 17));
                line.note(rate, base + slope * rate);
            }
            let expected = base + slope * 3.0 * start;
            let found = line.predict(3.0 * start, 0.0).expect("pairs were noted");
            prop_assert!((found - expected).abs() <= 1e-6 * expected, "{found} {expected}");
        }
    }

    #[test]
    fn no_slope_where_there_is_none_or_it_is_negative() {
        let mut flat = Line::default();
        assert_eq!(flat.predict(1.0, 0.5), None);
        for step in 0..10 {
            flat.note(100.0, 0.010 + f64::from(step % 2) * 0.002);
        }
        assert!((flat.predict(500.0, 0.0).unwrap() - 0.011).abs() < 1e-12);

        let mut falling = Line::default();
        for rate in [100.0, 200.0, 300.0] {
            falling.note(rate, 1.0 / rate);
        }
        let mean = (1.0 / 100.0 + 1.0 / 200.0 + 1.0 / 300.0) / 3.0;
        assert!((falling.predict(1000.0, 0.0).unwrap() - mean).abs() < 1e-12);
    }

    #[test]
    fn nothing_is_faster_than_on_an_idle_host_and_what_is_no_number_is_not_noted() {
        let mut line = Line::default();
        line.note(100.0, 0.010);
        line.note(200.0, 0.020);
        line.note(f64::NAN, 0.5);
        line.note(300.0, f64::INFINITY);
        assert!((line.predict(0.0, 0.003).unwrap() - 0.003).abs() < 1e-12);
        assert!((line.predict(400.0, 0.003).unwrap() - 0.040).abs() < 1e-9);
    }
}
