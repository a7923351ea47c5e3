//! What was measured of an application's components since the last time: small, and cheap enough for every second.

use std::time::Duration;

use model::{ComponentId, Slack};

use super::component::Component;
use super::measures::Sampled;
use super::{Engine, Role};

/// What was measured of the own components of an application here since it was last asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Of each operator.
    pub operators: Vec<OperatorSample>,
    /// The delay of results at the sinks, at the quantile that was asked for: of several, the longest. Nothing where
    /// none left.
    pub delay: Option<Duration>,
}

/// What was measured of an operator's component since it was last asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatorSample {
    /// Which one.
    pub id: ComponentId,
    /// The processor time that it used.
    pub busy: Duration,
    /// How often it was dispatched.
    pub dispatches: u64,
    /// Rows that it worked off.
    pub rows: u64,
    /// How long batches waited before they were worked on, in the mean; nothing where none were.
    pub waited: Option<Duration>,
    /// The greatest age at which a batch may start and still meet every target behind it; [`Slack::MAX`] where there is none.
    pub budget: Slack,
    /// How old batches are when they start, smoothed: the budget less the slack that they have. Nothing before the first, or where no
    /// target lies behind.
    pub age: Option<Duration>,
}

impl Engine {
    /// Takes what was measured of an application here since this was last asked; nothing where it is not here.
    ///
    /// `quantile` is a fraction of the results, at most 1.
    pub fn sample(&mut self, application: u64, quantile: f64) -> Option<Sample> {
        let members = &self.applications.get(&application)?.members;
        let mut sample = Sample::default();
        for id in members {
            let Some(component) = self.components.get_mut(id) else {
                continue;
            };
            match &mut component.role {
                Role::Source(_) => {}
                Role::Operator => sample.operators.push(operator(*id, component)),
                Role::Sink(results) => {
                    if results.recent.is_empty() {
                        continue;
                    }
                    let micros = results.recent.value_at_quantile(quantile);
                    sample.delay = sample.delay.max(Some(Duration::from_micros(micros)));
                    results.recent.reset();
                }
            }
        }
        Some(sample)
    }
}

/// What was measured of an operator; a few subtractions, since it is done under the engine's lock.
fn operator(id: ComponentId, component: &mut Component) -> OperatorSample {
    let (waits, waited) = component.queueing.total();
    let counters = &mut component.counters;
    let all = Sampled {
        busy: counters.busy,
        batches: counters.batches,
        rows: counters.rows_in,
        waits,
        waited,
    };
    let before = std::mem::replace(&mut counters.sampled, all);
    let waits = u32::try_from(all.waits - before.waits).unwrap_or(u32::MAX);
    let budget = component.budget.strictest();
    let slack = component.slack().filter(|_| budget != Slack::MAX);
    let age_nanos = slack.map(|slack| budget.as_nanos().saturating_sub(slack.as_nanos()));
    OperatorSample {
        id,
        busy: all.busy.saturating_sub(before.busy),
        dispatches: all.batches - before.batches,
        rows: all.rows - before.rows,
        waited: all.waited.saturating_sub(before.waited).checked_div(waits),
        budget,
        age: age_nanos.map(|nanos| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))),
    }
}
