use proptest::prelude::*;

use super::*;

#[test]
fn operators_get_a_host_each_as_far_as_there_are_enough() {
    let hosts = |numbers: &[u8]| numbers.iter().map(|it| NodeId([*it; 32])).collect();
    // The first takes what the second needs unless it is moved.
    let eligible: Vec<Vec<NodeId>> = vec![hosts(&[1, 2]), hosts(&[1]), hosts(&[2, 3])];
    let mut matching = BTreeMap::new();
    for operator in 0..3 {
        assert!(augment(
            &eligible,
            operator,
            &mut matching,
            &mut BTreeSet::new()
        ));
    }
    let by_host: Vec<(u8, usize)> = matching.iter().map(|(host, it)| (host.0[0], *it)).collect();
    assert_eq!(by_host, [(1, 1), (2, 0), (3, 2)]);
}

proptest! {
    #[test]
    fn a_matching_is_as_large_as_it_can_be(edges in prop::collection::vec(prop::collection::vec(0u8..5, 1..4), 1..5)) {
        let eligible: Vec<Vec<NodeId>> = edges
            .iter()
            .map(|hosts| hosts.iter().map(|it| NodeId([*it; 32])).collect())
            .collect();
        let mut matching = BTreeMap::new();
        for operator in 0..eligible.len() {
            augment(&eligible, operator, &mut matching, &mut BTreeSet::new());
        }
        let distinct: BTreeSet<usize> = matching.values().copied().collect();
        prop_assert_eq!(distinct.len(), matching.len(), "each operator has one host");
        // The naive way: every choice of a host for each operator.
        let mut best = 0;
        let count: usize = edges.iter().map(Vec::len).product();
        for mut number in 0..count {
            let mut used = BTreeSet::new();
            for hosts in &edges {
                used.insert(hosts[number % hosts.len()]);
                number /= hosts.len();
            }
            best = best.max(used.len());
        }
        prop_assert_eq!(matching.len(), best);
    }
}
