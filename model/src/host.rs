//! What hosts say of themselves, and what a node knows of the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::convert;
use crate::entry::{ADDRESS_BYTES_MAX, ADDRESSES_MAX, Entry};
use crate::id::NodeId;
use crate::resources::Resources;

/// The dimensions of a network coordinate, its height left out.
///
/// Source: Dabek et al., Vivaldi (SIGCOMM 2004), section 5.4: two or three and a height suffice.
pub const DIMENSIONS: usize = 3;

/// Where a host is in the network: the distance of two coordinates is the delay between their hosts.
///
/// Vivaldi with height (Dabek et al., SIGCOMM 2004). Units: seconds of round trip.
#[derive(Debug, Clone, Copy, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct Coordinate {
    /// The place, in seconds.
    pub place: [f64; DIMENSIONS],
    /// The way to the core of the network, in seconds; not below zero.
    pub height: f64,
    /// How sure the host is of it: the relative error of its estimates. 1 and above is not at all.
    pub error: f64,
}

impl Coordinate {
    /// The estimated round trip between two hosts.
    pub fn round_trip(&self, other: &Self) -> Duration {
        let squares = self.place.iter().zip(&other.place);
        let distance = squares.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        convert::seconds(distance + self.height + other.height)
    }

    /// Whether it says anything: the host has measured.
    pub const fn is_known(&self) -> bool {
        self.error < 1.0
    }

    /// Whether all of it are numbers that a host can have.
    pub fn is_valid(&self) -> bool {
        let is_delay = |value: f64| value.is_finite() && value.abs() <= COORDINATE_MAX;
        self.place.iter().all(|value| is_delay(*value))
            && is_delay(self.height)
            && self.height >= 0.0
            && self.error.is_finite()
            && self.error >= 0.0
    }
}

/// The farthest that a host may be from the origin of coordinates. Unit: seconds. Source: guess; a satellite
/// hop is below one.
const COORDINATE_MAX: f64 = 60.0;

/// How loaded a host is, as an interval that is told again only when the load leaves it.
///
/// Interval n covers loads from `n * 0.075` to `n * 0.075 + 0.10`: a width of 0.10, overlapping by a quarter
/// of it, so that a load at a border does not flap. Source: design, Synergy slides 28.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Default,
    bincode::Encode,
    bincode::Decode,
)]
pub struct LoadInterval(pub u8);

impl LoadInterval {
    /// How wide an interval is. Unit: part of what a host offers. Source: papers, section 8.1.
    pub const WIDTH: f64 = 0.10;
    /// What part of an interval the next one covers as well. Source: as above.
    pub const OVERLAP: f64 = 0.25;

    /// The interval that is told for a load after this one was: itself as long as the load lies in it.
    #[must_use]
    pub fn moved_to(self, load: f64) -> Self {
        self.moved_within(load, Self::WIDTH, Self::OVERLAP)
    }

    /// The same of intervals of another width, of which the next one covers the part `overlap`: 0 to below 1.
    #[must_use]
    pub fn moved_within(self, load: f64, width: f64, overlap: f64) -> Self {
        let step = width * (1.0 - overlap);
        let low = f64::from(self.0) * step;
        if load >= low && load <= low + width {
            return self;
        }
        let number = convert::round((load.clamp(0.0, 4.0) - width / 2.0) / step).max(0);
        Self(u8::try_from(number).unwrap_or(u8::MAX))
    }

    /// The middle of the interval: a fraction of the host's processors, above 1 where work piles up.
    pub fn middle(self) -> f64 {
        f64::from(self.0) * Self::WIDTH * (1.0 - Self::OVERLAP) + Self::WIDTH / 2.0
    }
}

/// How many labels a host may have, how many kinds of operators it may name, and how long each word of these
/// and its name may be. Units: labels, kinds, bytes. Source: guess; a summary stays below 8 KiB.
pub const LABELS_MAX: usize = 16;
/// See [`LABELS_MAX`].
pub const OPERATORS_MAX: usize = 64;
/// See [`LABELS_MAX`].
pub const WORD_BYTES_MAX: usize = 64;

