use std::time::Duration;

use model::plan::{Builder, Stream};
use model::{
    ApplicationId, Arguments, Binding, DataType, Field, HostSummary, Key, Origin, Qos, Resources,
    Rng, Schema, SourceName, wire,
};

use super::*;
use crate::composer::Input;
use crate::config::Config;
use crate::measure::Lack;
use crate::message::{Message, Start, Want};
use crate::order::Place;
use crate::queue::Job;
use crate::stream::StreamRecord;

const COMPOSING: NodeId = NodeId([1; 32]);
const HERE: NodeId = NodeId([2; 32]);
/// From the composing node to here.
const WAY: Duration = Duration::from_millis(3);
const THIRD: NodeId = NodeId([3; 32]);
/// What each reader of the operator elsewhere takes.
const LEAVES: f64 = 1000.0;
const ID: CompositionId = CompositionId {
    node: COMPOSING,
    number: 1,
};

/// A host, its composer, and the time.
struct Host {
    composer: Composer,
    view: NodeView,
    now: Instant,
}

impl Host {
    fn new() -> Self {
        let mut view = NodeView::alone(HostSummary {
            capacity: Resources {
                cpu_cores: 1.0,
                memory_bytes: 1 << 30,
                uplink_bytes_per_second: 1e6,
            },
            ..HostSummary::new(HERE, "h2")
        });
        view.round_trips.insert(COMPOSING, 2 * WAY);
        Self {
            composer: Composer::new(Config::default(), Rng::from_seed(1)),
            view,
            now: Instant::ZERO,
        }
    }

    fn input(&mut self, input: Input) -> Vec<Effect> {
        let mut out = Vec::new();
        self.composer
            .handle_input(self.now, &self.view, input, &mut out);
        out
    }

    fn hear(&mut self, from: NodeId, body: Body) -> Vec<Effect> {
        let message = Message(body);
        self.input(Input::Message { from, message })
    }

    fn count(&self, reason: Ignored) -> u64 {
        let counts = self.composer.counts();
        counts.ignored.get(&reason).copied().unwrap_or(0)
    }
}

fn application() -> ApplicationId {
    ApplicationId {
        owner: COMPOSING,
        name: "test".to_owned(),
    }
}

/// A filter here, its source at the composing node, its sink here and another one at a third host.
fn graph() -> ComponentGraph {
    let schema = Schema::new(vec![Field::new("value", DataType::Int64)]).unwrap();
    let ports = || vec![("out".to_owned(), schema.clone())];
    let mut plan = Builder::new("test", Qos::default()).unwrap();
    let name = SourceName::Published {
        publisher: COMPOSING,
        name: "lab/flows".to_owned(),
    };
    plan.source("source", name, ports()).unwrap();
    let rows = [Stream::Source(0, 0)];
    plan.operator("o1", "filter", Arguments::new(), &rows, ports())
        .unwrap();
    plan.sink("here", Stream::Operator(0, 0)).unwrap();
    plan.sink("there", Stream::Operator(0, 0)).unwrap();
    ComponentGraph::new(
        plan.build().unwrap(),
        vec![Origin(1)],
        vec![Binding::new(COMPOSING)],
        vec![Binding::new(HERE)],
        vec![Binding::new(HERE), Binding::new(THIRD)],
    )
    .unwrap()
}

fn confirm(attempt: u8, cpu_cores: f64) -> Body {
    Body::Confirm(Box::new(Confirm {
        id: ID,
        attempt,
        application: application(),
        graph: graph(),
        jobs: vec![Job {
            laxity: Duration::from_millis(500),
            cores: cpu_cores,
            burst_cores: 0.0,
            execution: Duration::from_millis(1),
        }],
        wants: Wants {
            sources: vec![0.0],
            operators: vec![Want {
                place: Place::Any,
                bytes_per_second: LEAVES,
            }],
        },
        projection: Projection::Rank,
    }))
}

