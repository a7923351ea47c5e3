//! What moving is worth to real processes (H3, H5): hosts with parts of a core each, of which recorded programs take more and more, with components that
//! move by themselves and without.
//!
//! Each host is a node in a control group (`local/cores.rs`), with a thread that takes what was recorded of another system (`local/background.rs`). Each
//! application has an operator that works for a known time on each row. A result counts as missed where it comes after its target, and where it should have come and
//! did not: what cannot be worked off waits before the source.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use model::{Clock, Rng, convert};

use super::fluid::backdrop::Backdrop;
use crate::bench::report::Report;
use crate::experiment::grid::Grid;
use crate::experiment::written;
use crate::local::background::Background;
use crate::local::bed::Bed;
use crate::local::cores::Cores;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::{process, shape, up};

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its testbeds are, one after the other.
    pub folder: Folder,
    /// The folder of public data.
    pub data: PathBuf,
    /// The means of what others take of hosts. Range of each: 0 to 1, parts of a host.
    pub loads: Vec<f64>,
    /// How many applications there are.
    pub applications: usize,
    /// For how long results count.
    pub duration: Duration,
    /// What recorded hosts are drawn from.
    pub seeds: Vec<u64>,
    /// Into which folder figures, tables and plots are written.
    pub out: Option<PathBuf>,
}

/// How many hosts there are, and what each has. Unit of the latter: cores. Source: the two cores of a small machine, less what asks and measures.
const HOSTS: usize = 4;
/// See [`HOSTS`].
const CORES: f64 = 0.4;

/// What all applications take of all hosts together. Unit: part of what they have. Source: as in the modelled experiment.
const WORK: f64 = 0.3;

/// How many rows flow of each source. Unit: rows per second. Source: guess; some in each time that a target is.
const RATE: u64 = 50;

/// How long the text of a row is. Unit: characters. Source: comparing all of it takes some milliseconds.
const TEXT: u64 = 2_000;

/// What results are to meet. Unit: milliseconds. Source: guess; many times what they take on a host that has nothing else to do.
const TARGET_MS: u64 = 250;

/// For how long a recorded sample stands. Unit: milliseconds. Source: five minutes in some seconds; several times what a prediction looks ahead and what a move takes,
/// since nothing else here goes faster than it would.
const STEP_MS: u64 = 20_000;

/// How many samples nothing is taken of hosts: applications are admitted by what there is then, for with more of it they would be refused.
const FREE_STEPS: usize = 1;

/// How long others have taken something before results count. Unit: time. Source: guess; monitors have seen it.
const WARM_UP: Duration = Duration::from_secs(5);

/// How long rows flow beside. Unit: time. Source: guess; until all applications are admitted.
const ADMIT_TIME: Duration = Duration::from_secs(60);

/// Which part of the violations may be left at the three highest loads. Source: design.
const LEFT_MAX: f64 = 1.0 / 3.0;

/// The figures that are shown.
const SHOWN: &[&str] = &[
    "violated_fraction",
    "late_fraction",
    "moves",
    "moves_per_application",
];

/// What was counted of a run.
#[derive(Debug, Clone, Copy, Default)]
struct Counted {
    /// Of the results that should have been in time, those that were not.
    violated: f64,
    /// Of the results that came, those that came late.
    late: f64,
    moves: u64,
}

