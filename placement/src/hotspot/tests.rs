use model::NodeId;

use super::*;

const MS: Duration = Duration::from_millis(1);

fn second(number: u64) -> Instant {
    Instant::ZERO + Duration::from_secs(number)
}

fn slack(milliseconds: i64) -> Slack {
    Slack::from_nanos(milliseconds * 1_000_000)
}

/// A component that takes `load` of the host, will have so much slack, and takes twice the time that it promised.
fn component(id: u64, load: f64, predicted_slack: i64) -> Outlook {
    Outlook {
        id: ComponentId(id),
        rate: 100.0,
        execution: 40 * MS,
        predicted_execution: 40 * MS,
        idle_execution: 10 * MS,
        promise: 20 * MS,
        age: 100 * MS,
        predicted_age: 100 * MS,
        slack: slack(predicted_slack),
        predicted_slack: slack(predicted_slack),
        load_fraction: load,
        is_movable: true,
    }
}

fn host(id: u8, load: f64) -> Candidate {
    Candidate {
        node: NodeId([id; 32]),
        load: LoadInterval::default().moved_to(load),
        load_ratio: 1.0,
        way_gain: Slack::default(),
    }
}

/// What a detector says of the last of so many equal seconds.
fn after(seconds: u64, load: f64, outlook: &[Outlook]) -> (Detector, Option<HotSpot>) {
    let mut detector = Detector::default();
    let mut found = None;
    for now in 0..seconds {
        found = detector.note(second(now), load, outlook);
    }
    (detector, found)
}

#[test]
fn an_overload_is_one_after_three_samples_and_until_it_is_calm() {
    let outlook = [component(1, 0.2, 100)];
    // Below the border of imbalance as well, nothing is asked: others are compared with above one half only.
    assert_eq!(after(9, 0.5, &outlook).1, None);
    let (mut detector, found) = after(2, 0.9, &outlook);
    assert_eq!(found.map(|it| it.kind), Some(Kind::Imbalance));
    let kind = |detector: &mut Detector, now, load| {
        detector.note(second(now), load, &outlook).map(|it| it.kind)
    };
    assert_eq!(kind(&mut detector, 2, 0.9), Some(Kind::Overload));
    assert_eq!(kind(&mut detector, 3, 0.75), Some(Kind::Overload));
    assert_eq!(kind(&mut detector, 4, 0.69), Some(Kind::Imbalance));
    assert_eq!(kind(&mut detector, 5, 0.75), Some(Kind::Imbalance));
}

#[test]
fn of_an_overloaded_host_the_least_moves_that_is_enough() {
    let outlook = [
        component(1, 0.05, 10),
        component(2, 0.30, 10),
        component(3, 0.22, 90),
        component(4, 0.22, 10),
    ];
    let (_, found) = after(3, 0.9, &outlook);
    assert_eq!(found.unwrap().component.id, ComponentId(4));
    // Where none is enough, the most; where nothing may move, nothing does.
    let (_, found) = after(3, 1.5, &outlook);
    assert_eq!(found.unwrap().component.id, ComponentId(2));
    let fixed = outlook.map(|it| Outlook {
        is_movable: false,
        ..it
    });
    assert_eq!(after(3, 0.9, &fixed).1, None);
}

#[test]
fn who_breaks_its_promise_by_most_moves_and_who_keeps_it_stays() {
    let keeps = Outlook {
        promise: 40 * MS,
        ..component(1, 0.1, -500)
    };
    let breaks = component(2, 0.1, -1);
    let breaks_more = Outlook {
        promise: 5 * MS,
        ..component(3, 0.1, -1)
    };
    let (_, found) = after(3, 0.2, &[keeps, breaks, breaks_more]);
    let found = found.unwrap();
    assert_eq!(
        (found.kind, found.component.id),
        (Kind::Application, ComponentId(3))
    );
    assert_eq!(after(9, 0.2, &[keeps]).1, None);
    // Two samples may be an accident.
    assert_eq!(after(2, 0.2, &[breaks]).1, None);
    // Who has slack does not suffer, whatever it promised.
    assert_eq!(after(9, 0.2, &[component(3, 0.1, 1)]).1, None);
}

#[test]
fn a_decision_has_all_its_numbers_and_the_best_targets_first() {
    let (mut detector, found) = after(3, 0.9, &[component(1, 0.25, 50)]);
    let found = found.unwrap();
    let farther = Candidate {
        way_gain: slack(-5),
        ..host(1, 0.2)
    };
    let too_far = Candidate {
        way_gain: slack(-500),
        ..host(2, 0.1)
    };
    let small = Candidate {
        load_ratio: 4.0,
        ..host(3, 0.1)
    };
    let candidates = [
        host(5, 0.3),
        farther,
        too_far,
        small,
        host(4, 0.2),
        host(6, 0.6),
        host(7, 0.35),
    ];
    let decision = detector.decide(second(3), &found, &candidates).unwrap();
    let order: Vec<u8> = decision.targets.iter().map(|it| it.node.0[0]).collect();
    assert_eq!(order, [4, 1, 5]);
    assert!((decision.load_after - 0.65).abs() < 1e-9);
    assert_eq!(decision.horizon, Duration::from_secs(5));
    let best = decision.targets[0];
    let load = host(4, 0.2).load.middle() + 0.25;
    assert!((best.load_after - load).abs() < 1e-9);
    let execution = 0.010 / (1.0 - load);
    assert!((best.execution.as_secs_f64() - execution).abs() < 1e-6);
    let expected = 0.050 + 0.040 - execution;
    assert!((best.slack.as_seconds() - expected).abs() < 1e-6);
}

