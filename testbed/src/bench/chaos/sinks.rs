//! What sinks wrote, on all hosts, and when it was seen: files are found by their names and read as they grow.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Context;
use model::{Clock, Instant};
use node::clock::MachineClock;

use super::load::Load;
use super::reference::Row;
use crate::local::folder::Folder;

/// A file that a sink wrote.
#[derive(Debug, Clone)]
pub(super) struct Written {
    path: PathBuf,
    /// Whose results it has.
    pub(super) application: usize,
    /// The host of the sink that wrote it.
    pub(super) host: usize,
    /// What it has, in its order, and when that was first seen.
    pub(super) rows: Vec<(Instant, Row)>,
    /// Lines that are no results.
    pub(super) strange: u64,
    /// Whole lines that were there and were taken back.
    pub(super) taken_back: u64,
    /// Up to where its lines were read. Unit: bytes.
    read: u64,
}

/// Reads what sinks write, on a thread of its own, until it is dropped.
#[derive(Debug)]
pub(super) struct Reader {
    /// The clock of all that is seen.
    pub(super) clock: Arc<MachineClock>,
    written: Arc<Mutex<Vec<Written>>>,
    stop: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// How often files are looked at. Unit: time. Source: a twentieth of the time between results.
pub(super) const INTERVAL: Duration = Duration::from_millis(10);

impl Reader {
    /// Reads what these applications write into `files`, where the sinks of their owners do, and into the folders of all nodes, where sinks do
    /// that others have taken over.
    pub(super) fn start(
        folder: &Folder,
        nodes: u32,
        files: &Path,
        loads: &[Load],
    ) -> anyhow::Result<Self> {
        let mut folders = vec![(None, files.to_owned())];
        folders.extend((0..nodes).map(|node| {
            let host = usize::try_from(node).expect("nodes are few");
            (Some(host), folder.node(node + 1).join("results"))
        }));
        let clock = Arc::new(MachineClock::start());
        let written = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = sync_channel(1);
        let looking = Looking {
            folders,
            loads: loads.to_vec(),
            clock: Arc::clone(&clock),
            written: Arc::clone(&written),
        };
        let thread = thread::Builder::new()
            .name("sinks".to_owned())
            .spawn(move || looking.run(&stopped))
            .context("a thread")?;
        Ok(Self {
            clock,
            written,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// What was seen until now.
    pub(super) fn seen<T>(&self, look: impl FnOnce(&[Written]) -> T) -> T {
        look(&self.written.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Ends it, when all that is there was seen.
    pub(super) fn finish(mut self) -> Vec<Written> {
        self.end();
        self.seen(<[Written]>::to_vec)
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().expect("reading files does not panic");
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread that reads.
struct Looking {
    /// Where results are, and of which host; nothing where each file is of its application's owner.
    folders: Vec<(Option<usize>, PathBuf)>,
    loads: Vec<Load>,
    clock: Arc<MachineClock>,
    written: Arc<Mutex<Vec<Written>>>,
}

impl Looking {
    fn run(&self, stopped: &Receiver<()>) {
        loop {
            let is_last = stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout);
            let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
            for (host, folder) in &self.folders {
                self.find(*host, folder, FOLDERS_DEPTH, &mut written);
            }
            for file in written.iter_mut() {
                let family = self.loads[file.application].family;
                file.read_on(|| self.clock.now(), |line| Row::read(family, line));
            }
            if is_last {
                return;
            }
        }
    }

    /// Finds files in a folder that were not there before, and in those in it.
    fn find(&self, host: Option<usize>, folder: &Path, depth: u32, written: &mut Vec<Written>) {
        // A folder that nobody has made yet, or that is going, has nothing.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if depth > 0 && entry.file_type().is_ok_and(|it| it.is_dir()) {
                self.find(host, &path, depth - 1, written);
                continue;
            }
            let name = entry.file_name();
            let application = self.loads.iter().position(|it| *it.output() == *name);
            let Some(application) = application else {
                continue;
            };
            if written.iter().all(|it| it.path != path) {
                let host = host.unwrap_or(self.loads[application].owner);
                let file = Written::of(application, host, Vec::new());
                written.push(Written { path, ..file });
            }
        }
    }
}

/// How deep results may lie in a folder. Source: below that of all results one of an application, one of a sink, and one more.
const FOLDERS_DEPTH: u32 = 3;

impl Written {
    /// What the sink of a host wrote of an application.
    pub(super) const fn of(application: usize, host: usize, rows: Vec<(Instant, Row)>) -> Self {
        Self {
            path: PathBuf::new(),
            application,
            host,
            rows,
            strange: 0,
            taken_back: 0,
            read: 0,
        }
    }

    /// Reads lines that are whole. A last one that is not may still become one, or be cut by who writes on behind it.
    fn read_on(&mut self, now: impl Fn() -> Instant, row: impl Fn(&str) -> Option<Row>) {
        let bytes = match self.bytes_behind() {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                // Whoever wrote it began anew: what people find there now is what counts.
                self.taken_back += u64::try_from(self.rows.len()).expect("it fits") + self.strange;
                self.rows.clear();
                (self.strange, self.read) = (0, 0);
                return;
            }
            // It is there again the next time, or never was.
            Err(_) => return,
        };
        let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
            return;
        };
        let at = now();
        for line in bytes[..end].split(|byte| *byte == b'\n') {
            match std::str::from_utf8(line).ok().and_then(&row) {
                Some(row) => self.rows.push((at, row)),
                None => self.strange += 1,
            }
        }
        self.read += u64::try_from(end).expect("it fits") + 1;
    }

    fn bytes_behind(&self) -> Result<Vec<u8>, std::io::Error> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() < self.read {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_read_when_they_are_whole_and_forgotten_when_they_are_taken_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        let mut written = Written {
            path: path.clone(),
            ..Written::of(0, 0, Vec::new())
        };
        let mut look = || {
            let row = |line: &str| {
                let end_ms = line.parse().ok()?;
                let values = [0; 4];
                Some(Row { end_ms, values })
            };
            written.read_on(|| Instant::ZERO, row);
            let ends: Vec<u64> = written.rows.iter().map(|(_, row)| row.end_ms).collect();
            (ends, written.strange, written.taken_back)
        };
        assert_eq!(look(), (vec![], 0, 0));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"1\n2").unwrap();
        assert_eq!(look(), (vec![1], 0, 0));
        file.write_all(b"3\nwhat\n").unwrap();
        assert_eq!(look(), (vec![1, 23], 1, 0));
        let mut file = File::create(&path).unwrap();
        file.write_all(b"7\n").unwrap();
        assert_eq!(look(), (vec![], 0, 3));
        assert_eq!(look(), (vec![7], 0, 3));
    }
}
