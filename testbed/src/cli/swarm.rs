//! The command `swarm`.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;

use anyhow::Context;
use clap::Args;

use super::note;
use crate::simulator::Fidelity;
use crate::simulator::swarm::{self, Run};

/// Networks drawn from seeds, in which everything goes wrong for a while.
#[derive(Debug, Args)]
pub(super) struct Swarm {
    /// Which seeds: from the first, up to but without the second.
    #[arg(long, value_name = "FROM..TO", value_parser = seeds, default_value = "0..100")]
    seeds: Range<u64>,
    /// One seed alone.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Small networks of engines that run rows, and no others.
    #[arg(long)]
    rows: bool,
    /// Tell what happens step by step.
    #[arg(long)]
    trace: bool,
}

impl Swarm {
    /// Runs all seeds; gives whether all of them came to rest as they should.
    pub(super) fn execute(self) -> anyhow::Result<bool> {
        let seeds = match self.seed {
            Some(seed) => seed..seed + 1,
            None => self.seeds,
        };
        let (mut failed, mut total) = (Vec::new(), Total::default());
        for seed in seeds {
            let mut print = |line: String| note(&line);
            let trace: Option<&mut dyn FnMut(String)> = match self.trace {
                true => Some(&mut print),
                false => None,
            };
            let fidelity = self.rows.then_some(Fidelity::Discrete);
            let run = swarm::run_in(seed, fidelity, trace);
            print_run(&run).context("standard output")?;
            total.add(&run);
            if !run.violations.is_empty() {
                failed.push(seed);
                for violation in &run.violations {
                    note(&format!("  {violation}"));
                }
                note(&format!(
                    "  again: synergy-testbed swarm --seed {seed}{} --trace",
                    if self.rows { " --rows" } else { "" }
                ));
            }
        }
        total.print().context("standard output")?;
        if !failed.is_empty() {
            note(&format!("{} seeds failed: {failed:?}", failed.len()));
        }
        Ok(failed.is_empty())
    }
}

/// What happened in all seeds.
#[derive(Debug, Default)]
struct Total {
    seeds: u64,
    admitted: usize,
    shared: u64,
    moved: u64,
    repaired: u64,
    events: u64,
    violations: usize,
    steps: BTreeMap<&'static str, u64>,
}

impl Total {
    fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.admitted += run.admitted;
        self.shared += run.shared;
        self.moved += run.moved;
        self.repaired += run.repaired;
        self.events += run.events;
        self.violations += run.violations.len();
        for (name, count) in &run.steps {
            *self.steps.entry(name).or_default() += count;
        }
    }

    fn print(&self) -> std::io::Result<()> {
        let steps = self.steps.iter();
        let steps: Vec<String> = steps
            .map(|(name, count)| format!("{count} {name}"))
            .collect();
        let mut stdout = std::io::stdout().lock();
        writeln!(
            stdout,
            "{} seeds: {}; {} admitted, {} operators shared, {} moved, {} repaired, {} events, {} violations",
            self.seeds,
            steps.join(", "),
            self.admitted,
            self.shared,
            self.moved,
            self.repaired,
            self.events,
            self.violations
        )
    }
}

fn print_run(run: &Run) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(
        stdout,
        "seed {} {} {}: {} asked, {} admitted, {} operators shared, {} moved, {} repaired, {} rows, {} events, {} violations",
        run.seed,
        run.digest,
        run.case,
        run.requests,
        run.admitted,
        run.shared,
        run.moved,
        run.repaired,
        run.rows,
        run.events,
        run.violations.len()
    )?;
    stdout.flush()
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let problem = || format!("{text:?} is no range of seeds, as 0..100 is");
    let (from, to) = text.split_once("..").ok_or_else(problem)?;
    let (from, to) = (from.parse(), to.parse());
    let (Ok(from), Ok(to)) = (from, to) else {
        return Err(problem());
    };
    Ok(from..to)
}
