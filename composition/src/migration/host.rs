//! A host's side of a migration: it makes ready for another graph of a composition, and goes over to it.
//!
//! Nothing changes for anybody before the graph holds: what comes runs beside what is there. Where it does not come about, what was made for it
//! goes again.

use std::collections::BTreeSet;

use model::{ComponentGraph, CompositionId, Instant, NodeId, NodeView, StreamName};

use super::message::{MigrationId, Prepare, Prepared, Said, Taken, Word};
use crate::allocation::{Allocation, State, newcomer};
use crate::composer::{Composer, Outbox};
use crate::counts::Ignored;
use crate::effect::Effect;
use crate::ledger::Claim;
use crate::message::{Body, Decline};
use crate::reminder::{Kind, Reminder};
use crate::serving::MadeOf;
use crate::stream::Before;

/// A graph that a host makes ready for.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) id: MigrationId,
    pub(super) graph: ComponentGraph,
    /// When it is given up.
    pub(crate) until: Instant,
    pub(super) is_ready: bool,
    /// The state that was taken over here.
    taken: Taken,
    /// What leaves this host by its graph. Unit: bytes per second.
    pub(crate) leaves: f64,
}

impl Pending {
    pub(crate) const fn graph(&self) -> &ComponentGraph {
        &self.graph
    }

    /// Whether a host is of its graph.
    pub(crate) fn joins(&self, host: NodeId) -> bool {
        self.graph.hosts().contains(&host)
    }
}

impl Composer {
    /// Takes what somebody says of a migration.
    pub(crate) fn on_said(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        said: Said,
        out: &mut Outbox<'_>,
    ) {
        let id = said.id;
        let is_movers = matches!(said.word, Word::Prepare(_) | Word::Abandon);
        if is_movers && from != id.by {
            return self.counts.ignore(Ignored::Foreign);
        }
        match said.word {
            Word::Prepare(prepare) => self.on_prepare(now, view, id, *prepare, out),
            Word::Prepared(prepared) => self.on_prepared(now, view, from, id, *prepared, out),
            Word::Declined(why) => self.on_unprepared(now, view, from, id, why, out),
            Word::Switch => self.on_switch(now, view, from, id, out),
            Word::Switched => self.on_switched(now, from, id, out),
            Word::Abandon => self.on_abandon(now, id, out),
        }
    }

    fn on_prepare(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: MigrationId,
        prepare: Prepare,
        out: &mut Outbox<'_>,
    ) {
        let here = view.node();
        let pending = self
            .allocations
            .get(&id.composition)
            .and_then(|it| it.pending.as_deref());
        if let Some(pending) = pending
            && pending.id == id
        {
            self.counts.ignore(Ignored::Repeated);
            return self.say_prepared(view, id.composition, out);
        }
        let refused = match self.allocations.get(&id.composition) {
            None if !prepare.graph.hosts().contains(&here) || prepare.was_of(here) => {
                Some("it does not run here any more")
            }
            None => None,
            Some(known) if known.pending.is_some() => Some("another part of it is being moved"),
            Some(known) if known.state == State::Ended => Some("it has ended"),
            Some(known) if known.state != State::Started => Some("it has not started here"),
            Some(known) if known.generation >= id.generation => {
                return self.counts.ignore(Ignored::Late);
            }
            // Who has left it before, and still gives what is left to others, has heard of nothing since.
            Some(known)
                if known.generation + 1 != id.generation && known.graph.hosts().contains(&here) =>
            {
                Some("something of it was moved that this host has not heard of")
            }
            Some(known) if known.graph.plan() != prepare.graph.plan() => Some("it is another plan"),
            Some(_) => None,
        };
        let leaves = prepare.wants.leaves(&prepare.graph, here);
        let taken = match refused {
            Some(why) => Err(Decline::failed(why)),
            None => self.take_in_moved(view, id, &prepare, leaves),
        };
        match taken {
            Ok(()) => self.make_ready(now, id, prepare, leaves, out),
            Err(why) => say(id.by, id, Word::Declined(why), out),
        }
    }

