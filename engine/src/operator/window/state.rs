//! State chunks: the groups of a window operator as columns, and back.
//!
//! The chunk of a slot has the key columns and, for each aggregate, its state: of a slot's groups, or of the rows that came to them behind what was told.

use arrow_array::{ArrayRef, RecordBatch};

use super::panes::Panes;
use super::select::Selected;
use crate::aggregate::{EncodedKeys, Groups, Told};
use crate::operator::{Cursor, ExportPart, ImportError, StateChunk, chunk};

/// The next part of what counts first behind a cursor.
pub(super) fn export(
    panes: &mut Panes,
    selected: &Selected,
    at: &mut Cursor,
    bytes_max: usize,
) -> ExportPart {
    panes.export(at, bytes_max, |groups, page, export| {
        let told = tell(groups, selected, page, export)?;
        Some(to_columns(selected, groups, &told))
    })
}

/// Takes a chunk in.
pub(super) fn import(
    panes: &mut Panes,
    selected: &Selected,
    chunk: &StateChunk,
) -> Result<(), ImportError> {
    panes.import(
        chunk,
        |_, columns| from_columns(selected, columns).map(|(groups, _)| groups),
        |groups, later| {
            groups
                .append(&later)
                .expect("accumulators give their state");
        },
    )
}

/// What a page has that was not told in an export.
pub(super) fn tell(
    groups: &mut Groups,
    selected: &Selected,
    page: usize,
    export: usize,
) -> Option<Told> {
    groups
        .tell(selected.aggregates(), page, export)
        .expect("accumulators give their state")
}

pub(super) fn to_columns(selected: &Selected, groups: &Groups, told: &Told) -> RecordBatch {
    let keys = told.groups.iter().map(|group| groups.keys().key(*group));
    let mut columns = selected
        .encoder()
        .decode(keys)
        .expect("keys are decoded by who encoded them");
    columns.extend(told.states.iter().cloned());
    chunk::columns(columns, told.groups.len())
}

/// The groups that these columns are, and that of each row.
pub(super) fn from_columns(
    selected: &Selected,
    columns: &RecordBatch,
) -> Result<(Groups, Vec<usize>), ImportError> {
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
    let (keys, states): (&[ArrayRef], &[ArrayRef]) = columns.columns().split_at(keys.len());
    let mut encoded = EncodedKeys::default();
    selected
        .encoder()
        .encode_columns(keys, &mut encoded)
        .map_err(|error| refuse(error.to_string()))?;
    Groups::of_state(aggregates, &encoded, columns.num_rows(), states)
        .map_err(|error| refuse(error.to_string()))
}
