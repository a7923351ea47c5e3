//! Who takes over where a host is suspected.
//!
//! Repair is the consumer's: whoever misses what it reads asks the next host in rank to go on with it. All who look at
//! one record and suspect the same hosts ask the same one; where they suspect different ones two may take over, which
//! the counter of the record settles later.

use std::collections::BTreeSet;

use model::NodeId;

/// What to do about a component.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the host where it runs is not suspected.
    Stay,
    /// The host at this rank is to be asked to take over.
    Activate(usize),
    /// All its hosts are suspected: it is to be composed anew.
    Recompose,
}

/// Who is to run a component that is ranked on these hosts and runs on the one at rank `active`: the next host behind
/// that one which is not suspected, and behind the last the first. Those before the active one were given up once, and
/// are asked only when nobody else is left: where they are back they hold state only once they have become backups anew.
///
/// # Panics
/// When `active` is no rank.
pub fn next(ranked: &[NodeId], active: usize, suspected: &BTreeSet<NodeId>) -> Next {
    assert!(
        active < ranked.len(),
        "rank {active} of {} hosts",
        ranked.len()
    );
    let is_up = |rank: &usize| !suspected.contains(&ranked[*rank]);
    if is_up(&active) {
        return Next::Stay;
    }
    let mut others = (active + 1..ranked.len()).chain(0..active);
    others.find(is_up).map_or(Next::Recompose, Next::Activate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u8) -> NodeId {
        NodeId([number; 32])
    }

    #[test]
    fn the_next_in_rank_is_asked_and_behind_the_last_the_first() {
        let ranked = [node(5), node(3), node(9)];
        for (active, suspected, expected) in [
            (0, &[][..], Next::Stay),
            (0, &[3, 9], Next::Stay),
            (0, &[5], Next::Activate(1)),
            (0, &[5, 3], Next::Activate(2)),
            (1, &[3], Next::Activate(2)),
            (2, &[9], Next::Activate(0)),
            (2, &[9, 5], Next::Activate(1)),
            (1, &[9, 5, 3, 7], Next::Recompose),
        ] {
            let suspected = suspected.iter().copied().map(node).collect();
            let next = next(&ranked, active, &suspected);
            assert_eq!(next, expected, "rank {active}, {suspected:?}");
        }
        assert_eq!(
            next(&[node(1)], 0, &BTreeSet::from([node(1)])),
            Next::Recompose
        );
    }
}
