//! D10: three hosts with slow ways between them, whose clocks show different times: nothing may change.
//!
//! A node of each publishes a stream, which goes by the second to the third: a filter each, and the sink where it is asked for. What crosses
//! hosts is how old a batch is, and never a time of some clock. What would follow otherwise is computed beside it: a sink that took the
//! time at the source for its own would read each delay longer or shorter by what their clocks differ.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::{Rng, convert};
use node::node::Quantiles;

use super::grid::Grid;
use super::written;
use crate::bench::report::Report;
use crate::local::bed::Bed;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::{shape, up};

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its testbeds are, one after the other.
    pub folder: Folder,
    /// How far the clocks of neighbors are apart, ascending; the first is what others are compared with.
    pub apart: Vec<Duration>,
    /// What rows are drawn from.
    pub seeds: Vec<u64>,
    /// For how long rows flow.
    pub duration: Duration,
}

/// Its name.
const NAME: &str = "D10";

/// How many hosts there are. Source: the definition of the experiment.
const HOSTS: usize = 3;

/// A round trip between two of them. Unit: milliseconds. Source: 40 ms each way, of the definition of the experiment.
const ROUND_TRIP_MS: u64 = 80;

/// What results are to meet: two ways, and as much again for all else. Unit: milliseconds. Source: guess; what is left beside the ways is
/// less than 100 ms, so that clocks which are so far apart would be seen.
const TARGET_MS: u64 = 160;

/// How many rows a second each stream has. Unit: rows per second. Source: guess; each is a batch.
const RATE: u64 = 50;

/// What deadlines are by.
const BY_AGE: &str = "age";

/// What they would be by otherwise, where the clock at the sink is ahead of that at the source, and where it is behind.
const BY_WALL_CLOCK: [&str; 2] = ["wall_clock_ahead", "wall_clock_behind"];

/// The figures that are shown as tables and plots.
const SHOWN: &[&str] = &["delay_ms_p50", "delay_ms_p99", "on_time_fraction"];

/// How far what was measured with clocks apart may lie off what was measured with clocks that agree: the median as a fraction, and
/// what is on time. Source: guess; what two runs on an idle machine differ by.
const TOLERANCE: (f64, f64) = (0.1, 0.01);

/// Runs it. `told` hears how far it is. Nothing of its testbeds is left.
///
/// # Errors
/// When nodes do not come up, what runs need is refused, or no result comes.
pub fn run(
    options: &Options,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
) -> anyhow::Result<(Grid, Report)> {
    let mut grid = Grid::new(NAME, "milliseconds");
    for seed in &options.seeds {
        for apart in &options.apart {
            let place = apart.as_secs_f64() * 1e3;
            let seen = measure(options, *seed, *apart, interrupt)?;
            for it in &seen {
                told(&format!(
                    "{NAME} seed {seed}, {apart:?} apart: p50 {:.1} ms, p99 {:.1} ms, {:.4} on time; sink {:+.0} ms ahead",
                    it.delay.p50, it.delay.p99, it.on_time, it.ahead_ms
                ));
            }
            add(&mut grid, place, &seen);
        }
    }
    let report = report(options, &grid);
    Ok((grid, report))
}

/// Writes the report, its tables and a plot of each figure into a folder, which is made.
///
/// # Errors
/// When a file cannot be written; others may have been.
pub fn write(folder: &Path, options: &Options, grid: &Grid) -> anyhow::Result<()> {
    written::write(folder, grid, &report(options, grid), SHOWN)
}

/// What was seen of an application.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// Unit: milliseconds.
    delay: Quantiles,
    /// Which part of its results left in time. Unit: fraction.
    on_time: f64,
    results: u64,
    /// By how much the clock at its sink is ahead of that at its source. Unit: milliseconds.
    ahead_ms: f64,
}

