//! Records of applications: what every host of an application keeps of it, and can prove.
//!
//! The owner signs a [`Head`]: whose application it is, which composition, on which hosts, and the hash of
//! the rest. Where its graph changes while it runs, a [`Handover`] says so, signed by the owner or by a host of the graph
//! before. What becomes of it later is a [`Change`], signed by the owner or by a host of the last graph.
//! Head, handovers and change are a [`Listing`]: anybody can check one by itself, whoever handed it over, so
//! that lists need no trust. The [`Body`] is what describing takes: the graph and the reasons.

mod handover;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::time::Duration;

use model::name::Digest;
use model::plan::OPERATORS_MAX;
use model::{ApplicationId, ComponentGraph, CompositionId, NodeId, wire};
use overlay::Identity;
use overlay::identity::is_signed_by;

use super::command::Composition;

use handover::MOVES_MAX;
pub(super) use handover::{HANDOVERS_MAX, Handover};

/// The most hosts that a record names: one for each part of the largest plan.
const HOSTS_MAX: usize = 3 * OPERATORS_MAX;

/// The longest reason of a failure that travels with a record. Unit: bytes. Source: guess; some sentences.
const REASON_BYTES_MAX: usize = 1024;

/// What the owner signs of an application: once for each composition of it, and again for each graph that it has heard of.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode)]
pub(super) struct Head {
    /// Whose application it is, and its name.
    pub(super) application: ApplicationId,
    /// Which composition of it. Its node is the owner.
    pub(super) composition: CompositionId,
    /// The latency target.
    pub(super) target: Duration,
    /// How many operators it has.
    pub(super) operator_count: u16,
    /// The hash of its plan, which stays when the graph changes.
    pub(super) plan: Digest,
    /// The hosts of its graph.
    pub(super) hosts: BTreeSet<NodeId>,
    /// The hash of its body.
    pub(super) body: Digest,
    /// Of which version this graph is: 0 as long as it is the one that was composed.
    pub(super) version: u64,
    /// Who made that version, where it is not the one that was composed.
    pub(super) signer: Option<NodeId>,
    /// Hosts of graphs before, which are to hear that they are out.
    pub(super) former: BTreeSet<NodeId>,
}

impl<Context> bincode::Decode<Context> for Head {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let head = Self {
            application: ApplicationId::decode(decoder)?,
            composition: CompositionId::decode(decoder)?,
            target: Duration::decode(decoder)?,
            operator_count: u16::decode(decoder)?,
            plan: Digest::decode(decoder)?,
            hosts: BTreeSet::decode(decoder)?,
            body: Digest::decode(decoder)?,
            version: u64::decode(decoder)?,
            signer: Option::decode(decoder)?,
            former: BTreeSet::decode(decoder)?,
        };
        let is_first = head.version == 0;
        let is_sound = head.composition.node == head.application.owner
            && model::name::is_valid(&head.application.name)
            && !head.hosts.is_empty()
            && head.hosts.len() <= HOSTS_MAX
            && is_first == head.signer.is_none()
            && (!is_first || head.former.is_empty());
        if !is_sound {
            return Err(bincode::error::DecodeError::Other("no head of a record"));
        }
        Ok(head)
    }
}
bincode::impl_borrow_decode!(Head);

/// What became of an application after it had been composed.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode)]
pub(super) struct Change {
    /// Grows with each change of a composition, from 1.
    pub(super) version: u64,
    /// What it is since then.
    pub(super) state: State,
    /// Who says so: the owner, or a host of the last graph.
    pub(super) signer: NodeId,
    /// Its signature of head, handovers and the above.
    pub(super) signature: [u8; 64],
}

