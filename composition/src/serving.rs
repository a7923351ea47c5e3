//! What runs on this host, and whom it serves: what projection looks at.
//!
//! A component serves every application whose results depend on it, whoever made it: those that have it for their own, and those that read
//! it, or something behind it, as a shared stream. Each of them is charged for what slows it.

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ApplicationId, CompositionId, Instant, NodeId, NodeView, StreamName, convert};

use crate::policy::Projection;
use crate::queue::{Discipline, Job, Queue};
use crate::usage::Usage;

mod component;
mod found;
mod held;
#[cfg(test)]
mod tests;

use component::Component;
pub(crate) use component::{Ranks, takes};

/// The least id that a composition can have.
const FIRST: CompositionId = CompositionId {
    node: NodeId([0; 32]),
    number: 0,
};

/// A component by its first stream, who made it, and its place in that plan: several may run the same beside each other.
pub(crate) type Name = (StreamName, CompositionId, u16);

/// All that a component is made of, and where that is.
pub(crate) type MadeOf = BTreeMap<StreamName, NodeId>;

/// An application that depends on what runs here.
#[derive(Debug)]
struct User {
    application: ApplicationId,
    /// Where it is decided what may still slow it: the host of its first sink.
    sink: NodeId,
    target: Duration,
    /// Its delay as it was last heard, with what was let in here since. Nothing before it has started.
    delay: Option<Duration>,
    /// What it was last told to others.
    told: Duration,
    uses: Vec<Name>,
    /// What its sink, which is here then, has granted to whom, and until when that may not be seen in the delay.
    granted: BTreeMap<CompositionId, (Duration, Instant)>,
}

impl User {
    /// What may still slow it. Nothing before it has started: it is not known.
    fn slack(&self) -> Option<Duration> {
        let granted: Duration = self.granted.values().map(|(increase, _)| *increase).sum();
        Some(self.target.saturating_sub(self.delay? + granted))
    }
}

/// What an application would be slowed by, and who may grant that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(crate) struct Charge {
    pub(crate) of: CompositionId,
    pub(crate) sink: NodeId,
    pub(crate) increase: Duration,
}

/// What would be different on this host.
#[derive(Debug, Default)]
pub(crate) struct Change {
    /// What comes.
    pub(crate) newcomers: Vec<Job>,
    /// What somebody comes to depend on, and can wait.
    pub(crate) stricter: BTreeMap<Name, Duration>,
}

impl Change {
    /// A component as it would be.
    fn of(&self, name: &Name, component: &Component, ranks: Ranks) -> Job {
        let job = component.job(ranks);
        let stricter = self.stricter.get(name).copied();
        Job {
            laxity: stricter.map_or(job.laxity, |it| it.min(job.laxity)),
            ..job
        }
    }
}

/// Something that runs here already and that somebody comes to depend on.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) stream: StreamName,
    /// Its place in the plan of who comes to depend on it.
    pub(crate) operator: u16,
    pub(crate) made_of: MadeOf,
    /// What that can wait for them.
    pub(crate) laxity: Duration,
}

/// Who comes to be served here.
#[derive(Debug)]
pub(crate) struct Newcomer {
    pub(crate) application: ApplicationId,
    pub(crate) sink: NodeId,
    pub(crate) target: Duration,
    /// The components that it has here for its own: each with its place in the plan.
    pub(crate) own: Vec<(StreamName, u16, Job, MadeOf)>,
    /// What runs here already that it depends on, and can wait.
    pub(crate) shared: Vec<Shared>,
}

/// What runs here, and whom it serves. Bounded by how many graphs a host runs parts of.
#[derive(Debug, Default)]
pub(crate) struct Serving {
    components: BTreeMap<Name, Box<Component>>,
    users: BTreeMap<CompositionId, Box<User>>,
}

