//! Who knows whom: of each host a bounded sample of the others, as production's members keep it.

use std::collections::BTreeSet;

use model::{Coordinate, Rng, convert};
use overlay::{KNOWN_MAX, NEIGHBORS_MAX};

/// Among how many hosts, drawn at random, the near ones are looked for. Source: guess; gossip tells a host of some thousands
/// in an hour.
const LOOKED_AT: u64 = 1024;

/// Of those that are known, how many are the nearest; the others are random. Source: production keeps as many for that.
const NEAR: usize = KNOWN_MAX / 2;

/// Who knows whom.
#[derive(Debug)]
pub(super) struct Acquaintances {
    known: Vec<Vec<usize>>,
    knowers: Vec<Vec<usize>>,
}

impl Acquaintances {
    /// Everybody, where they are few; else the nearest of some and others.
    pub(super) fn of(coordinates: &[Coordinate], rng: &mut Rng) -> Self {
        let count = coordinates.len();
        let known: Vec<Vec<usize>> = (0..count)
            .map(|host| match count <= KNOWN_MAX + 1 {
                true => (0..count).filter(|other| *other != host).collect(),
                false => sample(host, coordinates, rng),
            })
            .collect();
        let mut knowers = vec![Vec::new(); count];
        for (host, known) in known.iter().enumerate() {
            for other in known {
                knowers[*other].push(host);
            }
        }
        for knowers in &mut knowers {
            knowers.shrink_to_fit();
        }
        Self { known, knowers }
    }

    /// Whom a host knows.
    pub(super) fn known(&self, host: usize) -> &[usize] {
        &self.known[host]
    }

    /// Who knows a host.
    pub(super) fn knowers(&self, host: usize) -> &[usize] {
        &self.knowers[host]
    }

    /// Those whose round trip a host measures all the time.
    pub(super) fn neighbors(&self, host: usize) -> &[usize] {
        let known = &self.known[host];
        &known[..known.len().min(NEIGHBORS_MAX)]
    }
}

fn sample(host: usize, coordinates: &[Coordinate], rng: &mut Rng) -> Vec<usize> {
    let count = convert::size(coordinates.len());
    let drawn: BTreeSet<usize> = (0..LOOKED_AT.min(2 * count))
        .map(|_| convert::index(rng.below(count)))
        .filter(|other| *other != host)
        .collect();
    let mut near: Vec<_> = drawn
        .into_iter()
        .map(|other| (coordinates[host].round_trip(&coordinates[other]), other))
        .collect();
    near.sort_unstable();
    // In room of its own: all that was looked at would else be kept for each host.
    let mut known: Vec<usize> = Vec::with_capacity(KNOWN_MAX);
    known.extend(near.iter().take(NEAR).map(|(_, it)| *it));
    let mut is_known: BTreeSet<usize> = known.iter().copied().chain([host]).collect();
    // Three draws for a place: nobody waits for the last of a few.
    for _ in 0..3 * KNOWN_MAX {
        if known.len() == KNOWN_MAX {
            break;
        }
        let other = convert::index(rng.below(count));
        if is_known.insert(other) {
            known.push(other);
        }
    }
    known
}
