//! Who has fallen silent: hosts that vanish without a word close no connection.
//!
//! A peer is watched while it has a data stream with this node, or owes an answer. Whoever holds a data
//! stream says so by a beat at every tick, and any byte that arrives is a sign of life: an idle connection
//! costs nothing, a busy one next to nothing. Ticks are counted and not time, so that a node that was itself
//! stopped for a while suspects nobody for it.

use std::time::Duration;

use model::{Instant, NodeId};

use super::{Driver, Frame};

/// How often those that are watched are looked at. Unit: time. Source: design, link heartbeat.
const TICK: Duration = Duration::from_millis(200);

/// After how many silent ticks a peer with data streams is gone. Source: design.
const MISSED_MAX: u32 = 3;

/// After how many silent ticks a peer that owes an answer is gone: 2 s, since nothing flows from it that
/// anybody would miss before. Source: guess.
const OWED_MISSED_MAX: u32 = 10;

/// What is known of how a peer is alive.
#[derive(Debug, Default)]
pub(in crate::net) struct Watch {
    bytes: u64,
    missed: u32,
}

impl Watch {
    /// A tick: whether the peer is gone, of which so many bytes have arrived in all.
    fn on_tick(&mut self, bytes: u64, has_streams: bool) -> bool {
        if bytes == self.bytes {
            self.missed += 1;
        } else {
            self.missed = 0;
        }
        self.bytes = bytes;
        let missed_max = match has_streams {
            true => MISSED_MAX,
            false => OWED_MISSED_MAX,
        };
        self.missed > missed_max
    }
}

impl Driver {
    /// There is somebody to watch.
    pub(super) fn watch_from(&mut self, now: Instant) {
        if self.tick.is_none() {
            self.tick = Some(now + TICK);
        }
    }

    /// Looks at all that are watched.
    pub(super) fn on_tick(&mut self, now: Instant) {
        let mut gone = Vec::new();
        let mut beats = Vec::new();
        let mut watched_count = 0;
        for (node, link) in &mut self.links {
            let has_streams = link.streams.taken() > 0;
            if !link.is_connected() || !(has_streams || link.is_owed()) {
                link.watch.missed = 0;
                continue;
            }
            watched_count += 1;
            if link.watch.on_tick(link.life.bytes(), has_streams) {
                gone.push(*node);
            } else if has_streams {
                beats.push(*node);
            }
        }
        self.tick = (watched_count > 0).then(|| now + TICK);
        for node in beats {
            self.say(node, Frame::Beat);
        }
        for node in gone {
            self.on_silent(node);
        }
    }

    fn on_silent(&mut self, node: NodeId) {
        tracing::debug!(%node, "silent");
        self.refused.count("peer fell silent");
        if let Some(link) = self.links.get_mut(&node) {
            link.watch = Watch::default();
        }
        // The connection's end tells that it is unreachable: it has streams, or owes an answer.
        self.cut(node);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_gone_after_three_missed_beats() {
        let mut watch = Watch::default();
        assert!(!watch.on_tick(10, true), "it has just said something");
        let gone: Vec<bool> = (0..4).map(|_| watch.on_tick(10, true)).collect();
        assert_eq!(gone, [false, false, false, true]);
    }

    #[test]
    fn any_byte_is_a_sign_of_life() {
        let mut watch = Watch::default();
        for bytes in [1, 1, 1, 2, 2, 2, 3] {
            assert!(!watch.on_tick(bytes, true));
        }
        assert!((0..10).all(|_| !watch.on_tick(3, false)));
        assert!(watch.on_tick(3, false));
    }
}
