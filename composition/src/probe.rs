//! A hop: what a host does with a probe.
//!
//! It checks, in this order: what it has left, the delay so far with a lower bound of the rest, and what the applications would suffer that
//! it serves. What passes is reserved, and the probe goes on to candidates of every reader. Whatever
//! is not sent on ends here, and the composing node is told with the share.

use std::sync::Arc;
use std::time::Duration;

use model::{Instant, NodeView, Resources, convert};

use crate::composer::{Composer, Outbox};
use crate::counts::Ignored;
use crate::ledger::Claim;
use crate::measure::{Lack, Spare};
use crate::message::{Body, Ended, Ending, Hop, Probe};
use crate::path;
use crate::policy::Projection;
use crate::request::{Goal, HostIndex, Part, number};
use crate::serving::{Change, Ranks};
use crate::share::Share;

/// A probe that is to go on.
struct Child {
    part: Part,
    host: HostIndex,
    /// All that the path has placed on this host when the probe goes there.
    placed: Resources,
}

impl Composer {
    pub(crate) fn on_probe(
        &mut self,
        now: Instant,
        view: &NodeView,
        probe: Probe,
        out: &mut Outbox<'_>,
    ) {
        self.counts.probes += 1;
        if probe.request.node(probe.host) != view.node() {
            return self.counts.ignore(Ignored::Misdirected);
        }
        let allocated = self.allocations.get(&probe.id).map(|it| it.attempt());
        let is_overtaken = allocated.is_some_and(|attempt| attempt > probe.failed);
        if is_overtaken || self.closed.has_since(probe.id, probe.failed) {
            return self.counts.ignore(Ignored::Late);
        }
        // Whoever probes again has given up what was confirmed here before.
        self.drop_allocation(now, probe.id, out);
        let until = now + self.config.lease;
        let Some(visit) = self.visits.enter(&probe, until) else {
            return self.counts.ignore(Ignored::Late);
        };
        let key = (probe.share, probe.part);
        if visit.seen.contains(&key) {
            return self.counts.ignore(Ignored::Repeated);
        }
        if visit.seen.len() >= usize::from(probe.request.body().probes_max) {
            self.counts.ignore(Ignored::Full);
            let (part, host) = (probe.part, probe.host);
            return end(probe, Vec::new(), Ending::Lost { part, host }, out);
        }
        visit.seen.insert(key);
        if let Part::Sink(_) = probe.part {
            self.on_sink(view, probe, out);
        } else {
            self.on_hop(now, view, probe, out);
        }
    }

    /// The end of a way: only the delay is left to be checked.
    fn on_sink(&mut self, view: &NodeView, probe: Probe, out: &mut Outbox<'_>) {
        let spare = self.spare(view, claim(&probe));
        let delay = probe.delay + probe.link;
        let limit = probe.request.limit();
        if delay > limit {
            return self.refuse(probe, Lack::of_delay(delay, limit), out);
        }
        let mut path = probe.path.clone();
        path.push(hop(&probe, spare));
        end(probe, path, Ending::Returned, out);
    }

    fn on_hop(&mut self, now: Instant, view: &NodeView, probe: Probe, out: &mut Outbox<'_>) {
        let request = Arc::clone(&probe.request);
        if let Part::Source(index) = probe.part
            && let Some(stream) = request.body().sources[usize::from(index)].shared
            && !self.serving.has(stream)
        {
            // It ran here when that was said, and does no more.
            let (part, host) = (probe.part, probe.host);
            return end(probe, Vec::new(), Ending::Lost { part, host }, out);
        }
        let projection = request.body().projection;
        let reserved = self.ledger.reserved_by_others(probe.id).cpu_cores;
        let queue = self
            .serving
            .queue(view, projection, reserved, Ranks::All, &Change::default());
        let cost = request.cost_seconds(probe.part);
        let laxity = request.laxity(
            probe.part,
            probe.delay + probe.link + convert::seconds(cost),
        );
        let spare = Spare {
            found: (projection != Projection::Paper).then(|| queue.found(laxity)),
            ..self.spare(view, claim(&probe))
        };
        let mut path = probe.path.clone();
        path.push(hop(&probe, spare));
        let placed = path::placed_last(&request, &path);
        // 1. What the request would place here.
        if let Some(lack) = Lack::of(&placed, &spare.available) {
            return self.refuse(probe, lack, out);
        }
        // 2. The delay so far, and what the rest takes at least.
        let execution = spare.execution(cost, placed.cpu_cores);
        let delay = probe.delay + probe.link + execution;
        let least = delay + request.rest(probe.part);
        if least > request.limit() {
            // Another probe may come here earlier: what was found on the way is told.
            return self.refuse_at(probe, path, Lack::of_delay(least, request.limit()), out);
        }
        // 3. What those would suffer who are served here.
        // What is offered is confirmed later, and by every host: each leaves the others as much as it takes.
        let is_offer = request.body().goal == Goal::Offer;
        let confirmed = is_offer.then(|| path::laxity_last(view, &request, &path));
        let times = if is_offer {
            u32::from(number(request.body().operators.len()))
        } else {
            1
        };
        for laxity in [Some(laxity), confirmed].into_iter().flatten() {
            let newcomers = path::jobs_last(&request, &path, laxity);
            if projection == Projection::None || newcomers.is_empty() {
                break;
            }
            let ranked = [(Ranks::All, queue.clone(), queue.with(&newcomers))];
            let change = Change {
                newcomers,
                ..Change::default()
            };
            let charges = self.serving.charges(&ranked, &change, probe.id);
            if let Some((suffers, increase, slack)) = self.serving.suffering(&charges, times) {
                let lack = Lack::of_impact(suffers, increase, slack);
                return self.refuse(probe, lack, out);
            }
        }
        if !self.visits.may_go_on(&probe, delay) {
            self.counts.pruned += 1;
            return end(probe, path, Ending::Pruned, out);
        }
        self.send_children(now, view, probe, (path, spare, placed, delay), out);
    }

