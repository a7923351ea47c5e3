//! The data folder of a node: who it is, who may speak to it, and where it is found while it runs.
//!
//! | file | what |
//! | --- | --- |
//! | `identity` | the node's secret key; made at the first start, and never again |
//! | `token` | what opens the node's HTTP interface; made at the first start |
//! | `lock` | held by the running node; the system lets go of it when the process is gone, however it ended |
//! | `api` | `HOST:PORT` of the HTTP interface, while the node runs |
//! | `address` | multiaddresses by which others join the node, one a line, while it runs |
//! | `pid` | the process, while it runs |
//! | `retained` | a folder of rows that wait for who is too far behind for the memory, while the node runs |
//! | `kept` | a folder of what a restart must know: where sources are, and what application files said of them |
//!
//! Files appear whole or not at all. Only their owner can read them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Error, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use overlay::Identity;

/// The names of the files.
pub const IDENTITY: &str = "identity";
/// See [`IDENTITY`].
pub const TOKEN: &str = "token";
/// See [`IDENTITY`].
pub const API: &str = "api";
/// See [`IDENTITY`].
pub const ADDRESS: &str = "address";
/// See [`IDENTITY`].
pub const PID: &str = "pid";
/// See [`IDENTITY`].
pub const KEPT: &str = "kept";
/// See [`IDENTITY`].
pub const RETAINED: &str = "retained";
/// See [`IDENTITY`].
pub const STATES: &str = "states";
const LOCK: &str = "lock";

/// The data folder of this node, locked as long as this lives.
///
/// When it is dropped, what says where the node is found goes away; who it is stays.
#[derive(Debug)]
pub struct DataDir {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
}

/// Why a data folder cannot be used. Nothing that was there is changed.
#[derive(Debug, thiserror::Error)]
pub enum DataDirError {
    /// Another node runs on it.
    #[error(
        "a node runs on {} already{}: stop it with `synergy node stop`, or give this one a folder of its own with \
         --data-dir", .path.display(), process(.pid)
    )]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Its process, where that is known.
        pid: Option<u32>,
    },
    /// Others can read what must stay secret.
    #[error(
        "{} can be read or changed by others (mode {mode:03o}): it is as good as public; if nobody else has seen it, \
         `chmod {} {}`, else remove it, and a new one is made", .path.display(), wanted(*.is_folder), .path.display()
    )]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its mode.
        mode: u32,
        /// Whether it is a folder.
        is_folder: bool,
    },
    /// A file is not what was written there.
    #[error(
        "{} is damaged: {reason}; put back a copy, or remove it, and a new one is made{}", .path.display(),
        consequence(.path)
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How it is seen.
        reason: String,
    },
    /// The system does not let the node read or write there.
    #[error(
        "the data folder cannot be used: {}: {error}; give another one with --data-dir", .path.display()
    )]
    System {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        error: Error,
    },
}

fn process(pid: &Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

const fn wanted(is_folder: bool) -> &'static str {
    if is_folder { "700" } else { "600" }
}

fn consequence(path: &Path) -> &'static str {
    match path.file_name().is_some_and(|name| name == IDENTITY) {
        true => " (the node is then another one to everybody)",
        false => "",
    }
}

impl DataDir {
    /// Makes or opens the folder for a node that starts.
    ///
    /// # Errors
    /// When another node runs on it, others can read it, or the system refuses.
    pub fn open(path: &Path) -> Result<Self, DataDirError> {
        let system = |error| DataDirError::System {
            path: path.to_owned(),
            error,
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(path).map_err(system)?;
        check_private(path)?;

        let lock_path = path.join(LOCK);
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(system)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let pid = read(&path.join(PID)).ok();
                return Err(DataDirError::InUse {
                    path: path.to_owned(),
                    pid: pid.and_then(|pid| pid.trim().parse().ok()),
                });
            }
            Err(TryLockError::Error(error)) => return Err(system(error)),
        }
        let folder = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        // What an earlier node left behind when it was killed says nothing about this one.
        folder.withdraw();
        Ok(folder)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nobody was this node before, as far as the folder tells. From [`Self::identity`] on somebody is.
    pub fn is_new(&self) -> bool {
        let found = fs::symlink_metadata(self.path.join(IDENTITY));
        found.is_err_and(|error| error.kind() == ErrorKind::NotFound)
    }

    /// Who the node is: as it was before, or somebody new at the first start.
    ///
    /// # Errors
    /// When the file is damaged or can be read by others, or the system refuses.
    pub fn identity(&self) -> Result<Identity, DataDirError> {
        let text = self.kept_or_made(IDENTITY)?;
        identity(&self.path.join(IDENTITY), &text)
    }

