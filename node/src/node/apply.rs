//! Composing an application: the order goes to the composer, what comes of it becomes a record.

use std::time::Duration;

use composition::{Composed, Event, Order, Refusal};
use model::{ApplicationId, CompositionId, Instant, Key, Outcome, Query, wire};

use super::asking::RECORD_ENTRIES;
use super::finding::Intent;
use super::message::Message;
use super::record::{Body, Listing, Record};
use super::task::Phase;
use super::{
    Answer, Answered, ApplicationStatus, CommandId, Decision, Effect, Failure, FailureKind, Node,
    composed,
};

/// How long the overlay is asked whether this node had composed an application of the name before a restart.
///
/// Unit: time. Range: some look-ups. Source: guess; where nobody answers, a greater record follows anyway.
const EARLIER_WAIT: Duration = Duration::from_millis(500);

/// From how long after its start on a node knows what it had accepted before: hosts that run something of it have presented themselves.
///
/// Unit: time. Range: above [`super::part`]'s period of presenting.
const HEARD_AFTER: Duration = Duration::from_secs(60);

/// How long a composition may take: longer than the composer does, which answers by itself.
const COMPOSE_WAIT: Duration = Duration::from_secs(60);

/// The largest plan that is accepted: its graph must fit a message, and so must the record of it.
///
/// Unit: bytes. Relation: below half of [`wire::MESSAGE_BYTES_MAX`].
const PLAN_BYTES_MAX: usize = 256 << 10;

/// The most that the reasons in a record take. Unit: bytes. Source: guess; 256 operators with a line each.
const REASONS_BYTES_MAX: usize = 64 << 10;

/// The most look-ups of the composer that are open; of more, the oldest goes, and the composer stops waiting for it by itself.
///
/// Unit: look-ups. Source: guess; all requests that a node composes at once, with a level of 64 operators each.
const LOOKUPS_MAX: usize = 4096;

const _: () = assert!(2 * (PLAN_BYTES_MAX + REASONS_BYTES_MAX) < wire::MESSAGE_BYTES_MAX);

/// An application that is being composed.
#[derive(Debug)]
pub(super) struct Applying {
    order: Box<Order>,
    /// The composition, as soon as it has begun.
    id: Option<CompositionId>,
}

/// What is answered to who asks once more for an application that was composed, as its hosts describe it.
///
/// `owner` is what people call this node: applications of other nodes may have the same name.
pub(super) fn answer_again(
    body: Option<&Body>,
    status: &ApplicationStatus,
    owner: &str,
) -> Answered {
    let name = &status.name;
    let reason = status.reason.as_deref().unwrap_or("nobody says more");
    let message = match (status.status.as_str(), body) {
        ("running", Some(body)) => {
            let mut composition = body.composition.clone();
            "unchanged".clone_into(&mut composition.status);
            return Ok(Answer::Composition(Box::new(composition)));
        }
        ("waiting", _) => format!(
            "{name} was composed, as it is asked for, and waits now: {reason}. Nothing is changed; what is broken is tried \
             again by itself, and `synergy app show {owner}:{name}` says how it is."
        ),
        ("degraded", _) => format!(
            "{name} was composed, as it is asked for, and is degraded now: {reason}. Nothing is changed; to have all of it \
             run again, stop it (`synergy stop {owner}:{name}`) and apply it anew."
        ),
        (word, _) => format!(
            "{name} was composed, as it is asked for, and is {word} now: {reason}. Nothing is changed; apply it anew."
        ),
    };
    Err(Failure::new(FailureKind::Failed, message))
}

fn other_plan(name: &str, owner: &str) -> Failure {
    let message = format!(
        "An application called {name} runs already, with another plan: \
         stop it first (`synergy stop {owner}:{name}`), or give this one another name."
    );
    Failure::new(FailureKind::Invalid, message)
}

impl Node {
    pub(super) fn on_apply(
        &mut self,
        now: Instant,
        command: CommandId,
        order: Order,
        out: &mut Vec<Effect>,
    ) {
        if let Err(failure) = self.check_order(&order) {
            self.answer(command, Err(failure), out);
            return;
        }
        let key = Key::application(&order.application);
        let is_trial = order.is_trial;
        let applying = Applying {
            order: Box::new(order),
            id: None,
        };
        let ticket = self.take_number();
        let since = self.since.unwrap_or(now);
        let has_heard = self.config.is_new || now.since(since) > HEARD_AFTER;
        if is_trial || has_heard || self.has_running(&applying.order.application) {
            self.begin_composing(now, ticket, command, applying, out);
            return;
        }
        self.go_on(
            ticket,
            command,
            now + EARLIER_WAIT,
            Phase::Applying(applying),
        );
        let (near, count) = (None, RECORD_ENTRIES);
        self.query_for(ticket, Query::Lookup { key, near, count }, out);
    }

