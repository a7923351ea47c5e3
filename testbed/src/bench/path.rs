//! `bench path`: what a batch costs on its way through an engine that does no work on it.
//!
//! Many small dataflows of a source, an operator that hands rows on, and a sink, on one thread without locks: offered, judged, put into a
//! mailbox, ranked, dispatched, run, framed, handed to the sink, acknowledged, and credit given back. Policies take turns, so that all
//! meet the same machine.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use engine::intake::Taken;
use engine::operator::{Compiled, DefaultCost, Emitter, Numbering, Operator};
use engine::scheduler::{Policy, Worker};
use engine::{
    Batch, Config, Deployment, Engine, Header, OperatorDeployment, OperatorPart, Rows,
    SinkDeployment, SourcePart, Token, columns,
};
use model::plan::Builder;
use model::{
    Arguments, Clock, ComponentId, DataType, EventTime, Field, Instant, Interval, NodeId, Origin,
    Qos, Schema, SourceName, convert,
};
use node::clock::MachineClock;

use super::report::Report;

/// What is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// How many dataflows there are.
    pub operators: usize,
    /// How many rows a batch has.
    pub rows: usize,
    /// How many batches each policy takes in a turn.
    pub batches: u64,
    /// How many turns each policy takes.
    pub turns: u32,
}

/// First in first out; a heap by an order that needs no context; deadlines with all that is known of them.
pub const POLICIES: [(&str, Policy); 3] = [
    ("fifo", Policy::Fifo),
    ("heap", Policy::Sjf),
    ("deadline", Policy::Deadline),
];

/// Measures; see the module.
///
/// # Errors
/// When the dataflows cannot be made, or a batch does not arrive.
pub fn measure(options: &Options) -> anyhow::Result<Report> {
    let mut report = Report::new("path", Vec::new());
    report.count("operators", convert::size(options.operators));
    report.count("rows_per_batch", convert::size(options.rows));
    let (mut paths, mut making) = (Vec::new(), Vec::new());
    for (name, policy) in POLICIES {
        let mut path = Path::new(policy, options.operators, options.rows)?;
        path.run(options.batches / 10)?;
        paths.push((name, path, Vec::new()));
    }
    for _ in 0..options.turns {
        for (_, path, measured) in &mut paths {
            let took = path.run(options.batches)?;
            measured.push(took.as_secs_f64() * 1e9 / convert::count_to_f64(options.batches));
        }
        if let Some((_, path, _)) = paths.first_mut() {
            let took = path.make(options.batches);
            making.push(took.as_secs_f64() * 1e9 / convert::count_to_f64(options.batches));
        }
    }
    let [(_, _, fifo), others @ ..] = paths.as_slice() else {
        anyhow::bail!("no policy was measured");
    };
    report.spread("ns_per_batch.making", &making);
    report.spread("ns_per_batch.fifo", fifo);
    for (name, _, measured) in others {
        report.spread(&format!("ns_per_batch.{name}"), measured);
        let pairs = measured.iter().zip(fifo);
        let overhead: Vec<f64> = pairs.map(|(one, fifo)| one / fifo - 1.0).collect();
        report.spread(&format!("overhead_fraction.{name}"), &overhead);
    }
    Ok(report)
}

/// An engine with many small dataflows.
#[derive(Debug)]
pub struct Path {
    engine: Engine,
    flows: Vec<Flow>,
    columns: RecordBatch,
    no_rows: Rows,
    clock: MachineClock,
    /// Whose turn it is.
    next: usize,
}

#[derive(Debug)]
struct Flow {
    source: ComponentId,
    sink: ComponentId,
    origin: Origin,
    through: u64,
}

