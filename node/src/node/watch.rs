//! What this host watches of itself, and what goes elsewhere for that.
//!
//! What was measured of a second comes in by composition, and the load ends the second: then the [`Monitor`] says what is to be expected and the
//! [`Detector`] whether something should move. Only where it should are the loads of others looked at, by what they say of themselves.
//! How it goes is told in `migration`; the detector hears of every migration here, whoever wanted it, so that hosts rest after each.

use std::collections::BTreeMap;
use std::time::Duration;

use composition::Usage;
use model::plan::{Reader, Stream};
use model::{ComponentId, CompositionId, Instant, LoadInterval, NodeId, Resources, Slack};
use placement::hotspot::{Candidate, Decision as Move, Detector, HotSpot, Kind, Stay};
use placement::monitor::{ComponentMeasure, HostMeasure, Monitor, Outlook};

use super::view::hex;
use super::{Decision, Effect, Node, Pace, RankedHost};

/// An operator of an application, by its composition and its place in the plan.
pub(super) type Place = (CompositionId, u16);

/// How long it is not told again of a component that there is no place for it.
///
/// Unit: time. Range: well above the half minute after which it is looked for again. Source: guess; a hundred such components fill a
/// journal of 256 in 25 minutes.
const TELL_AGAIN: Duration = Duration::from_secs(600);

/// What this host watches of itself.
#[derive(Debug, Default)]
pub(super) struct Watch {
    monitor: Monitor,
    detector: Detector,
    /// The operators of its own that run here. Bounded by the parts that do.
    known: BTreeMap<Place, Known>,
    /// What was measured in this second. Bounded as above.
    measured: BTreeMap<Place, (Usage, Pace)>,
    next: u64,
}

/// What is known of an operator that runs here.
#[derive(Debug)]
struct Known {
    id: ComponentId,
    /// How long batches were to be there, as it was projected when it was first measured here; nothing before.
    promise: Option<Duration>,
    /// How long they take without a wait, as last measured.
    idle: Duration,
    /// When it was last told that there is no place for it.
    told: Option<Instant>,
}

impl Watch {
    fn known(&mut self, place: Place) -> &mut Known {
        let next = &mut self.next;
        self.known.entry(place).or_insert_with(|| {
            *next += 1;
            Known {
                id: ComponentId(*next),
                promise: None,
                idle: Duration::ZERO,
                told: None,
            }
        })
    }

    /// What is expected of an operator that runs here, as far as it was measured.
    pub(super) fn expected(&self, place: Place) -> Option<Outlook> {
        let id = self.known.get(&place)?.id;
        let mut outlook = self.monitor.outlook().into_iter();
        outlook.find(|it| it.id == id)
    }

    /// An operator begins to go elsewhere.
    pub(super) fn begin(&mut self, now: Instant, place: Place) {
        let id = self.known(place).id;
        // Where the hosts still rest, somebody else wants it: then this changes nothing.
        self.detector.begin(now, id);
    }

    /// An operator has gone elsewhere.
    pub(super) fn end(&mut self, now: Instant, place: Place) {
        let id = self.known(place).id;
        self.detector.end(now, id);
    }

    /// An operator has come here.
    fn came(&mut self, now: Instant, place: Place) {
        self.begin(now, place);
        self.end(now, place);
    }

    /// An operator stays, since nobody took it.
    pub(super) fn refused(&mut self, now: Instant, place: Place) {
        let id = self.known(place).id;
        self.detector.refused(now, id);
    }
}

impl Node {
    /// Takes what was measured of a composition in this second.
    pub(super) fn watch(&mut self, id: CompositionId, usage: &[Usage], paces: Vec<Pace>) {
        if !self.config.migrates {
            return;
        }
        for pace in paces {
            let place = (id, pace.operator);
            let usage = usage.iter().find(|it| it.operator == pace.operator);
            let usage = usage.filter(|it| it.cores.is_finite() && it.cores >= 0.0);
            match usage {
                Some(usage) if self.runs(place) => {
                    self.watch.measured.insert(place, (*usage, pace));
                }
                _ => self.counts.add("measures_of_nothing"),
            }
        }
    }

    /// Whether an operator runs here, for an application of its own that has not ended.
    fn runs(&self, (id, operator): Place) -> bool {
        let here = self.id();
        let part = self.parts.get(&id).filter(|part| part.is_running());
        let binding = part.and_then(|it| it.graph.operators().get(usize::from(operator)));
        binding.is_some_and(|it| it.host == here && !it.shared)
    }

