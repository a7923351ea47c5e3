//! The thread of a source: reads records when there is room for them, numbers them, and hands them in.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use engine::batch::ROWS_MAX;
use engine::columns;
use engine::edge::Mark;
use engine::intake::{Intake, Records};
use engine::runtime::{Ended, Handle, Turn};
use model::{Clock, ComponentId, EventTime, Instant, Origin, convert};

use crate::connector::{Overflow, Pace, Reading, Source, SourceError};

mod checkpoints;
mod linger;
#[cfg(test)]
mod tests;

use checkpoints::{Checkpoints, Start};
pub(crate) use checkpoints::{Shelf, shelf_name};
use linger::Linger;

/// How many records a source that drops the oldest holds while there is no room for them.
///
/// Unit: records. Source: guess; 64 full batches.
const HELD_MAX: u64 = 65_536;

/// How much longer than it was to take a reading that gave nothing lets a process that stood still be seen, or a machine that did.
///
/// Unit: time. Source: guess; longer than busy machines let threads wait, shorter than what others wait before they miss a host.
const STOOD: Duration = Duration::from_millis(250);

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
    checkpoints: Checkpoints,
    /// Up to there somebody has asked for what was read before: it leaves at once.
    known_through: u64,
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
        shelf: Option<Shelf>,
    ) -> Self {
        let pace = source.pace();
        // What is dropped for lack of room is no function of the data, and cannot be read again.
        let bookmark = match pace.overflow {
            Overflow::Block => source.bookmark(),
            Overflow::DropOldest => None,
        };
        Self {
            checkpoints: Checkpoints::new(bookmark, shelf),
            known_through: 0,
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
        let stopped = self.begin().and_then(|()| match self.pace.overflow {
            Overflow::Block => self.read_with_room(),
            Overflow::DropOldest => self.read_always(),
        });
        match stopped {
            Err(Stop::Broken(error)) => {
                let reason = error.to_string();
                self.place.handle.break_source(self.place.id, &reason);
            }
            Ok(()) | Err(Stop::Ended) if self.place.handle.is_stopping() => {}
            Ok(()) | Err(Stop::Ended) => self.checkpoints.forget(),
        }
    }

    /// Begins where those who read it ask, once they have.
    fn begin(&mut self) -> Result<(), Stop> {
        let Place {
            handle,
            application,
            id,
            ..
        } = &self.place;
        if self.checkpoints.is_again() {
            handle.set_again(*id);
        }
        handle.wait_for_room(*application, *id)?;
        match self.checkpoints.start(handle.asked(*id)) {
            Start::Beginning => Ok(()),
            Start::Behind { index, latest } => self.go_back(index, latest),
            Start::Reserved(mark) => {
                self.go_on(mark, mark.index);
                Ok(())
            }
        }
    }

    /// Reads again what lies behind an index; who takes whatever comes next begins behind `latest`.
    fn go_back(&mut self, index: u64, latest: u64) -> Result<(), Stop> {
        let Some(checkpoint) = self.checkpoints.before(index) else {
            self.place.handle.end_again(self.place.id);
            return Ok(());
        };
        let (mark, bookmark) = (checkpoint.mark(), checkpoint.bookmark.clone());
        if let Err(error) = self.source.go_to(&bookmark) {
            self.place.handle.end_again(self.place.id);
            return Err(error.into());
        }
        self.known_through = self.known_through.max(index);
        self.go_on(mark, latest);
        Ok(())
    }

    fn go_on(&mut self, mark: Mark, latest: u64) {
        let intake = Intake::new(self.intake.origin(), self.pace.out_of_order_micros);
        self.intake = intake.behind(mark);
        self.replay = None;
        let mark = self.intake.mark();
        self.place.handle.read_again(self.place.id, mark, latest);
    }

    /// Reads when there is room, and so lets the source wait where there is none.
    fn read_with_room(&mut self) -> Result<(), Stop> {
        loop {
            let (application, id) = (self.place.application, self.place.id);
            let back = match self.place.handle.wait_for_turn(application, id)? {
                Turn::Offer if self.read_once()? => {
                    if !self.checkpoints.is_again() {
                        return Ok(());
                    }
                    self.place.handle.wait_to_go_back(application, id)?
                }
                Turn::Offer => continue,
                Turn::Back(index) => index,
            };
            let reached = self.intake.mark().index;
            self.known_through = self.known_through.max(reached);
            self.go_back(back, reached)?;
        }
    }

    /// Hands in what can be read now. Says whether that is all.
    fn read_once(&mut self) -> Result<bool, Stop> {
        self.remember(true);
        let begun = self.clock.0.now();
        let has_ended = match self.source.read(self.place.idle_after)? {
            Reading::Records(records) if self.pace.speed.is_some() && !self.pace.is_live => {
                self.replay(self.clock.0.now(), records)?;
                false
            }
            Reading::Records(records) => self.gather(records)?,
            Reading::Idle => {
                self.idle(begun);
                false
            }
            Reading::End => true,
        };
        if has_ended {
            self.end();
        }
        Ok(has_ended)
    }

    /// Notes where the source is from time to time. Between readings everything that was read was handed in.
    fn remember(&mut self, is_between: bool) {
        let now = self.clock.0.now();
        if !self.checkpoints.is_due(now) {
            return;
        }
        let bookmark = self.source.bookmark().filter(|_| is_between);
        let at = bookmark.map(|bookmark| (self.intake.mark(), bookmark));
        let kept = self.place.handle.kept(self.place.id);
        self.checkpoints.note(now, at, kept);
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
            let begun = self.clock.0.now();
            match self.source.read(wait)? {
                Reading::Records(records) => {
                    held_count += u64::from(records.count);
                    held.push_back((self.clock.0.now(), records));
                }
                Reading::Idle if held.is_empty() => self.idle(begun),
                Reading::Idle => {}
                Reading::End => {
                    for (read, records) in held {
                        self.place
                            .handle
                            .wait_for_room(self.place.application, self.place.id)?;
                        self.replay(read, records)?;
                    }
                    self.end();
                    return Ok(());
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
        let known = self.known_through.saturating_sub(self.intake.mark().index);
        let known = records.places.partition_point(|it| u64::from(*it) < known);
        if known > 0 {
            let rest = records.split_off(known);
            let known = std::mem::replace(&mut records, rest);
            self.hand_in(self.clock.0.now(), known);
        }
        // Who goes back reads what is left here again.
        while records.count > 0 && self.place.handle.goes_back(self.place.id).is_none() {
            self.remember(false);
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
        Ok(())
    }

    /// Hands in records of which the first arrived at `arrival`.
    fn hand_in(&mut self, arrival: Instant, records: Records) {
        let now = self.clock.0.now();
        self.active = now;
        let taken = self.intake.take(arrival, records);
        self.checkpoints.give(now, self.intake.mark());
        self.place.handle.offer(self.place.id, taken);
    }

    /// Lets progress grow with time where the source says how the two are related; else nobody knows
    /// whether rows are still under way.
    ///
    /// What is there already is read, however long that takes; and where this process stood still since it `begun` to read, what has come meanwhile may
    /// not have reached it: it reads once more.
    fn idle(&mut self, begun: Instant) {
        let Some(speed) = self.pace.speed.filter(|_| self.pace.is_live) else {
            return;
        };
        let now = self.clock.0.now();
        let has_stood = now.since(begun) > self.place.idle_after + STOOD;
        if has_stood || self.intake.progress() == EventTime::MIN {
            return;
        }
        let passed = event_micros(now.since(self.active), speed);
        self.active = now;
        self.advance(self.intake.progress().plus(passed));
    }

    fn advance(&mut self, progress: EventTime) {
        let now = self.clock.0.now();
        let taken = self.intake.advance(now, progress, &self.schema);
        self.checkpoints.give(now, self.intake.mark());
        self.place.handle.offer(self.place.id, taken);
    }

    /// The source has ended: every window that waits for it closes.
    fn end(&mut self) {
        self.advance(EventTime::MAX);
    }
}

/// How much event time passes in a time at a speed, in microseconds.
fn event_micros(passed: Duration, speed: f64) -> i64 {
    convert::micros(convert::seconds(passed.as_secs_f64() * speed))
}
