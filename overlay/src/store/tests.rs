use model::entry::TTL_MAX;
use model::{LoadInterval, wire};

use super::*;
use crate::Identity;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: u64) -> Instant {
    Instant::ZERO + SECOND * u32::try_from(seconds).unwrap()
}

fn owner(n: u8) -> Identity {
    Identity::from_secret([n; 32])
}

fn key() -> Key {
    Key::published("flows")
}

fn entry(of: &Identity, slot: u64, version: u64, payload: Option<&[u8]>) -> Arc<Entry> {
    let mut entry = Entry {
        owner: of.node(),
        key: key(),
        slot,
        version,
        ttl: TTL_MAX,
        addresses: vec!["/ip4/127.0.0.1/tcp/4001".to_owned()],
        load: LoadInterval::default(),
        coordinate: Coordinate::default(),
        payload: payload.map(<[u8]>::to_vec),
        signature: [0; 64],
    };
    entry.signature = of.sign(&entry.signed_bytes());
    Arc::new(entry)
}

fn held(entry: &Arc<Entry>, seconds: u64) -> Held {
    Held {
        entry: Arc::clone(entry),
        age: Duration::from_secs(seconds),
    }
}

/// What is found, withdrawn entries left out.
fn found(store: &Store, now: Instant) -> Vec<Vec<u8>> {
    let mut rng = Rng::from_seed(1);
    let found = store.find(now, key(), None, 1000, &Suspects::default(), &mut rng);
    let mut payloads: Vec<_> = found
        .into_iter()
        .filter_map(|held| held.entry.payload.clone())
        .collect();
    payloads.sort();
    payloads
}

#[test]
fn the_highest_version_stands_and_older_ones_are_refused() {
    let mut store = Store::default();
    let one = owner(1);
    let node = one.node();
    assert_eq!(
        store.keep(at(0), node, entry(&one, 0, 5, Some(b"5"))),
        Ok(())
    );
    let old = entry(&one, 0, 4, Some(b"4"));
    assert_eq!(store.keep(at(0), node, old.clone()), Err(Refusal::Old));
    assert_eq!(store.take_over(at(0), held(&old, 0)), Err(Refusal::Old));
    let other = entry(&one, 0, 5, Some(b"other"));
    assert_eq!(store.keep(at(0), node, other), Err(Refusal::Old));
    assert_eq!(
        store.keep(at(0), node, entry(&one, 0, 6, Some(b"6"))),
        Ok(())
    );
    assert_eq!(found(&store, at(1)), [b"6"]);
    assert_eq!(store.entry_count(), 1);
}

#[test]
fn only_the_owner_or_a_holder_brings_an_entry_in() {
    let mut store = Store::default();
    let one = owner(1);
    let genuine = entry(&one, 0, 1, Some(b"1"));
    let from = owner(2).node();
    assert_eq!(
        store.keep(at(0), from, genuine.clone()),
        Err(Refusal::NotTheOwner)
    );
    let mut forged = genuine.clone();
    Arc::make_mut(&mut forged).payload = Some(b"2".to_vec());
    assert_eq!(
        store.keep(at(0), one.node(), forged.clone()),
        Err(Refusal::Forged)
    );
    assert_eq!(
        store.take_over(at(0), held(&forged, 0)),
        Err(Refusal::Forged)
    );
    assert_eq!(store.take_over(at(0), held(&genuine, 0)), Ok(()));
    assert_eq!(found(&store, at(0)), [b"1"]);
}

#[test]
fn what_was_handed_over_lives_for_what_is_left_of_its_life() {
    let mut store = Store::default();
    let one = owner(1);
    let old = entry(&one, 0, 1, Some(b"1"));
    assert_eq!(
        store.take_over(at(0), held(&old, 180)),
        Err(Refusal::Expired)
    );
    assert_eq!(store.take_over(at(0), held(&old, 100)), Ok(()));
    // Handing it over as if it were new changes nothing.
    assert_eq!(store.take_over(at(10), held(&old, 0)), Ok(()));
    let aged = store.page(at(30), key(), None, &Suspects::default()).0;
    assert_eq!(aged[0].age, SECOND * 130);
    assert_eq!(found(&store, at(79)).len(), 1);
    assert!(found(&store, at(80)).is_empty());
}

#[test]
fn what_has_ended_is_not_revived() {
    let mut store = Store::default();
    let one = owner(1);
    let old = entry(&one, 0, 7, Some(b"7"));
    store.keep(at(0), one.node(), old.clone()).unwrap();
    assert_eq!(store.poll_timeout(), Some(at(180)));
    store.expire(at(180));
    assert_eq!(
        (store.entry_count(), store.key_count(), store.bytes),
        (0, 0, 0)
    );
    assert_eq!(store.take_over(at(200), held(&old, 0)), Err(Refusal::Old));
    assert_eq!(store.keep(at(200), one.node(), old), Err(Refusal::Old));
    let next = entry(&one, 0, 8, Some(b"8"));
    assert_eq!(store.keep(at(200), one.node(), next), Ok(()));
    assert!(store.graves.is_empty() && store.grave_ends.is_empty());
}

