//! State streams between hosts: pieces of an operator's state one way, pulls of who takes it over the other.
//!
//! A stream is opened once for each state that is taken over; where it breaks before all of it is there, the state is not to be had.

use std::time::Duration;

use composition::{MigrationId, Taken};
use engine::frame;
use engine::state::{Arrived, Shadow, StatePull};
use model::{CompositionId, EdgeId, Instant, convert};

use super::moving::{Coming, Held, Outgoing};
use super::{Happening, Hosts, Link, Machine, Out};

/// How often who takes a state over says that it is there. Unit: time. Source: production's.
const PULL_INTERVAL: Duration = Duration::from_secs(1);

/// How many pieces are taken at once. Unit: bytes. Source: guess; some pieces.
const TAKEN_MAX: usize = 1 << 20;

impl Machine {
    /// Asks a host for the state of an operator.
    pub(super) fn ask_state(
        &mut self,
        (from, coming): (usize, Coming),
        operator: usize,
        out: &mut Vec<Out>,
    ) -> Link {
        let link = self.edges.next_link(self.place);
        let composition = coming.id.composition;
        self.coming.insert(link, coming);
        let hello = Happening::StateHello {
            link,
            composition,
            operator,
        };
        out.push(Out::Send(from, hello, link, 128));
        link
    }

    /// A host wants the state of an operator here.
    pub(super) fn give_state(
        &mut self,
        now: Instant,
        link: Link,
        (composition, operator): (CompositionId, usize),
        out: &mut Vec<Out>,
    ) {
        let part = self.parts.get(&composition);
        let component = part.and_then(|part| *part.operators.get(operator)?);
        let opened = component.and_then(|it| self.engine.open_state(now, it).ok());
        let answer = match opened {
            Some(edge) => {
                self.outgoing.insert(edge, Outgoing { link, opened: now });
                let peer = (self.place, edge);
                Happening::Opened { link, peer }
            }
            None => Happening::Broken(link),
        };
        out.push(Out::Send(link.reader, answer, link, 64));
    }

    /// The stream of a state that comes is open.
    pub(super) fn state_opened(
        &mut self,
        now: Instant,
        link: Link,
        peer: (usize, EdgeId),
        out: &mut Vec<Out>,
    ) {
        if let Some(coming) = self.coming.get_mut(&link) {
            coming.peer = Some(peer);
            self.keep(now, link, out);
        }
    }

    /// Whoever takes over a state says what is due, and looks again after a while.
    pub(super) fn keep(&mut self, now: Instant, link: Link, out: &mut Vec<Out>) {
        if let Some(place) = self.backed_up(link) {
            return self.keep_backup(now, (place, link), out);
        }
        let Some(coming) = self.coming.get_mut(&link) else {
            return;
        };
        let due = match &mut coming.held {
            Held::Shadow(shadow) => shadow.pull_due(now),
            Held::Taken(pull) => Some(*pull),
        };
        if let Some(pull) = due {
            coming.say(link, pull, out);
        }
        out.push(Out::Later(PULL_INTERVAL, Happening::Keep(link)));
    }

    /// A state that was taken over, or is not wanted any more, need not be kept.
    pub(super) fn let_go(&mut self, link: Link, out: &mut Vec<Out>) {
        if let Some(coming) = self.coming.remove(&link) {
            let pull = match &coming.held {
                Held::Shadow(shadow) => shadow.goodbye(),
                Held::Taken(pull) => *pull,
            };
            let goodbye = StatePull {
                is_goodbye: true,
                ..pull
            };
            coming.say(link, goodbye, out);
        }
    }

