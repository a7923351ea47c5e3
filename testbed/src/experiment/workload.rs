//! What is asked for: operators on hosts, and requests that have parts in common.
//!
//! Papers, section 10. A *base pipeline* is a published stream and operators of distinct kinds: a chain of four, or the plan of the
//! slides, `1 -> (2 -> 4, 3 -> 5) -> 6`. A request is the first two to four operators of a chain, or all of the other, for a host that
//! is drawn. Pipelines are drawn by Zipf's law, so that popular ones are asked for again and again: what is reused.

use std::time::Duration;

use composition::{Order, Place};
use model::plan::{Builder, Stream};
use model::{
    ApplicationId, Arguments, DataType, Demand, Field, NodeId, Origin, Qos, Rng, Schema,
    SourceName, convert, host,
};

use crate::topology::choose;

/// How many requests there are of what.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Hosts.
    pub hosts: usize,
    /// Kinds of operators.
    pub kinds: usize,
    /// On how many hosts each kind is.
    pub replicas: usize,
    /// Processor time for a row, drawn evenly for each kind.
    pub cost: (Duration, Duration),
    /// Rows of each stream in a second.
    pub rows_per_second: f64,
    /// The size of a row. Unit: bytes.
    pub row_bytes: f64,
    /// Base pipelines.
    pub pipelines: usize,
    /// Which part of these forks and joins.
    pub fork_fraction: f64,
    /// The fewest and the most operators of a request for a chain.
    pub chain: (usize, usize),
    /// The exponent of Zipf's law; 0 is no preference at all.
    pub popularity: f64,
    /// The latency target, drawn evenly for each request.
    pub target: (Duration, Duration),
    /// Requests.
    pub requests: usize,
}

impl Default for Settings {
    /// Source: papers, section 10, where most of it is a guess; 5 kbit are 625 bytes.
    fn default() -> Self {
        Self {
            hosts: 500,
            kinds: 1000,
            replicas: 5,
            cost: (Duration::from_millis(5), Duration::from_millis(15)),
            rows_per_second: 10.0,
            row_bytes: 625.0,
            pipelines: 300,
            fork_fraction: 0.3,
            chain: (2, 4),
            popularity: 1.0,
            target: (Duration::from_millis(450), Duration::from_millis(900)),
            requests: 1000,
        }
    }
}

impl Settings {
    /// For so many hosts: kinds and pipelines in proportion, and one request for each host.
    #[must_use]
    pub fn scaled_to(&self, hosts: usize) -> Self {
        Self {
            hosts,
            kinds: (self.kinds * hosts).div_ceil(self.hosts),
            pipelines: (self.pipelines * hosts).div_ceil(self.hosts),
            requests: hosts,
            ..self.clone()
        }
    }
}

/// Operators on hosts, and requests in their order: all of one seed.
#[derive(Debug, Clone, PartialEq)]
pub struct Workload {
    settings: Settings,
    /// Which kinds each host offers, by number.
    offered: Vec<Vec<usize>>,
    /// What a row costs, for each kind.
    costs: Vec<Duration>,
    pipelines: Vec<Pipeline>,
    requests: Vec<Request>,
}

#[derive(Debug, Clone, PartialEq)]
struct Pipeline {
    /// The host that publishes the stream.
    source: usize,
    forks: bool,
    /// As many as its shape has operators.
    kinds: Vec<usize>,
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// Who asks, and gets the results.
    pub host: usize,
    /// The base pipeline.
    pub pipeline: usize,
    /// How many of its operators, from the source on.
    pub operators: usize,
    /// The latency target.
    pub target: Duration,
}

/// The inputs of each operator of a plan that forks, by number; the first reads the source. Source: slides of Synergy, the query plan.
const FORKED: [&[usize]; 6] = [&[], &[0], &[0], &[1], &[2], &[3, 4]];

impl Workload {
    /// Draws a workload; each part of it from numbers of its own.
    ///
    /// # Panics
    /// When there are no hosts or pipelines, fewer kinds than a pipeline has operators, or no length of a chain.
    pub fn draw(settings: &Settings, rng: &Rng) -> Self {
        let most = FORKED.len().max(settings.chain.1);
        assert!(settings.kinds >= most, "a pipeline has distinct kinds");
        let mut placing = rng.keyed("placement");
        let mut offered = vec![Vec::new(); settings.hosts];
        for kind in 0..settings.kinds {
            let free = (0..settings.hosts).filter(|it| offered[*it].len() < host::OPERATORS_MAX);
            for host in choose(free.collect(), settings.replicas, &mut placing) {
                offered[host].push(kind);
            }
        }
        let mut costing = rng.keyed("costs");
        let costs = (0..settings.kinds).map(|_| between(settings.cost, &mut costing));
        let mut shaping = rng.keyed("pipelines");
        let pipelines = (0..settings.pipelines)
            .map(|_| Pipeline::draw(settings, &mut shaping))
            .collect::<Vec<_>>();
        let mut asking = rng.keyed("requests");
        let popularity = Zipf::new(settings.pipelines, settings.popularity);
        let requests = (0..settings.requests).map(|_| {
            let pipeline = popularity.draw(&mut asking);
            let (shortest, longest) = settings.chain;
            let length = shortest + below(longest + 1 - shortest, &mut asking);
            Request {
                host: below(settings.hosts, &mut asking),
                pipeline,
                operators: match pipelines[pipeline].forks {
                    true => FORKED.len(),
                    false => length,
                },
                target: between(settings.target, &mut asking),
            }
        });
        Self {
            requests: requests.collect(),
            settings: settings.clone(),
            offered,
            costs: costs.collect(),
            pipelines,
        }
    }

