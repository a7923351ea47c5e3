//! How components, edges and applications go: by command, and by themselves when nobody reads them any more.

use arrow_schema::SchemaRef;
use model::{ComponentId, EdgeId, EventTime, Instant, Interval, Origin};

use super::component::Stay;
use super::edges::{Consuming, Edge, Producing};
use super::lacking::Lacking;
use super::timers::IDLE_MAX;
use super::{Application, Engine, Event};
use crate::batch::{Batch, Header, Note, Rows, Token};
use crate::edge::LAPSE;
use crate::report::{self, ComponentReport};

impl Engine {
    /// Whether a component is here and has not failed: whether it can be read.
    pub fn is_running(&self, component: ComponentId) -> bool {
        let component = self.components.get(&component);
        component.is_some_and(|component| !component.has_failed())
    }

    /// The names of an application's components that run here.
    pub fn component_names(&self, application: u64) -> impl Iterator<Item = &str> {
        let members = self.members(application);
        let members = members.filter_map(|it| self.components.get(&it));
        members
            .filter(|component| !component.has_failed())
            .map(|component| component.name.as_str())
    }

    /// Lets all components of an application pull. What nobody reads yet holds back what it yields.
    ///
    /// Starting it again, or one that is not here, does nothing.
    pub fn start(&mut self, now: Instant, application: u64) {
        let members: Vec<ComponentId> = self.members(application).collect();
        for member in members {
            self.wake(now, member);
        }
    }

    /// Ends an application on this host: upstream hosts hear goodbye, those downstream that the streams are
    /// gone. It is no longer here when this returns, but for what the links still have to say.
    pub fn retire(&mut self, now: Instant, application: u64) {
        // From the sinks on, so that whoever reads goes before what is read.
        let members: Vec<ComponentId> = self.members(application).collect();
        for member in members.into_iter().rev() {
            self.remove(now, member);
        }
        // Those by which its parts on other hosts read what runs here for others.
        let own = self.own_edges(application).collect::<Vec<_>>();
        for edge in own {
            self.end_reader(now, edge);
        }
        self.forget(now, application);
        self.share_retention();
        self.signals.all = true;
    }

    /// Ends an application on this host that is to be missed by nobody: its sinks go, and with them all that nobody
    /// else reads. What others read stays until they stop. [`Event::Retired`] tells when nothing of it is left.
    ///
    /// One that has failed goes at once; one that is not here is not told of.
    pub fn release(&mut self, now: Instant, application: u64) {
        let Some(state) = self.applications.get_mut(&application) else {
            return;
        };
        if state.has_failed {
            self.retire(now, application);
            return;
        }
        state.is_released = true;
        let members: Vec<ComponentId> = self.members(application).collect();
        for member in members.into_iter().rev() {
            // Reading goes before what is read, so that one may have gone with another.
            let component = self.components.get(&member);
            if component.is_some_and(|component| component.target().is_some()) {
                self.remove(now, member);
            }
        }
        self.end_silent_edges(now);
        let unread: Vec<ComponentId> = self.members(application).collect();
        for member in unread.into_iter().rev() {
            self.retire_unread(now, member);
        }
        self.check_gone(now, application);
        self.share_retention();
        self.signals.all = true;
    }

    /// Takes one component of an application away: what it does goes on elsewhere, or nowhere. It says goodbye upstream, so that what only
    /// it read goes too; who reads it hears that it is gone; the thread of a sink or a source ends. The others go on, and
    /// [`Event::Retired`] tells when nothing is left. One that is not here is not told of.
    pub fn end(&mut self, now: Instant, component: ComponentId) {
        let Some(application) = self.components.get(&component).map(|it| it.application) else {
            return;
        };
        self.remove(now, component);
        // The others may have waited for nothing but this one.
        let is_sink = |id: &ComponentId| self.component(*id).target().is_some();
        let sink = self.members(application).find(is_sink);
        if let Some(sink) = sink {
            self.check_finished(sink);
        }
        let member = self.members(application).next();
        if let Some(member) = member {
            self.check_still(now, member);
        }
        self.check_gone(now, application);
        self.share_retention();
    }

    /// A record tells from now on what of an application runs here and who reads it, until it is released: who says goodbye before this host has
    /// heard who comes in its place takes nothing with it.
    pub fn follow_record(&mut self, application: u64) {
        if let Some(application) = self.applications.get_mut(&application) {
            application.follows_record = true;
        }
    }

    /// A consumer on another host says goodbye. Where no other has come in its place, what it was to have is kept: the graph that it goes by binds
    /// somebody else to read, of whom this host has yet to hear.
    pub(super) fn leave_edge(&mut self, now: Instant, id: EdgeId) {
        if !self.is_kept_unread(id) {
            return self.close_edge(now, id);
        }
        if let Some(Consuming::Elsewhere(link)) =
            self.edges.get_mut(&id).map(|edge| &mut edge.consumer)
        {
            link.has_left = true;
        }
    }

