//! Scenarios: who shares the cores, what arrives, and what it costs. One file drives threads and virtual cores alike.

use std::time::Duration;

use anyhow::{Context, ensure};
use model::convert;
use model::plan::{INPUTS_MAX, OPERATORS_MAX};
use serde::Deserialize;

/// A scenario, as its file says it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// How many workers share the applications. Range: from 1.
    pub workers: usize,
    /// How long it runs before anything counts. Unit: milliseconds.
    pub warm_up_ms: f64,
    /// Windows that are completed within this time count. Unit: milliseconds.
    pub measured_ms: f64,
    /// How long the load goes on behind that: what has not left by then is unfinished. Unit: milliseconds.
    pub tail_ms: f64,
    /// How many rows a batch has. Range: above half of a full batch, so that waiting batches are never joined and the unit of scheduling is what
    /// the scenario says; up to a full one.
    pub rows_per_batch: u32,
    /// How much more or less than it says at its stage a batch costs at most, drawn evenly for each. Unit: fraction of that. Range: 0 to 1.
    #[serde(default)]
    pub cost_noise: f64,
    /// What progress follows from.
    #[serde(default)]
    pub progress: Progress,
    /// The applications, those that are alike together.
    pub group: Vec<Group>,
}

/// What the progress of a source follows from.
#[derive(Debug, Clone, Copy, PartialEq, Default, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Progress {
    /// When rows arrive.
    #[default]
    Ingestion,
    /// What rows say: a time before their arrival.
    Event {
        /// By how much at least. Unit: milliseconds.
        lag_ms: f64,
        /// By how much more, drawn for each batch; sources allow rows to be that much out of order. Unit: milliseconds.
        disorder_ms: f64,
    },
}

/// Applications that are alike.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Group {
    /// Its name: applications are numbered behind it.
    pub name: String,
    /// Whose figures its delays count in.
    pub role: Role,
    /// How many applications there are.
    pub count: usize,
    /// The latency target. Unit: milliseconds.
    pub target_ms: f64,
    /// How many sources each has.
    pub sources: usize,
    /// How many batches a source has each second, on average.
    pub batches_per_second: f64,
    /// What is changed so that the load comes out as asked for.
    #[serde(default)]
    pub follows_load: Option<Follows>,
    /// When batches arrive.
    pub arrivals: Arrivals,
    /// Whose rate differs from whose.
    #[serde(default)]
    pub skew: Option<Skew>,
    /// How long windows are. Unit: milliseconds.
    pub window_ms: f64,
    /// How far apart they begin; as far as they are long, where nothing is said. Unit: milliseconds.
    #[serde(default)]
    pub slide_ms: Option<f64>,
    /// Its operators, from those that read sources to the last.
    pub stages: Vec<Stage>,
    /// From when on its batches arrive. Unit: milliseconds.
    #[serde(default)]
    pub starts_ms: f64,
    /// When its batches are held back, as by a network that stands still.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Which part of what it offers has a token each second, where policies go by token shares.
    #[serde(default)]
    pub share: Option<f64>,
}

/// Whose figures the delays of a group count in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Those who are in a hurry.
    Tight,
    /// Those who have time.
    Bulk,
}

/// What of a group is changed so that the load comes out as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Follows {
    /// How many batches arrive.
    Rate,
    /// What each costs, at every stage.
    Cost,
}

/// When the batches of a source arrive.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Arrivals {
    /// Equally far apart.
    Periodic,
    /// Each by itself.
    Poisson,
    /// All of a period within its beginning.
    Burst {
        /// From one burst to the next. Unit: milliseconds.
        every_ms: f64,
        /// How long one takes. Unit: milliseconds.
        within_ms: f64,
    },
    /// Each by itself, at a rate that an application draws anew for all its sources each period, by Pareto's law.
    Pareto {
        /// How long a rate holds. Unit: milliseconds.
        every_ms: f64,
        /// The exponent. Range: above 1.
        alpha: f64,
        /// The greatest draw, in multiples of the least.
        cap: f64,
    },
    /// Each by itself, and for a while at many times the rate.
    Spike {
        /// From one spike to the next. Unit: milliseconds.
        every_ms: f64,
        /// How long one takes, at the end of each period. Unit: milliseconds.
        for_ms: f64,
        /// By how much the rate is multiplied meanwhile.
        factor: f64,
    },
    /// All that there will ever be, at once.
    Backlog {
        /// When. Unit: milliseconds.
        at_ms: f64,
        /// How many batches each source has.
        batches: u32,
    },
}

