//! Which node a command speaks to, and with which token.

use std::net::{IpAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::client::Client;
use crate::data_dir;
use crate::node::{Failure, FailureKind};
use crate::settings::API_DEFAULT;

#[derive(Debug, Args)]
#[command(next_help_heading = "Which node")]
pub(super) struct Target {
    /// The node to ask: HOST:PORT of its API, or K for the K-th of a testbed; else the one of this host.
    #[arg(long, global = true, env = "SYNERGY_NODE", value_name = "K|HOST:PORT")]
    node: Option<String>,
    /// The file with the token that opens its API; SYNERGY_TOKEN may hold the token itself.
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    token_file: Option<PathBuf>,
    /// The folder of the testbed.
    #[arg(
        long, global = true, env = "SYNERGY_TESTBED", value_name = "FOLDER", default_value = ".synergy/testbed",
        value_hint = ValueHint::DirPath
    )]
    dir: PathBuf,
    /// The data folder of this host's node.
    #[arg(long, global = true, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(super) data_dir: Option<PathBuf>,
}

impl Target {
    /// Whether the node of this host is meant, and not another one by name.
    pub(super) const fn is_local(&self) -> bool {
        self.node.is_none()
    }

    /// The data folder of this host's node, if there is a place for one.
    pub(super) fn data_dir(&self) -> Option<PathBuf> {
        let variable = |name: &str| std::env::var(name).ok();
        let given = self.data_dir.clone();
        given.or_else(|| data_dir::default_path(variable))
    }

    /// A client of the node.
    pub(super) fn client(&self, is_verbose: bool) -> Result<Client, Failure> {
        let (address, token) = match &self.node {
            Some(number)
                if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                self.of_testbed(number)?
            }
            Some(address) => {
                check_address(address)?;
                let local = if is_loopback(address) {
                    self.local_token()
                } else {
                    None
                };
                (address.clone(), self.variable_token().or(local))
            }
            None => self.of_this_host()?,
        };
        let token = match &self.token_file {
            Some(path) => Some(read(path).map_err(|error| {
                let message = format!(
                    "the token file {} cannot be read: {error}; give the file \"token\" of the node's data folder",
                    path.display()
                );
                Failure::new(FailureKind::NotAllowed, message)
            })?),
            None => token,
        };
        Ok(Client::new(address, token).verbose(is_verbose))
    }

    fn of_testbed(&self, number: &str) -> Result<(String, Option<String>), Failure> {
        let folder = self.dir.join(format!("node-{number}"));
        let address = read(&folder.join(data_dir::API)).map_err(|_| {
            let message = format!(
                "no node {number} runs in the testbed {}: bring one up with `synergy-testbed up`, or say with \
                 --dir where it is",
                self.dir.display()
            );
            Failure::new(FailureKind::Unreachable, message)
        })?;
        check_address(&address)?;
        Ok((address, read(&folder.join(data_dir::TOKEN)).ok()))
    }

    fn of_this_host(&self) -> Result<(String, Option<String>), Failure> {
        let found = self.data_dir();
        let address = found.and_then(|folder| read(&folder.join(data_dir::API)).ok());
        let address = address.unwrap_or_else(|| API_DEFAULT.to_owned());
        check_address(&address)?;
        Ok((
            address,
            self.local_token().or_else(|| self.variable_token()),
        ))
    }

    fn local_token(&self) -> Option<String> {
        read(&self.data_dir()?.join(data_dir::TOKEN)).ok()
    }

    fn variable_token(&self) -> Option<String> {
        let token = std::env::var("SYNERGY_TOKEN").ok();
        token.filter(|token| !token.is_empty())
    }
}

/// A file of one line, without what may stand around it.
fn read(path: &Path) -> Result<String, std::io::Error> {
    data_dir::read(path).map(|line| line.trim().to_owned())
}

fn check_address(address: &str) -> Result<(), Failure> {
    let parts = address.rsplit_once(':');
    let is_address = parts.is_some_and(|(host, port)| {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte);
        !host.is_empty()
            && host.bytes().all(is_word)
            && port.parse().is_ok_and(|port: u16| port > 0)
    });
    if is_address {
        return Ok(());
    }
    let message = format!(
        "{address:?} names no node: give HOST:PORT, such as {API_DEFAULT}, or the number of a node of a testbed"
    );
    Err(Failure::new(FailureKind::Invalid, message))
}

/// Whether an address is of this machine, so that its token may be told there.
fn is_loopback(address: &str) -> bool {
    let Some((host, _)) = address.rsplit_once(':') else {
        return false;
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = host.parse::<IpAddr>() {
        return address.is_loopback();
    }
    host == "localhost"
        && address
            .to_socket_addrs()
            .is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_name_nodes() {
        for (address, is_good) in [
            ("127.0.0.1:4171", true),
            ("[::1]:4171", true),
            ("plant-a.example:4171", true),
            ("plant-a.example", false),
            (":4171", false),
            ("host:0", false),
            ("host:70000", false),
            ("a@b:80", false),
            ("host/path:80", false),
            ("", false),
        ] {
            assert_eq!(check_address(address).is_ok(), is_good, "{address}");
        }
    }

    #[test]
    fn tokens_of_this_machine_stay_on_it() {
        for (address, is_local) in [
            ("127.0.0.1:1", true),
            ("127.9.9.9:1", true),
            ("[::1]:1", true),
            ("localhost:1", true),
            ("192.168.1.7:1", false),
            ("127.0.0.1.example:1", false),
        ] {
            assert_eq!(is_loopback(address), is_local, "{address}");
        }
    }
}
