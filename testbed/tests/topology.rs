//! Generated graphs are like those of GT-ITM, and graphs and matrices of others are read. Where the data is absent, that is said.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Rng;
use testbed::topology::graph::{Delays, Evaluation};
use testbed::topology::{Hosts, Shape, Topology, alt, matrix};

/// How far means over ten graphs may be apart, as a part of GT-ITM's. Source: twice the standard error of the difference of two such
/// means; diameters of its small graphs vary by 10 %.
const APART_MAX: f64 = 0.09;

/// Which part of all routers may have other numbers of links than GT-ITM's: half the sum of the differences of the two distributions.
const DEGREES_APART_MAX: f64 = 0.05;

#[test]
fn small_graphs_are_like_those_of_the_original() {
    let shape = Shape {
        domains: (1, 0.5),
        transits: (4, 0.6),
        stubs: 3,
        stub_routers: (8, 0.42),
    };
    check("ts100", &shape);
}

#[test]
fn large_graphs_are_like_those_of_the_original() {
    let shape = Shape {
        domains: (3, 1.0),
        transits: (8, 0.5),
        stubs: 3,
        stub_routers: (8, 0.5),
    };
    check("ts600", &shape);
}

/// Holds ten graphs of ours against GT-ITM's ten, and its graphs as we read them against its own evaluation of each.
fn check(name: &str, shape: &Shape) {
    let Some(folder) = data("gtitm_topologies/samples") else {
        return;
    };
    let mut theirs = Vec::new();
    for number in 0..10 {
        let text = |suffix: &str| {
            let file = folder.join(format!("{name}-{number}{suffix}"));
            std::fs::read_to_string(file).expect("a file of text")
        };
        let graph = alt::parse(&text(".alt")).expect("a graph");
        let evaluation = graph.evaluate().expect("it is connected");
        let says = text("-ev");
        let said = |figure: &str| -> f64 {
            let line = says.lines().find_map(|line| line.strip_prefix(figure));
            line.and_then(|rest| rest.trim().parse().ok())
                .expect(figure)
        };
        assert!((evaluation.degree_mean - said("avgdeg")).abs() < 1e-5);
        assert!((float(evaluation.diameter) - said("diam-hh")).abs() < 1e-5);
        assert!((evaluation.depth_mean - said("avgdepth-hh")).abs() < 1e-3);
        theirs.push(evaluation);
    }
    let ours: Vec<Evaluation> = (0..10)
        .map(|seed| shape.generate(&mut Rng::from_seed(seed)))
        .map(|graph| graph.evaluate().expect("it is connected"))
        .collect();
    for (figure, of) in [
        ("degree", (|it| it.degree_mean) as fn(&Evaluation) -> f64),
        ("diameter", |it| float(it.diameter)),
        ("depth", |it| it.depth_mean),
    ] {
        let (ours, theirs) = (mean(&ours, of), mean(&theirs, of));
        let apart = (ours - theirs).abs() / theirs;
        assert!(apart <= APART_MAX, "{name}: {figure} {ours}, not {theirs}");
    }
    let most = ours.iter().chain(&theirs).map(|it| it.degrees.len()).max();
    let apart: f64 = (0..most.expect("there are graphs"))
        .map(|degree| {
            let part = |it: &Evaluation| {
                float(it.degrees.get(degree).copied().unwrap_or(0)) / float(shape.router_count())
            };
            (mean(&ours, part) - mean(&theirs, part)).abs()
        })
        .sum();
    assert!(apart / 2.0 <= DEGREES_APART_MAX, "{name}: {apart}");
}

#[test]
fn hosts_of_a_graph_of_the_original_have_delays() {
    let Some(folder) = data("gtitm_topologies/ts1500") else {
        return;
    };
    let text = std::fs::read_to_string(folder.join("ts1500a-0.alt")).expect("a file of text");
    let mut rng = Rng::from_seed(1);
    let graph = alt::parse(&text).expect("a graph");
    let graph = graph.with_delays(&Delays::default(), &mut rng);
    let hosts = Hosts::choose(&graph, 500, &mut rng);
    assert_eq!(hosts.host_count(), 500);
    let longest = (0..500).map(|to| hosts.delay(0, to)).max();
    let expected = Duration::from_millis(60)..Duration::from_millis(400);
    assert!(
        expected.contains(&longest.expect("there are hosts")),
        "{longest:?}"
    );
}

#[test]
fn matrices_of_others_are_read() {
    // The file, how many hosts it has, how many of them are asked for, and between which round trips the median lies, in milliseconds.
    for (file, hosts, asked, median) in [
        (
            "planetlab490_rtt/PlanetLabData_01.tsv.gz",
            490,
            88,
            100..200,
        ),
        (
            "seattle99_rtt_time/seattle_slices_001-392_step8.tsv.gz",
            99,
            30,
            100..400,
        ),
        ("aws_region_rtt/p50.json", 33, 33, 100..220),
        (
            "wondernetwork_city_rtt/wondernetwork_pings.csv.gz",
            242,
            88,
            80..250,
        ),
    ] {
        let Some(path) = data(file) else { return };
        let read = matrix::read(&path).expect(file);
        assert_eq!(read.names.len(), hosts, "{file}");
        let rows = read.choose(asked, &mut Rng::from_seed(1)).expect(file);
        let chosen = read.hosts(&rows);
        let mut round_trips: Vec<Duration> = (0..asked)
            .flat_map(|from| (0..asked).map(move |to| (from, to)))
            .filter(|(from, to)| from != to)
            .map(|(from, to)| 2 * chosen.delay(from, to))
            .collect();
        round_trips.sort_unstable();
        assert!(!round_trips[0].is_zero(), "{file}");
        let middle = round_trips[round_trips.len() / 2].as_millis();
        assert!(median.contains(&middle), "{file}: {middle} ms");
    }
}

fn float(count: usize) -> f64 {
    model::convert::count_to_f64(model::convert::size(count))
}

fn mean(of: &[Evaluation], figure: impl Fn(&Evaluation) -> f64) -> f64 {
    of.iter().map(figure).sum::<f64>() / float(of.len())
}

/// A file or a folder of the data. Where it is absent, that is said, and nothing is tested.
fn data(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let data = match std::env::var_os("SYNERGY_DATA") {
        Some(folder) => PathBuf::from(folder),
        None => root.join("../shared/data"),
    };
    let path = data.join(name);
    match path.metadata() {
        Ok(_) => Some(path),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::NotFound, "{}", path.display());
            // Not by a macro: the test runner would keep what a test that passes prints.
            writeln!(
                std::io::stderr(),
                "skipped: {} is not there; SYNERGY_DATA names the folder that holds it",
                path.display()
            )
            .expect("standard error is open");
            None
        }
    }
}
