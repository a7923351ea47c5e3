//! The dataflow: a generator, a filter that passes all, a consumer that counts; and which part of it is where.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use engine::intake::{Intake, Records, bad_schema};
use engine::runtime::{Handle, Runtime};
use engine::{
    Config, Deployed, Deployment, OperatorDeployment, OperatorPart, SinkDeployment, SourcePart,
    columns, operator,
};
use model::plan::Builder;
use model::{
    Arguments, Clock, ComponentId, DataType, Field, NodeId, Origin, Qos, Rng, Schema, SourceName,
    Value, convert,
};

/// What the rows are made from.
pub(super) const SEED: u64 = 1;

/// How large a batch may be. Unit: bytes. Source: a quarter of the largest frame, so that none is cut.
const BATCH_BYTES_MAX: usize = engine::frame::BYTES_MAX / 4;

/// How many different batches are generated; they follow one another again and again.
const BATCHES: usize = 16;

/// How large the key is. Unit: bytes.
const KEY_BYTES: usize = 8;

/// Who numbers the rows.
const ORIGIN: Origin = Origin(1);

/// How many rows of this size a batch has.
pub(super) fn batch_rows(size: usize) -> usize {
    (BATCH_BYTES_MAX / size).clamp(1, engine::batch::ROWS_MAX)
}

/// The columns: a key and text.
pub(super) fn schema() -> Schema {
    let fields = vec![
        Field::new("key", DataType::Int64),
        Field::new("text", DataType::Utf8),
    ];
    Schema::new(fields).expect("two names that differ")
}

/// The batches that are generated.
pub(super) fn batches(size: usize) -> Vec<RecordBatch> {
    let mut rng = Rng::from_seed(SEED);
    let rows = batch_rows(size);
    let mut batch = || {
        let keys = (0..rows).map(|_| rng.below(1 << 62).cast_signed());
        let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(keys));
        let text = (0..rows).map(|_| {
            let letter = |_| char::from(b'a' + u8::try_from(rng.below(26)).expect("below 26"));
            (KEY_BYTES..size).map(letter).collect::<String>()
        });
        let text: ArrayRef = Arc::new(StringArray::from_iter_values(text));
        RecordBatch::try_new(columns::to_arrow(&schema()), vec![keys, text])
            .expect("columns of the schema")
    };
    (0..BATCHES).map(|_| batch()).collect()
}

/// An engine that has its part of the dataflow deployed: the generator and the filter, or the consumer.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) runtime: Runtime,
    pub(super) deployed: Deployed,
}

impl Part {
    pub(super) fn deploy(
        produces: bool,
        workers: NonZeroUsize,
        clock: Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let runtime = Runtime::start(Config::default(), workers.get(), clock)?;
        let deployed = runtime.deploy(deployment(produces)?)?;
        Ok(Self { runtime, deployed })
    }
}

fn deployment(produces: bool) -> anyhow::Result<Deployment> {
    let mut plan = Builder::new("pipe", Qos::default())?;
    let published = SourceName::Published {
        publisher: NodeId([1; 32]),
        name: "generator".into(),
    };
    let outputs = vec![
        ("out".to_owned(), schema()),
        ("bad".to_owned(), bad_schema()),
    ];
    let rows = plan.source("generator", published, outputs)?;
    let rows = rows.port(0).context("a source has a port")?;
    let kind = operator::find("filter").context("there is a filter")?;
    let arguments = Arguments::from_iter([("where", Value::from("key >= 0"))]);
    let compiled = (kind.compile)(&arguments, &[schema()])
        .map_err(|errors| anyhow::anyhow!("the filter does not compile: {errors:?}"))?;
    let (parameters, outputs) = (compiled.parameters.clone(), compiled.outputs.clone());
    let all = plan.operator("all", kind.name, parameters, &[rows], outputs)?;
    plan.sink("count", all.port(0).context("a filter has a port")?)?;
    let plan = plan
        .build()
        .map_err(|errors| anyhow::anyhow!("no plan: {errors:?}"))?;
    let filter = OperatorDeployment {
        compiled,
        numbering: kind.numbering,
        declared: None,
    };
    let target = plan.qos().latency;
    Ok(Deployment {
        plan,
        origins: vec![ORIGIN],
        sources: vec![match produces {
            true => SourcePart::Here,
            false => SourcePart::Elsewhere,
        }],
        operators: vec![match produces {
            true => OperatorPart::Here(filter),
            false => OperatorPart::Elsewhere,
        }],
        sinks: vec![(!produces).then_some(SinkDeployment { target })],
    })
}

/// Offers batches as fast as they are taken, until the engine is stopped.
pub(super) fn generate(
    handle: &Handle,
    application: u64,
    source: ComponentId,
    size: usize,
    clock: &dyn Clock,
) {
    let batches = batches(size);
    let mut intake = Intake::new(ORIGIN, 0);
    let mut micros = 0;
    for columns in batches.iter().cycle() {
        if handle.wait_for_room(application, source).is_err() {
            return;
        }
        let count = u32::try_from(columns.num_rows()).expect("a batch has few rows");
        micros += 1;
        let records = Records {
            count,
            columns: columns.clone(),
            times: vec![micros; columns.num_rows()],
            places: (0..count).collect(),
            bad: Vec::new(),
        };
        handle.offer(source, intake.take(clock.now(), records));
    }
}

/// What was counted so far.
#[derive(Debug, Default)]
pub(super) struct Count {
    pub(super) rows: AtomicU64,
    /// A row is missing, or came twice, or too early.
    pub(super) is_broken: AtomicBool,
}

/// Counts what arrives, until the engine is stopped.
pub(super) fn count(handle: &Handle, application: u64, sink: ComponentId, counted: &Count) {
    let mut last = 0;
    while let Ok((channel, batch)) = handle.receive(application, sink) {
        let interval = batch.header.interval;
        let is_next = interval.after() == last
            && batch.header.missing == 0
            && convert::size(batch.rows.len()) == interval.len();
        if !is_next {
            counted.is_broken.store(true, Ordering::Relaxed);
        }
        last = interval.through();
        counted
            .rows
            .fetch_add(convert::size(batch.rows.len()), Ordering::Relaxed);
        handle.acknowledge(sink, channel, &batch);
    }
}

/// How long anything but measuring may take.
///
/// Unit: time. Source: guess; joining takes a part of a second.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
