//! Leaving in order.

use std::time::Duration;

use super::{Driver, Input, Turn};
use crate::net::identity::peer_id;

/// How long what the overlay says when it leaves may take to arrive. Unit: time. Source: guess; with the
/// others it bounds leaving to 1 s.
const SAY_TIME: Duration = Duration::from_millis(700);

/// How long control substreams may take to close. Unit: time. Source: guess.
const CLOSE_TIME: Duration = Duration::from_millis(150);

impl Driver {
    /// Says what leaving takes, waits for it to arrive, and closes everything; in bounded time.
    pub(super) async fn leave(&mut self) {
        self.tell(Input::Leave);
        self.turn_until(SAY_TIME, |driver| {
            driver.has_left && !driver.links.values().any(super::Link::is_owed)
        })
        .await;
        self.close_writers();
        // Their last word is on its way when they have ended.
        self.turn_until(CLOSE_TIME, |driver| driver.writers_running == 0)
            .await;
        for (node, has_streams) in self.connected() {
            if has_streams {
                self.cut(node);
            } else {
                // It may have closed its connections itself.
                let _ = self.swarm.disconnect_peer_id(peer_id(node));
            }
        }
        self.turn_until(CLOSE_TIME, |driver| driver.connected().is_empty())
            .await;
    }

    async fn turn_until(&mut self, time: Duration, is_done: impl Fn(&Self) -> bool) {
        let end = self.clock.now() + time;
        loop {
            self.perform();
            if (is_done(self) && self.effects.is_empty()) || self.clock.now() >= end {
                return;
            }
            // Others who want to leave as well hear of it when this is over.
            if let Turn::Abandoned = self.turn(Some(end)).await {
                return;
            }
        }
    }
}
