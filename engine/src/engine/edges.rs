//! The edges of a host: each end is a component here, or a link to wherever the other end runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::plan::{Reader, Stream};
use model::{ComponentId, EventTime, Instant, NodeId, Origin, Positions, StreamName};

use crate::batch::{Batch, Header};
use crate::edge::{Consumer, From, ORIGINS_MAX};
use crate::mailbox::{Channel, Mailbox, NO_DEADLINE, Waiting};

/// One consumer pulling one stream.
#[derive(Debug)]
pub(crate) struct Edge {
    /// Which application's consumer pulls.
    pub(crate) application: u64,
    pub(crate) producer: Producing,
    pub(crate) consumer: Consuming,
    /// What it is in the plan of its application, where it is in one.
    pub(crate) plan: Option<(Stream, Reader)>,
    /// The operator that reads, by what its first output is called everywhere, and its input port.
    pub(crate) reader: Option<(StreamName, usize)>,
    /// Whoever reads only looks on.
    pub(crate) is_tap: bool,
    /// When it ended; it is here only until the other host was told.
    pub(crate) closing: Option<Instant>,
}

/// Where the producing end is.
#[derive(Debug)]
pub(crate) enum Producing {
    /// An output port of a component here.
    Here(ComponentId, u16),
    /// Another host: what it is told, and how.
    Elsewhere(Box<Upstream>),
    /// Nowhere any more.
    Gone,
}

/// Where the consuming end is.
#[derive(Debug)]
pub(crate) enum Consuming {
    /// An input port of a component here.
    Here(Inbound),
    /// Another host: what waits to be sent there.
    Elsewhere(Box<Downstream>),
    /// It reads from somewhere else now; the edge is here only until the other host was told.
    Gone,
}

/// The consuming end of an edge.
#[derive(Debug)]
pub(crate) struct Inbound {
    pub(crate) component: ComponentId,
    pub(crate) input: u16,
    pub(crate) state: Consumer,
    pub(crate) credit: u64,
    /// Bytes worked off since the last pull.
    pub(crate) unpulled_bytes: u64,
}

impl Inbound {
    /// The next pull grants so much, where that is more than before.
    pub(crate) fn grant(&mut self, credit: u64) {
        if credit > self.credit {
            self.credit = credit;
            self.state.set_credit(credit);
        }
    }
}

/// What is to be told to the host of a producer.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// A pull is to be sent.
    pub(crate) is_due: bool,
    /// What the next pull says.
    pub(crate) telling: Telling,
    /// When everything was last said; none before the edge is opened.
    pub(crate) told: Option<Instant>,
    /// Whether a batch has arrived since then.
    pub(crate) has_arrived: bool,
    /// How long a batch is under way from there.
    pub(crate) transit: Duration,
    /// Bytes that arrived and were not worked off yet.
    pub(crate) waiting_bytes: u64,
    /// Where the producer has said that the stream is.
    pub(crate) moved: Option<NodeId>,
    /// Batches that were refused: beyond the credit, or of more origins than an edge may have.
    pub(crate) refused: u64,
}

/// What a pull says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Telling {
    /// What has changed since the last.
    Changes,
    /// Everything: an earlier pull may have been lost.
    All,
    /// Everything, and what was sent and has not arrived is asked for again.
    Again,
}

/// What waits to be sent to the host of a consumer.
///
/// The producer sends within the consumer's credit, and batches without rows are joined: so much may wait
/// and no more, also where the link stands still.
#[derive(Debug, Default)]
pub(crate) struct Downstream {
    queue: Mailbox,
    sequence: u64,
    /// Up to where the consumer can have batches: what it was sent, and what it said that it has.
    handed: BTreeMap<Origin, u64>,
    /// What is told next, whatever waits: that the stream has moved.
    notice: Option<Arc<Batch>>,
    /// The last that is sent: that the stream is no longer here.
    farewell: Option<Arc<Batch>>,
    /// The consumer has said goodbye, and what it was to have is kept for who comes after it.
    pub(crate) has_left: bool,
}

