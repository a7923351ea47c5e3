//! A network namespace for each node: an address of its own, and a link that the kernel limits and cuts.
//!
//! Each node's only way out is a pair of virtual links to one bridge; the bridge has an address as well, so that commands reach nodes.
//! All of it is made by `ip` and `tc`, needs root, and is called by a name that is made of the testbed's folder: whoever takes the
//! testbed down finds it, also when the one that made it was killed.

use std::net::Ipv4Addr;
use std::process::{Command, Output};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::folder::Folder;

/// The namespaces of a testbed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Net {
    /// With which the names of all that is made begin.
    stem: String,
    /// The two numbers in the middle of its addresses.
    subnet: (u8, u8),
    /// What each link carries, as `tc` writes it, where that is limited.
    rate: Option<String>,
}

/// Where nodes listen for others, and where their API does: each has an address of its own. Source: what nodes take by themselves.
const PORT: u16 = 4170;
/// See [`PORT`].
const API_PORT: u16 = 4171;

/// The last number of the bridge's address; nodes have those below. Source: nodes are at most 200.
const BRIDGE: u8 = 254;

/// How much may leave at once over a link that is limited, and how long the rest may wait, as `tc` writes it.
///
/// Source: guess; a few frames of the largest size that a link takes, and less than what counts as silence.
const BURST: &str = "64kb";
/// See [`BURST`].
const WAIT: &str = "400ms";

impl Net {
    /// The one of a testbed; nothing is made yet.
    pub(super) fn of(folder: &Folder, rate: Option<String>) -> Self {
        // Names of links have room for 15 bytes. Two testbeds rarely have one name; the second is refused then.
        let path = folder.path().as_os_str().as_encoded_bytes();
        let hash = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let [a, b, c, ..] = hash.to_be_bytes();
        Self {
            stem: format!("sy{a:02x}{b:02x}{c:02x}"),
            subnet: (a, b),
            rate,
        }
    }

    fn namespace(&self, node: u32) -> String {
        format!("{}-{node}", self.stem)
    }

    /// The end of a node's link at the bridge.
    fn link(&self, node: u32) -> String {
        format!("{}v{node}", self.stem)
    }

    fn address(&self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, self.subnet.0, self.subnet.1, last)
    }

    fn address_of(&self, node: u32) -> anyhow::Result<Ipv4Addr> {
        let last = u8::try_from(node).ok().filter(|last| *last < BRIDGE);
        last.map(|last| self.address(last))
            .context("there is no address for so many nodes")
    }

    /// Makes the bridge.
    pub(super) fn make(&self) -> anyhow::Result<()> {
        anyhow::ensure!(
            rustix::process::geteuid().is_root(),
            "only root makes network namespaces: leave --netns out, and shape the ways with --latency or --faults"
        );
        let bridge = &self.stem;
        ip(&["link", "add", bridge, "type", "bridge"]).context(
            "this machine does not let a bridge be made: leave --netns out, and shape the ways with --latency or --faults",
        )?;
        let address = format!("{}/24", self.address(BRIDGE));
        ip(&["address", "add", &address, "dev", bridge])?;
        ip(&["link", "set", bridge, "up"])
    }

    /// Makes the namespace of a node and its link.
    pub(super) fn make_node(&self, node: u32) -> anyhow::Result<()> {
        let (namespace, link) = (self.namespace(node), self.link(node));
        if named("netns", &["netns", "list"])?.contains(&namespace) {
            return Ok(());
        }
        let address = format!("{}/24", self.address_of(node)?);
        ip(&["netns", "add", &namespace])?;
        let peer = ["type", "veth", "peer", "name", "eth0", "netns", &namespace];
        ip(&[&["link", "add", &link][..], &peer].concat())?;
        ip(&["link", "set", &link, "master", &self.stem, "up"])?;
        let inside = |arguments: &[&str]| ip(&[&["-n", &namespace], arguments].concat());
        inside(&["address", "add", &address, "dev", "eth0"])?;
        inside(&["link", "set", "eth0", "up"])?;
        inside(&["link", "set", "lo", "up"])?;
        let Some(rate) = &self.rate else {
            return Ok(());
        };
        let limit = ["root", "tbf", "rate", rate, "burst", BURST, "latency", WAIT];
        // What the node receives leaves at the bridge's end, what it sends at its own.
        run(
            "tc",
            &[&["qdisc", "add", "dev", &link][..], &limit].concat(),
        )?;
        let own = [
            &["-n", &namespace, "qdisc", "add", "dev", "eth0"][..],
            &limit,
        ]
        .concat();
        run("tc", &own)
    }

    /// What runs a program in a node's namespace, before the program's own name.
    pub(super) fn command(&self, node: u32) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.namespace(node)]);
        command
    }

    /// Where a node listens: for others, and for who asks it.
    pub(super) fn listens(&self, node: u32) -> anyhow::Result<(String, String)> {
        let address = self.address_of(node)?;
        Ok((
            format!("/ip4/{address}/tcp/{PORT}"),
            format!("{address}:{API_PORT}"),
        ))
    }

    /// Takes nodes' links down or up.
    pub(super) fn plug(&self, nodes: &[u32], is_up: bool) -> anyhow::Result<()> {
        let state = if is_up { "up" } else { "down" };
        let mut links = nodes.iter().map(|node| self.link(*node));
        links.try_for_each(|link| ip(&["link", "set", &link, state]))
    }

    /// Removes all that was made. What is not there any more is no mistake.
    pub(super) fn remove(&self) -> anyhow::Result<()> {
        // A namespace that is deleted keeps its links for as long as a connection is not quite closed.
        let begin = format!("{}v", self.stem);
        for link in named("links", &["-o", "link", "show", "type", "veth"])? {
            if link.starts_with(&begin) {
                ip(&["link", "delete", &link])?;
            }
        }
        let begin = format!("{}-", self.stem);
        for namespace in named("netns", &["netns", "list"])? {
            if namespace.starts_with(&begin) {
                ip(&["netns", "delete", &namespace])?;
            }
        }
        if named("links", &["-o", "link", "show", "type", "bridge"])?.contains(&self.stem) {
            ip(&["link", "delete", &self.stem])?;
        }
        Ok(())
    }
}

/// The names in a list of `ip`: each line has one, alone, before more, or behind a number.
fn named(what: &str, arguments: &[&str]) -> anyhow::Result<Vec<String>> {
    let output = output("ip", arguments)?;
    anyhow::ensure!(
        output.status.success(),
        "the {what} of this machine cannot be listed"
    );
    let text = String::from_utf8_lossy(&output.stdout);
    let name = |line: &str| {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        let name = match first.strip_suffix(':') {
            // A link's name may have its other end behind it.
            Some(_) => words.next()?.split([':', '@']).next()?,
            None => first,
        };
        Some(name.to_owned())
    };
    Ok(text.lines().filter_map(name).collect())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    run("ip", arguments)
}

fn run(program: &str, arguments: &[&str]) -> anyhow::Result<()> {
    let output = output(program, arguments)?;
    let said = String::from_utf8_lossy(&output.stderr);
    anyhow::ensure!(
        output.status.success(),
        "`{program} {}`: {}",
        arguments.join(" "),
        said.trim()
    );
    Ok(())
}

fn output(program: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let ran = Command::new(program).args(arguments).output();
    ran.with_context(|| format!("`{program}` is needed for --netns and cannot be run"))
}
