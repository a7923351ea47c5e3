//! Where hosts are in the network, as production's Vivaldi finds it after it has run for a while.

use model::{Coordinate, Rng, convert};
use overlay::coordinate;

use crate::topology::Topology;

/// How often each host measures. Source: guess; 64 rounds of the neighbors that production pings take two hours, and the
/// median error hardly falls after half of that.
const ROUNDS: usize = 64;

/// With how many hosts a host measures in all: half of them drawn at first and kept, as production keeps neighbors.
const PEERS: u64 = 16;

/// The coordinates of all hosts.
pub(crate) fn settled(topology: &dyn Topology, rng: &mut Rng) -> Vec<Coordinate> {
    let count = topology.host_count();
    let mut coordinates = vec![coordinate::unknown(); count];
    if count < 2 {
        return coordinates;
    }
    let draw = |rng: &mut Rng| convert::index(rng.below(convert::size(count)));
    let peers: Vec<Vec<usize>> = (0..count)
        .map(|_| (0..PEERS).map(|_| draw(rng)).collect())
        .collect();
    for round in 0..ROUNDS {
        for host in 0..count {
            let peer = match round % 2 {
                0 => peers[host][round / 2 % peers[host].len()],
                _ => draw(rng),
            };
            if peer == host {
                continue;
            }
            let round_trip = topology.delay(host, peer) + topology.delay(peer, host);
            coordinates[host] =
                coordinate::update(&coordinates[host], &coordinates[peer], round_trip, rng);
        }
    }
    coordinates
}
