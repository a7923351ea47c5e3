//! Sinks: they write nothing, count everything, and check that each position leaves once.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Batch;
use model::{CompositionId, Instant, Origin, convert};

use super::{Machine, Out};

/// How many delays are kept of a sink: the latest. Source: guess.
const DELAYS_MAX: usize = 8192;

/// What left at a sink.
#[derive(Debug, Clone, Default)]
pub struct Counted {
    /// Rows.
    pub rows: u64,
    /// Rows that results say they lack.
    pub missing: u64,
    /// Rows that left after the target.
    pub misses: u64,
    delays: Vec<Duration>,
    next: usize,
}

impl Counted {
    /// The delay that this part of the latest results did not exceed; nothing where there was none.
    pub fn quantile(&self, fraction: f64) -> Option<Duration> {
        let mut sorted = self.delays.clone();
        sorted.sort_unstable();
        let last = sorted.len().checked_sub(1)?;
        let place = convert::count_to_f64(convert::size(last)) * fraction.clamp(0.0, 1.0);
        let place = u64::try_from(convert::round(place)).unwrap_or(0);
        sorted.get(convert::index(place)).copied()
    }

    /// The delays of the latest results: so many, or as many as are kept. In no order.
    pub fn latest(&self, count: u64) -> Vec<Duration> {
        let count = convert::index(count).min(self.delays.len());
        // Behind the newest lies the oldest.
        let newest = self.next % DELAYS_MAX;
        let back = (1..=count).map(|it| (newest + self.delays.len() - it) % self.delays.len());
        back.map(|place| self.delays[place]).collect()
    }

    /// The mean delay of the latest results; nothing where there was none.
    pub fn mean(&self) -> Option<Duration> {
        let count = u32::try_from(self.delays.len()).ok()?;
        let sum: Duration = self.delays.iter().sum();
        sum.checked_div(count)
    }

    fn add(&mut self, delay: Duration) {
        if self.delays.len() < DELAYS_MAX {
            self.delays.push(delay);
        } else {
            self.delays[self.next % DELAYS_MAX] = delay;
            self.next += 1;
        }
    }
}

/// A sink.
#[derive(Debug)]
pub(super) struct Sink {
    /// Which sink of which composition it is.
    of: (CompositionId, usize),
    target: Duration,
    pub(super) counted: Counted,
    /// The last index that left, by origin.
    last: BTreeMap<Origin, u64>,
}

impl Sink {
    /// A sink whose rows are to leave within a target.
    pub(super) fn new(of: (CompositionId, usize), target: Duration) -> Self {
        Self {
            of,
            target,
            counted: Counted::default(),
            last: BTreeMap::new(),
        }
    }

    fn take(&mut self, now: Instant, batch: &Batch, out: &mut Vec<Out>) {
        let delay = batch.header.age(now);
        let origin = batch.header.origin;
        self.counted.missing += u64::from(batch.header.missing);
        for index in batch.indices() {
            let last = self.last.insert(origin, index);
            // Several rows may come of one: they leave together.
            if last.is_some_and(|last| last > index) {
                let what = format!("row {index} of {origin:?} leaves after row {last:?}");
                out.push(Out::Wrong(what));
            }
            self.counted.rows += 1;
            self.counted.misses += u64::from(delay > self.target);
            self.counted.add(delay);
        }
        if let Some(last) = self.last.get(&origin).copied()
            && !batch.rows.is_empty()
            && last > batch.header.interval.through()
        {
            out.push(Out::Wrong(format!("{origin:?} left beyond its interval")));
        }
    }
}

impl Machine {
    /// Takes all that waits at sinks.
    pub(super) fn drain(&mut self, now: Instant, out: &mut Vec<Out>) {
        for (id, sink) in &mut self.sinks {
            while let Some((channel, batch)) = self.engine.receive(now, *id) {
                sink.take(now, &batch, out);
                out.push(Out::Left(sink.of, batch.clone()));
                self.engine.acknowledge(now, *id, channel, &batch);
            }
        }
    }
}