impl Edge {
    pub(crate) const fn new(
        application: u64,
        producer: Producing,
        consumer: Consuming,
        plan: Option<(Stream, Reader)>,
    ) -> Self {
        Self {
            application,
            producer,
            consumer,
            plan,
            reader: None,
            is_tap: false,
            closing: None,
        }
    }

    /// The consuming end, where it is here.
    pub(crate) const fn inbound(&self) -> Option<&Inbound> {
        match &self.consumer {
            Consuming::Here(inbound) => Some(inbound),
            Consuming::Elsewhere(_) | Consuming::Gone => None,
        }
    }

    /// See [`Edge::inbound`].
    pub(crate) const fn inbound_mut(&mut self) -> Option<&mut Inbound> {
        match &mut self.consumer {
            Consuming::Here(inbound) => Some(inbound),
            Consuming::Elsewhere(_) | Consuming::Gone => None,
        }
    }
}

impl Upstream {
    pub(crate) const fn new() -> Self {
        Self {
            is_due: false,
            telling: Telling::Changes,
            told: None,
            has_arrived: false,
            transit: Duration::ZERO,
            waiting_bytes: 0,
            moved: None,
            refused: 0,
        }
    }
}

impl Downstream {
    /// Puts a batch behind the others. Says whether nothing had waited.
    pub(crate) fn push(&mut self, batch: Arc<Batch>) -> bool {
        let was_empty = self.is_empty();
        self.sequence += 1;
        let channel = Channel {
            port: 0,
            origin: batch.header.origin,
        };
        let waiting = Waiting {
            batch,
            sequence: self.sequence,
            entered: Instant::ZERO,
            deadline: NO_DEADLINE,
            window: EventTime::MIN,
            is_apart: false,
        };
        self.queue.push(channel, waiting);
        was_empty
    }

    /// Takes batches in the order in which they came, up to `bytes_max` of them but one at least.
    pub(crate) fn take(&mut self, bytes_max: usize, out: &mut Vec<Arc<Batch>>) {
        out.extend(self.notice.take());
        let mut bytes = 0;
        while bytes < bytes_max {
            let Some(channel) = self.queue.first(|waiting| waiting.sequence, |_| true) else {
                out.extend(self.farewell.take());
                return;
            };
            let Some(batch) = self.queue.take_one(channel) else {
                return;
            };
            bytes += batch.rows.bytes();
            let Header {
                origin, interval, ..
            } = batch.header;
            self.hand(origin, interval.through());
            out.push(batch);
        }
    }

    /// What waits is of no use any more: the consumer asks for all of it again, behind what it has.
    pub(crate) fn rewind(&mut self, from: &From) {
        self.queue.clear();
        if let From::Positions(positions) | From::LatestBut(positions) = from {
            for (origin, index) in positions.iter() {
                self.hand(origin, index);
            }
        }
    }

    fn hand(&mut self, origin: Origin, index: u64) {
        if self.handed.len() < ORIGINS_MAX || self.handed.contains_key(&origin) {
            let handed = self.handed.entry(origin).or_default();
            *handed = index.max(*handed);
        }
    }

    /// What of these positions can be true: nobody has worked off what has not left.
    pub(crate) fn possible(&self, claimed: &Positions) -> Positions {
        let claimed = claimed.iter();
        claimed
            .filter_map(|(origin, index)| {
                let handed = self.handed.get(&origin)?;
                Some((origin, index.min(*handed)))
            })
            .collect()
    }

    /// This is told next. Says whether nothing had waited.
    pub(crate) fn tell(&mut self, notice: Batch) -> bool {
        let was_empty = self.is_empty();
        self.notice = Some(Arc::new(notice));
        was_empty
    }

    /// This is told last.
    pub(crate) fn part(&mut self, farewell: Batch) {
        self.farewell = Some(Arc::new(farewell));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.queue.is_empty() && self.notice.is_none() && self.farewell.is_none()
    }
}