    /// A composition has another graph here: what has come with it rests.
    pub(super) fn note_arrivals(&mut self, now: Instant, id: CompositionId, before: &[u16]) {
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let count = part.graph.operators().len();
        let operators = (0u16..).take(count);
        let come: Vec<Place> = operators
            .filter(|operator| !before.contains(operator))
            .map(|operator| (id, operator))
            .filter(|place| self.runs(*place))
            .collect();
        for place in come {
            self.watch.came(now, place);
        }
    }

    /// The operators of a composition that run here.
    pub(super) fn operators_here(&self, id: CompositionId) -> Vec<u16> {
        let part = self.parts.get(&id);
        let count = part.map_or(0, |part| part.graph.operators().len());
        let operators = (0u16..).take(count);
        operators
            .filter(|operator| self.runs((id, *operator)))
            .collect()
    }

    /// A second has ended, in which so much was in use: what was measured in it says whether something should move.
    pub(super) fn end_second(&mut self, now: Instant, used: Resources, out: &mut Vec<Effect>) {
        let capacity = self.view.hosts.host.capacity;
        let cores = capacity.cpu_cores;
        if !self.config.migrates || cores <= 0.0 {
            return;
        }
        let mut known = std::mem::take(&mut self.watch.known);
        known.retain(|place, _| self.runs(*place) || self.migrating.contains_key(place));
        self.watch.known = known;
        let components = self.measures(cores);
        let host = HostMeasure {
            cpu_fraction: used.cpu_cores / cores,
            uplink_fraction: used.uplink_fraction(&capacity),
            memory_fraction: used.memory_fraction(&capacity),
        };
        self.watch.monitor.note(host, components);
        let load = self.watch.monitor.load().unwrap_or_default();
        let outlook = self.watch.monitor.outlook();
        if let Some(hot_spot) = self.watch.detector.note(now, load, &outlook) {
            self.on_hot_spot(now, &hot_spot, out);
        }
    }

    /// What was measured of each operator in the second that ends, as the monitor wants it.
    fn measures(&mut self, cores: f64) -> Vec<ComponentMeasure> {
        let measured = std::mem::take(&mut self.watch.measured);
        for (place, (usage, _)) in &measured {
            // Once: to project it is to look at all that runs here.
            if self.watch.known(*place).promise.is_none() {
                let projected = self.projected_execution(place.0, place.1);
                self.watch.known(*place).promise = projected;
            }
            let known = self.watch.known(*place);
            if !usage.execution.is_zero() {
                known.idle = usage.execution;
            }
        }
        let rate_of = |place: &Place| {
            let (_, pace) = measured.get(place)?;
            Some((self.watch.known.get(place)?.id, pace.rows_per_second))
        };
        let of = |(place, (usage, pace)): (&Place, &(Usage, Pace))| {
            let known = self.watch.known.get(place)?;
            let plan = self.parts.get(&place.0)?.graph.plan();
            let inputs = plan.operators().get(usize::from(place.1))?.inputs.iter();
            let upstream = inputs.filter_map(|input| match *input {
                Stream::Operator(index, _) => rate_of(&(place.0, u16::try_from(index).ok()?)),
                Stream::Source(..) => None,
            });
            let rate = Some(pace.rows_per_second).filter(|it| it.is_finite());
            Some(ComponentMeasure {
                id: known.id,
                rate,
                load_fraction: usage.cores / cores,
                idle_execution: known.idle,
                execution: pace.execution,
                promise: known.promise.unwrap_or(known.idle),
                budget: pace.budget,
                age: pace.age,
                upstream: upstream.collect(),
                is_movable: self.runs(*place) && !self.migrating.contains_key(place),
            })
        };
        measured.iter().filter_map(of).collect()
    }