impl Serving {
    /// All that runs here as it would be with a change, and `reserved_cores` that are promised to whoever comes.
    pub(crate) fn queue(
        &self,
        view: &NodeView,
        projection: Projection,
        reserved_cores: f64,
        ranks: Ranks,
        change: &Change,
    ) -> Queue {
        let discipline = match projection {
            Projection::Paper => Discipline::ProcessorSharing,
            Projection::None | Projection::Rank => Discipline::Rank,
        };
        let reserved = Job {
            laxity: Duration::ZERO,
            cores: reserved_cores,
            burst_cores: 0.0,
            execution: Duration::ZERO,
        };
        let components = self.components.iter();
        let jobs = components
            .map(|(name, it)| change.of(name, it, ranks))
            .chain((reserved_cores > 0.0).then_some(reserved))
            .chain(change.newcomers.iter().copied());
        let cores = view.host.capacity.cpu_cores;
        Queue::new(discipline, cores, view.busy_cores.max(0.0), jobs.collect())
    }

    /// By how much each application would be slowed by a change at most: all that are, but for `but`. Of each way to rank what runs here, from what the
    /// first queue was to what the second would be.
    pub(crate) fn charges(
        &self,
        ranked: &[(Ranks, Queue, Queue)],
        change: &Change,
        but: CompositionId,
    ) -> Vec<Charge> {
        let increase = |name: &Name, component: &Component| {
            let increases = ranked.iter().map(|(ranks, before, after)| {
                let then = after.execution(&change.of(name, component, *ranks));
                then.saturating_sub(before.execution(&component.job(*ranks)))
            });
            increases.max().unwrap_or_default()
        };
        let increases: BTreeMap<Name, Duration> = self
            .components
            .iter()
            .map(|(name, component)| (*name, increase(name, component)))
            .collect();
        let users = self.users.iter().filter(|(id, _)| **id != but);
        users
            .filter_map(|(id, user)| {
                let increase = user
                    .uses
                    .iter()
                    .filter_map(|name| increases.get(name))
                    .sum();
                (increase > Duration::ZERO).then_some(Charge {
                    of: *id,
                    sink: user.sink,
                    increase,
                })
            })
            .collect()
    }

    /// What somebody would make stricter who comes to depend on some streams.
    pub(crate) fn stricter(&self, shared: &[Shared]) -> BTreeMap<Name, Duration> {
        let found = shared.iter();
        found
            .filter_map(|it| Some((self.find(it.stream, &it.made_of)?, it.laxity)))
            .collect()
    }

    /// The application that some charges would make late, so many times over, as far as is known here: of several the one with the least slack.
    pub(crate) fn suffering(
        &self,
        charges: &[Charge],
        times: u32,
    ) -> Option<(&ApplicationId, Duration, Duration)> {
        let late = charges.iter().filter_map(|charge| {
            let user = self.users.get(&charge.of)?;
            let slack = user.slack()?;
            let increase = charge.increase.saturating_mul(times);
            (increase > slack).then_some((&user.application, increase, slack))
        });
        late.min_by_key(|(_, _, slack)| *slack)
    }

    /// Serves somebody more, or more of somebody. Nothing has changed where it cannot be.
    ///
    /// # Errors
    /// A stream that it depends on and that nothing here yields.
    pub(crate) fn admit(
        &mut self,
        id: CompositionId,
        newcomer: Newcomer,
    ) -> Result<(), StreamName> {
        let mut uses = Vec::new();
        for shared in &newcomer.shared {
            let found = self.find(shared.stream, &shared.made_of);
            uses.push(found.ok_or(shared.stream)?);
        }
        for (name, shared) in uses.iter().zip(&newcomer.shared) {
            if let Some(component) = self.components.get_mut(name) {
                component.depend(id, shared.laxity);
            }
        }
        for (stream, operator, declared, made_of) in newcomer.own {
            let name = (stream, id, operator);
            uses.push(name);
            let component = self.components.entry(name);
            // Where it was before, others may read it still: then it is here once.
            let component = component.or_insert_with(|| Component::new(made_of, declared).into());
            component.depend(id, declared.laxity);
        }
        let user = self.users.entry(id).or_insert_with(|| {
            Box::new(User {
                application: newcomer.application,
                sink: newcomer.sink,
                target: newcomer.target,
                delay: None,
                told: Duration::ZERO,
                uses: Vec::new(),
                granted: BTreeMap::new(),
            })
        });
        uses.retain(|name| !user.uses.contains(name));
        user.uses.extend(uses);
        Ok(())
    }

