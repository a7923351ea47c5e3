//! Moving components by hand: one operator of an application, or all that a host can give away.
//!
//! Any node is asked. It finds the application, and asks the host that runs the operator: that one decides, by what it knows of
//! its load and its neighbors. How a component goes to another host is not told here: see `migration`, which is handed a ticket
//! and answers once, by [`Node::finish_move`].

mod drain;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use model::{ApplicationId, CompositionId, Instant, NodeId, Slack};
use placement::hotspot::Kind;
use placement::monitor::Outlook;

use super::asking::Asking;
use super::finding::{Finding, Intent};
use super::message::Message;
use super::task::Phase;
use super::telling::Asker;
use super::{
    Answer, CommandId, Decision, Effect, Failure, FailureKind, Moved, Node, Stayed, names, watch,
};

/// How long a host may take to move a component, until who asked is told that it is not known what came of it.
///
/// Unit: time. Range: below the 14 s that a request over HTTP may take. Source: a transfer of 10 MiB over 10 Mbit/s takes 8 s.
const MOVE_WAIT: Duration = Duration::from_secs(12);

/// After how long a host that gives away what it runs says what has gone so far; it goes on after that.
///
/// Unit: time. Relation: below [`MOVE_WAIT`], by a way there and back.
const DRAIN_SAYS: Duration = Duration::from_secs(10);

const _: () = assert!(DRAIN_SAYS.as_nanos() < MOVE_WAIT.as_nanos());

/// The most moves that a host is asked for at once; more are refused. Unit: count. Source: guess; one goes after the other.
const MOVES_MAX: usize = 64;

/// What a host was asked to give away.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// Who waits for which move, by its ticket, and what is to go.
    waiting: BTreeMap<u64, (MoveFor, Component)>,
    /// What was expected of those that were measured here, when they began to go. Bounded as above.
    pub(super) expected: BTreeMap<u64, Outlook>,
    drain: Option<Draining>,
}

/// Who waits for a move.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum MoveFor {
    /// A person, here or at another node.
    Asker(Asker),
    /// This host gives away all that it can.
    Drain,
    /// It would be late, or its host has too much to do; and what slack is expected.
    HotSpot(Kind, Slack),
}

/// A host that gives away what it runs, one component after the other.
#[derive(Debug)]
struct Draining {
    /// Who waits for what comes of it, until when; nobody once that was said.
    asker: Option<(Asker, Instant)>,
    /// What is to go, after the one that goes now.
    left: VecDeque<Component>,
    /// Whether one goes now.
    is_moving: bool,
    /// Whether that one is just being begun.
    is_beginning: bool,
    moved: Vec<Moved>,
    stayed: Vec<Stayed>,
}

/// An operator of an application.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Component {
    id: CompositionId,
    operator: u16,
    application: ApplicationId,
    name: String,
}

/// A command that waits for another host to give something away.
#[derive(Debug)]
pub(super) struct Moving {
    host: NodeId,
    what: String,
}

impl Moving {
    pub(super) fn awaits(&self, node: NodeId) -> bool {
        self.host == node
    }
}

impl Moves {
    /// When something is to be said.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let drain = self.drain.as_ref()?;
        drain.asker.map(|(_, until)| until)
    }

    /// Whether this asker waits for a move already: its question came twice.
    fn is_known(&self, asker: Asker) -> bool {
        let drains = self.drain.as_ref().and_then(|drain| drain.asker);
        let mut waiting = self.waiting.values();
        waiting.any(|(it, _)| *it == MoveFor::Asker(asker))
            || drains.is_some_and(|(it, _)| it == asker)
    }
}

impl Node {
    pub(super) fn on_move_command(
        &mut self,
        now: Instant,
        command: CommandId,
        (application, operator): (String, String),
        to: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let to = to.map(|name| names::host(&name, &self.view)).transpose();
        let to = match to {
            Ok(to) => to,
            Err(failure) => return self.answer(command, Err(failure), out),
        };
        let ticket = self.take_number();
        let intent = Intent::Move { operator, to };
        self.find_application(now, ticket, command, Finding::new(application, intent), out);
    }

