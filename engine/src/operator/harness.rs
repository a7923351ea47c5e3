//! What tests of stateful operators share: rows to be, an operator at work, and the turns that it takes them in.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use model::{Arguments, DataType, EventTime, Field, Instant, Interval, Origin, Schema};
use proptest::prelude::*;

use super::{
    ArgumentError, Closing, Compiled, Cursor, Emitter, ImportError, Inputs, Kind, Operator,
    StateChunk,
};
use crate::batch::{Batch, Header, ROWS_MAX, Rows, Token};
use crate::state::{Item, Piece};
use crate::{columns, frame};

/// `key`, `value` and `weight`.
pub(super) fn weighted() -> Schema {
    schema(Field::new("weight", DataType::Float64))
}

/// `key`, `value` and `number`.
pub(super) fn numbered() -> Schema {
    schema(Field::new("number", DataType::Int64))
}

fn schema(last: Field) -> Schema {
    let key = Field::new("key", DataType::Utf8);
    Schema::new(vec![key, Field::new("value", DataType::Int64), last]).unwrap()
}

/// A row to be: its event time, when it is due, its key, its value and what it is told apart by. Its weight is half its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) time: i64,
    pub(super) due: i64,
    pub(super) key: Option<&'static str>,
    pub(super) value: Option<i64>,
    pub(super) number: i64,
}

/// A row that is due at its event time.
pub(super) fn row(time: i64, key: &'static str, value: i64) -> Row {
    late_row(time, time, key, value)
}

/// A row that is called by its event time.
pub(super) fn late_row(time: i64, due: i64, key: &'static str, value: i64) -> Row {
    Row {
        time,
        due,
        key: Some(key),
        value: Some(value),
        number: time,
    }
}

/// Any row at most `reach` from the epoch; of four one is due up to `delay` later.
pub(super) fn any_row(reach: i64, delay: i64, values: Range<i64>) -> impl Strategy<Value = Row> {
    let key = prop::sample::select(vec![None, Some("a"), Some("b"), Some("")]);
    let value = prop::option::weighted(0.9, values);
    let delay = prop_oneof![3 => Just(0_i64), 1 => 0..delay];
    let row = (-reach..reach, delay, key, value, 0..1_000_i64);
    row.prop_map(|(time, delay, key, value, number)| Row {
        time,
        due: time + delay,
        key,
        value,
        number,
    })
}

impl Row {
    /// The windows that it counts in, of so many panes of a length.
    pub(super) fn windows(&self, slide: i64, panes: i64, lateness: i64) -> Vec<i64> {
        let pane = self.time.div_euclid(slide) + 1;
        let counts = |window: &i64| self.due < window * slide + lateness;
        (pane..pane + panes).filter(counts).collect()
    }
}

/// How results show a row with its weight.
#[expect(clippy::cast_precision_loss, reason = "the tests use small numbers")]
pub(super) fn show_weighted(key: Option<&str>, value: Option<i64>) -> String {
    let key = key.unwrap_or("-");
    match value {
        Some(value) => format!("{key} {value} {:?}", value as f64 / 2.0),
        None => format!("{key} - -"),
    }
}

/// A batch of rows with the columns of a schema, which go by their names.
#[expect(clippy::cast_precision_loss, reason = "the tests use small numbers")]
pub(super) fn batch(schema: &Schema, origin: u128, rows: &[Row]) -> Batch {
    let weight = |row: &Row| row.value.map(|value| value as f64 / 2.0);
    let column = |field: &Field| -> ArrayRef {
        let rows = rows.iter();
        match &*field.name {
            "key" => Arc::new(rows.map(|row| row.key).collect::<StringArray>()),
            "value" => Arc::new(rows.map(|row| row.value).collect::<Int64Array>()),
            "weight" => Arc::new(rows.map(weight).collect::<Float64Array>()),
            "number" => Arc::new(rows.map(|row| Some(row.number)).collect::<Int64Array>()),
            other => panic!("rows have no {other}"),
        }
    };
    let arrays = schema.fields().iter().map(column).collect();
    let columns = RecordBatch::try_new(columns::to_arrow(schema), arrays).unwrap();
    let times = rows.iter().map(|row| row.time).collect();
    let dues: Vec<i64> = rows.iter().map(|row| row.due).collect();
    let any_due = rows.iter().any(|row| row.due != row.time);
    Batch {
        header: Header {
            origin: Origin(origin),
            interval: Interval::new(0, model::convert::size(rows.len())),
            arrival: Instant::ZERO,
            progress: EventTime::MIN,
            token: Token::Unmetered,
            missing: 0,
            note: None,
        },
        rows: Rows::dense(columns, times, any_due.then_some(dues)),
    }
}

