//! What the control plane wants done, done.

use model::{ApplicationId, Clock, ComponentGraph, CompositionId};

use super::control::{Control, Inbound};
use super::deploy::Preparation;
use super::report;
use crate::node::{Effect, Input, PartReport};

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
            Effect::Start(id) => {
                if let Some(part) = control.parts.get(&id) {
                    control.means.engine.start(part.number);
                }
            }
            Effect::Retire(id) | Effect::Release(id) => retire(control, id),
            Effect::Report { ticket, id } => {
                let report = measure(control, id);
                let input = Input::Reported { ticket, report };
                control.handle(input);
            }
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
    let publications = control.published.iter();
    let publications = publications.map(|(name, stream)| (name.clone(), stream.component));
    let preparation = Preparation::new(
        control.network.node(),
        graph.clone(),
        control.local.get_mut(&application),
        publications.collect(),
        control.config.results.clone(),
        control.clock.clone(),
    );
    control.preparing.begin(id);
    let inbox = control.means.inbox.clone();
    tokio::spawn(async move {
        let prepared = tokio::task::spawn_blocking(move || preparation.prepare()).await;
        let prepared = prepared.unwrap_or_else(|error| Err(format!("panicked: {error}")));
        let inbound = Inbound::Prepared {
            id,
            application,
            graph,
            prepared: Box::new(prepared),
        };
        drop(inbox.send(inbound).await);
    });
}

fn retire(control: &mut Control, id: CompositionId) {
    control.preparing.drop_all(id);
    note_last(control, id);
    // What its file keeps here stays: the next attempt may need it.
    if let Some(part) = control.parts.remove(&id) {
        part.retire(&control.means.engine);
    }
}

/// Notes what was counted of parts that go, for a run that wants to show it.
pub(super) fn note_last(control: &Control, id: CompositionId) {
    let super::Results::Shown { last, .. } = &control.config.results else {
        return;
    };
    if control.parts.contains_key(&id)
        && let Ok(mut last) = last.lock()
    {
        last.push((control.config.name.clone(), measure(control, id)));
    }
}

/// What was counted of a composition here; nothing where nothing of it is here.
pub(super) fn measure(control: &Control, id: CompositionId) -> PartReport {
    let Some(part) = control.parts.get(&id) else {
        return PartReport::default();
    };
    let Some(counted) = control.means.engine.report(part.number) else {
        return PartReport::default();
    };
    let elapsed = control.clock.now().since(part.since);
    report::part(&counted, part.graph.plan(), elapsed)
}
