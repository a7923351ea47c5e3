//! The operator of the load: it counts and sums rows by window, and takes as long for it as the scenario says.
//!
//! What it gives is exact, so that every result can be held against a reference; what it takes is processor time that it burns where
//! threads run it, and that it only tells where cores are virtual.

use std::collections::BTreeMap;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::SchemaRef;
use engine::Batch;
use engine::columns;
use engine::frontier::Slide;
use engine::operator::{Closing, Compiled, CompleteTick, DefaultCost, Emitter, Operator, Tick};
use model::{Arguments, Clock, DataType, EventTime, Field, Origin, Rng, Schema, convert};

/// What becomes of the processor time that work takes. Cheap to clone; clones tell together.
#[derive(Clone)]
pub(super) struct Burner {
    /// By whose clock it is burned on the thread that works; nothing where it is only told.
    clock: Option<Arc<dyn Clock>>,
    /// Unit: nanoseconds.
    told: Arc<AtomicU64>,
}

impl Burner {
    /// Threads burn it.
    pub(super) fn spinning(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock: Some(clock),
            told: Arc::default(),
        }
    }

    /// It is added up: whoever runs the operator takes it, and holds a virtual core for so long.
    pub(super) fn telling() -> Self {
        Self {
            clock: None,
            told: Arc::default(),
        }
    }

    /// Takes so much processor time.
    pub(super) fn burn(&self, time: Duration) {
        if time.is_zero() {
            return;
        }
        self.told.fetch_add(convert::nanos(time), Ordering::Relaxed);
        if let Some(clock) = &self.clock {
            let until = clock.thread_cpu() + time;
            while clock.thread_cpu() < until {
                spin();
            }
        }
    }

    /// What was taken since this was last asked.
    pub(super) fn take(&self) -> Duration {
        Duration::from_nanos(self.told.swap(0, Ordering::Relaxed))
    }
}

/// Does nothing of use for about a microsecond: asking the system how much time has passed takes some hundred nanoseconds itself.
fn spin() {
    let mut number = black_box(1_u64);
    for _ in 0..SPINS {
        number = black_box(
            number
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1),
        );
    }
}

/// How often a number is changed between two looks at the clock. Unit: count. Source: guess; about a microsecond.
const SPINS: u32 = 500;

impl fmt::Debug for Burner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_burned = self.clock.is_some();
        f.debug_struct("Burner")
            .field("is_burned", &is_burned)
            .finish_non_exhaustive()
    }
}

/// What an operator of the load does.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// Whether it reads what sources give, or what operators of the load give.
    pub(super) reads_sources: bool,
    /// From one window to the next. Unit: microseconds.
    pub(super) slide_micros: i64,
    /// How many slides a window has.
    pub(super) slides: i64,
    /// What a batch costs that has as many rows as `rows_per_batch` says; others cost in proportion.
    pub(super) batch: Duration,
    /// How many rows that are: of what operators give, one.
    pub(super) rows_per_batch: u32,
    /// How much more or less than that each of them costs at most, as a fraction of it.
    pub(super) cost_noise: f64,
    /// What it costs to close a window.
    pub(super) closing: Duration,
    /// What becomes of that.
    pub(super) burner: Burner,
}

/// The columns that sources of the load give.
pub(super) fn source_schema() -> Schema {
    Schema::new(vec![Field::new("value", DataType::Int64)]).expect("one name")
}

/// The columns that operators of the load give: how many rows of sources are in a window, and the sum of their values.
pub(super) fn result_schema() -> Schema {
    let fields = ["count", "sum"].map(|name| Field::new(name, DataType::Int64));
    Schema::new(fields.to_vec()).expect("two names that differ")
}

impl Load {
    /// The operator, ready to run.
    pub(super) fn compiled(self) -> Compiled {
        let cost = DefaultCost {
            batch_seconds: 0.0,
            row_seconds: self.batch.as_secs_f64() / f64::from(self.rows_per_batch),
        };
        Compiled {
            parameters: Arguments::new(),
            outputs: vec![("out".to_owned(), result_schema())],
            operator: Box::new(Accumulate {
                schema: columns::to_arrow(&result_schema()),
                load: self,
                panes: BTreeMap::new(),
                open: i64::MIN,
            }),
            cost,
        }
    }
}

/// How many times the usual a batch of rows of one time costs: the same under each policy and however it is cut.
pub(super) fn factor(noise: f64, time: i64, origin: Origin) -> f64 {
    if noise <= 0.0 {
        return 1.0;
    }
    let mut drawn = Rng::from_seed(time.unsigned_abs()).keyed(&origin.0.to_string());
    noise.mul_add(2.0 * drawn.fraction() - 1.0, 1.0)
}

