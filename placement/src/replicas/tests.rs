use proptest::prelude::*;

use model::{Coordinate, NodeId, Resources, Rng, convert};

use super::*;
use crate::availability::availability;

/// A host with a number, at a place on a line in seconds, with this many processors.
fn host(number: u8, place: f64, cores: f64, available: f64) -> Host {
    Host {
        node: NodeId([number; 32]),
        room: cpu(cores),
        coordinate: Coordinate {
            place: [place, 0.0, 0.0],
            height: 0.0,
            error: 0.1,
        },
        available,
    }
}

fn cpu(cores: f64) -> Resources {
    Resources {
        cpu_cores: cores,
        memory_bytes: 1_000_000,
        uplink_bytes_per_second: 1000.0,
    }
}

/// A component on `ranks` of these hosts, which takes one processor of each.
fn component(ranks: usize, candidates: &[usize]) -> Component {
    let one = Resources {
        memory_bytes: 1,
        uplink_bytes_per_second: 1.0,
        ..cpu(1.0)
    };
    Component {
        active: one,
        standby: one,
        state_bytes_per_second: 0.0,
        ranks,
        candidates: candidates.to_vec(),
        primary: None,
        weight: 1.0,
    }
}

/// A chain that reads from the first host.
fn chain(hosts: Vec<Host>, components: Vec<Component>) -> Request {
    let from = |index: usize| match index {
        0 => End::Host(0),
        _ => End::Component(index - 1),
    };
    let link = |index| Link {
        from: from(index),
        to: End::Component(index),
        weight: 1.0,
    };
    Request {
        links: (0..components.len()).map(link).collect(),
        hosts,
        components,
    }
}

fn place(policy: &dyn Policy, request: &Request) -> Result<Vec<Vec<usize>>, Unplaced> {
    let placement = policy.place(request, &mut Rng::from_seed(1))?;
    assert!(request.fits(&placement), "{policy:?}: {placement:?}");
    Ok(placement.ranked)
}

#[test]
fn each_policy_places_by_its_rule() {
    let hosts = vec![
        host(1, 0.0, 2.0, 0.9),
        host(2, 0.010, 9.0, 0.9),
        host(3, 0.030, 8.5, 0.99),
        host(4, 0.090, 7.0, 0.99),
    ];
    let both = |candidates: [&[usize]; 2]| candidates.map(|it| component(2, it)).to_vec();
    let request = chain(hosts, both([&[0, 1, 2, 3], &[1, 2, 3]]));
    // The first at the source and the host next to it; the second there and at the one next to that.
    assert_eq!(place(&Closest, &request), Ok(vec![vec![0, 1], vec![1, 2]]));
    // Of 9, 8.5 and 7 processors the first takes one, then the second of what is left, and so on.
    assert_eq!(
        place(&LeastLoaded, &request),
        Ok(vec![vec![1, 2], vec![2, 1]])
    );
    // Nothing is used before the first; then nothing that can run the second. At the second rank a host that is used.
    assert_eq!(
        place(&ConcentratePaper, &request),
        Ok(vec![vec![0, 1], vec![1, 2]])
    );
    // The two that are most likely up, for both.
    for policy in [&Concentrate { tolerance: 0.0 } as &dyn Policy, &Exhaustive] {
        assert_eq!(place(policy, &request), Ok(vec![vec![2, 3], vec![2, 3]]));
    }
}

#[test]
fn ranks_are_aligned_where_hosts_are_equal() {
    let hosts: Vec<Host> = (0..6)
        .map(|it| host(it, f64::from(it) / 1e3, 4.0, 0.9))
        .collect();
    let components = vec![component(2, &[0, 1, 2, 3, 4, 5]); 4];
    let request = chain(hosts, components);
    for policy in [&ConcentratePaper as &dyn Policy, &Concentrate::default()] {
        assert_eq!(
            place(policy, &request),
            Ok(vec![vec![0, 1]; 4]),
            "{policy:?}"
        );
    }
}

