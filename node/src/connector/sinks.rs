//! The sinks: where results leave.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{BufRead, BufReader, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::RecordBatch;
use engine::columns;
use engine::operator::{ArgumentError, Parameter, Shape};
use model::{Arguments, Schema};

use super::options::{text, wrong};
use super::render::Text;
use super::{Context, Elsewhere, Opened, Opening, Sink, SinkKind};

/// To whoever asked for the application.
pub(super) const REQUESTER: SinkKind = SinkKind {
    name: "requester",
    doc: "To whoever runs the application, as JSON lines.",
    parameters: &[],
    is_shown: true,
    elsewhere: Elsewhere::Same,
    check: |_, _| Ok(()),
    open: |_, _, _, _| Ok(standard_output()),
};

/// To standard output.
pub(super) const STDOUT: SinkKind = SinkKind {
    name: "stdout",
    doc: "To standard output, as JSON lines.",
    parameters: &[],
    is_shown: true,
    elsewhere: Elsewhere::Same,
    check: |_, _| Ok(()),
    open: |_, _, _, _| Ok(standard_output()),
};

/// To a file.
pub(super) const FILE: SinkKind = SinkKind {
    name: "file",
    doc: "To a file, which is written anew: jsonl or csv.",
    parameters: &[
        Parameter {
            name: "path",
            shape: Shape::Text,
            required: true,
            doc: "The file, from the folder of the application file.",
        },
        Parameter {
            name: "format",
            shape: Shape::Word(Text::WORDS),
            required: false,
            doc: "How rows are written; by default what the file's name ends in.",
        },
    ],
    is_shown: false,
    elsewhere: Elsewhere::OwnFile,
    check: |arguments, context| file(arguments, context).map(|_| ()),
    open: open_file,
};

/// To nowhere.
pub const DISCARD: SinkKind = SinkKind {
    name: "discard",
    doc: "To nowhere: results are counted, and that is all.",
    parameters: &[],
    is_shown: false,
    elsewhere: Elsewhere::Same,
    check: |_, _| Ok(()),
    open: |_, _, _, _| Ok(Box::new(Discard)),
};

#[derive(Debug)]
struct Discard;

impl Sink for Discard {
    fn write(&mut self, _: &RecordBatch) -> Result<(), std::io::Error> {
        Ok(())
    }
}

/// Writes rows as text, those of a call at once.
struct Lines<W> {
    out: W,
    text: Text,
    /// Rows on their way out; empty between calls.
    bytes: Vec<u8>,
}

impl<W> fmt::Debug for Lines<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lines")
            .field("text", &self.text)
            .finish_non_exhaustive()
    }
}

impl<W: Leaves + Send> Sink for Lines<W> {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), std::io::Error> {
        self.write_text(rows, false)
    }

    fn bytes(&self) -> Option<u64> {
        self.out.bytes()
    }

    fn go_on_behind(&mut self, bytes: u64) -> Result<bool, std::io::Error> {
        self.out.go_on_behind(bytes)
    }
}

/// Where text leaves; see [`Sink::bytes`] and [`Sink::go_on_behind`].
trait Leaves: Write {
    fn bytes(&self) -> Option<u64> {
        None
    }

    fn go_on_behind(&mut self, _bytes: u64) -> Result<bool, std::io::Error> {
        Ok(false)
    }
}

impl Leaves for std::io::Stdout {}

impl Leaves for Owned {
    fn bytes(&self) -> Option<u64> {
        self.path.as_ref()?;
        (&self.file).stream_position().ok()
    }

    fn go_on_behind(&mut self, bytes: u64) -> Result<bool, std::io::Error> {
        if self.path.is_none() || self.file.metadata()?.len() < bytes {
            return Ok(false);
        }
        self.file.set_len(bytes)?;
        self.file.seek(SeekFrom::Start(bytes))?;
        Ok(true)
    }
}

impl<W: Write> Lines<W> {
    fn write_text(&mut self, rows: &RecordBatch, with_header: bool) -> Result<(), std::io::Error> {
        self.bytes.clear();
        self.text
            .write(rows, with_header, &mut self.bytes)
            .map_err(std::io::Error::other)?;
        // Standard output locks for the one call.
        self.out.write_all(&self.bytes)?;
        self.out.flush()
    }
}

fn standard_output() -> Box<dyn Sink> {
    Box::new(Lines {
        out: std::io::stdout(),
        text: Text::Jsonl,
        bytes: Vec::new(),
    })
}

fn open_file(
    arguments: &Arguments,
    schema: &Schema,
    context: &Context<'_>,
    opening: Opening,
) -> Opened<dyn Sink> {
    let (path, text) = file(arguments, context)?;
    let unwritable = |error: std::io::Error| {
        let message = format!("{}: cannot be written: {error}", path.display());
        vec![wrong("path", message, "a file that can be written")]
    };
    let (out, is_empty) = match opening {
        Opening::Anew => (Owned::open(&path, true).map_err(unwritable)?, true),
        Opening::Again => whole_rows(&path, text).map_err(unwritable)?,
    };
    let mut lines = Lines {
        out,
        text,
        bytes: Vec::new(),
    };
    if text == Text::Csv && is_empty {
        // Also a result without rows says which columns it has.
        let none = RecordBatch::new_empty(columns::to_arrow(schema));
        lines.write_text(&none, true).map_err(unwritable)?;
    }
    Ok(Box::new(lines))
}