/// Runs it. `told` hears how far it is. Nothing of its testbeds is left.
///
/// # Errors
/// When the data is not there, hosts cannot be limited, nodes do not come up, or an application is refused.
pub fn run(
    options: &Options,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
) -> anyhow::Result<Report> {
    let mut grid = Grid::new("H5-hosts", "mean load of others, as a part of a host");
    let mut report = Report::new("H5-hosts", options.seeds.clone());
    report.simulated("hosts: processes with 0.4 of a core each; what others take of them: replayed, five minutes in twenty seconds");
    for seed in &options.seeds {
        let recorded = recorded(&options.data, *seed)?;
        for load in &options.loads {
            for moves in [false, true] {
                let counted =
                    measure(options, recorded.clone().with_mean(*load), moves, interrupt)?;
                let series = if moves { "with" } else { "without" };
                told(&format!(
                    "H5-hosts seed {seed}, load {load}, {series}: {:.4} violated, {:.4} late, {} moves",
                    counted.violated, counted.late, counted.moves
                ));
                grid.add(series, *load, SHOWN[0], counted.violated);
                grid.add(series, *load, SHOWN[1], counted.late);
                if moves {
                    let applications = convert::count_to_f64(convert::size(options.applications));
                    let count = convert::count_to_f64(counted.moves);
                    grid.add(series, *load, SHOWN[2], count);
                    grid.add(series, *load, SHOWN[3], count / applications);
                }
            }
        }
    }
    let mean = |series, load| grid.find(series, load, SHOWN[0]).map_or(0.0, |it| it.mean);
    let mut is_third = true;
    for (number, load) in options.loads.iter().enumerate() {
        let (with, without) = (mean("with", *load), mean("without", *load));
        report.number(&format!("H5.{load}.violated_fraction.with"), with);
        report.number(&format!("H5.{load}.violated_fraction.without"), without);
        is_third &= number + 3 < options.loads.len() || with <= LEFT_MAX * without;
    }
    report.claim("a_third_of_violations_at_the_three_highest_loads", is_third);
    report.tables(&grid.tables(SHOWN));
    grid.report(&mut report);
    if let Some(folder) = &options.out {
        written::write(folder, &grid, &report, SHOWN)?;
    }
    Ok(report)
}

fn recorded(data: &Path, seed: u64) -> anyhow::Result<Backdrop> {
    let mut rng = Rng::from_seed(seed).keyed("backdrop");
    let found = Backdrop::recorded(data, HOSTS, &mut rng)?;
    found.with_context(|| {
        format!(
            "{}: the recorded loads are not there; --data names their folder",
            data.display()
        )
    })
}

fn measure(
    options: &Options,
    backdrop: Backdrop,
    moves: bool,
    interrupt: &Interrupt,
) -> anyhow::Result<Counted> {
    let of_host = |run: Vec<f64>| {
        let free = std::iter::repeat_n(0.0, FREE_STEPS);
        free.chain(run.into_iter().map(|load| load * CORES))
            .collect()
    };
    let background = Background {
        step_ms: STEP_MS,
        cores: backdrop.into_loads().into_iter().map(of_host).collect(),
    };
    let migrate = if moves {
        "migrate=auto"
    } else {
        "migrate=never"
    };
    let cores = format!("offer.cpu={CORES}");
    let wanted = up::Options {
        nodes: u32::try_from(HOSTS)?,
        program: PathBuf::new(),
        arguments: ["--set", migrate, "--set", &cores]
            .map(str::to_owned)
            .to_vec(),
        shape: Some(shape::Options {
            workers: Some(std::num::NonZeroUsize::MIN),
            background: Some(background),
            ..shape::Options::default()
        }),
        netns: None,
    };
    // Made before the nodes, so that it goes after them.
    let _limits;
    let bed = Bed::up(&options.folder, &wanted, interrupt)?;
    let processes: Vec<u32> = bed.testbed.nodes.iter().map(|node| node.pid).collect();
    _limits = Cores::limit(&processes, CORES)?;
    run_on(&bed, options)
}

fn run_on(bed: &Bed<'_>, options: &Options) -> anyhow::Result<Counted> {
    let flow = ADMIT_TIME + WARM_UP + options.duration;
    std::fs::write(bed.files().join("rows.csv"), rows(flow))?;
    let count = convert::count_to_f64(convert::size(options.applications.max(1)));
    let part = WORK * CORES * convert::count_to_f64(convert::size(HOSTS)) / count;
    let cost = Duration::from_secs_f64(part / convert::count_to_f64(RATE));
    let length = length_for(bed, cost)?;
    for number in 0..options.applications {
        let text = application(&format!("work-{number}"), length, Some(cost));
        let asked = bed.ask(number % HOSTS, text);
        asked.map_err(|refused| anyhow!("work-{number}: {}", refused.message))?;
    }
    // The nodes, and with them what others take, are older than the bed's clock.
    let free = Duration::from_millis(STEP_MS).saturating_mul(u32::try_from(FREE_STEPS)?);
    let warm = bed.clock.now().since(model::Instant::ZERO);
    wait(bed, (free + WARM_UP).saturating_sub(warm))?;
    let (moved, before) = (bed.counted("migrated")?, counts(bed, options)?);
    let begun = bed.clock.now();
    wait(bed, options.duration)?;
    let after = counts(bed, options)?;
    let elapsed = bed.clock.now().since(begun).as_secs_f64();
    let mut counted = Counted {
        moves: bed.counted("migrated")?.saturating_sub(moved),
        ..Counted::default()
    };
    let wanted = convert::count_to_f64(RATE) * elapsed;
    for (before, after) in before.into_iter().zip(after) {
        let results = convert::count_to_f64(after.0.saturating_sub(before.0));
        let late = convert::count_to_f64(after.1.saturating_sub(before.1));
        counted.violated += (1.0 - (results - late) / wanted).clamp(0.0, 1.0) / count;
        counted.late += late / results.max(1.0) / count;
    }
    Ok(counted)
}

