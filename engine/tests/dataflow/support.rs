//! Builds dataflows, feeds them, and collects what leaves.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use engine::intake::{BadRecord, Intake, Records, Taken};
use engine::scheduler::Worker;
use engine::{
    Batch, Completed, Config, Deployed, Deployment, Dispatch, Engine, Event, OperatorDeployment,
    OperatorPart, SinkDeployment, SourcePart, columns, operator,
};
use model::plan::{Accepted, Builder, Stream};
use model::{
    Clock, ComponentId, DataType, EventTime, Field, Instant, NodeId, Origin, Qos, Rng, Schema,
    SourceName, Value,
};

/// Two columns: a key and a value.
pub(crate) fn schema() -> Schema {
    let fields = ["k", "v"].map(|name| Field::new(name, DataType::Int64));
    Schema::new(fields.to_vec()).unwrap()
}

/// A record of the test sources: key, value and event time in microseconds; bad where absent.
pub(crate) type Record = Option<(i64, i64, i64)>;

/// Records as a connector would read them.
pub(crate) fn reading(records: &[Record]) -> Records {
    let good: Vec<(u32, (i64, i64, i64))> = (0..)
        .zip(records)
        .filter_map(|(place, record)| record.map(|record| (place, record)))
        .collect();
    let bad = (0..).zip(records).filter(|(_, record)| record.is_none());
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(
        good.iter().map(|(_, (k, _, _))| *k),
    ));
    let values: ArrayRef = Arc::new(Int64Array::from_iter_values(
        good.iter().map(|(_, (_, v, _))| *v),
    ));
    Records {
        count: u32::try_from(records.len()).unwrap(),
        columns: RecordBatch::try_new(columns::to_arrow(&schema()), vec![keys, values]).unwrap(),
        times: good.iter().map(|(_, (_, _, time))| *time).collect(),
        places: good.iter().map(|(place, _)| *place).collect(),
        bad: bad
            .map(|(place, _)| BadRecord {
                place,
                record: "?".into(),
                message: "bad".into(),
            })
            .collect(),
    }
}

/// A dataflow that is being put together.
pub(crate) struct Flow {
    plan: Builder,
    operators: Vec<OperatorDeployment>,
    sources: usize,
    sinks: usize,
}

impl Flow {
    pub(crate) fn new() -> Self {
        let plan = Builder::new("test", Qos::default()).unwrap();
        Self {
            plan,
            operators: Vec::new(),
            sources: 0,
            sinks: 0,
        }
    }

    pub(crate) fn source(&mut self) -> Stream {
        let name = format!("source{}", self.sources);
        self.sources += 1;
        let source = SourceName::Published {
            publisher: NodeId([0; 32]),
            name: name.clone(),
        };
        let outputs = vec![
            ("out".to_owned(), schema()),
            ("bad".to_owned(), engine::intake::bad_schema()),
        ];
        self.plan
            .source(&name, source, outputs)
            .unwrap()
            .port(0)
            .unwrap()
    }

