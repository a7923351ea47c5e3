//! Nodes far apart, slow ones, and a network that is cut in two and comes together again.

use std::time::Duration;

use model::{Clock, Instant};
use node::clock::MachineClock;
use serde_json::Value;

use crate::support::{Bed, Turn, json, run, text};

/// How long nodes may take to see what was done to their ways: a member is given up after two pings in rounds of 10 s.
///
/// Unit: time. Source: two rounds and what their pings may take, twice for a busy machine.
const SEEN_WAIT: Duration = Duration::from_secs(60);

/// A reading of this machine every fifth of a second, without end.
const SOURCE: &str = "connector = \"host\"\nevery = \"200ms\"\n";

/// A filter that runs where the stream is, or elsewhere.
const APPLICATION: &str = "name = \"busy\"\n[qos]\nlatency = \"5s\"\n[source.load]\nstream = \"lab/load\"\n\
     [operator.kept]\nuse = \"filter\"\nfrom = \"load\"\nwhere = \"cpu >= 0.0\"\n\
     [sink.out]\nfrom = \"kept\"\nconnector = \"requester\"\n";

/// What a node answers to a command, which has to succeed.
fn ask(bed: &Bed, node: u32, arguments: &[&str]) -> Value {
    let node = node.to_string();
    json(&mut bed.synergy(&[&["--node", &node], arguments, &["-o", "json"]].concat()))
}

