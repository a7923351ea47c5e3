//! Hosts that are killed and started again while nobody holds a backup: what they ran goes on from their own disk.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use model::Rng;
use serde_json::Value;
use testbed::local::process::pause;

use crate::network::Network;
use crate::support::{run, text};

/// For how long rows flow. Unit: milliseconds. Source: two restarts on a busy machine.
const FLOW_MS: u64 = 30_000;

/// How many milliseconds are between two rows.
const ROW_MS: u64 = 10;

/// How long something may take that is waited for, and an application to its end. Unit: time. Source: what flows, and a busy machine.
const WAIT: Duration = Duration::from_secs(90);

/// How often a host is killed that does all of it. Unit: count. Source: what flows, and how long a start takes.
const KILLS: usize = 6;

/// The host of the windows: neither that of the source and the sink, nor of what feeds the windows.
const KILLED: u32 = 3;

fn rows() -> String {
    let mut rng = Rng::from_seed(1);
    let mut text = "seq,at,key\n".to_owned();
    for seq in 0..FLOW_MS / ROW_MS {
        let (at, key) = (1_700_000_000_000 + seq * ROW_MS, rng.below(5));
        writeln!(text, "{seq},{at},{key}").expect("memory takes it");
    }
    text
}

/// Sliding windows over numbered rows, with a filter before them and one behind.
fn application(name: &str, speed: &str) -> String {
    format!(
        r#"
name = "{name}"
[qos]
latency = "5s"
[source.rows]
connector = "file"
path = "rows.csv"
time = {{ field = "at", unit = "ms", out_of_order = "10ms" }}
{speed}
[operator.known]
use = "filter"
from = "rows"
where = "seq >= 0"
place = {{ node = "n2" }}
[operator.counted]
use = "window"
from = "known"
window = {{ sliding = "4s", slide = "500ms" }}
by = ["key"]
select = {{ n = "count(*)", total = "sum(seq)", first = "min(seq)", last = "max(seq)" }}
place = {{ node = "n{KILLED}" }}
[operator.last]
use = "filter"
from = "counted"
where = "n > 0"
place = {{ node = "n{KILLED}" }}
[sink.out]
from = "last"
connector = "file"
path = "{name}.jsonl"
"#
    )
}

/// Applies it over hosts, and waits until so many lines have left.
fn begin(network: &Network) {
    network.bed.file("rows.csv", &rows());
    let file = application("windows", "speed = 1\n");
    let file = network.bed.file("windows.toml", &file);
    network.ask(1, &["apply", &file]);
    until_more_than(network, 100);
}

fn until_more_than(network: &Network, lines: usize) {
    network.bed.until("results leave", WAIT, || {
        (sorted(network, "windows").len() > lines).then_some(())
    });
}

/// Where the states of the host that is killed lie.
fn states(network: &Network) -> PathBuf {
    network.bed.dir().join(format!("node-{KILLED}/states"))
}

