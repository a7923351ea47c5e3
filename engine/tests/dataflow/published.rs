//! A published source that is fed by hand, and an engine at which others read it.

use std::time::Duration;

use engine::intake::Intake;
use engine::scheduler::Worker;
use engine::{Config, Deployed, Engine, MEMORY_MIN, OperatorPart, SourcePart, columns};
use model::{ComponentId, EventTime, Instant};

use crate::support::{Flow, Left, Record, collect, origin, reading, schema};

/// A source of rows that count, and what reads it.
pub(crate) struct Published {
    pub(crate) engine: Engine,
    pub(crate) application: u64,
    pub(crate) source: ComponentId,
    intake: Intake,
    pub(crate) fed: i64,
    pub(crate) now: Instant,
}

impl Published {
    pub(crate) fn new() -> Self {
        Self::with_storage(0)
    }

    /// One of which so many bytes may lie in a storage.
    pub(crate) fn with_storage(disk_bytes: u64) -> Self {
        let mut engine = Engine::new(Config {
            memory_bytes: MEMORY_MIN,
            disk_bytes,
            ..Config::default()
        });
        let outputs = vec![
            ("out".to_owned(), schema()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ];
        let (application, source) = engine.publish("numbers", origin(0), &outputs);
        Self {
            engine,
            application,
            source,
            intake: Intake::new(origin(0), 0),
            fed: 0,
            now: Instant::ZERO,
        }
    }

    /// The same with rows that may be so far out of order.
    pub(crate) fn out_of_order(mut self, micros: i64) -> Self {
        self.intake = Intake::new(origin(0), micros);
        self
    }

    /// Offers some rows.
    pub(crate) fn offer(&mut self, rows: &[Record]) {
        self.now = self.now + Duration::from_millis(1);
        let rows = self.intake.take(self.now, reading(rows));
        self.engine.offer(self.now, self.source, rows);
        self.settle();
    }

    /// Deploys and starts a dataflow over the source; of its operators, the first ones are these, which run already.
    pub(crate) fn run(&mut self, flow: Flow, shared: &[ComponentId]) -> Deployed {
        let mut deployment = flow.deployment();
        deployment.sources = vec![SourcePart::Running(self.source)];
        for (part, shared) in deployment.operators.iter_mut().zip(shared) {
            *part = OperatorPart::Running(*shared);
        }
        let deployed = self.engine.deploy(self.now, deployment).unwrap();
        self.engine.start(self.now, deployed.application);
        deployed
    }

    /// Offers a thousand rows `times` times, as far as there is room; says how many times they were taken.
    pub(crate) fn feed(&mut self, times: usize) -> usize {
        let mut taken = 0;
        for _ in 0..times {
            self.now = self.now + Duration::from_millis(1);
            if !self.engine.has_room(self.source) {
                continue;
            }
            let rows: Vec<Record> = (self.fed..self.fed + 1000)
                .map(|n| Some((n % 7, n, n * 1000)))
                .collect();
            let rows = self.intake.take(self.now, reading(&rows));
            self.engine.offer(self.now, self.source, rows);
            self.fed += 1000;
            taken += 1;
            self.settle();
        }
        taken
    }

    pub(crate) fn end(&mut self) {
        let schema = columns::to_arrow(&schema());
        let end = self.intake.advance(self.now, EventTime::MAX, &schema);
        self.engine.offer(self.now, self.source, end);
        self.settle();
    }

    /// Runs all that can run.
    pub(crate) fn settle(&mut self) {
        while let Some(dispatch) = self.engine.next(self.now, Worker::default()) {
            let completed = dispatch.run();
            let took = Duration::from_nanos(100);
            self.engine.complete(self.now, completed, took);
        }
    }

    /// Takes all that waits at a sink; says how many rows are missing.
    pub(crate) fn drain(&mut self, sink: ComponentId, left: &mut Left) -> u64 {
        let mut missing = 0;
        while let Some((channel, batch)) = self.engine.receive(self.now, sink) {
            collect(left, &batch);
            missing += u64::from(batch.header.missing);
            self.engine.acknowledge(self.now, sink, channel, &batch);
            self.settle();
        }
        missing
    }
}
