//! Real nodes: whoever is asked, the network answers; and what it says when a node is killed.

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use model::{Clock, Instant};
use node::clock::MachineClock;
use serde_json::Value;

use crate::support::{Bed, Turn, json, run, text};

/// How many nodes a test has: one more than operators and the two that publish and accept would need.
pub(crate) const NODES: u32 = 5;

/// How long what is told to one node takes until all know it. Unit: time. Source: guess; a busy machine.
pub(crate) const SPREAD_WAIT: Duration = Duration::from_secs(20);

/// How long after a host was killed each other one says so. Unit: time. Source: what is promised.
const KILLED_WAIT: Duration = Duration::from_secs(2);

/// A reading of this machine every fifth of a second, without end.
const SOURCE: &str = "connector = \"host\"\nevery = \"200ms\"\n";

/// Three operators over what is published, for a target.
fn application(name: &str, latency: &str) -> String {
    format!(
        r#"
name = "{name}"
[qos]
latency = "{latency}"
[source.load]
stream = "lab/load"
[operator.readings]
use = "filter"
from = "load"
where = "cpu >= 0.0"
[operator.doubled]
use = "map"
from = "readings"
[operator.doubled.select]
host = "host"
doubled = "cpu * 2.0"
[operator.kept]
use = "filter"
from = "doubled"
where = "doubled >= 0.0"
[sink.out]
from = "kept"
connector = "requester"
"#
    )
}

/// Records 20 ms after each other, as fast as they were: the n-th says n.
pub(crate) const RECORDS: &str = r#"
connector = "file"
path = "records.jsonl"
time = { field = "at", unit = "ms" }
speed = 1.0
"#;

/// So many records last longer than any test.
pub(crate) const RECORD_COUNT: usize = 20_000;

/// Windows of half a second, of 25 records, to a file of the application's name.
pub(crate) fn counting(name: &str) -> String {
    format!(
        r#"
name = "{name}"
[qos]
latency = "2s"
[source.records]
stream = "lab/load"
[operator.known]
use = "filter"
from = "records"
where = "n >= 0"
[operator.counted]
use = "window"
from = "known"
window = {{ tumbling = "500ms" }}
[operator.counted.select]
count = "count(*)"
last = "max(n)"
[sink.out]
from = "counted"
connector = "file"
path = "{name}.jsonl"
"#
    )
}

/// How often a target that is named may be overtaken by what ways take then.
const TARGETS_MAX: usize = 5;

/// Nodes that know one another.
pub(crate) struct Network {
    pub(crate) bed: Bed,
    /// The ids of the nodes, in order of their numbers.
    ids: Vec<String>,
    _turn: Turn,
}

impl Network {
    pub(crate) fn up() -> Self {
        Self::up_with("64MiB")
    }

    /// Nodes that have so much memory each.
    pub(crate) fn up_with(memory: &str) -> Self {
        let turn = Turn::take();
        let bed = Bed::new();
        let up = json(&mut bed.testbed(&["up", "-n", &NODES.to_string(), "--memory", memory]));
        let nodes = up["nodes"].as_array().expect("nodes").iter();
        let ids = nodes.map(|node| node["node"].as_str().expect("an id").to_owned());
        let ids: Vec<String> = ids.collect();
        assert_eq!(ids.len(), NODES as usize);
        Self {
            bed,
            ids,
            _turn: turn,
        }
    }

    /// What a node answers to a command, which has to succeed.
    pub(crate) fn ask(&self, node: u32, arguments: &[&str]) -> Value {
        let node = node.to_string();
        let arguments = [&["--node", &node], arguments, &["-o", "json"]].concat();
        json(&mut self.bed.synergy(&arguments))
    }

    /// Publishes readings at a node and waits until another finds them.
    fn publish(&self, at: u32, other: u32) {
        self.publish_source(at, other, SOURCE);
    }

