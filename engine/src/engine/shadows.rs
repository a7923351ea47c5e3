//! State edges: exports of components for shadows on other hosts, and what is kept upstream for those; see [`crate::state`].
//!
//! An export is a dispatch like any other: a worker takes the step, between two batches, and what a shadow lacks is put into pieces
//! outside of the engine's lock. Under it only positions and references to retained batches are collected. A large state takes several, and the component
//! goes on between them. Of the shadows of a component one is served after the other.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{ComponentId, EdgeId, Instant, Positions, convert};

use super::deploy::EDGES_MAX;
use super::lacking::Lacking;
use super::{DeployError, Engine};
use crate::edge::Held;
use crate::frame::EncodeError;
use crate::operator::{Cursor, ExportPart, Numbering, Tick};
use crate::state::{Exported, FIRST_REQUEST, PIECES_MAX, Piece, Standing, StatePull, exported};
use crate::step::Step;

/// The most shadows of one component.
///
/// Unit: count. Range: from backups and a migration's target. Source: guess.
pub const SHADOWS_MAX: usize = 8;

/// How long a shadow may be silent before what it lacks is no longer kept upstream. Who is replaced goes at once; who is not may be on the other side of a
/// network that was cut, and go on there with what it holds.
///
/// Unit: time. Range: above [`crate::edge::LAPSE`]. Source: guess; what applications wait for a host that is lost.
const SHADOW_LAPSE: Duration = Duration::from_secs(30);

/// How many increments of an edge may be under way that nobody has said to hold. Unit: count. Source: guess; one is usual.
const MARKS_MAX: usize = 16;

/// See [`Config::export_bytes`](super::Config::export_bytes). Unit: bytes. Source: guess; some pieces, copied in about a millisecond.
pub(super) const EXPORT_BYTES: usize = 1 << 20;

/// One shadow, as its component's host knows it.
#[derive(Debug)]
pub(super) struct StateEdge {
    component: ComponentId,
    heard: Instant,
    request: u64,
    /// The next increment is asked for, and no worker is at it.
    is_wanted: bool,
    /// The increment that was begun last, and the one that the shadow holds.
    number: u64,
    holds: u64,
    /// How far the increment that was begun last has been made; nothing where all of it was, or another one is asked for.
    begun: Option<Begun>,
    /// What increments have, from the one that is held on.
    marks: BTreeMap<u64, Mark>,
    queue: VecDeque<Piece>,
    /// What the pieces that wait hold of memory: one increment at most.
    queue_bytes: u64,
}

/// An increment of which some has been made.
#[derive(Debug, Clone, Copy)]
struct Begun {
    /// What it adds to.
    base: u64,
    /// Up to where.
    at: Cursor,
    /// In how many pieces.
    pieces: u32,
}

/// What somebody has who holds an increment.
#[derive(Debug, Clone, Default)]
struct Mark {
    complete: Option<Tick>,
    taken: Vec<Positions>,
    outputs: Vec<Held>,
}

/// The account of the memory of a shadow on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CopyId(ComponentId);

/// An export that a worker is to make.
#[derive(Debug)]
pub(super) struct Export {
    edge: EdgeId,
    number: u64,
    at: Cursor,
    bytes_max: usize,
    standing: Standing,
    has_state: bool,
}

/// What became of an export.
#[derive(Debug)]
pub(super) struct Made {
    edge: EdgeId,
    number: u64,
    reached: Reached,
    exported: Result<Exported, EncodeError>,
}

/// How far an export has come.
#[derive(Debug)]
enum Reached {
    /// There is more to export from here on.
    Part(Cursor),
    /// All of the increment is there: what its holder has.
    Whole(Mark),
}

