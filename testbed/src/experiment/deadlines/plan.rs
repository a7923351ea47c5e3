//! Applications of a scenario as production deploys them, and the batches that their sources give.

use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use engine::intake::{Intake, Records, Taken, bad_schema};
use engine::operator::Numbering;
use engine::scheduler::Policy;
use engine::share::Share;
use engine::{
    Config, Deployed, Deployment, OperatorDeployment, OperatorPart, SinkDeployment, SourcePart,
    columns,
};
use model::plan::{Builder, Stream};
use model::{ComponentId, Instant, NodeId, Origin, Qos, SourceName, convert};

use super::accumulate::{Burner, Load, result_schema, source_schema};
use super::reference::applications;
use super::scenario::{Group, Scenario, micros, millis};
use super::schedule::Arrival;

/// The memory that an engine of an experiment may use: so much that credit, and not memory, is what sources wait for.
///
/// Unit: bytes. Source: 400 streams of at most 1 MiB of credit take a tenth of it; what is not used is not taken.
pub(super) const MEMORY_BYTES: u64 = 4 << 30;

/// An application that was deployed.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) application: u64,
    pub(super) sources: Vec<ComponentId>,
    pub(super) operators: Vec<ComponentId>,
    pub(super) sink: ComponentId,
}

impl Running {
    /// What runs of an application all of which is here; nothing where some is not.
    pub(super) fn of(deployed: Deployed) -> Option<Self> {
        let all = |ids: Vec<Option<ComponentId>>| ids.into_iter().collect::<Option<Vec<_>>>();
        Some(Self {
            application: deployed.application,
            sources: all(deployed.sources)?,
            operators: all(deployed.operators)?,
            sink: deployed.sinks.first().copied()??,
        })
    }
}

/// What is to be deployed of every application, in the order of groups.
pub(super) fn deployments(scenario: &Scenario, burner: &Burner) -> anyhow::Result<Vec<Deployment>> {
    let mut deployments = Vec::new();
    for group in &scenario.group {
        for number in 0..group.count {
            let application = deployments.len();
            let name = format!("{}{number}", group.name);
            deployments.push(deployment(scenario, group, &name, application, burner)?);
        }
    }
    Ok(deployments)
}

fn deployment(
    scenario: &Scenario,
    group: &Group,
    name: &str,
    application: usize,
    burner: &Burner,
) -> anyhow::Result<Deployment> {
    let mut plan = Builder::new(name, Qos::default())?;
    let mut streams: Vec<Stream> = Vec::new();
    for source in 0..group.sources {
        let source_name = format!("source{source}");
        let published = SourceName::Published {
            publisher: NodeId([0; 32]),
            name: format!("{name}_{source_name}"),
        };
        let outputs = vec![
            ("out".to_owned(), source_schema()),
            ("bad".to_owned(), bad_schema()),
        ];
        let accepted = plan.source(&source_name, published, outputs)?;
        streams.extend(accepted.port(0));
    }
    let mut operators = Vec::new();
    for (stage_number, stage) in group.stages.iter().enumerate() {
        let reads_sources = stage_number == 0;
        let rows_per_batch = if reads_sources {
            scenario.rows_per_batch
        } else {
            1
        };
        let mut given = Vec::new();
        for number in 0..stage.operators {
            let load = Load {
                reads_sources,
                slide_micros: convert::micros(millis(group.slide_ms())),
                // Windows are made of slides once; behind that every slide has its window.
                slides: if reads_sources { group.slides() } else { 1 },
                batch: micros(stage.batch_us),
                rows_per_batch,
                cost_noise: scenario.cost_noise,
                closing: micros(stage.closing_us),
                burner: burner.clone(),
            };
            let compiled = load.compiled();
            let inputs: Vec<Stream> = streams
                .iter()
                .skip(number)
                .step_by(stage.operators)
                .copied()
                .collect();
            let accepted = plan.operator(
                &format!("op{stage_number}_{number}"),
                "load",
                compiled.parameters.clone(),
                &inputs,
                compiled.outputs.clone(),
            )?;
            given.extend(accepted.port(0));
            operators.push(OperatorPart::Here(OperatorDeployment {
                compiled,
                numbering: Numbering::Own,
                declared: None,
            }));
        }
        streams = given;
    }
    for stream in streams {
        plan.sink("results", stream)?;
    }
    let plan = plan
        .build()
        .map_err(|errors| anyhow::anyhow!("{errors:?}"))?;
    Ok(Deployment {
        plan,
        origins: (0..group.sources)
            .map(|source| origin(application, source))
            .collect(),
        sources: vec![SourcePart::Here; group.sources],
        operators,
        sinks: vec![Some(SinkDeployment {
            target: millis(group.target_ms),
        })],
    })
}

/// What each application may have under policies that go by shares: what of its rows has a token. Nothing where a group has no share.
pub(super) fn share(scenario: &Scenario, group: &Group, config: Config) -> Option<Share> {
    let sources = convert::count_to_f64(convert::size(group.sources));
    let rows = group.batches_per_second * sources * f64::from(scenario.rows_per_batch);
    let share = group.share.filter(|_| config.policy == Policy::Tokens)?;
    Some(Share::new(rows * share))
}

/// Who numbers the rows of a source.
pub(super) const fn origin(application: usize, source: usize) -> Origin {
    Origin(((application as u128) << 64) + source as u128 + 1)
}

/// The sources of all applications: they give what was drawn.
#[derive(Debug)]
pub(super) struct Sources {
    /// By application and source.
    intakes: Vec<Vec<Intake>>,
    rows: u32,
}

impl Sources {
    /// Sources that have given nothing yet.
    pub(super) fn new(scenario: &Scenario) -> Self {
        let disorder = scenario.disorder_micros();
        let groups = applications(scenario);
        let intake = |application, source| Intake::new(origin(application, source), disorder);
        Self {
            intakes: groups
                .iter()
                .enumerate()
                .map(|(number, group)| (0..group.sources).map(|it| intake(number, it)).collect())
                .collect(),
            rows: scenario.rows_per_batch,
        }
    }

    /// The batch of an arrival in a run that began at `begin`: it has arrived when it was to arrive, however late it is taken.
    pub(super) fn take(&mut self, begin: Instant, arrival: &Arrival) -> Taken {
        let values = (0..i64::from(self.rows)).map(|row| arrival.value + row);
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        let schema = columns::to_arrow(&source_schema());
        let records = Records {
            count: self.rows,
            columns: RecordBatch::try_new(schema, vec![column]).expect("one column of its type"),
            times: vec![arrival.time_micros; convert::index(self.rows.into())],
            places: (0..self.rows).collect(),
            bad: Vec::new(),
        };
        let intake = &mut self.intakes[arrival.application][arrival.source];
        intake.take(begin + arrival.at, records)
    }
}

/// The windows in a batch that left: where each ends, its count and its sum.
pub(super) fn results(batch: &engine::Batch) -> Vec<(i64, i64, i64)> {
    use arrow_array::cast::AsArray;
    use arrow_array::types::Int64Type;
    debug_assert_eq!(
        batch.rows.columns().schema(),
        columns::to_arrow(&result_schema())
    );
    let columns = batch.rows.columns();
    let column = |index: usize| columns.column(index).as_primitive::<Int64Type>();
    let (counts, sums) = (column(0), column(1));
    let rows = batch.rows.times().iter().enumerate();
    rows.map(|(row, time)| (time + 1, counts.value(row), sums.value(row)))
        .collect()
}
