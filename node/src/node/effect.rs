//! What a node wants done, or tells.

use std::time::Duration;

use composition::MigrationId;
use model::{ApplicationId, ComponentGraph, CompositionId, HostSummary, NodeId, Query};

use super::{Answered, CommandId};
#[cfg(doc)]
use super::{Input, PartEvent};

/// What a node wants done, or tells.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub enum Effect {
    /// The answer to a command. Each command is answered once, in bounded time.
    Answer {
        /// To which.
        id: CommandId,
        /// What.
        answered: Answered,
    },
    /// Ask the overlay.
    Query {
        /// Which outcome belongs to it.
        query: u64,
        /// What.
        ask: Query,
    },
    /// Send a control message.
    Send {
        /// To whom; never this node itself.
        to: NodeId,
        /// What.
        bytes: Vec<u8>,
    },
    /// Make components of all parts that the graph binds to this node; open no edge upstream yet. Answered once by
    /// [`Input::Deployed`] or [`Input::DeployFailed`], also where it was retired in the meantime: one composition may
    /// be deployed, retired and deployed again, and answers are counted; the one for what was retired comes at once.
    Deploy {
        /// For which composition.
        id: CompositionId,
        /// Of which application.
        application: ApplicationId,
        /// The parts and where each of them is.
        graph: Box<ComponentGraph>,
    },
    /// The sinks that are here for a composition pull.
    Start {
        /// Which one.
        id: CompositionId,
        /// With how many cores it was admitted here.
        cores: f64,
        /// What its target leaves over the delay that was foretold.
        slack: Duration,
        /// How old what each operator of its plan yields was foretold to be.
        ages: Vec<Duration>,
    },
    /// Make ready for another graph of a composition, of which one operator goes elsewhere. Nothing that runs here changes before
    /// [`Effect::Switch`]. Where the operator comes here, it takes over its state and runs on beside the one that it follows; where something here is
    /// read by it, an edge is opened beside the one that there is. Answered once by [`Input::Prepared`] or [`Input::PrepareFailed`], unless
    /// [`Effect::Abandon`] or [`Effect::Retire`] came before.
    Prepare {
        /// Which migration.
        id: MigrationId,
        /// Of which application.
        application: ApplicationId,
        /// The parts and where each of them is to be.
        graph: Box<ComponentGraph>,
        /// Which operator goes elsewhere.
        operator: u16,
        /// Where it runs, and has its state.
        from: NodeId,
    },
    /// The graph that was made ready for holds: each reader here reads from where it says, from where that reader is, and what nobody reads any
    /// more goes.
    Switch {
        /// Which migration.
        id: MigrationId,
        /// The graph.
        graph: Box<ComponentGraph>,
        /// With how many cores the application was admitted here.
        cores: f64,
    },
    /// A graph holds that nobody was asked to make ready for: what it binds to this node and is not here is made, of the state that is held here of it
    /// or of nothing; readers read from where it says; what nobody reads any more goes; and the state is held of what this node is a backup of. Where
    /// something of it cannot be made, [`PartEvent::Degraded`] says so; where nothing of it is here after that, [`PartEvent::Retired`]. May come
    /// again, for what could not be made before.
    Adopt {
        /// Of which composition.
        id: CompositionId,
        /// Of which application.
        application: ApplicationId,
        /// The graph.
        graph: Box<ComponentGraph>,
        /// With how many cores the application is held here.
        cores: f64,
    },
    /// Drop what was made ready: the graph does not come about.
    Abandon(MigrationId),
    /// Drop all components that are here for a composition, or are being made; edges upstream say goodbye. Nothing is
    /// to be told of them after that, but the answer to [`Effect::Deploy`] where it has not been given.
    Retire(CompositionId),
    /// End an application that has started: its sinks pull no more, and what nobody else reads goes with them. What others
    /// read stays until they stop. Answered once by [`PartEvent::Retired`], when nothing of it is left.
    Release(CompositionId),
    /// Say what was counted of a composition here.
    Report {
        /// Which answer belongs to it.
        ticket: u64,
        /// Of which composition.
        id: CompositionId,
    },
    /// Keep the record of an application across a restart, or forget it: [`Input::Recalled`] hands in what was kept.
    Keep {
        /// Of which application.
        application: ApplicationId,
        /// The record; nothing where it is to be forgotten.
        record: Option<Vec<u8>>,
    },
    /// What this host says of itself from now on.
    Describe(HostSummary),
    /// Something that people should find in the log.
    Note(String),
}
