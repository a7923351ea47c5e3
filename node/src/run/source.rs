//! The thread of a source: reads records when there is room for them, numbers them, and hands them in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::batch::ROWS_MAX;
use engine::columns;
use engine::intake::{Intake, Records};
use engine::runtime::{Ended, Handle};
use model::{Clock, ComponentId, EventTime, Instant, Origin, convert};

use crate::connector::{Overflow, Pace, Reading, Source, SourceError};

mod linger;
#[cfg(test)]
mod tests;

use linger::Linger;

/// How many records a source that drops the oldest holds while there is no room for them.
///
/// Unit: records. Source: guess; 64 full batches.
const HELD_MAX: u64 = 65_536;

/// How often a source that drops the oldest looks for room while nothing new comes.
///
/// Unit: time. Source: guess; below the linger that results notice.
const ROOM_INTERVAL: Duration = Duration::from_millis(5);

/// Where a source hands in what it reads, and how long it may give nothing.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) handle: Handle,
    pub(crate) application: u64,
    pub(crate) id: ComponentId,
    /// After so long without a record, progress grows by itself where time says how.
    pub(crate) idle_after: Duration,
}

/// What the thread of a source works with.
#[derive(Debug)]
pub(crate) struct Thread {
    place: Place,
    source: Box<dyn Source>,
    pace: Pace,
    intake: Intake,
    schema: SchemaRef,
    clock: ClockOf,
    /// The event time that was due at an instant: where replay by event time started.
    replay: Option<(Instant, EventTime)>,
    /// When something was last read, or progress last grew by itself.
    active: Instant,
    linger: Linger,
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
    pub(crate) fn new(
        place: Place,
        source: Box<dyn Source>,
        origin: Origin,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let pace = source.pace();
        Self {
            place,
            schema: columns::to_arrow(source.schema()),
            source,
            pace,
            intake: Intake::new(origin, pace.out_of_order_micros),
            active: clock.now(),
            clock: ClockOf(clock),
            replay: None,
            linger: Linger::default(),
        }
    }

    /// Reads until the source or the application ends.
    pub(crate) fn run(mut self) {
        let stopped = match self.pace.overflow {
            Overflow::Block => self.read_with_room(),
            Overflow::DropOldest => self.read_always(),
        };
        if let Err(Stop::Broken(error)) = stopped {
            self.place
                .handle
                .break_source(self.place.id, &error.to_string());
        }
    }

    /// Reads when there is room, and so lets the source wait where there is none.
    fn read_with_room(&mut self) -> Result<(), Stop> {
        loop {
            self.place
                .handle
                .wait_for_room(self.place.application, self.place.id)?;
            match self.source.read(self.place.idle_after)? {
                Reading::Records(records) if self.pace.speed.is_some() && !self.pace.is_live => {
                    self.replay(self.clock.0.now(), records)?;
                }
                Reading::Records(records) => {
                    if self.gather(records)? {
                        return self.end();
                    }
                }
                Reading::Idle => self.idle(),
                Reading::End => return self.end(),
            }
        }
    }

    /// Hands in what was read, with what comes shortly after it where records come closely. Says whether the source has ended.
    fn gather(&mut self, records: Records) -> Result<bool, Stop> {
        let arrival = self.clock.0.now();
        self.linger.note(arrival, records.count);
        let mut count = convert::index(records.count.into());
        let mut read = vec![records];
        let mut has_ended = false;
        let allowed = match count < ROWS_MAX {
            true => self.place.handle.linger(self.place.id),
            false => Duration::ZERO,
        };
        let until = arrival + self.linger.wait(allowed);
        while count < ROWS_MAX && !has_ended {
            let now = self.clock.0.now();
            if now >= until {
                break;
            }
            match self.source.read(until.since(now))? {
                Reading::Records(records) => {
                    self.linger.note(self.clock.0.now(), records.count);
                    count += convert::index(records.count.into());
                    read.push(records);
                }
                Reading::Idle => break,
                Reading::End => has_ended = true,
            }
        }
        self.hand_in(arrival, Records::join(read));
        Ok(has_ended)
    }

    /// Reads whether there is room or not, and drops the oldest records where there is none. What was held is as old as when it was read:
    /// who sheds is late, and gets its part beside others that are.
    fn read_always(&mut self) -> Result<(), Stop> {
        let mut held: VecDeque<(Instant, Records)> = VecDeque::new();
        let mut held_count = 0;
        loop {
            while self
                .place
                .handle
                .has_room(self.place.application, self.place.id)?
                && let Some((read, records)) = held.pop_front()
            {
                held_count -= u64::from(records.count);
                self.replay(read, records)?;
            }
            let wait = if held.is_empty() {
                self.place.idle_after
            } else {
                ROOM_INTERVAL
            };
            match self.source.read(wait)? {
                Reading::Records(records) => {
                    held_count += u64::from(records.count);
                    held.push_back((self.clock.0.now(), records));
                }
                Reading::Idle if held.is_empty() => self.idle(),
                Reading::Idle => {}
                Reading::End => {
                    for (read, records) in held {
                        self.place
                            .handle
                            .wait_for_room(self.place.application, self.place.id)?;
                        self.replay(read, records)?;
                    }
                    return self.end();
                }
            }
            while held_count > HELD_MAX
                && let Some((_, oldest)) = held.pop_front()
            {
                held_count -= u64::from(oldest.count);
                self.intake.drop(&oldest);
            }
        }
    }

    /// Hands in records that were read then, when they are due: at once, or at the declared speed of event time.
    fn replay(&mut self, read: Instant, mut records: Records) -> Result<(), Stop> {
        let Some(speed) = self.pace.speed.filter(|_| !self.pace.is_live) else {
            self.hand_in(read, records);
            return Ok(());
        };
        loop {
            let now = self.clock.0.now();
            let Some(first) = records.times.first().copied().map(EventTime) else {
                self.hand_in(now, records);
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
                self.hand_in(now, std::mem::replace(&mut records, rest));
                if records.count == 0 {
                    return Ok(());
                }
                continue;
            }
            let ahead = first.since(reached);
            let wait = convert::seconds(ahead.as_secs_f64() / speed);
            self.place
                .handle
                .pause(self.place.application, wait.min(self.place.idle_after))?;
            if wait > self.place.idle_after {
                // What comes next is known here: progress never passes it.
                let next = first.minus(self.pace.out_of_order_micros);
                let reached = reached.minus(self.pace.out_of_order_micros);
                self.advance(reached.min(next));
            }
        }
    }

    /// Hands in records of which the first arrived at `arrival`.
    fn hand_in(&mut self, arrival: Instant, records: Records) {
        self.active = self.clock.0.now();
        self.place
            .handle
            .offer(self.place.id, self.intake.take(arrival, records));
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
        self.place.handle.offer(
            self.place.id,
            self.intake.advance(now, progress, &self.schema),
        );
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
