//! What a node must know after a restart: small files of its data folder, each replaced whole by a thread of its own.
//!
//! A file is a hash and what it is the hash of, so that one that was torn, or that something else has damaged, counts as not there. Who writes again before the thread came to it replaces what waits: nothing piles up.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use model::name::Digest;

use crate::note::{Found, Note};

/// The most files that are kept: beyond that the oldest go when a node starts.
///
/// Unit: count. Source: guess; one for each source and each application that ran when the node was killed.
const FILES_MAX: usize = 4096;

/// The largest file. Unit: bytes. Source: guess; what an application file may have, twice over.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// Files of a node by name. Cheap to clone; what was put is written when the last clone is gone.
#[derive(Debug, Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    writer: Option<std::thread::JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    folder: PathBuf,
    state: Mutex<State>,
    /// Something is to be written, or was.
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// What is to stand in each file; nothing where it is to go.
    wanted: BTreeMap<String, Option<Vec<u8>>>,
    /// How many were wanted ever, and the number up to which all were carried out.
    asked: u64,
    done: u64,
    failures: u64,
    /// Why what was wanted last is not on the disk; nothing where it is.
    trouble: Option<String>,
    /// Nothing changes any more.
    is_sealed: bool,
    is_closing: bool,
}

impl Store {
    /// The files of a folder, which is made where it is not there.
    ///
    /// # Errors
    /// When the folder cannot be used, or the system gives no thread.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700).create(folder)?;
        forget_oldest(folder)?;
        let shared = Arc::new(Shared {
            folder: folder.to_owned(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let writing = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || writing.write())?;
        let writer = Some(writer);
        Ok(Self {
            inner: Arc::new(Inner { shared, writer }),
        })
    }

    /// What stands in a file, if it is there and whole.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let shared = &self.inner.shared;
        if let Some(wanted) = shared.lock().wanted.get(name) {
            return wanted.clone();
        }
        match read_whole(&shared.folder.join(name)) {
            Ok(payload) => Some(payload),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(name, %error, "what was kept on the disk cannot be used");
                None
            }
        }
    }

    /// The names of all files whose name begins with this.
    pub fn names(&self, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(&self.inner.shared.folder)
            .into_iter()
            .flatten();
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        names.filter(|name| name.starts_with(prefix)).collect()
    }

    /// A file is to say this; soon.
    pub fn put(&self, name: &str, payload: Vec<u8>) {
        self.want(name, Some(payload));
    }

    /// The same, and waits until it is on the disk. Says whether it is.
    pub fn put_now(&self, name: &str, payload: Vec<u8>) -> bool {
        let shared = &self.inner.shared;
        let (number, failures) = self.want(name, Some(payload));
        let mut state = shared.lock();
        while state.done < number {
            let waited = shared.changed.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        state.failures == failures
    }

    /// Why the disk did not take what it was given last; nothing where it did.
    pub fn trouble(&self) -> Option<String> {
        self.inner.shared.lock().trouble.clone()
    }

    /// A file that is written in place, at each step of somebody: and what the process before has noted in it.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub(crate) fn open_note(&self, name: &str) -> Result<(Note, Option<Found>), Error> {
        let shared = &self.inner.shared;
        let mut state = shared.lock();
        if state.wanted.remove(name).is_some() {
            // It was to go.
            remove(&shared.folder.join(name))?;
        }
        drop(state);
        Note::open(&shared.folder.join(name))
    }

    /// A file is to go; soon.
    pub fn remove(&self, name: &str) {
        self.want(name, None);
    }

    /// What stands there stays as it is now, whatever is wanted from now on.
    pub fn seal(&self) {
        self.inner.shared.lock().is_sealed = true;
    }

    fn want(&self, name: &str, wanted: Option<Vec<u8>>) -> (u64, u64) {
        let shared = &self.inner.shared;
        let mut state = shared.lock();
        if !state.is_sealed {
            state.wanted.insert(name.to_owned(), wanted);
            state.asked += 1;
        }
        let asked = (state.asked, state.failures);
        drop(state);
        shared.changed.notify_all();
        asked
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.lock().is_closing = true;
        self.shared.changed.notify_all();
        if let Some(writer) = self.writer.take() {
            // A panic has said what it was.
            drop(writer.join());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // What is shared is whole between any two statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries out what is wanted until nothing is any more and nobody is left to want anything.
    fn write(&self) {
        let mut state = self.lock();
        loop {
            if state.wanted.is_empty() {
                if state.is_closing {
                    return;
                }
                let waited = self.changed.wait(state);
                state = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let (wanted, number) = (std::mem::take(&mut state.wanted), state.asked);
            let (mut failures, mut trouble) = (0, state.trouble.clone());
            drop(state);
            for (name, payload) in wanted {
                if payload.is_some() {
                    trouble = None;
                }
                let carried_out = match payload {
                    Some(payload) => replace(&self.folder, &name, &payload),
                    None => remove(&self.folder.join(&name)),
                };
                if let Err(error) = carried_out {
                    failures += 1;
                    tracing::warn!(name, %error, "the disk does not take what a restart needs");
                    trouble = Some(error.to_string());
                }
            }
            state = self.lock();
            state.done = number;
            state.failures += failures;
            state.trouble = trouble;
            self.changed.notify_all();
        }
    }
}

/// Writes a file so that it is there whole or as it was, also when the machine stops in between.
fn replace(folder: &Path, name: &str, payload: &[u8]) -> Result<(), Error> {
    let draft = folder.join(format!(".{name}.new"));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let mut file = options.open(&draft)?;
    file.write_all(&digest(payload).0)?;
    file.write_all(payload)?;
    file.sync_data()?;
    fs::rename(&draft, folder.join(name))?;
    File::open(folder)?.sync_all()
}

fn remove(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn read_whole(path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)?;
    let damaged = || Error::new(ErrorKind::InvalidData, "it is damaged");
    let (hash, payload) = bytes.split_at_checked(32).ok_or_else(damaged)?;
    if digest(payload).0 != *hash {
        return Err(damaged());
    }
    Ok(payload.to_vec())
}

fn digest(payload: &[u8]) -> Digest {
    Digest::of("synergy 2026 store", &[payload])
}

/// Removes drafts, which nobody is at, and of too many files the oldest.
fn forget_oldest(folder: &Path) -> Result<(), Error> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_name().as_encoded_bytes().starts_with(b".") {
            remove(&entry.path())?;
            continue;
        }
        files.push((entry.metadata()?.modified()?, entry.path()));
    }
    files.sort();
    let excess = files.len().saturating_sub(FILES_MAX);
    files[..excess]
        .iter()
        .try_for_each(|(_, path)| remove(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_there_after_a_restart_and_what_was_torn_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        assert!(store.put_now("a", vec![1; 100]));
        store.put("b", vec![2; 100]);
        store.put("b", vec![3; 100]);
        store.put("c", vec![4; 100]);
        store.remove("c");
        drop(store);

        let store = Store::open(folder.path()).unwrap();
        assert_eq!(store.read("a"), Some(vec![1; 100]));
        assert_eq!(store.read("b"), Some(vec![3; 100]));
        assert_eq!(store.read("c"), None);
        let whole = fs::read(folder.path().join("a")).unwrap();
        for len in 0..whole.len() {
            fs::write(folder.path().join("a"), &whole[..len]).unwrap();
            assert_eq!(store.read("a"), None, "torn after {len} bytes");
        }
        let mut flipped = whole;
        flipped[40] ^= 1;
        fs::write(folder.path().join("a"), flipped).unwrap();
        assert_eq!(store.read("a"), None);
    }

    #[test]
    fn who_waits_is_told_when_the_disk_does_not_take_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        fs::remove_dir_all(folder.path()).unwrap();
        assert!(!store.put_now("a", vec![1]));
        assert!(store.trouble().is_some());
        fs::create_dir(folder.path()).unwrap();
        assert!(store.put_now("a", vec![1]));
        assert_eq!(store.trouble(), None);
    }
}
