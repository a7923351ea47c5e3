//! The receiving end of a state stream.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use model::{Instant, convert};

use super::{Item, PIECES_MAX, Piece, Resumed, Standing, StatePull};
use crate::columns;
use crate::edge::{LAPSE, ORIGINS_MAX};
use crate::engine::OperatorDeployment;
use crate::operator::{ImportError, Numbering, Part, StateChunk, Tick};

/// How long a pull may go unanswered before it is repeated with a new request.
///
/// Unit: time. Range: below [`LAPSE`] / 3. Source: design.
const PULL_INTERVAL: Duration = Duration::from_secs(1);

const _: () = assert!(
    PULL_INTERVAL.as_secs() * 3 < LAPSE.as_secs(),
    "a shadow that lives is heard"
);

/// Holds the last consistent state of a component that runs elsewhere, and pulls the next.
///
/// Plain data like all machines: whoever drives the link gives it pieces and sends its pulls; nothing of it needs the engine's lock.
#[derive(Debug)]
pub struct Shadow {
    part: OperatorDeployment,
    schemas: Vec<SchemaRef>,
    bytes_max: u64,
    held: Option<Held>,
    request: u64,
    assembly: Option<Assembly>,
    told: Option<Instant>,
    is_due: bool,
    /// Whether an increment was asked for and is not held yet, and whether some of it has come since the last pull.
    is_waiting: bool,
    has_arrived: bool,
    dropped: u64,
}

#[derive(Debug)]
struct Held {
    number: u64,
    at: Instant,
    standing: Standing,
}

/// An increment of which some pieces are here.
#[derive(Debug)]
struct Assembly {
    number: u64,
    count: u32,
    items: BTreeMap<u32, Item>,
    bytes: u64,
}

/// What became of a piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrived {
    /// It is of an increment that others are still to come of.
    Part,
    /// It was the last one: the shadow holds a newer state now.
    Whole,
    /// It is of an increment that does not add to what is held, or was here already. It was dropped, and is counted.
    Dropped,
}

/// Why a shadow is of no use any more. What it held is gone: make a new one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StateError {
    /// The state takes more memory than was allowed for.
    #[error("{bytes} bytes of state; at most {bytes_max} were allowed")]
    TooLarge {
        /// How much it takes.
        bytes: u64,
        /// How much it may take.
        bytes_max: u64,
    },
    /// The operator does not take the state in: it is that of another one.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// The pieces do not make a state: who sent them does not keep to the protocol.
    #[error("no state: {0}")]
    Malformed(&'static str),
}

impl Shadow {
    /// A shadow of an operator that is compiled as the one it is to hold the state of, and may take so many bytes.
    pub fn new(part: OperatorDeployment, bytes_max: u64) -> Self {
        let outputs = part.compiled.outputs.iter();
        Self {
            schemas: outputs
                .map(|(_, schema)| columns::to_arrow(schema))
                .collect(),
            part,
            bytes_max,
            held: None,
            request: 0,
            assembly: None,
            told: None,
            is_due: false,
            is_waiting: false,
            has_arrived: false,
            dropped: 0,
        }
    }

    /// The columns of each output port: what pieces are decoded by.
    pub fn schemas(&self) -> &[SchemaRef] {
        &self.schemas
    }

    /// Asks for the next increment, unless one is being waited for.
    pub fn want(&mut self) {
        if !self.is_waiting {
            self.ask();
        }
    }

    /// The link is new: what was under way on the old one may be lost.
    pub fn reconnected(&mut self) {
        match self.is_waiting {
            true => self.ask(),
            false => self.is_due = true,
        }
    }

