//! No two operators on one host, as far as there are enough.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use model::NodeId;

use crate::order::Order;

/// Puts a host of its own first for each operator as far as there are enough, the hosts of sources and sinks last.
///
/// A greatest matching of operators and hosts by augmenting paths, those with the fewest hosts first. At most 256 operators x 256
/// x 129 hosts steps.
pub(super) fn spread(order: &Order, eligible: Vec<Vec<NodeId>>) -> Vec<Vec<NodeId>> {
    let ends: BTreeSet<NodeId> = order.sources.iter().chain(&order.sinks).copied().collect();
    let away: Vec<Vec<NodeId>> = eligible
        .iter()
        .map(|hosts| {
            let away = hosts.iter().filter(|host| !ends.contains(host));
            away.copied().collect()
        })
        .collect();
    let mut matching = BTreeMap::new();
    let mut by_choice: Vec<usize> = (0..eligible.len()).collect();
    by_choice.sort_by_key(|operator| eligible[*operator].len());
    for hosts in [&away, &eligible] {
        for operator in &by_choice {
            if !matching.values().any(|it| it == operator) {
                augment(hosts, *operator, &mut matching, &mut BTreeSet::new());
            }
        }
    }
    let own: BTreeMap<usize, NodeId> = matching.iter().map(|(host, it)| (*it, *host)).collect();
    let ranked = eligible.into_iter().enumerate();
    ranked
        .map(|(operator, mut hosts)| {
            // Behind its own host come those that nobody else has for its own, then the others, each turned so that
            // not all operators begin with the same one.
            let turn = operator % hosts.len();
            hosts.rotate_left(turn);
            hosts.sort_by_key(|host| {
                let is_own = own.get(&operator) == Some(host);
                let is_taken = matching.contains_key(host);
                (Reverse(is_own), is_taken, ends.contains(host))
            });
            hosts
        })
        .collect()
}

/// Finds a host for an operator, moving others where that frees one.
fn augment(
    hosts: &[Vec<NodeId>],
    operator: usize,
    matching: &mut BTreeMap<NodeId, usize>,
    tried: &mut BTreeSet<NodeId>,
) -> bool {
    for host in &hosts[operator] {
        if !tried.insert(*host) {
            continue;
        }
        let holder = matching.get(host).copied();
        if holder.is_none_or(|holder| augment(hosts, holder, matching, tried)) {
            matching.insert(*host, operator);
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