#[test]
fn room_is_kept_in_every_dimension() {
    let hosts = vec![
        host(1, 0.0, 1.0, 0.9),
        host(2, 0.01, 1.0, 0.9),
        host(3, 0.02, 1.0, 0.9),
    ];
    let request = chain(hosts, vec![component(1, &[0, 1, 2]); 3]);
    // One processor each: nobody shares.
    for policy in ALL {
        let mut ranked = place(policy, &request).unwrap();
        ranked.sort();
        assert_eq!(ranked, [[0], [1], [2]], "{policy:?}");
    }
    let with = |change: fn(&mut Component)| {
        let mut request = chain(request.hosts.clone(), vec![component(2, &[0, 1])]);
        change(&mut request.components[0]);
        place(&Closest, &request)
    };
    assert!(with(|_| ()).is_ok());
    let full = |rank| Err(Unplaced::Room { component: 0, rank });
    assert_eq!(with(|it| it.active.memory_bytes = 1_000_001), full(0));
    assert_eq!(with(|it| it.standby.cpu_cores = 1.1), full(1));
    // State for one backup is sent from where it runs.
    assert_eq!(with(|it| it.state_bytes_per_second = 999.5), full(0));
}

#[test]
fn who_finds_no_room_goes_first() {
    // The first would take the only host that the second can have.
    let hosts = vec![host(1, 0.0, 1.0, 0.9), host(2, 0.01, 1.0, 0.9)];
    let request = chain(hosts, vec![component(1, &[0, 1]), component(1, &[0])]);
    assert_eq!(place(&Closest, &request), Ok(vec![vec![1], vec![0]]));
}

#[test]
fn what_cannot_be_placed_says_why() {
    let hosts = vec![host(1, 0.0, 1.0, 0.9), host(2, 0.01, 0.5, 0.9)];
    let request = chain(
        hosts.clone(),
        vec![component(1, &[0]), component(3, &[0, 1])],
    );
    for policy in ALL {
        let refused = Err(Unplaced::Candidates {
            component: 1,
            ranks: 3,
            candidates: 2,
        });
        assert_eq!(place(policy, &request), refused, "{policy:?}");
    }
    let request = chain(hosts, vec![component(2, &[0, 1])]);
    for policy in ALL {
        let refused = Err(Unplaced::Room {
            component: 0,
            rank: 1,
        });
        assert_eq!(place(policy, &request), refused, "{policy:?}");
    }
}

#[test]
fn a_primary_that_is_given_stays_and_needs_no_room() {
    let hosts = vec![
        host(1, 0.0, 0.0, 0.99),
        host(2, 0.01, 4.0, 0.9),
        host(3, 0.02, 4.0, 0.99),
    ];
    let given = Component {
        primary: Some(0),
        ..component(2, &[1, 2])
    };
    let request = chain(hosts, vec![given]);
    for policy in ALL {
        assert_eq!(place(policy, &request).unwrap()[0][0], 0, "{policy:?}");
    }
    assert_eq!(place(&Exhaustive, &request), Ok(vec![vec![0, 2]]));
    assert_eq!(place(&Closest, &request), Ok(vec![vec![0, 1]]));
}

#[test]
fn a_lost_host_is_replaced_by_one_that_others_use() {
    let hosts = (0..5)
        .map(|it| host(it, f64::from(it) / 1e3, 4.0, 0.9))
        .collect();
    let request = chain(hosts, vec![component(3, &[0, 1, 2, 3, 4]); 2]);
    let placement = Placement {
        ranked: vec![vec![0, 1, 2], vec![0, 1, 4]],
    };
    let replaced = |lost, avoided: &[usize]| {
        let avoided = avoided.iter().copied().collect();
        let replaced = replace(&request, &placement, 0, lost, &avoided);
        replaced.map(|it| it.ranked[0].clone())
    };
    // Host 4 makes the hosts of both the same; without it host 3 is all there is.
    assert_eq!(replaced(2, &[]), Ok(vec![0, 1, 4]));
    assert_eq!(replaced(2, &[4]), Ok(vec![0, 1, 3]));
    // Who was ranked behind moves up.
    assert_eq!(replaced(0, &[4]), Ok(vec![1, 2, 3]));
    let nobody = Err(Unplaced::Room {
        component: 0,
        rank: 2,
    });
    assert_eq!(replaced(2, &[3, 4]), nobody);
}

