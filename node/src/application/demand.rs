//! What an application asks of hosts, before anything of it was measured.
//!
//! Rates flow downstream from the sources: an operator's rows are what its inputs yield, what leaves is that times
//! its selectivity. What a file declares counts; for the rest there are defaults, and it is said which.

use std::time::Duration;

use engine::operator::{DefaultCost, Numbering};
use model::plan::{QueryPlan, Stream};
use model::{DataType, Demand, Scalar, Schema, Value};

use crate::connector;

use super::{Application, OpenSource, Operator, Source};

/// The rate of a source that declares none. Unit: rows a second. Source: guess; a sensor gateway, a log.
const RATE_HZ: f64 = 1_000.0;

/// How many rows leave a stateful operator for each that comes in. Source: guess; groups of ten rows.
const SELECTIVITY_STATEFUL: f64 = 0.1;

/// The fraction of rows that leave at the ports `late` and `bad`. Source: guess; they are exceptions.
const EXCEPTIONS: f64 = 0.01;

/// Over how many rows the cost of a batch is spread.
///
/// Unit: rows. Range: 1 to 1,024. Source: guess; batches of moderate streams are small.
const BATCH_ROWS: f64 = 16.0;

/// The time and the positions of a row on the wire. Unit: bytes. Source: the frame, a time and an index.
const ROW_HEADER_BYTES: f64 = 16.0;

/// What a text takes. Unit: bytes. Source: guess; addresses, words and states.
const TEXT_BYTES: f64 = 24.0;

/// What an application asks for, in its plan's order, as an order for the composer has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// What each source yields; cost is nothing and selectivity one.
    pub source_demands: Vec<Demand>,
    /// What drives each operator and what it costs.
    pub demands: Vec<Demand>,
    /// Which figures are declared and which are defaults: a line for each part.
    pub remarks: Vec<String>,
}

/// What is known of a source.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct SourceFigures {
    /// Rows a second, declared or measured.
    pub rate_hz: Option<f64>,
    /// The mean size of a row in bytes, likewise.
    pub row_bytes: Option<f64>,
}

/// What is known of an operator.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OperatorFigures {
    /// The declared processing time of a row, in seconds.
    pub cost_seconds: Option<f64>,
    /// The declared number of rows that leave for each that comes in.
    pub selectivity: Option<f64>,
    /// The declared rate of rows that leave.
    pub rate_hz: Option<f64>,
    /// What its kind costs where nothing is declared.
    pub default_cost: DefaultCost,
    /// Whether it gathers rows before it emits.
    pub is_stateful: bool,
}

/// What an application asks for, from what its file declares.
pub fn estimate(application: &Application) -> Estimate {
    let sources = application.sources.iter().map(SourceFigures::from);
    let operators = application.operators.iter().map(OperatorFigures::from);
    estimate_plan(
        &application.plan,
        &sources.collect::<Vec<_>>(),
        &operators.collect::<Vec<_>>(),
    )
}

