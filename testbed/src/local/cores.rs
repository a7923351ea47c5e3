//! Nodes with parts of a core each: control groups of the system, one for each node's process.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// In which time a process gets its part. Unit: microseconds. Range: from 1,000. Source: guess; short beside the targets that are measured, long beside a turn of the system's scheduler.
const PERIOD_US: u32 = 10_000;

/// The groups of some processes. They go when it is dropped, which has to be after the processes have ended.
#[derive(Debug)]
pub struct Cores {
    groups: Vec<PathBuf>,
}

impl Cores {
    /// Gives each of these processes so many cores, and no more.
    ///
    /// # Errors
    /// Where the system has no control groups for processors, or this user may not make any.
    pub fn limit(processes: &[u32], cores: f64) -> anyhow::Result<Self> {
        let (root, is_first) = hierarchy()?;
        let mut made = Self { groups: Vec::new() };
        for id in processes {
            let group = root.join(format!("synergy-{id}"));
            fs::create_dir(&group).with_context(|| {
                format!(
                    "{}: cannot be made; control groups are for root",
                    group.display()
                )
            })?;
            made.groups.push(group.clone());
            let quota = (cores * f64::from(PERIOD_US)).round();
            if is_first {
                write(&group, "cpu.cfs_period_us", &PERIOD_US.to_string())?;
                write(&group, "cpu.cfs_quota_us", &format!("{quota:.0}"))?;
            } else {
                write(&group, "cpu.max", &format!("{quota:.0} {PERIOD_US}"))?;
            }
            write(&group, "cgroup.procs", &id.to_string())?;
        }
        Ok(made)
    }
}

impl Drop for Cores {
    fn drop(&mut self) {
        for group in &self.groups {
            if let Err(error) = fs::remove_dir(group) {
                crate::cli::note(&format!("{}: {error}", group.display()));
            }
        }
    }
}

/// Where groups for processors are made, and whether by the first version of control groups.
fn hierarchy() -> anyhow::Result<(PathBuf, bool)> {
    let unified = Path::new("/sys/fs/cgroup");
    let controllers = fs::read_to_string(unified.join("cgroup.controllers")).unwrap_or_default();
    if controllers.split_whitespace().any(|it| it == "cpu") {
        // Nothing changes where it is so already.
        write(unified, "cgroup.subtree_control", "+cpu")?;
        return Ok((unified.to_owned(), false));
    }
    let first = unified.join("cpu");
    if first.join("cpu.cfs_quota_us").is_file() || first.join("cpu.shares").is_file() {
        return Ok((first, true));
    }
    bail!(
        "{}: no control groups for processors are there",
        unified.display()
    )
}

fn write(group: &Path, name: &str, text: &str) -> anyhow::Result<()> {
    let path = group.join(name);
    fs::write(&path, text).with_context(|| path.display().to_string())
}
