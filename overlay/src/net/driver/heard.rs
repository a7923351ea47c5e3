//! What peers open and say.

use std::sync::atomic::Ordering;

use libp2p::Stream;
use model::NodeId;

use super::links::STREAMS_MAX;
use super::{Driver, Event, Frame, Heard, Input, Report};
use crate::net::gauge::Held;
use crate::net::substreams::{Opened, Purpose};
use crate::net::{control, opening};

/// Data streams that wait to be accepted: of one peer, and in all. The hellos of all take 64 MiB at most.
const WAITING_PER_PEER_MAX: usize = 256;
const WAITING_MAX: usize = 1_024;

/// Control substreams that a peer may have open here: one, and others that are being closed.
const READERS_MAX: usize = 4;

/// After how much garbage a peer loses its connection. Unit: frames. Source: guess; a neighbor of a newer
/// version may send a few.
const GARBAGE_MAX: u32 = 8;

impl Driver {
    /// A peer opened a substream.
    pub(super) fn on_opened(&mut self, opened: Opened) {
        let Opened {
            from,
            purpose,
            stream,
        } = opened;
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        match purpose {
            Purpose::Control if link.readers >= READERS_MAX => {
                self.refused.count("control substream beyond the bound");
            }
            Purpose::Control => {
                link.readers += 1;
                let reporter = self.reporter.clone();
                tokio::spawn(control::read(stream, move |heard| {
                    let reporter = reporter.clone();
                    async move { reporter.send(Report::Heard { from, heard }).await.is_ok() }
                }));
            }
            Purpose::Data => {
                let held = link.streams.hold(STREAMS_MAX);
                let waiting = link.waiting.hold(WAITING_PER_PEER_MAX);
                let waiting_all = self.waiting.hold(WAITING_MAX);
                let (Some(held), Some(waiting), Some(waiting_all)) = (held, waiting, waiting_all)
                else {
                    self.refused.count("stream beyond the bound");
                    return;
                };
                self.take_in(from, stream, held, [waiting, waiting_all]);
            }
        }
    }

    fn take_in(&mut self, from: NodeId, stream: Stream, held: Held, waiting: [Held; 2]) {
        let now = self.clock.now();
        self.watch_from(now);
        let reporter = self.reporter.clone();
        let (refused, sent) = (self.refused.clone(), self.shared.sent.clone());
        tokio::spawn(async move {
            let counts = (&refused, sent);
            if let Some(incoming) = opening::hear(from, stream, held, waiting, counts).await {
                // Without a driver there is nobody to tell.
                drop(reporter.send(Report::Incoming(incoming)).await);
            }
        });
    }

    /// A peer said something.
    pub(super) fn on_heard(&mut self, from: NodeId, heard: Heard) {
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        match heard {
            Heard::Overlay(message) => self.tell(Input::Message {
                from,
                message: *message,
            }),
            Heard::Payload(bytes) => self.outbox.push(Event::Message { from, bytes }),
            Heard::Ping(number) => self.say(from, Frame::Pong(number)),
            Heard::Pong(number) => {
                let asked = link.gauge.asked.load(Ordering::Relaxed);
                link.answered = link.answered.max(number.min(asked));
            }
            Heard::Beat => {
                if link.streams.taken() == 0 {
                    self.say(from, Frame::Pong(0));
                }
            }
            Heard::Bye => self.on_reader_ended(from, true),
            Heard::Broken => self.on_reader_ended(from, false),
            Heard::Garbage(reason) => {
                link.garbage += 1;
                let is_enough = link.garbage >= GARBAGE_MAX;
                self.refused.count(reason);
                if is_enough {
                    self.refused.count("peer cut off for its garbage");
                    self.cut(from);
                }
            }
            Heard::Nonsense(reason) => {
                self.refused.count(reason);
                self.refused.count("peer cut off for its garbage");
                self.on_reader_ended(from, true);
                self.cut(from);
            }
        }
    }

    fn on_reader_ended(&mut self, from: NodeId, is_in_order: bool) {
        let Some(link) = self.links.get_mut(&from) else {
            return;
        };
        link.readers = link.readers.saturating_sub(1);
        if !is_in_order && link.is_connected() {
            // It is judged when the connection is closed; where it stays open, nothing is lost.
            link.is_broken = true;
        } else if !is_in_order {
            self.drop_idle(from);
            self.on_unreachable(from);
        } else {
            self.drop_idle(from);
        }
    }
}
