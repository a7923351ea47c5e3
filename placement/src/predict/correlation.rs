//! How a series follows another one, or itself, some samples later.

use std::collections::VecDeque;

use model::convert::{count_to_f64, size};

use super::{HISTORY, HORIZON, LAG_MAX};

/// How strongly two series must be correlated for one to tell of the other. Range: 0 to 1. Source: papers, section 8.5.
const COEFFICIENT_MIN: f64 = 0.5;

/// The fewest pairs of which a coefficient is believed. Unit: samples. Source: guess; of 20 pairs, chance alone gives 0.5 about once in
/// forty.
const PAIRS_MIN: usize = 20;

/// How near to the highest peak of auto-correlation another one must be to be the period: a multiple of a period is a peak as well. Range:
/// 0 to 1. Source: guess.
const PEAK_MIN: f64 = 0.9;

/// Sums over two series, from which their correlation follows at every lag.
///
/// Of the same series twice they give auto-correlation `A(k)`, of two Pearson's product moment `P(k)` (papers, section 8.5):
///
/// ```text
/// A(k) = sum (x_t - m)(x_{t+k} - m) / sum (x_t - m)^2
/// P(k) = sum (x_t - x_mean)(y_{t+k} - y_mean) / sqrt(sum (x_t - x_mean)^2 * sum (y_{t+k} - y_mean)^2)
/// ```
///
/// where means and sums of `P` are over the pairs of that lag. Noting a sample takes a step for each lag. Sums are of differences from a
/// value near the mean and taken anew each time that the whole past has been replaced, so that rounding never piles up.
#[derive(Debug, Clone)]
pub struct Correlation {
    /// The series that goes before.
    leader: VecDeque<f64>,
    /// The one that may follow; the same where a series is compared with its own past.
    follower: VecDeque<f64>,
    /// What was subtracted of all of them.
    origin: (f64, f64),
    /// By lag: the sum of products of what lies so far apart.
    products: Vec<f64>,
    noted: usize,
}

/// At which lag a series is told best by another, and what that one tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Related {
    /// How many samples later it follows.
    pub lag: usize,
    /// How strongly: -1 to 1.
    pub coefficient: f64,
    /// What it will be at the horizon.
    pub expected: f64,
}

/// How a series follows its own past.
#[derive(Debug, Clone, PartialEq)]
pub struct Own {
    /// Its mean.
    pub mean: f64,
    /// Its auto-correlation by lag, from 0 on; none where too little is known.
    pub coefficients: [f64; LAG_MAX + 1],
}

impl Own {
    /// The lag at which the series repeats itself: the first peak of its auto-correlation that is nearly the highest one.
    pub fn period(&self) -> Option<usize> {
        let found = &self.coefficients;
        let is_peak = |lag: &usize| {
            let (before, after) = (found[*lag - 1], found[*lag + 1]);
            found[*lag] > before && found[*lag] >= after && found[*lag] >= COEFFICIENT_MIN
        };
        let peaks = || (2..LAG_MAX).filter(is_peak);
        let highest = peaks().map(|lag| found[lag]).fold(0.0, f64::max);
        peaks().find(|lag| found[*lag] >= PEAK_MIN * highest)
    }
}

impl Default for Correlation {
    fn default() -> Self {
        Self {
            leader: VecDeque::new(),
            follower: VecDeque::new(),
            origin: (0.0, 0.0),
            products: vec![0.0; LAG_MAX + 1],
            noted: 0,
        }
    }
}

impl Correlation {
    /// Notes what both series were in the same second; both are finite.
    pub fn note(&mut self, leader: f64, follower: f64) {
        if self.noted == 0 {
            self.origin = (leader, follower);
        }
        if self.leader.len() == HISTORY
            && let Some(oldest) = self.leader.pop_front()
        {
            for (product, follower) in self.products.iter_mut().zip(&self.follower) {
                *product -= oldest * follower;
            }
            self.follower.pop_front();
        }
        self.leader.push_back(leader - self.origin.0);
        let newest = follower - self.origin.1;
        self.follower.push_back(newest);
        for (product, leader) in self.products.iter_mut().zip(self.leader.iter().rev()) {
            *product += leader * newest;
        }
        self.noted += 1;
        if self.noted.is_multiple_of(HISTORY) {
            self.sum_anew();
        }
    }

