//! Nodes that a benchmark or an experiment brings up, asks, and takes down.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::Clock;
use node::api::{ApplyBody, PublishBody};
use node::client::{Client, encoded};
use node::clock::MachineClock;
use node::node::ApplicationStatus;

use super::folder::Folder;
use super::interrupt::Interrupt;
use super::process;
use super::up::{self, Testbed};
use super::{api, down};
use crate::cli::note;

/// Nodes that know one another, and a folder for the files of their sources. They are ended when it is dropped.
#[derive(Debug)]
pub struct Bed<'a> {
    folder: &'a Folder,
    interrupt: &'a Interrupt,
    files: tempfile::TempDir,
    /// Who they are.
    pub testbed: Testbed,
    clients: Vec<Client>,
    clock: MachineClock,
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
            let data = folder.node(node);
            let token = std::fs::read_to_string(data.join("token"))?;
            let address = api::address(&data)?.to_string();
            let client = Client::new(address, Some(token.trim().to_owned()));
            bed.clients.push(client);
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
        let body = PublishBody {
            name: name.to_owned(),
            file: format!("{name}.toml"),
            text: text.to_owned(),
            folder: self.files.path().to_owned(),
        };
        let published = self.clients[node].post("/v1/streams", &body);
        published.map_err(|it| anyhow!("{name}: {}", it.message))?;
        for client in &self.clients {
            let is_found = || {
                let found = client.get(&format!("/v1/dht/{}", encoded(name)));
                let found = found.map_err(|it| anyhow!(it.message))?;
                let is_there = found.as_array().is_some_and(|entries| !entries.is_empty());
                is_there.then_some(()).context("nothing stands there")
            };
            self.until(&format!("{name} is found"), is_found)?;
        }
        Ok(())
    }

    /// Asks a node for an application.
    ///
    /// # Errors
    /// With what the node says where it refuses, or when this process was told to stop.
    pub fn ask(&self, node: usize, text: String) -> anyhow::Result<()> {
        self.interrupt.check()?;
        let body = ApplyBody {
            file: "app.toml".to_owned(),
            text,
            folder: self.files.path().to_owned(),
            spread: false,
        };
        let answer = self.clients[node].post("/v1/apps", &body);
        answer.map(drop).map_err(|it| anyhow!(it.message))
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

impl Drop for Bed<'_> {
    fn drop(&mut self) {
        if let Err(error) = down::down(self.folder) {
            note(&format!("the testbed could not be ended: {error:#}"));
        }
    }
}
