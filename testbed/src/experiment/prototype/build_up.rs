//! C1, C2 and C4: more and more requests of nodes that compose by one policy, and then by another.

use std::time::Duration;

use model::{Clock, Rng, convert};
use node::node::{Failure, FailureKind};

use super::bed::{self, Asked};
use super::{LOST, Options, lost, quantile_ms, settings, stages};
use crate::bench::machine::Footprint;
use crate::bench::report::Report;
use crate::cli::note;
use crate::experiment::at_once::at_once;
use crate::experiment::grid::Grid;
use crate::experiment::workload::Workload;
use crate::local::bed::Bed;
use crate::local::interrupt::Interrupt;

/// How many requests are under way at once. Source: guess; two cores carry that many compositions.
const REQUESTS_MAX: usize = 4;

/// After how many requests it is told that one is answered. Source: guess; some lines a minute.
const TOLD_EACH: usize = 20;

/// How long applications run before it is asked how they fare. Unit: time. Source: guess; several rows each.
const SETTLE: Duration = Duration::from_secs(5);

/// Which part of the results may miss the target in an application that counts as successful: the last rows of a start are late,
/// and one machine carries all nodes. Source: guess.
const MISSES_MAX: f64 = 0.05;

pub(super) fn run(
    options: &Options,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
    grid: &mut Grid,
) -> anyhow::Result<()> {
    for seed in &options.seeds {
        for nodes in &options.nodes {
            for policy in &options.policies {
                let series = match options.nodes.len() {
                    1 => policy.name().to_owned(),
                    _ => format!("{}@{nodes}", policy.name()),
                };
                let mut add = |requests, figure, number| {
                    told(&format!(
                        "{series} seed {seed}, {requests} requests: {figure} {number:.2}"
                    ));
                    let place = convert::count_to_f64(convert::size(requests));
                    grid.add(&series, place, figure, number);
                };
                let ended = bed::up(options, *nodes, *seed, *policy, interrupt)
                    .and_then(|bed| build_up(&bed, options, *nodes, *seed, &mut add));
                let lost = lost(&format!("{series} seed {seed}"), ended, interrupt)?;
                add(most(options), LOST, lost);
            }
        }
    }
    Ok(())
}

/// After how many requests a run ends.
fn most(options: &Options) -> usize {
    options.requests.last().copied().unwrap_or(0)
}

