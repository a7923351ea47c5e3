//! Where sinks write on a host that is not the application's own: in a file of the host's data folder, `results/APPLICATION/SINK/FILE`.
//!
//! APPLICATION is its name, its owner and the number of its composition, so that no two ever write to one file. Nothing of it is a path that a plan says:
//! the names are checked, and of the file's only the last part is taken, of letters that are harmless anywhere. What there may be of it is bounded, and
//! results of an earlier composition make room for those of the next, as on the owner.

use std::fs::{self, DirBuilder};
use std::io::{Error, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use model::plan::Connector;
use model::{Arguments, NodeId, Scalar, Value};

use super::open::Opener;
use crate::connector::{Elsewhere, Sink, SinkKind};

/// The folder of the data folder that holds results of other hosts' applications.
const RESULTS: &str = "results";

/// How many sinks of other hosts' applications may have files here.
///
/// Unit: count. Relation: with [`FILE_BYTES_MAX`], what others can make this host keep: 16 GiB. Source: guess.
const FILES_MAX: usize = 64;

/// From which length on a file of another host's application takes no more rows.
///
/// Unit: bytes. Source: guess; see [`FILES_MAX`].
const FILE_BYTES_MAX: u64 = 256 << 20;

/// The longest name of a file; of a longer one the end is taken, which says the format. Unit: bytes. Relation: below the 255 of file systems.
const NAME_BYTES_MAX: usize = 128;

/// The file that a sink of another host's application writes here; its folder is there when this returns.
///
/// # Errors
/// Why this host writes none, for people.
pub(super) fn place(
    opener: &Opener,
    kind: &SinkKind,
    sink: &str,
    arguments: &Arguments,
) -> Result<PathBuf, String> {
    if kind.elsewhere != Elsewhere::OwnFile {
        let name = kind.name;
        return Err(format!(
            "{sink} is a sink {name:?}, which nobody but the application's own host opens"
        ));
    }
    let Some(data_dir) = &opener.data_dir else {
        return Err(format!(
            "{sink} writes a file, and this host has no data folder to write it in"
        ));
    };
    // It may be of a peer's message, and is to be a name before it is part of a path.
    if !model::name::is_valid(&opener.application.name) {
        return Err(format!("{sink} is of an application without a name"));
    }
    let results = data_dir.join(RESULTS);
    let application = Application {
        name: &opener.application.name,
        owner: opener.application.owner,
    };
    let wanted = match arguments.find("path") {
        Some(Value::Scalar(Scalar::Text(path))) => path.as_str(),
        _ => "",
    };
    let folder = results
        .join(application.folder(opener.composition.number))
        .join(sink);
    let make = || {
        application.remove_before(&results, opener.composition.number)?;
        let is_new = !folder.is_dir();
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)?;
        // It is counted with the others, so that of two that come at once not both find the last place.
        let count = sink_folders(&results)?;
        if is_new && count > FILES_MAX {
            fs::remove_dir(&folder)?;
        }
        Ok(is_new && count > FILES_MAX)
    };
    let place = folder.display();
    let is_full =
        make().map_err(|error: Error| format!("{sink} cannot be written at {place}: {error}"))?;
    if is_full {
        return Err(format!(
            "{sink} finds no room: {FILES_MAX} sinks of other hosts' applications have files below {}",
            results.display()
        ));
    }
    Ok(folder.join(harmless(wanted)))
}

/// The connector with the file that this host has chosen.
pub(super) fn connector(connector: &Connector, place: &Path) -> Connector {
    let path = place.to_string_lossy();
    let arguments = connector.arguments.iter().map(|(name, value)| match name {
        "path" => (name, Value::from(&*path)),
        _ => (name, value.clone()),
    });
    Connector {
        kind: connector.kind.clone(),
        folder: String::new(),
        arguments: arguments.collect(),
    }
}

/// The sink that writes this file, up to its bound.
pub(super) fn bounded(sink: Box<dyn Sink>, place: PathBuf) -> Box<dyn Sink> {
    Box::new(Bounded {
        sink,
        place,
        bytes_max: FILE_BYTES_MAX,
    })
}

/// A sink that takes nothing more when its file is as long as it may be.
#[derive(Debug)]
struct Bounded {
    sink: Box<dyn Sink>,
    place: PathBuf,
    /// From which length on nothing more is taken.
    bytes_max: u64,
}

impl Sink for Bounded {
    fn write(&mut self, rows: &RecordBatch) -> Result<(), Error> {
        if fs::metadata(&self.place)?.len() >= self.bytes_max {
            let (place, bytes_max) = (self.place.display(), self.bytes_max);
            let message = format!(
                "{place} has the {bytes_max} bytes that a sink of another host's application may write here"
            );
            return Err(Error::new(ErrorKind::FileTooLarge, message));
        }
        self.sink.write(rows)
    }

    fn bytes(&self) -> Option<u64> {
        self.sink.bytes()
    }

    fn go_on_behind(&mut self, bytes: u64) -> Result<bool, Error> {
        self.sink.go_on_behind(bytes)
    }
}

/// Whose results: compositions of one application follow each other.
struct Application<'a> {
    name: &'a str,
    owner: NodeId,
}

impl Application<'_> {
    /// What the folders of all its compositions begin with. Names have no `@`.
    fn prefix(&self) -> String {
        let owner: String = self.owner.0.iter().map(|it| format!("{it:02x}")).collect();
        format!("{}@{owner}-", self.name)
    }

    fn folder(&self, composition: u64) -> String {
        format!("{}{composition}", self.prefix())
    }

    /// Removes results of compositions before.
    fn remove_before(&self, results: &Path, composition: u64) -> Result<(), Error> {
        let prefix = self.prefix();
        for folder in folders(results)? {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            let number = name.strip_prefix(&prefix).map(str::parse::<u64>);
            if number.is_some_and(|it| it.is_ok_and(|it| it < composition)) {
                fs::remove_dir_all(&folder)?;
            }
        }
        Ok(())
    }
}

/// How many sinks have folders here.
fn sink_folders(results: &Path) -> Result<usize, Error> {
    let mut count = 0;
    for application in folders(results)? {
        count += folders(&application)?.len();
    }
    Ok(count)
}

/// The folders in a folder; none where that is not there.
fn folders(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut folders = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            folders.push(entry.path());
        }
    }
    Ok(folders)
}

/// A name of a file like the one that is wanted, which no system and no program takes for anything but a name.
fn harmless(wanted: &str) -> String {
    let name = wanted.rsplit(['/', '\\']).next().unwrap_or_default();
    let is_harmless = |it: &char| it.is_ascii_alphanumeric() || matches!(it, '.' | '_' | '-');
    let name = name
        .chars()
        .map(|it| if is_harmless(&it) { it } else { '_' });
    let name: String = name.collect();
    let name = &name[name.len().saturating_sub(NAME_BYTES_MAX)..];
    match name.trim_start_matches(['.', '-']) {
        "" => "rows".to_owned(),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