/// What a plan asks for, from what is known of its sources and operators, in its order.
///
/// # Panics
/// When there are not as many figures as parts.
pub fn estimate_plan(
    plan: &QueryPlan,
    sources: &[SourceFigures],
    operators: &[OperatorFigures],
) -> Estimate {
    assert_eq!(sources.len(), plan.sources().len());
    assert_eq!(operators.len(), plan.operators().len());
    let mut estimate = Estimate {
        source_demands: Vec::new(),
        demands: Vec::new(),
        remarks: Vec::new(),
    };
    for (part, figures) in plan.sources().iter().zip(sources) {
        let (_, rows) = part.outputs.first().expect("a source has a port");
        let rate_hz = figures.rate_hz.unwrap_or(RATE_HZ);
        let demand = Demand {
            rows_per_second: rate_hz,
            row_bytes: figures.row_bytes.unwrap_or_else(|| row_bytes(rows)),
            cost_seconds: 0.0,
            selectivity: 1.0,
        };
        estimate.source_demands.push(demand);
        let origin = origin(figures.rate_hz.is_some());
        let name = &part.name;
        estimate
            .remarks
            .push(format!("{name}: {} rows/s ({origin})", number(rate_hz)));
    }
    for (part, figures) in plan.operators().iter().zip(operators) {
        let arriving = part
            .inputs
            .iter()
            .map(|input| (leaving(plan, &estimate, *input), *input));
        let arriving: Vec<(f64, Stream)> = arriving.collect();
        let rows_per_second: f64 = arriving.iter().map(|(rate, _)| rate).sum();
        let bytes = arriving
            .iter()
            .map(|(rate, input)| rate * row_bytes(plan.schema(*input)));
        let bytes: f64 = bytes.sum();
        let declared = figures.selectivity.or_else(|| {
            let rate_hz = figures.rate_hz?;
            (rows_per_second > 0.0).then_some(rate_hz / rows_per_second)
        });
        let default = if figures.is_stateful {
            SELECTIVITY_STATEFUL
        } else {
            1.0
        };
        let cost = figures.default_cost;
        let default_seconds = cost.row_seconds + cost.batch_seconds / BATCH_ROWS;
        let demand = Demand {
            rows_per_second,
            row_bytes: if rows_per_second > 0.0 {
                bytes / rows_per_second
            } else {
                0.0
            },
            cost_seconds: figures.cost_seconds.unwrap_or(default_seconds),
            selectivity: declared.unwrap_or(default),
        };
        estimate.demands.push(demand);
        estimate.remarks.push(format!(
            "{}: {} rows/s arrive, {} us for a row ({}), {} leave for each ({})",
            part.name,
            number(rows_per_second),
            number(demand.cost_seconds * 1e6),
            origin(figures.cost_seconds.is_some()),
            number(demand.selectivity),
            origin(declared.is_some()),
        ));
    }
    estimate
}

/// The rate at which rows leave at a port of a part that was estimated already.
fn leaving(plan: &QueryPlan, estimate: &Estimate, stream: Stream) -> f64 {
    let (outputs, port, rate) = match stream {
        Stream::Source(index, port) => (
            &plan.sources()[index].outputs,
            port,
            estimate.source_demands[index].rows_per_second,
        ),
        Stream::Operator(index, port) => (
            &plan.operators()[index].outputs,
            port,
            estimate.demands[index].output_rows_per_second(),
        ),
    };
    let is_exception = |name: &str| ["late", "bad"].contains(&name);
    let (name, _) = &outputs[usize::from(port)];
    if is_exception(name) {
        return rate * EXCEPTIONS;
    }
    // Several ports are branches of a split: rows take one of them.
    let branches = outputs.iter().filter(|(name, _)| !is_exception(name));
    rate / model::convert::count_to_f64(model::convert::size(branches.count()))
}

/// What a row of these columns takes on the wire.
fn row_bytes(schema: &Schema) -> f64 {
    let columns = schema.fields().iter().map(|field| match field.data_type {
        DataType::Boolean => 1.0,
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Timestamp => 8.0,
        DataType::Utf8 => TEXT_BYTES,
    });
    ROW_HEADER_BYTES + columns.sum::<f64>()
}

const fn origin(is_declared: bool) -> &'static str {
    if is_declared { "declared" } else { "default" }
}

/// A figure with three digits that count.
fn number(value: f64) -> String {
    if value >= 100.0 || value.fract().abs() < 1e-9 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.3}")
    }
}

impl From<&Source> for SourceFigures {
    fn from(source: &Source) -> Self {
        match source {
            Source::Inline(open) => Self {
                rate_hz: open.rate_hz.or_else(|| of_every(open)),
                row_bytes: None,
            },
            Source::Published { publication, .. } => Self {
                rate_hz: source.rate_hz(),
                row_bytes: publication.row_bytes,
            },
        }
    }
}

/// A connector that reads every so often says by that how many rows there are.
fn of_every(source: &OpenSource) -> Option<f64> {
    let every = match source.arguments.find("every") {
        Some(Value::Scalar(Scalar::Micros(micros))) if *micros > 0 => {
            Some(Duration::from_micros(micros.unsigned_abs()))
        }
        _ => (source.kind.name == "host").then_some(connector::HOST_EVERY),
    };
    every.map(|every| 1.0 / every.as_secs_f64())
}