/// Counts and sums by window. A window is told of by its last slide, which ends where it does.
#[derive(Debug)]
struct Accumulate {
    schema: SchemaRef,
    load: Load,
    /// Count and sum by slide.
    panes: BTreeMap<i64, (i64, i64)>,
    /// The first window that is not closed.
    open: i64,
}

impl Operator for Accumulate {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let columns = batch.rows.columns();
        let column = |index: usize| columns.column(index).as_primitive::<Int64Type>().values();
        let of_sources = self.load.reads_sources;
        let dues = batch.rows.dues();
        let pane_of = |due: &i64| due.div_euclid(self.load.slide_micros);
        // Rows that stand together are mostly of one slide: it is looked up once for all of them.
        let mut row = 0;
        for same in dues.chunk_by(|left, right| pane_of(left) == pane_of(right)) {
            let pane = pane_of(&same[0]);
            assert!(pane >= self.open, "a row came behind its window");
            let rows = row..row + same.len();
            row = rows.end;
            let (count, sum): (i64, i64) = match of_sources {
                true => (whole(same.len()), column(0)[rows].iter().sum()),
                false => (
                    column(0)[rows.clone()].iter().sum(),
                    column(1)[rows].iter().sum(),
                ),
            };
            let known = self.panes.entry(pane).or_default();
            *known = (known.0 + count, known.1 + sum);
        }
        let rows = u32::try_from(batch.rows.len()).unwrap_or(u32::MAX);
        let cost = self.load.batch * rows / self.load.rows_per_batch;
        let time = batch.rows.times().first().copied().unwrap_or_default();
        let factor = factor(self.load.cost_noise, time, batch.header.origin);
        self.load.burner.burn(cost.mul_f64(factor));
        emit.holds(self.panes.len() * PANE_BYTES);
    }

    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let slide = self.load.slide_micros;
        let end = progress.0.div_euclid(slide);
        while let Some(window) = self.next_window().filter(|window| *window < end) {
            if emit.is_full() {
                return Closing::More;
            }
            self.load.burner.burn(self.load.closing);
            let began = window - self.load.slides + 1;
            let panes = self.panes.range(began..=window).map(|(_, pane)| pane);
            let (count, sum) = panes.fold((0, 0), |all, pane| (all.0 + pane.0, all.1 + pane.1));
            let columns: Vec<ArrayRef> = [count, sum]
                .map(|it| Arc::new(Int64Array::from(vec![it])) as ArrayRef)
                .to_vec();
            emit.tick(CompleteTick {
                tick: Tick(window),
                began: EventTime(began * slide),
                time: EventTime((window + 1) * slide - 1),
                columns: RecordBatch::try_new(Arc::clone(&self.schema), columns)
                    .expect("columns of the schema that was declared"),
            });
            self.open = window + 1;
            // A slide goes when the last window has closed that it is part of.
            let kept = self.panes.split_off(&(began + 1));
            self.panes = kept;
        }
        self.open = self.open.max(end);
        let next = (self.open.saturating_add(1)).saturating_mul(slide) - 1;
        emit.progress(match progress {
            EventTime::MAX => EventTime::MAX,
            _ => EventTime(next),
        });
        emit.holds(self.panes.len() * PANE_BYTES);
        Closing::Done
    }

    fn slide(&self) -> Option<Slide> {
        Some(Slide {
            every_micros: self.load.slide_micros,
            lateness_micros: 0,
        })
    }
}

impl Accumulate {
    /// The first open window that has rows.
    fn next_window(&self) -> Option<i64> {
        let (first, _) = self.panes.first_key_value()?;
        Some(self.open.max(*first))
    }
}

/// A number of rows as a count is kept.
fn whole(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// What a slide takes of memory. Unit: bytes. Source: its key and two sums.
const PANE_BYTES: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_even_and_bounded_and_drawn_once_for_each_batch() {
        for (noise, least, most) in [(0.0, 1.0, 1.0), (0.25, 0.75, 1.25), (1.0, 0.0, 2.0)] {
            let times = 0..2000_i64;
            let factors: Vec<f64> = times.map(|time| factor(noise, time, Origin(7))).collect();
            let within = factors.iter().all(|it| (least..=most).contains(it));
            assert!(within, "noise {noise}");
            let mean = factors.iter().sum::<f64>() / 2000.0;
            assert!((mean - 1.0).abs() < 0.05, "noise {noise}: {mean}");
            assert!((factor(noise, 5, Origin(7)) - factors[5]).abs() < 1e-12);
        }
        let differ = (factor(1.0, 5, Origin(7)) - factor(1.0, 5, Origin(8))).abs();
        assert!(differ > 1e-6, "each origin has its own");
    }
}
