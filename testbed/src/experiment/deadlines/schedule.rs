//! What arrives: every batch of a run, drawn before it begins, so that each policy gets the same.

use std::time::Duration;

use model::{Rng, convert};

use super::scenario::{Arrivals, Group, Over, Progress, Scenario, millis};

/// A batch that arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Arrival {
    /// When it arrives at its source, since the beginning.
    pub at: Duration,
    /// When it is offered: later than it arrives, where it is held back.
    pub offered: Duration,
    /// The event time of its rows. Unit: microseconds since the beginning.
    pub time_micros: i64,
    /// What its rows begin to count from.
    pub value: i64,
    /// Of which application, in the order of groups.
    pub application: usize,
    /// Of which of its sources.
    pub source: usize,
}

/// Everything that arrives in a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// By the time at which it is offered.
    pub arrivals: Vec<Arrival>,
}

/// How many different batches there are, so that one that counts in the wrong window changes a sum. Source: guess.
const VALUES: u64 = 1000;

impl Schedule {
    /// Draws what arrives.
    pub fn draw(scenario: &Scenario, seed: u64) -> Self {
        let rng = Rng::from_seed(seed);
        let mut arrivals = Vec::new();
        let mut application = 0;
        for group in &scenario.group {
            for number in 0..group.count {
                let rng = rng.keyed(&format!("{} {number}", group.name));
                for source in 0..group.sources {
                    let rate = group.batches_per_second * weight(group, number, source);
                    let mut own = rng.keyed(&format!("source {source}"));
                    for at in times(group, rate, scenario.end(), &rng, &mut own) {
                        arrivals.push(Arrival {
                            at,
                            offered: held(group, at),
                            time_micros: event_time(scenario.progress, at, &mut own),
                            value: i64::try_from(own.below(VALUES)).unwrap_or(0),
                            application,
                            source,
                        });
                    }
                }
                application += 1;
            }
        }
        arrivals.sort_by_key(|it| (it.offered, it.at, it.application, it.source));
        Self { arrivals }
    }

    /// The same arrivals, offered when somebody came to offer them, where that was later.
    #[must_use]
    pub fn offered_at(&self, offered: &[Option<Duration>]) -> Self {
        let mut arrivals = self.arrivals.clone();
        for (arrival, at) in arrivals.iter_mut().zip(offered) {
            arrival.offered = at.unwrap_or_default().max(arrival.offered);
        }
        // Stable, so that what a source has stays in order.
        arrivals.sort_by_key(|it| it.offered);
        Self { arrivals }
    }
}

/// How many times the mean rate a source has.
fn weight(group: &Group, application: usize, source: usize) -> f64 {
    let Some(skew) = group.skew else {
        return 1.0;
    };
    let (place, count) = match skew.over {
        Over::Applications => (application, group.count),
        Over::Sources => (source, group.sources),
    };
    let float = |count: usize| convert::count_to_f64(convert::size(count));
    let last = float(count.saturating_sub(1)).max(1.0);
    let at = |place: usize| skew.ratio.powf(float(place) / last);
    let mean = (0..count).map(at).sum::<f64>() / float(count);
    at(place) / mean
}

/// When a batch is offered that arrives at a time.
fn held(group: &Group, at: Duration) -> Duration {
    let Some(hold) = group.hold else {
        return at;
    };
    let (from, until) = (millis(hold.at_ms), millis(hold.at_ms + hold.for_ms));
    if (from..until).contains(&at) {
        until
    } else {
        at
    }
}

/// The event time of a batch that arrives at a time.
fn event_time(progress: Progress, at: Duration, rng: &mut Rng) -> i64 {
    match progress {
        Progress::Ingestion => convert::micros(at),
        Progress::Event {
            lag_ms,
            disorder_ms,
        } => {
            let lag = disorder_ms.mul_add(rng.fraction(), lag_ms);
            convert::micros(at) - convert::micros(millis(lag))
        }
    }
}

