//! What was measured of an application's components since the last time: small, and cheap enough for every second.

use std::time::Duration;

use model::ComponentId;

use super::{Engine, Role};

/// What was measured of the own components of an application here since it was last asked for.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sample {
    /// Of each operator: the processor time that it used, and how often it was dispatched.
    pub operators: Vec<(ComponentId, Duration, u64)>,
    /// The delay of results at the sinks, at the quantile that was asked for: of several, the longest. Nothing where
    /// none left.
    pub delay: Option<Duration>,
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
                Role::Operator => {
                    let counters = &mut component.counters;
                    let all = (counters.busy, counters.batches);
                    let before = std::mem::replace(&mut counters.sampled, all);
                    let (busy, batches) = (all.0.saturating_sub(before.0), all.1 - before.1);
                    sample.operators.push((*id, busy, batches));
                }
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
