//! Nodes that a benchmark or an experiment brings up, asks, and takes down.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::Clock;
use node::api::{ApplyBody, MoveBody, PublishBody};
use node::client::{Client, encoded};
use node::clock::MachineClock;
use node::node::{ApplicationStatus, Composition, Failure, FailureKind, Moved, NodeInfo};

use super::folder::Folder;
use super::interrupt::Interrupt;
use super::launch::log_end;
use super::process::{self, Process};
use super::up::{self, Testbed};
use super::{down, program};
use crate::cli::note;

mod hurt;

/// Nodes that know one another, and a folder for the files of their sources. They are ended when it is dropped.
#[derive(Debug)]
pub struct Bed<'a> {
    folder: &'a Folder,
    /// What may end all of it before its time.
    pub interrupt: &'a Interrupt,
    files: tempfile::TempDir,
    /// Who they are.
    pub testbed: Testbed,
    clients: Vec<Client>,
    /// The time of what is asked and awaited.
    pub clock: MachineClock,
}

/// For how long something is waited for that nodes tell one another. Unit: time. Source: guess; a few rounds of what holders refresh.
const FOUND_WAIT: Duration = Duration::from_secs(60);

/// How often it is looked for. Unit: time. Source: guess; well below what it takes.
const FOUND_INTERVAL: Duration = Duration::from_millis(20);

impl<'a> Bed<'a> {
    /// Brings nodes up.
    ///
    /// # Errors
    /// When they do not come up; nothing is left of them then.
    pub fn up(
        folder: &'a Folder,
        options: &up::Options,
        interrupt: &'a Interrupt,
    ) -> anyhow::Result<Self> {
        let testbed = up::up(folder, options, interrupt)?;
        // From here on it is taken down, whatever happens.
        let mut bed = Self {
            folder,
            interrupt,
            files: tempfile::tempdir()?,
            testbed,
            clients: Vec::new(),
            clock: MachineClock::start(),
        };
        for node in 1..=options.nodes {
            bed.clients.push(hurt::client(folder, node)?);
        }
        Ok(bed)
    }

    /// Where the files of sources are.
    pub fn files(&self) -> &Path {
        self.files.path()
    }

    /// Publishes a stream at a node, counted from 0, and waits until all nodes find it. `text` is its source's section.
    ///
    /// # Errors
    /// When it is refused or not found, or this process was told to stop.
    pub fn publish(&self, node: usize, name: &str, text: &str) -> anyhow::Result<()> {
        self.announce(node, name, text)?;
        (0..self.clients.len()).try_for_each(|asked| self.await_stream(asked, name))
    }

    /// Publishes a stream at a node, whether or not others find it yet.
    ///
    /// # Errors
    /// When it is refused.
    pub fn announce(&self, node: usize, name: &str, text: &str) -> anyhow::Result<()> {
        let body = PublishBody {
            name: name.to_owned(),
            file: format!("{name}.toml"),
            text: text.to_owned(),
            folder: self.files.path().to_owned(),
        };
        let published = self.clients[node].post("/v1/streams", &body);
        published.map_err(|it| anyhow!("{name}: {}", it.message))?;
        Ok(())
    }

    /// Waits until a node finds a stream.
    ///
    /// # Errors
    /// When it does not in time, or this process was told to stop.
    pub fn await_stream(&self, node: usize, name: &str) -> anyhow::Result<()> {
        let found = self.until(&format!("{name} is found"), || self.look_up(node, name));
        found.map(drop)
    }

    /// How long a node takes to look a stream up.
    ///
    /// # Errors
    /// When it does not find it.
    pub fn look_up(&self, node: usize, name: &str) -> anyhow::Result<Duration> {
        let start = self.clock.now();
        let found = self.clients[node].get(&format!("/v1/dht/{}", encoded(name)));
        let took = self.clock.now().since(start);
        let found = found.map_err(|it| anyhow!(it.message))?;
        let is_found = found.as_array().is_some_and(|entries| !entries.is_empty());
        is_found
            .then_some(took)
            .with_context(|| format!("nothing stands under {name}"))
    }

    /// Asks a node for an application.
    ///
    /// # Errors
    /// With what the node says where it refuses, or when this process was told to stop.
    pub fn ask(&self, node: usize, text: String) -> Result<Composition, Failure> {
        self.ask_spread(node, text, false)
    }

