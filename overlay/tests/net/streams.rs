//! Data streams.

use std::time::Duration;

use overlay::net::{Event, FRAME_BYTES_MAX, FrameReceiver, FrameSender, Incoming, OpenError};
use tokio::time::timeout;

use crate::support::{Node, PATIENCE, config, identity, late, pair};

async fn incoming(node: &mut Node) -> Incoming {
    node.wait_for("a stream", |event| match event {
        Event::Incoming(incoming) => Some(incoming),
        _ => None,
    })
    .await
}

type Halves = (FrameSender, FrameReceiver);

/// A data stream from one node to the other.
async fn stream(from: &Node, to: &mut Node) -> (Halves, Halves) {
    let id = to.id();
    let accept = async { incoming(to).await.accept().await.expect("a peer") };
    let (near, far) = tokio::join!(from.network.open(id, b"edge 7".to_vec()), accept);
    (near.expect("a stream"), far)
}

#[tokio::test]
async fn frames_of_all_sizes_arrive_and_the_end_is_told() {
    let (first, mut second) = pair().await;
    let ((mut sender, near), (far, mut receiver)) = stream(&first, &mut second).await;
    let sizes = [
        0,
        1,
        100,
        65_531,
        65_532,
        65_536,
        1_000_000,
        FRAME_BYTES_MAX,
    ];
    let send = async {
        for size in sizes {
            sender.send(&vec![7; size]).await.expect("open");
        }
        let larger = sender.send(&vec![7; FRAME_BYTES_MAX + 1]).await;
        assert!(larger.is_err(), "a frame has a bound");
        sender.flush().await.expect("open");
        drop(sender);
    };
    let receive = async {
        for size in sizes {
            let frame = receiver.receive().await.expect("open").expect("a frame");
            assert_eq!(frame.len(), size);
            assert!(frame.iter().all(|byte| *byte == 7));
        }
        assert!(receiver.receive().await.expect("in order").is_none());
        assert!(receiver.receive().await.expect("in order").is_none());
    };
    let both = timeout(PATIENCE, futures::future::join(send, receive));
    both.await.expect("all arrives");
    drop((near, far));
}

#[tokio::test]
async fn a_refusal_tells_its_reason() {
    let (first, mut second) = pair().await;
    let id = second.id();
    let refuse = async {
        let incoming = incoming(&mut second).await;
        assert_eq!(incoming.from, first.id());
        assert_eq!(incoming.hello, b"edge 9");
        incoming.refuse("no such edge").await;
    };
    let (opened, ()) = tokio::join!(first.network.open(id, b"edge 9".to_vec()), refuse);
    let error = opened.expect_err("it was refused");
    assert_eq!(error, OpenError::Refused("no such edge".to_owned()));
}

#[tokio::test]
async fn a_burst_of_streams_opens_without_loss() {
    const COUNT: usize = 100;
    let (first, mut second) = pair().await;
    let id = second.id();
    let accept = tokio::spawn(async move {
        let mut halves = Vec::new();
        for _ in 0..COUNT {
            let incoming = incoming(&mut second).await;
            let number = incoming.hello.clone();
            let (mut sender, receiver) = incoming.accept().await.expect("a peer");
            sender.send(&number).await.expect("open");
            sender.flush().await.expect("open");
            halves.push((sender, receiver));
        }
        (second, halves)
    });
    let mut opened = Vec::new();
    for number in 0..COUNT {
        let network = first.network.clone();
        opened.push(tokio::spawn(async move {
            let hello = number.to_le_bytes().to_vec();
            let (sender, mut receiver) = network.open(id, hello.clone()).await.expect("a stream");
            let frame = receiver.receive().await.expect("open").expect("a frame");
            assert_eq!(frame, hello);
            (sender, receiver)
        }));
    }
    for opened in opened {
        let opened = timeout(PATIENCE, opened).await.expect("in time");
        drop(opened.expect("no panic"));
    }
    drop(accept.await.expect("no panic"));
}

#[tokio::test]
async fn nobody_opens_a_stream_to_nobody() {
    let node = Node::start(config(1, vec![])).await;
    let nobody = identity(99).node();
    for to in [nobody, node.id()] {
        let opened = timeout(PATIENCE, node.network.open(to, vec![])).await;
        let error = opened.expect("in time").expect_err("nobody is there");
        assert_eq!(error, OpenError::Unreachable(to));
    }
}