    /// One request for each pipeline after the other, so that none finds what another has: where all are chains.
    #[must_use]
    pub fn of_each_pipeline(mut self) -> Self {
        for (number, request) in self.requests.iter_mut().enumerate() {
            request.pipeline = number % self.pipelines.len();
        }
        self
    }

    /// What it was drawn from.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The requests, in their order.
    pub fn requests(&self) -> &[Request] {
        &self.requests
    }

    /// The kinds of operators that a host offers.
    pub fn offered(&self, host: usize) -> Vec<String> {
        self.offered[host].iter().map(|kind| word(*kind)).collect()
    }

    /// The streams that a host publishes.
    pub fn published(&self, host: usize) -> impl Iterator<Item = String> + '_ {
        let streams = self.pipelines.iter().enumerate();
        let streams = streams.filter(move |(_, pipeline)| pipeline.source == host);
        streams.map(|(number, _)| stream(number))
    }

    /// The stream that a request is for.
    pub fn stream(&self, number: usize) -> String {
        stream(self.requests[number].pipeline)
    }

    /// The operators of a request in their order: the number of their kind, and what a row costs.
    pub fn operators(&self, number: usize) -> impl Iterator<Item = (usize, Duration)> + '_ {
        let request = &self.requests[number];
        let kinds = &self.pipelines[request.pipeline].kinds[..request.operators];
        kinds.iter().map(|kind| (*kind, self.costs[*kind]))
    }

    /// The order of a request; `node` tells who a host is.
    pub fn order(&self, number: usize, node: impl Fn(usize) -> NodeId) -> Order {
        let request = &self.requests[number];
        let pipeline = &self.pipelines[request.pipeline];
        let name = format!("request-{number}");
        let qos = Qos {
            latency: request.target,
            ..Qos::default()
        };
        let mut plan = Builder::new(&name, qos).expect(VALID);
        let columns = Schema::new(vec![Field::new("value", DataType::Float64)]).expect(VALID);
        let ports = || vec![("out".to_owned(), columns.clone())];
        let published = SourceName::Published {
            publisher: node(pipeline.source),
            name: stream(request.pipeline),
        };
        let source = plan.source("source", published, ports()).expect(VALID);
        let source = source.port(0).expect(VALID);
        let mut streams: Vec<Stream> = Vec::new();
        let kinds = &pipeline.kinds[..request.operators];
        for (index, kind) in kinds.iter().enumerate() {
            let inputs: Vec<Stream> = match (pipeline.forks, index) {
                (_, 0) => vec![source],
                (true, _) => FORKED[index].iter().map(|input| streams[*input]).collect(),
                (false, _) => vec![streams[index - 1]],
            };
            let operator = format!("operator-{}", index + 1);
            let arguments = Arguments::new();
            let operator = plan.operator(&operator, &word(*kind), arguments, &inputs, ports());
            streams.push(operator.expect(VALID).port(0).expect(VALID));
        }
        let last = streams.last().copied().unwrap_or(source);
        plan.sink("sink", last).expect(VALID);
        let demand = |kind: &usize| Demand {
            cost_seconds: self.costs[*kind].as_secs_f64(),
            ..self.source_demand()
        };
        Order {
            application: ApplicationId {
                owner: node(request.host),
                name,
            },
            plan: plan.build().expect(VALID),
            origins: vec![Origin(u128::from(convert::size(request.pipeline)) + 1)],
            sources: vec![node(pipeline.source)],
            source_demands: vec![self.source_demand()],
            demands: kinds.iter().map(demand).collect(),
            places: vec![Place::Any; kinds.len()],
            sinks: vec![node(request.host)],
            spread: false,
            is_trial: false,
        }
    }

    /// What each stream yields; those of operators as well, a join taking a row of each input for one.
    pub const fn source_demand(&self) -> Demand {
        Demand {
            rows_per_second: self.settings.rows_per_second,
            row_bytes: self.settings.row_bytes,
            cost_seconds: 0.0,
            selectivity: 1.0,
        }
    }
}

const VALID: &str = "names are valid and distinct, and all streams are read";

impl Pipeline {
    fn draw(settings: &Settings, rng: &mut Rng) -> Self {
        let forks = rng.fraction() < settings.fork_fraction;
        let length = if forks {
            FORKED.len()
        } else {
            settings.chain.1
        };
        let mut kinds = Vec::with_capacity(length);
        while kinds.len() < length {
            let kind = below(settings.kinds, rng);
            if !kinds.contains(&kind) {
                kinds.push(kind);
            }
        }
        Self {
            source: below(settings.hosts, rng),
            forks,
            kinds,
        }
    }
}

