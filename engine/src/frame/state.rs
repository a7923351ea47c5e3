//! State streams on the wire.
//!
//! | piece | bytes | |
//! | --- | --- | --- |
//! | kind | 1 | `0x33` |
//! | number, base | 8, 8 | the increment, and the one it adds to |
//! | place | 4 | among the pieces of the increment; the one that says where it stands is the last |
//! | item | 1 | 1 where it stands, 2 a chunk of state, 3 more of the chunk before, 4 a retained batch |
//!
//! | standing | bytes | |
//! | --- | --- | --- |
//! | late, bad | 8, 8 | rows left out since the first instance began |
//! | inputs | 2 | how many, and positions for each, as in a pull |
//! | counted | 1 | 0 or 1; what follows only then |
//! | reached, progress, complete from | 8, 8, 8 | microseconds since the epoch |
//! | through | 8 | |
//! | chunks | 8, 8 | a tick, and how many chunks of it there were |
//! | missing | 4 | |
//! | ways | 4 | how many, and for each port, origin, progress and whether it was joined blindly: 2, 16, 8, 1 |
//! | outputs | 2 | how many, and for each a count of 4 and as many origins |
//! | an origin | 16, 8, 8, 8, 8, 8 | which, up to where it was released, the progress there and up to when that was due, its progress, the last index before what is new |
//!
//! | chunk | bytes | |
//! | --- | --- | --- |
//! | tick, origin, part | 8, 16, 8 | |
//! | rows, columns | 4, 2 | and the columns, with their types (`values`) |
//!
//! | retained batch | bytes | |
//! | --- | --- | --- |
//! | port | 2 | and the batch, as its own frame is |
//!
//! | pull | bytes | |
//! | --- | --- | --- |
//! | kind | 1 | `0x34` |
//! | flags | 1 | 1 for goodbye |
//! | holds, request | 8, 8 | |

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_schema::SchemaRef;
use model::{EventTime, Instant, Origin, Positions, convert};

use super::bytes::Reader;
use super::pull::{put_positions, take_positions};
use super::{EncodeError, FrameError, STATE, STATE_PULL, values};
use crate::edge::{Mark, ORIGINS_MAX, Retained};
use crate::mailbox::Channel;
use crate::operator::{Part, Tick};
use crate::state::{Item, PIECES_MAX, Piece, Standing, StatePull};
use crate::step::Counted;

const STANDING: u8 = 1;
const CHUNK: u8 = 2;
const CHUNK_GOES_ON: u8 = 3;
const RETAINED: u8 = 4;

const GOODBYE: u8 = 1;

/// The most ports that a component may have, in or out.
///
/// Unit: count. Source: a set of ports has so many bits.
const PORTS_MAX: usize = 128;

/// The bytes of a way in and of an origin that is retained.
const WAY_BYTES: usize = 2 + 16 + 8 + 1;
const RETAINED_BYTES: usize = 16 + 8 * 5;

/// Appends the bytes of a piece to `out`. The edge was opened at `opened`, by the same clock as `now`.
///
/// # Errors
/// When a batch, or a row of the state, does not fit a frame, or a column is of a type that cannot be sent.
pub fn encode_piece(
    now: Instant,
    opened: Instant,
    piece: &Piece,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(STATE);
    out.extend_from_slice(&piece.number.to_le_bytes());
    out.extend_from_slice(&piece.base.to_le_bytes());
    out.extend_from_slice(&piece.place.to_le_bytes());
    match &piece.item {
        Item::Standing(standing) => {
            out.push(STANDING);
            put_standing(standing, out)?;
        }
        Item::Chunk {
            tick,
            part,
            goes_on,
            columns,
        } => {
            out.push(if *goes_on { CHUNK_GOES_ON } else { CHUNK });
            out.extend_from_slice(&tick.0.to_le_bytes());
            out.extend_from_slice(&part.origin.0.to_le_bytes());
            out.extend_from_slice(&part.number.to_le_bytes());
            values::encode(columns, out)?;
        }
        Item::Retained { port, batch } => {
            out.push(RETAINED);
            out.extend_from_slice(&port.to_le_bytes());
            super::encode_batch(now, opened, batch, out)?;
        }
    }
    let bytes = out.len() - start;
    if bytes > super::BYTES_MAX {
        out.truncate(start);
        return Err(EncodeError::TooLarge { rows: 1, bytes });
    }
    Ok(())
}

