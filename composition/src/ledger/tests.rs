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
        ledger.reserve(&view, claim(1, 0), cores(asked), LATER, cores(0.1));
    }
    assert_eq!(ledger.reserved(), cores(0.4));
    // Its own does not count against it, everybody else's does, and what runs.
    let spare = |it| ledger.spare(&view, it, cores(0.1)).available.cpu_cores;
    assert!((spare(claim(1, 0)) - 0.85).abs() < 1e-9);
    assert!((spare(claim(2, 0)) - 0.45).abs() < 1e-9);
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
        ledger.reserve(&view, first, cores(0.6), LATER, cores(0.0));
        let made = ledger.make_room(&view, second, cores(0.6), cores(0.0));
        assert_eq!(made.is_ok(), yields);
        let expected = if yields { cores(0.0) } else { cores(0.6) };
        assert_eq!(ledger.reserved(), expected, "{first:?} {second:?}");
    }
}

#[test]
fn only_as_many_yield_as_must_the_weakest_first() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    for number in 2..=4 {
        ledger.reserve(&view, claim(number, 0), cores(0.3), LATER, cores(0.0));
    }
    ledger.reserve(&view, claim(1, 0), cores(0.3), LATER, cores(0.0));
    let held: Vec<u64> = ledger.reservations.keys().map(|id| id.number).collect();
    assert_eq!(held, [1, 2, 3]);
}

#[test]
fn what_runs_never_yields_and_who_comes_to_run_has_nothing_reserved() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    let lack = ledger.make_room(&view, claim(1, 2), cores(0.5), cores(0.9));
    assert_eq!(lack.unwrap_err().check, crate::Check::Cpu);
    ledger.reserve(&view, claim(1, 2), cores(0.5), LATER, cores(0.4));
    let made = ledger.make_room(&view, claim(1, 2), cores(0.54), cores(0.4));
    assert_eq!(made, Ok(()));
    assert_eq!(ledger.reserved(), cores(0.0));
    // Who takes nothing new finds room, however much there is to do.
    let made = ledger.make_room(&view, claim(1, 0), cores(0.0), cores(2.0));
    assert_eq!(made, Ok(()));
}

#[test]
fn reservations_lapse() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    ledger.reserve(&view, claim(1, 0), cores(0.5), LATER, cores(0.0));
    assert_eq!(ledger.poll_timeout(), Some(LATER));
    assert_eq!(ledger.lapse(LATER), 1);
    assert_eq!(ledger.reserved(), cores(0.0));
    assert_eq!(ledger.poll_timeout(), None);
}

#[test]
fn reservations_are_bounded_and_what_lapses_first_goes() {
    let (view, mut ledger) = (view(1.0), Ledger::default());
    for number in 0..=convert::size(RESERVATIONS_MAX) {
        let until = LATER + Duration::from_nanos(number);
        ledger.reserve(&view, claim(number, 0), cores(0.0), until, cores(0.0));
    }
    assert_eq!(ledger.reservations.len(), RESERVATIONS_MAX);
    assert!(!ledger.reservations.contains_key(&claim(0, 0).id));
}

proptest! {
    #[test]
    fn never_more_is_held_than_there_is(
        steps in prop::collection::vec((0u64..6, 0u8..3, 0u8..4, 0.0f64..1.2), 1..80),
    ) {
        let (view, mut ledger) = (view(2.0), Ledger::default());
        let mut running = BTreeMap::new();
        for (number, failed, kind, amount) in steps {
            let claim = claim(number, failed);
            let allocated = cores(running.values().sum());
            let spare = ledger.spare(&view, claim, allocated).available;
            match kind {
                0 if Lack::of(&cores(amount), &spare).is_none() => {
                    ledger.reserve(&view, claim, cores(amount), LATER, allocated);
                }
                1 if ledger.make_room(&view, claim, cores(amount), allocated).is_ok() => {
                    *running.entry(number).or_default() += amount;
                }
                2 => ledger.release(claim.id),
                3 => drop(running.remove(&number)),
                _ => {}
            }
            let taken = ledger.reserved().cpu_cores + running.values().sum::<f64>();
            prop_assert!(taken <= 1.9 + 1e-9);
        }
    }
}
