//! Comma-separated values: the first record names the columns; quotes, and line ends within them, are
//! understood. A cell without anything is null.

use engine::operator::ArgumentError;
use model::Schema;

use super::cutter::{Cut, Cutter, Fields};
use super::format::{Beginning, Found, Parser, column_name, match_columns, renaming};
use super::infer::Findings;
use super::options::wrong;
use super::typed::Assembly;

/// Parses records of one header.
#[derive(Debug)]
pub(super) struct Csv {
    /// How many values a record has.
    len: usize,
    /// Which value fills which column.
    targets: Vec<(usize, usize)>,
}

/// Reads the header, and unless the columns are declared, the first records.
pub(super) fn discover(beginning: Beginning<'_>) -> Result<Option<Found>, ArgumentError> {
    let mut cutter = Cutter::csv();
    let header_len = match cutter.cut(beginning.bytes, beginning.is_end) {
        Cut::Partial { .. } if beginning.is_all => {
            return Err(wrong(
                "path",
                "the file is empty",
                "a line that names the columns",
            ));
        }
        Cut::Partial { .. } => return Ok(None),
        Cut::TooLong { .. } => {
            let message = "the first line is too long";
            return Err(wrong("path", message, "a line that names the columns"));
        }
        Cut::Record { done, .. } => done,
    };
    let (names, mut remarks) = header(cutter.fields());
    check_names(&names)?;
    let (targets, schema) = match beginning.declared {
        Some(declared) => {
            let (targets, remark) = match_columns(&names, declared)?;
            remarks.extend(remark);
            (targets, declared.clone())
        }
        None => {
            let mut findings = Findings::default();
            for name in &names {
                findings.column(name);
            }
            let is_enough = beginning.sample(cutter, header_len, |_, fields| {
                if fields.len() == names.len() {
                    for index in 0..names.len() {
                        findings.see_text(index, fields.at(index));
                    }
                }
            });
            if !is_enough {
                return Ok(None);
            }
            let schema = findings.schema()?;
            remarks.push(format!("columns are inferred: {schema}"));
            ((0..names.len()).map(Some).collect(), schema)
        }
    };
    let targets = targets.into_iter().enumerate();
    Ok(Some(Found {
        parser: Parser::Csv(Csv {
            len: names.len(),
            targets: targets
                .filter_map(|(index, target)| Some((index, target?)))
                .collect(),
        }),
        schema,
        cutter: Cutter::csv().behind_header(),
        header_len,
        unit: None,
        remarks,
    }))
}

/// The names of the columns, and what to say of them.
fn header(fields: Fields<'_>) -> (Vec<String>, Vec<String>) {
    let mut remarks = Vec::new();
    let texts: Vec<String> = (0..fields.len())
        .map(|index| String::from_utf8_lossy(fields.at(index)).into_owned())
        .collect();
    remarks.extend(renaming(texts.iter().map(String::as_str)));
    let names = texts.iter().enumerate().map(|(index, text)| {
        let name = column_name(text);
        if !name.is_empty() {
            return name;
        }
        let number = index + 1;
        remarks.push(format!(
            "column {number} has no name and is called column_{number}"
        ));
        format!("column_{number}")
    });
    let names = names.collect();
    (names, remarks)
}

fn check_names(names: &[String]) -> Result<(), ArgumentError> {
    let fields = names
        .iter()
        .map(|name| model::Field::new(name, model::DataType::Utf8));
    match Schema::new(fields.collect()) {
        Ok(_) => Ok(()),
        Err(error) => Err(wrong(
            "path",
            error.to_string(),
            "columns that differ by name",
        )),
    }
}

impl Csv {
    /// Puts a record into the assembly.
    #[inline]
    pub(super) fn parse(&self, record: &[u8], fields: Fields<'_>, into: &mut Assembly) {
        let outcome = self.put(fields, into);
        into.close(outcome, record);
    }

    fn put(&self, fields: Fields<'_>, into: &mut Assembly) -> Result<(), String> {
        if fields.len() != self.len {
            return Err(format!("{} values for {} columns", fields.len(), self.len));
        }
        for (index, target) in &self.targets {
            into.text(*target, fields.at(*index))?;
        }
        Ok(())
    }
}
