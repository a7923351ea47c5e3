//! What peers can do that do not keep to the protocol.

use std::time::Duration;

use overlay::net::{Event, MESSAGE_BYTES_MAX};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Node, PATIENCE, config, pair};

mod raw;

async fn connect(node: &Node) -> TcpStream {
    let address = node.network.addresses().remove(0);
    let port = address.split('/').nth(4).expect("a port").to_owned();
    TcpStream::connect(format!("127.0.0.1:{port}"))
        .await
        .expect("it listens")
}

/// Whether the node closes the connection.
async fn is_closed(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    tokio::time::timeout(PATIENCE, read).await.is_ok()
}

#[tokio::test]
async fn whoever_says_nothing_is_dropped() {
    let node = Node::start(config(1, vec![])).await;
    let silent = connect(&node).await;
    assert!(is_closed(silent).await);
    node.wait_for_refusal("handshake failed").await;
}

#[tokio::test]
async fn whoever_says_nonsense_is_dropped() {
    let node = Node::start(config(1, vec![])).await;
    for nonsense in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 5_000],
        b"\x13/multistream/1.0.0\n\x07/noise\n".to_vec(),
    ] {
        let mut stream = connect(&node).await;
        stream.write_all(&nonsense).await.expect("it is there");
        assert!(is_closed(stream).await);
    }
    node.wait_for_refusal("handshake failed").await;
    // It goes on as if nothing had been.
    let mut other = Node::start(config(2, node.network.addresses())).await;
    other.wait_for_host(node.id()).await;
}

#[tokio::test]
async fn a_half_handshake_is_dropped_in_bounded_time() {
    let node = Node::start(config(1, vec![])).await;
    let mut stream = connect(&node).await;
    let half = b"\x13/multistream/1.0.0\n\x07/noi";
    stream.write_all(half).await.expect("it is there");
    assert!(is_closed(stream).await);
}

#[tokio::test]
async fn many_silent_peers_do_not_keep_others_out() {
    let mut node = Node::start(config(1, vec![])).await;
    let mut silent = Vec::new();
    for _ in 0..200 {
        silent.push(connect(&node).await);
    }
    let mut other = Node::start(config(2, node.network.addresses())).await;
    other.wait_for_host(node.id()).await;
    node.wait_for_host(other.id()).await;
}

#[tokio::test]
async fn garbage_is_counted_and_costs_the_connection() {
    let node = Node::start(config(1, vec![])).await;
    let mut peer = raw::Peer::connect(&node, "test").await;
    for _ in 0..8 {
        // A frame of no kind; one of the overlay whose message is none.
        peer.say(&[2, 0, 0, 0, 77, 1]).await;
        peer.say(&[3, 0, 0, 0, 1, 1, 200]).await;
    }
    node.wait_for_refusal("control frame of no kind").await;
    node.wait_for_refusal("damaged message").await;
    node.wait_for_refusal("peer cut off for its garbage").await;
    assert!(peer.is_cut_off().await);
}

#[tokio::test]
async fn an_oversize_frame_costs_the_connection_at_once() {
    let node = Node::start(config(1, vec![])).await;
    let mut peer = raw::Peer::connect(&node, "test").await;
    let length = u32::try_from(MESSAGE_BYTES_MAX + 2).expect("fits");
    peer.say(&length.to_le_bytes()).await;
    node.wait_for_refusal("control frame too large").await;
    assert!(peer.is_cut_off().await);
}

#[tokio::test]
async fn a_stream_without_a_hello_is_dropped() {
    let mut node = Node::start(config(1, vec![])).await;
    let mut peer = raw::Peer::connect(&node, "test").await;
    let _silent = peer.open("/synergy/test/data/1").await;
    let large = u32::MAX.to_le_bytes();
    let mut oversize = peer.open("/synergy/test/data/1").await;
    raw::write(&mut oversize, &large).await;
    node.wait_for_refusal("hello too large").await;
    node.wait_for_refusal("no hello in time").await;
    // Neither became an event.
    tokio::time::timeout(Duration::from_millis(50), async {
        node.wait_for("a stream", |event| match event {
            Event::Incoming(_) => Some(()),
            _ => None,
        })
        .await;
    })
    .await
    .expect_err("nothing came of them");
}

#[tokio::test]
async fn control_substreams_are_bounded() {
    let node = Node::start(config(1, vec![])).await;
    let mut peer = raw::Peer::connect(&node, "test").await;
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(peer.open("/synergy/test/control/1").await);
    }
    node.wait_for_refusal("control substream beyond the bound")
        .await;
}

#[tokio::test]
async fn a_peer_that_answers_nothing_is_unreachable() {
    let mut node = Node::start(config(1, vec![])).await;
    let peer = raw::Peer::connect(&node, "test").await;
    let id = peer.node;
    // It is connected, but no longer says or takes anything: as a process that is stopped.
    let stopped = peer.stop();
    node.network.send(id, vec![1]);
    node.wait_for_unreachable(id).await;
    drop(stopped);
}

#[tokio::test]
async fn a_peer_with_a_stream_that_is_stopped_is_unreachable_within_a_second() {
    let mut node = Node::start(config(1, vec![])).await;
    let mut peer = raw::Peer::connect(&node, "test").await;
    let id = peer.node;
    let mut stream = peer.open("/synergy/test/data/1").await;
    raw::write(&mut stream, &[2, 0, 0, 0, b'h', b'i']).await;
    let incoming = node
        .wait_for("a stream", |event| match event {
            Event::Incoming(incoming) => Some(incoming),
            _ => None,
        })
        .await;
    let (_sender, mut receiver) = incoming.accept().await.expect("it is there");
    let start = tokio::time::Instant::now();
    let stopped = peer.stop();
    let received = tokio::time::timeout(PATIENCE, receiver.receive()).await;
    received.expect("in time").expect_err("it is gone");
    node.wait_for_unreachable(id).await;
    // Four ticks of 200 ms, and what a busy machine adds.
    let taken = start.elapsed();
    assert!(taken > Duration::from_millis(500), "{taken:?}");
    assert!(taken < Duration::from_millis(2_000), "{taken:?}");
    drop(stopped);
}

#[tokio::test]
async fn a_forged_sender_is_impossible_and_a_message_says_who_sent_it() {
    let (mut first, second) = pair().await;
    second.network.send(first.id(), b"from me".to_vec());
    let (from, bytes) = first.wait_for_message().await;
    assert_eq!(from, second.id());
    assert_eq!(bytes, b"from me");
}
