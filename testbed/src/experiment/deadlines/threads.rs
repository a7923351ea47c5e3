//! A scenario on the production runtime: worker threads, one thread that offers what arrives, and one for each sink.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, ensure};
use engine::Config;
use engine::runtime::{Ended, Handle, Runtime};
use model::{Clock, Instant};
use node::clock::{MachineClock, process_cpu};

use super::accumulate::Burner;
use super::plan::{Running, Sources, deployments, results, share};
use super::reference::{Left, applications};
use super::run::{Phases, Run, Worked};
use super::scenario::Scenario;
use super::schedule::Schedule;

/// How long it takes from the start of all threads to the beginning of a run. Unit: time. Source: guess; threads start within a millisecond.
const BEFORE: Duration = Duration::from_millis(20);

/// How often it is looked whether a source has room again that had none. Unit: time. Range: well below what batches wait there. Source: guess.
const RETRY: Duration = Duration::from_millis(2);

/// Runs a scenario with a policy for as long as it says.
///
/// # Errors
/// When nothing can be deployed, an application ends by itself, or a thread panics.
pub fn run(scenario: &Scenario, schedule: &Schedule, config: Config) -> anyhow::Result<Run> {
    let clock = Arc::new(MachineClock::start());
    let burner = Burner::spinning(Arc::clone(&clock) as Arc<dyn Clock>);
    let runtime = Runtime::start_with(
        config,
        scenario.workers,
        Arc::clone(&clock) as Arc<dyn Clock>,
        node::priority::after_others,
    )?;
    let handle = runtime.handle();
    let mut running = Vec::new();
    let groups = applications(scenario);
    for (deployment, group) in deployments(scenario, &burner)?.into_iter().zip(&groups) {
        let deployed = handle.deploy(deployment)?;
        handle.set_share(deployed.application, share(scenario, group, config));
        handle.set_demand(deployed.application, group.cores());
        handle.start(deployed.application);
        running.push(Running::of(deployed).context("a part is not here")?);
    }
    let is_over = AtomicBool::new(false);
    let begin = clock.now() + BEFORE;
    let before = (process_cpu(), clock.thread_cpu());
    thread::scope(|scope| {
        let sinks = running.iter().enumerate().map(|(number, running)| {
            let (handle, clock, is_over) = (handle.clone(), &clock, &is_over);
            scope.spawn(move || receive(&handle, clock, running, number, begin, is_over))
        });
        let sinks: Vec<_> = sinks.collect();
        let mut generator = Generator::new(scenario, schedule, &running, begin);
        let worked = || {
            let all = running.iter().zip(&groups).map(|(running, group)| {
                let report = handle.report(running.application);
                let report = report.context("an application is gone")?;
                Ok(Worked::of(&report, running, group.first_operators()))
            });
            all.collect::<anyhow::Result<Vec<Worked>>>()
        };
        let mut phases = Phases::of(scenario);
        let end = begin + scenario.end();
        let mut offered = Ok(());
        while offered.is_ok() {
            let until = phases.next().map_or(end, |due| (begin + due).min(end));
            offered = generator.offer_all(&handle, &clock, until);
            if until == end {
                break;
            }
            let worked = worked()?;
            phases.note(until.since(begin), || worked);
        }
        let worked = worked();
        is_over.store(true, Ordering::Relaxed);
        let all = process_cpu().saturating_sub(before.0);
        let own = clock.thread_cpu().saturating_sub(before.1);
        handle.stop();
        let mut run = Run {
            told: burner.take(),
            generator_cpu: own,
            generator_late: generator.late,
            offered: std::mem::take(&mut generator.offered),
            ..Run::default()
        };
        let mut sinks_cpu = Duration::ZERO;
        for (number, sink) in sinks.into_iter().enumerate() {
            let received = sink
                .join()
                .map_err(|_| anyhow::anyhow!("the thread of a sink panicked"))?;
            let (left, cpu) = received.with_context(|| format!("application {number}"))?;
            run.left.extend(left);
            sinks_cpu += cpu;
        }
        offered.context("the applications ended while batches arrived")?;
        run.worker_cpu = all.saturating_sub(own).saturating_sub(sinks_cpu);
        run.worked = worked?;
        run.by_phase = phases.end(&run.worked);
        Ok(run)
    })
}