/// Compiles an operator that reads streams of one schema; its normal parameters must stay as they are.
pub(super) fn compile(
    kind: &Kind,
    input: &Schema,
    arguments: &Arguments,
) -> Result<Compiled, Vec<ArgumentError>> {
    let inputs = inputs(kind, input);
    let compiled = (kind.compile)(arguments, &inputs)?;
    let again = (kind.compile)(&compiled.parameters, &inputs)?;
    assert_eq!(again.parameters, compiled.parameters);
    assert_eq!(again.outputs, compiled.outputs);
    Ok(compiled)
}

/// As many streams of a schema as a kind reads.
fn inputs(kind: &Kind, schema: &Schema) -> Vec<Schema> {
    let count = match kind.inputs {
        Inputs::Two => 2,
        Inputs::One | Inputs::AnyOrder => 1,
    };
    vec![schema.clone(); count]
}

/// An operator at work, and all that it has emitted.
#[derive(Debug)]
pub(super) struct Run {
    kind: &'static Kind,
    input: Schema,
    arguments: Arguments,
    pub(super) operator: Box<dyn Operator>,
    /// Each result row as text: its tick, event time and columns.
    pub(super) results: Vec<String>,
    /// The values of late rows and bad ones.
    pub(super) late: Vec<String>,
    pub(super) bad: Vec<String>,
    pub(super) progress: Option<EventTime>,
    pub(super) bytes: usize,
    /// How many times the operator said that there is more.
    pub(super) parts: usize,
}

impl Run {
    /// An operator of any kind, at the beginning.
    pub(super) fn new(kind: &'static Kind, input: Schema, arguments: &Arguments) -> Self {
        Self {
            operator: compile(kind, &input, arguments).unwrap().operator,
            kind,
            input,
            arguments: arguments.clone(),
            results: Vec::new(),
            late: Vec::new(),
            bad: Vec::new(),
            progress: None,
            bytes: 0,
            parts: 0,
        }
    }

    /// Rows arrive at the only port.
    pub(super) fn rows(&mut self, origin: u128, rows: &[Row]) {
        self.rows_at(0, origin, rows);
    }

    pub(super) fn rows_at(&mut self, port: u16, origin: u128, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        let mut emit = Emitter::default();
        let batch = batch(&self.input, origin, rows);
        self.operator.process(port, &batch, &mut emit);
        assert!(emit.ticks.is_empty(), "only progress closes ticks");
        self.take(emit);
    }

    pub(super) fn progress(&mut self, progress: i64) {
        while self.advance(progress) == Closing::More {
            self.parts += 1;
        }
    }

    /// Tells the operator of progress once, whether or not it has more to say then.
    pub(super) fn advance(&mut self, progress: i64) -> Closing {
        let mut emit = Emitter::default();
        let closing = self.operator.on_progress(EventTime(progress), &mut emit);
        self.take(emit);
        closing
    }

    pub(super) fn end(&mut self) {
        self.progress(i64::MAX);
        assert_eq!(self.progress, Some(EventTime::MAX));
        assert_eq!(self.bytes, 0, "nothing is held when all ticks are closed");
    }

