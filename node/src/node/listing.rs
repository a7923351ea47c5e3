//! Complete lists: of applications, of published streams, of hosts.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    ApplicationId, CompositionId, Entry, HostSummary, Index, Instant, NodeId, Outcome, wire,
};

use super::record::Listing;
use super::records::merge;
use super::status::milliseconds;
use super::task::overlay_failure;
use super::view::hex;
use super::{Answer, ApplicationRow, CommandId, Effect, Node, NodeRow};

impl Node {
    /// An index was read: what it says and what this node knows itself is one list.
    pub(super) fn on_listed(
        &mut self,
        now: Instant,
        command: CommandId,
        index: Index,
        outcome: Outcome,
        out: &mut Vec<Effect>,
    ) {
        let answered = match outcome {
            Outcome::Entries(entries) => Ok(match index {
                Index::Applications => self.application_rows(now, &entries),
                Index::Streams => Answer::Streams(self.stream_rows(&entries)),
                Index::Hosts => self.node_rows(&entries),
            }),
            Outcome::Failed(error) => Err(overlay_failure("The list", Some(&error))),
            Outcome::Nodes(_) | Outcome::Done => Err(overlay_failure("The list", None)),
        };
        self.answer(command, answered, out);
    }

    /// All applications that there are: those with genuine entries in the index, and those that this node keeps;
    /// of each the record that stands. They are remembered. With them the compositions of which a host says itself that
    /// something is gone from it.
    pub(super) fn read_listings(
        &mut self,
        now: Instant,
        entries: &[Entry],
    ) -> (BTreeMap<ApplicationId, Listing>, BTreeSet<CompositionId>) {
        let mut listings = BTreeMap::new();
        let mut not_whole = Vec::new();
        for entry in entries {
            let Some(listed) = self.read_listed(entry) else {
                continue;
            };
            let head = &listed.listing.head;
            if !listed.is_whole {
                not_whole.push((head.application.clone(), head.composition, entry.owner));
            }
            self.records.remember(now, &listed.listing);
            merge(&mut listings, &listed.listing);
        }
        // Entries of a host that died say what was; this node may know better.
        self.records.improve(&mut listings);
        // Nor has a host a say that the application has left.
        let is_host = |(id, composition, host): &(ApplicationId, CompositionId, NodeId)| {
            let listing = listings.get(id);
            let listing = listing.filter(|listing| listing.head.composition == *composition);
            listing.is_some_and(|listing| listing.is_host(*host))
        };
        let broken = not_whole.iter().filter(|it| is_host(it));
        let broken = broken.map(|(_, composition, _)| *composition).collect();
        (listings, broken)
    }

    fn application_rows(&mut self, now: Instant, entries: &[Entry]) -> Answer {
        let (listings, broken) = self.read_listings(now, entries);
        let rows = listings.values().map(|listing| {
            let is_broken = broken.contains(&listing.head.composition);
            self.application_row(listing, is_broken)
        });
        Answer::Applications(rows.collect())
    }

    /// What can be said of an application without asking anybody. It never runs for certain: that its record says so counts
    /// as long as this node hears of all its hosts, and none of them has said otherwise.
    fn known_status(&self, listing: &Listing, is_broken: bool) -> &'static str {
        if !listing.is_running() {
            return listing.state().word();
        }
        let hosts = listing.hosts();
        let mut hosts = hosts.iter();
        let is_gone = |host: &NodeId| self.view.is_absent(*host);
        if is_broken || !self.is_whole(listing) || hosts.clone().any(is_gone) {
            return "degraded";
        }
        let is_heard = |host: &NodeId| *host == self.id() || self.view.hosts.find(*host).is_some();
        if hosts.all(is_heard) {
            listing.state().word()
        } else {
            "unheard"
        }
    }

    fn application_row(&self, listing: &Listing, is_broken: bool) -> ApplicationRow {
        let head = &listing.head;
        let owner = head.application.owner;
        ApplicationRow {
            name: head.application.name.clone(),
            owner: hex(owner),
            owner_name: self.view.known_name(owner).to_owned(),
            status: self.known_status(listing, is_broken).to_owned(),
            target_delay_ms: milliseconds(head.target),
            operators: u64::from(head.operator_count),
            hosts: model::convert::size(listing.hosts().len()),
        }
    }

    fn node_rows(&mut self, entries: &[Entry]) -> Answer {
        let mut rows: BTreeMap<NodeId, NodeRow> = BTreeMap::new();
        for entry in entries {
            let Some(payload) = entry.payload.as_deref() else {
                continue;
            };
            match wire::decode::<HostSummary>(payload) {
                Ok(mut host) if host.node == entry.owner => {
                    // The entry is newer than what the host said when it registered.
                    host.addresses.clone_from(&entry.addresses);
                    host.load = entry.load;
                    rows.insert(host.node, self.node_row(&host, "unheard"));
                }
                Ok(_) => self.counts.add("forged_entries"),
                Err(_) => self.counts.add("garbage_entries"),
            }
        }
        for host in self.view.hosts.hosts.values() {
            rows.insert(host.node, self.node_row(host, "up"));
        }
        let mut own = self.node_row(&self.view.hosts.host, "self");
        own.round_trip_ms = None;
        rows.insert(self.id(), own);
        Answer::Nodes(rows.into_values().collect())
    }

    fn node_row(&self, host: &HostSummary, status: &str) -> NodeRow {
        let view = &self.view.hosts;
        let measured = view.round_trips.get(&host.node).copied();
        let estimated = || view.delay(view.node(), host.node).map(|delay| 2 * delay);
        NodeRow {
            name: host.name.clone(),
            node: hex(host.node),
            addresses: host.addresses.clone(),
            load: host.load.middle(),
            cores: host.capacity.cpu_cores,
            memory_bytes: host.capacity.memory_bytes,
            round_trip_ms: measured.or_else(estimated).map(milliseconds),
            status: status.to_owned(),
        }
    }
}
