//! Two runtimes joined by tasks that wait for wakers, as the links of a node do.

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use engine::intake::Intake;
use engine::runtime::{Handle, Runtime};
use engine::{Batch, Config, Event, columns};
use model::{EdgeId, EventTime, Instant};

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
