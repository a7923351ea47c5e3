//! A host is its own backup: the state of operators here that nobody else holds goes to this host's disk, from where a new process goes on.
//!
//! It is pulled as a backup's is, and written piece by piece (`state_log.rs`). What it does not hold yet is kept upstream, so that together nothing is lost.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::io::Error;
use std::path::PathBuf;
use std::time::Duration;

use engine::state::{Item, Piece, Resumed, StatePull};
use engine::{Slot, columns, frame, operator};
use model::{Clock, ComponentGraph, ComponentId, CompositionId, EdgeId, Instant, QueryPlan, wire};
use tokio::task::JoinHandle;

use super::control::{Control, Inbound};
use super::deploy::{Wanted, compile};
use super::migration::STATE_DIVISOR;
use super::parts::Means;
use super::state::PULL_INTERVAL;
use super::state_log::{Allowance, StateLog};
use super::storage::{self, Place};
use crate::node::{Input, PartEvent};

/// How long after a state was whole on the disk the next increment is asked for.
///
/// Unit: time. Range: from some milliseconds: what a component has done since is kept upstream, and done again after a restart. Source: guess; the disk is waited
/// for each time.
const INTERVAL: Duration = Duration::from_millis(500);

/// How long after the disk did not take a state it is tried again. Unit: time. Source: guess; disks become free slowly.
const RETRY: Duration = Duration::from_secs(10);

/// The most operators whose states stay on the disk over a start: of more, the oldest go. Unit: count. Source: guess; as many run on a large host.
const LOGS_MAX: usize = 1024;

/// Where states of this host lie.
#[derive(Debug, Clone)]
pub(super) struct States {
    folder: PathBuf,
    allowance: Allowance,
}

/// States of this host on its disk.
#[derive(Debug)]
pub(super) struct Surviving {
    states: States,
    /// Where lies what is retained beyond the memory.
    storage: storage::Shared,
    /// What writes states.
    writing: BTreeMap<Place, Writer>,
}

/// An operator here whose state goes to the disk.
#[derive(Debug)]
struct Writer {
    component: ComponentId,
    task: JoinHandle<()>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Surviving {
    /// States in a folder, of so many bytes at most. Of too many from before, the oldest go.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub(super) fn open(
        folder: PathBuf,
        bytes_max: u64,
        storage: storage::Shared,
    ) -> Result<Self, Error> {
        Ok(Self {
            states: States::open(folder, bytes_max)?,
            storage,
            writing: BTreeMap::new(),
        })
    }

    /// Where they lie.
    pub(super) fn states(&self) -> States {
        self.states.clone()
    }

    /// Nobody will go on from a state again.
    fn forget(&mut self, place: Place) {
        self.writing.remove(&place);
        self.states.forget(place);
        self.storage.forget(place);
    }

    /// The same of all of a composition.
    fn forget_all(&mut self, id: CompositionId) {
        let known = self.writing.keys().filter(|(it, _)| *it == id);
        let known: Vec<Place> = known.copied().collect();
        for place in known {
            self.forget(place);
        }
    }
}

