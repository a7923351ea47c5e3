//! H4: an operator with much state goes between real processes 40 ms apart; how long that takes, and how long its results pause.
//!
//! The operator remembers each key that it has seen, and lets every row by whose key is new: each row is a result, and all of them are its state.
//! As many keys as make the state come at once, then one every [`ROW_MS`]. A file sink is watched beside each move: the longest time in which it does
//! not grow, less the usual, is the pause.
//!
//! What a move takes is told by its phases: until the host that runs the operator begins (`asked`), until the first piece of state is at its next host and
//! from when all of it is there until all are ready (`prepare`), in between (`transfer`), until all have gone over (`switch`). Behind each move as many bytes
//! go over a data stream with nothing at its ends (`alone`): what is promised are eight round trips beyond that.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, anyhow};
use model::{Clock, Instant, Rng, convert};
use node::clock::MachineClock;
use node::node::Moved;

use crate::bench::moves::Lines;
use crate::bench::pipe::bare;
use crate::bench::report::Report;
use crate::local::bed::Bed;
use crate::local::folder::Folder;
use crate::local::interrupt::Interrupt;
use crate::local::process;
use crate::local::{shape, up};

/// How it is run.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where its testbeds are, one after the other.
    pub folder: Folder,
    /// How much state the operator has at least. Unit: bytes.
    pub state_bytes: u64,
    /// How often it moves, for each seed. Range: from 1.
    pub moves: u64,
    /// What hosts are drawn from.
    pub seeds: Vec<u64>,
}

/// How many hosts there are: one has the source and the sink, the operator goes among all.
const HOSTS: usize = 4;

/// A round trip between two of them. Unit: milliseconds. Source: 40 ms each way, of the definition of the experiment.
const ROUND_TRIP_MS: u64 = 80;

/// How long a key is. Unit: bytes. Source: guess; what a key takes beside it makes the state larger than asked for.
const KEY_BYTES: u64 = 100;

/// The time between two rows. Unit: milliseconds. Source: a quarter of a way, so that a pause of one round trip is many rows.
const ROW_MS: u64 = 10;

/// For how long rows flow for each move. Unit: time. Source: several times what a move over such ways takes.
const MOVE_TIME: Duration = Duration::from_secs(6);

/// For how long rows flow beside: what it takes to start, and the first keys.
const START_TIME: Duration = Duration::from_secs(30);

/// For how long the sink is watched behind a move. Unit: time. Source: ten round trips and more.
const WATCH_TIME: Duration = Duration::from_secs(1);

/// How often it is looked at. Unit: time. Source: a fortieth of a round trip.
const LOOK_INTERVAL: Duration = Duration::from_millis(2);

/// The most round trips that a move may take beyond what its bytes take alone, and that results may pause. Source: what is promised.
const BEYOND_MAX: f64 = 8.0;
/// See [`BEYOND_MAX`].
const PAUSE_MAX: f64 = 2.0;

/// What was seen of one seed.
#[derive(Debug, Default)]
struct Seen {
    moves: u64,
    /// By figure: what was seen of each move, in order.
    figures: BTreeMap<&'static str, Vec<f64>>,
    lost: u64,
    doubled: u64,
}

/// Runs it. `told` hears how far it is. Nothing of its testbeds is left.
///
/// # Errors
/// When nodes do not come up, a move is refused, or the application does not end.
pub fn run(
    options: &Options,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
) -> anyhow::Result<Report> {
    let mut all = Seen::default();
    for seed in &options.seeds {
        let seen = measure(options, *seed, interrupt, told)?;
        for (figure, numbers) in seen.figures {
            all.figures.entry(figure).or_default().extend(numbers);
        }
        all.moves += seen.moves;
        all.lost += seen.lost;
        all.doubled += seen.doubled;
    }
    Ok(report(options, &all))
}

