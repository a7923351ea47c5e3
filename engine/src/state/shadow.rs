//! The receiving end of a state stream.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use model::{Instant, convert};

use super::{FIRST_REQUEST, Item, PIECES_MAX, Piece, Resumed, Standing, StatePull};
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
#[derive(Debug, Default)]
struct Assembly {
    number: u64,
    /// How many pieces there are, once the last is here.
    count: Option<u32>,
    /// Those that wait for others, by their places.
    items: BTreeMap<u32, Item>,
    /// What those hold.
    bytes: u64,
    /// How many pieces from the first on wait no more: the operator has them, or [`Assembly::open`].
    taken: u32,
    /// The chunk that the last of those is a part of, and may not be all of.
    open: Option<Open>,
}

impl Assembly {
    /// Whether all pieces are here.
    fn is_whole(&self) -> bool {
        let here = u64::from(self.taken) + convert::size(self.items.len());
        self.count.is_some_and(|count| here == u64::from(count))
    }

    /// The memory that it holds.
    fn bytes(&self) -> u64 {
        self.bytes + self.open.as_ref().map_or(0, |open| open.bytes)
    }

    /// The piece that comes next, where it is a chunk and is here.
    fn next_chunk(&mut self) -> Option<Item> {
        let first = self.items.first_entry()?;
        let is_next = *first.key() == self.taken;
        if !is_next || !matches!(first.get(), Item::Chunk { .. }) {
            return None;
        }
        let item = first.remove();
        self.taken += 1;
        self.bytes -= item.bytes();
        Some(item)
    }
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
    /// A shadow of an operator that is compiled as the one it is to hold the state of, and may take so many bytes. It waits for its first
    /// increment, which is asked for where its edge is opened.
    pub fn new(part: OperatorDeployment, bytes_max: u64) -> Self {
        let outputs = part.compiled.outputs.iter();
        Self {
            schemas: outputs
                .map(|(_, schema)| columns::to_arrow(schema))
                .collect(),
            part,
            bytes_max,
            held: None,
            request: FIRST_REQUEST,
            assembly: None,
            told: None,
            is_due: true,
            is_waiting: true,
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
        if piece.place >= PIECES_MAX {
            return Err(StateError::Malformed("a piece outside of its increment"));
        }
        if self
            .assembly
            .as_ref()
            .is_none_or(|known| known.number != piece.number)
        {
            // Whatever the operator has of an increment before is in this one as well, or closed by it.
            self.assembly = Some(Assembly {
                number: piece.number,
                ..Assembly::default()
            });
        }
        let held_bytes = self.held_bytes();
        let Some(assembly) = &mut self.assembly else {
            return Ok(Arrived::Dropped);
        };
        self.has_arrived = true;
        if piece.place < assembly.taken || assembly.items.contains_key(&piece.place) {
            self.dropped += 1;
            return Ok(Arrived::Dropped);
        }
        if matches!(piece.item, Item::Standing(_)) {
            let count = assembly.count.replace(piece.place + 1);
            if count.is_some() {
                return Err(StateError::Malformed(
                    "an increment that stands at two places",
                ));
            }
        }
        assembly.bytes += piece.bytes();
        assembly.items.insert(piece.place, piece.item);
        let last = assembly.items.last_key_value().map(|(place, _)| *place);
        if assembly.count.is_some_and(|count| last >= Some(count)) {
            return Err(StateError::Malformed("a piece behind the last"));
        }
        let bytes = assembly.bytes() + held_bytes;
        if bytes > self.bytes_max {
            let bytes_max = self.bytes_max;
            return Err(StateError::TooLarge { bytes, bytes_max });
        }
        if assembly.is_whole() {
            self.take_over(now)?;
            return Ok(Arrived::Whole);
        }
        if self.held.is_none() {
            self.take_in()?;
        }
        Ok(Arrived::Part)
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
        self.held_bytes() + self.assembly.as_ref().map_or(0, Assembly::bytes)
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

    /// Lets the operator have the chunks that are here, as far as none before them is missing: nothing is held yet that they could spoil.
    fn take_in(&mut self) -> Result<(), StateError> {
        let Some(mut assembly) = self.assembly.take() else {
            return Ok(());
        };
        while let Some(item) = assembly.next_chunk() {
            self.add(&mut assembly.open, item)?;
        }
        self.assembly = Some(assembly);
        Ok(())
    }

    /// Adds a piece to the chunk that is open, or lets the operator have that and opens the next one.
    fn add(&mut self, open: &mut Option<Open>, item: Item) -> Result<(), StateError> {
        let bytes = item.bytes();
        let Item::Chunk {
            tick,
            part,
            goes_on,
            columns,
        } = item
        else {
            return Err(StateError::Malformed("no chunk"));
        };
        match (goes_on, open.as_mut()) {
            (true, Some(open)) => {
                open.slices.push(columns);
                open.bytes += bytes;
            }
            (true, None) => return Err(StateError::Malformed("a chunk without a beginning")),
            (false, _) => {
                let slices = vec![columns];
                let next = Open {
                    tick,
                    part,
                    slices,
                    bytes,
                };
                self.import(open.replace(next))?;
            }
        }
        Ok(())
    }

    /// Takes over the increment of which all pieces are here.
    fn take_over(&mut self, now: Instant) -> Result<(), StateError> {
        let Some(mut assembly) = self.assembly.take() else {
            return Ok(());
        };
        let number = assembly.number;
        let Some((_, Item::Standing(mut standing))) = assembly.items.pop_last() else {
            return Err(StateError::Malformed(
                "an increment that does not say where it stands",
            ));
        };
        if standing.outputs.len() != self.schemas.len()
            || standing.counted.is_some() != (self.part.numbering == Numbering::Own)
        {
            return Err(StateError::Malformed("where another component stands"));
        }
        let mut open = assembly.open.take();
        for item in assembly.items.into_values() {
            match item {
                Item::Chunk { .. } => self.add(&mut open, item)?,
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
                    return Err(StateError::Malformed("an increment that stands twice"));
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
        let Some(Open {
            tick, part, slices, ..
        }) = open
        else {
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
        let operator = &mut self.part.compiled.operator;
        // State of who does not keep to the protocol may break an aggregate: as with a worker, that ends the operator alone.
        let imported = catch_unwind(AssertUnwindSafe(|| operator.import(chunk)));
        let broken = |_| StateError::Malformed("the operator broke on it");
        Ok(imported.map_err(broken)??)
    }
}

/// A chunk of which some slices were found.
#[derive(Debug)]
struct Open {
    tick: Tick,
    part: Part,
    slices: Vec<RecordBatch>,
    /// What they hold.
    bytes: u64,
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
                    after: new.released.index,
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