impl Path {
    /// Dataflows whose operators go by a policy, and whose batches have so many rows.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(policy: Policy, operators: usize, rows: usize) -> anyhow::Result<Self> {
        let mut engine = Engine::new(Config {
            policy,
            ..Config::default()
        });
        let clock = MachineClock::start();
        let schema = Schema::new(vec![Field::new("x", DataType::Int64)])?;
        let mut flows = Vec::new();
        for number in 0..operators {
            let origin = Origin(u128::try_from(number)? + 1);
            let deployment = deployment(&schema, number, origin)?;
            let deployed = engine.deploy(clock.now(), deployment)?;
            engine.start(clock.now(), deployed.application);
            let here = |ids: &[Option<ComponentId>]| ids.first().copied().flatten();
            flows.push(Flow {
                source: here(&deployed.sources).context("a source")?,
                sink: here(&deployed.sinks).context("a sink")?,
                origin,
                through: 0,
            });
        }
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows)?));
        Ok(Self {
            engine,
            flows,
            no_rows: Rows::empty(columns::to_arrow(&engine::intake::bad_schema())),
            columns: RecordBatch::try_new(columns::to_arrow(&schema), vec![numbers])?,
            clock,
            next: 0,
        })
    }

    /// Sends so many batches through, a batch for each dataflow at a time, and says how much processor time that took.
    ///
    /// # Errors
    /// When one does not arrive.
    pub fn run(&mut self, batches: u64) -> anyhow::Result<Duration> {
        let started = self.clock.thread_cpu();
        let mut left = batches;
        let mut now = self.clock.now();
        while left > 0 {
            let round = convert::size(self.flows.len()).min(left);
            for _ in 0..round {
                self.offer();
            }
            let offered = convert::index(round) * self.columns.num_rows();
            // A long batch may have been split, of which the rest waits for the sink: rows are counted.
            let mut arrived = 0;
            loop {
                while let Some(dispatch) = self.engine.next(now, Worker::default()) {
                    let completed = dispatch.run();
                    let done = self.clock.now();
                    self.engine.complete(done, completed, done.since(now));
                    now = done;
                }
                let before = arrived;
                for flow in &self.flows {
                    while let Some((channel, batch)) = self.engine.receive(now, flow.sink) {
                        self.engine.acknowledge(now, flow.sink, channel, &batch);
                        arrived += batch.rows.len();
                    }
                }
                if arrived == before || arrived == offered {
                    break;
                }
            }
            anyhow::ensure!(arrived == offered, "{arrived} of {offered} rows arrived");
            left -= round;
        }
        Ok(self.clock.thread_cpu().saturating_sub(started))
    }

    /// Makes so many batches and drops them: what of [`Path::run`] is the bench's own work. Says how much processor time that took.
    pub fn make(&self, batches: u64) -> Duration {
        let started = self.clock.thread_cpu();
        for batch in 0..batches {
            let flow = &self.flows[convert::index(batch) % self.flows.len()];
            std::hint::black_box(self.taken(flow.origin, flow.through, self.clock.now()));
        }
        self.clock.thread_cpu().saturating_sub(started)
    }

    fn offer(&mut self) {
        let now = self.clock.now();
        let place = self.next;
        self.next = (self.next + 1) % self.flows.len();
        let Flow {
            source,
            origin,
            through,
            ..
        } = self.flows[place];
        let taken = self.taken(origin, through, now);
        self.flows[place].through = taken.rows.header.interval.through();
        self.engine.offer(now, source, taken);
    }

    /// The next batch of a flow that is at `through`, as a source has read it.
    fn taken(&self, origin: Origin, through: u64, now: Instant) -> Taken {
        let count = self.columns.num_rows();
        let progress = EventTime(i64::try_from(now.as_nanos() / 1000).unwrap_or(i64::MAX));
        let header = Header {
            origin,
            interval: Interval::new(through, through + convert::size(count)),
            arrival: now,
            progress,
            token: Token::Unmetered,
            missing: 0,
            note: None,
        };
        Taken {
            rows: Batch {
                header: header.clone(),
                rows: Rows::dense(self.columns.clone(), vec![progress.0; count], None),
            },
            bad: Batch {
                header,
                rows: self.no_rows.clone(),
            },
            bad_reason: None,
        }
    }
}

/// A source, an operator that hands rows on, and a sink.
fn deployment(schema: &Schema, number: usize, origin: Origin) -> anyhow::Result<Deployment> {
    let mut plan = Builder::new(&format!("path{number}"), Qos::default())?;
    let source = SourceName::Published {
        publisher: NodeId([0; 32]),
        name: format!("source{number}"),
    };
    let outputs = vec![
        ("out".to_owned(), schema.clone()),
        ("bad".to_owned(), engine::intake::bad_schema()),
    ];
    let read = plan.source("source", source, outputs)?.port(0);
    let outputs = vec![("out".to_owned(), schema.clone())];
    let parameters = Arguments::default();
    let passed = plan
        .operator(
            "pass",
            "pass",
            parameters.clone(),
            &[read.context("a port")?],
            outputs.clone(),
        )?
        .port(0);
    plan.sink("sink", passed.context("a port")?)?;
    let compiled = Compiled {
        parameters,
        outputs,
        operator: Box::new(Pass),
        cost: DefaultCost {
            batch_seconds: 1e-7,
            row_seconds: 0.0,
        },
    };
    let target = Duration::from_secs(1);
    let plan = plan
        .build()
        .map_err(|errors| anyhow::anyhow!("the plan is invalid: {errors:?}"))?;
    Ok(Deployment {
        plan,
        origins: vec![origin],
        sources: vec![SourcePart::Here],
        operators: vec![OperatorPart::Here(OperatorDeployment {
            compiled,
            numbering: Numbering::Kept,
            declared: None,
        })],
        sinks: vec![Some(SinkDeployment { target })],
    })
}

/// Hands rows on.
#[derive(Debug)]
struct Pass;

impl Operator for Pass {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        emit.rows(0, batch.rows.clone());
    }
}
