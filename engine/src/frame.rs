//! Frames: the byte form of what crosses an edge between two hosts. Batches downstream, pulls upstream.
//!
//! A frame begins with a byte that tells version and kind. All numbers are little-endian and of fixed width.
//! A batch's columns are decoded only against the schema that was agreed when the edge was opened, in the
//! closed list of types (`columns`). Every count is checked against the bytes that are there before anything
//! is allocated for it, and arrays are built only of checked parts: arrow's own decoders panic on hostile bytes.
//!
//! | batch | bytes | |
//! | --- | --- | --- |
//! | kind | 1 | `0x31` |
//! | origin | 16 | |
//! | after, through | 8, 8 | the interval |
//! | age | 8 | nanoseconds |
//! | sent | 8 | microseconds since the sender opened the edge |
//! | progress | 8 | microseconds since the epoch |
//! | token | 1 | and 8 for the age of a token, in nanoseconds: below zero where its time is to come |
//! | missing | 4 | |
//! | note | 1 | and 32 for the host of `Moved`, 8 for the time of `Begin` |
//! | rows | 4 | how many |
//! | flags | 1 | which of the next two there are |
//! | times, dues, backs | 8, 8, 4 a row | |
//! | columns | | nothing where there is no row |
//!
//! Ages and not instants cross the wire: clocks of two hosts have nothing to do with each other.

mod bytes;
mod columns;
mod pieces;
mod pull;
mod state;
#[cfg(test)]
mod tests;
mod values;

use std::time::Duration;

use arrow_schema::SchemaRef;
use model::{EventTime, Instant, Interval, NodeId, Origin, convert};

use crate::batch::{Batch, Header, Note, Rows, Token};
use crate::edge::ORIGINS_MAX;
use bytes::Reader;

pub use pieces::pieces;
pub use pull::{decode_pull, encode_pull};
pub use state::{decode_piece, decode_state_pull, encode_piece, encode_state_pull};

/// The largest frame.
///
/// Unit: bytes. Source: guess; a batch of 65,536 rows of 256 bytes. The overlay refuses larger ones unseen.
pub const BYTES_MAX: usize = 16 << 20;

/// The most rows of a batch that crosses an edge.
///
/// Unit: rows. Source: the range of [`crate::batch::ROWS_MAX`].
pub const ROWS_MAX: usize = 1 << 16;

const _: () = assert!(
    ORIGINS_MAX * 3 * 24 + 64 <= BYTES_MAX,
    "a pull of as many origins as there may be fits a frame"
);

/// What a frame is, in its version. Another version has other numbers for all of them.
const BATCH: u8 = 0x31;
const PULL: u8 = 0x32;
const STATE: u8 = 0x33;
const STATE_PULL: u8 = 0x34;

/// The bytes of a batch without rows, note and the age of a token.
const HEADER_BYTES: usize = 1 + 16 + 8 + 8 + 8 + 8 + 8 + 1 + 4 + 1 + 4 + 1;

const HAS_DUES: u8 = 1;
const HAS_BACKS: u8 = 2;

/// Why bytes are no frame. Nothing was kept of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// There is no byte, or there are more than [`BYTES_MAX`].
    #[error("a frame of {0} bytes; it has from 1 to {BYTES_MAX}")]
    Size(usize),
    /// It is of another version, or another kind than is expected here.
    #[error("a frame of kind {0:#04x}")]
    Kind(u8),
    /// It ends before it is complete.
    #[error("{wanted} bytes are announced and {left} are left")]
    Short {
        /// How many should follow.
        wanted: usize,
        /// How many do.
        left: usize,
    },
    /// Something follows it.
    #[error("{0} bytes behind the frame")]
    Trailing(usize),
    /// A byte that tells what follows has no meaning.
    #[error("{1:#04x} says nothing of {0}")]
    Flags(&'static str, u8),
    /// The interval runs backward.
    #[error("an interval from {0} to {1}")]
    Interval(u64, u64),
    /// There are more rows than a batch may have.
    #[error("{0} rows; a batch has at most {ROWS_MAX}")]
    Rows(u32),
    /// Rows stand outside of the interval, or not in order.
    #[error("rows outside of their interval or out of order")]
    Places,
    /// A column's text is none: ends that decrease, or bytes that are not UTF-8.
    #[error("column {0} holds no text")]
    Text(usize),
    /// The columns do not make rows of the schema.
    #[error("columns that do not fit the schema: {0}")]
    Columns(String),
    /// There is more of something than there can be.
    #[error("{1} {0}")]
    Count(&'static str, u32),
    /// There are more origins than [`ORIGINS_MAX`], or one twice.
    #[error("{0} origins, at most {ORIGINS_MAX} in order are possible")]
    Origins(u32),
}

impl FrameError {
    /// The word under which frames that were refused for this are counted.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Size(_) => "size",
            Self::Kind(_) => "kind",
            Self::Short { .. } => "short",
            Self::Trailing(_) => "trailing",
            Self::Flags(..) => "flags",
            Self::Interval(..) => "interval",
            Self::Rows(_) => "rows",
            Self::Places => "places",
            Self::Text(_) => "text",
            Self::Columns(_) => "columns",
            Self::Count(..) => "count",
            Self::Origins(_) => "origins",
        }
    }
}