/// Rates that lie geometrically between the least and the greatest; their mean stays.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skew {
    /// Whose rates differ.
    pub over: Over,
    /// The greatest rate over the least.
    pub ratio: f64,
}

/// Whose rates differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// Those of the applications of a group.
    Applications,
    /// Those of the sources of each application.
    Sources,
}

/// Operators side by side that share what the stage before gives.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// How many there are.
    pub operators: usize,
    /// What a batch costs. Unit: microseconds of processor time.
    pub batch_us: f64,
    /// What it costs to close a window. Unit: microseconds of processor time.
    #[serde(default)]
    pub closing_us: f64,
}

/// Batches that arrive at their sources in time, and are offered later.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hold {
    /// From when. Unit: milliseconds.
    pub at_ms: f64,
    /// For how long. Unit: milliseconds.
    pub for_ms: f64,
}

/// What the machine gives and takes beside what operators cost.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Overheads {
    /// How many cores all workers get together. Unit: cores.
    pub capacity: f64,
    /// The processor time that workers take for a batch beside its operator.
    pub dispatch: Duration,
    /// How long it takes until a batch is taken notice of, and a result is received, where nobody has anything else to do.
    pub delivery: Duration,
}

impl Scenario {
    /// A scenario from its text.
    ///
    /// # Errors
    /// When it is none, or cannot be run.
    pub fn parse(text: &str) -> anyhow::Result<Self> {
        let scenario: Self = toml::from_str(text).context("not a scenario")?;
        scenario.check()?;
        Ok(scenario)
    }

    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.workers > 0, "without a worker nothing runs");
        let full = u32::try_from(engine::batch::ROWS_MAX).unwrap_or(u32::MAX);
        let rows = self.rows_per_batch;
        ensure!(
            rows > full / 2 && rows <= full,
            "{rows} rows in a batch: more than {} and at most {full} are",
            full / 2
        );
        ensure!(
            (0.0..=1.0).contains(&self.cost_noise),
            "nothing costs less than nothing"
        );
        for group in &self.group {
            group
                .check()
                .with_context(|| format!("group {}", group.name))?;
        }
        Ok(())
    }

    /// By how much sources allow rows to be out of order. Unit: microseconds of event time.
    pub(super) fn disorder_micros(&self) -> i64 {
        match self.progress {
            Progress::Ingestion => 0,
            Progress::Event { disorder_ms, .. } => convert::micros(millis(disorder_ms)),
        }
    }

    /// When the last batch arrives.
    pub fn end(&self) -> Duration {
        millis(self.warm_up_ms + self.measured_ms + self.tail_ms)
    }

    /// When the last thing that disturbs it ends, and how long the windows are that it disturbs; nothing where all is even.
    pub(super) fn disturbed(&self) -> Option<(Duration, f64)> {
        let counted = self.warm_up_ms + self.measured_ms;
        self.group.iter().find_map(|group| {
            let until = match (group.hold, group.arrivals) {
                (Some(hold), _) => hold.at_ms + hold.for_ms,
                // Spikes end with their periods.
                (None, Arrivals::Spike { every_ms, .. }) => (counted / every_ms).floor() * every_ms,
                (None, _) => return None,
            };
            let tight = self.group.iter().find(|it| it.role == Role::Tight);
            Some((millis(until), tight.unwrap_or(group).slide_ms()))
        })
    }

    /// The same at another pace: what takes time takes `factor` times as long, what comes per second comes as much less often. The load
    /// and all ratios of times stay.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let mut scaled = self.clone();
        for time in [
            &mut scaled.warm_up_ms,
            &mut scaled.measured_ms,
            &mut scaled.tail_ms,
        ] {
            *time *= factor;
        }
        if let Progress::Event {
            lag_ms,
            disorder_ms,
        } = &mut scaled.progress
        {
            *lag_ms *= factor;
            *disorder_ms *= factor;
        }
        for group in &mut scaled.group {
            group.scale(factor);
        }
        scaled
    }

    /// The same with such a load: the part of what `overheads` says the workers get that operators and dispatches take on average.
    ///
    /// # Errors
    /// When nothing follows the load, or what does not follow it takes more already.
    pub fn loaded(&self, load: f64, overheads: Overheads) -> anyhow::Result<Self> {
        let mut loaded = self.clone();
        let wanted = load * overheads.capacity;
        let (mut fixed, mut following) = (0.0, 0.0);
        for group in &self.group {
            let demand = group.demand(overheads.dispatch);
            match group.follows_load {
                None => fixed += demand.dispatches + demand.operators,
                Some(Follows::Rate) => {
                    fixed += demand.windows;
                    following += demand.dispatches + demand.operators - demand.windows;
                }
                Some(Follows::Cost) => {
                    fixed += demand.dispatches;
                    following += demand.operators;
                }
            }
        }
        ensure!(following > 0.0, "nothing follows the load");
        let factor = (wanted - fixed) / following;
        ensure!(
            factor > 0.0,
            "a load of {load} leaves nothing for what follows it: {fixed:.2} of {wanted:.2} cores are taken"
        );
        for group in &mut loaded.group {
            match group.follows_load {
                None => {}
                Some(Follows::Rate) => group.batches_per_second *= factor,
                Some(Follows::Cost) => {
                    for stage in &mut group.stages {
                        stage.batch_us *= factor;
                        stage.closing_us *= factor;
                    }
                }
            }
        }
        Ok(loaded)
    }

    /// The same without any work: what is left is what the engine itself takes.
    #[must_use]
    pub fn without_work(&self) -> Self {
        let mut idle = self.clone();
        for stage in idle.group.iter_mut().flat_map(|it| &mut it.stages) {
            stage.batch_us = 0.0;
            stage.closing_us = 0.0;
        }
        idle
    }
}

