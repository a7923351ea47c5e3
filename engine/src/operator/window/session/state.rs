//! State chunks of sessions: the fragments as columns, and back.
//!
//! The chunk of a fragment has what that of a window's partial has, and two columns behind it: the first and
//! the last time of each group. One more chunk without columns says which ticks are closed.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;

use super::fragment::{Done, Span, Spans};
use super::runs::{self, Runs};
use crate::operator::chunk::{self, CLOSED};
use crate::operator::window::select::Selected;
use crate::operator::window::state::{from_columns, to_columns};
use crate::operator::{ImportError, Part, StateChunk, Tick, ticks};

/// The panes that change behind `since`, and which ticks are closed.
pub(super) fn export(runs: &mut Runs, selected: &Selected, since: Option<Tick>) -> Vec<StateChunk> {
    let fragments = runs
        .export(since.map_or(i64::MIN, |tick| tick.0), selected.aggregates())
        .expect("accumulators give their state");
    let fragments = fragments
        .into_iter()
        .map(|(pane, origin, done)| StateChunk {
            tick: Tick(runs.listing(pane)),
            part: Part {
                origin,
                number: pane,
            },
            columns: with_spans(&to_columns(selected, &done.frozen), &done.spans),
        });
    chunk::export(ticks::open(runs.closed()), since, fragments)
}

/// Takes a chunk in.
pub(super) fn import(
    runs: &mut Runs,
    selected: &Selected,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    if chunk.part == CLOSED {
        runs.close_through(chunk.tick.0.saturating_sub(1));
    } else {
        let pane = chunk.part.number;
        let done = from_chunk(runs, selected, chunk)?;
        runs.replace(pane, chunk.part.origin, done);
    }
    runs.relist(selected.aggregates())
        .map_err(|error| ImportError::Columns(error.to_string()))
}

fn with_spans(columns: &RecordBatch, spans: &Spans) -> RecordBatch {
    let times = |time: fn(&Span) -> i64| -> ArrayRef {
        Arc::new(
            spans
                .0
                .iter()
                .map(|span| Some(time(span)))
                .collect::<Int64Array>(),
        )
    };
    let rows = columns.num_rows();
    let mut columns = columns.columns().to_vec();
    columns.extend([times(|span| span.first), times(|span| span.last)]);
    chunk::columns(columns, rows)
}

/// The fragment that these columns are.
fn from_chunk(runs: &Runs, selected: &Selected, chunk: &StateChunk) -> Result<Done, ImportError> {
    let refuse = |message: String| ImportError::Columns(message);
    let pane = chunk.part.number;
    let start = pane.checked_mul(runs.gap_micros());
    let start = start.filter(|start| runs::reachable().contains(start));
    let start = start.filter(|_| chunk.tick.0 == runs.listing(pane));
    let Some(start) = start else {
        return Err(refuse(format!(
            "pane {pane} is not complete in tick {}",
            chunk.tick.0
        )));
    };
    let columns = chunk.columns.columns();
    let Some((states, [first, last])) = columns.split_last_chunk::<2>() else {
        return Err(refuse(format!("{} columns without times", columns.len())));
    };
    let are_times =
        |column: &ArrayRef| *column.data_type() == DataType::Int64 && column.null_count() == 0;
    if ![first, last].into_iter().all(are_times) {
        return Err(refuse("columns of times that are none".into()));
    }
    let times = |column: &ArrayRef| column.as_primitive::<Int64Type>().values().to_vec();
    let spans = times(first).into_iter().zip(times(last));
    let spans: Vec<Span> = spans.map(|(first, last)| Span { first, last }).collect();
    let end = start + runs.gap_micros();
    let is_here = |span: &Span| {
        runs::reachable().contains(&span.first) && (span.first..end).contains(&span.last)
    };
    if !spans.iter().all(is_here) {
        return Err(refuse(format!("times that are not of pane {pane}")));
    }
    let rows = spans.len();
    let frozen = from_columns(selected, &chunk::columns(states.to_vec(), rows))?;
    if frozen.keys().len() != rows {
        return Err(refuse("a key that is there twice".into()));
    }
    Ok(Done {
        frozen,
        spans: Spans(spans),
    })
}
