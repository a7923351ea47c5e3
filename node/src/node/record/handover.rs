//! Other graphs for an application that runs: a chain of handovers behind what its owner signed.
//!
//! Each handover names who joins, who leaves and the new body, and is signed by the owner or by a host of the graph before
//! it. Its signature covers all before it, so that no link can be left out or put elsewhere; who has the listing needs
//! nothing else to check it. A chain that loses its end is an older version of the record, and stands below the newer one.
//!
//! The owner signs the last graph anew as soon as it hears of it (`sealed`), and the chain is gone. That makes no new
//! version, so that a change which somebody else makes in that moment still follows. Only where the owner stays away the
//! chain grows, up to [`HANDOVERS_MAX`].

use std::collections::BTreeSet;

use model::name::Digest;
use model::{ComponentGraph, NodeId, wire};
use overlay::Identity;
use overlay::identity::is_signed_by;

use super::{
    Body, HOSTS_MAX, Head, Listing, REASON_BYTES_MAX, Record, RecordError, head_digest, plan_digest,
};
use crate::node::status::parts;
use crate::node::view::hex;

/// How often a graph may change while its owner hears of none of it.
///
/// Unit: changes. Range: some dozens: a listing with one host that joins and one that leaves in each takes 7 KiB, and each is a
/// signature to check. Source: guess; an owner that is away so long has its application composed anew.
pub(in crate::node) const HANDOVERS_MAX: usize = 32;

/// The most hosts that a listing names beside those of its head.
///
/// Unit: hosts. Relation: a listing fits an entry of the index. Source: guess; 16 for each handover.
pub(super) const MOVES_MAX: usize = 512;

/// The most that a listing takes beside hosts and reasons: two names, and some numbers. Unit: bytes.
const REST_BYTES: usize = 1024;

/// What a handover takes beside hosts: a hash, a signer, a signature, and numbers. Unit: bytes.
const HANDOVER_BYTES: usize = 32 + 32 + 64 + 16;

const _: () = assert!(
    (HOSTS_MAX + MOVES_MAX) * 32 + HANDOVERS_MAX * HANDOVER_BYTES + REASON_BYTES_MAX + REST_BYTES
        <= model::entry::PAYLOAD_BYTES_MAX
);

/// Another graph for an application that runs.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(in crate::node) struct Handover {
    /// One more than the version before.
    pub(super) version: u64,
    /// The hosts that were not in the graph before.
    pub(super) joined: BTreeSet<NodeId>,
    /// Those that are not in it any more.
    pub(super) left: BTreeSet<NodeId>,
    /// The hash of the new body.
    pub(super) body: Digest,
    /// Who says so: the owner, or a host of the graph before.
    pub(super) signer: NodeId,
    /// Its signature of all before, and the above.
    pub(super) signature: [u8; 64],
}

impl Handover {
    /// What is signed of it. `before` is what was signed last: of the head, or of the handover before.
    fn digest(&self, before: &Digest) -> Digest {
        let graph = (&self.joined, &self.left, self.body);
        let says = wire::encode(&(self.version, graph, self.signer));
        Digest::of("synergy 2026 record handover", &[&before.0, &says])
    }

    pub(super) fn sign(&mut self, before: &Digest, signer: &Identity) {
        self.signature = signer.sign(&self.digest(before).0);
    }

    /// Puts the hosts after it in place of those before it; says whether it follows.
    fn apply(&self, hosts: &mut BTreeSet<NodeId>) -> bool {
        let follows = self.left.is_subset(hosts) && self.joined.is_disjoint(hosts);
        hosts.retain(|host| !self.left.contains(host));
        hosts.extend(&self.joined);
        follows && !hosts.is_empty() && hosts.len() <= HOSTS_MAX
    }
}

impl Listing {
    /// The hosts of the newest graph.
    pub(in crate::node) fn hosts(&self) -> BTreeSet<NodeId> {
        let mut hosts = self.head.hosts.clone();
        for handover in &self.handovers {
            handover.apply(&mut hosts);
        }
        hosts
    }

    /// Whether a node is a host of the newest graph.
    pub(in crate::node) fn is_host(&self, node: NodeId) -> bool {
        for handover in self.handovers.iter().rev() {
            if handover.joined.contains(&node) {
                return true;
            }
            if handover.left.contains(&node) {
                return false;
            }
        }
        self.head.hosts.contains(&node)
    }

    /// The hash of the body with the newest graph.
    pub(in crate::node) fn body(&self) -> Digest {
        let last = self.handovers.last();
        last.map_or(self.head.body, |handover| handover.body)
    }

    /// Who signed any of it last: each of them has had the newest graph.
    pub(in crate::node) fn signers(&self) -> BTreeSet<NodeId> {
        let change = self.change.as_ref().map(|change| change.signer);
        let owner = self.handovers.is_empty();
        let owner = owner.then_some(self.head.application.owner);
        let signers = change.into_iter().chain(self.graph_version().1);
        signers.chain(owner).collect()
    }

    /// Whether this says of a later graph of the same composition.
    pub(in crate::node) fn has_newer_graph_than(&self, other: &Self) -> bool {
        self.head.composition == other.head.composition
            && self.graph_version() > other.graph_version()
    }

