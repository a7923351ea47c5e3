//! The consuming end of an edge: what arrived, what of it is new, and what to say of it.

use std::sync::Arc;

use model::position::Judgement;
use model::{EventTime, Interval, Origin, Positions};

use super::{From, Move, Pull};
use crate::batch::{Batch, Note};
use crate::budget::Budget;
use crate::few::Few;

/// Judges what arrives on an edge by its position alone, and says in pulls where it stands.
///
/// This is the one place where duplicates are dropped: whoever sent them, and however often.
#[derive(Debug)]
pub struct Consumer {
    origins: Few<Origin, Standing>,
    credit: u64,
    budget: Option<Budget>,
    /// Where it begins in origins that it has seen nothing of.
    beginning: Beginning,
    /// It asks for nothing again.
    is_tap: bool,
    /// The next pull says where to send from.
    wants_rewind: bool,
    /// Something will not be asked for again that was kept at the last pull.
    releases: bool,
    duplicates: u64,
    gaps: u64,
}

/// The most origins that an edge may have.
///
/// Unit: count. Range: from what plans may have, [`model::plan::WAYS_MAX`]. Source: the same.
pub const ORIGINS_MAX: usize = model::plan::WAYS_MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Beginning {
    /// At their first row.
    First,
    /// Where the producer says that the latest was.
    Latest,
}

#[derive(Debug, Clone, Copy)]
struct Standing {
    /// The last index that arrived in order.
    received: u64,
    /// The greatest progress that arrived with it.
    progress: EventTime,
    /// The last index that was worked off.
    taken: u64,
    /// The last index that will not be asked for again.
    kept: u64,
    /// Whether the last two have moved since the last pull.
    has_moved: bool,
    /// Something is missing and was asked for.
    awaits_rewind: bool,
}

impl Default for Standing {
    fn default() -> Self {
        Self {
            received: 0,
            progress: EventTime::MIN,
            taken: 0,
            kept: 0,
            has_moved: false,
            awaits_rewind: false,
        }
    }
}

/// What became of a batch that arrived.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrival {
    /// It joins what is there: work on it.
    Next(Arc<Batch>),
    /// It was there already and was dropped.
    Duplicate,
    /// Something before it is missing: it was dropped, and the next pull asks for both.
    Gap,
}

impl Consumer {
    /// A consumer that has nothing and starts at the beginning of every origin.
    pub const fn new(credit: u64) -> Self {
        Self {
            origins: Few::new(),
            credit,
            budget: None,
            beginning: Beginning::First,
            is_tap: false,
            wants_rewind: true,
            releases: false,
            duplicates: 0,
            gaps: 0,
        }
    }

    /// A consumer that has nothing and starts where the stream stands when it is opened; what comes later
    /// of origins that are new then, from their beginning.
    pub fn latest(credit: u64) -> Self {
        Self {
            beginning: Beginning::Latest,
            ..Self::new(credit)
        }
    }

    /// A consumer that has everything up to these positions, and starts at the beginning of other origins.
    pub fn at(positions: &Positions, credit: u64) -> Self {
        let standing = |(origin, index)| {
            let standing = Standing {
                received: index,
                taken: index,
                kept: index,
                ..Standing::default()
            };
            (origin, standing)
        };
        Self {
            origins: positions.iter().map(standing).collect(),
            ..Self::new(credit)
        }
    }

    /// A consumer that has everything up to these positions and starts in other origins where they stand when it is opened.
    pub fn resumed(positions: &Positions, credit: u64) -> Self {
        Self {
            beginning: Beginning::Latest,
            ..Self::at(positions, credit)
        }
    }

    /// One that looks on from the latest: it keeps nothing, and loses what it does not take in time.
    pub fn tap(credit: u64) -> Self {
        Self {
            is_tap: true,
            ..Self::latest(credit)
        }
    }

    /// Whether a batch of this origin can be taken: of one more there may be too many.
    pub fn accepts(&self, origin: Origin) -> bool {
        self.origins.len() < ORIGINS_MAX || self.origins.contains_key(&origin)
    }

