//! `synergy run`: an application in this process, from its sources to its sinks.
//!
//! Worker threads run operators ([`engine::runtime`]); each source and each sink has a thread of its own,
//! because reading and writing may block. This thread waits for whatever ends the run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::Duration;

use engine::operator::DefaultCost;
use engine::report::Report;
use engine::runtime::Runtime;
use engine::scheduler::Policy;
use engine::{Config, Deployment, Event, OperatorDeployment, SinkDeployment, SourceDeployment};
use model::{Clock, NodeId, Origin, Qos, Slack, StreamName};

use crate::application::{self, Application, Host, Kinds, Problems};
use crate::clock::MachineClock;
use crate::connector::Context;

mod sink;
mod source;
mod status;

use sink::Limit;
pub use status::Status;

/// What a run is told on the command line.
#[derive(Debug, Clone)]
pub struct Options {
    /// The application file.
    pub file: PathBuf,
    /// How long to run, counted from `running`; absent, until all sources have ended.
    pub duration: Option<Duration>,
    /// How many rows may leave, over all sinks.
    pub limit: Option<u64>,
    /// The memory for data. Unit: bytes. Range: from [`engine::MEMORY_MIN`].
    pub memory_bytes: u64,
    /// How many worker threads there are. Range: from 1.
    pub workers: usize,
    /// How components are ordered.
    pub policy: Policy,
}

/// Why a run did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The application file has problems; nothing was started.
    #[error(transparent)]
    Invalid(#[from] Problems),
    /// A sink could not be opened; nothing was started.
    #[error("sink {name:?} cannot be opened: {reason}")]
    Sink {
        /// The sink's name in the file.
        name: String,
        /// Why.
        reason: String,
    },
    /// The system gave no thread or no signal handler; nothing was started.
    #[error("the system refused what a run needs: {0}")]
    System(#[from] std::io::Error),
    /// A component failed while the application ran. What had left before stands.
    #[error("{component} failed: {reason}")]
    Failed {
        /// Which one.
        component: String,
        /// Why.
        reason: String,
    },
}

/// What the thread that waits is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum News {
    /// A source cannot be read on; what is under way still leaves.
    Degraded { component: String, reason: String },
    /// The run ends.
    End(End),
}

/// What ends a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// All sources have ended and all results have left.
    Finished,
    /// As many rows have left as were asked for.
    Limit,
    /// Nobody reads the results any more.
    NobodyReads,
    /// The time is over.
    Time,
    /// A person or the system asked for it.
    Signal,
    /// Something cannot go on.
    Failed { component: String, reason: String },
}

impl From<Event> for News {
    fn from(event: Event) -> Self {
        match event {
            Event::Finished { .. } => Self::End(End::Finished),
            Event::Degraded {
                component, reason, ..
            } => Self::Degraded { component, reason },
            Event::Failed {
                component, reason, ..
            } => Self::End(End::Failed { component, reason }),
        }
    }
}

/// Where a run is told to end.
#[derive(Debug)]
pub struct Ends {
    sender: SyncSender<News>,
    receiver: Receiver<News>,
}

/// Ends a run in order. Cheap to clone; may be sent to any thread.
#[derive(Debug, Clone)]
pub struct Stopper(SyncSender<News>);

impl Default for Ends {
    fn default() -> Self {
        let (sender, receiver) = mpsc::sync_channel(NEWS_MAX);
        Self { sender, receiver }
    }
}

impl Ends {
    /// What ends the run that is given these.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.sender.clone())
    }
}

impl Stopper {
    /// Ends the run; what has been written stands.
    pub fn stop(&self) {
        // A full channel holds an end already, a closed one is of a run that has ended.
        drop(self.0.try_send(News::End(End::Signal)));
    }
}

/// Runs an application until it ends or is told to, telling `status` how it goes. Gives what was counted
/// and measured.
///
/// # Errors
/// See [`RunError`].
pub fn run(options: &Options, ends: Ends, status: &mut dyn Status) -> Result<Report, RunError> {
    let clock = Arc::new(MachineClock::start());
    // Nobody else sees what runs here: it belongs to nobody in particular.
    let nobody = NodeId([0; 32]);
    let host = Host {
        owner: nobody,
        node: nobody,
        clock: clock.clone(),
        epoch: clock.epoch(),
    };
    let application = application::load(&options.file, &Kinds::ALL, &host)?;
    let Ends { sender, receiver } = ends;
    let folder = options
        .file
        .parent()
        .map(std::path::Path::to_owned)
        .unwrap_or_default();
    let context = Context {
        folder: &folder,
        clock: clock.clone(),
        epoch: clock.epoch(),
    };
    let name = application.plan.application().to_owned();
    status.composing(&name, &application.remarks);
    let runtime = start(
        options,
        application,
        &context,
        clock.clone(),
        &sender,
        status,
    )?;
    let end = wait(options.duration, &receiver, clock.as_ref(), status);
    runtime.runtime.handle().stop();
    let report = runtime.runtime.report(runtime.application);
    status.ended(&name, &end, &report);
    match end {
        End::Failed { component, reason } => Err(RunError::Failed { component, reason }),
        End::Finished | End::Limit | End::NobodyReads | End::Time | End::Signal => Ok(report),
    }
}