    /// The hosts of an application have said where it runs: the one that runs the operator is asked to give it away.
    pub(super) fn ask_to_move(
        &mut self,
        now: Instant,
        command: CommandId,
        asking: &Asking,
        (operator, to): (&str, Option<NodeId>),
        out: &mut Vec<Effect>,
    ) {
        let found = self.find_operator(asking, operator, to);
        let (index, host) = match found {
            Ok(found) => found,
            Err(failure) => return self.answer(command, Err(failure), out),
        };
        let head = &asking.listing.head;
        let moving = Moving {
            host,
            what: format!("{}/{operator}", head.application.name),
        };
        let ticket = self.begin(command, now + MOVE_WAIT, Phase::Moving(moving));
        if host == self.id() {
            let asker = Asker::Task(ticket);
            let application = head.application.clone();
            self.move_for(now, asker, &application, (head.composition, index), to, out);
            return;
        }
        let message = Message::Move {
            ticket,
            application: head.application.clone(),
            composition: head.composition,
            operator: index,
            to,
        };
        self.send(host, &message, out);
    }

    /// Which operator of an application it is, and which host runs it.
    fn find_operator(
        &self,
        asking: &Asking,
        operator: &str,
        to: Option<NodeId>,
    ) -> Result<(u16, NodeId), Failure> {
        let name = &asking.listing.head.application.name;
        if !asking.listing.is_running() {
            let word = asking.listing.state().word();
            let message = format!("{name} is {word}: nothing of it can move.");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        let Some(body) = &asking.body else {
            let message = format!(
                "None of the hosts of {name} says where its parts are. Nothing was changed; `synergy app show {name}` says which are down."
            );
            return Err(Failure::new(FailureKind::Unreachable, message));
        };
        let operators = || (0..).zip(body.graph.plan().operators());
        let found = operators().find(|(_, part)| part.name == operator);
        let Some((index, _)) = found else {
            let known: Vec<&str> = operators().map(|(_, part)| part.name.as_str()).collect();
            let message = format!(
                "{name} has no operator called {operator:?}; sources and sinks stay where they are. It has: {}.",
                known.join(", ")
            );
            return Err(Failure::new(FailureKind::NotFound, message));
        };
        let binding = body.graph.operators()[usize::from(index)];
        let host = self.view.full_name(binding.host);
        if binding.shared {
            let message = format!(
                "{name}/{operator} runs on {host} for another application, which {name} shares it with: move it by the name of that one."
            );
            return Err(Failure::new(FailureKind::Refused, message));
        }
        if to == Some(binding.host) {
            let message = format!("{name}/{operator} runs on {host} already: nothing was changed.");
            return Err(Failure::new(FailureKind::Invalid, message));
        }
        Ok((index, binding.host))
    }

    /// Somebody wants an operator that runs here to go elsewhere. It is answered once.
    pub(super) fn move_for(
        &mut self,
        now: Instant,
        asker: Asker,
        application: &ApplicationId,
        (id, operator): (CompositionId, u16),
        to: Option<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        if self.moves.is_known(asker) {
            return;
        }
        let here = self.id();
        let part = self.parts.get(&id);
        let part = part.filter(|part| part.application == *application);
        let found = part.and_then(|part| {
            let place = usize::from(operator);
            let binding = part.graph.operators().get(place);
            let is_here = binding.is_some_and(|it| it.host == here && !it.shared);
            is_here.then(|| part.graph.plan().operators()[place].name.clone())
        });
        let Some(name) = found else {
            let message = format!(
                "It does not run on {} (any more): `synergy app show {}` says where.",
                self.view.full_name(here),
                application.name
            );
            let failure = Failure::new(FailureKind::NotFound, message);
            self.say_moved(asker, Err(failure), out);
            return;
        };
        if self.moves.waiting.len() >= MOVES_MAX {
            self.counts.add("moves_over_limit");
            let message = format!("This host was asked for {MOVES_MAX} moves: try again later.");
            let failure = Failure::new(FailureKind::Refused, message);
            self.say_moved(asker, Err(failure), out);
            return;
        }
        let ticket = self.take_number();
        let component = Component {
            id,
            operator,
            application: application.clone(),
            name,
        };
        let waiting = (MoveFor::Asker(asker), component);
        self.moves.waiting.insert(ticket, waiting);
        let to = to.into_iter().collect();
        self.begin_move(now, ticket, (id, operator), to, out);
    }

    /// A component that runs here is to go to the first of some hosts that takes it, since something here is too much.
    pub(super) fn move_from_hot_spot(
        &mut self,
        now: Instant,
        (id, operator): watch::Place,
        (kind, slack): (Kind, Slack),
        to: Vec<NodeId>,
        out: &mut Vec<Effect>,
    ) {
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let component = Component {
            id,
            operator,
            application: part.application.clone(),
            name: part.graph.plan().operators()[usize::from(operator)]
                .name
                .clone(),
        };
        let ticket = self.take_number();
        let waiting = (MoveFor::HotSpot(kind, slack), component);
        self.moves.waiting.insert(ticket, waiting);
        self.begin_move(now, ticket, (id, operator), to, out);
    }

    /// A move has ended, or was refused: it is noted, and whoever asked for it is told. Called once for each ticket of `begin_move`.
    pub(super) fn finish_move(
        &mut self,
        now: Instant,
        ticket: u64,
        moved: Result<Moved, Failure>,
        out: &mut Vec<Effect>,
    ) {
        let expected = self.moves.expected.remove(&ticket);
        let Some((who, component)) = self.moves.waiting.remove(&ticket) else {
            self.counts.add("moves_of_nobody");
            return;
        };
        let why = match who {
            MoveFor::Asker(_) => "somebody asked for it",
            MoveFor::Drain => "its host gives away what it runs",
            MoveFor::HotSpot(kind, _) => watch::reason(kind),
        };
        let slack_ms = match who {
            MoveFor::HotSpot(_, slack) => watch::slack_ms(slack),
            MoveFor::Asker(_) | MoveFor::Drain => {
                expected.and_then(|it| watch::slack_ms(it.predicted_slack))
            }
        };
        let decision = match &moved {
            Ok(moved) => Decision::Moved {
                why: why.to_owned(),
                slack_ms,
                load: expected.map(|it| it.load_fraction),
                moved: Box::new(moved.clone()),
            },
            Err(failure) => Decision::Refused {
                operator: Some(component.name.clone()),
                reason: failure.message.clone(),
            },
        };
        self.decided(now, &component.application, decision);
        match who {
            MoveFor::Asker(asker) => self.say_moved(asker, moved, out),
            MoveFor::Drain => self.on_drained_one(now, component, moved, out),
            MoveFor::HotSpot(..) => {}
        }
    }

    fn say_moved(&mut self, asker: Asker, moved: Result<Moved, Failure>, out: &mut Vec<Effect>) {
        match asker {
            Asker::Task(ticket) => {
                let answered = moved.map(|moved| Answer::Moved(Box::new(moved)));
                self.end_moving(ticket, answered, out);
            }
            Asker::Peer(node, ticket) => {
                let moved = Box::new(moved);
                self.send(node, &Message::Moved { ticket, moved }, out);
            }
        }
    }

    /// Answers a command that waited for a host to give something away.
    fn end_moving(
        &mut self,
        ticket: u64,
        answered: Result<Answer, Failure>,
        out: &mut Vec<Effect>,
    ) {
        if let Some(task) = self.tasks.remove(&ticket) {
            self.answer(task.command, answered, out);
        }
    }

    /// A host says what came of what it was asked to give away.
    pub(super) fn on_moved(
        &mut self,
        from: NodeId,
        ticket: u64,
        answered: Result<Answer, Failure>,
        out: &mut Vec<Effect>,
    ) {
        let is_awaited = match self.tasks.get(&ticket).map(|task| &task.phase) {
            Some(Phase::Moving(moving)) => moving.awaits(from),
            _ => false,
        };
        let is_sound = match &answered {
            Ok(Answer::Moved(moved)) => moved.is_sound(),
            Ok(Answer::Drained(drained)) => drained.moved.iter().all(Moved::is_sound),
            // What is refused is told in words; nobody sends a composition with it.
            Err(failure) => failure.refusal.is_none(),
            Ok(_) => false,
        };
        match (is_awaited, is_sound) {
            (true, true) => self.end_moving(ticket, answered, out),
            (true, false) => self.counts.add("answers_unsound"),
            (false, _) => self.counts.add("answers_unasked"),
        }
    }

    /// The host that is to give something away cannot be reached, or says nothing.
    pub(super) fn on_move_unheard(
        &self,
        command: CommandId,
        moving: &Moving,
        out: &mut Vec<Effect>,
    ) {
        let (host, what) = (self.view.full_name(moving.host), &moving.what);
        let message = format!(
            "{host} has not said what came of moving {what}: it may or may not have moved, or be on its way. \
             `synergy app show` says where it is."
        );
        let failure = Failure::new(FailureKind::Unreachable, message);
        self.answer(command, Err(failure), out);
    }
}
