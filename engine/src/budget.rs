//! Budgets and deadlines: slack, the quantity that orders all work.
//!
//! For every component, the budget is the greatest age at which a batch may start there and still meet
//! every target downstream of it:
//!
//! ```text
//! budget(sink of application a) = latency target of a
//! budget(o) = min over consumers d of ( budget(d) - transit(o, d) ) - cost(o)
//! deadline(M at o) = arrival(M) + budget(o)
//! ```
//!
//! With one application this is Cameo's `t_M + L - C_oM - C_path`; with shared components the strictest
//! consumer wins by the `min`. Inside a process the transit is nothing.
//!
//! A batch that only adds to a window has until the window closes, so budgets are kept by slide: what of a budget counts from the
//! batch's own arrival, and what from its frontier time (see [`crate::frontier`]). A window asks its inputs for the second alone; what is stateless
//! hands on what it was asked, so that also a filter before a window need not hurry.

use std::time::Duration;

use model::{Instant, Slack};

use crate::frontier::{Effect, Slide};
use crate::mailbox::NO_DEADLINE;

/// When a batch that arrived at its source at `arrival` must start where this budget holds.
///
/// In nanoseconds of this host's clock; may lie before its start. Saturates.
pub fn deadline(arrival: Instant, budget: Slack) -> i64 {
    if budget == Slack::MAX {
        return NO_DEADLINE;
    }
    i64::try_from(arrival.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_add(budget.as_nanos())
}

/// The slides that a budget tells apart; of more, batches hurry as if they closed something.
///
/// Unit: slides. Source: guess; one stream is rarely read by windows of more than two lengths.
pub const SLIDES_MAX: usize = 4;

/// The greatest age at which a batch may start and still meet every target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Counted from the batch's own arrival, where something acts on it at once.
    pub at_once: Slack,
    /// Counted from the frontier time of each slide; by slide, at most [`SLIDES_MAX`].
    slides: Vec<(Slide, Slack)>,
}

impl Budget {
    /// No target lies behind.
    pub const NONE: Self = Self::at_once(Slack::MAX);

    /// The same for every batch.
    pub const fn at_once(slack: Slack) -> Self {
        Self {
            at_once: slack,
            slides: Vec::new(),
        }
    }

    /// What counts from frontier times, by slide.
    pub fn slides(&self) -> &[(Slide, Slack)] {
        &self.slides
    }

    /// The least that any batch may be given.
    pub fn strictest(&self) -> Slack {
        let slides = self.slides.iter().map(|(_, slack)| *slack);
        slides.fold(self.at_once, Slack::min)
    }

    /// What is left after `spent`.
    #[must_use]
    pub fn less(mut self, spent: Duration) -> Self {
        self.at_once = self.at_once.less(spent);
        for (_, slack) in &mut self.slides {
            *slack = slack.less(spent);
        }
        self
    }

    /// At least so much of each part, unless it was less.
    #[must_use]
    pub fn or_at_least(mut self, least: Slack, was: &Self) -> Self {
        self.at_once = self.at_once.max(least.min(was.at_once));
        for ((_, slack), (_, was)) in self.slides.iter_mut().zip(&was.slides) {
            *slack = (*slack).max(least.min(*was));
        }
        self
    }

    /// At least so much of each part.
    #[must_use]
    pub fn at_least(mut self, least: Slack) -> Self {
        self.at_once = self.at_once.max(least);
        for (_, slack) in &mut self.slides {
            *slack = (*slack).max(least);
        }
        self
    }

    /// The stricter of both in each part.
    pub fn join(&mut self, other: &Self) {
        self.at_once = self.at_once.min(other.at_once);
        for (slide, slack) in &other.slides {
            self.join_slide(*slide, *slack);
        }
    }

