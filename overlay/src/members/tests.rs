mod soon;

use super::bounds::KNOWN_MAX;
use super::*;
use crate::message::Bounded;

fn at(seconds: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(seconds)
}

fn node(n: u16) -> NodeId {
    let mut id = [7; 32];
    id[..2].copy_from_slice(&n.to_le_bytes());
    NodeId(id)
}

fn host(n: u16) -> HostSummary {
    HostSummary {
        addresses: vec![format!("/memory/{n}")],
        coordinate: coordinate::unknown(),
        ..HostSummary::new(node(n), format!("host-{n}"))
    }
}

fn members() -> Members {
    Members::new(at(0), host(0), Rng::from_seed(1))
}

fn rumor(n: u16, seconds: u64) -> Rumor {
    Rumor {
        summary: host(n),
        age: Duration::from_secs(seconds),
    }
}

fn gossip(of: u16, rumors: Vec<Rumor>) -> Gossip {
    Gossip {
        summary: host(of),
        known: 0,
        rumors: Bounded::first_of(rumors),
    }
}

/// The numbers of the pings that were sent, and to whom.
fn pings(out: &[Effect]) -> Vec<(NodeId, u64)> {
    let ping = |effect: &Effect| match effect {
        Effect::Send {
            to,
            message: Message::Ping { number, .. },
            ..
        } => Some((*to, *number)),
        _ => None,
    };
    out.iter().filter_map(ping).collect()
}

fn lost(out: &[Effect]) -> Vec<NodeId> {
    let lost = |effect: &Effect| match effect {
        Effect::Lost(node) => Some(*node),
        _ => None,
    };
    out.iter().filter_map(lost).collect()
}

#[test]
fn who_connects_is_pinged_at_once_and_its_answer_measures_the_round_trip() {
    let mut members = members();
    let mut out = Vec::new();
    members.on_connected(at(1), node(1), &mut out);
    assert_eq!(pings(&out), [(node(1), 0)]);
    out.clear();
    let later = at(1) + Duration::from_millis(20);
    assert!(members.on_pong(later, node(1), 0, gossip(1, vec![rumor(2, 5)]), &mut out));
    let round_trips: Vec<_> = out
        .iter()
        .filter_map(|effect| match effect {
            Effect::Seen {
                summary,
                round_trip,
            } => Some((summary.node, *round_trip)),
            _ => None,
        })
        .collect();
    let measured = Some(Duration::from_millis(20));
    // It says where it is itself, too, now that it knows.
    let seen = [(node(0), None), (node(1), measured), (node(2), None)];
    assert_eq!(round_trips, seen);
    let changes = [Change::Came(node(1)), Change::Came(node(2))];
    assert_eq!(members.take_changes(), changes);
    assert!(members.host().version > 1, "its coordinate is news");
    assert!(
        members.poll_timeout() <= later + EARLY * 2,
        "and so are they"
    );
}

#[test]
fn what_it_takes_to_connect_is_no_round_trip() {
    let mut members = members();
    let mut out = Vec::new();
    members.ping(at(1), node(1), Vec::new(), &mut out);
    members.on_connected(at(2), node(1), &mut out);
    assert_eq!(pings(&out), [(node(1), 0), (node(1), 1)]);
    out.clear();
    for number in 0..2 {
        members.on_pong(at(3), node(1), number, gossip(1, Vec::new()), &mut out);
    }
    let measured = out.iter().filter_map(|effect| match effect {
        Effect::Seen { round_trip, .. } => *round_trip,
        _ => None,
    });
    assert_eq!(measured.collect::<Vec<_>>(), [Duration::from_secs(1)]);
}

#[test]
fn in_a_small_network_everybody_is_met_by_the_lower_of_two_and_then_in_turns() {
    let mut members = Members::new(at(0), host(20), Rng::from_seed(1));
    let rumors = (1..40).filter(|n| *n != 20).map(|n| rumor(n, 1)).collect();
    members.on_ping(at(0), node(1), 0, gossip(1, rumors), &mut Vec::new());
    let mut asked = BTreeMap::<NodeId, u32>::new();
    let mut now = at(0);
    while now < at(100) {
        now = now.max(members.poll_timeout());
        let mut out = Vec::new();
        members.on_timeout(now, &mut out);
        for (of, number) in pings(&out) {
            *asked.entry(of).or_default() += 1;
            let n = u16::from_le_bytes([of.0[0], of.0[1]]);
            members.on_pong(now, of, number, gossip(n, Vec::new()), &mut Vec::new());
        }
        let has_met = |n| asked.contains_key(&node(n));
        if now > at(8) {
            assert!((21..40).all(has_met), "at {now:?}: {asked:?}");
        }
        if now < at(8) {
            let lower = (1..20).filter(|n| has_met(*n)).count();
            assert!(lower <= 2 * (NEIGHBORS_MAX + TURNS), "they ask: {asked:?}");
        }
    }
    let turns = (1..40).filter(|n| *n != 20).all(|n| asked[&node(n)] > 0);
    assert!(turns, "whoever is known is asked at times: {asked:?}");
}