    /// Something should move: looks who could run it, and begins to move it there.
    fn on_hot_spot(&mut self, now: Instant, hot_spot: &HotSpot, out: &mut Vec<Effect>) {
        let known = self.watch.known.iter();
        let found = known
            .into_iter()
            .find(|it| it.1.id == hot_spot.component.id);
        let Some((place, _)) = found else {
            return;
        };
        let place = *place;
        self.counts.add("hot_spots");
        let candidates = self.candidates_for(place);
        match self.watch.detector.decide(now, hot_spot, &candidates) {
            Ok(decision) => {
                self.tell_hot_spot(now, place, hot_spot, Ok(&decision));
                let targets = decision.targets.iter().map(|it| it.node).collect();
                let slack = hot_spot.component.predicted_slack;
                self.move_from_hot_spot(now, place, (hot_spot.kind, slack), targets, out);
            }
            Err(stay) => {
                let known = self.watch.known(place);
                let is_told = known.told.is_some_and(|at| now.since(at) < TELL_AGAIN);
                if stay == Stay::NoPlace && !is_told {
                    known.told = Some(now);
                    self.tell_hot_spot(now, place, hot_spot, Err(stay));
                }
            }
        }
    }

    /// The hosts that may run an operator and can be reached, by what they last said of themselves.
    fn candidates_for(&self, place: Place) -> Vec<Candidate> {
        let view = &self.view.hosts;
        let Some(part) = self.parts.get(&place.0) else {
            return Vec::new();
        };
        let plan = part.graph.plan();
        let index = usize::from(place.1);
        let inputs = plan.operators()[index].inputs.iter();
        let before: Vec<NodeId> = inputs
            .map(|input| part.graph.producer(*input).host)
            .collect();
        let behind = plan.readers_of(index);
        let behind: Vec<NodeId> = behind
            .map(|reader: Reader| part.graph.reader(reader).host)
            .collect();
        // The slowest input and the slowest reader count; of strangers nothing is known.
        let longest = |ends: &[NodeId], host: NodeId| {
            let ways = ends.iter().filter_map(|end| view.delay(*end, host));
            ways.max().unwrap_or_default()
        };
        let ways = |host: NodeId| longest(&before, host) + longest(&behind, host);
        let here = Slack::from(ways(self.id()));
        let cores = view.host.capacity.cpu_cores;
        let others = self.composer.may_run(view, place.0, place.1);
        let others =
            others.filter(|host| !self.view.is_absent(host.node) && host.capacity.cpu_cores > 0.0);
        others
            .map(|host| Candidate {
                node: host.node,
                load: host.load,
                load_ratio: cores / host.capacity.cpu_cores,
                way_gain: here.less(ways(host.node)),
            })
            .collect()
    }

    /// Takes down a hot-spot and what was decided of it, with its numbers.
    fn tell_hot_spot(
        &mut self,
        now: Instant,
        place: Place,
        hot_spot: &HotSpot,
        decided: Result<&Move, Stay>,
    ) {
        let Some(part) = self.parts.get(&place.0) else {
            return;
        };
        let application = part.application.clone();
        let operator = &part.graph.plan().operators()[usize::from(place.1)];
        let targets = decided.map_or(&[][..], |decision| &decision.targets);
        let candidates = targets.iter().map(|it| RankedHost {
            host: self.view.name(it.node),
            node: hex(it.node),
            load: LoadInterval::middle(it.load),
            load_after: it.load_after,
            slack_ms: slack_ms(it.slack),
        });
        let decision = Decision::HotSpot {
            operator: Some(operator.name.clone()),
            reason: reason(hot_spot.kind).to_owned(),
            load: hot_spot.load,
            load_after: decided.ok().map(|decision| decision.load_after),
            slack_ms: slack_ms(hot_spot.component.predicted_slack),
            horizon_s: decided.ok().map(|decision| decision.horizon.as_secs_f64()),
            candidates: candidates.collect(),
            stays: decided.err().map(|stay| why_it_stays(stay).to_owned()),
        };
        self.decided(now, &application, decision);
    }
}

/// What is wrong, for people.
pub(super) const fn reason(kind: Kind) -> &'static str {
    match kind {
        Kind::Overload => "its host has too much to do",
        Kind::Imbalance => "others have clearly less to do",
        Kind::Application => "a target would be missed",
    }
}

const fn why_it_stays(stay: Stay) -> &'static str {
    match stay {
        Stay::Resting => "its host rests after a migration",
        Stay::Even => "others have as much to do",
        Stay::NoPlace => "no host that may run it would be better",
    }
}

/// A slack in milliseconds; nothing where no target lies behind.
pub(super) fn slack_ms(slack: Slack) -> Option<f64> {
    (slack != Slack::MAX).then(|| slack.as_seconds() * 1e3)
}
