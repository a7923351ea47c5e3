//! What is counted and measured of a component, and how it is smoothed.

use std::time::Duration;

use model::{Instant, convert};

use crate::step::Outcome;

/// What was counted of a component since it started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters {
    pub(crate) rows_in: u64,
    pub(crate) rows_out: u64,
    pub(crate) batches: u64,
    pub(crate) late: u64,
    pub(crate) bad: u64,
    pub(crate) bad_reason: Option<String>,
    pub(crate) missing: u64,
    /// Pulls that asked for more urgency than was admitted.
    pub(crate) clamped: u64,
    pub(crate) busy: Duration,
    pub(crate) rate: Rate,
    /// Rows that readers did not get who do not read any more.
    pub(crate) drops: u64,
    /// What was counted when it was last asked for.
    pub(crate) sampled: Sampled,
}

/// What of a component's counts is told as differences.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Sampled {
    pub(crate) busy: Duration,
    pub(crate) batches: u64,
    pub(crate) rows: u64,
    /// How many batches waited, and how long all of them did.
    pub(crate) waits: u64,
    pub(crate) waited: Duration,
}

/// Over how long rates and slack are smoothed.
///
/// Unit: time. Source: design; guess.
const SMOOTHING: Duration = Duration::from_secs(10);

/// The slack of a batch counts for so much in that of all.
///
/// Unit: divisor. Source: guess.
pub(crate) const SLACK_WEIGHT: i64 = 16;

/// Within so long what comes in counts as much as what has just come: decay is not computed for every batch.
///
/// Unit: time. Range: well below [`SMOOTHING`], of which it is how far off a rate may be. Source: a thousandth of that.
const RATE_STEP: Duration = Duration::from_millis(10);

/// How many rows come in a second, smoothed.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Rate {
    per_second: f64,
    since: Instant,
}

impl Rate {
    fn add(&mut self, now: Instant, rows: u64) {
        if now.since(self.since) >= RATE_STEP {
            self.per_second = self.per_second(now);
            self.since = now;
        }
        self.per_second += convert::count_to_f64(rows) / SMOOTHING.as_secs_f64();
    }

    /// Rows in the last moments, older ones counting less and less.
    pub(crate) fn per_second(&self, now: Instant) -> f64 {
        let passed = now.since(self.since).as_secs_f64() / SMOOTHING.as_secs_f64();
        self.per_second * (-passed).exp()
    }
}

/// How long a span is of which the least age is kept.
///
/// Unit: time. Source: guess; who could not be served counts again after two spans at the latest.
const AGE_SPAN: Duration = Duration::from_secs(5);

/// The least age at which batches came in, lately.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ages {
    began: Instant,
    /// In this span, and in the one before it.
    spans: [Option<Duration>; 2],
}

impl Ages {
    pub(crate) fn observe(&mut self, now: Instant, age: Duration) {
        if now.since(self.began) >= AGE_SPAN {
            self.spans = [None, self.spans[0]];
            self.began = now;
        }
        let [current, _] = &mut self.spans;
        *current = Some(current.map_or(age, |least| least.min(age)));
    }

    /// None at all before the first batch.
    pub(crate) fn least(&self) -> Duration {
        let spans = self.spans.iter().flatten();
        spans.copied().min().unwrap_or_default()
    }
}

/// A duration, smoothed over its last hundred samples or so.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Smoothed {
    seconds: Option<f64>,
}

/// How much a sample counts against all before it.
///
/// Unit: fraction. Source: guess.
const SAMPLE_WEIGHT: f64 = 0.01;

impl Smoothed {
    pub(crate) fn add(&mut self, sample: Duration) {
        let sample = sample.as_secs_f64();
        self.seconds = Some(match self.seconds {
            None => sample,
            Some(mean) => (sample - mean).mul_add(SAMPLE_WEIGHT, mean),
        });
    }

    pub(crate) fn mean(&self) -> Duration {
        convert::seconds(self.seconds.unwrap_or(0.0))
    }
}

impl Counters {
    /// So many rows have come in.
    pub(crate) fn take(&mut self, now: Instant, rows: u64) {
        self.rows_in += rows;
        self.rate.add(now, rows);
    }

    pub(crate) fn add(&mut self, busy: Duration, outcome: &Outcome) {
        self.batches += 1;
        self.busy += busy;
        self.late += outcome.late;
        self.bad += outcome.bad;
        if self.bad_reason.is_none() {
            self.bad_reason.clone_from(&outcome.bad_reason);
        }
    }
}
