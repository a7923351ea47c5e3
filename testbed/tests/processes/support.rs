//! A folder for a testbed, its two programs, and time limits for all that is asked.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use model::{Clock, Instant};
use node::clock::MachineClock;
use rustix::process::{Pid, Signal, kill_process};
use testbed::local::process::pause;

/// How long a command may take. Nothing that is asked may hang, whatever happened to nodes.
///
/// Unit: time. Source: what a client allows a node to answer, and twice that for a busy machine.
const COMMAND_WAIT: Duration = Duration::from_secs(45);

/// How often something is looked at that gives no sign. Unit: time.
const INTERVAL: Duration = Duration::from_millis(20);

/// Tests with real nodes take turns: each has as many as this machine should carry.
#[derive(Debug)]
pub(crate) struct Turn {
    _guard: MutexGuard<'static, ()>,
}

impl Turn {
    /// Waits until no other test has it.
    pub(crate) fn take() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        let _guard = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        Self { _guard }
    }
}

/// A testbed's folder, and nothing in it yet.
#[derive(Debug)]
pub(crate) struct Bed {
    around: tempfile::TempDir,
    pub(crate) clock: MachineClock,
}

impl Bed {
    pub(crate) fn new() -> Self {
        let around = tempfile::tempdir().expect("a folder");
        let program = PathBuf::from(env!("CARGO_BIN_EXE_synergy-testbed"));
        std::os::unix::fs::symlink(program, around.path().join("synergy")).expect("a link");
        let clock = MachineClock::start();
        Self { around, clock }
    }

    /// The testbed's folder.
    pub(crate) fn dir(&self) -> PathBuf {
        self.around.path().join(".synergy/testbed")
    }

    /// A file beside the testbed.
    pub(crate) fn file(&self, name: &str, content: &str) -> String {
        let path = self.around.path().join(name);
        std::fs::write(&path, content).expect("a file");
        path.to_str().expect("a folder in UTF-8").to_owned()
    }

    /// Where a file beside the testbed is, or would be.
    pub(crate) fn file_of(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    /// Nodes run a script from now on.
    pub(crate) fn node_is(&self, script: &str) {
        let path = self.around.path().join("synergy");
        std::fs::remove_file(&path).expect("there was a link");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        let mode = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(&path, mode).expect("it is ours");
    }

    /// `synergy-testbed`, in the folder around the testbed.
    pub(crate) fn testbed(&self, arguments: &[&str]) -> Command {
        self.command(Path::new(env!("CARGO_BIN_EXE_synergy-testbed")), arguments)
    }

    /// `synergy`, in the folder around the testbed.
    pub(crate) fn synergy(&self, arguments: &[&str]) -> Command {
        self.command(&self.around.path().join("synergy"), arguments)
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .current_dir(self.around.path())
            .env_remove("SYNERGY_TESTBED")
            .env("SYNERGY_BIN", self.around.path().join("synergy"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// What `probe` finds, before a time is over.
    pub(crate) fn until<T>(
        &self,
        what: &str,
        most: Duration,
        mut probe: impl FnMut() -> Option<T>,
    ) -> T {
        let until = self.clock.now() + most;
        loop {
            if let Some(found) = probe() {
                return found;
            }
            assert!(self.clock.now() < until, "not within {most:?}: {what}");
            pause(INTERVAL).expect("the system lets us wait");
        }
    }

    /// Processes whose arguments name something in the folder around the testbed.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let name = self.around.path().as_os_str().as_encoded_bytes();
        let ids = std::fs::read_dir("/proc").expect("Linux").flatten();
        let ids = ids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
        ids.filter(|id| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.windows(name.len()).any(|part| part == name)
        })
        .collect()
    }

    /// Nothing of the testbed is left: no process, no file.
    pub(crate) fn assert_nothing_is_left(&self) {
        assert_eq!(self.processes(), Vec::<u32>::new());
        let left = std::fs::read_dir(self.around.path()).expect("it is there");
        let left: Vec<_> = left.flatten().map(|entry| entry.file_name()).collect();
        assert!(!left.iter().any(|name| name == ".synergy"), "{left:?}");
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        for id in self.processes() {
            signal(id, Signal::KILL);
        }
    }
}

/// Sends a signal to a process, if it still runs.
pub(crate) fn signal(id: u32, signal: Signal) {
    let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
    // One that has just ended needs none.
    let _ = kill_process(pid.expect("an id"), signal);
}

/// Runs a command to its end; one that hangs fails the test.
pub(crate) fn run(command: &mut Command) -> Output {
    run_within(command, COMMAND_WAIT)
}

/// The same of one that takes its time.
pub(crate) fn run_within(command: &mut Command, most: Duration) -> Output {
    let child = command.spawn().expect("the program is there");
    end_within(child, &format!("{command:?}"), most)
}

/// What a command that runs comes to; one that hangs fails the test.
pub(crate) fn end(child: Child, what: &str) -> Output {
    end_within(child, what, COMMAND_WAIT)
}

fn end_within(mut child: Child, what: &str, most: Duration) -> Output {
    // Read at the same time, so that a full pipe stops nobody.
    let stdout = child.stdout.take().map(read);
    let stderr = child.stderr.take().map(read);
    let clock = MachineClock::start();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it can be waited for") {
            break status;
        }
        if clock.now().since(Instant::ZERO) > most {
            child.kill().expect("it runs");
            panic!("it hangs: {what}");
        }
        pause(INTERVAL).expect("the system lets us wait");
    };
    let read = |thread: Option<thread::JoinHandle<Vec<u8>>>| {
        thread.map_or_else(Vec::new, |thread| thread.join().expect("pipes can be read"))
    };
    Output {
        status,
        stdout: read(stdout),
        stderr: read(stderr),
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).expect("pipes can be read");
        bytes
    })
}

/// What was written, as text.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("programs write UTF-8")
}

/// What a command printed, which had to succeed, as JSON.
pub(crate) fn json(command: &mut Command) -> serde_json::Value {
    let output = run(command);
    let said = text(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
    serde_json::from_slice(&output.stdout).expect("JSON, and nothing else")
}