/// A file to be written on behind its last whole row, and whether there is none.
///
/// It is read once from its beginning: where a line of csv ends depends on all quotes before.
fn whole_rows(path: &Path, text: Text) -> Result<(Owned, bool), std::io::Error> {
    let mut owned = Owned::open(path, false)?;
    if owned.path.is_none() {
        // A pipe or a device keeps nothing that could be looked at.
        return Ok((owned, true));
    }
    let file = &mut owned.file;
    let (mut length, mut end, mut is_quoted) = (0, 0, false);
    let mut bytes = BufReader::with_capacity(READ_BYTES, &mut *file);
    loop {
        let buffer = bytes.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        for (place, byte) in (1..).zip(buffer) {
            is_quoted ^= text == Text::Csv && *byte == b'"';
            if *byte == b'\n' && !is_quoted {
                end = length + place;
            }
        }
        let taken = buffer.len();
        length += model::convert::size(taken);
        bytes.consume(taken);
    }
    file.set_len(end)?;
    file.seek(SeekFrom::Start(end))?;
    Ok((owned, end == 0))
}

/// A file that no other sink writes as long as this is there.
#[derive(Debug)]
struct Owned {
    file: File,
    /// Where it is, and that nobody else of this process writes it; nothing for a pipe or a device, which is nobody's.
    path: Option<PathBuf>,
}

/// The files that sinks of this process write, and that one of them was let go of.
static WRITTEN: (Mutex<BTreeSet<PathBuf>>, Condvar) = (Mutex::new(BTreeSet::new()), Condvar::new());

/// How long who writes a file may take to let go of it, once the application has ended.
///
/// Unit: time. Range: from the time that a sink needs for its last rows; well below what who applies waits. Source: guess.
const FORMER_WAIT: Duration = Duration::from_secs(2);

impl Owned {
    /// Takes a file, empty where it is to be `anew`. Whoever wrote it last may be about to let go of it.
    ///
    /// # Errors
    /// When another sink writes it, of this process or of another one, as far as the file system knows locks.
    fn open(path: &Path, anew: bool) -> Result<Self, std::io::Error> {
        if std::fs::metadata(path).is_ok_and(|it| !it.is_file()) {
            let file = File::create(path)?;
            return Ok(Self { file, path: None });
        }
        let mut options = OpenOptions::new();
        let file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        let path = path.canonicalize()?;
        let taken = || {
            let message = "another application writes it; each sink has a file of its own";
            std::io::Error::new(ErrorKind::ResourceBusy, message)
        };
        let written = WRITTEN.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_taken = |written: &mut BTreeSet<PathBuf>| written.contains(&path);
        let waited = WRITTEN.1.wait_timeout_while(written, FORMER_WAIT, is_taken);
        let (mut written, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !written.insert(path.clone()) {
            return Err(taken());
        }
        drop(written);
        let owned = Self {
            file,
            path: Some(path),
        };
        if let Err(TryLockError::WouldBlock) = owned.file.try_lock() {
            return Err(taken());
        }
        if anew {
            owned.file.set_len(0)?;
        }
        Ok(owned)
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let mut written = WRITTEN.0.lock().unwrap_or_else(PoisonError::into_inner);
            written.remove(path);
            WRITTEN.1.notify_all();
        }
    }
}

impl Write for Owned {
    fn write(&mut self, bytes: &[u8]) -> Result<usize, std::io::Error> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<(), std::io::Error> {
        self.file.flush()
    }
}

/// How much of a file is read at once. Unit: bytes. Source: guess; large enough that calls do not count.
const READ_BYTES: usize = 1 << 16;

/// Which file is to be written, and how.
fn file(
    arguments: &Arguments,
    context: &Context<'_>,
) -> Result<(PathBuf, Text), Vec<ArgumentError>> {
    let path =
        text(arguments, "path").ok_or_else(|| vec![wrong("path", "is missing", "a file")])?;
    let path = context.folder.join(path);
    let mut errors = Vec::new();
    let text = file_text(text(arguments, "format"), &path);
    errors.extend(text.as_ref().err().cloned());
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty());
    if path.is_dir() {
        let message = format!("{} is a folder", path.display());
        errors.push(wrong("path", message, "a file"));
    } else if let Some(parent) = parent.filter(|parent| !parent.is_dir()) {
        let message = format!("there is no folder {}", parent.display());
        errors.push(wrong("path", message, "a file in a folder that is there"));
    }
    match text {
        Ok(text) if errors.is_empty() => Ok((path, text)),
        _ => Err(errors),
    }
}

/// What is asked for, or else what the file's name ends in.
fn file_text(word: Option<&str>, path: &Path) -> Result<Text, ArgumentError> {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match word.or(extension) {
        Some("csv") => Ok(Text::Csv),
        Some("jsonl" | "ndjson" | "json") => Ok(Text::Jsonl),
        _ => Err(wrong(
            "format",
            format!("the name {:?} does not tell the format", path.display()),
            Text::WORDS.join(" | "),
        )),
    }
}

#[cfg(test)]
mod tests;