    /// Others are slowed by what came here: until their sinks say otherwise, they are as slow.
    pub(crate) fn slow(&mut self, charges: &[Charge]) {
        for charge in charges {
            if let Some(delay) = self
                .users
                .get_mut(&charge.of)
                .and_then(|user| user.delay.as_mut())
            {
                *delay += charge.increase;
            }
        }
    }

    /// An application has started, and ranks what it depends on.
    pub(crate) fn start(&mut self, id: CompositionId, delay: Duration) {
        self.set_delay(id, delay);
        let uses = self.users.get(&id).map_or(&[][..], |user| &user.uses);
        for name in uses {
            let component = self.components.get_mut(name);
            if let Some(it) = component.and_then(|it| it.dependents.get_mut(&id)) {
                it.has_started = true;
            }
        }
    }

    /// An application has this delay from now on. Says whether that is new enough for others to be told.
    pub(crate) fn set_delay(&mut self, id: CompositionId, delay: Duration) -> bool {
        let Some(user) = self.users.get_mut(&id) else {
            return false;
        };
        user.delay = Some(delay);
        let is_new = user.told.abs_diff(delay) > TOLD_STEP.max(user.told / 50);
        if is_new {
            user.told = delay;
        }
        is_new
    }

    /// The sink of an application, which is here, grants that it is slowed. Of two that come to be at once the lower is not kept waiting: the
    /// other counts what it granted when it knows its delay.
    ///
    /// # Errors
    /// Which application cannot, and its slack; nothing for the slack where it has not started: what it is will be known.
    pub(crate) fn grant(
        &mut self,
        by: CompositionId,
        charges: &[(CompositionId, Duration)],
        until: Instant,
    ) -> Result<(), (CompositionId, ApplicationId, Option<Duration>)> {
        for (of, increase) in charges {
            // One that has ended in the meantime is slowed by nothing.
            let Some(user) = self.users.get_mut(of) else {
                continue;
            };
            user.granted.remove(&by);
            match user.slack() {
                Some(slack) if *increase <= slack => {}
                None if by < *of => {}
                slack => return Err((*of, user.application.clone(), slack)),
            }
        }
        for (of, increase) in charges {
            if let Some(user) = self.users.get_mut(of) {
                user.granted.insert(by, (*increase, until));
            }
        }
        Ok(())
    }

    /// An application that has not started knows its delay: its sink, which is here, can be asked what it can spare.
    ///
    /// # Errors
    /// What is left of its target, where what was granted before is more.
    pub(crate) fn settle(
        &mut self,
        id: CompositionId,
        delay: Duration,
    ) -> Result<(), (ApplicationId, Duration)> {
        let Some(user) = self.users.get_mut(&id) else {
            return Ok(());
        };
        let granted: Duration = user.granted.values().map(|(increase, _)| *increase).sum();
        if delay + granted > user.target {
            let left = user.target.saturating_sub(granted);
            return Err((user.application.clone(), left));
        }
        user.delay = Some(delay);
        Ok(())
    }

    /// What was granted is seen by now, or did not come about.
    pub(crate) fn lapse(&mut self, now: Instant) {
        for user in self.users.values_mut() {
            user.granted.retain(|_, (_, until)| *until > now);
        }
    }

    /// What was granted to a composition that did not come about.
    pub(crate) fn take_back(&mut self, by: CompositionId) {
        for user in self.users.values_mut() {
            user.granted.remove(&by);
        }
    }

    /// What components of a composition were measured to take.
    pub(crate) fn measure(&mut self, id: CompositionId, usage: &[Usage]) {
        for ((_, owner, operator), component) in &mut self.components {
            if *owner != id {
                continue;
            }
            let mut of_it = usage.iter().filter(|it| it.operator == *operator);
            if let Some(usage) = of_it.next()
                && usage.cores.is_finite()
                && usage.cores >= 0.0
            {
                component.measure(usage);
            }
        }
    }

