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

use std::time::Duration;

use model::{Instant, Slack};

/// When a batch that arrived at its source at `arrival` must start where this budget holds.
///
/// In nanoseconds of this host's clock; may lie before its start. Saturates.
pub fn deadline(arrival: Instant, budget: Slack) -> i64 {
    i64::try_from(arrival.as_nanos())
        .unwrap_or(i64::MAX)
        .saturating_add(budget.as_nanos())
}

/// One component, as budgets see it.
#[derive(Debug, Clone, Default)]
pub struct Stage {
    /// What a batch of the usual size costs here.
    pub cost: Duration,
    /// The latency target, of a sink.
    pub target: Option<Duration>,
    /// The strictest budget of those who read this on other hosts, less the way there.
    pub pulled: Option<Slack>,
    /// Who reads this: places in the same list, all behind this one.
    pub consumers: Vec<usize>,
}

/// The budget of each stage. A stage that leads to no sink has [`Slack::MAX`].
///
/// Linear in stages and edges.
///
/// # Panics
/// When a consumer does not stand behind its producer.
pub fn budgets(stages: &[Stage]) -> Vec<Slack> {
    let mut budgets = vec![Slack::MAX; stages.len()];
    for (place, stage) in stages.iter().enumerate().rev() {
        let mut strictest = stage.target.map_or(Slack::MAX, Slack::from);
        for consumer in &stage.consumers {
            assert!(
                *consumer > place,
                "stage {consumer} reads stage {place} and must stand behind it"
            );
            strictest = strictest.min(budgets[*consumer]);
        }
        strictest = strictest.min(stage.pulled.unwrap_or(Slack::MAX));
        budgets[place] = strictest.less(stage.cost);
    }
    budgets
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(cost_ms: u64, target_ms: Option<u64>, consumers: &[usize]) -> Stage {
        Stage {
            cost: Duration::from_millis(cost_ms),
            target: target_ms.map(Duration::from_millis),
            pulled: None,
            consumers: consumers.to_vec(),
        }
    }

    #[test]
    fn a_chain_leaves_the_target_less_all_that_follows() {
        let budgets = budgets(&[
            stage(1, None, &[1]),
            stage(5, None, &[2]),
            stage(0, Some(100), &[]),
        ]);
        let millis: Vec<i64> = budgets
            .iter()
            .map(|budget| budget.as_nanos() / 1_000_000)
            .collect();
        assert_eq!(millis, [94, 95, 100]);
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
        let millis: Vec<i64> = budgets(&stages)
            .iter()
            .map(|budget| budget.as_nanos() / 1_000_000)
            .collect();
        assert_eq!(millis, [28, 990, 30, 1000, 80]);
    }

    #[test]
    fn a_reader_on_another_host_counts_as_those_here_do() {
        let mut stages = [stage(5, None, &[1]), stage(0, Some(100), &[])];
        stages[0].pulled = Some(Slack::from(Duration::from_millis(40)));
        assert_eq!(budgets(&stages)[0], Slack::from_nanos(35_000_000));
    }

    #[test]
    fn a_target_out_of_reach_gives_a_budget_below_zero() {
        let stages = [stage(200, None, &[1]), stage(0, Some(100), &[])];
        assert_eq!(budgets(&stages)[0], Slack::from_nanos(-100_000_000));
        assert!(deadline(Instant::ZERO, budgets(&stages)[0]) < 0);
    }

    #[test]
    fn what_leads_nowhere_is_never_urgent() {
        assert_eq!(budgets(&[stage(7, None, &[])]), [Slack::MAX]);
        assert_eq!(deadline(Instant::from_nanos(9), Slack::MAX), i64::MAX);
    }
}