fn testbed(bed: &Bed, arguments: &[&str]) {
    let output = run(&mut bed.testbed(arguments));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// The shortest of a few look-ups at a node.
fn look_up(bed: &Bed, node: u32, name: &str) -> Duration {
    let one = || {
        let clock = MachineClock::start();
        let found = ask(bed, node, &["dht", "lookup", name]);
        assert!(!found.as_array().expect("entries").is_empty());
        clock.now().since(Instant::ZERO)
    };
    (0..3).map(|_| one()).min().expect("three")
}

fn publish(bed: &Bed, at: u32, others: &[u32]) {
    let source = bed.file("source.toml", SOURCE);
    ask(bed, at, &["stream", "publish", "lab/load", &source]);
    for other in others {
        bed.until("the stream is found", SEEN_WAIT, || {
            let streams = ask(bed, *other, &["stream", "ls"]);
            (streams[0]["name"] == "lab/load").then_some(())
        });
    }
}

/// Whom a node hears, beside itself.
fn heard(bed: &Bed, node: u32) -> usize {
    let known = ask(bed, node, &["node", "ls"]);
    let rows = known.as_array().expect("nodes").iter();
    rows.filter(|row| row["status"] == "up").count()
}

#[test]
fn nodes_are_as_far_apart_as_a_file_says_and_as_slow_as_somebody_wants() {
    let _turn = Turn::take();
    let bed = Bed::new();
    let file = bed.file("square.csv", "0,100,100\n100,0,100\n100,100,0\n");
    let up = json(&mut bed.testbed(&["up", "-n", "3", "--latency", &file, "-o", "json"]));
    assert_eq!(up["area"]["mean_round_trip_ms"], 100.0, "{up}");
    publish(&bed, 1, &[2, 3]);
    for row in ask(&bed, 2, &["node", "ls"]).as_array().expect("nodes") {
        if row["status"] == "up" {
            let round_trip = row["round_trip_ms"].as_f64().expect("measured");
            assert!(round_trip >= 100.0, "{row}");
        }
    }
    let round_trip = Duration::from_millis(100);
    let far = look_up(&bed, 2, "lab/load");
    assert!(far >= round_trip, "{far:?}");
    // Both ways are longer by so much.
    testbed(&bed, &["slow", "n2", "--by", "400ms"]);
    let slow = look_up(&bed, 2, "lab/load");
    assert!(slow >= round_trip + Duration::from_millis(800), "{slow:?}");
    testbed(&bed, &["heal"]);
    let healed = look_up(&bed, 2, "lab/load");
    assert!(healed < slow, "{healed:?}, {slow:?}");
    testbed(&bed, &["down"]);
    bed.assert_nothing_is_left();
}

#[test]
fn what_was_cut_in_two_comes_together_again() {
    let _turn = Turn::take();
    let bed = Bed::new();
    testbed(&bed, &["up", "-n", "4", "--faults"]);
    publish(&bed, 1, &[2, 3, 4]);
    let file = bed.file("app.toml", APPLICATION);
    assert_eq!(ask(&bed, 3, &["apply", &file])["status"], "running");
    testbed(&bed, &["partition", "1,2", "3,n4"]);
    bed.until("each side is alone", SEEN_WAIT, || {
        (1..=4).all(|node| heard(&bed, node) == 1).then_some(())
    });
    // The source is on the other side.
    let shown = ask(&bed, 3, &["app", "show", "busy"]);
    assert_eq!(shown["status"], "degraded", "{shown}");
    testbed(&bed, &["heal"]);
    bed.until("all know all", SEEN_WAIT, || {
        (1..=4).all(|node| heard(&bed, node) == 3).then_some(())
    });
    testbed(&bed, &["down"]);
    bed.assert_nothing_is_left();
}

#[test]
fn a_short_cut_is_outlived() {
    let _turn = Turn::take();
    let bed = Bed::new();
    testbed(&bed, &["up", "-n", "4", "--faults"]);
    publish(&bed, 1, &[4]);
    testbed(&bed, &["partition", "4"]);
    testbed(&bed, &["heal"]);
    assert_eq!(heard(&bed, 4), 3);
    assert!(look_up(&bed, 4, "lab/load") < Duration::from_secs(2));
    testbed(&bed, &["down"]);
    bed.assert_nothing_is_left();
}

#[test]
fn the_ways_of_a_testbed_change_only_where_that_was_asked_for() {
    let _turn = Turn::take();
    let bed = Bed::new();
    testbed(&bed, &["up", "-n", "1"]);
    for command in [
        &["slow", "1", "--by", "1s"][..],
        &["partition", "1"],
        &["heal"],
    ] {
        let output = run(&mut bed.testbed(command));
        assert_eq!(output.status.code(), Some(1), "{command:?}");
        let said = text(&output.stderr);
        assert!(said.contains("up --faults"), "{said}");
    }
    testbed(&bed, &["down"]);
    testbed(&bed, &["up", "-n", "2", "--faults"]);
    for (command, reason) in [
        (&["slow", "3", "--by", "1s"][..], "nodes 1 to 2"),
        (&["partition", "1,2", "2"], "in two groups"),
    ] {
        let output = run(&mut bed.testbed(command));
        let said = text(&output.stderr);
        assert!(said.contains(reason), "{said}");
    }
    testbed(&bed, &["down"]);
    bed.assert_nothing_is_left();
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_link_that_is_taken_down_cuts_its_node_off() {
    let _turn = Turn::take();
    let bed = Bed::new();
    let output = run(&mut bed.testbed(&["up", "-n", "3", "--netns", "-o", "json"]));
    if !output.status.success() {
        let said = text(&output.stderr);
        assert!(said.contains("leave --netns out"), "{said}");
        eprintln!("skipped: {said}");
        bed.assert_nothing_is_left();
        return;
    }
    testbed(&bed, &["unplug", "n3"]);
    let state = |node: usize| {
        let rows = json(&mut bed.testbed(&["status", "-o", "json"]));
        rows[node - 1]["state"].as_str().map(str::to_owned)
    };
    assert_eq!(state(3).as_deref(), Some("silent"));
    assert_eq!(state(1).as_deref(), Some("up"));
    testbed(&bed, &["heal"]);
    bed.until("it answers again", SEEN_WAIT, || {
        (state(3).as_deref() == Some("up")).then_some(())
    });
    testbed(&bed, &["down"]);
    bed.assert_nothing_is_left();
    // What it made is gone: the same can be made again.
    testbed(&bed, &["up", "-n", "2", "--netns"]);
    testbed(&bed, &["down"]);
}
