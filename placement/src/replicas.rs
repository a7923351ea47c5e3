//! On which hosts each component is ranked: the first runs it, the others take over in their order.
//!
//! What is wanted first is that the *whole* application is up ([`crate::availability`]), then that it is fast: the
//! delays between primaries, which every row takes, and from primaries to backups, which state takes. Delays come from
//! coordinates, which hosts tell of themselves, and not from a round of measurements.
//!
//! ```text
//! max A(placement), then min  sum over links (i, j) of delay(P_i, P_j) w_ij  +  sum over i, r >= 2 of delay(P_i, B_ir) u_i
//! with  what is asked of a host <= what it has left,  and all hosts of a component different ones that can run it
//! ```
//!
//! Source: papers, section 9.3. Start at [`Request`]; a [`Policy`] makes a [`Placement`] of it; [`replace`] finds another
//! host for one that is lost.

use std::collections::BTreeSet;
use std::fmt::Debug;

use model::{Coordinate, NodeId, Resources, Rng, convert};

mod closest;
mod concentrate;
mod concentrate_paper;
mod exhaustive;
mod greedy;
mod least_loaded;
mod random;
mod room;
mod search;
#[cfg(test)]
mod tests;

pub use closest::Closest;
pub use concentrate::Concentrate;
pub use concentrate_paper::ConcentratePaper;
pub use exhaustive::Exhaustive;
pub use least_loaded::LeastLoaded;
pub use random::Random;
pub use search::replace;

/// Which part of what a host offers may be taken. Range: 0..=1. Source: papers, section 9.3.
const USABLE: f64 = 0.95;

/// What is to be placed, and where it can be.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The hosts that are known. Where two are as good as each other, the first is taken.
    pub hosts: Vec<Host>,
    /// The components, each behind all that it reads.
    pub components: Vec<Component>,
    /// Who is near whom for good reason.
    pub links: Vec<Link>,
}

/// A host that components can be placed on.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// Which host.
    pub node: NodeId,
    /// What may be taken of it; [`usable`] says how much that is.
    pub room: Resources,
    /// Where it is in the network.
    pub coordinate: Coordinate,
    /// The probability that it is up. Range: 0..=1.
    pub available: f64,
}

/// What may be taken of a host that offers `capacity`, of which `background` is in use: 95 % of it, less that.
pub fn usable(capacity: &Resources, background: &Resources) -> Resources {
    let memory = convert::count_to_f64(capacity.memory_bytes) * USABLE;
    let usable = Resources {
        cpu_cores: capacity.cpu_cores * USABLE,
        memory_bytes: u64::try_from(convert::round(memory)).unwrap_or(0),
        uplink_bytes_per_second: capacity.uplink_bytes_per_second * USABLE,
    };
    usable - *background
}

/// A part of an application that is to have ranked hosts: an operator, or a sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// What it asks of the host where it runs.
    pub active: Resources,
    /// What it asks of each host that is ranked behind: for stateful ones the memory of the state, and whatever is to
    /// be held ready to take over.
    pub standby: Resources,
    /// What the host where it runs sends to each backup: changes of state. Zero for stateless ones, whose ranked hosts
    /// behind the first hold nothing. Unit: bytes per second.
    pub state_bytes_per_second: f64,
    /// How many hosts it is ranked on, the one where it runs included. At least 1.
    pub ranks: usize,
    /// Which hosts can run it, ascending: those that offer its kind and have its labels.
    pub candidates: Vec<usize>,
    /// The host where it runs, where that is decided already; it is not asked whether it has room.
    pub primary: Option<usize>,
    /// What the delay from the primary to a backup costs. Unit: as the weight of links.
    pub weight: f64,
}

/// A stream between two components, or between one and a host that is given: that of a source or a sink.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Link {
    /// Who sends.
    pub from: End,
    /// Who receives.
    pub to: End,
    /// What the delay between them costs: bytes per second, or 1 for delays alone.
    pub weight: f64,
}

/// An end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// A component, by its index.
    Component(usize),
    /// A host, by its index.
    Host(usize),
}

/// The ranked hosts of each component, by their indices: the first runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// In the order of the request's components; each host at most once in each.
    pub ranked: Vec<Vec<usize>>,
}

/// What a placement costs: delays one way, each times its weight.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Cost {
    /// Between hosts where components run. Unit: seconds, weighted.
    pub between: f64,
    /// From hosts where components run to those that are ranked behind. Unit: seconds, weighted.
    pub within: f64,
}