    pub(crate) fn operator(
        &mut self,
        kind: &str,
        arguments: impl IntoIterator<Item = (&'static str, Value)>,
        inputs: &[Stream],
    ) -> Accepted {
        let kind = operator::find(kind).unwrap();
        let schemas: Vec<Schema> = inputs
            .iter()
            .map(|input| self.plan.schema(*input).clone())
            .collect();
        let compiled = (kind.compile)(&arguments.into_iter().collect(), &schemas).unwrap();
        let name = format!("operator{}", self.operators.len());
        let (parameters, outputs) = (compiled.parameters.clone(), compiled.outputs.clone());
        let accepted = match kind.inputs {
            operator::Inputs::AnyOrder => self
                .plan
                .commutative_operator(&name, kind.name, parameters, inputs, outputs),
            operator::Inputs::One | operator::Inputs::Two => self
                .plan
                .operator(&name, kind.name, parameters, inputs, outputs),
        };
        let numbering = kind.numbering;
        self.operators.push(OperatorDeployment {
            compiled,
            numbering,
            declared: None,
        });
        accepted.unwrap()
    }

    /// An operator of no known kind.
    pub(crate) fn custom(
        &mut self,
        kind: &str,
        compiled: operator::Compiled,
        numbering: operator::Numbering,
        inputs: &[Stream],
    ) -> Accepted {
        let name = format!("operator{}", self.operators.len());
        let (parameters, outputs) = (compiled.parameters.clone(), compiled.outputs.clone());
        self.operators.push(OperatorDeployment {
            compiled,
            numbering,
            declared: None,
        });
        self.plan
            .operator(&name, kind, parameters, inputs, outputs)
            .unwrap()
    }

    /// A filter that passes rows for which `condition` holds.
    pub(crate) fn filter(&mut self, condition: &str, input: Stream) -> Stream {
        self.operator("filter", [("where", Value::from(condition))], &[input])
            .port(0)
            .unwrap()
    }

    /// Counts and sums by key in windows of `millis`.
    pub(crate) fn window(&mut self, millis: i64, input: Stream) -> Stream {
        let select = [
            ("n", "count(*)"),
            ("total", "sum(v)"),
            ("newest", "last(v)"),
        ];
        let select = select
            .map(|(name, text)| (name.to_owned(), text.into()))
            .to_vec();
        let span = vec![("tumbling".to_owned(), model::Scalar::Micros(millis * 1000))];
        let arguments = [
            ("window", Value::Table(span)),
            ("by", Value::List(vec!["k".into()])),
            ("select", Value::Table(select)),
        ];
        self.operator("window", arguments, &[input])
            .port(0)
            .unwrap()
    }

    pub(crate) fn sink(&mut self, input: Stream) {
        self.plan
            .sink(&format!("sink{}", self.sinks), input)
            .unwrap();
        self.sinks += 1;
    }

    pub(crate) fn deployment(self) -> Deployment {
        let target = Duration::from_secs(1);
        Deployment {
            plan: self.plan.build().unwrap(),
            origins: (0..self.sources).map(origin).collect(),
            sources: vec![SourcePart::Here; self.sources],
            operators: self.operators.into_iter().map(OperatorPart::Here).collect(),
            sinks: vec![Some(SinkDeployment { target }); self.sinks],
        }
    }
}

/// The components of an application all of which is here.
#[derive(Debug)]
pub(crate) struct Started {
    pub(crate) application: u64,
    pub(crate) sources: Vec<ComponentId>,
    pub(crate) sinks: Vec<ComponentId>,
}

impl From<Deployed> for Started {
    fn from(deployed: Deployed) -> Self {
        Self {
            application: deployed.application,
            sources: deployed.sources.into_iter().flatten().collect(),
            sinks: deployed.sinks.into_iter().flatten().collect(),
        }
    }
}

/// Deploys and starts an application all of which is here.
pub(crate) fn started(engine: &mut Engine, deployment: Deployment) -> Started {
    let deployed = engine.deploy(Instant::ZERO, deployment).unwrap();
    engine.start(Instant::ZERO, deployed.application);
    deployed.into()
}

/// Who numbers the records of a source.
pub(crate) fn origin(source: usize) -> Origin {
    Origin(source as u128 + 1)
}

/// What left at a sink: the values of each row by its origin, its index and its place among equal ones.
pub(crate) type Left = BTreeMap<(Origin, u64, usize), Vec<i64>>;

/// Adds the rows of a batch to what has left. Says that a position has left twice by a panic.
pub(crate) fn collect(left: &mut Left, batch: &Batch) {
    let columns: Vec<Vec<i64>> = batch
        .rows
        .columns()
        .columns()
        .iter()
        .filter_map(|column| {
            let numbers = arrow_cast::cast(column, &arrow_schema::DataType::Int64).ok()?;
            let numbers = numbers.as_any().downcast_ref::<Int64Array>()?.clone();
            Some((0..numbers.len()).map(|row| numbers.value(row)).collect())
        })
        .collect();
    let mut last = (0, 0);
    for (row, index) in batch.indices().enumerate() {
        last = if last.0 == index {
            (index, last.1 + 1)
        } else {
            (index, 0)
        };
        let values = columns.iter().map(|column| column[row]).collect();
        let before = left.insert((batch.header.origin, index, last.1), values);
        assert_eq!(before, None, "a row left twice");
    }
}

/// Runs a dataflow on one thread in an order that `rng` draws: several dispatches may be out at once, as
/// with several workers, and records are cut where it says.
pub(crate) fn run(
    flow: Flow,
    feeds: &[Vec<Record>],
    config: Config,
    rng: &mut Rng,
) -> (Left, Engine) {
    let mut engine = Engine::new(config);
    let deployed = started(&mut engine, flow.deployment());
    let mut intakes: Vec<Intake> = (0..feeds.len())
        .map(|source| Intake::new(origin(source), 0))
        .collect();
    let mut fed = vec![0; feeds.len()];
    let mut ended = vec![false; feeds.len()];
    let mut out: Vec<Dispatch> = Vec::new();
    let mut left = Left::new();
    for step in 0.. {
        assert!(step < 1_000_000, "the dataflow does not come to its end");
        let now = Instant::from_nanos(step * 1000);
        match rng.below(8) {
            0 | 1 => {
                let source = usize::try_from(rng.below(feeds.len() as u64)).unwrap();
                if ended[source] || !engine.has_room(deployed.sources[source]) {
                    continue;
                }
                let rest = &feeds[source][fed[source]..];
                let taken: Taken = if rest.is_empty() {
                    ended[source] = true;
                    intakes[source].advance(now, EventTime::MAX, &columns::to_arrow(&schema()))
                } else {
                    let len = rest.len().min(1 + usize::try_from(rng.below(40)).unwrap());
                    fed[source] += len;
                    intakes[source].take(now, reading(&rest[..len]))
                };
                engine.offer(now, deployed.sources[source], taken);
            }
            2..=4 => out.extend(engine.next(now, Worker::default())),
            5 | 6 if !out.is_empty() => {
                let which = usize::try_from(rng.below(out.len() as u64)).unwrap();
                let completed: Completed = out.swap_remove(which).run();
                engine.complete(now, completed, Duration::from_nanos(500));
            }
            _ => {
                let sink = usize::try_from(rng.below(deployed.sinks.len() as u64)).unwrap();
                if let Some((channel, batch)) = engine.receive(now, deployed.sinks[sink]) {
                    collect(&mut left, &batch);
                    engine.acknowledge(now, deployed.sinks[sink], channel, &batch);
                }
            }
        }
        let events = engine.take_events();
        if !events.is_empty() {
            assert_eq!(
                events,
                [Event::Finished {
                    application: deployed.application
                }]
            );
            break;
        }
    }
    (left, engine)
}

/// Arguments of one value.
pub(crate) fn table<const N: usize>(entries: [(&str, &str); N]) -> Value {
    Value::Table(
        entries
            .map(|(name, text)| (name.to_owned(), text.into()))
            .to_vec(),
    )
}

/// Records of a seed: some keys, values that count, event times that advance, a bad one now and then.
pub(crate) fn records(rng: &mut Rng, count: usize) -> Vec<Record> {
    let mut time = 0;
    (0..count)
        .map(|n| {
            time += i64::try_from(rng.below(900)).unwrap();
            let key = i64::try_from(rng.below(5)).unwrap();
            let disorder = i64::try_from(rng.below(300)).unwrap();
            (rng.below(50) > 0).then(|| (key, i64::try_from(n).unwrap(), time - disorder))
        })
        .collect()
}

/// A clock that advances by a microsecond whenever somebody looks.
#[derive(Debug, Default)]
pub(crate) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.fetch_add(1000, Ordering::Relaxed))
    }

    fn thread_cpu(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// Whether these events tell that an application has retired.
pub(crate) fn has_retired(events: &[Event], application: u64) -> bool {
    let mut retired = events
        .iter()
        .filter(|event| matches!(event, Event::Retired { .. }));
    retired.any(|event| event.application() == application)
}
