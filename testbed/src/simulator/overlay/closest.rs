//! Who is closest to a place, of many.

use overlay::distance::Place;

/// All nodes in order of their places.
#[derive(Debug, Default)]
pub(super) struct Ring {
    nodes: Vec<(Place, usize)>,
}

impl Ring {
    pub(super) fn insert(&mut self, place: Place, node: usize) {
        let at = self.nodes.partition_point(|there| *there < (place, node));
        self.nodes.insert(at, (place, node));
    }

    /// The closest to a place that are meant, the closest first.
    ///
    /// Nodes that agree with the place in more of their first bits are closer than all that agree in fewer, and lie side by side: halves are
    /// looked at from the one with the place on, until there are enough.
    pub(super) fn closest(
        &self,
        to: &Place,
        count: usize,
        is_meant: impl Fn(usize) -> bool,
    ) -> Vec<usize> {
        let mut found = Vec::with_capacity(count);
        descend(&self.nodes, 0, to, count, &is_meant, &mut found);
        found
    }
}

fn descend(
    nodes: &[(Place, usize)],
    bit: usize,
    to: &Place,
    count: usize,
    is_meant: &impl Fn(usize) -> bool,
    found: &mut Vec<usize>,
) {
    if found.len() >= count || nodes.is_empty() {
        return;
    }
    // So few are sorted faster than divided.
    if nodes.len() <= 8 || bit == Place::BITS {
        let mut few: Vec<_> = nodes
            .iter()
            .map(|(place, node)| (to.distance(place), *node))
            .collect();
        few.sort_unstable();
        let meant = few
            .into_iter()
            .map(|(_, node)| node)
            .filter(|it| is_meant(*it));
        found.extend(meant.take(count - found.len()));
        return;
    }
    let (zeros, ones) = nodes.split_at(nodes.partition_point(|(place, _)| !place.bit(bit)));
    let halves = if to.bit(bit) {
        [ones, zeros]
    } else {
        [zeros, ones]
    };
    for half in halves {
        descend(half, bit + 1, to, count, is_meant, found);
    }
}

#[cfg(test)]
mod tests {
    use model::{Key, NodeId, Rng};

    use super::*;

    #[test]
    fn the_closest_are_those_that_sorting_all_gives() {
        let mut rng = Rng::from_seed(1);
        let mut ring = Ring::default();
        let mut places = Vec::new();
        for node in 0..500 {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&rng.bits().to_le_bytes());
            let place = Place::of_node(NodeId(id));
            ring.insert(place, node);
            places.push(place);
        }
        for n in 0..50 {
            let to = Place::of_key(Key::published(&format!("key {n}")));
            let is_meant = |node: usize| !node.is_multiple_of(3);
            let mut all: Vec<usize> = (0..500).filter(|node| is_meant(*node)).collect();
            all.sort_by_key(|node| to.distance(&places[*node]));
            assert_eq!(ring.closest(&to, 7, is_meant), all[..7]);
        }
        assert_eq!(ring.closest(&places[0], 9999, |_| true).len(), 500);
    }
}
