//! Operators: what is computed on rows. One file for each; a line in [`KINDS`] makes it known.
//!
//! To add an operator, write `operator/<name>.rs` with a [`Kind`] and an implementation of [`Operator`], and
//! name the kind in [`KINDS`]. Application files, their checks, `synergy validate --schema` and the canonical
//! names of streams follow from the kind alone.
//!
//! An operator sees rows and progress. Positions, headers and duplicates are not its business:
//! [`crate::step`] frames what it emits.

use std::collections::VecDeque;
use std::fmt::Debug;

use arrow_array::RecordBatch;
use model::{Arguments, EventTime, Origin, Schema};

use crate::batch::{Batch, Rows};
use crate::frontier::Slide;
use crate::mailbox::Channel;

mod arguments;
mod chunk;
mod distinct;
mod evaluate;
mod filter;
mod flat_map;
#[cfg(test)]
mod harness;
mod join;
mod map;
mod selection;
mod split;
#[cfg(test)]
mod tests;
mod ticks;
mod top;
mod union;
mod walk;
mod window;

pub use chunk::{Cursor, ExportPart, ImportError, Part, StateChunk};

/// All operators, in the order in which they are listed to people.
pub const KINDS: &[&Kind] = &[
    &filter::KIND,
    &map::KIND,
    &flat_map::KIND,
    &split::KIND,
    &union::KIND,
    &window::KIND,
    &join::KIND,
    &distinct::KIND,
    &top::KIND,
];

/// The kind of operator called `name`.
pub fn find(name: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|kind| kind.name == name).copied()
}

/// Whether there is an operator called `name`, and it holds what cannot be had again from what it is asked for.
pub fn has_state(name: &str) -> bool {
    find(name).is_some_and(Kind::has_state)
}

/// A running operator.
///
/// It is called by one worker at a time. What it returns must depend on the rows, their order within each
/// origin and the progress alone: not on how rows were cut into batches, nor on the order of origins.
pub trait Operator: Send + Debug {
    /// Rows of one origin arrived at an input port; they are not empty.
    fn process(&mut self, port: u16, batch: &Batch, emit: &mut Emitter);

    /// No row that is due before `progress` will come any more, from any origin. Never decreases.
    ///
    /// Who has more to emit than [`Emitter::is_full`] allows says so, and is called again with the same
    /// progress when there is room; no rows come in before it is done.
    fn on_progress(&mut self, progress: EventTime, emit: &mut Emitter) -> Closing {
        let _ = (progress, emit);
        Closing::Done
    }

    /// When it closes something that rows of earlier progress are part of; nothing for one that acts on every batch at once.
    fn slide(&self) -> Option<Slide> {
        None
    }

    /// The next part of the state behind `at`, as chunks of about so many bytes together, and moves `at` on behind it. Rows and progress may come
    /// between two parts: what they change is in later ones, so that all parts together are the state of the moment of the last. A part takes about
    /// as long as a batch, whatever the state.
    ///
    /// One export is under way at a time: what another cursor has begun comes to nothing.
    fn export(&mut self, at: &mut Cursor, bytes_max: usize) -> ExportPart {
        let _ = (at, bytes_max);
        ExportPart::default()
    }

    /// The last tick that is complete: what changes from now on is state of later ones. Nothing while none is.
    fn complete(&self) -> Option<Tick> {
        None
    }

    /// The memory that the state holds, in bytes.
    fn bytes(&self) -> usize {
        0
    }

    /// Takes a chunk of state in, as [`StateChunk::part`] says.
    ///
    /// # Errors
    /// When the chunk is not of this operator's making; nothing has changed then.
    fn import(&mut self, chunk: StateChunk) -> Result<(), ImportError> {
        Err(ImportError::Stateless { tick: chunk.tick })
    }
}

/// Whether an operator has emitted all that a progress completes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Closing {
    /// It has.
    Done,
    /// There is more: call again.
    More,
}

/// The rows of complete ticks after which an operator leaves the rest for later.
///
/// Unit: rows. Source: guess; bounds how long one step holds a worker and how far it goes beyond credit.
pub const CLOSING_ROWS_MAX: usize = 16 * crate::batch::ROWS_MAX;

/// A window, a slide or 10 ms of event time: the number of its end, counted from the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tick(pub i64);

impl Tick {
    /// The last tick before the earliest one that is open; nothing where all are.
    const fn before(open: i64) -> Option<Self> {
        match open {
            i64::MIN => None,
            _ => Some(Self(open - 1)),
        }
    }
}