#[test]
fn memory_that_may_be_taken_is_95_of_100_less_what_is_used() {
    let background = Resources {
        cpu_cores: 0.5,
        memory_bytes: 100_000,
        uplink_bytes_per_second: 2000.0,
    };
    let usable = usable(&cpu(2.0), &background);
    assert!((usable.cpu_cores - 1.4).abs() < 1e-12);
    assert_eq!(usable.memory_bytes, 850_000);
    assert!(usable.uplink_bytes_per_second <= 0.0);
}

/// Requests whose hosts are all different, each of `n` components on some of `v` hosts.
fn requests(v: usize, n: std::ops::Range<usize>, ranks: usize) -> impl Strategy<Value = Request> {
    let hosts = prop::collection::vec((0.0..0.2_f64, 1.0..5.0_f64, 0.5..0.999_f64), v);
    let components = prop::collection::vec(prop::collection::btree_set(0..v, ranks..=v), n);
    (hosts, components).prop_map(move |(hosts, components)| {
        let hosts = (0..).zip(hosts);
        let hosts =
            hosts.map(|(number, (place, cores, available))| host(number, place, cores, available));
        let components = components
            .into_iter()
            .map(|candidates| component(ranks, &candidates.into_iter().collect::<Vec<usize>>()));
        chain(hosts.collect(), components.collect())
    })
}

fn available(request: &Request, ranked: &[Vec<usize>]) -> f64 {
    availability(ranked, &request.available(), &mut Rng::from_seed(1)).value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_placed_fits(request in requests(8, 1..6, 2), seed in 0_u64..100) {
        for policy in ALL.into_iter().filter(|it| it.name() != "exhaustive") {
            if let Ok(placement) = policy.place(&request, &mut Rng::from_seed(seed)) {
                prop_assert!(request.fits(&placement), "{policy:?}: {placement:?}");
            }
        }
    }

    #[test]
    fn a_search_never_ends_below_its_start(request in requests(8, 1..6, 2)) {
        let strict = place(&Concentrate { tolerance: 0.0 }, &request);
        if let (Ok(published), Ok(ours)) = (place(&ConcentratePaper, &request), strict) {
            let bound = |ranked: &[Vec<usize>]| {
                crate::availability::unavailability_at_most(ranked, &request.available())
            };
            prop_assert!(bound(&ours) <= bound(&published) * (1.0 + 1e-6));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nothing_is_more_available_than_exhaustive_search(request in requests(5, 1..4, 2)) {
        let best = place(&Exhaustive, &request);
        for policy in ALL {
            match (&best, place(policy, &request)) {
                (Ok(best), Ok(found)) => {
                    let found = available(&request, &found);
                    prop_assert!(found <= available(&request, best) + 1e-9, "{policy:?}");
                }
                (Err(_), found) => prop_assert!(found.is_err(), "{policy:?}: {found:?}"),
                (Ok(_), Err(_)) => {}
            }
        }
    }
}

#[test]
fn ours_is_close_to_exhaustive_search() {
    // Seeds, not properties: how close is a figure of the search, and no promise.
    let (mut ours, mut theirs) = (0.0, 0.0);
    for seed in 0..12 {
        let mut rng = Rng::from_seed(seed);
        let hosts = (0..6).map(|number| {
            host(
                number,
                rng.fraction() / 5.0,
                4.0,
                0.85 + 0.14 * rng.fraction(),
            )
        });
        let hosts: Vec<Host> = hosts.collect();
        let components = (0..3).map(|_| {
            let dropped = convert::index(rng.below(6));
            let candidates: Vec<usize> = (0..6).filter(|it| *it != dropped).collect();
            component(2, &candidates)
        });
        let components = components.collect();
        let request = chain(hosts, components);
        let strict = Concentrate { tolerance: 0.0 };
        ours += 1.0 - available(&request, &place(&strict, &request).unwrap());
        theirs += 1.0 - available(&request, &place(&Exhaustive, &request).unwrap());
    }
    assert!(ours <= theirs * 1.05, "{ours} is far above {theirs}");
}
