//! Components that several applications share: each at its own pace, and none missed by another when it goes.

use std::time::Duration;

use engine::{Config, Deployed, Deployment, Event, MEMORY_MIN, OperatorPart, SourcePart};
use model::{ComponentId, Rng, Slack};

use crate::hosts::{Faults, Feed, Hosts, Places, drain, part};
use crate::published::Published;
use crate::support::{Flow, Left, Started, has_retired, origin, records, run, table};

/// An application that runs, and what of it can be shared.
struct Running {
    started: Started,
    operators: Vec<ComponentId>,
    /// By sink.
    left: Vec<Left>,
    missing: u64,
}

impl Running {
    fn rows(&self) -> usize {
        self.left.iter().map(Left::len).sum()
    }
}

impl Published {
    /// Runs a dataflow over the source; of its operators, the first ones are these, which run already.
    fn share(&mut self, flow: Flow, shared: &[ComponentId]) -> Running {
        let deployed = self.run(flow, shared);
        Running {
            operators: deployed.operators.iter().flatten().copied().collect(),
            left: vec![Left::new(); deployed.sinks.len()],
            started: deployed.into(),
            missing: 0,
        }
    }

    /// Takes all that waits at the sinks of an application.
    fn drain_all(&mut self, of: &mut Running) {
        for (sink, left) in of.started.sinks.iter().zip(&mut of.left) {
            of.missing += self.drain(*sink, left);
        }
    }

    fn release(&mut self, of: &Running) {
        self.engine.release(self.now, of.started.application);
        self.settle();
    }

    /// Nothing is here but the source, and nothing is kept.
    fn assert_is_as_at_first(&self) {
        assert_eq!(self.engine.sizes(), [1, 1, 0, 0]);
        assert_eq!(self.engine.memory().used_bytes(), 0);
        assert!(self.engine.memory().peak_bytes() <= MEMORY_MIN);
    }
}

/// Every tenth row, and a sink.
fn tenth() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let kept = flow.filter("v % 10 = 0", source);
    flow.sink(kept);
    flow
}

/// The same, counted in windows.
fn windows_of_tenth() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let kept = flow.filter("v % 10 = 0", source);
    let windows = flow.window(700, kept);
    flow.sink(windows);
    flow
}

fn values(left: &Left) -> Vec<i64> {
    left.values().map(|row| row[1]).collect()
}

fn tens(from: i64, to: i64) -> Vec<i64> {
    (from..to).filter(|n| n % 10 == 0).collect()
}

#[test]
fn whoever_shares_goes_on_when_the_provider_stops_and_gets_every_row_once() {
    let mut bed = Published::new();
    let mut provider = bed.share(tenth(), &[]);
    let filter = provider.operators[0];
    bed.feed(1);
    bed.feed(1);
    let mut second = bed.share(tenth(), &[filter]);
    assert_eq!(second.operators, [filter], "it is not made again");
    bed.feed(1);
    let mut third = bed.share(windows_of_tenth(), &[filter]);
    for _ in 0..2 {
        bed.feed(1);
        bed.drain_all(&mut provider);
        bed.drain_all(&mut second);
    }
    bed.release(&provider);
    let application = provider.started.application;
    let report = bed.engine.report(bed.now, application).unwrap();
    let here: Vec<bool> = report.components.iter().map(|it| it.is_here).collect();
    assert_eq!(here, [true, false], "the filter is read by others");
    assert!(!has_retired(&bed.engine.take_events(), application));
    for _ in 0..3 {
        bed.feed(1);
        bed.drain_all(&mut second);
        bed.drain_all(&mut third);
    }
    bed.release(&second);
    assert!(has_retired(
        &bed.engine.take_events(),
        second.started.application
    ));
    bed.feed(1);
    bed.end();
    bed.drain_all(&mut third);

    assert_eq!(values(&provider.left[0]), tens(0, 5000));
    assert_eq!(values(&second.left[0]), tens(2000, 8000));
    // From the first window that it saw whole: row n has event time n ms.
    let counted: i64 = third.left[0].values().map(|row| row[3]).sum();
    assert_eq!(counted, i64::try_from(tens(3500, 9000).len()).unwrap());
    let missing = provider.missing + second.missing + third.missing;
    assert_eq!(missing, 0);

    let finished = Event::Finished {
        application: third.started.application,
    };
    assert_eq!(bed.engine.take_events(), [finished]);
    bed.release(&third);
    let events = bed.engine.take_events();
    for of in [&provider, &third] {
        assert!(has_retired(&events, of.started.application), "{events:?}");
    }
    bed.assert_is_as_at_first();
}