/// What a group takes on average. Unit: cores.
#[derive(Debug, Clone, Copy)]
struct Demand {
    /// What its operators take.
    operators: f64,
    /// What the engine takes for its batches.
    dispatches: f64,
    /// Of both, what does not depend on its rate: what windows make.
    windows: f64,
}

impl Group {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            self.count > 0 && self.batches_per_second > 0.0,
            "nothing arrives"
        );
        ensure!(
            self.sources <= OPERATORS_MAX,
            "more than {OPERATORS_MAX} sources"
        );
        let slides = self.window_ms / self.slide_ms.unwrap_or(self.window_ms);
        ensure!(
            slides >= 1.0 && (slides - slides.round()).abs() < 1e-9,
            "a window is a whole number of slides"
        );
        let mut before = self.sources;
        for stage in &self.stages {
            let shared = stage.operators > 0 && before >= stage.operators;
            ensure!(
                shared && before.div_ceil(stage.operators) <= INPUTS_MAX,
                "{} operators cannot share what {before} give",
                stage.operators
            );
            before = stage.operators;
        }
        ensure!(
            before == 1 && !self.stages.is_empty(),
            "one operator is the last"
        );
        if let Arrivals::Pareto { alpha, cap, .. } = self.arrivals {
            ensure!(alpha > 1.0 && cap > 1.0, "draws have no mean");
        }
        Ok(())
    }

    /// How many operators read what its sources give.
    pub fn first_operators(&self) -> usize {
        self.stages.first().map_or(0, |stage| stage.operators)
    }

    /// From one window to the next. Unit: milliseconds.
    pub fn slide_ms(&self) -> f64 {
        self.slide_ms.unwrap_or(self.window_ms)
    }

    /// How many slides a window has.
    pub fn slides(&self) -> i64 {
        convert::round(self.window_ms / self.slide_ms()).max(1)
    }

    /// What one of its applications takes of workers on average, beside what dispatches take. Unit: cores.
    pub fn cores(&self) -> f64 {
        let count = convert::count_to_f64(convert::size(self.count));
        self.demand(Duration::ZERO).operators / count
    }

    fn scale(&mut self, factor: f64) {
        self.target_ms *= factor;
        self.batches_per_second /= factor;
        self.window_ms *= factor;
        self.slide_ms = self.slide_ms.map(|it| it * factor);
        self.starts_ms *= factor;
        for stage in &mut self.stages {
            stage.batch_us *= factor;
            stage.closing_us *= factor;
        }
        if let Some(hold) = &mut self.hold {
            hold.at_ms *= factor;
            hold.for_ms *= factor;
        }
        match &mut self.arrivals {
            Arrivals::Periodic | Arrivals::Poisson => {}
            Arrivals::Burst {
                every_ms,
                within_ms,
            } => {
                *every_ms *= factor;
                *within_ms *= factor;
            }
            Arrivals::Pareto { every_ms, .. } => *every_ms *= factor,
            Arrivals::Spike {
                every_ms, for_ms, ..
            } => {
                *every_ms *= factor;
                *for_ms *= factor;
            }
            Arrivals::Backlog { at_ms, .. } => *at_ms *= factor,
        }
    }

    /// What it takes where a dispatch takes so much of a worker.
    fn demand(&self, dispatch: Duration) -> Demand {
        let float = |count: usize| convert::count_to_f64(convert::size(count));
        let dispatch = dispatch.as_secs_f64();
        let windows_per_second = 1e3 / self.slide_ms();
        let [first, ..] = self.stages.as_slice() else {
            return Demand {
                operators: 0.0,
                dispatches: 0.0,
                windows: 0.0,
            };
        };
        let batches = float(self.sources) * self.batches_per_second;
        let (mut by_window, mut dispatches_by_window, mut before) = (0.0, 0.0, 0.0);
        for (number, stage) in self.stages.iter().enumerate() {
            if number > 0 {
                by_window += before * stage.batch_us;
                dispatches_by_window += before;
            }
            before = float(stage.operators);
            by_window += before * stage.closing_us;
        }
        let count = float(self.count);
        let windows = count * windows_per_second * by_window / 1e6;
        let window_dispatches = count * windows_per_second * dispatches_by_window * dispatch;
        Demand {
            operators: (count * batches).mul_add(first.batch_us / 1e6, windows),
            dispatches: (count * batches).mul_add(dispatch, window_dispatches),
            windows: windows + window_dispatches,
        }
    }
}

