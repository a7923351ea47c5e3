//! Ours: the published placement, and a search that goes on from there.
//!
//! What is published knows which hosts are used, and not how likely they are up: a pair of good hosts for each component
//! is better than one pair of bad ones for all. The search starts from both, the published placement and the most
//! available hosts of each component, and goes on as long as one step improves it (`search.rs`). First it seeks the least
//! unavailability; then the least delays, as long as that stays within a tolerance of the least.

use model::Rng;

use super::greedy::{self, least};
use super::search::Search;
use super::{ConcentratePaper, Placement, Policy, Request, Unplaced};

/// By how much unavailability may exceed the least that was found, for the sake of delays. Unit: fraction of that least.
/// Range: 0 and above; 0 is strictly availability first. Source: `testbed/results/replicas.md`; from there on delays fall slowly.
pub(super) const TOLERANCE: f64 = 1.0;

/// The least unavailability that a search finds, then the least delays.
#[derive(Debug, Clone, Copy)]
pub struct Concentrate {
    /// By how much unavailability may exceed the least that was found, as a fraction of that. Range: 0 and above.
    pub tolerance: f64,
}

impl Default for Concentrate {
    fn default() -> Self {
        Self {
            tolerance: TOLERANCE,
        }
    }
}

impl Policy for Concentrate {
    fn name(&self) -> &'static str {
        "concentrate"
    }

    fn place(&self, request: &Request, rng: &mut Rng) -> Result<Placement, Unplaced> {
        let published = ConcentratePaper.place(request, rng);
        let most_available = greedy::place(request, |_, _, _, hosts| {
            least(hosts, |host| -request.hosts[host].available)
        });
        let starts: Vec<Placement> = [published.clone(), most_available]
            .into_iter()
            .flatten()
            .collect();
        let search = Search::of(request);
        let available = starts.iter().map(|it| search.improve(it.clone(), 0.0));
        let available = available.min_by(|one, two| search.compare(one, two, 0.0));
        let Some(available) = available else {
            // Neither start fits; both say why.
            return published;
        };
        let most = search.unavailability(&available) * (1.0 + self.tolerance);
        let starts = starts.into_iter().chain([available]);
        let near = starts.map(|it| search.improve(it, most));
        let near = near.min_by(|one, two| search.compare(one, two, most));
        near.map_or(published, Ok)
    }
}