#[test]
fn a_stateful_component_gives_all_who_share_it_the_same_rows() {
    let mut bed = Published::new();
    let mut provider = bed.share(windows_of_tenth(), &[]);
    let both = provider.operators.clone();
    bed.feed(1);
    let mut second = bed.share(windows_of_tenth(), &both);
    for _ in 0..4 {
        bed.feed(1);
        bed.drain_all(&mut provider);
        bed.drain_all(&mut second);
    }
    bed.release(&provider);
    bed.feed(1);
    bed.end();
    bed.drain_all(&mut second);
    let same = second.left[0].iter().filter(|(place, row)| {
        let other = provider.left[0].get(*place);
        other.is_none_or(|other| other == *row)
    });
    assert_eq!(same.count(), second.left[0].len());
    let counted: i64 = second.left[0].values().map(|row| row[3]).sum();
    // The window from 700 was open when it came, and is whole: its rows were taken in before.
    assert_eq!(counted, i64::try_from(tens(700, 6000).len()).unwrap());
    bed.release(&second);
    bed.assert_is_as_at_first();
}

/// An application, and how many of its operators are those of the first.
type Shares = (fn() -> Flow, usize);

/// One of several stands still from the first row on, and all others get all rows, at full speed.
fn one_stalls(flows: &[Shares], stalled: usize) {
    let mut bed = Published::new();
    let mut running: Vec<Running> = Vec::new();
    for (flow, shared) in flows {
        let shared = running
            .first()
            .map_or(Vec::new(), |first| first.operators[..*shared].to_vec());
        let next = bed.share(flow(), &shared);
        running.push(next);
    }
    for round in 0..400 {
        assert_eq!(
            bed.feed(1),
            1,
            "round {round}: nobody waits for who stands still"
        );
        for (place, of) in running.iter_mut().enumerate() {
            if place != stalled {
                bed.drain_all(of);
            }
        }
        assert!(bed.engine.memory().peak_bytes() <= MEMORY_MIN);
    }
    let rows: Vec<usize> = running.iter().map(|of| of.rows()).collect();
    bed.end();
    for of in &mut running {
        bed.drain_all(of);
    }
    for (place, of) in running.iter().enumerate() {
        let all = of.rows() + usize::try_from(of.missing).unwrap();
        if place == stalled {
            assert_eq!(rows[place], 0);
        } else {
            assert_eq!(of.missing, 0, "application {place}");
            assert!(rows[place] > 0);
        }
        assert!(all >= rows[place]);
    }
    for of in &running {
        bed.release(of);
    }
    bed.assert_is_as_at_first();
}

#[test]
fn nobody_waits_for_one_of_those_who_share_a_filter_that_passes_little() {
    let flows: [Shares; 3] = [(tenth, 0), (tenth, 1), (windows_of_tenth, 1)];
    one_stalls(&flows, 0);
    one_stalls(&flows, 1);
}

/// All rows, and every tenth of them.
fn all_and_tenth() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let kept = flow.filter("v % 10 = 0", source);
    let all = flow.filter("v >= 0", source);
    flow.sink(kept);
    flow.sink(all);
    flow
}

#[test]
fn nobody_waits_for_the_rest_of_an_application_that_it_shares_a_part_with() {
    // The first reads the source twice, and stands still on both ways; who shares one of them goes on.
    one_stalls(&[(all_and_tenth, 0), (tenth, 1)], 0);
    one_stalls(&[(all_and_tenth, 0), (tenth, 1)], 1);
}

