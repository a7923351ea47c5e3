//! What goes wrong, by order: hosts that crash and come back, and rules of the network.

use std::collections::BTreeMap;
use std::time::Duration;

use model::NodeId;

use super::{Arc, Event, Host, World, host};
use crate::simulator::discrete::BROKEN_AFTER;
use crate::simulator::network::{Network, Rule};
use crate::simulator::overlay;

/// After what time those that know a host do not count on it any more. Source: production gives a host up after two pings that
/// took longer than three seconds each, in rounds of ten.
const LOST_AFTER: Duration = Duration::from_secs(20);

/// Within what time of its end hosts hear of one another again that a partition had kept apart: those that had lost each other,
/// and those that had not.
///
/// Unit: time. Source: a round of production's pings takes ten seconds. Who is left alone joins again with waits up to 30 s, and edges and records
/// dial whom they are for; where neither is so, as between two halves without a common application, production takes up to the
/// five minutes between two refreshings of its routing table, which is not modelled.
pub(super) const FOUND_WITHIN: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(10));

/// After what time what nobody pulls any more is gone. Source: the engine lapses readers after 5 s, and what only such read
/// after 60 s.
const LAPSED_AFTER: Duration = Duration::from_secs(65);

/// The ways between hosts as the network is now.
pub(super) struct Now<'a> {
    pub(super) network: &'a Network,
    pub(super) topology: &'a dyn crate::topology::Topology,
}

impl overlay::Ways for Now<'_> {
    fn delay(&self, from: usize, to: usize) -> Option<Duration> {
        (!self.network.cuts(from, to)).then(|| self.topology.delay(from, to))
    }
}

impl World {
    /// Adds a rule to the network: a fault.
    pub fn add_fault(&mut self, rule: Box<dyn Rule>) {
        self.network.add_fault(rule);
        let mut is_any = false;
        let mut silent = Vec::new();
        for at in 0..self.hosts.len() {
            for of in self.acquaintances.known(at) {
                if self.network.cuts(*of, at) && !self.apart.contains_key(&(at, *of)) {
                    self.apart.insert((at, *of), self.now);
                    silent.push((at, *of));
                    is_any = true;
                }
            }
        }
        for (at, of) in silent {
            if self.fluid.near(of, &self.numbers).contains(&at) {
                self.miss_beats(at, of);
            }
        }
        if is_any {
            if let Some(exact) = &mut self.exact {
                exact.part();
            }
            let event = Event::Apart(self.now);
            self.queue.push(self.now + LOST_AFTER, 0, event);
        }
    }

    /// Hosts that are cut off from each other since then do not count on one another any more.
    pub(super) fn on_apart(&mut self, since: super::Instant) {
        let apart = self.apart.iter().filter(|(_, it)| **it == since);
        let pairs: Vec<(usize, usize)> = apart.map(|(pair, _)| *pair).collect();
        for (at, of) in pairs {
            self.lose(at, of);
        }
    }

    /// Ends all faults of the network. Hosts that are down stay so.
    pub fn clear_faults(&mut self) {
        self.network.clear_faults();
        // Each host is heard of again by all, as late as the one who lost it longest ago hears of it.
        let mut found: BTreeMap<usize, super::Instant> = BTreeMap::new();
        for ((_, of), since) in std::mem::take(&mut self.apart) {
            let first = found.entry(of).or_insert(since);
            *first = since.min(*first);
        }
        for (host, since) in found {
            let is_lost = self.now.since(since) >= LOST_AFTER;
            let within = if is_lost {
                FOUND_WITHIN.0
            } else {
                FOUND_WITHIN.1
            };
            let after = within.mul_f64(self.rng.fraction());
            self.queue.push(self.now + after, 0, Event::Gossip(host));
        }
    }

    /// Whether who writes to a host that is down hears so, as where its process was killed; else nothing comes back, as
    /// where it lost power.
    pub const fn notice_down(&mut self, is_noticed: bool) {
        self.is_down_noticed = is_noticed;
    }

    /// Whether a host is up.
    pub fn is_up(&self, host: usize) -> bool {
        self.hosts[host].is_up
    }

