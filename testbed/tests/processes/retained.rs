//! A host that is killed while somebody is far behind it: what waits on its disk is there when it is started again.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::Value;

use crate::network::{Network, SPREAD_WAIT};
use crate::support::{run, text};

/// How many rows there are. Unit: count. Source: they last longer than a restart on a busy machine.
const ROWS: u64 = 5_000;

/// How many milliseconds are between two rows.
const ROW_MS: u64 = 10;

/// How large a row is. Unit: bytes.
const ROW_BYTES: usize = 4_000;

/// The memory of a host: a quarter of it is filled in ten seconds.
const MEMORY: &str = "16MiB";

/// How much is to lie on the disk of the host that is killed. Unit: bytes.
const STORED_BYTES: u64 = 1 << 20;

/// How long something may take that is waited for. Unit: time. Source: what flows, and a busy machine.
const WAIT: Duration = Duration::from_secs(120);

/// The host of the windows: none that publishes, reads or writes.
const KILLED: u32 = 3;

const SOURCE: &str = r#"
connector = "file"
path = "rows.jsonl"
time = { field = "at", unit = "ms" }
speed = 1.0
"#;

fn rows() -> String {
    let filling = "x".repeat(ROW_BYTES);
    let mut text = String::new();
    for n in 0..ROWS {
        let at = 1_700_000_000_000 + n * ROW_MS;
        writeln!(
            text,
            "{{\"at\": {at}, \"n\": {n}, \"text\": \"{n}{filling}\"}}"
        )
        .expect("memory takes it");
    }
    text
}

/// Each row in a window, once.
fn application(name: &str) -> String {
    format!(
        r#"
name = "{name}"
[qos]
latency = "5s"
[source.rows]
stream = "lab/load"
[operator.counted]
use = "window"
from = "rows"
window = {{ tumbling = "500ms" }}
by = ["n", "text"]
select = {{ count = "count(*)" }}
place = {{ node = "n{KILLED}" }}
[sink.out]
from = "counted"
connector = "file"
path = "{name}.jsonl"
"#
    )
}

/// Reads the lines of a pipe once it is told to, and gives the numbers in them.
fn read_slowly(pipe: &Path, may_read: &Receiver<()>, numbers: &Sender<u64>) {
    let pipe = BufReader::new(File::open(pipe).expect("a pipe"));
    may_read.recv().expect("the test goes on");
    for line in pipe.lines() {
        numbers
            .send(number(&line.expect("a line")))
            .expect("the test waits for it");
    }
}

/// The row of a line, which was counted once.
fn number(line: &str) -> u64 {
    let row: Value = serde_json::from_str(line).expect("a row");
    assert_eq!(row["count"], 1, "row {}", row["n"]);
    row["n"].as_u64().expect("a number")
}

/// The bytes of files in a folder.
fn bytes(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).expect("there is a folder");
    let len = |file: std::fs::DirEntry| file.metadata().map_or(0, |it| it.len());
    files.map(|file| len(file.expect("a file"))).sum()
}

#[test]
fn who_is_far_behind_gets_each_row_once_from_a_host_that_was_killed() {
    let network = Network::up_with(MEMORY);
    network.bed.file("rows.jsonl", &rows());
    network.publish_source(1, 2, SOURCE);
    let (begin, may_read) = channel();
    let (read, slow) = channel();
    let pipe = network.bed.file_of("slow.jsonl");
    let made = run(Command::new("mkfifo").arg(&pipe));
    assert!(made.status.success(), "{}", text(&made.stderr));
    let reader = std::thread::spawn(move || read_slowly(&pipe, &may_read, &read));

    let fast = network.bed.file("fast.toml", &application("fast"));
    network.ask(1, &["apply", &fast]);
    let slow_file = network.bed.file("slow.toml", &application("slow"));
    network.bed.until("it is found", SPREAD_WAIT, || {
        let planned = network.ask(2, &["plan", &slow_file]);
        (planned["shared"] == 1).then_some(())
    });
    let composed = network.ask(2, &["apply", &slow_file]);
    assert_eq!(composed["shared"], 1, "{composed}");
    let retained = network.bed.dir().join(format!("node-{KILLED}/retained"));
    network.bed.until("something lies on the disk", WAIT, || {
        (bytes(&retained) > STORED_BYTES).then_some(())
    });

    network.kill(KILLED);
    let output = run(&mut network.bed.testbed(&["start", &KILLED.to_string()]));
    assert!(output.status.success(), "{}", text(&output.stderr));
    let fast = || -> Vec<u64> {
        let written = std::fs::read_to_string(network.bed.file_of("fast.jsonl"));
        let written = written.unwrap_or_default();
        let whole = written.rsplit_once('\n').map_or("", |(whole, _)| whole);
        whole.lines().map(number).collect()
    };
    network
        .bed
        .until("the fast one gets the last row", WAIT, || {
            fast().contains(&(ROWS - 1)).then_some(())
        });
    begin.send(()).expect("it waits");
    let mut slow_rows = Vec::new();
    while !slow_rows.contains(&(ROWS - 1)) {
        slow_rows.push(slow.recv_timeout(WAIT).expect("the last row comes"));
    }
    // Rows leave in the order of their numbers; what would come twice would be there by now.
    slow_rows.extend(slow.try_iter());
    for (name, mut rows) in [("fast", fast()), ("slow", slow_rows)] {
        rows.sort_unstable();
        let first = rows[0];
        assert_eq!(rows, (first..ROWS).collect::<Vec<_>>(), "{name}");
        assert!(first < ROWS / 4, "{name} has seen little: {first}");
    }
    network.down();
    reader.join().expect("the pipe ends with its writer");
}
