//! Problems: what is wrong with a file, where, and what would be right.

use std::fmt;

/// All that is wrong with a file, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    /// The problems; at least one.
    pub problems: Vec<Problem>,
    /// How many further ones were found that are not kept.
    pub more: usize,
}

/// One thing that is wrong with a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, as it was asked for.
    pub file: String,
    /// Where in the file; absent where the file as a whole is meant.
    pub place: Option<Place>,
    /// What is wrong: one line, in lower case, without a full stop.
    pub message: String,
    /// What would be right, if that can be said.
    pub expected: Option<String>,
}

/// A place in a file, and what stands there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The line, from 1.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// The line, cut around the place where it is long, without characters that a terminal would obey.
    pub excerpt: String,
    /// How many characters of the excerpt stand before the place.
    pub caret: usize,
    /// How many characters of the excerpt the place takes up; at least one.
    pub width: usize,
}

impl Problem {
    /// A problem of a whole file.
    pub fn of_file(file: &str, message: impl Into<String>, expected: Option<String>) -> Self {
        Self {
            file: file.to_owned(),
            place: None,
            message: message.into(),
            expected,
        }
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self {
            problems: vec![problem],
            more: 0,
        }
    }
}

impl std::error::Error for Problems {}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            let line_end = if index == 0 { "" } else { "\n" };
            write!(f, "{line_end}{problem}")?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = printable(&self.file);
        let message = printable(&self.message);
        let Some(place) = &self.place else {
            write!(f, "{file}: {message}")?;
            return match &self.expected {
                Some(expected) => write!(f, "\n  expected {}", printable(expected)),
                None => Ok(()),
            };
        };
        let Place {
            line,
            column,
            excerpt,
            caret,
            width,
        } = place;
        let number = line.to_string();
        let gutter = number.len();
        writeln!(f, "{file}:{line}:{column}: {message}")?;
        writeln!(f, "  {number} | {excerpt}")?;
        write!(f, "  {:gutter$} | {:caret$}{:^<width$}", "", "", "")?;
        if let Some(expected) = &self.expected {
            write!(f, "\n  expected {}", printable(expected))?;
        }
        Ok(())
    }
}

/// The text with everything escaped that a terminal would obey or not show.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        push_printable(&mut shown, c);
    }
    shown
}

/// Puts a character behind the others: a tab as spaces, what cannot be seen escaped.
pub(crate) fn push_printable(shown: &mut String, c: char) {
    match c {
        '\t' => shown.push_str("    "),
        '"' | '\'' | '\\' => shown.push(c),
        _ => shown.extend(c.escape_debug()),
    }
}