/// When the batches of a source arrive: ascending, before the end. `shared` is the same for all sources of its application.
fn times(group: &Group, rate: f64, end: Duration, shared: &Rng, rng: &mut Rng) -> Vec<Duration> {
    let start = millis(group.starts_ms);
    let end = end.as_secs_f64();
    let mean = 1.0 / rate.max(1e-9);
    let mut times = match group.arrivals {
        Arrivals::Periodic => {
            let phase = rng.fraction();
            let count = (0..).map(convert::count_to_f64);
            count
                .map(|it| (it + phase) * mean)
                .take_while(|it| *it < end)
                .collect()
        }
        Arrivals::Poisson => poisson(end, rate, rng, |_| rate),
        Arrivals::Burst {
            every_ms,
            within_ms,
        } => burst(end, rate, every_ms / 1e3, within_ms / 1e3, rng),
        Arrivals::Pareto {
            every_ms,
            alpha,
            cap,
        } => {
            let mean = pareto_mean(alpha, cap);
            let every = every_ms / 1e3;
            let factors: Vec<f64> = (0..periods(end, every))
                .map(|period| {
                    let mut rng = shared.keyed(&format!("rate {period}"));
                    (1.0 - rng.fraction()).powf(-1.0 / alpha).min(cap) / mean
                })
                .collect();
            let greatest = rate * factors.iter().copied().fold(0.0, f64::max);
            poisson(end, greatest, rng, |at| {
                let period = convert::round((at / every).floor());
                let factor = usize::try_from(period).ok().and_then(|it| factors.get(it));
                rate * factor.copied().unwrap_or(1.0)
            })
        }
        Arrivals::Spike {
            every_ms,
            for_ms,
            factor,
        } => {
            let (every, spike) = (every_ms / 1e3, for_ms / 1e3);
            poisson(end, rate * factor.max(1.0), rng, |at| {
                let is_spike = at.rem_euclid(every) >= every - spike;
                if is_spike { rate * factor } else { rate }
            })
        }
        Arrivals::Backlog { at_ms, batches } => vec![at_ms / 1e3; convert::index(batches.into())],
    };
    times.sort_by(f64::total_cmp);
    let times = times.into_iter().map(convert::seconds);
    times.filter(|at| *at >= start).collect()
}

/// How many periods there are before the end.
fn periods(end: f64, every: f64) -> i64 {
    convert::round((end / every.max(1e-6)).ceil())
}

/// All batches of each period within its beginning. Where a period has no whole number of them, what is left goes to the next.
fn burst(end: f64, rate: f64, every: f64, within: f64, rng: &mut Rng) -> Vec<f64> {
    let mut times = Vec::new();
    // Sources do not all have one more in the same period.
    let mut owed = rng.fraction();
    for period in 0..periods(end, every) {
        let begin = convert::count_to_f64(period.unsigned_abs()) * every;
        owed += rate * every;
        while owed >= 1.0 {
            owed -= 1.0;
            times.push(begin + within * rng.fraction());
        }
    }
    times.retain(|it| *it < end);
    times
}

/// Batches that arrive each by itself at a rate that varies, by thinning: as many as at the greatest rate are drawn, and each stays as
/// likely as its rate is less than that.
fn poisson(end: f64, greatest: f64, rng: &mut Rng, rate: impl Fn(f64) -> f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut now = 0.0;
    loop {
        now -= (1.0 - rng.fraction()).ln() / greatest.max(1e-9);
        if now >= end {
            return times;
        }
        if rng.fraction() * greatest < rate(now) {
            times.push(now);
        }
    }
}

