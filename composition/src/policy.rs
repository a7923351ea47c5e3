//! What tells one way of composing from another: one file each.
//!
//! All of them are the same protocol. What is published as an algorithm of its own is what a policy leaves out of
//! [`Synergy`], which is what a node does unless it is told otherwise; the others are what experiments compare it with.

use std::fmt::Debug;

mod composition;
mod composition_projected;
mod exhaustive;
mod greedy;
mod random;
mod synergy;
mod synergy_paper;
mod synergy_unprojected;

pub use composition::Composition;
pub use composition_projected::CompositionProjected;
pub use exhaustive::Exhaustive;
pub use greedy::Greedy;
pub use random::Random;
pub use synergy::Synergy;
pub use synergy_paper::SynergyPaper;
pub use synergy_unprojected::SynergyUnprojected;

/// A way of composing.
pub trait Policy: Debug + Send + Sync {
    /// The word for it, in experiments and their figures.
    fn name(&self) -> &'static str;

    /// What becomes of streams that exist already.
    fn sharing(&self) -> Sharing {
        Sharing::Fallback
    }

    /// What a host asks of a newcomer for the sake of those that it serves.
    fn projection(&self) -> Projection {
        Projection::Rank
    }

    /// How probes search.
    fn search(&self) -> Search {
        Search::Probing
    }
}

/// What becomes of streams that exist already. Source: papers, section 5.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// They are not looked for.
    None,
    /// Those closest to the sinks are taken, whether or not the target can be met behind them, as published.
    Fixed,
    /// The same; where nothing meets the target behind them, shorter prefixes are, down to none.
    Fallback,
}

/// How what a newcomer does to others is projected. Source: papers, section 4; design, protocols 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Projection {
    /// Not at all.
    None,
    /// As published: `x = tau / (1 - p)`, each host for itself.
    Paper,
    /// By rank, as the scheduler runs it; what an application is charged in all is granted by its sink.
    Rank,
}

/// How probes search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Search {
    /// Some candidates of each hop, without those that others dominate where that is enough.
    Probing,
    /// All candidates, and all graphs of them. For small cases.
    All,
    /// One candidate for each operator: any. Only what it has room for is checked.
    Random,
    /// One candidate for each operator: the nearest to where its input is. Only what it has room for is checked.
    Nearest,
}

/// All policies, in the order in which experiments show them.
pub const ALL: [&dyn Policy; 8] = [
    &Random,
    &Greedy,
    &Composition,
    &CompositionProjected,
    &SynergyUnprojected,
    &SynergyPaper,
    &Synergy,
    &Exhaustive,
];

/// The policy that a word stands for.
pub fn find(name: &str) -> Option<&'static dyn Policy> {
    ALL.into_iter().find(|policy| policy.name() == name)
}