/// The piece that `bytes` are, of a component whose output ports have these columns.
///
/// Takes at most a small multiple of the bytes in memory.
///
/// # Errors
/// When the bytes are not exactly one piece of this version.
pub fn decode_piece(
    bytes: &[u8],
    schemas: &[SchemaRef],
    now: Instant,
) -> Result<Piece, FrameError> {
    let mut reader = Reader::of_frame(bytes, STATE)?;
    let number = u64::from_le_bytes(reader.array()?);
    let base = u64::from_le_bytes(reader.array()?);
    let place = u32::from_le_bytes(reader.array()?);
    if place >= PIECES_MAX {
        return Err(FrameError::Count("pieces", place));
    }
    let item = match reader.byte()? {
        STANDING => Item::Standing(take_standing(&mut reader)?),
        RETAINED => {
            let port = u16::from_le_bytes(reader.array()?);
            let schema = schemas.get(usize::from(port));
            let schema = schema.ok_or_else(|| FrameError::Count("output ports", port.into()))?;
            let batch = super::decode_batch(reader.take(reader.len())?, schema, now)?.batch;
            let batch = Arc::new(batch);
            Item::Retained { port, batch }
        }
        kind @ (CHUNK | CHUNK_GOES_ON) => Item::Chunk {
            tick: Tick(i64::from_le_bytes(reader.array()?)),
            part: Part {
                origin: Origin(u128::from_le_bytes(reader.array()?)),
                number: i64::from_le_bytes(reader.array()?),
            },
            goes_on: kind == CHUNK_GOES_ON,
            columns: values::decode(&mut reader)?,
        },
        other => return Err(FrameError::Flags("the item", other)),
    };
    reader.finish()?;
    Ok(Piece {
        number,
        base,
        place,
        item,
    })
}

/// Appends the bytes of a state pull to `out`.
pub fn encode_state_pull(pull: StatePull, out: &mut Vec<u8>) {
    out.extend_from_slice(&[STATE_PULL, u8::from(pull.is_goodbye)]);
    out.extend_from_slice(&pull.holds.to_le_bytes());
    out.extend_from_slice(&pull.request.to_le_bytes());
}

/// The state pull that `bytes` are.
///
/// # Errors
/// When the bytes are not exactly one pull of this version.
pub fn decode_state_pull(bytes: &[u8]) -> Result<StatePull, FrameError> {
    let mut reader = Reader::of_frame(bytes, STATE_PULL)?;
    let flags = reader.byte()?;
    if flags & !GOODBYE != 0 {
        return Err(FrameError::Flags("a state pull", flags));
    }
    let pull = StatePull {
        holds: u64::from_le_bytes(reader.array()?),
        request: u64::from_le_bytes(reader.array()?),
        is_goodbye: flags == GOODBYE,
    };
    reader.finish()?;
    Ok(pull)
}

fn put_standing(standing: &Standing, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let Standing {
        inputs,
        counted,
        outputs,
        late,
        bad,
    } = standing;
    out.extend_from_slice(&late.to_le_bytes());
    out.extend_from_slice(&bad.to_le_bytes());
    put_count(inputs.len(), out);
    for positions in inputs {
        put_positions(positions, out)?;
    }
    out.push(u8::from(counted.is_some()));
    if let Some(counted) = counted {
        let Counted {
            inputs,
            reached,
            through,
            chunks,
            progress,
            missing,
            complete_from,
            joined_blindly,
        } = counted;
        for time in [reached, progress, complete_from] {
            out.extend_from_slice(&time.0.to_le_bytes());
        }
        out.extend_from_slice(&through.to_le_bytes());
        out.extend_from_slice(&chunks.0.0.to_le_bytes());
        out.extend_from_slice(&chunks.1.to_le_bytes());
        out.extend_from_slice(&missing.to_le_bytes());
        put_origins(inputs.len(), out)?;
        for (channel, progress) in inputs {
            out.extend_from_slice(&channel.port.to_le_bytes());
            out.extend_from_slice(&channel.origin.0.to_le_bytes());
            out.extend_from_slice(&progress.0.to_le_bytes());
            out.push(u8::from(joined_blindly.contains(channel)));
        }
    }
    put_count(outputs.len(), out);
    for output in outputs {
        put_origins(output.len(), out)?;
        for retained in output {
            out.extend_from_slice(&retained.origin.0.to_le_bytes());
            out.extend_from_slice(&retained.released.index.to_le_bytes());
            out.extend_from_slice(&retained.released.progress.0.to_le_bytes());
            out.extend_from_slice(&retained.released.due.0.to_le_bytes());
            out.extend_from_slice(&retained.progress.0.to_le_bytes());
            out.extend_from_slice(&retained.after.to_le_bytes());
        }
    }
    Ok(())
}

