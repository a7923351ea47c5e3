//! Batches that are too large for a frame, in pieces that are not.

use std::sync::Arc;

use super::{EncodeError, batch_len, fits};
use crate::batch::Batch;

/// The batch in pieces of which each fits a frame, in order: in one where it does itself.
///
/// A piece before the last knows nothing of progress, and what is missing counts with the last.
///
/// # Errors
/// When rows that share one index do not fit a frame, or a column is of a type that cannot be sent.
pub fn pieces(batch: &Arc<Batch>) -> Result<Vec<Arc<Batch>>, EncodeError> {
    pieces_that(fits, batch)
}

/// The batch in pieces that fit, of so many bytes each.
pub(super) fn pieces_that(
    fits: impl Fn(&Batch, usize) -> bool,
    batch: &Arc<Batch>,
) -> Result<Vec<Arc<Batch>>, EncodeError> {
    let mut pieces = Vec::new();
    let mut rest = vec![Arc::clone(batch)];
    while let Some(batch) = rest.pop() {
        let len = batch_len(&batch)?;
        if fits(&batch, len) {
            pieces.push(batch);
            continue;
        }
        let Some(through) = middle(&batch) else {
            return Err(EncodeError::TooLarge {
                rows: batch.rows.len(),
                bytes: len,
            });
        };
        rest.push(Arc::new(batch.cut(through)));
        rest.push(Arc::new(batch.head(through)));
    }
    Ok(pieces)
}

/// The index closest to the middle row of a batch behind which rows follow; nothing where all rows share one.
fn middle(batch: &Batch) -> Option<u64> {
    let indices: Vec<u64> = batch.indices().collect();
    let (middle, last) = (*indices.get(indices.len() / 2)?, *indices.last()?);
    if middle < last {
        return Some(middle);
    }
    // The upper half is one index: what lies before it is the best that can be cut off.
    let before = indices.partition_point(|index| *index < last);
    indices[..before].last().copied()
}