/// Why something of this host cannot be sent. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// It is larger than a frame may be, and one index is all that it covers.
    #[error("{rows} rows of {bytes} bytes; a frame has at most {ROWS_MAX} of {BYTES_MAX} bytes")]
    TooLarge {
        /// How many rows it has.
        rows: usize,
        /// How many bytes they are.
        bytes: usize,
    },
    /// A column is of a type that is not in the closed list.
    #[error("a column of type {0} cannot be sent")]
    Column(String),
    /// A pull names more origins than [`ORIGINS_MAX`].
    #[error("a pull of {0} origins; at most {ORIGINS_MAX} are possible")]
    Origins(usize),
}

/// What a frame told beside its batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Received {
    /// The batch. Its arrival is `now` less its age: the way that the frame took is not in it.
    pub batch: Batch,
    /// When the frame was written, since the sender opened the edge: only differences mean anything.
    pub sent: Duration,
}

impl Received {
    /// The batch, where the frame took this long from the sender to here.
    pub fn after(mut self, transit: Duration) -> Batch {
        self.batch.header.arrival = self.batch.header.arrival.before(transit);
        self.batch
    }
}

/// Appends the bytes of a batch to `out`. The edge was opened at `opened`, by the same clock as `now`.
///
/// # Errors
/// When it does not fit a frame, which [`pieces()`] of it do, or a column is of a type that cannot be sent.
pub fn encode_batch(
    now: Instant,
    opened: Instant,
    batch: &Batch,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let len = batch_len(batch)?;
    if !fits(batch, len) {
        return Err(EncodeError::TooLarge {
            rows: batch.rows.len(),
            bytes: len,
        });
    }
    out.reserve(len);
    let end = out.len() + len;
    let header = &batch.header;
    out.push(BATCH);
    out.extend_from_slice(&header.origin.0.to_le_bytes());
    out.extend_from_slice(&header.interval.after().to_le_bytes());
    out.extend_from_slice(&header.interval.through().to_le_bytes());
    out.extend_from_slice(&convert::nanos(header.age(now)).to_le_bytes());
    out.extend_from_slice(&convert::micros(now.since(opened)).to_le_bytes());
    out.extend_from_slice(&header.progress.0.to_le_bytes());
    match header.token {
        Token::Unmetered => out.push(0),
        Token::At(time) => {
            out.push(1);
            let age = signed_nanos(now) - signed_nanos(time);
            out.extend_from_slice(&age.to_le_bytes());
        }
    }
    out.extend_from_slice(&header.missing.to_le_bytes());
    match header.note {
        None => out.push(0),
        Some(Note::Moved(host)) => {
            out.push(1);
            out.extend_from_slice(&host.0);
        }
        Some(Note::Gone) => out.push(2),
        Some(Note::Gap) => out.push(3),
        Some(Note::Finished) => out.push(4),
        Some(Note::Begin(due)) => {
            out.push(5);
            out.extend_from_slice(&due.0.to_le_bytes());
        }
    }
    encode_rows(&batch.rows, out);
    assert_eq!(out.len(), end, "a batch is as long as was computed");
    Ok(())
}

fn encode_rows(rows: &Rows, out: &mut Vec<u8>) {
    let count = u32::try_from(rows.len()).expect("the rows were counted");
    out.extend_from_slice(&count.to_le_bytes());
    if rows.is_empty() {
        out.push(0);
        return;
    }
    let (dues, backs) = (rows.own_dues(), rows.backs());
    out.push(dues.map_or(0, |_| HAS_DUES) | backs.map_or(0, |_| HAS_BACKS));
    bytes::put(out, rows.times().iter().map(|time| time.to_le_bytes()));
    if let Some(dues) = dues {
        bytes::put(out, dues.iter().map(|due| due.to_le_bytes()));
    }
    if let Some(backs) = backs {
        bytes::put(out, backs.iter().map(|back| back.to_le_bytes()));
    }
    columns::encode(rows.columns(), out);
}

/// How many bytes a batch will be.
fn batch_len(batch: &Batch) -> Result<usize, EncodeError> {
    let rows = &batch.rows;
    let note = match batch.header.note {
        Some(Note::Moved(NodeId(host))) => host.len(),
        Some(Note::Begin(_)) => 8,
        Some(Note::Gone | Note::Gap | Note::Finished) | None => 0,
    };
    let token = match batch.header.token {
        Token::At(_) => 8,
        Token::Unmetered => 0,
    };
    let header = HEADER_BYTES + token + note;
    if rows.is_empty() {
        return Ok(header);
    }
    let dues = rows.own_dues().map_or(0, |_| 8);
    let backs = rows.backs().map_or(0, |_| 4);
    let columns = columns::len(rows.columns())?;
    Ok(header + rows.len() * (8 + dues + backs) + columns)
}

