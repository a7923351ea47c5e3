//! Synergy's vocabulary: the words that two or more crates share, and nothing else.
//!
//! Everything here is plain data or a pure function over it. There is no I/O, no clock, no entropy and no
//! thread: time is a [`Clock`] that the driver hands in, randomness an [`Rng`] made from a seed.
//!
//! Two quantities run the system and both live here: *slack*, which is arithmetic on [`time`], and
//! *position*, which is [`position`]. A request is a [`QueryPlan`]; what it becomes is a [`ComponentGraph`].
//!
//! Start at [`plan::Builder`]: a plan can be made in no other way, so a plan that exists is valid.
//!
//! ```
//! use model::{plan::Builder, Arguments, DataType, Field, NodeId, Qos, Schema, SourceName, Value};
//!
//! let flows = Schema::new(vec![Field::new("state", DataType::Utf8)]).expect("one column, one name");
//! let published = SourceName::Published { publisher: NodeId([7; 32]), name: "lab/flows".into() };
//! let mut plan = Builder::new("intrusion", Qos::default()).expect("a valid name");
//! let source = plan.source("flows", published, vec![("out".into(), flows.clone())]).expect("a new name");
//! let rows = source.port(0).expect("a source has a port of rows");
//! let parameters = Arguments::from_iter([("where", Value::from("state = 'S0'"))]);
//! let syn = plan.operator("syn", "filter", parameters, &[rows], vec![("out".into(), flows)]).expect("a new name");
//! plan.sink("out", syn.port(0).expect("a filter has one port")).expect("a new name");
//! let plan = plan.build().expect("every stream is read");
//! assert_eq!(plan.operators().len(), 1);
//! ```

pub mod convert;
pub mod entry;
mod graph;
pub mod host;
mod id;
pub mod name;
pub mod plan;
pub mod position;
mod qos;
mod random;
mod resources;
mod schema;
pub mod time;
pub mod wire;

pub use entry::{Entry, Index, Key, Outcome, Query, QueryError};
pub use graph::{Binding, ComponentGraph, GraphError};
pub use host::{Coordinate, HostSummary, LoadInterval, NodeView};
pub use id::{ApplicationId, ComponentId, CompositionId, EdgeId, NodeId, RequestId};
pub use name::{SourceName, StreamName};
pub use plan::{Arguments, QueryPlan, Scalar, Value};
pub use position::{Interval, Origin, Position, Positions};
pub use qos::{
    LATENCY_MAX, LOST_AFTER_MIN, OnInfeasible, Qos, QosError, REPLICAS_MAX, Replication,
};
pub use random::Rng;
pub use resources::{Demand, Resources};
pub use schema::{COLUMNS_MAX, DataType, Field, Schema, SchemaError};
pub use time::{Clock, EventTime, Instant, Slack};