#[test]
fn without_a_target_that_can_be_missed_load_alone_decides() {
    let free = Outlook {
        slack: Slack::MAX,
        predicted_slack: Slack::MAX,
        ..component(1, 0.25, 0)
    };
    let (mut detector, found) = after(3, 0.9, &[free]);
    let far = Candidate {
        way_gain: slack(-60_000),
        ..host(1, 0.2)
    };
    let decision = detector.decide(second(3), &found.unwrap(), &[far]).unwrap();
    assert_eq!(decision.targets[0].slack, Slack::MAX);
}

#[test]
fn both_sides_gain_or_nothing_moves() {
    // Elsewhere it would be late as well.
    let late = component(1, 0.1, -5000);
    let (mut detector, found) = after(3, 0.3, &[late]);
    let found = found.unwrap();
    assert_eq!(
        detector.decide(second(3), &found, &[host(1, 0.1)]),
        Err(Stay::NoPlace)
    );
    // It stays for a while, and nobody is asked again until then.
    for now in 4..33 {
        assert_eq!(detector.note(second(now), 0.3, &[late]), None);
    }
    assert!(detector.note(second(33), 0.3, &[late]).is_some());
    // A host that would be no better off than this one is none to move to.
    let (mut detector, found) = after(3, 0.3, &[component(1, 0.1, -1)]);
    assert_eq!(
        detector.decide(second(3), &found.unwrap(), &[host(1, 0.25)]),
        Err(Stay::NoPlace)
    );
}

#[test]
fn where_one_has_no_place_another_may_move() {
    let outlook = [component(1, 0.3, 0), component(2, 0.4, 0)];
    let (mut detector, found) = after(3, 0.9, &outlook);
    let found = found.unwrap();
    assert_eq!(found.component.id, ComponentId(1));
    assert_eq!(detector.decide(second(3), &found, &[]), Err(Stay::NoPlace));
    let next = detector.note(second(4), 0.9, &outlook).unwrap();
    assert_eq!(
        (next.kind, next.component.id),
        (Kind::Overload, ComponentId(2))
    );
}

#[test]
fn a_host_is_uneven_only_where_others_have_clearly_less() {
    let outlook = [component(1, 0.03, 100), component(2, 0.15, 100)];
    let (mut detector, found) = after(1, 0.6, &outlook);
    let found = found.unwrap();
    // Half of what is too much moves, not the least of all.
    assert_eq!(
        (found.kind, found.component.id),
        (Kind::Imbalance, ComponentId(2))
    );
    let even = [host(1, 0.5), host(2, 0.5)];
    assert_eq!(detector.decide(second(1), &found, &even), Err(Stay::Even));
    assert_eq!(detector.note(second(2), 0.6, &outlook), None);
    assert!(detector.note(second(11), 0.6, &outlook).is_some());
    let idle = [host(1, 0.1), host(2, 0.1)];
    assert!(detector.decide(second(11), &found, &idle).is_ok());
}

#[test]
fn one_at_a_time_and_then_a_rest() {
    let outlook = [component(1, 0.3, 0), component(2, 0.3, 0)];
    let (mut detector, found) = after(3, 0.9, &outlook);
    let found = found.unwrap();
    assert!(detector.begin(second(3), found.component.id));
    assert!(!detector.begin(second(3), ComponentId(2)));
    assert_eq!(detector.note(second(4), 0.9, &outlook), None);
    assert_eq!(
        detector.decide(second(4), &found, &[host(1, 0.1)]),
        Err(Stay::Resting)
    );
    // Something else that ends says nothing of this one.
    detector.end(second(5), ComponentId(2));
    assert!(!detector.is_free(second(5)));
    detector.end(second(5), ComponentId(1));
    for now in 6..35 {
        assert_eq!(detector.note(second(now), 0.9, &outlook), None, "{now}");
    }
    assert!(detector.note(second(35), 0.9, &outlook).is_some());
    // Of what nobody takes the others need not wait.
    assert!(detector.begin(second(35), ComponentId(1)));
    detector.refused(second(35), ComponentId(1));
    let next = detector.note(second(36), 0.9, &outlook).unwrap();
    assert_eq!(next.component.id, ComponentId(2));
}
