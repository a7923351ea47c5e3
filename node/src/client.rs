//! A client of a node's HTTP interface: what the command line and testbeds speak to nodes with.
//!
//! It blocks, waits for a bounded time, follows no redirection and uses no proxy: nodes are spoken to directly. All that
//! goes wrong is a [`Failure`], whether the node said it or could not be heard.

use std::io::{self, Read};
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use ureq::http::{Method, Request, Response};
use ureq::{Agent, Body, Timeout};

use crate::node::{Failure, FailureKind};

mod events;

pub use events::{Event, Events};

/// How long a connection may take to be made.
///
/// Unit: time. Source: guess; a round trip around the world is a third of it.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// How long a node may take to answer.
///
/// Unit: time. Source: more than a node allows itself.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// How long a tap may be silent. Unit: time. Source: three of the signs of life that a node gives.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// The largest answer. Unit: bytes. Source: guess; a list of 100,000 streams.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// A node's HTTP interface, as seen from here.
#[derive(Clone)]
pub struct Client {
    agent: Agent,
    /// `HOST:PORT`.
    address: String,
    token: Option<String>,
    is_verbose: bool,
}

impl std::fmt::Debug for Client {
    /// Never the token.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of the node at `HOST:PORT`. Nothing is sent yet.
    pub fn new(address: impl Into<String>, token: Option<String>) -> Self {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_connect(Some(CONNECT_MAX))
            .build();
        Self {
            agent: config.new_agent(),
            address: address.into(),
            token,
            is_verbose: false,
        }
    }

    /// Tells each call on the log.
    #[must_use]
    pub const fn verbose(mut self, is_verbose: bool) -> Self {
        self.is_verbose = is_verbose;
        self
    }

