//! What every overlay must do, whatever joins its nodes: cases that are run over [`crate::memory`] and over
//! [`crate::net`] alike.
//!
//! A test makes a [`Bed`] of `node_count` nodes for each of [`CASES`], waits until they have joined, and runs
//! the case: `(case.run)(&mut bed)`.

use std::sync::Arc;
use std::time::Duration;

use model::{Entry, Index, Key, NodeId, Outcome, Query};

use crate::identity::Identity;
use crate::message::Message;

/// Nodes that have joined one network, under a test's control.
pub trait Bed {
    /// How many nodes were started; they are numbered from 0, those that crashed are counted too.
    fn node_count(&self) -> usize;

    /// Who a node is.
    fn identity(&self, node: usize) -> Identity;

    /// Starts a node and joins it to the network by way of node `via`. Returns its number.
    fn start(&mut self, via: usize) -> usize;

    /// Asks a node, and waits for its answer.
    fn query(&mut self, node: usize, query: Query) -> Outcome;

    /// Ends a node as if its process had been killed.
    fn crash(&mut self, node: usize);

    /// Lets a node leave in order, and waits until it has gone.
    fn leave(&mut self, node: usize);

    /// The hosts that a node knows at this moment, itself left out.
    fn hosts(&mut self, node: usize) -> Vec<NodeId>;

    /// Lets time pass. Cases that pass more than some seconds are in [`Case::needs_virtual_time`].
    fn pass(&mut self, time: Duration);

    /// Has a node say something that its machine would never say. False where the bed cannot do that; the cases
    /// that need it are then skipped.
    fn say(&mut self, from: usize, to: usize, message: Message) -> bool;

    /// How many messages a node has refused, for any reason.
    fn refused(&mut self, node: usize) -> u64;
}

/// One thing that every overlay must do.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it is, as a sentence in snake case.
    pub name: &'static str,
    /// How many joined nodes it begins with.
    pub node_count: usize,
    /// Whether it takes minutes, which only a bed of virtual time can let pass.
    pub needs_virtual_time: bool,
    /// Runs it; panics where the overlay does not do it.
    pub run: fn(&mut dyn Bed),
}

const fn case(name: &'static str, node_count: usize, run: fn(&mut dyn Bed)) -> Case {
    Case {
        name,
        node_count,
        needs_virtual_time: false,
        run,
    }
}

const fn long(name: &'static str, node_count: usize, run: fn(&mut dyn Bed)) -> Case {
    Case {
        needs_virtual_time: true,
        ..case(name, node_count, run)
    }
}

/// All cases.
pub const CASES: &[Case] = &[
    case("a_node_alone_is_its_own_holder", 1, a_node_alone),
    case("what_one_registers_another_finds", 5, registered),
    case("the_higher_version_stands", 5, versions),
    case("what_was_withdrawn_is_gone", 5, withdrawn),
    case("a_key_holds_entries_of_many_owners", 6, many_owners),
    case("a_lookup_is_as_large_as_was_asked", 3, sampled),
    case("a_listing_is_complete", 6, listed),
    case("all_nodes_agree_who_is_closest", 7, closest),
    case("hosts_know_one_another", 12, known),
    case("a_newcomer_finds_what_was_there", 2, newcomer),
    case(
        "what_was_registered_alone_is_found_after_joining",
        1,
        registered_alone,
    ),
    case("entries_survive_the_crash_of_holders", 8, holders_crash),
    case("the_crash_of_an_owner_stops_nobody", 5, owner_crashes),
    case("who_leaves_takes_along_what_is_its_own_alone", 6, leaving),
    case("what_others_forge_is_refused", 4, forged),
    long("what_is_kept_registered_stays", 5, renewed),
    long("what_nobody_renews_expires", 5, expired),
];

