//! Workers: threads that take the most urgent work, run it, and give it back.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, MutexGuard};
use std::thread;

use model::{ComponentId, Instant};

use super::meter::Meter;
use super::{Shared, State, alive, panic_message};
use crate::engine::{Deployed, Dispatch};
use crate::scheduler::Worker;

impl Shared {
    /// Starts a worker: for whatever goes first, or for one component alone.
    pub(super) fn spawn(
        self: &Arc<Self>,
        worker: Worker,
        own: Option<(ComponentId, Arc<Condvar>)>,
    ) -> Result<(), std::io::Error> {
        let name = match &own {
            None => format!("worker-{}", u64::MAX - worker.0),
            Some((component, _)) => format!("operator-{}", component.0),
        };
        let shared = Arc::clone(self);
        let handle = thread::Builder::new().name(name).spawn(move || {
            (shared.begin)();
            match own {
                None => shared.work(worker),
                Some((component, wakes)) => shared.work_off(worker, component, &wakes),
            }
        })?;
        self.lock().workers.push(handle);
        Ok(())
    }

    /// Gives each operator that was deployed a thread, where the policy asks for it. One that the system gives no thread fails.
    pub(super) fn open_slots(self: &Arc<Self>, deployed: &Deployed) {
        if !self.lock().engine.wants_slots() {
            return;
        }
        for component in deployed.operators.iter().flatten().copied() {
            let wakes = Arc::new(Condvar::new());
            let mut state = self.lock();
            if state.slots.contains_key(&component) {
                continue;
            }
            state.slots.insert(component, Arc::clone(&wakes));
            drop(state);
            let worker = Worker(component.0);
            if let Err(error) = self.spawn(worker, Some((component, wakes))) {
                let mut state = self.lock();
                let reason = format!("the system gives it no thread: {error}");
                state.engine.fail(self.clock.now(), component, &reason);
                self.signal(&mut state, 0);
            }
        }
    }

    /// Works off whatever goes first, until the runtime stops.
    fn work(&self, worker: Worker) {
        let mut meter = Meter::new(&*self.clock);
        let mut state = self.lock();
        let mut now = self.clock.now();
        while !state.is_stopping {
            if state.engine.poll_timeout().is_some_and(|due| due <= now) {
                state.engine.handle_timeout(now);
                self.signal(&mut state, 0);
            }
            let Some(dispatch) = state.engine.next(now, worker) else {
                state = self.rest(state, now);
                now = self.clock.now();
                continue;
            };
            self.wake_worker(&mut state, 0);
            drop(state);
            (state, now) = self.run(&mut meter, now, dispatch);
        }
    }

    /// Works off one component, until that has gone.
    fn work_off(&self, worker: Worker, component: ComponentId, wakes: &Condvar) {
        let mut meter = Meter::new(&*self.clock);
        let mut state = self.lock();
        while !state.is_stopping && state.engine.is_running(component) {
            let now = self.clock.now();
            let Some(dispatch) = state.engine.next(now, worker) else {
                state = alive(wakes.wait(state));
                continue;
            };
            drop(state);
            (state, _) = self.run(&mut meter, now, dispatch);
        }
        state.slots.remove(&component);
    }

    /// Runs a dispatch that was taken at `now` and hands it back. Gives the time at which it was done.
    fn run(
        &self,
        meter: &mut Meter,
        now: Instant,
        dispatch: Dispatch,
    ) -> (MutexGuard<'_, State>, Instant) {
        let panicked = dispatch.panicked();
        let completed = catch_unwind(AssertUnwindSafe(|| dispatch.run()));
        let (done, busy) = meter.measure(&*self.clock, now);
        let mut state = self.lock();
        match completed {
            Ok(completed) => state.engine.complete(done, completed, busy),
            Err(panic) => {
                let reason = panic_message(&*panic);
                state.engine.complete_panicked(done, panicked, reason);
            }
        }
        // Whoever has just worked takes the most urgent itself.
        self.signal(&mut state, 1);
        (state, done)
    }

    /// Waits for work; and for the engine's timer, where it is set and no other worker does.
    fn rest<'a>(&self, mut state: MutexGuard<'a, State>, now: Instant) -> MutexGuard<'a, State> {
        state.idle += 1;
        let due = state.engine.poll_timeout();
        match due.filter(|_| !state.has_timekeeper) {
            None => state = alive(self.work.wait(state)),
            Some(due) => {
                state.has_timekeeper = true;
                (state, _) = alive(self.work.wait_timeout(state, due.since(now)));
                state.has_timekeeper = false;
            }
        }
        // Who was woken is counted as busy from then on.
        match state.woken.checked_sub(1) {
            Some(woken) => state.woken = woken,
            None => state.idle -= 1,
        }
        state
    }

    /// Wakes a worker, where one waits and there is more to run than those who are about to will take, or a timer that nobody waits for.
    ///
    /// Whoever takes work wakes the next one where more is left, so that one is enough.
    pub(super) fn wake_worker(&self, state: &mut State, takers: usize) {
        if state.idle > 0 && (state.engine.runnable() > takers || state.is_untimed()) {
            state.idle -= 1;
            state.woken += 1;
            self.work.notify_one();
        }
    }
}