    pub(crate) fn publish_source(&self, at: u32, other: u32, source: &str) {
        let source = self.bed.file("source.toml", source);
        self.ask(at, &["stream", "publish", "lab/load", &source]);
        self.bed.until("the stream is found", SPREAD_WAIT, || {
            let streams = self.ask(other, &["stream", "ls"]);
            names(&streams).contains("lab/load").then_some(())
        });
    }

    /// Applies an application at a node, no two operators on one host.
    fn apply(&self, at: u32, name: &str) -> Value {
        let file = self.bed.file("app.toml", &application(name, "2s"));
        let composed = self.ask(at, &["apply", "--spread", &file]);
        assert_eq!(composed["status"], "running", "{composed}");
        let hosts: BTreeSet<&str> = operators(&composed).collect();
        assert_eq!(hosts.len(), 3, "{composed}");
        composed
    }

    /// The windows that have left at the sink of an application of [`counting`]: how many records, and the last.
    pub(crate) fn counted(&self, name: &str) -> Vec<(i64, i64)> {
        let path = self.bed.file_of(&format!("{name}.jsonl"));
        let written = std::fs::read_to_string(path).unwrap_or_default();
        let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let row = |line: &str| {
            let row: Value = serde_json::from_str(line).expect("a row");
            let number = |field: &str| row[field].as_i64().expect("a number");
            (number("count"), number("last"))
        };
        whole.lines().map(row).collect()
    }

    pub(crate) fn until_counted(&self, name: &str, windows: usize) -> Vec<(i64, i64)> {
        self.bed.until("windows leave", SPREAD_WAIT, || {
            let counted = self.counted(name);
            (counted.len() >= windows).then_some(counted)
        })
    }

    pub(crate) fn kill(&self, node: u32) {
        let output = run(&mut self.bed.testbed(&["kill", &node.to_string()]));
        assert!(output.status.success(), "{output:?}");
    }

    /// Waits until a node says of an application what is expected; gives how long that took, and what it says.
    pub(crate) fn until_shown(
        &self,
        node: u32,
        name: &str,
        most: Duration,
        is_expected: impl Fn(&Value) -> bool,
    ) -> (Duration, Value) {
        let clock = MachineClock::start();
        loop {
            let begin = clock.now();
            let shown = self.ask(node, &["app", "show", name]);
            if is_expected(&shown) {
                return (begin.since(Instant::ZERO), shown);
            }
            assert!(
                clock.now().since(Instant::ZERO) < most,
                "node {node}: {shown}"
            );
        }
    }

