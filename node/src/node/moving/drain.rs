//! A host that gives away all that it can, one component after the other.

use std::collections::VecDeque;

use model::Instant;

use super::super::message::Message;
use super::super::task::Phase;
use super::super::telling::Asker;
use super::super::view::hex;
use super::super::{
    Answer, CommandId, Drained, Effect, Failure, FailureKind, Moved, Node, Stayed, names,
};
use super::{Component, DRAIN_SAYS, Draining, MOVE_WAIT, MoveFor, Moving};

impl Node {
    pub(in crate::node) fn on_drain_command(
        &mut self,
        now: Instant,
        command: CommandId,
        host: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let host = host.map(|name| names::host(&name, &self.view)).transpose();
        let host = match host {
            Ok(host) => host.unwrap_or_else(|| self.id()),
            Err(failure) => return self.answer(command, Err(failure), out),
        };
        let moving = Moving {
            host,
            what: "what it runs".to_owned(),
        };
        let ticket = self.begin(command, now + MOVE_WAIT, Phase::Moving(moving));
        if host == self.id() {
            self.drain_for(now, Asker::Task(ticket), out);
        } else {
            self.send(host, &Message::Drain { ticket }, out);
        }
    }

    /// Somebody wants this host to give away all that it can.
    pub(in crate::node) fn drain_for(&mut self, now: Instant, asker: Asker, out: &mut Vec<Effect>) {
        if self.moves.is_known(asker) {
            return;
        }
        if self.moves.drain.is_some() {
            let message =
                "This host gives away what it runs already: `synergy app ls` says what is left.";
            let failure = Failure::new(FailureKind::Failed, message);
            self.say_drained(asker, Err(failure), out);
            return;
        }
        self.moves.drain = Some(Draining {
            asker: Some((asker, now + DRAIN_SAYS)),
            left: self.components_here(),
            is_moving: false,
            is_beginning: false,
            moved: Vec::new(),
            stayed: Vec::new(),
        });
        self.drain_next(now, out);
    }

    /// The operators of its own that run here, in the order of their applications.
    fn components_here(&self) -> VecDeque<Component> {
        let here = self.id();
        let parts = self.parts.iter().filter(|(_, part)| part.is_running());
        let components = parts.flat_map(|(id, part)| {
            let graph = &part.graph;
            let operators = (0..).zip(graph.plan().operators().iter().zip(graph.operators()));
            let own = operators.filter(|(_, (_, at))| at.host == here && !at.shared);
            own.map(|(operator, (it, _))| Component {
                id: *id,
                operator,
                application: part.application.clone(),
                name: it.name.clone(),
            })
        });
        components.collect()
    }

    /// Lets one component after the other go. What is refused at once is over before the next begins, however many there are.
    fn drain_next(&mut self, now: Instant, out: &mut Vec<Effect>) {
        while let Some(drain) = &mut self.moves.drain {
            if drain.is_moving {
                return;
            }
            let Some(next) = drain.left.pop_front() else {
                self.end_drain(out);
                return;
            };
            let (id, operator) = (next.id, next.operator);
            drain.is_moving = true;
            drain.is_beginning = true;
            let ticket = self.take_number();
            let waiting = (MoveFor::Drain, next);
            self.moves.waiting.insert(ticket, waiting);
            self.begin_move(now, ticket, (id, operator), Vec::new(), out);
            if let Some(drain) = &mut self.moves.drain {
                drain.is_beginning = false;
            }
        }
    }

    pub(super) fn on_drained_one(
        &mut self,
        now: Instant,
        component: Component,
        moved: Result<Moved, Failure>,
        out: &mut Vec<Effect>,
    ) {
        let Some(drain) = &mut self.moves.drain else {
            return;
        };
        drain.is_moving = false;
        match moved {
            Ok(moved) => drain.moved.push(moved),
            Err(failure) => drain.stayed.push(Stayed {
                application: component.application.name,
                operator: component.name,
                reason: failure.message,
            }),
        }
        if !drain.is_beginning {
            self.drain_next(now, out);
        }
    }

    /// All has gone that could: who still waits is told.
    fn end_drain(&mut self, out: &mut Vec<Effect>) {
        if let Some(drain) = self.moves.drain.take()
            && let Some((asker, _)) = drain.asker
        {
            let drained = self.drained(&drain);
            self.say_drained(asker, Ok(drained), out);
        }
    }

    /// Says what has gone so far where that takes long.
    pub(in crate::node) fn tend_drain(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let Some(drain) = &self.moves.drain else {
            return;
        };
        let Some((asker, _)) = drain.asker.filter(|(_, until)| *until <= now) else {
            return;
        };
        let drained = self.drained(drain);
        if let Some(drain) = &mut self.moves.drain {
            drain.asker = None;
        }
        self.say_drained(asker, Ok(drained), out);
    }

    fn drained(&self, drain: &Draining) -> Drained {
        let left = drain.left.len() + usize::from(drain.is_moving);
        Drained {
            host: self.view.name(self.id()),
            node: hex(self.id()),
            moved: drain.moved.clone(),
            stayed: drain.stayed.clone(),
            left: model::convert::size(left),
        }
    }

    fn say_drained(
        &mut self,
        asker: Asker,
        drained: Result<Drained, Failure>,
        out: &mut Vec<Effect>,
    ) {
        match asker {
            Asker::Task(ticket) => {
                let answered = drained.map(|drained| Answer::Drained(Box::new(drained)));
                self.end_moving(ticket, answered, out);
            }
            Asker::Peer(node, ticket) => {
                let drained = Box::new(drained);
                self.send(node, &Message::Drained { ticket, drained }, out);
            }
        }
    }
}
