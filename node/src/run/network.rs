//! `synergy run --nodes N`: a whole overlay in this process, on loopback, and an application composed in it.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::{Resources, Rng};
use overlay::Identity;
use tokio::sync::oneshot;

use super::sink::Limit;
use super::{End, Ends, Options, RunError, Status, wait};
use crate::api::{File, Gate, Request};
use crate::clock::MachineClock;
use crate::driver::{self, Config, LastCounts, Results, Running};
use crate::node::{
    Answer, Answered, ApplicationStatus, Command, ComponentRow, Composition, Failure, FailureKind,
    PartReport,
};

/// How long nodes of one process may take to find each other.
///
/// Unit: time. Source: measured, 30 nodes find each other within 2 s on two cores.
const JOIN_MAX: Duration = Duration::from_secs(20);

/// How often it is looked whether they have. Unit: time. Source: guess; what nobody notices.
const JOIN_INTERVAL: Duration = Duration::from_millis(20);

/// An overlay in one process.
#[derive(Debug, Clone, Copy)]
pub struct Nodes {
    /// How many nodes it has. Range: from 1.
    pub count: usize,
    /// Whether no two operators may share a node as long as there are enough.
    pub spread: bool,
}

/// Runs an application in an overlay of its own until it ends or is told to, telling `status` how it goes.
///
/// # Errors
/// See [`RunError`].
pub fn run(
    options: &Options,
    nodes: Nodes,
    ends: Ends,
    status: &mut dyn Status,
) -> Result<(), RunError> {
    let Nodes { count, spread } = nodes;
    let Ends {
        sender,
        receiver,
        has_begun,
    } = ends;
    has_begun.store(true, Ordering::Relaxed);
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("io")
        .enable_all()
        .build()?;
    let clock = Arc::new(MachineClock::start());
    let limit = options.limit.map(|rows| Arc::new(Limit::new(rows)));
    let last = LastCounts::default();
    let results = Results::Shown {
        limit,
        news: sender.clone(),
        last: Arc::clone(&last),
    };
    let nodes = io.block_on(start(options, count, &clock, results))?;
    let gate = nodes[0].gate.clone();
    let outcome = io.block_on(compose(options, spread, &gate, status));
    let ended = match outcome {
        Ok(name) => {
            let end = wait(options.duration, &receiver, clock.as_ref(), status);
            let shown = io.block_on(ask(&gate, Command::Application(name.clone())));
            status.say(&format!("{name} {}", super::status::verdict(&end)));
            if let Ok(Answer::Application(shown)) = shown {
                let gone = last.lock().map(|mut last| std::mem::take(&mut *last));
                status.counted(&with_gone(*shown, gone.unwrap_or_default()));
            }
            Ok(end)
        }
        Err(failure) => Err(RunError::Refused(Box::new(failure))),
    };
    io.block_on(stop(nodes));
    io.shutdown_timeout(Duration::from_secs(1));
    match ended? {
        End::Failed { component, reason } => Err(RunError::Failed { component, reason }),
        End::Finished | End::Limit | End::NobodyReads | End::Time | End::Signal => Ok(()),
    }
}

/// Starts the nodes, and waits until each knows all others.
async fn start(
    options: &Options,
    count: usize,
    clock: &Arc<MachineClock>,
    results: Results,
) -> Result<Vec<Running>, RunError> {
    // Nobody but these nodes belongs to the network that is named after this moment and process.
    let seed = clock.epoch().0.unsigned_abs() ^ (u64::from(std::process::id()) << 40);
    let rng = Rng::from_seed(seed);
    let network = format!("run-{seed:016x}");
    let mut nodes: Vec<Running> = Vec::new();
    for number in 1..=count {
        let mut secret = [0; 32];
        let mut bits = rng.keyed(&format!("identity {number}"));
        for chunk in secret.chunks_exact_mut(8) {
            chunk.copy_from_slice(&bits.bits().to_le_bytes());
        }
        let join = nodes.first().map(|first| first.network.addresses());
        let config = Config {
            identity: Identity::from_secret(secret),
            is_new: true,
            name: format!("n{number}"),
            network: network.clone(),
            listen: vec!["/ip4/127.0.0.1/tcp/0".to_owned()],
            join: join.unwrap_or_default(),
            labels: BTreeMap::new(),
            operators: None,
            capacity: Resources {
                cpu_cores: model::convert::count_to_f64(model::convert::size(options.workers)),
                memory_bytes: options.memory_bytes,
                uplink_bytes_per_second: UPLINK,
            },
            memory_bytes: options.memory_bytes,
            workers: options.workers,
            policy: options.policy,
            migrates: true,
            // All of them end together.
            drain: Duration::ZERO,
            data_dir: None,
            results: results.clone(),
            store: None,
            hooks: driver::Hooks::default(),
        };
        let started = driver::start(
            config,
            Arc::clone(clock),
            rng.keyed(&format!("node {number}")),
        );
        nodes.push(
            started
                .await
                .map_err(|error| RunError::Node(error.to_string()))?,
        );
    }
    // A probe goes from any host to any other: it is not enough that the first knows all.
    let joined = async {
        let mut look = tokio::time::interval(JOIN_INTERVAL);
        for node in &nodes {
            while !knows(&node.gate, count).await {
                look.tick().await;
            }
        }
    };
    if tokio::time::timeout(JOIN_MAX, joined).await.is_err() {
        stop(nodes).await;
        let message =
            format!("the {count} nodes of this process did not find each other in {JOIN_MAX:?}");
        return Err(RunError::Node(message));
    }
    Ok(nodes)
}

