//! Backups: a host holds the state of operators that run elsewhere, to go on with them where their hosts are gone.
//!
//! The state is pulled as a migration's is, again and again. What is held stays until a newer state is whole, also while the host where the operator
//! runs is another one by now.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use engine::state::{Arrived, Resumed, Shadow, StatePull};
use engine::{Config, frame, operator};
use model::{ComponentGraph, CompositionId, EdgeId, Instant};

use super::moving::STATE_DIVISOR;
use super::parts::compiled;
use super::{Happening, Hosts, Link, Machine, Out};

/// How long after a state was asked for the next one is. Unit: time. Source: production's, from when one was whole.
const INTERVAL: Duration = Duration::from_millis(250);

/// How long to wait before a state is asked for again that could not be had: doubled each time, from the first to the second.
///
/// Unit: time. Source: production's.
const RETRY: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// An operator of a composition, by its place in the plan.
pub(super) type Place = (CompositionId, usize);

/// The state of an operator that runs elsewhere.
#[derive(Debug)]
pub(super) struct Backup {
    graph: Arc<ComponentGraph>,
    primary: usize,
    /// The stream that was opened last, and its other end as soon as that has answered.
    link: Option<Link>,
    peer: Option<(usize, EdgeId)>,
    wait: Duration,
    /// What comes by a stream that has brought nothing whole yet.
    fresh: Option<Shadow>,
    /// The last whole state.
    held: Option<Shadow>,
}

impl Backup {
    fn new(graph: &Arc<ComponentGraph>, primary: usize) -> Self {
        Self {
            graph: Arc::clone(graph),
            primary,
            link: None,
            peer: None,
            wait: RETRY.0,
            fresh: None,
            held: None,
        }
    }

    /// What the stream that is open is read into.
    fn reading(&mut self) -> Option<&mut Shadow> {
        self.fresh.as_mut().or(self.held.as_mut())
    }

    /// Nothing comes by this stream any more: the next one begins anew.
    fn close(&mut self) {
        self.link = None;
        self.peer = None;
        self.fresh = None;
    }

    fn say(&self, pull: StatePull, out: &mut Vec<Out>) {
        if let Some(((to, edge), link)) = self.peer.zip(self.link) {
            let mut bytes = Vec::new();
            frame::encode_state_pull(pull, &mut bytes);
            let size = bytes.len();
            let pull = Happening::StatePull(edge, link, bytes);
            out.push(Out::Send(to, pull, link, size));
        }
    }

    fn say_goodbye(&mut self, out: &mut Vec<Out>) {
        if let Some(pull) = self.reading().map(|shadow| shadow.goodbye()) {
            self.say(pull, out);
        }
    }
}

impl Machine {
    /// Holds the state of what this host is a backup of, and of nothing else.
    pub(super) fn follow_backups(&mut self, id: CompositionId, hosts: &Hosts, out: &mut Vec<Out>) {
        let part = self.parts.get(&id);
        let graph = part.map(|part| Arc::clone(&part.graph));
        let wanted: BTreeMap<usize, usize> = graph
            .iter()
            .flat_map(|graph| wanted(graph, self.place, hosts))
            .collect();
        let known = self.backups.keys().filter(|(it, _)| *it == id);
        let unwanted = known.filter(|(_, operator)| !wanted.contains_key(operator));
        for place in unwanted.copied().collect::<Vec<_>>() {
            self.drop_backup(place, out);
        }
        let Some(graph) = graph else { return };
        for (operator, primary) in wanted {
            let place = (id, operator);
            let backup = self.backups.entry(place);
            let backup = backup.or_insert_with(|| Backup::new(&graph, primary));
            if backup.primary != primary {
                backup.say_goodbye(out);
                backup.close();
                backup.primary = primary;
                backup.wait = RETRY.0;
            }
            self.follow_state(place, out);
        }
    }

    /// Holds nothing any more of a composition.
    pub(super) fn drop_backups(&mut self, id: CompositionId, out: &mut Vec<Out>) {
        let known = self.backups.keys().filter(|(it, _)| *it == id);
        for place in known.copied().collect::<Vec<_>>() {
            self.drop_backup(place, out);
        }
    }

    fn drop_backup(&mut self, place: Place, out: &mut Vec<Out>) {
        if let Some(mut backup) = self.backups.remove(&place) {
            backup.say_goodbye(out);
        }
    }

    /// Takes the state that is held of an operator, which goes on here.
    pub(super) fn take_backup(&mut self, place: Place) -> Option<(Resumed, u64)> {
        let shadow = self.backups.remove(&place)?.held?;
        let bytes = shadow.bytes();
        Some((shadow.activate()?, bytes))
    }

