use std::time::Duration;

use model::{HostSummary, NodeId};
use proptest::prelude::*;

use super::*;

fn view(cores: f64) -> NodeView {
    NodeView::alone(HostSummary {
        capacity: Resources {
            cpu_cores: cores,
            memory_bytes: 1 << 20,
            uplink_bytes_per_second: 1e6,
        },
        ..HostSummary::new(NodeId([1; 32]), "h1")
    })
}

fn claim(number: u64, failed: u8) -> Claim {
    let node = NodeId([9; 32]);
    let id = CompositionId { node, number };
    Claim { id, failed }
}

fn cores(cpu_cores: f64) -> Resources {
    Resources {
        cpu_cores,
        ..Resources::default()
    }
}

const LATER: Instant = Instant::from_nanos(10);

#[test]
fn a_reservation_is_the_most_that_a_probe_asked_for() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    for asked in [0.2, 0.4, 0.3] {
        assert!(ledger.reserve(&view, claim(1, 0), cores(asked), LATER));
    }
    assert_eq!(ledger.taken().0, cores(0.4));
    // Its own does not count against it, everybody else's does.
    let spare = |it| ledger.spare(&view, it).available.cpu_cores;
    assert!((spare(claim(1, 0)) - 0.95).abs() < 1e-9);
    assert!((spare(claim(2, 0)) - 0.55).abs() < 1e-9);
}

#[test]
fn a_reservation_yields_to_who_failed_more_often_then_to_the_lower_id() {
    for (first, second, yields) in [
        (claim(2, 0), claim(1, 0), true),
        (claim(1, 0), claim(2, 0), false),
        (claim(1, 0), claim(2, 1), true),
        (claim(2, 1), claim(1, 0), false),
    ] {
        let (view, mut ledger) = (view(1.0), Ledger::default());
        assert!(ledger.reserve(&view, first, cores(0.6), LATER));
        assert_eq!(ledger.allocate(&view, second, cores(0.6)).is_ok(), yields);
        let expected = if yields {
            (cores(0.0), cores(0.6))
        } else {
            (cores(0.6), cores(0.0))
        };
        assert_eq!(ledger.taken(), expected, "{first:?} {second:?}");
    }
}

#[test]
fn only_as_many_yield_as_must_the_weakest_first() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    for number in 2..=4 {
        assert!(ledger.reserve(&view, claim(number, 0), cores(0.3), LATER));
    }
    assert!(ledger.reserve(&view, claim(1, 0), cores(0.3), LATER));
    let held: Vec<u64> = ledger.holdings.keys().map(|id| id.number).collect();
    assert_eq!(held, [1, 2, 3]);
}

#[test]
fn allocations_never_yield_and_do_not_lapse() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    assert_eq!(ledger.allocate(&view, claim(5, 0), cores(0.9)), Ok(()));
    let lack = ledger.allocate(&view, claim(1, 2), cores(0.5)).unwrap_err();
    assert_eq!(lack.check, Check::Cpu);
    assert_eq!(ledger.lapse(Instant::from_nanos(u64::MAX)), 0);
    assert_eq!(ledger.poll_timeout(), None);
    assert!(ledger.release(claim(5, 0).id));
    assert_eq!(ledger.taken(), Default::default());
}

#[test]
fn holdings_are_bounded_and_what_lapses_first_goes() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    for number in 0..=convert::size(HOLDINGS_MAX) {
        let until = LATER + Duration::from_nanos(number);
        assert!(ledger.reserve(&view, claim(number, 0), cores(0.0), until));
    }
    assert_eq!(ledger.holdings.len(), HOLDINGS_MAX);
    assert!(!ledger.holdings.contains_key(&claim(0, 0).id));
}

proptest! {
    #[test]
    fn never_more_is_held_than_there_is(
        steps in prop::collection::vec((0u64..6, 0u8..3, 0u8..4, 0.0f64..1.2), 1..80),
    ) {
        let (view, mut ledger) = (view(2.0), Ledger::default());
        for (number, failed, kind, amount) in steps {
            let claim = claim(number, failed);
            match kind {
                0 if Lack::of(&cores(amount), &ledger.spare(&view, claim).available).is_none() => {
                    ledger.reserve(&view, claim, cores(amount), LATER);
                }
                1 => drop(ledger.allocate(&view, claim, cores(amount))),
                2 => drop(ledger.release(claim.id)),
                _ => {}
            }
            let (reserved, allocated) = ledger.taken();
            prop_assert!(reserved.cpu_cores + allocated.cpu_cores <= 1.9 + 1e-9);
        }
    }
}
