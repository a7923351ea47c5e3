//! What happens, one event after the other.

use std::time::Duration;

use model::{Instant, Resources};
use node::node::Measured;

use super::faults::{FOUND_WITHIN, Now};
use super::{Arc, Cost, Digest, EffectsDigest, Event, Input, LOAD_AFTER, MEASURE, Query, World};
use crate::simulator::discrete::{BROKEN_AFTER, Happening};

/// After what time a sender hears that nothing comes through. Source: production asks after each burst whether it arrived;
/// a killed process is noticed after a round trip, a broken way by the system's and production's time-outs.
const UNREACHABLE_AFTER: Duration = Duration::from_millis(500);

/// How far news of a load are spread over time: they travel on pings. Source: a round of production's pings takes ten seconds.
const GOSSIP_MEAN: Duration = Duration::from_secs(5);

impl World {
    /// The next event, if there is one until then. Gives whether there was.
    pub(super) fn step(&mut self, until: Instant) -> bool {
        if self.queue.next_at().is_none_or(|at| at > until) {
            return false;
        }
        let Some((at, cause, event)) = self.queue.pop() else {
            return false;
        };
        self.now = at;
        self.events += 1;
        match event {
            Event::Input { host, start, input } => {
                if self.hosts[host].is_up && self.hosts[host].start == start {
                    self.hand(host, cause, *input);
                }
            }
            Event::Message { from, to, bytes } => self.on_message(from, to, bytes, cause),
            Event::Wake(host) => self.on_wake(host),
            Event::Gossip(of) => self.on_gossip(of),
            Event::Measured { at, of } => self.on_measured(at, of),
            Event::Load(host) => {
                self.hosts[host].is_load_due = false;
                if self.hosts[host].is_up {
                    let busy_cores = self.busy(host);
                    self.hand(
                        host,
                        0,
                        Input::Load {
                            used: Resources {
                                cpu_cores: busy_cores,
                                ..Resources::default()
                            },
                        },
                    );
                    // With that it sees to backups.
                    if self.fluid.wants_backups(host) {
                        self.look_at_load(host, LOAD_AFTER);
                    }
                }
            }
            Event::Usage => self.on_usage(),
            Event::Beats { at, of, start } => self.on_beats_missed(at, of, start),
            Event::Lost { host, start } => self.on_lost(host, start),
            Event::Apart(since) => self.on_apart(since),
            Event::Lapse(id) => {
                let gone = self.fluid.lapse(id, &self.numbers);
                self.tell_retired(gone);
            }
            Event::Awaited { host, start, id } => {
                if self.hosts[host].start == start {
                    self.on_awaited(host, id);
                }
            }
            Event::Overlay => self.on_overlay(),
            Event::Engine { host, start, what } => {
                if self.hosts[host].is_up && self.hosts[host].start == start {
                    self.on_engine(host, *what);
                } else if let Some(link) = what.link().filter(|link| link.reader != host) {
                    // The host went down meanwhile: who reads misses its beats.
                    self.engine_later(link.reader, BROKEN_AFTER, Happening::Broken(link));
                }
            }
            Event::Check => {
                for host in 0..self.hosts.len() {
                    self.check(host);
                }
                self.checker.check_queue(self.now, self.queue.len());
                self.queue.push(self.now + LOAD_AFTER, 0, Event::Check);
            }
        }
        true
    }

    /// Hands an input to a node, and does what it wants done.
    pub(super) fn hand(&mut self, host: usize, cause: u32, input: Input) {
        let it = &mut self.hosts[host];
        let local = it.clock.local(self.now);
        let is_back = local < it.last_local;
        it.last_local = local;
        if self.is_traced {
            let text = format!("<- {}", shortened(&format!("{input:?}")));
            self.note(host, &text);
        }
        let mut effects = Vec::new();
        let is_timeout = input == Input::Timeout;
        let it = &mut self.hosts[host];
        it.node.handle_input(local, input, &mut effects);
        let wanted = it.node.poll_timeout();
        if is_back {
            let what = "its clock went backward".to_owned();
            self.checker.report(self.now, Some(host), what);
        }
        if is_timeout && wanted.is_some_and(|wanted| wanted <= local) {
            let what = format!("it wants to be called at {wanted:?} again, and it is {local:?}");
            self.checker.report(self.now, Some(host), what);
        } else {
            self.plan_wake(host, wanted);
        }
        if let Some(digest) = self.digest {
            let mut of_effects = EffectsDigest::default();
            of_effects.add(&effects);
            let place = model::convert::size(host).to_le_bytes();
            let at = self.now.as_nanos().to_le_bytes();
            let parts: [&[u8]; 4] = [&digest.0, &place, &at, &of_effects.digest().0];
            self.digest = Some(Digest::of("synergy 2026 simulation", &parts));
        }
        for effect in effects {
            if self.is_traced {
                let text = format!("-> {}", shortened(&format!("{effect:?}")));
                self.note(host, &text);
            }
            self.act(host, cause, effect);
        }
        if self.checks_each {
            self.check(host);
        }
    }

