//! A peer that can say anything: it has the handshakes right, and nothing else.

use std::time::Duration;

use futures::{AsyncWriteExt, StreamExt};
use libp2p::core::Transport;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, PeerId, Stream, StreamProtocol, Swarm, noise, swarm, tcp, yamux};
use model::NodeId;
use tokio::sync::{oneshot, watch};

use crate::support::{Node, PATIENCE};

pub(super) struct Peer {
    pub(super) node: NodeId,
    other: PeerId,
    control: libp2p_stream::Control,
    stream: Option<Stream>,
    closed: watch::Receiver<bool>,
    stop: oneshot::Sender<()>,
}

/// A peer that was stopped: its connections stay open, and nobody reads them.
pub(super) struct Stopped {
    _closed: watch::Receiver<bool>,
}

impl Peer {
    /// Connects to a node of a network.
    pub(super) async fn connect(node: &Node, network: &str) -> Self {
        let keypair = Keypair::generate_ed25519();
        let key = keypair.clone().try_into_ed25519().expect("its kind");
        let noise = noise::Config::new(&keypair)
            .expect("a key")
            .with_prologue(format!("/synergy/{network}").into_bytes());
        let transport = tcp::tokio::Transport::new(tcp::Config::default())
            .upgrade(Version::V1Lazy)
            .authenticate(noise)
            .multiplex(yamux::Config::default())
            .boxed();
        let behavior = libp2p_stream::Behaviour::new();
        let control = behavior.new_control();
        // Whatever its connections do is done by the task below, so that it can be stopped.
        let config =
            swarm::Config::without_executor().with_idle_connection_timeout(Duration::from_secs(60));
        let peer = keypair.public().to_peer_id();
        let mut swarm = Swarm::new(transport, behavior, peer, config);
        let address: Multiaddr = node.network.addresses()[0].parse().expect("an address");
        swarm.dial(address).expect("an address");
        let (connected, is_connected) = oneshot::channel();
        let (close, closed) = watch::channel(false);
        let (stop, mut stopped) = oneshot::channel();
        tokio::spawn(async move {
            let mut connected = Some(connected);
            loop {
                tokio::select! {
                    event = swarm.select_next_some() => match event {
                        SwarmEvent::ConnectionEstablished { peer_id, .. } => {
                            let connected = connected.take().expect("one connection");
                            connected.send(peer_id).expect("the test waits");
                        }
                        SwarmEvent::ConnectionClosed { .. } => {
                            close.send_replace(true);
                        }
                        _ => {}
                    },
                    Ok(()) = &mut stopped => {
                        // The swarm is kept, and no longer polled.
                        close.closed().await;
                        return;
                    }
                }
            }
        });
        let other = tokio::time::timeout(PATIENCE, is_connected).await;
        Self {
            node: NodeId(key.public().to_bytes()),
            other: other.expect("in time").expect("it connects"),
            control,
            stream: None,
            closed,
            stop,
        }
    }

    /// Opens a substream of any protocol.
    pub(super) async fn open(&mut self, protocol: &'static str) -> Stream {
        let protocol = StreamProtocol::new(protocol);
        let stream = self.control.open_stream(self.other, protocol);
        let stream = tokio::time::timeout(PATIENCE, stream).await;
        stream.expect("in time").expect("it is spoken there")
    }

    /// Says any bytes on a control substream. It may be cut off by now.
    pub(super) async fn say(&mut self, bytes: &[u8]) {
        if self.stream.is_none() {
            self.stream = Some(self.open("/synergy/test/control/1").await);
        }
        write(self.stream.as_mut().expect("just made"), bytes).await;
    }

    /// Waits until the node has closed the connection.
    pub(super) async fn is_cut_off(&mut self) -> bool {
        let closed = self.closed.wait_for(|closed| *closed);
        let closed = tokio::time::timeout(PATIENCE, closed).await;
        closed.is_ok()
    }

    /// From now on it does nothing, and its connections stay.
    pub(super) fn stop(self) -> Stopped {
        self.stop.send(()).expect("it runs");
        Stopped {
            _closed: self.closed,
        }
    }
}

/// Writes bytes, as far as the other side lets it.
pub(super) async fn write(stream: &mut Stream, bytes: &[u8]) {
    if stream.write_all(bytes).await.is_ok() {
        let _ = stream.flush().await;
    }
}