/// Whether a node has heard of as many, itself among them.
async fn knows(gate: &Gate, count: usize) -> bool {
    let Ok(Answer::Nodes(known)) = ask(gate, Command::Nodes).await else {
        return false;
    };
    known.iter().filter(|node| node.status != "unheard").count() >= count
}

/// Nodes of one process speak over loopback, of which there is more than they can use.
///
/// Unit: bytes per second. Source: measured, encrypted streams carry some 600 MiB/s on two cores.
const UPLINK: f64 = 600.0 * 1024.0 * 1024.0;

/// Composes the application at the first node, and says how. Gives its name.
async fn compose(
    options: &Options,
    spread: bool,
    gate: &Gate,
    status: &mut dyn Status,
) -> Result<String, Failure> {
    let text = std::fs::read_to_string(&options.file).map_err(|error| Failure {
        kind: FailureKind::Invalid,
        message: format!("{}: cannot be read: {error}", options.file.display()),
        refusal: None,
    })?;
    let folder = options.file.parent().unwrap_or_else(|| Path::new(""));
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let file = File {
        name: options.file.display().to_string(),
        text,
        folder,
    };
    let answered = gate
        .ask(|answer| Request::Apply {
            file,
            spread,
            is_trial: false,
            answer,
        })
        .await??;
    let Answer::Composition(composition) = answered else {
        unreachable!("an application that is applied is answered by how it is composed");
    };
    let composition: Composition = *composition;
    status.composed(&composition);
    Ok(composition.application)
}

/// A status with what was counted of parts that were gone before they could be asked.
fn with_gone(mut status: ApplicationStatus, gone: Vec<(String, PartReport)>) -> ApplicationStatus {
    for (host, report) in gone {
        let is_told = |counted: &ComponentRow| {
            let mut rows = status.components.iter();
            rows.any(|row| row.name == counted.name && row.host == host && row.rows_in > 0)
        };
        if report.components.iter().any(is_told) {
            // It went after it had answered.
            continue;
        }
        status.delay_ms = status.delay_ms.or(report.delay_ms);
        let counted = status.counted.get_or_insert_default();
        counted.results += report.results;
        counted.misses += report.misses;
        counted.missing += report.missing;
        for counted in report.components {
            let mut rows = status.components.iter_mut();
            let row = rows.find(|row| row.name == counted.name && row.host == host);
            if let Some(row) = row.filter(|row| row.rows_in == 0) {
                (row.rows_in, row.rows_out) = (counted.rows_in, counted.rows_out);
                (row.late, row.bad) = (counted.late, counted.bad);
            }
        }
    }
    status
}

async fn ask(gate: &Gate, command: Command) -> Answered {
    gate.ask(|answer| Request::Command { command, answer })
        .await?
}

async fn stop(nodes: Vec<Running>) {
    let mut leaving = Vec::new();
    for node in nodes {
        leaving.push(tokio::spawn(async move {
            let (told, left) = oneshot::channel();
            if node.gate.put(Request::Stop { answer: told }) {
                drop(left.await);
                node.ended().await;
            }
        }));
    }
    for node in leaving {
        drop(node.await);
    }
}

impl dyn Status + '_ {
    fn composed(&mut self, composition: &Composition) {
        for remark in &composition.remarks {
            self.say(&format!("  note: {remark}"));
        }
        for part in &composition.operators {
            self.say(&format!(
                "  {:<24} {:<9} {}",
                part.name, part.kind, part.host
            ));
        }
        let predicted = composition.predicted_delay_ms.unwrap_or_default();
        self.say(&format!(
            "running {}: predicted delay {predicted:.2} ms, target {:.0} ms",
            composition.application, composition.target_delay_ms
        ));
    }

    fn counted(&mut self, last: &ApplicationStatus) {
        self.say(&format!(
            "  {:<24} {:<9} {:<8} {:>12} {:>12} {:>8} {:>8}",
            "component", "kind", "host", "rows in", "rows out", "late", "bad"
        ));
        for row in &last.components {
            // What a host that is lost has counted nobody knows.
            let is_known = row.status != "unreachable" || row.rows_in > 0 || row.rows_out > 0;
            let count = |count: u64| match is_known {
                true => count.to_string(),
                false => "-".to_owned(),
            };
            self.say(&format!(
                "  {:<24} {:<9} {:<8} {:>12} {:>12} {:>8} {:>8}",
                row.name,
                row.kind,
                row.host,
                count(row.rows_in),
                count(row.rows_out),
                count(row.late),
                count(row.bad)
            ));
        }
        if let Some((delay, counted)) = last.delay_ms.zip(last.counted) {
            self.say(&format!(
                "  delay p50 {:.2} ms p95 {:.2} ms p99 {:.2} ms of {:.0} ms; {} rows over it, {} rows known to be missing",
                delay.p50, delay.p95, delay.p99, last.target_delay_ms, counted.misses, counted.missing
            ));
        }
    }
}
