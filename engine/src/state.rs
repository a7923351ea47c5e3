//! State streams: what a component is between two batches, pulled by whoever may have to go on in its place.
//!
//! A *shadow* ([`Shadow`]) on another host pulls the state of a component in *increments*. An increment is of one moment between
//! two batches, the one of its last piece: the operator's state that changed since the increment that the shadow holds, what the frame around the operator has
//! counted, up to where each way in was worked off, and what is retained of the output for those who may still ask for it. A
//! migration's target and a backup do the same, once or again and again.
//!
//! A large state leaves in parts, and the component goes on between them: what is told of the state comes behind what was told of it before
//! ([`Operator::export`]), so that much of it may leave before the moment that the increment is of. A shadow that holds nothing yet takes it in as it comes.
//!
//! [`Operator::export`]: crate::operator::Operator::export
//!
//! The protocol has two frames. Opening a state edge is the first request. Upstream goes a [`StatePull`]: which increment is held, and which request for a next one this is.
//! Every field is a state and not a change: a pull that is lost, repeated or late does no harm. Downstream go the [`Piece`]s of
//! the increment that was asked for, in any order. The shadow takes them over at once when the last is there, and not before.
//! What was lost is asked for by a new request, which gives a new increment on the same base.
//!
//! From the first pull on the component keeps upstream what the least of its live shadows lacks, so that what a shadow was not told
//! is still to be had from where its state ends. A shadow that says goodbye, or is not heard for 30 s, no longer counts.
//!
//! To move a component from host A to host B, where consumers run on C and what it reads on D:
//!
//! 1. B makes a [`Shadow`] of the compiled operator. A opens a state edge (`open_state`), and the first increment leaves at once; B pulls
//!    (`pull_due`), A sends pieces (`take_pieces`), B takes them in ([`Shadow::handle_piece`]).
//! 2. D opens an edge for B beside that of A (`fork_edge`): what is kept for A is kept for B, and nobody waits for B. It must be there before
//!    what A has not yet worked off could be released: before step 5.
//! 3. B deploys the plan with [`OperatorPart::Resumed`](crate::OperatorPart::Resumed) of [`Shadow::activate`] and all other parts elsewhere,
//!    drives the edges that this gives, and starts. Where D is B, its edge is turned to the forked one (`rebind`). It pulls from the positions of its state, and holds all that was retained for those who will read it.
//! 4. A is told where it has gone (`set_moved`): it answers each pull with [`Note::Moved`](crate::Note::Moved).
//! 5. C opens the stream of B and only then turns its edge there (`rebind`): it pulls from what it has received, A hears goodbye.
//!    Where A has no reader left and B says goodbye to the state edge, A's component retires, and so does its edge at D.
//!
//! Before step 3 everything is undone by dropping the shadow. Whatever A still does after the state was taken gives batches with
//! positions that B gives too: they are dropped as duplicates where they meet.

mod pieces;
mod shadow;

use std::sync::Arc;

use arrow_array::RecordBatch;
use model::{Positions, convert};

use crate::batch::Batch;
use crate::columns;
use crate::edge::Retained;
use crate::engine::OperatorDeployment;
use crate::operator::{Part, Tick};
use crate::step::Counted;

pub(crate) use pieces::{Exported, exported};
pub use shadow::{Arrived, Shadow, StateError};

/// The most pieces of an increment.
///
/// Unit: count. Range: from what a state of some GiB takes. Source: guess; 16 GiB in pieces of [`PIECE_BYTES`].
pub const PIECES_MAX: u32 = 1 << 16;

/// How large a piece of an operator's state is.
///
/// Unit: bytes. Range: well below [`crate::frame::BYTES_MAX`]; a piece with one row may be larger. Source: guess; a few milliseconds of a
/// slow link, so that batches on the same connection do not wait for longer.
pub const PIECE_BYTES: usize = 256 << 10;

/// The request that opening a state edge is: pieces follow its answer, with no pull awaited.
pub(crate) const FIRST_REQUEST: u64 = 1;

/// What a shadow says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePull {
    /// The increment that it holds; zero where it holds none.
    pub holds: u64,
    /// How many increments it has asked for. One more than was heard asks for the next one.
    pub request: u64,
    /// It needs no more.
    pub is_goodbye: bool,
}

/// A part of an increment.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The increment, numbered from one on each state edge.
    pub number: u64,
    /// The increment that this one adds to; zero where it is the whole state.
    pub base: u64,
    /// Its place among the pieces of the increment, from zero. Range: below [`PIECES_MAX`].
    pub place: u32,
    /// What it tells.
    pub item: Item,
}

/// What a piece tells.
#[derive(Debug, Clone, PartialEq)]
pub enum Item {
    /// Everything but the operator's state and retained batches. The last piece.
    Standing(Standing),
    /// A part of the operator's state.
    Chunk {
        /// The tick that it belongs to.
        tick: Tick,
        /// Which part of the tick's state.
        part: Part,
        /// Whether it goes on where the piece before ends.
        goes_on: bool,
        /// The state.
        columns: RecordBatch,
    },
    /// A batch that is retained at an output port: behind those of its origin that came before.
    Retained {
        /// The port.
        port: u16,
        /// The batch.
        batch: Arc<Batch>,
    },
}

/// Where a component stands between two batches.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Up to where each input port's rows were worked off.
    pub inputs: Vec<Positions>,
    /// What the frame around the operator has counted, where it numbers rows.
    pub counted: Option<Counted>,
    /// What is retained at each output port.
    pub outputs: Vec<Vec<Retained>>,
    /// Rows that were late for every window, since the first instance began.
    pub late: u64,
    /// Rows that could not be evaluated, since then.
    pub bad: u64,
}

/// A component that goes on where another one was: see [`Shadow::activate`].
#[derive(Debug)]
pub struct Resumed {
    pub(crate) part: OperatorDeployment,
    pub(crate) standing: Standing,
    /// The memory that the operator's state holds.
    pub(crate) state_bytes: u64,
}

impl Piece {
    /// The memory that it holds.
    pub fn bytes(&self) -> u64 {
        self.item.bytes()
    }
}

impl Item {
    /// The memory that it holds as a piece.
    fn bytes(&self) -> u64 {
        let bytes = match self {
            Self::Standing(_) => 0,
            Self::Chunk { columns, .. } => columns.columns().iter().map(columns::bytes).sum(),
            Self::Retained { batch, .. } => batch.rows.bytes(),
        };
        // And what tells of it.
        convert::size(bytes + size_of::<Piece>())
    }
}

impl Resumed {
    /// Up to where each input port's rows are in the state.
    pub fn inputs(&self) -> &[Positions] {
        &self.standing.inputs
    }
}
