//! Graphs that start: everybody tells everybody, and what runs is registered.

use std::collections::{BTreeMap, BTreeSet};

use model::{CompositionId, Instant, Key, NodeId, NodeView, wire};

use super::{Allocation, State};
use crate::composer::{Composer, Outbox};
use crate::counts::Ignored;
use crate::effect::Effect;
use crate::message::{Body, Decline, Start};
use crate::policy::Sharing;
use crate::reminder::{Kind, Reminder};
use crate::stream::{self, Before, StreamRecord};

impl Composer {
    pub(crate) fn on_start(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        start: Start,
        out: &mut Outbox<'_>,
    ) {
        let (id, attempt) = (start.id, start.attempt);
        let Some(allocation) = self.allocations.get_mut(&id) else {
            self.counts.ignore(Ignored::Unknown);
            let why = Decline::Gone;
            return out.send(from, Body::Declined { id, attempt, why });
        };
        let hosts = allocation.graph.hosts();
        if from != id.node && !hosts.contains(&from) {
            return self.counts.ignore(Ignored::Foreign);
        }
        if allocation.attempt != attempt {
            return self.counts.ignore(Ignored::Late);
        }
        if start.ages.len() != allocation.graph.plan().operators().len() {
            return self.counts.ignore(Ignored::Unfit);
        }
        match allocation.state {
            State::Deploying { .. } => return self.counts.ignore(Ignored::Unfit),
            State::Started | State::Ended => self.counts.ignore(Ignored::Repeated),
            State::Deployed { .. } => {
                allocation.state = State::Started;
                allocation.ages.clone_from(&start.ages);
                let target = allocation.graph.plan().qos().latency;
                out.effect(Effect::Start {
                    id,
                    cores: self.serving.cores(id),
                    slack: target.saturating_sub(start.delay),
                    ages: start.ages.clone(),
                });
                let others: BTreeSet<NodeId> = hosts
                    .into_iter()
                    .filter(|it| *it != view.node() && *it != from)
                    .collect();
                self.serving.start(id, start.delay);
                self.answer_deferred(now, out);
                let message = Body::Start(Box::new(start));
                self.remind(now, (id, Kind::Start), Reminder::new(message, others), out);
                self.register(view, id, out);
            }
        }
        out.send(from, Body::Started { id, attempt });
    }

    /// Says to the overlay what runs here of a composition, so that others can share it.
    pub(crate) fn register(&mut self, view: &NodeView, id: CompositionId, out: &mut Outbox<'_>) {
        if self.config.policy.sharing() == Sharing::None {
            return;
        }
        let Some(allocation) = self.allocations.get_mut(&id) else {
            return;
        };
        let graph = &allocation.graph;
        let plan = graph.plan();
        let mut registered = BTreeMap::new();
        for (index, binding) in graph.operators().iter().enumerate() {
            if binding.host != view.node() || binding.shared {
                continue;
            }
            let made_of = stream::made_of(plan, index);
            let place = |part: &Before| match *part {
                Before::Source(index) => graph.sources()[index].host,
                Before::Operator(index) => graph.operators()[index].host,
            };
            let origins = made_of.iter().filter_map(|part| match *part {
                Before::Source(index) => Some((part.stream(plan), graph.origins()[index])),
                Before::Operator(_) => None,
            });
            let stream = Before::Operator(index).stream(plan);
            let record = StreamRecord {
                stream,
                composition: id,
                application: plan.application().to_owned(),
                operator: plan.operators()[index].name.clone(),
                age: allocation.ages[index],
                origins: origins.collect(),
                parts: made_of
                    .iter()
                    .map(|part| (part.stream(plan), place(part)))
                    .collect(),
            };
            registered.insert(stream, record.age);
            out.effect(Effect::Register {
                key: Key::stream(stream),
                slot: id.number,
                payload: wire::encode(&record),
            });
        }
        allocation.registered = registered;
    }

    /// What was said to the overlay of a graph holds no more.
    pub(crate) fn withdraw(id: CompositionId, allocation: &Allocation, out: &mut Outbox<'_>) {
        for stream in allocation.registered.keys() {
            out.effect(Effect::Withdraw {
                key: Key::stream(*stream),
                slot: id.number,
            });
        }
    }
}