/// The results of each application, and how many of them were late.
fn counts(bed: &Bed<'_>, options: &Options) -> anyhow::Result<Vec<(u64, u64)>> {
    let count = |number: usize| {
        let name = format!("work-{number}");
        bed.until(&format!("{name} is counted"), || {
            let counted = bed.status(number % HOSTS, &name)?.counted;
            let counted = counted.context("its hosts did not say")?;
            Ok((counted.results, counted.misses))
        })
    };
    (0..options.applications).map(count).collect()
}

/// How much of a text an operator compares with another one in such a time, as a host measures it that was told nothing of it. Unit: characters.
fn length_for(bed: &Bed<'_>, cost: Duration) -> anyhow::Result<u64> {
    let first = TEXT / 2;
    let text = application("probe", first, None);
    bed.ask(0, text)
        .map_err(|refused| anyhow!("probe: {}", refused.message))?;
    let micros = bed.until("a row's cost is known", || {
        let components = bed.status(0, "probe")?.components.into_iter();
        let work = components.filter(|it| it.name == "work" && it.rows_in >= 2 * RATE);
        let cost = work.map(|it| it.cost_us_per_row).find(|cost| *cost > 0.0);
        cost.context("it has not worked yet")
    })?;
    bed.stop(0, "probe")?;
    let measured = convert::nanos(convert::seconds(micros / 1e6)).max(1);
    let length = first * convert::nanos(cost) / measured;
    let is_possible = (1..=TEXT).contains(&length);
    ensure!(
        is_possible,
        "half a text takes {micros} us, and {cost:?} are wanted"
    );
    Ok(length)
}

fn wait(bed: &Bed<'_>, time: Duration) -> anyhow::Result<()> {
    let until = bed.clock.now() + time;
    while bed.clock.now() < until {
        bed.interrupt.check()?;
        process::pause(until.since(bed.clock.now()))?;
    }
    Ok(())
}

/// An application whose operator compares so much of each row's text with all of it, letter by letter.
fn application(name: &str, length: u64, cost: Option<Duration>) -> String {
    let declared = cost.map(|cost| format!("cost = \"{}us\"\n", cost.as_micros()));
    let declared = declared.unwrap_or_default();
    format!(
        "name = \"{name}\"\n[qos]\nlatency = \"{TARGET_MS}ms\"\n\
         [source.rows]\nconnector = \"file\"\npath = \"rows.csv\"\nspeed = 1\nrate = {RATE}\n\
         schema = {{ at = \"int64\", text = \"string\" }}\ntime = {{ field = \"at\", unit = \"ms\" }}\n\
         [operator.work]\nuse = \"map\"\nfrom = \"rows\"\n{declared}select = {{ at = \"at\", steps = \"levenshtein(left(text, {length}), reverse(concat('{name}', text)))\" }}\n\
         [sink.out]\nfrom = \"work\"\nconnector = \"discard\"\n",
    )
}

/// Rows for so long.
fn rows(flow: Duration) -> String {
    let count = RATE * flow.as_secs();
    let text: String = ('a'..='z').cycle().take(convert::index(TEXT)).collect();
    let row = |row: u64| format!("{},{text}\n", 1_700_000_000_000 + row * 1_000 / RATE);
    let rows: String = (0..count).map(row).collect();
    format!("at,text\n{rows}")
}
