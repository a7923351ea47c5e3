use model::{CompositionId, Coordinate, Demand, NodeId};
use proptest::prelude::*;

use super::*;
use crate::measure::Spare;
use crate::message::{Ended, Ending, Hop};
use crate::policy::Projection;
use crate::request::{Body, Goal, Host, Operator, Sink, Source};
use crate::share::Share;

/// The plan of the slides over `hosts` hosts, each a candidate of every operator; source and sink on the first.
fn slides(hosts: u8) -> Request {
    let inputs: [&[Part]; 6] = [
        &[Part::Source(0)],
        &[Part::Operator(0)],
        &[Part::Operator(0)],
        &[Part::Operator(1)],
        &[Part::Operator(2)],
        &[Part::Operator(3), Part::Operator(4)],
    ];
    let demand = Demand {
        rows_per_second: 100.0,
        row_bytes: 10.0,
        cost_seconds: 0.001,
        selectivity: 1.0,
    };
    let operators = inputs.iter().map(|inputs| Operator {
        inputs: inputs.to_vec(),
        demand,
        candidates: (0..u16::from(hosts)).collect(),
    });
    let hosts = (0..hosts).map(|number| Host {
        node: NodeId([number; 32]),
        coordinate: Coordinate::default(),
    });
    Request::new(Body {
        target: Duration::from_secs(1),
        goal: Goal::Target,
        reserves: true,
        prunes: true,
        keeps_order: false,
        projection: Projection::Rank,
        spread: false,
        fan_out: 5,
        probes_max: 2000,
        hosts: hosts.collect(),
        sources: vec![Source {
            hosts: vec![0],
            ages: vec![Duration::ZERO],
            shared: None,
            bytes_per_second: 1000.0,
        }],
        operators: operators.collect(),
        sinks: vec![Sink {
            host: 0,
            input: Part::Operator(5),
        }],
    })
    .unwrap()
}

fn spare(cores: f64) -> Spare {
    Spare {
        available: Resources {
            cpu_cores: cores * 0.95,
            memory_bytes: 1 << 30,
            uplink_bytes_per_second: 1e6,
        },
        cores,
        found: None,
    }
}

/// The end of a probe along a path of parts, each with its host; a way takes a millisecond between hosts.
fn returned(places: &[(Part, HostIndex)], cores: f64) -> Ended {
    let mut before = 0;
    let path = places.iter().map(|(part, host)| {
        let link = Duration::from_millis(u64::from(*host != before));
        before = *host;
        Hop {
            part: *part,
            host: *host,
            link,
            spare: spare(cores),
        }
    });
    Ended {
        id: CompositionId {
            node: NodeId([0; 32]),
            number: 1,
        },
        round: 0,
        share: Share::WHOLE,
        sent: 1,
        path: path.collect(),
        ending: Ending::Returned,
    }
}

/// A path through one of the two branches: O1, the branch's operators, O6.
fn branch(first: u16, hosts: [HostIndex; 4]) -> Vec<(Part, HostIndex)> {
    vec![
        (Part::Source(0), 0),
        (Part::Operator(0), hosts[0]),
        (Part::Operator(first), hosts[1]),
        (Part::Operator(first + 2), hosts[2]),
        (Part::Operator(5), hosts[3]),
        (Part::Sink(0), 0),
    ]
}

const TARGET: Duration = Duration::from_secs(1);

#[test]
fn paths_merge_where_they_agree_on_what_they_share() {
    let request = slides(4);
    let mut facts = Facts::default();
    for path in [branch(1, [1, 2, 2, 3]), branch(2, [1, 3, 3, 3])] {
        assert!(facts.add(&request, &returned(&path, 4.0)));
    }
    let graphs = merge(&request, &facts, TARGET, false).unwrap();
    let hosts: Vec<_> = graphs.iter().map(|graph| graph.hosts.clone()).collect();
    assert_eq!(hosts, [[1, 2, 3, 2, 3, 3]]);
    // Operators on a host share it: five times a cost of 1 ms, a little stretched, and at most three ways.
    let delay = graphs[0].delay;
    assert!(
        delay > Duration::from_millis(7) && delay < Duration::from_millis(10),
        "{delay:?}"
    );
    assert_eq!(graphs[0].takes.len(), 4);
}

