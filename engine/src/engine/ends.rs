//! How applications end: finished, broken, or failed.

use model::plan::{Reader, Stream};
use model::{ComponentId, EventTime, Instant, NodeId, convert};

use super::edges::Consuming;
use super::{Application, Engine, Role};
use crate::report::Report;

/// What happened to an application on this host.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// All its sources have ended and all results have left that leave here.
    Finished {
        /// Which application, by the number that deploying it gave.
        application: u64,
    },
    /// A source cannot be read on. What it had given goes on to the sinks; windows that wait for more
    /// stay open, and when nothing moves any more the application fails.
    Degraded {
        /// Which application.
        application: u64,
        /// Which source, by name.
        component: String,
        /// Why.
        reason: String,
    },
    /// It cannot go on.
    Failed {
        /// Which application.
        application: u64,
        /// Which of its components, by name.
        component: String,
        /// Why.
        reason: String,
    },
    /// What one of its parts reads is no longer to be had: whoever gave it has gone.
    Gone {
        /// Which application.
        application: u64,
        /// What was read.
        stream: Stream,
        /// Who read it.
        reader: Reader,
    },
    /// What had gone is read elsewhere, or is not read any more.
    Replaced {
        /// Which application.
        application: u64,
        /// What was read.
        stream: Stream,
        /// Who read it.
        reader: Reader,
    },
    /// What one of its parts reads is to be had from another host from now on. It goes on coming from where it was, for a while.
    Moved {
        /// Which application.
        application: u64,
        /// What is read.
        stream: Stream,
        /// Who reads it.
        reader: Reader,
        /// Where it is.
        host: NodeId,
    },
    /// Nothing of it is here any more.
    Retired {
        /// Which application.
        application: u64,
        /// What was last known of it.
        report: Box<Report>,
    },
}

impl Event {
    /// To which application it happened, by the number that deploying it gave.
    pub const fn application(&self) -> u64 {
        match self {
            Self::Finished { application }
            | Self::Degraded { application, .. }
            | Self::Failed { application, .. }
            | Self::Gone { application, .. }
            | Self::Replaced { application, .. }
            | Self::Moved { application, .. }
            | Self::Retired { application, .. } => *application,
        }
    }
}

impl Engine {
    /// A source cannot be read on: what it has given still leaves, then the application fails.
    pub fn break_source(&mut self, now: Instant, source: ComponentId, reason: &str) {
        let Some(component) = self.components.get_mut(&source) else {
            return;
        };
        let (application, name) = (component.application, component.name.clone());
        if let Role::Source(entry) = &mut component.role {
            entry.broken = Some(reason.to_owned());
        }
        // Others may have waited for it.
        self.signals.all = true;
        let reason = reason.to_owned();
        if let Some(application) = self.applications.get_mut(&application) {
            application.is_broken = true;
            self.has_broken = true;
        }
        self.events.push(Event::Degraded {
            application,
            component: name,
            reason,
        });
        self.check_still(now, source);
    }

    /// Ends an application that cannot go on because of one of its components. Its parts stay for those who
    /// ask what happened, until it is retired; hosts up- and downstream hear that it has ended.
    pub fn fail(&mut self, now: Instant, id: ComponentId, reason: &str) {
        let Some(component) = self.components.get(&id) else {
            return;
        };
        let (application, component) = (component.application, component.name.clone());
        if self.has_ended(application) {
            return;
        }
        let mut is_released = false;
        if let Some(application) = self.applications.get_mut(&application) {
            application.has_failed = true;
            is_released = application.is_released;
        }
        self.events.push(Event::Failed {
            application,
            component,
            reason: reason.to_owned(),
        });
        let members: Vec<ComponentId> = self.members(application).collect();
        for member in members.into_iter().rev() {
            self.component_mut(member).fail(reason);
            self.part(now, member);
            self.scheduler.remove(member);
            let retained = std::mem::take(&mut self.component_mut(member).entered_bytes);
            self.ledger.change_retained(retained, 0);
            self.ledger.set_state(member, 0);
        }
        self.signals.all = true;
        if is_released {
            // Nobody asks any more what happened to it.
            self.retire(now, application);
        }
    }

    /// Whether nothing more comes of the application here: it has failed, or is not here any more, or has
    /// finished and nobody else reads on.
    pub fn has_ended(&self, application: u64) -> bool {
        let Some(Application {
            has_failed,
            has_finished,
            members,
            ..
        }) = self.applications.get(&application)
        else {
            return true;
        };
        *has_failed || *has_finished && !members.iter().any(|id| self.is_read_on(*id, application))
    }

    /// Whether somebody reads a component on another host, or for another application than its own.
    fn is_read_on(&self, id: ComponentId, own: u64) -> bool {
        let outputs = self.component(id).outputs.iter();
        let mut edges = outputs.flat_map(|output| &output.readers);
        edges.any(|edge| {
            let edge = self.edges.get(edge);
            edge.is_some_and(|edge| {
                edge.application != own || matches!(edge.consumer, Consuming::Elsewhere(_))
            })
        })
    }

    pub(super) fn check_state(&mut self, now: Instant) {
        let Some((id, bytes)) = self.ledger.overdrawn() else {
            return;
        };
        let mib = |bytes: u64| convert::count_to_f64(bytes) / f64::from(1 << 20);
        let reason = format!(
            "its state holds {:.1} MiB, and all state more than half of the {:.1} MiB of memory: fewer keys, \
             shorter windows or more memory are needed",
            mib(bytes),
            mib(self.ledger.limit_bytes()),
        );
        self.fail(now, id, &reason);
    }

    /// Fails the application of a component, where it has a broken source, once all that it was given has
    /// left.
    pub(super) fn check_still(&mut self, now: Instant, id: ComponentId) {
        if !self.has_broken {
            return;
        }
        let Some(component) = self.components.get(&id) else {
            return;
        };
        let application = component.application;
        let is_broken = |application: &Application| application.is_broken;
        if !self.applications.get(&application).is_some_and(is_broken) {
            return;
        }
        let broken = self
            .members(application)
            .find_map(|id| match &self.component(id).role {
                Role::Source(entry) => entry.broken.clone().map(|reason| (id, reason)),
                Role::Operator | Role::Sink(_) => None,
            });
        let Some((id, reason)) = broken else { return };
        let is_still = |id: ComponentId| {
            let component = self.component(id);
            component.mailbox.is_empty()
                && component
                    .outputs
                    .iter()
                    .all(|output| output.producer.is_settled())
                && match &component.role {
                    Role::Source(entry) => {
                        entry.broken.is_some() || entry.progress == EventTime::MAX
                    }
                    Role::Operator => component.step.is_some() && component.closing.is_none(),
                    Role::Sink(results) => results.received == results.acknowledged,
                }
        };
        if self.members(application).all(is_still) {
            self.fail(now, id, &reason);
        }
    }

    pub(super) fn check_finished(&mut self, sink: ComponentId) {
        let application = self.component(sink).application;
        if self
            .members(application)
            .any(|id| !self.component(id).is_finished())
        {
            return;
        }
        let Some(state) = self.applications.get_mut(&application) else {
            return;
        };
        if !state.has_failed && !std::mem::replace(&mut state.has_finished, true) {
            self.events.push(Event::Finished { application });
            self.signals.all = true;
        }
    }
}
