//! The runtime: worker threads that drive an [`Engine`]. The only threads and locks of this crate.
//!
//! Workers take and give under one short lock and run operators outside of it. Nobody polls: a worker waits
//! for something to run, each source for credit, each sink for results, on a condition of its own. One idle
//! worker at a time also waits for the engine's timer, while that is set. Tasks that drive links to other
//! hosts leave a waker at their edge.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::thread::JoinHandle;
use std::time::Duration;

use model::{Clock, ComponentId, EdgeId, Instant, Origin, Positions, Schema, convert};

use crate::batch::Batch;
use crate::engine::{Admitted, Config, DeployError, Deployed, Deployment, Engine, Event, Sample};
use crate::intake::Taken;
use crate::mailbox::Channel;
use crate::report::{ComponentReport, Report};
use crate::scheduler::Worker;
use crate::share::Share;

mod again;
mod links;
mod meter;
mod state;
mod storage;
mod workers;

pub use again::Turn;

/// An engine and its worker threads. Dropping it stops them.
#[derive(Debug)]
pub struct Runtime {
    shared: Arc<Shared>,
}

/// What workers, sources and sinks share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    /// What each worker does before it works.
    begin: fn(),
    state: Mutex<State>,
    /// Something can be run.
    work: Condvar,
    /// An application may have ended.
    ends: Condvar,
    /// Something happened to an application.
    events: Condvar,
    /// A storage is to do something.
    orders: Condvar,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    events: Vec<Event>,
    is_stopping: bool,
    workers: Vec<JoinHandle<()>>,
    /// Workers that wait for work, and those of them that were woken and have not noticed yet.
    idle: usize,
    woken: usize,
    /// Who waits at a source or at a sink: what wakes them.
    waiters: BTreeMap<ComponentId, Arc<Condvar>>,
    /// Where each operator has a thread of its own: what wakes it.
    slots: BTreeMap<ComponentId, Arc<Condvar>>,
    /// A worker waits for the engine's timer.
    has_timekeeper: bool,
    /// Who waits for something to take at an edge.
    links: BTreeMap<EdgeId, Waker>,
    /// Who waits for events without a thread of its own.
    listener: Option<Waker>,
}

/// The runtime is stopping or the application has ended: there is nothing more to do for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the application has ended")]
pub struct Ended;

impl Runtime {
    /// Starts an engine with so many worker threads.
    ///
    /// # Errors
    /// When the system gives no thread; those that were started end.
    ///
    /// # Panics
    /// When there is to be no worker.
    pub fn start(
        config: Config,
        worker_count: usize,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, std::io::Error> {
        Self::start_with(config, worker_count, clock, || {})
    }

    /// The same, where each worker does something on its thread before it works: see [`Runtime::start`].
    ///
    /// # Errors
    /// When the system gives no thread; those that were started end.
    ///
    /// # Panics
    /// When there is to be no worker.
    pub fn start_with(
        config: Config,
        worker_count: usize,
        clock: Arc<dyn Clock>,
        begin: fn(),
    ) -> Result<Self, std::io::Error> {
        assert!(worker_count > 0, "without a worker nothing runs");
        let state = State {
            engine: Engine::new(config),
            events: Vec::new(),
            is_stopping: false,
            workers: Vec::with_capacity(worker_count),
            idle: 0,
            woken: 0,
            waiters: BTreeMap::new(),
            slots: BTreeMap::new(),
            has_timekeeper: false,
            links: BTreeMap::new(),
            listener: None,
        };
        let shared = Arc::new(Shared {
            clock,
            begin,
            state: Mutex::new(state),
            work: Condvar::new(),
            ends: Condvar::new(),
            events: Condvar::new(),
            orders: Condvar::new(),
        });
        let runtime = Self { shared };
        for number in (0..worker_count).map(convert::size) {
            // Components are numbered from below: no worker is taken for the thread of one.
            runtime.shared.spawn(Worker(u64::MAX - number), None)?;
        }
        Ok(runtime)
    }

    /// See [`Handle::deploy`].
    ///
    /// # Errors
    /// See [`DeployError`]; nothing has changed then.
    pub fn deploy(&self, deployment: Deployment) -> Result<Deployed, DeployError> {
        self.handle().deploy(deployment)
    }

    /// What sources, sinks and links need.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: Arc::clone(&self.shared),
        }
    }

    /// What is known of an application, while it is here.
    pub fn report(&self, application: u64) -> Option<Report> {
        self.handle().report(application)
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        self.handle().stop();
        let workers = std::mem::take(&mut self.shared.lock().workers);
        for worker in workers {
            // A worker that panicked has said so on its way; there is nobody to tell here.
            drop(worker.join());
        }
    }
}

impl Handle {
    /// Makes what of an application runs here. It lies dormant until it is started, or pulled from elsewhere.
    ///
    /// # Errors
    /// See [`DeployError`]; nothing has changed then.
    pub fn deploy(&self, deployment: Deployment) -> Result<Deployed, DeployError> {
        let deployed = self.change(|engine, now| engine.deploy(now, deployment))?;
        self.shared.open_slots(&deployed);
        Ok(deployed)
    }