    /// A host goes down with all that runs there. What it was asked and has not answered is never answered.
    pub fn crash(&mut self, host: usize) {
        if !self.hosts[host].is_up {
            return;
        }
        self.note(host, "goes down");
        let start = self.hosts[host].start;
        let it = &mut self.hosts[host];
        it.is_up = false;
        it.wake = None;
        it.measured.clear();
        let open = std::mem::take(&mut it.open);
        self.awaiting.retain(|(at, _), _| *at != host);
        self.open -= open.len();
        let now = self.now;
        let Self {
            overlay,
            network,
            setup,
            ..
        } = self;
        let ways = Now {
            network,
            topology: &*setup.topology,
        };
        overlay.crash(now, host, &ways);
        self.plan_overlay();
        for at in self.fluid.near(host, &self.numbers) {
            self.miss_beats(at, host);
        }
        if let Some(discrete) = &mut self.discrete {
            discrete.crash(host);
        }
        for id in self.fluid.crash(host) {
            // Engines let lapse what is not read any more by themselves.
            if self.discrete.is_none() {
                self.queue.push(now + LAPSED_AFTER, 0, Event::Lapse(id));
            }
        }
        self.lose_what_was_lent(host);
        self.queue
            .push(now + LOST_AFTER, 0, Event::Lost { host, start });
    }

    /// What a stateless operator that is shared keeps for who is behind the foremost of its readers lies on its host alone. Where that goes down
    /// while another host of a composition is down, whose sink may have been there, nobody knows what it lacks.
    fn lose_what_was_lent(&mut self, host: usize) {
        let Some(exact) = &mut self.exact else {
            return;
        };
        let number = |node: &NodeId| self.numbers.get_index_of(node);
        let is_down = |node: &NodeId| number(node).is_some_and(|it| !self.hosts[it].is_up);
        for (id, graph) in &self.graphs {
            let mut down = graph.running_hosts();
            down.retain(is_down);
            let is_hit = down.len() > 1 && down.iter().any(|node| number(node) == Some(host));
            let mut others = self.graphs.iter().filter(|(other, _)| *other != id);
            let mut is_lent = || {
                others.any(|(_, other)| {
                    let mut shared = other.operators().iter().filter(|it| it.shared);
                    shared.any(|it| down.contains(&it.host))
                })
            };
            if is_hit && is_lent() {
                exact.lose(*id);
            }
        }
    }

    /// A host that was down comes up again: its node knows its key, and nothing else.
    pub fn restart(&mut self, number: usize) {
        if self.hosts[number].is_up {
            return;
        }
        self.note(number, "comes up");
        let Host { start, summary, .. } = &self.hosts[number];
        let start = start + 1;
        let mut summary = (**summary).clone();
        summary.version += 1;
        summary.load = model::LoadInterval::default();
        let composition = self.setup.composition.clone();
        let repairs = self.repairs();
        let node = host::node(
            &self.rng,
            number,
            start,
            summary.clone(),
            composition,
            repairs,
        );
        let it = &mut self.hosts[number];
        it.node = node;
        it.start = start;
        it.is_up = true;
        it.summary = Arc::new(summary);
        it.is_load_due = false;
        it.has_adopted = false;
        let summary = Arc::clone(&it.summary);
        self.overlay.describe(number, summary);
        self.overlay.restart(self.now, number);
        self.plan_overlay();
        self.introduce(number);
        self.queue.push(
            self.now + Duration::from_millis(300),
            0,
            Event::Gossip(number),
        );
        self.look_at_load(number, Duration::from_secs(1));
    }

    /// A host that has streams with another hears nothing of it from now on.
    fn miss_beats(&mut self, at: usize, of: usize) {
        if self.repairs() {
            let start = self.hosts[of].start;
            let event = Event::Beats { at, of, start };
            self.queue.push(self.now + BROKEN_AFTER, 0, event);
        }
    }

    pub(super) fn on_beats_missed(&mut self, at: usize, of: usize, start: u32) {
        let it = &self.hosts[of];
        if !it.is_up || it.start != start || self.network.cuts(of, at) {
            self.unreachable(at, of, Duration::ZERO, 0);
        }
    }

    /// How much of a host others than Synergy use from now on. Unit: cores.
    pub fn set_background(&mut self, host: usize, cores: f64) {
        self.hosts[host].background = cores;
        self.fluid.set_background(host, cores);
        self.look_at_load(host, Duration::from_secs(1));
    }

    pub(in crate::simulator) fn note(&mut self, host: usize, what: &str) {
        if self.is_traced {
            let at = self.now.since(super::Instant::ZERO);
            self.trace.push(format!("{at:?} host {host}: {what}"));
        }
    }
}
