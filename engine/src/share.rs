//! Shares: how many rows of an application go first, second by second.
//!
//! Cameo's proportional sharing (section 5.4): tokens are spread evenly over the next interval, a batch of a source takes one, and goes
//! first by its token's time. Here a row is a token, since batches differ in size: each moves the time of the next on by the
//! share of a second that it is. Who stood still has saved up nothing.
//!
//! Beside deadlines, time is the clock's: what has a token of a time to come is beyond the share, and nobody gets further ahead than a second, so that what
//! was taken while nobody else wanted it is soon forgotten. Where tokens alone make the order, time is the token that was
//! worked off last (start-time fair queueing): who comes begins there, and what a mailbox holds may be worth any time.

use std::time::Duration;

use model::{Instant, convert};

/// How far ahead of time tokens are given out.
///
/// Unit: time. Range: above 0. Source: Cameo, section 5.4: an interval of a second.
pub const SPAN: Duration = Duration::from_secs(1);

/// A part of an application's share, as a batch of a source took it; the earlier goes first.
///
/// Cameo, section 5.4: the time at which its application was to have it orders batches by what was used of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Token {
    /// The token of this time. While that is to come, the batch is beyond the share.
    At(Instant),
    /// The application's share is not limited.
    #[default]
    Unmetered,
}

impl Token {
    /// Whether its time is to come.
    pub fn is_ahead(self, now: Instant) -> bool {
        matches!(self, Self::At(time) if time > now)
    }
}

/// What an application may have.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    rows_per_second: f64,
    /// The time of the next token.
    next: Instant,
}

impl Share {
    /// So many rows a second, which must be above zero.
    ///
    /// # Panics
    /// When it is not.
    pub fn new(rows_per_second: f64) -> Self {
        assert!(
            rows_per_second > 0.0,
            "a share of {rows_per_second} rows a second"
        );
        Self {
            rows_per_second,
            next: Instant::ZERO,
        }
    }

    /// Takes the tokens of so many rows, and gives the time of the first of them: not before `base`. Nobody gets further ahead of that than
    /// `lead_max`, where that is given.
    pub fn take(&mut self, base: Instant, lead_max: Option<Duration>, rows: usize) -> Token {
        let rows = convert::count_to_f64(convert::size(rows));
        let token = self.next.max(base);
        let next = token + convert::seconds(rows / self.rows_per_second);
        self.next = lead_max.map_or(next, |lead| next.min(base + lead));
        Token::At(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_spread_evenly_and_never_more_than_a_second_ahead() {
        let mut share = Share::new(1000.0);
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let now = at(5000);
        assert_eq!(share.take(now, Some(SPAN), 400), Token::At(now));
        assert_eq!(share.take(now, Some(SPAN), 500), Token::At(at(5400)));
        assert_eq!(share.take(now, Some(SPAN), 500), Token::At(at(5900)));
        assert_eq!(share.take(now, Some(SPAN), 1), Token::At(at(6000)));
        assert_eq!(share.take(at(5400), Some(SPAN), 1), Token::At(at(6000)));
        assert_eq!(
            share.take(at(9000), Some(SPAN), 1),
            Token::At(at(9000)),
            "nothing was saved up"
        );
    }

    #[test]
    fn who_keeps_to_the_share_is_never_ahead_and_who_does_not_soon_is() {
        let ahead = |rows_per_second: u64| {
            let mut share = Share::new(250.0);
            let mut times =
                (0..10_000u64).filter(|millis| (millis * rows_per_second).is_multiple_of(1000));
            times.any(|millis| {
                let now = Instant::ZERO + Duration::from_millis(millis);
                share.take(now, Some(SPAN), 1).is_ahead(now)
            })
        };
        assert!(!ahead(250));
        assert!(ahead(500));
    }
}
