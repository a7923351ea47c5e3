//! The scheduler: which component runs next.
//!
//! A component that could run has a [`Rank`], made by the [`Policy`] of what waits there. The scheduler keeps them in order, and
//! splits processor time between what can be on time and what is late: the first goes first, the second keeps a floor.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use model::ComponentId;

use crate::paged::Paged;

pub mod policy;
#[cfg(test)]
mod tests;

use policy::Queue;
pub use policy::{Policy, Rank, Rules, Runnable};

/// Who takes work: a worker thread, or a virtual core.
///
/// Where every component has a thread of its own, that is called by the component's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Worker(pub u64);

/// How much of the processor time late work keeps while other work could be on time.
///
/// Unit: fraction. Range: above 0, well below a half. Source: design; guess.
const FLOOR: f64 = 0.05;

/// What late work may be owed at most, and at most be ahead.
///
/// Unit: time. Source: guess; what was not needed for long is not made up for.
const OWED_MAX: Duration = Duration::from_millis(50);

/// The components that could run now, in order.
#[derive(Debug)]
pub struct Scheduler {
    queue: Queue,
    /// The place of each component that ever had one and has not left.
    ranks: Paged<ComponentId, Option<Rank>>,
    waiting_count: usize,
    /// In order of rank; of late ones, see `late`.
    order: BTreeSet<(Rank, ComponentId)>,
    late: Late,
    /// What waits in stacks: of each worker what it made runnable itself, and what came from elsewhere.
    local: BTreeMap<Worker, Vec<(ComponentId, i64)>>,
    external: VecDeque<(ComponentId, i64)>,
    /// Who could not run before, where each has a worker that waits for it alone.
    woken: Vec<ComponentId>,
    /// How many turns were given out, where turns and not urgency make the order.
    turns: i64,
}

/// What cannot be on time any more: applications share by their demand what time it gets.
#[derive(Debug, Default)]
struct Late {
    waiting: BTreeMap<u64, BTreeSet<(Rank, ComponentId)>>,
    /// What each application was given while it was late, in seconds divided by its demand.
    served: BTreeMap<u64, f64>,
    /// What each application was admitted with, in cores; one where nobody said.
    demands: BTreeMap<u64, f64>,
    /// What the one had been served that was served last: fair queueing's virtual time.
    reached: f64,
    /// The processor time that is owed to late work, in seconds.
    owed: f64,
}

impl Scheduler {
    /// A scheduler in which nothing waits.
    pub fn new(policy: Policy) -> Self {
        Self {
            queue: policy.kind().queue,
            ranks: Paged::new(),
            waiting_count: 0,
            order: BTreeSet::new(),
            late: Late::default(),
            local: BTreeMap::new(),
            external: VecDeque::new(),
            woken: Vec::new(),
            turns: 0,
        }
    }

    /// Gives a component its place, or none where it cannot run now. `by` is the worker that made it runnable, if one did.
    pub fn set(&mut self, component: ComponentId, rank: Option<Rank>, by: Option<Worker>) {
        let known = self.rank_of(component);
        let Some(rank) = rank else {
            if let Some(known) = known {
                self.take_out(component, known);
            }
            return;
        };
        let rank = match (self.queue, known) {
            // Who waits already keeps its turn.
            (Queue::Turns | Queue::Local | Queue::Own, Some(_)) => return,
            (Queue::Turns | Queue::Local | Queue::Own, None) => {
                self.turns += 1;
                Rank::turn(self.turns)
            }
            (Queue::Ranked, known) if known == Some(rank) => return,
            (Queue::Ranked, _) => rank,
        };
        if let Some(known) = known {
            self.take_out(component, known);
        }
        *self.ranks.get_or_insert_with(component, || None) = Some(rank);
        self.waiting_count += 1;
        match (self.queue, by) {
            (Queue::Local, Some(worker)) => {
                let stack = self.local.entry(worker).or_default();
                stack.push((component, rank.urgency));
            }
            (Queue::Local, None) => self.external.push_back((component, rank.urgency)),
            _ if rank.is_late => self.late.insert(component, rank),
            (Queue::Own, _) => self.woken.push(component),
            _ => {
                self.order.insert((rank, component));
            }
        }
    }

    /// Whether each component is to have a worker of its own.
    pub fn wants_slots(&self) -> bool {
        self.queue == Queue::Own
    }

    /// Who could not run before and has a worker of its own, since this was last asked.
    pub fn take_woken(&mut self) -> Vec<ComponentId> {
        std::mem::take(&mut self.woken)
    }

    /// Takes out the component that a worker is to run.
    pub fn pop(&mut self, worker: Worker) -> Option<(ComponentId, Rank)> {
        let component = match self.queue {
            Queue::Ranked | Queue::Turns => match self.first_late() {
                Some(late) => late,
                None => {
                    let (rank, component) = self.order.pop_first()?;
                    self.forget_rank(component);
                    return Some((component, rank));
                }
            },
            Queue::Local => self.first_local(worker)?,
            Queue::Own => ComponentId(worker.0),
        };
        let rank = self.remove(component)?;
        Some((component, rank))
    }

