//! A scenario on the production engine with virtual cores and virtual time: no thread, no clock, the same arrivals and the same results.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::{Context, ensure};
use engine::{Config, Engine};
use model::{Instant, convert};

use super::accumulate::Burner;
use super::plan::{Running, Sources, deployments, results, share};
use super::reference::{Left, applications};
use super::run::{Phases, Run, Worked};
use super::scenario::{Group, Overheads, Scenario};
use super::schedule::Schedule;
use crate::simulator::cores::Cores;

/// Runs a scenario with a policy for as long as it says, in virtual time. A dispatch holds its core for what its operator tells and for what
/// `overheads` say; a result leaves that much later than it is there.
///
/// # Errors
/// When nothing can be deployed, or an application ends by itself.
pub fn run(
    scenario: &Scenario,
    schedule: &Schedule,
    config: Config,
    overheads: Overheads,
) -> anyhow::Result<Run> {
    let burner = Burner::telling();
    let mut machine = Machine::new(scenario, config, &burner)?;
    // A core of the machine may give less than a second of processor time each second.
    let slowness = convert::count_to_f64(convert::size(scenario.workers)) / overheads.capacity;
    let end = Instant::ZERO + scenario.end();
    let mut phases = Phases::of(scenario);
    let mut next = 0;
    loop {
        let arrival = schedule.arrivals.get(next);
        let arrives = arrival.map(|it| Instant::ZERO + it.offered);
        let now = [arrives, machine.next_event()].into_iter().flatten().min();
        let Some(now) = now.filter(|now| *now < end) else {
            break;
        };
        phases.note(now.since(Instant::ZERO), || machine.worked(scenario, now));
        while let Some(arrival) = schedule.arrivals.get(next)
            && Instant::ZERO + arrival.offered <= now
        {
            machine.waiting[arrival.application][arrival.source].push_back(next);
            next += 1;
            machine.offer(now, schedule, (arrival.application, arrival.source));
        }
        machine.finish(now);
        machine.drain(now, overheads.delivery);
        let signals = machine.engine.take_signals();
        if signals.all || !signals.sources.is_empty() {
            machine.offer_waiting(now, schedule);
        }
        while let Some((number, busy)) = machine.cores.begin(now, &mut machine.engine, |_| {
            let told = burner.take();
            machine.told += told;
            (told + overheads.dispatch).mul_f64(slowness)
        }) {
            machine.held += busy;
            machine.done.entry(now + busy).or_default().push(number);
        }
        let events = machine.engine.take_events();
        ensure!(
            events.is_empty(),
            "it ended in the middle of the run: {events:?}"
        );
    }
    let worked = machine.worked(scenario, end);
    Ok(Run {
        by_phase: phases.end(&worked),
        worked,
        left: machine.left,
        worker_cpu: machine.held,
        told: machine.told,
        ..Run::default()
    })
}

struct Machine {
    engine: Engine,
    cores: Cores,
    /// Which cores are done, and when.
    done: BTreeMap<Instant, Vec<u64>>,
    /// For how long all cores were held.
    held: Duration,
    /// What operators told of that.
    told: Duration,
    running: Vec<Running>,
    sources: Sources,
    /// What has arrived and was not offered, by application and source. Bounded by what was drawn.
    waiting: Vec<Vec<VecDeque<usize>>>,
    left: Vec<Left>,
}

impl Machine {
    fn new(scenario: &Scenario, config: Config, burner: &Burner) -> anyhow::Result<Self> {
        let mut engine = Engine::new(config);
        let mut running = Vec::new();
        let groups = applications(scenario);
        for (deployment, group) in deployments(scenario, burner)?.into_iter().zip(groups) {
            let deployed = engine.deploy(Instant::ZERO, deployment)?;
            engine.set_share(deployed.application, share(scenario, group, config));
            engine.set_demand(deployed.application, group.cores());
            engine.start(Instant::ZERO, deployed.application);
            running.push(Running::of(deployed).context("a part is not here")?);
        }
        Ok(Self {
            engine,
            cores: Cores::new(scenario.workers),
            done: BTreeMap::new(),
            held: Duration::ZERO,
            told: Duration::ZERO,
            waiting: running
                .iter()
                .map(|it| vec![VecDeque::new(); it.sources.len()])
                .collect(),
            running,
            sources: Sources::new(scenario),
            left: Vec::new(),
        })
    }

    /// When a core is done, or the engine wants to be called.
    fn next_event(&self) -> Option<Instant> {
        let done = self.done.first_key_value().map(|(at, _)| *at);
        [done, self.engine.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    fn offer(&mut self, now: Instant, schedule: &Schedule, place: (usize, usize)) {
        let source = self.running[place.0].sources[place.1];
        let waiting = &mut self.waiting[place.0][place.1];
        while let Some(first) = waiting.front()
            && self.engine.has_room(source)
        {
            let taken = self.sources.take(Instant::ZERO, &schedule.arrivals[*first]);
            waiting.pop_front();
            self.engine.offer(now, source, taken);
        }
    }

    fn offer_waiting(&mut self, now: Instant, schedule: &Schedule) {
        for application in 0..self.waiting.len() {
            for source in 0..self.waiting[application].len() {
                if !self.waiting[application][source].is_empty() {
                    self.offer(now, schedule, (application, source));
                }
            }
        }
    }

    /// Takes back what cores have done by now.
    fn finish(&mut self, now: Instant) {
        if self.engine.poll_timeout().is_some_and(|due| due <= now) {
            self.engine.handle_timeout(now);
        }
        while let Some(first) = self.done.first_entry()
            && *first.key() <= now
        {
            for number in first.remove() {
                self.cores.finish(now, number, &mut self.engine);
            }
        }
    }

    /// Takes what waits at sinks.
    fn drain(&mut self, now: Instant, delivery: Duration) {
        for (number, running) in self.running.iter().enumerate() {
            while let Some((channel, batch)) = self.engine.receive(now, running.sink) {
                let at = (now + delivery).since(Instant::ZERO);
                for (end, count, sum) in results(&batch) {
                    self.left.push(Left {
                        window: (number, end),
                        count,
                        sum,
                        at,
                    });
                }
                self.engine.acknowledge(now, running.sink, channel, &batch);
            }
        }
    }

    /// What each application has worked off; nothing of one that is gone.
    fn worked(&self, scenario: &Scenario, now: Instant) -> Vec<Worked> {
        let all = self.running.iter().zip(applications(scenario));
        let worked = |(running, group): (&Running, &Group)| {
            let report = self.engine.report(now, running.application);
            report.map_or_else(Worked::default, |report| {
                Worked::of(&report, running, group.first_operators())
            })
        };
        all.map(worked).collect()
    }
}
