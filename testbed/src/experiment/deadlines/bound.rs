//! What no order of work can undercut: the least delay of each window.
//!
//! Each operator is given a core of its own, and only the work without which a window cannot leave: batches with rows of it or of those
//! before, and the closings of those. An operator works on one thing at a time, so that nothing makes this shorter but cheaper work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::convert;

use super::accumulate::factor;
use super::plan::origin;
use super::reference::{Left, Reference, applications, dues};
use super::scenario::{Group, Scenario, micros, millis};
use super::schedule::Schedule;

/// Something that an operator has to do.
#[derive(Debug, Clone, Copy)]
struct Job {
    /// Not before this.
    from: Duration,
    cost: Duration,
    /// The number of the first slide whose windows need it.
    slide: i64,
}

/// An operator: its jobs, and when it knows that all of a slide has come.
#[derive(Debug, Default)]
struct Operator {
    jobs: Vec<Job>,
    complete: BTreeMap<i64, Duration>,
}

/// Every window that closes within the run, as it would leave at the earliest.
pub fn least(scenario: &Scenario, schedule: &Schedule, reference: &Reference) -> Vec<Left> {
    let mut least = Vec::new();
    let dues = dues(scenario, schedule);
    for (number, group) in applications(scenario).into_iter().enumerate() {
        let slide_micros = convert::micros(millis(group.slide_ms()));
        let of_application = reference
            .windows
            .range((number, i64::MIN)..=(number, i64::MAX));
        let slides: BTreeSet<i64> = of_application
            .filter(|(_, it)| it.completed.is_some())
            .map(|((_, end), _)| end / slide_micros - 1)
            .collect();
        let sources = sources(scenario, schedule, &dues, number, group);
        let mut operators = shared(&sources, group.stages.first().map_or(1, |it| it.operators));
        for (stage_number, stage) in group.stages.iter().enumerate() {
            let window_slides = if stage_number == 0 { group.slides() } else { 1 };
            let given: Vec<BTreeMap<i64, Duration>> = operators
                .iter()
                .map(|it| it.closings(&slides, window_slides, micros(stage.closing_us)))
                .collect();
            let Some(next) = group.stages.get(stage_number + 1) else {
                let last = given.into_iter().flatten();
                let windows = last.map(|(slide, at)| ((number, (slide + 1) * slide_micros), at));
                least.extend(windows.filter_map(|(window, at)| {
                    let expected = reference.windows.get(&window)?;
                    Some(Left {
                        window,
                        count: expected.count,
                        sum: expected.sum,
                        at,
                    })
                }));
                break;
            };
            let given: Vec<Operator> = given
                .into_iter()
                .map(|closings| Operator::fed_by(closings, micros(next.batch_us)))
                .collect();
            operators = shared(&given, next.operators);
        }
    }
    least
}

/// What comes of each source of an application.
fn sources(
    scenario: &Scenario,
    schedule: &Schedule,
    dues: &[i64],
    number: usize,
    group: &Group,
) -> Vec<Operator> {
    let slide_micros = convert::micros(millis(group.slide_ms()));
    let first = group.stages.first();
    let cost = first.map_or(Duration::ZERO, |it| micros(it.batch_us));
    let mut sources: Vec<Operator> = (0..group.sources).map(|_| Operator::default()).collect();
    let own = schedule.arrivals.iter().zip(dues);
    for (arrival, due) in own.filter(|(arrival, _)| arrival.application == number) {
        let source = &mut sources[arrival.source];
        let noise = factor(
            scenario.cost_noise,
            arrival.time_micros,
            origin(number, arrival.source),
        );
        source.jobs.push(Job {
            from: arrival.offered,
            cost: cost.mul_f64(noise),
            slide: due.div_euclid(slide_micros),
        });
        let progress = arrival.time_micros - scenario.disorder_micros();
        // All slides before the one that progress is in have come.
        let complete = progress.div_euclid(slide_micros) - 1;
        source.complete.entry(complete).or_insert(arrival.offered);
    }
    sources
}

/// Operators side by side that share what those before them give, as plans do.
fn shared(given: &[Operator], count: usize) -> Vec<Operator> {
    let operator = |number: usize| {
        let mut operator = Operator::default();
        let inputs: Vec<&Operator> = given.iter().skip(number).step_by(count).collect();
        for input in &inputs {
            operator.jobs.extend(&input.jobs);
        }
        operator.jobs.sort_by_key(|job| job.from);
        let slides: BTreeSet<i64> = inputs
            .iter()
            .flat_map(|it| it.complete.keys().copied())
            .collect();
        for slide in slides {
            let reached =
                |input: &&Operator| input.complete.range(slide..).next().map(|(_, at)| *at);
            let all: Option<Vec<Duration>> = inputs.iter().map(reached).collect();
            if let Some(latest) = all.and_then(|all| all.into_iter().max()) {
                operator.complete.insert(slide, latest);
            }
        }
        operator
    };
    (0..count).map(operator).collect()
}

impl Operator {
    /// What comes of an operator that closes slides at these times, at a cost for who reads it.
    fn fed_by(closings: BTreeMap<i64, Duration>, cost: Duration) -> Self {
        let job = |(slide, at): (&i64, &Duration)| Job {
            from: *at,
            cost,
            slide: *slide,
        };
        Self {
            jobs: closings.iter().map(job).collect(),
            complete: closings,
        }
    }

    /// When it has closed the windows that end with each slide, each of so many slides, at the earliest.
    fn closings(
        &self,
        slides: &BTreeSet<i64>,
        window_slides: i64,
        closing: Duration,
    ) -> BTreeMap<i64, Duration> {
        let mut closed = BTreeMap::new();
        let mut closed_before: Vec<Duration> = Vec::new();
        for slide in slides {
            let Some((_, complete)) = self.complete.range(slide..).next() else {
                break;
            };
            let of_window = |job: &&Job| job.slide > slide - window_slides && job.slide <= *slide;
            let closing = match self.jobs.iter().any(|job| of_window(&job)) {
                true => closing,
                false => Duration::ZERO,
            };
            let needed = self.jobs.iter().filter(|job| job.slide <= *slide);
            let mut all: Vec<(Duration, Duration)> =
                needed.map(|job| (job.from, job.cost)).collect();
            all.extend(closed_before.iter().map(|from| (*from, closing)));
            all.sort_unstable();
            let worked = all
                .iter()
                .fold(Duration::ZERO, |at, (from, cost)| at.max(*from) + *cost);
            closed.insert(*slide, worked.max(*complete) + closing);
            closed_before.push(*complete);
        }
        closed
    }
}