    /// Goes on with a new operator that has the state of this one.
    pub(super) fn transfer(&mut self) {
        let mut heir = self.anew();
        self.tell(&mut *heir, Cursor::default());
        self.operator = heir;
    }

    /// A run that begins with the state of this one.
    pub(super) fn copy(&mut self) -> Self {
        let mut copy = Self::new(self.kind, self.input.clone(), &self.arguments);
        self.tell(&mut *copy.operator, Cursor::default());
        copy
    }

    /// Tells another operator what is behind a cursor, by frames as if it were on another host.
    pub(super) fn tell(&mut self, other: &mut dyn Operator, mut at: Cursor) {
        while !self.tell_part(other, &mut at, usize::MAX) {}
    }

    /// Tells another operator the next part of what is behind a cursor. Says whether it was the last.
    pub(super) fn tell_part(
        &mut self,
        other: &mut dyn Operator,
        at: &mut Cursor,
        bytes_max: usize,
    ) -> bool {
        let part = self.operator.export(at, bytes_max);
        for chunk in part.chunks {
            assert!(at.since.is_none_or(|since| chunk.tick > since));
            other.import(sent(chunk)).unwrap();
        }
        part.is_last
    }

    /// All chunks of the state that have columns.
    pub(super) fn state(&mut self) -> Vec<StateChunk> {
        let part = self.operator.export(&mut Cursor::default(), usize::MAX);
        assert!(part.is_last);
        let mut chunks = part.chunks;
        chunks.retain(|chunk| chunk.columns.num_columns() > 0);
        chunks
    }

    /// Checks that chunks of state that are not of this operator's making are refused, each of them.
    pub(super) fn refuses(&mut self, chunks: Vec<StateChunk>) {
        for chunk in chunks {
            let refused = self.operator.import(chunk.clone());
            assert!(matches!(refused, Err(ImportError::Columns(_))), "{chunk:?}");
        }
    }

    /// Takes the rows of some origins in, each at its port, in turns; what is left when these are over comes last.
    pub(super) fn interleave<'r>(
        &mut self,
        origins: impl IntoIterator<Item = (u16, &'r [Row])>,
        turns: &[Turn],
    ) {
        let (ports, mut left): (Vec<u16>, Vec<&[Row]>) = origins.into_iter().unzip();
        let mut backup = self.anew();
        let mut told = Cursor::default();
        let rest = (0..ports.len()).map(|origin| (origin, usize::MAX, Event::Nothing));
        for (turn, count, event) in turns.iter().copied().chain(rest) {
            let origin = turn % ports.len();
            let (taken, behind) = left[origin].split_at(count.min(left[origin].len()));
            left[origin] = behind;
            self.rows_at(ports[origin], u128::try_from(origin).unwrap(), taken);
            match event {
                Event::Nothing => {}
                Event::Progress => {
                    if let Some(due) = left.iter().copied().flatten().map(|row| row.due).min() {
                        self.progress(due);
                        self.back_up(&mut *backup, &mut told);
                    }
                }
                Event::Part => self.back_up(&mut *backup, &mut told),
                Event::Transfer => {
                    self.transfer();
                    // How far a part of a state has come is one operator's affair.
                    told.within = None;
                }
                Event::Backup => {
                    while !self.tell_part(&mut *backup, &mut told, 1) {}
                    self.operator = std::mem::replace(&mut backup, self.anew());
                    told = Cursor::default();
                }
            }
        }
    }

    /// Tells a backup the least part that there is; the next one is of the next increment where it was the last.
    fn back_up(&mut self, backup: &mut dyn Operator, told: &mut Cursor) {
        if self.tell_part(backup, told, 1) {
            *told = Cursor::behind(told.since.max(self.operator.complete()));
        }
    }

    fn anew(&self) -> Box<dyn Operator> {
        let inputs = inputs(self.kind, &self.input);
        let compiled = (self.kind.compile)(&self.arguments, &inputs);
        compiled.unwrap().operator
    }

