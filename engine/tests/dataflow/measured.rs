//! What an engine tells of the times that batches wait and run.

use std::time::Duration;

use engine::intake::Intake;
use engine::report::{ComponentReport, RoleReport};
use engine::scheduler::Worker;
use engine::{Config, Engine};
use model::Instant;

use crate::support::{Flow, origin, reading, started};

#[test]
fn waiting_and_running_are_measured_apart_and_forgotten_lately() {
    let mut engine = Engine::new(Config::default());
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v >= 0", source);
    flow.sink(passed);
    let deployed = started(&mut engine, flow.deployment());
    let mut intake = Intake::new(origin(0), 0);
    let millis = Duration::from_millis;
    let mut now = Instant::ZERO;
    for value in 0..10 {
        let taken = intake.take(now, reading(&[Some((1, value, value))]));
        engine.offer(now, deployed.sources[0], taken);
        // It waits for a worker, which takes less of the processor than of the time, and then for the thread of the sink.
        now = now + millis(30);
        let completed = engine.next(now, Worker::default()).unwrap().run();
        now = now + millis(5);
        engine.complete(now, completed, millis(2));
        now = now + millis(1200);
        let (channel, batch) = engine.receive(now, deployed.sinks[0]).unwrap();
        engine.acknowledge(now, deployed.sinks[0], channel, &batch);
    }
    let of = |engine: &Engine, now, name: &str| -> ComponentReport {
        let report = engine.report(now, deployed.application).unwrap();
        let mut components = report.components.into_iter();
        components.find(|it| it.name == name).unwrap()
    };
    let near = |found: Duration, expected: Duration| {
        let off = found.as_secs_f64() / expected.as_secs_f64() - 1.0;
        assert!(off.abs() < 0.07, "{found:?} instead of {expected:?}");
    };
    let filter = of(&engine, now, "operator0");
    assert_eq!((filter.waited.all.count, filter.ran.all.count), (10, 10));
    assert_eq!(filter.waited.recent, filter.waited.all);
    near(filter.waited.all.p50, millis(30));
    near(filter.waited.total, millis(300));
    near(filter.ran.all.p999, millis(2));
    near(filter.ran.total, millis(20));
    let sink = of(&engine, now, "sink0");
    near(sink.waited.all.p99, millis(1200));
    assert_eq!(sink.ran.all.count, 0);
    let RoleReport::Sink(delays) = sink.role else {
        panic!("{sink:?}");
    };
    near(delays.times.all.p999, millis(1235));
    assert_eq!((delays.misses, delays.recent), (10, (10, 10)));

    // Two minutes later all that is history.
    now = now + Duration::from_secs(120);
    let filter = of(&engine, now, "operator0");
    assert_eq!(
        (filter.waited.all.count, filter.waited.recent.count),
        (10, 0)
    );
    let RoleReport::Sink(delays) = of(&engine, now, "sink0").role else {
        panic!("it was a sink before");
    };
    assert_eq!((delays.misses, delays.recent), (10, (0, 0)));
    assert_eq!(delays.times.recent.count, 0);
}
