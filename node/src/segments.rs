//! Records in files that are written from front to back: what a node retains beyond its memory.
//!
//! A segment is a file of at most some megabytes. A record in it is its length and a checksum, four bytes each, little-endian, and its bytes.
//! A segment goes when nothing in it is wanted any more: records are released in about the order in which they came, so that little lies
//! there that is not; what was released and lies there still has the highest bit of its length set. What is read is checked, so that what
//! was torn or damaged is never given. When the folder is opened again, each segment is read up to its last whole record, and cut there;
//! a record whose bytes are damaged, and not its length, is left out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use flate2::Crc;
use model::convert;

/// How long a segment is before the next one begins.
///
/// Unit: bytes. Source: guess; a few hundred batches, and removing one frees enough to be worth it.
const SEGMENT_BYTES: u64 = 8 << 20;

/// The largest record. Unit: bytes. Source: twice the largest frame.
const RECORD_BYTES_MAX: usize = 2 * engine::frame::BYTES_MAX;

/// What stands before each record.
const HEAD_BYTES: usize = 8;

/// Stands in the length of a record that was released.
const RELEASED: u32 = 1 << 31;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    segment: u64,
    offset: u64,
    len: u32,
}

/// The segments of a folder.
#[derive(Debug)]
pub struct Segments {
    folder: PathBuf,
    segments: BTreeMap<u64, Segment>,
    /// The number of the next segment.
    next: u64,
    /// The one that is written, while it is not full.
    current: Option<u64>,
    /// What all of them take.
    bytes: u64,
    /// The first that may have something that is not on the disk.
    unsynced: u64,
}

#[derive(Debug)]
struct Segment {
    file: File,
    len: u64,
    /// How many of its records are wanted.
    wanted: u64,
}

impl Segments {
    /// The segments of a folder, which is made where it is not there, and the records in them that were not released, in the order in which
    /// they were written. All of these are wanted.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(folder: &Path) -> Result<(Self, Vec<Spot>), Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        let mut numbers = Vec::new();
        for entry in fs::read_dir(folder)? {
            let name = entry?.file_name();
            numbers.extend(name.to_str().and_then(|it| it.parse::<u64>().ok()));
        }
        numbers.sort_unstable();
        let mut segments = Self {
            folder: folder.to_owned(),
            segments: BTreeMap::new(),
            next: numbers.last().map_or(0, |last| last + 1),
            current: None,
            bytes: 0,
            unsynced: numbers.last().map_or(0, |last| last + 1),
        };
        let mut spots = Vec::new();
        for number in numbers {
            segments.recover(number, &mut spots)?;
        }
        Ok((segments, spots))
    }

    /// Writes a record. It is on its way to the disk when this returns, and survives this process.
    ///
    /// # Errors
    /// When it is too long, or the system does not take it: then nothing of it counts.
    pub fn append(&mut self, record: &[u8]) -> Result<Spot, Error> {
        if record.len() > RECORD_BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let number = match self.current {
            Some(number) => number,
            None => self.begin()?,
        };
        let Some(segment) = self.segments.get_mut(&number) else {
            return Err(ErrorKind::NotFound.into());
        };
        let len = u32::try_from(record.len()).map_err(Error::other)?;
        let mut bytes = Vec::with_capacity(HEAD_BYTES + record.len());
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&checksum(record).to_le_bytes());
        bytes.extend_from_slice(record);
        if let Err(error) = segment.file.write_all_at(&bytes, segment.len) {
            // What was written of it would stand before the next one.
            segment.file.set_len(segment.len)?;
            self.current = None;
            return Err(error);
        }
        let spot = Spot {
            segment: number,
            offset: segment.len,
            len,
        };
        segment.len += convert::size(bytes.len());
        segment.wanted += 1;
        self.bytes += convert::size(bytes.len());
        if segment.len >= SEGMENT_BYTES {
            self.current = None;
        }
        Ok(spot)
    }

    /// Waits until all that was written is on the disk, and survives the system.
    ///
    /// # Errors
    /// When the system cannot say so.
    pub fn sync(&mut self) -> Result<(), Error> {
        for segment in self.segments.range(self.unsynced..) {
            segment.1.file.sync_data()?;
        }
        self.unsynced = self.current.unwrap_or(self.next);
        Ok(())
    }

    /// Reads a record.
    ///
    /// # Errors
    /// When it was released, or is not what was written.
    pub fn read(&self, spot: Spot) -> Result<Vec<u8>, Error> {
        let segment = self.segments.get(&spot.segment);
        let segment = segment.ok_or(ErrorKind::NotFound)?;
        read_at(&segment.file, spot.offset, segment.len)?
            .ok_or_else(|| ErrorKind::InvalidData.into())
    }

    /// A record is not wanted any more, also by whoever opens the folder next: unless the system fails before it has written that. With the
    /// last of a segment its file goes.
    ///
    /// # Errors
    /// When the system does not take that, or does not remove the file; it counts as gone all the same.
    pub fn release(&mut self, spot: Spot) -> Result<(), Error> {
        let Some(segment) = self.segments.get_mut(&spot.segment) else {
            return Ok(());
        };
        segment.wanted = segment.wanted.saturating_sub(1);
        if segment.wanted > 0 {
            let [.., highest] = (spot.len | RELEASED).to_le_bytes();
            return segment.file.write_all_at(&[highest], spot.offset + 3);
        }
        if self.current == Some(spot.segment) {
            self.current = None;
        }
        self.remove(spot.segment)
    }

    /// What all segments take on the disk, with what is not wanted any more. Unit: bytes.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    fn remove(&mut self, number: u64) -> Result<(), Error> {
        if let Some(segment) = self.segments.remove(&number) {
            self.bytes -= segment.len;
        }
        fs::remove_file(path(&self.folder, number))
    }

    fn begin(&mut self) -> Result<u64, Error> {
        let number = self.next;
        self.next += 1;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create_new(true).mode(0o600);
        let segment = Segment {
            file: options.open(path(&self.folder, number))?,
            len: 0,
            wanted: 0,
        };
        self.segments.insert(number, segment);
        self.current = Some(number);
        Ok(number)
    }

    /// Takes in a segment of another process, up to its last whole record.
    fn recover(&mut self, number: u64, spots: &mut Vec<Spot>) -> Result<(), Error> {
        let path = path(&self.folder, number);
        let file = OpenOptions::new().read(true).write(true).open(&path)?;
        let end = file.metadata()?.len();
        let (mut len, mut wanted, mut damaged) = (0, 0, 0);
        while let Some((head, record)) = look_at(&file, len, end)? {
            match record {
                Some(_) if head.is_released => {}
                Some(record) => {
                    spots.push(Spot {
                        segment: number,
                        offset: len,
                        len: u32::try_from(record.len()).map_err(Error::other)?,
                    });
                    wanted += 1;
                }
                // What follows is whole, or else this is where it was torn.
                None if is_followed(&file, len + head.bytes(), end)? => damaged += 1,
                None => break,
            }
            len += head.bytes();
        }
        if damaged > 0 {
            tracing::warn!(segment = number, damaged, "damaged records are left out");
        }
        if len < end {
            tracing::warn!(
                segment = number,
                cut = end - len,
                "bytes of a torn write are cut"
            );
            file.set_len(len)?;
        }
        self.bytes += len;
        self.segments.insert(number, Segment { file, len, wanted });
        if wanted == 0 {
            self.remove(number)?;
        }
        Ok(())
    }
}

