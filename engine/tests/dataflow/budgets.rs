//! What budgets hosts tell one another, and when.

use std::time::Duration;

use engine::budget::Budget;
use engine::edge::{From, Pull};
use engine::{Admitted, Config, Deployed, Engine};
use model::{Instant, Positions, Slack};

use crate::hosts::{Places, part};
use crate::support::Flow;

/// Of a source on host 0 and a filter and its sink on host 1, whose target is a second, one host.
fn half(host: usize) -> (Engine, Deployed) {
    let mut flow = Flow::new();
    let source = flow.source();
    let filter = flow.filter("v >= 0", source);
    flow.sink(filter);
    let places = Places {
        sources: vec![0],
        operators: vec![1],
        sinks: vec![1],
    };
    let mut engine = Engine::new(Config::default());
    let deployed = engine
        .deploy(Instant::ZERO, part(flow, &places, host))
        .unwrap();
    engine.start(Instant::ZERO, deployed.application);
    (engine, deployed)
}

const fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(time: u64) -> Instant {
    Instant::ZERO + millis(time)
}

#[test]
fn a_pull_gets_no_more_urgency_than_was_admitted_and_that_is_counted() {
    let (mut engine, deployed) = half(0);
    let edge = deployed.downstream[0].edge;
    let heard = |engine: &mut Engine, time, budget_ms: u64| {
        let pull = Pull {
            from: Some(From::Latest),
            taken: Positions::new(),
            keep: Some(Positions::new()),
            credit: 1 << 20,
            budget: Some(Budget::at_once(Slack::from(millis(budget_ms)))),
        };
        engine.handle_pull(at(time), edge, &pull);
        engine.handle_timeout(at(time));
        let report = engine.report(at(time), deployed.application).unwrap();
        let source = &report.components[0];
        (source.budget, source.clamped)
    };
    let slack = |it: u64| Slack::from(millis(it));
    assert_eq!(
        heard(&mut engine, 500, 1),
        (slack(1), 0),
        "nothing is known"
    );
    engine.set_admitted(
        deployed.application,
        Admitted {
            slack: millis(600),
            ages: vec![millis(40)],
        },
    );
    // Within a twentieth of the target of what was admitted it is as it says.
    assert_eq!(heard(&mut engine, 1000, 700), (slack(700), 0));
    assert_eq!(heard(&mut engine, 1500, 551), (slack(551), 0));
    assert_eq!(heard(&mut engine, 2000, 549), (slack(550), 1));
    assert_eq!(heard(&mut engine, 2500, 0), (slack(550), 2));
}

#[test]
fn a_budget_that_is_another_one_by_now_is_told_before_a_pull_is_due() {
    let (mut engine, deployed) = half(1);
    let edge = deployed.upstream[0].edge;
    let told = |engine: &mut Engine, time| {
        let pull = engine.take_pull(at(time), edge)?;
        Some(pull.budget.unwrap().strictest())
    };
    let first = told(&mut engine, 0).unwrap();
    engine.take_ready();
    // A twentieth of the target, a second, is not worth a pull.
    engine.set_transit(edge, millis(50));
    engine.handle_timeout(at(500));
    assert_eq!(
        (engine.take_ready(), told(&mut engine, 500)),
        (Vec::new(), None)
    );
    engine.set_transit(edge, millis(51));
    // Budgets are computed again when work is looked for, too.
    assert!(
        engine
            .next(at(650), engine::scheduler::Worker::default())
            .is_none()
    );
    assert_eq!(engine.take_ready(), [edge]);
    assert_eq!(told(&mut engine, 650), Some(first.less(millis(51))));
    assert!(
        engine
            .next(at(800), engine::scheduler::Worker::default())
            .is_none()
    );
    assert_eq!(
        (engine.take_ready(), told(&mut engine, 800)),
        (Vec::new(), None)
    );
}
