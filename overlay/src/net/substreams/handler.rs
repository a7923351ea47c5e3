//! One connection's part of opening and taking in substreams.

use std::collections::VecDeque;
use std::task::{Context, Poll};

use libp2p::Stream;
use libp2p::swarm::SubstreamProtocol;
use libp2p::swarm::handler::{
    ConnectionEvent, ConnectionHandler, ConnectionHandlerEvent, FullyNegotiatedInbound,
    FullyNegotiatedOutbound,
};
use model::NodeId;

use super::{Command, Opened, Protocols, Purpose, Reply, Upgrade};

/// How many substreams are negotiated at once on a connection; the others wait here.
///
/// Below the 128 that the other side negotiates at once: what is beyond those it drops without a word.
/// Source: swarm's default, `with_max_negotiating_inbound_streams`.
const NEGOTIATING_MAX: usize = 32;

/// How many substreams may wait to be negotiated on a connection. Source: all that a peer may have.
const WAITING_MAX: usize = 1_024;

/// Opens substreams when told, and hands over those that the peer opened.
#[derive(Debug)]
pub(crate) struct Handler {
    from: NodeId,
    protocols: Protocols,
    waiting: VecDeque<Command>,
    negotiating_count: usize,
    taken_in: VecDeque<(Stream, Purpose)>,
}

impl Handler {
    pub(super) const fn new(from: NodeId, protocols: Protocols) -> Self {
        Self {
            from,
            protocols,
            waiting: VecDeque::new(),
            negotiating_count: 0,
            taken_in: VecDeque::new(),
        }
    }
}

impl ConnectionHandler for Handler {
    type FromBehaviour = Command;
    type ToBehaviour = Opened;
    type InboundProtocol = Upgrade;
    type OutboundProtocol = Upgrade;
    type InboundOpenInfo = ();
    type OutboundOpenInfo = Reply;

    fn listen_protocol(&self) -> SubstreamProtocol<Upgrade, ()> {
        let both = [Purpose::Control, Purpose::Data];
        let protocols = both.map(|purpose| (self.protocols.of(purpose), purpose));
        let upgrade = Upgrade {
            protocols: protocols.to_vec(),
        };
        SubstreamProtocol::new(upgrade, ())
    }

    fn poll(
        &mut self,
        _: &mut Context<'_>,
    ) -> Poll<ConnectionHandlerEvent<Upgrade, Reply, Opened>> {
        if let Some((stream, purpose)) = self.taken_in.pop_front() {
            return Poll::Ready(ConnectionHandlerEvent::NotifyBehaviour(Opened {
                from: self.from,
                purpose,
                stream,
            }));
        }
        if self.negotiating_count < NEGOTIATING_MAX
            && let Some(Command { purpose, reply }) = self.waiting.pop_front()
        {
            self.negotiating_count += 1;
            let upgrade = Upgrade {
                protocols: vec![(self.protocols.of(purpose), purpose)],
            };
            return Poll::Ready(ConnectionHandlerEvent::OutboundSubstreamRequest {
                protocol: SubstreamProtocol::new(upgrade, reply),
            });
        }
        // Only commands and connection events bring more to do, and this is polled after both.
        Poll::Pending
    }

    fn on_behaviour_event(&mut self, command: Command) {
        // One that finds no room is dropped, and with it its reply: whoever waits hears of it.
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push_back(command);
        }
    }

    fn on_connection_event(&mut self, event: ConnectionEvent<'_, Upgrade, Upgrade, (), Reply>) {
        match event {
            ConnectionEvent::FullyNegotiatedInbound(FullyNegotiatedInbound {
                protocol, ..
            }) => {
                self.taken_in.push_back(protocol);
            }
            ConnectionEvent::FullyNegotiatedOutbound(FullyNegotiatedOutbound {
                protocol: (stream, _),
                info:
                    Reply {
                        stream: reply,
                        held,
                    },
            }) => {
                self.negotiating_count -= 1;
                // Nobody waits any longer: the stream is closed by being dropped.
                drop(reply.send((stream, held)));
            }
            ConnectionEvent::DialUpgradeError(error) => {
                self.negotiating_count -= 1;
                drop(error.info);
            }
            _ => {}
        }
    }
}
