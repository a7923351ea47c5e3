//! Threads: however many there are, and whatever an operator does to them.

use std::sync::Arc;

use engine::intake::Intake;
use engine::runtime::Runtime;
use engine::scheduler::Policy;
use engine::{Config, Event, columns};
use model::{EventTime, Instant, Rng};

use crate::support::{
    Flow, Left, Record, Started, Ticking, collect, origin, reading, records, schema,
};

fn flow() -> Flow {
    let mut flow = Flow::new();
    let sources = [flow.source(), flow.source()];
    let both = flow.operator("union", [], &sources);
    let passed = flow.filter("v % 7 <> 0", both.port(0).unwrap());
    let windows = flow.window(5, passed);
    flow.sink(windows);
    flow
}

fn run(feeds: &[Vec<Record>; 2], worker_count: usize, policy: Policy) -> Left {
    let config = Config {
        policy,
        ..Config::default()
    };
    let runtime = Runtime::start(config, worker_count, Arc::new(Ticking::default())).unwrap();
    let deployed = Started::from(runtime.deploy(flow().deployment()).unwrap());
    let application = deployed.application;
    runtime.handle().start(application);
    std::thread::scope(|scope| {
        for (number, feed) in feeds.iter().enumerate() {
            let (handle, id) = (runtime.handle(), deployed.sources[number]);
            scope.spawn(move || {
                let mut intake = Intake::new(origin(number), 0);
                for records in feed.chunks(17 + number) {
                    handle.wait_for_room(application, id).unwrap();
                    handle.offer(id, intake.take(Instant::ZERO, reading(records)));
                }
                let schema = columns::to_arrow(&schema());
                handle.offer(id, intake.advance(Instant::ZERO, EventTime::MAX, &schema));
            });
        }
        let mut left = Left::new();
        while let Ok((channel, batch)) = runtime.handle().receive(application, deployed.sinks[0]) {
            collect(&mut left, &batch);
            runtime
                .handle()
                .acknowledge(deployed.sinks[0], channel, &batch);
        }
        assert_eq!(
            runtime.handle().wait_for_events(application),
            [Event::Finished { application }]
        );
        left
    })
}

#[test]
fn results_do_not_depend_on_threads_or_policy() {
    let mut rng = Rng::from_seed(11);
    let feeds = [records(&mut rng, 5_000), records(&mut rng, 3_000)];
    let one = run(&feeds, 1, Policy::Deadline);
    assert!(one.len() > 500, "{} rows", one.len());
    for worker_count in [1, 2, 4, 8] {
        for policy in Policy::ALL {
            assert_eq!(
                run(&feeds, worker_count, policy),
                one,
                "{worker_count} workers, {policy:?}"
            );
        }
    }
}
