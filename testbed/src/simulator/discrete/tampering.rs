//! What no engine does: rows that are doubled or dropped between hosts under positions that look right. It shows that checkers can fail.

use arrow_array::UInt32Array;
use engine::Batch;

/// What is done to the next rows that come to a host, once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tampering {
    /// Each of them stands twice at its place.
    Double,
    /// They are gone, as if an operator had not let them pass.
    Drop,
}

/// A batch as it is to be taken.
pub(super) fn tamper(wanted: &mut Option<Tampering>, batch: Batch) -> Batch {
    let count = u32::try_from(batch.rows.len()).unwrap_or(0);
    let places = match wanted.take_if(|_| count > 0) {
        None => return batch,
        Some(Tampering::Double) => (0..count).flat_map(|row| [row, row]).collect(),
        Some(Tampering::Drop) => UInt32Array::from(Vec::<u32>::new()),
    };
    Batch {
        rows: batch.rows.take(&places),
        ..batch
    }
}