fn register(bed: &mut dyn Bed, node: usize, key: Key, slot: u64, payload: &[u8]) {
    let payload = payload.to_vec();
    let query = Query::Register { key, slot, payload };
    assert_eq!(
        bed.query(node, query),
        Outcome::Done,
        "node {node} registers"
    );
}

/// What a node finds under a key, as payloads in order.
fn find(bed: &mut dyn Bed, node: usize, key: Key) -> Vec<Vec<u8>> {
    payloads(look_up(bed, node, key, 64))
}

fn look_up(bed: &mut dyn Bed, node: usize, key: Key, count: usize) -> Vec<Entry> {
    let near = None;
    match bed.query(node, Query::Lookup { key, near, count }) {
        Outcome::Entries(entries) => entries,
        other => panic!("node {node} asked for entries and heard {other:?}"),
    }
}

fn payloads(entries: Vec<Entry>) -> Vec<Vec<u8>> {
    let mut payloads: Vec<_> = entries
        .into_iter()
        .filter_map(|entry| entry.payload)
        .collect();
    payloads.sort();
    payloads
}

fn list(bed: &mut dyn Bed, node: usize, index: Index) -> Vec<Vec<u8>> {
    match bed.query(node, Query::List { index }) {
        Outcome::Entries(entries) => payloads(entries),
        other => panic!("node {node} asked for a listing and heard {other:?}"),
    }
}

fn closest_nodes(bed: &mut dyn Bed, node: usize, key: Key, count: usize) -> Vec<NodeId> {
    match bed.query(node, Query::Closest { key, count }) {
        Outcome::Nodes(nodes) => nodes,
        other => panic!("node {node} asked for nodes and heard {other:?}"),
    }
}

/// The numbers of the nodes that are closest to a key, and a node that is none of them.
fn holders(bed: &mut dyn Bed, asking: usize, key: Key) -> (Vec<usize>, usize) {
    let nodes: Vec<_> = (0..bed.node_count())
        .map(|n| bed.identity(n).node())
        .collect();
    let closest = closest_nodes(bed, asking, key, 3);
    let holders: Vec<_> = closest
        .iter()
        .map(|holder| {
            nodes
                .iter()
                .position(|node| node == holder)
                .expect("a node of the bed")
        })
        .collect();
    let other = (0..nodes.len()).rfind(|n| !holders.contains(n));
    (holders, other.expect("more nodes than holders"))
}

fn a_node_alone(bed: &mut dyn Bed) {
    let key = Key::published("alone");
    assert_eq!(find(bed, 0, key), Vec::<Vec<u8>>::new());
    register(bed, 0, key, 0, b"mine");
    assert_eq!(find(bed, 0, key), [b"mine"]);
    let shard = Key::index(Index::Streams, key.shard());
    register(bed, 0, shard, 0, b"listed");
    assert_eq!(list(bed, 0, Index::Streams), [b"listed"]);
    let me = bed.identity(0).node();
    assert_eq!(closest_nodes(bed, 0, key, 5), [me]);
    assert_eq!(
        bed.query(0, Query::Withdraw { key, slot: 0 }),
        Outcome::Done
    );
    assert_eq!(find(bed, 0, key), Vec::<Vec<u8>>::new());
}

fn registered(bed: &mut dyn Bed) {
    for owner in 0..bed.node_count() {
        let key = Key::published(&format!("of-{owner}"));
        register(bed, owner, key, 7, format!("flows of {owner}").as_bytes());
        for reader in 0..bed.node_count() {
            let found = look_up(bed, reader, key, 10);
            assert_eq!(
                found.len(),
                1,
                "node {reader} finds what {owner} registered"
            );
            assert_eq!(found[0].owner, bed.identity(owner).node());
            assert_eq!(found[0].slot, 7);
            assert!(crate::identity::is_genuine(&found[0]));
        }
    }
}

fn versions(bed: &mut dyn Bed) {
    let key = Key::published("versions");
    for version in 0..5 {
        register(bed, 1, key, 0, format!("version {version}").as_bytes());
        for reader in 0..bed.node_count() {
            let expected = format!("version {version}").into_bytes();
            assert_eq!(find(bed, reader, key), [expected], "node {reader}");
        }
    }
}