fn measure(
    options: &Options,
    seed: u64,
    interrupt: &Interrupt,
    told: &dyn Fn(&str),
) -> anyhow::Result<Seen> {
    let ways = tempfile::tempdir()?;
    let latency = ways.path().join("ways.csv");
    std::fs::write(&latency, matrix())?;
    let wanted = up::Options {
        nodes: u32::try_from(HOSTS)?,
        program: PathBuf::new(),
        arguments: ["--memory", "512MiB"].map(str::to_owned).to_vec(),
        shape: Some(shape::Options {
            latency: Some(latency),
            seed,
            ..shape::Options::default()
        }),
        netns: None,
    };
    let bed = Bed::up(&options.folder, &wanted, interrupt)?;
    let moves_s = MOVE_TIME.as_secs() * options.moves;
    let flow = START_TIME + Duration::from_secs(moves_s);
    let keys = options.state_bytes.div_ceil(KEY_BYTES);
    let (rows, expected) = rows(keys, flow);
    std::fs::write(bed.files().join("rows.csv"), rows)?;
    bed.until("it is admitted", || {
        let asked = bed.ask(0, APPLICATION.to_owned());
        asked.map_err(|refused| anyhow!(refused.message))
    })?;
    let begin = bed.clock.now();
    let row = || {
        let status = bed.status(0, NAME)?;
        let row = status.components.into_iter().find(|it| it.name == OPERATOR);
        row.context("it has no such operator")
    };
    let sink = bed.files().join("out.jsonl");
    let of_keys = expected.lines().take(convert::index(keys));
    let of_keys: usize = of_keys.map(|line| line.len() + 1).sum();
    bed.until("the state is there, and what came of it has left", || {
        let (row, written) = (row()?, std::fs::metadata(&sink)?.len());
        anyhow::ensure!(row.state_bytes >= options.state_bytes);
        anyhow::ensure!(written > convert::size(of_keys));
        Ok(())
    })?;
    let (mut seen, mut rng) = (Seen::default(), Rng::from_seed(seed));
    for _ in 0..options.moves {
        let host = row()?.host;
        let others: Vec<&str> = bed
            .testbed
            .nodes
            .iter()
            .map(|it| it.name.as_str())
            .collect();
        let others: Vec<&str> = others.into_iter().filter(|it| *it != host).collect();
        let to = others[convert::index(rng.below(convert::size(others.len())))];
        let watched = watched(&bed, &sink, to)?;
        let (sent_bytes, way) = (watched.moved.sent_bytes, ROUND_TRIP_MS / 2);
        let alone = bare::transfer(Duration::from_millis(way), convert::index(sent_bytes))?;
        told(&format!(
            "H4 seed {seed}: {host} to {to}: {}",
            seen.add(&watched, alone)
        ));
    }
    let until = begin + flow * 2;
    while bed.status(0, NAME)?.status != "finished" {
        anyhow::ensure!(bed.clock.now() < until, "it does not come to its end");
        bed.pass(WATCH_TIME)?;
    }
    let found = Lines::read(&sink)?;
    let expected = Lines::of(&expected);
    seen.lost = expected.beyond(&found);
    seen.doubled = found.beyond(&expected);
    Ok(seen)
}

/// Moves the operator, and says how much longer than usual its sink has not grown meanwhile.
fn watched(bed: &Bed<'_>, sink: &Path, to: &str) -> anyhow::Result<Watched> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watching = scope.spawn(|| watch(sink, &is_over));
        let begin = bed.clock.now();
        let moved = bed.move_operator(0, (NAME, OPERATOR), to);
        let answered = bed.clock.now().since(begin);
        let passed = bed.pass(WATCH_TIME);
        is_over.store(true, Ordering::Release);
        let gaps = watching
            .join()
            .map_err(|_| anyhow!("the sink could not be watched"))??;
        passed?;
        let moved = moved.map_err(|refused| anyhow!(refused.message))?;
        Ok(Watched {
            moved,
            answered,
            pause: pause(gaps),
        })
    })
}

/// What was seen of a move.
#[derive(Debug)]
struct Watched {
    moved: Moved,
    /// How long who asked for it has waited.
    answered: Duration,
    pause: Duration,
}

impl Seen {
    /// Notes a move, whose bytes take so long alone. Gives what is told of it.
    fn add(&mut self, watched: &Watched, alone: Duration) -> String {
        let Watched {
            moved,
            answered,
            pause,
        } = watched;
        let milliseconds = |time: &Duration| time.as_secs_f64() * 1e3;
        let alone_ms = milliseconds(&alone);
        let times = [
            ("total_round_trips", moved.total_ms),
            ("beyond_alone_round_trips", moved.total_ms - alone_ms),
            ("asked_round_trips", milliseconds(answered) - moved.total_ms),
            (
                "prepare_round_trips",
                moved.total_ms - moved.transfer_ms - moved.switch_ms,
            ),
            ("transfer_round_trips", moved.transfer_ms),
            ("alone_round_trips", alone_ms),
            ("switch_round_trips", moved.switch_ms),
            ("pause_round_trips", milliseconds(pause)),
        ];
        let mut text = String::new();
        for (figure, ms) in times {
            write!(text, "{figure} {ms:.0} ms, ").expect("writing into memory does not fail");
            let round_trips = ms / convert::count_to_f64(ROUND_TRIP_MS);
            self.figures.entry(figure).or_default().push(round_trips);
        }
        let sizes = [
            ("state_bytes", moved.state_bytes),
            ("sent_bytes", moved.sent_bytes),
        ];
        for (figure, bytes) in sizes {
            let bytes = convert::count_to_f64(bytes);
            self.figures.entry(figure).or_default().push(bytes);
        }
        self.moves += 1;
        write!(text, "{} bytes of state", moved.state_bytes)
            .expect("writing into memory does not fail");
        text
    }