/// Whether a batch of this many bytes may be a frame.
fn fits(batch: &Batch, len: usize) -> bool {
    len <= BYTES_MAX && batch.rows.len() <= ROWS_MAX
}

/// The batch that `bytes` are, of an edge with this schema.
///
/// Takes at most a small multiple of the bytes in memory, and some hundred bytes for each column of the schema.
///
/// # Errors
/// When the bytes are not exactly one batch of this version that any host could have sent.
pub fn decode_batch(
    bytes: &[u8],
    schema: &SchemaRef,
    now: Instant,
) -> Result<Received, FrameError> {
    let mut reader = Reader::of_frame(bytes, BATCH)?;
    let (header, sent) = read_header(&mut reader, now)?;
    let rows = decode_rows(&mut reader, schema, header.interval)?;
    reader.finish()?;
    let batch = Batch { header, rows };
    Ok(Received { batch, sent })
}

/// The header alone of the batch that `bytes` are: its rows are not looked at.
///
/// # Errors
/// When the bytes do not begin as a batch of this version.
pub fn decode_header(bytes: &[u8], now: Instant) -> Result<Header, FrameError> {
    let mut reader = Reader::of_frame(bytes, BATCH)?;
    Ok(read_header(&mut reader, now)?.0)
}

fn read_header(reader: &mut Reader<'_>, now: Instant) -> Result<(Header, Duration), FrameError> {
    let origin = Origin(u128::from_le_bytes(reader.array()?));
    let after = u64::from_le_bytes(reader.array()?);
    let through = u64::from_le_bytes(reader.array()?);
    if after > through {
        return Err(FrameError::Interval(after, through));
    }
    let interval = Interval::new(after, through);
    let age = Duration::from_nanos(u64::from_le_bytes(reader.array()?));
    let sent = Duration::from_micros(u64::from_le_bytes(reader.array()?));
    let header = Header {
        origin,
        interval,
        arrival: now.before(age),
        progress: EventTime(i64::from_le_bytes(reader.array()?)),
        token: decode_token(reader, now)?,
        missing: u32::from_le_bytes(reader.array()?),
        note: decode_note(reader)?,
    };
    Ok((header, sent))
}

fn decode_token(reader: &mut Reader<'_>, now: Instant) -> Result<Token, FrameError> {
    match reader.byte()? {
        0 => Ok(Token::Unmetered),
        1 => {
            let age = i64::from_le_bytes(reader.array()?);
            let nanos = Duration::from_nanos(age.unsigned_abs());
            // Nobody has a token of a time further away than a share is spread over.
            Ok(Token::At(match age {
                0.. => now.before(nanos),
                _ => now + nanos.min(crate::share::SPAN),
            }))
        }
        other => Err(FrameError::Flags("the token", other)),
    }
}

fn signed_nanos(instant: Instant) -> i64 {
    i64::try_from(instant.as_nanos()).unwrap_or(i64::MAX)
}

fn decode_note(reader: &mut Reader<'_>) -> Result<Option<Note>, FrameError> {
    match reader.byte()? {
        0 => Ok(None),
        1 => Ok(Some(Note::Moved(NodeId(reader.array()?)))),
        2 => Ok(Some(Note::Gone)),
        3 => Ok(Some(Note::Gap)),
        4 => Ok(Some(Note::Finished)),
        5 => Ok(Some(Note::Begin(EventTime(i64::from_le_bytes(
            reader.array()?,
        ))))),
        other => Err(FrameError::Flags("the note", other)),
    }
}

fn decode_rows(
    reader: &mut Reader<'_>,
    schema: &SchemaRef,
    interval: Interval,
) -> Result<Rows, FrameError> {
    let count = u32::from_le_bytes(reader.array()?);
    let len = convert::index(count.into());
    if len > ROWS_MAX {
        return Err(FrameError::Rows(count));
    }
    let flags = reader.byte()?;
    if flags & !(HAS_DUES | HAS_BACKS) != 0 || (len == 0 && flags != 0) {
        return Err(FrameError::Flags("due times and places", flags));
    }
    if len == 0 {
        return Ok(Rows::empty(schema.clone()));
    }
    let times = reader.numbers(len, i64::from_le_bytes)?;
    let dues = match flags & HAS_DUES {
        0 => None,
        _ => Some(reader.numbers(len, i64::from_le_bytes)?),
    };
    let backs = match flags & HAS_BACKS {
        0 => None,
        _ => Some(reader.numbers(len, u32::from_le_bytes)?),
    };
    let first_back = backs.as_ref().map_or(count - 1, |backs| backs[0]);
    let is_ordered = backs
        .as_ref()
        .is_none_or(|backs| backs.is_sorted_by(|a, b| a >= b));
    if !is_ordered || u64::from(first_back) >= interval.len() {
        return Err(FrameError::Places);
    }
    let columns = columns::decode(reader, schema, len)?;
    Ok(match backs {
        Some(backs) => Rows::sparse(columns, times, dues, backs),
        None => Rows::dense(columns, times, dues),
    })
}