/// The word for a kind of operator.
fn word(kind: usize) -> String {
    format!("kind-{kind}")
}

/// The name of a base pipeline's stream.
fn stream(pipeline: usize) -> String {
    format!("stream-{pipeline}")
}

/// Zipf's law: the chance of the n-th of some things is `n^-exponent`, over the sum of all of these.
#[derive(Debug)]
struct Zipf {
    /// The chances of the things up to each.
    sums: Vec<f64>,
}

impl Zipf {
    fn new(things: usize, exponent: f64) -> Self {
        let mut sum = 0.0;
        let sums = (1..=things).map(|rank| {
            sum += count(rank).powf(-exponent);
            sum
        });
        Self {
            sums: sums.collect(),
        }
    }

    fn draw(&self, rng: &mut Rng) -> usize {
        let all = self.sums.last().expect("there are things to draw from");
        let drawn = rng.fraction() * all;
        let place = self.sums.partition_point(|sum| *sum <= drawn);
        place.min(self.sums.len() - 1)
    }
}

fn below(bound: usize, rng: &mut Rng) -> usize {
    convert::index(rng.below(convert::size(bound)))
}

fn between((low, high): (Duration, Duration), rng: &mut Rng) -> Duration {
    low + high.saturating_sub(low).mul_f64(rng.fraction())
}

fn count(count: usize) -> f64 {
    convert::count_to_f64(convert::size(count))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn draw(settings: &Settings, seed: u64) -> Workload {
        Workload::draw(settings, &Rng::from_seed(seed))
    }

    fn node(host: usize) -> NodeId {
        let mut id = [0; 32];
        id[..8].copy_from_slice(&convert::size(host).to_le_bytes());
        NodeId(id)
    }

    #[test]
    fn every_kind_is_on_as_many_hosts_as_it_should_be() {
        let settings = Settings::default();
        let workload = draw(&settings, 1);
        let offered: usize = workload.offered.iter().map(Vec::len).sum();
        assert_eq!(offered, 5000);
        for kinds in &workload.offered {
            assert_eq!(kinds.iter().collect::<BTreeSet<_>>().len(), kinds.len());
            assert!(kinds.len() <= host::OPERATORS_MAX);
        }
        assert_eq!(workload, draw(&settings, 1));
        assert_ne!(workload, draw(&settings, 2));
    }

    #[test]
    fn more_requests_begin_with_the_same() {
        let few = draw(&Settings::default(), 3);
        let many = draw(
            &Settings {
                requests: 2000,
                ..Settings::default()
            },
            3,
        );
        assert_eq!(few.requests[..], many.requests[..1000]);
    }

    #[test]
    fn requests_of_one_pipeline_have_streams_in_common() {
        let workload = draw(&Settings::default(), 5);
        let names = |number: usize| {
            let plan = workload.order(number, node).plan;
            let streams = 0..plan.operators().len();
            let names = streams.map(|index| plan.stream_name(Stream::Operator(index, 0)));
            names.collect::<Vec<_>>()
        };
        let mut pairs = 0;
        for a in 0..100 {
            for b in 0..a {
                let (names_a, names_b) = (names(a), names(b));
                let common = names_a.iter().zip(&names_b).filter(|(a, b)| a == b).count();
                match workload.requests[a].pipeline == workload.requests[b].pipeline {
                    true => assert_eq!(common, names_a.len().min(names_b.len())),
                    false => assert_eq!(common, 0),
                }
                pairs += usize::from(common > 0);
            }
        }
        assert!(pairs > 20, "popular pipelines are asked for again: {pairs}");
    }

    #[test]
    fn some_plans_fork_and_join_and_carry_the_rate_of_their_source() {
        let workload = draw(&Settings::default(), 7);
        let forked = (0..workload.requests.len()).find(|it| workload.requests[*it].operators == 6);
        let order = workload.order(forked.expect("a third of them"), node);
        let operators = order.plan.operators();
        assert_eq!(operators[5].inputs.len(), 2);
        for (operator, demand) in operators.iter().zip(&order.demands) {
            assert!((demand.output_rows_per_second() - 10.0).abs() < 1e-9);
            let load = demand.resources(0).cpu_cores;
            assert!((0.05..0.15).contains(&load), "{}: {load}", operator.name);
        }
    }

    #[test]
    fn the_first_is_drawn_most_often() {
        let mut rng = Rng::from_seed(1);
        let zipf = Zipf::new(300, 1.0);
        let mut counts = vec![0_u32; 300];
        for _ in 0..10_000 {
            counts[zipf.draw(&mut rng)] += 1;
        }
        // One over the sum of 1/n up to 300, which is 6.28.
        assert!((1450..1750).contains(&counts[0]), "{}", counts[0]);
        assert!((700..900).contains(&counts[1]), "{}", counts[1]);
        assert!(counts[299] < 20);
    }
}
