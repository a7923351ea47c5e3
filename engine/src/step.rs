//! Steps: an operator and the frame around it, which gives what it emits positions and headers.
//!
//! This is where positions are made. A stateless operator's rows keep those of the rows they were made of;
//! a union renames origins by port; a stateful operator is an origin of its own and numbers its rows by
//! tick and chunk: `index = tick * 65,536 + chunk`, shifted so that ticks before the epoch have indices too.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use arrow_schema::SchemaRef;
use model::{EventTime, Interval, Origin, convert};

use crate::batch::{Batch, Header, ROWS_MAX, Rows};
use crate::columns;
use crate::mailbox::Channel;
use crate::operator::{Compiled, Emitter, Numbering, Operator, Tick};

#[cfg(test)]
mod tests;

/// The ticks that can be numbered lie between this and its negative.
///
/// With a slide of a millisecond that is 2,200 years on either side of the epoch.
pub const TICK_MAX: i64 = 1 << 46;

/// The chunks of one tick. Unit: chunks of [`ROWS_MAX`] rows.
pub const CHUNKS_MAX: u64 = 1 << 16;

/// A set of output ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ports(u128);

impl Ports {
    /// Puts a port into the set.
    pub const fn insert(&mut self, port: u16) {
        self.0 |= 1 << port;
    }

    /// Whether a port is in the set.
    pub const fn contains(self, port: u16) -> bool {
        self.0 >> port & 1 == 1
    }
}

/// An operator with what its output is framed by.
#[derive(Debug)]
pub struct Step {
    operator: Box<dyn Operator>,
    numbering: Numbering,
    outputs: Vec<SchemaRef>,
    late_port: Option<u16>,
    bad_port: Option<u16>,
    counting: Counting,
}

/// How far a stateful operator is: what it waits for, and what it has numbered.
#[derive(Debug)]
struct Counting {
    origin: Origin,
    /// The progress of every origin that is waited for, by the way it comes in.
    inputs: BTreeMap<Channel, EventTime>,
    /// The least of them, as the operator was told.
    reached: EventTime,
    through: u64,
    progress: EventTime,
    /// Rows known to be absent that no result has said yet.
    missing: u32,
}

/// What running a step on a batch gave.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Batches by output port, in order.
    pub outputs: Vec<(u16, Batch)>,
    /// How many rows were late for every window.
    pub late: u64,
    /// How many rows could not be evaluated.
    pub bad: u64,
    /// Why the first of them could not.
    pub bad_reason: Option<String>,
    /// The memory that the operator's state holds, where it has any.
    pub state_bytes: Option<u64>,
}

impl Step {
    /// The step of an operator that numbers its own rows, if it does, as `origin`, and waits for `inputs`.
    pub fn new(
        compiled: Compiled,
        numbering: Numbering,
        origin: Origin,
        inputs: impl IntoIterator<Item = Channel>,
    ) -> Self {
        let port = |name: &str| {
            let found = compiled.outputs.iter().position(|(known, _)| known == name);
            found.and_then(|port| u16::try_from(port).ok())
        };
        Self {
            late_port: port("late"),
            bad_port: port("bad"),
            outputs: compiled
                .outputs
                .iter()
                .map(|(_, schema)| columns::to_arrow(schema))
                .collect(),
            operator: compiled.operator,
            numbering,
            counting: Counting {
                origin,
                inputs: inputs
                    .into_iter()
                    .map(|channel| (channel, EventTime::MIN))
                    .collect(),
                reached: EventTime::MIN,
                through: 0,
                progress: EventTime::MIN,
                missing: 0,
            },
        }
    }

    /// The operator inside, for its state.
    pub fn operator_mut(&mut self) -> &mut dyn Operator {
        self.operator.as_mut()
    }

    /// Runs the operator on a batch that came in by `channel`; `wanted` are the ports that somebody reads.
    pub fn run(&mut self, channel: Channel, batch: &Batch, wanted: Ports) -> Outcome {
        let mut emit = Emitter::default();
        if !batch.rows.is_empty() {
            self.operator.process(channel.port, batch, &mut emit);
        }
        let is_stateful = self.numbering == Numbering::Own;
        if is_stateful && let Some(reached) = self.counting.reach(channel, batch) {
            self.operator.on_progress(reached, &mut emit);
        }
        let mut outcome = Outcome {
            late: emit.late.iter().map(|rows| convert::size(rows.len())).sum(),
            bad: emit
                .bad
                .iter()
                .map(|(rows, _)| convert::size(rows.len()))
                .sum(),
            bad_reason: emit.bad.first().map(|(_, reason)| reason.clone()),
            state_bytes: emit.state_bytes.map(convert::size),
            outputs: Vec::new(),
        };
        if is_stateful {
            self.counting
                .number(&mut emit, batch, &self.outputs[0], wanted, &mut outcome);
        }
        self.frame(channel, batch, emit, wanted, &mut outcome);
        outcome
    }