/// No host with room is left for a component. Nothing was placed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unplaced {
    /// It is to have more hosts than can run it.
    #[error("component {component} is to have {ranks} hosts, and {candidates} can run it")]
    Candidates {
        /// Which component, by its index.
        component: usize,
        /// How many hosts it is to have.
        ranks: usize,
        /// How many can run it.
        candidates: usize,
    },
    /// Those that can run it have no room for it.
    #[error("no host with room is left for component {component} at rank {rank}")]
    Room {
        /// Which component, by its index.
        component: usize,
        /// Its rank there: 0 is where it runs.
        rank: usize,
    },
    /// There are more placements than can be looked at.
    #[error("more than {0} placements are to be looked at")]
    Many(u64),
}

/// A way of placing.
pub trait Policy: Debug + Send + Sync {
    /// The word for it, in experiments and their figures.
    fn name(&self) -> &'static str;

    /// The ranked hosts of every component.
    ///
    /// # Errors
    /// When there is no host for a component, or none that this way finds.
    fn place(&self, request: &Request, rng: &mut Rng) -> Result<Placement, Unplaced>;
}

/// All policies, in the order in which experiments show them.
pub const ALL: [&dyn Policy; 6] = [
    &Random,
    &LeastLoaded,
    &Closest,
    &ConcentratePaper,
    &Concentrate {
        tolerance: concentrate::TOLERANCE,
    },
    &Exhaustive,
];

/// The policy that a word stands for.
pub fn find(name: &str) -> Option<&'static dyn Policy> {
    ALL.into_iter().find(|policy| policy.name() == name)
}

impl Request {
    /// The delay from one host to another, one way, as their coordinates say. Unit: seconds.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn delay(&self, from: usize, to: usize) -> f64 {
        if from == to {
            return 0.0;
        }
        let coordinate = |host: usize| &self.hosts[host].coordinate;
        coordinate(from).round_trip(coordinate(to)).as_secs_f64() / 2.0
    }

    /// What a placement costs.
    ///
    /// # Panics
    /// When it is none of this request.
    pub fn cost(&self, placement: &Placement) -> Cost {
        self.cost_by(placement, |from, to| self.delay(from, to))
    }

    /// The same, with delays that are known otherwise: from one host to another, one way, in seconds.
    ///
    /// # Panics
    /// When it is no placement of this request.
    pub fn cost_by(&self, placement: &Placement, delay: impl Fn(usize, usize) -> f64) -> Cost {
        let host = |end: End| match end {
            End::Component(component) => placement.ranked[component][0],
            End::Host(host) => host,
        };
        let between = |link: &Link| link.weight * delay(host(link.from), host(link.to));
        let within = |(component, ranked): (&Component, &Vec<usize>)| {
            let backups = ranked[1..].iter().map(|backup| delay(ranked[0], *backup));
            component.weight * backups.sum::<f64>()
        };
        Cost {
            between: self.links.iter().map(between).sum(),
            within: self
                .components
                .iter()
                .zip(&placement.ranked)
                .map(within)
                .sum(),
        }
    }

    /// How likely each host is up, in their order.
    pub fn available(&self) -> Vec<f64> {
        self.hosts.iter().map(|host| host.available).collect()
    }

    /// Whether a placement has what is asked for: as many hosts as ranks, different ones that can run the component,
    /// and room on each.
    pub fn fits(&self, placement: &Placement) -> bool {
        let is_ranked = |(component, ranked): (&Component, &Vec<usize>)| {
            let once: BTreeSet<usize> = ranked.iter().copied().collect();
            let mut chosen = ranked.iter().enumerate();
            once.len() == component.ranks
                && ranked.len() == component.ranks
                && chosen.all(|(rank, host)| component.can_be(*host, rank))
        };
        placement.ranked.len() == self.components.len()
            && self.components.iter().zip(&placement.ranked).all(is_ranked)
            && room::Room::of(self, &placement.ranked).is_some()
    }

    /// The nodes of a placement.
    ///
    /// # Panics
    /// When it is none of this request.
    pub fn nodes(&self, placement: &Placement) -> Vec<Vec<NodeId>> {
        let node = |host: &usize| self.hosts[*host].node;
        let ranked = placement.ranked.iter();
        ranked
            .map(|hosts| hosts.iter().map(node).collect())
            .collect()
    }
}

impl Component {
    /// What it asks of a host at a rank. What is sent to backups counts where it runs.
    fn asks(&self, rank: usize) -> Resources {
        if rank > 0 {
            return self.standby;
        }
        let backups = convert::count_to_f64(convert::size(self.ranks.saturating_sub(1)));
        let state = Resources {
            uplink_bytes_per_second: self.state_bytes_per_second * backups,
            ..Resources::default()
        };
        self.active + state
    }

    /// Whether a host may be at a rank, room aside.
    fn can_be(&self, host: usize, rank: usize) -> bool {
        match self.primary {
            Some(primary) if rank == 0 => host == primary,
            Some(primary) if host == primary => false,
            _ => self.candidates.binary_search(&host).is_ok(),
        }
    }
}