    /// Where it stands in each origin that has not ended: the last index that arrived, and how far the origin is; the least time where nobody has said.
    pub fn standings(&self) -> impl Iterator<Item = (Origin, u64, EventTime)> {
        let open = self
            .origins
            .iter()
            .filter(|(_, standing)| standing.progress < EventTime::MAX);
        open.map(|(origin, standing)| (*origin, standing.received, standing.progress))
    }

    /// How many origins have been seen.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// Whether nothing has been seen.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Takes what arrived.
    pub fn handle_batch(&mut self, batch: Arc<Batch>) -> Arrival {
        let interval = batch.header.interval;
        let begins = self.beginning == Beginning::Latest
            && matches!(batch.header.note, Some(Note::Begin(_)))
            && !self.origins.contains_key(&batch.header.origin);
        if begins {
            // Nothing before it was asked for: this is where the latest was.
            let standing = Standing {
                received: interval.through(),
                progress: batch.header.progress,
                taken: interval.through(),
                kept: interval.through(),
                has_moved: true,
                awaits_rewind: false,
            };
            self.origins.insert(batch.header.origin, standing);
            return Arrival::Next(batch);
        }
        if self.beginning == Beginning::Latest
            && interval.after() > 0
            && !self.origins.contains_key(&batch.header.origin)
        {
            // It has not been said where this origin begins.
            self.gaps += u64::from(!self.wants_rewind);
            self.wants_rewind = true;
            return Arrival::Gap;
        }
        let standing = self
            .origins
            .get_or_insert_with(batch.header.origin, Standing::default);
        let next = match interval.judge(standing.received) {
            // It has begun, here or where another one was that it goes on for. A producer that has not heard from where it reads tells a
            // beginning all the same, and who counts what came since would leave out what it has from before.
            Judgement::Next if matches!(batch.header.note, Some(Note::Begin(_))) => {
                self.duplicates += 1;
                return Arrival::Duplicate;
            }
            Judgement::Next => batch,
            Judgement::Cut(through) => Arc::new(batch.cut(through)),
            // All its indices are here, and it says how far the origin has come since.
            Judgement::Duplicate
                if interval.through() == standing.received
                    && batch.header.progress > standing.progress =>
            {
                Arc::new(news_of(&batch, standing.received))
            }
            // Who has come less far than another who gave this stream before says all the same that nothing follows.
            Judgement::Duplicate
                if batch.header.progress == EventTime::MAX
                    && standing.progress < EventTime::MAX =>
            {
                Arc::new(news_of(&batch, standing.received))
            }
            Judgement::Duplicate => {
                self.duplicates += 1;
                return Arrival::Duplicate;
            }
            Judgement::Gap => {
                if !standing.awaits_rewind {
                    self.gaps += 1;
                    standing.awaits_rewind = true;
                    self.wants_rewind = true;
                }
                return Arrival::Gap;
            }
        };
        standing.received = next.header.interval.through();
        standing.progress = standing.progress.max(next.header.progress);
        standing.awaits_rewind = false;
        Arrival::Next(next)
    }

    /// Everything of `origin` up to `taken` was worked off, and what lies up to `kept` will not be asked
    /// for again. Says whether the latter has moved.
    pub fn take(&mut self, origin: Origin, taken: u64, kept: u64) -> bool {
        if taken == 0 {
            // Of an origin that nothing was seen of, nobody knows yet where it begins.
            return false;
        }
        let standing = self.origins.get_or_insert_with(origin, Standing::default);
        let (taken_before, kept_before) = (standing.taken, standing.kept);
        standing.taken = taken_before.max(taken);
        standing.kept = kept_before.max(kept.min(standing.taken));
        let releases = standing.kept > kept_before;
        standing.has_moved |= releases || standing.taken > taken_before;
        self.releases |= releases;
        releases
    }

    /// How much may be under way: sent with the next pull.
    pub const fn set_credit(&mut self, credit: u64) {
        self.credit = credit;
    }

    /// What the next batches may be old: sent with the next pull.
    pub fn set_budget(&mut self, budget: Option<Budget>) {
        self.budget = budget;
    }

