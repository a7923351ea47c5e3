//! Every placement there is, for small cases that others are measured by.

use std::cmp::Ordering;

use model::Rng;

use super::room::Room;
use super::{Placement, Policy, Request, Unplaced};
use crate::availability::availability;

/// How many placements are looked at, at most. Unit: placements. Source: guess; some seconds.
const PLACEMENTS_MAX: u64 = 2_000_000;

/// What two availabilities may differ by and count as equal: sums of the same probabilities in another order. Source: of
/// floats, whose last digit is below this.
const EQUAL: f64 = 1e-12;

/// The greatest availability of all placements, and of these the least cost.
#[derive(Debug, Clone, Copy)]
pub struct Exhaustive;

impl Policy for Exhaustive {
    fn name(&self) -> &'static str {
        "exhaustive"
    }

    fn place(&self, request: &Request, rng: &mut Rng) -> Result<Placement, Unplaced> {
        let mut trials = Trials {
            request,
            available: request.available(),
            best: None,
            seen: 0,
            deepest: (0, 0),
            rng,
        };
        for (component, it) in request.components.iter().enumerate() {
            it.check(component)?;
        }
        let mut ranked = vec![Vec::new(); request.components.len()];
        trials.next(&mut ranked, 0, &mut Room::all(request));
        match trials.best {
            _ if trials.seen > PLACEMENTS_MAX => Err(Unplaced::Many(PLACEMENTS_MAX)),
            Some((_, _, placement)) => Ok(placement),
            None => Err(Unplaced::Room {
                component: trials.deepest.0,
                rank: trials.deepest.1,
            }),
        }
    }
}

struct Trials<'a> {
    request: &'a Request,
    available: Vec<f64>,
    /// The availability and the cost of the best placement up to now.
    best: Option<(f64, f64, Placement)>,
    seen: u64,
    /// How far any placement came: a component, and its rank.
    deepest: (usize, usize),
    rng: &'a mut Rng,
}

impl Trials<'_> {
    /// All placements that begin with these hosts, `component` being the first that lacks some.
    fn next(&mut self, ranked: &mut [Vec<usize>], component: usize, room: &mut Room) {
        if self.seen > PLACEMENTS_MAX {
            return;
        }
        let Some(it) = self.request.components.get(component) else {
            self.seen += 1;
            self.judge(ranked);
            return;
        };
        let rank = ranked[component].len();
        self.deepest = self.deepest.max((component, rank));
        if rank == it.ranks {
            self.next(ranked, component + 1, room);
            return;
        }
        let hosts = match it.primary.filter(|_| rank == 0) {
            Some(primary) => vec![primary],
            None => it.candidates.clone(),
        };
        for host in hosts {
            if !it.can_be(host, rank) || ranked[component].contains(&host) {
                continue;
            }
            if room.take(it, rank, host) {
                ranked[component].push(host);
                self.next(ranked, component, room);
                ranked[component].pop();
                room.give(it, rank, host);
            }
        }
    }

    fn judge(&mut self, ranked: &[Vec<usize>]) {
        let available = availability(ranked, &self.available, self.rng).value;
        let placement = Placement {
            ranked: ranked.to_vec(),
        };
        let cost = self.request.cost(&placement);
        let cost = cost.between + cost.within;
        let is_better = self.best.as_ref().is_none_or(|(most, least, _)| {
            match (available - most).abs() <= EQUAL {
                true => cost.total_cmp(least) == Ordering::Less,
                false => available > *most,
            }
        });
        if is_better {
            self.best = Some((available, cost, placement));
        }
    }
}