    /// How a series follows itself: what its own past tells of the horizon, if anything does.
    pub fn own(&self) -> Option<Own> {
        let count = self.follower.len();
        let sum: f64 = self.follower.iter().sum();
        let mean = sum / count_to_f64(size(count.max(1)));
        let squares = self.products[0] - mean * sum;
        if count < 2 * PAIRS_MIN || squares <= self.rounding() {
            return None;
        }
        let (mut first, mut last) = (sum, sum);
        let mut coefficients = [0.0; LAG_MAX + 1];
        coefficients[0] = 1.0;
        let lags = coefficients.iter_mut().enumerate().skip(1);
        for (lag, coefficient) in lags.take(self.lag_max()) {
            first -= self.leader[count - lag];
            last -= self.follower[lag - 1];
            let pairs = count_to_f64(size(count - lag));
            let product = self.products[lag] - mean * (first + last) + pairs * mean * mean;
            *coefficient = product / squares;
        }
        Some(Own {
            mean: self.origin.1 + mean,
            coefficients,
        })
    }

    /// What a series did so many samples before the horizon.
    fn before(&self, lag: usize) -> f64 {
        self.origin.0 + self.leader[self.leader.len() + HORIZON - lag - 1]
    }

    /// The lag from the horizon on at which a series follows itself most, if it does; `own` is of this series.
    pub fn best(&self, own: &Own) -> Option<Related> {
        let lags = HORIZON..=self.lag_max();
        let strength = |lag: &usize| own.coefficients[*lag].abs();
        let lag = lags.max_by(|a, b| strength(a).total_cmp(&strength(b)).then(b.cmp(a)))?;
        let coefficient = own.coefficients[lag];
        (coefficient.abs() >= COEFFICIENT_MIN).then(|| Related {
            lag,
            coefficient,
            expected: own.mean + coefficient * (self.before(lag) - own.mean),
        })
    }

    /// How the one series follows the other: the lag from the horizon on at which it does most, if it does.
    pub fn cross(&self) -> Option<Related> {
        let count = self.follower.len();
        if count < 2 * PAIRS_MIN {
            return None;
        }
        let sums = |series: &VecDeque<f64>| {
            let squares = series.iter().map(|it| it * it).sum::<f64>();
            (series.iter().sum::<f64>(), squares)
        };
        let ((mut x, mut xx), (mut y, mut yy)) = (sums(&self.leader), sums(&self.follower));
        let least = (xx.abs() * ROUNDING, yy.abs() * ROUNDING);
        let mut best: Option<(f64, Related)> = None;
        for lag in 1..=self.lag_max() {
            let (gone_x, gone_y) = (self.leader[count - lag], self.follower[lag - 1]);
            (x, xx) = (x - gone_x, xx - gone_x * gone_x);
            (y, yy) = (y - gone_y, yy - gone_y * gone_y);
            let pairs = count_to_f64(size(count - lag));
            let (squares_x, squares_y) = (xx - x * x / pairs, yy - y * y / pairs);
            if lag < HORIZON || squares_x <= least.0 || squares_y <= least.1 {
                continue;
            }
            let product = self.products[lag] - x * y / pairs;
            let strength = product * product / (squares_x * squares_y);
            if best.as_ref().is_none_or(|(most, ..)| strength > *most) {
                let before = self.before(lag) - self.origin.0;
                let related = Related {
                    lag,
                    coefficient: product.signum() * strength.sqrt().min(1.0),
                    expected: self.origin.1
                        + y / pairs
                        + product / squares_x * (before - x / pairs),
                };
                best = Some((strength, related));
            }
        }
        let (_, related) = best?;
        (related.coefficient.abs() >= COEFFICIENT_MIN).then_some(related)
    }

    /// The greatest lag of which enough pairs are known.
    fn lag_max(&self) -> usize {
        (self.follower.len() / 2).min(LAG_MAX)
    }

    /// What a series varies by through rounding alone.
    fn rounding(&self) -> f64 {
        let scale = count_to_f64(size(self.follower.len())) * self.origin.1 * self.origin.1;
        ROUNDING * scale.max(self.products[0])
    }

    fn sum_anew(&mut self) {
        let mean = |series: &VecDeque<f64>| {
            series.iter().sum::<f64>() / count_to_f64(size(series.len().max(1)))
        };
        let (leader, follower) = (mean(&self.leader), mean(&self.follower));
        self.origin = (self.origin.0 + leader, self.origin.1 + follower);
        self.leader.iter_mut().for_each(|it| *it -= leader);
        self.follower.iter_mut().for_each(|it| *it -= follower);
        for (lag, product) in self.products.iter_mut().enumerate() {
            let pairs = self.leader.iter().zip(self.follower.iter().skip(lag));
            *product = pairs.map(|(leader, follower)| leader * follower).sum();
        }
    }
}

/// What a sum of squares may be wrong by, as a part of it. Source: some hundred roundings of 2^-53 each.
const ROUNDING: f64 = 1e-12;

#[cfg(test)]
mod tests;