/// Milliseconds as a duration.
pub fn millis(millis: f64) -> Duration {
    convert::seconds(millis / 1e3)
}

/// Microseconds as a duration.
pub fn micros(micros: f64) -> Duration {
    convert::seconds(micros / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        workers = 2
        warm_up_ms = 0
        measured_ms = 1000
        tail_ms = 0
        rows_per_batch = 600
        [[group]]
        name = "bulk"
        role = "bulk"
        count = 2
        target_ms = 1000
        sources = 4
        batches_per_second = 10
        follows_load = "rate"
        arrivals = "periodic"
        window_ms = 500
        stages = [
            { operators = 2, batch_us = 100 },
            { operators = 1, batch_us = 50, closing_us = 100 },
        ]
    "#;

    fn demand(scenario: &Scenario, overheads: Overheads) -> f64 {
        let demands = scenario
            .group
            .iter()
            .map(|it| it.demand(overheads.dispatch));
        demands.map(|it| it.operators + it.dispatches).sum::<f64>() / overheads.capacity
    }

    #[test]
    fn the_load_is_what_was_asked_for_whatever_follows_it() {
        let overheads = Overheads {
            capacity: 1.9,
            dispatch: Duration::from_micros(3),
            delivery: Duration::ZERO,
        };
        for follows in ["rate", "cost"] {
            let text = TEXT.replace("\"rate\"", &format!("{follows:?}"));
            let scenario = Scenario::parse(&text).unwrap();
            for load in [0.3, 0.95, 1.13] {
                let loaded = scenario.loaded(load, overheads).unwrap();
                assert!(
                    (demand(&loaded, overheads) - load).abs() < 1e-9,
                    "{follows}"
                );
                let slow = loaded.scaled(4.0);
                // Dispatches do not take longer where time goes slower: there they weigh less.
                assert!(demand(&slow, overheads) < load);
            }
        }
        let scenario = Scenario::parse(TEXT).unwrap();
        assert!(
            scenario.loaded(0.0, overheads).is_err(),
            "windows cost something"
        );
    }

    #[test]
    fn a_scenario_that_cannot_be_run_is_refused() {
        for (right, wrong) in [
            ("workers = 2", "workers = 0"),
            ("rows_per_batch = 600", "rows_per_batch = 100"),
            ("operators = 2", "operators = 5"),
            ("operators = 1", "operators = 2"),
            ("count = 2", "count = 2\nslide_ms = 300"),
            ("count = 2", "count = 2\nluck = 1"),
        ] {
            assert!(TEXT.contains(right));
            let text = TEXT.replace(right, wrong);
            assert!(Scenario::parse(&text).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_last_disturbance_is_that_of_a_hold_or_of_spikes() {
        let spikes = include_str!("../../../scenarios/deadlines/spike.toml");
        let hold = include_str!("../../../scenarios/deadlines/delayed.toml");
        let even = include_str!("../../../scenarios/deadlines/sum.toml");
        let disturbed = |text| Scenario::parse(text).unwrap().disturbed();
        assert_eq!(disturbed(spikes), Some((Duration::from_secs(60), 1000.0)));
        let scenario = Scenario::parse(hold).unwrap();
        let held = scenario.group.iter().find_map(|it| it.hold).unwrap();
        let until = millis(held.at_ms + held.for_ms);
        assert_eq!(disturbed(hold).map(|(at, _)| at), Some(until));
        assert_eq!(disturbed(even), None);
    }
}