    /// Whether an edge is the only one by which something reads here that its application has in its plan, of an instance that stays here.
    fn is_kept_unread(&self, id: EdgeId) -> bool {
        let Some(edge) = self.edges.get(&id) else {
            return false;
        };
        let (Producing::Here(producer, port), Some(_)) = (&edge.producer, edge.plan) else {
            return false;
        };
        let Some(component) = self.components.get(producer) else {
            return false;
        };
        let application = self.applications.get(&edge.application);
        let mut others = component.outputs[usize::from(*port)].readers.iter();
        let is_same =
            |other: &Edge| other.application == edge.application && other.plan == edge.plan;
        component.moved.is_none()
            && application.is_some_and(|it| it.follows_record && !it.is_released && !it.has_failed)
            && !others.any(|it| *it != id && self.edges.get(it).is_some_and(is_same))
    }

    /// Ends the edges to other hosts that nobody will come back to: those whose consumer has said goodbye where another has come in its place; and of
    /// applications that were ended those that were never pulled, and those of which nothing was heard for long. Where no other application depends
    /// on the edge, that is not long: its reader was ended as well, and says goodbye if it lives.
    pub(super) fn end_silent_edges(&mut self, now: Instant) {
        let is_silent = |edge: &(&EdgeId, &Edge)| {
            let (id, edge) = *edge;
            let (Producing::Here(component, port), Consuming::Elsewhere(link)) =
                (&edge.producer, &edge.consumer)
            else {
                return false;
            };
            if link.has_left {
                return !self.is_kept_unread(*id);
            }
            let application = self.applications.get(&edge.application);
            if !application.is_some_and(|application| application.is_released) {
                return false;
            }
            let component = self.components.get(component);
            let output = component.and_then(|component| component.outputs.get(usize::from(*port)));
            let heard = output.and_then(|output| output.producer.heard(*id));
            heard.is_some_and(|heard| {
                let patience = match heard.is_shared {
                    true => IDLE_MAX,
                    false => LAPSE,
                };
                !heard.has_pulled || now.since(heard.at) >= patience
            })
        };
        let silent: Vec<EdgeId> = self
            .edges
            .iter()
            .filter(is_silent)
            .map(|(id, _)| *id)
            .collect();
        for edge in silent {
            self.end_reader(now, edge);
        }
    }

    /// Takes away a component and its edges.
    pub(super) fn remove(&mut self, now: Instant, id: ComponentId) {
        let last = self.components.get(&id);
        let last = last.map(|component| report::component(self, now, id, component));
        self.part(now, id);
        self.drop_stored(id);
        let Some(component) = self.components.remove(&id) else {
            return;
        };
        self.scheduler.leave(id);
        self.ledger.remove(id);
        self.ledger.change_retained(component.entered_bytes, 0);
        let application = component.application;
        if let Some(application) = self.applications.get_mut(&application) {
            application.members.retain(|member| *member != id);
            application.gone.extend(last.map(|last| ComponentReport {
                is_here: false,
                ..last
            }));
        }
        self.signals.all = true;
    }

    /// Ends the edges of a component: those it reads by, and those that read it.
    pub(super) fn part(&mut self, now: Instant, id: ComponentId) {
        let Some(component) = self.components.get_mut(&id) else {
            return;
        };
        let inputs = std::mem::take(&mut component.inputs);
        component.export_due = None;
        let origin = component.origin;
        let outputs: Vec<(Vec<EdgeId>, SchemaRef)> = component
            .outputs
            .iter_mut()
            .map(|output| {
                (
                    std::mem::take(&mut output.readers),
                    SchemaRef::clone(&output.schema),
                )
            })
            .collect();
        self.end_states(id);
        for (readers, schema) in outputs {
            for reader in readers {
                self.part_from(now, reader, origin, &schema);
            }
        }
        for edge in inputs {
            self.say_goodbye(now, edge);
        }
    }

