use model::Rng;
use proptest::prelude::*;

use super::*;

/// The mean errors of each predictor and of the mixture over the second half of a series, naive first and the mixture last.
fn errors(series: &[f64]) -> Vec<f64> {
    let mut rate = Rate::default();
    let mut expected: Vec<Vec<f64>> = Vec::new();
    let mut errors = [0.0; PREDICTORS + 1];
    for (now, sample) in series.iter().enumerate() {
        if now >= series.len() / 2 {
            for (sum, expected) in errors.iter_mut().zip(&expected[now - HORIZON]) {
                *sum += (expected - sample).abs();
            }
        }
        rate.note(Some(*sample), &[]);
        let forecast = rate.forecast().expect("a sample was noted");
        let chosen = std::iter::once(forecast.chosen);
        expected.push(forecast.each.iter().copied().chain(chosen).collect());
    }
    let count = count_to_f64(size(series.len() - series.len() / 2));
    errors.iter().map(|sum| sum / count).collect()
}

fn series(length: u32, at: impl FnMut(f64) -> f64) -> Vec<f64> {
    (0..length).map(f64::from).map(at).collect()
}

fn error_of(errors: &[f64], predictor: Predictor) -> f64 {
    let index = Predictor::ALL.iter().position(|it| *it == predictor);
    errors[index.expect("it is one of them")]
}

#[test]
fn nothing_is_expected_of_what_was_never_seen() {
    let mut rate = Rate::default();
    assert_eq!(rate.forecast(), None);
    rate.note(None, &[]);
    rate.note(Some(f64::NAN), &[]);
    assert_eq!(rate.forecast(), None);
}

#[test]
fn what_is_constant_stays_so() {
    for level in [0.0, 0.1, 1e6] {
        let errors = errors(&series(400, |_| level));
        for (number, error) in errors.iter().enumerate() {
            assert!(
                *error <= 1e-9 * level,
                "{level}: {number} is off by {error}"
            );
        }
    }
}

#[test]
fn a_line_is_followed_by_its_trend() {
    let errors = errors(&series(1000, |at| 100.0 + 10.0 * at));
    let (naive, chosen) = (errors[0], errors[PREDICTORS]);
    let holt = error_of(&errors, Predictor::Holt);
    assert!((naive - 50.0).abs() < 1e-6);
    assert!(holt < 0.75 * naive, "{holt}");
    assert!(chosen < 0.75 * naive, "{chosen}");
}

#[test]
fn a_sine_is_followed_by_its_seasons() {
    let errors = errors(&series(1000, |at| {
        100.0 + 50.0 * (at * std::f64::consts::TAU / 24.0).sin()
    }));
    let (naive, chosen) = (errors[0], errors[PREDICTORS]);
    let seasons = error_of(&errors, Predictor::HoltWinters);
    let correlation = error_of(&errors, Predictor::Correlation);
    assert!(seasons < 0.1 * naive, "{seasons} {naive}");
    assert!(correlation < 0.5 * naive, "{correlation} {naive}");
    assert!(chosen < 0.1 * naive, "{chosen} {naive}");
}

#[test]
fn after_a_step_all_come_to_the_new_level() {
    let mut rate = Rate::default();
    for step in 0..400 {
        rate.note(Some(if step < 200 { 10.0 } else { 100.0 }), &[]);
    }
    let forecast = rate.forecast().expect("samples were noted");
    for (predictor, expected) in Predictor::ALL.into_iter().zip(forecast.each) {
        assert!(
            (expected - 100.0).abs() < 1.0,
            "{}: {expected}",
            predictor.name()
        );
    }
    assert!((forecast.chosen - 100.0).abs() < 1.0);
}

#[test]
fn of_noise_the_mean_is_believed_and_not_the_last_sample() {
    let mut rng = Rng::from_seed(3);
    let errors = errors(&series(2000, |_| 50.0 + 50.0 * rng.fraction()));
    // Two independent draws are a third of the width apart, a draw and the mean a quarter.
    assert!(errors[PREDICTORS] < 0.85 * errors[0], "{errors:?}");
}

#[test]
fn a_missing_sample_is_the_one_before_and_nobody_is_measured_by_it() {
    let (mut whole, mut holed) = (Rate::default(), Rate::default());
    for step in 0..300u32 {
        whole.note(Some(20.0), &[]);
        holed.note((step == 0 || step % 3 != 0).then_some(20.0), &[]);
    }
    assert_eq!(whole.forecast(), holed.forecast());
    let mut wild = Rate::default();
    wild.note(Some(5.0), &[]);
    for none in [f64::INFINITY, f64::NAN, -1.0] {
        wild.note(Some(none), &[]);
    }
    assert_eq!(wild.now(), Some(5.0));
}

#[test]
fn one_that_follows_its_upstream_is_told_by_it() {
    let mut rng = Rng::from_seed(5);
    let upstream = series(600, |_| 100.0 * rng.fraction());
    let mut rate = Rate::default();
    let index = Predictor::ALL
        .iter()
        .position(|it| *it == Predictor::Correlation);
    let index = index.expect("it is one of them");
    for now in 8..600 {
        rate.note(Some(upstream[now - 8]), &[(ComponentId(7), upstream[now])]);
        let Some(expected) = upstream.get(now + HORIZON - 8).filter(|_| now > 200) else {
            continue;
        };
        let forecast = rate.forecast().expect("samples were noted");
        assert!((forecast.each[index] - expected).abs() < 1e-3);
        assert!(now < 400 || forecast.best == Predictor::Correlation);
    }
    assert_eq!(rate.others.len(), 1);
}

#[test]
fn what_one_is_compared_with_is_bounded() {
    let mut rate = Rate::default();
    for step in 0..500u64 {
        let others: Vec<(ComponentId, f64)> =
            (step..step + 10).map(|id| (ComponentId(id), 1.0)).collect();
        rate.note(Some(1.0), &others);
        assert!(rate.others.len() <= OTHERS_MAX);
    }
    assert_eq!(rate.past.len(), HISTORY);
    assert_eq!(rate.expected.len(), HORIZON);
}

proptest! {
    #[test]
    fn no_prediction_is_negative_endless_or_far_beyond_what_was_seen(
        samples in prop::collection::vec(prop::option::of(0.0..1e9f64), 1..300),
    ) {
        let mut rate = Rate::default();
        let mut most = 0.0f64;
        for sample in &samples {
            rate.note(*sample, &[]);
            most = most.max(sample.unwrap_or(0.0));
            if let Some(forecast) = rate.forecast() {
                for expected in forecast.each.iter().chain([&forecast.chosen]) {
                    prop_assert!(*expected >= 0.0 && *expected <= BEYOND * most * (1.0 + 1e-9));
                }
            }
        }
    }
}

#[test]
fn the_mixture_is_never_much_worse_than_naive() {
    for seed in 0..10 {
        // From noise to a random walk, of which nobody can say more than that it stays where it is.
        for persistence in [0.0, 0.5, 0.9, 0.99, 1.0] {
            let mut rng = Rng::from_seed(seed);
            let mut level = 0.0;
            let drawn = series(1500, |_| {
                level = persistence * level + rng.fraction() - 0.5;
                (100.0 + level).max(0.0)
            });
            let errors = errors(&drawn);
            assert!(
                errors[PREDICTORS] <= 1.1 * errors[0],
                "seed {seed}, {persistence}: {errors:?}"
            );
        }
    }
}
