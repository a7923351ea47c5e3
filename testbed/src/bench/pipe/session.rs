//! Two processes of one series: how they are started, what they say, and what comes of it.
//!
//! The source says where it is reached and lives until its standard input ends, so that it does not outlive who
//! started it; the sink says what it measures and ends by itself.

use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use model::convert;
use serde::{Deserialize, Serialize};

use super::echo::RoundTrips;
use super::{Options, sink, source};
use crate::bench::machine::Footprint;

/// What is between the two processes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Series {
    /// Engines and a data stream of the overlay.
    Synergy,
    /// One TCP connection, and nothing at its ends.
    Tcp,
    /// A data stream of the overlay, and nothing at its ends.
    Stream,
}

impl Series {
    /// Its name, in figures and commands.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Synergy => "synergy",
            Self::Tcp => "tcp",
            Self::Stream => "stream",
        }
    }
}

/// What a child says to who started it, as lines of JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) enum Said {
    /// Where the source is reached.
    Address(String),
    /// Counting begins; before it the way there and back was measured without load.
    Begin {
        /// Without load.
        idle: RoundTrips,
    },
    /// Counting ended.
    End {
        /// Rows since the beginning.
        rows: u64,
        /// For how long.
        seconds: f64,
        /// Whether each row came once and in order.
        is_whole: bool,
        /// The way there and back meanwhile.
        loaded: RoundTrips,
    },
}

impl Said {
    /// Says it.
    pub(super) fn say(&self) -> anyhow::Result<()> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{}", serde_json::to_string(self)?)?;
        Ok(stdout.flush()?)
    }
}

/// What one run found.
#[derive(Debug, Clone)]
pub(super) struct Measured {
    pub(super) rows: u64,
    pub(super) seconds: f64,
    /// The processor time of both processes.
    pub(super) cpu: Duration,
    pub(super) is_whole: bool,
    pub(super) idle: RoundTrips,
    pub(super) loaded: RoundTrips,
}

impl Measured {
    pub(super) fn rows_per_second(&self) -> f64 {
        convert::count_to_f64(self.rows) / self.seconds
    }

    pub(super) fn bytes_per_second(&self, size: usize) -> f64 {
        self.rows_per_second() * convert::count_to_f64(convert::size(size))
    }

    pub(super) fn cpu_s_per_gib(&self, size: usize) -> f64 {
        let bytes = self.bytes_per_second(size) * self.seconds;
        self.cpu.as_secs_f64() / bytes * f64::from(1 << 30)
    }
}

/// The two processes of a run.
#[derive(Debug)]
pub(super) struct Session {
    source: Process,
    sink: Process,
}

#[derive(Debug)]
struct Process {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Session {
    /// Runs both processes and gives what they found.
    pub(super) fn run(series: Series, options: &Options) -> anyhow::Result<Measured> {
        let mut source = Process::start("pipe-source", series, options, &[])?;
        let Said::Address(address) = source.hear()? else {
            anyhow::bail!("the source does not say where it is");
        };
        let sink = Process::start(
            "pipe-sink",
            series,
            options,
            &[
                "--at",
                &address,
                "--warm-up",
                &micros(options.warm_up),
                "--for",
                &micros(options.time),
            ],
        )?;
        Self { source, sink }.measure()
    }

    fn measure(mut self) -> anyhow::Result<Measured> {
        let Said::Begin { idle } = self.sink.hear()? else {
            anyhow::bail!("the sink ends before it begins");
        };
        let before = self.cpu()?;
        let Said::End {
            rows,
            seconds,
            is_whole,
            loaded,
        } = self.sink.hear()?
        else {
            anyhow::bail!("the sink begins twice");
        };
        let cpu = self.cpu()?.saturating_sub(before);
        let status = self.sink.child.wait()?;
        anyhow::ensure!(status.success(), "the sink failed: {status}");
        Ok(Measured {
            rows,
            seconds,
            cpu,
            is_whole,
            idle,
            loaded,
        })
    }

    /// The processor time of both so far.
    fn cpu(&self) -> anyhow::Result<Duration> {
        // The sink may have ended by now.
        let of = |process: &Process| Footprint::cpu_of(process.child.id());
        of(&self.source)
            .zip(of(&self.sink))
            .map(|(source, sink)| source + sink)
            .context("the system does not say what processes use")
    }
}

fn micros(time: Duration) -> String {
    format!("{}us", time.as_micros())
}

impl Process {
    fn start(role: &str, series: Series, options: &Options, more: &[&str]) -> anyhow::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(["child", role, "--series", series.name()])
            .args(["--size", &options.size.to_string()])
            .args(["--workers", &options.workers.to_string()])
            .args(["--delay", &micros(options.delay)])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a process")?;
        let stdout = child.stdout.take().context("its output")?;
        let lines = BufReader::new(stdout).lines();
        Ok(Self { child, lines })
    }

    /// The next thing that it says.
    fn hear(&mut self) -> anyhow::Result<Said> {
        let line = self.lines.next().context("a process ended too early")??;
        serde_json::from_str(&line).with_context(|| format!("what a process said: {line}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that has ended already is only waited for; what comes of it was heard.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// What a child does, and with what.
#[derive(Debug)]
pub enum Role {
    /// Produces rows until its standard input ends.
    Source,
    /// Counts them.
    Sink {
        /// Where the source is reached.
        at: String,
        /// For how long nothing is counted, and then rows are.
        times: (Duration, Duration),
    },
}

/// Does the work of a child.
///
/// # Errors
/// When it cannot be done.
pub fn child(
    role: Role,
    series: Series,
    size: usize,
    workers: std::num::NonZeroUsize,
    delay: Duration,
) -> anyhow::Result<()> {
    let tasks = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers.get())
        .enable_all()
        .build()?;
    let done = match (role, series) {
        (Role::Source, Series::Synergy) => tasks.block_on(source::synergy(size, workers, delay)),
        (Role::Source, Series::Stream) => tasks.block_on(source::stream(size, delay)),
        (Role::Source, Series::Tcp) => tasks.block_on(source::tcp(size)),
        (Role::Sink { at, times }, Series::Synergy) => {
            tasks.block_on(sink::synergy(&at, workers, times, delay))
        }
        (Role::Sink { at, times }, Series::Stream) => {
            tasks.block_on(sink::stream(&at, size, times, delay))
        }
        (Role::Sink { at, times }, Series::Tcp) => tasks.block_on(sink::tcp(&at, size, times)),
    };
    // A thread that still waits for standard input must not hold up the end.
    tasks.shutdown_background();
    done
}