    /// Takes out a component, if it could run.
    pub fn remove(&mut self, component: ComponentId) -> Option<Rank> {
        let rank = self.rank_of(component)?;
        self.take_out(component, rank);
        Some(rank)
    }

    /// A component is no longer here.
    pub fn leave(&mut self, component: ComponentId) {
        self.remove(component);
        self.ranks.remove(&component);
    }

    /// Processor time was used for an application, for work that was late or not.
    pub fn charge(&mut self, application: u64, is_late: bool, busy: Duration) {
        if self.late.waiting.is_empty() && !is_late {
            return;
        }
        let has_others = !self.order.is_empty();
        self.late.charge(application, is_late, has_others, busy);
    }

    /// What an application was admitted with, in cores: late work of it counts for so much.
    pub fn set_demand(&mut self, application: u64, demand: f64) {
        if demand.is_finite() && demand > 0.0 {
            self.late.demands.insert(application, demand);
        }
    }

    /// An application has gone.
    pub fn forget(&mut self, application: u64) {
        self.late.demands.remove(&application);
        self.late.served.remove(&application);
    }

    /// Whether a component could run that can be on time.
    pub fn has_timely(&self) -> bool {
        !self.order.is_empty()
    }

    /// How many could run now.
    pub fn len(&self) -> usize {
        self.waiting_count
    }

    /// Whether none could.
    pub fn is_empty(&self) -> bool {
        self.waiting_count == 0
    }

    /// The late one that goes first, where it is owed time or nothing is timely.
    fn first_late(&self) -> Option<ComponentId> {
        let late = self.late.first()?;
        (self.late.owed > 0.0 || self.order.is_empty()).then_some(late)
    }

    fn rank_of(&self, component: ComponentId) -> Option<Rank> {
        self.ranks.get(&component).copied().flatten()
    }

    fn forget_rank(&mut self, component: ComponentId) {
        if let Some(rank) = self.ranks.get_mut(&component) {
            self.waiting_count -= usize::from(rank.take().is_some());
        }
    }

    /// What a worker made runnable last itself, else what came first from elsewhere, else the oldest of another worker.
    fn first_local(&mut self, worker: Worker) -> Option<ComponentId> {
        let ranks = &self.ranks;
        let waits = |(component, turn): &(ComponentId, i64)| {
            let rank = ranks.get(component).copied().flatten();
            rank.is_some_and(|rank| rank.urgency == *turn)
        };
        if let Some(own) = self.local.get_mut(&worker) {
            while let Some(last) = own.pop() {
                if waits(&last) {
                    return Some(last.0);
                }
            }
        }
        while let Some(first) = self.external.pop_front() {
            if waits(&first) {
                return Some(first.0);
            }
        }
        for stack in self.local.values_mut() {
            if let Some(place) = stack.iter().position(waits) {
                let (component, _) = stack[place];
                stack.drain(..=place);
                return Some(component);
            }
            stack.clear();
        }
        None
    }

    fn take_out(&mut self, component: ComponentId, rank: Rank) {
        self.forget_rank(component);
        if rank.is_late {
            self.late.remove(component, rank);
        } else {
            self.order.remove(&(rank, component));
        }
    }
}

impl Late {
    fn insert(&mut self, component: ComponentId, rank: Rank) {
        // Who was not late for a while has saved up nothing.
        let served = self.served.entry(rank.application).or_default();
        *served = served.max(self.reached);
        let waiting = self.waiting.entry(rank.application).or_default();
        waiting.insert((rank, component));
    }

    fn remove(&mut self, component: ComponentId, rank: Rank) {
        if let Some(waiting) = self.waiting.get_mut(&rank.application) {
            waiting.remove(&(rank, component));
            if waiting.is_empty() {
                self.waiting.remove(&rank.application);
            }
        }
    }

    /// Of the application that has had least for its demand. Linear in the applications that are late.
    fn first(&self) -> Option<ComponentId> {
        let served = |application: &u64| self.served.get(application).copied().unwrap_or(0.0);
        let (_, waiting) = self
            .waiting
            .iter()
            .min_by(|(a, _), (b, _)| served(a).total_cmp(&served(b)))?;
        waiting.first().map(|(_, component)| *component)
    }

    fn charge(&mut self, application: u64, is_late: bool, has_others: bool, busy: Duration) {
        let seconds = busy.as_secs_f64();
        if !is_late {
            self.owed += seconds * FLOOR / (1.0 - FLOOR);
        } else {
            let demand = self.demands.get(&application).copied().unwrap_or(1.0);
            let served = self.served.entry(application).or_default();
            self.reached = self.reached.max(*served);
            *served += seconds / demand;
            // What nobody else wanted is not counted against it.
            if has_others {
                self.owed -= seconds;
            }
        }
        let most = OWED_MAX.as_secs_f64();
        self.owed = self.owed.clamp(-most, most);
    }
}