impl States {
    fn open(folder: PathBuf, bytes_max: u64) -> Result<Self, Error> {
        let mut logs = Vec::new();
        if folder.exists() {
            for entry in std::fs::read_dir(&folder)? {
                let entry = entry?;
                logs.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        logs.sort();
        let excess = logs.len().saturating_sub(LOGS_MAX);
        logs[..excess]
            .iter()
            .try_for_each(|(_, path)| std::fs::remove_dir_all(path))?;
        Ok(Self {
            folder,
            allowance: Allowance {
                taken: std::sync::Arc::default(),
                most: bytes_max,
            },
        })
    }

    fn log_of(&self, (id, operator): Place) -> PathBuf {
        let hash = model::name::Digest::of(
            "synergy 2026 states",
            &[&wire::encode(&id), &operator.to_le_bytes()],
        );
        self.folder.join(hash.file_name())
    }

    /// Nobody will go on from a state again.
    fn forget(&self, place: Place) {
        let log = self.log_of(place);
        if log.exists()
            && let Err(error) = std::fs::remove_dir_all(&log)
        {
            tracing::warn!(%error, "a state that nobody needs is left behind");
        }
    }

    /// What of some operators of a composition is on the disk. May block.
    pub(super) fn resume(
        &self,
        id: CompositionId,
        graph: &ComponentGraph,
        wanted: &Wanted,
        (bytes_max, now): (u64, Instant),
    ) -> BTreeMap<usize, (Resumed, u64)> {
        let places = wanted.operators.iter().filter_map(|index| {
            let place = (id, u16::try_from(*index).ok()?);
            let log = self.log_of(place);
            if !log.exists() || !survives(graph, *index) {
                return None;
            }
            let log = StateLog::open(&log, self.allowance.clone());
            let log = log.inspect_err(|error| tracing::warn!(%error, "a state cannot be read"));
            let compile = || compile(graph.plan(), *index);
            Some((*index, log.ok()?.resume(compile, bytes_max, now)?))
        });
        places.collect()
    }
}

/// Whether the state of an operator outlives its process where it runs: one that others hold goes on there.
fn survives(graph: &ComponentGraph, index: usize) -> bool {
    graph.plan().qos().replicas == 0
        && !graph.operators()[index].shared
        && operator::has_state(&graph.plan().operators()[index].kind)
}

impl Control {
    /// Lets the states of what runs here go to the disk, and nothing else.
    pub(super) fn let_survive(&mut self, id: CompositionId) {
        let Some(surviving) = &mut self.surviving else {
            return;
        };
        let here = self.network.node();
        let part = self.parts.get(&id).filter(|part| !part.is_released);
        let Some(part) = part else {
            return surviving.forget_all(id);
        };
        for (operator, binding) in (0u16..).zip(part.graph.operators()) {
            let (place, index) = ((id, operator), usize::from(operator));
            if binding.host != here || !survives(&part.graph, index) {
                surviving.forget(place);
                continue;
            }
            let Some(component) = part.operators[index] else {
                continue;
            };
            let known = surviving.writing.get(&place);
            if known.is_some_and(|known| known.component == component) {
                continue;
            }
            let writing = Writing {
                means: self.means.clone(),
                log: surviving.states.log_of(place),
                allowance: surviving.states.allowance.clone(),
                component,
                id,
                operator: part.graph.plan().operators()[index].name.clone(),
            };
            surviving.storage.keep(component, place);
            // From now on what the disk does not have is kept upstream.
            let edge = writing.open();
            let task = tokio::spawn(writing.run(edge));
            surviving.writing.insert(place, Writer { component, task });
        }
    }

    /// Lets an operator here that goes on from a state on the disk serve what the storage has of it beside that.
    pub(super) fn take_over_stored(&self, place: Place, component: ComponentId, plan: &QueryPlan) {
        let Some(surviving) = &self.surviving else {
            return;
        };
        let outputs = &plan.operators()[usize::from(place.1)].outputs;
        for (port, (_, schema)) in (0..).zip(outputs) {
            let slot = Slot { component, port };
            let schema = columns::to_arrow(schema);
            let former = surviving.storage.take_over((place, slot), &schema);
            if !former.is_empty() {
                self.means.engine.recover(slot, former);
            }
        }
    }

    /// Nothing of a composition outlives this process.
    pub(super) fn end_surviving(&mut self, id: CompositionId) {
        if let Some(surviving) = &mut self.surviving {
            surviving.forget_all(id);
        }
    }

    /// How much memory a state that goes on may take.
    pub(super) const fn state_bytes_max(&self) -> u64 {
        self.config.memory_bytes / STATE_DIVISOR
    }
}

/// A state edge, closed with whoever pulls it.
struct Edge {
    means: Means,
    id: EdgeId,
    pull: StatePull,
}

impl Edge {
    fn say(&self) -> bool {
        let engine = &self.means.engine;
        engine.handle_state_pull(self.id, self.pull).is_ok()
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        self.means.engine.close_state(self.id);
    }
}

/// What writes an operator's state to the disk.
struct Writing {
    means: Means,
    log: PathBuf,
    allowance: Allowance,
    component: ComponentId,
    id: CompositionId,
    operator: String,
}

/// Why no more of a generation is written.
enum Ended {
    /// A whole state is to be written.
    Long(Edge),
    /// The edge is not there any more.
    Gone,
}

impl Writing {
    fn open(&self) -> Option<Edge> {
        let id = self.means.engine.open_own_state(self.component).ok()?;
        let pull = StatePull {
            holds: 0,
            request: 1,
            is_goodbye: false,
        };
        let means = self.means.clone();
        Some(Edge { means, id, pull })
    }

    async fn run(self, mut first: Option<Edge>) {
        loop {
            let edge = first.take().or_else(|| self.open());
            let Some(edge) = edge else { return };
            let reason = match self.write(edge).await {
                Ok(()) if !self.means.engine.is_running(self.component) => return,
                Ok(()) => "its state could not be had".to_owned(),
                Err(error) => error.to_string(),
            };
            tracing::warn!(operator = self.operator, reason, "a state is not kept");
            let reason = format!("a restart of its host would lose it: {reason}");
            self.tell(Some(reason)).await;
            tokio::time::sleep(RETRY).await;
        }
    }

    /// Writes generation after generation, until the operator is gone.
    async fn write(&self, mut edge: Edge) -> Result<(), Error> {
        let (folder, allowance) = (self.log.clone(), self.allowance.clone());
        let mut log = blocking(move || StateLog::open(&folder, allowance)).await?;
        let mut former = None;
        loop {
            log.begin();
            let ended;
            (log, ended) = self.write_generation(log, edge, former.take()).await?;
            match ended {
                Ended::Gone => return Ok(()),
                Ended::Long(before) => former = Some(before),
            }
            let Some(next) = self.open() else {
                return Ok(());
            };
            edge = next;
        }
    }

    /// Writes a whole state and increments on it. The edge before keeps what it lacks until then.
    async fn write_generation(
        &self,
        mut log: StateLog,
        mut edge: Edge,
        mut former: Option<Edge>,
    ) -> Result<(StateLog, Ended), Error> {
        let (mut pieces, opened) = (Vec::new(), self.means.clock.now());
        loop {
            let is_kept = former.as_ref().is_none_or(Edge::say);
            if !edge.say() || !is_kept {
                return Ok((log, Ended::Gone));
            }
            let polled = poll_fn(|cx| self.means.engine.poll_pieces(edge.id, cx, &mut pieces));
            match tokio::time::timeout(PULL_INTERVAL, polled).await {
                Err(_) => continue,
                Ok(Err(_)) => return Ok((log, Ended::Gone)),
                Ok(Ok(())) => {}
            }
            let last = pieces.last().filter(|it| is_last(it));
            let whole = last.map(|piece| piece.number);
            let frames = self.encoded(opened, &mut pieces)?;
            log = blocking(move || {
                frames.iter().try_for_each(|frame| log.append(frame))?;
                if whole.is_some() {
                    log.complete()?;
                }
                Ok(log)
            })
            .await?;
            let Some(number) = whole else { continue };
            edge.pull.holds = number;
            edge.say();
            if number == 1 {
                former = None;
                self.tell(None).await;
            }
            if log.is_long() {
                return Ok((log, Ended::Long(edge)));
            }
            tokio::time::sleep(INTERVAL).await;
            edge.pull.request += 1;
        }
    }

    fn encoded(&self, opened: Instant, pieces: &mut Vec<Piece>) -> Result<Vec<Vec<u8>>, Error> {
        let encode = |piece: Piece| {
            let mut bytes = Vec::new();
            let now = self.means.clock.now();
            frame::encode_piece(now, opened, &piece, &mut bytes).map_err(Error::other)?;
            Ok(bytes)
        };
        pieces.drain(..).map(encode).collect()
    }

    async fn tell(&self, refused: Option<String>) {
        let event = PartEvent::Surviving {
            operator: self.operator.clone(),
            refused,
        };
        let input = Input::Happened { id: self.id, event };
        // Nobody hears it only where the node goes down.
        drop(self.means.inbox.send(Inbound::Input(input)).await);
    }
}

fn is_last(piece: &Piece) -> bool {
    matches!(piece.item, Item::Standing(_))
}

/// Does something that may wait for the disk.
async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(act).await;
    done.map_err(Error::other)?
}
