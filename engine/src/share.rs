//! Shares: how many rows of an application go first, second by second.
//!
//! Cameo's proportional sharing (section 5.4): tokens are spread evenly over the next interval, a batch of a source takes one, and goes
//! first by its token's time. Here a row is a token, since batches differ in size: each moves the time of the next on by the
//! share of a second that it is. An application that would take tokens of a time too far ahead has none left; one that
//! stood still has saved up none.

use std::time::Duration;

use model::{Instant, convert};

use crate::batch::Token;

/// How far ahead of time tokens are given out.
///
/// Unit: time. Range: above 0. Source: Cameo, section 5.4: an interval of a second.
pub const SPAN: Duration = Duration::from_secs(1);

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

    /// Takes the tokens of so many rows, and gives the time of the first of them.
    pub fn take(&mut self, now: Instant, rows: usize) -> Token {
        let next = self.next.max(now);
        if next.since(now) >= SPAN {
            return Token::Spent;
        }
        let rows = convert::count_to_f64(convert::size(rows));
        self.next = next + convert::seconds(rows / self.rows_per_second);
        Token::At(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_spread_evenly_and_end_a_second_ahead() {
        let mut share = Share::new(1000.0);
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let now = at(5000);
        assert_eq!(share.take(now, 400), Token::At(now));
        assert_eq!(share.take(now, 500), Token::At(at(5400)));
        assert_eq!(share.take(now, 500), Token::At(at(5900)));
        assert_eq!(share.take(now, 1), Token::Spent);
        assert_eq!(share.take(at(5401), 1), Token::At(at(6400)));
        assert_eq!(
            share.take(at(9000), 1),
            Token::At(at(9000)),
            "nothing was saved up"
        );
    }

    #[test]
    fn what_is_taken_over_a_minute_is_the_share() {
        let mut share = Share::new(250.0);
        let with_token = (0..60_000u64)
            .filter(|millis| {
                let now = Instant::ZERO + Duration::from_millis(*millis);
                share.take(now, 1) != Token::Spent
            })
            .count();
        assert!((15_000..=15_251).contains(&with_token), "{with_token}");
    }
}