fn one_way<const PORT: usize>() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let split = flow.operator(
        "split",
        [("when", table([("even", "v % 2 = 0")]))],
        &[source],
    );
    flow.sink(split.port(PORT).unwrap());
    flow
}

#[test]
fn nobody_waits_for_who_reads_another_port_of_what_they_share() {
    let flows: [Shares; 2] = [(one_way::<0>, 0), (one_way::<1>, 1)];
    one_stalls(&flows, 0);
    one_stalls(&flows, 1);
}

#[test]
fn what_is_lost_to_a_failure_is_told_to_who_shared_it_and_to_nobody_else() {
    let mut bed = Published::new();
    let provider = bed.share(tenth(), &[]);
    let filter = provider.operators[0];
    let second = bed.share(tenth(), &[filter]);
    bed.release(&provider);
    bed.engine.fail(bed.now, filter, "it broke");
    let events = bed.engine.take_events();
    let of = |application: u64| {
        let events = events.iter();
        events.filter(move |event| event.application() == application)
    };
    assert!(has_retired(&events, provider.started.application));
    let gone = of(second.started.application).all(|event| matches!(event, Event::Gone { .. }));
    assert!(gone && of(second.started.application).count() == 1);

    let third = bed.engine.deploy(bed.now, {
        let mut deployment = tenth().deployment();
        deployment.sources = vec![SourcePart::Running(bed.source)];
        deployment.operators = vec![OperatorPart::Running(filter)];
        deployment
    });
    assert!(third.is_err(), "what has gone cannot be shared");
    bed.release(&second);
    bed.assert_is_as_at_first();
}

#[test]
fn a_source_that_began_anew_makes_what_read_it_before_another() {
    let mut bed = Published::new();
    let provider = bed.share(tenth(), &[]);
    let mut deployment = tenth().deployment();
    deployment.origins = vec![origin(5)];
    deployment.sources = vec![SourcePart::Elsewhere];
    deployment.operators = vec![OperatorPart::Running(provider.operators[0])];
    let refused = bed.engine.deploy(bed.now, deployment);
    assert!(matches!(
        refused,
        Err(engine::DeployError::OtherOrigin(name)) if name == "operator0"
    ));
}

#[test]
fn the_strictest_of_all_who_share_sets_the_budget_as_long_as_it_reads() {
    let mut bed = Published::new();
    let provider = bed.share(tenth(), &[]);
    let filter = provider.operators[0];
    let budget = |bed: &Published| {
        let report = bed.engine.report(bed.now, provider.started.application);
        let report = report.unwrap().components.remove(0);
        assert_eq!(report.id, filter);
        report.budget
    };
    let alone = budget(&bed);
    let mut deployment = tenth().deployment();
    deployment.sources = vec![SourcePart::Running(bed.source)];
    deployment.operators = vec![OperatorPart::Running(filter)];
    let target = Duration::from_millis(80);
    deployment.sinks = vec![Some(engine::SinkDeployment { target })];
    let strict = bed.engine.deploy(bed.now, deployment).unwrap();
    bed.engine.start(bed.now, strict.application);
    let shared = budget(&bed);
    assert!(shared <= target.into() && alone > target.into());
    bed.engine.release(bed.now, strict.application);
    bed.now = bed.now + Duration::from_millis(200);
    bed.settle();
    assert_eq!(budget(&bed), alone);
}

