//! Backups: this host holds the state of operators that run elsewhere, to go on with them where their hosts are gone.
//!
//! The state is pulled as a migration's is, again and again. What is held stays until a newer state is whole, also while the host where the operator
//! runs is another one by now.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use engine::operator;
use engine::state::{Arrived, Resumed, Shadow};
use engine::{CopyId, frame};
use model::{Clock, ComponentGraph, CompositionId, Instant, NodeId, Replication, wire};
use tokio::task::JoinHandle;

use super::control::Control;
use super::deploy::compile;
use super::hello::Hello;
use super::migration::STATE_DIVISOR;
use super::parts::Means;
use super::state::{PULL_INTERVAL, send_pull};

/// How long after a state was whole the next one is asked for.
///
/// Unit: time. Range: from some milliseconds: what a component has done since is done again where it is taken over, and is kept upstream until then.
/// A sink that was lost with it writes that again. Source: guess; an increment takes some 0.1 ms of a small state.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long to wait before a state is asked for again that could not be had: doubled each time, from the first to the second.
///
/// Unit: time. Source: as for edges.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// The last whole state, where there is one.
type Slot = Arc<Mutex<Held>>;

/// What is held of an operator.
#[derive(Debug, Default)]
struct Held {
    shadow: Option<Shadow>,
    /// Whether it is what the operator has where it runs now, but for what is on its way.
    is_current: bool,
}

/// The state of an operator that runs elsewhere.
#[derive(Debug)]
pub(super) struct Backup {
    primary: NodeId,
    slot: Slot,
    copy: CopyId,
    task: JoinHandle<()>,
}

impl Control {
    /// Holds the state of what this host is a backup of, and of nothing else.
    pub(super) fn follow_backups(&mut self, id: CompositionId) {
        let here = self.network.node();
        let part = self.parts.get(&id).filter(|part| !part.is_released);
        let graph = part.map(|part| part.graph.clone());
        let wanted: BTreeMap<u16, NodeId> =
            graph.iter().flat_map(|graph| wanted(graph, here)).collect();
        let is_active = |it: &ComponentGraph| it.plan().qos().replication == Replication::Active;
        match graph.as_deref().is_some_and(is_active) {
            true => self.let_stand_by(id, &wanted),
            false => self.let_stand_by(id, &BTreeMap::new()),
        }
        let known = self.backups.keys().filter(|(it, _)| *it == id);
        let unwanted = known.filter(|(_, operator)| !wanted.contains_key(operator));
        let unwanted: Vec<(CompositionId, u16)> = unwanted.copied().collect();
        for place in unwanted {
            self.drop_backup(place);
        }
        let Some(graph) = graph else { return };
        for (operator, primary) in wanted {
            let place = (id, operator);
            if self
                .backups
                .get(&place)
                .is_some_and(|it| it.primary == primary)
            {
                continue;
            }
            let before = self.backups.remove(&place);
            let (slot, copy) = match before {
                Some(before) => {
                    before.task.abort();
                    (before.slot, before.copy)
                }
                None => (Slot::default(), self.means.engine.open_copy()),
            };
            let following = Following {
                means: self.means.clone(),
                graph: graph.clone(),
                id,
                operator,
                primary,
                slot: Arc::clone(&slot),
                copy,
                bytes_max: self.config.memory_bytes / STATE_DIVISOR,
            };
            let task = tokio::spawn(following.run());
            let backup = Backup {
                primary,
                slot,
                copy,
                task,
            };
            self.backups.insert(place, backup);
        }
    }

    /// Takes the state that is held of an operator, which goes on here.
    pub(super) fn take_backup(&mut self, place: (CompositionId, u16)) -> Option<(Resumed, u64)> {
        let slot = self
            .backups
            .get(&place)
            .map(|backup| Arc::clone(&backup.slot))?;
        let shadow = locked(&slot).shadow.take();
        self.drop_backup(place);
        let shadow = shadow?;
        let bytes = shadow.bytes();
        Some((shadow.activate()?, bytes))
    }

    /// Whether a state is held of an operator.
    pub(super) fn has_backup(&self, place: (CompositionId, u16)) -> bool {
        let backup = self.backups.get(&place);
        backup.is_some_and(|it| locked(&it.slot).shadow.is_some())
    }

    /// The operators whose state this host is to hold and does not yet, with the reason.
    pub(super) fn unheld(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
    ) -> Vec<(String, String)> {
        let wanted = wanted(graph, self.network.node()).into_iter();
        let unheld = wanted.filter(|(operator, primary)| {
            let backup = self.backups.get(&(id, *operator));
            let is_held =
                backup.is_some_and(|it| it.primary == *primary && locked(&it.slot).is_current);
            let is_active = graph.plan().qos().replication == Replication::Active;
            !is_held || is_active && !self.stands_by((id, *operator))
        });
        let name = |operator: u16| graph.plan().operators()[usize::from(operator)].name.clone();
        let reason = "its state is not held by a backup yet";
        unheld
            .map(|(operator, _)| (name(operator), reason.to_owned()))
            .collect()
    }

