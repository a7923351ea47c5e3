//! Sources of records: bytes in, batches of parsed records out.

use std::fmt;
use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use engine::operator::ArgumentError;
use model::{Clock, EventTime, Schema, convert};

use super::bookmark::{Again, Bookmark, TAIL_BYTES};
use super::cutter::{Cut, Cutter, RECORD_BYTES_MAX};
use super::format::{Beginning, Format, Parser};
use super::options::Options;
use super::typed::Assembly;
use super::{Context, Pace, Reading, Source, SourceError, infer};

/// How much is read at once.
///
/// Unit: bytes. Source: guess; large beside the cost of a call, small beside a processor's cache.
const PIECE_BYTES: usize = 256 << 10;

/// How many pieces a thread reads ahead.
///
/// Unit: pieces. Source: guess; a megabyte.
const PIECES_AHEAD: usize = 4;

/// A source of records in one of the formats.
pub(super) struct RecordSource {
    /// What people call it.
    place: String,
    clock: Arc<dyn Clock>,
    epoch: EventTime,
    format: Format,
    options: Options,
    input: Input,
    bytes: Vec<u8>,
    /// What lies before it in `bytes` is done with, and kept as far as a bookmark needs it.
    start: usize,
    /// How many bytes there were before those.
    before: u64,
    /// How it can be read again, where it can.
    again: Option<Again>,
    ending: Option<Ending>,
    schema: Schema,
    remarks: Vec<String>,
    /// Absent until the header was read.
    parsing: Option<Parsing>,
    /// How many records were handed out.
    delivered: u64,
}

/// Where bytes come from.
pub(super) enum Input {
    /// From something that can be read without waiting long.
    Direct(Box<dyn Read + Send>),
    /// From something that may keep its reader waiting; a thread will do that.
    Waiting(Box<dyn Read + Send>),
    /// From that thread.
    Thread(Receiver<Result<Vec<u8>, std::io::Error>>),
    /// From nowhere: it has ended.
    None,
}

/// Why there will be no more bytes.
#[derive(Debug)]
enum Ending {
    End,
    Failed(String),
}

#[derive(Debug)]
struct Parsing {
    cutter: Cutter,
    parser: Parser,
    assembly: Assembly,
}

impl fmt::Debug for RecordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordSource")
            .field("place", &self.place)
            .field("format", &self.format)
            .field("delivered", &self.delivered)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}

impl RecordSource {
    /// A source whose beginning is read now, to know its columns.
    ///
    /// # Errors
    /// When it cannot be read, or there are no columns, or not those that are asked for.
    pub(super) fn open(
        place: String,
        input: Input,
        format: Format,
        options: Options,
        context: &Context<'_>,
    ) -> Result<Self, ArgumentError> {
        let mut source = Self::new(place, input, format, options, Schema::default(), context);
        while !source.discover()? {
            source.fill(Duration::MAX);
        }
        Ok(source)
    }

    /// A source of declared columns that is not read before somebody wants its records.
    ///
    /// # Errors
    /// When no column is the event time that is asked for.
    pub(super) fn declared(
        place: String,
        input: Input,
        format: Format,
        options: Options,
        schema: Schema,
        context: &Context<'_>,
    ) -> Result<Self, ArgumentError> {
        Assembly::new(&schema, options.time.as_ref(), None)?;
        Ok(Self::new(place, input, format, options, schema, context))
    }

    fn new(
        place: String,
        input: Input,
        format: Format,
        options: Options,
        schema: Schema,
        context: &Context<'_>,
    ) -> Self {
        Self {
            place,
            clock: Arc::clone(&context.clock),
            epoch: context.epoch,
            format,
            options,
            input,
            bytes: Vec::new(),
            start: 0,
            before: 0,
            again: None,
            ending: None,
            schema,
            remarks: Vec::new(),
            parsing: None,
            delivered: 0,
        }
    }

    /// The same of what can be read again.
    pub(super) fn with_again(self, again: Option<Again>) -> Self {
        Self { again, ..self }
    }