    /// Each of these nodes says in time that an application is degraded, and by which host, or that all of it runs elsewhere already.
    fn assert_all_know_of(&self, name: &str, killed: u32) {
        let name_of_host = format!("n{killed}");
        let id = &self.ids[killed as usize - 1][..8];
        let is_known = |shown: &Value| {
            // A host that is no longer known may have no name left, but its id.
            let reason = shown["reason"].as_str().unwrap_or_default();
            let by_it = reason.contains(&name_of_host) || reason.contains(id);
            let components = shown["components"].as_array();
            let is_elsewhere = |it: &Value| it["host"] != name_of_host.as_str();
            let is_repaired = components.is_some_and(|all| all.iter().all(is_elsewhere));
            shown["status"] == "degraded" && by_it || shown["status"] == "running" && is_repaired
        };
        // At the same time, as if people looked at each of them.
        let waits: Vec<(u32, Duration)> = thread::scope(|scope| {
            let others = (1..=NODES).filter(|node| *node != killed);
            let threads: Vec<_> = others
                .map(|node| {
                    let is_known = &is_known;
                    scope.spawn(move || {
                        let (wait, _) = self.until_shown(node, name, SPREAD_WAIT, is_known);
                        (node, wait)
                    })
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().expect("each node says it"))
                .collect()
        });
        assert!(
            waits.iter().all(|(_, wait)| *wait <= KILLED_WAIT),
            "how long it took at each node: {waits:?}"
        );
    }

    /// Stops an application at a node; then no other says that it runs.
    fn stop(&self, at: u32, name: &str, others: &[u32]) {
        self.ask(at, &["stop", name]);
        for other in others {
            self.bed.until("it is stopped everywhere", SPREAD_WAIT, || {
                let listed = self.ask(*other, &["app", "ls"]);
                let rows = listed.as_array().cloned().unwrap_or_default();
                let runs = |row: &Value| row["name"] == name && row["status"] == "running";
                (!rows.iter().any(runs)).then_some(())
            });
        }
    }

    /// Rows of a stream, tapped at a node.
    fn tap(&self, node: u32, name: &str, limit: usize) -> Vec<Value> {
        let (node, rows) = (node.to_string(), limit.to_string());
        let arguments = [
            "--node", &node, "tap", name, "--limit", &rows, "--for", "30s",
        ];
        let output = run(&mut self.bed.synergy(&arguments));
        assert!(output.status.success(), "{}", text(&output.stderr));
        let rows = text(&output.stdout);
        let rows = rows
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row"));
        rows.collect()
    }

    /// Takes the nodes down; nothing of them is left.
    pub(crate) fn down(&self) {
        let status = json(&mut self.bed.testbed(&["status", "-o", "json"]));
        let output = run(&mut self.bed.testbed(&["down"]));
        assert!(output.status.success(), "{output:?}");
        let said = text(&output.stderr);
        assert!(!said.contains("were killed"), "{said}");
        self.bed.assert_nothing_is_left();
        for row in status.as_array().expect("nodes") {
            if let Some(api) = row["api"].as_str() {
                TcpStream::connect(api).expect_err("nobody listens any more");
            }
        }
    }
}

/// Where the operators of a composition are.
pub(crate) fn operators(composed: &Value) -> impl Iterator<Item = &str> {
    let placed = composed["operators"].as_array().expect("operators");
    let placed = placed
        .iter()
        .filter(|it| it["kind"] != "source" && it["kind"] != "sink");
    placed.map(|it| it["host"].as_str().expect("a host"))
}

fn names(rows: &Value) -> BTreeSet<&str> {
    let rows = rows.as_array().expect("a list");
    rows.iter().filter_map(|row| row["name"].as_str()).collect()
}

#[test]
fn any_node_publishes_applies_taps_and_stops() {
    let network = Network::up();
    network.publish(1, 2);
    network.apply(2, "busy");
    for node in 1..=NODES {
        let running = |shown: &Value| shown["status"] == "running";
        network.until_shown(node, "busy", SPREAD_WAIT, running);
    }
    let rows = network.tap(3, "busy/kept", 20);
    assert_eq!(rows.len(), 20);
    assert!(
        rows.iter().all(|row| row["doubled"].is_number()),
        "{rows:?}"
    );
    assert_eq!(network.tap(5, "lab/load", 5).len(), 5);
    let listed = network.ask(4, &["app", "ls"]);
    assert!(names(&listed).contains("busy"), "{listed}");
    let look = network.ask(4, &["top", "--limit", "1"]);
    assert_eq!(look["status"][0]["name"], "busy", "{look}");
    assert_eq!(look["nodes"].as_array().map(Vec::len), Some(NODES as usize));
    let look = network.ask(5, &["top", "busy", "--limit", "1"]);
    assert!(look["events"]["events"].is_array(), "{look}");
    network.stop(4, "busy", &[1, 2, 3, 5]);
    network.down();
}

#[test]
fn who_shares_a_window_misses_no_row_when_the_other_stops() {
    let network = Network::up();
    let records: String = (0..RECORD_COUNT)
        .map(|n| format!("{{\"at\": {}, \"n\": {n}}}\n", n * 20))
        .collect();
    network.bed.file("records.jsonl", &records);
    network.publish_source(1, 2, RECORDS);
    let first = network.bed.file("first.toml", &counting("first"));
    let second = network.bed.file("second.toml", &counting("second"));
    network.ask(2, &["apply", &first]);
    network.until_counted("first", 2);
    network.bed.until("it is found", SPREAD_WAIT, || {
        let planned = network.ask(3, &["plan", &second]);
        (planned["shared"] == 2).then_some(())
    });
    let composed = network.ask(3, &["apply", &second]);
    assert_eq!(composed["shared"], 2, "{composed}");
    network.until_counted("second", 2);
    network.stop(4, "first", &[1, 2, 3, 5]);
    let until_stopped = network.counted("second").len();
    let counted = network.until_counted("second", until_stopped + 4);
    assert!(counted.iter().all(|(count, _)| *count == 25), "{counted:?}");
    let mut pairs = counted.iter().zip(&counted[1..]);
    let follows = |((_, last), (_, next)): (&(i64, i64), &(i64, i64))| last + 25 == *next;
    assert!(pairs.all(follows), "{counted:?}");
    let shown = network.ask(5, &["app", "show", "second"]);
    assert_eq!(shown["status"], "running", "{shown}");
    let shared = shown["components"].as_array().expect("components").iter();
    let rows = shared.filter(|row| ["known", "counted"].contains(&row["name"].as_str().unwrap()));
    let rows: Vec<u64> = rows.filter_map(|row| row["rows_in"].as_u64()).collect();
    assert!(
        rows.len() == 2 && rows.iter().all(|rows| *rows > 100),
        "{shown}"
    );

    // What it reads goes, and it says so, wherever it is asked.
    network.ask(1, &["stream", "stop", "lab/load"]);
    let has_gone = |shown: &Value| {
        let reason = shown["reason"].as_str().unwrap_or_default();
        shown["status"] == "degraded"
            && reason.contains("records, which it reads, has gone from n1")
    };
    network.until_shown(4, "second", SPREAD_WAIT, has_gone);
    network.stop(1, "second", &[2, 3]);
    for node in 1..=NODES {
        network.bed.until("nothing is left", SPREAD_WAIT, || {
            let info = network.ask(node, &["node", "info"]);
            (info["applications"] == 0).then_some(())
        });
    }
    network.down();
}

#[test]
fn an_impossible_target_is_refused_and_the_one_that_is_named_is_met() {
    let network = Network::up();
    network.publish(1, 4);
    let apply = |latency: &str| {
        let file = network.bed.file("app.toml", &application("hasty", latency));
        let arguments = ["--node", "4", "apply", "--spread", &file, "-o", "json"];
        let output = run(&mut network.bed.synergy(&arguments));
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        (output.status.code(), answer)
    };
    let (status, mut answer) = apply("1us");
    assert_eq!(status, Some(3), "{answer}");
    // What ways take moves on a busy machine: a target that was named may be overtaken, and then a longer one is named.
    for _ in 0..TARGETS_MAX {
        if answer["status"] != "refused" {
            break;
        }
        assert!(answer["binding"]["check"].is_string(), "{answer}");
        let feasible = answer["feasible_target_ms"].as_f64();
        let feasible = feasible.unwrap_or_else(|| panic!("a target is named: {answer}"));
        (_, answer) = apply(&format!("{}us", (feasible * 1e3).ceil()));
    }
    assert_eq!(answer["status"], "running", "{answer}");
    network.stop(2, "hasty", &[1, 3]);
    network.down();
}

#[test]
fn a_killed_host_is_told_by_all_others_and_stopping_still_works() {
    let network = Network::up();
    network.publish(1, 2);
    let composed = network.apply(2, "busy");
    for node in 1..=NODES {
        let running = |shown: &Value| shown["status"] == "running";
        network.until_shown(node, "busy", SPREAD_WAIT, running);
    }
    // Three operators on three hosts: one of them neither publishes nor accepted.
    let number = |host: &str| host.trim_start_matches('n').parse::<u32>().expect("nK");
    let mut hosts = operators(&composed).map(number);
    let killed = hosts.find(|host| *host > 2).expect("there are three");
    network.kill(killed);
    network.assert_all_know_of("busy", killed);
    let others: Vec<u32> = (1..=NODES).filter(|node| *node != killed).collect();
    network.stop(others[3], "busy", &others);
    network.down();
}

#[test]
fn the_host_that_accepted_may_be_the_one_that_is_killed() {
    let network = Network::up();
    network.publish(1, 3);
    network.apply(3, "busy");
    for node in 1..=NODES {
        let running = |shown: &Value| shown["status"] == "running";
        network.until_shown(node, "busy", SPREAD_WAIT, running);
    }
    network.kill(3);
    network.assert_all_know_of("busy", 3);
    network.stop(4, "busy", &[1, 2, 5]);
    let back = json(&mut network.bed.testbed(&["start", "3", "-o", "json"]));
    assert_eq!(back["name"], "n3");
    network.down();
}

#[test]
fn idle_nodes_are_measured_and_gone_afterwards() {
    let _turn = Turn::take();
    let bed = Bed::new();
    let arguments = "bench -o json idle -n 3 --settle 1s --for 1s";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = run(&mut bed.testbed(&arguments));
    // Whether goals are met says nothing here, of a program that is not optimized.
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let figures = &report["figures"];
    assert_eq!(figures["nodes"], 3);
    for figure in ["resident_bytes", "ready_ms", "threads"] {
        let low = figures[figure]["low"].as_f64();
        assert!(low.is_some_and(|low| low > 0.0), "{figure}: {figures}");
    }
    assert!(figures["cpu_fraction"]["high"].is_number(), "{figures}");
    bed.assert_nothing_is_left();
}

#[test]
fn what_applications_occupy_is_measured_with_sharing_and_without() {
    let _turn = Turn::take();
    let bed = Bed::new();
    let arguments = "bench -o json applications --counts 4,2 --settle 200ms --limit 20s";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = run(&mut bed.testbed(&arguments));
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let figures = &report["figures"];
    for word in ["shared", "unshared"] {
        assert_eq!(figures[format!("applications.{word}")], 4, "{figures}");
        for figure in ["", ".2", ".4"] {
            let figure = format!("bytes_per_application.{word}{figure}");
            let bytes = figures[&figure].as_f64();
            assert!(bytes.is_some_and(|it| it > 0.0), "{figure}: {figures}");
        }
    }
    assert_eq!(figures["all_counts_reached"], 1, "{figures}");
    bed.assert_nothing_is_left();
}

#[test]
fn hosts_whose_clocks_are_an_hour_apart_yield_results_as_others_do() {
    let _turn = Turn::take();
    let bed = Bed::new();
    let arguments = "experiment -o json D10 --seeds 1 --apart 1h --for 1s";
    let arguments: Vec<&str> = arguments.split(' ').collect();
    let output = run(&mut bed.testbed(&arguments));
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", text(&output.stderr)));
    let figures = &report["figures"];
    let of = |series: &str, figure: &str| {
        let name = format!("D10.{series}.3600000.{figure}");
        let median = figures[&name]["median"].as_f64();
        median.unwrap_or_else(|| panic!("{name}: {figures}"))
    };
    // Two ways of 40 ms, and whatever a busy machine adds, which is no hour.
    let delay = of("age", "delay_ms_p50");
    assert!((80.0..60_000.0).contains(&delay), "{figures}");
    assert!(of("age", "results") > 0.0);
    assert!(
        of("wall_clock_ahead", "delay_ms_p50") > 7_000_000.0,
        "{figures}"
    );
    assert!(
        of("wall_clock_behind", "delay_ms_p50") < -3_000_000.0,
        "{figures}"
    );
    bed.assert_nothing_is_left();
}
