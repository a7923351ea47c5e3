//! Control messages.

use std::time::Duration;

use overlay::net::{Event, MESSAGE_BYTES_MAX};

use crate::support::{Node, config, identity, late, pair};

#[tokio::test]
async fn messages_go_both_ways_in_order() {
    let (mut first, mut second) = pair().await;
    for number in 0..500_u32 {
        let bytes = number.to_le_bytes().to_vec();
        first.network.send(second.id(), bytes.clone());
        second.network.send(first.id(), bytes);
    }
    for number in 0..500_u32 {
        let bytes = number.to_le_bytes().to_vec();
        assert_eq!(second.wait_for_message().await, (first.id(), bytes.clone()));
        assert_eq!(first.wait_for_message().await, (second.id(), bytes));
    }
}

#[tokio::test]
async fn the_largest_message_passes_and_a_larger_one_is_told_as_lost() {
    let (mut first, mut second) = pair().await;
    let largest = vec![7; MESSAGE_BYTES_MAX];
    first.network.send(second.id(), largest.clone());
    assert_eq!(second.wait_for_message().await.1, largest);
    first
        .network
        .send(second.id(), vec![7; MESSAGE_BYTES_MAX + 1]);
    first.wait_for_unreachable(second.id()).await;
}

#[tokio::test]
async fn a_message_to_itself_arrives() {
    let mut node = Node::start(config(1, vec![])).await;
    node.network.send(node.id(), vec![1, 2]);
    assert_eq!(node.wait_for_message().await, (node.id(), vec![1, 2]));
}

#[tokio::test]
async fn a_message_to_nobody_is_told_as_lost() {
    let mut node = Node::start(config(1, vec![])).await;
    let nobody = identity(99).node();
    node.network.send(nobody, vec![1]);
    node.wait_for_unreachable(nobody).await;
}

#[tokio::test]
async fn a_peer_that_is_killed_is_unreachable() {
    let (mut first, second) = pair().await;
    let gone = second.id();
    drop(second);
    // Whether the connection's end is noticed first or the message finds nobody: it is told.
    first.network.send(gone, vec![1]);
    first.wait_for_unreachable(gone).await;
}

#[tokio::test]
async fn what_finds_no_room_is_counted_and_told() {
    let (mut first, second) = pair().await;
    let gone = second.id();
    for _ in 0..20_000 {
        first.network.send(gone, vec![0; 10_000]);
    }
    first.wait_for_unreachable(gone).await;
    let refused = first.network.stats().await.refused;
    assert!(
        refused.keys().any(|reason| reason.contains("beyond")),
        "{refused:?}"
    );
    drop(second);
}

#[tokio::test]
async fn a_delay_is_felt_by_messages() {
    let delay = Duration::from_millis(150);
    let mut first = Node::start(config(1, vec![])).await;
    let mut slow = config(2, first.network.addresses());
    slow.ways = Some(late(delay));
    let mut second = Node::start(slow).await;
    first.wait_for_connection().await;
    second.wait_for_connection().await;
    // The round trip that is measured tells of it.
    let round_trip = first
        .wait_for("a round trip", |event| match event {
            Event::Seen { round_trip, .. } => round_trip,
            _ => None,
        })
        .await;
    assert!(round_trip >= delay, "{round_trip:?}");
    first.network.send(second.id(), vec![1]);
    second.wait_for_message().await;
    let start = tokio::time::Instant::now();
    first.network.send(second.id(), vec![2]);
    assert_eq!(second.wait_for_message().await.1, [2]);
    assert!(start.elapsed() >= delay, "{:?}", start.elapsed());
    // What the others receive is not held back.
    let start = tokio::time::Instant::now();
    second.network.send(first.id(), vec![3]);
    first.wait_for_message().await;
    assert!(start.elapsed() < delay * 3, "{:?}", start.elapsed());
}
