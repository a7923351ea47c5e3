//! What happens to what runs here: what its components say, and what follows for the application.

use model::{CompositionId, Instant};

use super::part::gone_from;
use super::record::State;
use super::{Decision, Effect, Node, PartEvent};

impl Node {
    /// Something happened to components here.
    pub(super) fn on_happened(
        &mut self,
        now: Instant,
        id: CompositionId,
        event: PartEvent,
        out: &mut Vec<Effect>,
    ) {
        let here = self.id();
        let Some(part) = self.parts.get_mut(&id) else {
            self.counts.add("events_of_nothing");
            return;
        };
        if part.is_released && event != PartEvent::Retired {
            // The application has ended; those who read on hear of it from whoever feeds them.
            return;
        }
        match event {
            PartEvent::Finished => {
                part.finished.insert(here);
                self.present(id, None, out);
            }
            PartEvent::Degraded { component, reason } => {
                self.degrade(now, id, component, reason, out);
            }
            PartEvent::Gone {
                component,
                stream,
                host,
            } => {
                let application = part.application.clone();
                let host = self.view.name(host).to_owned();
                let reason = gone_from(&stream, &host);
                part.gone.insert((component.clone(), stream), host);
                let decision = Decision::Degraded { component, reason };
                self.decided(now, &application, decision);
                self.list_application(&application, out);
            }
            PartEvent::Replaced { component, stream } => {
                if part.gone.remove(&(component, stream)).is_some() {
                    let application = part.application.clone();
                    self.list_application(&application, out);
                }
            }
            PartEvent::Unmade { component, reason } => {
                part.unmade.insert(component.clone());
                self.degrade(now, id, component, reason, out);
            }
            PartEvent::Restored {
                component,
                state_bytes,
            } => {
                let application = part.application.clone();
                part.unmade.remove(&component);
                part.degraded.remove(&component);
                let operators = (0_u16..).zip(part.graph.plan().operators());
                let mut operators = operators.filter(|(_, it)| it.name == component);
                if let Some((operator, _)) = operators.next() {
                    self.compose(now, composition::Input::Made { id, operator }, out);
                }
                let decision = Decision::Restored {
                    component,
                    state_bytes,
                };
                self.decided(now, &application, decision);
                self.list_application(&application, out);
            }
            PartEvent::StateLost { operator } => self.on_state_lost(now, id, operator),
            PartEvent::Surviving { operator, refused } => {
                self.on_surviving(id, &operator, refused, out);
            }
            PartEvent::Failed { component, reason } => {
                part.failed.get_or_insert((component, reason));
            }
            PartEvent::Disconnected { host } => {
                let edges = part.disconnected.entry(host).or_default();
                *edges += 1;
                if *edges == 1 {
                    let application = part.application.clone();
                    let to = self.view.name(host);
                    self.decided(now, &application, Decision::Disconnected { to });
                }
            }
            PartEvent::Reconnected { host } => {
                let edges = part.disconnected.get_mut(&host);
                let is_last = edges.is_some_and(|edges| {
                    *edges = edges.saturating_sub(1);
                    *edges == 0
                });
                if is_last {
                    part.disconnected.remove(&host);
                    let application = part.application.clone();
                    // An edge that leads to another host by now is no news of the one before.
                    if !self.view.is_absent(host) {
                        let to = self.view.name(host);
                        self.decided(now, &application, Decision::Returned { to });
                    }
                }
            }
            PartEvent::Passed { source, host } => {
                let application = part.application.clone();
                let of = self.view.name(host);
                self.decided(now, &application, Decision::Passed { source, of });
            }
            PartEvent::Retired => {
                let application = part.application.clone();
                self.parts.remove(&id);
                self.decided(now, &application, Decision::Retired);
                self.compose(now, composition::Input::Retired(id), out);
                // What the record binds to this host is made again.
                self.compare_graphs(now, &application, out);
                self.list_application(&application, out);
                self.look_for_part(now, &application, out);
                return;
            }
        }
        self.conclude(now, id, out);
    }

    /// Ends the application where what its components say ends it, and there is a record to say it in.
    pub(super) fn conclude(&mut self, now: Instant, id: CompositionId, out: &mut Vec<Effect>) {
        let here = self.id();
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let state = match &part.failed {
            Some((component, reason)) => State::failed(component, reason),
            None if part.finished.contains(&here) && part.finished == part.sink_hosts() => {
                State::Finished
            }
            None => return,
        };
        let application = part.application.clone();
        let Some(listing) = self.records.listing(&application) else {
            return;
        };
        let is_ours = listing.head.composition == id && listing.may_change(here);
        if !is_ours || !listing.is_running() {
            return;
        }
        let changed = listing.changed(state, &self.config.identity);
        self.change(now, changed, out);
    }

    /// A component does not do what it should.
    pub(super) fn degrade(
        &mut self,
        now: Instant,
        id: CompositionId,
        component: String,
        reason: String,
        out: &mut Vec<Effect>,
    ) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let application = part.application.clone();
        let before = part.degraded.insert(component.clone(), reason.clone());
        if before.as_ref() != Some(&reason) {
            let decision = Decision::Degraded { component, reason };
            self.decided(now, &application, decision);
        }
        self.list_application(&application, out);
    }
}
