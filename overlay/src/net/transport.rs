//! The way to a peer: TCP, noise, yamux, and in between the point where bytes are counted and held back.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use libp2p::core::UpgradeInfo;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::transport::{Boxed, Transport};
use libp2p::core::upgrade::{InboundConnectionUpgrade, OutboundConnectionUpgrade, Version};
use libp2p::identity::Keypair;
use libp2p::{PeerId, dns, noise, tcp, yamux};
use model::NodeId;
use tokio::sync::watch;

use super::driver::links::STREAMS_MAX;
use super::identity::node_id;
use crate::net::transport::held::Held;

mod fused;
mod held;

pub(super) use held::Life;

/// How long it may take to make a connection, handshakes included; whoever says nothing is dropped after it.
///
/// Unit: time. Source: guess; three round trips to the other side of the world are below 1 s.
const HANDSHAKE_TIME: Duration = Duration::from_secs(3);

/// How much of a substream may be under way before its reader has read any of it, and what each keeps at least. Unit: bytes. Source: yamux.
const WINDOW_BYTES: usize = 256 << 10;

/// How much may be under way on all substreams of a connection together. Unit: bytes. Source: the multiplexer's bound, which cannot be set.
const WINDOWS_BYTES: usize = 1 << 30;

/// By how much the windows of a connection's substreams may grow, all together.
///
/// A window doubles while its reader takes half of it within two round trips: so a stream comes to what its way holds, and one whose reader is
/// slow never does. Memory is taken only for what has arrived and nobody has read.
///
/// Unit: bytes. Range: from what one stream needs, the product of rate and round trip. Source: 100 MB/s around the world, 300 ms, twice.
const GROWTH_BYTES: usize = 64 << 20;

/// Substreams of a connection.
///
/// The multiplexer sets aside [`WINDOW_BYTES`] for each that there might be, and lets windows grow into what is left: as many as may be would leave nothing.
///
/// Range: from the bound on data streams, twice, and those of the routing library.
const SUBSTREAMS_MAX: usize = (WINDOWS_BYTES - GROWTH_BYTES) / WINDOW_BYTES;

const _: () = assert!(
    SUBSTREAMS_MAX > 3 * STREAMS_MAX,
    "there is room for data streams both ways, and for others"
);

/// How the way from a peer to this node is shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Way {
    /// How long everything is held back that arrives, each step of making a connection included.
    pub delay: Duration,
    /// Whether nothing arrives, and no connection is made, as if somebody had cut the cable: nobody is told.
    pub is_cut: bool,
}

/// How the ways from peers are shaped. Asked once for each connection, which follows what it was given as long as it
/// lives.
pub type Ways = Arc<dyn Fn(NodeId) -> watch::Receiver<Way> + Send + Sync>;

/// How many ways a connection needs that is made over a wide area: until the dialer can speak, and until the listener can.
///
/// Unit: ways. Source: a round trip for TCP, and one and a half for the three messages of noise; what is negotiated
/// travels with them.
const HANDSHAKE_WAYS: (u32, u32) = (4, 5);

/// The signs of life of all peers with a connection. One of them is shared by all connections of a peer.
#[derive(Debug, Clone, Default)]
pub(super) struct Lives(Arc<Mutex<BTreeMap<PeerId, Weak<Life>>>>);

impl Lives {
    /// That of a peer; a new one where it has none.
    pub(super) fn of(&self, peer: PeerId) -> Arc<Life> {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = lives.get(&peer).and_then(Weak::upgrade) {
            return life;
        }
        // What remains of connections that are gone; there are never more than connections.
        lives.retain(|_, life| life.strong_count() > 0);
        let life = Arc::new(Life::default());
        lives.insert(peer, Arc::downgrade(&life));
        life
    }

    /// Breaks all connections of a peer: its next one has a new life.
    pub(super) fn cut(&self, peer: PeerId) {
        let mut lives = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(life) = lives.remove(&peer).and_then(|life| life.upgrade()) {
            life.cut();
        }
    }
}

/// The transport of a node. Handshakes of other networks fail.
pub(super) fn build(
    keypair: &Keypair,
    network: &str,
    lives: Lives,
    ways: Option<Ways>,
) -> io::Result<Boxed<(PeerId, StreamMuxerBox)>> {
    let noise = noise::Config::new(keypair)
        .map_err(io::Error::other)?
        .with_prologue(format!("/synergy/{network}").into_bytes());
    let mut muxing = yamux::Config::default();
    muxing.set_max_num_streams(SUBSTREAMS_MAX);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true));
    let transport = dns::tokio::Transport::system(tcp)?
        .upgrade(Version::V1Lazy)
        .authenticate(noise)
        .multiplex_ext(move |peer, _| Muxing {
            inner: muxing.clone(),
            life: lives.of(*peer),
            way: ways
                .as_ref()
                .and_then(|ways| node_id(peer).map(|node| ways(node))),
        })
        .timeout(HANDSHAKE_TIME)
        .boxed();
    Ok(transport)
}

/// Puts [`Held`] below the multiplexer of one connection.
#[derive(Debug, Clone)]
struct Muxing {
    inner: yamux::Config,
    life: Arc<Life>,
    way: Option<watch::Receiver<Way>>,
}

impl Muxing {
    /// What is below the multiplexer, when the handshake had its time: what came before this point was not held back.
    async fn hold<S: Unpin>(self, socket: S, ways: u32) -> (Held<S>, yamux::Config) {
        if let Some(mut way) = self.way.clone() {
            let is_cut_for_good = way.wait_for(|way| !way.is_cut).await.is_err();
            if is_cut_for_good {
                // Whoever waits for this connection gives up.
                std::future::pending::<()>().await;
            }
            let delay = way.borrow().delay;
            tokio::time::sleep(delay * ways).await;
        }
        (Held::new(socket, self.life, self.way), self.inner)
    }
}

impl UpgradeInfo for Muxing {
    type Info = <yamux::Config as UpgradeInfo>::Info;
    type InfoIter = <yamux::Config as UpgradeInfo>::InfoIter;

    fn protocol_info(&self) -> Self::InfoIter {
        self.inner.protocol_info()
    }
}

impl<S> InboundConnectionUpgrade<S> for Muxing
where
    S: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Held<S>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_inbound(self, socket: S, info: Self::Info) -> Self::Future {
        async move {
            let (held, muxing) = self.hold(socket, HANDSHAKE_WAYS.1).await;
            muxing.upgrade_inbound(held, info).await
        }
        .boxed()
    }
}

impl<S> OutboundConnectionUpgrade<S> for Muxing
where
    S: futures::AsyncRead + futures::AsyncWrite + Send + Unpin + 'static,
{
    type Output = yamux::Muxer<Held<S>>;
    type Error = io::Error;
    type Future = BoxFuture<'static, Result<Self::Output, Self::Error>>;

    fn upgrade_outbound(self, socket: S, info: Self::Info) -> Self::Future {
        async move {
            let (held, muxing) = self.hold(socket, HANDSHAKE_WAYS.0).await;
            muxing.upgrade_outbound(held, info).await
        }
        .boxed()
    }
}
