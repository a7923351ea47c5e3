//! `synergy run`: an application in this process, from its sources to its sinks.
//!
//! Worker threads run operators ([`engine::runtime`]); each source and each sink has a thread of its own,
//! because reading and writing may block. This thread waits for whatever ends the run.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::time::Duration;

use engine::Event;
use engine::report::Report;
use engine::scheduler::Policy;
use model::{Clock, NodeId};

use crate::application::{self, Host, Kinds, Problems};
use crate::clock::MachineClock;
use crate::connector::Context;
use crate::node::Failure;

mod launch;
mod lease;
pub mod network;
mod sink;
mod source;
mod status;

pub(crate) use launch::{idle_after, spawn};
pub(crate) use lease::{Lease, RENEWED};
pub use sink::Limit;
pub(crate) use sink::{Journal, Thread as SinkThread, journal_name};
pub(crate) use source::{Place as SourcePlace, Thread as SourceThread};
pub(crate) use source::{Shelf, shelf_name};
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
    /// The engine did not take the application; nothing was started.
    #[error("the application cannot be run here: {0}")]
    Deploy(#[from] engine::DeployError),
    /// A node of the run could not be started; nothing runs.
    #[error("{0}")]
    Node(String),
    /// The overlay of the run did not compose the application; nothing runs.
    #[error("{}", .0.message)]
    Refused(Box<Failure>),
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
pub enum News {
    /// A source cannot be read on; what is under way still leaves.
    Degraded {
        /// Which one.
        component: String,
        /// Why.
        reason: String,
    },
    /// The run ends.
    End(End),
}

/// What ends a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
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
    Failed {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
}

impl News {
    /// What a run hears of what happened in an engine.
    pub(crate) fn of(event: &Event) -> Option<Self> {
        match event.clone() {
            Event::Finished { .. } => Some(Self::End(End::Finished)),
            Event::Degraded {
                component, reason, ..
            } => Some(Self::Degraded { component, reason }),
            Event::Failed {
                component, reason, ..
            } => Some(Self::End(End::Failed { component, reason })),
            Event::Gone { .. }
            | Event::Replaced { .. }
            | Event::Moved { .. }
            | Event::Retired { .. } => None,
        }
    }
}

/// Where a run is told to end.
#[derive(Debug)]
pub struct Ends {
    sender: SyncSender<News>,
    receiver: Receiver<News>,
    has_begun: Arc<AtomicBool>,
}

/// Ends a run in order. Cheap to clone; may be sent to any thread.
#[derive(Debug, Clone)]
pub struct Stopper {
    sender: SyncSender<News>,
    has_begun: Arc<AtomicBool>,
}

impl Default for Ends {
    fn default() -> Self {
        let (sender, receiver) = mpsc::sync_channel(NEWS_MAX);
        Self {
            sender,
            receiver,
            has_begun: Arc::default(),
        }
    }
}

impl Ends {
    /// What ends the run that is given these.
    pub fn stopper(&self) -> Stopper {
        Stopper {
            sender: self.sender.clone(),
            has_begun: Arc::clone(&self.has_begun),
        }
    }
}

impl Stopper {
    /// Ends the run; what has been written stands. Says whether there is a run that can hear it: not while
    /// its file and its sources are being opened, which nothing can interrupt.
    pub fn stop(&self) -> bool {
        // Nobody hears it only where the run has ended.
        drop(self.sender.send(News::End(End::Signal)));
        self.has_begun.load(Ordering::Relaxed)
    }
}

/// Runs an application until it ends or is told to, telling `status` how it goes. Gives what was counted
/// and measured.
///
/// # Errors
/// See [`RunError`].
pub fn run(options: &Options, ends: Ends, status: &mut dyn Status) -> Result<Report, RunError> {
    let machine = MachineClock::start();
    let epoch = machine.epoch();
    let clock: Arc<dyn Clock> = Arc::new(machine);
    // Nobody else sees what runs here: it belongs to nobody in particular.
    let nobody = NodeId([0; 32]);
    let host = Host {
        owner: nobody,
        node: nobody,
        streams: None,
        clock: clock.clone(),
        epoch,
    };
    let application = application::load(&options.file, &Kinds::ALL, &host)?;
    let Ends {
        sender,
        receiver,
        has_begun,
    } = ends;
    has_begun.store(true, Ordering::Relaxed);
    let folder = options
        .file
        .parent()
        .map(std::path::Path::to_owned)
        .unwrap_or_default();
    let context = Context {
        folder: &folder,
        clock: clock.clone(),
        epoch,
    };
    let name = application.plan.application().to_owned();
    status.composing(&name, &application.remarks);
    let running = launch::launch(options, application, &context, &clock, &sender, status)?;
    let end = wait(options.duration, &receiver, clock.as_ref(), status);
    running.runtime.handle().stop();
    running.let_sinks_finish();
    let report = running
        .runtime
        .report(running.application)
        .expect("nobody retires an application that runs in this process alone");
    status.ended(&name, &end, &report);
    match end {
        End::Failed { component, reason } => Err(RunError::Failed { component, reason }),
        End::Finished | End::Limit | End::NobodyReads | End::Time | End::Signal => Ok(report),
    }
}

/// How many news may wait to be heard. Unit: messages; one that ends the run is enough.
const NEWS_MAX: usize = 16;

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
