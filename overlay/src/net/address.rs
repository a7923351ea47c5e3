//! Where nodes are reached: which addresses are told, believed and dialed.

use std::net::{Ipv4Addr, Ipv6Addr};

use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId};
use model::NodeId;
use model::entry::{ADDRESS_BYTES_MAX, ADDRESSES_MAX};

use super::identity::peer_id;

/// How far an address reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// Nowhere: unspecified, multicast, link-local, of port 0, or of a transport that is not spoken here.
    None,
    /// This machine.
    Loopback,
    /// Others.
    Network,
}

/// How far an address reaches.
pub(super) fn reach(address: &Multiaddr) -> Reach {
    let mut parts = address.iter();
    let host = match parts.next() {
        Some(Protocol::Ip4(ip)) => of_ip4(ip),
        Some(Protocol::Ip6(ip)) => of_ip6(ip),
        Some(Protocol::Dns(name) | Protocol::Dns4(name) | Protocol::Dns6(name)) => {
            match name.as_ref() {
                "localhost" => Reach::Loopback,
                _ => Reach::Network,
            }
        }
        _ => Reach::None,
    };
    match (parts.next(), parts.next(), parts.next()) {
        (Some(Protocol::Tcp(1..)), None | Some(Protocol::P2p(_)), None) => host,
        _ => Reach::None,
    }
}

fn of_ip4(ip: Ipv4Addr) -> Reach {
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast() || ip.is_link_local() {
        Reach::None
    } else {
        Reach::Network
    }
}

fn of_ip6(ip: Ipv6Addr) -> Reach {
    if ip.is_loopback() {
        Reach::Loopback
    } else if ip.is_unspecified() || ip.is_multicast() || ip.is_unicast_link_local() {
        Reach::None
    } else {
        ip.to_ipv4_mapped().map_or(Reach::Network, of_ip4)
    }
}

/// Which of the addresses at which a node listens it tells others: those that reach farthest, at most
/// [`ADDRESSES_MAX`], in order.
pub(super) fn advertised<'a>(listening: impl Iterator<Item = &'a Multiaddr>) -> Vec<Multiaddr> {
    let mut found: Vec<(Reach, Multiaddr)> = listening
        .map(|address| (reach(address), without_peer(address)))
        .filter(|(reach, _)| *reach > Reach::None)
        .collect();
    let farthest = found.iter().map(|(reach, _)| *reach).max();
    found.retain(|(reach, _)| Some(*reach) == farthest);
    let mut addresses: Vec<Multiaddr> = found.into_iter().map(|(_, address)| address).collect();
    addresses.sort_by_key(ToString::to_string);
    addresses.dedup();
    addresses.truncate(ADDRESSES_MAX);
    addresses
}

/// The addresses among those that somebody says a node has, which can be dialed from here.
///
/// What reaches this machine only is believed only where this node listens on loopback alone: elsewhere it
/// would lead to whatever else listens on this machine.
pub(super) fn believed<'a>(
    node: NodeId,
    said: impl IntoIterator<Item = &'a String>,
    is_loopback: bool,
) -> Vec<Multiaddr> {
    let said = said.into_iter().take(ADDRESSES_MAX);
    let short = said.filter(|text| text.len() <= ADDRESS_BYTES_MAX);
    let parsed = short.filter_map(|text| text.parse().ok());
    parsed
        .filter(|address| is_of(address, node) && is_believed(address, is_loopback))
        .map(|address| without_peer(&address))
        .collect()
}

/// Whether an address that a peer tells is dialed from here: see [`believed`].
pub(super) fn is_believed(address: &Multiaddr, is_loopback: bool) -> bool {
    match reach(address) {
        Reach::None => false,
        Reach::Loopback => is_loopback,
        Reach::Network => true,
    }
}

/// Whether an address names this node, or none.
fn is_of(address: &Multiaddr, node: NodeId) -> bool {
    peer_of(address).is_none_or(|peer| peer == peer_id(node))
}

/// The peer that an address names.
pub(super) fn peer_of(address: &Multiaddr) -> Option<PeerId> {
    match address.iter().last() {
        Some(Protocol::P2p(peer)) => Some(peer),
        _ => None,
    }
}

/// An address without the peer that it names.
pub(super) fn without_peer(address: &Multiaddr) -> Multiaddr {
    address
        .iter()
        .filter(|part| !matches!(part, Protocol::P2p(_)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Multiaddr {
        text.parse().expect("an address")
    }

    #[test]
    fn what_leads_nowhere_is_neither_told_nor_dialed() {
        for (text, expected) in [
            ("/ip4/0.0.0.0/tcp/4170", Reach::None),
            ("/ip4/10.0.0.1/tcp/0", Reach::None),
            ("/ip4/224.0.0.1/tcp/4170", Reach::None),
            ("/ip4/169.254.3.4/tcp/4170", Reach::None),
            ("/ip6/fe80::1/tcp/4170", Reach::None),
            ("/ip6/::/tcp/4170", Reach::None),
            ("/ip4/10.0.0.1/udp/4170/quic-v1", Reach::None),
            ("/memory/7", Reach::None),
            ("/ip4/127.0.0.1/tcp/4170", Reach::Loopback),
            ("/ip6/::1/tcp/4170", Reach::Loopback),
            ("/ip6/::ffff:127.0.0.1/tcp/4170", Reach::Loopback),
            ("/dns/localhost/tcp/4170", Reach::Loopback),
            ("/ip4/10.0.0.1/tcp/4170", Reach::Network),
            ("/dns4/a.example/tcp/4170", Reach::Network),
        ] {
            assert_eq!(reach(&parse(text)), expected, "{text}");
        }
    }

    #[test]
    fn loopback_is_told_only_where_there_is_nothing_else() {
        let loopback = parse("/ip4/127.0.0.1/tcp/4170");
        let network = parse("/ip4/10.0.0.1/tcp/4170");
        assert_eq!(advertised([&loopback].into_iter()).len(), 1);
        assert_eq!(advertised([&loopback, &network].into_iter()), [network]);
    }

    #[test]
    fn an_address_of_another_node_is_not_believed() {
        let node = NodeId([1; 32]);
        let own = format!("/ip4/10.0.0.1/tcp/1/p2p/{}", peer_id(node));
        let other = format!("/ip4/10.0.0.1/tcp/1/p2p/{}", peer_id(NodeId([2; 32])));
        let local = "/ip4/127.0.0.1/tcp/1".to_owned();
        let said = [other, own, local, "nonsense".to_owned()];
        assert_eq!(believed(node, &said, false), [parse("/ip4/10.0.0.1/tcp/1")]);
        assert_eq!(believed(node, &said, true).len(), 2);
    }
}