/// Receives all windows of an application until the run is over; and says what processor time that took.
fn receive(
    handle: &Handle,
    clock: &MachineClock,
    running: &Running,
    number: usize,
    begin: Instant,
    is_over: &AtomicBool,
) -> anyhow::Result<(Vec<Left>, Duration)> {
    let mut left = Vec::new();
    while let Ok((channel, batch)) = handle.receive(running.application, running.sink) {
        let at = clock.now().since(begin);
        for (end, count, sum) in results(&batch) {
            left.push(Left {
                window: (number, end),
                count,
                sum,
                at,
            });
        }
        handle.acknowledge(running.sink, channel, &batch);
    }
    ensure!(
        is_over.load(Ordering::Relaxed),
        "it ended in the middle of the run"
    );
    Ok((left, clock.thread_cpu()))
}

/// Offers what arrives when it arrives, or as soon as there is room.
struct Generator<'run> {
    schedule: &'run Schedule,
    running: &'run [Running],
    sources: Sources,
    begin: Instant,
    /// What has arrived and was not offered, by application and source. Bounded by what was drawn.
    waiting: Vec<Vec<VecDeque<usize>>>,
    /// Where something waits.
    blocked: BTreeSet<(usize, usize)>,
    next: usize,
    late: Duration,
    /// When each arrival was offered, or there was no room for it, since the beginning; nothing of those that have not come.
    offered: Vec<Option<Duration>>,
}

impl<'run> Generator<'run> {
    fn new(
        scenario: &Scenario,
        schedule: &'run Schedule,
        running: &'run [Running],
        begin: Instant,
    ) -> Self {
        Self {
            schedule,
            running,
            sources: Sources::new(scenario),
            begin,
            waiting: running
                .iter()
                .map(|it| vec![VecDeque::new(); it.sources.len()])
                .collect(),
            blocked: BTreeSet::new(),
            next: 0,
            late: Duration::ZERO,
            offered: vec![None; schedule.arrivals.len()],
        }
    }

    /// Offers everything that arrives until the end, and sleeps in between.
    fn offer_all(
        &mut self,
        handle: &Handle,
        clock: &MachineClock,
        end: Instant,
    ) -> Result<(), Ended> {
        loop {
            let now = clock.now();
            if now >= end {
                return Ok(());
            }
            while let Some(arrival) = self.schedule.arrivals.get(self.next)
                && self.begin + arrival.offered <= now
            {
                let place = (arrival.application, arrival.source);
                if !self.blocked.contains(&place) {
                    self.late = self.late.max(now.since(self.begin + arrival.offered));
                }
                self.waiting[place.0][place.1].push_back(self.next);
                self.blocked.insert(place);
                self.next += 1;
            }
            for place in std::mem::take(&mut self.blocked) {
                if !self.offer(handle, clock, place)? {
                    self.blocked.insert(place);
                }
            }
            let due = self.schedule.arrivals.get(self.next);
            let due = due.map_or(end, |it| self.begin + it.offered).min(end);
            let pause = due.since(clock.now());
            let pause = if self.blocked.is_empty() {
                pause
            } else {
                pause.min(RETRY)
            };
            if !pause.is_zero() {
                // Nobody wakes it; where the system does, it looks once more.
                thread::park_timeout(pause);
            }
        }
    }

    /// Offers what waits at a source as far as there is room. Whether nothing is left.
    fn offer(
        &mut self,
        handle: &Handle,
        clock: &MachineClock,
        place: (usize, usize),
    ) -> Result<bool, Ended> {
        let running = &self.running[place.0];
        let source = running.sources[place.1];
        let waiting = &mut self.waiting[place.0][place.1];
        while let Some(first) = waiting.front() {
            let at = clock.now().since(self.begin);
            if !handle.has_room(running.application, source)? {
                for index in waiting.iter() {
                    self.offered[*index].get_or_insert(at);
                }
                return Ok(false);
            }
            self.offered[*first].get_or_insert(at);
            let arrival = &self.schedule.arrivals[*first];
            handle.offer(source, self.sources.take(self.begin, arrival));
            waiting.pop_front();
        }
        Ok(true)
    }
}
