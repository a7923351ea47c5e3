//! Exports as pieces.

use arrow_array::RecordBatch;

use super::{Item, PIECE_BYTES, Piece, Standing};
use crate::columns;
use crate::frame::{self, EncodeError};
use crate::operator::StateChunk;

/// What a dispatch has exported.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) pieces: Vec<Piece>,
    pub(crate) bytes: u64,
}

/// The pieces of an increment.
///
/// # Errors
/// When a retained batch does not fit frames.
pub(crate) fn pieces(
    number: u64,
    base: u64,
    mut standing: Standing,
    chunks: Vec<StateChunk>,
) -> Result<Vec<Piece>, EncodeError> {
    let mut items = Vec::new();
    for chunk in chunks {
        let StateChunk {
            tick,
            part,
            columns,
        } = chunk;
        for (place, columns) in slices(&columns).into_iter().enumerate() {
            let goes_on = place > 0;
            items.push(Item::Chunk {
                tick,
                part,
                goes_on,
                columns,
            });
        }
    }
    for (port, output) in (0..).zip(&mut standing.outputs) {
        for retained in output {
            for batch in std::mem::take(&mut retained.batches) {
                let fitting = frame::pieces(&batch)?;
                items.extend(
                    fitting
                        .into_iter()
                        .map(|batch| Item::Retained { port, batch }),
                );
            }
        }
    }
    items.insert(0, Item::Standing(standing));
    let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
    let piece = |(place, item)| Piece {
        number,
        base,
        place,
        count,
        item,
    };
    Ok((0..).zip(items).map(piece).collect())
}

/// The rows in parts of about [`PIECE_BYTES`], at least one.
fn slices(columns: &RecordBatch) -> Vec<RecordBatch> {
    let rows = columns.num_rows();
    let bytes: usize = columns.columns().iter().map(columns::bytes).sum();
    let parts = bytes.div_ceil(PIECE_BYTES).max(1);
    let step = rows.div_ceil(parts).max(1);
    if rows == 0 {
        return vec![columns.clone()];
    }
    let slice = |start| columns.slice(start, step.min(rows - start));
    (0..rows).step_by(step).map(slice).collect()
}