fn take_standing(reader: &mut Reader<'_>) -> Result<Standing, FrameError> {
    let late = u64::from_le_bytes(reader.array()?);
    let bad = u64::from_le_bytes(reader.array()?);
    let inputs = take_count(reader)?;
    let inputs = (0..inputs).map(|_| take_positions(reader));
    let inputs = inputs.collect::<Result<Vec<Positions>, FrameError>>()?;
    let counted = match reader.byte()? {
        0 => None,
        1 => Some(take_counted(reader)?),
        other => return Err(FrameError::Flags("what was counted", other)),
    };
    let outputs = take_count(reader)?;
    let outputs = (0..outputs).map(|_| take_output(reader));
    Ok(Standing {
        inputs,
        counted,
        outputs: outputs.collect::<Result<Vec<_>, FrameError>>()?,
        late,
        bad,
    })
}

fn take_counted(reader: &mut Reader<'_>) -> Result<Counted, FrameError> {
    let mut time = || Ok(EventTime(i64::from_le_bytes(reader.array()?)));
    let (reached, progress, complete_from) = (time()?, time()?, time()?);
    let mut counted = Counted {
        inputs: BTreeMap::new(),
        reached,
        through: u64::from_le_bytes(reader.array()?),
        chunks: (
            Tick(i64::from_le_bytes(reader.array()?)),
            u64::from_le_bytes(reader.array()?),
        ),
        progress,
        missing: u32::from_le_bytes(reader.array()?),
        complete_from,
        joined_blindly: BTreeSet::new(),
    };
    let count = take_origins(reader, WAY_BYTES)?;
    for _ in 0..count {
        let channel = Channel {
            port: u16::from_le_bytes(reader.array()?),
            origin: Origin(u128::from_le_bytes(reader.array()?)),
        };
        let progress = EventTime(i64::from_le_bytes(reader.array()?));
        let last = counted.inputs.last_key_value();
        if last.is_some_and(|(last, _)| *last >= channel) {
            return Err(FrameError::Origins(count));
        }
        counted.inputs.insert(channel, progress);
        match reader.byte()? {
            0 => {}
            1 => {
                counted.joined_blindly.insert(channel);
            }
            other => return Err(FrameError::Flags("a way in", other)),
        }
    }
    Ok(counted)
}

fn take_output(reader: &mut Reader<'_>) -> Result<Vec<Retained>, FrameError> {
    let count = take_origins(reader, RETAINED_BYTES)?;
    let mut output: Vec<Retained> = Vec::with_capacity(convert::index(count.into()));
    for _ in 0..count {
        let retained = Retained {
            origin: Origin(u128::from_le_bytes(reader.array()?)),
            released: Mark {
                index: u64::from_le_bytes(reader.array()?),
                progress: EventTime(i64::from_le_bytes(reader.array()?)),
                due: EventTime(i64::from_le_bytes(reader.array()?)),
            },
            progress: EventTime(i64::from_le_bytes(reader.array()?)),
            after: u64::from_le_bytes(reader.array()?),
            batches: Vec::new(),
        };
        if output.iter().any(|known| known.origin == retained.origin) {
            return Err(FrameError::Origins(count));
        }
        output.push(retained);
    }
    Ok(output)
}

fn put_count(count: usize, out: &mut Vec<u8>) {
    let count = u16::try_from(count).expect("a component has fewer ports");
    out.extend_from_slice(&count.to_le_bytes());
}

fn take_count(reader: &mut Reader<'_>) -> Result<usize, FrameError> {
    let count = u16::from_le_bytes(reader.array()?);
    match usize::from(count) {
        ports @ 0..=PORTS_MAX => Ok(ports),
        _ => Err(FrameError::Count("ports", count.into())),
    }
}

fn put_origins(count: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if count > ORIGINS_MAX {
        return Err(EncodeError::Origins(count));
    }
    let count = u32::try_from(count).expect("the origins were counted");
    out.extend_from_slice(&count.to_le_bytes());
    Ok(())
}

/// How many entries of so many bytes follow: no more than are there.
fn take_origins(reader: &mut Reader<'_>, bytes: usize) -> Result<u32, FrameError> {
    let count = u32::from_le_bytes(reader.array()?);
    let len = convert::index(count.into());
    if len > ORIGINS_MAX {
        return Err(FrameError::Origins(count));
    }
    let (wanted, left) = (len * bytes, reader.len());
    match left < wanted {
        true => Err(FrameError::Short { wanted, left }),
        false => Ok(count),
    }
}
