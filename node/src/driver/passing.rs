//! Time that passes for a source whose host is away, where it gives rows as things happen: what it would have given nobody can read again, and results that
//! need others as well do not wait for it for ever.

use std::time::Duration;

use engine::runtime::Handle;
use model::plan::{Live, Stream};
use model::{Clock, EdgeId, EventTime, Instant, QueryPlan, convert};

use crate::clock::MachineClock;

/// How often time passes. Unit: time. Source: guess; windows of a live source are seldom shorter, and nobody waits for one that is away.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is to be done while the host of a source is away.
#[derive(Debug, Clone)]
pub(super) struct Passing {
    /// As people call it.
    pub(super) source: String,
    /// For how long it is waited for.
    after: Duration,
    live: Live,
}

/// A host is away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Absence {
    since: Instant,
    /// Until when time has passed without it.
    passed: Instant,
}

impl Passing {
    /// What is to be done for whoever reads a stream of a plan; nothing where that is no source, or one that is waited for.
    pub(super) fn of(plan: &QueryPlan, stream: Stream) -> Option<Self> {
        let Stream::Source(index, _) = stream else {
            return None;
        };
        let source = &plan.sources()[index];
        Some(Self {
            source: source.name.clone(),
            after: plan.qos().lost_after,
            live: source.live.filter(Live::is_sound)?,
        })
    }

    /// Lets time pass on an edge whose other end is away, if it is time. Says whether that is for the first time.
    pub(super) fn pass(
        &self,
        absence: &mut Absence,
        (engine, edge): (&Handle, EdgeId),
        schema: &arrow_schema::SchemaRef,
        clock: &MachineClock,
    ) -> bool {
        let now = clock.now();
        if now.since(absence.since) < self.after || now.since(absence.passed) < INTERVAL {
            return false;
        }
        let is_first = absence.passed == absence.since;
        let passed = now.since(absence.passed).as_secs_f64() * self.live.speed;
        let micros = convert::micros(convert::seconds(passed));
        let latest = self.live.is_by_clock.then(|| event_time(clock, now));
        absence.passed = now;
        engine.pass(edge, (micros, latest), schema);
        is_first
    }
}

impl Absence {
    /// A host is away from now on.
    pub(super) const fn begin(now: Instant) -> Self {
        Self {
            since: now,
            passed: now,
        }
    }
}

/// The event time of a moment, for rows that have none of their own.
fn event_time(clock: &MachineClock, now: Instant) -> EventTime {
    clock
        .epoch()
        .plus(convert::micros(now.since(Instant::ZERO)))
}
