//! Zeek's logs, as it writes them: values between tabs under a header that names columns and types, or JSON
//! lines. Values that Zeek calls unset are null, those that it calls empty are empty.

use engine::operator::ArgumentError;
use model::{DataType, Field, Schema};

use super::cell::Unit;
use super::cutter::{Cut, Cutter};
use super::format::{Beginning, Found, Parser, column_name, match_columns, renaming};
use super::options::wrong;
use super::typed::Assembly;

/// Parses lines of one header.
#[derive(Debug)]
pub(super) struct Zeek {
    header: Header,
    /// For each value the column that it fills, if any.
    targets: Vec<Option<usize>>,
}

/// What the lines that begin with `#` say.
#[derive(Debug)]
struct Header {
    separator: u8,
    empty: Vec<u8>,
    unset: Vec<u8>,
    fields: Option<Vec<String>>,
    types: Option<Vec<String>>,
}

/// Reads the header; of JSON, the first records unless the columns are declared.
pub(super) fn discover(beginning: Beginning<'_>) -> Result<Option<Found>, ArgumentError> {
    let mut header = Header::default();
    let mut cutter = Cutter::lines();
    let mut at = 0;
    loop {
        match cutter.cut(&beginning.bytes[at..], beginning.is_end) {
            Cut::Partial { .. } if !beginning.is_all => return Ok(None),
            Cut::Partial { .. } if at == 0 => return Err(no_header("the file is empty")),
            Cut::Partial { .. } => return Err(no_header("the header is not whole")),
            Cut::TooLong { .. } => return Err(no_header("a line of the header is too long")),
            Cut::Record { record, done } => {
                let line = &beginning.bytes[at + record.start..at + record.end];
                match line {
                    [b'#', directive @ ..] => header.read(directive),
                    [b'{', ..] if at == 0 => return discover_json(beginning),
                    _ => return Err(no_header("values come before #fields and #types")),
                }
                at += done;
            }
        }
        if let (Some(fields), Some(types)) = (&header.fields, &header.types) {
            let found = found(fields, types, beginning.declared)?;
            return Ok(Some(found.with(header, at)));
        }
    }
}

/// Of Zeek's JSON, `ts` is a time in seconds unless it is written as a date.
fn discover_json(beginning: Beginning<'_>) -> Result<Option<Found>, ArgumentError> {
    if beginning.is_live && beginning.declared.is_none() {
        return Err(wrong(
            "schema",
            "is missing: of JSON the first 1,000 records would have to be awaited",
            "the columns and their types",
        ));
    }
    let Some(found) = super::jsonl::discover(beginning)? else {
        return Ok(None);
    };
    if beginning.declared.is_some() {
        return Ok(Some(Found {
            unit: Some(Unit::Seconds),
            ..found
        }));
    }
    let fields = found
        .schema
        .fields()
        .iter()
        .map(|field| match field.data_type {
            DataType::Float64 | DataType::Int64 if field.name == "ts" => {
                Field::new("ts", DataType::Timestamp)
            }
            data_type => Field::new(&field.name, data_type),
        });
    let schema = Schema::new(fields.collect()).expect("the names are those of a schema");
    let mut remarks = found.remarks;
    remarks.pop();
    remarks.push(format!("columns are inferred: {schema}"));
    Ok(Some(Found {
        unit: Some(Unit::Seconds),
        ..super::jsonl::found(schema, remarks)
    }))
}

/// What a header with these lines yields, but for the parser.
struct Columns {
    schema: Schema,
    targets: Vec<Option<usize>>,
    remarks: Vec<String>,
}

fn found(
    fields: &[String],
    types: &[String],
    declared: Option<&Schema>,
) -> Result<Columns, ArgumentError> {
    if fields.len() != types.len() {
        let message = format!(
            "#fields names {} columns, #types {}",
            fields.len(),
            types.len()
        );
        return Err(no_header(&message));
    }
    let mut remarks = Vec::from_iter(renaming(fields.iter().map(String::as_str)));
    let names: Vec<String> = fields.iter().map(|name| column_name(name)).collect();
    let columns = names.iter().zip(types);
    let columns = columns.map(|(name, word)| Field::new(name, data_type(word)));
    let schema = Schema::new(columns.collect()).map_err(|error| no_header(&error.to_string()))?;
    let Some(declared) = declared else {
        return Ok(Columns {
            targets: (0..names.len()).map(Some).collect(),
            schema,
            remarks,
        });
    };
    let (targets, remark) = match_columns(&names, declared)?;
    remarks.extend(remark);
    Ok(Columns {
        schema: declared.clone(),
        targets,
        remarks,
    })
}