fn start_again(network: &Network, node: u32) {
    let output = run(&mut network.bed.testbed(&["start", &node.to_string()]));
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// The newest file below a folder of logs.
fn newest(states: &Path) -> PathBuf {
    let logs = std::fs::read_dir(states).expect("there are states");
    let files = logs.flat_map(|log| std::fs::read_dir(log.expect("a log").path()).expect("files"));
    let files = files.map(|file| file.expect("a file").path());
    let written = |path: &PathBuf| path.metadata().and_then(|it| it.modified()).ok();
    files.max_by_key(written).expect("something was written")
}

/// The lines of a result, sorted: which of two that count at the same time leaves first is not promised.
fn sorted(network: &Network, name: &str) -> Vec<String> {
    let written = std::fs::read_to_string(network.bed.file_of(&format!("{name}.jsonl")));
    let written = written.unwrap_or_default();
    let mut lines: Vec<String> = written.lines().map(str::to_owned).collect();
    lines.sort_unstable();
    lines
}

fn assert_same(found: &[String], expected: &[String]) {
    let lacks: Vec<&String> = expected.iter().filter(|it| !found.contains(it)).collect();
    assert_eq!(lacks, Vec::<&String>::new(), "of {}", expected.len());
    let more: Vec<&String> = found.iter().filter(|it| !expected.contains(it)).collect();
    assert_eq!(more, Vec::<&String>::new(), "of {}", found.len());
    assert_eq!(found.len(), expected.len(), "some came twice");
}

#[test]
fn a_killed_host_without_a_backup_goes_on_from_its_own_disk() {
    let network = Network::up();
    network.bed.file("rows.csv", &rows());
    // Anywhere.
    let file = application("alone", "");
    let file = file.replace("place = {", "# place = {");
    let file = network.bed.file("alone.toml", &file);
    let output = run(&mut network.bed.synergy(&["run", &file]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = sorted(&network, "alone");
    assert!(expected.len() > 100, "{}", expected.len());

    begin(&network);
    for lines in [100, 180] {
        until_more_than(&network, lines);
        network.kill(KILLED);
        start_again(&network, KILLED);
        until_more_than(&network, sorted(&network, "windows").len() + 20);
    }
    let events = network.ask(KILLED, &["events"]);
    let events = events.to_string();
    assert!(events.contains("restored"), "{events}");
    assert!(!events.contains("state_lost"), "{events}");
    let has_ended = |shown: &Value| shown["status"] == "finished";
    network.until_shown(1, "windows", WAIT, has_ended);
    assert_same(&sorted(&network, "windows"), &expected);
    network.down();
}

#[test]
fn a_state_that_is_gone_is_told_and_one_that_is_torn_is_cut() {
    let network = Network::up();
    begin(&network);
    network.kill(KILLED);
    let log = newest(&states(&network));
    let file = std::fs::OpenOptions::new().write(true).open(&log);
    let file = file.expect("it can be written");
    let len = file.metadata().expect("it is there").len();
    file.set_len(len - 7).expect("it can be cut");
    start_again(&network, KILLED);
    until_more_than(&network, sorted(&network, "windows").len() + 20);
    let events = network.ask(KILLED, &["events"]).to_string();
    assert!(!events.contains("state_lost"), "{events}");

    network.kill(KILLED);
    std::fs::remove_dir_all(states(&network)).expect("there are states");
    start_again(&network, KILLED);
    network.bed.until("the loss is told", WAIT, || {
        let events = network.ask(KILLED, &["events"]).to_string();
        events.contains("state_lost").then_some(())
    });
    network.down();
}

#[test]
fn a_published_stream_goes_on_where_it_was_when_its_host_is_back() {
    let network = Network::up();
    network.bed.file("rows.csv", &rows());
    let file = application("alone", "").replace("place = {", "# place = {");
    let file = network.bed.file("alone.toml", &file);
    let output = run(&mut network.bed.synergy(&["run", &file]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = sorted(&network, "alone");

    let (publisher, name) = (4, "windows");
    let file = application(name, "speed = 1\n");
    let (head, rest) = file.split_once("[source.rows]\n").expect("a source");
    let (source, rest) = rest.split_once("[operator.known]").expect("an operator");
    let reading = "[source.rows]\nstream = \"lab/load\"\n[operator.known]";
    network.publish_source(publisher, 1, source);
    let file = network
        .bed
        .file("windows.toml", &format!("{head}{reading}{rest}"));
    network.ask(1, &["apply", &file]);
    for lines in [40, 120] {
        until_more_than(&network, lines);
        network.kill(publisher);
        start_again(&network, publisher);
        until_more_than(&network, sorted(&network, name).len() + 20);
    }
    let has_ended = |shown: &Value| shown["status"] == "finished";
    network.until_shown(1, name, WAIT, has_ended);
    // Who reads a published stream begins with the first window of which all is still to come.
    let start = |line: &String| {
        let row: Value = serde_json::from_str(line).expect("a row");
        row["window_start"]
            .as_str()
            .expect("a time")
            .trim_end_matches('Z')
            .to_owned()
    };
    let found = sorted(&network, name);
    let first = found.iter().map(start).min().expect("some left");
    let expected: Vec<String> = expected
        .into_iter()
        .filter(|line| start(line) >= first)
        .collect();
    assert!(expected.len() > 200, "{first} is late");
    assert_same(&found, &expected);

    // Whose stream was ended does not have it again.
    network.ask(publisher, &["stream", "stop", "lab/load"]);
    network.kill(publisher);
    start_again(&network, publisher);
    let shown = network.ask(publisher, &["stream", "ls"]);
    assert_eq!(shown.as_array().map(Vec::len), Some(0), "{shown}");
    network.down();
}

#[test]
fn of_a_host_alone_that_is_killed_again_and_again_each_result_is_in_the_file_once() {
    let network = Network::up();
    network.bed.file("rows.csv", &rows());
    let here = |name: &str, speed: &str| {
        let application = application(name, speed);
        let application = application.replace("n2", "n1");
        application.replace(&format!("n{KILLED}"), "n1")
    };
    let alone = here("alone", "").replace("place = {", "# place = {");
    let file = network.bed.file("alone.toml", &alone);
    let output = run(&mut network.bed.synergy(&["run", &file]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines = |name: &str| {
        let written = std::fs::read_to_string(network.bed.file_of(&format!("{name}.jsonl")));
        let written = written.unwrap_or_default();
        let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let expected = lines("alone");
    assert!(expected.len() > 100, "{}", expected.len());

    let file = network
        .bed
        .file("windows.toml", &here("windows", "speed = 1\n"));
    network.ask(1, &["apply", &file]);
    // Some results leave every half second: at any moment between them, and while they do.
    let mut rng = Rng::from_seed(7);
    for _ in 0..KILLS {
        let more = 3 + usize::try_from(rng.below(10)).expect("it is small");
        until_more_than(&network, lines("windows").len() + more);
        pause(Duration::from_millis(rng.below(600))).expect("the system lets us wait");
        network.kill(1);
        let output = run(&mut network.bed.testbed(&["start", "1"]));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let has_ended = |shown: &Value| shown["status"] == "finished";
    network.until_shown(1, "windows", WAIT, has_ended);
    assert_same(&lines("windows"), &expected);
    network.down();
}
