//! What a node's connections do: the routing library, the exchange of addresses, limits, and our substreams.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::kad::store::MemoryStore;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{StreamProtocol, connection_limits, identify, kad, swarm};

use super::substreams::{self, Protocols};

/// Connections of a node in all. Unit: connections. Source: 55 KiB each (measured), hence 110 MiB.
const CONNECTIONS_MAX: u32 = 2_048;

/// Connections that others made. Below the bound on all, so that this node can always make some.
const CONNECTIONS_IN_MAX: u32 = 1_536;

/// Connections whose handshake is under way, in each direction. Source: guess; they last 3 s at most.
const HANDSHAKES_MAX: u32 = 256;

/// Connections with one peer: both may dial at once, and the routing library may as well.
const CONNECTIONS_PER_PEER_MAX: u32 = 4;

/// How long a connection on which no substream is open is kept. Unit: time. Source: the time in which members of a small
/// network ping one another (`members`), twice: they stay connected, since whoever composes has no time to connect.
const IDLE_TIME: Duration = Duration::from_secs(600);

/// How long a walk may take. Unit: time. Source: design.
const WALK_TIME: Duration = Duration::from_secs(2);

/// How many peers a walk asks at once. Source: Maymounkov and Mazières, Kademlia (2002), alpha = 3.
const LOOKUP_PARALLELISM: NonZeroUsize = NonZeroUsize::new(3).expect("three is not zero");

/// How often the routing table is refreshed. Unit: time. Source: guess; gossip fills it as well.
const BOOTSTRAP_INTERVAL: Duration = Duration::from_secs(300);

/// A node's behavior.
#[derive(NetworkBehaviour)]
#[behaviour(prelude = "libp2p::swarm::derive_prelude")]
pub(super) struct Behavior {
    limits: connection_limits::Behaviour,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    identify: identify::Behaviour,
    pub(super) substreams: substreams::Behavior,
}

impl Behavior {
    /// That of a node in a network.
    pub(super) fn new(keypair: &Keypair, network: &str) -> Self {
        let peer = keypair.public().to_peer_id();
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_established(Some(CONNECTIONS_MAX))
            .with_max_established_incoming(Some(CONNECTIONS_IN_MAX))
            .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
            .with_max_pending_incoming(Some(HANDSHAKES_MAX))
            .with_max_pending_outgoing(Some(HANDSHAKES_MAX));
        let name = StreamProtocol::try_from_owned(format!("/synergy/{network}/kad/1"))
            .expect("it begins with a slash");
        let mut config = kad::Config::new(name);
        config
            .set_query_timeout(WALK_TIME)
            .set_parallelism(LOOKUP_PARALLELISM)
            // Only its routing is used: what peers want to store is dropped.
            .set_record_filtering(kad::StoreInserts::FilterBoth)
            .set_record_ttl(None)
            .set_replication_interval(None)
            .set_publication_interval(None)
            .set_provider_publication_interval(None)
            .set_periodic_bootstrap_interval(Some(BOOTSTRAP_INTERVAL));
        let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
        // Left to itself it stays a client until somebody confirms an address.
        kad.set_mode(Some(kad::Mode::Server));
        let version = format!("/synergy/{network}/1");
        let identify = identify::Config::new(version, keypair.public())
            .with_hide_listen_addrs(true)
            .with_cache_size(0);
        Self {
            limits: connection_limits::Behaviour::new(limits),
            kad,
            identify: identify::Behaviour::new(identify),
            substreams: substreams::Behavior::new(Protocols::new(network)),
        }
    }
}

/// How a swarm is run.
pub(super) fn swarm_config() -> swarm::Config {
    swarm::Config::with_tokio_executor()
        .with_idle_connection_timeout(IDLE_TIME)
        // Each purpose has one protocol, and who opens a substream speaks first: waiting for a confirmation is a round trip for
        // nothing.
        .with_substream_upgrade_protocol_override(Version::V1Lazy)
        .with_dial_concurrency_factor(NonZeroU8::new(4).expect("four is not zero"))
}
