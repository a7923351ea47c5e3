//! H2: what a prediction costs.

use model::{Clock, ComponentId, Rng, convert};
use node::clock::MachineClock;
use placement::predict::{HISTORY, Line, OTHERS_MAX, Rate};

use crate::bench::report::Report;

/// How often all is done. Source: enough that the spread shows what else ran.
const ROUNDS: usize = 7;

/// How long a prediction may take. Unit: nanoseconds. Source: design; published are 0.5984 ms.
const NANOS_MAX: f64 = 10_000.0;

/// Measures a prediction in full: a sample is noted, with as many rates of others as count, and rate and execution time at the horizon are
/// computed.
pub(super) fn run(samples: usize) -> Report {
    let clock = MachineClock::start();
    let mut nanos = Vec::new();
    let mut sum = 0.0;
    for round in 0..ROUNDS {
        let mut rng = Rng::from_seed(convert::size(round));
        let rates: Vec<f64> = (0..samples + HISTORY)
            .map(|now| {
                let angle = convert::count_to_f64(convert::size(now)) / 9.0;
                100.0 + 40.0 * angle.sin() + 20.0 * rng.fraction()
            })
            .collect();
        let (mut rate, mut line) = (Rate::default(), Line::default());
        let mut predict = |now: usize| {
            let own = rates[now];
            let mut others = [(ComponentId(0), 0.0); OTHERS_MAX];
            for (number, other) in others.iter_mut().enumerate() {
                let before = now.saturating_sub(6 + number);
                *other = (ComponentId(convert::size(number)), rates[before]);
            }
            rate.note(Some(own), &others);
            line.note(own, own * 1e-4);
            let expected = rate.forecast().map_or(own, |it| it.chosen);
            line.predict(expected, 1e-3).unwrap_or(0.0)
        };
        (0..HISTORY).for_each(|now| sum += predict(now));
        let start = clock.now();
        (HISTORY..HISTORY + samples).for_each(|now| sum += predict(now));
        let elapsed = convert::nanos(clock.now().since(start));
        nanos.push(convert::count_to_f64(elapsed) / convert::count_to_f64(convert::size(samples)));
    }
    // What was computed is used, so that it is not left out.
    assert!(sum.is_finite(), "predictions are finite: {sum}");
    let mut report = Report::new("H2", (0..ROUNDS).map(convert::size).collect());
    report.spread("ns_per_prediction", &nanos);
    nanos.sort_by(f64::total_cmp);
    report.claim("at_most_10_us", nanos[ROUNDS / 2] <= NANOS_MAX);
    report
}