#[test]
fn entries_of_a_key_end_one_after_the_other_each_at_its_time() {
    let mut store = Store::default();
    for (n, age) in [(1, 30), (2, 90), (3, 0), (4, 90)] {
        let entry = entry(&owner(n), 0, 1, Some(&[n]));
        store.take_over(at(0), held(&entry, age)).unwrap();
    }
    for (ends, left) in [(90, 2), (150, 1), (180, 0)] {
        assert_eq!(store.poll_timeout(), Some(at(ends)));
        store.expire(at(ends - 1));
        assert!(store.entry_count() > left, "none goes too early");
        store.expire(at(ends));
        assert_eq!(store.entry_count(), left);
        assert_eq!(found(&store, at(ends)).len(), left);
    }
    assert_eq!((store.poll_timeout(), store.graves.len()), (None, 4));
}

#[test]
fn a_withdrawn_entry_stays_as_a_version_without_payload() {
    let mut store = Store::default();
    let one = owner(1);
    store
        .keep(at(0), one.node(), entry(&one, 0, 1, Some(b"1")))
        .unwrap();
    store
        .keep(at(5), one.node(), entry(&one, 0, 2, None))
        .unwrap();
    assert!(found(&store, at(6)).is_empty());
    let (page, has_more) = store.page(at(6), key(), None, &Suspects::default());
    assert_eq!((page.len(), page[0].entry.version, has_more), (1, 2, false));
    let late = entry(&one, 0, 1, Some(b"1"));
    assert_eq!(store.take_over(at(7), held(&late, 7)), Err(Refusal::Old));
}

#[test]
fn entries_of_an_owner_and_of_a_key_are_bounded() {
    let mut store = Store::default();
    for n in 0..16 {
        let one = owner(n + 1);
        for slot in 0..64 {
            let entry = entry(&one, slot, 1, Some(b""));
            assert_eq!(store.keep(at(0), one.node(), entry), Ok(()), "{n} {slot}");
        }
        let beyond = entry(&one, 64, 1, Some(b""));
        let expected = if n == 15 {
            Refusal::KeyFull
        } else {
            Refusal::OwnerFull
        };
        assert_eq!(store.keep(at(0), one.node(), beyond), Err(expected));
    }
    assert_eq!(store.entry_count(), ENTRIES_PER_KEY_MAX);
    // Who is there goes on.
    let one = owner(3);
    assert_eq!(
        store.keep(at(1), one.node(), entry(&one, 9, 2, Some(b"new"))),
        Ok(())
    );
}

#[test]
fn large_entries_fill_the_share_of_an_owner_and_pages_stay_small() {
    let mut store = Store::default();
    let payload = vec![1; model::entry::PAYLOAD_BYTES_MAX];
    let mut refused = 0;
    for n in 0..6 {
        let one = owner(n + 1);
        for slot in 0..45 {
            let entry = entry(&one, slot, 1, Some(&payload));
            refused += usize::from(store.keep(at(0), one.node(), entry).is_err());
        }
    }
    assert!(refused > 0);
    assert!(store.bytes <= BYTES_MAX);
    assert!(store.owners.values().all(|bytes| *bytes <= OWNER_BYTES_MAX));
    let mut after = None;
    let mut count = 0;
    loop {
        let (page, has_more) = store.page(at(1), key(), after, &Suspects::default());
        assert!(wire::encode(&crate::Message::hand_over(page.clone())).len() < 256 << 10);
        count += page.len();
        after = page.last().map(|held| (held.entry.owner, held.entry.slot));
        if !has_more {
            break;
        }
    }
    assert_eq!(count, store.entry_count());
    let mut rng = Rng::from_seed(1);
    let found = store.find(at(1), key(), None, 1000, &Suspects::default(), &mut rng);
    assert!(wire::encode(&crate::Message::hand_over(found)).len() < 256 << 10);
}

#[test]
fn what_a_suspect_registered_is_not_served() {
    let mut store = Store::default();
    let one = owner(1);
    store
        .keep(at(0), one.node(), entry(&one, 0, 1, Some(b"1")))
        .unwrap();
    let mut suspects = Suspects::default();
    assert!(suspects.suspect(at(1), one.node()));
    let mut rng = Rng::from_seed(1);
    assert!(
        store
            .find(at(1), key(), None, 9, &suspects, &mut rng)
            .is_empty()
    );
    assert!(store.page(at(1), key(), None, &suspects).0.is_empty());
    assert_eq!(
        store.all(at(1), key()).len(),
        1,
        "it is handed over all the same"
    );
}

#[test]
fn a_sample_prefers_idle_hosts_next_door() {
    let mut store = Store::default();
    for n in 0..20 {
        let one = owner(n + 1);
        let mut entry = Arc::unwrap_or_clone(entry(&one, 0, 1, Some(&[n])));
        if n >= 10 {
            entry.load = LoadInterval(12);
            entry.coordinate.place[0] = 0.2;
        }
        entry.signature = one.sign(&entry.signed_bytes());
        store.keep(at(0), one.node(), Arc::new(entry)).unwrap();
    }
    let near = Coordinate::default();
    let mut rng = Rng::from_seed(3);
    let suspects = Suspects::default();
    let sample = store.find(at(0), key(), Some(&near), 8, &suspects, &mut rng);
    let good = sample
        .iter()
        .filter(|held| held.entry.payload < Some(vec![10]))
        .count();
    assert_eq!(sample.len(), 8);
    assert!(good >= 7, "{good} of 8");
}
