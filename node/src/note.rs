//! What a process says again and again for the one that comes after it: a note, written in place.
//!
//! It is in the hands of the system when it is written, without waiting for the disk: a process that is killed loses nothing of it. Whether the
//! system itself has failed since is seen by the name that it gives itself at each start; then an older note may be found, or none. Two
//! places are written in turns, each with a checksum, so that a torn one counts as not written.

use std::fs::{File, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use flate2::Crc;
use model::convert;

/// What a note may say at most.
///
/// Unit: bytes. Source: guess; positions of some ten thousand origins. Nothing of it is on the disk that was not written.
const BYTES_MAX: usize = 1 << 19;

/// What stands before a note: its checksum, its length, and its number, from which on the checksum goes.
const HEAD_BYTES: usize = 4 + 4 + 8;

/// Where the system says how it calls itself since it was started.
const SYSTEM: &str = "/proc/sys/kernel/random/boot_id";

/// A note that is written.
#[derive(Debug)]
pub(crate) struct Note {
    file: File,
    /// The number of the next one.
    next: u64,
    /// How the system calls itself.
    system: Vec<u8>,
}

/// A note that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) says: Vec<u8>,
    /// It is what was written last: the system has not failed since.
    pub(crate) is_latest: bool,
}

impl Note {
    /// The note in a file, which is made where it is not there, and what it says.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn open(path: &Path) -> Result<(Self, Option<Found>), Error> {
        Self::open_in(path, &std::fs::read(SYSTEM).unwrap_or_default())
    }

    fn open_in(path: &Path, system: &[u8]) -> Result<(Self, Option<Found>), Error> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let file = options.mode(0o600).open(path)?;
        let found = [0, 1].map(|number| read_at(&file, place(number)));
        let latest = found.into_iter().flatten().max();
        let note = Self {
            file,
            next: latest.as_ref().map_or(0, |(number, _)| number + 1),
            system: system.to_vec(),
        };
        let found = latest.and_then(|(_, bytes)| {
            let (len, rest) = bytes.split_first()?;
            let (of, says) = rest.split_at_checked((*len).into())?;
            Some(Found {
                says: says.to_vec(),
                is_latest: !system.is_empty() && of == system,
            })
        });
        Ok((note, found))
    }

    /// Says something else from now on.
    ///
    /// # Errors
    /// When it is too long, or the system does not take it: what was said before may be found again.
    pub(crate) fn write(&mut self, says: &[u8]) -> Result<(), Error> {
        let len = 1 + self.system.len() + says.len();
        if len > BYTES_MAX {
            return Err(ErrorKind::FileTooLarge.into());
        }
        let mut bytes = vec![0; 4];
        let lens = (u32::try_from(len), u8::try_from(self.system.len()));
        let (Ok(len), Ok(of)) = lens else {
            return Err(ErrorKind::InvalidInput.into());
        };
        bytes.extend_from_slice(&len.to_le_bytes());
        bytes.extend_from_slice(&self.next.to_le_bytes());
        bytes.push(of);
        bytes.extend_from_slice(&self.system);
        bytes.extend_from_slice(says);
        let checksum = checksum(&bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all_at(&bytes, place(self.next))?;
        self.next += 1;
        Ok(())
    }
}

/// Where the note of a number stands.
const fn place(number: u64) -> u64 {
    (number % 2) * (HEAD_BYTES + BYTES_MAX) as u64
}

/// The number of what stands at a place, and what it is; nothing where that is not whole.
fn read_at(file: &File, place: u64) -> Option<(u64, Vec<u8>)> {
    let mut head = [[0; 4]; HEAD_BYTES / 4];
    file.read_exact_at(head.as_flattened_mut(), place).ok()?;
    let [wanted, len, low, high] = head.map(u32::from_le_bytes);
    let len = convert::index(len.into());
    if len > BYTES_MAX {
        return None;
    }
    let mut rest = vec![0; len];
    file.read_exact_at(&mut rest, place + convert::size(HEAD_BYTES))
        .ok()?;
    let whole = [&head.as_flattened()[4..], &rest].concat();
    let number = u64::from(low) | u64::from(high) << 32;
    (checksum(&whole) == wanted).then_some((number, rest))
}

/// Zeros are no note of theirs.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum() ^ !0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_last_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        let (mut note, found) = Note::open(&path).unwrap();
        assert_eq!(found, None);
        for n in 0..7u8 {
            note.write(&vec![n; usize::from(n) * 1000]).unwrap();
            let (_, found) = Note::open(&path).unwrap();
            let says = vec![n; usize::from(n) * 1000];
            let is_latest = true;
            assert_eq!(found, Some(Found { says, is_latest }));
        }
        let (mut note, _) = Note::open(&path).unwrap();
        note.write(b"on").unwrap();
        let (_, found) = Note::open(&path).unwrap();
        assert_eq!(found.unwrap().says, b"on");
        assert!(note.write(&vec![0; BYTES_MAX]).is_err());
    }

    #[test]
    fn a_torn_note_counts_as_not_written_and_another_start_of_the_system_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note");
        let (mut note, _) = Note::open_in(&path, b"first").unwrap();
        note.write(b"one").unwrap();
        note.write(b"two").unwrap();
        let whole = std::fs::read(&path).unwrap();
        let second = usize::try_from(place(1)).unwrap();
        for at in second..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            for bytes in [&damaged[..], &whole[..at]] {
                std::fs::write(&path, bytes).unwrap();
                let (mut note, found) = Note::open_in(&path, b"first").unwrap();
                assert_eq!(found.unwrap().says, b"one", "at {at}");
                note.write(b"three").unwrap();
                let (_, found) = Note::open_in(&path, b"first").unwrap();
                assert_eq!(found.unwrap().says, b"three", "at {at}");
            }
        }
        let (_, found) = Note::open_in(&path, b"second").unwrap();
        let says = b"three".to_vec();
        let is_latest = false;
        assert_eq!(found, Some(Found { says, is_latest }));
        std::fs::write(&path, vec![0; whole.len()]).unwrap();
        assert_eq!(Note::open_in(&path, b"first").unwrap().1, None);
    }
}
