//! What the control plane wants done, done.

use std::collections::BTreeMap;

use engine::Admitted;
use engine::report::Report;
use model::name::Digest;
use model::plan::Stream;
use model::{
    ApplicationId, Binding, Clock, ComponentGraph, ComponentId, CompositionId, StreamName, wire,
};

use super::control::{Control, Inbound};
use super::deploy::Preparation;
use super::parts::Part;
use super::report;
use crate::connector::Opening;
use crate::node::{Effect, Input, PartEvent, PartReport};
use crate::run::shelf_name;

/// Carries out effects, in order.
pub(super) fn carry_out(control: &mut Control, effects: Vec<Effect>) {
    for effect in effects {
        match effect {
            Effect::Answer { id, answered } => {
                if let Some(answer) = control.answers.remove(&id) {
                    // Who asked may have gone.
                    drop(answer.send(answered));
                }
            }
            Effect::Query { query, ask } => {
                let (network, inbox) = (control.network.clone(), control.means.inbox.clone());
                tokio::spawn(async move {
                    let outcome = network.query(ask).await;
                    let input = Input::Outcome { query, outcome };
                    // Nobody hears it only where the node goes down.
                    drop(inbox.send(Inbound::Input(input)).await);
                });
            }
            Effect::Send { to, bytes } => control.network.send(to, bytes),
            Effect::Deploy {
                id,
                application,
                graph,
            } => deploy(control, id, application, graph),
            Effect::Start {
                id,
                cores,
                slack,
                ages,
            } => {
                if let Some(part) = control.parts.get(&id) {
                    let engine = &control.means.engine;
                    part.admit(engine, &Admitted { slack, ages });
                    part.start(engine, cores);
                }
            }
            Effect::Prepare {
                id,
                application,
                graph,
                operator,
                from,
            } => control.prepare_migration(id, application, graph, operator, from),
            Effect::Switch { id, graph, cores } => control.switch(id, graph, cores),
            Effect::Adopt {
                id,
                application,
                graph,
                cores,
            } => control.adopt(id, application, graph, cores),
            Effect::Abandon(id) => control.abandon(id),
            Effect::Retire(id) => retire(control, id),
            Effect::Release(id) => release(control, id),
            Effect::Report { ticket, id } => {
                let report = measure(control, id);
                control
                    .pending
                    .push_back(Input::Reported { ticket, report });
            }
            Effect::Keep {
                application,
                record,
            } => keep(control, &application, record),
            Effect::Describe(host) => control.network.describe(host),
            Effect::Note(text) => tracing::info!("{text}"),
        }
    }
}

/// Prepares parts on a thread that may block; then they are deployed.
fn deploy(
    control: &mut Control,
    id: CompositionId,
    application: ApplicationId,
    graph: Box<ComponentGraph>,
) {
    // An attempt at a composition that has not begun: nothing of it has written anything that is to stay.
    let preparation = preparation(control, id, &application, graph.clone(), Opening::Anew);
    // One that is under way is not wanted any more.
    drop_preparation(control, id);
    let number = control.preparing.begin(id);
    let inbox = control.means.inbox.clone();
    tokio::spawn(async move {
        let prepared = tokio::task::spawn_blocking(move || preparation.prepare()).await;
        let prepared = prepared.unwrap_or_else(|error| Err(format!("panicked: {error}")));
        let inbound = Inbound::Prepared {
            id,
            number,
            application,
            graph,
            prepared: Box::new(prepared),
        };
        drop(inbox.send(inbound).await);
    });
}

/// What opening and compiling parts of a graph needs.
pub(super) fn preparation(
    control: &mut Control,
    id: CompositionId,
    application: &ApplicationId,
    graph: Box<ComponentGraph>,
    opening: Opening,
) -> Preparation {
    let publications = control.published.iter();
    let publications = publications.map(|(name, stream)| (name.clone(), stream.component));
    let running = running(control, &graph);
    let opener = control.opener(id, application.clone(), opening);
    let local = control.local.get_mut(application);
    Preparation::new(opener, graph, local, publications.collect(), running)
}

