//! What a node knows of itself.

use std::collections::BTreeMap;

use composition::Ignored;
use model::{ApplicationId, ComponentGraph, Instant, Resources, convert};

use super::status::milliseconds;
use super::view::hex;
use super::{Answer, CommandId, Effect, Node, NodeInfo};

impl Node {
    pub(super) fn on_info(&mut self, now: Instant, command: CommandId, out: &mut Vec<Effect>) {
        let info = Box::new(self.info(now));
        self.answer(command, Ok(Answer::Info(info)), out);
    }

    /// What this host has promised to applications: what probes have reserved until their leases end, and what
    /// confirmed graphs take.
    pub fn promised(&self) -> (Resources, Resources) {
        (self.composer.reserved(), self.composer.allocated())
    }

    /// The graph of an application that runs, as the record has it that this node keeps; nothing where it keeps none, or lacks the graph.
    pub fn recorded_graph(&self, id: &ApplicationId) -> Option<&ComponentGraph> {
        let record = self.records.find(id)?;
        let body = record.body.as_ref()?;
        record.listing.is_running().then_some(&body.graph)
    }

    /// What this node knows of itself.
    pub fn info(&self, now: Instant) -> NodeInfo {
        let here = self.id();
        let host = &self.view.hosts.host;
        let taken = self.composer.taken();
        let parts = self.parts.values();
        let components = parts.map(|part| part.component_count(here)).sum();
        let own = self.counts.iter();
        let mut counts: BTreeMap<String, u64> = own
            .map(|(reason, count)| (reason.to_owned(), count))
            .collect();
        counts.extend(composition_counts(self.composer.counts()));
        NodeInfo {
            name: host.name.clone(),
            node: hex(here),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            network: self.config.network.clone(),
            addresses: host.addresses.clone(),
            uptime_s: now.since(Instant::ZERO).as_secs_f64(),
            hosts_known: convert::size(self.view.hosts.hosts.len()),
            delays_known: convert::size(self.view.hosts.delays_known()),
            delays_known_ms: self.view.delays_known_after().map(milliseconds),
            components: convert::size(components),
            applications: convert::size(self.parts.len()),
            cores: host.capacity.cpu_cores,
            cores_taken: taken.cpu_cores,
            memory_bytes: host.capacity.memory_bytes,
            memory_taken_bytes: taken.memory_bytes,
            counts,
        }
    }
}

/// What the composer counted, by reasons of our own.
fn composition_counts(counts: &composition::Counts) -> impl Iterator<Item = (String, u64)> {
    let refused = counts.refused.iter();
    let refused =
        refused.map(|(check, count)| (format!("probes_refused_{}", check.word()), *count));
    let ignored = counts.ignored.iter();
    let ignored = ignored.map(|(reason, count)| {
        let reason = match reason {
            Ignored::Repeated => "repeated",
            Ignored::Late => "late",
            Ignored::Misdirected => "misdirected",
            Ignored::Unfit => "unfit",
            Ignored::Unknown => "unknown",
            Ignored::Foreign => "foreign",
            Ignored::Full => "full",
        };
        (format!("composition_ignored_{reason}"), *count)
    });
    let others = [
        ("probes", counts.probes),
        ("probes_pruned", counts.pruned),
        ("reservations_lapsed", counts.lapsed),
    ];
    let others = others.map(|(reason, count)| (reason.to_owned(), count));
    refused
        .chain(ignored)
        .chain(others.into_iter().filter(|(_, count)| *count > 0))
}