/// What a tick gives when it is complete.
#[derive(Debug, Clone)]
pub struct CompleteTick {
    /// Which one.
    pub tick: Tick,
    /// The earliest event time that counts in it: who joined later has not seen all of it.
    pub began: EventTime,
    /// The event time of its rows.
    pub time: EventTime,
    /// Its rows, or the next part of them.
    pub columns: RecordBatch,
}

/// A tick that is complete, and how many rows it gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TickRows {
    /// Which one.
    pub tick: Tick,
    /// See [`CompleteTick::began`].
    pub began: EventTime,
    /// The event time of its rows.
    pub time: EventTime,
    /// How many rows it has.
    pub rows: usize,
}

/// Takes what an operator emits.
#[derive(Debug, Default)]
pub struct Emitter {
    /// Rows with the positions of the batch in hand, by output port.
    pub(crate) kept: Vec<(u16, Rows)>,
    /// Complete ticks, in order.
    pub(crate) ticks: Vec<TickRows>,
    /// The rows of all of them, in order: each part of whole ticks, and none of them empty.
    pub(crate) columns: VecDeque<RecordBatch>,
    /// How many rows that are.
    pub(crate) tick_rows: usize,
    /// No later row of a tick has an earlier event time.
    pub(crate) progress: Option<EventTime>,
    /// Rows of the batch in hand that came too late for every window.
    pub(crate) late: Vec<Rows>,
    /// Rows of the batch in hand that could not be evaluated, and the first reason.
    pub(crate) bad: Vec<(Rows, String)>,
    /// The memory that the operator's state holds, where it said so.
    pub(crate) state_bytes: Option<usize>,
}

impl Emitter {
    /// Rows made of rows of the batch in hand, at the same positions, leave at an output port.
    pub fn rows(&mut self, port: u16, rows: Rows) {
        if !rows.is_empty() {
            self.kept.push((port, rows));
        }
    }

    /// The rows of a tick, in key order.
    ///
    /// Ticks must come in order, and before a progress beyond the event time of their rows. A tick may come in parts,
    /// each but the last of whole chunks of [`crate::batch::ROWS_MAX`] rows, so that its chunks are the same ones
    /// wherever it was parted.
    pub fn tick(&mut self, tick: CompleteTick) {
        let CompleteTick {
            tick,
            began,
            time,
            columns,
        } = tick;
        let rows = columns.num_rows();
        let only = TickRows {
            tick,
            began,
            time,
            rows,
        };
        self.ticks([only], columns);
    }

    /// The rows of several ticks, one after the other: as many as each of them says. See [`Emitter::tick`].
    ///
    /// # Panics
    /// When there are more or fewer rows than ticks say.
    pub fn ticks(&mut self, ticks: impl IntoIterator<Item = TickRows>, columns: RecordBatch) {
        let before = self.tick_rows;
        for tick in ticks.into_iter().filter(|tick| tick.rows > 0) {
            self.tick_rows += tick.rows;
            self.ticks.push(tick);
        }
        let rows = columns.num_rows();
        assert_eq!(self.tick_rows - before, rows, "each row is of a tick");
        if rows > 0 {
            self.columns.push_back(columns);
        }
    }

    /// Whether so many rows of ticks were emitted that the rest must wait.
    pub const fn is_full(&self) -> bool {
        self.tick_rows >= CLOSING_ROWS_MAX
    }

    /// No row that is emitted as part of a tick from now on has an earlier event time.
    pub fn progress(&mut self, progress: EventTime) {
        self.progress = Some(self.progress.map_or(progress, |known| known.max(progress)));
    }

    /// Rows of the batch in hand came too late for every window.
    pub fn late(&mut self, rows: Rows) {
        if !rows.is_empty() {
            self.late.push(rows);
        }
    }

    /// Rows of the batch in hand could not be evaluated.
    pub fn bad(&mut self, rows: Rows, message: String) {
        if !rows.is_empty() {
            self.bad.push((rows, message));
        }
    }

    /// Forgets what was emitted.
    pub(crate) fn clear(&mut self) {
        let Self {
            kept,
            ticks,
            columns,
            tick_rows,
            progress,
            late,
            bad,
            state_bytes,
        } = self;
        kept.clear();
        ticks.clear();
        columns.clear();
        *tick_rows = 0;
        late.clear();
        bad.clear();
        (*progress, *state_bytes) = (None, None);
    }

    /// The operator's state holds so many bytes now.
    pub fn holds(&mut self, bytes: usize) {
        self.state_bytes = Some(bytes);
    }
}

