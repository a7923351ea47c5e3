//! How rows of a stateful operator are numbered: by tick and chunk, when the progress of all that comes in has passed the tick.

use std::collections::{BTreeMap, BTreeSet};

use arrow_array::RecordBatch;
use arrow_select::concat::concat_batches;
use model::{EventTime, Interval, Origin, convert};

use super::{Stamp, declared};
use crate::batch::{Batch, Header, Note, ROWS_MAX, Rows};
use crate::mailbox::Channel;
use crate::operator::{Emitter, Tick, TickRows};

/// The ticks that can be numbered lie between this and its negative.
///
/// With a slide of a millisecond that is 2,200 years on either side of the epoch.
pub const TICK_MAX: i64 = 1 << 46;

/// The chunks of one tick. Unit: chunks of [`ROWS_MAX`] rows.
pub const CHUNKS_MAX: u64 = 1 << 16;

/// How far a stateful operator is: what it waits for, and what it has numbered.
#[derive(Debug)]
pub(super) struct Counting {
    pub(super) origin: Origin,
    /// The progress that is being completed, and what the batch that brought it says of its urgency.
    pub(super) closing: Option<(EventTime, Stamp)>,
    pub(super) counted: Counted,
    /// What it leaves out is told as missing: another instance was read before.
    pub(super) tells_left_out: bool,
}

/// What the frame around an operator has counted, between two batches and with nothing left to close. With it another
/// instance of the operator goes on numbering where this one was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Counted {
    /// The progress of every origin that is waited for, by the way it comes in.
    pub inputs: BTreeMap<Channel, EventTime>,
    /// The least of them, as the operator was told.
    pub reached: EventTime,
    /// The last index that was given.
    pub through: u64,
    /// The tick that the last rows were of, and how many chunks of it there were.
    pub chunks: (Tick, u64),
    /// The progress of what leaves.
    pub progress: EventTime,
    /// Rows known to be absent that no result has said yet.
    pub missing: u32,
    /// Ticks that began before this or at it are not given: some way in was joined in its middle.
    pub complete_from: EventTime,
    /// The ways in that were joined in their middle, nobody knows at which progress.
    pub joined_blindly: BTreeSet<Channel>,
}

impl Counted {
    /// Whether rows of a tick that began then may have come before some way in was joined: later rows are due at the progress there or
    /// after it, and so may earlier ones be that were due just then.
    fn leaves_out(&self, began: EventTime) -> bool {
        self.complete_from > EventTime::MIN && began <= self.complete_from
    }

    /// Nothing yet, with these ways in.
    fn new(inputs: impl IntoIterator<Item = Channel>) -> Self {
        let inputs = inputs.into_iter();
        Self {
            inputs: inputs.map(|channel| (channel, EventTime::MIN)).collect(),
            reached: EventTime::MIN,
            through: 0,
            chunks: (Tick(i64::MIN), 0),
            progress: EventTime::MIN,
            missing: 0,
            complete_from: EventTime::MIN,
            joined_blindly: BTreeSet::new(),
        }
    }
}

impl Counting {
    pub(super) fn new(origin: Origin, inputs: impl IntoIterator<Item = Channel>) -> Self {
        Self {
            origin,
            closing: None,
            counted: Counted::new(inputs),
            tells_left_out: false,
        }
    }

    /// Notes the progress that a batch brings; where the least of all inputs has grown, that is closed.
    pub(super) fn reach(&mut self, channel: Channel, batch: &Batch) {
        self.counted.missing = self.counted.missing.saturating_add(batch.header.missing);
        self.join(channel, &batch.header);
        let progress = self.counted.inputs.entry(channel).or_insert(EventTime::MIN);
        *progress = (*progress).max(batch.header.progress);
        let least = self
            .counted
            .inputs
            .values()
            .copied()
            .min()
            .unwrap_or(EventTime::MIN);
        if least > self.counted.reached {
            self.counted.reached = least;
            let Header { arrival, token, .. } = batch.header;
            self.closing = Some((least, Stamp { arrival, token }));
        }
    }

    /// Notes whether a way in begins in its middle. Rows before that count in ticks that began before the
    /// progress there, or before the last of them was due, and in no later ones: those are not given.
    fn join(&mut self, channel: Channel, header: &Header) {
        let begins = match header.note {
            Some(Note::Begin(due)) => {
                self.counted.complete_from = self.counted.complete_from.max(due);
                true
            }
            _ => false,
        };
        if begins && header.progress == EventTime::MIN {
            self.counted.joined_blindly.insert(channel);
        } else if header.progress > EventTime::MIN
            && (begins || self.counted.joined_blindly.contains(&channel))
        {
            self.counted.joined_blindly.remove(&channel);
            self.counted.complete_from = self.counted.complete_from.max(header.progress);
        }
    }

