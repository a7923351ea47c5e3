//! What composition wants done, and what it tells.

use std::time::Duration;

use model::{ApplicationId, Binding, ComponentGraph, CompositionId, Key, NodeId};

use crate::message::Message;
use crate::migration::{MigrationId, Taken};
use crate::spent::Spent;
use crate::terms::Terms;

/// What composition wants done, or tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Say something to a peer. It may get lost; [`crate::Input::Unreachable`] tells where it surely was.
    Send {
        /// To whom; never this node itself.
        to: NodeId,
        /// What.
        message: Message,
    },
    /// Make components of all parts that the graph binds to this node, but open no edge upstream yet. Answered
    /// by [`crate::Input::Deployed`] or [`crate::Input::DeployFailed`]: once, in order, and also when an
    /// [`Effect::Undeploy`] came in between.
    Deploy {
        /// For which composition.
        id: CompositionId,
        /// Of which application.
        application: ApplicationId,
        /// The parts and where each of them is.
        graph: ComponentGraph,
    },
    /// Everybody has what it needs: all parts on this node pull.
    Start {
        /// Of which composition.
        id: CompositionId,
        /// With how many cores it was admitted here.
        cores: f64,
        /// What its target leaves over the delay that is expected.
        slack: Duration,
        /// How old what each operator of its plan yields is expected to be.
        ages: Vec<Duration>,
    },
    /// Drop all components that were made for a composition: it did not come about.
    Undeploy {
        /// Which one.
        id: CompositionId,
    },
    /// Make ready for another graph of a composition, of which one operator goes elsewhere: nothing that runs changes before [`Effect::Switch`].
    /// Where the operator comes here, its inputs are opened first, then its state is pulled from where it runs; where it is read from here,
    /// an edge to its new host is opened. Answered once by [`crate::Input::Prepared`] or [`crate::Input::PrepareFailed`], unless [`Effect::Abandon`]
    /// or [`Effect::Undeploy`] came before.
    Prepare {
        /// Which migration.
        id: MigrationId,
        /// Of which application.
        application: ApplicationId,
        /// The graph as it is to be.
        graph: ComponentGraph,
        /// Which operator goes elsewhere.
        operator: u16,
        /// Where it runs.
        from: NodeId,
    },
    /// The graph that was made ready for holds: what is read is read from where it says, from where each reader is; what nobody reads any more
    /// goes.
    Switch {
        /// Which migration.
        id: MigrationId,
        /// Of which application.
        application: ApplicationId,
        /// The graph.
        graph: ComponentGraph,
        /// With how many cores the application was admitted here.
        cores: f64,
    },
    /// A graph holds that nobody was asked to make ready for: what it binds to this node and is not here is made, of what is held here of it or
    /// of nothing; what is read is read from where it says, from where each reader is; what nobody reads any more goes. Of several, the last counts.
    Adopt {
        /// Of which composition.
        id: CompositionId,
        /// Of which application.
        application: ApplicationId,
        /// The graph.
        graph: ComponentGraph,
        /// With how many cores the application is held here.
        cores: f64,
    },
    /// Drop what was made ready: the graph does not come about.
    Abandon {
        /// Which migration.
        id: MigrationId,
    },
    /// Look up what is registered under a key. Answered by [`crate::Input::Found`], also where there is nothing.
    Lookup {
        /// Which answer belongs to it.
        lookup: u64,
        /// Under which key.
        key: Key,
        /// How many entries are wanted at most.
        count: usize,
    },
    /// Register this from now on: others find by it what runs here. What was registered under the key and slot before is replaced.
    Register {
        /// Under which key.
        key: Key,
        /// What tells it from what else this node registers there.
        slot: u64,
        /// What.
        payload: Vec<u8>,
    },
    /// What was registered holds no more.
    Withdraw {
        /// Under which key.
        key: Key,
        /// See [`Effect::Register`].
        slot: u64,
    },
    /// Tell whoever asked.
    Event(Event),
}

/// What this node tells whoever asked. Each request and each migration ends once.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// It was composed and has started; of a trial, it could be.
    Composed {
        /// Which one.
        id: CompositionId,
        /// Into what.
        composed: Composed,
    },
    /// It was refused; nothing of it is left reserved, or will be when the leases are over.
    Refused {
        /// Which one.
        id: CompositionId,
        /// Why.
        refusal: Refusal,
    },
    /// A migration of this node comes about: its graph holds from now on.
    Rebound {
        /// Of which composition.
        composition: CompositionId,
        /// The graph.
        graph: ComponentGraph,
    },
    /// A migration of this node has come about.
    Migrated(Migrated),
    /// A migration of this node did not come about: all is as it was.
    Unmigrated(Unmigrated),
}

