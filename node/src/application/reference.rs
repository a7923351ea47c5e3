//! References: `${env:NAME}` and `${file:PATH}`, by which secrets stay out of application files.

use std::borrow::Cow;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The largest file that a reference may name.
///
/// Unit: bytes. Source: guess; keys and passwords are far below it.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// Why a reference could not be followed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReferenceError {
    /// It has no end.
    #[error("a reference without its closing brace")]
    Open,
    /// It is neither of a variable nor of a file.
    #[error("unknown reference \"${{{0}}}\"")]
    Unknown(String),
    /// There is no such environment variable, or it is not UTF-8.
    #[error("the environment variable {0:?} is not set to a text")]
    Variable(String),
    /// The file cannot be read.
    #[error("the file {path:?} cannot be read: {reason}")]
    File {
        /// As the reference says.
        path: String,
        /// Why.
        reason: String,
    },
}

/// The text with each reference replaced by what it refers to. Relative paths start from `folder`.
pub(super) fn resolve<'t>(text: &'t str, folder: &Path) -> Result<Cow<'t, str>, ReferenceError> {
    let Some(first) = text.find("${") else {
        return Ok(Cow::Borrowed(text));
    };
    let (before, mut rest) = text.split_at(first);
    let mut resolved = before.to_owned();
    while let Some(start) = rest.find("${") {
        let (before, reference) = rest.split_at(start);
        let end = reference.find('}').ok_or(ReferenceError::Open)?;
        resolved.push_str(before);
        resolved.push_str(&follow(&reference["${".len()..end], folder)?);
        rest = &reference[end + 1..];
    }
    resolved.push_str(rest);
    Ok(Cow::Owned(resolved))
}

fn follow(reference: &str, folder: &Path) -> Result<String, ReferenceError> {
    match reference.split_once(':') {
        Some(("env", name)) => variable(name),
        Some(("file", path)) => read(&folder.join(path)).map_err(|reason| ReferenceError::File {
            path: path.to_owned(),
            reason,
        }),
        _ => Err(ReferenceError::Unknown(reference.to_owned())),
    }
}

fn variable(name: &str) -> Result<String, ReferenceError> {
    std::env::var(name).map_err(|_| ReferenceError::Variable(name.to_owned()))
}

/// A file's text, without the line end that editors put behind it.
fn read(path: &Path) -> Result<String, String> {
    // Asked before it is opened: opening a pipe would wait for somebody to write.
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if !metadata.is_file() {
        return Err("it is no regular file".to_owned());
    }
    let file = File::open(path).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| error.to_string())?;
    if model::convert::size(bytes.len()) > FILE_BYTES_MAX {
        return Err(format!("it is larger than {FILE_BYTES_MAX} bytes"));
    }
    let text = String::from_utf8(bytes).map_err(|_| "it is not text in UTF-8".to_owned())?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("key"), "s3cret\n").expect("a file");
        std::fs::create_dir(folder.path().join("d")).expect("a folder");
        let package = std::env::var("CARGO_PKG_NAME").expect("cargo says which package it tests");
        let resolve = |text| resolve(text, folder.path()).map(Cow::into_owned);
        assert_eq!(resolve("plain $ {x}"), Ok("plain $ {x}".to_owned()));
        assert_eq!(
            resolve("a ${env:CARGO_PKG_NAME}-${file:key}!"),
            Ok(format!("a {package}-s3cret!"))
        );
        assert_eq!(resolve("${env:X"), Err(ReferenceError::Open));
        assert_eq!(
            resolve("${host}"),
            Err(ReferenceError::Unknown("host".into()))
        );
        for name in ["SYNERGY_NO_SUCH_VARIABLE", "", "a=b", "a\0b"] {
            let text = format!("${{env:{name}}}");
            assert_eq!(resolve(&text), Err(ReferenceError::Variable(name.into())));
        }
        for path in ["none", "d", "", "a\0b"] {
            let text = format!("${{file:{path}}}");
            assert!(
                matches!(resolve(&text), Err(ReferenceError::File { .. })),
                "{path:?}"
            );
        }
    }
}
