//! The clock: the one place that reads the time of the machine.

use std::time::Duration;
#[expect(clippy::disallowed_types, reason = "this is the clock")]
use std::time::{Instant as MachineInstant, SystemTime};

use model::{Clock, EventTime, Instant, convert};

/// The machine's monotonic clock, counted from when this was made.
#[derive(Debug)]
pub struct MachineClock {
    /// By how much it is ahead of that.
    ahead: Duration,
    #[expect(clippy::disallowed_types, reason = "this is the clock")]
    start: MachineInstant,
    epoch: EventTime,
}

impl MachineClock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self::ahead_by(Duration::ZERO)
    }

    /// A clock that starts now and is ahead of all others by so much, in its date too: what testbeds give nodes to see that nothing
    /// follows from it.
    #[expect(
        clippy::disallowed_methods,
        clippy::disallowed_types,
        reason = "this is the clock"
    )]
    pub fn ahead_by(ahead: Duration) -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        // A machine whose date is before 1970 has its times counted from there.
        let epoch = EventTime(convert::micros(since_epoch.unwrap_or_default()));
        Self {
            ahead,
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

/// The processor time that this process takes, sampled.
#[derive(Debug)]
pub struct ProcessCpu {
    sampled: Instant,
    used: Duration,
}

impl ProcessCpu {
    /// Starts counting.
    pub fn start(now: Instant) -> Self {
        Self {
            sampled: now,
            used: process_cpu(),
        }
    }

    /// How many cores this process has kept busy since the last sample.
    pub fn sample(&mut self, now: Instant) -> f64 {
        let used = process_cpu();
        let elapsed = now.since(self.sampled).as_secs_f64();
        let busy = used.saturating_sub(self.used).as_secs_f64();
        *self = Self { sampled: now, used };
        if elapsed > 0.0 { busy / elapsed } else { 0.0 }
    }
}

/// The processor time that this process has taken since its start.
pub fn process_cpu() -> Duration {
    duration(rustix::time::clock_gettime(
        rustix::time::ClockId::ProcessCPUTime,
    ))
}

fn duration(time: rustix::time::Timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(time.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

impl Clock for MachineClock {
    fn now(&self) -> Instant {
        Instant::from_nanos(convert::nanos(self.start.elapsed() + self.ahead))
    }

    fn thread_cpu(&self) -> Duration {
        duration(rustix::time::clock_gettime(
            rustix::time::ClockId::ThreadCPUTime,
        ))
    }
}