    /// What was seen of all moves.
    fn all(&self, figure: &str) -> &[f64] {
        self.figures.get(figure).map_or(&[], Vec::as_slice)
    }
}

/// The times between growths of a file, until it is over.
fn watch(sink: &Path, is_over: &AtomicBool) -> anyhow::Result<Vec<Duration>> {
    let clock = MachineClock::start();
    let (mut len, mut last) = (0, None::<Instant>);
    let mut gaps = Vec::new();
    while !is_over.load(Ordering::Acquire) {
        let (now, found) = (clock.now(), std::fs::metadata(sink)?.len());
        if found != len {
            gaps.extend(last.map(|last| now.since(last)));
            (len, last) = (found, Some(now));
        }
        process::pause(LOOK_INTERVAL)?;
    }
    // What has not come back until now has paused for so long at least.
    gaps.extend(last.map(|last| clock.now().since(last)));
    Ok(gaps)
}

/// The longest of some times less the median of them.
fn pause(mut gaps: Vec<Duration>) -> Duration {
    gaps.sort_unstable();
    let usual = gaps.get(gaps.len() / 2).copied().unwrap_or_default();
    gaps.last().map_or(WATCH_TIME, |longest| *longest - usual)
}

/// The application, and what moves of it.
const NAME: &str = "remembers";
const OPERATOR: &str = "firsts";
const APPLICATION: &str = "name = \"remembers\"\n[qos]\nlatency = \"10s\"\n\
     [source.rows]\nconnector = \"file\"\npath = \"rows.csv\"\nspeed = 1\n\
     schema = { at = \"int64\", key = \"string\" }\ntime = { field = \"at\", unit = \"ms\" }\n\
     [operator.firsts]\nuse = \"distinct\"\nfrom = \"rows\"\nby = [\"key\"]\nfor = \"2h\"\n\
     [sink.out]\nfrom = \"firsts\"\nconnector = \"file\"\npath = \"out.jsonl\"\n";

/// The round trips between all hosts.
fn matrix() -> String {
    let row = |from: usize| {
        let cells = (0..HOSTS).map(|to| if from == to { 0 } else { ROUND_TRIP_MS });
        cells.map(|it| it.to_string()).collect::<Vec<_>>().join(",")
    };
    (0..HOSTS).map(|from| row(from) + "\n").collect()
}

/// So many keys at once, then one after the other for a time; and the results of them.
fn rows(keys: u64, flow: Duration) -> (String, String) {
    let (mut text, mut results) = ("at,key\n".to_owned(), String::new());
    let width = convert::index(KEY_BYTES);
    let later = convert::size(usize::try_from(flow.as_millis()).unwrap_or(usize::MAX)) / ROW_MS;
    for row in 0..keys + later {
        let at = 1_700_000_000_000 + row.saturating_sub(keys) * ROW_MS;
        writeln!(text, "{at},k{row:0>width$}").expect("writing into memory does not fail");
        writeln!(results, "{{\"at\":{at},\"key\":\"k{row:0>width$}\"}}")
            .expect("writing into memory does not fail");
    }
    (text, results)
}

/// What is told of figures.
fn report(options: &Options, seen: &Seen) -> Report {
    let mut report = Report::new("H4", options.seeds.clone());
    report.simulated("network: each connection is held back by 40 ms in user space");
    report.count("moves", seen.moves);
    for (figure, numbers) in &seen.figures {
        report.spread(figure, numbers);
    }
    report.count("lost", seen.lost);
    report.count("doubled", seen.doubled);
    let least = seen
        .all("state_bytes")
        .iter()
        .copied()
        .fold(f64::INFINITY, f64::min);
    let most = |figure| seen.all(figure).iter().copied().fold(0.0, f64::max);
    let wanted = convert::count_to_f64(options.state_bytes);
    report.claim("state_as_large_as_asked_for", least >= wanted);
    report.claim(
        "total_beyond_transfer_alone_within_8_round_trips",
        most("beyond_alone_round_trips") <= BEYOND_MAX,
    );
    report.claim(
        "pause_within_2_round_trips",
        most("pause_round_trips") <= PAUSE_MAX,
    );
    report.claim(
        "nothing_lost_or_doubled",
        seen.lost == 0 && seen.doubled == 0,
    );
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_what_is_longer_than_usual() {
        let gaps = [10, 12, 9, 70, 10].map(Duration::from_millis);
        assert_eq!(pause(gaps.to_vec()), Duration::from_millis(60));
        assert_eq!(pause(Vec::new()), WATCH_TIME);
    }

    #[test]
    fn every_row_is_a_result() {
        let (rows, results) = rows(3, Duration::from_millis(20));
        assert_eq!((rows.lines().count(), results.lines().count()), (6, 5));
        assert_eq!(matrix().lines().count(), HOSTS);
    }
}