    /// Asks for a state that is to be held, where no stream brings it.
    pub(super) fn follow_state(&mut self, place: Place, out: &mut Vec<Out>) {
        let Some(backup) = self.backups.get_mut(&place).filter(|it| it.link.is_none()) else {
            return;
        };
        let (composition, operator) = place;
        match compiled(backup.graph.plan(), operator) {
            Ok(part) => {
                let bytes_max = Config::default().memory_bytes / STATE_DIVISOR;
                backup.fresh = Some(Shadow::new(part, bytes_max));
            }
            Err(reason) => return out.push(Out::Wrong(reason)),
        }
        let link = self.edges.next_link(self.place);
        backup.link = Some(link);
        let hello = Happening::StateHello {
            link,
            composition,
            operator,
        };
        out.push(Out::Send(backup.primary, hello, link, 128));
    }

    /// The place of the operator whose state is held by a stream.
    pub(super) fn backed_up(&self, link: Link) -> Option<Place> {
        let mut backups = self.backups.iter();
        let found = backups.find(|(_, backup)| backup.link == Some(link));
        found.map(|(place, _)| *place)
    }

    /// The stream of a state that is to be held is open.
    pub(super) fn backup_opened(
        &mut self,
        now: Instant,
        (place, link): (Place, Link),
        peer: (usize, EdgeId),
        out: &mut Vec<Out>,
    ) {
        if let Some(backup) = self.backups.get_mut(&place) {
            backup.peer = Some(peer);
            self.keep_backup(now, (place, link), out);
        }
    }

    /// Asks for the next state, says what is due, and looks again after a while.
    pub(super) fn keep_backup(
        &mut self,
        now: Instant,
        (place, link): (Place, Link),
        out: &mut Vec<Out>,
    ) {
        let Some(backup) = self.backups.get_mut(&place) else {
            return;
        };
        let due = backup.reading().and_then(|shadow| {
            shadow.want();
            shadow.pull_due(now)
        });
        if let Some(pull) = due {
            backup.say(pull, out);
        }
        out.push(Out::Later(INTERVAL, Happening::Keep(link)));
    }

    /// A frame with a piece of a state that is to be held came.
    pub(super) fn take_backup_piece(
        &mut self,
        now: Instant,
        (place, link): (Place, Link),
        bytes: &[u8],
        out: &mut Vec<Out>,
    ) {
        let Some(backup) = self.backups.get_mut(&place) else {
            return;
        };
        let Some(shadow) = backup.reading() else {
            return;
        };
        let piece = frame::decode_piece(bytes, shadow.schemas(), now);
        let arrived = piece
            .map_err(|error| error.to_string())
            .and_then(|piece| shadow.handle_piece(now, piece).map_err(|it| it.to_string()));
        match arrived {
            Ok(Arrived::Part | Arrived::Dropped) => {}
            Ok(Arrived::Whole) => {
                if let Some(whole) = backup.fresh.take() {
                    backup.held = Some(whole);
                    backup.wait = RETRY.0;
                }
                // What it holds need not be kept upstream.
                if let Some(pull) = backup.held.as_mut().and_then(|held| held.pull_due(now)) {
                    backup.say(pull, out);
                }
            }
            Err(reason) => {
                out.push(Out::Wrong(format!("a state cannot be held: {reason}")));
                self.broken(now, link, out);
            }
        }
    }

    /// The stream of a state broke, or was refused: another is asked for after a while.
    pub(super) fn backup_broken(&mut self, place: Place, out: &mut Vec<Out>) {
        if let Some(backup) = self.backups.get_mut(&place) {
            backup.close();
            let wait = backup.wait;
            backup.wait = (wait * 2).min(RETRY.1);
            out.push(Out::Later(wait, Happening::Follow(place)));
        }
    }
}

/// The operators with state that a host is a backup of, and where each of them runs.
fn wanted(graph: &ComponentGraph, here: usize, hosts: &Hosts) -> BTreeMap<usize, usize> {
    let plan = graph.plan().operators();
    let bound = graph.operators().iter().zip(graph.backups()).enumerate();
    let place = |node: &model::NodeId| hosts.get_index_of(node);
    let wanted = bound.filter_map(|(index, (binding, backups))| {
        let primary = place(&binding.host)?;
        let is_mine = primary != here && backups.iter().any(|it| place(it) == Some(here));
        (is_mine && operator::has_state(&plan[index].kind)).then_some((index, primary))
    });
    wanted.collect()
}