#[test]
fn what_was_measured_is_told_once() {
    let mut bed = Published::new();
    let mut provider = bed.share(windows_of_tenth(), &[]);
    let mut second = bed.share(tenth(), &provider.operators[..1]);
    let sample = |bed: &mut Published, of: &Running| {
        let application = of.started.application;
        bed.engine.sample(application, 0.95).unwrap()
    };
    for _ in 0..3 {
        bed.feed(1);
    }
    bed.now = bed.now + Duration::from_millis(40);
    bed.drain_all(&mut provider);
    bed.drain_all(&mut second);
    let measured = sample(&mut bed, &provider);
    let ids: Vec<ComponentId> = measured.operators.iter().map(|it| it.id).collect();
    assert_eq!(ids, provider.operators);
    for it in &measured.operators {
        let busy = Duration::from_nanos(100 * it.dispatches);
        assert!(it.dispatches > 0 && it.busy == busy, "{it:?}");
        assert!(it.rows > 0 && it.waited.is_some(), "{it:?}");
        // Two targets lie behind each: what batches are old is told by what they have left.
        assert!(it.budget < Slack::MAX && it.age.is_some(), "{it:?}");
    }
    let (delay, most) = (measured.delay.unwrap(), Duration::from_millis(45));
    assert!(
        delay > Duration::from_millis(39) && delay < most,
        "{delay:?}"
    );
    let of_second = sample(&mut bed, &second);
    assert_eq!(
        of_second.operators,
        [],
        "what it shares is told by whose it is"
    );
    assert!(of_second.delay.is_some());

    let nothing = sample(&mut bed, &provider);
    assert!(
        nothing
            .operators
            .iter()
            .all(|it| (it.busy, it.dispatches, it.rows, it.waited) == (Duration::ZERO, 0, 0, None))
    );
    assert_eq!(nothing.delay, None);
}

/// What of a dataflow is on a host where all but the sinks is shared.
fn sharing(flow: Flow, places: &Places, host: usize, from: &[Option<Deployed>]) -> Deployment {
    let mut deployment = part(flow, places, host);
    let provider = from[host].as_ref().unwrap();
    for (part, shared) in deployment.sources.iter_mut().zip(&provider.sources) {
        *part = shared.map_or(SourcePart::Elsewhere, SourcePart::Running);
    }
    for (part, shared) in deployment.operators.iter_mut().zip(&provider.operators) {
        *part = shared.map_or(OperatorPart::RunningElsewhere, OperatorPart::Running);
    }
    deployment
}

/// Two filters after each other on two hosts, the source on a third, and windows.
fn chain() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let first = flow.filter("v % 5 <> 1", source);
    let second = flow.filter("v % 3 <> 1", first);
    flow.sink(second);
    flow
}