    pub(super) fn check(&mut self, host: usize) {
        let it = &self.hosts[host];
        if !it.is_up {
            return;
        }
        let setup = &self.setup.hosts[host];
        let capacity = Resources {
            cpu_cores: setup.cores,
            memory_bytes: setup.memory_bytes,
            uplink_bytes_per_second: setup.uplink_bytes_per_second,
        };
        let running = self.running_cores(host);
        let capacity = (!it.has_adopted).then_some(&capacity);
        self.checker
            .check_host(self.now, host, &it.node, capacity, running);
    }

    fn plan_wake(&mut self, host: usize, wanted: Option<Instant>) {
        let Some(wanted) = wanted else {
            return;
        };
        let it = &mut self.hosts[host];
        let at = it.clock.moment(wanted).max(self.now);
        // Who is called too early is called again: that is cheaper than to look for what was planned.
        if it.wake.is_none_or(|planned| at < planned) {
            it.wake = Some(at);
            self.queue.push(at, 0, Event::Wake(host));
        }
    }

    fn on_wake(&mut self, host: usize) {
        let it = &mut self.hosts[host];
        if !it.is_up || it.wake != Some(self.now) {
            return;
        }
        it.wake = None;
        let wanted = it.node.poll_timeout();
        if wanted.is_some_and(|wanted| wanted <= it.clock.local(self.now)) {
            // What follows from a time-out follows from the one request that is open here, if there is one.
            let cause = match it.open.as_slice() {
                [only] => only.0,
                _ => 0,
            };
            self.hand(host, cause, Input::Timeout);
        } else {
            self.plan_wake(host, wanted);
        }
    }

    fn on_message(&mut self, from: usize, to: usize, bytes: Vec<u8>, cause: u32) {
        if !self.hosts[to].is_up {
            if self.is_down_noticed {
                self.unreachable(from, to, UNREACHABLE_AFTER, cause);
            }
            return;
        }
        self.measure(to, from);
        self.measure(from, to);
        let from = self.hosts[from].id;
        self.hand(to, cause, Input::Message { from, bytes });
    }

    pub(super) fn unreachable(&mut self, at: usize, of: usize, after: Duration, cause: u32) {
        let input = Input::Unreachable(self.hosts[of].id);
        self.later(at, after, cause, input);
        if self.repairs() {
            // It is heard of again where it is there after all.
            let found = after + FOUND_WITHIN.1.mul_f64(self.rng.fraction());
            self.queue
                .push(self.now + found, 0, Event::Measured { at, of });
        }
    }

    pub(super) fn later(&mut self, host: usize, after: Duration, cause: u32, input: Input) {
        let start = self.hosts[host].start;
        let event = Event::Input {
            host,
            start,
            input: Box::new(input),
        };
        self.queue.push(self.now + after, cause, event);
    }

    pub(super) fn round_trip(&self, one: usize, other: usize) -> Duration {
        let topology = &self.setup.topology;
        topology.delay(one, other) + topology.delay(other, one)
    }

    /// A host and those that it knows come to know of one another.
    pub(super) fn introduce(&mut self, host: usize) {
        let own = Input::Seen {
            summary: Arc::clone(&self.hosts[host].summary),
            round_trip: None,
        };
        self.hand(host, 0, own);
        for neighbor in self.acquaintances.neighbors(host).to_vec() {
            if self.hosts[neighbor].is_up {
                self.hosts[host].measured.insert(neighbor);
            }
        }
        for other in self.acquaintances.known(host).to_vec() {
            if self.is_heard(host, other) {
                self.see(host, other);
            }
        }
    }

    /// A host measures the round trip to one that it has to do with.
    fn measure(&mut self, at: usize, of: usize) {
        if self.hosts[at].measured.insert(of) {
            let round_trip = self.round_trip(at, of);
            self.queue
                .push(self.now + round_trip, 0, Event::Measured { at, of });
        }
    }

    fn is_heard(&self, at: usize, of: usize) -> bool {
        self.hosts[of].is_up && !self.network.cuts(of, at)
    }

    fn see(&mut self, at: usize, of: usize) {
        let is_measured = self.hosts[at].measured.contains(&of);
        let input = Input::Seen {
            summary: Arc::clone(&self.hosts[of].summary),
            round_trip: is_measured.then(|| self.round_trip(at, of)),
        };
        self.hand(at, 0, input);
    }

