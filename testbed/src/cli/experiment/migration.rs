//! The command of H4.

use std::num::NonZeroU64;
use std::path::PathBuf;

use clap::Args;
use node::application::units;

use super::super::note;
use crate::bench::report::Report;
use crate::experiment::migration;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;

/// How migrations are measured.
#[derive(Debug, Args)]
pub(in crate::cli) struct Migration {
    /// How much state the operator has at least.
    #[arg(long, value_name = "SIZE", default_value = "10MiB", value_parser = size)]
    state: u64,
    /// How often it moves, for each seed.
    #[arg(long, default_value = "5")]
    moves: NonZeroU64,
    /// How many seeds, from 1 on.
    #[arg(long, default_value = "3")]
    seeds: u64,
    /// The folder of the testbeds, which goes when it is done.
    #[arg(long, value_name = "DIR", default_value = ".synergy/migration")]
    dir: PathBuf,
}

impl Migration {
    pub(super) fn run(self) -> anyhow::Result<Report> {
        let options = migration::Options {
            folder: Folder::at(&self.dir)?,
            state_bytes: self.state,
            moves: self.moves.get(),
            seeds: (1..=self.seeds).collect(),
        };
        migration::run(&options, &Interrupt::by_signals()?, &note)
    }
}

fn size(text: &str) -> Result<u64, String> {
    units::size(text).map_err(|error| format!("{error}; expected {}", units::SIZE_FORM))
}