    /// The same; with `is_spread` no two of its operators are to be on one host.
    ///
    /// # Errors
    /// With what the node says where it refuses, or when this process was told to stop.
    pub fn ask_spread(
        &self,
        node: usize,
        text: String,
        is_spread: bool,
    ) -> Result<Composition, Failure> {
        let failed = |message: String| Failure::new(FailureKind::Failed, message);
        self.interrupt
            .check()
            .map_err(|error| failed(error.to_string()))?;
        let body = ApplyBody {
            file: "app.toml".to_owned(),
            text,
            folder: self.files.path().to_owned(),
            spread: is_spread,
        };
        let answer = self.clients[node].post("/v1/apps", &body)?;
        serde_json::from_value(answer).map_err(|error| failed(error.to_string()))
    }

    /// How an application fares, as its hosts say.
    ///
    /// # Errors
    /// With what the node says that is asked.
    pub fn status(&self, node: usize, name: &str) -> anyhow::Result<ApplicationStatus> {
        let shown = self.clients[node].get(&format!("/v1/apps/{}", encoded(name)));
        let shown = shown.map_err(|it| anyhow!("{name}: {}", it.message))?;
        serde_json::from_value(shown).with_context(|| name.to_owned())
    }

    /// Stops an application.
    ///
    /// # Errors
    /// With what the node says where it does not.
    pub fn stop(&self, node: usize, name: &str) -> anyhow::Result<()> {
        let stopped = self.clients[node].delete(&format!("/v1/apps/{}", encoded(name)));
        stopped.map_err(|it| anyhow!("{name}: {}", it.message))?;
        Ok(())
    }

    /// How often nodes have counted something, all together.
    ///
    /// # Errors
    /// With what the node says that does not tell.
    pub fn counted(&self, what: &str) -> anyhow::Result<u64> {
        let counts = self.clients.iter().map(|client| {
            let info = client.get("/v1/node").map_err(|it| anyhow!(it.message))?;
            let info: NodeInfo = serde_json::from_value(info)?;
            Ok(info.counts.get(what).copied().unwrap_or(0))
        });
        counts.sum()
    }

    /// Asks a node to move an operator to a host.
    ///
    /// # Errors
    /// With what the node says where it refuses.
    pub fn move_operator(
        &self,
        node: usize,
        (application, operator): (&str, &str),
        to: &str,
    ) -> Result<Moved, Failure> {
        let body = MoveBody {
            operator: operator.to_owned(),
            to: Some(to.to_owned()),
        };
        let path = format!("/v1/apps/{}/move", encoded(application));
        let answer = self.clients[node].post(&path, &body)?;
        serde_json::from_value(answer)
            .map_err(|error| Failure::new(FailureKind::Failed, error.to_string()))
    }

    /// Runs an application by itself, beside the nodes, to its end. Its paths start at the folder of files.
    ///
    /// # Errors
    /// When it fails, with what it said.
    pub fn run_alone(&self, text: &str) -> anyhow::Result<()> {
        let file = self.files.path().join("alone.toml");
        std::fs::write(&file, text)?;
        let output = Command::new(self.folder.path().join(program::LINK))
            .arg("run")
            .arg(&file)
            .stdin(Stdio::null())
            .output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        anyhow::ensure!(output.status.success(), "the run by itself: {said}");
        Ok(())
    }

    /// Waits until something succeeds.
    ///
    /// # Errors
    /// With why it did not in time, or when this process was told to stop.
    pub fn until<T>(&self, what: &str, probe: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let until = self.clock.now() + FOUND_WAIT;
        loop {
            let error = match probe() {
                Ok(found) => return Ok(found),
                Err(error) => error,
            };
            if self.clock.now() >= until {
                return Err(error.context(format!("not within {FOUND_WAIT:?}: {what}")));
            }
            self.pass(FOUND_INTERVAL)?;
        }
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// When this process was told to stop, or the system does not let it wait.
    pub fn pass(&self, time: Duration) -> anyhow::Result<()> {
        let until = self.clock.now() + time;
        while self.clock.now() < until {
            self.interrupt.check()?;
            process::pause(until.since(self.clock.now()))?;
        }
        self.interrupt.check()
    }
}

impl Bed<'_> {
    /// Says what nodes said last that have ended by themselves: figures would not tell.
    fn tell_ended(&self) {
        let Ok(running) = Process::all_of(self.folder) else {
            return;
        };
        for node in &self.testbed.nodes {
            if !running.iter().any(|process| process.node == node.number) {
                let log = log_end(self.folder, node.number).join("\n  ");
                note(&format!(
                    "node {} has ended; it said last:\n  {log}",
                    node.number
                ));
            }
        }
    }
}

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        self.tell_ended();
        if let Err(error) = down::down(self.folder) {
            note(&format!("the testbed could not be ended: {error:#}"));
        }
    }
}