/// The mean of Pareto's law from 1, where greater draws than `cap` count as that.
///
/// ```text
/// (alpha - cap^(1 - alpha)) / (alpha - 1)
/// ```
fn pareto_mean(alpha: f64, cap: f64) -> f64 {
    (alpha - cap.powf(1.0 - alpha)) / (alpha - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(arrivals: &str) -> Scenario {
        let text = format!(
            r#"
            workers = 1
            warm_up_ms = 0
            measured_ms = 200000
            tail_ms = 0
            rows_per_batch = 600
            [[group]]
            name = "a"
            role = "bulk"
            count = 2
            target_ms = 1000
            sources = 2
            batches_per_second = 3.3
            {arrivals}
            window_ms = 500
            stages = [{{ operators = 1, batch_us = 100 }}]
            "#
        );
        Scenario::parse(&text).unwrap()
    }

    #[test]
    fn every_shape_keeps_the_rate() {
        for arrivals in [
            "arrivals = \"periodic\"",
            "arrivals = \"poisson\"",
            "arrivals = { burst = { every_ms = 1000, within_ms = 50 } }",
            "arrivals = \"poisson\"\nskew = { over = \"sources\", ratio = 20 }",
            "arrivals = { pareto = { every_ms = 1000, alpha = 2.5, cap = 20 } }",
        ] {
            let scenario = scenario(arrivals);
            let schedule = Schedule::draw(&scenario, 1);
            let count = convert::count_to_f64(convert::size(schedule.arrivals.len()));
            let rate = count / 200.0 / 4.0;
            assert!((rate - 3.3).abs() < 0.33, "{arrivals}: {rate}");
            assert!(schedule.arrivals.is_sorted_by_key(|it| it.offered));
            assert_eq!(schedule, Schedule::draw(&scenario, 1));
            assert_ne!(schedule, Schedule::draw(&scenario, 2));
        }
    }

    #[test]
    fn what_is_offered_late_stays_in_the_order_of_its_source() {
        let drawn = Schedule::draw(&scenario("arrivals = \"poisson\""), 1);
        let late = |(number, arrival): (usize, &Arrival)| match number % 3 {
            0 => None,
            // What comes meanwhile waits behind it.
            1 => Some(arrival.offered + Duration::from_secs(1)),
            _ => Some(Duration::ZERO),
        };
        let mut offered: Vec<Option<Duration>> =
            drawn.arrivals.iter().enumerate().map(late).collect();
        let mut reached = [[Duration::ZERO; 2]; 2];
        for (arrival, offered) in drawn.arrivals.iter().zip(&mut offered) {
            let reached = &mut reached[arrival.application][arrival.source];
            *reached = offered.unwrap_or_default().max(*reached);
            *offered = Some(*reached);
        }
        let again = drawn.offered_at(&offered);
        assert!(again.arrivals.is_sorted_by_key(|it| it.offered));
        assert_ne!(again, drawn);
        for (application, source) in [(0, 0), (0, 1), (1, 0), (1, 1)] {
            let own = |of: &Schedule| -> Vec<(Duration, i64)> {
                let all = of.arrivals.iter();
                all.filter(|it| (it.application, it.source) == (application, source))
                    .map(|it| (it.at, it.value))
                    .collect()
            };
            assert_eq!(own(&again), own(&drawn));
        }
        let never = vec![None; drawn.arrivals.len()];
        assert_eq!(drawn.offered_at(&never), drawn);
    }

    #[test]
    fn bursts_spikes_and_skew_are_where_they_are_said() {
        let burst = scenario("arrivals = { burst = { every_ms = 1000, within_ms = 50 } }");
        let within = |it: &Arrival| it.at.subsec_millis() < 50;
        assert!(Schedule::draw(&burst, 3).arrivals.iter().all(within));

        let spike =
            scenario("arrivals = { spike = { every_ms = 20000, for_ms = 2000, factor = 5 } }");
        let schedule = Schedule::draw(&spike, 3);
        let (inside, outside): (Vec<&Arrival>, Vec<&Arrival>) = schedule
            .arrivals
            .iter()
            .partition(|it| it.at.as_secs() % 20 >= 18);
        let ratio = inside.len() as f64 / 2.0 / (outside.len() as f64 / 18.0);
        assert!((ratio - 5.0).abs() < 1.0, "{ratio}");

        let skew =
            scenario("arrivals = \"poisson\"\nskew = { over = \"applications\", ratio = 20 }");
        let schedule = Schedule::draw(&skew, 3);
        let of = |application| {
            let own = schedule.arrivals.iter();
            own.filter(|it| it.application == application).count() as f64
        };
        let ratio = of(1) / of(0);
        assert!((10.0..40.0).contains(&ratio), "{ratio}");
    }

    #[test]
    fn what_is_held_back_arrives_in_time_and_is_offered_late() {
        let held = scenario("arrivals = \"periodic\"\nhold = { at_ms = 1000, for_ms = 3000 }");
        let schedule = Schedule::draw(&held, 1);
        let late: Vec<&Arrival> = schedule
            .arrivals
            .iter()
            .filter(|it| it.offered > it.at)
            .collect();
        assert!(late.len() > 30, "{}", late.len());
        let second = Duration::from_secs;
        for it in late {
            assert!((second(1)..second(4)).contains(&it.at) && it.offered == second(4));
        }
    }
}
