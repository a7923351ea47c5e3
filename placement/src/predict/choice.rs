//! Whom of several predictors to believe.

/// What of an error still counts a sample later. Range: 0 to 1, without 1. Source: `testbed/results/prediction.md`; of 0.95, 0.98 and 0.99
/// the middle one, which knows a predictor by its last fifty errors or so.
const MEMORY: f64 = 0.98;

/// How sharply a predictor loses weight that errs more than the best one. Range: above 0; 0 is the mean of all. Source: as above, of 4, 8
/// and 16; one that errs by a tenth more then has a fifth of the weight.
const SHARPNESS: f64 = 16.0;

/// A mixture of predictors, each weighted by how little it erred lately.
///
/// ```text
/// e_i = memory * e_i + (1 - memory) * error_i;  w_i ~ exp(-sharpness * (e_i / e_min - 1))
/// ```
///
/// These are the weights of exponentially weighted forecasters (Cesa-Bianchi and Lugosi, Prediction, Learning, and Games, chapter 2), of
/// errors that are forgotten and relative to the best, so that they mean the same on every scale. The absolute error of a mixture is at
/// most the mixture of the errors: it is never much worse than the best predictor, and where several err in different directions it is
/// better than each. Refused: believing the best alone, which goes astray each time that the best changes.
#[derive(Debug, Clone)]
pub struct Choice<const N: usize> {
    errors: [f64; N],
}

impl<const N: usize> Default for Choice<N> {
    fn default() -> Self {
        Self { errors: [0.0; N] }
    }
}

impl<const N: usize> Choice<N> {
    /// Notes how far off each predictor was; finite and not negative.
    pub fn note(&mut self, errors: &[f64; N]) {
        for (known, error) in self.errors.iter_mut().zip(errors) {
            *known = MEMORY * *known + (1.0 - MEMORY) * error;
        }
    }

    /// How much each counts; in all 1. Before anything was noted, all count the same.
    pub fn weights(&self) -> [f64; N] {
        let least = self.errors.iter().copied().fold(f64::INFINITY, f64::min);
        let weights = self.errors.map(|error| match error > least {
            // Where the best was never off, whoever was counts nothing: the quotient is infinite.
            true => (-SHARPNESS * (error / least - 1.0)).exp(),
            false => 1.0,
        });
        let sum: f64 = weights.iter().sum();
        weights.map(|weight| weight / sum)
    }

    /// How far each was off lately, in the mean, as soon as enough was noted.
    pub const fn errors(&self) -> &[f64; N] {
        &self.errors
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn before_anything_is_known_all_count_the_same() {
        let weights = Choice::<4>::default().weights();
        assert!(weights.iter().all(|it| (it - 0.25).abs() < 1e-12));
    }

    #[test]
    fn whoever_was_never_off_is_believed_alone() {
        let mut choice = Choice::<3>::default();
        choice.note(&[0.0, 1.0, 0.0]);
        let [first, second, third] = choice.weights();
        assert!((first - 0.5).abs() < 1e-12 && (third - 0.5).abs() < 1e-12);
        assert!(second <= 0.0, "{second}");
    }

    #[test]
    fn it_changes_its_mind_when_another_becomes_better() {
        let mut choice = Choice::<2>::default();
        for _ in 0..300 {
            choice.note(&[1.0, 3.0]);
        }
        assert!(choice.weights()[0] > 0.99);
        for _ in 0..100 {
            choice.note(&[3.0, 1.0]);
        }
        assert!(choice.weights()[1] > 0.99, "{:?}", choice.weights());
    }

    proptest! {
        #[test]
        fn weights_are_shares_in_the_order_of_errors(errors in prop::collection::vec([0.0..1e6f64, 0.0..1e6f64, 0.0..1e6f64], 1..50)) {
            let mut choice = Choice::<3>::default();
            errors.iter().for_each(|errors| choice.note(errors));
            let weights = choice.weights();
            prop_assert!((weights.iter().sum::<f64>() - 1.0).abs() < 1e-9);
            for a in 0..3 {
                for b in 0..3 {
                    prop_assert!(choice.errors()[a] < choice.errors()[b] || weights[a] <= weights[b]);
                }
            }
        }

        #[test]
        fn scale_does_not_matter(errors in prop::collection::vec([0.1..10.0f64, 0.1..10.0f64], 1..50)) {
            let (mut small, mut large) = (Choice::<2>::default(), Choice::<2>::default());
            for [a, b] in errors {
                small.note(&[a, b]);
                large.note(&[1e6 * a, 1e6 * b]);
            }
            prop_assert!((small.weights()[0] - large.weights()[0]).abs() < 1e-9);
        }
    }
}
