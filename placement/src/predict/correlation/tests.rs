use proptest::prelude::*;

use super::*;

/// Both correlations of the last samples by their formulas, in two passes.
fn from_scratch(leader: &[f64], follower: &[f64], lag: usize) -> (f64, f64) {
    let from = leader.len().saturating_sub(HISTORY);
    let (x, y) = (&leader[from..], &follower[from..]);
    let mean = |series: &[f64]| series.iter().sum::<f64>() / count_to_f64(size(series.len()));
    let sum = |x: &[f64], x_mean: f64, y: &[f64], y_mean: f64| {
        let products = x.iter().zip(y).map(|(x, y)| (x - x_mean) * (y - y_mean));
        products.sum::<f64>()
    };
    let m = mean(x);
    let (early, late) = (&x[..x.len() - lag], &y[lag..]);
    let own = sum(early, m, &x[lag..], m) / sum(x, m, x, m);
    let (a, b) = (mean(early), mean(late));
    let cross = sum(early, a, late, b) / (sum(early, a, early, a) * sum(late, b, late, b)).sqrt();
    (own, cross)
}

proptest! {
    #[test]
    fn adding_one_at_a_time_is_computing_at_once(
        samples in prop::collection::vec((0.0..1000.0f64, 0.0..1000.0f64), 50..400),
        offset in prop::sample::select(vec![0.0, 1e4, 1e7]),
    ) {
        let leader: Vec<f64> = samples.iter().map(|it| offset + it.0).collect();
        let follower: Vec<f64> = samples.iter().map(|it| offset + it.1).collect();
        let (mut both, mut alone) = (Correlation::default(), Correlation::default());
        for (leader, follower) in leader.iter().zip(&follower) {
            both.note(*leader, *follower);
            alone.note(*leader, *leader);
        }
        let own = alone.own().expect("it varies");
        for lag in 1..=alone.lag_max() {
            let (expected, _) = from_scratch(&leader, &follower, lag);
            prop_assert!((own.coefficients[lag] - expected).abs() < 1e-5, "{lag}");
        }
        let strongest = (HORIZON..=both.lag_max())
            .map(|lag| from_scratch(&leader, &follower, lag).1)
            .fold(0.0, |most: f64, it| if it.abs() > most.abs() { it } else { most });
        match both.cross() {
            Some(found) => prop_assert!((found.coefficient - strongest).abs() < 1e-5),
            None => prop_assert!(strongest.abs() < COEFFICIENT_MIN + 1e-5),
        }
    }

    #[test]
    fn a_series_that_follows_another_is_told_by_it(
        lag in HORIZON..=30usize,
        slope in prop::sample::select(vec![-3.0, -0.5, 0.2, 4.0]),
        seed in 0u64..1000,
    ) {
        let mut rng = model::Rng::from_seed(seed);
        let leader: Vec<f64> = (0..200).map(|_| rng.fraction() * 100.0).collect();
        let mut both = Correlation::default();
        for now in lag..190 {
            both.note(leader[now], 1000.0 + slope * leader[now - lag]);
        }
        let found = both.cross().expect("one is the other, later");
        prop_assert_eq!(found.lag, lag);
        prop_assert!((found.coefficient - slope.signum()).abs() < 1e-6);
        let expected = 1000.0 + slope * leader[189 + HORIZON - lag];
        prop_assert!((found.expected - expected).abs() < 1e-3, "{} {expected}", found.expected);
    }
}

#[test]
fn what_does_not_vary_is_not_correlated() {
    for level in [0.0, 1.0, 1e9 / 3.0] {
        let mut constant = Correlation::default();
        let mut beside = Correlation::default();
        for step in 0..300 {
            constant.note(level, level);
            beside.note(f64::from(step % 7), level);
        }
        assert_eq!(constant.own(), None);
        assert_eq!(constant.cross(), None);
        assert_eq!(beside.cross(), None);
    }
}

#[test]
fn a_period_is_found_and_not_its_multiple() {
    let mut repeating = Correlation::default();
    for step in 0..HISTORY {
        let angle = count_to_f64(size(step)) * std::f64::consts::TAU / 12.0;
        let sample = 10.0 + angle.sin();
        repeating.note(sample, sample);
    }
    let own = repeating.own().expect("it varies");
    assert_eq!(own.period(), Some(12));
}

#[test]
fn of_few_samples_nothing_is_said() {
    let mut few = Correlation::default();
    for step in 0..2 * PAIRS_MIN - 1 {
        assert_eq!(few.own(), None);
        assert_eq!(few.cross(), None);
        let sample = count_to_f64(size(step % 3));
        few.note(sample, sample);
    }
}
