//! Migration: an operator of a composition that runs goes to another host, and nobody waits for it.
//!
//! The host that runs the operator moves it. It asks others, one after the other, and of each graph that comes of one all hosts, before and after:
//!
//! 1. **Prepare.** The target reserves what the operator takes, checks whom it slows, as for any newcomer, opens the operator's inputs and takes over its
//!    state; hosts before it open edges to the target. Everything that runs goes on. Each tells how long ways and parts are then.
//! 2. **Switch.** Where all are ready and the target is still met, the graph holds: readers read from the target, from where each of them is.
//!    What nobody reads any more goes. Each host passes the word on once, as for a start.
//!
//! A graph so has *generations*: a host that missed one takes part in no further one, and learns it from the application's record. One migration of a
//! composition is under way at a time: whoever is asked for a second one declines.
//!
//! An operator that others share is moved for its own application first, then for each of them in the same way. One whose hosts cannot be asked
//! goes on with what it reads: a component runs twice for as long, under one origin.
//!
//! Load comes to one host alone, the target. So nobody need be asked for the sum of what several hosts charge, as when a graph is composed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ApplicationId, Binding, ComponentGraph, CompositionId, Instant, NodeId, NodeView};

use crate::allocation::State;
use crate::composer::{Composer, Outbox};
use crate::counts::Ignored;
use crate::effect::{Event, Migrated, Unmigrated};
use crate::measure::Lack;
use crate::message::{Body, Decline, Told};
use crate::queue::Job;
use crate::refusal;
use crate::reminder::{Kind, Reminder};
use crate::request::Part;
use crate::stream::Before;

mod adopt;
mod host;
mod message;
mod targets;
mod waiting;

pub(crate) use host::Pending;
use host::say;
pub(crate) use message::Said;
pub use message::{MigrationId, Taken};
use message::{Prepare, Prepared, Word};

/// How many hosts are asked to take an operator. Source: design, protocols 4.
const TARGETS_MAX: usize = 3;

/// An operator that this host moves.
#[derive(Debug)]
pub(crate) struct Migration {
    id: MigrationId,
    application: ApplicationId,
    operator: u16,
    /// The hosts that are left to be asked, the best last.
    targets: Vec<NodeId>,
    to: NodeId,
    before: ComponentGraph,
    graph: ComponentGraph,
    is_switching: bool,
    /// Who has not answered.
    waiting: BTreeSet<NodeId>,
    told: BTreeMap<Part, Told>,
    taken: Taken,
    since: Instant,
    /// Since when everybody is ready.
    ready: Instant,
    until: Instant,
    /// Who did not take it, and why.
    declined: Vec<(NodeId, String)>,
}

impl Migration {
    /// When it is given up.
    pub(crate) const fn until(&self) -> Instant {
        self.until
    }

    fn hosts(&self) -> BTreeSet<NodeId> {
        &self.before.hosts() | &self.graph.hosts()
    }

    /// The longest way through the operator that moves, with its execution: over the ways that hosts tell.
    fn way(&self, part: &Told, link: impl Fn(Part, Part) -> Duration) -> Duration {
        let plan = self.graph.plan();
        let inputs = part.links.iter().map(|(_, link)| *link).max();
        let readers = plan.readers_of(usize::from(self.operator));
        let outputs = readers.map(|reader| link(part.part, Part::of(reader)));
        inputs.unwrap_or_default() + part.execution + outputs.max().unwrap_or_default()
    }
}