    /// Frames what keeps its positions: one batch for each wanted port, also where it has no rows, so that
    /// every reader knows how far the origin is.
    fn frame(
        &self,
        channel: Channel,
        batch: &Batch,
        emit: Emitter,
        wanted: Ports,
        outcome: &mut Outcome,
    ) {
        let origin = match self.numbering {
            Numbering::KeptByPort => channel.origin.through_port(channel.port),
            Numbering::Kept | Numbering::Own => channel.origin,
        };
        let header = Header {
            origin,
            ..batch.header.clone()
        };
        let mut by_port: BTreeMap<u16, Vec<Rows>> = BTreeMap::new();
        for (port, rows) in emit.kept {
            by_port.entry(port).or_default().push(rows);
        }
        if let Some(port) = self.late_port.filter(|port| wanted.contains(*port)) {
            by_port.insert(port, emit.late);
        }
        if let Some(port) = self.bad_port.filter(|port| wanted.contains(*port)) {
            let schema = &self.outputs[usize::from(port)];
            let with_reason = |(rows, reason): &(Rows, String)| reasoned(rows, reason, schema);
            by_port.insert(port, emit.bad.iter().map(with_reason).collect());
        }
        for (port, schema) in (0..).zip(&self.outputs) {
            let is_numbered = self.numbering == Numbering::Own && port == 0;
            if is_numbered || !wanted.contains(port) {
                continue;
            }
            let mut rows = by_port.remove(&port).unwrap_or_default();
            let rows = match rows.len() {
                0 => Rows::empty(Arc::clone(schema)),
                1 => rows.remove(0),
                _ => Rows::merge(&rows),
            };
            // What an operator makes of rows may differ from the plan in metadata, never in types.
            let columns =
                RecordBatch::try_new(Arc::clone(schema), rows.columns().columns().to_vec())
                    .expect("an operator emits the columns that it declared");
            let rows = rows.with_columns(columns);
            outcome.outputs.push((
                port,
                Batch {
                    header: header.clone(),
                    rows,
                },
            ));
        }
    }
}

impl Counting {
    /// Notes the progress that a batch brings; gives the least of all inputs where it has grown.
    fn reach(&mut self, channel: Channel, batch: &Batch) -> Option<EventTime> {
        self.missing = self.missing.saturating_add(batch.header.missing);
        let progress = self.inputs.entry(channel).or_insert(EventTime::MIN);
        *progress = (*progress).max(batch.header.progress);
        let least = self.inputs.values().copied().min()?;
        (least > self.reached).then(|| {
            self.reached = least;
            least
        })
    }

    /// Numbers the rows of complete ticks and says how far they go.
    fn number(
        &mut self,
        emit: &mut Emitter,
        cause: &Batch,
        schema: &SchemaRef,
        wanted: Ports,
        outcome: &mut Outcome,
    ) {
        for (tick, time, columns) in emit.ticks.drain(..) {
            // Later rows come at this time or after it.
            self.progress = self.progress.max(time);
            let rows = columns.num_rows();
            for (chunk, start) in (0..).zip((0..rows).step_by(ROWS_MAX)) {
                let columns = columns.slice(start, ROWS_MAX.min(rows - start));
                let columns = RecordBatch::try_new(Arc::clone(schema), columns.columns().to_vec())
                    .expect("an operator emits the columns that it declared");
                let interval = Interval::new(self.through, index(tick, chunk));
                self.through = interval.through();
                let missing = std::mem::take(&mut self.missing);
                let header = self.header(interval, cause, missing);
                outcome.outputs.push((
                    0,
                    Batch {
                        header,
                        rows: Rows::chunk(columns, time),
                    },
                ));
            }
        }
        let Some(progress) = emit.progress.filter(|progress| *progress > self.progress) else {
            outcome.outputs.retain(|(port, _)| wanted.contains(*port));
            return;
        };
        self.progress = progress;
        match outcome.outputs.last_mut() {
            Some((_, last)) => last.header.progress = progress,
            None => {
                let header = self.header(Interval::empty(self.through), cause, 0);
                outcome.outputs.push((
                    0,
                    Batch {
                        header,
                        rows: Rows::empty(Arc::clone(schema)),
                    },
                ));
            }
        }
        outcome.outputs.retain(|(port, _)| wanted.contains(*port));
    }

    fn header(&self, interval: Interval, cause: &Batch, missing: u32) -> Header {
        Header {
            origin: self.origin,
            interval,
            arrival: cause.header.arrival,
            progress: self.progress,
            missing,
            note: None,
        }
    }
}

/// The index of a chunk of a tick.
///
/// # Panics
/// When the tick or the chunk is beyond what can be numbered: operators see to the first, memory to the
/// second.
fn index(tick: Tick, chunk: u64) -> u64 {
    assert!(
        -TICK_MAX < tick.0 && tick.0 < TICK_MAX,
        "tick {} cannot be numbered",
        tick.0
    );
    assert!(
        chunk < CHUNKS_MAX,
        "tick {} has more than {CHUNKS_MAX} chunks",
        tick.0
    );
    let shifted =
        u64::try_from(tick.0 + TICK_MAX).expect("a tick lies above the negative of the limit");
    shifted * CHUNKS_MAX + chunk
}

/// Rows with a last column that says what is wrong with them.
fn reasoned(rows: &Rows, reason: &str, schema: &SchemaRef) -> Rows {
    let reasons = StringArray::from_iter_values(std::iter::repeat_n(reason, rows.len()));
    let mut columns: Vec<ArrayRef> = rows.columns().columns().to_vec();
    columns.push(Arc::new(reasons));
    let columns = RecordBatch::try_new(Arc::clone(schema), columns)
        .expect("the columns of the port `bad` are those of the input and the reason");
    rows.with_columns(columns)
}

/// The origins that leave at an output port, given the ways in.
pub fn origins(numbering: Numbering, own: Origin, inputs: &[Channel], port: u16) -> Vec<Origin> {
    let mut origins: Vec<Origin> = match numbering {
        Numbering::Own if port == 0 => vec![own],
        Numbering::KeptByPort => inputs
            .iter()
            .map(|channel| channel.origin.through_port(channel.port))
            .collect(),
        Numbering::Own | Numbering::Kept => inputs.iter().map(|channel| channel.origin).collect(),
    };
    origins.sort_unstable();
    origins.dedup();
    origins
}
