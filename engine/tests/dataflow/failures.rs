//! What breaks is said, and what had been given still leaves.

use std::sync::Arc;
use std::time::Duration;

use engine::batch::Rows;
use engine::intake::Intake;
use engine::operator::{Compiled, DefaultCost, Emitter, Numbering, Operator};
use engine::runtime::Runtime;
use engine::scheduler::Worker;
use engine::{Batch, Config, Engine, Event, columns};
use model::{Arguments, EventTime, Instant};

use crate::support::{Flow, Started, Ticking, origin, reading, schema, started};

#[test]
fn a_source_that_breaks_fails_its_application_when_all_it_gave_has_left() {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v >= 0", source);
    let windows = flow.window(1, passed);
    flow.sink(passed);
    flow.sink(windows);
    let mut engine = Engine::new(Config::default());
    let deployed = started(&mut engine, flow.deployment());
    let mut intake = Intake::new(origin(0), 0);
    let records = [Some((1, 10, 500)), Some((1, 11, 1500))];
    engine.offer(
        Instant::ZERO,
        deployed.sources[0],
        intake.take(Instant::ZERO, reading(&records)),
    );
    engine.break_source(Instant::ZERO, deployed.sources[0], "half of it");
    let mut rows = 0;
    let mut events = engine.take_events();
    loop {
        while let Some(dispatch) = engine.next(Instant::ZERO, Worker::default()) {
            engine.complete(Instant::ZERO, dispatch.run(), Duration::ZERO);
        }
        let ready = deployed
            .sinks
            .iter()
            .find_map(|sink| Some((*sink, engine.receive(Instant::ZERO, *sink)?)));
        let Some((sink, (channel, batch))) = ready else {
            break;
        };
        assert!(
            !engine.has_ended(deployed.application),
            "it ends only when all has left"
        );
        rows += batch.rows.len();
        engine.acknowledge(Instant::ZERO, sink, channel, &batch);
    }
    events.extend(engine.take_events());
    let [
        Event::Degraded { .. },
        Event::Failed {
            component, reason, ..
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (component.as_str(), reason.as_str()),
        ("source0", "half of it")
    );
    assert_eq!(
        rows, 3,
        "both rows, and the one window that has closed; the other would lack rows"
    );
}

/// Passes rows on, but for the one that it cannot stand.
#[derive(Debug)]
struct Fragile;

impl Operator for Fragile {
    fn process(&mut self, _: u16, batch: &Batch, emit: &mut Emitter) {
        assert!(!batch.rows.times().contains(&13), "thirteen");
        emit.rows(0, Rows::clone(&batch.rows));
    }
}

#[test]
fn an_operator_that_panics_ends_its_application_and_nothing_else() {
    let fragile = || {
        let mut flow = Flow::new();
        let source = flow.source();
        let compiled = Compiled {
            parameters: Arguments::new(),
            outputs: vec![("out".to_owned(), schema())],
            operator: Box::new(Fragile),
            cost: DefaultCost {
                batch_seconds: 0.0,
                row_seconds: 0.0,
            },
        };
        let passed = flow.custom("fragile", compiled, Numbering::Kept, &[source]);
        flow.sink(passed.port(0).unwrap());
        flow.deployment()
    };
    let runtime = Runtime::start(Config::default(), 2, Arc::new(Ticking::default())).unwrap();
    let handle = runtime.handle();
    let start = || {
        let deployed = handle.deploy(fragile()).unwrap();
        handle.start(deployed.application);
        Started::from(deployed)
    };
    let (first, second) = (start(), start());
    let feed = |deployed: &Started, times: [i64; 2]| {
        let mut intake = Intake::new(origin(0), 0);
        let records = times.map(|time| Some((1, 1, time)));
        handle.offer(
            deployed.sources[0],
            intake.take(Instant::ZERO, reading(&records)),
        );
        let schema = columns::to_arrow(&schema());
        handle.offer(
            deployed.sources[0],
            intake.advance(Instant::ZERO, EventTime::MAX, &schema),
        );
    };
    feed(&first, [12, 13]);
    let events = handle.wait_for_events(first.application);
    let [
        Event::Failed {
            application,
            component,
            reason,
        },
    ] = events.as_slice()
    else {
        panic!("{events:?}")
    };
    assert_eq!(
        (*application, component.as_str()),
        (first.application, "operator0")
    );
    assert!(reason.contains("thirteen"), "{reason}");
    assert!(handle.receive(first.application, first.sinks[0]).is_err());

    feed(&second, [14, 15]);
    let mut rows = 0;
    while let Ok((channel, batch)) = handle.receive(second.application, second.sinks[0]) {
        rows += batch.rows.len();
        handle.acknowledge(second.sinks[0], channel, &batch);
    }
    assert_eq!(rows, 2, "the workers live");
}
