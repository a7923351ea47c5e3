//! Substreams of two purposes, opened and taken in without loss: the part of a node's behavior that is ours.
//!
//! It makes streams and hands them over; what is said on them is the business of [`super::control`] and
//! [`super::opening`].

use std::collections::VecDeque;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use libp2p::core::transport::PortUse;
use libp2p::core::upgrade::{InboundUpgrade, OutboundUpgrade, UpgradeInfo};
use libp2p::core::{Endpoint, Multiaddr};
use libp2p::swarm::{
    ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NotifyHandler, THandler,
    THandlerInEvent, THandlerOutEvent, ToSwarm,
};
use libp2p::{PeerId, Stream, StreamProtocol};
use model::NodeId;
use tokio::sync::oneshot;

use self::handler::Handler;
use super::gauge::Held;
use super::identity::node_id;

mod handler;

/// What a substream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Control messages, in one direction.
    Control,
    /// A data stream.
    Data,
}

/// The names of both protocols; the network is part of them.
#[derive(Debug, Clone)]
pub(super) struct Protocols {
    control: StreamProtocol,
    data: StreamProtocol,
}

impl Protocols {
    /// Those of a network, whose name has no slash.
    pub(super) fn new(network: &str) -> Self {
        let name = |protocol: &str| {
            let name = format!("/synergy/{network}/{protocol}/1");
            StreamProtocol::try_from_owned(name).expect("it begins with a slash")
        };
        Self {
            control: name("control"),
            data: name("data"),
        }
    }

    fn of(&self, purpose: Purpose) -> StreamProtocol {
        match purpose {
            Purpose::Control => self.control.clone(),
            Purpose::Data => self.data.clone(),
        }
    }
}

/// Where a substream goes that is opened from here. Dropped where that failed.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Whoever waits for it.
    pub(super) stream: oneshot::Sender<(Stream, Option<Held>)>,
    /// The place that a data stream takes among those of its peer.
    pub(super) held: Option<Held>,
}

/// A peer opened a substream.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) from: NodeId,
    pub(super) purpose: Purpose,
    pub(super) stream: Stream,
}

/// The part of a node's behavior that opens and takes in substreams.
#[derive(Debug)]
pub(super) struct Behavior {
    protocols: Protocols,
    events: VecDeque<ToSwarm<Opened, Command>>,
}

/// What a connection is told: to open a substream.
#[derive(Debug)]
pub(crate) struct Command {
    purpose: Purpose,
    reply: Reply,
}

/// A peer whose id is made of no Ed25519 key: no node of ours.
#[derive(Debug, thiserror::Error)]
#[error("a peer id that is made of no Ed25519 key")]
pub(super) struct NoNode;

impl Behavior {
    pub(super) const fn new(protocols: Protocols) -> Self {
        Self {
            protocols,
            events: VecDeque::new(),
        }
    }

    /// Opens a substream on a connection. The reply is dropped where that cannot be.
    pub(super) fn open(
        &mut self,
        peer_id: PeerId,
        connection: ConnectionId,
        purpose: Purpose,
        reply: Reply,
    ) {
        self.events.push_back(ToSwarm::NotifyHandler {
            peer_id,
            handler: NotifyHandler::One(connection),
            event: Command { purpose, reply },
        });
    }

    fn handler(&self, peer: PeerId) -> Result<Handler, ConnectionDenied> {
        let from = node_id(&peer).ok_or_else(|| ConnectionDenied::new(NoNode))?;
        Ok(Handler::new(from, self.protocols.clone()))
    }
}

impl NetworkBehaviour for Behavior {
    type ConnectionHandler = Handler;
    type ToSwarm = Opened;

    fn handle_established_inbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer)
    }

    fn handle_established_outbound_connection(
        &mut self,
        _: ConnectionId,
        peer: PeerId,
        _: &Multiaddr,
        _: Endpoint,
        _: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.handler(peer)
    }

    fn on_swarm_event(&mut self, _: FromSwarm<'_>) {}

    fn on_connection_handler_event(
        &mut self,
        _: PeerId,
        _: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.events.push_back(ToSwarm::GenerateEvent(event));
    }

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        // Whoever calls `open` polls the swarm afterwards: no waker is kept.
        self.events.pop_front().map_or(Poll::Pending, Poll::Ready)
    }
}

/// Negotiates one of some protocols, and nothing more.
#[derive(Debug, Clone)]
pub(crate) struct Upgrade {
    protocols: Vec<(StreamProtocol, Purpose)>,
}

impl UpgradeInfo for Upgrade {
    type Info = Named;
    type InfoIter = std::vec::IntoIter<Named>;

    fn protocol_info(&self) -> Self::InfoIter {
        let named = |(protocol, purpose): &(StreamProtocol, Purpose)| Named {
            protocol: protocol.clone(),
            purpose: *purpose,
        };
        let all: Vec<Named> = self.protocols.iter().map(named).collect();
        all.into_iter()
    }
}

/// A protocol's name, and what it is for.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    protocol: StreamProtocol,
    purpose: Purpose,
}

impl AsRef<str> for Named {
    fn as_ref(&self) -> &str {
        self.protocol.as_ref()
    }
}

impl InboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, Purpose);
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, stream: Stream, named: Named) -> Self::Future {
        ready(Ok((stream, named.purpose)))
    }
}

impl OutboundUpgrade<Stream> for Upgrade {
    type Output = (Stream, Purpose);
    type Error = std::convert::Infallible;
    type Future = Ready<Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, stream: Stream, named: Named) -> Self::Future {
        ready(Ok((stream, named.purpose)))
    }
}
