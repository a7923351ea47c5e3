//! What the library tells, and what is dialed in order to join.

use libp2p::swarm::dial_opts::{DialOpts, PeerCondition};
use libp2p::swarm::{ConnectionDenied, DialError, ListenError, SwarmEvent};
use libp2p::{PeerId, connection_limits, identify, kad};
use model::{Instant, NodeId};

use super::{Driver, Input};
use crate::net::address::{advertised, is_believed, without_peer};
use crate::net::behavior::BehaviorEvent;
use crate::net::identity::{node_id, peer_id};
use crate::net::join::Dial;
use crate::net::substreams::NoNode;

/// How many of the peers known last are dialed when a node is alone. Source: guess.
const KNOWN_DIALED_MAX: usize = 8;

/// How many addresses are taken of what a peer says of itself. Source: those that nodes advertise.
const IDENTIFIED_MAX: usize = model::entry::ADDRESSES_MAX;

impl Driver {
    pub(super) fn on_swarm(&mut self, event: SwarmEvent<BehaviorEvent>) {
        match event {
            SwarmEvent::Behaviour(event) => self.on_behavior(event),
            SwarmEvent::ConnectionEstablished {
                peer_id,
                connection_id,
                ..
            } => {
                if let Some(target) = self.dials.remove(&connection_id) {
                    self.join.on_reached(target, Some(peer_id));
                }
                if let Some(node) = node_id(&peer_id) {
                    self.on_connected(node, connection_id);
                }
            }
            SwarmEvent::ConnectionClosed {
                peer_id,
                connection_id,
                cause,
                ..
            } => {
                tracing::trace!(%peer_id, ?cause, "connection closed");
                if let Some(node) = node_id(&peer_id) {
                    self.on_disconnected(node, connection_id);
                }
            }
            SwarmEvent::OutgoingConnectionError {
                connection_id,
                peer_id,
                error,
            } => {
                tracing::debug!(?peer_id, %error, "not connected");
                let target = self.dials.remove(&connection_id);
                if let Some(target) = target {
                    self.on_target_failed(target, &error);
                }
                if let Some(node) = peer_id.as_ref().and_then(node_id) {
                    self.on_dial_failed(node);
                }
            }
            SwarmEvent::IncomingConnectionError { error, .. } => {
                self.refused.count(reason(&error));
            }
            SwarmEvent::NewListenAddr { .. }
            | SwarmEvent::ExpiredListenAddr { .. }
            | SwarmEvent::ListenerClosed { .. } => {
                self.advertise();
            }
            _ => {}
        }
    }

    fn on_behavior(&mut self, event: BehaviorEvent) {
        match event {
            BehaviorEvent::Substreams(opened) => self.on_opened(opened),
            BehaviorEvent::Identify(identify::Event::Received { peer_id, info, .. }) => {
                self.on_identified(peer_id, info);
            }
            BehaviorEvent::Kad(kad::Event::OutboundQueryProgressed {
                id,
                result: kad::QueryResult::GetClosestPeers(found),
                ..
            }) => self.on_walked(id, found),
            BehaviorEvent::Kad(_) | BehaviorEvent::Identify(_) => {}
        }
    }

    /// A peer says where it listens.
    fn on_identified(&mut self, peer: PeerId, info: identify::Info) {
        let Some(node) = node_id(&peer) else {
            return;
        };
        let is_loopback = self.is_loopback;
        let addresses: Vec<_> = info
            .listen_addrs
            .iter()
            .take(IDENTIFIED_MAX)
            .map(without_peer)
            .filter(|address| is_believed(address, is_loopback))
            .collect();
        let kad = &mut self.swarm.behaviour_mut().kad;
        for address in &addresses {
            kad.add_address(&peer, address.clone());
        }
        self.book.learn(node, addresses);
    }

    /// Dials whom this node joins.
    pub(super) fn on_dial(&mut self, now: Instant, dial: Dial) {
        let (target, peer, address) = match dial {
            Dial::Known => {
                for node in self.book.latest(KNOWN_DIALED_MAX) {
                    self.dial(node);
                }
                return;
            }
            Dial::Target(target, peer, address) => (target, peer, address),
        };
        let options = match peer {
            Some(peer) => DialOpts::peer_id(peer)
                .condition(PeerCondition::Disconnected)
                .addresses(vec![address])
                .build(),
            None => DialOpts::unknown_peer_id().address(address).build(),
        };
        let connection = options.connection_id();
        match self.swarm.dial(options) {
            Ok(()) => {
                self.dials.insert(connection, target);
            }
            // There is a connection already, or this is the node itself.
            Err(DialError::DialPeerConditionFalse(_) | DialError::LocalPeerId { .. }) => {
                self.join.on_reached(target, None);
            }
            Err(error) => self.not_joined(now, target, &error),
        }
    }

    /// Says so, once until it is reached again, and tries again later.
    fn not_joined(&mut self, now: Instant, target: usize, error: &DialError) {
        let (address, failures) = self.join.on_failed(now, target);
        if failures == 1 {
            tracing::warn!(%address, %error, "this node could not join there, and tries again and again");
        }
    }

    fn on_target_failed(&mut self, target: usize, error: &DialError) {
        let now = self.clock.now();
        match error {
            DialError::LocalPeerId { .. } => self.join.on_reached(target, None),
            _ => self.not_joined(now, target, error),
        }
    }

    /// Tells others where this node listens, where that changed.
    pub(super) fn advertise(&mut self) {
        let addresses = advertised(self.swarm.listeners());
        let is_loopback =
            |address| crate::net::address::reach(address) <= crate::net::address::Reach::Loopback;
        self.is_loopback = addresses.iter().all(is_loopback);
        let before: Vec<_> = self.swarm.external_addresses().cloned().collect();
        for gone in before
            .iter()
            .filter(|address| !addresses.contains(*address))
        {
            self.swarm.remove_external_address(gone);
        }
        for address in &addresses {
            self.swarm.add_external_address(address.clone());
        }
        let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let peer = peer_id(self.node);
        let full = texts.iter().map(|text| format!("{text}/p2p/{peer}"));
        self.shared.set_addresses(full.collect());
        if self.host.addresses != texts {
            self.host.addresses = texts;
            self.tell(Input::Describe(self.host.clone()));
        }
    }

    /// The peers with a connection, and whether they have data streams with this node.
    pub(super) fn connected(&self) -> Vec<(NodeId, bool)> {
        let connected = self.links.iter().filter(|(_, link)| link.is_connected());
        connected
            .map(|(node, link)| (*node, link.streams.taken() > 0))
            .collect()
    }
}

/// Why a connection that somebody made was refused.
fn reason(error: &ListenError) -> &'static str {
    match error {
        ListenError::Denied { cause } => denied(cause),
        ListenError::WrongPeerId { .. } | ListenError::LocalPeerId { .. } => "another identity",
        ListenError::Aborted | ListenError::Transport(_) => "handshake failed",
    }
}

fn denied(cause: &ConnectionDenied) -> &'static str {
    if cause.downcast_ref::<NoNode>().is_some() {
        "no Ed25519 identity"
    } else if cause
        .downcast_ref::<connection_limits::Exceeded>()
        .is_some()
    {
        "connection beyond the bound"
    } else {
        "connection denied"
    }
}