    fn on_gossip(&mut self, of: usize) {
        if !self.hosts[of].is_up {
            return;
        }
        for at in self.acquaintances.knowers(of).to_vec() {
            if self.hosts[at].is_up && self.is_heard(at, of) {
                self.see(at, of);
            }
        }
    }

    fn on_measured(&mut self, at: usize, of: usize) {
        if self.hosts[at].is_up && self.is_heard(at, of) {
            self.see(at, of);
        }
    }

    fn on_lost(&mut self, host: usize, start: u32) {
        if self.hosts[host].is_up || self.hosts[host].start != start {
            return;
        }
        for at in self.acquaintances.knowers(host).to_vec() {
            self.lose(at, host);
        }
    }

    /// A host does not count on another any more.
    pub(super) fn lose(&mut self, at: usize, of: usize) {
        if self.hosts[at].is_up {
            self.hosts[at].measured.remove(&of);
            let id = self.hosts[of].id;
            self.hand(at, 0, Input::Lost(id));
        }
    }

    /// Has a host look at its load, unless it will already.
    pub(super) fn look_at_load(&mut self, host: usize, after: Duration) {
        if !self.hosts[host].is_load_due {
            self.hosts[host].is_load_due = true;
            self.queue.push(self.now + after, 0, Event::Load(host));
        }
    }

    pub(super) fn follow_loads(&mut self) {
        while let Some(host) = self.fluid.loaded.pop_first() {
            self.look_at_load(host, LOAD_AFTER);
        }
    }

    /// Hosts are told what was measured of what they run, where it has changed.
    fn on_usage(&mut self) {
        let changed = std::mem::take(&mut self.fluid.changed);
        let places: Vec<(usize, model::CompositionId)> = match &self.discrete {
            // Engines have what they have, whatever changed.
            Some(discrete) => (0..self.hosts.len())
                .flat_map(|host| discrete.compositions(host).map(move |id| (host, id)))
                .collect(),
            None => changed
                .into_iter()
                .flat_map(|id| self.fluid.hosts_of(id).into_iter().map(move |it| (it, id)))
                .collect(),
        };
        for (host, id) in places {
            let delay = match self.discrete {
                Some(_) => self.measured_delay(id).map(|it| it.full),
                None => self.fluid.delays(id, &self.numbers).map(|it| it.full),
            };
            let operators = self.jobs(host, id).into_iter().filter_map(|(index, job)| {
                Some(composition::Usage {
                    operator: u16::try_from(index).ok()?,
                    cores: job.cores,
                    execution: job.execution,
                })
            });
            let measured = Measured {
                operators: operators.collect(),
                delay: delay.filter(|_| self.fluid.has_sinks(host, id)),
                ..Measured::default()
            };
            if self.hosts[host].is_up {
                self.hand(host, 0, Input::Measured { id, measured });
            }
        }
        self.queue.push(self.now + MEASURE, 0, Event::Usage);
    }

    /// Tells that something that a host says of itself has changed.
    pub(super) fn spread_gossip(&mut self, host: usize) {
        let knowers = model::convert::size(self.acquaintances.knowers(host).len());
        self.count("gossip", knowers, knowers * 200);
        let spread = 0.5 + self.rng.fraction();
        let after = GOSSIP_MEAN.mul_f64(spread);
        self.queue.push(self.now + after, 0, Event::Gossip(host));
    }

    /// The overlay is called when it has something to do.
    pub(super) fn plan_overlay(&mut self) {
        if let Some(at) = self.overlay.poll_timeout() {
            self.queue.push(at.max(self.now), 0, Event::Overlay);
        }
    }

    fn on_overlay(&mut self) {
        let Self {
            overlay,
            network,
            setup,
            now,
            ..
        } = self;
        let topology = &*setup.topology;
        let cost = overlay.on_timeout(*now, &Now { network, topology });
        self.count("overlay", cost.messages, cost.bytes);
        self.plan_overlay();
    }

    /// Asks the overlay for a host. Gives what it answers, and what that took.
    pub(super) fn query(&mut self, host: usize, ask: Query) -> (model::Outcome, Cost) {
        let Self {
            overlay,
            network,
            setup,
            now,
            ..
        } = self;
        let topology = &*setup.topology;
        let asked = overlay.ask(*now, host, ask, &Now { network, topology });
        self.count("overlay", asked.cost.messages, asked.cost.bytes);
        (asked.outcome, asked.cost)
    }
}

/// The beginning of a text, for a trace.
fn shortened(text: &str) -> String {
    text.chars().take(160).collect()
}
