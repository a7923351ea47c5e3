//! What nodes say to each other.

use model::name::Digest;
use model::wire::{self, DecodeError};
use model::{ApplicationId, CompositionId, Instant, NodeId};

use super::journal::EventsTold;
use super::record::{Listing, Record, Standing};
use super::telling::Asker;
use super::{Answer, ComponentRow, Drained, Effect, Failure, Moved, Node, PartReport, Quantiles};

/// How many components a host tells of an application, and how many troubles.
/// Range: at least what a graph has of sources, operators and sinks.
pub(super) const PARTS_MAX: usize = 3 * model::plan::OPERATORS_MAX;

/// What a node says to another. Every message may get lost, come twice or late: each is a state or a question,
/// and none is harmful by repetition.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(super) enum Message {
    /// What composers say to each other.
    Composition(composition::Message),
    /// The record of an application that the receiver is to keep. Answered by [`Message::Confirm`].
    Record(Box<Record>),
    /// Somebody wants this application stopped. Answered by [`Message::Confirm`].
    Stop {
        /// Which answer belongs to it.
        ticket: u64,
        /// Which application: the receiver need not know it yet.
        listing: Box<Listing>,
    },
    /// What the sender holds of an application now.
    Confirm {
        /// To which question; 0 for a record that was sent unasked.
        ticket: u64,
        /// What it holds.
        listing: Box<Listing>,
    },
    /// What the sender has of an application, so that who knows better can say so.
    Present {
        /// Which application.
        application: ApplicationId,
        /// The record that it holds; none where it only has components.
        standing: Option<Standing>,
        /// The composition of which all sinks at the sender are finished.
        finished: Option<CompositionId>,
        /// The composition of which nothing is left at the sender, though the record says that it runs.
        gone: Option<CompositionId>,
    },
    /// What does the receiver run of an application? Answered by [`Message::Told`].
    Ask {
        /// Which answer belongs to it.
        ticket: u64,
        /// Which application.
        application: ApplicationId,
        /// Which composition of it.
        composition: CompositionId,
        /// The hash of the body that the sender has; who has another tells it.
        body: Option<Digest>,
        /// Whether decisions about it are asked for, and not what runs.
        wants_events: bool,
    },
    /// An operator that the receiver runs is to go to another host. Answered by [`Message::Moved`].
    Move {
        /// Which answer belongs to it.
        ticket: u64,
        /// Of which application.
        application: ApplicationId,
        /// Which composition of it.
        composition: CompositionId,
        /// Which operator, by its place in the plan.
        operator: u16,
        /// Where to, if somebody wants it there.
        to: Option<NodeId>,
    },
    /// The answer to [`Message::Move`].
    Moved {
        /// To which.
        ticket: u64,
        /// What came of it.
        moved: Box<Result<Moved, Failure>>,
    },
    /// The receiver is to give away all that it can. Answered by [`Message::Drained`].
    Drain {
        /// Which answer belongs to it.
        ticket: u64,
    },
    /// The answer to [`Message::Drain`].
    Drained {
        /// To which.
        ticket: u64,
        /// What came of it.
        drained: Box<Result<Drained, Failure>>,
    },
    /// The answer to [`Message::Ask`].
    Told {
        /// To which.
        ticket: u64,
        /// What.
        told: Box<Told>,
    },
}

/// What a host says of its part in an application.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub(super) struct Told {
    /// What runs there; nothing where nothing does.
    pub(super) part: Option<PartTold>,
    /// The record that it holds, with the body where who asks has another, or none.
    pub(super) record: Option<Record>,
    /// Its decisions about it, where those were asked for.
    pub(super) events: Option<EventsTold>,
}

/// What a host says of the components that run there.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub(super) struct PartTold {
    /// What was counted of them.
    pub(super) report: PartReport,
    /// What does not do what it should, and why.
    pub(super) degraded: Vec<(String, String)>,
    /// The component that failed, and why.
    pub(super) failed: Option<(String, String)>,
    /// Hosts to which edges are broken.
    pub(super) disconnected: Vec<NodeId>,
    /// Whether all results have left the sinks that are there.
    pub(super) is_finished: bool,
}