    /// Takes in what is new here of a graph.
    fn take_in_moved(
        &mut self,
        view: &NodeView,
        id: MigrationId,
        prepare: &Prepare,
        leaves: f64,
    ) -> Result<(), Decline> {
        let before = self.allocations.get(&id.composition).map(|it| &it.graph);
        let application = prepare.application.clone();
        let graphs = (before, &prepare.graph);
        let newcomer = newcomer(view.node(), application, graphs, |_| prepare.job);
        let claim = Claim {
            id: id.composition,
            failed: 0,
        };
        let taken = self.take_in(view, claim, newcomer, leaves, prepare.projection);
        taken.map(drop)
    }

    fn make_ready(
        &mut self,
        now: Instant,
        id: MigrationId,
        prepare: Prepare,
        leaves: f64,
        out: &mut Outbox<'_>,
    ) {
        let until = now + self.config.migration_max;
        let Prepare {
            application,
            attempt,
            graph,
            operator,
            from,
            job: _,
            wants,
            projection,
            delay,
            ages,
        } = prepare;
        out.effect(Effect::Prepare {
            id,
            application: application.clone(),
            graph: graph.clone(),
            operator,
            from,
        });
        let pending = Box::new(Pending {
            id,
            graph: graph.clone(),
            until,
            is_ready: false,
            taken: Taken::default(),
            leaves,
        });
        let allocation = self
            .allocations
            .entry(id.composition)
            .or_insert_with(|| Box::new(Allocation::joining(application, attempt, graph)));
        if allocation.state != State::Started {
            allocation.state = State::Deploying { until };
            allocation.projection = projection;
            allocation.wants = wants;
            allocation.ages = ages;
        }
        if self.serving.delay(id.composition).is_none() {
            self.serving.set_delay(id.composition, delay);
        }
        allocation.pending = Some(pending);
    }

    /// What was asked for by [`Effect::Prepare`] is there.
    pub(crate) fn on_made_ready(
        &mut self,
        view: &NodeView,
        id: MigrationId,
        taken: Taken,
        out: &mut Outbox<'_>,
    ) {
        let Some(pending) = self.pending(id) else {
            return self.counts.ignore(Ignored::Late);
        };
        pending.is_ready = true;
        pending.taken = taken;
        self.say_prepared(view, id.composition, out);
    }

    /// What was asked for by [`Effect::Prepare`] could not be made.
    pub(crate) fn on_make_ready_failed(
        &mut self,
        now: Instant,
        id: MigrationId,
        reason: &str,
        out: &mut Outbox<'_>,
    ) {
        if self.pending(id).is_none() {
            return self.counts.ignore(Ignored::Late);
        }
        self.undo(now, id, out);
        say(id.by, id, Word::Declined(Decline::failed(reason)), out);
    }

    fn pending(&mut self, id: MigrationId) -> Option<&mut Pending> {
        let allocation = self.allocations.get_mut(&id.composition)?;
        let pending = allocation.pending.as_deref_mut();
        pending.filter(|pending| pending.id == id)
    }

    /// Says that all is ready here, once it is.
    fn say_prepared(&self, view: &NodeView, composition: CompositionId, out: &mut Outbox<'_>) {
        let allocation = &self.allocations[&composition];
        let Some(pending) = allocation.pending.as_deref().filter(|it| it.is_ready) else {
            return;
        };
        let told = self.tell(view, composition, allocation.projection, &pending.graph);
        let prepared = Prepared {
            told,
            taken: pending.taken,
        };
        let word = Word::Prepared(Box::new(prepared));
        say(pending.id.by, pending.id, word, out);
    }

    fn on_switch(
        &mut self,
        now: Instant,
        view: &NodeView,
        from: NodeId,
        id: MigrationId,
        out: &mut Outbox<'_>,
    ) {
        let allocation = self.allocations.get_mut(&id.composition);
        let Some(allocation) = allocation.filter(|it| it.state != State::Ended) else {
            // It has ended here in the meantime: nothing is left to switch.
            self.counts.ignore(Ignored::Unknown);
            return say(from, id, Word::Switched, out);
        };
        if allocation.switched == Some(id) {
            self.counts.ignore(Ignored::Repeated);
            return say(from, id, Word::Switched, out);
        }
        let Some(pending) = allocation.pending.take_if(|it| it.id == id) else {
            return self.counts.ignore(Ignored::Late);
        };
        let hosts = &allocation.graph.hosts() | &pending.graph.hosts();
        if from != id.by && !hosts.contains(&from) {
            allocation.pending = Some(pending);
            return self.counts.ignore(Ignored::Foreign);
        }
        if from == id.by {
            // It may vanish in the middle of it: then either all go over or none does.
            let here = view.node();
            let others = hosts.into_iter().filter(|it| *it != here && *it != from);
            self.remind_switch(now, id, others.collect(), out);
        }
        self.go_over(view, id, *pending, out);
        say(from, id, Word::Switched, out);
    }