impl<Context> bincode::Decode<Context> for Change {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let change = Self {
            version: u64::decode(decoder)?,
            state: State::decode(decoder)?,
            signer: NodeId::decode(decoder)?,
            signature: <[u8; 64]>::decode(decoder)?,
        };
        let is_short = match &change.state {
            State::Failed { component, reason } | State::Lost { component, reason } => {
                component.len() <= model::name::NAME_BYTES_MAX && reason.len() <= REASON_BYTES_MAX
            }
            State::Running | State::Finished | State::Stopped => true,
        };
        if change.version == 0 || change.state == State::Running || !is_short {
            return Err(bincode::error::DecodeError::Other("no change of a record"));
        }
        Ok(change)
    }
}
bincode::impl_borrow_decode!(Change);

/// What an application is, as its record says.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) enum State {
    /// It was composed and nobody has said otherwise.
    Running,
    /// All results have left all sinks.
    Finished,
    /// A component failed, and with it the application.
    Failed {
        /// Which component.
        component: String,
        /// Why.
        reason: String,
    },
    /// Somebody stopped it.
    Stopped,
    /// No sink of it is left. Nothing else is wrong with it: what others read of it stays until they stop.
    Lost {
        /// The first of its sinks.
        component: String,
        /// How that is known.
        reason: String,
    },
}

impl State {
    /// The word that people read.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed { .. } | Self::Lost { .. } => "failed",
            Self::Stopped => "stopped",
        }
    }

    /// That no sink is left, the reason cut to what a record carries.
    pub(super) fn lost(component: &str, reason: &str) -> Self {
        Self::Lost {
            component: cut(component, model::name::NAME_BYTES_MAX),
            reason: cut(reason, REASON_BYTES_MAX),
        }
    }

    /// A failure, its reason cut to what a record carries.
    pub(super) fn failed(component: &str, reason: &str) -> Self {
        Self::Failed {
            component: cut(component, model::name::NAME_BYTES_MAX),
            reason: cut(reason, REASON_BYTES_MAX),
        }
    }
}

/// The beginning of a text that has at most so many bytes.
fn cut(text: &str, bytes_max: usize) -> String {
    text[..text.floor_char_boundary(bytes_max)].to_owned()
}

/// Which of two records of an application stands: the greater one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub(super) struct Standing {
    /// The number of the composition.
    pub(super) composition: u64,
    /// Whether somebody stopped it: a graph that was changed at the same moment revives nothing.
    pub(super) is_stopped: bool,
    /// The version of the last change of its graph or state; 0 where there was none.
    pub(super) version: u64,
    /// Who made that change.
    pub(super) signer: Option<NodeId>,
    /// Up to which version the owner itself has signed the graph. Says no more of the application.
    pub(super) sealed: u64,
}

impl Standing {
    /// Whether all that `other` says of an application is known with this one.
    pub(super) fn covers(self, other: Self) -> bool {
        Self { sealed: 0, ..self } >= Self { sealed: 0, ..other }
    }

    /// Of the same composition, and before any other graph than its first.
    pub(super) const fn first(self) -> Self {
        Self {
            is_stopped: false,
            version: 0,
            signer: None,
            sealed: 0,
            ..self
        }
    }
}

/// A record without its body: what lies in the index, and what is kept of an application that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode)]
pub(super) struct Listing {
    /// What the owner signed.
    pub(super) head: Head,
    /// The owner's signature of the head.
    pub(super) signature: [u8; 64],
    /// The graphs since then that the owner has not signed, the newest last.
    pub(super) handovers: Vec<Handover>,
    /// What became of it.
    pub(super) change: Option<Change>,
}

