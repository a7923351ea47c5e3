//! What must come out: every window of a run, computed from what arrives, one batch after the other and without an engine.

use std::collections::BTreeMap;
use std::time::Duration;

use model::convert;

use super::scenario::{Group, Scenario, millis};
use super::schedule::{Arrival, Schedule};

/// A window of an application: which one of them, and where it ends, in microseconds of event time.
pub type Window = (usize, i64);

/// What a window comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Expected {
    /// How many rows it has.
    pub count: i64,
    /// The sum of their values.
    pub sum: i64,
    /// When the last batch arrives without which it cannot close; nothing where it is open at the end.
    pub completed: Option<Duration>,
}

/// What must come out of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// By application and end.
    pub windows: BTreeMap<Window, Expected>,
}

/// What left at a sink: one window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Left {
    /// Of which application, and which window.
    pub window: Window,
    /// How many rows it has.
    pub count: i64,
    /// The sum of their values.
    pub sum: i64,
    /// When it left, since the beginning.
    pub at: Duration,
}

/// How far one source is.
#[derive(Debug, Default)]
struct Source {
    progress: Option<i64>,
    /// When each batch arrived that brought progress, and which.
    reached: Vec<(i64, Duration)>,
}

/// The application of each number: its group.
pub fn applications(scenario: &Scenario) -> Vec<&Group> {
    let groups = scenario.group.iter();
    groups
        .flat_map(|group| std::iter::repeat_n(group, group.count))
        .collect()
}

/// When the rows of each batch are due, in microseconds of event time: at their time, or at the progress before them where that is later.
pub(super) fn dues(scenario: &Scenario, schedule: &Schedule) -> Vec<i64> {
    let disorder = scenario.disorder_micros();
    let mut reached: BTreeMap<(usize, usize), i64> = BTreeMap::new();
    let due = |arrival: &Arrival| {
        let progress = reached.entry((arrival.application, arrival.source));
        let progress = progress.or_insert(i64::MIN);
        let due = arrival.time_micros.max(*progress);
        *progress = (*progress).max(arrival.time_micros - disorder);
        due
    };
    schedule.arrivals.iter().map(due).collect()
}

impl Reference {
    /// Computes what must come out.
    pub fn of(scenario: &Scenario, schedule: &Schedule) -> Self {
        let applications = applications(scenario);
        let disorder = scenario.disorder_micros();
        let rows = i64::from(scenario.rows_per_batch);
        let mut panes: BTreeMap<Window, (i64, i64)> = BTreeMap::new();
        let mut sources: BTreeMap<(usize, usize), Source> = BTreeMap::new();
        for (arrival, due) in schedule.arrivals.iter().zip(dues(scenario, schedule)) {
            let slide = convert::micros(millis(applications[arrival.application].slide_ms()));
            let key = (arrival.application, arrival.source);
            let source = sources.entry(key).or_default();
            let progress = arrival.time_micros - disorder;
            if source.progress.is_none_or(|known| progress > known) {
                source.progress = Some(progress);
                source.reached.push((progress, arrival.at));
            }
            let pane = panes
                .entry((arrival.application, due.div_euclid(slide)))
                .or_default();
            pane.0 += rows;
            pane.1 += rows * arrival.value + rows * (rows - 1) / 2;
        }
        let mut windows = BTreeMap::new();
        for (number, group) in applications.iter().enumerate() {
            let slide = convert::micros(millis(group.slide_ms()));
            let own = || panes.range((number, i64::MIN)..=(number, i64::MAX));
            let sources: Vec<&Source> = (0..group.sources)
                .filter_map(|source| sources.get(&(number, source)))
                .collect();
            let ends = own().flat_map(|((_, pane), _)| *pane..*pane + group.slides());
            for last in ends {
                let first = last - group.slides() + 1;
                let of_window = panes.range((number, first)..=(number, last));
                let (count, sum) =
                    of_window.fold((0, 0), |all, (_, pane)| (all.0 + pane.0, all.1 + pane.1));
                let end = (last + 1) * slide;
                let closed = |source: &&Source| {
                    let first = source
                        .reached
                        .partition_point(|(reached, _)| *reached < end);
                    source.reached.get(first).map(|(_, at)| *at)
                };
                let all: Option<Vec<Duration>> = sources.iter().map(closed).collect();
                let all = all.filter(|all| all.len() == group.sources);
                let completed = all.and_then(|all| all.into_iter().max());
                windows.insert(
                    (number, end),
                    Expected {
                        count,
                        sum,
                        completed,
                    },
                );
            }
        }
        Self { windows }
    }

    /// What is wrong with what left: a window that there is not, that left twice, or that comes to something else. Sorts by window.
    pub fn check(&self, left: &mut [Left]) -> Vec<String> {
        left.sort_unstable();
        let twice = left
            .windows(2)
            .filter(|pair| pair[0].window == pair[1].window);
        let twice = twice.map(|pair| format!("{:?} left twice", pair[1]));
        let unequal = left.iter().filter(|it| {
            let expected = self.windows.get(&it.window);
            expected.is_none_or(|expected| (expected.count, expected.sum) != (it.count, it.sum))
        });
        let unequal =
            unequal.map(|it| format!("{it:?} should be {:?}", self.windows.get(&it.window)));
        twice.chain(unequal).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        workers = 1
        warm_up_ms = 0
        measured_ms = 10000
        tail_ms = 0
        rows_per_batch = 600
        [[group]]
        name = "a"
        role = "tight"
        count = 1
        target_ms = 1000
        sources = 2
        batches_per_second = 1
        arrivals = "periodic"
        window_ms = 2000
        slide_ms = 1000
        stages = [{ operators = 1, batch_us = 100 }]
    "#;

    fn left(window: Window, expected: &Expected) -> Left {
        Left {
            window,
            count: expected.count,
            sum: expected.sum,
            at: Duration::ZERO,
        }
    }

    #[test]
    fn windows_hold_their_slides_and_are_complete_with_the_last_source() {
        let scenario = Scenario::parse(TEXT).unwrap();
        let schedule = Schedule::draw(&scenario, 1);
        let reference = Reference::of(&scenario, &schedule);
        let second = 1_000_000;
        let whole = reference.windows[&(0, 5 * second)];
        assert_eq!(whole.count, 4 * 600, "two sources, two slides of one batch");
        let closing = schedule.arrivals.iter().filter(|it| it.at.as_secs() == 5);
        assert_eq!(whole.completed, closing.map(|it| it.at).max());
        assert_eq!(reference.windows[&(0, second)].count, 2 * 600);
        let last = reference.windows.last_key_value().unwrap();
        assert_eq!((last.0.1, last.1.completed), (11 * second, None));
    }

    #[test]
    fn what_is_wrong_is_seen() {
        let scenario = Scenario::parse(TEXT).unwrap();
        let reference = Reference::of(&scenario, &Schedule::draw(&scenario, 1));
        let all = reference.windows.iter();
        let mut right: Vec<Left> = all
            .map(|(window, expected)| left(*window, expected))
            .collect();
        assert_eq!(reference.check(&mut right), Vec::<String>::new());
        let mut wrong = right.clone();
        wrong[3].sum += 1;
        wrong.push(right[0]);
        wrong.push(Left {
            window: (0, 17),
            ..right[0]
        });
        assert_eq!(reference.check(&mut wrong).len(), 3);
    }
}