impl Engine {
    /// Opens an edge by which a shadow on another host pulls the state of an operator here. From now on what it lacks is kept upstream, and its first
    /// increment is being made: that is asked for by opening.
    ///
    /// # Errors
    /// When the component is no operator that runs here, or has as many shadows as it may have.
    pub fn open_state(
        &mut self,
        now: Instant,
        component: ComponentId,
    ) -> Result<EdgeId, DeployError> {
        let running = self.components.get(&component);
        let is_operator = running.is_some_and(|running| {
            matches!(running.role, super::Role::Operator) && !running.has_failed()
        });
        if !is_operator {
            return Err(DeployError::UnknownComponent(component));
        }
        if self.edges.len() + self.states.len() >= EDGES_MAX {
            return Err(DeployError::TooManyEdges);
        }
        let taken = self.all_taken(component);
        let id = EdgeId(self.next_edge);
        let shadows = &mut self.component_mut(component).shadows;
        if shadows.len() >= SHADOWS_MAX {
            return Err(DeployError::TooManyShadows);
        }
        shadows.push(Lacking::new(id, taken));
        self.next_edge += 1;
        let edge = StateEdge {
            component,
            heard: now,
            request: FIRST_REQUEST,
            is_wanted: true,
            number: 0,
            begun: None,
            holds: 0,
            marks: BTreeMap::from([(0, Mark::default())]),
            queue: VecDeque::new(),
            queue_bytes: 0,
        };
        self.states.insert(id, edge);
        self.component_mut(component).export_due.get_or_insert(now);
        self.refresh(now, component);
        self.arm(now);
        Ok(id)
    }

    /// Takes a pull of a shadow: what it says to hold is no longer kept upstream, and a new request is answered.
    ///
    /// One for an edge that is not here is ignored.
    pub fn handle_state_pull(&mut self, now: Instant, id: EdgeId, pull: StatePull) {
        if pull.is_goodbye {
            self.close_state(now, id);
            return;
        }
        let Some(edge) = self.states.get_mut(&id) else {
            return;
        };
        edge.heard = now;
        let component = edge.component;
        if pull.holds > edge.holds
            && let Some(mark) = edge.marks.get(&pull.holds)
        {
            edge.holds = pull.holds;
            // What is being made adds to what was held before.
            edge.is_wanted |= edge.begun.take().is_some();
            let taken = mark.taken.clone();
            edge.marks = edge.marks.split_off(&pull.holds);
            let shadows = &mut self.component_mut(component).shadows;
            if let Some(shadow) = shadows.iter_mut().find(|shadow| shadow.edge() == id) {
                shadow.set_taken(taken);
            }
            self.pass_on(now, component);
        }
        let Some(edge) = self.states.get_mut(&id) else {
            return;
        };
        if pull.request > edge.request {
            edge.request = pull.request;
            edge.is_wanted = true;
            edge.begun = None;
            // What waits to be sent is of a request that is not waited for any more.
            edge.queue.clear();
            edge.queue_bytes = 0;
            self.component_mut(component).export_due.get_or_insert(now);
            self.count_copied(component);
            self.refresh(now, component);
        }
    }

    /// Takes pieces that wait to be sent on a state edge: up to so many bytes, one at least where there is one. Says whether the edge goes on.
    pub fn take_pieces(&mut self, id: EdgeId, bytes_max: usize, out: &mut Vec<Piece>) -> bool {
        let Some(edge) = self.states.get_mut(&id) else {
            return false;
        };
        let mut bytes = 0;
        while bytes < bytes_max
            && let Some(piece) = edge.queue.pop_front()
        {
            bytes += convert::index(piece.bytes());
            edge.queue_bytes = edge.queue_bytes.saturating_sub(piece.bytes());
            out.push(piece);
        }
        let component = edge.component;
        self.count_copied(component);
        true
    }

    /// Ends a state edge: nothing is kept for its shadow any more. Where nobody reads the component either, it retires.
    pub fn close_state(&mut self, now: Instant, id: EdgeId) {
        let Some(edge) = self.states.remove(&id) else {
            return;
        };
        self.ready.push(id);
        let Some(component) = self.components.get_mut(&edge.component) else {
            return;
        };
        component.shadows.retain(|shadow| shadow.edge() != id);
        self.pass_on(now, edge.component);
        self.count_copied(edge.component);
        self.refresh(now, edge.component);
        self.retire_unread(now, edge.component);
    }

