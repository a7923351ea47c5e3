//! Composition: how a query plan becomes a component graph on hosts.
//!
//! [`Composer`] is one node's part of it, as one machine without I/O: it composes what this node was asked
//! for, and answers the probes, confirmations and releases of others. It knows nothing of schemas and parameters, places
//! nothing by itself ([`Effect::Deploy`] orders it), and finds no hosts: those that it may use are in the [`model::NodeView`].
//!
//! # The protocol
//!
//! After Repantis, Gu and Kalogeraki, "Synergy" (Middleware 2006, TPDS 2009), slides 11 to 16.
//!
//! 1. **Maximum sharing discovery** (`discovery`): what runs already is looked up, from the sinks on; what is found is not composed, and nothing before it.
//! 2. **Candidates** are gathered by the composing node (`candidates`): at most 8 for an operator, those that should have room first (by their summaries,
//!    and by what they have said lately: `heard`), then by detour, then load. Where they lack something, others are asked, until all were that are known.
//! 3. **Probes** travel hop by hop from what is shared and from the sources to the sinks (`probe`). A probe covers one way; a fork sends some down
//!    each branch. A hop checks what it has left, then the delay so far and the least that the rest takes, then what the applications would suffer that it
//!    serves (`serving`, [`queue`]); it reserves, and sends on to at most five candidates of each reader. Of probes that agree on every open fork only the best
//!    go on (`visit`).
//! 4. Every end is told to the composing node, with its **share** of the whole (`share`): so it knows when all have ended.
//!    Lost probes end the collection by time.
//! 5. Hops are **merged** to graphs (`facts`, `merge`), which are qualified as a whole, and the least congested is **selected**
//!    (`select`).
//! 6. **Commit** (`commit`, and `allocation` on the hosts): all hosts of the graph confirm, which deploys; they tell how long its parts take there, how long the
//!    ways into them are, and whom it slows. The delay is computed once more of that; the sinks of those that are slowed grant it; then all start. Else
//!    the next best graph follows, twice.
//! 7. Where nothing meets the target, less is shared, down to nothing; where still nothing does, rounds that reserve nothing look for a target that would be accepted:
//!    one is named only after hosts were asked with it, and left room for what the others of the graph do to the same applications (`session`, `refusal`).
//!
//! What probes reserve is in the `ledger`, and lapses. What is allocated is the sum over what runs, or is ordered, and has no account of its own
//! (`allocation/room.rs`): a component by itself, whoever reads it; what leaves the host, by its graph. Messages may be lost, repeated and overtaken; a
//! node may vanish at any moment. Then everything that it left lapses: what was reserved or confirmed and not
//! started, after [`Config::lease`]; what one host of a graph started, all start.
//!
//! **What is shared.** A graph binds every part of its plan to where it really is. A part that is shared ([`model::Binding::shared`]) runs there for somebody
//! else, and so does all before it; the hosts of all of them confirm, since the application depends on them: whoever comes to these hosts later answers to it.
//! An operator that runs is registered under its first stream, with all that it is made of ([`StreamRecord`]).
//!
//! **Ways of composing** that experiments compare are policies ([`policy`]): they leave out some of this.
//!
//! # Bounds
//!
//! A request has at most 2,000 probes in a round: each of the hosts that may send some for an operator has an equal part of them for each reader, and may send
//! one to each reader in any case. At most 32 rounds ask other hosts.
//! Measured (`placing` in the tests, 8 hosts a quarter of a millisecond apart): three operators in a row take 142 probes, 240 messages and
//! 141 kB in all; the plan of the slides 894 probes, 1,593 messages and 1.1 MB. Messages grow with the request and with the path: of a plan of 256
//! operators one is 30 kB, of a maximum of 1 MiB.
//!
//! A composing node works on 64 requests at once; a host remembers the probes of 128, reserves for 1,024
//! compositions and runs parts of as many, and remembers the end of as many. What is refused or not heeded is counted by reason ([`Counts`]).
//!
//! # Differences from the paper
//!
//! - Ends report what was found whatever the end, and hops of different paths are put together wherever they agree on a component. In the paper
//!   only whole paths that agree on all they share merge, and a dropped probe is silent.
//! - The lower bound of what is left of a way is in the second check.
//! - Reservations of a request are the most that one of its probes asks for, not a sum; they yield by an order.
//! - Execution times count all of a host's cores as one resource.
//! - The composing node asks sinks for the sum of what all hosts of a graph charge their applications: hosts that each look at themselves alone could spend one
//!   application's slack several times.
//! - Sharing falls back to shorter prefixes.
//!
//! # Example
//!
//! One host that has room for a filter composes it by itself.
//!
//! ```
//! use composition::{Composer, Config, Effect, Event, Input, Order, Place};
//! use model::{
//!     plan::Builder, ApplicationId, Arguments, CompositionId, DataType, Demand, Field, HostSummary, Instant,
//!     NodeId, NodeView, Origin, Qos, Resources, Rng, Schema, SourceName,
//! };
//!
//! let node = NodeId([7; 32]);
//! let flows = Schema::new(vec![Field::new("state", DataType::Utf8)])?;
//! let mut plan = Builder::new("intrusion", Qos::default())?;
//! let name = SourceName::Published { publisher: node, name: "lab/flows".into() };
//! let source = plan.source("flows", name, vec![("out".into(), flows.clone())])?;
//! let rows = source.port(0).expect("a source has a port of rows");
//! let syn = plan.operator("syn", "filter", Arguments::new(), &[rows], vec![("out".into(), flows)])?;
//! plan.sink("out", syn.port(0).expect("a filter has a port"))?;
//!
//! let demand = Demand { rows_per_second: 1000.0, row_bytes: 40.0, cost_seconds: 1e-6, selectivity: 0.1 };
//! let order = Order {
//!     application: ApplicationId { owner: node, name: "intrusion".into() },
//!     plan: plan.build().expect("everything is read"),
//!     origins: vec![Origin(1)],
//!     sources: vec![node],
//!     source_demands: vec![Demand { cost_seconds: 0.0, selectivity: 1.0, ..demand }],
//!     demands: vec![demand],
//!     places: vec![Place::Any],
//!     sinks: vec![node],
//!     spread: false,
//!     is_trial: true,
//! };
//! let capacity = Resources { cpu_cores: 2.0, memory_bytes: 1 << 30, uplink_bytes_per_second: 1e8 };
//! let view = NodeView::alone(HostSummary { capacity, ..HostSummary::new(node, "lab") });
//!
//! let mut composer = Composer::new(Config::default(), Rng::from_seed(1));
//! let mut effects = Vec::new();
//! let id = CompositionId { node, number: 1 };
//! composer.handle_input(Instant::ZERO, &view, Input::Compose { id, order }, &mut effects);
//!
//! // It asks first whether the filter runs somewhere already.
//! let Some(Effect::Lookup { lookup, .. }) = effects.pop() else { panic!("a look-up") };
//! let found = Input::Found { lookup, entries: Vec::new() };
//! composer.handle_input(Instant::ZERO, &view, found, &mut effects);
//! assert!(matches!(&effects[..], [Effect::Event(Event::Composed { .. })]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(clippy::wildcard_enum_match_arm)]

mod allocation;
mod candidates;
mod commit;
mod composer;
mod config;
mod counts;
mod discovery;
mod effect;
mod facts;
mod heard;
mod ledger;
mod measure;
mod merge;
mod message;
mod migration;
mod order;
mod path;
pub mod policy;
mod probe;
pub mod queue;
mod refusal;
mod reminder;
mod request;
mod select;
mod serving;
mod session;
mod share;
mod spent;
mod stream;
mod terms;
mod usage;
mod visit;

pub use composer::{Composer, Input, Rebound};
pub use config::Config;
pub use counts::{Counts, Ignored};
pub use effect::{
    Check, Composed, Constraint, Effect, Event, Migrated, Outline, Reason, Refusal, Unmigrated,
};
pub use message::Message;
pub use migration::{MigrationId, Taken};
pub use order::{Order, Place};
pub use policy::Policy;
pub use spent::Spent;
pub use stream::StreamRecord;
pub use terms::Terms;
pub use usage::Usage;