    /// Sends a probe on from a hop that has passed: its path with this hop, what this host has left, what the path has placed here,
    /// and the delay so far.
    fn send_children(
        &mut self,
        now: Instant,
        view: &NodeView,
        probe: Probe,
        (path, spare, placed, delay): (Vec<Hop>, Spare, Resources, Duration),
        out: &mut Outbox<'_>,
    ) {
        let request = Arc::clone(&probe.request);
        let mut next = path::choose_next(view, &request, &path);
        let readers = request.readers(probe.part);
        let forks = readers.iter().map(|(reader, _)| request.forks(*reader));
        let children_max = probe
            .share
            .children_max(forks.max().unwrap_or(1), readers.len());
        next.truncate(self.visits.quota_left(&probe).min(children_max));
        if next.is_empty() {
            self.counts.pruned += 1;
            return end(probe, path, Ending::Pruned, out);
        }
        let child = |(part, host)| {
            let mut placed = placed;
            if host != probe.host {
                placed.uplink_bytes_per_second += request.edge_bytes_per_second(probe.part, part);
            }
            Child { part, host, placed }
        };
        let children: Vec<Child> = next.into_iter().map(child).collect();
        let asked = children
            .iter()
            .map(|child| child.placed)
            .filter(|placed| spare.available.fits(placed))
            .max_by(|a, b| {
                a.uplink_bytes_per_second
                    .total_cmp(&b.uplink_bytes_per_second)
            });
        if let Some(asked) = asked
            && request.body().reserves
        {
            let until = now + self.config.lease;
            let allocated = self.allocated();
            self.ledger
                .reserve(view, claim(&probe), asked, until, allocated);
        }
        let shares: Vec<Share> = probe.share.split(children.len()).collect();
        for (index, (child, share)) in children.into_iter().zip(shares).enumerate() {
            let inherited = if index == 0 { probe.sent } else { 0 };
            if let Some(lack) = Lack::of(&child.placed, &spare.available) {
                self.counts.refuse(lack.check);
                let (part, host) = (child.part, child.host);
                let ended = Ended {
                    id: probe.id,
                    round: probe.round,
                    share,
                    sent: inherited,
                    path: path.clone(),
                    ending: Ending::Refused { part, host, lack },
                };
                out.send(probe.id.node, Body::Ended(Box::new(ended)));
                continue;
            }
            let sent = Probe {
                id: probe.id,
                round: probe.round,
                failed: probe.failed,
                request: Arc::clone(&request),
                share,
                sent: inherited.saturating_add(1),
                path: path.clone(),
                part: child.part,
                host: child.host,
                link: path::link(view, &request, child.host),
                delay,
            };
            self.visits.note_sent(&sent, probe.part);
            out.send(request.node(child.host), Body::Probe(Box::new(sent)));
        }
    }

    fn refuse(&mut self, probe: Probe, lack: Lack, out: &mut Outbox<'_>) {
        let path = probe.path.clone();
        self.refuse_at(probe, path, lack, out);
    }

    /// The same, with the hops that are told; the one that refuses may be the last of them.
    fn refuse_at(&mut self, probe: Probe, path: Vec<Hop>, lack: Lack, out: &mut Outbox<'_>) {
        self.counts.refuse(lack.check);
        let (part, host) = (probe.part, probe.host);
        end(probe, path, Ending::Refused { part, host, lack }, out);
    }
}

fn claim(probe: &Probe) -> Claim {
    Claim {
        id: probe.id,
        failed: probe.failed,
    }
}

fn hop(probe: &Probe, spare: Spare) -> Hop {
    Hop {
        part: probe.part,
        host: probe.host,
        link: probe.link,
        spare,
    }
}

/// Tells the composing node that a probe has ended.
fn end(probe: Probe, path: Vec<Hop>, ending: Ending, out: &mut Outbox<'_>) {
    let ended = Ended {
        id: probe.id,
        round: probe.round,
        share: probe.share,
        sent: probe.sent,
        path,
        ending,
    };
    out.send(probe.id.node, Body::Ended(Box::new(ended)));
}