/// Adds what was seen of all applications: means of them.
fn add(grid: &mut Grid, place: f64, seen: &[Seen]) {
    let mut add = |series: &str, figure, numbers: Vec<f64>| {
        let count = convert::count_to_f64(convert::size(numbers.len()));
        if count > 0.0 {
            grid.add(series, place, figure, numbers.iter().sum::<f64>() / count);
        }
    };
    let of = |figure: fn(&Seen) -> f64| seen.iter().map(figure).collect();
    add(BY_AGE, "delay_ms_p50", of(|it| it.delay.p50));
    add(BY_AGE, "delay_ms_p99", of(|it| it.delay.p99));
    add(BY_AGE, "on_time_fraction", of(|it| it.on_time));
    add(
        BY_AGE,
        "results",
        of(|it| convert::count_to_f64(it.results)),
    );
    let is_of: [fn(&Seen) -> bool; 2] = [|it| it.ahead_ms >= 0.0, |it| it.ahead_ms <= 0.0];
    for (series, is_of) in BY_WALL_CLOCK.into_iter().zip(is_of) {
        let of = |figure: fn(&Seen) -> f64| {
            let seen = seen.iter().filter(|it| is_of(it));
            seen.map(figure).collect()
        };
        add(series, "delay_ms_p50", of(|it| it.delay.p50 + it.ahead_ms));
        add(series, "delay_ms_p99", of(|it| it.delay.p99 + it.ahead_ms));
        add(series, "on_time_fraction", of(Seen::by_wall_clock));
    }
}

impl Seen {
    /// Which part of its results a sink would take for being in time that reads the time at the source as its own: the greatest of the
    /// fractions of which the delay is known.
    fn by_wall_clock(&self) -> f64 {
        if self.ahead_ms == 0.0 {
            return self.on_time;
        }
        let limit = convert::count_to_f64(TARGET_MS) - self.ahead_ms;
        let Quantiles {
            p50,
            p95,
            p99,
            p999,
        } = self.delay;
        let known = [(p999, 1.0), (p99, 0.99), (p95, 0.95), (p50, 0.5)];
        let within = known.into_iter().find(|(delay, _)| *delay <= limit);
        within.map_or(0.0, |(_, fraction)| fraction)
    }
}

fn measure(
    options: &Options,
    seed: u64,
    apart: Duration,
    interrupt: &Interrupt,
) -> anyhow::Result<Vec<Seen>> {
    let ways = tempfile::tempdir()?;
    let latency = ways.path().join("ways.csv");
    std::fs::write(&latency, matrix())?;
    let clocks: Vec<Duration> = (0..3).map(|host| apart * host).collect();
    let wanted = up::Options {
        nodes: 3,
        program: PathBuf::new(),
        arguments: Vec::new(),
        shape: Some(shape::Options {
            latency: Some(latency),
            seed,
            clocks: clocks.clone(),
            ..shape::Options::default()
        }),
        netns: None,
    };
    let bed = Bed::up(&options.folder, &wanted, interrupt)?;
    let rng = Rng::from_seed(seed);
    let count = (options.duration + START_TIME).as_secs() * RATE;
    for host in 0..HOSTS {
        let rows = rows(count, &mut rng.keyed(&stream(host)));
        std::fs::write(bed.files().join(format!("{host}.csv")), rows)?;
        bed.publish(host, &stream(host), &source(host))?;
    }
    let asked = |host: usize| (host + 2) % HOSTS;
    for host in 0..HOSTS {
        let asking = asked(host);
        let application = application(host, (host + 1) % HOSTS, asking);
        // Ways are measured in turns, on a machine that may be busy: who is refused for one asks again.
        bed.until(&format!("{} is admitted", name(host)), || {
            let asked = bed.ask(asking, application.clone());
            asked.map_err(|refused| anyhow!(refused.message))
        })?;
    }
    for host in 0..HOSTS {
        let has_results = || {
            let status = bed.status(asked(host), &name(host))?;
            status.delay_ms.context("no delay is known")
        };
        bed.until(&format!("{} yields a result", name(host)), has_results)?;
    }
    bed.pass(options.duration)?;
    let mut seen = Vec::new();
    for host in 0..HOSTS {
        let status = bed.status(asked(host), &name(host))?;
        let counted = status.counted.context("no host counted anything")?;
        let late = convert::count_to_f64(counted.misses) / convert::count_to_f64(counted.results);
        let ahead = clocks[asked(host)].as_secs_f64() - clocks[host].as_secs_f64();
        seen.push(Seen {
            delay: status.delay_ms.context("no delay is known")?,
            on_time: 1.0 - late,
            results: counted.results,
            ahead_ms: ahead * 1e3,
        });
    }
    Ok(seen)
}

/// How long streams play beyond what is measured: until applications run. Unit: time. Source: guess; several times what it takes.
const START_TIME: Duration = Duration::from_secs(120);

