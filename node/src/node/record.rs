//! Records of applications: what every host of an application keeps of it, and can prove.
//!
//! The owner signs a [`Head`] once: whose application it is, which composition, on which hosts, and the hash of
//! the rest. What becomes of it later is a [`Change`], signed by the owner or by a host that the head names.
//! Head, signature and change are a [`Listing`]: anybody can check one by itself, whoever handed it over, so
//! that lists need no trust. The [`Body`] is what describing takes: the graph and the reasons.

use std::collections::BTreeSet;
use std::time::Duration;

use model::name::Digest;
use model::plan::OPERATORS_MAX;
use model::{ApplicationId, ComponentGraph, CompositionId, NodeId, wire};
use overlay::Identity;
use overlay::identity::is_signed_by;

use super::command::Composition;

/// The most hosts that a record names: one for each part of the largest plan.
const HOSTS_MAX: usize = 3 * OPERATORS_MAX;

/// The longest reason of a failure that travels with a record. Unit: bytes. Source: guess; some sentences.
const REASON_BYTES_MAX: usize = 1024;

/// What the owner signs of an application, once for each composition of it.
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
    /// The hosts of its graph.
    pub(super) hosts: BTreeSet<NodeId>,
    /// The hash of its body.
    pub(super) body: Digest,
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
            hosts: BTreeSet::decode(decoder)?,
            body: Digest::decode(decoder)?,
        };
        let is_sound = head.composition.node == head.application.owner
            && model::name::is_valid(&head.application.name)
            && !head.hosts.is_empty()
            && head.hosts.len() <= HOSTS_MAX;
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
    /// Who says so: the owner, or a host that the head names.
    pub(super) signer: NodeId,
    /// Its signature of the head and the above.
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
    /// The version of the last change; 0 where there was none.
    pub(super) version: u64,
    /// Who made that change.
    pub(super) signer: Option<NodeId>,
}

/// A record without its body: what lies in the index, and what is kept of an application that was stopped.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) struct Listing {
    /// What the owner signed.
    pub(super) head: Head,
    /// The owner's signature of the head.
    pub(super) signature: [u8; 64],
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
    /// The body is not the one that the owner signed.
    #[error("its graph is not the one that its owner signed")]
    Body,
}

impl Listing {
    /// The listing of an application that has just been composed, signed by its owner.
    pub(super) fn new(head: Head, owner: &Identity) -> Self {
        debug_assert_eq!(head.application.owner, owner.node());
        let signature = owner.sign(&head_digest(&head).0);
        Self {
            head,
            signature,
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
        let digest = change_digest(&self.head, version, &state, signer.node());
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
        node == self.head.application.owner || self.head.hosts.contains(&node)
    }

    /// Who keeps the record: the owner and the hosts.
    pub(super) fn keepers(&self) -> BTreeSet<NodeId> {
        let mut keepers = self.head.hosts.clone();
        keepers.insert(self.head.application.owner);
        keepers
    }

    /// Which of two listings stands.
    pub(super) fn standing(&self) -> Standing {
        Standing {
            composition: self.head.composition.number,
            version: self.change.as_ref().map_or(0, |change| change.version),
            signer: self.change.as_ref().map(|change| change.signer),
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
        if !is_signed_by(
            head.application.owner,
            &head_digest(head).0,
            &self.signature,
        ) {
            return Err(RecordError::Head);
        }
        let Some(change) = &self.change else {
            return Ok(());
        };
        if !self.may_change(change.signer) {
            return Err(RecordError::Stranger);
        }
        let digest = change_digest(head, change.version, &change.state, change.signer);
        if !is_signed_by(change.signer, &digest.0, &change.signature) {
            return Err(RecordError::Change);
        }
        Ok(())
    }
}

/// What describing an application takes.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(super) struct Body {
    /// The parts and where each of them is.
    pub(super) graph: ComponentGraph,
    /// How it was composed, as it was answered.
    pub(super) composition: Composition,
    /// For each operator: why it is where it is.
    pub(super) reasons: Vec<(String, String)>,
}

impl Body {
    /// What the owner signs of it.
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
            hosts: body.graph.hosts(),
            body: body.digest(),
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
        match &self.body {
            Some(body) if body.digest() != self.listing.head.body => Err(RecordError::Body),
            _ => Ok(()),
        }
    }
}

fn head_digest(head: &Head) -> Digest {
    Digest::of("synergy 2026 record head", &[&wire::encode(head)])
}

fn change_digest(head: &Head, version: u64, state: &State, signer: NodeId) -> Digest {
    let change = wire::encode(&(version, state, signer));
    let head = head_digest(head);
    Digest::of("synergy 2026 record change", &[&head.0, &change])
}
