//! The report: problems as they are found, until they are shown in the order of the file.

use std::ops::Range;

use super::nearest;
use super::problem::{Problem, Problems};
use super::text::Text;

/// How many problems of a file are kept; the rest are counted.
///
/// Unit: count. Source: guess; more than anybody reads, and a bound on what a hostile file costs.
pub const PROBLEMS_MAX: usize = 50;

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    found: Vec<Found>,
    /// Where nothing further is reported: what stands there was not understood.
    muted: Vec<Range<usize>>,
    more: usize,
}

#[derive(Debug)]
struct Found {
    /// Absent where the whole file is meant.
    span: Option<Range<usize>>,
    message: String,
    expected: Option<String>,
}

impl Report {
    /// From now on nothing is reported that begins within these bytes, which must ascend.
    pub(crate) fn mute(&mut self, spans: Vec<Range<usize>>) {
        self.muted = spans;
    }

    /// Something is wrong at `span`.
    pub(crate) fn add(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        expected: Option<String>,
    ) {
        let next = self.muted.partition_point(|muted| muted.end <= span.start);
        if self
            .muted
            .get(next)
            .is_some_and(|muted| muted.contains(&span.start))
        {
            return;
        }
        self.push(Found {
            span: Some(span),
            message: message.into(),
            expected,
        });
    }

    /// Something is wrong with the file as a whole.
    pub(crate) fn add_whole(&mut self, message: impl Into<String>, expected: &str) {
        self.push(Found {
            span: None,
            message: message.into(),
            expected: Some(expected.to_owned()),
        });
    }

    /// `word` at `span` is none of the known ones. Returns the one that may be meant.
    ///
    /// Looking for it takes some time, so that nothing is looked for that will not be shown.
    pub(crate) fn add_unknown<'k>(
        &mut self,
        span: Range<usize>,
        what: &str,
        word: &str,
        known: &[&'k str],
    ) -> Option<&'k str> {
        let message = format!("unknown {what} {}", quoted(word));
        if self.is_full() {
            self.add(span, message, None);
            return None;
        }
        self.add(span, message, nearest::one_of(word, known));
        nearest::nearest(word, known)
    }

    /// Whether further problems are only counted.
    const fn is_full(&self) -> bool {
        self.found.len() >= PROBLEMS_MAX
    }

    /// How many problems there are. Who sees it grow knows that something was wrong.
    pub(crate) const fn count(&self) -> usize {
        self.found.len() + self.more
    }

    /// All that was found, in the order of the file, with what stands there.
    pub(crate) fn into_problems(mut self, text: &Text) -> Problems {
        self.found
            .sort_by_key(|found| found.span.as_ref().map(|span| (span.start, span.end)));
        let show = |found: Found| Problem {
            file: text.file.clone(),
            place: found.span.map(|span| text.place(&span)),
            message: found.message,
            expected: found.expected,
        };
        Problems {
            problems: self.found.into_iter().map(show).collect(),
            more: self.more,
        }
    }

    fn push(&mut self, found: Found) {
        if self.is_full() {
            self.more += 1;
        } else {
            self.found.push(found);
        }
    }
}

/// A word of the user's in quotes, cut where it is long.
pub(crate) fn quoted(word: &str) -> String {
    let mut chars = word.chars();
    let mut shown: String = chars.by_ref().take(64).collect();
    if !chars.as_str().is_empty() {
        shown.push('…');
    }
    format!("\"{shown}\"")
}
