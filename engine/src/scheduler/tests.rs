use model::{EventTime, Instant, convert};

use super::*;
use crate::batch::Token;

const FIRST: Worker = Worker(0);
const SECOND: Worker = Worker(1);

fn runnable(start_by: i64) -> Runnable {
    Runnable {
        application: 1,
        start_by,
        is_late: false,
        window: EventTime::MIN,
        cost_nanos: 10,
        token: Token::Unmetered,
        sequence: 7,
        depth: 1,
        tie_nanos: Some(100),
    }
}

/// Components in the order in which they leave, given what waits at each.
fn order(policy: Policy, waiting: &[Runnable]) -> Vec<u64> {
    let mut scheduler = Scheduler::new(policy);
    for (id, runnable) in (0..).zip(waiting) {
        scheduler.set(ComponentId(id), Some((policy.kind().rank)(runnable)), None);
    }
    std::iter::from_fn(|| scheduler.pop(FIRST).map(|(id, _)| id.0)).collect()
}

#[test]
fn policies_by_table() {
    let late = Runnable {
        is_late: true,
        ..runnable(0)
    };
    let dear = Runnable {
        cost_nanos: 5000,
        ..runnable(900)
    };
    let earlier = Runnable {
        sequence: 3,
        application: 9,
        ..runnable(1000)
    };
    let other = Runnable {
        application: 0,
        ..runnable(1050)
    };
    let deeper = Runnable {
        depth: 2,
        ..runnable(1080)
    };
    let token = |nanos| Runnable {
        token: Token::At(Instant::from_nanos(nanos)),
        ..runnable(0)
    };
    let cases: [(Policy, &[Runnable], &[u64]); 8] = [
        (Policy::Deadline, &[runnable(500), late, dear], &[0, 2, 1]),
        // Ties: by application, then by depth.
        (
            Policy::Deadline,
            &[earlier, runnable(1010), other, deeper],
            &[2, 3, 1, 0],
        ),
        (Policy::Llf, &[runnable(950), dear, earlier], &[1, 0, 2]),
        (Policy::Edf, &[runnable(950), dear, earlier], &[0, 2, 1]),
        (Policy::Sjf, &[dear, runnable(9999)], &[1, 0]),
        (Policy::Fifo, &[runnable(9999), runnable(1)], &[0, 1]),
        (Policy::Lifo, &[runnable(9999), runnable(1)], &[0, 1]),
        (
            Policy::Tokens,
            &[runnable(0), token(9), token(3)],
            &[2, 1, 0],
        ),
    ];
    for (policy, waiting, expected) in cases {
        assert_eq!(order(policy, waiting), expected, "{policy}");
    }
}

#[test]
fn every_policy_is_found_by_its_name() {
    for policy in Policy::ALL {
        assert_eq!(Policy::find(policy.kind().name), Some(policy));
    }
    assert_eq!(Policy::find("random"), None);
}

#[test]
fn a_new_place_takes_that_of_the_old() {
    let mut scheduler = Scheduler::new(Policy::Deadline);
    let rank = |start_by| Some((Policy::Deadline.kind().rank)(&runnable(start_by)));
    scheduler.set(ComponentId(1), rank(1000), None);
    scheduler.set(ComponentId(2), rank(2000), None);
    scheduler.set(ComponentId(1), rank(3000), None);
    assert_eq!(scheduler.pop(FIRST).map(|(id, _)| id), Some(ComponentId(2)));
    scheduler.set(ComponentId(1), None, None);
    assert_eq!(scheduler.pop(FIRST), None);
    assert!(scheduler.is_empty());
}

