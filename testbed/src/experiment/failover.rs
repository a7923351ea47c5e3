//! R5: hosts fail in several ways while applications run over them; for how long results are away, and what is lost.
//!
//! Each way is a run of [`chaos`] of its own. What the hosts ran that failed is told apart there: operators only, sources and sinks, or an application as
//! a whole. Nothing may be lost where one host fails at a time. Where two do before the second copy of a state is made there may be none of it left: that is told,
//! and not held against anybody, as is what two sides of a network write that is cut.

use std::fmt::Write as _;
use std::time::Duration;

use super::written;
use crate::bench::chaos::{self, Fault};
use crate::bench::report::Report;
use crate::cli::note;
use crate::local::interrupt::Interrupt;

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// What runs; how hosts fail is of each way.
    pub run: chaos::Options,
    /// What rows and the order in which hosts fail are drawn from.
    pub seeds: Vec<u64>,
}

/// A way of failing.
struct Way {
    word: &'static str,
    fault: Fault,
    together: usize,
    apart: Duration,
    away: Duration,
    /// Whether nothing may come of it.
    is_held_to: bool,
}

/// All that are compared.
const WAYS: [Way; 5] = [
    Way {
        word: "single",
        fault: Fault::Kill,
        together: 1,
        apart: Duration::ZERO,
        away: Duration::from_secs(5),
        is_held_to: true,
    },
    // Sources have as much to catch up with.
    Way {
        word: "backlog",
        fault: Fault::Kill,
        together: 1,
        apart: Duration::ZERO,
        away: Duration::from_secs(20),
        is_held_to: true,
    },
    // Who went on in the place of the first has hardly found a backup when the second is killed.
    Way {
        word: "second",
        fault: Fault::Kill,
        together: 2,
        apart: Duration::from_secs(1),
        away: Duration::from_secs(5),
        is_held_to: false,
    },
    Way {
        word: "silent",
        fault: Fault::Silence,
        together: 1,
        apart: Duration::ZERO,
        away: Duration::from_secs(5),
        is_held_to: false,
    },
    Way {
        word: "cut_off",
        fault: Fault::CutOff,
        together: 1,
        apart: Duration::ZERO,
        away: Duration::from_secs(5),
        is_held_to: false,
    },
];

/// Runs each way with each seed, one testbed after the other.
///
/// # Errors
/// When nodes do not come up, an application is refused, or somebody wants to stop. Nothing of it is left.
pub fn run(options: &Options, interrupt: &Interrupt) -> anyhow::Result<Report> {
    let mut report = Report::new("R5", options.seeds.clone());
    for way in WAYS {
        for seed in &options.seeds {
            let run = chaos::Options {
                fault: way.fault,
                together: way.together,
                apart: way.apart,
                away: way.away,
                seed: *seed,
                // Pairs are whole.
                kills: options.run.kills.next_multiple_of(way.together),
                ..options.run.clone()
            };
            note(&format!("R5 {}, seed {seed}", way.word));
            let told = chaos::run(&run, interrupt)?.told();
            let prefix = match options.seeds.len() {
                1 => format!("R5.{}.", way.word),
                _ => format!("R5.{}.{seed}.", way.word),
            };
            told.figures(&prefix, &mut report);
            if way.is_held_to {
                told.claims(&prefix, &mut report);
            }
            let mut table = String::new();
            writeln!(table, "{}, seed {seed}\n", way.word).expect("memory takes it");
            table.push_str(&told.tables());
            report.tables(&table);
        }
    }
    if let Some(folder) = &options.run.out {
        written::report(folder, "R5", &report)?;
    }
    Ok(report)
}