    /// Whether a state edge is here.
    pub fn is_state_open(&self, edge: EdgeId) -> bool {
        self.states.contains_key(&edge)
    }

    /// Makes an account for the memory of a shadow here.
    pub const fn open_copy(&mut self) -> CopyId {
        // Numbers of components are never given twice, and the ledger goes by them.
        self.next_component += 1;
        CopyId(ComponentId(self.next_component - 1))
    }

    /// A shadow here holds so many bytes now. Says whether there is room for that: without, nothing has changed, and the shadow is to
    /// be dropped.
    pub fn set_copy(&mut self, copy: CopyId, bytes: u64) -> bool {
        let more = bytes.saturating_sub(self.ledger.copied(copy.0));
        let has_room = self.ledger.has_room_to_copy(more);
        if has_room {
            self.ledger.set_copied(copy.0, bytes);
        }
        has_room
    }

    /// A shadow is no longer here.
    pub fn close_copy(&mut self, copy: CopyId) {
        self.ledger.remove(copy.0);
    }

    /// A component goes, and nobody needs its state.
    pub(super) fn end_states(&mut self, id: ComponentId) {
        let of_it = |edge: &StateEdge| edge.component == id;
        let gone = self.states.iter().filter(|(_, edge)| of_it(edge));
        let gone: Vec<EdgeId> = gone.map(|(id, _)| *id).collect();
        for edge in gone {
            self.states.remove(&edge);
            self.ready.push(edge);
        }
        if let Some(component) = self.components.get_mut(&id) {
            component.shadows.clear();
            component.export_due = None;
        }
    }

    /// Ends the edges of shadows that were not heard.
    pub(super) fn sweep_states(&mut self, now: Instant) {
        let is_lapsed = |edge: &StateEdge| now.since(edge.heard) >= SHADOW_LAPSE;
        let lapsed = self.states.iter().filter(|(_, edge)| is_lapsed(edge));
        let lapsed: Vec<EdgeId> = lapsed.map(|(id, _)| *id).collect();
        for edge in lapsed {
            self.close_state(now, edge);
        }
    }

    /// The next export of a component; nothing where none is asked for any more.
    pub(super) fn begin_export(&mut self, id: ComponentId) -> Option<Export> {
        let of_it = |edge: &StateEdge| edge.component == id && edge.is_wanted;
        let taken = self.all_taken(id);
        let component = self.components.get_mut(&id)?;
        let states = self.states.iter_mut().filter(|(_, edge)| of_it(edge));
        // Another export would bring to nothing what was made of one that was begun.
        let Some((edge_id, edge)) = states.min_by_key(|(_, edge)| edge.begun.is_none()) else {
            component.export_due = None;
            return None;
        };
        let edge_id = *edge_id;
        edge.is_wanted = false;
        let mark = edge.marks.get(&edge.holds).cloned().unwrap_or_default();
        let begun = edge.begun.get_or_insert_with(|| {
            edge.number += 1;
            edge.queue.clear();
            edge.queue_bytes = 0;
            Begun {
                base: edge.holds,
                at: Cursor::behind(mark.complete),
                pieces: 0,
            }
        });
        let nothing = Held::new();
        let outputs = component.outputs.iter().enumerate().map(|(port, output)| {
            let held = mark.outputs.get(port).unwrap_or(&nothing);
            output.producer.retained(held)
        });
        Some(Export {
            edge: edge_id,
            number: edge.number,
            at: begun.at,
            bytes_max: self.config.export_bytes,
            standing: Standing {
                inputs: taken,
                counted: None,
                outputs: outputs.collect(),
                late: component.counters.late,
                bad: component.counters.bad,
            },
            has_state: component.numbering == Numbering::Own,
        })
    }

