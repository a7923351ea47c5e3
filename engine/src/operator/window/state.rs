//! State chunks: the partials of a window operator as columns, and back.
//!
//! The chunk of a partial has the key columns and, for each aggregate, its state. One more chunk without
//! columns says which windows are closed.

use arrow_array::{ArrayRef, RecordBatch};

use super::panes::{Panes, Partial};
use super::select::Selected;
use super::slots::Windows;
use crate::aggregate::{EncodedKeys, Frozen};
use crate::operator::{Cursor, ImportError, StateChunk, Tick, chunk};

/// The partials that count first behind `since`, and which windows are closed.
pub(super) fn export(
    panes: &mut Panes,
    selected: &Selected,
    since: Option<Tick>,
) -> Vec<StateChunk> {
    freeze(panes, selected, Windows::behind(since));
    panes.export(since, |partial| frozen_columns(selected, partial))
}

/// Some of what was closed behind a cursor.
pub(super) fn export_some(
    panes: &mut Panes,
    selected: &Selected,
    at: &mut Cursor,
    bytes_max: usize,
) -> Vec<StateChunk> {
    let Some(windows) = panes.next_closed(at, bytes_max) else {
        return Vec::new();
    };
    freeze(panes, selected, windows);
    let chunks = panes.chunks(windows, |partial| frozen_columns(selected, partial));
    chunks.collect()
}

fn freeze(panes: &mut Panes, selected: &Selected, windows: Windows) {
    panes
        .freeze(windows, selected.aggregates())
        .expect("accumulators give their state");
}

fn frozen_columns(selected: &Selected, partial: &Partial) -> RecordBatch {
    let frozen = partial.frozen().expect("it was frozen just now");
    to_columns(selected, frozen)
}

/// Takes a chunk in.
pub(super) fn import(
    panes: &mut Panes,
    selected: &Selected,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    panes.import(chunk, |_, columns| {
        from_columns(selected, columns).map(Partial::from)
    })
}

pub(super) fn to_columns(selected: &Selected, frozen: &Frozen) -> RecordBatch {
    let mut columns = selected
        .encoder()
        .decode(frozen.keys().iter())
        .expect("keys are decoded by who encoded them");
    columns.extend(frozen.states().cloned());
    chunk::columns(columns, frozen.keys().len())
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
