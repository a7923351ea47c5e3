//! Sources: numbered rows at a rate.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use engine::columns;
use engine::intake::{Intake, Records};
use model::{ComponentId, CompositionId, DataType, Instant, Origin, Rng, Schema, convert};

use super::{Happening, Machine, Out};
use crate::simulator::exact::Offered;

/// How rows come.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Arrivals {
    /// One after the other, as far apart as the rate says.
    Regular,
    /// Each by itself: times between them are exponential, as the queueing formulas suppose.
    #[default]
    Poisson,
    /// In bursts: for a while at several times the rate, then not at all, so that the rate is kept over time. Each source begins at a time of
    /// its own.
    Bursty {
        /// How long a burst and the pause behind it take together.
        period: Duration,
        /// Which part of it is the burst. Range: above 0, up to 1.
        share: f64,
    },
}

/// How many rows may wait at a source that there is no room for; the others are dropped and counted. Unit: rows.
/// Source: guess; ten seconds of a usual source.
const WAITING_MAX: usize = 10_000;

/// How far rows are apart in event time. Unit: microseconds. Source: guess; ten rows of a window.
const ROW_MICROS: i64 = 100_000;

/// How often a source looks that nobody pulls. Unit: time. Source: guess.
const IDLE: Duration = Duration::from_millis(10);

/// A source.
#[derive(Debug)]
pub(super) struct Feed {
    /// Which source of which composition it is.
    of: (CompositionId, usize),
    intake: Intake,
    schema: SchemaRef,
    types: Vec<DataType>,
    rate: f64,
    arrivals: Arrivals,
    waiting: VecDeque<Instant>,
    has_begun: bool,
    has_stopped: bool,
    number: i64,
    /// When it begins in the period of its bursts. Range: 0 to 1.
    phase: f64,
    pub(super) offered: u64,
    pub(super) dropped: u64,
    rng: Rng,
}

impl Feed {
    /// A source of rows of a schema.
    ///
    /// # Errors
    /// When it has columns of a type for which nothing is made up.
    pub(super) fn new(
        of: (CompositionId, usize),
        origin: Origin,
        schema: &Schema,
        rate: f64,
        arrivals: Arrivals,
        rng: Rng,
    ) -> Result<Self, String> {
        let types: Vec<DataType> = schema.fields().iter().map(|it| it.data_type).collect();
        let is_known =
            |it: &DataType| matches!(it, DataType::Int64 | DataType::Float64 | DataType::Utf8);
        if !types.iter().all(is_known) {
            return Err("a simulated source makes integers, floats and texts alone".to_owned());
        }
        Ok(Self {
            of,
            intake: Intake::new(origin, 0),
            schema: columns::to_arrow(schema),
            types,
            rate,
            arrivals,
            waiting: VecDeque::new(),
            has_begun: false,
            has_stopped: false,
            number: 0,
            phase: rng.keyed("phase").fraction(),
            offered: 0,
            dropped: 0,
            rng,
        })
    }

    pub(super) const fn stop(&mut self) {
        self.has_stopped = true;
    }

    /// How long it is from a row at this moment to the next.
    fn pause(&mut self, now: Instant) -> Duration {
        let mean = 1.0 / self.rate.max(1e-6);
        match self.arrivals {
            Arrivals::Regular => convert::seconds(mean),
            Arrivals::Poisson => convert::seconds(-mean * (1.0 - self.rng.fraction()).ln()),
            Arrivals::Bursty { period, share } => {
                let pause = convert::seconds(mean * share);
                let passed = now.since(Instant::ZERO) + pause + period.mul_f64(self.phase);
                let nanos = convert::nanos(period).max(1);
                let within = Duration::from_nanos(convert::nanos(passed) % nanos);
                match within < period.mul_f64(share.clamp(0.0, 1.0)) {
                    true => pause,
                    false => pause + (period - within),
                }
            }
        }
    }

    /// The next row. What it says is of its number alone, so that sources of one origin say the same.
    fn row(&mut self) -> Option<Records> {
        self.number += 1;
        let columns = self.types.iter().map(|data_type| match data_type {
            DataType::Float64 => {
                let number = self.rng.fraction();
                Arc::new(Float64Array::from(vec![number])) as ArrayRef
            }
            DataType::Utf8 => {
                let text = format!("row {}", self.number);
                Arc::new(StringArray::from(vec![text])) as ArrayRef
            }
            _ => Arc::new(Int64Array::from(vec![self.number])) as ArrayRef,
        });
        let columns: Vec<ArrayRef> = columns.collect();
        Some(Records {
            count: 1,
            columns: RecordBatch::try_new(Arc::clone(&self.schema), columns).ok()?,
            times: vec![self.number * ROW_MICROS],
            places: vec![0],
            bad: Vec::new(),
        })
    }
}

impl Machine {
    /// A source has a row.
    pub(super) fn feed(&mut self, now: Instant, source: ComponentId, out: &mut Vec<Out>) {
        let has_room = self.engine.has_room(source);
        let Some(feed) = self.feeds.get_mut(&source) else {
            return;
        };
        if feed.has_stopped {
            return;
        }
        // Rows that came before anybody pulled are nobody's.
        if !feed.has_begun && !has_room {
            out.push(Out::Later(IDLE, Happening::Row(source)));
            return;
        }
        feed.has_begun = true;
        if feed.waiting.len() < WAITING_MAX {
            feed.waiting.push_back(now);
        } else {
            feed.dropped += 1;
        }
        let pause = feed.pause(now);
        out.push(Out::Later(pause, Happening::Row(source)));
        self.offer(now, source, out);
    }

    /// Offers what waits at a source, as far as there is room.
    pub(super) fn offer(&mut self, now: Instant, source: ComponentId, out: &mut Vec<Out>) {
        let Some(feed) = self.feeds.get_mut(&source) else {
            return;
        };
        while let Some(arrival) = feed.waiting.front().copied()
            && self.engine.has_room(source)
        {
            feed.waiting.pop_front();
            if let Some(records) = feed.row() {
                feed.offered += 1;
                let row = Offered {
                    number: feed.offered,
                    value: feed.number,
                    time: records.times[0],
                };
                out.push(Out::Offered(feed.of, feed.intake.origin(), row));
                let taken = feed.intake.take(arrival, records);
                self.engine.offer(now, source, taken);
            }
        }
    }
}