    /// Batches have until windows of this slide close, and this much longer.
    pub fn join_slide(&mut self, slide: Slide, slack: Slack) {
        match self
            .slides
            .binary_search_by_key(&slide, |(known, _)| *known)
        {
            Ok(place) => self.slides[place].1 = self.slides[place].1.min(slack),
            Err(place) if self.slides.len() < SLIDES_MAX => {
                self.slides.insert(place, (slide, slack));
            }
            Err(_) => self.at_once = self.at_once.min(slack),
        }
    }

    /// What is asked of the inputs of a component that closes windows of this slide: they accumulate, and what comes of them
    /// leaves when one closes.
    #[must_use]
    fn of_window(&self, slide: Slide) -> Self {
        let mut budget = Self::NONE;
        budget.join_slide(slide, self.strictest());
        budget
    }

    /// When a batch must start that arrived at its source at `arrival`, given what it does for each of the slides.
    pub fn deadline(&self, arrival: Instant, effects: &[Effect]) -> i64 {
        let mut earliest = deadline(arrival, self.at_once);
        for ((_, slack), effect) in self.slides.iter().zip(effects) {
            let from = match effect {
                Effect::Closes => arrival,
                Effect::Accumulates { frontier, .. } => *frontier,
            };
            earliest = earliest.min(deadline(from, *slack));
        }
        earliest
    }
}

/// One component, as budgets see it.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// What a batch of the usual size costs here; of a window, what closing it costs too.
    pub cost: Duration,
    /// The latency target, of a sink.
    pub target: Option<Duration>,
    /// The budgets of those who read this on other hosts, less the way there.
    pub pulled: Vec<Budget>,
    /// Who reads this: places in the same list, all behind this one.
    pub consumers: Vec<usize>,
    /// When it closes something, where it does.
    pub slide: Option<Slide>,
    /// The least age at which batches came in lately.
    pub least_age: Duration,
}

/// The budget of each stage. A stage that leads to no sink has [`Budget::NONE`].
///
/// Whoever asks for less than the age at which batches come in anyway cannot be served, and does not count while others
/// can: its application is late, and drags nobody along.
///
/// Linear in stages and edges.
///
/// # Panics
/// When a consumer does not stand behind its producer.
pub fn budgets(stages: &[Stage]) -> Vec<Budget> {
    let mut budgets = vec![Budget::NONE; stages.len()];
    for (place, stage) in stages.iter().enumerate().rev() {
        let consumers = stage.consumers.iter().map(|consumer| {
            assert!(
                *consumer > place,
                "stage {consumer} reads stage {place} and must stand behind it"
            );
            &budgets[*consumer]
        });
        let target = stage
            .target
            .map(|target| Budget::at_once(Slack::from(target)));
        let asked = || consumers.clone().chain(&stage.pulled).chain(&target);
        let can_serve =
            |budget: &&Budget| budget.strictest().less(stage.cost) > Slack::from(stage.least_age);
        let can_serve_any = asked().any(|budget| can_serve(&budget));
        let mut budget = Budget::NONE;
        for one in asked().filter(|budget| !can_serve_any || can_serve(budget)) {
            budget.join(one);
        }
        if let Some(slide) = stage.slide {
            budget = budget.of_window(slide);
        }
        budgets[place] = budget.less(stage.cost);
    }
    budgets
}

#[cfg(test)]
mod tests {
    use model::EventTime;

    use super::*;

    const SLIDE: Slide = Slide {
        every_micros: 1_000_000,
        lateness_micros: 0,
    };

    fn stage(cost_ms: u64, target_ms: Option<u64>, consumers: &[usize]) -> Stage {
        Stage {
            cost: Duration::from_millis(cost_ms),
            target: target_ms.map(Duration::from_millis),
            consumers: consumers.to_vec(),
            ..Stage::default()
        }
    }

    fn millis(stages: &[Stage]) -> Vec<i64> {
        let budgets = budgets(stages);
        let strictest = budgets.iter().map(|budget| budget.strictest().as_nanos());
        strictest.map(|nanos| nanos / 1_000_000).collect()
    }

