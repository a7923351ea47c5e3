//! State chunks of sessions: the fragments as columns, and back.
//!
//! The chunk of a fragment has what that of a window's groups has, and two columns behind it: the first and
//! the last time of each group.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::DataType;

use super::fragment::{Fragment, Span, Spans};
use super::runs::{self, Place, Runs};
use crate::operator::chunk::{self, ANEW, CLOSED};
use crate::operator::window::select::Selected;
use crate::operator::window::state::{from_columns, tell, to_columns};
use crate::operator::{Cursor, ExportPart, ImportError, StateChunk};

/// The next part of the panes that change behind a cursor.
pub(super) fn export(
    runs: &mut Runs,
    selected: &Selected,
    at: &mut Cursor,
    bytes_max: usize,
) -> ExportPart {
    runs.export(at, bytes_max, |fragment, page, export| {
        let Fragment { groups, spans } = fragment;
        let told = tell(groups, selected, page, export)?;
        let columns = to_columns(selected, groups, &told);
        let spans = told.groups.iter().map(|group| spans.of(*group));
        Some(with_spans(&columns, &spans.collect::<Vec<_>>()))
    })
}

/// Takes a chunk in.
pub(super) fn import(
    runs: &mut Runs,
    selected: &Selected,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    match chunk.part {
        CLOSED => runs.close_through(chunk.tick.0.saturating_sub(1)),
        ANEW => runs.forget_from(chunk.tick.0),
        part => {
            let place = Place::of_part(part);
            let fragment = from_chunk(runs, selected, place, chunk)?;
            runs.append(place, &fragment, selected.aggregates());
        }
    }
    Ok(())
}

fn with_spans(columns: &RecordBatch, spans: &[Span]) -> RecordBatch {
    let times = |time: fn(&Span) -> i64| -> ArrayRef {
        Arc::new(Int64Array::from_iter_values(spans.iter().map(time)))
    };
    let rows = columns.num_rows();
    let mut columns = columns.columns().to_vec();
    columns.extend([times(|span| span.first), times(|span| span.last)]);
    chunk::columns(columns, rows)
}

/// The fragment that these columns are.
fn from_chunk(
    runs: &Runs,
    selected: &Selected,
    place: Place,
    chunk: &StateChunk,
) -> Result<Fragment, ImportError> {
    let refuse = |message: String| ImportError::Columns(message);
    let Place { pane, is_own, .. } = place;
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
    // What came from the pane before has its last row there.
    let end = start + if is_own { runs.gap_micros() } else { 0 };
    let is_here = |span: &Span| {
        runs::reachable().contains(&span.first) && (span.first..end).contains(&span.last)
    };
    if !spans.iter().all(is_here) {
        return Err(refuse(format!("times that are not of pane {pane}")));
    }
    let states = chunk::columns(states.to_vec(), spans.len());
    let (groups, of_rows) = from_columns(selected, &states)?;
    let mut fragment = Fragment {
        groups,
        spans: Spans::default(),
    };
    for (group, span) in of_rows.into_iter().zip(spans) {
        fragment.spans.join(group, span);
    }
    Ok(fragment)
}