    /// What opens the node's HTTP interface.
    ///
    /// # Errors
    /// When the file is damaged or can be read by others, or the system refuses.
    pub fn token(&self) -> Result<String, DataDirError> {
        let text = self.kept_or_made(TOKEN)?;
        let token = text.trim_end();
        if token.len() < TOKEN_BYTES_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(DataDirError::Damaged {
                path: self.path.join(TOKEN),
                reason: format!("it is no line of at least {TOKEN_BYTES_MIN} printable characters"),
            });
        }
        Ok(token.to_owned())
    }

    /// Says where the node is found. Called when it listens there.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn announce(&self, api: SocketAddr, addresses: &[String]) -> Result<(), DataDirError> {
        let addresses: String = addresses.iter().map(|it| format!("{it}\n")).collect();
        self.write(ADDRESS, &addresses)?;
        self.write(PID, &format!("{}\n", std::process::id()))?;
        // The last one: who finds it finds the others too.
        self.write(API, &format!("{api}\n"))
    }

    /// A file of 32 random bytes as hexadecimal digits.
    fn kept_or_made(&self, name: &str) -> Result<String, DataDirError> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let random = entropy().map_err(|error| DataDirError::System {
                    path: PathBuf::from(ENTROPY),
                    error,
                })?;
                let text = format!("{}\n", hexadecimal(&random));
                self.write(name, &text)?;
                Ok(text)
            }
            _ => read_private(&path),
        }
    }

    /// Writes a file so that it is there whole or not at all, also when the machine stops in between.
    fn write(&self, name: &str, text: &str) -> Result<(), DataDirError> {
        let path = self.path.join(name);
        let draft = self.path.join(format!(".{name}.new"));
        let write = || {
            // Left behind by somebody who was killed; the lock says that nobody is at it.
            match fs::remove_file(&draft) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(&draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&draft, &path)?;
            File::open(&self.path)?.sync_all()
        };
        write().map_err(|error| DataDirError::System {
            path: path.clone(),
            error,
        })
    }

    /// Takes away what says where the node is found.
    fn withdraw(&self) {
        for name in [API, ADDRESS, PID] {
            // What cannot be removed is stale, which everybody who reads it must expect.
            let _ = fs::remove_file(self.path.join(name));
        }
    }
}

impl Drop for DataDir {
    fn drop(&mut self) {
        self.withdraw();
    }
}

/// The least length of a token. Unit: bytes. Source: 128 bits as hexadecimal digits; what a person may put there.
const TOKEN_BYTES_MIN: usize = 32;

/// The largest file that is read. Unit: bytes. Source: guess; a few addresses are far below it.
const FILE_BYTES_MAX: u64 = 1 << 16;

/// The data folder where none is given: `SYNERGY_DATA_DIR`, else in the place for data of programs.
///
/// `variable` gives environment variables. Nothing where not even a home is known.
pub fn default_path(variable: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let given = |name: &str| variable(name).filter(|value| !value.is_empty());
    if let Some(path) = given("SYNERGY_DATA_DIR") {
        return Some(path.into());
    }
    // The directory specification of freedesktop.org wants relative paths to be ignored.
    let data = given("XDG_DATA_HOME").map(PathBuf::from);
    let data = data.filter(|path| path.is_absolute());
    let home = || Some(Path::new(&given("HOME")?).join(".local/share"));
    Some(data.or_else(home)?.join("synergy"))
}

/// A file of somebody's data folder, without its last line end.
///
/// # Errors
/// When it is not there or cannot be read.
pub fn read(path: &Path) -> Result<String, Error> {
    let mut text = String::new();
    let mut file = File::open(path)?.take(FILE_BYTES_MAX);
    file.read_to_string(&mut text)?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    Ok(text)
}

/// The identity in a data folder, if there is one: also of a node that runs.
///
/// # Errors
/// When the file is damaged or can be read by others, or the system refuses.
pub fn read_identity(folder: &Path) -> Result<Option<Identity>, DataDirError> {
    let path = folder.join(IDENTITY);
    if !path.exists() {
        return Ok(None);
    }
    let text = read_private(&path)?;
    identity(&path, &text).map(Some)
}

/// 32 bytes that nobody can guess, from the system.
///
/// # Errors
/// When the system has none.
pub fn entropy() -> Result<[u8; 32], Error> {
    let mut bytes = [0; 32];
    File::open(ENTROPY)?.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Where the system gives random bytes.
const ENTROPY: &str = "/dev/urandom";

fn read_private(path: &Path) -> Result<String, DataDirError> {
    check_private(path)?;
    read(path).map_err(|error| match error.kind() {
        ErrorKind::InvalidData => DataDirError::Damaged {
            path: path.to_owned(),
            reason: "it is no text".to_owned(),
        },
        _ => DataDirError::System {
            path: path.to_owned(),
            error,
        },
    })
}

/// Whether nobody but the owner can read a file, or change a file or folder.
fn check_private(path: &Path) -> Result<(), DataDirError> {
    let metadata = fs::metadata(path).map_err(|error| DataDirError::System {
        path: path.to_owned(),
        error,
    })?;
    let mode = metadata.permissions().mode() & 0o777;
    // That somebody sees the names in the folder gives nothing away; what stands in the files does.
    let refused = if metadata.is_dir() { 0o022 } else { 0o077 };
    if mode & refused != 0 {
        return Err(DataDirError::Exposed {
            path: path.to_owned(),
            mode,
            is_folder: metadata.is_dir(),
        });
    }
    Ok(())
}

fn identity(path: &Path, text: &str) -> Result<Identity, DataDirError> {
    let secret = bytes_of(text.trim_end()).ok_or_else(|| DataDirError::Damaged {
        path: path.to_owned(),
        reason: "it is no line of 64 hexadecimal digits".to_owned(),
    })?;
    Ok(Identity::from_secret(secret))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that 64 hexadecimal digits are.
fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    if digits.len() != 64 || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let pair = std::str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests;