fn deploy() -> Effect {
    Effect::Deploy {
        id: ID,
        application: application(),
        graph: graph(),
    }
}

fn send(to: NodeId, body: Body) -> Effect {
    let message = Message(body);
    Effect::Send { to, message }
}

/// That it is there: an operator of a millisecond beside nobody, one way away from its source and none from its sink.
fn is_confirmed(effects: &[Effect], attempt: u8) -> bool {
    let [Effect::Send { to, message }] = effects else {
        return false;
    };
    let Body::Confirmed(confirmed) = &message.0 else {
        return false;
    };
    let [operator, sink] = &confirmed.told[..] else {
        return false;
    };
    *to == COMPOSING
        && (confirmed.id, confirmed.attempt) == (ID, attempt)
        && (operator.part, sink.part) == (Part::Operator(0), Part::Sink(0))
        && operator.execution > Duration::from_millis(1)
        && operator.links == [(Part::Source(0), WAY)]
        && sink.links == [(Part::Operator(0), Duration::ZERO)]
        && confirmed.charges.is_empty()
}

fn ping() -> Effect {
    let attempt = 1;
    send(COMPOSING, Body::Ping { id: ID, attempt })
}

fn declined(to: NodeId, attempt: u8, why: Decline) -> Effect {
    send(
        to,
        Body::Declined {
            id: ID,
            attempt,
            why,
        },
    )
}

fn start(attempt: u8) -> Body {
    Body::Start(Box::new(Start {
        id: ID,
        attempt,
        delay: Duration::from_millis(9),
        ages: vec![Duration::from_millis(8)],
    }))
}

fn release(attempt: u8) -> Body {
    Body::Release { id: ID, attempt }
}

#[test]
fn a_confirmation_is_answered_when_it_is_deployed_however_often_it_comes() {
    let mut host = Host::new();
    assert_eq!(host.hear(COMPOSING, confirm(1, 0.5)), [deploy()]);
    assert_eq!(host.hear(COMPOSING, confirm(1, 0.5)), []);
    assert_eq!(host.hear(COMPOSING, start(1)), [], "not before it is there");
    assert!(is_confirmed(&host.input(Input::Deployed(ID)), 1));
    assert!(is_confirmed(&host.hear(COMPOSING, confirm(1, 0.5)), 1));
    assert!((host.composer.allocated().cpu_cores - 0.5).abs() < 1e-9);
    assert_eq!(host.count(Ignored::Repeated), 2);
    assert_eq!(host.count(Ignored::Unfit), 1);
}

#[test]
fn a_start_is_passed_on_to_the_others_and_answered_however_often_it_comes() {
    let mut host = Host::new();
    host.hear(COMPOSING, confirm(1, 0.5));
    host.input(Input::Deployed(ID));
    let started = |to| send(to, Body::Started { id: ID, attempt: 1 });
    let effects = host.hear(COMPOSING, start(1));
    let [first, second, Effect::Register { key, payload, .. }, last] = &effects[..] else {
        panic!("{effects:?}");
    };
    let millis = Duration::from_millis;
    let expected = Effect::Start {
        id: ID,
        cores: 0.5,
        slack: millis(1000 - 9),
        ages: vec![millis(8)],
    };
    assert_eq!(*first, expected);
    assert_eq!(*second, send(THIRD, start(1)));
    assert_eq!(*last, started(COMPOSING));
    let record: StreamRecord = wire::decode(payload).unwrap();
    let stream = graph().plan().stream_name(Stream::Operator(0, 0));
    assert_eq!((*key, record.stream), (Key::stream(stream), stream));
    assert_eq!(record.age, Duration::from_millis(8));
    assert_eq!(record.parts.len(), 2, "the source, and itself");
    assert_eq!(host.hear(THIRD, start(1)), [started(THIRD)]);
    assert_eq!(host.hear(NodeId([9; 32]), start(1)), [], "who is that?");
    assert_eq!(host.count(Ignored::Foreign), 1);
    // Said again until it is answered, three times in all.
    let mut sent = 0;
    while let Some(at) = host.composer.poll_timeout() {
        host.now = at;
        let effects = host.input(Input::Timeout);
        sent += effects.len();
        assert!(effects.iter().all(|it| *it == send(THIRD, start(1))));
    }
    assert_eq!(sent, 2);
    // It does not lapse.
    host.now = host.now + Duration::from_secs(3600);
    assert_eq!(host.input(Input::Timeout), []);
    assert!((host.composer.taken().cpu_cores - 0.5).abs() < 1e-9);
}