    /// Lets the sinks of an application pull.
    pub fn start(&self, application: u64) {
        self.change(|engine, now| engine.start(now, application));
    }

    /// Ends an application on this host.
    pub fn retire(&self, application: u64) {
        self.change(|engine, now| engine.retire(now, application));
    }

    /// Ends an application on this host that is to be missed by nobody; see [`Engine::release`].
    pub fn release(&self, application: u64) {
        self.change(|engine, now| engine.release(now, application));
    }

    /// Takes one component away, and the others go on; see [`Engine::end`].
    pub fn end(&self, component: ComponentId) {
        self.change(|engine, now| engine.end(now, component));
    }

    /// See [`Engine::linger`].
    pub fn linger(&self, source: ComponentId) -> Duration {
        self.shared.lock().engine.linger(source)
    }

    /// See [`Engine::set_share`].
    pub fn set_share(&self, application: u64, share: Option<Share>) {
        self.change(|engine, _| engine.set_share(application, share));
    }

    /// See [`Engine::set_demand`].
    pub fn set_demand(&self, application: u64, cores: f64) {
        self.change(|engine, _| engine.set_demand(application, cores));
    }

    /// See [`Engine::set_admitted`].
    pub fn set_admitted(&self, application: u64, admitted: Admitted) {
        self.change(|engine, _| engine.set_admitted(application, admitted));
    }

    /// Takes what was measured of an application here since this was last asked; see [`Engine::sample`].
    pub fn sample(&self, application: u64, quantile: f64) -> Option<Sample> {
        self.shared.lock().engine.sample(application, quantile)
    }

    /// Runs a source for nobody in particular; gives its application and where rows are offered.
    pub fn publish(
        &self,
        name: &str,
        origin: Origin,
        outputs: &[(String, Schema)],
    ) -> (u64, ComponentId) {
        self.change(|engine, _| engine.publish(name, origin, outputs))
    }

    /// Whether a component is here and has not failed: whether it can be read.
    pub fn is_running(&self, component: ComponentId) -> bool {
        self.shared.lock().engine.is_running(component)
    }

    /// What is known of an application, while it is here.
    pub fn report(&self, application: u64) -> Option<Report> {
        let now = self.shared.clock.now();
        self.shared.lock().engine.report(now, application)
    }

    /// What is known of a component that is here, whoever made it.
    pub fn report_of(&self, component: ComponentId) -> Option<ComponentReport> {
        let now = self.shared.clock.now();
        self.shared.lock().engine.report_of(now, component)
    }

    /// Waits for something to happen to an application, or for the runtime to be stopped.
    ///
    /// Gives nothing when the runtime is stopping, or the application is not here and nothing was left to say.
    pub fn wait_for_events(&self, application: u64) -> Vec<Event> {
        let mut state = self.shared.lock();
        loop {
            let happened: Vec<Event> = state
                .events
                .extract_if(.., |event| event.application() == application)
                .collect();
            if !happened.is_empty() || state.is_stopping || !state.engine.is_deployed(application) {
                return happened;
            }
            state = alive(self.shared.events.wait(state));
        }
    }

    /// Waits until a source may offer more.
    ///
    /// # Errors
    /// When the application has ended or the runtime is stopping.
    pub fn wait_for_room(&self, application: u64, source: ComponentId) -> Result<(), Ended> {
        self.wait_at_source(application, source, |engine| {
            engine.has_room(source).then_some(())
        })
    }

    fn wait_at_source<T>(
        &self,
        application: u64,
        source: ComponentId,
        find: impl Fn(&Engine) -> Option<T>,
    ) -> Result<T, Ended> {
        let mut state = self.shared.lock();
        loop {
            if state.has_ended(application) || !state.engine.is_here(source) {
                return Err(Ended);
            }
            if let Some(found) = find(&state.engine) {
                return Ok(found);
            }
            state = self.shared.wait_at(state, source);
        }
    }

    /// Whether a source may offer more now.
    ///
    /// # Errors
    /// When the application has ended or the runtime is stopping.
    pub fn has_room(&self, application: u64, source: ComponentId) -> Result<bool, Ended> {
        let state = self.shared.lock();
        if state.has_ended(application) || !state.engine.is_here(source) {
            return Err(Ended);
        }
        Ok(state.engine.has_room(source))
    }

    /// Lets time pass at a source.
    ///
    /// # Errors
    /// When the application has ended or the runtime is stopping: at once, also in the middle.
    pub fn pause(&self, application: u64, duration: Duration) -> Result<(), Ended> {
        let until = self.shared.clock.now() + duration;
        let mut state = self.shared.lock();
        loop {
            if state.has_ended(application) {
                return Err(Ended);
            }
            let left = until.since(self.shared.clock.now());
            if left.is_zero() {
                return Ok(());
            }
            (state, _) = alive(self.shared.ends.wait_timeout(state, left));
        }
    }

