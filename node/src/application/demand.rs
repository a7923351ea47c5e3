//! What an application is expected to demand of hosts, before anything of it was measured.
//!
//! Rates flow from sources to sinks: an operator's input is the sum of what it reads, its output that times its
//! selectivity. What a file declares counts; else what is known of the kind; else a default that is said.

use model::plan::Stream;
use model::{DataType, Demand, QueryPlan, Schema, convert};

use super::{Application, Operator, Source};

/// The rate of a source of which nobody said it.
///
/// Unit: rows a second. Source: guess; some dozens of sensors, or a web server at work.
pub const RATE_DEFAULT: f64 = 1_000.0;

/// The mean size of a text whose column says no more. Unit: bytes. Source: guess; a host's name or address.
const TEXT_BYTES: f64 = 24.0;

/// How many rows leave for each that comes in, where nobody said it: as many.
const SELECTIVITY_DEFAULT: f64 = 1.0;

/// What an application is expected to demand.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    /// What each source yields, in the plan's order; cost and selectivity do not count.
    pub source_demands: Vec<Demand>,
    /// What drives each operator and what it costs, in the plan's order.
    pub demands: Vec<Demand>,
    /// Which figures are declared, and which are defaults.
    pub remarks: Vec<String>,
}

/// What `application` is expected to demand.
pub fn estimate(application: &Application) -> Estimate {
    let plan = &application.plan;
    let mut declared = Vec::new();
    let mut assumed = Vec::new();
    let sources = plan.sources().iter().zip(&application.sources);
    let source_demands: Vec<Demand> = sources
        .map(|(part, source)| {
            let rate = source.rate_hz();
            match rate {
                Some(_) => declared.push(format!("rate of {}", part.name)),
                None => assumed.push(format!("{RATE_DEFAULT} rows/s of {}", part.name)),
            }
            let row_bytes = match source {
                Source::Published { publication, .. } => publication.row_bytes,
                Source::Inline(_) => None,
            };
            let schema = part.outputs.first().map(|(_, schema)| schema);
            Demand {
                rows_per_second: rate.unwrap_or(RATE_DEFAULT),
                row_bytes: row_bytes.unwrap_or_else(|| schema.map_or(0.0, row_bytes_of)),
                cost_seconds: 0.0,
                selectivity: 1.0,
            }
        })
        .collect();
    let mut demands: Vec<Demand> = Vec::new();
    let operators = plan.operators().iter().zip(&application.operators);
    for (part, operator) in operators {
        match operator.cost {
            Some(_) => declared.push(format!("cost of {}", part.name)),
            None => assumed.push(format!("the cost of {} by its kind", part.name)),
        }
        if operator.selectivity.is_some() {
            declared.push(format!("selectivity of {}", part.name));
        }
        demands.push(demand(
            plan,
            &part.inputs,
            operator,
            &source_demands,
            &demands,
        ));
    }
    let mut remarks = Vec::new();
    if !declared.is_empty() {
        remarks.push(format!("declared: {}", declared.join(", ")));
    }
    if !assumed.is_empty() {
        remarks.push(format!(
            "assumed, until it is measured: {}",
            assumed.join(", ")
        ));
    }
    Estimate {
        source_demands,
        demands,
        remarks,
    }
}

fn demand(
    plan: &QueryPlan,
    inputs: &[Stream],
    operator: &Operator,
    sources: &[Demand],
    before: &[Demand],
) -> Demand {
    let of = |stream: &Stream| match stream {
        Stream::Source(index, _) => sources[*index],
        Stream::Operator(index, _) => before[*index],
    };
    let rows_per_second: f64 = inputs
        .iter()
        .map(|input| of(input).output_rows_per_second())
        .sum();
    let bytes: f64 = inputs
        .iter()
        .map(|input| of(input).output_rows_per_second() * row_bytes_of(plan.schema(*input)))
        .sum();
    let selectivity = operator.selectivity.or_else(|| {
        let rate = operator.rate_hz?;
        (rows_per_second > 0.0).then(|| rate / rows_per_second)
    });
    Demand {
        rows_per_second,
        row_bytes: if rows_per_second > 0.0 {
            bytes / rows_per_second
        } else {
            0.0
        },
        cost_seconds: cost(operator),
        selectivity: selectivity.unwrap_or(SELECTIVITY_DEFAULT),
    }
}

/// The processing time of a row: declared, or what the kind costs for a row of a full batch.
fn cost(operator: &Operator) -> f64 {
    let default = operator.compiled.cost;
    let rows = convert::count_to_f64(convert::size(engine::batch::ROWS_MAX));
    operator.cost.map_or_else(
        || default.row_seconds + default.batch_seconds / rows,
        |cost| cost.as_secs_f64(),
    )
}

/// The expected size of a row with these columns, in bytes: as it crosses an edge, its event time included.
fn row_bytes_of(schema: &Schema) -> f64 {
    let columns = schema.fields().iter().map(|field| match field.data_type {
        DataType::Boolean => 0.125,
        DataType::Int64 | DataType::UInt64 | DataType::Float64 | DataType::Timestamp => 8.0,
        DataType::Utf8 => TEXT_BYTES + 4.0,
    });
    columns.sum::<f64>() + 8.0
}
