//! Exponential smoothing: simple, double (Holt) and triple (Holt and Winters).
//!
//! Gains are fixed: who fits them searches through the past at each step, and a choice among predictors that differ does as well.
//!
//! Symbols as in Hyndman and Athanasopoulos, Forecasting: Principles and Practice, chapter 8: level l, trend b, season s, gains alpha, beta
//! and gamma, damping phi.

use model::convert::{count_to_f64, size};

/// The gain of a level. Range: 0 to 1. Source: papers, section 8.1, smooths loads with 0.3.
const LEVEL_GAIN: f64 = 0.3;

/// The gains of a level with a trend, of the trend and of seasons. Range: 0 to 1. Source: guess, within what is usual; see
/// `testbed/results/prediction.md`.
const GAINS: (f64, f64, f64) = (0.5, 0.1, 0.3);

/// What of a trend is left after each sample. Range: 0.8 to 1. Source: as above; 1 is known to overshoot.
const DAMPING: f64 = 0.9;

/// The mean of the past, the nearer the more.
///
/// ```text
/// l = alpha x + (1 - alpha) l
/// ```
#[derive(Debug, Clone, Default)]
pub struct Exponential {
    level: Option<f64>,
}

impl Exponential {
    /// Notes a sample.
    pub fn note(&mut self, sample: f64) {
        let level = self.level.unwrap_or(sample);
        self.level = Some(level + LEVEL_GAIN * (sample - level));
    }

    /// What is expected of any later sample; nothing before the first.
    pub const fn predict(&self) -> Option<f64> {
        self.level
    }
}

/// A level and a damped trend.
///
/// ```text
/// l = alpha x + (1 - alpha)(l + phi b);  b = beta (l - l_before) + (1 - beta) phi b;  x(h) = l + (phi + .. + phi^h) b
/// ```
#[derive(Debug, Clone, Default)]
pub struct Holt {
    state: Option<(f64, f64)>,
}

impl Holt {
    /// Notes a sample.
    pub fn note(&mut self, sample: f64) {
        let Some((level, trend)) = self.state else {
            self.state = Some((sample, 0.0));
            return;
        };
        let expected = level + DAMPING * trend;
        let next = expected + GAINS.0 * (sample - expected);
        let trend = GAINS.1 * (next - level) + (1.0 - GAINS.1) * DAMPING * trend;
        self.state = Some((next, trend));
    }

    /// What is expected so many samples from now; nothing before the first.
    pub fn predict(&self, ahead: usize) -> Option<f64> {
        let (level, trend) = self.state?;
        let damped = (1..=ahead).map(damping).sum::<f64>();
        Some(level + damped * trend)
    }
}

fn damping(steps: usize) -> f64 {
    DAMPING.powf(count_to_f64(size(steps)))
}

/// A level, a damped trend and seasons, which are added.
///
/// ```text
/// l = alpha (x - s) + (1 - alpha)(l + phi b);  s = gamma (x - l_before - phi b) + (1 - gamma) s;  x(h) = l + (phi + .. + phi^h) b + s(h)
/// ```
#[derive(Debug, Clone)]
pub struct HoltWinters {
    trend: Holt,
    seasons: Vec<f64>,
    /// Which season the next sample is of.
    next: usize,
}

impl HoltWinters {
    /// With seasons that repeat after `period` samples, begun with what was so far, oldest first; nothing where that is less than two
    /// periods, or a period is less than two samples.
    pub fn begin(period: usize, past: &[f64]) -> Option<Self> {
        if period < 2 || past.len() < 2 * period {
            return None;
        }
        let whole = &past[past.len() % period..];
        let mean = whole.iter().sum::<f64>() / count_to_f64(size(whole.len()));
        let rounds = count_to_f64(size(whole.len() / period));
        let season = |number: usize| {
            let samples = whole.iter().skip(number).step_by(period);
            samples.map(|it| it - mean).sum::<f64>() / rounds
        };
        let mut begun = Self {
            trend: Holt::default(),
            seasons: (0..period).map(season).collect(),
            next: 0,
        };
        whole.iter().for_each(|sample| begun.note(*sample));
        Some(begun)
    }

    /// After how many samples its seasons repeat.
    pub const fn period(&self) -> usize {
        self.seasons.len()
    }

    /// Notes a sample.
    pub fn note(&mut self, sample: f64) {
        let expected = self.trend.predict(1);
        let season = &mut self.seasons[self.next];
        self.trend.note(sample - *season);
        if let Some(expected) = expected {
            *season += GAINS.2 * (sample - expected - *season);
        }
        self.next = (self.next + 1) % self.seasons.len();
    }

    /// What is expected so many samples from now, from 1 on; nothing before the first.
    pub fn predict(&self, ahead: usize) -> Option<f64> {
        let season = self.seasons[(self.next + ahead - 1) % self.seasons.len()];
        Some(self.trend.predict(ahead)? + season)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_the_mean_of_the_past() {
        let mut level = Exponential::default();
        assert_eq!(level.predict(), None);
        level.note(10.0);
        assert_eq!(level.predict(), Some(10.0));
        level.note(20.0);
        assert!((level.predict().unwrap() - 13.0).abs() < 1e-12);
    }

    #[test]
    fn a_damped_trend_comes_to_a_rest() {
        let mut holt = Holt::default();
        assert_eq!(holt.predict(1), None);
        (0..200).for_each(|step| holt.note(f64::from(step)));
        let near = holt.predict(1).unwrap();
        let far = holt.predict(1000).unwrap();
        let farther = holt.predict(2000).unwrap();
        assert!(
            near < far && (farther - far).abs() < 1e-6,
            "{near} {far} {farther}"
        );
    }

    #[test]
    fn seasons_are_those_of_the_past() {
        let season = [5.0, 9.0, 1.0];
        let past: Vec<f64> = season.iter().copied().cycle().take(31).collect();
        let mut seasons = HoltWinters::begin(3, &past).expect("ten periods");
        assert_eq!(seasons.period(), 3);
        // The 32nd sample is the second of its season.
        for (ahead, expected) in [(1, 9.0), (2, 1.0), (3, 5.0), (4, 9.0)] {
            assert!(
                (seasons.predict(ahead).unwrap() - expected).abs() < 1e-6,
                "{ahead}"
            );
        }
        seasons.note(9.0);
        assert!((seasons.predict(1).unwrap() - 1.0).abs() < 1e-6);
    }

    #[test]
    fn too_short_a_past_has_no_seasons() {
        assert!(HoltWinters::begin(1, &[1.0; 10]).is_none());
        assert!(HoltWinters::begin(6, &[1.0; 11]).is_none());
        assert!(HoltWinters::begin(5, &[1.0; 11]).is_some());
    }
}
