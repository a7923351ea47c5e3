//! The same bytes over plain TCP: a length and a frame, again and again, and who counts them.

use engine::{Batch, Header, Rows, Token, frame};
use model::{EventTime, Instant, Interval, Origin, convert};

use super::flow;

/// What a connection is for: its first byte.
pub(super) const DATA: u8 = b'd';
/// See [`DATA`].
pub(super) const ECHO: u8 = b'e';

/// How much is read at once. Unit: bytes. Source: that of the measurements of the design.
pub(super) const READ_BYTES: usize = 128 << 10;

/// How large a length is. Unit: bytes.
pub(super) const LENGTH_BYTES: usize = 4;

/// A length and the frame of one batch.
pub(super) fn bytes(size: usize) -> anyhow::Result<Vec<u8>> {
    let columns = flow::batches(size).swap_remove(0);
    let len = columns.num_rows();
    let header = Header {
        origin: Origin(1),
        interval: Interval::new(0, convert::size(len)),
        arrival: Instant::ZERO,
        progress: EventTime(1),
        token: Token::Unmetered,
        missing: 0,
        note: None,
    };
    let batch = Batch {
        header,
        rows: Rows::dense(columns, vec![1; len], None),
    };
    let mut bytes = vec![0; LENGTH_BYTES];
    frame::encode_batch(Instant::ZERO, Instant::ZERO, &batch, &mut bytes)?;
    let length = u32::try_from(bytes.len() - LENGTH_BYTES)?;
    bytes[..LENGTH_BYTES].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}
