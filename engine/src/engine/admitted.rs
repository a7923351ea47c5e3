//! Budgets between hosts: what readers elsewhere may ask, and when those elsewhere are told what is asked here.
//!
//! An application is let in for its target and the delay that was foretold, and others were projected with that. A reader that takes longer than was
//! foretold asks for its input sooner; it does not get it at the cost of those others.

use std::time::Duration;

use model::plan::Stream;
use model::{EdgeId, Slack};

use super::Engine;
use super::edges::{Consuming, Producing};
use crate::budget::Budget;

/// What an application was let in with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Admitted {
    /// What its target leaves over the delay that was foretold.
    pub slack: Duration,
    /// How old what each operator of its plan yields was foretold to be.
    pub ages: Vec<Duration>,
}

/// What of its target a budget may differ before that counts.
///
/// Unit: divisor of the target. Range: from 2. Source: design; 5 %, less than what delays are foretold by.
const MARGIN_DIVISOR: u32 = 20;

impl Admitted {
    /// The budget with which a stream of the plan was let in: as old as it was foretold to be, with all that was left. A source's
    /// rows were foretold to be new.
    fn budget(&self, stream: Stream) -> Duration {
        let age = match stream {
            Stream::Source(..) => Duration::ZERO,
            Stream::Operator(index, _) => self.ages.get(index).copied().unwrap_or_default(),
        };
        age + self.slack
    }
}

impl Engine {
    /// Says with what an application was let in: from then on nobody elsewhere who reads for it here is given more urgency than that.
    pub fn set_admitted(&mut self, application: u64, admitted: Admitted) {
        if let Some(application) = self.applications.get_mut(&application) {
            application.admitted = Some(admitted);
        }
    }

    /// A budget that is asked of here by an edge to another host, or what was admitted where that is less strict; and whether it was.
    pub(super) fn admit(&self, edge: EdgeId, asked: Option<&Budget>) -> (Option<Budget>, bool) {
        let strictest = self.edges.get(&edge).and_then(|edge| {
            let application = self.applications.get(&edge.application)?;
            let admitted = application.admitted.as_ref()?;
            let (stream, _) = edge.plan?;
            let margin = application.target / MARGIN_DIVISOR;
            Some(Slack::from(admitted.budget(stream)).less(margin))
        });
        match (asked, strictest) {
            (Some(asked), Some(strictest)) if asked.strictest() < strictest => {
                (Some(asked.clone().at_least(strictest)), true)
            }
            _ => (asked.cloned(), false),
        }
    }

    /// Lets pulls go to other hosts whose budget is another one by now: those who order work by it should not wait for the next that is due.
    pub(super) fn tell_budgets(&mut self) {
        for (id, edge) in self.edges.iter_mut() {
            let (Producing::Elsewhere(link), Consuming::Here(inbound)) =
                (&mut edge.producer, &edge.consumer)
            else {
                continue;
            };
            let Some(component) = self.components.get(&inbound.component) else {
                continue;
            };
            // Nothing is said of an edge that is not pulled yet.
            if link.told.is_none() || link.is_due {
                continue;
            }
            let application = self.applications.get(&edge.application);
            let target = application.map_or(Duration::ZERO, |application| application.target);
            let asked = component.asked_upstream(link.transit);
            if differ(
                inbound.state.budget(),
                asked.as_ref(),
                target / MARGIN_DIVISOR,
            ) {
                link.is_due = true;
                self.ready.push(*id);
            }
        }
    }
}

/// Whether two budgets are further apart than `margin`.
fn differ(told: Option<&Budget>, asked: Option<&Budget>, margin: Duration) -> bool {
    let (told, asked) = match (told, asked) {
        (None, None) => return false,
        (Some(told), Some(asked)) => (told, asked),
        _ => return true,
    };
    let parts = |budget: &Budget| [budget.at_once, budget.strictest()];
    let mut pairs = parts(told).into_iter().zip(parts(asked));
    pairs.any(|(told, asked)| {
        u128::from(told.as_nanos().abs_diff(asked.as_nanos())) > margin.as_nanos()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_differ_by_more_than_the_margin_or_in_being_there() {
        let budget = |millis| Budget::at_once(Slack::from(Duration::from_millis(millis)));
        let margin = Duration::from_millis(5);
        for (told, asked, expected) in [
            (None, None, false),
            (None, Some(100), true),
            (Some(100), None, true),
            (Some(100), Some(105), false),
            (Some(100), Some(106), true),
            (Some(100), Some(94), true),
        ] {
            let (told, asked) = (told.map(budget), asked.map(budget));
            let differ = differ(told.as_ref(), asked.as_ref(), margin);
            assert_eq!(differ, expected, "{told:?} {asked:?}");
        }
    }

    #[test]
    fn what_was_admitted_grows_along_the_way() {
        let millis = Duration::from_millis;
        let admitted = Admitted {
            slack: millis(60),
            ages: vec![millis(10), millis(30)],
        };
        assert_eq!(admitted.budget(Stream::Source(0, 0)), millis(60));
        assert_eq!(admitted.budget(Stream::Operator(0, 0)), millis(70));
        assert_eq!(admitted.budget(Stream::Operator(1, 1)), millis(90));
    }
}
