//! Going on from a placement, step by step, as long as a step makes it better.
//!
//! A step gives one component, or all that have the same hosts, other hosts: one host in place of another, the hosts that
//! another component has, or the same hosts in another order. Steps are judged by the bound of unavailability
//! ([`unavailability_at_most`]), then by cost. Each must fit, so that what fitted before fits after.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::room::Room;
use super::{Placement, Request, Unplaced};
use crate::availability::unavailability_at_most;

/// How many times a component is looked at in one search, at most: the bound of its time, which is otherwise steps times
/// components. Unit: looks. Source: guess; a second for plans of hundreds of components, which then end where they are.
const LOOKS_MAX: usize = 4_000_000;

/// By how much a step must lower what it is judged by, as a fraction of that, so that no rounding makes it go in circles.
/// Source: far above the last digits of sums of floats, far below what anybody notices.
const STEP_MIN: f64 = 1e-9;

/// A search over the placements of a request.
#[derive(Debug)]
pub(super) struct Search<'a> {
    request: &'a Request,
    available: Vec<f64>,
}

/// How good a placement is; less is better.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Score {
    /// Unavailability beyond what is tolerated.
    excess: f64,
    /// Delays. Unit: seconds, weighted.
    cost: f64,
}

impl Score {
    fn is_below(self, other: Self) -> bool {
        let is_less = |one: f64, two: f64| one < two - STEP_MIN * two.abs();
        match is_less(self.excess, other.excess) {
            true => true,
            false => !is_less(other.excess, self.excess) && is_less(self.cost, other.cost),
        }
    }
}

/// Other hosts for some components.
type Step = Vec<(usize, Vec<usize>)>;

impl<'a> Search<'a> {
    pub(super) fn of(request: &'a Request) -> Self {
        Self {
            request,
            available: request.available(),
        }
    }

    /// The bound of what a placement's unavailability is.
    pub(super) fn unavailability(&self, placement: &Placement) -> f64 {
        unavailability_at_most(&placement.ranked, &self.available)
    }

    /// Which of two placements is better, the lesser one, where so much unavailability is tolerated.
    pub(super) fn compare(&self, one: &Placement, two: &Placement, tolerated: f64) -> Ordering {
        let (one, two) = (self.score(one, tolerated), self.score(two, tolerated));
        match (one.is_below(two), two.is_below(one)) {
            (true, _) => Ordering::Less,
            (_, true) => Ordering::Greater,
            _ => Ordering::Equal,
        }
    }

    fn score(&self, placement: &Placement, tolerated: f64) -> Score {
        let cost = self.request.cost(placement);
        Score {
            excess: (self.unavailability(placement) - tolerated).max(0.0),
            cost: cost.between + cost.within,
        }
    }

    /// A placement that is at least as good: whose unavailability is lower, down to what is tolerated, and whose cost is
    /// lower where that is equal.
    pub(super) fn improve(&self, mut placement: Placement, tolerated: f64) -> Placement {
        let components = self.request.components.len();
        let mut steps_left = LOOKS_MAX / components.max(1);
        let mut score = self.score(&placement, tolerated);
        let mut is_better = true;
        while is_better {
            is_better = false;
            for component in 0..components {
                let mut best: Option<(Score, Placement)> = None;
                for step in self.steps(&placement.ranked, component) {
                    if steps_left == 0 {
                        return best.map_or(placement, |(_, it)| it);
                    }
                    steps_left -= 1;
                    let mut next = placement.clone();
                    for (component, ranked) in step {
                        next.ranked[component] = ranked;
                    }
                    let reached = self.score(&next, tolerated);
                    let most = best.as_ref().map_or(score, |(score, _)| *score);
                    if reached.is_below(most) && self.request.fits(&next) {
                        best = Some((reached, next));
                    }
                }
                if let Some((reached, next)) = best {
                    (score, placement) = (reached, next);
                    is_better = true;
                }
            }
        }
        placement
    }

    /// The steps that begin at a component. Not all of them fit.
    fn steps(&self, ranked: &[Vec<usize>], component: usize) -> Vec<Step> {
        let it = &self.request.components[component];
        let own = &ranked[component];
        let first = usize::from(it.primary.is_some());
        let mut steps = Vec::new();
        // Those of the same hosts as this one; of several only the first begins their steps.
        let alike: Vec<usize> = (0..ranked.len())
            .filter(|other| ranked[*other] == *own)
            .collect();
        let leads = alike.len() > 1 && alike[0] == component;
        for rank in first..own.len() {
            for host in &it.candidates {
                if own.contains(host) {
                    continue;
                }
                let mut hosts = own.clone();
                hosts[rank] = *host;
                if leads {
                    steps.push(alike.iter().map(|it| (*it, hosts.clone())).collect());
                }
                steps.push(vec![(component, hosts)]);
            }
        }
        for rank in first + 1..own.len() {
            let mut hosts = own.clone();
            hosts.swap(first, rank);
            if leads {
                steps.push(alike.iter().map(|it| (*it, hosts.clone())).collect());
            }
            steps.push(vec![(component, hosts)]);
        }
        let others: BTreeSet<&Vec<usize>> = ranked.iter().collect();
        let others = others.into_iter().filter(|other| *other != own);
        steps.extend(others.map(|other| vec![(component, other.clone())]));
        steps
    }
}

/// A placement where a component has another host, behind all others that it has, in place of `lost`, whatever the rank
/// of that was: who was ranked behind moves up. Neither `lost` nor any of `avoided` is chosen; of the others, the one that
/// leaves the least unavailability, then the least delays.
///
/// # Errors
/// When no host has room for it.
///
/// # Panics
/// When the placement is none of the request, or the component is not ranked on `lost`.
pub fn replace(
    request: &Request,
    placement: &Placement,
    component: usize,
    lost: usize,
    avoided: &BTreeSet<usize>,
) -> Result<Placement, Unplaced> {
    let mut rest = placement.clone();
    let rank = rest.ranked[component].iter().position(|host| *host == lost);
    rest.ranked[component].remove(rank.expect("only a host that is ranked can be replaced"));
    let it = &request.components[component];
    let search = Search::of(request);
    let last = rest.ranked[component].len();
    let mut best: Option<(Score, Placement)> = None;
    // What others of the lost host take there is not asked about: only the room of the new one is.
    let mut room = Room::all(request);
    for (component, hosts) in request.components.iter().zip(&rest.ranked) {
        for (rank, host) in hosts.iter().enumerate() {
            room.take(component, rank, *host);
        }
    }
    for host in &it.candidates {
        let is_new = *host != lost && !avoided.contains(host);
        if !is_new || rest.ranked[component].contains(host) || !room.fits(it, last, *host) {
            continue;
        }
        let mut next = rest.clone();
        next.ranked[component].push(*host);
        let score = search.score(&next, 0.0);
        if best
            .as_ref()
            .is_none_or(|(least, _)| score.is_below(*least))
        {
            best = Some((score, next));
        }
    }
    let found = best.map(|(_, placement)| placement);
    found.ok_or(Unplaced::Room {
        component,
        rank: last,
    })
}