    fn check_order(&self, order: &Order) -> Result<(), Failure> {
        let name = &order.application.name;
        if order.application.owner != self.id() {
            let message = format!("{name} is not of this node: it composes its own applications.");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        if *name != order.plan.application() {
            let message = format!("{name} is to have the name that its plan has.");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        let plan = &order.plan;
        let (sources, operators) = (plan.sources().len(), plan.operators().len());
        let counts = [
            (order.origins.len(), sources),
            (order.sources.len(), sources),
            (order.source_demands.len(), sources),
            (order.demands.len(), operators),
            (order.places.len(), operators),
            (order.sinks.len(), plan.sinks().len()),
        ];
        if counts.iter().any(|(given, parts)| given != parts) {
            let message = format!("The order of {name} does not fit its plan.");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        let size = wire::encode(plan).len();
        if size > PLAN_BYTES_MAX {
            let message = format!(
                "The plan of {name} takes {size} bytes, and {PLAN_BYTES_MAX} are possible: \
                 split the application, or read fewer columns."
            );
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        if !order.is_trial && self.composing_order(name).is_some() {
            let message = format!("{name} is being composed already: wait for what comes of it.");
            return Err(Failure::new(FailureKind::Failed, message));
        }
        Ok(())
    }

    /// The order of an application of this node that is being composed.
    pub(super) fn composing_order(&self, name: &str) -> Option<&Order> {
        self.tasks.values().find_map(|task| match &task.phase {
            Phase::Applying(applying)
                if !applying.order.is_trial && applying.order.application.name == name =>
            {
                Some(&*applying.order)
            }
            _ => None,
        })
    }

    fn has_running(&self, id: &ApplicationId) -> bool {
        let listing = self.records.listing(id);
        listing.is_some_and(|listing| listing.is_running())
    }

    /// The overlay says what it has of the application from before.
    pub(super) fn on_earlier_records(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        applying: Applying,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        if applying.id.is_some() {
            // It came too late: the composition has begun.
            self.go_on(
                ticket,
                command,
                now + COMPOSE_WAIT,
                Phase::Applying(applying),
            );
            return;
        }
        if let Outcome::Entries(entries) = &outcome {
            self.adopt_found(now, &applying.order.application, entries, out);
        }
        self.begin_composing(now, ticket, command, applying, out);
    }

    fn begin_composing(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        applying: Applying,
        out: &mut Vec<Effect>,
    ) {
        if !applying.order.is_trial
            && let Some(listing) = self.running_listing(&applying.order)
        {
            if self.runs_as_asked(&applying.order) {
                // That it was composed once is not that it runs: its hosts say.
                self.begin_asking(now, ticket, command, Intent::Again, listing, out);
            } else {
                let owner = self.view.name(self.id());
                let failure = other_plan(&applying.order.application.name, &owner);
                self.answer(command, Err(failure), out);
            }
            return;
        }
        let id = CompositionId {
            node: self.id(),
            number: self.take_number(),
        };
        let order = (*applying.order).clone();
        let applying = Applying {
            id: Some(id),
            ..applying
        };
        self.go_on(
            ticket,
            command,
            now + COMPOSE_WAIT,
            Phase::Applying(applying),
        );
        self.compose(now, composition::Input::Compose { id, order }, out);
    }

    /// The listing of an application of this name that was composed and has not ended.
    fn running_listing(&self, order: &Order) -> Option<Listing> {
        let listing = self.records.listing(&order.application)?;
        // What is gone from here would not come back by itself: who asks again wants it to run.
        let runs = listing.is_running() && !self.lacks_part(listing);
        runs.then(|| listing.clone())
    }

    /// Whether what was composed under this name has the plan that is asked for.
    fn runs_as_asked(&self, order: &Order) -> bool {
        let record = self.records.find(&order.application);
        let body = record.and_then(|record| record.body.as_ref());
        body.is_some_and(|body| *body.graph.plan() == order.plan)
    }

    /// Nobody said in time what there was before, or what comes of the composition.
    pub(super) fn on_apply_late(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        applying: Applying,
        out: &mut Vec<Effect>,
    ) {
        let Some(id) = applying.id else {
            self.begin_composing(now, ticket, command, applying, out);
            return;
        };
        if !applying.order.is_trial {
            self.overdue.insert(id);
        }
        let name = &applying.order.application.name;
        let message = format!(
            "{name} has not been composed within {} s. Should it still come about, it is stopped.",
            COMPOSE_WAIT.as_secs()
        );
        let failure = Failure::new(FailureKind::Unreachable, message);
        self.answer(command, Err(failure), out);
    }

    /// Hands something to the composer, and carries what it wants to where that belongs.
    pub(super) fn compose(
        &mut self,
        now: Instant,
        input: composition::Input,
        out: &mut Vec<Effect>,
    ) {
        let mut effects = Vec::new();
        self.composer
            .handle_input(now, &self.view.hosts, input, &mut effects);
        for effect in effects {
            match effect {
                composition::Effect::Send { to, message } => {
                    self.send(to, &Message::Composition(message), out);
                }
                composition::Effect::Deploy {
                    id,
                    application,
                    graph,
                } => self.on_deploy(now, id, application, graph, out),
                composition::Effect::Start {
                    id,
                    cores,
                    slack,
                    ages,
                } => out.push(Effect::Start {
                    id,
                    cores,
                    slack,
                    ages,
                }),
                composition::Effect::Undeploy { id } => self.on_undeploy(now, id, out),
                composition::Effect::Prepare {
                    id,
                    application,
                    graph,
                    operator,
                    from,
                } => out.push(Effect::Prepare {
                    id,
                    application,
                    graph: Box::new(graph),
                    operator,
                    from,
                }),
                composition::Effect::Switch {
                    id,
                    application,
                    graph,
                    cores,
                } => self.on_switch(now, (id, application), graph, cores, out),
                composition::Effect::Adopt {
                    id,
                    application,
                    graph,
                    cores,
                } => self.on_adopt(now, id, application, (graph, cores), out),
                composition::Effect::Abandon { id } => out.push(Effect::Abandon(id)),
                composition::Effect::Lookup { lookup, key, count } => {
                    if self.lookups.len() >= LOOKUPS_MAX {
                        self.lookups.pop_first();
                    }
                    let query = self.take_number();
                    self.lookups.insert(query, lookup);
                    let near = Some(self.view.hosts.host.coordinate);
                    let ask = Query::Lookup { key, near, count };
                    out.push(Effect::Query { query, ask });
                }
                composition::Effect::Register { key, slot, payload } => {
                    self.tell_overlay(Query::Register { key, slot, payload }, out);
                }
                composition::Effect::Withdraw { key, slot } => {
                    self.tell_overlay(Query::Withdraw { key, slot }, out);
                }
                composition::Effect::Event(event) => match event {
                    Event::Composed { id, composed } => {
                        self.on_ended(now, id, Ok(composed), out);
                    }
                    Event::Refused { id, refusal } => self.on_ended(now, id, Err(refusal), out),
                    Event::Rebound { composition, graph } => {
                        self.on_rebound(now, composition, graph, out);
                    }
                    Event::Migrated(migrated) => self.on_migrated(now, migrated, out),
                    Event::Unmigrated(unmigrated) => self.on_unmigrated(now, unmigrated, out),
                },
            }
        }
    }

    /// A request of this node has come to an end.
    fn on_ended(
        &mut self,
        now: Instant,
        id: CompositionId,
        outcome: Result<Composed, Refusal>,
        out: &mut Vec<Effect>,
    ) {
        let found = self.tasks.iter().find(
            |(_, task)| matches!(&task.phase, Phase::Applying(applying) if applying.id == Some(id)),
        );
        let task = found.map(|(ticket, _)| *ticket);
        let task = task.and_then(|ticket| self.tasks.remove(&ticket));
        let Some(task) = task else {
            self.on_composed_for_nobody(now, id, outcome.ok(), out);
            return;
        };
        let Phase::Applying(Applying { order, .. }) = task.phase else {
            return;
        };
        let answered = match outcome {
            Ok(composed) => {
                let answer = self.on_composed(now, id, &order, composed, out);
                Ok(Answer::Composition(Box::new(answer)))
            }
            Err(refusal) => {
                let failure = composed::failure(&order, &refusal);
                if !order.is_trial {
                    let decision = Decision::Refused {
                        operator: None,
                        reason: failure.message.clone(),
                    };
                    self.decided(now, &order.application, decision);
                }
                Err(failure)
            }
        };
        self.answer(task.command, answered, out);
    }

    /// An application is composed, and runs unless it was only tried: that becomes a record for all its hosts.
    fn on_composed(
        &mut self,
        now: Instant,
        id: CompositionId,
        order: &Order,
        composed: Composed,
        out: &mut Vec<Effect>,
    ) -> super::Composition {
        let status = if order.is_trial {
            "feasible"
        } else {
            "running"
        };
        let mut answer = composed::composition(order, &composed, status, &self.view);
        answer
            .remarks
            .extend(composed::not_spread(order, &composed.graph));
        answer
            .remarks
            .extend(composed::not_backed_up(order, &self.view));
        if order.is_trial {
            return answer;
        }
        let mut reasons = composed::reasons(order, &composed);
        if wire::encode(&reasons).len() > REASONS_BYTES_MAX {
            reasons.clear();
        }
        let body = Body {
            graph: composed.graph,
            composition: answer.clone(),
            reasons,
            terms: composed.terms,
        };
        let record = Record::new(order.application.clone(), id, body, &self.config.identity);
        let listing = record.listing.clone();
        let decision = Decision::Composed {
            operators: u64::from(listing.head.operator_count),
            shared: answer.shared,
            hosts: model::convert::size(listing.head.hosts.len()),
            predicted_delay_ms: answer.predicted_delay_ms,
            target_delay_ms: answer.target_delay_ms,
            probes: answer.probes,
        };
        self.decided(now, &order.application, decision);
        self.adopt(now, record, out);
        // What runs here may have failed in the meantime; then that is what everybody is told.
        if self.records.listing(&order.application) == Some(&listing) {
            self.spread(now, listing, false, 0, out);
        }
        answer
    }
}
