//! The text of a file: reading it within limits, and finding lines and columns in it.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use super::problem::{Place, Problem, Problems, push_printable};

/// The largest application file.
///
/// Unit: bytes. Source: guess; a plan of 256 operators takes about 50,000.
pub const FILE_BYTES_MAX: usize = 1 << 20;

/// How much of a line is shown before and behind the place of a problem.
///
/// Unit: characters. Source: a terminal's line of 100 characters.
const CONTEXT_CHARS: usize = 40;

/// How much of the place itself is shown at most. Unit: characters. Source: as above.
const PLACE_CHARS_MAX: usize = 60;

/// A file's text.
#[derive(Debug)]
pub(crate) struct Text {
    /// What the file is called to people.
    pub(crate) file: String,
    /// The text, without a byte order mark.
    pub(crate) text: String,
    /// Where each line begins, in bytes.
    line_starts: Vec<usize>,
}

impl Text {
    /// Reads a file.
    pub(crate) fn read(path: &Path) -> Result<Self, Problems> {
        let file = path.display().to_string();
        let unread = |error| Problem::of_file(&file, reason(&error), expected_of(&error));
        let bytes = read_bytes(path).map_err(unread)?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(Problems::from(Problem::of_file(
                &file,
                format!("the file is larger than {FILE_BYTES_MAX} bytes"),
                Some("an application file".to_owned()),
            )));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(file, &text)),
            Err(error) => Err(not_utf8(file, &error).into()),
        }
    }

    /// The text of something called `file`.
    pub(crate) fn new(file: String, text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text).to_owned();
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        let line_starts = std::iter::once(0).chain(ends).collect();
        Self {
            file,
            text,
            line_starts,
        }
    }

    /// The line that a byte stands in, from 0.
    pub(crate) fn line(&self, byte: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= byte) - 1
    }

    /// How many lines there are.
    pub(crate) const fn line_count(&self) -> usize {
        self.line_starts.len()
    }

    /// What stands at a span of bytes, of which half a character is left out.
    pub(crate) fn slice(&self, span: &Range<usize>) -> &str {
        let start = self.boundary(span.start);
        &self.text[start..self.boundary(span.end).max(start)]
    }

    /// The bytes of a line, with its end.
    pub(crate) fn line_span(&self, line: usize) -> Range<usize> {
        let next = self.line_starts.get(line + 1).copied();
        self.line_starts[line]..next.unwrap_or(self.text.len() + 1)
    }

    /// A line's text, without its end.
    pub(crate) fn line_text(&self, line: usize) -> &str {
        let Range { start, end } = self.line_span(line);
        let text = &self.text[start..end.min(self.text.len())];
        let text = text.strip_suffix('\n').unwrap_or(text);
        text.strip_suffix('\r').unwrap_or(text)
    }

    /// What stands at a span of bytes. Of a span over several lines, the first counts.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place {
        let start = self.boundary(span.start);
        let end = self.boundary(span.end);
        let line = self.line(start);
        let text = self.line_text(line);
        // A span may begin at the very end of a line, where there is nothing to show.
        let from = (start - self.line_starts[line]).min(text.len());
        let to = (end.max(start) - self.line_starts[line]).clamp(from, text.len());

        let before: Vec<char> = text[..from].chars().collect();
        let cut = before.len().saturating_sub(CONTEXT_CHARS);
        let mut excerpt = String::new();
        if cut > 0 {
            excerpt.push('…');
        }
        before[cut..]
            .iter()
            .for_each(|c| push_printable(&mut excerpt, *c));
        let caret = excerpt.chars().count();
        let is_whole = push_some(&mut excerpt, &text[from..to], PLACE_CHARS_MAX);
        let width = (excerpt.chars().count() - caret).max(1);
        if is_whole {
            push_some(&mut excerpt, &text[to..], CONTEXT_CHARS);
        }
        Place {
            line: line + 1,
            column: before.len() + 1,
            excerpt,
            caret,
            width,
        }
    }

    /// The nearest byte at or before `byte` where a character begins.
    fn boundary(&self, byte: usize) -> usize {
        self.text.floor_char_boundary(byte.min(self.text.len()))
    }
}

/// Puts at most `limit` characters of `text` behind the others. Whether that was all of it.
fn push_some(shown: &mut String, text: &str, limit: usize) -> bool {
    let mut chars = text.chars();
    chars
        .by_ref()
        .take(limit)
        .for_each(|c| push_printable(shown, c));
    let is_whole = chars.as_str().is_empty();
    if !is_whole {
        shown.push('…');
    }
    is_whole
}

fn read_bytes(path: &Path) -> std::io::Result<Vec<u8>> {
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(std::io::ErrorKind::IsADirectory.into());
    }
    let mut bytes = Vec::new();
    let limit = model::convert::size(FILE_BYTES_MAX) + 1;
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn reason(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "this is a directory".to_owned(),
        std::io::ErrorKind::PermissionDenied => "this file may not be read".to_owned(),
        _ => format!("the file cannot be read: {error}"),
    }
}

fn expected_of(error: &std::io::Error) -> Option<String> {
    let is_directory = error.kind() == std::io::ErrorKind::IsADirectory;
    is_directory.then(|| "an application file, such as \"app.toml\" in it".to_owned())
}

fn not_utf8(file: String, error: &std::string::FromUtf8Error) -> Problem {
    let valid = error.utf8_error().valid_up_to();
    let bytes = error.as_bytes();
    let message = match bytes {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => "the file is UTF-16, not UTF-8".to_owned(),
        _ => format!("byte 0x{:02x} is not UTF-8", bytes[valid]),
    };
    // What was replaced begins where the valid part ends, so the place is the same in both.
    let text = Text::new(file, &String::from_utf8_lossy(bytes));
    let mark = '\u{feff}'.len_utf8();
    let start = if bytes.starts_with("\u{feff}".as_bytes()) {
        valid - mark
    } else {
        valid
    };
    Problem {
        place: Some(text.place(&(start..start + 1))),
        file: text.file,
        message,
        expected: Some("text in UTF-8".to_owned()),
    }
}
