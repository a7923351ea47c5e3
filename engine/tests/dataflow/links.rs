//! Two runtimes joined by tasks that wait for wakers, as the links of a node do.

use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use engine::intake::Intake;
use engine::runtime::{Handle, Runtime};
use engine::state::Shadow;
use engine::{Batch, Config, Event, OperatorPart, Provider, columns};
use model::plan::{Reader, Stream};
use model::{Clock, EdgeId, EventTime, Instant};

use crate::hosts::{Places, part};
use crate::support::{Flow, Left, Record, Ticking, collect, has_retired, origin, reading, schema};

struct Parked(Thread);

impl Wake for Parked {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread until something is ready.
fn wait<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    let waker = Waker::from(Arc::new(Parked(thread::current())));
    let mut cx = Context::from_waker(&waker);
    loop {
        match poll(&mut cx) {
            Poll::Ready(ready) => return ready,
            Poll::Pending => thread::park(),
        }
    }
}

fn carry_batches(from: &(Handle, EdgeId), to: &(Handle, EdgeId)) {
    let mut batches = Vec::new();
    while wait(|cx| from.0.poll_batches(from.1, cx, &mut batches)).is_ok() {
        for batch in batches.drain(..) {
            to.0.handle_batch(to.1, Batch::clone(&batch));
        }
    }
}

fn carry_pulls(from: &(Handle, EdgeId), to: &(Handle, EdgeId)) {
    while let Ok(pull) = wait(|cx| from.0.poll_pull(from.1, cx)) {
        if to.0.handle_pull(to.1, &pull).is_err() {
            return;
        }
    }
}

fn passing() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v >= 0", source);
    flow.sink(passed);
    flow
}

#[test]
fn rows_cross_from_runtime_to_runtime_and_goodbye_ends_all_of_it() {
    let clock = Arc::new(Ticking::default());
    let start = || Runtime::start(Config::default(), 2, clock.clone()).unwrap();
    let runtimes = [start(), start()];
    let places = Places {
        sources: vec![0],
        operators: vec![1],
        sinks: vec![1],
    };
    let [upper, lower] = [0, 1].map(|host: usize| {
        let deployment = part(passing(), &places, host);
        runtimes[host].deploy(deployment).unwrap()
    });
    let [above, below] = [0, 1].map(|host: usize| runtimes[host].handle());
    let (down, up) = (
        (above.clone(), upper.downstream[0].edge),
        (below.clone(), lower.upstream[0].edge),
    );
    let rows: Vec<Record> = (0..50_000).map(|n| Some((n, n, n))).collect();
    thread::scope(|scope| {
        scope.spawn(|| carry_batches(&down, &up));
        scope.spawn(|| carry_pulls(&up, &down));
        scope.spawn(|| {
            let (application, id) = (upper.application, upper.sources[0].unwrap());
            let mut intake = Intake::new(origin(0), 0);
            for rows in rows.chunks(1000) {
                above.wait_for_room(application, id).unwrap();
                above.offer(id, intake.take(Instant::ZERO, reading(rows)));
            }
            let schema = columns::to_arrow(&schema());
            above.offer(id, intake.advance(Instant::ZERO, EventTime::MAX, &schema));
        });
        below.start(lower.application);
        let (application, sink) = (lower.application, lower.sinks[0].unwrap());
        let mut left = Left::new();
        while let Ok((channel, batch)) = below.receive(application, sink) {
            collect(&mut left, &batch);
            below.acknowledge(sink, channel, &batch);
        }
        assert_eq!(left.len(), rows.len());
        assert_eq!(
            wait(|cx| below.poll_events(cx)),
            [Event::Finished { application }]
        );
        below.retire(application);
        assert!(below.report(application).is_none());
        let application = upper.application;
        assert!(
            has_retired(&above.wait_for_events(application), application),
            "who is not read any more goes, and with it the edge and its tasks"
        );
    });
}

/// Counts of windows of 10 ms.
fn counting() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let counted = flow.window(10, source);
    flow.sink(counted);
    flow
}

