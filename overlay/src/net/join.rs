//! Whom to dial in order to be part of the network, and when again.

use std::time::Duration;

use libp2p::{Multiaddr, PeerId};
use model::{Instant, Rng, convert};

use super::address::{peer_of, without_peer};

/// After how long an attempt that failed is made again, at first and at last.
///
/// Unit: time. Source: guess; the last is what a network that comes back waits at most.
const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LAST: Duration = Duration::from_secs(30);

/// After how long without any connection a node joins again. Unit: time. Source: guess; a restart of the only
/// peer takes about that long.
const ALONE_TIME: Duration = Duration::from_secs(2);

/// Whom this node joins, and how far it is with each.
#[derive(Debug)]
pub(super) struct Join {
    targets: Vec<Target>,
    /// When the peers known last are dialed, and how often they were. Nothing while there are connections.
    alone: Option<Retry>,
    rng: Rng,
}

#[derive(Debug)]
struct Target {
    address: Multiaddr,
    peer: Option<PeerId>,
    phase: Phase,
    retry: Retry,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// To be dialed when its retry is due.
    Waiting,
    Dialing,
    Reached,
}

#[derive(Debug, Clone, Copy)]
struct Retry {
    at: Instant,
    count: u32,
}

/// What is to be dialed now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Dial {
    /// The target of this index.
    Target(usize, Option<PeerId>, Multiaddr),
    /// The peers known last.
    Known,
}

impl Join {
    /// Joins at these addresses, at once.
    pub(super) fn new(now: Instant, addresses: &[Multiaddr], rng: Rng) -> Self {
        let target = |address: &Multiaddr| Target {
            address: without_peer(address),
            peer: peer_of(address),
            phase: Phase::Waiting,
            retry: Retry { at: now, count: 0 },
        };
        Self {
            targets: addresses.iter().map(target).collect(),
            alone: None,
            rng,
        }
    }

    /// What is due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Dial> {
        let mut dials = Vec::new();
        for (index, target) in self.targets.iter_mut().enumerate() {
            if target.phase == Phase::Waiting && target.retry.at <= now {
                target.phase = Phase::Dialing;
                dials.push(Dial::Target(index, target.peer, target.address.clone()));
            }
        }
        if let Some(retry) = self.alone.filter(|retry| retry.at <= now) {
            self.alone = Some(retry.next(now, &mut self.rng));
            dials.push(Dial::Known);
        }
        dials
    }

    /// A target could not be reached. Gives where it should be, and how often that was so since it was reached last.
    pub(super) fn on_failed(&mut self, now: Instant, index: usize) -> (&Multiaddr, u32) {
        let target = &mut self.targets[index];
        target.phase = Phase::Waiting;
        target.retry = target.retry.next(now, &mut self.rng);
        (&target.address, target.retry.count)
    }

    /// A target was reached, and found to be this peer, where it is not this node itself.
    pub(super) fn on_reached(&mut self, index: usize, peer: Option<PeerId>) {
        let target = &mut self.targets[index];
        target.phase = Phase::Reached;
        target.retry.count = 0;
        target.peer = peer.or(target.peer);
    }

    /// A connection was made.
    pub(super) fn on_connected(&mut self) {
        self.alone = None;
    }

    /// The last connection was closed: after a while everything is tried again.
    pub(super) fn on_alone(&mut self, now: Instant) {
        let retry = Retry {
            at: now + ALONE_TIME,
            count: 0,
        };
        self.alone = Some(retry);
        for target in &mut self.targets {
            if target.phase == Phase::Reached {
                target.phase = Phase::Waiting;
                target.retry = retry;
            }
        }
    }

    /// When [`Join::due`] gives something.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.targets.iter();
        let waiting = waiting.filter(|target| target.phase == Phase::Waiting);
        let times = waiting.map(|target| target.retry.at);
        times.chain(self.alone.map(|retry| retry.at)).min()
    }
}

impl Retry {
    /// The one after this one failed: twice as late, give or take a quarter so that nodes do not keep step.
    fn next(self, now: Instant, rng: &mut Rng) -> Self {
        let doubled = RETRY_FIRST.saturating_mul(1 << self.count.min(16));
        let factor = 0.75 + rng.fraction() / 2.0;
        let wait = convert::seconds(doubled.min(RETRY_LAST).as_secs_f64() * factor);
        Self {
            at: now + wait,
            count: self.count + 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: f64) -> Instant {
        Instant::ZERO + Duration::from_secs_f64(seconds)
    }

    fn join() -> Join {
        let addresses = ["/ip4/10.0.0.1/tcp/1", "/ip4/10.0.0.2/tcp/1"];
        let addresses = addresses.map(|text| text.parse().expect("an address"));
        Join::new(at(0.0), &addresses, Rng::from_seed(1))
    }

    #[test]
    fn all_targets_are_dialed_at_once_and_again_with_growing_waits_for_ever() {
        let mut join = join();
        assert_eq!(join.due(at(0.0)).len(), 2);
        assert_eq!(join.poll_timeout(), None, "both are being dialed");
        join.on_reached(1, None);
        let mut now = at(0.0);
        let mut waits = Vec::new();
        for _ in 0..40 {
            join.on_failed(now, 0);
            let next = join.poll_timeout().expect("another attempt");
            waits.push(next - now);
            now = next;
            assert_eq!(join.due(now).len(), 1);
        }
        assert!(waits[0] <= RETRY_FIRST * 2);
        assert!(waits[39] >= RETRY_LAST / 2 && waits[39] <= RETRY_LAST * 2);
    }

    #[test]
    fn whoever_is_left_alone_joins_again_until_somebody_is_there() {
        let mut join = join();
        join.due(at(0.0));
        join.on_reached(0, None);
        join.on_reached(1, None);
        assert_eq!(join.poll_timeout(), None);
        join.on_alone(at(10.0));
        assert!(join.due(at(11.0)).is_empty());
        assert_eq!(join.due(at(12.0)).len(), 3, "both targets, and those known");
        join.on_failed(at(12.0), 0);
        assert!(join.poll_timeout().is_some());
        join.on_reached(0, None);
        join.on_reached(1, None);
        join.on_connected();
        assert_eq!(join.poll_timeout(), None);
    }
}