fn withdrawn(bed: &mut dyn Bed) {
    let key = Key::published("withdrawn");
    register(bed, 0, key, 1, b"stays");
    register(bed, 0, key, 2, b"goes");
    assert_eq!(
        bed.query(0, Query::Withdraw { key, slot: 2 }),
        Outcome::Done
    );
    for reader in 0..bed.node_count() {
        assert_eq!(find(bed, reader, key), [b"stays"], "node {reader}");
    }
    register(bed, 0, key, 2, b"again");
    assert_eq!(find(bed, 3, key), [b"again".to_vec(), b"stays".to_vec()]);
}

fn many_owners(bed: &mut dyn Bed) {
    let key = Key::published("shared");
    let mut expected = Vec::new();
    for owner in 0..bed.node_count() {
        for slot in 0..3 {
            let payload = format!("{owner} {slot}").into_bytes();
            register(bed, owner, key, slot, &payload);
            expected.push(payload);
        }
    }
    for reader in 0..bed.node_count() {
        assert_eq!(find(bed, reader, key), expected, "node {reader}");
    }
}

fn sampled(bed: &mut dyn Bed) {
    let key = Key::published("sampled");
    for slot in 0..20 {
        register(bed, 0, key, slot, &[0]);
    }
    for count in [0, 1, 7, 20, 30] {
        let found = look_up(bed, 1, key, count);
        assert_eq!(found.len(), count.min(20));
    }
}

fn listed(bed: &mut dyn Bed) {
    let mut expected = Vec::new();
    let node_count = bed.node_count();
    for n in 0..120 {
        let name = format!("stream {n:03}");
        let key = Key::index(Index::Streams, Key::published(&name).shard());
        register(
            bed,
            n % node_count,
            key,
            model::convert::size(n),
            name.as_bytes(),
        );
        expected.push(name.into_bytes());
    }
    for reader in 0..bed.node_count() {
        assert_eq!(list(bed, reader, Index::Streams), expected, "node {reader}");
        assert_eq!(list(bed, reader, Index::Hosts), Vec::<Vec<u8>>::new());
    }
}

fn closest(bed: &mut dyn Bed) {
    for name in ["a", "b", "c"] {
        let key = Key::published(name);
        let expected = closest_nodes(bed, 0, key, 4);
        assert_eq!(expected.len(), 4);
        for reader in 1..bed.node_count() {
            assert_eq!(
                closest_nodes(bed, reader, key, 4),
                expected,
                "node {reader}"
            );
        }
    }
}

fn known(bed: &mut dyn Bed) {
    bed.pass(Duration::from_secs(3));
    for node in 0..bed.node_count() {
        let mut known = bed.hosts(node);
        known.sort();
        let mut others: Vec<_> = (0..bed.node_count())
            .filter(|other| *other != node)
            .map(|other| bed.identity(other).node())
            .collect();
        others.sort();
        assert_eq!(known, others, "node {node}");
    }
}

fn newcomer(bed: &mut dyn Bed) {
    let key = Key::published("before");
    register(bed, 0, key, 0, b"there");
    for via in 0..4 {
        let newcomer = bed.start(via);
        bed.pass(Duration::from_millis(500));
        assert_eq!(find(bed, newcomer, key), [b"there"], "node {newcomer}");
    }
}

fn registered_alone(bed: &mut dyn Bed) {
    let key = Key::published("early");
    register(bed, 0, key, 0, b"early");
    for _ in 0..5 {
        bed.start(0);
    }
    bed.pass(Duration::from_secs(3));
    for reader in 0..bed.node_count() {
        assert_eq!(find(bed, reader, key), [b"early"], "node {reader}");
    }
}