/// A kind of operator: its word, what it asks for, and how one is made.
#[derive(Debug)]
pub struct Kind {
    /// The word that application files use.
    pub name: &'static str,
    /// What it computes, in a sentence.
    pub doc: &'static str,
    /// How many streams it reads.
    pub inputs: Inputs,
    /// What may and must be given.
    pub parameters: &'static [Parameter],
    /// How what it emits is numbered.
    pub numbering: Numbering,
    /// Makes one.
    ///
    /// Called to check an application file, to name a stream and to start a component: always with the
    /// same outcome for the same arguments and inputs. Called with its own normalized parameters it must
    /// give the same again.
    pub compile: fn(&Arguments, &[Schema]) -> Result<Compiled, Vec<ArgumentError>>,
}

impl Kind {
    /// Whether it holds what cannot be had again from what it is asked for.
    pub fn has_state(&self) -> bool {
        self.numbering == Numbering::Own
    }
}

/// How many streams an operator reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inputs {
    /// One.
    One,
    /// Two, each with a part of its own: the left one and the right one.
    Two,
    /// One or more, whose order does not matter.
    AnyOrder,
}

/// How what an operator emits is numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbering {
    /// Rows keep the positions of the rows that they were made of.
    Kept,
    /// The same, with origins renamed by input port.
    KeptByPort,
    /// The operator is an origin: it numbers rows by tick and chunk.
    Own,
}

impl Numbering {
    /// As which origin rows that came in by `channel` leave at an output port of a component that is itself
    /// the origin `own`.
    pub fn leaving(self, own: Origin, channel: Channel, port: u16) -> Origin {
        match self {
            Self::Own if port == 0 => own,
            Self::KeptByPort => channel.origin.through_port(channel.port),
            // A stream that comes in twice leaves as two: at a port for late rows, each side has its own of them.
            Self::Own if channel.port > 0 => channel.origin.through_port(channel.port),
            Self::Own | Self::Kept => channel.origin,
        }
    }
}

/// A parameter of an operator, as application files give it.
#[derive(Debug)]
pub struct Parameter {
    /// Its key.
    pub name: &'static str,
    /// What it must be.
    pub shape: Shape,
    /// Whether it must be given.
    pub required: bool,
    /// What it means, in a sentence.
    pub doc: &'static str,
}

/// What a parameter must be.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    /// An SQL expression: text.
    Expression,
    /// SQL expressions by the name of the column or port that each makes: a table of texts, in order.
    Expressions,
    /// Column names: a list of texts.
    Columns,
    /// A time span: text with a unit, `"10s"`; reaches the operator as microseconds.
    Duration,
    /// A time span that may lie before: `"-10s"`; reaches the operator as microseconds.
    SignedDuration,
    /// A table of named values.
    Table(&'static [Parameter]),
    /// Text that is taken as it is: a path, a column, a stream.
    Text,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A number above zero; reaches its reader as text that parses as a float.
    Number,
    /// Column types by column name: a table of the words of [`model::DataType::ALL`], in order.
    Types,
}

/// An operator that is ready to run, and what is known of it before it does.
#[derive(Debug)]
pub struct Compiled {
    /// The parameters in the one form that all that mean the same share.
    pub parameters: Arguments,
    /// The ports at which rows leave, with their columns. A port called `late` takes late rows, one called
    /// `bad` rows that could not be evaluated (see [`bad_schema`]); both come last.
    pub outputs: Vec<(String, Schema)>,
    /// The operator.
    pub operator: Box<dyn Operator>,
    /// What it costs before anything was measured.
    pub cost: DefaultCost,
}

/// What an operator's kind costs, until it is measured or declared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DefaultCost {
    /// For a batch, in seconds.
    pub batch_seconds: f64,
    /// For a row, in seconds.
    pub row_seconds: f64,
}

/// What is wrong with an argument.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{parameter}: {message}")]
pub struct ArgumentError {
    /// The parameter's key; of an entry of a table, `table.entry`.
    pub parameter: String,
    /// What is wrong, with the offending value, in lower case and without a full stop.
    pub message: String,
    /// What would be right, if that can be said.
    pub expected: Option<String>,
}

/// The columns of the port `bad`: those of the input, and the reason.
pub fn bad_schema(input: &Schema) -> Schema {
    let mut name = "error".to_owned();
    while input.find(&name).is_some() {
        name.push('_');
    }
    let mut fields = input.fields().to_vec();
    fields.push(model::Field::new(name, model::DataType::Utf8));
    Schema::new(fields).expect("the added name is new")
}
