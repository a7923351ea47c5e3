//! Where a source was read up to, so that it can be read on from there: also by another process.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::PathBuf;

use flate2::read::MultiGzDecoder;
use model::convert;
use model::name::Digest;

use super::cutter::Place;

/// Where the next reading of a source begins.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Bookmark {
    /// How many bytes lie before it, unpacked.
    pub(super) offset: u64,
    /// Where among records that is.
    pub(super) place: Place,
    /// The hash of the last bytes before it: a file that was replaced is not read on as if it were the same.
    tail: Digest,
}

/// How many bytes before a bookmark must be what they were.
///
/// Unit: bytes. Source: guess; several records of most files, so that files of one kind are told apart.
pub(super) const TAIL_BYTES: usize = 512;

impl Bookmark {
    /// One behind so many bytes, which end with `tail`: the last [`TAIL_BYTES`], or all of them.
    pub(super) fn new(offset: u64, place: Place, tail: &[u8]) -> Self {
        Self {
            offset,
            place,
            tail: digest(tail),
        }
    }
}

/// A file that can be read again.
#[derive(Debug)]
pub(super) struct Again {
    pub(super) path: PathBuf,
    pub(super) is_gzipped: bool,
}

impl Again {
    /// What lies behind a bookmark, and the last bytes before it. What is packed is unpacked up to there.
    ///
    /// # Errors
    /// Why it cannot be read from there, for people.
    pub(super) fn open_at(
        &self,
        bookmark: &Bookmark,
    ) -> Result<(Box<dyn Read + Send>, Vec<u8>), String> {
        let tail_len = bookmark.offset.min(convert::size(TAIL_BYTES));
        let skipped = bookmark.offset - tail_len;
        let mut input = self.open_behind(skipped).map_err(|it| it.to_string())?;
        let mut tail = Vec::new();
        let read = input.by_ref().take(tail_len).read_to_end(&mut tail);
        read.map_err(|it| it.to_string())?;
        if digest(&tail) != bookmark.tail {
            let offset = bookmark.offset;
            return Err(format!(
                "it is another file than the one of which {offset} bytes were read"
            ));
        }
        Ok((input, tail))
    }

    fn open_behind(&self, skipped: u64) -> Result<Box<dyn Read + Send>, std::io::Error> {
        let mut file = File::open(&self.path)?;
        if self.is_gzipped {
            let mut bytes = MultiGzDecoder::new(file);
            std::io::copy(&mut bytes.by_ref().take(skipped), &mut std::io::sink())?;
            return Ok(Box::new(bytes));
        }
        file.seek(SeekFrom::Start(skipped))?;
        Ok(Box::new(file))
    }
}

fn digest(tail: &[u8]) -> Digest {
    Digest::of("synergy 2026 bookmark", &[tail])
}