    /// Takes back what a worker has exported.
    pub(super) fn take_export(&mut self, now: Instant, id: ComponentId, made: Made) {
        let edge_id = made.edge;
        let is_sendable = self
            .states
            .get_mut(&edge_id)
            .is_none_or(|edge| edge.take(made));
        if !is_sendable {
            // Its shadow sees the edge end.
            self.states.remove(&edge_id);
            if let Some(component) = self.components.get_mut(&id) {
                component.shadows.retain(|shadow| shadow.edge() != edge_id);
            }
        }
        let mut edges = self.states.values();
        let is_wanted = edges.any(|edge| edge.component == id && edge.is_wanted);
        if let Some(component) = self.components.get_mut(&id) {
            // Each part waits for others anew.
            component.export_due = is_wanted.then_some(now);
        }
        self.count_copied(id);
        self.ready.push(edge_id);
    }

    /// Up to where each input port of a component was worked off.
    pub(super) fn all_taken(&self, id: ComponentId) -> Vec<Positions> {
        let Some(component) = self.components.get(&id) else {
            return Vec::new();
        };
        let taken = |edge: &EdgeId| {
            let inbound = self.edges.get(edge).and_then(|edge| edge.inbound());
            inbound
                .map(|inbound| inbound.state.all_taken())
                .unwrap_or_default()
        };
        component.inputs.iter().map(taken).collect()
    }

    /// Enters what waits to be sent to the shadows of a component into the ledger.
    fn count_copied(&mut self, id: ComponentId) {
        let of_it = self.states.values().filter(|edge| edge.component == id);
        let bytes = of_it.map(|edge| edge.queue_bytes).sum();
        if self.components.contains_key(&id) {
            self.ledger.set_copied(id, bytes);
        }
    }
}

impl StateEdge {
    /// Takes what a worker has exported. Says whether it can be sent.
    fn take(&mut self, made: Made) -> bool {
        let Some(begun) = self.begun.filter(|_| made.number == self.number) else {
            // Another one was asked for meanwhile.
            return true;
        };
        let Ok(exported) = made.exported else {
            return false;
        };
        let count = u32::try_from(exported.items.len()).unwrap_or(u32::MAX);
        let pieces = begun.pieces.saturating_add(count);
        if pieces > PIECES_MAX {
            return false;
        }
        self.queue_bytes += exported.bytes;
        let of = (made.number, begun.base);
        self.queue.extend(exported.into_pieces(of, begun.pieces));
        self.begun = match made.reached {
            Reached::Part(at) => {
                self.is_wanted = true;
                Some(Begun {
                    at,
                    pieces,
                    ..begun
                })
            }
            Reached::Whole(mark) => {
                self.marks.insert(made.number, mark);
                None
            }
        };
        while self.marks.len() > MARKS_MAX {
            // The first is the one that is held.
            let second = self.marks.keys().nth(1).copied();
            second.and_then(|second| self.marks.remove(&second));
        }
        true
    }
}

impl Export {
    /// Exports what the shadow lacks. This is a worker's work; no lock is needed.
    pub(super) fn run(self, step: &mut Step) -> Made {
        let Self {
            edge,
            number,
            mut at,
            bytes_max,
            mut standing,
            has_state,
        } = self;
        let (part, complete) = match has_state {
            true => {
                let part = step.export(&mut at, bytes_max);
                if !part.is_last {
                    return Made {
                        edge,
                        number,
                        reached: Reached::Part(at),
                        exported: exported(part.chunks, None),
                    };
                }
                let (complete, counted) = step.counted();
                standing.counted = Some(counted);
                (part, complete)
            }
            false => (ExportPart::default(), None),
        };
        let held = |output: &Vec<crate::edge::Retained>| -> Held {
            let all = output.iter();
            all.map(|retained| (retained.origin, retained.stretch()))
                .collect()
        };
        let mark = Mark {
            complete,
            taken: standing.inputs.clone(),
            outputs: standing.outputs.iter().map(held).collect(),
        };
        Made {
            edge,
            number,
            reached: Reached::Whole(mark),
            exported: exported(part.chunks, Some(standing)),
        }
    }
}