    /// The version of the newest graph, and who made it.
    pub(in crate::node) fn graph_version(&self) -> (u64, Option<NodeId>) {
        match self.handovers.last() {
            Some(handover) => (handover.version, Some(handover.signer)),
            None => (self.head.version, self.head.signer),
        }
    }

    /// How many hosts are named beside those of the head.
    pub(super) fn moves(&self) -> usize {
        let handovers = self.handovers.iter();
        let moves = handovers.map(|handover| handover.joined.len() + handover.left.len());
        self.head.former.len() + moves.sum::<usize>()
    }

    /// What was signed of the newest graph.
    pub(super) fn graph_digest(&self) -> Digest {
        let head = head_digest(&self.head);
        let handovers = self.handovers.iter();
        handovers.fold(head, |before, handover| handover.digest(&before))
    }

    /// The hosts of the newest graph and what was signed of it, where each handover follows the one before.
    ///
    /// # Errors
    /// What is forged about them.
    pub(super) fn check_handovers(
        &self,
        head: Digest,
    ) -> Result<(BTreeSet<NodeId>, Digest), RecordError> {
        let owner = self.head.application.owner;
        let (mut hosts, mut digest) = (self.head.hosts.clone(), head);
        let mut version = self.head.version;
        for handover in &self.handovers {
            if version.checked_add(1) != Some(handover.version) {
                return Err(RecordError::Order);
            }
            version = handover.version;
            if handover.signer != owner && !hosts.contains(&handover.signer) {
                return Err(RecordError::Stranger);
            }
            digest = handover.digest(&digest);
            let is_signed = is_signed_by(handover.signer, &digest.0, &handover.signature);
            if !is_signed || !handover.apply(&mut hosts) {
                return Err(RecordError::Handover);
            }
        }
        Ok((hosts, digest))
    }

    /// This listing of an application that runs, its newest graph signed by the owner.
    pub(in crate::node) fn sealed(&self, owner: &Identity) -> Self {
        assert!(
            self.is_running(),
            "a change is signed of the graph as it was handed over"
        );
        let (version, signer) = self.graph_version();
        let hosts = self.hosts();
        let left = self.handovers.iter().flat_map(|it| &it.left);
        let former = left.filter(|host| !hosts.contains(host));
        let head = Head {
            former: former.copied().collect(),
            hosts,
            body: self.body(),
            version,
            signer,
            ..self.head.clone()
        };
        Self::new(head, owner)
    }
}

impl Record {
    /// This record of an application that runs, with another graph of the same plan, signed by `signer`: the owner, or a host
    /// of the graph as it was. `name` says what people call a host that the record does not name yet.
    ///
    /// # Errors
    /// When the application has ended, its graph is not at hand, `graph` is of another plan, `signer` is none of its hosts, or the
    /// graph has changed too often since the owner signed it. Nothing has changed then.
    pub(in crate::node) fn rebound(
        &self,
        graph: ComponentGraph,
        signer: &Identity,
        name: impl Fn(NodeId) -> String,
    ) -> Result<Self, RecordError> {
        let before = &self.listing;
        if !before.is_running() {
            return Err(RecordError::Ended);
        }
        if !before.may_change(signer.node()) {
            return Err(RecordError::Stranger);
        }
        let body = self.body.as_ref().ok_or(RecordError::Unknown)?;
        if plan_digest(&graph) != before.head.plan {
            return Err(RecordError::Plan);
        }
        let (old, new) = (before.hosts(), graph.hosts());
        let body = body.rebound(graph, name);
        let mut handover = Handover {
            version: before.graph_version().0.saturating_add(1),
            joined: new.difference(&old).copied().collect(),
            left: old.difference(&new).copied().collect(),
            body: body.digest(),
            signer: signer.node(),
            signature: [0; 64],
        };
        handover.sign(&before.graph_digest(), signer);
        let mut listing = before.clone();
        listing.handovers.push(handover);
        if signer.node() == before.head.application.owner {
            listing = listing.sealed(signer);
        }
        if listing.handovers.len() > HANDOVERS_MAX || listing.moves() > MOVES_MAX {
            return Err(RecordError::Long);
        }
        Ok(Self {
            listing,
            body: Some(Box::new(body)),
        })
    }
}

impl Body {
    /// This body with another graph: what it says in words of where parts run follows.
    fn rebound(&self, graph: ComponentGraph, name: impl Fn(NodeId) -> String) -> Self {
        let mut body = self.clone();
        let placed = body.composition.operators.iter_mut();
        for (placed, (part, _, host, shared)) in placed.zip(parts(&graph)) {
            placed.shared = shared;
            let node = hex(host);
            if placed.node == node || placed.name != part {
                continue;
            }
            let host = name(host);
            let reason = format!("moved from {} to {host}", placed.host);
            let mut reasons = body.reasons.iter_mut();
            if let Some((_, why)) = reasons.find(|(name, _)| name == part) {
                *why = reason;
            }
            placed.host = host;
            placed.node = node;
        }
        body.graph = graph;
        body
    }
}
