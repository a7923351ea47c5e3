//! The clock: the one place that reads the time of the machine.

use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "this is the clock")]
use std::time::{Instant as MachineInstant, SystemTime};

use model::{Clock, EventTime, Instant, convert};

/// The machine's monotonic clock, counted from when this was made.
#[derive(Debug)]
pub struct MachineClock {
    #[expect(clippy::disallowed_types, reason = "this is the clock")]
    start: MachineInstant,
    epoch: EventTime,
}

impl MachineClock {
    /// A clock that starts now.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "this is the clock"
    )]
    pub fn start() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A machine whose date is before 1970 has its times counted from there.
        let epoch = EventTime(convert::micros(since_epoch.unwrap_or_default()));
        Self {
            start: MachineInstant::now(),
            epoch,
        }
    }

    /// What the date was when this started: the event time of [`Instant::ZERO`] for sources whose rows
    /// carry none. The date is read once, so that event times never go back when somebody sets it.
    pub const fn epoch(&self) -> EventTime {
        self.epoch
    }
}

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(convert::nanos(self.start.elapsed()))
    }

    fn thread_cpu(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
        let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
        Duration::new(seconds, nanos)
    }
}