/// The record at an offset of a file that ends at `end`; nothing where there is none that is whole, or it was released.
fn read_at(file: &File, offset: u64, end: u64) -> Result<Option<Vec<u8>>, Error> {
    let found = look_at(file, offset, end)?;
    Ok(found.and_then(|(head, record)| record.filter(|_| !head.is_released)))
}

/// What stands before a record.
#[derive(Debug, Clone, Copy)]
struct Head {
    len: usize,
    is_released: bool,
    wanted: u32,
}

impl Head {
    /// How many bytes it takes, with its record.
    fn bytes(self) -> u64 {
        convert::size(HEAD_BYTES + self.len)
    }
}

/// What stands before a record, and the record where it is whole.
type Found = (Head, Option<Vec<u8>>);

/// What stands at an offset of a file that ends at `end`, and the record where that is whole; nothing where none fits.
fn look_at(file: &File, offset: u64, end: u64) -> Result<Option<Found>, Error> {
    let left = end.saturating_sub(offset);
    if left < convert::size(HEAD_BYTES) {
        return Ok(None);
    }
    let mut head = [[0; 4]; 2];
    file.read_exact_at(head.as_flattened_mut(), offset)?;
    let [len, wanted] = head.map(u32::from_le_bytes);
    let head = Head {
        len: convert::index((len & !RELEASED).into()),
        is_released: len & RELEASED != 0,
        wanted,
    };
    if head.len > RECORD_BYTES_MAX || head.bytes() > left {
        return Ok(None);
    }
    let mut record = vec![0; head.len];
    file.read_exact_at(&mut record, offset + convert::size(HEAD_BYTES))?;
    let is_whole = checksum(&record) == head.wanted;
    Ok(Some((head, is_whole.then_some(record))))
}

/// Whether a whole record lies behind one that is not.
fn is_followed(file: &File, offset: u64, end: u64) -> Result<bool, Error> {
    Ok(look_at(file, offset, end)?.is_some_and(|(_, record)| record.is_some()))
}

/// A file of zeros is no row of empty records: nothing has the checksum zero.
fn checksum(record: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(record);
    crc.sum() ^ !0
}

fn path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:020}"))
}

#[cfg(test)]
mod tests;