#[test]
fn what_is_never_started_lapses_and_everybody_who_asks_is_told() {
    let mut host = Host::new();
    host.hear(COMPOSING, confirm(1, 0.5));
    host.input(Input::Deployed(ID));
    host.now = host.composer.poll_timeout().expect("it lapses");
    assert_eq!(host.input(Input::Timeout), [Effect::Undeploy { id: ID }]);
    assert_eq!(host.composer.taken(), Resources::default());
    let gone = [declined(COMPOSING, 1, Decline::Gone)];
    assert_eq!(host.hear(COMPOSING, start(1)), gone);
    assert_eq!(host.hear(COMPOSING, confirm(1, 0.5)), gone);
    assert_eq!(host.composer.counts().lapsed, 1);
}

#[test]
fn a_later_attempt_takes_the_place_of_the_one_before_and_of_its_answers() {
    let mut host = Host::new();
    host.hear(COMPOSING, confirm(1, 0.5));
    let replaced = [Effect::Undeploy { id: ID }, deploy()];
    assert_eq!(host.hear(COMPOSING, confirm(2, 0.9)), replaced);
    assert_eq!(host.input(Input::Deployed(ID)), [], "that was the first");
    assert!(is_confirmed(&host.input(Input::Deployed(ID)), 2));
    // What is late of the first does no harm.
    assert_eq!(host.hear(COMPOSING, confirm(1, 0.5)), []);
    assert_eq!(host.hear(COMPOSING, start(1)), []);
    let released = send(COMPOSING, Body::Released { id: ID, attempt: 1 });
    assert_eq!(host.hear(COMPOSING, release(1)), [released]);
    assert!((host.composer.taken().cpu_cores - 0.9).abs() < 1e-9);
    assert_eq!(host.count(Ignored::Late), 3);
}

#[test]
fn a_release_undoes_what_was_confirmed_and_what_comes_after_it_is_late() {
    let mut host = Host::new();
    host.hear(COMPOSING, confirm(2, 0.5));
    assert_eq!(host.hear(THIRD, release(2)), [], "it is not of the third");
    let released = send(COMPOSING, Body::Released { id: ID, attempt: 2 });
    let effects = [Effect::Undeploy { id: ID }, released.clone()];
    assert_eq!(host.hear(COMPOSING, release(2)), effects);
    assert_eq!(host.hear(COMPOSING, release(2)), [released]);
    assert_eq!(host.composer.taken(), Resources::default());
    assert_eq!(host.input(Input::Deployed(ID)), [], "that is gone");
    let late = [declined(COMPOSING, 2, Decline::Gone)];
    assert_eq!(host.hear(COMPOSING, confirm(2, 0.5)), late);
    assert_eq!(host.hear(COMPOSING, confirm(3, 0.5)), [deploy()]);
    assert!(is_confirmed(&host.input(Input::Deployed(ID)), 3));
}

