//! The source `file`: records of a file, from its beginning to its end.

use std::fs::File;
use std::io::{Cursor, ErrorKind, Read};
use std::path::Path;

use engine::operator::{ArgumentError, Parameter, Shape};
use flate2::read::MultiGzDecoder;
use model::Arguments;

use super::bookmark::Again;
use super::format::Format;
use super::options::{self, Options, text, wrong};
use super::reader::{Input, RecordSource};
use super::{Context, Opened, Source, SourceKind};

/// The kind.
pub(super) const KIND: SourceKind = SourceKind {
    name: "file",
    doc: "Records of a file: csv, jsonl or zeek, each also gzipped.",
    parameters: &[
        Parameter {
            name: "path",
            shape: Shape::Text,
            required: true,
            doc: "The file, from the folder of the application file.",
        },
        options::FORMAT,
        options::SCHEMA,
        options::TIME,
        options::SPEED,
        options::OVERFLOW,
    ],
    live: |_| None,
    open,
};

const GZIP_MAGIC: [u8; 2] = [0x1F, 0x8B];

fn open(arguments: &Arguments, context: &Context<'_>) -> Opened<dyn Source> {
    let options = Options::parse(arguments, false);
    let Some(name) = text(arguments, "path") else {
        let mut errors = options.err().unwrap_or_default();
        errors.push(wrong("path", "is missing", "a file"));
        return Err(errors);
    };
    let path = context.folder.join(name);
    let (options, (input, again)) = match (options, open_bytes(&path)) {
        (Ok(options), Ok(opened)) => (options, opened),
        (options, input) => {
            let mut errors = options.err().unwrap_or_default();
            errors.extend(input.err().map(|reason| unreadable(&path, &reason)));
            return Err(errors);
        }
    };
    let Some(format) = options.format.or_else(|| Format::of_path(&path)) else {
        let message = format!("the name {name:?} does not tell the format");
        return Err(vec![wrong("format", message, Format::WORDS.join(" | "))]);
    };
    let source = RecordSource::open(
        name.to_owned(),
        Input::Direct(input),
        format,
        options,
        context,
    )
    .map_err(|mut error| {
        if error.parameter == "path" {
            error.message = format!("{}: {}", path.display(), error.message);
        }
        vec![error]
    })?;
    Ok(Box::new(source.with_again(again)))
}

fn unreadable(path: &Path, error: &std::io::Error) -> ArgumentError {
    let reason = match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        ErrorKind::PermissionDenied => "this user may not read it".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        _ => error.to_string(),
    };
    wrong(
        "path",
        format!("{}: {reason}", path.display()),
        "a file that can be read",
    )
}

/// The bytes of a file, unpacked if they are gzipped, and how they can be had again.
fn open_bytes(path: &Path) -> Result<(Box<dyn Read + Send>, Option<Again>), std::io::Error> {
    let mut file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    // A pipe cannot be wound back, so what was read is put before the rest.
    let mut magic = Vec::new();
    file.by_ref().take(2).read_to_end(&mut magic)?;
    let is_gzipped = magic == GZIP_MAGIC;
    let bytes = Cursor::new(magic).chain(file);
    let again = metadata.is_file().then(|| Again {
        path: path.to_owned(),
        is_gzipped,
    });
    let bytes: Box<dyn Read + Send> = match is_gzipped {
        true => Box::new(MultiGzDecoder::new(bytes)),
        false => Box::new(bytes),
    };
    Ok((bytes, again))
}

#[cfg(test)]
mod tests;
