//! R4: how long after it has joined a node knows the delays of all hosts.
//!
//! Nobody measures all pairs for that. A host tells where it is in the network, every other one hears of it, and what lies between two of
//! them follows. Each node says itself how long it took, from the first host that it saw until it knew as many delays as ever, so
//! that asking it changes nothing. All nodes start together, which is the worst of cases: at first nobody knows where he is.

use std::time::Duration;

use anyhow::Context;
use model::{Clock, convert};

use super::bed;
use super::{LOST, Options, lost, quantile_ms};
use crate::bench::report::Report;
use crate::experiment::grid::Grid;
use crate::local::api::Api;
use crate::local::bed::Bed;
use crate::local::interrupt::Interrupt;
use crate::local::process;

/// The name of the one series.
const SERIES: &str = "synergy";

/// The number of hosts at which claims are made, and what all of them are to know by then. Units: hosts, milliseconds. Source: papers,
/// section 9.1: 5539 ms for 30 hosts; the definition of R4.
const HOSTS: f64 = 30.0;
/// See [`HOSTS`].
const KNOWN_MS: f64 = 200.0;

/// For how long it is waited for that all delays are known, and how often it is asked. Unit: time. Source: guess; several times the anchor.
const KNOWN_WAIT: Duration = Duration::from_secs(30);
/// See [`KNOWN_WAIT`].
const KNOWN_INTERVAL: Duration = Duration::from_millis(100);

pub(super) fn run(
    options: &Options,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
    grid: &mut Grid,
) -> anyhow::Result<()> {
    for seed in &options.seeds {
        for nodes in &options.nodes {
            let measured = measure(options, *nodes, *seed, interrupt);
            let ended = measured.map(|figures| {
                for (figure, number) in figures {
                    told(&format!(
                        "R4 seed {seed}, {nodes} nodes: {figure} {number:.3}"
                    ));
                    grid.add(SERIES, f64::from(*nodes), figure, number);
                }
            });
            let lost = lost(&format!("{nodes} nodes, seed {seed}"), ended, interrupt)?;
            grid.add(SERIES, f64::from(*nodes), LOST, lost);
        }
    }
    Ok(())
}

fn measure(
    options: &Options,
    nodes: u32,
    seed: u64,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<(&'static str, f64)>> {
    let policy = &composition::policy::Synergy;
    let bed = bed::up(options, nodes, seed, policy, interrupt)?;
    let api = Api::default();
    let until = bed.clock.now() + KNOWN_WAIT;
    let mut times = Vec::new();
    for node in 1..=nodes {
        let data = options.folder.node(node);
        loop {
            interrupt.check()?;
            let info = api.info(&data)?;
            if info.delays_known + 1 >= u64::from(nodes) {
                let took = info.delays_known_ms.context("it knows delays")?;
                times.push(convert::seconds(took / 1e3));
                break;
            }
            let known = info.delays_known;
            anyhow::ensure!(
                bed.clock.now() < until,
                "node {node} knows {known} delays of {nodes} hosts"
            );
            process::pause(KNOWN_INTERVAL)?;
        }
    }
    let mut figures = Vec::new();
    for (figure, p) in [
        ("known_after_join_ms_p50", 0.5),
        // All nodes: the last of them counts.
        ("known_after_join_ms", 1.0),
    ] {
        let time = quantile_ms(&times, p).context("there are nodes")?;
        figures.push((figure, time));
    }
    if let Some(off) = off(&bed, &api, options, nodes)? {
        figures.push(("delay_off_fraction_p50", off));
    }
    Ok(figures)
}

/// How far the round trips that nodes tell lie from what they are, as a fraction of that: the median over all pairs. Nothing where nodes
/// are as near as this machine makes them.
fn off(bed: &Bed<'_>, api: &Api, options: &Options, nodes: u32) -> anyhow::Result<Option<f64>> {
    let Some(area) = &bed.testbed.area else {
        return Ok(None);
    };
    let index = |id: &str| bed.testbed.nodes.iter().position(|node| node.node == id);
    let mut off = Vec::new();
    for (from, node) in (1..=nodes).enumerate() {
        for row in api.nodes(&options.folder.node(node))? {
            let (Some(to), Some(told)) = (index(&row.node), row.round_trip_ms) else {
                continue;
            };
            let ways = area.one_way[from][to] + area.one_way[to][from];
            let real = ways.as_secs_f64() * 1e3;
            if real > 0.0 {
                off.push((told - real).abs() / real);
            }
        }
    }
    off.sort_by(f64::total_cmp);
    Ok(off.get(off.len() / 2).copied())
}

pub(super) fn claims(grid: &Grid, report: &mut Report) {
    if let Some(known) = grid.find(SERIES, HOSTS, "known_after_join_ms") {
        report.claim("delays_known_soon_after_join", known.mean <= KNOWN_MS);
    }
}
