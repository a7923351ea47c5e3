//! A small network for cases of the swarm: hosts on a plane, and a way to each of them.

use std::time::Duration;

use model::{Rng, convert};

use crate::topology::Topology;

/// Hosts on a plane: the delay between two is the distance, and what each has to the next router.
#[derive(Debug)]
pub struct Plane {
    hosts: Vec<(f64, f64, f64)>,
}

impl Plane {
    /// So many hosts, at most so far apart on each side.
    pub fn draw(count: usize, side: Duration, rng: &mut Rng) -> Self {
        let side = side.as_secs_f64();
        let hosts = (0..count).map(|_| {
            let last = 0.000_1 + 0.002 * rng.fraction();
            (side * rng.fraction(), side * rng.fraction(), last)
        });
        Self {
            hosts: hosts.collect(),
        }
    }
}

impl Topology for Plane {
    fn host_count(&self) -> usize {
        self.hosts.len()
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        if from == to {
            return Duration::ZERO;
        }
        let ((x, y, last), (other_x, other_y, other_last)) = (self.hosts[from], self.hosts[to]);
        let apart = (x - other_x).hypot(y - other_y);
        convert::seconds(apart + last + other_last)
    }
}
