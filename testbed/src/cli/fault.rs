//! The commands that hurt a testbed.

use std::time::Duration;

use clap::Args;

use super::local::{At, duration};
use super::note;
use crate::local::fault::{self, Fault, number};

#[derive(Debug, Args)]
pub(super) struct Nodes {
    /// Which nodes, by their numbers or names.
    #[arg(required = true, value_name = "NODE", value_parser = number)]
    nodes: Vec<u32>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Slow {
    /// Which nodes, by their numbers or names.
    #[arg(required = true, value_name = "NODE", value_parser = number)]
    nodes: Vec<u32>,
    /// How much longer everything takes that they send or receive, such as 200ms.
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    by: Duration,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Partition {
    /// Nodes that reach only one another, such as 1,2; those that are named nowhere are one more group.
    #[arg(required = true, value_name = "NODE,…", value_parser = group)]
    groups: Vec<Group>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Unplug {
    /// Which nodes, by their numbers or names.
    #[arg(required = true, value_name = "NODE", value_parser = number)]
    nodes: Vec<u32>,
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Args)]
pub(super) struct Heal {
    #[command(flatten)]
    at: At,
}

#[derive(Debug, Clone)]
struct Group(Vec<u32>);

fn group(text: &str) -> Result<Group, String> {
    text.split(',')
        .map(number)
        .collect::<Result<_, _>>()
        .map(Group)
}

impl Nodes {
    pub(super) fn execute(&self, fault: Fault) -> anyhow::Result<()> {
        fault::apply(&self.at.folder()?, &self.nodes, fault)
    }
}

impl Slow {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        fault::slow(&self.at.folder()?, &self.nodes, self.by)
    }
}

impl Partition {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        let groups: Vec<Vec<u32>> = self.groups.iter().map(|group| group.0.clone()).collect();
        fault::partition(&self.at.folder()?, &groups)?;
        note("cut; `synergy-testbed heal` undoes it");
        Ok(())
    }
}

impl Unplug {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        fault::unplug(&self.at.folder()?, &self.nodes)
    }
}

impl Heal {
    pub(super) fn execute(&self) -> anyhow::Result<()> {
        fault::heal(&self.at.folder()?)
    }
}