#[test]
fn the_order_is_that_of_ranks_whatever_changes_meanwhile() {
    let mut scheduler = Scheduler::new(Policy::Deadline);
    let mut expected = BTreeMap::new();
    for n in 0..20_000_u64 {
        let id = ComponentId(n * 7919 % 31);
        let start_by = i64::try_from(n * 104_729 % 9973).expect("a small number");
        match n % 7 {
            0 => {
                let first = expected.iter().min_by_key(|(id, rank)| (**rank, **id));
                let first = first.map(|(id, rank)| (*id, *rank));
                assert_eq!(scheduler.pop(FIRST), first);
                expected.retain(|id, _| first.is_none_or(|(popped, _)| *id != popped));
            }
            1 => {
                assert_eq!(scheduler.remove(id), expected.remove(&id));
            }
            _ => {
                let rank = (Policy::Deadline.kind().rank)(&runnable(start_by));
                scheduler.set(id, Some(rank), None);
                expected.insert(id, rank);
            }
        }
        assert_eq!(scheduler.len(), expected.len());
        assert_eq!(scheduler.has_timely(), !expected.is_empty());
    }
}

#[test]
fn who_waits_keeps_its_turn() {
    let mut scheduler = Scheduler::new(Policy::Fifo);
    let rank = Some(Rank::turn(0));
    for id in [1, 2, 1] {
        scheduler.set(ComponentId(id), rank, None);
    }
    let mut pop = || scheduler.pop(FIRST).map(|(id, _)| id.0);
    assert_eq!((pop(), pop(), pop()), (Some(1), Some(2), None));
}

#[test]
fn a_worker_goes_on_with_what_it_made_runnable_last_and_takes_from_others_only_then() {
    let mut scheduler = Scheduler::new(Policy::Lifo);
    let rank = Some(Rank::turn(0));
    scheduler.set(ComponentId(1), rank, Some(FIRST));
    scheduler.set(ComponentId(2), rank, Some(FIRST));
    scheduler.set(ComponentId(3), rank, None);
    scheduler.set(ComponentId(4), rank, Some(FIRST));
    let mut pop = |worker| scheduler.pop(worker).map(|(id, _)| id.0);
    assert_eq!(
        (pop(FIRST), pop(SECOND), pop(SECOND)),
        (Some(4), Some(3), Some(1))
    );
    assert_eq!((pop(SECOND), pop(SECOND)), (Some(2), None));
}

#[test]
fn with_a_thread_for_each_nobody_takes_what_is_not_its_own() {
    let mut scheduler = Scheduler::new(Policy::Slot);
    scheduler.set(ComponentId(5), Some(Rank::turn(0)), None);
    assert_eq!(scheduler.pop(Worker(4)), None);
    assert!(scheduler.pop(Worker(5)).is_some());
}

/// Runs so many slices of 1 ms of what is timely and of two applications that are late; how many each got.
fn slices(demands: [f64; 2], has_timely: bool, count: usize) -> [u32; 3] {
    let mut scheduler = Scheduler::new(Policy::Deadline);
    let mut got = [0; 3];
    let rank = |application: u64, is_late| Rank {
        is_late,
        application,
        ..Rank::turn(0)
    };
    for (application, demand) in (1..).zip(demands) {
        scheduler.set_demand(application, demand);
    }
    for _ in 0..count {
        if has_timely {
            scheduler.set(ComponentId(0), Some(rank(0, false)), None);
        }
        for application in [1, 2] {
            scheduler.set(
                ComponentId(application),
                Some(rank(application, true)),
                None,
            );
        }
        let (id, rank) = scheduler.pop(FIRST).expect("something waits");
        got[convert::index(id.0)] += 1;
        scheduler.charge(rank.application, rank.is_late, Duration::from_millis(1));
    }
    got
}

#[test]
fn late_work_keeps_a_floor_and_is_shared_by_demand() {
    let [timely, first, second] = slices([1.0, 3.0], true, 4000);
    assert!((3780..=3820).contains(&timely), "{timely}");
    assert!(
        (49..=51).contains(&first) && (148..=152).contains(&second),
        "{first}, {second}"
    );
    let [_, first, second] = slices([1.0, 1.0], false, 1000);
    assert_eq!((first, second), (500, 500));
}
