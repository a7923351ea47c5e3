//! What runs on this host for an application.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{ApplicationId, ComponentGraph, CompositionId, Instant, NodeId, Rng};

use super::message::Message;
use super::record::{Listing, Standing};
use super::{Effect, Node};

/// How often a host tells the others of an application which record of it it holds.
///
/// Unit: time. Range: some seconds to a minute; it bounds how long a host that missed a change goes on.
/// Source: guess; 8 hosts with 10 common applications send 19 messages a second of some 150 bytes.
pub(super) const PRESENT_EVERY: Duration = Duration::from_secs(30);

/// The same as long as the host has no record of what it runs.
pub(super) const PRESENT_FIRST: Duration = Duration::from_secs(5);

/// How long components run without a record. Whoever composed them has vanished without telling anybody of it,
/// so nobody could list or stop them: they go.
///
/// Unit: time. Range: well above what a composition takes. Source: guess; commits take up to 5 s.
const RECORD_WAIT: Duration = Duration::from_secs(30);

/// What runs on this host for one composition.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) application: ApplicationId,
    pub(super) graph: ComponentGraph,
    /// Sources that cannot be read on, and why.
    pub(super) degraded: BTreeMap<String, String>,
    /// What components here read and is gone from where it was, and from where: by component and stream.
    pub(super) gone: BTreeMap<(String, String), String>,
    /// The component that failed, and why.
    pub(super) failed: Option<(String, String)>,
    /// What is bound to this host and could not be made here; and when it is tried again.
    pub(super) unmade: BTreeSet<String>,
    pub(super) made_again: Instant,
    /// When it is looked at next whether it has all its backups.
    pub(super) protect_at: Instant,
    /// With how many cores it is held here, as far as it was told.
    pub(super) cores: f64,
    /// Hosts to which edges are broken, and how many.
    pub(super) disconnected: BTreeMap<NodeId, u32>,
    /// Hosts all of whose sinks are finished, this one among them.
    pub(super) finished: BTreeSet<NodeId>,
    /// The application has ended: what is left is there for others who read it.
    pub(super) is_released: bool,
    /// When it goes unless there is a record of it.
    record_deadline: Option<Instant>,
    present_next: Instant,
}

pub(super) fn gone_from(stream: &str, host: &str) -> String {
    format!("{stream}, which it reads, has gone from {host}")
}

impl Part {
    pub(super) fn new(now: Instant, application: ApplicationId, graph: ComponentGraph) -> Self {
        Self {
            application,
            graph,
            degraded: BTreeMap::new(),
            gone: BTreeMap::new(),
            failed: None,
            unmade: BTreeSet::new(),
            made_again: now,
            protect_at: now,
            cores: 0.0,
            disconnected: BTreeMap::new(),
            finished: BTreeSet::new(),
            is_released: false,
            record_deadline: Some(now + RECORD_WAIT),
            present_next: now + PRESENT_FIRST,
        }
    }

    /// What is not as it should be, and why.
    pub(super) fn troubles(&self) -> impl Iterator<Item = (String, String)> {
        let degraded = self.degraded.iter();
        let degraded = degraded.map(|(component, reason)| (component.clone(), reason.clone()));
        let gone = self.gone.iter();
        degraded.chain(
            gone.map(|((component, stream), host)| (component.clone(), gone_from(stream, host))),
        )
    }

    /// Whether nothing here is as it should not be.
    pub(super) fn is_sound(&self) -> bool {
        self.degraded.is_empty() && self.gone.is_empty() && self.failed.is_none()
    }

    /// When it wants something; nothing where the application has ended.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.record_deadline.unwrap_or(self.present_next);
        (!self.is_released).then_some(self.present_next.min(deadline))
    }

    /// Whether its application has not ended.
    pub(super) const fn is_running(&self) -> bool {
        !self.is_released
    }

    /// The hosts that have sinks.
    pub(super) fn sink_hosts(&self) -> BTreeSet<NodeId> {
        self.graph.sinks().iter().map(|sink| sink.host).collect()
    }

    /// How many components of its own a host has.
    pub(super) fn component_count(&self, host: NodeId) -> usize {
        let graph = &self.graph;
        let bindings = graph.sources().iter().chain(graph.operators());
        bindings
            .chain(graph.sinks())
            .filter(|binding| binding.host == host && !binding.shared)
            .count()
    }

    fn present_later(&mut self, now: Instant, rng: &mut Rng) {
        let every = if self.record_deadline.is_some() {
            PRESENT_FIRST
        } else {
            PRESENT_EVERY
        };
        self.present_next = now + every.mul_f64(0.75 + 0.5 * rng.fraction());
    }
}

