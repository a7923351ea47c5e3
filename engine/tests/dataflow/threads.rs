//! Threads: however many there are, and whatever an operator does to them.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use engine::intake::Intake;
use engine::runtime::Runtime;
use engine::scheduler::Policy;
use engine::{Config, Event, SinkDeployment, columns};
use model::{Clock, EventTime, Instant, Rng};

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
    thread::scope(|scope| {
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

/// Many operators on few workers, fed by turns as fast as they take it: every row leaves, in order, under every policy. A wake-up that got lost
/// would let this wait for ever; a lax application that starved would, too.
#[test]
fn no_operator_of_many_is_forgotten() {
    const OPERATORS: usize = 350;
    const ROUNDS: i64 = 20;
    for policy in Policy::ALL {
        let config = Config {
            policy,
            ..Config::default()
        };
        let runtime = Runtime::start(config, 2, Arc::new(Ticking::default())).unwrap();
        let started: Vec<Started> = (0..OPERATORS)
            .map(|number| {
                let mut flow = Flow::new();
                let source = flow.source();
                let passed = flow.filter("v >= 0", source);
                flow.sink(passed);
                let mut deployment = flow.deployment();
                let target = Duration::from_millis(if number % 2 == 0 { 5 } else { 3_600_000 });
                deployment.sinks = vec![Some(SinkDeployment { target })];
                let started = Started::from(runtime.deploy(deployment).unwrap());
                runtime.handle().start(started.application);
                started
            })
            .collect();
        thread::scope(|scope| {
            scope.spawn(|| {
                let handle = runtime.handle();
                let mut intakes: Vec<Intake> =
                    (0..OPERATORS).map(|_| Intake::new(origin(0), 0)).collect();
                for round in 0..ROUNDS {
                    for (started, intake) in started.iter().zip(&mut intakes) {
                        handle
                            .wait_for_room(started.application, started.sources[0])
                            .unwrap();
                        let row = reading(&[Some((0, round, round))]);
                        handle.offer(started.sources[0], intake.take(Instant::ZERO, row));
                    }
                }
                let schema = columns::to_arrow(&schema());
                for (started, intake) in started.iter().zip(&mut intakes) {
                    let end = intake.advance(Instant::ZERO, EventTime::MAX, &schema);
                    handle.offer(started.sources[0], end);
                }
            });
            for started in &started {
                let (mut left, mut indices) = (Left::new(), Vec::new());
                let (application, sink) = (started.application, started.sinks[0]);
                while let Ok((channel, batch)) = runtime.handle().receive(application, sink) {
                    collect(&mut left, &batch);
                    indices.extend(batch.indices());
                    runtime.handle().acknowledge(sink, channel, &batch);
                }
                assert_eq!(left.len(), 20, "{policy}");
                assert!(indices.is_sorted(), "{policy}: {indices:?}");
            }
        });
    }
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

/// A clock that counts how often each thread asks it.
#[derive(Debug, Default)]
struct Counting {
    asked: Mutex<BTreeMap<String, u64>>,
    changed: Condvar,
}

impl Counting {
    /// Waits until so many threads of this name have asked so often.
    fn wait_for(&self, name: &str, threads: usize, times: u64) {
        let asked = self.asked.lock().unwrap();
        let is_waited_for = |asked: &mut BTreeMap<String, u64>| {
            let named = asked.iter().filter(|(other, _)| other.starts_with(name));
            named.filter(|(_, count)| **count >= times).count() < threads
        };
        drop(self.changed.wait_while(asked, is_waited_for).unwrap());
    }
}

impl Clock for Counting {
    fn now(&self) -> Instant {
        let name = thread::current().name().unwrap_or_default().to_owned();
        *self.asked.lock().unwrap().entry(name).or_default() += 1;
        self.changed.notify_all();
        Instant::ZERO
    }

    fn thread_cpu(&self) -> Duration {
        Duration::ZERO
    }
}

#[test]
fn nobody_is_woken_for_what_happens_to_others() {
    const IDLE: usize = 20;
    let clock = Arc::new(Counting::default());
    let runtime = Runtime::start(Config::default(), 1, clock.clone()).unwrap();
    let started = || {
        let mut flow = Flow::new();
        let source = flow.source();
        flow.sink(source);
        let started = Started::from(runtime.deploy(flow.deployment()).unwrap());
        runtime.handle().start(started.application);
        started
    };
    let busy = started();
    let idle: Vec<Started> = (0..IDLE).map(|_| started()).collect();
    thread::scope(|scope| {
        for (number, idle) in idle.iter().enumerate() {
            let (handle, application) = (runtime.handle(), idle.application);
            let sink = idle.sinks[0];
            let named = |kind: &str| thread::Builder::new().name(format!("{kind}{number}"));
            let receive = move || assert!(handle.receive(application, sink).is_err());
            named("sink").spawn_scoped(scope, receive).unwrap();
            let handle = runtime.handle();
            let pause =
                move || assert!(handle.pause(application, Duration::from_hours(1)).is_err());
            named("source").spawn_scoped(scope, pause).unwrap();
        }
        // Who asks does so under the lock that waiting gives back, or asks once more under it: from then on all of them wait.
        clock.wait_for("sink", IDLE, 1);
        clock.wait_for("source", IDLE, 2);
        let mut intake = Intake::new(origin(0), 0);
        let handle = runtime.handle();
        for _ in 0..100 {
            handle
                .wait_for_room(busy.application, busy.sources[0])
                .unwrap();
            let taken = intake.take(Instant::ZERO, reading(&records(&mut Rng::from_seed(1), 3)));
            handle.offer(busy.sources[0], taken);
            let (channel, batch) = handle.receive(busy.application, busy.sinks[0]).unwrap();
            handle.acknowledge(busy.sinks[0], channel, &batch);
        }
        handle.stop();
    });
    let asked = clock.asked.lock().unwrap();
    for (name, times) in asked.iter() {
        let expected = match name.trim_end_matches(char::is_numeric) {
            "sink" => 1,
            "source" => 2,
            _ => continue,
        };
        assert_eq!(*times, expected, "{name} was woken");
    }
}
