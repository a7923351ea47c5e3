//! The folder of a testbed: what lies where, who may change it, and how it goes.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use model::Clock;
use node::clock::MachineClock;
use serde::{Deserialize, Serialize};

use super::netns::Net;
use super::{process, program, shape};

/// Where a testbed is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    path: PathBuf,
}

/// What has to be known of a testbed to start one of its nodes again; a folder with it is a testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The network of its nodes, which is no other testbed's.
    pub network: String,
    /// How many nodes it has.
    pub nodes: u32,
    /// The program that they run.
    pub program: PathBuf,
    /// What its nodes are told beside what each testbed tells its nodes.
    pub arguments: Vec<String>,
    /// Whether the ways between them are shaped, and can be changed while they run.
    #[serde(default)]
    pub is_shaped: bool,
    /// Their network namespaces, where they have any.
    #[serde(default)]
    pub net: Option<Net>,
}

/// The right to change a testbed. It goes with the process that has it, however that ends.
///
/// A process that was forked to become a node has it as well, until it is one: whoever gets the lock behind a
/// command that was killed finds each node that it started.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

const LOCK: &str = "lock";
const RECORD: &str = "testbed.json";
const NODE: &str = "node-";

/// What stands beside the nodes of a testbed that is shaped.
const SHAPED: [&str; 5] = [
    program::LINK,
    shape::SHAPE,
    shape::FAULTS,
    "shape.json.new",
    "faults.json.new",
];

/// How long a command waits for one that works on the same testbed.
///
/// Unit: time. Source: guess; far above what it takes for a process to become a node.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// How long it waits before it looks again. Unit: time. Source: guess.
const LOCK_INTERVAL: Duration = Duration::from_millis(20);

impl Folder {
    /// The testbed at a path, which need not be there yet.
    ///
    /// # Errors
    /// When the path is none, or what it begins with cannot be read.
    pub fn at(path: &Path) -> Result<Self, io::Error> {
        let absolute = std::path::absolute(path)?;
        // Processes name the folder by its true path, whichever way a command was told to go there.
        for there in absolute.ancestors() {
            match there.canonicalize() {
                Ok(begin) => {
                    let rest = absolute.strip_prefix(there).map_err(io::Error::other)?;
                    let path = match rest.as_os_str().is_empty() {
                        true => begin,
                        false => begin.join(rest),
                    };
                    return Ok(Self { path });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { path: absolute })
    }

    /// Its path, from the root.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it is there.
    pub fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// The data folder of its K-th node.
    pub fn node(&self, node: u32) -> PathBuf {
        self.path.join(format!("{NODE}{node}"))
    }

    /// What its K-th node prints.
    pub fn log(&self, node: u32) -> PathBuf {
        self.node(node).join("log")
    }

    /// The node whose data folder a path is.
    pub fn node_of(&self, data: &Path) -> Option<u32> {
        let name = data.strip_prefix(&self.path).ok()?.to_str()?;
        name.strip_prefix(NODE)?.parse().ok()
    }

    /// Makes it, for nobody else to read.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create(&self) -> Result<(), io::Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.path)
    }

    /// Makes the folder of a node, and gives where what it prints is appended.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn create_node(&self, node: u32) -> Result<File, io::Error> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(self.node(node))?;
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(self.log(node))
    }