impl Node {
    pub(super) fn on_deploy(
        &mut self,
        now: Instant,
        id: CompositionId,
        application: ApplicationId,
        graph: ComponentGraph,
        out: &mut Vec<Effect>,
    ) {
        let part = Part::new(now, application.clone(), graph.clone());
        self.parts.insert(id, Box::new(part));
        *self.deploys_due.entry(id).or_default() += 1;
        out.push(Effect::Deploy {
            id,
            application,
            graph: Box::new(graph),
        });
    }

    pub(super) fn on_deploy_failed(
        &mut self,
        now: Instant,
        id: CompositionId,
        reason: String,
        out: &mut Vec<Effect>,
    ) {
        if self.take_deploy_answer(id) {
            self.parts.remove(&id);
        }
        self.compose(now, composition::Input::DeployFailed { id, reason }, out);
    }

    pub(super) fn on_deployed(&mut self, now: Instant, id: CompositionId, out: &mut Vec<Effect>) {
        self.take_deploy_answer(id);
        self.compose(now, composition::Input::Deployed(id), out);
    }

    /// Notes an answer to a deployment, and says whether it is about what is there now: a composition may be
    /// deployed, undone and deployed again before the first answer comes.
    fn take_deploy_answer(&mut self, id: CompositionId) -> bool {
        let Some(due) = self.deploys_due.get_mut(&id) else {
            return false;
        };
        *due = due.saturating_sub(1);
        if *due > 0 {
            return false;
        }
        self.deploys_due.remove(&id);
        true
    }

    /// The composer undoes an attempt, which it has forgotten: what was made for it goes, and something else may
    /// come in its place.
    pub(super) fn on_undeploy(&mut self, now: Instant, id: CompositionId, out: &mut Vec<Effect>) {
        // Also where no part is here yet: one that was to come from elsewhere may be half made.
        out.push(Effect::Retire(id));
        if let Some(part) = self.parts.remove(&id) {
            self.list_application(&part.application, out);
            self.look_for_part(now, &part.application, out);
        }
    }

    /// Drops what runs here for a composition: what it took is free.
    pub(super) fn retire(&mut self, now: Instant, id: CompositionId, out: &mut Vec<Effect>) {
        if self.parts.remove(&id).is_some() {
            out.push(Effect::Retire(id));
            self.compose(now, composition::Input::Retired(id), out);
        }
    }

    /// Ends what runs here for an application that has ended: what others read stays until they stop. Where it has
    /// failed, or is not there yet, all of it goes.
    pub(super) fn end_part(
        &mut self,
        now: Instant,
        id: CompositionId,
        has_failed: bool,
        out: &mut Vec<Effect>,
    ) {
        let is_due = self.deploys_due.contains_key(&id);
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        if has_failed || part.failed.is_some() || is_due {
            self.retire(now, id, out);
        } else if !std::mem::replace(&mut part.is_released, true) {
            part.record_deadline = None;
            self.compose(now, composition::Input::Ended(id), out);
            out.push(Effect::Release(id));
        }
    }

    /// What runs here was measured.
    pub(super) fn on_measured(
        &mut self,
        now: Instant,
        id: CompositionId,
        measured: super::Measured,
        out: &mut Vec<Effect>,
    ) {
        let super::Measured {
            operators,
            paces,
            kept,
            delay,
        } = measured;
        self.watch(id, &operators, paces);
        let input = composition::Input::Measured {
            id,
            usage: operators,
            kept,
            delay,
        };
        self.compose(now, input, out);
    }

    /// A record of what runs here has come: nobody needs to wait for one any more.
    pub(super) fn on_record_of_part(
        &mut self,
        now: Instant,
        id: CompositionId,
        out: &mut Vec<Effect>,
    ) {
        if let Some(part) = self.parts.get_mut(&id) {
            part.record_deadline = None;
            part.present_later(now, &mut self.rng);
            self.conclude(now, id, out);
        }
    }