    /// A frame with a piece of a state came.
    pub(super) fn take_piece(
        &mut self,
        now: Instant,
        (link, bytes): (Link, &[u8]),
        hosts: &Hosts,
        out: &mut Vec<Out>,
    ) {
        if let Some(place) = self.backed_up(link) {
            return self.take_backup_piece(now, (place, link), bytes, out);
        }
        let Some(coming) = self.coming.get_mut(&link) else {
            return;
        };
        let Held::Shadow(shadow) = &mut coming.held else {
            return;
        };
        let since = *coming.since.get_or_insert(now);
        coming.sent_bytes += convert::size(bytes.len());
        let arrived = match frame::decode_piece(bytes, shadow.schemas(), now) {
            Ok(piece) => shadow
                .handle_piece(now, piece)
                .map_err(|error| error.to_string()),
            Err(error) => {
                out.push(Out::Wrong(format!("a piece cannot be read: {error}")));
                Err(error.to_string())
            }
        };
        let id = coming.id;
        match arrived {
            Ok(Arrived::Part | Arrived::Dropped) => {}
            Ok(Arrived::Whole) => {
                let pull = StatePull {
                    is_goodbye: false,
                    ..shadow.goodbye()
                };
                let taken = Taken {
                    state_bytes: shadow.bytes(),
                    sent_bytes: coming.sent_bytes,
                    transfer: now.since(since),
                };
                let held = std::mem::replace(&mut coming.held, Held::Taken(pull));
                if let Held::Shadow(shadow) = held {
                    self.resumed(now, id, (*shadow, taken), hosts, out);
                }
            }
            Err(reason) => self.failed(now, id, reason, out),
        }
    }

    /// A frame with a pull of who takes a state over came.
    pub(super) fn take_state_pull(
        &mut self,
        now: Instant,
        (edge, link): (EdgeId, Link),
        bytes: &[u8],
        out: &mut Vec<Out>,
    ) {
        let is_known = self.outgoing.get(&edge).is_some_and(|it| it.link == link);
        match frame::decode_state_pull(bytes) {
            Ok(pull) if is_known && self.engine.is_state_open(edge) => {
                self.engine.handle_state_pull(now, edge, pull);
                if pull.is_goodbye {
                    self.outgoing.remove(&edge);
                }
            }
            // It was opened before this host was started anew, or has ended.
            Ok(_) => out.push(Out::Send(link.reader, Happening::Broken(link), link, 64)),
            Err(error) => out.push(Out::Wrong(format!("a pull cannot be read: {error}"))),
        }
    }

    /// Sends the pieces that wait on a state edge.
    pub(super) fn push_state(&mut self, now: Instant, edge: EdgeId, out: &mut Vec<Out>) {
        let Some(Outgoing { link, opened }) = self.outgoing.get(&edge).copied() else {
            return;
        };
        loop {
            let mut pieces = Vec::new();
            if !self.engine.take_pieces(edge, TAKEN_MAX, &mut pieces) {
                self.outgoing.remove(&edge);
                out.push(Out::Send(link.reader, Happening::Broken(link), link, 64));
            }
            if pieces.is_empty() {
                return;
            }
            for piece in pieces {
                let mut bytes = Vec::new();
                match frame::encode_piece(now, opened, &piece, &mut bytes) {
                    Ok(()) => {
                        let size = bytes.len();
                        let piece = Happening::Piece(link, bytes);
                        out.push(Out::Send(link.reader, piece, link, size));
                    }
                    Err(error) => {
                        out.push(Out::Wrong(format!("a piece cannot be sent: {error}")));
                    }
                }
            }
        }
    }

    /// A stream broke, or was refused: one of a state is not opened again.
    pub(super) fn state_broken(&mut self, now: Instant, link: Link, out: &mut Vec<Out>) {
        let of_it = self.outgoing.iter().find(|(_, it)| it.link == link);
        if let Some(edge) = of_it.map(|(edge, _)| *edge) {
            self.outgoing.remove(&edge);
            self.engine.close_state(now, edge);
        }
        if let Some(place) = self.backed_up(link) {
            return self.backup_broken(place, out);
        }
        let Some(coming) = self.coming.get(&link) else {
            return;
        };
        match coming.held {
            Held::Shadow(_) => {
                let reason = "the host that has its state is lost".to_owned();
                self.failed(now, coming.id, reason, out);
            }
            // It has all that it needs.
            Held::Taken(_) => drop(self.coming.remove(&link)),
        }
    }
}

impl Coming {
    fn say(&self, link: Link, pull: StatePull, out: &mut Vec<Out>) {
        if let Some((to, edge)) = self.peer {
            let mut bytes = Vec::new();
            frame::encode_state_pull(pull, &mut bytes);
            let size = bytes.len();
            let pull = Happening::StatePull(edge, link, bytes);
            out.push(Out::Send(to, pull, link, size));
        }
    }

    /// A state that is asked for.
    pub(super) fn new(id: MigrationId, shadow: Shadow) -> Self {
        Self {
            id,
            peer: None,
            held: Held::Shadow(Box::new(shadow)),
            sent_bytes: 0,
            since: None,
        }
    }
}
