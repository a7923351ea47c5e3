//! Events on their way to the rest of the process.

use std::collections::VecDeque;

use tokio::sync::mpsc;

use super::super::gauge::Refused;
use crate::net::Event;

/// How many events may wait for the process to take them. Unit: events. Source: guess; a second of messages.
const EVENTS_MAX: usize = 8_192;

/// How many bytes of messages may wait. Unit: bytes. Source: guess.
const BYTES_MAX: usize = 64 << 20;

/// Events that wait. Messages and streams that find no room are dropped and counted; that a peer is gone is
/// always told.
#[derive(Debug)]
pub(super) struct Outbox {
    queue: VecDeque<Event>,
    bytes: usize,
    events: mpsc::Sender<Event>,
    refused: Refused,
}

impl Outbox {
    pub(super) const fn new(events: mpsc::Sender<Event>, refused: Refused) -> Self {
        Self {
            queue: VecDeque::new(),
            bytes: 0,
            events,
            refused,
        }
    }

    pub(super) fn push(&mut self, event: Event) {
        let weight = weight(&event);
        let has_room = self.queue.len() < EVENTS_MAX && self.bytes + weight <= BYTES_MAX;
        match event {
            Event::Unreachable(_) | Event::Lost(_) => {
                // Those of one peer say the same; a peer that comes back in between says so by a message.
                if !has_room {
                    self.queue.retain(|it| !is_same_end(it, &event));
                }
                self.queue.push_back(event);
            }
            event if has_room => {
                self.bytes += weight;
                self.queue.push_back(event);
            }
            Event::Message { .. } => self.refused.count("message beyond the queue"),
            Event::Incoming(incoming) => {
                self.refused.count("stream beyond the queue");
                tokio::spawn(incoming.refuse("busy"));
            }
            Event::Seen { .. } => self.refused.count("host beyond the queue"),
        }
    }

    /// Hands over the first event when there is one and it is wanted; waits for ever where there is none.
    ///
    /// Giving up the wait loses nothing.
    pub(super) async fn deliver(&mut self) {
        if self.queue.is_empty() {
            return std::future::pending().await;
        }
        let Ok(permit) = self.events.reserve().await else {
            // Nobody listens any longer.
            self.queue.clear();
            self.bytes = 0;
            return;
        };
        if let Some(event) = self.queue.pop_front() {
            self.bytes -= weight(&event);
            permit.send(event);
        }
    }
}

fn weight(event: &Event) -> usize {
    match event {
        Event::Message { bytes, .. } => bytes.len(),
        Event::Incoming(incoming) => incoming.hello.len(),
        Event::Unreachable(_) | Event::Seen { .. } | Event::Lost(_) => 0,
    }
}

fn is_same_end(one: &Event, other: &Event) -> bool {
    match (one, other) {
        (Event::Unreachable(one), Event::Unreachable(other))
        | (Event::Lost(one), Event::Lost(other)) => one == other,
        _ => false,
    }
}