/// Why a record was refused. Nothing was kept of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum RecordError {
    /// The head is not signed by the owner.
    #[error("its owner did not sign it")]
    Head,
    /// The change is not signed by who claims to have made it.
    #[error("who changed it did not sign that")]
    Change,
    /// Who changed it is neither its owner nor one of its hosts.
    #[error("who changed it is none of its hosts")]
    Stranger,
    /// A new graph of it is not signed by who claims to have made it, or does not follow from the one before.
    #[error("who gave it another graph did not sign that")]
    Handover,
    /// A version does not follow the one before.
    #[error("its versions are out of order")]
    Order,
    /// The body is not the one that was signed last.
    #[error("its graph is not the one that was signed")]
    Body,
    /// The graph has other hosts than were signed.
    #[error("its graph has other hosts than were signed")]
    Hosts,
    /// The graph is of another plan.
    #[error("its plan is not the one that its owner signed")]
    Plan,
    /// Its graph is to change, and it has ended.
    #[error("it has ended")]
    Ended,
    /// Its graph is to change, and is not at hand.
    #[error("its graph is not known here")]
    Unknown,
    /// Its graph has changed too often since its owner signed it.
    #[error("its graph was changed {HANDOVERS_MAX} times, and its owner has heard of none")]
    Long,
}

impl Listing {
    /// The listing of an application that has just been composed, signed by its owner.
    pub(super) fn new(head: Head, owner: &Identity) -> Self {
        debug_assert_eq!(head.application.owner, owner.node());
        let signature = owner.sign(&head_digest(&head).0);
        Self {
            head,
            signature,
            handovers: Vec::new(),
            change: None,
        }
    }

    /// This listing after a change, signed by `signer`, which must be allowed to.
    pub(super) fn changed(&self, state: State, signer: &Identity) -> Self {
        assert!(
            self.may_change(signer.node()),
            "only its owner and hosts change a record"
        );
        let version = self.standing().version.saturating_add(1);
        let digest = change_digest(&self.graph_digest(), version, &state, signer.node());
        Self {
            change: Some(Change {
                version,
                state,
                signer: signer.node(),
                signature: signer.sign(&digest.0),
            }),
            ..self.clone()
        }
    }

    /// Whether `node` may say what became of it.
    pub(super) fn may_change(&self, node: NodeId) -> bool {
        node == self.head.application.owner || self.is_host(node)
    }

    /// Who may say what became of it: the owner and the hosts.
    pub(super) fn members(&self) -> BTreeSet<NodeId> {
        let mut members = self.hosts();
        members.insert(self.head.application.owner);
        members
    }

    /// Who keeps the record: the owner, the hosts, and those that are to hear that they are none any more.
    pub(super) fn keepers(&self) -> BTreeSet<NodeId> {
        let mut keepers = self.members();
        keepers.extend(&self.head.former);
        keepers.extend(self.handovers.iter().flat_map(|it| &it.left));
        keepers
    }

    /// Which of two listings stands.
    pub(super) fn standing(&self) -> Standing {
        let (graph_version, graph_signer) = self.graph_version();
        let change = self.change.as_ref();
        Standing {
            composition: self.head.composition.number,
            is_stopped: *self.state() == State::Stopped,
            version: change.map_or(graph_version, |change| change.version),
            signer: change.map_or(graph_signer, |change| Some(change.signer)),
            sealed: self.head.version,
        }
    }

    /// What the application is.
    pub(super) fn state(&self) -> &State {
        self.change
            .as_ref()
            .map_or(&State::Running, |change| &change.state)
    }

    /// Whether it still runs, as far as this listing says.
    pub(super) fn is_running(&self) -> bool {
        self.change.is_none()
    }

    /// Whether everybody who claims to have said this did.
    ///
    /// # Errors
    /// What is forged about it.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        let head = &self.head;
        let owner = head.application.owner;
        let head_digest = head_digest(head);
        if !is_signed_by(owner, &head_digest.0, &self.signature) {
            return Err(RecordError::Head);
        }
        let (hosts, digest) = self.check_handovers(head_digest)?;
        let Some(change) = &self.change else {
            return Ok(());
        };
        if change.version <= self.graph_version().0 {
            return Err(RecordError::Order);
        }
        if change.signer != owner && !hosts.contains(&change.signer) {
            return Err(RecordError::Stranger);
        }
        let digest = change_digest(&digest, change.version, &change.state, change.signer);
        if !is_signed_by(change.signer, &digest.0, &change.signature) {
            return Err(RecordError::Change);
        }
        Ok(())
    }
}