    #[test]
    fn a_chain_leaves_the_target_less_all_that_follows() {
        let stages = [
            stage(1, None, &[1]),
            stage(5, None, &[2]),
            stage(0, Some(100), &[]),
        ];
        assert_eq!(millis(&stages), [94, 95, 100]);
    }

    #[test]
    fn the_strictest_reader_of_a_shared_stage_wins() {
        let stages = [
            stage(2, None, &[1, 2]),
            stage(10, None, &[3]),
            stage(50, None, &[4]),
            stage(0, Some(1000), &[]),
            stage(0, Some(80), &[]),
        ];
        assert_eq!(millis(&stages), [28, 990, 30, 1000, 80]);
    }

    #[test]
    fn who_cannot_be_served_any_more_drags_nobody_along() {
        let mut stages = [
            stage(2, None, &[1, 2]),
            stage(0, Some(1000), &[]),
            stage(0, Some(80), &[]),
        ];
        stages[0].least_age = Duration::from_millis(77);
        assert_eq!(millis(&stages)[0], 78);
        stages[0].least_age = Duration::from_millis(78);
        assert_eq!(millis(&stages)[0], 998, "the stricter one is late anyway");
        stages[0].least_age = Duration::from_secs(2);
        assert_eq!(millis(&stages)[0], 78, "nobody can be served: all are late");
    }

    #[test]
    fn a_reader_on_another_host_counts_as_those_here_do() {
        let mut stages = [stage(5, None, &[1]), stage(0, Some(100), &[])];
        let forty = Slack::from(Duration::from_millis(40));
        stages[0].pulled = vec![Budget::at_once(forty)];
        assert_eq!(millis(&stages), [35, 100]);
    }

    #[test]
    fn what_lies_before_a_window_has_until_it_closes() {
        // A filter that a window reads, and beside it a sink of its own.
        let mut stages = [
            stage(1, None, &[1, 3]),
            stage(4, None, &[2]),
            stage(0, Some(50), &[]),
            stage(0, Some(90), &[]),
        ];
        stages[1].slide = Some(SLIDE);
        let budgets = budgets(&stages);
        let slack = |millis| Slack::from(Duration::from_millis(millis));
        assert_eq!(budgets[1].at_once, Slack::MAX);
        assert_eq!(budgets[1].slides(), [(SLIDE, slack(46))]);
        assert_eq!(budgets[0].at_once, slack(89));
        assert_eq!(budgets[0].slides(), [(SLIDE, slack(45))]);
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let deadline = |effect| budgets[0].deadline(at(1000), &[effect]) / 1_000_000;
        let accumulates = |millis| Effect::Accumulates {
            border: EventTime(2_000_000),
            frontier: at(millis),
        };
        assert_eq!(deadline(Effect::Closes), 1045);
        assert_eq!(deadline(accumulates(1020)), 1065);
        assert_eq!(deadline(accumulates(2000)), 1089, "the sink beside it");
    }

    #[test]
    fn more_slides_than_are_told_apart_hurry() {
        let mut budget = Budget::NONE;
        for every_micros in 1..=5 {
            let slide = Slide {
                every_micros,
                lateness_micros: 0,
            };
            budget.join_slide(slide, Slack::from_nanos(every_micros));
        }
        assert_eq!(budget.slides().len(), SLIDES_MAX);
        assert_eq!(budget.at_once, Slack::from_nanos(5));
    }

    #[test]
    fn a_target_out_of_reach_gives_a_budget_below_zero() {
        let stages = [stage(200, None, &[1]), stage(0, Some(100), &[])];
        assert_eq!(millis(&stages)[0], -100);
        assert!(budgets(&stages)[0].deadline(Instant::ZERO, &[]) < 0);
    }

    #[test]
    fn what_leads_nowhere_is_never_urgent() {
        assert_eq!(budgets(&[stage(7, None, &[])]), [Budget::NONE]);
        assert_eq!(Budget::NONE.deadline(Instant::from_nanos(9), &[]), i64::MAX);
    }
}