    /// The rows of complete ticks, numbered, and how far they go. Ticks that leave at once leave together, as far as a batch holds them.
    pub(super) fn number(&mut self, emit: &mut Emitter, stamp: Stamp, none: &Rows) -> Vec<Batch> {
        let mut numbered = Vec::new();
        let mut run = Run::behind(self.counted.through);
        for done in std::mem::take(&mut emit.ticks) {
            if self.counted.leaves_out(done.began) {
                numbered.extend(self.leave(&mut run, emit, stamp, none));
                // Its rows before this component joined are not in it.
                emit.take_rows(done.rows);
                if self.tells_left_out {
                    numbered.push(self.leave_out(&done, stamp, none));
                    run = Run::behind(self.counted.through);
                }
                continue;
            }
            if self.counted.chunks.0 != done.tick {
                self.counted.chunks = (done.tick, 0);
            }
            for start in (0..done.rows).step_by(ROWS_MAX) {
                let rows = ROWS_MAX.min(done.rows - start);
                let index = index(done.tick, self.counted.chunks.1);
                if !run.has_room(index, rows) {
                    numbered.extend(self.leave(&mut run, emit, stamp, none));
                }
                self.counted.chunks.1 += 1;
                self.counted.through = index;
                // Later rows come at this time or after it.
                self.counted.progress = self.counted.progress.max(done.time);
                run.push(index, done.time, rows);
            }
        }
        numbered.extend(self.leave(&mut run, emit, stamp, none));
        let Some(progress) = emit
            .progress
            .filter(|progress| *progress > self.counted.progress)
        else {
            return numbered;
        };
        self.counted.progress = progress;
        if let Some(last) = numbered.last_mut() {
            last.header.progress = progress;
            return numbered;
        }
        // What no result can say any more is said at the end.
        let missing = match progress {
            EventTime::MAX => std::mem::take(&mut self.counted.missing),
            _ => 0,
        };
        let header = self.header(Interval::empty(self.counted.through), stamp, missing);
        vec![Batch {
            header,
            rows: none.clone(),
        }]
    }

    /// The rows that have gathered, as a batch; the next ones gather behind it.
    fn leave(
        &mut self,
        run: &mut Run,
        emit: &mut Emitter,
        stamp: Stamp,
        none: &Rows,
    ) -> Option<Batch> {
        let Run {
            after,
            indices,
            times,
        } = std::mem::replace(run, Run::behind(self.counted.through));
        let through = *indices.last()?;
        let schema = none.columns().schema_ref();
        let parts = emit.take_rows(indices.len());
        let columns = match parts.as_slice() {
            [only] => only.clone(),
            several => concat_batches(&several[0].schema(), several)
                .expect("an operator emits the columns that it declared"),
        };
        let columns = declared(columns, schema);
        let rows = match times.first() {
            Some(time) if indices.first() == Some(&through) => {
                Rows::chunk(columns, EventTime(*time))
            }
            _ => {
                let back = |index: &u64| u32::try_from(through - index);
                let backs = indices.iter().map(back).collect::<Result<_, _>>();
                Rows::sparse(
                    columns,
                    times,
                    None,
                    backs.expect("a run has room for its rows"),
                )
            }
        };
        let missing = std::mem::take(&mut self.counted.missing);
        Some(Batch {
            header: self.header(Interval::new(after, through), stamp, missing),
            rows,
        })
    }

    /// What tells that the rows of a tick are missing, by the indices that they have: who got them from another instance drops it.
    fn leave_out(&mut self, done: &TickRows, stamp: Stamp, none: &Rows) -> Batch {
        let rows = done.rows;
        let before = match self.counted.chunks.0 == done.tick {
            true => self.counted.chunks.1,
            false => 0,
        };
        let chunks = before + convert::size(rows.div_ceil(ROWS_MAX));
        self.counted.chunks = (done.tick, chunks);
        let interval = Interval::new(self.counted.through, index(done.tick, chunks - 1));
        self.counted.through = interval.through();
        let missing = u32::try_from(rows).unwrap_or(u32::MAX);
        Batch {
            header: self.header(interval, stamp, missing),
            rows: none.clone(),
        }
    }

    fn header(&self, interval: Interval, stamp: Stamp, missing: u32) -> Header {
        Header {
            origin: self.origin,
            interval,
            arrival: stamp.arrival,
            progress: self.counted.progress,
            token: stamp.token,
            missing,
            note: None,
        }
    }
}

impl Emitter {
    /// Takes the next rows of ticks: as few parts as they are in.
    ///
    /// # Panics
    /// When there are not so many.
    pub(crate) fn take_rows(&mut self, rows: usize) -> Vec<RecordBatch> {
        self.tick_rows -= rows;
        let mut taken = Vec::new();
        let mut left = rows;
        while left > 0 {
            let first = self.columns.pop_front().expect("each row is of a tick");
            let len = left.min(first.num_rows());
            left -= len;
            if len < first.num_rows() {
                self.columns
                    .push_front(first.slice(len, first.num_rows() - len));
            }
            taken.push(first.slice(0, len));
        }
        taken
    }
}

/// Rows of ticks that leave as one batch: the index and the time of each.
#[derive(Debug)]
struct Run {
    /// Behind this index.
    after: u64,
    indices: Vec<u64>,
    times: Vec<i64>,
}

impl Run {
    const fn behind(after: u64) -> Self {
        Self {
            after,
            indices: Vec::new(),
            times: Vec::new(),
        }
    }

    /// Whether so many rows of an index can be of the same batch: places in it are 32 bits wide.
    fn has_room(&self, index: u64, rows: usize) -> bool {
        let spans = |first: &u64| u32::try_from(index - first).is_ok();
        self.indices.len() + rows <= ROWS_MAX && self.indices.first().is_none_or(spans)
    }

    fn push(&mut self, index: u64, time: EventTime, rows: usize) {
        self.indices.extend(std::iter::repeat_n(index, rows));
        self.times.extend(std::iter::repeat_n(time.0, rows));
    }
}

/// The index of a chunk of a tick.
///
/// # Panics
/// When the tick or the chunk is beyond what can be numbered: operators see to the first, memory to the
/// second but for ticks that leave in parts, whose application then fails.
pub(super) fn index(tick: Tick, chunk: u64) -> u64 {
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

/// Whether an index is that of a tick's chunk, and not of a record.
///
/// Ticks since long before the epoch have indices from here on. Who numbers a record each nanosecond comes here after 73 years.
pub(crate) const fn is_of_tick(index: u64) -> bool {
    index >= TICK_MAX.unsigned_abs() / 2 * CHUNKS_MAX
}