impl PartTold {
    /// Whether all numbers are such as a host can have counted, and no list is longer than a plan has parts.
    pub(super) fn is_sound(&self) -> bool {
        let of_row = |row: &ComponentRow| {
            is_amount(row.rows_per_second)
                && is_amount(row.cost_us_per_row)
                && row.slack_ms.is_none_or(f64::is_finite)
                && is_amount(row.queueing_total_ms)
                && is_amount(row.execution_total_ms)
                && [
                    row.queueing_ms,
                    row.recent_queueing_ms,
                    row.execution_ms,
                    row.recent_execution_ms,
                ]
                .into_iter()
                .flatten()
                .all(are_amounts)
        };
        let report = &self.report;
        let of_part = [report.delay_ms, report.recent_delay_ms];
        report.components.len() <= PARTS_MAX
            && report.lacking.is_empty()
            && self.degraded.len() <= PARTS_MAX
            && report.components.iter().all(of_row)
            && report.target_ms.is_none_or(is_amount)
            && of_part.into_iter().flatten().all(are_amounts)
    }
}

fn are_amounts(times: Quantiles) -> bool {
    let Quantiles {
        p50,
        p95,
        p99,
        p999,
    } = times;
    [p50, p95, p99, p999].into_iter().all(is_amount)
}

fn is_amount(number: f64) -> bool {
    number.is_finite() && number >= 0.0
}

impl Node {
    /// Sends a message to a peer, never to this node itself.
    pub(super) fn send(&self, to: NodeId, message: &Message, out: &mut Vec<Effect>) {
        debug_assert_ne!(to, self.id(), "a node does not write to itself");
        let bytes = wire::encode(message);
        out.push(Effect::Send { to, bytes });
    }

    /// A control message came in. What is no message is counted; nothing is kept of it.
    pub(super) fn on_bytes(
        &mut self,
        now: Instant,
        from: NodeId,
        bytes: &[u8],
        out: &mut Vec<Effect>,
    ) {
        match wire::decode::<Message>(bytes) {
            Ok(_) if from == self.id() => self.counts.add("messages_of_itself"),
            Ok(message) => self.on_message(now, from, message, out),
            Err(DecodeError::Version(_)) => self.counts.add("messages_of_another_version"),
            Err(DecodeError::TooLarge(_)) => self.counts.add("messages_too_large"),
            Err(_) => self.counts.add("messages_damaged"),
        }
    }

    fn on_message(&mut self, now: Instant, from: NodeId, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Composition(message) => {
                let input = composition::Input::Message { from, message };
                self.compose(now, input, out);
            }
            Message::Record(record) => self.on_record(now, from, *record, out),
            Message::Stop { ticket, listing } => self.on_stop(now, from, ticket, *listing, out),
            Message::Confirm { ticket, listing } => {
                self.on_confirm(now, from, ticket, *listing, out);
            }
            Message::Present {
                application,
                standing,
                finished,
                gone,
            } => self.on_present(now, from, &application, standing, (finished, gone), out),
            Message::Ask {
                ticket,
                application,
                composition,
                body,
                wants_events,
            } => {
                let asker = Asker::Peer(from, ticket);
                let wanted = (body, wants_events);
                self.on_ask(now, asker, application, composition, wanted, out);
            }
            Message::Move {
                ticket,
                application,
                composition,
                operator,
                to,
            } => {
                let asker = Asker::Peer(from, ticket);
                self.move_for(now, asker, &application, (composition, operator), to, out);
            }
            Message::Moved { ticket, moved } => {
                let answered = moved.map(|moved| Answer::Moved(Box::new(moved)));
                self.on_moved(from, ticket, answered, out);
            }
            Message::Drain { ticket } => self.drain_for(now, Asker::Peer(from, ticket), out),
            Message::Drained { ticket, drained } => {
                let answered = drained.map(|drained| Answer::Drained(Box::new(drained)));
                self.on_moved(from, ticket, answered, out);
            }
            Message::Told { ticket, told } => self.on_told(now, from, ticket, *told, out),
        }
    }
}