    /// The pull that is due, if one is. Without news one is due a second after the last; see [`Shadow::poll_timeout`].
    pub fn pull_due(&mut self, now: Instant) -> Option<StatePull> {
        let is_silent = self
            .told
            .is_none_or(|told| now.since(told) >= PULL_INTERVAL);
        if is_silent && self.is_waiting && !self.has_arrived && self.told.is_some() {
            self.ask();
        }
        if !self.is_due && !is_silent {
            return None;
        }
        self.is_due = false;
        self.has_arrived = false;
        self.told = Some(now);
        Some(StatePull {
            holds: self.held.as_ref().map_or(0, |held| held.number),
            request: self.request,
            is_goodbye: false,
        })
    }

    /// The pull that ends the edge.
    pub fn goodbye(&self) -> StatePull {
        StatePull {
            holds: self.held.as_ref().map_or(0, |held| held.number),
            request: self.request,
            is_goodbye: true,
        }
    }

    /// When [`Shadow::pull_due`] wants to be asked again, at the latest.
    pub fn poll_timeout(&self) -> Option<Instant> {
        Some(self.told? + PULL_INTERVAL)
    }

    /// Takes a piece that arrived.
    ///
    /// # Errors
    /// When it cannot be kept, or the increment that it completes is none. The shadow is of no use then.
    pub fn handle_piece(&mut self, now: Instant, piece: Piece) -> Result<Arrived, StateError> {
        let holds = self.held.as_ref().map_or(0, |held| held.number);
        let latest = self.assembly.as_ref().map_or(holds, |known| known.number);
        if piece.base != holds || piece.number < latest || piece.number <= holds {
            self.dropped += 1;
            return Ok(Arrived::Dropped);
        }
        if piece.count == 0 || piece.count > PIECES_MAX || piece.place >= piece.count {
            return Err(StateError::Malformed("a piece outside of its increment"));
        }
        if self
            .assembly
            .as_ref()
            .is_none_or(|known| known.number != piece.number)
        {
            self.assembly = Some(Assembly {
                number: piece.number,
                count: piece.count,
                items: BTreeMap::new(),
                bytes: 0,
            });
        }
        let held_bytes = self.held_bytes();
        let Some(assembly) = &mut self.assembly else {
            return Ok(Arrived::Dropped);
        };
        if assembly.count != piece.count {
            return Err(StateError::Malformed("an increment of two lengths"));
        }
        self.has_arrived = true;
        let bytes = piece.bytes();
        if assembly.items.insert(piece.place, piece.item).is_some() {
            self.dropped += 1;
            return Ok(Arrived::Dropped);
        }
        assembly.bytes += bytes;
        let bytes = assembly.bytes + held_bytes;
        if bytes > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(StateError::TooLarge { bytes, bytes_max });
        }
        if convert::size(assembly.items.len()) < u64::from(assembly.count) {
            return Ok(Arrived::Part);
        }
        self.take_over(now)?;
        Ok(Arrived::Whole)
    }

    /// When the state that is held was complete here; nothing where none is held yet.
    pub fn held_since(&self) -> Option<Instant> {
        Some(self.held.as_ref()?.at)
    }

    /// Whether an increment was asked for that is not held yet.
    pub const fn is_waiting(&self) -> bool {
        self.is_waiting
    }

    /// Where the component stood of which the state is held.
    pub fn standing(&self) -> Option<&Standing> {
        Some(&self.held.as_ref()?.standing)
    }

    /// The memory that all of it takes.
    pub fn bytes(&self) -> u64 {
        self.held_bytes() + self.assembly.as_ref().map_or(0, |assembly| assembly.bytes)
    }

    /// How many pieces were dropped.
    pub const fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The component that goes on from the state that is held; nothing where none is.
    pub fn activate(self) -> Option<Resumed> {
        Some(Resumed {
            state_bytes: convert::size(self.part.compiled.operator.bytes()),
            part: self.part,
            standing: self.held?.standing,
        })
    }

    fn ask(&mut self) {
        self.request += 1;
        self.is_waiting = true;
        self.is_due = true;
    }

    fn held_bytes(&self) -> u64 {
        let retained = |held: &Held| -> usize {
            let outputs = held.standing.outputs.iter().flatten();
            outputs.map(|retained| retained.bytes()).sum()
        };
        let retained = self.held.as_ref().map_or(0, retained);
        convert::size(retained + self.part.compiled.operator.bytes())
    }

    /// Takes over the increment of which all pieces are here.
    fn take_over(&mut self, now: Instant) -> Result<(), StateError> {
        let Some(assembly) = self.assembly.take() else {
            return Ok(());
        };
        let number = assembly.number;
        let mut items = assembly.items.into_values();
        let Some(Item::Standing(mut standing)) = items.next() else {
            return Err(StateError::Malformed(
                "an increment that does not say where it stands",
            ));
        };
        if standing.outputs.len() != self.schemas.len()
            || standing.counted.is_some() != (self.part.numbering == Numbering::Own)
        {
            return Err(StateError::Malformed("where another component stands"));
        }
        let mut open: Option<Open> = None;
        for item in items {
            match item {
                Item::Chunk {
                    goes_on: true,
                    columns,
                    ..
                } => match &mut open {
                    Some(open) => open.slices.push(columns),
                    None => return Err(StateError::Malformed("a chunk without a beginning")),
                },
                Item::Chunk {
                    tick,
                    part,
                    columns,
                    ..
                } => {
                    self.import(open.take())?;
                    let slices = vec![columns];
                    open = Some(Open { tick, part, slices });
                }
                Item::Retained { port, batch } => {
                    let output = standing.outputs.get_mut(usize::from(port));
                    let mut origins = output.into_iter().flatten();
                    let origin = batch.header.origin;
                    let retained = origins.find(|retained| retained.origin == origin);
                    match retained {
                        Some(retained) => retained.batches.push(batch),
                        None => return Err(StateError::Malformed("a batch of no stream")),
                    }
                }
                Item::Standing(_) => {
                    return Err(StateError::Malformed(
                        "an increment that stands at two places",
                    ));
                }
            }
        }
        self.import(open)?;
        let before = self.held.take().map(|held| held.standing.outputs);
        standing.outputs = advance(before.unwrap_or_default(), standing.outputs)?;
        self.held = Some(Held {
            number,
            at: now,
            standing,
        });
        self.is_waiting = false;
        self.is_due = true;
        Ok(())
    }

    fn import(&mut self, open: Option<Open>) -> Result<(), StateError> {
        let Some(Open { tick, part, slices }) = open else {
            return Ok(());
        };
        let columns = match slices.as_slice() {
            [only] => only.clone(),
            several => arrow_select::concat::concat_batches(&several[0].schema(), several)
                .map_err(|_| StateError::Malformed("a chunk of several kinds"))?,
        };
        let chunk = StateChunk {
            tick,
            part,
            columns,
        };
        Ok(self.part.compiled.operator.import(chunk)?)
    }
}

/// A chunk of which some slices were found.
#[derive(Debug)]
struct Open {
    tick: Tick,
    part: Part,
    slices: Vec<RecordBatch>,
}

type Outputs = Vec<Vec<crate::edge::Retained>>;

/// What is retained, with what is new of it.
fn advance(before: Outputs, new: Outputs) -> Result<Outputs, StateError> {
    let mut before = before.into_iter();
    let mut outputs = Vec::with_capacity(new.len());
    for new in new {
        let mut known = before.next().unwrap_or_default();
        for new in new {
            let origin = new.origin;
            let place = known.iter().position(|known| known.origin == origin);
            let place = place.unwrap_or_else(|| {
                known.push(crate::edge::Retained {
                    after: new.released.0,
                    batches: Vec::new(),
                    ..new
                });
                known.len() - 1
            });
            if known.len() > ORIGINS_MAX || !known[place].advance(new) {
                return Err(StateError::Malformed(
                    "retained batches that leave something out",
                ));
            }
        }
        outputs.push(known);
    }
    Ok(outputs)
}
