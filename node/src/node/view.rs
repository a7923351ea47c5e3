//! What a node knows of the other hosts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::{HostSummary, Index, Instant, Key, NodeId, NodeView, Query, Resources, wire};

use super::{Effect, Node};

/// The most hosts that are known at once. Unit: hosts. Source: guess; the overlay keeps 128.
const HOSTS_MAX: usize = 1024;

/// The hosts that are known, and those that were and cannot be reached.
#[derive(Debug)]
pub(super) struct View {
    /// What machines are handed.
    pub(super) hosts: NodeView,
    /// Hosts that could not be reached since they were last seen.
    absent: BTreeMap<NodeId, Absent>,
    /// When the first other host was seen.
    joined: Option<Instant>,
    /// To how many hosts the delay is known, at most up to now, and since when.
    delays_known: (usize, Instant),
}

/// A host that cannot be reached.
#[derive(Debug)]
struct Absent {
    /// What it was called; empty where that was never known.
    name: String,
    since: Instant,
}

impl View {
    pub(super) const fn new(host: HostSummary) -> Self {
        Self {
            hosts: NodeView::alone(host),
            absent: BTreeMap::new(),
            joined: None,
            delays_known: (0, Instant::ZERO),
        }
    }

    /// Notes to how many hosts the delay is known, as what was just seen may have told it.
    fn note_delays(&mut self, now: Instant) {
        let known = self.hosts.delays_known();
        if known > self.delays_known.0 {
            self.delays_known = (known, now);
        }
    }

    /// How long it took, since the first other host was seen, until the delay was known to as many hosts as ever; nothing
    /// where it is known to none.
    pub(super) fn delays_known_after(&self) -> Option<Duration> {
        let (known, since) = self.delays_known;
        let joined = self.joined.filter(|_| known > 0)?;
        Some(since.since(joined))
    }

    /// A host is not heard of any more.
    pub(super) fn lose(&mut self, now: Instant, node: NodeId) {
        self.miss(now, node);
        self.hosts.hosts.remove(&node);
        self.hosts.round_trips.remove(&node);
    }

    /// A host could not be reached.
    pub(super) fn miss(&mut self, now: Instant, node: NodeId) {
        if self.absent.len() < HOSTS_MAX && !self.absent.contains_key(&node) {
            // Who is gone keeps its name: people know hosts by nothing else.
            let name = self.known_name(node).to_owned();
            self.absent.insert(node, Absent { name, since: now });
        }
    }

    /// Whether a host could not be reached since it was last seen.
    pub(super) fn is_absent(&self, node: NodeId) -> bool {
        self.absent.contains_key(&node)
    }

    /// Since when a host could not be reached; nothing where it can.
    pub(super) fn absent_since(&self, node: NodeId) -> Option<Instant> {
        self.absent.get(&node).map(|absent| absent.since)
    }

    /// The name of a host that is there, or was; empty where it is not known.
    pub(super) fn known_name(&self, node: NodeId) -> &str {
        let host = self.hosts.find(node).map(|host| host.name.as_str());
        let absent = || self.absent.get(&node).map(|it| it.name.as_str());
        host.or_else(absent).unwrap_or_default()
    }

    /// What people call a host: its name, or its id where that is not known.
    pub(super) fn name(&self, node: NodeId) -> String {
        match self.known_name(node) {
            "" => node.to_string(),
            name => name.to_owned(),
        }
    }

    /// What people call a host, with the beginning of its id.
    pub(super) fn full_name(&self, node: NodeId) -> String {
        match self.known_name(node) {
            "" => node.to_string(),
            name => format!("{name} ({node})"),
        }
    }
}

/// An id in full, for people and programs.
pub(super) fn hex(node: NodeId) -> String {
    node.0.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Node {
    pub(super) fn on_seen(
        &mut self,
        now: Instant,
        summary: Arc<HostSummary>,
        round_trip: Option<Duration>,
        out: &mut Vec<Effect>,
    ) {
        let node = summary.node;
        if node == self.id() {
            // The overlay knows best where this node is in the network and where it is reached.
            self.view.hosts.host.coordinate = summary.coordinate;
            self.view
                .hosts
                .host
                .addresses
                .clone_from(&summary.addresses);
            self.view.note_delays(now);
            return;
        }
        let hosts = &mut self.view.hosts.hosts;
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&node) {
            self.counts.add("hosts_over_limit");
            return;
        }
        hosts.insert(node, summary);
        self.begin_former(now);
        if let Some(round_trip) = round_trip {
            self.view.hosts.round_trips.insert(node, round_trip);
        }
        self.view.joined.get_or_insert(now);
        self.view.note_delays(now);
        if self.view.absent.remove(&node).is_some() {
            self.on_return(now, node, out);
        }
    }

    pub(super) fn on_load(&mut self, now: Instant, used: Resources, out: &mut Vec<Effect>) {
        if !used.is_valid() {
            self.counts.add("impossible_load");
            return;
        }
        let allocated = self.composer.allocated().cpu_cores;
        self.view.hosts.busy_cores = (used.cpu_cores - allocated).max(0.0);
        let host = &mut self.view.hosts.host;
        let cores = host.capacity.cpu_cores;
        let processors = if cores > 0.0 {
            used.cpu_cores / cores
        } else {
            1.0
        };
        let load = processors.max(used.uplink_fraction(&host.capacity));
        let interval = host.load.moved_to(load);
        if interval != host.load {
            host.load = interval;
            host.version += 1;
            out.push(Effect::Describe(host.clone()));
        }
        self.end_second(now, used, out);
        self.tend_backups(now, out);
    }

    /// Puts this host into the index of hosts, so that lists are complete, and where those find it that are told of it and do not
    /// know it.
    pub(super) fn list_host(&mut self, out: &mut Vec<Effect>) {
        let shard = self.id().0[0] % model::entry::INDEX_SHARDS;
        let mut keys = vec![Key::index(Index::Hosts, shard), Key::host(self.id())];
        // Kinds that not every host offers are found by their names.
        let kinds = self.view.hosts.host.operators.iter().flatten();
        keys.extend(kinds.map(|kind| Key::operator(kind)));
        for key in keys {
            let ask = Query::Register {
                key,
                slot: 0,
                payload: wire::encode(&self.view.hosts.host),
            };
            self.tell_overlay(ask, out);
        }
    }
}