/// What a host says of itself. Travels on the overlay's ping.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub struct HostSummary {
    /// Which host.
    pub node: NodeId,
    /// What people call it: at most 64 bytes.
    pub name: String,
    /// Where it is reached.
    pub addresses: Vec<String>,
    /// Where it is in the network.
    pub coordinate: Coordinate,
    /// How loaded it is.
    pub load: LoadInterval,
    /// What it offers to others, in all.
    pub capacity: Resources,
    /// What people say of where it is and what it is for: at most 16 labels.
    pub labels: BTreeMap<String, String>,
    /// Which kinds of operators it runs for others; nothing for all of them.
    pub operators: Option<Vec<String>>,
    /// Grows with each change and each start.
    pub version: u64,
}

impl HostSummary {
    /// The first that a host says which offers nothing, and of which no more is known than its name.
    pub fn new(node: NodeId, name: impl Into<String>) -> Self {
        Self {
            node,
            name: name.into(),
            addresses: Vec::new(),
            coordinate: Coordinate::default(),
            load: LoadInterval::default(),
            capacity: Resources::default(),
            labels: BTreeMap::new(),
            operators: None,
            version: 1,
        }
    }

    /// Whether it keeps the limits of a summary. One that was decoded does.
    ///
    /// # Errors
    /// The limit that it breaks.
    pub fn check(&self) -> Result<(), &'static str> {
        let is_long = |word: &String| word.len() > WORD_BYTES_MAX;
        let is_amount = |amount: f64| amount.is_finite() && amount >= 0.0;
        let has_long_label = |(label, value): (&String, &String)| is_long(label) || is_long(value);
        if is_long(&self.name) {
            return Err("a host of too long a name");
        }
        if self.addresses.len() > ADDRESSES_MAX
            || self
                .addresses
                .iter()
                .any(|address| address.len() > ADDRESS_BYTES_MAX)
        {
            return Err("a host of too many or too long addresses");
        }
        if !self.coordinate.is_valid() {
            return Err("a host from nowhere");
        }
        if !is_amount(self.capacity.cpu_cores) || !is_amount(self.capacity.uplink_bytes_per_second)
        {
            return Err("a host of an impossible capacity");
        }
        if self.labels.len() > LABELS_MAX || self.labels.iter().any(has_long_label) {
            return Err("a host of too many or too long labels");
        }
        match &self.operators {
            Some(kinds) if kinds.len() > OPERATORS_MAX || kinds.iter().any(is_long) => {
                Err("a host of too many or too long kinds of operators")
            }
            _ => Ok(()),
        }
    }
}

impl<Context> bincode::Decode<Context> for HostSummary {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let summary = Self {
            node: bincode::Decode::decode(decoder)?,
            name: bincode::Decode::decode(decoder)?,
            addresses: bincode::Decode::decode(decoder)?,
            coordinate: bincode::Decode::decode(decoder)?,
            load: bincode::Decode::decode(decoder)?,
            capacity: bincode::Decode::decode(decoder)?,
            labels: bincode::Decode::decode(decoder)?,
            operators: bincode::Decode::decode(decoder)?,
            version: bincode::Decode::decode(decoder)?,
        };
        summary
            .check()
            .map_err(bincode::error::DecodeError::Other)?;
        Ok(summary)
    }
}
bincode::impl_borrow_decode!(HostSummary);

/// What a node knows of the network when it decides: handed to its machines with every input.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeView {
    /// Itself, as it last said.
    pub host: HostSummary,
    /// Processor time in use now for what it has not reserved: background load. Unit: cores.
    pub busy_cores: f64,
    /// The others that it knows, fresh ones only, in order of their ids.
    pub hosts: BTreeMap<NodeId, Arc<HostSummary>>,
    /// Round trips that were measured to some of them.
    pub round_trips: BTreeMap<NodeId, Duration>,
}