impl<Context> bincode::Decode<Context> for Listing {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let listing = Self {
            head: Head::decode(decoder)?,
            signature: <[u8; 64]>::decode(decoder)?,
            handovers: Vec::decode(decoder)?,
            change: Option::decode(decoder)?,
        };
        if listing.handovers.len() > HANDOVERS_MAX || listing.moves() > MOVES_MAX {
            return Err(bincode::error::DecodeError::Other("no listing"));
        }
        Ok(listing)
    }
}
bincode::impl_borrow_decode!(Listing);

/// What describing an application takes.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(super) struct Body {
    /// The parts and where each of them is.
    pub(super) graph: ComponentGraph,
    /// How it was composed, as it was answered.
    pub(super) composition: Composition,
    /// For each operator: why it is where it is.
    pub(super) reasons: Vec<(String, String)>,
    /// The terms under which it was admitted.
    pub(super) terms: composition::Terms,
}

impl Body {
    /// What is signed of it.
    pub(super) fn digest(&self) -> Digest {
        Digest::of("synergy 2026 record body", &[&wire::encode(self)])
    }
}

/// What is kept of an application.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(super) struct Record {
    /// What can be checked by itself.
    pub(super) listing: Listing,
    /// The rest, where it is at hand.
    pub(super) body: Option<Box<Body>>,
}

impl Record {
    /// The record of an application that has just been composed, signed by its owner.
    pub(super) fn new(
        application: ApplicationId,
        composition: CompositionId,
        body: Body,
        owner: &Identity,
    ) -> Self {
        let plan = body.graph.plan();
        let head = Head {
            application,
            composition,
            target: plan.qos().latency,
            operator_count: u16::try_from(plan.operators().len()).unwrap_or(u16::MAX),
            plan: plan_digest(&body.graph),
            hosts: body.graph.hosts(),
            body: body.digest(),
            version: 0,
            signer: None,
            former: BTreeSet::new(),
        };
        Self {
            listing: Listing::new(head, owner),
            body: Some(Box::new(body)),
        }
    }

    /// Whether everybody who claims to have said this did.
    ///
    /// # Errors
    /// What is forged about it.
    pub(super) fn check(&self) -> Result<(), RecordError> {
        self.listing.check()?;
        self.check_body()
    }

    /// Whether its graph is not at hand, and should be.
    pub(super) fn lacks_body(&self) -> bool {
        self.body.is_none() && *self.listing.state() != State::Stopped
    }

    /// Whether the body, where it is at hand, is the one that a listing says which was checked.
    ///
    /// # Errors
    /// What is wrong about it.
    pub(super) fn check_body(&self) -> Result<(), RecordError> {
        let Some(body) = &self.body else {
            return Ok(());
        };
        if body.digest() != self.listing.body() {
            return Err(RecordError::Body);
        }
        if body.graph.hosts() != self.listing.hosts() {
            return Err(RecordError::Hosts);
        }
        if plan_digest(&body.graph) != self.listing.head.plan {
            return Err(RecordError::Plan);
        }
        Ok(())
    }
}

fn plan_digest(graph: &ComponentGraph) -> Digest {
    Digest::of("synergy 2026 record plan", &[&wire::encode(graph.plan())])
}

fn head_digest(head: &Head) -> Digest {
    Digest::of("synergy 2026 record head", &[&wire::encode(head)])
}

/// What who changes a state signs. `graph` is what was signed last: of the head, or of the last handover.
fn change_digest(graph: &Digest, version: u64, state: &State, signer: NodeId) -> Digest {
    let change = wire::encode(&(version, state, signer));
    Digest::of("synergy 2026 record change", &[&graph.0, &change])
}
