//! Results leave a host only while nobody can have gone on in its place unheard.
//!
//! A process that stood still (stopped, swapped out, a machine that was suspended) may have been replaced meanwhile by hosts that missed it, and would write on what
//! now leaves elsewhere. The node's loop renews the lease by which sinks write; where it comes to that too late, it waits until those who replaced this host had time to say so.
//! What stood still is seen by time alone, so that nothing is asked while all is well. A host that is only cut off from others goes on: both sides of a partition run.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use model::{Clock, Instant};

use crate::clock::MachineClock;

/// How often it is renewed. Unit: time. Range: well below [`LASTS`].
pub(crate) const RENEWED: Duration = Duration::from_millis(100);

/// How long sinks write without hearing of the loop. Unit: time. Range: above what a busy machine lets a loop wait, and below [`STOOD`], so that no sink that wakes first writes.
const LASTS: Duration = Duration::from_millis(300);

/// After how long without the loop others may have gone on in this host's place. Unit: time. Range: at most what hosts wait for one that is silent, three beats of 200 ms
/// (`overlay::net`).
const STOOD: Duration = Duration::from_millis(600);

/// How long it is waited after that for word of it. Unit: time. Source: measured, `bench chaos --fault silence`: connections are made again, and records told, in some 100 ms.
const HEARS: Duration = Duration::from_millis(500);

/// By what sinks write; see the module.
#[derive(Debug)]
pub(crate) struct Lease {
    clock: Arc<MachineClock>,
    held: Mutex<Held>,
    renewed: Condvar,
}

#[derive(Debug)]
struct Held {
    /// When the loop turned last.
    turned: Instant,
    /// Until when sinks write; for ever once there is no loop any more.
    until: Option<Instant>,
    /// Until when it is waited for word, where that is.
    hears_until: Option<Instant>,
}

impl Held {
    const fn new(now: Instant) -> Self {
        Self {
            turned: now,
            until: Some(Instant::ZERO),
            hears_until: None,
        }
    }

    /// The loop turns. Gives for how long it stood still, where that was so long that others, if there are any, may have gone on in this host's place.
    fn turn(&mut self, now: Instant, has_others: bool) -> Option<Duration> {
        let stood = now.since(self.turned);
        self.turned = now;
        let stood = (stood >= STOOD && has_others).then_some(stood);
        if stood.is_some() {
            self.hears_until = Some(now + HEARS);
        }
        if self.hears_until.is_none_or(|until| until <= now) {
            self.hears_until = None;
            self.until = self.until.map(|_| now + LASTS);
        }
        stood
    }

    fn is_valid(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

impl Lease {
    pub(crate) fn new(clock: Arc<MachineClock>) -> Self {
        Self {
            held: Mutex::new(Held::new(clock.now())),
            clock,
            renewed: Condvar::new(),
        }
    }

    /// Waits until results may leave. Says whether it had to.
    pub(crate) fn wait(&self) -> bool {
        let mut held = self.held();
        let mut has_waited = false;
        while !held.is_valid(self.clock.now()) {
            has_waited = true;
            let woken = self.renewed.wait(held);
            held = woken.unwrap_or_else(PoisonError::into_inner);
        }
        has_waited
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loop turns. Gives for how long the process stood still, where others, if there are any, may run by now what it ran.
    pub(crate) fn renew(&self, has_others: bool) -> Option<Duration> {
        let stood = self.held().turn(self.clock.now(), has_others);
        self.renewed.notify_all();
        stood
    }

    /// Nobody renews it any more: what still leaves is let go.
    pub(crate) fn end(&self) {
        self.held().until = None;
        self.renewed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn sinks_write_while_the_loop_turns() {
        let mut held = Held::new(at(0));
        assert!(!held.is_valid(at(0)), "nobody has turned yet");
        for turn in 0..20 {
            let now = at(turn * 250);
            assert_eq!(held.turn(now, true), None);
            assert!(held.is_valid(now) && held.is_valid(now + RENEWED));
        }
        assert!(!held.is_valid(at(19 * 250) + LASTS));
    }

    #[test]
    fn who_stood_still_waits_for_word() {
        let mut held = Held::new(at(0));
        held.turn(at(0), true);
        let woken = at(5000);
        assert!(!held.is_valid(woken), "whoever wakes first");
        assert_eq!(held.turn(woken, true), Some(Duration::from_secs(5)));
        assert!(!held.is_valid(woken));
        assert_eq!(held.turn(woken + RENEWED, true), None);
        assert!(
            !held.is_valid(woken + RENEWED),
            "the next turn changes nothing"
        );
        assert_eq!(held.turn(woken + HEARS, true), None);
        assert!(held.is_valid(woken + HEARS));
    }

    #[test]
    fn who_is_alone_waits_for_nobody() {
        let mut held = Held::new(at(0));
        held.turn(at(0), false);
        assert_eq!(held.turn(at(5000), false), None);
        assert!(held.is_valid(at(5000)));
    }

    #[test]
    fn who_waits_hears_that_the_loop_turned_or_has_ended() {
        for ends in [false, true] {
            let lease = Arc::new(Lease::new(Arc::new(MachineClock::start())));
            let waiting = Arc::clone(&lease);
            let (sender, receiver) = std::sync::mpsc::channel();
            let thread = std::thread::spawn(move || sender.send(waiting.wait()));
            assert!(receiver.try_recv().is_err());
            match ends {
                true => lease.end(),
                false => assert_eq!(lease.renew(true), None),
            }
            receiver.recv().expect("it was let go");
            thread.join().expect("it ended").expect("it was heard");
        }
    }
}