    /// Where the node is: `HOST:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// What the node has at `path`, which begins with a slash.
    ///
    /// # Errors
    /// What the node says, or why it cannot be heard.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        let response = self.send(Method::GET, path, None, ANSWER_MAX)?;
        self.read(response)
    }

    /// What the node answers to `body`.
    ///
    /// # Errors
    /// What the node says, or why it cannot be heard.
    pub fn post(&self, path: &str, body: &impl Serialize) -> Result<Value, Failure> {
        let body = serde_json::to_vec(body).map_err(|error| {
            let message = format!("what is to be sent cannot be written: {error}");
            Failure::new(FailureKind::Failed, message)
        })?;
        let response = self.send(Method::POST, path, Some(body), ANSWER_MAX)?;
        self.read(response)
    }

    /// Takes away what the node has at `path`.
    ///
    /// # Errors
    /// What the node says, or why it cannot be heard.
    pub fn delete(&self, path: &str) -> Result<Value, Failure> {
        let response = self.send(Method::DELETE, path, None, ANSWER_MAX)?;
        self.read(response)
    }

    /// What a stream yields from now on, for at most `duration`.
    ///
    /// # Errors
    /// What the node says, or why it cannot be heard.
    pub fn tap(&self, name: &str, duration: Option<Duration>) -> Result<Events, Failure> {
        let path = format!("/v1/streams/{}/tap", encoded(name));
        let request = self.request(Method::GET, &path).body(());
        let request = request.map_err(|error| self.unsendable(&error))?;
        let request = self
            .agent
            .configure_request(request)
            .timeout_recv_response(Some(ANSWER_MAX))
            .timeout_recv_body(duration)
            .timeout_per_read(Some(SILENCE_MAX))
            .build();
        let response = self.heard(self.agent.run(request))?;
        if !response.status().is_success() {
            return Err(self.failure(response));
        }
        let reader = response.into_body().into_reader();
        Ok(Events::new(reader, self.address.clone()))
    }

    fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<Vec<u8>>,
        wait: Duration,
    ) -> Result<Response<Body>, Failure> {
        let request = self.request(method, path);
        let response = match body {
            Some(body) => {
                let request = request
                    .header("Content-Type", "application/json")
                    .body(body);
                let request = request.map_err(|error| self.unsendable(&error))?;
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(Some(wait)).build())
            }
            None => {
                let request = request.body(());
                let request = request.map_err(|error| self.unsendable(&error))?;
                let request = self.agent.configure_request(request);
                self.agent.run(request.timeout_global(Some(wait)).build())
            }
        };
        self.heard(response)
    }

    fn request(&self, method: Method, path: &str) -> ureq::http::request::Builder {
        if self.is_verbose {
            tracing::info!("{method} http://{}{path}", self.address);
        }
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.address));
        match &self.token {
            Some(token) => request.header("Authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    fn read(&self, response: Response<Body>) -> Result<Value, Failure> {
        if !response.status().is_success() {
            return Err(self.failure(response));
        }
        let bytes = self.bytes(response)?;
        serde_json::from_slice(&bytes).map_err(|error| self.not_understood(&error.to_string()))
    }

    /// What the node says went wrong.
    fn failure(&self, response: Response<Body>) -> Failure {
        let status = response.status();
        let bytes = match self.bytes(response) {
            Ok(bytes) => bytes,
            Err(failure) => return failure,
        };
        serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| self.not_understood(&format!("it answered {status}")))
    }

    fn bytes(&self, response: Response<Body>) -> Result<Vec<u8>, Failure> {
        let mut bytes = Vec::new();
        let mut reader = response
            .into_body()
            .into_reader()
            .take(ANSWER_BYTES_MAX + 1);
        reader
            .read_to_end(&mut bytes)
            .map_err(|error| self.unheard(&ureq::Error::from(error)))?;
        if model::convert::size(bytes.len()) > ANSWER_BYTES_MAX {
            return Err(self.not_understood("its answer is too large"));
        }
        Ok(bytes)
    }

    fn heard(
        &self,
        response: Result<Response<Body>, ureq::Error>,
    ) -> Result<Response<Body>, Failure> {
        response.map_err(|error| self.unheard(&error))
    }

    /// Why the node cannot be heard.
    fn unheard(&self, error: &ureq::Error) -> Failure {
        let address = &self.address;
        let what_to_do = "start one with `synergy node start`, or name another with --node";
        let message = match error {
            ureq::Error::Io(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                format!("no node answers at {address}: {what_to_do}")
            }
            ureq::Error::Timeout(Timeout::Connect | Timeout::Resolve) => format!(
                "no node answers at {address} within {} s: {what_to_do}",
                CONNECT_MAX.as_secs()
            ),
            ureq::Error::Timeout(_) => format!(
                "the node at {address} does not answer: what was asked may or may not be done; ask another \
                 with --node"
            ),
            ureq::Error::HostNotFound => {
                format!("there is no host of the name in {address}: name another with --node")
            }
            error => format!(
                "the node at {address} cannot be heard: {error}; what was asked may or may not be done"
            ),
        };
        Failure::new(FailureKind::Unreachable, message)
    }

    fn unsendable(&self, error: &ureq::http::Error) -> Failure {
        let message = format!("nothing can be asked of {:?}: {error}", self.address);
        Failure::new(FailureKind::Invalid, message)
    }

    fn not_understood(&self, reason: &str) -> Failure {
        let message = format!(
            "what answers at {} is not understood: {reason}; it may be no node, or one of another version",
            self.address
        );
        Failure::new(FailureKind::Failed, message)
    }
}

/// A name as a part of a path.
pub fn encoded(name: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            _ => {
                // Writing into a string does not fail.
                let _ = write!(encoded, "%{byte:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_part_of_a_path() {
        assert_eq!(encoded("lab/flows"), "lab%2Fflows");
        assert_eq!(encoded("app:ids/alerts.late"), "app%3Aids%2Falerts.late");
        assert_eq!(encoded("a b?#%é"), "a%20b%3F%23%25%C3%A9");
    }
}