    /// Says to some to go over to a graph, until they have.
    pub(super) fn remind_switch(
        &mut self,
        now: Instant,
        id: MigrationId,
        to: BTreeSet<NodeId>,
        out: &mut Outbox<'_>,
    ) {
        let said = Said {
            id,
            word: Word::Switch,
        };
        let reminder = Reminder::new(Body::Migration(Box::new(said)), to);
        self.remind(now, (id.composition, Kind::Migration), reminder, out);
    }

    /// The graph holds here from now on.
    pub(super) fn go_over(
        &mut self,
        view: &NodeView,
        id: MigrationId,
        pending: Pending,
        out: &mut Outbox<'_>,
    ) {
        let (here, composition) = (view.node(), id.composition);
        let Some(allocation) = self.allocations.get_mut(&composition) else {
            return;
        };
        allocation.graph = pending.graph;
        allocation.leaves = pending.leaves;
        allocation.generation = id.generation;
        allocation.switched = Some(id);
        allocation.state = State::Started;
        let graph = allocation.graph.clone();
        self.serving.rebind(composition, uses(&graph, here));
        let cores = self.serving.cores(composition);
        out.effect(Effect::Switch {
            id,
            application: allocation.application.clone(),
            graph,
            cores,
        });
        Self::withdraw(composition, &self.allocations[&composition], out);
        self.register(view, composition, out);
    }

    pub(super) fn on_abandon(&mut self, now: Instant, id: MigrationId, out: &mut Outbox<'_>) {
        if self.pending(id).is_some() {
            self.undo(now, id, out);
        }
    }

    /// Takes back what was made for a graph that does not come about.
    pub(super) fn undo(&mut self, now: Instant, id: MigrationId, out: &mut Outbox<'_>) {
        let composition = id.composition;
        let Some(allocation) = self.allocations.get_mut(&composition) else {
            return;
        };
        if allocation.pending.take_if(|it| it.id == id).is_none() {
            return;
        }
        if allocation.lapses_at().is_some() {
            return self.drop_allocation(now, composition, out);
        }
        let stays = uses(&allocation.graph, out.node());
        self.serving.rebind(composition, stays);
        out.effect(Effect::Abandon { id });
    }

    /// Gives up what was prepared and never decided.
    pub(crate) fn lapse_migrations(&mut self, now: Instant, out: &mut Outbox<'_>) {
        let pending = self
            .allocations
            .values()
            .filter_map(|it| it.pending.as_deref());
        let lapsed = pending.filter(|it| it.until <= now);
        let lapsed: Vec<MigrationId> = lapsed.map(|it| it.id).collect();
        for id in lapsed {
            self.counts.lapsed += 1;
            self.undo(now, id, out);
        }
    }
}

/// Says something of a migration to somebody.
pub(super) fn say(to: NodeId, id: MigrationId, word: Word, out: &mut Outbox<'_>) {
    out.send(to, Body::Migration(Box::new(Said { id, word })));
}

/// The operators of a graph on a host, by their streams, with all that they are made of; nothing where the host is not of it.
pub(super) fn uses(graph: &ComponentGraph, here: NodeId) -> Option<Vec<(StreamName, u16, MadeOf)>> {
    let bindings = (0..).zip(graph.operators());
    let here_of_it = bindings
        .filter(|(_, binding)| binding.host == here)
        .map(|(index, _)| {
            let operator = usize::from(index);
            let stream = Before::Operator(operator).stream(graph.plan());
            (stream, index, graph.made_of(operator))
        });
    let here_of_it = here_of_it.collect();
    graph.hosts().contains(&here).then_some(here_of_it)
}