/// The round trips between all hosts.
fn matrix() -> String {
    let row = |from: usize| {
        let cells = (0..HOSTS).map(|to| if from == to { 0 } else { ROUND_TRIP_MS });
        cells.map(|it| it.to_string()).collect::<Vec<_>>().join(",")
    };
    (0..HOSTS).map(|from| row(from) + "\n").collect()
}

fn rows(count: u64, rng: &mut Rng) -> String {
    let mut text = "time,value\n".to_owned();
    for row in 0..count {
        let time = 1_700_000_000_000 + row * 1_000 / RATE;
        writeln!(text, "{time},{}", rng.below(1_000)).expect("writing into memory does not fail");
    }
    text
}

fn stream(host: usize) -> String {
    format!("clocks/from-{host}")
}

fn name(host: usize) -> String {
    format!("from-{host}")
}

fn source(host: usize) -> String {
    format!(
        "connector = \"file\"\npath = \"{host}.csv\"\ntime = {{ field = \"time\", unit = \"ms\" }}\n\
         schema = {{ time = \"int64\", value = \"int64\" }}\nspeed = 1.0\nrate = {RATE}\n"
    )
}

/// A filter on each of two hosts, counted from 0. They differ between applications, so that none is shared.
fn application(host: usize, first: usize, second: usize) -> String {
    let (first, second) = (first + 1, second + 1);
    format!(
        "name = \"{}\"\n[qos]\nlatency = \"{TARGET_MS}ms\"\n[source.rows]\nstream = \"{}\"\n\
         [operator.first]\nfrom = \"rows\"\nuse = \"filter\"\nwhere = \"value >= 0\"\nplace = {{ node = \"n{first}\" }}\n\
         [operator.second]\nfrom = \"first\"\nuse = \"filter\"\nwhere = \"value < 1000\"\nplace = {{ node = \"n{second}\" }}\n\
         [sink.out]\nfrom = \"second\"\nconnector = \"requester\"\n",
        name(host),
        stream(host),
    )
}

/// What is told of figures.
fn report(options: &Options, grid: &Grid) -> Report {
    let mut report = Report::new(NAME, options.seeds.clone());
    report.simulated("network: each connection is held back by 40 ms in user space");
    report.simulated(
        "wall_clock: computed of the delays that were measured, and what clocks differ by",
    );
    let mut holds = true;
    let places: Vec<f64> = options
        .apart
        .iter()
        .map(|it| it.as_secs_f64() * 1e3)
        .collect();
    let of = |place: f64, figure| grid.find(BY_AGE, place, figure).map(|it| it.median);
    for place in &places {
        let figure = |figure| Some((of(places[0], figure)?, of(*place, figure)?));
        let is_near = |figures: Option<(f64, f64)>, most: &dyn Fn(f64) -> f64| {
            figures.is_some_and(|(first, this)| (this - first).abs() <= most(first))
        };
        holds &= is_near(figure("delay_ms_p50"), &|first| TOLERANCE.0 * first);
        holds &= is_near(figure("on_time_fraction"), &|_| TOLERANCE.1);
    }
    report.claim("clocks_change_nothing", holds);
    report.tables(&grid.tables(SHOWN));
    grid.report(&mut report);
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_trusts_clocks_is_wrong_by_what_they_differ() {
        let seen = |ahead_ms| Seen {
            delay: Quantiles {
                p50: 85.0,
                p95: 90.0,
                p99: 100.0,
                p999: 130.0,
            },
            on_time: 0.995,
            results: 1000,
            ahead_ms,
        };
        for (ahead_ms, expected) in [
            (0.0, 0.995),
            (100.0, 0.0),
            (65.0, 0.95),
            (75.0, 0.5),
            (-100.0, 1.0),
        ] {
            let found = seen(ahead_ms).by_wall_clock();
            assert!((found - expected).abs() < 1e-9, "{ahead_ms}: {found}");
        }
    }

    #[test]
    fn what_is_asked_for_is_an_application_on_three_hosts() {
        assert_eq!(matrix(), "0,80,80\n80,0,80\n80,80,0\n");
        for host in 0..HOSTS {
            for text in [application(host, 1, 2), source(host)] {
                toml::from_str::<toml::Value>(&text)
                    .unwrap_or_else(|error| panic!("{error}: {text}"));
            }
        }
        assert_eq!(rows(3, &mut Rng::from_seed(1)).lines().count(), 4);
    }
}