/// Asks for all requests, and says how those fare that were asked for, at each of the numbers that are wanted.
fn build_up(
    bed: &Bed<'_>,
    options: &Options,
    nodes: u32,
    seed: u64,
    add: &mut dyn FnMut(usize, &'static str, f64),
) -> anyhow::Result<()> {
    let rng = Rng::from_seed(seed);
    let workload = Workload::draw(&settings(nodes, most(options)), &rng);
    let joined = bed.testbed.joined_ms / 1e3;
    note(&format!("{nodes} nodes joined in {joined:.1} s"));
    bed.publish_all(&workload, &rng)?;
    let mut asked: Vec<Result<Asked, Failure>> = Vec::new();
    for requests in &options.requests {
        let found = at_once(REQUESTS_MAX, asked.len()..*requests, |number| {
            let result = bed.request(&workload, number);
            if bed.interrupt.check().is_ok() {
                told(number, &result);
            }
            result
        });
        asked.extend(found);
        bed.interrupt.check()?;
        let used = cores_used(bed)?;
        add(*requests, "cores_used", used);
        for (figure, number) in figures(bed, &workload, &asked) {
            add(*requests, figure, number);
        }
    }
    Ok(())
}

/// Tells of some requests how they went, and of each that failed: a run of hundreds takes minutes.
fn told(number: usize, result: &Result<Asked, Failure>) {
    let failed = result.as_ref().err();
    if let Some(failure) = failed.filter(|it| it.kind != FailureKind::Refused) {
        note(&format!("request {number} failed: {}", failure.message));
    }
    if (number + 1).is_multiple_of(TOLD_EACH) {
        note(&format!("request {number} is answered"));
    }
}

/// Lets applications run for a while, and says how many processors all nodes take meanwhile: where that comes near what the machine has, it is
/// the machine that is measured.
fn cores_used(bed: &Bed<'_>) -> anyhow::Result<f64> {
    let used = || -> Duration {
        let nodes = bed.testbed.nodes.iter();
        nodes.filter_map(|it| Footprint::cpu_of(it.pid)).sum()
    };
    let (begin, before) = (bed.clock.now(), used());
    bed.pass(SETTLE)?;
    let elapsed = bed.clock.now().since(begin).as_secs_f64();
    let used = used().saturating_sub(before).as_secs_f64();
    Ok(used / elapsed.max(f64::MIN_POSITIVE))
}

/// How all fare that were asked for.
fn figures(
    bed: &Bed<'_>,
    workload: &Workload,
    asked: &[Result<Asked, Failure>],
) -> Vec<(&'static str, f64)> {
    let states = at_once(REQUESTS_MAX, 0..asked.len(), |number| {
        asked[number].as_ref().ok()?;
        bed.fares(workload, number)
    });
    let count = |count: usize| convert::count_to_f64(convert::size(count));
    let (mut successful, mut violated) = (0, 0);
    let mut delays = Vec::new();
    for (asked, status) in asked.iter().zip(&states) {
        let (Ok(asked), Some(status)) = (asked, status) else {
            continue;
        };
        delays.extend(
            status
                .delay_ms
                .map(|delay| convert::seconds(delay.p50 / 1e3)),
        );
        let counted = status.counted.unwrap_or_default();
        let results = convert::count_to_f64(counted.results);
        let is_late = convert::count_to_f64(counted.misses) > MISSES_MAX * results;
        let runs = status.status == "running" || status.status == "finished";
        match runs && asked.first_result.is_some() && !is_late {
            true => successful += 1,
            false => violated += 1,
        }
    }
    let admitted: Vec<&Asked> = asked.iter().flatten().collect();
    let shared = admitted.iter().map(|it| it.composition.shared).sum::<u64>();
    let probes = admitted.iter().map(|it| it.composition.probes).sum::<u64>();
    let failures = asked.iter().filter_map(|it| it.as_ref().err());
    let refused = failures.filter(|it| it.kind == FailureKind::Refused);
    let refused = count(refused.count());
    let all = count(asked.len()).max(1.0);
    let accepted = count(admitted.len()).max(1.0);
    let mut figures = vec![
        ("successful", count(successful)),
        ("success_fraction", count(successful) / all),
        ("admitted_fraction", count(admitted.len()) / all),
        ("violated_fraction", count(violated) / all),
        ("refused_fraction", refused / all),
        (
            "failed_fraction",
            (all - count(admitted.len()) - refused).max(0.0) / all,
        ),
        (
            "shared_per_request",
            convert::count_to_f64(shared) / accepted,
        ),
        (
            "probes_per_request",
            convert::count_to_f64(probes) / accepted,
        ),
    ];
    for (figure, times, p) in [("delay_ms", &delays, 0.5), ("delay_ms_p95", &delays, 0.95)] {
        figures.extend(quantile_ms(times, p).map(|it| (figure, it)));
    }
    figures.extend(stages(&admitted));
    for (figure, is_whole) in [("way_ms", true), ("new_way_ms", false)] {
        let ways = admitted.iter().map(|it| bed.way(&it.composition, is_whole));
        let sum: Duration = ways.sum();
        figures.push((figure, sum.as_secs_f64() * 1e3 / accepted));
    }
    figures
}

/// What must hold of the figures.
pub(super) fn claims(options: &Options, grid: &Grid, report: &mut Report) {
    let place = convert::count_to_f64(convert::size(most(options)));
    let success = |series: &str| grid.find(series, place, "success_fraction");
    let Some(synergy) = success("synergy") else {
        return;
    };
    for other in ["random", "greedy", "composition"] {
        if let Some(other_success) = success(other) {
            let claim = format!("synergy_not_below_{other}");
            report.claim(&claim, synergy.mean >= other_success.mean);
        }
    }
}