fn holders_crash(bed: &mut dyn Bed) {
    // A key that its owner does not hold itself.
    let (key, found, owner) = (0..)
        .map(|n| Key::published(&format!("held {n}")))
        .find_map(|key| {
            let (found, other) = holders(bed, 0, key);
            (other != 0 && !found.contains(&0)).then_some((key, found, other))
        })
        .expect("one of all names");
    register(bed, owner, key, 0, b"held");
    bed.crash(found[0]);
    assert_eq!(find(bed, 0, key), [b"held"], "one of three holders is gone");
    bed.pass(Duration::from_secs(4));
    bed.crash(found[1]);
    assert_eq!(
        find(bed, 0, key),
        [b"held"],
        "two of three holders are gone"
    );
    bed.pass(Duration::from_secs(4));
    bed.crash(found[2]);
    assert_eq!(
        find(bed, 0, key),
        [b"held"],
        "it was registered again elsewhere"
    );
}

fn owner_crashes(bed: &mut dyn Bed) {
    let key = Key::published("shared");
    register(bed, 1, key, 0, b"lost");
    register(bed, 2, key, 0, b"left");
    bed.crash(1);
    for reader in [0, 2, 3, 4] {
        let found = find(bed, reader, key);
        assert!(
            found.contains(&b"left".to_vec()),
            "node {reader}: {found:?}"
        );
    }
}

fn leaving(bed: &mut dyn Bed) {
    let mut expected = Vec::new();
    let key_of = |n: usize| Key::published(&format!("kept {n}"));
    for n in 0..12 {
        register(bed, n % 3, key_of(n), 0, &[1]);
    }
    for leaver in [1, 4, 5] {
        bed.leave(leaver);
    }
    for n in 0..12 {
        expected.clear();
        if n % 3 != 1 {
            expected.push(vec![1]);
        }
        for reader in [0, 2, 3] {
            assert_eq!(
                find(bed, reader, key_of(n)),
                expected,
                "{n} at node {reader}"
            );
        }
    }
}

fn forged(bed: &mut dyn Bed) {
    let key = Key::published("forged");
    register(bed, 0, key, 0, b"genuine");
    let genuine = look_up(bed, 1, key, 1).remove(0);
    let mut forged = genuine.clone();
    forged.version += 1;
    forged.payload = Some(b"forged".to_vec());
    let mut stranger = forged.clone();
    let liar = bed.identity(3);
    stranger.signature = liar.sign(&stranger.signed_bytes());
    let held = |entry: &Entry| crate::message::Held {
        entry: Arc::new(entry.clone()),
        age: Duration::ZERO,
    };
    for victim in 0..3 {
        let before = bed.refused(victim);
        let lies = [
            Message::keep(1, forged.clone()),
            Message::keep(2, stranger.clone()),
            Message::keep(3, genuine.clone()),
            Message::hand_over([held(&forged), held(&stranger)]),
        ];
        for lie in lies {
            if !bed.say(3, victim, lie) {
                return;
            }
        }
        bed.pass(Duration::from_millis(300));
        assert!(bed.refused(victim) >= before + 5, "node {victim} counts");
    }
    for reader in 0..bed.node_count() {
        assert_eq!(find(bed, reader, key), [b"genuine"], "node {reader}");
    }
}

fn renewed(bed: &mut dyn Bed) {
    let key = Key::published("renewed");
    register(bed, 0, key, 0, b"still here");
    bed.pass(Duration::from_secs(600));
    for reader in 0..bed.node_count() {
        assert_eq!(find(bed, reader, key), [b"still here"], "node {reader}");
    }
}

fn expired(bed: &mut dyn Bed) {
    let key = Key::published("expired");
    register(bed, 4, key, 0, b"for a while");
    bed.crash(4);
    bed.pass(model::entry::TTL_MAX);
    for reader in 0..4 {
        assert_eq!(
            find(bed, reader, key),
            Vec::<Vec<u8>>::new(),
            "node {reader}"
        );
    }
}
