//! Where records begin and end in bytes, however those bytes arrive.
//!
//! What is cut depends on the bytes alone, not on the pieces in which they come: a record that is not whole
//! yet is looked at again when more of it is there, from where the last look ended.

use std::io::BufRead;
use std::ops::Range;

use csv_core::ReadRecordResult;

/// The longest record that is parsed; a longer one is a bad record.
///
/// Unit: bytes. Source: guess; large for a line of text, small beside the memory of a node.
pub(super) const RECORD_BYTES_MAX: usize = 1 << 20;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Cuts bytes into records.
#[derive(Debug)]
pub(super) struct Cutter {
    syntax: Syntax,
    place: Place,
    /// How much of the record at the front was looked at.
    scanned: usize,
}

#[derive(Debug)]
enum Syntax {
    Lines,
    Csv(Box<CsvFields>),
}

/// Where the front of the bytes is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) enum Place {
    /// At the very first byte, where a byte order mark may stand.
    Start,
    /// Between records, or in one of which `scanned` says how much was seen.
    Within,
    /// In the rest of a record that was too long, which ends with the line.
    Overlong,
}

/// What is at the front of the bytes. A range counts from there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cut {
    /// No whole record; the first `done` bytes belong to none.
    Partial { done: usize },
    /// A record, without what ends it.
    Record { record: Range<usize>, done: usize },
    /// The head of a record that is longer than [`RECORD_BYTES_MAX`]; the rest of its line will be skipped.
    TooLong { head: Range<usize>, done: usize },
}

impl Cutter {
    /// A record is a line that holds more than blanks.
    pub(super) const fn lines() -> Self {
        Self::new(Syntax::Lines)
    }

    /// A record is one of comma-separated values; quoted ones may contain line ends.
    pub(super) fn csv() -> Self {
        Self::new(Syntax::Csv(Box::default()))
    }

    /// The same for bytes behind a header, where a byte order mark is a character like others.
    pub(super) const fn behind_header(mut self) -> Self {
        self.place = Place::Within;
        self
    }

    const fn new(syntax: Syntax) -> Self {
        Self {
            syntax,
            place: Place::Start,
            scanned: 0,
        }
    }

    /// Where the front of the bytes that were not cut yet is.
    pub(super) const fn place(&self) -> Place {
        self.place
    }

    /// Begins again at bytes of which that is known; nothing of them was looked at.
    pub(super) fn begin_at(&mut self, place: Place) {
        self.restart();
        self.place = place;
    }

    /// Finds the first record in `bytes`, which begin where the last cut was `done`. `is_end` says that no
    /// more will come, so that what is there is whole.
    pub(super) fn cut(&mut self, bytes: &[u8], is_end: bool) -> Cut {
        let mut at = 0;
        if self.place == Place::Start {
            if !is_end && bytes.len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(bytes)
            {
                return Cut::Partial { done: 0 };
            }
            if bytes.starts_with(BYTE_ORDER_MARK) {
                at = BYTE_ORDER_MARK.len();
            }
            self.place = Place::Within;
        }
        if self.place == Place::Overlong {
            let Some(len) = line_len(&bytes[at..]) else {
                return Cut::Partial { done: bytes.len() };
            };
            at += len;
            self.place = Place::Within;
        }
        loop {
            if self.scanned == 0 {
                let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
                at += bytes[at..].iter().take_while(is_line_end).count();
            }
            // One more than the longest record, so that the end of such a record is still seen.
            let rest = &bytes[at..bytes.len().min(at + RECORD_BYTES_MAX + 1)];
            let Some((len, done)) = self.end(rest, is_end && at + rest.len() == bytes.len()) else {
                if rest.len() <= RECORD_BYTES_MAX {
                    return Cut::Partial { done: at };
                }
                self.restart();
                self.place = Place::Overlong;
                return Cut::TooLong {
                    head: at..at + RECORD_BYTES_MAX,
                    done: at + rest.len(),
                };
            };
            let record = at..at + len;
            let done = at + done;
            self.scanned = 0;
            if matches!(self.syntax, Syntax::Lines) && bytes[record.clone()].trim_ascii().is_empty()
            {
                at = done;
                continue;
            }
            return Cut::Record { record, done };
        }
    }

