//! The search for a target that would be accepted now, where the one that was asked for is not.
//!
//! How long a component takes depends on the target: the laxer, the longer it waits; the stricter, the more it slows others. So nothing is named
//! but a target with which hosts were asked as an admission asks them. The first round asks as laxly as can be; each that finds something
//! tells a delay, and the next asks with that for the target, up to where none is found or nothing is gained.

use std::time::Duration;

use model::{CompositionId, Instant};

use super::{Round, Session};
use crate::composer::{Composer, Outbox};
use crate::merge::Blocked;
use crate::refusal;
use crate::request::TARGET_MAX;
use crate::select::Graph;

/// How many rounds look for a target. Unit: rounds. Source: guess; two are enough where nothing waits.
const ROUNDS_MAX: u8 = 8;

/// Where the search for a target stands.
#[derive(Debug)]
pub(crate) struct Relaxed {
    /// What is asked with.
    pub(crate) target: Duration,
    /// The least that hosts accepted, and the delay that was expected then.
    pub(crate) found: Option<(Duration, Duration)>,
    round_count: u8,
}

impl Default for Relaxed {
    fn default() -> Self {
        Self {
            target: TARGET_MAX,
            found: None,
            round_count: 0,
        }
    }
}

impl Relaxed {
    /// Whether it is asked as laxly as can be: who lacks something then lacks it for any target.
    pub(crate) fn is_first(&self) -> bool {
        self.target == TARGET_MAX
    }

    /// The target to ask with next, after those that were asked found graphs or none. A target of `refused` was not accepted, and of graphs
    /// that were confirmed the fastest took `closest`.
    fn next(
        &mut self,
        delay: Option<Duration>,
        refused: Duration,
        closest: Option<Duration>,
    ) -> Option<Duration> {
        self.round_count += 1;
        let asked = self.target;
        let next = match delay {
            Some(delay) => {
                if !self.is_first() {
                    self.found = Some((asked, delay));
                }
                let delay = delay.max(closest.unwrap_or_default());
                let offered = refusal::feasible_target(delay);
                offered.max(refusal::full_milliseconds(
                    refused + Duration::from_nanos(1),
                ))
            }
            // As strict as that it would be too slow or slow others too much.
            None if !self.is_first() && self.found.is_none() => asked * 2,
            None => return None,
        };
        let is_gain = match delay {
            Some(_) => next < asked,
            None => next > asked,
        };
        (is_gain && next < TARGET_MAX && self.round_count < ROUNDS_MAX).then_some(next)
    }
}

impl Composer {
    /// Graphs were confirmed, and the fastest took `delay`, which is too long: hosts are asked for that.
    pub(crate) fn look_for_target(
        &mut self,
        now: Instant,
        id: CompositionId,
        mut session: Session,
        delay: Duration,
        out: &mut Outbox<'_>,
    ) {
        self.release_tried(now, id, &session, out);
        session.relaxed.target = refusal::feasible_target(delay).min(TARGET_MAX);
        self.begin_round(now, id, session, Round::Relaxed, out);
    }

    /// What hosts said to the target that was asked with: another follows, or the request is refused with what was found.
    pub(super) fn on_relaxed(
        &mut self,
        now: Instant,
        id: CompositionId,
        mut session: Session,
        graphs: Result<Vec<Graph>, Blocked>,
        out: &mut Outbox<'_>,
    ) {
        let delays = graphs.as_ref().ok().into_iter().flatten();
        let fastest = delays.map(|graph| graph.delay).min();
        let refused = session.target();
        let (is_first, closest) = (session.relaxed.is_first(), session.closest);
        if let Some(next) = session.relaxed.next(fastest, refused, closest) {
            session.relaxed.target = next;
            return self.begin_round(now, id, session, Round::Relaxed, out);
        }
        let blocked = graphs.err().filter(|_| is_first);
        self.give_up(now, id, session, blocked.as_ref(), out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_is_found_was_asked_with_and_is_laxer_than_what_was_refused() {
        let mut search = Relaxed::default();
        let mut ask = |delay: Option<Duration>| {
            let next = search.next(delay, ms(8), None);
            search.target = next.unwrap_or(search.target);
            (next, search.found)
        };
        // As lax as can be it takes 20 ms; with 22 ms for the target it takes 10 ms, with 11 ms 6 ms, which would be stricter than what was refused.
        assert_eq!(ask(Some(ms(20))), (Some(ms(22)), None));
        assert_eq!(ask(Some(ms(10))), (Some(ms(11)), Some((ms(22), ms(10)))));
        assert_eq!(ask(Some(ms(6))), (Some(ms(9)), Some((ms(11), ms(6)))));
        assert_eq!(ask(None), (None, Some((ms(11), ms(6)))));
    }

    #[test]
    fn what_is_too_strict_is_asked_again_laxer_and_not_without_end() {
        let mut search = Relaxed::default();
        let mut targets = Vec::new();
        let mut delay = Some(ms(10));
        while let Some(next) = search.next(delay.take(), ms(8), None) {
            search.target = next;
            targets.push(next);
        }
        assert_eq!(targets[..3], [ms(11), ms(22), ms(44)]);
        assert_eq!(targets.len(), usize::from(ROUNDS_MAX) - 1);
        assert_eq!(search.found, None);
    }

    #[test]
    fn what_no_target_helps_is_asked_once() {
        assert_eq!(Relaxed::default().next(None, ms(8), None), None);
    }
}
