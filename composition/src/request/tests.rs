use model::wire;

use super::*;

/// Operators with these inputs, on two hosts; one source, and a sink for each of `sinks`.
fn body(inputs: &[&[Part]], sinks: &[Part]) -> Body {
    let host = |number| Host {
        node: NodeId([number; 32]),
        coordinate: Coordinate::default(),
    };
    let demand = Demand {
        rows_per_second: 100.0,
        row_bytes: 8.0,
        cost_seconds: 0.002,
        selectivity: 0.5,
    };
    let operator = |inputs: &&[Part]| Operator {
        inputs: inputs.to_vec(),
        demand,
        candidates: vec![0, 1],
    };
    Body {
        target: Duration::from_secs(1),
        goal: Goal::Target,
        reserves: true,
        prunes: true,
        keeps_order: false,
        projection: Projection::Rank,
        spread: false,
        fan_out: 5,
        probes_max: 2000,
        hosts: vec![host(1), host(2)],
        sources: vec![Source {
            hosts: vec![0],
            ages: vec![Duration::ZERO],
            shared: None,
            bytes_per_second: 10.0,
        }],
        operators: inputs.iter().map(operator).collect(),
        sinks: sinks
            .iter()
            .map(|input| Sink {
                host: 1,
                input: *input,
            })
            .collect(),
    }
}

use Part::{Operator as O, Sink as End, Source as S};

#[test]
fn ways_and_their_rests_follow_from_the_inputs() {
    let request = Request::new(body(&[&[S(0)], &[O(0), O(0)], &[O(0)]], &[O(1), O(2)])).unwrap();
    assert_eq!(request.readers(O(0)), [(O(1), 2), (O(2), 1)]);
    assert_eq!(request.readers(O(1)), [(End(0), 1)]);
    assert!((request.edge_bytes_per_second(O(0), O(1)) - 800.0).abs() < 1e-9);
    assert!((request.edge_bytes_per_second(O(0), O(2)) - 400.0).abs() < 1e-9);
    assert!((request.edge_bytes_per_second(S(0), O(0)) - 10.0).abs() < 1e-9);
    assert_eq!(request.rest(S(0)), Duration::from_millis(4));
    assert_eq!(request.rest(O(0)), Duration::from_millis(2));
    assert_eq!(request.rest(O(2)), Duration::ZERO);
}

#[test]
fn what_makes_no_sense_is_no_request_also_as_bytes() {
    let good = body(&[&[S(0)], &[O(0)]], &[O(1)]);
    type Change = fn(&mut Body);
    let bad: [(&str, Change); 14] = [
        ("no sink", |it| it.sinks.clear()),
        ("no target", |it| it.target = Duration::ZERO),
        ("a target of days", |it| it.target = TARGET_MAX * 24),
        ("no fan-out", |it| it.fan_out = 0),
        ("a large fan-out", |it| it.fan_out = 9),
        ("many probes", |it| it.probes_max = u16::MAX),
        ("a host twice", |it| it.hosts[1] = it.hosts[0]),
        ("a host nowhere", |it| {
            it.hosts[1].coordinate.height = f64::NAN;
        }),
        ("an unknown host", |it| it.sources[0].hosts = vec![2]),
        ("a later input", |it| it.operators[0].inputs = vec![O(1)]),
        ("no input", |it| it.operators[0].inputs.clear()),
        ("no candidate", |it| it.operators[1].candidates.clear()),
        ("a candidate twice", |it| {
            it.operators[1].candidates = vec![1, 1];
        }),
        ("no amount", |it| {
            it.operators[1].demand.row_bytes = f64::INFINITY;
        }),
    ];
    for (what, change) in bad {
        let mut body = good.clone();
        change(&mut body);
        assert!(
            wire::decode::<Request>(&wire::encode(&body)).is_err(),
            "{what}"
        );
    }
    let decoded = wire::decode::<Request>(&wire::encode(&good)).unwrap();
    assert_eq!(decoded, Request::new(good).unwrap());
}

#[test]
fn all_hosts_together_send_at_most_as_many_probes_as_there_may_be() {
    let request = Request::new(body(&[&[S(0)], &[O(0)]], &[O(1)])).unwrap();
    // The source's host, and two candidates of each operator.
    assert_eq!(request.quota(S(0)), 400);
    // Who has three readers sends to each as many as who has one.
    let request = Request::new(body(&[&[S(0)], &[S(0)], &[S(0)]], &[O(0), O(1), O(2)])).unwrap();
    assert_eq!((request.quota(S(0)), request.quota(O(1))), (666, 222));
    // Where that is less than one for each, there is one for each.
    let request = request.with(|it| it.probes_max = 2);
    assert_eq!((request.quota(S(0)), request.quota(O(1))), (3, 1));
}