    /// Waits a little for the right to change it.
    ///
    /// # Errors
    /// When another command has it for longer, or the system refuses.
    pub fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.path.join(LOCK);
        let clock = MachineClock::start();
        let until = clock.now() + LOCK_WAIT;
        loop {
            let mut options = OpenOptions::new();
            let file = options.create(true).truncate(false).write(true).open(&path);
            let file = file.with_context(|| path.display().to_string())?;
            match file.try_lock() {
                // Whoever had it may have removed the testbed with the file: then that is no lock any more.
                Ok(()) if is_same(&file, &path) => return Ok(Lock { _file: file }),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => process::pause(LOCK_INTERVAL)?,
                Err(TryLockError::Error(error)) => return Err(error).context("a lock"),
            }
            anyhow::ensure!(
                clock.now() < until,
                "another command works on the testbed in {}: let it come to its end, or end it",
                self.path.display()
            );
        }
    }

    /// What is known of the testbed; nothing where there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn record(&self) -> anyhow::Result<Option<Record>> {
        let path = self.path.join(RECORD);
        let text = match fs::read(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            text => text.with_context(|| path.display().to_string())?,
        };
        let record = serde_json::from_slice(&text);
        record.map(Some).with_context(|| path.display().to_string())
    }

    /// What is known of the testbed.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn expect_record(&self) -> anyhow::Result<Record> {
        self.record()?.with_context(|| {
            format!(
                "there is no testbed in {}: start one with `synergy-testbed up`, or name another folder with --dir",
                self.path.display()
            )
        })
    }

    /// Makes it a testbed.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn write_record(&self, record: &Record) -> anyhow::Result<()> {
        let (path, next) = (self.path.join(RECORD), self.path.join("testbed.json.new"));
        fs::write(&next, serde_json::to_string_pretty(record)?)?;
        // Whoever reads it meanwhile, or after a crash, finds all of it or nothing.
        fs::rename(next, path).context("the testbed's record")
    }

    /// Whether nothing of somebody else lies in it: a testbed, or a folder that may become one.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn is_ours(&self) -> anyhow::Result<bool> {
        // A command that was killed before it wrote the record leaves the lock alone.
        Ok(self.record()?.is_some()
            || fs::read_dir(&self.path)?
                .flatten()
                .all(|entry| entry.file_name().to_str().is_some_and(|it| it == LOCK)))
    }

    /// Removes the folders of its nodes.
    ///
    /// # Errors
    /// When the system refuses. What was removed until then is gone.
    pub fn clear(&self) -> anyhow::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let path = entry?.path();
            if self.node_of(&path).is_some() {
                fs::remove_dir_all(&path).with_context(|| path.display().to_string())?;
            }
        }
        for name in SHAPED {
            remove_file(&self.path.join(name))?;
        }
        Ok(())
    }

    /// Removes what a testbed made, the folder too where nothing else lies in it, and `.synergy` around it likewise.
    ///
    /// # Errors
    /// When it is no testbed's, or the system refuses. What was removed until then is gone.
    pub fn remove(&self) -> anyhow::Result<()> {
        let path = &self.path;
        anyhow::ensure!(
            self.is_ours()?,
            "{} is no testbed, and is left as it is",
            path.display()
        );
        self.clear()?;
        // The record goes behind the nodes: until then this is a testbed.
        for name in [RECORD, "testbed.json.new", LOCK] {
            remove_file(&path.join(name))?;
        }
        match fs::remove_dir(path) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {
                anyhow::bail!("{} has files of somebody else, and is left", path.display())
            }
            removed => removed.with_context(|| path.display().to_string())?,
        }
        let around = path.parent().filter(|around| around.ends_with(".synergy"));
        // Other testbeds may be in it.
        around.map_or(Ok(()), |around| match fs::remove_dir(around) {
            Err(error) if error.kind() != ErrorKind::DirectoryNotEmpty => {
                Err(error).context("the folder .synergy")
            }
            Ok(()) | Err(_) => Ok(()),
        })
    }
}

/// Removes a file, if it is there.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(path: &Path) -> anyhow::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| path.display().to_string())
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

fn is_same(file: &File, path: &Path) -> bool {
    let of_file = file.metadata().map(|it| (it.dev(), it.ino()));
    let of_path = fs::metadata(path).map(|it| (it.dev(), it.ino()));
    matches!((of_file, of_path), (Ok(file), Ok(path)) if file == path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Folder) {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::at(&around.path().join(".synergy/testbed")).unwrap();
        (around, folder)
    }

    fn record() -> Record {
        Record {
            network: "here".to_owned(),
            nodes: 2,
            program: "synergy".into(),
            arguments: vec!["--memory".to_owned(), "64MiB".to_owned()],
            is_shaped: false,
            net: None,
        }
    }

    #[test]
    fn a_testbed_goes_with_all_that_it_made() {
        let (around, folder) = folder();
        folder.create().unwrap();
        let lock = folder.lock().unwrap();
        assert_eq!(folder.record().unwrap(), None);
        folder.write_record(&record()).unwrap();
        assert_eq!(folder.record().unwrap(), Some(record()));
        for node in 1..=2 {
            folder.create_node(node).unwrap();
        }
        assert_eq!(folder.node_of(&folder.node(2)), Some(2));
        assert_eq!(folder.node_of(&folder.log(2)), None);
        folder.remove().unwrap();
        drop(lock);
        assert_eq!(fs::read_dir(around.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_of_somebody_else_stays() {
        let (_around, folder) = folder();
        folder.create().unwrap();
        folder.create_node(1).unwrap();
        folder.remove().expect_err("it is no testbed");
        assert!(folder.log(1).exists());
        folder.write_record(&record()).unwrap();
        let notes = folder.path().join("notes");
        fs::write(&notes, "mine").unwrap();
        folder.remove().expect_err("there are notes in it");
        assert!(notes.exists() && !folder.log(1).exists());
    }

    #[test]
    fn one_command_at_a_time_changes_it() {
        let (_around, folder) = folder();
        folder.create().unwrap();
        let lock = folder.lock().unwrap();
        let error = folder.lock().expect_err("it is taken");
        assert!(error.to_string().contains("another command"), "{error}");
        drop(lock);
        folder.lock().unwrap();
    }

    #[test]
    fn ways_that_lead_to_one_place_are_one_testbed() {
        let (around, folder) = folder();
        folder.create().unwrap();
        let link = around.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert_eq!(Folder::at(&link).unwrap(), folder);
        let gone = Folder::at(&around.path().join("link/in/it")).unwrap();
        assert_eq!(gone.path(), folder.path().join("in/it"));
    }
}