    /// Hands in what a source has read.
    pub fn offer(&self, source: ComponentId, taken: Taken) {
        self.change(|engine, now| engine.offer(now, source, taken));
    }

    /// Waits for results at a sink.
    ///
    /// # Errors
    /// When the application has ended or the runtime is stopping.
    pub fn receive(
        &self,
        application: u64,
        sink: ComponentId,
    ) -> Result<(Channel, Arc<Batch>), Ended> {
        let mut state = self.shared.lock();
        loop {
            if state.has_ended(application) || !state.engine.is_here(sink) {
                return Err(Ended);
            }
            if let Some(received) = state.engine.receive(self.shared.clock.now(), sink) {
                return Ok(received);
            }
            state = self.shared.wait_at(state, sink);
        }
    }

    /// See [`Engine::go_on_behind`].
    pub fn go_on_behind(&self, sink: ComponentId, positions: Positions) {
        self.change(|engine, _| engine.go_on_behind(sink, positions));
    }

    /// Says that results have left.
    pub fn acknowledge(&self, sink: ComponentId, channel: Channel, batch: &Batch) {
        self.change(|engine, now| engine.acknowledge(now, sink, channel, batch));
    }

    /// Says that a source cannot be read on: what it has given still leaves, then the application fails.
    pub fn break_source(&self, source: ComponentId, reason: &str) {
        self.change(|engine, now| engine.break_source(now, source, reason));
    }

    /// Ends an application that cannot go on because of one of its components.
    pub fn fail(&self, component: ComponentId, reason: &str) {
        self.change(|engine, now| engine.fail(now, component, reason));
    }

    /// Changes something under the lock and wakes whom that concerns.
    fn change<T>(&self, change: impl FnOnce(&mut Engine, Instant) -> T) -> T {
        let now = self.shared.clock.now();
        let mut state = self.shared.lock();
        let changed = change(&mut state.engine, now);
        self.shared.signal(&mut state, 0);
        changed
    }

    /// Stops workers, sources, sinks and links, wherever they are.
    pub fn stop(&self) {
        let mut state = self.shared.lock();
        state.is_stopping = true;
        let links = std::mem::take(&mut state.links);
        links.into_values().for_each(Waker::wake);
        if let Some(listener) = state.listener.take() {
            listener.wake();
        }
        state.slots.values().for_each(|slot| slot.notify_all());
        state.waiters.values().for_each(|waits| waits.notify_all());
        drop(state);
        self.shared.work.notify_all();
        self.shared.ends.notify_all();
        self.shared.events.notify_all();
        self.shared.orders.notify_all();
    }
}

/// What a lock or a wait gives, unless somebody panicked under the lock: that is a mistake of the engine
/// itself, with which nobody may go on. The panic has said what it was.
fn alive<T>(result: Result<T, PoisonError<T>>) -> T {
    result.unwrap_or_else(|_| std::process::abort())
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        alive(self.state.lock())
    }

    /// Waits until a source may offer, or a sink may receive, or either has nothing to do any more.
    fn wait_at<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        component: ComponentId,
    ) -> MutexGuard<'a, State> {
        let waits = Arc::clone(state.waiters.entry(component).or_default());
        state = alive(waits.wait(state));
        // Others who wait at the same place hold the condition as well, until the last of them goes on.
        let holders = Arc::strong_count(&waits);
        if holders <= 2 {
            state.waiters.remove(&component);
        }
        state
    }

    /// Wakes who has something to do, but for those `takers` who are about to take work anyway.
    fn signal(&self, state: &mut State, takers: usize) {
        self.wake_worker(state, takers);
        for component in state.engine.take_woken() {
            if let Some(slot) = state.slots.get(&component) {
                slot.notify_one();
            }
        }
        for edge in state.engine.take_ready() {
            if let Some(link) = state.links.remove(&edge) {
                link.wake();
            }
        }
        if state.engine.has_orders() {
            self.orders.notify_all();
        }
        let signals = state.engine.take_signals();
        if signals.all {
            state.waiters.values().for_each(|waits| waits.notify_all());
            self.ends.notify_all();
        }
        for component in signals.sources.into_iter().chain(signals.sinks) {
            if let Some(waits) = state.waiters.get(&component) {
                waits.notify_all();
            }
        }
        let events = state.engine.take_events();
        if !events.is_empty() {
            // Whose component has gone ends.
            state.slots.values().for_each(|slot| slot.notify_one());
            state.events.extend(events);
            self.events.notify_all();
            if let Some(listener) = state.listener.take() {
                listener.wake();
            }
        }
    }
}

impl State {
    /// Whether a timer is set that no worker waits for.
    const fn is_untimed(&self) -> bool {
        !self.has_timekeeper && self.engine.poll_timeout().is_some()
    }

    fn has_ended(&self, application: u64) -> bool {
        self.is_stopping || self.engine.has_ended(application)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// What a panic says.
pub fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}