/// Runs a provider and one who shares all of it over hosts; the provider stops in the middle, or stands still.
fn over_hosts(seed: u64, faults: Faults, provider_stops: bool) {
    let mut rng = Rng::from_seed(seed);
    let feeds = [records(&mut rng, 800)];
    let (one, _) = run(chain(), &feeds, Config::default(), &mut rng);
    let at = |sink| Places {
        sources: vec![0],
        operators: vec![1, 2],
        sinks: vec![sink],
    };
    let mut hosts = Hosts::new(5, Config::default(), faults, rng.keyed("hosts"));
    let provider = hosts.deploy(chain, &at(3));
    hosts.start(&provider);
    let source = provider[0].as_ref().unwrap().sources[0].unwrap();
    let mut feed = Feed::new(0, source, 0, &feeds[0]);
    let mut left = [Left::new(), Left::new()];
    let sink = |deployed: &[Option<Deployed>], host: usize| {
        deployed[host].as_ref().unwrap().sinks[0].unwrap()
    };
    for step in 0..3000 {
        hosts.step();
        if step % 100 == 0 {
            feed.offer(&mut hosts, 20);
        }
        drain(&mut hosts, 3, sink(&provider, 3), &mut left[0]);
    }
    let second: Vec<Option<Deployed>> = (0..5)
        .map(|host| {
            let deployment = sharing(chain(), &at(4), host, &provider);
            let now = hosts.now;
            Some(hosts.engines[host].deploy(now, deployment).unwrap())
        })
        .collect();
    hosts.join(&second);
    let joined = hosts.links.len();
    assert_eq!(
        joined, 4,
        "three edges of the one, and one more for the other"
    );
    hosts.start(&second);
    let mut missing = 0;
    for step in 0.. {
        assert!(step < 2_000_000, "seed {seed}: it does not come to its end");
        hosts.step();
        if step > 500 && step % 100 == 0 {
            // So that who shares has begun to pull.
            feed.offer(&mut hosts, 20);
        }
        missing += drain(&mut hosts, 4, sink(&second, 4), &mut left[1]);
        if step == 4000 && provider_stops {
            for (host, deployed) in provider.iter().enumerate() {
                let (now, application) = (hosts.now, deployed.as_ref().unwrap().application);
                hosts.engines[host].release(now, application);
            }
        }
        if faults.one_in > 0 && step % 3000 == 0 {
            hosts.reconnect();
        }
        let application = second[4].as_ref().unwrap().application;
        if hosts.events[4].contains(&Event::Finished { application }) {
            break;
        }
    }
    assert_eq!(missing, 0, "seed {seed}");
    let first = left[1].keys().next().unwrap();
    let rest: Left = one
        .range(*first..)
        .map(|(place, row)| (*place, row.clone()))
        .collect();
    assert!(rest.len() > 100, "{} rows", rest.len());
    assert_eq!(
        left[1], rest,
        "seed {seed}: every row once, from the first on"
    );

    for deployed in [&provider, &second] {
        for (host, deployed) in deployed.iter().enumerate() {
            let now = hosts.now;
            hosts.engines[host].release(now, deployed.as_ref().unwrap().application);
        }
    }
    hosts.pass(Duration::from_secs(5));
    for (host, engine) in hosts.engines.iter().enumerate() {
        assert_eq!(engine.sizes(), [0; 4], "seed {seed}, host {host}");
        assert_eq!(engine.memory().used_bytes(), 0);
        for deployed in [&provider, &second] {
            let application = deployed[host].as_ref().unwrap().application;
            assert!(has_retired(&hosts.events[host], application));
        }
    }
}

#[test]
fn over_hosts_as_on_one_the_provider_is_not_missed() {
    for seed in 0..2 {
        over_hosts(seed, Faults { one_in: 0 }, true);
        over_hosts(seed, Faults { one_in: 15 }, true);
    }
}

#[test]
fn over_hosts_as_on_one_nobody_waits_for_the_provider() {
    for seed in 0..2 {
        over_hosts(seed, Faults { one_in: 0 }, false);
    }
}

#[test]
fn what_a_stopped_application_read_is_let_go_also_where_its_reader_is_lost() {
    let places = |sink| Places {
        sources: vec![0],
        operators: vec![0, 1],
        sinks: vec![sink],
    };
    let faults = Faults { one_in: 0 };
    let mut hosts = Hosts::new(3, Config::default(), faults, Rng::from_seed(3));
    let provider = hosts.deploy(chain, &places(1));
    hosts.start(&provider);
    hosts.pass(Duration::from_secs(1));
    let second: Vec<Option<Deployed>> = (0..3)
        .map(|host| {
            let deployment = sharing(chain(), &places(2), host, &provider);
            let now = hosts.now;
            Some(hosts.engines[host].deploy(now, deployment).unwrap())
        })
        .collect();
    hosts.join(&second);
    hosts.start(&second);
    hosts.pass(Duration::from_secs(1));
    hosts.links.last_mut().unwrap().is_down = true;
    let number = |host: usize| second[host].as_ref().unwrap().application;
    for host in 0..3 {
        let now = hosts.now;
        hosts.engines[host].release(now, number(host));
    }
    hosts.pass(Duration::from_secs(3));
    assert!(
        has_retired(&hosts.events[0], number(0)),
        "it had nothing there"
    );
    assert!(
        !has_retired(&hosts.events[1], number(1)),
        "its reader may say goodbye yet"
    );
    hosts.pass(Duration::from_secs(4));
    assert!(has_retired(&hosts.events[1], number(1)));
    assert_eq!(hosts.engines[1].sizes()[1], 2, "the provider goes on");
}