    /// What the last pull said that batches may be old, or what the next one is to say.
    pub const fn budget(&self) -> Option<&Budget> {
        self.budget.as_ref()
    }

    /// The pull that is due: of the origins that moved, and with a place to send from where one is wanted.
    pub fn pull(&mut self) -> Pull {
        let from = self.wants_rewind.then(|| self.from());
        self.wants_rewind = false;
        self.releases = false;
        let mut taken = Positions::new();
        let mut keep = Positions::new();
        for (origin, standing) in self.origins.iter_mut() {
            if standing.has_moved {
                taken.advance(*origin, standing.taken);
                keep.advance(*origin, standing.kept);
                standing.has_moved = false;
            }
        }
        Pull {
            from,
            taken,
            keep: (!self.is_tap).then_some(keep),
            credit: self.credit,
            budget: self.budget.clone(),
        }
    }

    /// What the pull that is due says of the origins that moved, for a producer in the same process: where it asks for nothing else,
    /// that needs no message.
    pub fn moves(&mut self) -> impl Iterator<Item = Move> + '_ {
        self.releases = false;
        self.origins.iter_mut().filter_map(|(origin, standing)| {
            std::mem::take(&mut standing.has_moved).then_some(Move {
                origin: *origin,
                taken: standing.taken,
                kept: standing.kept,
            })
        })
    }

    /// The pull that says everything, for when frames may have been lost: at the latest once a second.
    ///
    /// It rewinds: what is under way arrives twice and is dropped, what was lost arrives.
    pub fn pull_again(&mut self) -> Pull {
        self.turn();
        self.pull()
    }

    /// The pull that says of all origins where the consumer stands, without asking for anything again.
    pub fn pull_all(&mut self) -> Pull {
        for standing in self.origins.values_mut() {
            standing.has_moved = true;
        }
        self.pull()
    }

    /// Whether something was asked for that has not arrived.
    pub fn awaits_rewind(&self) -> bool {
        self.wants_rewind || self.origins.values().any(|standing| standing.awaits_rewind)
    }

    /// Whether the next pull says something that cannot wait: that something is missing.
    pub const fn must_pull(&self) -> bool {
        self.wants_rewind
    }

    /// Whether the next pull says of something that it will not be asked for again.
    pub const fn releases(&self) -> bool {
        self.releases
    }

    /// What was worked off, of each origin that something was seen of.
    pub fn all_taken(&self) -> Positions {
        let standings = self.origins.iter();
        let taken = standings.filter(|(_, standing)| standing.taken > 0);
        taken
            .map(|(origin, standing)| (*origin, standing.taken))
            .collect()
    }

    /// The producer is another one now: the next pull tells it all, and asks for what has not arrived.
    pub fn turn(&mut self) {
        for standing in self.origins.values_mut() {
            standing.has_moved = true;
        }
        self.wants_rewind = true;
    }

    /// The last index of `origin` that was worked off.
    pub fn taken(&self, origin: Origin) -> u64 {
        self.origins
            .get(&origin)
            .map_or(0, |standing| standing.taken)
    }

    /// How many batches were dropped as duplicates, and how often something was missing.
    pub const fn dropped(&self) -> (u64, u64) {
        (self.duplicates, self.gaps)
    }

    /// From where it wants to be sent: what has arrived is not asked for.
    pub(crate) fn from(&self) -> From {
        let received = self
            .origins
            .iter()
            .map(|(origin, standing)| (*origin, standing.received))
            .collect();
        match self.beginning {
            Beginning::First => From::Positions(received),
            Beginning::Latest if received.is_empty() => From::Latest,
            Beginning::Latest => From::LatestBut(received),
        }
    }
}

/// What a batch says of how far its origin is, to who has all its rows and heard then what is missing of them.
fn news_of(batch: &Batch, received: u64) -> Batch {
    let mut news = batch.cut(batch.header.interval.through());
    news.header.interval = Interval::empty(received);
    news.header.missing = 0;
    // Where another reader began is no beginning here.
    news.header.note = None;
    news
}