#[test]
fn paths_that_disagree_do_not_merge() {
    let request = slides(4);
    // The branches know O1 on different hosts.
    let mut facts = Facts::default();
    for path in [branch(1, [1, 2, 2, 3]), branch(2, [2, 3, 3, 3])] {
        assert!(facts.add(&request, &returned(&path, 4.0)));
    }
    let blocked = merge(&request, &facts, TARGET, false).unwrap_err();
    assert_eq!(blocked.part, Part::Operator(2));
    // They know O6 on different hosts.
    let mut facts = Facts::default();
    for path in [branch(1, [1, 2, 2, 3]), branch(2, [1, 3, 3, 2])] {
        assert!(facts.add(&request, &returned(&path, 4.0)));
    }
    let blocked = merge(&request, &facts, TARGET, false).unwrap_err();
    assert_eq!(blocked.part, Part::Operator(5));
}

#[test]
fn a_pruned_path_gives_what_it_found_and_another_goes_on_from_there() {
    let request = slides(4);
    let mut facts = Facts::default();
    for path in [branch(1, [1, 2, 2, 3]), branch(2, [2, 3, 3, 3])] {
        facts.add(&request, &returned(&path, 4.0));
    }
    // A second way through the upper branch ended where the first one went on.
    let mut pruned = returned(&branch(1, [2, 1, 2, 3])[..5], 4.0);
    pruned.ending = Ending::Pruned;
    assert!(facts.add(&request, &pruned));
    let graphs = merge(&request, &facts, TARGET, false).unwrap();
    assert_eq!(graphs[0].hosts, [2, 1, 3, 2, 3, 3]);
}

#[test]
fn a_whole_graph_must_fit_even_where_its_paths_do() {
    let request = slides(4);
    let mut facts = Facts::default();
    // 0.1 cores each; a host has room for three of them, and a path has at most three on one.
    for path in [branch(1, [1, 1, 1, 2]), branch(2, [1, 1, 1, 2])] {
        assert!(facts.add(&request, &returned(&path, 0.35)));
    }
    let blocked = merge(&request, &facts, TARGET, false).unwrap_err();
    assert_eq!(blocked.part, Part::Operator(3));
    assert_eq!(blocked.lacks[&1].check, crate::effect::Check::Cpu);
}

#[test]
fn what_does_not_fit_the_request_is_no_fact() {
    let request = slides(2);
    let mut facts = Facts::default();
    for path in [
        branch(1, [1, 1, 1, 7]),
        branch(1, [1, 1, 1, 1])[1..].to_vec(),
        vec![(Part::Source(0), 0), (Part::Operator(3), 1)],
        vec![(Part::Source(1), 0)],
        Vec::new(),
    ] {
        assert!(!facts.add(&request, &returned(&path, 1.0)), "{path:?}");
    }
    assert_eq!(facts, Facts::default());
}

/// All bindings of six operators to `hosts` hosts, qualified one by one.
fn exhaustive(request: &Request, facts: &Facts, hosts: u16) -> Option<Graph> {
    let count = usize::from(hosts).pow(6);
    let bindings = (0..count).map(|number| {
        let digit = |place: u32| number / usize::from(hosts).pow(place) % usize::from(hosts);
        let digits = (0..6)
            .rev()
            .map(|place| u16::try_from(digit(place)).unwrap());
        digits.collect::<Vec<HostIndex>>()
    });
    let graphs =
        bindings.filter_map(|it| select::qualify(request, facts, (vec![0], it), TARGET).ok());
    graphs.min_by(|a, b| a.compare(b, false))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn the_best_graph_of_a_small_plan_is_found(
        paths in prop::collection::vec((1u16..3, [0u16..3, 0u16..3, 0u16..3, 0u16..3]), 1..20),
        cores in prop::array::uniform3(0.1f64..2.0),
    ) {
        let request = slides(3);
        let mut facts = Facts::default();
        for (first, hosts) in paths {
            let mut ended = returned(&branch(first, hosts), 1.0);
            for hop in &mut ended.path {
                hop.spare = spare(cores[usize::from(hop.host)]);
            }
            prop_assert!(facts.add(&request, &ended));
        }
        let merged = merge(&request, &facts, TARGET, false).ok().map(|graphs| graphs[0].clone());
        prop_assert_eq!(merged, exhaustive(&request, &facts, 3));
    }
}