impl Columns {
    fn with(self, header: Header, header_len: usize) -> Found {
        Found {
            schema: self.schema,
            parser: Parser::Zeek(Zeek {
                header,
                targets: self.targets,
            }),
            cutter: Cutter::lines().behind_header(),
            header_len,
            unit: Some(Unit::Seconds),
            remarks: self.remarks,
        }
    }
}

/// The type of columns that Zeek says hold this.
fn data_type(word: &str) -> DataType {
    match word {
        "time" => DataType::Timestamp,
        "interval" | "double" => DataType::Float64,
        "count" | "int" | "port" => DataType::Int64,
        "bool" => DataType::Boolean,
        _ => DataType::Utf8,
    }
}

fn no_header(message: &str) -> ArgumentError {
    wrong(
        "path",
        message,
        "a log of Zeek with #fields and #types, or its JSON lines",
    )
}

impl Default for Header {
    fn default() -> Self {
        Self {
            separator: b'\t',
            empty: b"(empty)".to_vec(),
            unset: b"-".to_vec(),
            fields: None,
            types: None,
        }
    }
}

impl Header {
    /// Takes in a line, without its `#`. Lines that say nothing of the columns are passed over.
    fn read(&mut self, line: &[u8]) {
        // The line that names the separator cannot use it.
        if let Some(separator) = line.strip_prefix(b"separator ") {
            self.separator = separator_byte(separator.trim_ascii_end()).unwrap_or(self.separator);
            return;
        }
        let mut parts = line.trim_ascii_end().split(|byte| *byte == self.separator);
        let (Some(word), mut rest) = (parts.next(), parts) else {
            return;
        };
        let text = |part: &[u8]| String::from_utf8_lossy(part).into_owned();
        match word {
            b"empty_field" => self.empty = rest.next_back().unwrap_or_default().to_vec(),
            b"unset_field" => self.unset = rest.next_back().unwrap_or_default().to_vec(),
            b"fields" => self.fields = Some(rest.map(text).collect()),
            b"types" => self.types = Some(rest.map(text).collect()),
            _ => {}
        }
    }
}

/// `\x09` or the byte itself.
fn separator_byte(text: &[u8]) -> Option<u8> {
    match text {
        [b'\\', b'x', digits @ ..] => {
            u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
        }
        [byte] => Some(*byte),
        _ => None,
    }
}

impl Zeek {
    /// Puts a line into the assembly, if it is a record.
    ///
    /// # Errors
    /// When the line names other columns.
    pub(super) fn parse(&mut self, line: &[u8], into: &mut Assembly) -> Result<(), String> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let [b'#', directive @ ..] = line {
            // Logs that were put together repeat their header.
            let mut again = Header {
                separator: self.header.separator,
                ..Header::default()
            };
            again.read(directive);
            let changes = again.fields.is_some() && again.fields != self.header.fields
                || again.types.is_some() && again.types != self.header.types;
            return match changes {
                true => Err("a header within names other columns".to_owned()),
                false => Ok(()),
            };
        }
        let outcome = self.put(line, into);
        into.close(outcome, line);
        Ok(())
    }

    fn put(&self, line: &[u8], into: &mut Assembly) -> Result<(), String> {
        let mut len = 0;
        for value in line.split(|byte| *byte == self.header.separator) {
            if let Some(Some(target)) = self.targets.get(len) {
                if value == self.header.empty {
                    into.empty(*target)?;
                } else if value != self.header.unset {
                    into.text(*target, value)?;
                }
            }
            len += 1;
        }
        match len == self.targets.len() {
            true => Ok(()),
            false => Err(format!("{len} values for {} columns", self.targets.len())),
        }
    }
}
