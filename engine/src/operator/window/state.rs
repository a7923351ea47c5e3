//! State chunks: the partials of a window operator as columns, and back.
//!
//! The chunk of a partial has the key columns and, for each aggregate, its state. One more chunk without
//! columns says which windows are closed.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Field, Schema};
use model::Origin;

use super::layout::{Layout, Place};
use super::panes::{Panes, Slot};
use super::select::Selected;
use crate::aggregate::{EncodedKeys, Frozen};
use crate::operator::{ImportError, Part, StateChunk, Tick};

/// The part that says which windows are closed; its tick is the earliest that is not. No pane has this number.
const CLOSED: Part = Part {
    origin: Origin(0),
    number: i64::MIN,
};

/// The partials that count first behind `since`, and which windows are closed.
pub(super) fn export(
    panes: &mut Panes,
    selected: &Selected,
    since: Option<Tick>,
) -> Vec<StateChunk> {
    let since = since.map_or(i64::MIN, |tick| tick.0);
    let partials = panes
        .export(since, selected.aggregates())
        .expect("accumulators give their state");
    let closed = StateChunk {
        tick: Tick(panes.open()),
        part: CLOSED,
        columns: batch(Vec::new(), 0),
    };
    let partials = partials.into_iter().map(|(slot, frozen)| StateChunk {
        tick: Tick(slot.place.first),
        part: Part {
            origin: slot.origin,
            number: slot.place.pane,
        },
        columns: to_columns(selected, &frozen),
    });
    std::iter::once(closed)
        .filter(|closed| closed.tick.0 > since)
        .chain(partials)
        .collect()
}

/// Takes a chunk in.
pub(super) fn import(
    panes: &mut Panes,
    layout: Layout,
    selected: &Selected,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    if chunk.part == CLOSED {
        panes.open_from(chunk.tick.0);
        return Ok(());
    }
    let place = Place {
        pane: chunk.part.number,
        first: chunk.tick.0,
    };
    if !layout.has(place) {
        return Err(ImportError::Columns(format!(
            "pane {} does not count first in window {}",
            place.pane, place.first
        )));
    }
    let frozen = from_columns(selected, &chunk.columns)?;
    let slot = Slot {
        place,
        origin: chunk.part.origin,
    };
    panes.replace(slot, frozen);
    Ok(())
}

pub(super) fn to_columns(selected: &Selected, frozen: &Frozen) -> RecordBatch {
    let mut columns = selected
        .encoder()
        .decode(frozen.keys().iter())
        .expect("keys are decoded by who encoded them");
    columns.extend(frozen.states().cloned());
    batch(columns, frozen.keys().len())
}

pub(super) fn batch(columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| Field::new(index.to_string(), column.data_type().clone(), true))
        .collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)
        .expect("keys and states have a row for each group")
}

/// The partial that these columns are, accumulated anew: what does not merge here would not merge later.
pub(super) fn from_columns(
    selected: &Selected,
    columns: &RecordBatch,
) -> Result<Frozen, ImportError> {
    let refuse = |message: String| ImportError::Columns(message);
    let aggregates = selected.aggregates();
    let keys = selected.key_types();
    let wanted = keys.iter().chain(aggregates.state_types().iter().flatten());
    let given = columns.schema();
    let given = given.fields().iter().map(|field| field.data_type());
    if given.clone().count() != wanted.clone().count() {
        return Err(refuse(format!(
            "{} columns instead of {}",
            given.count(),
            wanted.count()
        )));
    }
    if let Some((given, wanted)) = given
        .zip(wanted)
        .find(|(given, wanted)| !given.equals_datatype(wanted))
    {
        return Err(refuse(format!("a column of {given} instead of {wanted}")));
    }
    let (keys, mut states) = columns.columns().split_at(keys.len());
    let states: Vec<Vec<ArrayRef>> = aggregates
        .state_types()
        .iter()
        .map(|types| {
            let (state, rest) = states.split_at(types.len());
            states = rest;
            state.to_vec()
        })
        .collect();
    let mut encoded = EncodedKeys::default();
    selected
        .encoder()
        .encode_columns(keys, &mut encoded)
        .map_err(|error| refuse(error.to_string()))?;
    let mut groups = aggregates.groups();
    groups
        .merge_rows(&encoded, columns.num_rows(), &states)
        .and_then(|()| groups.freeze())
        .map_err(|error| refuse(error.to_string()))
}
