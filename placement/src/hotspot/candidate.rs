//! The hosts that could run a component, and which of them would be best.

use std::time::Duration;

use model::{LoadInterval, NodeId, Slack, convert};

use super::{HotSpot, Kind, LOAD_CALM};

/// How many hosts are asked at most. Source: design, papers section 8.6.
const TARGETS_MAX: usize = 3;

/// By how much less a target must have to do, with what it gets, than this host has now: what moved would else have reason to come back.
/// Unit: part of what a host offers. Source: guess, half an interval of load.
const LOAD_GAIN_MIN: f64 = 0.05;

/// How much more slack a component must have elsewhere, as a part of its execution time there. Source: guess; predictions are off by as much.
const SLACK_GAIN_MIN: f64 = 0.1;

/// The greatest load at which an execution time is estimated: beyond it, it has no bound. Source: as composition's projection.
const LOAD_MAX: f64 = 0.99;

/// A host that could run a component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// Which one.
    pub node: NodeId,
    /// What it reports of its load.
    pub load: LoadInterval,
    /// What the component is there, where it is 1 here: hosts offer different amounts.
    pub load_ratio: f64,
    /// By how much the ways to it and from it are shorter than to and from here, one way each; negative where they are longer.
    pub way_gain: Slack,
}

/// What would be if a component ran on a host.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranked {
    /// Which one.
    pub node: NodeId,
    /// What it reports of its load.
    pub load: LoadInterval,
    /// Its load with the component. Unit: part of what it offers.
    pub load_after: f64,
    /// How long batches would be at the component.
    pub execution: Duration,
    /// What slack it would have.
    pub slack: Slack,
}

/// The hosts that would be calm with a component and have less to do than its host has now, and on which its target is met: by reported load
/// interval, then by projected slack, then by id; so many of them as are asked. Where its own target is the reason, it must also have more
/// slack there than here.
///
/// As published (papers, section 4.1, E1), of a host's load `p` with the component:
///
/// ```text
/// execution = idle execution / (1 - p);  slack = slack here + execution here - execution + what the ways are shorter
/// ```
pub(super) fn rank(hot_spot: &HotSpot, candidates: &[Candidate]) -> Vec<Ranked> {
    let component = &hot_spot.component;
    let here = component.predicted_slack;
    let idle = component.idle_execution.as_secs_f64();
    let of = |candidate: &Candidate| {
        let load_after = candidate.load.middle() + component.load_fraction * candidate.load_ratio;
        let execution = convert::seconds(idle / (1.0 - load_after.min(LOAD_MAX)));
        let gained = plus(candidate.way_gain, component.predicted_execution.into());
        Ranked {
            node: candidate.node,
            load: candidate.load,
            load_after,
            execution,
            slack: plus(here, gained).less(execution),
        }
    };
    let is_gain = |it: &Ranked| {
        let least = plus(here, it.execution.mul_f64(SLACK_GAIN_MIN).into());
        let is_better = hot_spot.kind != Kind::Application || it.slack >= least;
        let is_calm = it.load_after < LOAD_CALM;
        let is_lower = it.load_after <= hot_spot.load - LOAD_GAIN_MIN;
        // Where it did not meet its target, it would move again.
        is_calm && is_lower && is_better && it.slack >= Slack::default()
    };
    let mut ranked: Vec<Ranked> = candidates.iter().map(of).filter(is_gain).collect();
    ranked.sort_by(|a, b| {
        let by_load = a.load.cmp(&b.load);
        by_load
            .then(b.slack.cmp(&a.slack))
            .then(a.node.cmp(&b.node))
    });
    ranked.truncate(TARGETS_MAX);
    ranked
}

/// The load of this host without the component.
pub(super) fn load_without(hot_spot: &HotSpot) -> f64 {
    (hot_spot.load - hot_spot.component.load_fraction).max(0.0)
}

/// A slack and so much more; without end where there is no target.
fn plus(slack: Slack, gained: Slack) -> Slack {
    match slack == Slack::MAX {
        true => slack,
        // Below what stands for no target at all.
        false => {
            let sum = slack.as_nanos().saturating_add(gained.as_nanos());
            Slack::from_nanos(sum.min(Slack::MAX.as_nanos() - 1))
        }
    }
}
