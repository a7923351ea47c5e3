//! The sequential reference: a plan, evaluated over whole streams, one row after the other.
//!
//! It knows the operators that simulated plans are made of: comparisons of the first column with a number, unions, and counts and sums over tumbling
//! windows of [`WINDOW_MICROS`]. A plan of anything else is an error, so that nothing is left out silently.

use std::collections::BTreeMap;

use model::plan::Stream;
use model::{Origin, QueryPlan, Scalar, Value};

use super::{Offered, Place};

/// How long the windows of simulated plans are. Unit: microseconds. Source: guess; ten rows of a source.
pub(in crate::simulator) const WINDOW_MICROS: i64 = 1_000_000;

/// A row, and where it stands.
#[derive(Debug, Clone, Copy)]
struct Row {
    origin: Origin,
    number: u64,
    value: i64,
    time: i64,
}

/// What is to leave at a sink.
#[derive(Debug, Default)]
pub(super) struct Output {
    pub(super) rows: BTreeMap<Place, Vec<i64>>,
    /// Rows are results of windows, in place of their beginnings, under a made-up origin.
    pub(super) is_windowed: bool,
}

impl Output {
    /// The same results under the name that their component goes by.
    pub(super) fn named(&self, origin: Origin) -> BTreeMap<Place, Vec<i64>> {
        let rows = self.rows.iter();
        let named = rows.map(|((_, place), values)| ((origin, *place), values.clone()));
        named.collect()
    }
}

/// What is to leave at a sink of a plan, of these rows of its sources.
///
/// # Errors
/// What of the plan is not known here, for people.
pub(super) fn evaluate(
    plan: &QueryPlan,
    sources: &[(Origin, &[Offered])],
    sink: usize,
) -> Result<Output, String> {
    let stream = plan.sinks()[sink].input;
    let input = match stream {
        Stream::Operator(index, 0) if plan.operators()[index].kind == "window" => {
            plan.operators()[index].inputs[0]
        }
        other => other,
    };
    let rows = rows(plan, sources, input)?;
    if input == stream {
        let kept = rows.into_iter().map(|row| {
            let place = i64::try_from(row.number).unwrap_or(i64::MAX);
            ((row.origin, place), vec![row.value])
        });
        return Ok(Output {
            rows: kept.collect(),
            is_windowed: false,
        });
    }
    // A window closes when every source has come to its end.
    let ends = sources.iter().map(|(_, rows)| rows.last());
    let progress = ends.map(|last| last.map_or(i64::MIN, |it| it.time)).min();
    let mut windows: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for row in rows {
        let start = row.time.div_euclid(WINDOW_MICROS) * WINDOW_MICROS;
        let (count, sum) = windows.entry(start).or_default();
        *count += 1;
        *sum += row.value;
    }
    let is_closed = |start: &i64| progress.is_some_and(|it| it >= *start + WINDOW_MICROS);
    let closed = windows.into_iter().filter(|(start, _)| is_closed(start));
    let results = closed.map(|(start, (count, sum))| {
        let values = vec![start, start + WINDOW_MICROS, count, sum];
        ((Origin(0), start), values)
    });
    Ok(Output {
        rows: results.collect(),
        is_windowed: true,
    })
}

fn rows(
    plan: &QueryPlan,
    sources: &[(Origin, &[Offered])],
    stream: Stream,
) -> Result<Vec<Row>, String> {
    let operator = match stream {
        Stream::Source(index, 0) => {
            let (origin, offered) = sources[index];
            let rows = offered.iter().map(|it| Row {
                origin,
                number: it.number,
                value: it.value,
                time: it.time,
            });
            return Ok(rows.collect());
        }
        Stream::Operator(index, 0) => &plan.operators()[index],
        other => return Err(format!("{other:?} has no reference")),
    };
    match operator.kind.as_str() {
        "filter" => {
            let condition = operator.parameters.find("where");
            let Some(Value::Scalar(Scalar::Text(text))) = condition else {
                return Err(format!("{condition:?} has no reference"));
            };
            let (is_above, bound) = comparison(text)?;
            let passes = |row: &Row| match is_above {
                true => row.value > bound,
                false => row.value < bound,
            };
            let mut rows = rows(plan, sources, operator.inputs[0])?;
            rows.retain(passes);
            Ok(rows)
        }
        "union" => {
            let mut all = Vec::new();
            for (port, input) in (0..).zip(&operator.inputs) {
                let rows = rows(plan, sources, *input)?;
                all.extend(rows.into_iter().map(|row| Row {
                    origin: row.origin.through_port(port),
                    ..row
                }));
            }
            Ok(all)
        }
        other => Err(format!("{other} has no reference")),
    }
}

/// Whether a condition asks for more or for less, and than what.
fn comparison(text: &str) -> Result<(bool, i64), String> {
    let unknown = || format!("{text:?} has no reference");
    let (_, is_above, bound) = match (text.split_once('>'), text.split_once('<')) {
        (Some((column, bound)), None) => (column, true, bound),
        (None, Some((column, bound))) => (column, false, bound),
        _ => return Err(unknown()),
    };
    let bound = bound.trim().parse().map_err(|_| unknown())?;
    Ok((is_above, bound))
}
