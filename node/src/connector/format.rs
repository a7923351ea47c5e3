//! Formats: how the columns of a source are found, and how its records are parsed.

use std::path::Path;

use engine::operator::ArgumentError;
use model::Schema;

use super::cell::Unit;
use super::csv::Csv;
use super::cutter::{Cut, Cutter, Fields};
use super::infer;
use super::jsonl::Jsonl;
use super::options::wrong;
use super::typed::Assembly;
use super::zeek::Zeek;

/// How records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Csv,
    Jsonl,
    Zeek,
}

/// The beginning of a source, as far as it was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Beginning<'a> {
    pub(super) bytes: &'a [u8],
    /// Whether these are all bytes of the source.
    pub(super) is_end: bool,
    /// Whether there will be no more to look at.
    pub(super) is_all: bool,
    /// Whether records come as things happen, so that only a header can be waited for.
    pub(super) is_live: bool,
    /// The columns that are asked for; absent, all that are there.
    pub(super) declared: Option<&'a Schema>,
}

/// What the beginning of a source says of it.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) schema: Schema,
    pub(super) parser: Parser,
    /// Cuts records from the bytes behind the header.
    pub(super) cutter: Cutter,
    /// How long the header is.
    pub(super) header_len: usize,
    /// What numbers count in columns of times.
    pub(super) unit: Option<Unit>,
    pub(super) remarks: Vec<String>,
}

impl Format {
    /// The words that files use.
    pub(super) const WORDS: &'static [&'static str] = &["csv", "jsonl", "zeek"];

    /// The format that files call `word`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "csv" => Some(Self::Csv),
            "jsonl" => Some(Self::Jsonl),
            "zeek" => Some(Self::Zeek),
            _ => None,
        }
    }

    /// The format that a file's name tells, also before a final `.gz`.
    pub(super) fn of_path(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        match name.rsplit_once('.')?.1 {
            "csv" => Some(Self::Csv),
            "jsonl" | "ndjson" | "json" => Some(Self::Jsonl),
            // Zeek's logs, and those to which somebody added labels.
            "log" | "labeled" => Some(Self::Zeek),
            _ => None,
        }
    }

    /// Finds the columns. `None` when more of the source must be read first.
    ///
    /// # Errors
    /// When there are no columns, or not those that are asked for.
    pub(super) fn discover(self, beginning: Beginning<'_>) -> Result<Option<Found>, ArgumentError> {
        match self {
            Self::Csv => super::csv::discover(beginning),
            Self::Jsonl => super::jsonl::discover(beginning),
            Self::Zeek => super::zeek::discover(beginning),
        }
    }
}

/// Parses the records of one source.
#[derive(Debug)]
pub(super) enum Parser {
    Csv(Csv),
    Jsonl(Jsonl),
    Zeek(Zeek),
}

impl Parser {
    /// Puts a record's values into the assembly and closes it there, if it is a record at all.
    ///
    /// # Errors
    /// When what is read shows that the columns are no longer the same.
    #[inline]
    pub(super) fn parse(
        &mut self,
        record: &[u8],
        fields: Fields<'_>,
        into: &mut Assembly,
    ) -> Result<(), String> {
        match self {
            Self::Csv(csv) => csv.parse(record, fields, into),
            Self::Jsonl(jsonl) => jsonl.parse(record, into),
            Self::Zeek(zeek) => return zeek.parse(record, into),
        }
        Ok(())
    }
}

impl Beginning<'_> {
    /// Shows the first records from `at` on. Whether these were enough to know the types.
    pub(super) fn sample(
        &self,
        mut cutter: Cutter,
        mut at: usize,
        mut see: impl FnMut(&[u8], Fields<'_>),
    ) -> bool {
        for _ in 0..infer::RECORDS_MAX {
            match cutter.cut(&self.bytes[at..], self.is_end) {
                Cut::Partial { .. } => return self.is_all,
                Cut::TooLong { done, .. } => at += done,
                Cut::Record { record, done } => {
                    see(
                        &self.bytes[at + record.start..at + record.end],
                        cutter.fields(),
                    );
                    at += done;
                }
            }
        }
        true
    }
}

/// The name of a column that a file calls `name`: names have no dots here.
pub(super) fn column_name(name: &str) -> String {
    name.trim().replace('.', "_")
}

/// What to say of names that had dots, if any had.
pub(super) fn renaming<'a>(names: impl IntoIterator<Item = &'a str>) -> Option<String> {
    let dotted: Vec<&str> = names
        .into_iter()
        .filter(|name| name.contains('.'))
        .collect();
    let first = dotted.first()?;
    let others = match dotted.len() - 1 {
        0 => String::new(),
        1 => ", and 1 more".to_owned(),
        len => format!(", and {len} more"),
    };
    Some(format!(
        "dots in column names become underscores: {first} is {}{others}",
        column_name(first)
    ))
}

/// For each column of a file the column of rows that it fills, if one is asked for, and what to say of those
/// that none is.
///
/// # Errors
/// When the file lacks one that is asked for.
pub(super) fn match_columns(
    names: &[String],
    declared: &Schema,
) -> Result<(Vec<Option<usize>>, Option<String>), ArgumentError> {
    for field in declared.fields() {
        if !names.contains(&field.name) {
            return Err(wrong(
                &format!("schema.{}", field.name),
                format!("there is no column {:?}", field.name),
                format!("one of {}", names.join(", ")),
            ));
        }
    }
    let index = |name: &String| declared.find(name).map(|(index, _)| index);
    let targets: Vec<Option<usize>> = names.iter().map(index).collect();
    let is_ignored = |name: &&String| declared.find(name).is_none();
    let ignored: Vec<&str> = names
        .iter()
        .filter(is_ignored)
        .map(String::as_str)
        .collect();
    let remark = (!ignored.is_empty()).then(|| {
        format!(
            "columns that the schema does not name are ignored: {}",
            ignored.join(", ")
        )
    });
    Ok((targets, remark))
}