/// What runs here already of what a graph shares, by the name of its first stream.
fn running(control: &Control, graph: &ComponentGraph) -> BTreeMap<StreamName, ComponentId> {
    let here = control.network.node();
    let sources = (0..).zip(graph.sources());
    let sources = sources.map(|(index, binding)| (Stream::Source(index, 0), binding));
    let operators = (0..).zip(graph.operators());
    let operators = operators.map(|(index, binding)| (Stream::Operator(index, 0), binding));
    let shared = sources
        .chain(operators)
        .filter(|(_, binding)| binding.shared && binding.host == here);
    let find = |(stream, _): (Stream, &Binding)| {
        let name = graph.plan().stream_name(stream);
        let wanted = match stream {
            Stream::Operator(index, _) => Some(graph.made_of(index)),
            Stream::Source(..) => None,
        };
        let found = control.parts.values();
        let found = found.filter_map(|part| part.find(name, wanted.as_ref()));
        let mut running = found.filter(|(id, _)| control.means.engine.is_running(*id));
        Some((name, running.next()?.0))
    };
    shared.filter_map(find).collect()
}

/// Forgets a deployment that is being prepared: it is answered here, and what comes of it is dropped.
fn drop_preparation(control: &mut Control, id: CompositionId) {
    if control.preparing.drop(id) {
        let reason = "it was dropped before it was there".to_owned();
        control
            .pending
            .push_back(Input::DeployFailed { id, reason });
    }
}

fn release(control: &mut Control, id: CompositionId) {
    drop_preparation(control, id);
    forget(control, id);
    control.drop_backups(id);
    control.end_surviving(id);
    control.adopting.drop(id);
    let is_empty = |part: &Part| part.numbers.is_empty();
    if control.parts.get(&id).is_some_and(is_empty) {
        control.parts.remove(&id);
    }
    match control.parts.get_mut(&id) {
        Some(part) => part.release(&control.means.engine),
        None => {
            let event = PartEvent::Retired;
            control.pending.push_back(Input::Happened { id, event });
        }
    }
}

fn retire(control: &mut Control, id: CompositionId) {
    drop_preparation(control, id);
    forget(control, id);
    if control.parts.contains_key(&id) {
        note_last(control, measure(control, id));
    }
    control.drop_migrations(id);
    control.drop_backups(id);
    control.end_surviving(id);
    control.adopting.drop(id);
    // What its file keeps here stays: the next attempt may need it.
    if let Some(part) = control.parts.remove(&id) {
        part.retire(&control.means.engine);
    }
}

/// What the names of kept records begin with.
pub(super) const RECORDS: &str = "record-";

/// Keeps a record on the disk, or forgets it.
fn keep(control: &Control, application: &ApplicationId, record: Option<Vec<u8>>) {
    let Some(store) = &control.config.store else {
        return;
    };
    let hash = Digest::of("synergy 2026 kept record", &[&wire::encode(application)]);
    let name = format!("{RECORDS}{}", hash.file_name());
    match record {
        Some(record) => store.put(&name, record),
        None => store.remove(&name),
    }
}

/// Nobody will ask how far the sources of a composition were.
fn forget(control: &Control, id: CompositionId) {
    let part = control.parts.get(&id);
    let origins = part.map_or(&[][..], |part| part.graph.origins());
    if let Some(store) = &control.config.store {
        for origin in origins {
            store.remove(&shelf_name(&id, *origin));
        }
    }
}

/// Notes what was counted of parts that go, for a run that wants to show it.
pub(super) fn note_last(control: &Control, report: PartReport) {
    let super::Results::Shown { last, .. } = &control.config.results else {
        return;
    };
    if let Ok(mut last) = last.lock() {
        last.push((control.config.name.clone(), report));
    }
}

/// What was counted of a composition here; nothing where nothing of it is here.
pub(super) fn measure(control: &Control, id: CompositionId) -> PartReport {
    let Some(part) = control.parts.get(&id) else {
        return PartReport::default();
    };
    let numbers = part.numbers.iter();
    let counted = numbers.filter_map(|number| control.means.engine.report(*number));
    let counted: Vec<Report> = counted.collect();
    PartReport {
        lacking: control.lacking(id, part),
        ..counted_of(control, part, &counted)
    }
}

/// What an engine counted of a part, in the words of the control plane.
pub(super) fn counted_of(control: &Control, part: &Part, counted: &[Report]) -> PartReport {
    let elapsed = control.clock.now().since(part.since);
    let shared = part.shared(&control.means.engine);
    report::part(counted, &shared, part.graph.plan(), elapsed)
}