    fn take(&mut self, mut emit: Emitter) {
        // Ticks come in order; one of a join may come in parts, all but the last of them of whole chunks.
        let has_parts = self.kind.inputs == Inputs::Two;
        let mut last: Option<(EventTime, usize)> = None;
        for done in std::mem::take(&mut emit.ticks) {
            let parts = emit.take_rows(done.rows);
            let (tick, time) = (done.tick, done.time);
            assert!(
                self.progress.is_none_or(|progress| time >= progress),
                "progress was kept to"
            );
            assert!(done.began <= time);
            let follows = |(last, rows): (EventTime, usize)| {
                time > last || has_parts && time == last && rows.is_multiple_of(ROWS_MAX)
            };
            assert!(last.is_none_or(follows), "ticks come in order");
            last = Some((time, done.rows));
            let texts = parts.iter().flat_map(texts);
            self.results
                .extend(texts.map(|text| format!("{} @{} {text}", tick.0, time.0)));
        }
        if let Some(progress) = emit.progress {
            assert!(self.progress.is_none_or(|before| before <= progress));
            assert!(last.is_none_or(|(last, _)| last < progress));
            self.progress = Some(progress);
        }
        self.late
            .extend(emit.late.iter().flat_map(|rows| texts(rows.columns())));
        for (rows, message) in &emit.bad {
            let texts = texts(rows.columns()).into_iter();
            self.bad
                .extend(texts.map(|text| format!("{text}: {message}")));
        }
        self.bytes = emit.state_bytes.unwrap_or(self.bytes);
    }
}

/// What happens between two batches.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    Nothing,
    /// Progress reaches the earliest row that is left, and a backup is told a part of what changed.
    Progress,
    /// The backup is told another part.
    Part,
    /// Another operator takes over.
    Transfer,
    /// The backup takes over, told of what is left to tell.
    Backup,
}

/// Which origin has its turn, how many of its rows come at most, and what happens then.
pub(super) type Turn = (usize, usize, Event);

/// Turns that favor none of up to four origins.
pub(super) fn any_turns() -> impl Strategy<Value = Vec<Turn>> {
    use Event::{Backup, Nothing, Part, Progress, Transfer};
    let event = prop::sample::select(vec![
        Nothing, Progress, Progress, Part, Part, Transfer, Backup,
    ]);
    prop::collection::vec((0_usize..12, 1_usize..8, event), 0..40)
}

/// The rows of some columns as text; times as microseconds.
fn texts(columns: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::new().with_null("-");
    let plain = |column: &ArrayRef| match column.data_type() {
        arrow_schema::DataType::Timestamp(..) => {
            arrow_cast::cast(column, &arrow_schema::DataType::Int64).unwrap()
        }
        _ => Arc::clone(column),
    };
    let plain: Vec<ArrayRef> = columns.columns().iter().map(plain).collect();
    let formatters: Vec<ArrayFormatter<'_>> = plain
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options).unwrap())
        .collect();
    let text = |index: usize| {
        let values = formatters.iter();
        let values = values.map(|formatter| formatter.value(index).to_string());
        values.collect::<Vec<_>>().join(" ")
    };
    (0..columns.num_rows()).map(text).collect()
}

/// A chunk as another host gets it.
fn sent(chunk: StateChunk) -> StateChunk {
    let item = Item::Chunk {
        tick: chunk.tick,
        part: chunk.part,
        goes_on: false,
        columns: chunk.columns,
    };
    let piece = Piece {
        number: 1,
        base: 0,
        place: 0,
        item,
    };
    let mut bytes = Vec::new();
    frame::encode_piece(Instant::ZERO, Instant::ZERO, &piece, &mut bytes).unwrap();
    let decoded = frame::decode_piece(&bytes, &[], Instant::ZERO).unwrap();
    match decoded.item {
        Item::Chunk {
            tick,
            part,
            columns,
            ..
        } => StateChunk {
            tick,
            part,
            columns,
        },
        other => panic!("{other:?} instead of a chunk"),
    }
}