#[test]
fn an_answer_to_nothing_and_a_ping_in_another_name_are_refused() {
    let mut members = members();
    let mut out = Vec::new();
    assert!(!members.on_pong(at(1), node(1), 0, gossip(1, Vec::new()), &mut out));
    assert!(!members.on_ping(at(1), node(1), 0, gossip(2, Vec::new()), &mut out));
    assert!(!members.on_ping(at(1), node(0), 0, gossip(0, Vec::new()), &mut out));
    members.on_connected(at(1), node(1), &mut Vec::new());
    assert!(!members.on_pong(at(1), node(3), 0, gossip(3, Vec::new()), &mut out));
    assert_eq!(out, []);
    assert_eq!(members.count(), 0);
}

#[test]
fn who_knows_other_hosts_is_told_all_and_who_knows_the_same_is_told_of_some() {
    let mut members = members();
    let rumors = (2..40).map(|n| rumor(n, 1)).collect();
    members.on_ping(at(0), node(1), 0, gossip(1, rumors), &mut Vec::new());
    let told = |members: &mut Members, known| {
        let gossip = members.answer_for(at(1), node(1), known);
        gossip.rumors.as_slice().len()
    };
    let same = members.digest();
    assert_eq!(told(&mut members, same ^ 1), 38);
    assert_eq!(told(&mut members, same), 16);
}

#[test]
fn a_host_nobody_heard_of_for_a_minute_is_forgotten() {
    let mut members = members();
    let mut out = Vec::new();
    members.on_ping(at(0), node(1), 0, gossip(1, vec![rumor(2, 40)]), &mut out);
    for now in [10, 19] {
        members.on_timeout(at(now), &mut out);
        members.pings.clear();
    }
    assert_eq!(lost(&out), []);
    members.on_timeout(at(31), &mut out);
    assert_eq!(lost(&out), [node(2)]);
    // Nor do old rumors bring it back.
    members.on_ping(at(32), node(1), 1, gossip(1, vec![rumor(2, 50)]), &mut out);
    assert_eq!(members.nodes().collect::<Vec<_>>(), [node(1)]);
}

#[test]
fn who_could_not_be_reached_comes_back_only_by_what_is_newer() {
    let mut members = members();
    let mut out = Vec::new();
    members.on_ping(at(0), node(1), 0, gossip(1, vec![rumor(2, 0)]), &mut out);
    members.on_unreachable(at(10), node(2), &mut out);
    assert_eq!(lost(&out), [node(2)]);
    members.on_ping(at(12), node(1), 1, gossip(1, vec![rumor(2, 3)]), &mut out);
    assert_eq!(members.count(), 1, "that was before");
    members.on_ping(at(14), node(1), 2, gossip(1, vec![rumor(2, 3)]), &mut out);
    assert_eq!(members.count(), 2, "somebody heard of it since");
}

#[test]
fn a_neighbor_that_misses_two_pings_is_given_up() {
    let mut members = members();
    let mut out = Vec::new();
    members.on_ping(at(0), node(1), 0, gossip(1, Vec::new()), &mut out);
    members.take_changes();
    let round = members.poll_timeout();
    members.on_timeout(round, &mut out);
    out.clear();
    members.on_timeout(round + PING_TIMEOUT, &mut out);
    assert_eq!(pings(&out).len(), 1, "once more");
    members.on_timeout(round + PING_TIMEOUT * 2, &mut out);
    assert_eq!(lost(&out), [node(1)]);
    assert_eq!(members.take_changes(), [Change::Went(node(1))]);
}

#[test]
fn hosts_are_bounded_and_those_near_by_are_kept() {
    let mut members = members();
    let mut out = Vec::new();
    for n in 1..1000 {
        let mut gossip = gossip(n, Vec::new());
        if n > 50 {
            gossip.summary.coordinate.place[0] = 0.3;
        }
        assert!(members.on_ping(at(1), node(n), 0, gossip, &mut out));
        assert!(members.count() <= KNOWN_MAX);
    }
    assert_eq!(members.count(), KNOWN_MAX);
    let near = (1..=50).filter(|n| members.known.contains_key(&node(*n)));
    assert_eq!(near.count(), 50);
    let far: Vec<_> = (1000..1100)
        .map(|n| {
            let mut rumor = rumor(n, 1);
            rumor.summary.coordinate.place[0] = 0.4;
            rumor
        })
        .collect();
    out.clear();
    for part in far.chunks(50) {
        members.on_ping(at(1), node(1), 0, gossip(1, part.to_vec()), &mut out);
    }
    assert!(
        (3..30).contains(&lost(&out).len()),
        "one in eight gets a place"
    );
    for n in 0..1000 {
        members.on_unreachable(at(2), node(n), &mut out);
    }
    assert!(members.gone.len() <= 256);
}

#[test]
fn a_newer_summary_of_this_node_from_before_a_restart_is_topped() {
    let mut members = members();
    let mut old = rumor(0, 3);
    old.summary.version = 41;
    members.on_ping(at(0), node(1), 0, gossip(1, vec![old]), &mut Vec::new());
    assert_eq!(members.host().version, 42);
    assert_eq!(members.count(), 1);
}

#[test]
fn what_is_too_much_of_this_node_is_left_out() {
    let mut large = host(0);
    large.name = "é".repeat(50);
    large.addresses = vec!["/memory/1".to_owned(); 9];
    large.labels = (0..40).map(|n| (n.to_string(), String::new())).collect();
    large.operators = Some(vec!["x".repeat(100), "filter".to_owned()]);
    let members = Members::new(at(0), large, Rng::from_seed(1));
    assert_eq!(members.host().check(), Ok(()));
    assert_eq!(members.host().operators, Some(vec!["filter".to_owned()]));
}