    /// The values of the record that was cut last, if the syntax has values.
    pub(super) fn fields(&self) -> Fields<'_> {
        match &self.syntax {
            Syntax::Lines => Fields {
                bytes: &[],
                ends: &[],
            },
            Syntax::Csv(fields) => fields.fields(),
        }
    }

    /// The length of the record at the front, and of it with what ends it, if it is whole.
    fn end(&mut self, bytes: &[u8], is_end: bool) -> Option<(usize, usize)> {
        let seen = self.scanned;
        self.scanned = bytes.len();
        match &mut self.syntax {
            Syntax::Lines => match line_len(&bytes[seen..]) {
                Some(len) => Some((seen + len - 1, seen + len)),
                None if is_end && !bytes.is_empty() && bytes.len() <= RECORD_BYTES_MAX => {
                    Some((bytes.len(), bytes.len()))
                }
                None => None,
            },
            Syntax::Csv(fields) => match fields.scan(&bytes[seen..]) {
                Some(len) => Some((seen + len - 1, seen + len)),
                None if is_end && !bytes.is_empty() && bytes.len() <= RECORD_BYTES_MAX => {
                    fields.finish();
                    Some((bytes.len(), bytes.len()))
                }
                None => None,
            },
        }
    }

    fn restart(&mut self) {
        self.scanned = 0;
        if let Syntax::Csv(fields) = &mut self.syntax {
            fields.restart();
        }
    }
}

/// The length of the first line with its end, if it has one.
fn line_len(bytes: &[u8]) -> Option<usize> {
    // The standard library's search for a byte is the platform's fast one.
    let mut rest = bytes;
    let len = rest.skip_until(b'\n').unwrap_or(0);
    (len > 0 && bytes[len - 1] == b'\n').then_some(len)
}

/// The values of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fields<'a> {
    bytes: &'a [u8],
    ends: &'a [usize],
}

impl<'a> Fields<'a> {
    /// How many there are.
    pub(super) const fn len(self) -> usize {
        self.ends.len()
    }

    /// The value at `index`, unquoted.
    ///
    /// # Panics
    /// When there is none.
    pub(super) fn at(self, index: usize) -> &'a [u8] {
        let start = match index.checked_sub(1) {
            Some(before) => self.ends[before],
            None => 0,
        };
        &self.bytes[start..self.ends[index]]
    }
}

/// The values of one record of comma-separated values, as far as it was read.
#[derive(Debug)]
struct CsvFields {
    reader: csv_core::Reader,
    bytes: Vec<u8>,
    bytes_len: usize,
    ends: Vec<usize>,
    ends_len: usize,
    is_whole: bool,
}

impl Default for CsvFields {
    fn default() -> Self {
        let mut fields = Self {
            reader: csv_core::Reader::new(),
            bytes: Vec::new(),
            bytes_len: 0,
            ends: vec![0; 16],
            ends_len: 0,
            is_whole: false,
        };
        fields.restart();
        fields
    }
}

impl CsvFields {
    fn fields(&self) -> Fields<'_> {
        Fields {
            bytes: &self.bytes[..self.bytes_len],
            ends: &self.ends[..self.ends_len],
        }
    }

    /// Reads on. The length of what belongs to the record, with its end, when it is whole.
    fn scan(&mut self, input: &[u8]) -> Option<usize> {
        if std::mem::take(&mut self.is_whole) {
            (self.bytes_len, self.ends_len) = (0, 0);
        }
        let mut at = 0;
        // To the reader an empty input is the end of all, which is said by `finish` alone.
        while at < input.len() {
            at += self.step(&input[at..]);
            if self.is_whole {
                return Some(at);
            }
        }
        None
    }

    /// Nothing follows: what was read is the record.
    fn finish(&mut self) {
        while !self.is_whole {
            self.step(&[]);
        }
    }

    fn step(&mut self, input: &[u8]) -> usize {
        // Unquoted values are never longer than what they were read from.
        let room = self.bytes_len + input.len() + 1;
        if self.bytes.len() < room {
            self.bytes.resize(room, 0);
        }
        let (result, read, written, ended) = self.reader.read_record(
            input,
            &mut self.bytes[self.bytes_len..],
            &mut self.ends[self.ends_len..],
        );
        self.bytes_len += written;
        self.ends_len += ended;
        match result {
            ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
            ReadRecordResult::Record | ReadRecordResult::End => self.is_whole = true,
            ReadRecordResult::InputEmpty | ReadRecordResult::OutputFull => {}
        }
        read
    }

    fn restart(&mut self) {
        self.reader.reset();
        // A fresh reader skips a byte order mark if the first input holds all of it. The cutter has done that
        // for every cut of the input; an empty line makes the reader no longer fresh.
        self.reader.read_record(b"\n", &mut [0], &mut [0]);
        (self.bytes_len, self.ends_len) = (0, 0);
        self.is_whole = false;
    }
}

#[cfg(test)]
mod tests;
