//! The thread of a source: reads records when there is room for them, numbers them, and hands them in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::intake::{Intake, Records};
use engine::runtime::{Ended, Handle};
use model::{Clock, ComponentId, EventTime, Instant, Origin, convert};

use crate::connector::{Overflow, Pace, Reading, Source, SourceError};

#[cfg(test)]
mod tests;

/// How many records a source that drops the oldest holds while there is no room for them.
///
/// Unit: records. Source: guess; 64 full batches.
const HELD_MAX: u64 = 65_536;

/// How often a source that drops the oldest looks for room while nothing new comes.
///
/// Unit: time. Source: guess; below the linger that results notice.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);

/// What the thread of a source works with.
#[derive(Debug)]
pub(super) struct Thread {
    handle: Handle,
    application: u64,
    id: ComponentId,
    source: Box<dyn Source>,
    pace: Pace,
    intake: Intake,
    schema: SchemaRef,
    clock: ClockOf,
    idle_after: Duration,
    /// The event time that was due at an instant: where replay by event time started.
    replay: Option<(Instant, EventTime)>,
    /// When something was last read, or progress last grew by itself.
    active: Instant,
}

/// A clock that can be printed.
struct ClockOf(Arc<dyn Clock>);

impl std::fmt::Debug for ClockOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.now())
    }
}

/// Why a source stops.
enum Stop {
    /// The application has ended.
    Ended,
    /// The source cannot be read on.
    Broken(SourceError),
}

impl From<Ended> for Stop {
    fn from(_: Ended) -> Self {
        Self::Ended
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Broken(error)
    }
}

impl Thread {
    #[expect(
        clippy::too_many_arguments,
        reason = "the parts of one thread, given once"
    )]
    pub(super) fn new(
        handle: Handle,
        application: u64,
        id: ComponentId,
        source: Box<dyn Source>,
        origin: Origin,
        schema: SchemaRef,
        clock: Arc<dyn Clock>,
        idle_after: Duration,
    ) -> Self {
        let pace = source.pace();
        let active = clock.now();
        Self {
            handle,
            application,
            id,
            source,
            pace,
            intake: Intake::new(origin, pace.out_of_order_micros),
            schema,
            clock: ClockOf(clock),
            idle_after,
            replay: None,
            active,
        }
    }

    /// Reads until the source or the application ends.
    pub(super) fn run(mut self) {
        let stopped = match self.pace.overflow {
            Overflow::Block => self.read_with_room(),
            Overflow::DropOldest => self.read_always(),
        };
        if let Err(Stop::Broken(error)) = stopped {
            self.handle.break_source(self.id, &error.to_string());
        }
    }

    /// Reads when there is room, and so lets the source wait where there is none.
    fn read_with_room(&mut self) -> Result<(), Stop> {
        loop {
            self.handle.wait_for_room(self.application, self.id)?;
            match self.source.read(self.idle_after)? {
                Reading::Records(records) => self.replay(records)?,
                Reading::Idle => self.idle(),
                Reading::End => return self.end(),
            }
        }
    }

    /// Reads whether there is room or not, and drops the oldest records where there is none.
    fn read_always(&mut self) -> Result<(), Stop> {
        let mut held: VecDeque<Records> = VecDeque::new();
        loop {
            while !held.is_empty() && self.handle.has_room(self.id) {
                held.pop_front()
                    .into_iter()
                    .try_for_each(|records| self.replay(records))?;
            }
            let wait = if held.is_empty() {
                self.idle_after
            } else {
                ROOM_INTERVAL
            };
            match self.source.read(wait)? {
                Reading::Records(records) => held.push_back(records),
                Reading::Idle if held.is_empty() => self.idle(),
                Reading::Idle => {}
                Reading::End => {
                    for records in held {
                        self.handle.wait_for_room(self.application, self.id)?;
                        self.replay(records)?;
                    }
                    return self.end();
                }
            }
            let mut count: u64 = held.iter().map(|records| u64::from(records.count)).sum();
            while count > HELD_MAX {
                let Some(oldest) = held.pop_front() else {
                    break;
                };
                count -= u64::from(oldest.count);
                self.intake.drop(&oldest);
            }
        }
    }

    /// Hands records in when they are due: at once, or at the declared speed of event time.
    fn replay(&mut self, mut records: Records) -> Result<(), Stop> {
        let Some(speed) = self.pace.speed.filter(|_| !self.pace.is_live) else {
            self.hand_in(records);
            return Ok(());
        };
        loop {
            let now = self.clock.0.now();
            let Some(first) = records.times.first().copied().map(EventTime) else {
                self.hand_in(records);
                return Ok(());
            };
            let (start, start_time) = *self.replay.get_or_insert((now, first));
            let reached = start_time.plus(event_micros(now.since(start), speed));
            let due = records
                .times
                .iter()
                .take_while(|time| **time <= reached.0)
                .count();
            if due > 0 {
                let rest = records.split_off(due);
                self.hand_in(std::mem::replace(&mut records, rest));
                if records.count == 0 {
                    return Ok(());
                }
                continue;
            }
            let ahead = first.since(reached);
            let wait = ahead.div_f64(speed);
            self.handle
                .pause(self.application, wait.min(self.idle_after))?;
            if wait > self.idle_after {
                // What comes next is known here: progress never passes it.
                let next = first.minus(self.pace.out_of_order_micros);
                let reached = reached.minus(self.pace.out_of_order_micros);
                self.advance(reached.min(next));
            }
        }
    }

    fn hand_in(&mut self, records: Records) {
        let now = self.clock.0.now();
        self.active = now;
        self.handle.offer(self.id, self.intake.take(now, records));
    }

    /// Lets progress grow with time where the source says how the two are related; else nobody knows
    /// whether rows are still under way.
    fn idle(&mut self) {
        let Some(speed) = self.pace.speed else { return };
        if self.intake.progress() == EventTime::MIN {
            return;
        }
        let now = self.clock.0.now();
        let passed = event_micros(now.since(self.active), speed);
        self.active = now;
        self.advance(self.intake.progress().plus(passed));
    }

    fn advance(&mut self, progress: EventTime) {
        let now = self.clock.0.now();
        self.handle
            .offer(self.id, self.intake.advance(now, progress, &self.schema));
    }

    /// The source has ended: every window that waits for it closes.
    fn end(&mut self) -> Result<(), Stop> {
        self.advance(EventTime::MAX);
        Ok(())
    }
}

/// How much event time passes in a time at a speed, in microseconds.
fn event_micros(passed: Duration, speed: f64) -> i64 {
    convert::micros(convert::seconds(passed.as_secs_f64() * speed))
}
