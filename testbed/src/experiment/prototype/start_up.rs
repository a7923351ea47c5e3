//! T4: how long it takes to join, to look up, to compose and to get a first result.

use std::time::Duration;

use model::{Rng, convert};

use super::bed;
use super::{LOST, Options, lost, quantile_ms, settings, stages};
use crate::bench::machine::Sample;
use crate::bench::report::Report;
use crate::experiment::grid::Grid;
use crate::experiment::workload::{Settings, Workload};
use crate::local::interrupt::Interrupt;

/// How many look-ups and how many applications are measured with each number of nodes. Source: guess; the median is of tens.
const LOOKUPS: usize = 30;
/// See [`LOOKUPS`].
const APPLICATIONS: usize = 15;

/// The targets of applications: none of them stands in the way. Source: guess.
const TARGET: Duration = Duration::from_secs(2);

/// The name of the one series.
const SERIES: &str = "synergy";

/// The number of nodes at which claims are made. Source: the prototype of the papers had that many.
const NODES: f64 = 88.0;

pub(super) fn run(
    options: &Options,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
    grid: &mut Grid,
) -> anyhow::Result<()> {
    for seed in &options.seeds {
        for nodes in &options.nodes {
            let place = f64::from(*nodes);
            let measured = measure(options, *nodes, *seed, interrupt);
            let ended = measured.map(|figures| {
                for (figure, number) in figures {
                    told(&format!(
                        "T4 seed {seed}, {nodes} nodes: {figure} {number:.1}"
                    ));
                    grid.add(SERIES, place, figure, number);
                }
            });
            let lost = lost(&format!("{nodes} nodes, seed {seed}"), ended, interrupt)?;
            grid.add(SERIES, place, LOST, lost);
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
    let rng = Rng::from_seed(seed);
    // Three operators each, none of which runs already, on streams that are fast enough not to be what is waited for.
    let settings = Settings {
        chain: (3, 3),
        rows_per_second: 10.0,
        pipelines: APPLICATIONS,
        target: (TARGET, TARGET),
        cost: (Duration::from_millis(1), Duration::from_millis(2)),
        ..settings(nodes, APPLICATIONS)
    };
    let workload = Workload::draw(&settings, &rng).of_each_pipeline();
    let bed = bed::up(
        options,
        nodes,
        seed,
        &composition::policy::Synergy,
        interrupt,
    )?;
    let mut figures = vec![("join_s", bed.testbed.joined_ms / 1e3)];
    let ready: Vec<Duration> = bed
        .testbed
        .nodes
        .iter()
        .map(|node| convert::seconds(node.ready_ms / 1e3))
        .collect();
    let resident = bed.testbed.nodes.iter();
    let resident = resident.filter_map(|node| Sample::of(node.pid));
    let resident: u64 = resident.map(|sample| sample.resident_bytes).sum();
    figures.push((
        "resident_bytes",
        convert::count_to_f64(resident) / f64::from(nodes),
    ));
    let names = bed.publish_all(&workload, &rng)?;
    let mut drawing = rng.keyed("look-ups");
    let (mut lookups, mut unfound) = (Vec::new(), 0.0);
    for _ in 0..LOOKUPS {
        interrupt.check()?;
        let node = convert::index(drawing.below(u64::from(nodes)));
        let name = &names[convert::index(drawing.below(convert::size(names.len())))];
        // The first one makes the connections that the next ones use.
        let found = bed.look_up(node, name);
        match found.and_then(|_| bed.look_up(node, name)) {
            Ok(took) => lookups.push(took),
            Err(error) => {
                crate::cli::note(&format!("{name}: {error:#}"));
                unfound += 1.0;
            }
        }
    }
    figures.push(("lookups_failed", unfound));
    let mut admitted = Vec::new();
    let mut failed = 0.0;
    for number in 0..APPLICATIONS {
        interrupt.check()?;
        match bed.request(&workload, number) {
            Ok(asked) => {
                if asked.first_result.is_none() {
                    failed += 1.0;
                }
                admitted.push(asked);
            }
            Err(failure) => {
                crate::cli::note(&format!("request {number}: {}", failure.message));
                failed += 1.0;
            }
        }
    }
    figures.push(("failed", failed));
    figures.extend(stages(&admitted.iter().collect::<Vec<_>>()));
    let first = admitted.iter().filter_map(|it| it.first_result);
    let first: Vec<Duration> = first.collect();
    let round_trip = bed.mean_round_trip().as_secs_f64() * 1e3;
    for (figure, times, p) in [
        ("ready_ms_p50", &ready, 0.5),
        ("ready_ms_p95", &ready, 0.95),
        ("lookup_ms_p50", &lookups, 0.5),
        ("lookup_ms_p95", &lookups, 0.95),
        ("first_result_ms_p99", &first, 0.99),
    ] {
        figures.extend(quantile_ms(times, p).map(|it| (figure, it)));
    }
    if round_trip > 0.0 {
        figures.push(("mean_round_trip_ms", round_trip));
        for (figure, p) in [
            ("lookup_round_trips_p50", 0.5),
            ("lookup_round_trips_p95", 0.95),
        ] {
            figures.extend(quantile_ms(&lookups, p).map(|it| (figure, it / round_trip)));
        }
    }
    Ok(figures)
}

/// What must hold of the figures.
pub(super) fn claims(grid: &Grid, report: &mut Report) {
    let at = |figure| grid.find(SERIES, NODES, figure);
    for (claim, figure, most) in [
        ("joins_in_time", "join_s", 60.0),
        ("looks_up_in_time", "lookup_round_trips_p50", 2.0),
        ("results_in_time", "first_result_ms_p50", 2_000.0),
    ] {
        if let Some(found) = at(figure) {
            report.claim(claim, found.mean <= most);
        }
    }
}
