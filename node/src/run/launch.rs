//! How a run starts: sinks are opened, the plan is deployed, and each source and sink gets its thread.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::thread;
use std::time::Duration;

use engine::operator::DefaultCost;
use engine::report::Report;
use engine::runtime::{Handle, Runtime, panic_message};
use engine::{Config, Deployment, OperatorDeployment, OperatorPart, SinkDeployment, SourcePart};
use model::{Clock, ComponentId, Origin, Qos, QueryPlan, Slack, StreamName};

use super::sink::{self, Limit};
use super::source;
use super::{News, Options, RunError, Status};
use crate::application::{self, Application};
use crate::connector::{self, Context, Opening};
use crate::priority;

/// An application that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) runtime: Runtime,
    pub(super) application: u64,
    /// Closed by the threads of the sinks, one after the other, as they end.
    sinks: Receiver<()>,
}

/// How long a run that ends waits for sinks to finish what they are writing.
///
/// Unit: time. Source: guess; who does not read for so long gets half a row.
const FINISH_MAX: Duration = Duration::from_secs(2);

impl Running {
    /// Waits until no sink is in the middle of a row any more, as long as somebody takes it.
    pub(super) fn let_sinks_finish(&self) {
        // Nothing is ever sent: it ends when the last sink has, or with the time.
        let _ = self.sinks.recv_timeout(FINISH_MAX);
    }
}

/// Starts an application.
pub(super) fn launch(
    options: &Options,
    application: Application,
    context: &Context<'_>,
    clock: &Arc<dyn Clock>,
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
    let open_sinks = open_sinks(&plan, &sinks, context)?;
    let qos = plan.qos().clone();
    let entries: Vec<Entry> = plan.sources().iter().zip(sources).map(Entry::new).collect();
    let deployment = deployment(plan, &entries, operators);

    let config = Config {
        memory_bytes: options.memory_bytes,
        policy: options.policy,
        ..Config::default()
    };
    let clock_of_workers = Arc::clone(clock);
    let begin = priority::after_others;
    let runtime = Runtime::start_with(config, options.workers, clock_of_workers, begin)?;
    let deployed = runtime.deploy(deployment)?;
    if let Some(report) = runtime.report(deployed.application) {
        status.running(&report, predicted(&report, &qos), &qos);
    }

    // Sinks first: the first result finds somebody who writes it.
    let any_shown = sinks.iter().any(|sink| sink.kind.is_shown);
    let limit = options.limit.map(|rows| Arc::new(Limit::new(rows)));
    let (until_finished, finished) = mpsc::sync_channel(0);
    for ((id, part), sink) in deployed.sinks.iter().flatten().zip(&sinks).zip(open_sinks) {
        let thread = sink::Thread {
            journal: None,
            handle: runtime.handle(),
            application: deployed.application,
            id: *id,
            sink,
            limit: limit.clone().filter(|_| part.kind.is_shown || !any_shown),
            ends: Some(ends.clone()),
            lease: None,
        };
        let until_finished = until_finished.clone();
        spawn(runtime.handle(), "sink", *id, move || {
            thread.run();
            drop(until_finished);
        })?;
    }
    for (id, entry) in deployed.sources.iter().flatten().zip(entries) {
        let place = source::Place {
            handle: runtime.handle(),
            application: deployed.application,
            id: *id,
            idle_after: idle_after(&qos),
        };
        let thread =
            source::Thread::new(place, entry.source, entry.origin, Arc::clone(clock), None);
        spawn(runtime.handle(), "source", *id, move || thread.run())?;
    }
    let (handle, ends) = (runtime.handle(), ends.clone());
    let application = deployed.application;
    thread::Builder::new()
        .name("events".to_owned())
        .spawn(move || pass_on(&handle, application, &ends))?;
    runtime.handle().start(deployed.application);
    Ok(Running {
        runtime,
        application: deployed.application,
        sinks: finished,
    })
}

/// An open source and who numbers its records.
struct Entry {
    source: Box<dyn connector::Source>,
    origin: Origin,
}

impl Entry {
    fn new((part, source): (&model::plan::Source, application::Source)) -> Self {
        let application::Source::Inline(source) = source else {
            unreachable!("without an overlay no published source is accepted")
        };
        let origin = Origin::of_source(StreamName::of_source(&part.source), 0);
        Self {
            source: source.source,
            origin,
        }
    }
}

fn open_sinks(
    plan: &QueryPlan,
    sinks: &[application::Sink],
    context: &Context<'_>,
) -> Result<Vec<Box<dyn connector::Sink>>, RunError> {
    let open = |(part, sink): (&model::plan::Sink, &application::Sink)| {
        let opened = (sink.kind.open)(&sink.arguments, &sink.schema, context, Opening::Anew);
        opened.map_err(|errors| {
            let reasons: Vec<String> = errors.iter().map(ToString::to_string).collect();
            RunError::Sink {
                name: part.name.clone(),
                reason: reasons.join("; "),
            }
        })
    };
    plan.sinks().iter().zip(sinks).map(open).collect()
}

fn deployment(
    plan: QueryPlan,
    entries: &[Entry],
    operators: Vec<application::Operator>,
) -> Deployment {
    let operator = |operator: application::Operator| OperatorDeployment {
        declared: operator.cost.map(|cost| DefaultCost {
            row_seconds: cost.as_secs_f64(),
            ..operator.compiled.cost
        }),
        numbering: operator.kind.numbering,
        compiled: operator.compiled,
    };
    let target = plan.qos().latency;
    Deployment {
        sources: vec![SourcePart::Here; entries.len()],
        origins: entries.iter().map(|entry| entry.origin).collect(),
        operators: operators
            .into_iter()
            .map(operator)
            .map(OperatorPart::Here)
            .collect(),
        sinks: plan
            .sinks()
            .iter()
            .map(|_| Some(SinkDeployment { target }))
            .collect(),
        plan,
    }
}

/// Starts a thread; a panic in it fails its component instead of leaving everybody to wait.
pub(crate) fn spawn(
    handle: Handle,
    what: &str,
    id: ComponentId,
    run: impl FnOnce() + Send + 'static,
) -> Result<(), std::io::Error> {
    thread::Builder::new()
        .name(format!("{what}-{id}"))
        .spawn(move || {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
                handle.fail(id, &format!("panicked: {}", panic_message(&*panic)));
            }
        })?;
    Ok(())
}

/// Tells whoever waits for the run what happens to the application.
fn pass_on(handle: &Handle, application: u64, ends: &SyncSender<News>) {
    loop {
        let happened = handle.wait_for_events(application);
        if happened.is_empty() {
            return;
        }
        for event in happened {
            // Nobody hears it only where the run has ended.
            if let Some(news) = News::of(&event) {
                drop(ends.send(news));
            }
        }
    }
}

/// How long a source may give nothing before its progress grows by itself: a quarter of the target, so
/// that a window that waits for it still closes in time.
pub(crate) fn idle_after(qos: &Qos) -> Duration {
    (qos.latency / 4).clamp(Duration::from_millis(10), Duration::from_secs(1))
}

/// The delay from source to sink that costs known so far add up to.
fn predicted(report: &Report, qos: &Qos) -> Duration {
    let budgets = report.components.iter().map(|component| component.budget);
    let least = budgets.min().unwrap_or(Slack::MAX);
    let spent = Slack::from(qos.latency)
        .as_nanos()
        .saturating_sub(least.as_nanos());
    Duration::from_nanos(spent.max(0).unsigned_abs())
}