impl From<&Operator> for OperatorFigures {
    fn from(operator: &Operator) -> Self {
        Self {
            cost_seconds: operator.cost.map(|cost| cost.as_secs_f64()),
            selectivity: operator.selectivity,
            rate_hz: operator.rate_hz,
            default_cost: operator.compiled.cost,
            is_stateful: operator.kind.numbering == Numbering::Own,
        }
    }
}

#[cfg(test)]
mod tests {
    use model::plan::Builder;
    use model::{Arguments, Field, NodeId, Qos, SourceName};

    use super::*;

    fn schema() -> Schema {
        let fields = vec![
            Field::new("key", DataType::Utf8),
            Field::new("value", DataType::Int64),
        ];
        Schema::new(fields).expect("two columns")
    }

    /// A source, a filter, and a window of what it passes; the late rows of the window are read too.
    fn plan() -> QueryPlan {
        let mut plan = Builder::new("app", Qos::default()).expect("a name");
        let name = SourceName::Published {
            publisher: NodeId([1; 32]),
            name: "rows".to_owned(),
        };
        let port = |name: &str| (name.to_owned(), schema());
        let source = plan.source("rows", name, vec![port("out")]);
        let rows = source.expect("a source").port(0).expect("a port");
        let few = plan.operator(
            "few",
            "filter",
            Arguments::new(),
            &[rows],
            vec![port("out")],
        );
        let few = few.expect("an operator").port(0).expect("a port");
        let ports = vec![port("out"), port("late")];
        let sums = plan.operator("sums", "window", Arguments::new(), &[few], ports);
        let sums = sums.expect("an operator");
        let late = sums.port(1).expect("a port");
        let kept = plan.operator(
            "kept",
            "filter",
            Arguments::new(),
            &[late],
            vec![port("out")],
        );
        plan.sink("out", sums.port(0).expect("a port"))
            .expect("a sink");
        let kept = kept.expect("an operator").port(0).expect("a port");
        plan.sink("late", kept).expect("a sink");
        plan.build().expect("a plan")
    }

    const FIGURES: OperatorFigures = OperatorFigures {
        cost_seconds: None,
        selectivity: None,
        rate_hz: None,
        default_cost: DefaultCost {
            batch_seconds: 16e-6,
            row_seconds: 1e-6,
        },
        is_stateful: false,
    };

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-9 * b.abs().max(1.0)
    }

    #[test]
    fn rates_flow_downstream() {
        let source = SourceFigures {
            rate_hz: Some(500.0),
            row_bytes: None,
        };
        let few = OperatorFigures {
            selectivity: Some(0.2),
            cost_seconds: Some(3e-6),
            ..FIGURES
        };
        let sums = OperatorFigures {
            is_stateful: true,
            ..FIGURES
        };
        let estimate = estimate_plan(&plan(), &[source], &[few, sums, FIGURES]);
        let rates: Vec<f64> = estimate
            .demands
            .iter()
            .map(|it| it.rows_per_second)
            .collect();
        assert!(close(rates[0], 500.0), "{rates:?}");
        assert!(close(rates[1], 100.0), "{rates:?}");
        assert!(close(rates[2], 0.1), "{rates:?}");
        assert!(close(estimate.demands[0].cost_seconds, 3e-6));
        assert!(close(estimate.demands[1].cost_seconds, 2e-6));
        assert!(close(estimate.demands[0].row_bytes, 48.0));
        assert!(close(estimate.source_demands[0].row_bytes, 48.0));
        assert_eq!(
            estimate.remarks,
            [
                "rows: 500 rows/s (declared)",
                "few: 500 rows/s arrive, 3 us for a row (declared), 0.200 leave for each (declared)",
                "sums: 100 rows/s arrive, 2 us for a row (default), 0.100 leave for each (default)",
                "kept: 0.100 rows/s arrive, 2 us for a row (default), 1 leave for each (default)",
            ]
        );
    }

    #[test]
    fn a_declared_rate_of_what_leaves_is_a_selectivity() {
        let few = OperatorFigures {
            rate_hz: Some(50.0),
            ..FIGURES
        };
        let estimate = estimate_plan(
            &plan(),
            &[SourceFigures::default()],
            &[few, FIGURES, FIGURES],
        );
        assert!(close(estimate.demands[0].selectivity, 0.05));
        assert!(close(estimate.source_demands[0].rows_per_second, RATE_HZ));
    }
}
