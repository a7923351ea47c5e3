//! Pulls on the wire.
//!
//! | pull | bytes | |
//! | --- | --- | --- |
//! | kind | 1 | `0x32` |
//! | flags | 1 | which of `from`, `keep` and `budget` there are |
//! | credit | 8 | |
//! | budget | 8, 1 | where there is one: nanoseconds for what acts at once, and for how many slides there is one too |
//! | slides | 8, 8, 8 each | microseconds of the slide and of the lateness, by rising slides, and nanoseconds |
//! | from, taken, keep | | positions |
//!
//! Positions are a count of four bytes and as many origins with an index, 16 and 8 bytes, by rising origin.

use model::{Origin, Positions, Slack, convert};

use super::bytes::Reader;
use super::{EncodeError, FrameError, PULL};
use crate::budget::{Budget, SLIDES_MAX};
use crate::edge::{From, ORIGINS_MAX, Pull};
use crate::frontier::Slide;

const FROM_LATEST: u8 = 1;
const FROM_POSITIONS: u8 = 2;
const HAS_KEEP: u8 = 4;
const HAS_BUDGET: u8 = 8;

/// The bytes of an origin and its index.
const POSITION_BYTES: usize = 16 + 8;

/// Appends the bytes of a pull to `out`.
///
/// # Errors
/// When it names more origins than [`ORIGINS_MAX`] in a list.
pub fn encode_pull(pull: &Pull, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let (from, from_flag) = match &pull.from {
        None => (None, 0),
        Some(From::Latest) => (None, FROM_LATEST),
        Some(From::Positions(positions)) => (Some(positions), FROM_POSITIONS),
        Some(From::LatestBut(positions)) => (Some(positions), FROM_LATEST | FROM_POSITIONS),
    };
    let lists = [from, Some(&pull.taken), pull.keep.as_ref()];
    for positions in lists.into_iter().flatten() {
        if positions.len() > ORIGINS_MAX {
            return Err(EncodeError::Origins(positions.len()));
        }
    }
    let keep = pull.keep.as_ref().map_or(0, |_| HAS_KEEP);
    let budget = pull.budget.as_ref().map_or(0, |_| HAS_BUDGET);
    out.extend_from_slice(&[PULL, from_flag | keep | budget]);
    out.extend_from_slice(&pull.credit.to_le_bytes());
    if let Some(budget) = &pull.budget {
        out.extend_from_slice(&budget.at_once.as_nanos().to_le_bytes());
        out.push(u8::try_from(budget.slides().len()).expect("a budget has few slides"));
        for (slide, slack) in budget.slides() {
            out.extend_from_slice(&slide.every_micros.to_le_bytes());
            out.extend_from_slice(&slide.lateness_micros.to_le_bytes());
            out.extend_from_slice(&slack.as_nanos().to_le_bytes());
        }
    }
    let mut lists = lists.into_iter().flatten();
    lists.try_for_each(|positions| put_positions(positions, out))
}

/// Appends positions.
pub(super) fn put_positions(positions: &Positions, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    if positions.len() > ORIGINS_MAX {
        return Err(EncodeError::Origins(positions.len()));
    }
    let count = u32::try_from(positions.len()).expect("the origins were counted");
    out.extend_from_slice(&count.to_le_bytes());
    for (origin, index) in positions.iter() {
        out.extend_from_slice(&origin.0.to_le_bytes());
        out.extend_from_slice(&index.to_le_bytes());
    }
    Ok(())
}

/// The pull that `bytes` are.
///
/// # Errors
/// When the bytes are not exactly one pull of this version within the limits.
pub fn decode_pull(bytes: &[u8]) -> Result<Pull, FrameError> {
    let mut reader = Reader::of_frame(bytes, PULL)?;
    let flags = reader.byte()?;
    let has = |flag: u8| flags & flag != 0;
    if flags & !(FROM_LATEST | FROM_POSITIONS | HAS_KEEP | HAS_BUDGET) != 0 {
        return Err(FrameError::Flags("a pull", flags));
    }
    let credit = u64::from_le_bytes(reader.array()?);
    let budget = match has(HAS_BUDGET) {
        true => Some(take_budget(&mut reader)?),
        false => None,
    };
    let from = match (has(FROM_LATEST), has(FROM_POSITIONS)) {
        (true, true) => Some(From::LatestBut(take_positions(&mut reader)?)),
        (true, false) => Some(From::Latest),
        (false, true) => Some(From::Positions(take_positions(&mut reader)?)),
        (false, false) => None,
    };
    let taken = take_positions(&mut reader)?;
    let keep = match has(HAS_KEEP) {
        true => Some(take_positions(&mut reader)?),
        false => None,
    };
    reader.finish()?;
    Ok(Pull {
        from,
        taken,
        keep,
        credit,
        budget,
    })
}

fn take_budget(reader: &mut Reader<'_>) -> Result<Budget, FrameError> {
    let mut budget = Budget::at_once(Slack::from_nanos(i64::from_le_bytes(reader.array()?)));
    let count = reader.byte()?;
    if usize::from(count) > SLIDES_MAX {
        return Err(FrameError::Flags("the slides of a budget", count));
    }
    let mut last = None;
    for _ in 0..count {
        let slide = Slide {
            every_micros: i64::from_le_bytes(reader.array()?),
            lateness_micros: i64::from_le_bytes(reader.array()?),
        };
        let is_next = last.replace(slide).is_none_or(|last| last < slide);
        if slide.every_micros <= 0 || slide.lateness_micros < 0 || !is_next {
            return Err(FrameError::Flags("the slides of a budget", count));
        }
        let slack = Slack::from_nanos(i64::from_le_bytes(reader.array()?));
        budget.join_slide(slide, slack);
    }
    Ok(budget)
}

pub(super) fn take_positions(reader: &mut Reader<'_>) -> Result<Positions, FrameError> {
    let count = u32::from_le_bytes(reader.array()?);
    let len = convert::index(count.into());
    if len > ORIGINS_MAX {
        return Err(FrameError::Origins(count));
    }
    let wanted = len * POSITION_BYTES;
    if reader.len() < wanted {
        return Err(FrameError::Short {
            wanted,
            left: reader.len(),
        });
    }
    let mut positions = Positions::new();
    let mut last = None;
    for _ in 0..len {
        let origin = Origin(u128::from_le_bytes(reader.array()?));
        let index = u64::from_le_bytes(reader.array()?);
        if last.replace(origin).is_some_and(|last| last >= origin) {
            return Err(FrameError::Origins(count));
        }
        positions.advance(origin, index);
    }
    Ok(positions)
}