#[test]
fn a_window_moves_to_the_runtime_of_its_sink_while_rows_flow() {
    const WINDOW: Stream = Stream::Operator(0, 0);
    let clock = Arc::new(Ticking::default());
    let start = || Runtime::start(Config::default(), 2, clock.clone()).unwrap();
    let runtimes = [start(), start()];
    let places = |window: usize| Places {
        sources: vec![0],
        operators: vec![window],
        sinks: vec![1],
    };
    let [upper, lower] = [0, 1].map(|host: usize| {
        let deployment = part(counting(), &places(0), host);
        runtimes[host].deploy(deployment).unwrap()
    });
    let [above, below] = [0, 1].map(|host: usize| runtimes[host].handle());
    let link = |from: EdgeId, to: EdgeId| ((above.clone(), from), (below.clone(), to));
    let results = link(upper.downstream[0].edge, lower.upstream[0].edge);
    let rows: Vec<Record> = (0..60_000).map(|n| Some((n % 7, n, n * 20))).collect();
    let (half_way, moved) = (Barrier::new(2), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| carry_batches(&results.0, &results.1));
        scope.spawn(|| carry_pulls(&results.1, &results.0));
        scope.spawn(|| {
            let (application, id) = (upper.application, upper.sources[0].unwrap());
            let mut intake = Intake::new(origin(0), 0);
            for (place, rows) in rows.chunks(1000).enumerate() {
                if place == 30 {
                    half_way.wait();
                    moved.wait();
                }
                above.wait_for_room(application, id).unwrap();
                above.offer(id, intake.take(Instant::ZERO, reading(rows)));
            }
            let schema = columns::to_arrow(&schema());
            above.offer(id, intake.advance(Instant::ZERO, EventTime::MAX, &schema));
        });
        scope.spawn(|| {
            half_way.wait();
            // Its state is pulled to the other runtime, within the memory there.
            let component = upper.operators[0].unwrap();
            let state = above.open_state(component).unwrap();
            let mut operators = counting().deployment().operators;
            let Some(OperatorPart::Here(window)) = operators.pop() else {
                unreachable!("flows have their operators here");
            };
            let mut shadow = Shadow::new(window, 1 << 20);
            let copy = below.open_copy();
            while shadow.held_since().is_none() {
                if let Some(pull) = shadow.pull_due(clock.now()) {
                    above.handle_state_pull(state, pull).unwrap();
                }
                let mut pieces = Vec::new();
                wait(|cx| above.poll_pieces(state, cx, &mut pieces)).unwrap();
                for piece in pieces {
                    shadow.handle_piece(clock.now(), piece).unwrap();
                }
                assert!(below.set_copy(copy, shadow.bytes()));
            }
            // What it reads is kept for it, it goes on, and its sink reads it there.
            let read = (Stream::Source(0, 0), Reader::Operator(0, 0));
            let source = upper.sources[0].unwrap();
            let reading = above.yielding_edge(upper.application, source, read);
            let fork = above.fork_edge(reading.unwrap()).unwrap();
            let goodbye = shadow.goodbye();
            let mut deployment = part(counting(), &places(1), usize::MAX);
            let resumed = shadow.activate().unwrap();
            deployment.operators[0] = OperatorPart::Resumed(Box::new(resumed));
            let deployed = below.deploy(deployment).unwrap();
            below.close_copy(copy);
            let (from, to) = link(fork, deployed.upstream[0].edge);
            let back = (to.clone(), from.clone());
            scope.spawn(move || carry_batches(&from, &to));
            scope.spawn(move || carry_pulls(&back.0, &back.1));
            below.start(deployed.application);
            let sink = below.reading_edge(lower.application, WINDOW, Reader::Sink(0));
            let there = Provider::Here(deployed.downstream[0].edge);
            below.rebind(sink.unwrap(), there).unwrap();
            above.handle_state_pull(state, goodbye).unwrap();
            moved.wait();
        });
        below.start(lower.application);
        let (application, sink) = (lower.application, lower.sinks[0].unwrap());
        let mut left = Left::new();
        while let Ok((channel, batch)) = below.receive(application, sink) {
            collect(&mut left, &batch);
            assert_eq!(batch.header.missing, 0);
            below.acknowledge(sink, channel, &batch);
        }
        let counted: i64 = left.values().map(|row| row[3]).sum();
        assert_eq!(usize::try_from(counted).unwrap(), rows.len());
        assert_eq!(left.len(), 7 * 120, "each key in each window");
        runtimes.iter().for_each(|runtime| runtime.handle().stop());
    });
}