/// How many news may wait to be heard. Unit: messages; one that ends the run is enough.
const NEWS_MAX: usize = 16;

struct Running {
    runtime: Runtime,
    application: u64,
}

fn start(
    options: &Options,
    application: Application,
    context: &Context<'_>,
    clock: Arc<dyn Clock>,
    ends: &SyncSender<News>,
    status: &mut dyn Status,
) -> Result<Running, RunError> {
    let Application {
        plan,
        sources,
        operators,
        sinks,
        remarks: _,
    } = application;
    let mut open_sinks = Vec::new();
    for (sink, part) in plan.sinks().iter().zip(sinks) {
        let opened = (part.kind.open)(&part.arguments, &part.schema, context);
        open_sinks.push(opened.map_err(|errors| {
            RunError::Sink {
                name: sink.name.clone(),
                reason: errors
                    .iter()
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join("; "),
            }
        })?);
    }
    let qos = plan.qos().clone();
    let origins: Vec<Origin> = plan
        .sources()
        .iter()
        .map(|source| Origin::of_source(StreamName::of_source(&source.source), 0))
        .collect();
    let outputs: Vec<_> = plan
        .sources()
        .iter()
        .map(|source| source.outputs[0].1.clone())
        .collect();
    let deployment = Deployment {
        sources: origins
            .iter()
            .map(|origin| SourceDeployment { origin: *origin })
            .collect(),
        operators: operators
            .into_iter()
            .map(|operator| OperatorDeployment {
                declared: operator.cost.map(|cost| DefaultCost {
                    row_seconds: cost.as_secs_f64(),
                    ..operator.compiled.cost
                }),
                numbering: operator.kind.numbering,
                compiled: operator.compiled,
            })
            .collect(),
        sinks: plan
            .sinks()
            .iter()
            .map(|_| SinkDeployment {
                target: qos.latency,
            })
            .collect(),
        plan,
    };
    let config = Config {
        memory_bytes: options.memory_bytes,
        policy: options.policy,
    };
    let runtime = Runtime::start(config, options.workers, clock.clone())?;
    let deployed = runtime.deploy(deployment);
    let idle_after = idle_after(&qos);
    status.running(
        &runtime.report(deployed.application),
        predicted(&runtime, &deployed, &qos),
        &qos,
    );

    // Sinks first: the first result finds somebody who writes it.
    let limit = Arc::new(Limit::new(options.limit));
    for (id, sink) in deployed.sinks.iter().zip(open_sinks) {
        let thread = sink::Thread {
            handle: runtime.handle(),
            application: deployed.application,
            id: *id,
            sink,
            limit: Arc::clone(&limit),
            ends: ends.clone(),
        };
        thread::Builder::new()
            .name(format!("sink-{id}"))
            .spawn(move || thread.run())?;
    }
    let parts = deployed
        .sources
        .iter()
        .zip(sources)
        .zip(origins.into_iter().zip(outputs));
    for ((id, source), (origin, schema)) in parts {
        let thread = source::Thread::new(
            runtime.handle(),
            deployed.application,
            *id,
            source.source,
            origin,
            engine::columns::to_arrow(&schema),
            clock.clone(),
            idle_after,
        );
        thread::Builder::new()
            .name(format!("source-{id}"))
            .spawn(move || thread.run())?;
    }
    let events = runtime.handle();
    let ends = ends.clone();
    thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || {
            loop {
                let happened = events.wait_for_events();
                if happened.is_empty() {
                    return;
                }
                for event in happened {
                    // A full channel holds an end already.
                    drop(ends.try_send(News::from(event)));
                }
            }
        })?;
    Ok(Running {
        runtime,
        application: deployed.application,
    })
}

/// How long a source may give nothing before its progress grows by itself: a quarter of the target, so
/// that a window that waits for it still closes in time.
fn idle_after(qos: &Qos) -> Duration {
    (qos.latency / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// The delay from source to sink that costs known so far add up to.
fn predicted(runtime: &Runtime, deployed: &engine::Deployed, qos: &Qos) -> Duration {
    let report = runtime.report(deployed.application);
    let budgets = report.components.iter().map(|component| component.budget);
    let least = budgets.min().unwrap_or(Slack::MAX);
    let spent = Slack::from(qos.latency)
        .as_nanos()
        .saturating_sub(least.as_nanos());
    Duration::from_nanos(spent.max(0).unsigned_abs())
}

fn wait(
    duration: Option<Duration>,
    end: &Receiver<News>,
    clock: &dyn Clock,
    status: &mut dyn Status,
) -> End {
    let until = duration.map(|duration| clock.now() + duration);
    loop {
        let received = match until {
            None => end.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(until) => end.recv_timeout(until.since(clock.now())),
        };
        match received {
            Ok(News::Degraded { component, reason }) => status.degraded(&component, &reason),
            Ok(News::End(end)) => return end,
            Err(RecvTimeoutError::Timeout) if until.is_some_and(|until| clock.now() < until) => {}
            Err(RecvTimeoutError::Timeout) => return End::Time,
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the run holds a sender itself")
            }
        }
    }
}
