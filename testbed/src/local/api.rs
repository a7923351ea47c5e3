//! Asking the nodes of a testbed, each by the files that it writes when it can be asked.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use node::node::{NodeInfo, NodeRow};
use serde::de::DeserializeOwned;
use ureq::Agent;

/// Asks nodes.
#[derive(Debug)]
pub struct Api {
    agent: Agent,
}

/// How long an answer may take. Unit: time. Source: guess; what a node knows of itself it knows at once.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// How long one may take for which a node asks others. Unit: time. Source: the overlay's bound, and a busy machine.
const LIST_WAIT: Duration = Duration::from_secs(5);

/// The longest answer that is read. Unit: bytes. Source: guess; a thousand hosts of 1 KiB each, and as much again.
const ANSWER_MAX: u64 = 2 << 20;

impl Default for Api {
    fn default() -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // Nodes are on this machine: nobody is to stand between.
            .proxy(None)
            .timeout_global(Some(ANSWER_WAIT))
            .max_redirects(0)
            .build();
        Self {
            agent: config.new_agent(),
        }
    }
}

impl Api {
    /// Whether the node of a data folder says that it has joined.
    pub fn is_ready(&self, data: &Path) -> bool {
        let ask = |address: SocketAddr| {
            let asked = self.agent.get(format!("http://{address}/readyz"));
            asked.call().is_ok_and(|answer| answer.status() == 200)
        };
        address(data).is_ok_and(ask)
    }

    /// The hosts that a node knows.
    ///
    /// # Errors
    /// When it does not answer, or with something else.
    pub fn nodes(&self, data: &Path) -> anyhow::Result<Vec<NodeRow>> {
        self.ask(data, "nodes", LIST_WAIT)
    }

    /// What a node knows of itself.
    ///
    /// # Errors
    /// When it does not answer, or with something else.
    pub fn info(&self, data: &Path) -> anyhow::Result<NodeInfo> {
        self.ask(data, "node", ANSWER_WAIT)
    }

    fn ask<T: DeserializeOwned>(
        &self,
        data: &Path,
        what: &str,
        wait: Duration,
    ) -> anyhow::Result<T> {
        let address = address(data)?;
        let token =
            std::fs::read_to_string(data.join("token")).context("has no token that can be read")?;
        let mut answer = self
            .agent
            .get(format!("http://{address}/v1/{what}"))
            .header("Authorization", format!("Bearer {}", token.trim()))
            .config()
            .timeout_global(Some(wait))
            .build()
            .call()?;
        let status = answer.status();
        let body = answer.body_mut().with_config().limit(ANSWER_MAX);
        anyhow::ensure!(status == 200, "answers with status {status}");
        body.read_json().context("answers something else")
    }
}

/// Where the API of the node of a data folder is; an error until the node says it.
///
/// # Errors
/// When the node has not written it, or something else.
pub fn address(data: &Path) -> anyhow::Result<SocketAddr> {
    let text =
        std::fs::read_to_string(data.join("api")).context("has not said where its API is")?;
    text.trim()
        .parse()
        .context("says where its API is in words that are no address")
}

/// Where the node of a data folder is reached by others; nothing until the node says it.
pub fn addresses(data: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(data.join("address")).unwrap_or_default();
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.map(str::to_owned).collect()
}