    /// Tells the other hosts of an application, or one of them, what this one has of it.
    pub(super) fn present(&self, id: CompositionId, only: Option<NodeId>, out: &mut Vec<Effect>) {
        let here = self.id();
        let Some(part) = self.parts.get(&id).filter(|part| !part.is_released) else {
            return;
        };
        let listing = self.records.listing(&part.application);
        let standing = self.standing_said(&part.application);
        let message = Message::Present {
            application: part.application.clone(),
            standing: standing.filter(|standing| standing.composition >= id.number),
            finished: part.finished.contains(&here).then_some(id),
            gone: None,
        };
        let mut hosts = part.graph.hosts();
        hosts.insert(part.application.owner);
        let listing = listing.filter(|listing| listing.head.composition == id);
        hosts.extend(listing.map(Listing::hosts).unwrap_or_default());
        let is_meant = |host: &NodeId| *host != here && only.is_none_or(|only| only == *host);
        for host in hosts.into_iter().filter(is_meant) {
            self.send(host, &message, out);
        }
    }

    pub(super) fn on_present(
        &mut self,
        now: Instant,
        from: NodeId,
        application: &ApplicationId,
        standing: Option<Standing>,
        (finished, gone): (Option<CompositionId>, Option<CompositionId>),
        out: &mut Vec<Effect>,
    ) {
        if let Some(id) = gone {
            self.on_missing_elsewhere(from, application, id);
        }
        if let Some(id) = finished
            && let Some(part) = self.parts.get_mut(&id)
            && part.sink_hosts().contains(&from)
        {
            part.finished.insert(from);
            self.conclude(now, id, out);
        }
        let record = self.records.find(application);
        let ours = record.map(|record| record.listing.standing());
        // Who holds an older version may be a host of a graph before.
        let is_former = standing.zip(ours).is_some_and(|(theirs, ours)| {
            theirs.composition == ours.composition && !theirs.covers(ours)
        });
        if record.is_some_and(|record| !record.listing.may_change(from) && !is_former) {
            self.counts.add("present_by_stranger");
        } else if let Some(record) = record
            && standing < ours
        {
            let mut record = record.clone();
            if standing
                .zip(ours)
                .is_some_and(|(theirs, ours)| theirs.covers(ours))
            {
                // Only the owner's signature is new.
                record.body = None;
            }
            let message = Message::Record(Box::new(record));
            self.send(from, &message, out);
            if standing.is_none() {
                // Who knows nothing of it may have been started anew, and may have ended it before: the overlay can know that still.
                self.look_up_record(application, out);
            }
        } else if standing > ours {
            // Also who holds nothing asks for the record: it may have lost it with its memory, or not have it yet.
            let message = Message::Present {
                application: application.clone(),
                standing: ours,
                finished: None,
                gone: None,
            };
            self.send(from, &message, out);
        }
    }

    /// Tells of what runs here what is due to be told, and drops what nobody has a record of.
    pub(super) fn tend_parts(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let due: Vec<CompositionId> = self
            .parts
            .iter()
            .filter(|(_, part)| part.poll_timeout().is_some_and(|at| at <= now))
            .map(|(id, _)| *id)
            .collect();
        for id in due {
            // The composer may have let go of it while one before it went.
            let Some(part) = self.parts.get_mut(&id) else {
                continue;
            };
            if part.record_deadline.is_some_and(|at| at <= now) {
                part.record_deadline = None;
                self.counts.add("parts_without_record");
                self.retire(now, id, out);
                continue;
            }
            if part.present_next <= now {
                part.present_later(now, &mut self.rng);
                let application = part.application.clone();
                self.present(id, None, out);
                self.look_up_if_unheard(&application, out);
            }
        }
    }

    /// A host can be reached again: what both have of an application is compared, and what it missed is said.
    pub(super) fn on_return(&mut self, now: Instant, node: NodeId, out: &mut Vec<Effect>) {
        let ids: Vec<CompositionId> = self.parts.keys().copied().collect();
        for id in ids {
            self.present(id, Some(node), out);
        }
        self.hurry_spreads(now, node);
    }
}
