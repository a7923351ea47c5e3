//! What nodes want done, done.

use std::sync::Arc;
use std::time::Duration;

use engine::Admitted;
use model::{CompositionId, convert};
use node::node::{ComponentRow, Effect, Input, PartEvent, PartReport};

use super::moving::Adopted;
use super::{Event, World};
use crate::simulator::network::Passing;

/// How long a host takes to make components. Source: guess; production compiles an expression in about a millisecond.
pub(super) const DEPLOYED_AFTER: Duration = Duration::from_millis(3);

/// How long the last of what was released takes to go. Source: guess; goodbyes travel upstream.
const RETIRED_AFTER: Duration = Duration::from_millis(50);

/// After what time the sender of something that is cut off hears so. Source: production's data streams are gone after three beats
/// of 200 ms; control messages are asked after within seconds.
const CUT_AFTER: Duration = Duration::from_secs(2);

impl World {
    pub(super) fn act(&mut self, host: usize, cause: u32, effect: Effect) {
        match effect {
            Effect::Answer { id, answered } => self.on_answer(host, id, answered),
            Effect::Query { query, ask } => {
                let (outcome, cost) = self.query(host, ask);
                self.charge(cause, |it| {
                    it.lookups += 1;
                    it.lookup_messages += cost.messages;
                });
                self.later(host, cost.time, cause, Input::Outcome { query, outcome });
            }
            Effect::Send { to, bytes } => self.send(host, cause, to, bytes),
            Effect::Deploy {
                id,
                application,
                graph,
            } => {
                let Some(facts) = self.facts.get(&application).cloned() else {
                    let what = format!("{application:?} is deployed, which nobody asked for");
                    return self.checker.report(self.now, Some(host), what);
                };
                let graph = self.bind(id, *graph, &facts);
                if self.is_traced {
                    let graph = self.described(&graph);
                    self.note(host, &format!("deploys {} as {graph}", application.name));
                }
                let latest = self.latest.entry(application).or_insert(id);
                *latest = (*latest).max(id);
                let made = self.deploy_engine(host, id, &graph, &facts).and_then(|()| {
                    let numbers = &self.numbers;
                    self.fluid.deploy(host, id, graph, facts, numbers)
                });
                let input = match made {
                    Ok(()) => Input::Deployed(id),
                    Err(reason) => {
                        self.retire_engine(host, id);
                        Input::DeployFailed { id, reason }
                    }
                };
                self.follow_loads();
                self.later(host, DEPLOYED_AFTER, cause, input);
            }
            Effect::Start {
                id,
                cores,
                slack,
                ages,
            } => {
                self.fluid.start(host, id);
                self.start_engine(host, id, cores, &Admitted { slack, ages });
            }
            Effect::Prepare {
                id,
                application,
                graph,
                operator,
                from,
            } => self.prepare(host, cause, (id, &application), *graph, (operator, from)),
            Effect::Switch { id, graph, cores } => self.switch(host, id, *graph, cores),
            Effect::Adopt {
                id,
                application,
                graph,
                cores,
            } => {
                let adopted = Adopted {
                    cause,
                    id,
                    application,
                    graph: *graph,
                    cores,
                };
                self.adopt(host, adopted);
            }
            Effect::Abandon(id) => self.abandon(host, id),
            Effect::Retire(id) => {
                self.awaiting.remove(&(host, id));
                self.retire_engine(host, id);
                let gone = self.fluid.retire(host, id, &self.numbers);
                self.tell_retired(gone);
            }
            Effect::Release(id) => match self.discrete {
                Some(_) => {
                    self.awaiting.remove(&(host, id));
                    self.release_engine(host, id);
                }
                None => {
                    let gone = self.fluid.release(host, id, &self.numbers);
                    self.tell_retired(gone);
                }
            },
            Effect::Report { ticket, id } => {
                let report = self.report(host, id);
                let input = Input::Reported { ticket, report };
                self.later(host, Duration::ZERO, cause, input);
            }
            Effect::Describe(summary) => {
                let summary = Arc::new(summary);
                self.hosts[host].summary = Arc::clone(&summary);
                self.overlay.describe(host, summary);
                self.spread_gossip(host);
            }
            Effect::Keep { .. } | Effect::Note(_) => {}
        }
    }

    fn send(&mut self, from: usize, cause: u32, to: model::NodeId, bytes: Vec<u8>) {
        let size = convert::size(bytes.len());
        self.count("control", 1, size);
        self.charge(cause, |it| {
            it.messages += 1;
            it.bytes += size;
        });
        let Some(to) = self.host_of(to) else {
            // Who was made up cannot be reached.
            let input = Input::Unreachable(to);
            return self.later(from, CUT_AFTER, cause, input);
        };
        if to == from {
            let what = "it writes to itself".to_owned();
            return self.checker.report(self.now, Some(from), what);
        }
        if bytes.len() > model::wire::MESSAGE_BYTES_MAX {
            let what = format!("it sends a message of {size} bytes");
            self.checker.report(self.now, Some(from), what);
        }
        let verdict = self.network.judge(&Passing {
            now: self.now,
            from,
            to,
            bytes: bytes.len(),
        });
        if verdict.is_cut {
            return self.unreachable(from, to, CUT_AFTER, cause);
        }
        if verdict.is_lost {
            return;
        }
        for _ in 0..verdict.repeats {
            let at = self.now + self.network.delay(&verdict);
            let bytes = bytes.clone();
            self.queue
                .push(at, cause, Event::Message { from, to, bytes });
        }
        let at = self.now + self.network.delay(&verdict);
        self.queue
            .push(at, cause, Event::Message { from, to, bytes });
    }

    /// Tells hosts that the last of what they ran for compositions is gone.
    pub(super) fn tell_retired(&mut self, gone: Vec<(usize, CompositionId)>) {
        self.follow_loads();
        for (host, id) in gone {
            self.retire_engine(host, id);
            let event = PartEvent::Retired;
            self.later(host, RETIRED_AFTER, 0, Input::Happened { id, event });
        }
    }

    fn report(&self, host: usize, id: CompositionId) -> PartReport {
        let Some(graph) = self.fluid.graph(id) else {
            return PartReport::default();
        };
        let rows = self.jobs(host, id).into_iter().map(|(index, job)| {
            let operator = &graph.plan().operators()[index];
            ComponentRow {
                name: operator.name.clone(),
                kind: operator.kind.clone(),
                status: "running".to_owned(),
                cost_us_per_row: job.execution.as_secs_f64() * 1e6,
                ..ComponentRow::default()
            }
        });
        PartReport {
            components: rows.collect(),
            ..PartReport::default()
        }
    }
}
