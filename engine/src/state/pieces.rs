//! Exports as pieces.

use arrow_array::RecordBatch;

use super::{Item, PIECE_BYTES, Piece, Standing};
use crate::columns;
use crate::frame::{self, EncodeError};
use crate::operator::StateChunk;

/// What a dispatch has exported.
#[derive(Debug)]
pub(crate) struct Exported {
    pub(crate) items: Vec<Item>,
    pub(crate) bytes: u64,
}

impl Exported {
    /// As pieces of an increment that adds to a base, from a place on.
    pub(crate) fn into_pieces(
        self,
        (number, base): (u64, u64),
        place: u32,
    ) -> impl Iterator<Item = Piece> {
        let items = (place..).zip(self.items);
        items.map(move |(place, item)| Piece {
            number,
            base,
            place,
            item,
        })
    }
}

/// What is told of some chunks, and of where the component stands then where they are the last.
///
/// # Errors
/// When a retained batch does not fit frames.
pub(crate) fn exported(
    chunks: Vec<StateChunk>,
    standing: Option<Standing>,
) -> Result<Exported, EncodeError> {
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
    if let Some(mut standing) = standing {
        for (port, output) in (0..).zip(&mut standing.outputs) {
            for retained in output {
                for batch in std::mem::take(&mut retained.batches) {
                    let fitting = frame::pieces(&batch)?.into_iter();
                    items.extend(fitting.map(|batch| Item::Retained { port, batch }));
                }
            }
        }
        items.push(Item::Standing(standing));
    }
    let bytes = items.iter().map(Item::bytes).sum();
    Ok(Exported { items, bytes })
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
