//! Synergy's data plane: rows with positions, edges, operators and the scheduler.
//!
//! Everything but the runtime is plain data: an engine is driven by worker threads there, and by virtual
//! processors in the simulator. No clock is read and no thread started anywhere else.

pub mod aggregate;
pub mod batch;
pub mod budget;
pub mod columns;
pub mod cost;
pub mod edge;
mod engine;
pub mod expression;
mod few;
pub mod frame;
pub mod frontier;
pub mod intake;
pub mod ledger;
pub mod mailbox;
pub mod operator;
mod paged;
pub mod report;
pub mod runtime;
pub mod scheduler;
pub mod share;
pub mod state;
pub mod step;
mod times;
pub mod transit;

pub use batch::{Batch, Header, Note, Rows, Token};
pub use engine::{
    Admitted, Completed, Config, CopyId, DeployError, Deployed, Deployment, Dispatch, EDGES_MAX,
    EdgeKind, Engine, Event, MEMORY_MIN, OperatorDeployment, OperatorPart, OperatorSample,
    Panicked, Provider, RemoteEdge, SHADOWS_MAX, Sample, Signals, SinkDeployment, Slot, SourcePart,
    StandingBy, TAPS_MAX,
};
