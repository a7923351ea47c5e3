//! How applications end: finished, broken, or failed.

use model::{ComponentId, EventTime, convert};

use super::{Engine, Role, Signals};

/// What happened to an application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All its sources have ended and all results have left.
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
}

impl Engine {
    /// A source cannot be read on: what it has given still leaves, then the application fails.
    pub fn break_source(&mut self, source: ComponentId, reason: &str) {
        let component = self.component_mut(source);
        let (application, name) = (component.application, component.name.clone());
        if let Role::Source(entry) = &mut component.role {
            entry.broken = Some(reason.to_owned());
        }
        // Others may have waited for it.
        self.signals.sources = true;
        let reason = reason.to_owned();
        self.applications[convert::index(application)].is_broken = true;
        self.events.push(Event::Degraded {
            application,
            component: name,
            reason,
        });
        self.check_broken(application);
    }

    /// Ends an application that cannot go on because of one of its components.
    pub fn fail(&mut self, id: ComponentId, reason: &str) {
        let application = self.component(id).application;
        if self.applications[convert::index(application)].has_ended {
            return;
        }
        self.applications[convert::index(application)].has_ended = true;
        let component = self.component(id).name.clone();
        self.events.push(Event::Failed {
            application,
            component,
            reason: reason.to_owned(),
        });
        let members: Vec<ComponentId> = self.members(application).collect();
        for member in members {
            self.component_mut(member).fail(reason);
            self.scheduler.set(member, None);
            self.ledger.set_retained(member, 0);
            self.ledger.set_state(member, 0);
        }
        self.signals = Signals {
            sinks: true,
            sources: true,
        };
    }

    /// Whether the application has finished or failed.
    pub fn has_ended(&self, application: u64) -> bool {
        self.applications[convert::index(application)].has_ended
    }

    pub(super) fn check_state(&mut self) {
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
        self.fail(id, &reason);
    }

    /// Fails an application with a broken source once all that it was given has left.
    pub(super) fn check_broken(&mut self, application: u64) {
        if !self.applications[convert::index(application)].is_broken {
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
                && match &component.role {
                    Role::Source(entry) => {
                        entry.broken.is_some() || entry.progress == EventTime::MAX
                    }
                    Role::Operator => component.step.is_some() && component.closing.is_none(),
                    Role::Sink(results) => results.received == results.acknowledged,
                }
        };
        if self.members(application).all(is_still) {
            self.fail(id, &reason);
        }
    }

    pub(super) fn check_finished(&mut self, sink: ComponentId) {
        let application = self.component(sink).application;
        let is_open = |id: ComponentId| !self.component(id).is_finished();
        let ended = &self.applications[convert::index(application)].has_ended;
        if !ended && !self.members(application).any(is_open) {
            self.applications[convert::index(application)].has_ended = true;
            self.events.push(Event::Finished { application });
            self.signals = Signals {
                sinks: true,
                sources: true,
            };
        }
    }
}