    /// How long a component takes here now: of each way to rank what runs here, with the queue of it, the longest.
    pub(crate) fn execution(&self, ranked: &[(Ranks, Queue)], name: Name) -> Option<Duration> {
        let component = self.components.get(&name)?;
        let executions = ranked
            .iter()
            .map(|(ranks, queue)| queue.execution(&component.job(*ranks)));
        executions.max()
    }

    /// What an operator's component can wait.
    pub(crate) fn laxity(&self, id: CompositionId, operator: u16) -> Option<Duration> {
        let component = self.components.get(&self.own(id, operator)?)?;
        Some(component.job(Ranks::All).laxity)
    }

    /// The component that an operator of a composition has here for itself.
    pub(crate) fn own(&self, id: CompositionId, operator: u16) -> Option<Name> {
        let mut all = self.components.keys();
        all.find(|(_, owner, it)| *owner == id && *it == operator)
            .copied()
    }

    /// An application has ended; what it had for its own may run on for others.
    pub(crate) fn end(&mut self, id: CompositionId) {
        self.users.remove(&id);
        for component in self.components.values_mut() {
            component.dependents.remove(&id);
        }
    }

    /// Nothing of a composition is here any more.
    pub(crate) fn remove(&mut self, id: CompositionId) {
        self.end(id);
        self.components.retain(|(_, owner, _), _| *owner != id);
    }

    /// Of all that is here an application depends on this alone from now on: each operator by its stream and its place in the plan, with what it is made
    /// of by now. On nothing where the host is not of its graph any more. What it had for its own runs until nobody reads it.
    pub(crate) fn rebind(
        &mut self,
        id: CompositionId,
        stays: Option<Vec<(StreamName, u16, MadeOf)>>,
    ) {
        let Some(user) = self.users.get_mut(&id) else {
            return;
        };
        let is_out = stays.is_none();
        let mut stays: BTreeMap<(StreamName, u16), MadeOf> = stays
            .into_iter()
            .flatten()
            .map(|(stream, operator, made_of)| ((stream, operator), made_of))
            .collect();
        let uses = std::mem::take(&mut user.uses);
        let (kept, left): (Vec<Name>, Vec<Name>) =
            uses.into_iter().partition(|(stream, owner, operator)| {
                let mut streams = stays.range((*stream, 0)..=(*stream, u16::MAX));
                match *owner == id {
                    true => streams.any(|((_, it), _)| it == operator),
                    false => streams.next().is_some(),
                }
            });
        for (stream, owner, operator) in &kept {
            if *owner == id
                && let Some(component) = self.components.get_mut(&(*stream, id, *operator))
                && let Some(made_of) = stays.remove(&(*stream, *operator))
            {
                component.made_of = made_of;
            }
        }
        user.uses = kept;
        if is_out {
            self.users.remove(&id);
        }
        for name in left {
            if let Some(component) = self.components.get_mut(&name) {
                component.dependents.remove(&id);
            }
        }
    }

    /// What a component takes as it was measured, and can wait for one who depends on it.
    pub(crate) fn job_for(&self, name: &Name, id: CompositionId) -> Option<Job> {
        let component = self.components.get(name)?;
        let job = component.job(Ranks::All);
        let dependent = component.dependents.get(&id);
        Some(Job {
            laxity: dependent.map_or(job.laxity, |it| it.laxity),
            ..job
        })
    }

    /// The delay of an application, as far as it is known.
    pub(crate) fn delay(&self, id: CompositionId) -> Option<Duration> {
        self.users.get(&id)?.delay
    }

    /// How many components run here, and how many applications they serve.
    pub(crate) fn counts(&self) -> (u64, u64) {
        (
            convert::size(self.components.len()),
            convert::size(self.users.len()),
        )
    }
}

/// A delay that changes by less than this, or a fiftieth, is not told to others. Unit: time. Source: guess.
const TOLD_STEP: Duration = Duration::from_millis(1);
