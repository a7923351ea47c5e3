//! Means over seeds, and how sure they are.

use model::convert;
use statrs::distribution::{ContinuousCDF, StudentsT};

/// Numbers of several seeds in short.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// The one in the middle, or the mean of the two there.
    pub median: f64,
    /// The mean.
    pub mean: f64,
    /// Where the mean of all seeds lies with 95 %: from here.
    pub low: f64,
    /// To here.
    pub high: f64,
    /// Of how many numbers: one has no spread.
    pub count: usize,
}

/// How likely the mean lies in an interval. Source: design, experiments.
const CONFIDENCE: f64 = 0.95;

impl Interval {
    /// The interval of some numbers, by Student's t; of one number, that number. Nothing where there are none.
    ///
    /// ```text
    /// mean -+ t(n - 1) s / sqrt(n)
    /// ```
    pub fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = sorted[(sorted.len() - 1) / 2];
        let count = convert::count_to_f64(convert::size(sorted.len()));
        let mean = sorted.iter().sum::<f64>() / count;
        let squares: f64 = sorted.iter().map(|it| (it - mean).powi(2)).sum();
        let freedom = count - 1.0;
        let half = match StudentsT::new(0.0, 1.0, freedom) {
            Ok(student) => {
                let t = student.inverse_cdf(f64::midpoint(1.0, CONFIDENCE));
                t * (squares / freedom / count).sqrt()
            }
            // One number: it has no spread.
            Err(_) => 0.0,
        };
        Some(Self {
            median: f64::midpoint(lower, upper),
            mean,
            low: mean - half,
            high: mean + half,
            count: sorted.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_a_table() {
        // Mean 3, s = sqrt(2.5), t(4) = 2.776: 3 -+ 1.963.
        let interval = Interval::of(&[5.0, 1.0, 2.0, 4.0, 3.0]).expect("five numbers");
        assert!((interval.mean - 3.0).abs() < 1e-12);
        assert!((interval.median - 3.0).abs() < 1e-12);
        assert!((interval.low - 1.037).abs() < 1e-3, "{interval:?}");
        assert!((interval.high - 4.963).abs() < 1e-3, "{interval:?}");
    }

    #[test]
    fn one_number_has_no_spread() {
        let one = Interval::of(&[7.0]).expect("a number");
        for number in [one.median, one.mean, one.low, one.high] {
            assert!((number - 7.0).abs() < 1e-12);
        }
        assert_eq!(Interval::of(&[]), None);
    }
}
