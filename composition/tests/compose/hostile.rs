//! Bytes that nobody meant.

use std::time::Duration;

use composition::{Input, Message};
use model::{Instant, wire};
use proptest::prelude::*;

use crate::placing::six;
use crate::support::{Network, SLIDES, id, node, order};

/// What is said in a composition, one of each length.
fn recorded() -> Vec<Vec<u8>> {
    let mut network = six(1);
    network.records = true;
    network.compose(1, id(1), order("slides", 400, SLIDES, &["o5"], (2, 1), 0.5));
    network.run(30);
    let mut messages = network.recorded;
    messages.sort_by_key(Vec::len);
    messages.dedup_by_key(|it| it.len());
    assert!(messages.len() > 10);
    messages
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_bytes_are_more_than_a_message_that_is_refused(
        seed in any::<u64>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 400),
    ) {
        thread_local! {
            static RECORDED: Vec<Vec<u8>> = recorded();
        }
        let mut network = six(seed);
        network.compose(1, id(1), order("slides", 400, SLIDES, &["o5"], (2, 1), 0.5));
        let end = Instant::ZERO + Duration::from_secs(40);
        RECORDED.with(|messages| {
            for (message, byte, value) in &changes {
                network.step(end);
                let mut bytes = messages[message.index(messages.len())].clone();
                let place = byte.index(bytes.len());
                bytes[place] = *value;
                // Cut, or changed: what comes of it, if anything, may not panic and may not take more than there is.
                let cut = if *value < 16 { place } else { bytes.len() };
                if let Ok(message) = wire::decode::<Message>(&bytes[..cut]) {
                    let from = node(value % 6 + 1);
                    let to = node(bytes[bytes.len() / 2] % 6 + 1);
                    network.input(to, Input::Message { from, message });
                }
            }
        });
        network.run(40);
        for member in network.members.values() {
            prop_assert_eq!(member.composer.reserved().memory_bytes, 0);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_message_or_a_harmless_one(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(message) = wire::decode::<Message>(&bytes) {
            let mut network: Network = six(1);
            network.input(node(1), Input::Message { from: node(2), message });
        }
    }
}