/// A migration that came about.
#[derive(Debug, Clone, PartialEq)]
pub struct Migrated {
    /// Of which composition.
    pub composition: CompositionId,
    /// Of which application.
    pub application: ApplicationId,
    /// Which operator of its plan.
    pub operator: u16,
    /// Where it runs now.
    pub to: NodeId,
    /// The graph.
    pub graph: ComponentGraph,
    /// The state that went there.
    pub taken: Taken,
    /// How long it took until everybody had gone over.
    pub took: Duration,
    /// The part of it since everybody was ready.
    pub switched_in: Duration,
    /// Who was asked before and did not take it, and why.
    pub declined: Vec<(NodeId, String)>,
    /// Who has not said that it has gone over: it learns it from the record.
    pub unheard: Vec<NodeId>,
    /// Who shares the operator here, and which of theirs it is: they are to follow.
    pub sharing: Vec<(CompositionId, u16)>,
}

/// A migration that did not come about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmigrated {
    /// Of which composition.
    pub composition: CompositionId,
    /// Which operator of its plan.
    pub operator: u16,
    /// Who did not take it, or did not let it go, and why.
    pub declined: Vec<(NodeId, String)>,
}

/// A request that was composed.
#[derive(Debug, Clone, PartialEq)]
pub struct Composed {
    /// Where everything is.
    pub graph: ComponentGraph,
    /// The terms of it, where it was more than a trial.
    pub terms: Terms,
    /// The delay that is expected, from the arrival at a source to the result at the destination.
    pub predicted_delay: Duration,
    /// The part of it behind what is shared: from there to the destination. The same where nothing is.
    pub delay_from_sharing: Duration,
    /// A latency target that would be accepted now: of the fastest graph that was found, with a margin.
    pub feasible_target: Option<Duration>,
    /// How congested the hosts and links that it takes would be; see `select`.
    pub congestion: f64,
    /// The next best graph, if there was one.
    pub runner_up: Option<Outline>,
    /// For each operator, in the plan's order: why it is where it is, in a sentence.
    pub reasons: Vec<String>,
    /// How long it took, by what it was about.
    pub spent: Spent,
    /// How many probes were sent for it.
    pub probe_count: u64,
    /// How many look-ups were made for it.
    pub lookup_count: u64,
}

/// A graph in short.
#[derive(Debug, Clone, PartialEq)]
pub struct Outline {
    /// Where the operators would be, in the plan's order.
    pub operators: Vec<Binding>,
    /// The delay that would be expected.
    pub predicted_delay: Duration,
    /// How congested it would be.
    pub congestion: f64,
}

/// Why a request was refused.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// What stood in the way.
    pub reason: Reason,
    /// The constraint that the best attempt failed by.
    pub binding: Option<Constraint>,
    /// A latency target that would be accepted now, where there is one.
    pub feasible_target: Option<Duration>,
    /// How many probes were sent for it.
    pub probe_count: u64,
    /// How many look-ups were made for it.
    pub lookup_count: u64,
}

/// What stood in the way of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No graph meets the target or finds the resources.
    Infeasible,
    /// Graphs were found, and none could be confirmed in the allowed attempts.
    Unconfirmed,
    /// Nobody answered in time.
    Timeout,
    /// This node composes as many requests as it may at once.
    Busy,
}

/// The constraint that stood in the way.
#[derive(Debug, Clone, PartialEq)]
pub struct Constraint {
    /// Of which operator, by its name in the plan; of the way to a sink, the sink's name.
    pub operator: String,
    /// Which check failed.
    pub check: Check,
    /// What was asked, with its unit: `30 ms`, `0.8 cores`.
    pub needed: String,
    /// The best that was found.
    pub had: String,
    /// How many hosts were asked.
    pub hosts_asked: usize,
    /// The application that runs already and would be late.
    pub suffers: Option<Box<ApplicationId>>,
}

/// What is checked at a hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, bincode::Encode, bincode::Decode)]
pub enum Check {
    /// No host offers the operator, or none that the application allows.
    Offer,
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
    /// Network.
    Bandwidth,
    /// The latency target.
    Delay,
    /// The target of an application that runs there already.
    Impact,
}

impl Check {
    /// What people call it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Offer => "offer",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Bandwidth => "bandwidth",
            Self::Delay => "delay",
            Self::Impact => "impact",
        }
    }
}
