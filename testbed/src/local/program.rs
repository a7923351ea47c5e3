//! The program that nodes run, and what it is told.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use std::os::unix::process::CommandExt;

use anyhow::Context;

use super::folder::{Folder, Record};

/// Finds `synergy`: where somebody said, else beside this program.
///
/// # Errors
/// When it is not there, with how to build it.
pub fn find(named: Option<&Path>) -> anyhow::Result<PathBuf> {
    if let Some(path) = named {
        // A link keeps its name: the program sees by which it was called.
        let path = std::path::absolute(path)?;
        anyhow::ensure!(path.is_file(), "there is no program {}", path.display());
        return Ok(path);
    }
    let this = std::env::current_exe().context("the system does not say where this program is")?;
    let beside = this.with_file_name("synergy");
    let profile = match this.parent().is_some_and(|it| it.ends_with("release")) {
        true => " --release",
        false => "",
    };
    anyhow::ensure!(
        beside.is_file(),
        "there is no program {}: build it with `cargo build{profile}`, or name one with --synergy",
        beside.display()
    );
    Ok(beside)
}

/// What people call the K-th node.
pub fn name(node: u32) -> String {
    format!("{NAME_STEM}{node}")
}

/// What stands before a node's number in its name.
pub const NAME_STEM: &str = "n";

/// Makes this program the nodes' own, by the name by which it knows that it is: what a node needs to follow a testbed's shape.
///
/// # Errors
/// When the system refuses.
pub(super) fn link(folder: &Folder) -> anyhow::Result<PathBuf> {
    let this = std::env::current_exe().context("the system does not say where this program is")?;
    let link = folder.path().join(LINK);
    super::folder::remove_file(&link)?;
    std::os::unix::fs::symlink(this, &link).with_context(|| link.display().to_string())?;
    Ok(link)
}

/// The name of that link in the testbed's folder.
pub(super) const LINK: &str = "synergy";

/// Starts the K-th node of a testbed, which joins those who are reached at some addresses.
///
/// # Errors
/// When the system refuses.
pub fn start(
    folder: &Folder,
    record: &Record,
    node: u32,
    join: &[String],
) -> anyhow::Result<Child> {
    let data = folder.node(node);
    let log = folder
        .create_node(node)
        .with_context(|| data.display().to_string())?;
    // What one that was killed has left would be taken for this one's.
    for name in ["api", "address"] {
        super::folder::remove_file(&data.join(name))?;
    }
    let (listen, api, mut command) = match &record.net {
        None => {
            let here = ("/ip4/127.0.0.1/tcp/0".to_owned(), "127.0.0.1:0".to_owned());
            (here.0, here.1, Command::new(&record.program))
        }
        Some(net) => {
            net.make_node(node)?;
            let (listen, api) = net.listens(node)?;
            let mut command = net.command(node);
            command.arg(&record.program);
            (listen, api, command)
        }
    };
    // A node of a testbed is what the testbed makes it, whatever stands in somebody's environment.
    for (key, _) in std::env::vars_os() {
        if key.to_string_lossy().starts_with("SYNERGY_") {
            command.env_remove(key);
        }
    }
    if record.is_shaped {
        command.env(super::hook::VARIABLE, &data);
    }
    command
        .args(["node", "start", "--data-dir"])
        .arg(&data)
        .args(["--name", &name(node)])
        .args(["--network", &record.network])
        .args(["--listen", &listen])
        .args(["--api", &api])
        // They end together: nobody is left to give anything to.
        .args(["--set", "drain=0s"])
        // Nobody but this machine is in the network that it makes.
        .args(record.net.iter().map(|_| "--insecure-listen"))
        .args(join.iter().flat_map(|address| ["--join", address.as_str()]))
        .args(&record.arguments)
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        // What is typed at the terminal, or its end, is not for nodes.
        .process_group(0);
    let started = command.spawn();
    started.with_context(|| record.program.display().to_string())
}