#[tokio::test]
async fn both_ends_hear_of_a_peer_that_is_killed() {
    let (mut first, mut second) = pair().await;
    let gone = second.id();
    let ((mut sender, mut receiver), _far) = stream(&first, &mut second).await;
    drop(second);
    let broken = timeout(PATIENCE, receiver.receive()).await;
    assert!(broken.expect("at once").is_err());
    let broken = timeout(PATIENCE, async {
        while sender.send(&[0; 1_000]).await.is_ok() {
            if sender.flush().await.is_err() {
                return;
            }
        }
    });
    broken.await.expect("at once");
    first.wait_for_unreachable(gone).await;
}

#[tokio::test]
async fn whoever_leaves_ends_the_streams_at_both_ends() {
    let (mut first, mut second) = pair().await;
    let ((_sender, mut near), (_far, mut far)) = stream(&first, &mut second).await;
    second.network.leave().await;
    for receiver in [&mut near, &mut far] {
        let ended = timeout(PATIENCE, receiver.receive()).await;
        assert!(ended.expect("at once").is_err());
    }
    first.wait_for_unreachable(second.id()).await;
}

#[tokio::test]
async fn a_receiver_that_reads_nothing_holds_up_its_sender_alone() {
    let (first, mut second) = pair().await;
    let ((mut sender, _near), (_far, unread)) = stream(&first, &mut second).await;
    let held_up = timeout(Duration::from_secs(2), async {
        loop {
            sender.send(&[0; 60_000]).await.expect("open");
            sender.flush().await.expect("open");
        }
    });
    held_up.await.expect_err("there is a bound");
    // Others go on meanwhile, and nobody is suspected.
    let ((mut sender, _), (_, mut receiver)) = stream(&first, &mut second).await;
    sender.send(b"through").await.expect("open");
    sender.flush().await.expect("open");
    let frame = timeout(PATIENCE, receiver.receive()).await;
    assert_eq!(
        frame.expect("in time").expect("open"),
        Some(b"through".as_slice())
    );
    first.network.send(second.id(), vec![1]);
    second.wait_for_message().await;
    drop(unread);
}

#[tokio::test]
async fn a_delay_is_felt_by_streams() {
    let delay = Duration::from_millis(150);
    let first = Node::start(config(1, vec![])).await;
    let mut slow = config(2, first.network.addresses());
    slow.ways = Some(late(delay));
    let mut second = Node::start(slow).await;
    first.wait_for_connection().await;
    second.wait_for_connection().await;
    let ((mut sender, _), (_, mut receiver)) = stream(&first, &mut second).await;
    let start = tokio::time::Instant::now();
    sender.send(b"late").await.expect("open");
    sender.flush().await.expect("open");
    receiver.receive().await.expect("open").expect("a frame");
    assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_stream_comes_to_what_a_long_way_holds() {
    const DELAY: Duration = Duration::from_millis(100);
    const FRAMES: usize = 64;
    const FRAME_BYTES: usize = 128 << 10;
    let mut config_of_second = config(2, vec![]);
    config_of_second.ways = Some(late(DELAY));
    let mut second = Node::start(config_of_second).await;
    let mut config_of_first = config(1, second.network.addresses());
    config_of_first.ways = Some(late(DELAY));
    let first = Node::start(config_of_first).await;
    first.wait_for_connection().await;
    let ((mut sender, near), (far, mut receiver)) = stream(&first, &mut second).await;
    let begin = tokio::time::Instant::now();
    let send = async {
        for _ in 0..FRAMES {
            sender.send(&vec![7; FRAME_BYTES]).await.expect("open");
        }
        sender.flush().await.expect("open");
    };
    let receive = async {
        for _ in 0..FRAMES {
            receiver.receive().await.expect("open").expect("a frame");
        }
    };
    let both = timeout(PATIENCE, futures::future::join(send, receive));
    both.await.expect("all arrives");
    // Windows that stay as they begin, 256 KiB, let 32 of these 8 MiB through in as many round trips.
    let took = begin.elapsed();
    assert!(took < DELAY * 2 * 16, "{took:?} for 8 MiB");
    drop((near, far));
}