#[test]
fn each_component_is_held_for_as_long_as_it_runs_and_what_leaves_for_as_long_as_the_graph() {
    let mut host = Host::new();
    host.hear(COMPOSING, confirm(1, 0.5));
    let held = |host: &Host| {
        let held = host.composer.allocated();
        (held.cpu_cores, held.uplink_bytes_per_second)
    };
    let measured = |kept: &[u16]| Input::Measured {
        id: ID,
        usage: Vec::new(),
        kept: kept.to_vec(),
        delay: None,
    };
    // The sink that is here reads it as well, and takes nothing of the uplink.
    assert_eq!(held(&host), (0.5, LEAVES));
    // It was ordered, so that it is held though it does not run yet.
    host.input(measured(&[]));
    assert_eq!(held(&host), (0.5, LEAVES));
    host.input(Input::Deployed(ID));
    host.hear(COMPOSING, start(1));
    host.input(Input::Ended(ID));
    host.input(measured(&[0]));
    assert_eq!(held(&host), (0.5, LEAVES), "somebody reads it");
    host.input(measured(&[]));
    assert_eq!(held(&host), (0.0, LEAVES), "nobody does");
    host.input(Input::Retired(ID));
    assert_eq!(host.composer.allocated(), Resources::default());
}

#[test]
fn what_there_is_no_room_for_and_what_cannot_be_deployed_is_declined() {
    let mut host = Host::new();
    let effects = host.hear(COMPOSING, confirm(1, 1.5));
    assert!(
        matches!(&effects[..], [Effect::Send { message, .. }]
            if matches!(message.0, Body::Declined { why: Decline::Lacks(_), .. })),
        "{effects:?}"
    );
    assert_eq!(host.hear(COMPOSING, confirm(2, 0.5)), [deploy()]);
    let reason = "a very long reason".repeat(100);
    let effects = host.input(Input::DeployFailed { id: ID, reason });
    let expected = "a very long reason".repeat(100)[..256].to_owned();
    assert_eq!(effects, [declined(COMPOSING, 2, Decline::Failed(expected))]);
    assert_eq!(host.composer.taken(), Resources::default());
}

#[test]
fn messages_come_back_as_they_were_sent() {
    let lack = Lack {
        check: crate::effect::Check::Impact,
        needed: 2.0,
        had: 1.0,
        suffers: Some(Box::new(application())),
    };
    for body in [
        confirm(1, 0.5),
        start(1),
        release(2),
        Body::Declined {
            id: ID,
            attempt: 1,
            why: Decline::Lacks(lack),
        },
        Body::Declined {
            id: ID,
            attempt: 1,
            why: Decline::Failed("no".to_owned()),
        },
        Body::Declined {
            id: ID,
            attempt: 1,
            why: Decline::Gone,
        },
    ] {
        let message = Message(body);
        let bytes = wire::encode(&message);
        assert_eq!(wire::decode::<Message>(&bytes).unwrap(), message);
    }
    let bytes = wire::encode(&Message(confirm(1, f64::NAN)));
    assert!(wire::decode::<Message>(&bytes).is_err());
}

#[test]
fn a_way_that_was_never_measured_is_measured_before_it_is_confirmed() {
    let mut host = Host::new();
    host.view.round_trips.clear();
    assert_eq!(host.hear(COMPOSING, confirm(1, 0.5)), [deploy(), ping()]);
    assert_eq!(host.input(Input::Deployed(ID)), [], "the way is not known");
    let pong = || Body::Pong { id: ID, attempt: 1 };
    // The first time counts what it takes to connect.
    host.now = host.now + 8 * WAY;
    assert_eq!(host.hear(COMPOSING, pong()), [ping()]);
    host.now = host.now + 2 * WAY;
    assert!(is_confirmed(&host.hear(COMPOSING, pong()), 1));
    assert_eq!(host.hear(COMPOSING, pong()), [], "nobody asked");
    // Who asks to confirm again is not kept waiting by a way that does not answer.
    let mut host = Host::new();
    host.view.round_trips.clear();
    host.hear(COMPOSING, confirm(1, 0.5));
    host.input(Input::Deployed(ID));
    let effects = host.hear(COMPOSING, confirm(1, 0.5));
    assert_eq!(effects.len(), 1);
}
