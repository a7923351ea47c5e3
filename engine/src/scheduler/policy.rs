//! Policies: how components are ordered. One file for each; a line in [`Policy::kind`] makes it known.
//!
//! A policy says which batch of a component counts, what rank that gives, and how ranks are queued.

use std::cmp::Reverse;
use std::time::Duration;

use model::EventTime;

use crate::batch::Token;

mod deadline;
mod edf;
mod fifo;
mod lifo;
mod llf;
mod sjf;
mod slot;
mod tokens;

/// How components are ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Policy {
    /// See [`Policy::kind`] for what each is: ours.
    #[default]
    Deadline,
    /// Least laxity first as published.
    Llf,
    /// Earliest deadline first as published.
    Edf,
    /// Shortest job first.
    Sjf,
    /// First in, first out.
    Fifo,
    /// Last in, first out, by worker.
    Lifo,
    /// A thread for each operator.
    Slot,
    /// Token shares.
    Tokens,
}

impl Policy {
    /// All, in the order in which they are listed to people.
    pub const ALL: [Self; 8] = [
        Self::Deadline,
        Self::Llf,
        Self::Edf,
        Self::Sjf,
        Self::Fifo,
        Self::Lifo,
        Self::Slot,
        Self::Tokens,
    ];

    /// What it is.
    pub const fn kind(self) -> &'static Kind {
        match self {
            Self::Deadline => &deadline::KIND,
            Self::Llf => &llf::KIND,
            Self::Edf => &edf::KIND,
            Self::Sjf => &sjf::KIND,
            Self::Fifo => &fifo::KIND,
            Self::Lifo => &lifo::KIND,
            Self::Slot => &slot::KIND,
            Self::Tokens => &tokens::KIND,
        }
    }

    /// The policy called `name`.
    pub fn find(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|policy| policy.kind().name == name)
    }

    /// The rules that hold under it, where all of these are wanted.
    pub const fn rules(self, wanted: Rules) -> Rules {
        match self {
            Self::Deadline => wanted,
            Self::Llf | Self::Edf => Rules {
                frontier: wanted.frontier,
                ..Rules::NONE
            },
            _ => Rules::NONE,
        }
    }
}

impl std::fmt::Display for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind().name)
    }
}

/// A policy: its word, what it does, and how.
#[derive(Debug)]
pub struct Kind {
    /// What it is called.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub doc: &'static str,
    /// Which batch of a component goes first.
    pub(crate) mailbox: Order,
    /// How components wait.
    pub(crate) queue: Queue,
    /// For how long a worker goes on with one component before it compares.
    pub(crate) quantum: Duration,
    /// The place of a component.
    pub(crate) rank: fn(&Runnable) -> Rank,
}

/// For how long a worker goes on with one component, by default.
///
/// Unit: time. Range: 0 to 100 ms. Source: Cameo, section 5.2.
pub const QUANTUM: Duration = Duration::from_millis(1);

/// Which of the batches at a component goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The one that leads to the earliest deadline.
    Urgency,
    /// The one of the least progress.
    Progress,
    /// The one that came first.
    Arrival,
    /// The one with the earliest token.
    Token,
}

/// How components wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Queue {
    /// By rank.
    Ranked,
    /// In the order in which they became runnable.
    Turns,
    /// By worker, the last first.
    Local,
    /// Not at all: each has a worker.
    Own,
}

/// The rules of deadlines that can each be switched off alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What only accumulates has until its window is expected to close.
    pub frontier: bool,
    /// Rule A: what moves progress across a closing is urgent.
    pub closing: bool,
    /// Rule B: a component's rank is the earliest deadline that waits there, not that of what has the least progress.
    pub foremost: bool,
    /// Rule C: what cannot be met any more waits behind what can, and keeps a floor.
    pub late: bool,
    /// What has to be run first is taken off the deadline.
    pub ahead: bool,
    /// Equal deadlines go by application, window and depth.
    pub ties: bool,
    /// Long batches are split, and small ones joined no further, so that no dispatch holds up others for long.
    pub units: bool,
}

impl Rules {
    /// All of them.
    pub const ALL: Self = Self {
        frontier: true,
        closing: true,
        foremost: true,
        late: true,
        ahead: true,
        ties: true,
        units: true,
    };

    /// None of them.
    pub const NONE: Self = Self {
        frontier: false,
        closing: false,
        foremost: false,
        late: false,
        ahead: false,
        ties: false,
        units: false,
    };
}

impl Default for Rules {
    /// All of them.
    fn default() -> Self {
        Self::ALL
    }
}

/// What a component's place in the order follows from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Runnable {
    /// Whose component it is.
    pub application: u64,
    /// When the batch that goes first must start, in nanoseconds of this host's clock.
    pub start_by: i64,
    /// Whether nothing that waits there can be on time.
    pub is_late: bool,
    /// The window that the batch is part of; the least where it acts at once.
    pub window: EventTime,
    /// What the batch is expected to cost, in nanoseconds.
    pub cost_nanos: i64,
    /// Its part of its application's share.
    pub token: Token,
    /// How many batches had been put into any mailbox before it.
    pub sequence: u64,
    /// How many operators lie before this one on the longest way.
    pub depth: u32,
    /// Deadlines that differ by less are equal, in nanoseconds; none where ties are not to be looked at.
    pub tie_nanos: Option<i64>,
}

/// A place in the order: the least goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rank {
    /// What can be on time goes before what cannot.
    pub is_late: bool,
    /// What the policy orders by.
    pub urgency: i64,
    /// Where that is equal, one application after the other.
    pub application: u64,
    /// Then one window after the other.
    pub window: EventTime,
    /// Then what lies deeper, so that one result leaves before the next begins.
    pub depth: Reverse<u32>,
    /// Then what came first.
    pub sequence: u64,
}

impl Rank {
    /// The n-th turn.
    pub const fn turn(number: i64) -> Self {
        Self::by(number, 0, 0)
    }

    /// By one number, and by which came first.
    const fn by(urgency: i64, application: u64, sequence: u64) -> Self {
        Self {
            is_late: false,
            urgency,
            application,
            window: EventTime::MIN,
            depth: Reverse(0),
            sequence,
        }
    }
}