impl Composer {
    /// Moves an operator that runs here to the first of some hosts that takes it; where none is named, to one of the least loaded.
    pub(crate) fn on_migrate(
        &mut self,
        now: Instant,
        view: &NodeView,
        (composition, operator): (CompositionId, u16),
        to: Vec<NodeId>,
        out: &mut Outbox<'_>,
    ) {
        let unmoved = |why: &str, out: &mut Outbox<'_>| {
            out.event(Event::Unmigrated(Unmigrated {
                composition,
                operator,
                declined: vec![(view.node(), why.to_owned())],
            }));
        };
        let Some(allocation) = self.allocations.get(&composition) else {
            return unmoved("it does not run here", out);
        };
        let index = usize::from(operator);
        let binding = allocation.graph.operators().get(index);
        if binding.is_none_or(|binding| binding.host != view.node()) {
            return unmoved("it does not run here", out);
        }
        if allocation.state != State::Started {
            return unmoved("it has not started", out);
        }
        if allocation.pending.is_some() || self.migrations.contains_key(&composition) {
            return unmoved("another part of it is being moved", out);
        }
        let (mut targets, declined) = self.targets(view, composition, index, to);
        targets.reverse();
        let migration = Migration {
            id: MigrationId {
                composition,
                generation: allocation.generation + 1,
                by: view.node(),
                attempt: 0,
            },
            application: allocation.application.clone(),
            operator,
            targets,
            to: view.node(),
            before: allocation.graph.clone(),
            graph: allocation.graph.clone(),
            is_switching: false,
            waiting: BTreeSet::new(),
            told: BTreeMap::new(),
            taken: Taken::default(),
            since: now,
            ready: now,
            until: now,
            declined,
        };
        self.ask_next(now, view, migration, out);
    }

    /// Asks the next host, and all that have to do with it; gives up where none is left.
    fn ask_next(
        &mut self,
        now: Instant,
        view: &NodeView,
        mut migration: Migration,
        out: &mut Outbox<'_>,
    ) {
        let composition = migration.id.composition;
        let operator = usize::from(migration.operator);
        let next = migration.targets.pop().map(|to| {
            let binding = Binding {
                host: to,
                ..migration.before.operators()[operator]
            };
            (to, migration.before.rebound(operator, binding))
        });
        let Some((to, Ok(graph))) = next else {
            return out.event(Event::Unmigrated(Unmigrated {
                composition,
                operator: migration.operator,
                declined: migration.declined,
            }));
        };
        let Some((job, delay)) = self.moved_job(view, composition, migration.operator) else {
            migration.targets.clear();
            migration
                .declined
                .push((view.node(), "it does not run here any more".to_owned()));
            return self.ask_next(now, view, migration, out);
        };
        let allocation = self.allocations.get_mut(&composition);
        let allocation = allocation.expect("what runs here has one");
        allocation.moves_tried = allocation.moves_tried.wrapping_add(1);
        migration.id.attempt = allocation.moves_tried;
        migration.to = to;
        migration.graph = graph;
        migration.told.clear();
        migration.waiting = migration.hosts();
        migration.until = now + self.config.lease;
        let prepare = Prepare {
            application: allocation.application.clone(),
            attempt: allocation.attempt(),
            graph: migration.graph.clone(),
            operator: migration.operator,
            from: view.node(),
            job,
            wants: allocation.wants.clone(),
            projection: allocation.projection,
            delay,
            ages: allocation.ages.clone(),
        };
        let said = Said {
            id: migration.id,
            word: Word::Prepare(Box::new(prepare)),
        };
        let reminder = Reminder::new(Body::Migration(Box::new(said)), migration.waiting.clone());
        self.migrations.insert(composition, Box::new(migration));
        self.remind(now, (composition, Kind::Migration), reminder, out);
    }

    /// What an operator that runs here takes as it was measured, and the delay of its application.
    fn moved_job(
        &self,
        view: &NodeView,
        composition: CompositionId,
        operator: u16,
    ) -> Option<(Job, Duration)> {
        let allocation = self.allocations.get(&composition)?;
        let index = usize::from(operator);
        let stream = Before::Operator(index).stream(allocation.graph.plan());
        let binding = allocation.graph.operators()[index];
        debug_assert_eq!(binding.host, view.node());
        let delay = self.serving.delay(composition)?;
        let name = self
            .serving
            .own(composition, operator)
            .or_else(|| self.serving.find(stream, &allocation.graph.made_of(index)));
        let job = name.and_then(|name| self.serving.job_for(&name, composition));
        // What others share may have gone already with its own application, where nobody else reads it here. It takes nothing more where
        // it went, and is there no less strict than what the application has left.
        let followed = || Job {
            laxity: allocation.graph.plan().qos().latency.saturating_sub(delay),
            cores: 0.0,
            burst_cores: 0.0,
            execution: Duration::ZERO,
        };
        let job = job.or_else(|| binding.shared.then(followed))?;
        Some((job, delay))
    }

    /// Takes a migration out of its place, where this is what it waits for.
    fn take_migration(
        &mut self,
        id: MigrationId,
        from: NodeId,
        is_switching: bool,
    ) -> Option<Box<Migration>> {
        let known = self.migrations.get(&id.composition);
        let is_it = known.is_some_and(|it| {
            it.id == id && it.is_switching == is_switching && it.waiting.contains(&from)
        });
        if !is_it {
            self.counts.ignore(Ignored::Late);
            return None;
        }
        self.settle((id.composition, Kind::Migration), from);
        self.migrations.remove(&id.composition)
    }

    fn on_prepared(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        id: MigrationId,
        prepared: Prepared,
        out: &mut Outbox<'_>,
    ) {
        let Some(mut migration) = self.take_migration(id, from, false) else {
            return;
        };
        migration.waiting.remove(&from);
        // Each speaks for itself alone.
        for told in prepared.told {
            if told.part.host_in(&migration.graph) == Some(from) {
                migration.told.insert(told.part, told);
            }
        }
        if from == migration.to {
            migration.taken = prepared.taken;
        }
        if !migration.waiting.is_empty() {
            self.wait_for_target(now, &mut migration);
            self.migrations.insert(id.composition, migration);
            return;
        }
        let known = self.allocations.get(&id.composition);
        if known.is_none_or(|known| known.state == State::Ended) {
            let why = "it does not run here any more".to_owned();
            return self.abandon(now, view, *migration, (view.node(), why), out);
        }
        match self.late(view, &migration) {
            Some(lack) => {
                let declined = (migration.to, refusal::sentence(&lack));
                self.abandon(now, view, *migration, declined, out);
            }
            None => self.switch(now, *migration, out),
        }
    }

    /// What would be late with the graph after, by what its hosts told: nothing where its target is met.
    fn late(&self, view: &NodeView, migration: &Migration) -> Option<Lack> {
        let part = Part::Operator(migration.operator);
        let composition = migration.id.composition;
        let told = migration.told.get(&part)?;
        let delay = self.serving.delay(composition)?;
        let link_after = |from: Part, to: Part| {
            let told = migration.told.get(&to);
            let links = told.map_or(&[][..], |told| &told.links);
            let link = links.iter().find(|(it, _)| *it == from);
            link.map_or(Duration::ZERO, |(_, link)| *link)
        };
        let after = migration.way(told, link_after);
        let graph = &migration.before;
        let here = self.tell(
            view,
            composition,
            self.allocations[&composition].projection,
            graph,
        );
        let told = here.into_iter().find(|told| told.part == part)?;
        let before = migration.way(&told, |_, to| {
            let reader = to.host_in(graph);
            let way = reader.and_then(|reader| view.delay(view.node(), reader));
            way.unwrap_or_default()
        });
        let target = graph.plan().qos().latency;
        let longer = after.saturating_sub(before);
        let whole = delay.saturating_sub(before.saturating_sub(after)) + longer;
        (longer > Duration::ZERO && whole > target).then(|| Lack::of_delay(whole, target))
    }

    fn on_unprepared(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        id: MigrationId,
        why: Decline,
        out: &mut Outbox<'_>,
    ) {
        let Some(mut migration) = self.take_migration(id, from, false) else {
            return;
        };
        migration.waiting.remove(&from);
        let why = match why {
            Decline::Lacks(lack) => refusal::sentence(&lack),
            Decline::Failed(reason) => reason,
            Decline::Gone => "it does not run there any more".to_owned(),
        };
        self.abandon(now, view, *migration, (from, why), out);
    }

    /// The graph does not come about: everybody lets go of it, and the next host is asked.
    fn abandon(
        &mut self,
        now: Instant,
        view: &NodeView,
        mut migration: Migration,
        declined: (NodeId, String),
        out: &mut Outbox<'_>,
    ) {
        self.reminders
            .remove(&(migration.id.composition, Kind::Migration));
        let here = view.node();
        for host in migration.hosts().into_iter().filter(|it| *it != here) {
            say(host, migration.id, Word::Abandon, out);
        }
        // Before anybody hears that it is over, and begins another one.
        self.on_abandon(now, migration.id, out);
        migration.declined.push(declined);
        self.ask_next(now, view, migration, out);
    }

    /// Everybody is ready: from here on it comes about.
    fn switch(&mut self, now: Instant, mut migration: Migration, out: &mut Outbox<'_>) {
        let id = migration.id;
        migration.is_switching = true;
        migration.ready = now;
        migration.waiting = migration.hosts();
        migration.until = now + self.config.lease;
        let waiting = migration.waiting.clone();
        out.event(Event::Rebound {
            composition: id.composition,
            graph: migration.graph.clone(),
        });
        self.migrations.insert(id.composition, Box::new(migration));
        self.remind_switch(now, id, waiting, out);
    }

    fn on_switched(&mut self, now: Instant, from: NodeId, id: MigrationId, out: &mut Outbox<'_>) {
        // Who passed the word on waits for it as well.
        let is_movers = self
            .migrations
            .get(&id.composition)
            .is_some_and(|it| it.id == id && it.is_switching);
        if !is_movers {
            return self.settle((id.composition, Kind::Migration), from);
        }
        let Some(mut migration) = self.take_migration(id, from, true) else {
            return;
        };
        migration.waiting.remove(&from);
        if migration.waiting.is_empty() {
            self.end_migration(now, *migration, out);
        } else {
            self.migrations.insert(id.composition, migration);
        }
    }

    /// It has come about; who shares what was moved is moved as well.
    fn end_migration(&mut self, now: Instant, migration: Migration, out: &mut Outbox<'_>) {
        let Migration {
            id,
            application,
            operator,
            to,
            before,
            graph,
            taken,
            since,
            ready,
            declined,
            waiting,
            ..
        } = migration;
        let index = usize::from(operator);
        let stream = Before::Operator(index).stream(before.plan());
        let made_of = before.made_of(index);
        let sharing = self.allocations.iter().filter_map(|(other, allocation)| {
            let graph = &allocation.graph;
            let bindings = (0..).zip(graph.operators());
            let found = bindings
                .filter(|(_, binding)| binding.shared && binding.host == id.by)
                .map(|(index, _)| index)
                .find(|index| {
                    let operator = usize::from(*index);
                    Before::Operator(operator).stream(graph.plan()) == stream
                        && graph.made_of(operator) == made_of
                })?;
            (*other != id.composition && allocation.state == State::Started)
                .then_some((*other, found))
        });
        let sharing: Vec<(CompositionId, u16)> = sharing.collect();
        out.event(Event::Migrated(Migrated {
            composition: id.composition,
            application,
            operator,
            to,
            graph,
            taken,
            took: now.since(since),
            switched_in: now.since(ready),
            declined,
            unheard: waiting.into_iter().collect(),
            sharing,
        }));
    }
}
