//! Sources that cannot be read again, and whose hosts are away: results do not wait for them longer than was asked for.

use std::time::Duration;

use serde_json::Value;

use crate::network::Network;
use crate::support::{run, text};

/// How long something may take that is waited for. Unit: time. Source: a busy machine.
const WAIT: Duration = Duration::from_secs(60);

/// Who publishes what is lost; it runs nothing else.
const PUBLISHER: u32 = 4;

/// Readings of two hosts in one window a second, and which of them it has.
const APPLICATION: &str = r#"
name = "both"
[qos]
latency = "5s"
lost_after = "2s"
[source.here]
connector = "host"
every = "200ms"
[source.there]
stream = "lab/load"
[operator.first]
use = "map"
from = "here"
select = { which = "1" }
[operator.second]
use = "map"
from = "there"
select = { which = "2" }
[operator.all]
use = "union"
from = ["first", "second"]
place = { node = "n2" }
[operator.counted]
use = "window"
from = "all"
window = { tumbling = "1s" }
select = { last = "max(which)" }
place = { node = "n3" }
[sink.out]
from = "counted"
connector = "file"
path = "both.jsonl"
"#;

/// The last source of each window that has left.
fn last(network: &Network) -> Vec<u64> {
    let path = network.bed.file_of("both.jsonl");
    let written = std::fs::read_to_string(path).unwrap_or_default();
    let rows = written.lines().filter_map(|line| {
        let row: Value = serde_json::from_str(line).ok()?;
        row["last"].as_u64()
    });
    rows.collect()
}

/// Waits until more windows than that have left, and the newest have rows up to this source.
fn until_last(network: &Network, source: u64, windows: usize) {
    network.bed.until("windows leave", WAIT, || {
        let last = last(network);
        let is_last = last.iter().rev().take(2).all(|it| *it == source);
        (last.len() > windows && is_last).then_some(())
    });
}

#[test]
fn results_do_not_wait_for_ever_for_a_source_whose_host_is_away() {
    let network = Network::up();
    network.publish_source(PUBLISHER, 1, "connector = \"host\"\nevery = \"200ms\"\n");
    let file = network.bed.file("both.toml", APPLICATION);
    network.ask(1, &["apply", &file]);
    until_last(&network, 2, 3);

    network.kill(PUBLISHER);
    let before = last(&network).len();
    until_last(&network, 1, before + 4);
    let events = network.ask(1, &["app", "events", "both"]).to_string();
    assert!(events.contains("\"passed\""), "{events}");

    let started = run(&mut network.bed.testbed(&["start", &PUBLISHER.to_string()]));
    assert!(started.status.success(), "{}", text(&started.stderr));
    let before = last(&network).len();
    until_last(&network, 2, before + 4);
    network.down();
}
