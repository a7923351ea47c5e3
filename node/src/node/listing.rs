//! Complete lists: of applications, of published streams, of hosts.

use std::collections::BTreeMap;

use model::{ApplicationId, Entry, HostSummary, Index, Instant, NodeId, Outcome, wire};

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
    /// of each the record that stands. They are remembered.
    pub(super) fn read_listings(
        &mut self,
        now: Instant,
        entries: &[Entry],
    ) -> BTreeMap<ApplicationId, Listing> {
        let mut listings = BTreeMap::new();
        for entry in entries {
            if let Some(record) = self.read_record(entry) {
                self.records.remember(now, &record.listing);
                merge(&mut listings, &record.listing);
            }
        }
        // Entries of a host that died say what was; this node may know better.
        self.records.improve(&mut listings);
        listings
    }

    fn application_rows(&mut self, now: Instant, entries: &[Entry]) -> Answer {
        let listings = self.read_listings(now, entries);
        let rows = listings.values();
        Answer::Applications(rows.map(|listing| self.application_row(listing)).collect())
    }

    fn application_row(&self, listing: &Listing) -> ApplicationRow {
        let head = &listing.head;
        let owner = head.application.owner;
        let host = self.view.hosts.find(owner);
        ApplicationRow {
            name: head.application.name.clone(),
            owner: hex(owner),
            owner_name: host.map_or_else(String::new, |host| host.name.clone()),
            status: listing.state().word().to_owned(),
            target_delay_ms: milliseconds(head.target),
            operators: u64::from(head.operator_count),
            hosts: model::convert::size(head.hosts.len()),
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
