//! Components that are made anew where another instance was lost with its host: those that keep positions need no state for that.
//!
//! Such a component is a function of what it reads. It lies dormant until those who read it have said where they are, and begins at
//! the least of these positions, in what it reads as in what it gives: nobody misses anything, and nobody is told of a gap.

use std::collections::BTreeMap;

use model::{ComponentId, EdgeId, Instant, Positions};

use super::{Component, Engine};
use crate::edge::{Consumer, From, LAPSE, Pull};
use crate::mailbox::Channel;
use crate::operator::Numbering;

/// What a component knows that waits for those who read it.
#[derive(Debug, Default)]
pub(crate) struct Rebuilding {
    /// When the first of them has said where it is.
    since: Option<Instant>,
    /// Those that have pulled; of another host with all that it has said.
    pulls: BTreeMap<EdgeId, Option<Pull>>,
}

impl Engine {
    /// Holds a pull for a component that waits for all who read it; of another host with what it says. Says whether it does.
    pub(super) fn hold_pull(
        &mut self,
        now: Instant,
        id: ComponentId,
        edge: EdgeId,
        pull: Option<&Pull>,
    ) -> bool {
        let Some(rebuilding) = self
            .components
            .get_mut(&id)
            .and_then(|component| component.rebuilding.as_mut())
        else {
            return false;
        };
        let held = rebuilding.pulls.entry(edge).or_default();
        match (held.as_mut(), pull) {
            (Some(held), Some(pull)) => held.add(pull),
            (None, Some(pull)) => *held = Some(pull.clone()),
            (_, None) => {}
        }
        if pull.is_none_or(|pull| pull.from.is_some()) {
            rebuilding.since.get_or_insert(now);
        }
        self.begin_where_asked(now, id);
        self.arm(now);
        true
    }

    /// Begins with a component that waited for those who read it, where all have said where they are.
    pub(super) fn begin_where_asked(&mut self, now: Instant, id: ComponentId) {
        let Some(component) = self.components.get(&id) else {
            return;
        };
        let Some(rebuilding) = &component.rebuilding else {
            return;
        };
        let has_asked = |edge: &EdgeId| {
            let is_tap = self.edges.get(edge).is_none_or(|edge| edge.is_tap);
            is_tap || rebuilding.has_asked(*edge)
        };
        let mut readers = component.outputs.iter().flat_map(|output| &output.readers);
        if rebuilding.since.is_some() && readers.all(has_asked) {
            self.begin_rebuilt(now, id);
        }
    }

    /// Goes on without those who have not said where they are in the time in which others lapse.
    pub(super) fn sweep_rebuilding(&mut self, now: Instant) {
        let is_due = |component: &Component| {
            let rebuilding = component.rebuilding.as_ref();
            let since = rebuilding.and_then(|rebuilding| rebuilding.since);
            since.is_some_and(|since| now.since(since) >= LAPSE)
        };
        let due = self.components.iter().filter(|(_, it)| is_due(it));
        let due: Vec<ComponentId> = due.map(|(id, _)| *id).collect();
        for id in due {
            self.begin_rebuilt(now, id);
        }
    }

    /// Begins at the least position that was asked for of each way in; where somebody names none, at what is kept further up.
    fn begin_rebuilt(&mut self, now: Instant, id: ComponentId) {
        let Some(component) = self.components.get_mut(&id) else {
            return;
        };
        let Some(rebuilding) = component.rebuilding.take() else {
            return;
        };
        let asked = self.asked_of(&rebuilding);
        let component = self.component_mut(id);
        let places = component.least_asked(&asked);
        component.begin_at(now, &places);
        for (port, edge) in (0..).zip(component.inputs.clone()) {
            let of_port = places.iter().filter(|(channel, _)| channel.port == port);
            let positions: Positions = of_port
                .map(|(channel, index)| (channel.origin, *index))
                .collect();
            let edge = self.edges.get_mut(&edge);
            if let Some(inbound) = edge.and_then(|edge| edge.inbound_mut()) {
                inbound.state = Consumer::resumed(&positions, inbound.credit);
            }
        }
        for (edge, pull) in rebuilding.pulls {
            match pull {
                Some(pull) => self.handle_pull(now, edge, &pull),
                None => self.pull(now, edge),
            }
        }
        self.wake(now, id);
    }

    /// From where each of those wants to be sent who are waited for.
    fn asked_of(&self, rebuilding: &Rebuilding) -> BTreeMap<EdgeId, From> {
        let asked = rebuilding.pulls.iter().filter_map(|(id, pull)| {
            let edge = self.edges.get(id).filter(|edge| !edge.is_tap)?;
            let from = match pull {
                Some(pull) => pull.from.clone()?,
                None => edge.inbound()?.state.from(),
            };
            Some((*id, from))
        });
        asked.collect()
    }
}

impl Rebuilding {
    /// Whether a reader has said where it is.
    fn has_asked(&self, edge: EdgeId) -> bool {
        let pull = self.pulls.get(&edge);
        pull.is_some_and(|pull| pull.as_ref().is_none_or(|pull| pull.from.is_some()))
    }
}

impl Component {
    /// The same in the place of one that is lost.
    pub(super) fn rebuilt(mut self) -> Self {
        self.is_resumed = true;
        match (&mut self.step, self.numbering) {
            (Some(step), Numbering::Own) => step.tell_left_out(),
            _ => self.rebuilding = Some(Rebuilding::default()),
        }
        self
    }

    /// The ways in of which everybody who asks has something, and the least index behind which somebody asks.
    fn least_asked(&self, asked: &BTreeMap<EdgeId, From>) -> Vec<(Channel, u64)> {
        let least = |channel: Channel| -> Option<u64> {
            let mut least = None;
            for (port, output) in (0..).zip(&self.outputs) {
                let origin = self.leaving(channel, port);
                for from in output.readers.iter().filter_map(|it| asked.get(it)) {
                    let index = from.behind(origin)?;
                    least = Some(least.map_or(index, |least: u64| least.min(index)));
                }
            }
            least
        };
        let channels = self.channels.iter();
        channels
            .filter_map(|channel| Some((*channel, least(*channel)?)))
            .collect()
    }

    /// What leaves begins behind these indices of what comes in, at each port that somebody reads.
    fn begin_at(&mut self, now: Instant, places: &[(Channel, u64)]) {
        for port in 0..self.outputs.len() {
            let number = u16::try_from(port).expect("a plan has fewer outputs");
            let places: Vec<_> = places
                .iter()
                .map(|(channel, index)| (self.leaving(*channel, number), *index))
                .collect();
            let output = &mut self.outputs[port];
            if !output.readers.is_empty() {
                output.producer.begin_at(now, places);
            }
        }
    }
}