impl NodeView {
    /// The view of a node that knows nobody.
    pub const fn alone(host: HostSummary) -> Self {
        Self {
            host,
            busy_cores: 0.0,
            hosts: BTreeMap::new(),
            round_trips: BTreeMap::new(),
        }
    }

    /// The node itself.
    pub const fn node(&self) -> NodeId {
        self.host.node
    }

    /// What a host said of itself, this one included.
    pub fn find(&self, node: NodeId) -> Option<&HostSummary> {
        if node == self.host.node {
            Some(&self.host)
        } else {
            self.hosts.get(&node).map(|host| &**host)
        }
    }

    /// The delay from `from` to `to`, one way: half of the measured round trip where one end is this node, else
    /// half of what their coordinates say; nothing is known of strangers.
    pub fn delay(&self, from: NodeId, to: NodeId) -> Option<Duration> {
        if from == to {
            return Some(Duration::ZERO);
        }
        let other = if from == self.node() { to } else { from };
        if (from == self.node() || to == self.node())
            && let Some(round_trip) = self.round_trips.get(&other)
        {
            return Some(*round_trip / 2);
        }
        let round_trip = self
            .find(from)?
            .coordinate
            .round_trip(&self.find(to)?.coordinate);
        Some(round_trip / 2)
    }

    /// To how many of the hosts that it knows the delay is known: measured, or by the coordinates of both.
    pub fn delays_known(&self) -> usize {
        let is_placed = self.host.coordinate.is_known();
        let is_known = |(node, host): &(&NodeId, &Arc<HostSummary>)| {
            self.round_trips.contains_key(*node) || is_placed && host.coordinate.is_known()
        };
        self.hosts.iter().filter(is_known).count()
    }

    /// The delay to who registered an entry, one way, as its coordinate says.
    pub fn delay_to_owner(&self, entry: &Entry) -> Duration {
        self.host.coordinate.round_trip(&entry.coordinate) / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_at_a_border_does_not_flap() {
        let first = LoadInterval::default().moved_to(0.5);
        assert!((first.middle() - 0.5).abs() <= 0.05, "{}", first.middle());
        for load in [0.48, 0.52, first.middle() + 0.049] {
            assert_eq!(first.moved_to(load), first, "{load}");
        }
        assert_ne!(first.moved_to(0.7), first);
        assert_eq!(first.moved_to(0.0), LoadInterval(0));
        assert!(first.moved_to(f64::MAX).middle() > 3.5);
    }

    #[test]
    fn delays_are_known_that_are_measured_or_between_hosts_that_have_measured() {
        let host = |number: u8, error: f64| HostSummary {
            node: NodeId([number; 32]),
            name: String::new(),
            addresses: Vec::new(),
            coordinate: Coordinate {
                error,
                ..Coordinate::default()
            },
            load: LoadInterval::default(),
            capacity: Resources::default(),
            labels: BTreeMap::new(),
            operators: None,
            version: 1,
        };
        let mut view = NodeView::alone(host(0, 1.0));
        for (number, error) in [(1, 0.5), (2, 1.0), (3, 1.0)] {
            let host = host(number, error);
            view.hosts.insert(host.node, Arc::new(host));
        }
        let millisecond = Duration::from_millis(1);
        view.round_trips.insert(NodeId([2; 32]), millisecond);
        assert_eq!(view.delays_known(), 1);
        view.host.coordinate.error = 0.9;
        assert_eq!(view.delays_known(), 2);
    }

    #[test]
    fn coordinates_give_round_trips_and_heights_add_up() {
        let here = Coordinate {
            place: [0.003, 0.0, 0.0],
            height: 0.001,
            error: 0.1,
        };
        let there = Coordinate {
            place: [0.0, 0.004, 0.0],
            height: 0.002,
            error: 0.1,
        };
        let round_trip = here.round_trip(&there);
        assert!((round_trip.as_secs_f64() - 0.008).abs() < 1e-9);
        assert_eq!(round_trip, there.round_trip(&here));
        assert!(here.is_valid());
        let bad = Coordinate {
            height: f64::NAN,
            ..here
        };
        assert!(!bad.is_valid());
    }
}