    /// Looks for the columns in what was read so far; false when more must be read first.
    fn discover(&mut self) -> Result<bool, ArgumentError> {
        let found = self.format.discover(Beginning {
            bytes: &self.bytes,
            is_end: matches!(self.ending, Some(Ending::End)),
            is_all: self.ending.is_some() || self.bytes.len() >= infer::BYTES_MAX,
            is_live: self.options.pace.is_live,
            declared: self.options.declared.as_ref(),
        });
        let found = match (found, &self.ending) {
            (Ok(Some(found)), _) => found,
            (Ok(None), _) => return Ok(false),
            // That the beginning makes no sense follows from what happened first.
            (Err(_), Some(Ending::Failed(reason))) => {
                return Err(ArgumentError {
                    parameter: "path".to_owned(),
                    message: format!("cannot be read: {reason}"),
                    expected: None,
                });
            }
            (Err(error), _) => return Err(error),
        };
        self.parsing = Some(Parsing {
            cutter: found.cutter,
            parser: found.parser,
            assembly: Assembly::new(&found.schema, self.options.time.as_ref(), found.unit)?,
        });
        self.start = found.header_len;
        self.schema = found.schema;
        self.remarks = found.remarks;
        Ok(true)
    }

    /// Reads more bytes, or finds out why there are none; false when none came in time.
    fn fill(&mut self, wait: Duration) -> bool {
        let done = self.start - self.start.min(TAIL_BYTES);
        self.bytes.drain(..done);
        self.start -= done;
        self.before += convert::size(done);
        match self.input.read(&mut self.bytes, wait) {
            Ok(Filled::Some) => true,
            Ok(Filled::Nothing) => false,
            Ok(Filled::End) => {
                self.end(Ending::End);
                true
            }
            Err(error) => {
                self.end(Ending::Failed(error.to_string()));
                true
            }
        }
    }

    fn end(&mut self, ending: Ending) {
        self.ending = Some(ending);
        self.input = Input::None;
    }

    /// Parses what was read, until a batch is full.
    fn parse(&mut self) {
        let is_end = matches!(self.ending, Some(Ending::End));
        let now = self.epoch.plus(convert::micros(
            self.clock.now().since(model::Instant::ZERO),
        ));
        let Some(Parsing {
            cutter,
            parser,
            assembly,
        }) = &mut self.parsing
        else {
            return;
        };
        assembly.set_now(now);
        while !assembly.is_full() {
            let bytes = &self.bytes[self.start..];
            match cutter.cut(bytes, is_end) {
                Cut::Partial { done } => {
                    self.start += done;
                    return;
                }
                Cut::TooLong { head, done } => {
                    let message = format!("the record is longer than {RECORD_BYTES_MAX} bytes");
                    assembly.close(Err(message), &bytes[head]);
                    self.start += done;
                }
                Cut::Record { record, done } => {
                    if let Err(reason) = parser.parse(&bytes[record], cutter.fields(), assembly) {
                        self.bytes.clear();
                        self.start = 0;
                        self.end(Ending::Failed(reason));
                        return;
                    }
                    self.start += done;
                }
            }
        }
    }

    fn error(&self, reason: String) -> SourceError {
        SourceError {
            place: format!("{}, record {}", self.place, self.delivered + 1),
            reason,
        }
    }
}

impl RecordSource {
    /// Reads the bytes before a bookmark and stands behind them, if they are what they were.
    fn stand_at(&mut self, bookmark: &Bookmark) -> Result<(), String> {
        let (Some(again), Some(parsing)) = (&self.again, &mut self.parsing) else {
            return Err("it cannot be read again".to_owned());
        };
        let (input, tail) = again.open_at(bookmark)?;
        parsing.cutter.begin_at(bookmark.place);
        self.input = Input::Direct(input);
        self.ending = None;
        self.start = tail.len();
        self.before = bookmark.offset - convert::size(tail.len());
        self.bytes = tail;
        Ok(())
    }
}

impl Source for RecordSource {
    fn schema(&self) -> &Schema {
        &self.schema
    }

    fn remarks(&self) -> &[String] {
        &self.remarks
    }

    fn pace(&self) -> Pace {
        self.options.pace
    }

