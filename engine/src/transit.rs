//! How long frames take from host to host, where no two clocks agree.
//!
//! `transit(frame) = half of the link's least round trip + (received - sent) - least (received - sent) lately`.
//!
//! Received and sent are read from two clocks, so that their difference holds an unknown constant: taking the least
//! of it away leaves what the frame waited on its way, in queues of the sender, the network and the receiver.

use std::collections::VecDeque;
use std::time::Duration;

use model::{Instant, convert};

/// How long a span is of which the least difference is kept.
///
/// Unit: time. Source: guess.
const SPAN: Duration = Duration::from_secs(10);

/// How many spans count: clocks drift apart, and what was least an hour ago says nothing of now.
///
/// Unit: spans. Source: guess; in two minutes clocks that differ by 20 in a million drift 2.4 ms apart.
const SPANS_MAX: usize = 12;

/// What one edge knows of the way of its frames.
#[derive(Debug, Clone)]
pub struct Transit {
    opened: Instant,
    /// When each of the last spans began and the least difference in it, in nanoseconds; the oldest first.
    spans: VecDeque<(Instant, i64)>,
}

impl Transit {
    /// Of an edge that was opened now, by the receiver's clock.
    pub const fn new(now: Instant) -> Self {
        Self {
            opened: now,
            spans: VecDeque::new(),
        }
    }

    /// How long a frame took that was written when the edge was open for `sent` at the sender, and came now.
    /// `half_round_trip` is half of the least round trip of the link.
    pub fn of_frame(
        &mut self,
        now: Instant,
        sent: Duration,
        half_round_trip: Duration,
    ) -> Duration {
        let received = signed_nanos(now.since(self.opened));
        let difference = received.saturating_sub(signed_nanos(sent));
        while let Some((began, _)) = self.spans.front()
            && now.since(*began) > SPAN * u32::try_from(SPANS_MAX).expect("a few spans")
        {
            self.spans.pop_front();
        }
        match self.spans.back_mut() {
            Some((began, least)) if now.since(*began) < SPAN => *least = difference.min(*least),
            _ => {
                if self.spans.len() == SPANS_MAX {
                    self.spans.pop_front();
                }
                self.spans.push_back((now, difference));
            }
        }
        let least = self.spans.iter().map(|(_, least)| *least).min();
        let waited = difference.saturating_sub(least.unwrap_or(difference));
        half_round_trip.saturating_add(Duration::from_nanos(waited.unsigned_abs()))
    }
}

fn signed_nanos(duration: Duration) -> i64 {
    i64::try_from(convert::nanos(duration)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HALF: Duration = Duration::from_millis(5);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    #[test]
    fn the_quickest_frame_took_half_a_round_trip_and_others_waited_longer() {
        // The sender's clock is 300 ms ahead of the receiver's since the edge was opened.
        let mut transit = Transit::new(at(1000));
        let mut took = |now, sent| transit.of_frame(at(now), Duration::from_millis(sent), HALF);
        assert_eq!(took(1020, 320), HALF);
        assert_eq!(took(1120, 400), HALF + Duration::from_millis(20));
        assert_eq!(took(1200, 510), HALF);
        assert_eq!(
            took(1300, 600),
            HALF + Duration::from_millis(10),
            "the frame before set a new least"
        );
    }

    #[test]
    fn what_was_least_long_ago_is_forgotten() {
        let mut transit = Transit::new(at(0));
        assert_eq!(
            transit.of_frame(at(10), Duration::from_millis(10), HALF),
            HALF
        );
        let later = |minutes: u64| minutes * 60_000 + 50;
        let sent = |minutes: u64| Duration::from_secs(minutes * 60);
        let waited = Duration::from_millis(50);
        assert_eq!(transit.of_frame(at(later(1)), sent(1), HALF), HALF + waited);
        assert_eq!(transit.of_frame(at(later(4)), sent(4), HALF), HALF);
    }

    proptest! {
        #[test]
        fn it_stays_small_and_never_falls_below_the_link(frames in prop::collection::vec((0u64..60_000, any::<u64>()), 0..200)) {
            let mut transit = Transit::new(at(0));
            let mut now = at(0);
            for (gap, sent) in frames {
                now = now + Duration::from_millis(gap);
                let took = transit.of_frame(now, Duration::from_micros(sent), HALF);
                prop_assert!(took >= HALF);
                prop_assert!(transit.spans.len() <= SPANS_MAX);
            }
        }
    }
}