    /// Ends an edge whose consumer goes.
    pub(super) fn say_goodbye(&mut self, now: Instant, id: EdgeId) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        match edge.producer {
            Producing::Here(..) => self.end_reader(now, id),
            Producing::Elsewhere(_) => {
                // The link takes the goodbye and with it the edge.
                edge.closing = Some(now);
                self.ready.push(id);
                self.arm(now);
            }
            Producing::Gone => {
                if let Some((stream, reader)) = edge.plan {
                    self.events.push(Event::Replaced {
                        application: edge.application,
                        stream,
                        reader,
                    });
                }
                self.edges.remove(&id);
                self.ready.push(id);
            }
        }
    }

    /// Ends an edge whose producer goes: who reads it hears that.
    fn part_from(&mut self, now: Instant, id: EdgeId, origin: Origin, schema: &SchemaRef) {
        let Some(edge) = self.edges.get_mut(&id) else {
            return;
        };
        edge.producer = Producing::Gone;
        let application = edge.application;
        match &mut edge.consumer {
            Consuming::Elsewhere(link) => {
                link.part(notice(now, origin, schema, Note::Gone));
                edge.closing = Some(now);
                self.ready.push(id);
                self.arm(now);
                self.check_gone(now, application);
            }
            Consuming::Gone => {}
            Consuming::Here(_) => {
                if let Some((stream, reader)) = edge.plan
                    && self.is_served(application)
                {
                    self.events.push(Event::Gone {
                        application,
                        stream,
                        reader,
                    });
                }
            }
        }
    }

    /// Ends an edge whose producer is here and stays, unless nobody reads it any more.
    pub(super) fn end_reader(&mut self, now: Instant, id: EdgeId) {
        let Some(edge) = self.edges.remove(&id) else {
            return;
        };
        self.ready.push(id);
        let Producing::Here(producer, output) = edge.producer else {
            return;
        };
        let Some(component) = self.components.get_mut(&producer) else {
            return;
        };
        let output = &mut component.outputs[usize::from(output)];
        output.readers.retain(|reader| *reader != id);
        component.counters.drops += output.producer.close(id);
        self.pulled(now, producer);
        // An application that has finished was here for who read on.
        self.signals.all = true;
        self.retire_unread(now, producer);
        self.begin_where_asked(now, producer);
        self.check_gone(now, edge.application);
    }

    /// Retires a component that nobody reads any more; and so what lies before it, and at last all.
    pub(super) fn retire_unread(&mut self, now: Instant, id: ComponentId) {
        let Some(component) = self.components.get(&id) else {
            return;
        };
        let is_read = component
            .outputs
            .iter()
            .any(|output| output.producer.has_consumers());
        // Who holds its state has yet to say that it goes on elsewhere.
        let is_read = is_read || component.shadows.iter().any(Lacking::is_elsewhere);
        let application = component.application;
        // What has failed stays for those who ask what happened.
        if is_read || component.stay == Stay::Forever || !self.is_served(application) {
            return;
        }
        self.remove(now, id);
        self.check_gone(now, application);
    }

    /// Says that an application is no longer here, where nothing of it is: no component, and no edge by which it reads
    /// on another host what runs here.
    pub(super) fn check_gone(&mut self, now: Instant, application: u64) {
        let is_here = |application: &Application| !application.members.is_empty();
        if self.applications.get(&application).is_none_or(is_here)
            || self.own_edges(application).next().is_some()
        {
            return;
        }
        self.forget(now, application);
        self.share_retention();
    }

    /// The edges by which an application reads on other hosts what runs here.
    fn own_edges(&self, application: u64) -> impl Iterator<Item = EdgeId> + '_ {
        let edges = self.edges.iter().filter(move |(_, edge)| {
            edge.application == application
                && matches!(edge.producer, Producing::Here(..))
                && matches!(edge.consumer, Consuming::Elsewhere(_))
        });
        edges.map(|(id, _)| *id)
    }

    fn forget(&mut self, now: Instant, application: u64) {
        let Some(report) = self.report(now, application) else {
            return;
        };
        self.scheduler.forget(application);
        let joined = self.applications.remove(&application);
        for edge in joined
            .into_iter()
            .flat_map(|application| application.joined)
        {
            if let Some(Producing::Here(producer, port)) =
                self.edges.get(&edge).map(|edge| &edge.producer)
                && let Some(component) = self.components.get_mut(producer)
            {
                let output = &mut component.outputs[usize::from(*port)];
                output.producer.leave(edge, application);
            }
        }
        self.events.push(Event::Retired {
            application,
            report: Box::new(report),
        });
    }

    /// Whether an application is here and goes on.
    fn is_served(&self, application: u64) -> bool {
        self.applications
            .get(&application)
            .is_some_and(|application| !application.has_failed)
    }
}

/// What tells a consumer on another host something beside any rows.
pub(super) fn notice(now: Instant, origin: Origin, schema: &SchemaRef, note: Note) -> Batch {
    Batch {
        header: Header {
            origin,
            interval: Interval::empty(0),
            arrival: now,
            progress: EventTime::MIN,
            token: Token::Unmetered,
            missing: 0,
            note: Some(note),
        },
        rows: Rows::empty(SchemaRef::clone(schema)),
    }
}