    fn read(&mut self, wait: Duration) -> Result<Reading, SourceError> {
        let until = self.clock.now() + wait;
        loop {
            if self.parsing.is_none() {
                self.discover().map_err(|error| self.error(error.message))?;
            }
            self.parse();
            let assembly = self.parsing.as_mut().map(|parsing| &mut parsing.assembly);
            let has_records = assembly
                .as_ref()
                .is_some_and(|assembly| !assembly.is_empty());
            let is_full = assembly.as_ref().is_some_and(|assembly| assembly.is_full());
            let wait = match has_records {
                true => Duration::ZERO,
                false => until.since(self.clock.now()),
            };
            let is_done = is_full || self.ending.is_some();
            if !is_done && self.fill(wait) {
                continue;
            }
            return match (&mut self.parsing, &self.ending) {
                (Some(parsing), _) if has_records => {
                    let records = parsing.assembly.finish();
                    self.delivered += u64::from(records.count);
                    Ok(Reading::Records(records))
                }
                (_, Some(Ending::Failed(reason))) => Err(self.error(reason.clone())),
                (_, Some(Ending::End)) => Ok(Reading::End),
                (_, None) => Ok(Reading::Idle),
            };
        }
    }

    fn bookmark(&self) -> Option<Bookmark> {
        let cutter = &self.parsing.as_ref()?.cutter;
        self.again.as_ref()?;
        let tail = &self.bytes[self.start - self.start.min(TAIL_BYTES)..self.start];
        let offset = self.before + convert::size(self.start);
        Some(Bookmark::new(offset, cutter.place(), tail))
    }

    fn go_to(&mut self, bookmark: &Bookmark) -> Result<(), SourceError> {
        self.stand_at(bookmark).map_err(|reason| self.error(reason))
    }
}

/// What reading gave.
enum Filled {
    Some,
    Nothing,
    End,
}

impl Input {
    /// Appends bytes. One that may keep its reader waiting does so for `wait`.
    fn read(&mut self, bytes: &mut Vec<u8>, wait: Duration) -> Result<Filled, std::io::Error> {
        if matches!(self, Self::Waiting(_))
            && let Self::Waiting(input) = std::mem::replace(self, Self::None)
        {
            *self = Self::Thread(read_ahead(input)?);
        }
        match self {
            Self::Direct(input) => match read_piece(input, bytes)? {
                0 => Ok(Filled::End),
                _ => Ok(Filled::Some),
            },
            Self::Thread(pieces) => match pieces.recv_timeout(wait) {
                Ok(Ok(piece)) => {
                    bytes.extend_from_slice(&piece);
                    Ok(Filled::Some)
                }
                Ok(Err(error)) => Err(error),
                Err(RecvTimeoutError::Timeout) => Ok(Filled::Nothing),
                Err(RecvTimeoutError::Disconnected) => Ok(Filled::End),
            },
            Self::Waiting(_) | Self::None => Ok(Filled::End),
        }
    }
}

/// Reads in a thread, which ends with the input, or when nobody takes what it read.
fn read_ahead(
    mut input: Box<dyn Read + Send>,
) -> Result<Receiver<Result<Vec<u8>, std::io::Error>>, std::io::Error> {
    let (sender, receiver) = sync_channel(PIECES_AHEAD);
    let read = move || {
        loop {
            let mut piece = Vec::new();
            let read = match read_piece(&mut input, &mut piece) {
                Ok(0) => return,
                Ok(_) => Ok(piece),
                Err(error) => Err(error),
            };
            let is_last = read.is_err();
            if sender.send(read).is_err() || is_last {
                return;
            }
        }
    };
    std::thread::Builder::new()
        .name("source".to_owned())
        .spawn(read)?;
    Ok(receiver)
}

/// Appends what one call reads; 0 at the end.
fn read_piece(input: &mut dyn Read, bytes: &mut Vec<u8>) -> Result<usize, std::io::Error> {
    let len = bytes.len();
    bytes.resize(len + PIECE_BYTES, 0);
    let read = loop {
        match input.read(&mut bytes[len..]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            read => break read,
        }
    };
    bytes.truncate(len + read.as_ref().map_or(0, |read| *read));
    read
}

#[cfg(test)]
mod tests;