    /// Holds nothing any more of a composition.
    pub(super) fn drop_backups(&mut self, id: CompositionId) {
        self.let_stand_by(id, &BTreeMap::new());
        let known = self.backups.keys().filter(|(it, _)| *it == id);
        let known: Vec<(CompositionId, u16)> = known.copied().collect();
        for place in known {
            self.drop_backup(place);
        }
    }

    fn drop_backup(&mut self, place: (CompositionId, u16)) {
        if let Some(backup) = self.backups.remove(&place) {
            backup.task.abort();
            self.means.engine.close_copy(backup.copy);
        }
    }
}

/// The operators with state that this host is a backup of, and where each of them runs.
fn wanted(graph: &ComponentGraph, here: NodeId) -> Vec<(u16, NodeId)> {
    let plan = graph.plan().operators();
    let has_state = |index: u16| operator::has_state(&plan[usize::from(index)].kind);
    let operators = (0u16..).zip(graph.operators()).zip(graph.backups());
    operators
        .filter(|((operator, binding), backups)| {
            binding.host != here && backups.contains(&here) && has_state(*operator)
        })
        .map(|((operator, binding), _)| (operator, binding.host))
        .collect()
}

/// What follows an operator's state.
struct Following {
    means: Means,
    graph: Box<ComponentGraph>,
    id: CompositionId,
    operator: u16,
    primary: NodeId,
    slot: Slot,
    copy: CopyId,
    bytes_max: u64,
}

impl Following {
    async fn run(self) {
        let mut wait = RETRY.0;
        loop {
            let begun = self.means.clock.now();
            // What another primary had, or this one had before, is no longer what it has.
            locked(&self.slot).is_current = false;
            match self.follow().await {
                // It goes on here.
                Ok(()) => return,
                Err(reason) => {
                    tracing::debug!(host = %self.primary, reason, "a state is not to be had");
                }
            }
            if self.means.clock.now().since(begun) >= RETRY.1 {
                wait = RETRY.0;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(RETRY.1);
        }
    }

    /// Follows the state by one stream, until that ends or the state is taken.
    async fn follow(&self) -> Result<(), String> {
        let hello = Hello::State {
            composition: self.id,
            operator: self.operator,
        };
        let (network, engine) = (&self.means.network, &self.means.engine);
        let clock: &dyn Clock = self.means.clock.as_ref();
        let stream = network.open(self.primary, wire::encode(&hello)).await;
        let (mut sender, mut receiver) = stream.map_err(|error| error.to_string())?;
        let (graph, index) = (self.graph.clone(), usize::from(self.operator));
        let compiling = move || compile(graph.plan(), index);
        let compiled = tokio::task::spawn_blocking(compiling).await;
        let compiled = compiled.map_err(|error| format!("panicked: {error}"))??;
        let next = Shadow::new(compiled, self.bytes_max);
        let schemas = next.schemas().to_vec();
        // Until the first state of this stream is whole, what was held before stays.
        let mut fresh = Some(next);
        let mut next_at: Option<Instant> = None;
        let mut bytes = Vec::new();
        loop {
            let now = clock.now();
            if next_at.take_if(|at| *at <= now).is_some() {
                let wanted = self.with(&mut fresh, |shadow| shadow.want());
                if wanted.is_none() {
                    return Ok(());
                }
            }
            while let Some(pull) = self.with(&mut fresh, |it| it.pull_due(now)) {
                let Some(pull) = pull else { break };
                let sent = send_pull(&mut sender, pull, &mut bytes).await;
                sent.map_err(|it| it.to_string())?;
            }
            let Some(due) = self.with(&mut fresh, |it| it.poll_timeout()) else {
                return Ok(());
            };
            let due = due.into_iter().chain(next_at).min();
            let due = due.map_or(PULL_INTERVAL, |due| due.since(clock.now()));
            let Ok(received) = tokio::time::timeout(due, receiver.receive()).await else {
                continue;
            };
            let received = received.map_err(|error| error.to_string())?;
            let received = received.ok_or("the operator is not there any more")?;
            let now = clock.now();
            let piece = frame::decode_piece(received, &schemas, now);
            let piece = piece.map_err(|error| error.to_string())?;
            let arrived = self.with(&mut fresh, |it| {
                let arrived = it.handle_piece(now, piece);
                (arrived, it.bytes())
            });
            let Some((arrived, held)) = arrived else {
                return Ok(());
            };
            let arrived = arrived.map_err(|error| error.to_string())?;
            if !engine.set_copy(self.copy, held) {
                return Err("there is no memory for its state".to_owned());
            }
            if arrived == Arrived::Whole {
                if let Some(shadow) = fresh.take() {
                    *locked(&self.slot) = Held {
                        shadow: Some(shadow),
                        is_current: true,
                    };
                }
                next_at = Some(now + INTERVAL);
            }
        }
    }

    /// Does something with the state that comes; nothing where it was taken.
    fn with<T>(&self, fresh: &mut Option<Shadow>, act: impl FnOnce(&mut Shadow) -> T) -> Option<T> {
        if let Some(shadow) = fresh {
            return Some(act(shadow));
        }
        locked(&self.slot).shadow.as_mut().map(act)
    }
}

fn locked(slot: &Slot) -> MutexGuard<'_, Held> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
