//! The command line: what is asked of a node, what is printed where, and how commands end.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use node::data_dir::{API, TOKEN as TOKEN_FILE};
use serde_json::Value;

use super::sample;
use super::support::{Server, TOKEN, nowhere, text};

fn check(server: &Server, arguments: &[&str], status: i32, stdout: &str) {
    let output = server.synergy(arguments);
    assert_eq!(
        output.status.code(),
        Some(status),
        "{arguments:?}: {}",
        text(&output.stderr)
    );
    assert_eq!(text(&output.stdout), stdout, "{arguments:?}");
    assert_eq!(
        output.stderr.is_empty(),
        status == 0,
        "{arguments:?}: {}",
        text(&output.stderr)
    );
}

fn file(folder: &Path, name: &str, content: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("a folder in UTF-8").to_owned()
}

#[test]
fn lists_are_tables_for_people_and_names_for_scripts() {
    let server = Server::start(sample::answer);
    check(
        &server,
        &["app", "ls", "-o", "table"],
        0,
        "\
NAME       OWNER  STATUS   TARGET  OPERATORS  HOSTS
intrusion  n1     running  250 ms  1          2
",
    );
    check(&server, &["app", "ls", "-o", "name"], 0, "intrusion\n");
    check(
        &server,
        &["stream", "ls", "-o", "table"],
        0,
        "\
NAME       HOST  STATUS   ROWS/S  COLUMNS
lab/flows  n1    running  10      state string
",
    );
    check(&server, &["stream", "ls", "-o", "name"], 0, "lab/flows\n");
    check(
        &server,
        &["node", "ls", "-o", "table"],
        0,
        "\
NAME  NODE      STATUS  LOAD  CORES  MEMORY   ROUND TRIP  ADDRESSES
n1    01010101  self    0.25  2.0    256 MiB  -           /ip4/127.0.0.1/tcp/4170
",
    );
    check(
        &server,
        &["dht", "lookup", "intrusion", "-o", "table"],
        0,
        "\
KIND         OWNER     VERSION  ADDRESSES  SAYS
application  01010101  7                   running
",
    );
    check(
        &server,
        &["app", "show", "intrusion", "-o", "table"],
        0,
        "\
intrusion is running
delay p50 10.0 ms, p95 20.0 ms, p99 30.0 ms, p99.9 40.0 ms; predicted 42.0 ms, target 250 ms
in the last minute p50 5.00 ms, p95 10.0 ms, p99 15.0 ms, p99.9 20.0 ms; results 7, after the target 1
results 40, after the target 0, missing 0, late 1, bad 2, dropped 3
batches dropped: duplicate 4, behind a gap 5, refused 6
NAME  KIND    HOST  STATUS   ROWS/S  IN   OUT  COST/ROW  SLACK   LATE  BAD  DROPS  WAITING  STATE
syn   filter  n2    running  10      100  40   0.50 us   200 ms  1     2    3      0        0 KiB
how long batches waited and ran in the last minute
NAME  WAITED   P95      P99      P99.9    RAN       P95      P99      P99.9
syn   2.00 ms  4.00 ms  6.00 ms  8.00 ms  0.500 ms  1.00 ms  1.50 ms  2.00 ms
",
    );
    check(
        &server,
        &["node", "id"],
        0,
        &format!("{{\n  \"node\": \"{}\"\n}}\n", sample::id(1)),
    );
    check(
        &server,
        &["node", "id", "-o", "name"],
        0,
        &format!("{}\n", sample::id(1)),
    );
}

/// Without a terminal, results are JSON, and exactly what the node answers.
#[test]
fn what_is_piped_is_json() {
    let server = Server::start(sample::answer);
    for (arguments, pointer, expected) in [
        (&["app", "ls"][..], "/0/name", Value::from("intrusion")),
        (
            &["app", "show", "int"],
            "/components/0/slack_ms",
            Value::from(200.0),
        ),
        (
            &["app", "show", "int"],
            "/components/0/recent_queueing_ms/p999",
            Value::from(8.0),
        ),
        (
            &["app", "show", "int"],
            "/components/0/execution_ms/p50",
            Value::from(0.4),
        ),
        (
            &["app", "show", "int"],
            "/recent_delay_ms/p99",
            Value::from(15.0),
        ),
        (&["app", "show", "int"], "/recent_misses", Value::from(1)),
        (
            &["app", "why", "intrusion"],
            "/reasons/0/1",
            Value::from("the idlest of 4 hosts"),
        ),
        (
            &["stream", "show", "lab/flows"],
            "/columns/0/1",
            Value::from("string"),
        ),
        (&["node", "info"], "/counts/garbage", Value::from(4)),
        (&["dht", "stats"], "/refused/oversize", Value::from(2)),
        (&["stop", "intrusion"], "/confirmed/1", Value::from("n2")),
        (
            &["app", "stop", "intrusion"],
            "/confirmed/0",
            Value::from("n1"),
        ),
        (
            &["stream", "stop", "lab/flows"],
            "/name",
            Value::from("lab/flows"),
        ),
        (
            &["move", "intrusion/syn", "--to", "n2"],
            "/switch_ms",
            Value::from(40.0),
        ),
        (
            &["app", "events", "intrusion"],
            "/events/0/moved/switch_ms",
            Value::from(40.0),
        ),
        (&["events"], "/events/0/event", Value::from("moved")),
        (&["move", "n1:intrusion/syn"], "/to", Value::from("n2")),
        (
            &["drain", "n1"],
            "/moved/0/candidates/0/host",
            Value::from("n2"),
        ),
        (&["drain"], "/left", Value::from(0)),
    ] {
        let output = server.synergy(arguments);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found.pointer(pointer), Some(&expected), "{arguments:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn a_file_is_sent_with_the_folder_that_it_stands_in() {
    let server = Server::start(sample::answer);
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "app.toml", "name = \"intrusion\"\n");
    let real = folder.path().canonicalize().expect("it is there");
    let told = format!(
        "File {{ name: {path:?}, text: \"name = \\\"intrusion\\\"\\n\", folder: {real:?} }}"
    );

    check(
        &server,
        &["apply", &path, "-o", "table"],
        0,
        "\
intrusion is running
predicted delay 42.0 ms, target 250 ms, margin 208 ms
NAME   KIND    HOST  SHARED
flows  source  n1
syn    filter  n2
out    sink    n1
shared: nothing
",
    );
    assert_eq!(
        server.asked(),
        [format!("apply {told} spread=false trial=false")]
    );
    check(
        &server,
        &["plan", &path, "--spread", "-o", "name"],
        0,
        "intrusion\n",
    );
    assert_eq!(
        server.asked(),
        [format!("apply {told} spread=true trial=true")]
    );
    check(
        &server,
        &["stream", "publish", "lab/flows", &path, "-o", "name"],
        0,
        "lab/flows\n",
    );
    assert_eq!(server.asked(), [format!("publish lab/flows {told}")]);

    let missing = folder.path().join("none.toml");
    let output = server.synergy(&["apply", missing.to_str().expect("UTF-8")]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("none.toml"),
        "{}",
        text(&output.stderr)
    );
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn a_refusal_has_status_3_and_says_what_would_be_accepted() {
    let server = Server::start(sample::answer);
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "app.toml",
        "name = \"intrusion\"\n[qos]\nlatency = \"1ms\"\n",
    );
    check(
        &server,
        &["apply", &path, "-o", "table"],
        3,
        "\
intrusion is refused
target 1.00 ms
syn: delay: needed 1 ms, the best that was found is 3.1 ms; 4 hosts were asked
feasible now: put this into the file
  [qos]
  latency = \"4ms\"
",
    );
    let output = server.synergy(&["plan", &path]);
    assert_eq!(output.status.code(), Some(3));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["binding"]["check"], "delay");
    assert_eq!(found["feasible_target_ms"], 3.1);
    assert!(text(&output.stderr).starts_with("synergy: intrusion is refused: no host"));
    check(&server, &["apply", &path, "-o", "name"], 3, "");
}

#[test]
fn what_is_not_there_has_status_4() {
    let server = Server::start(sample::answer);
    for arguments in [
        &["app", "show", "nothing"][..],
        &["app", "why", "nothing"],
        &["stop", "nothing"],
        &["graph", "nothing"],
        &["move", "intrusion/syn", "--to", "n9"],
        &["app", "events", "nothing"],
        &["stream", "show", "lab/none"],
        &["tap", "lab/none"],
    ] {
        check(&server, arguments, 4, "");
    }
    check(&server, &["dht", "lookup", "nothing"], 4, "[]\n");
}

#[test]
fn decisions_are_told_with_their_numbers() {
    let server = Server::start(sample::answer);
    for arguments in [
        &["events", "-o", "table"][..],
        &["app", "events", "intrusion", "-o", "table"],
    ] {
        check(
            &server,
            arguments,
            0,
            "\
AGO     HOST  APPLICATION  EVENT  WHAT
12.5 s  n1    intrusion    moved  syn from n1 to n2, since it would have been late, slack expected -20.0 ms, load 0.100; asked n2; 1 MiB of state, 4 MiB sent, in 160 ms, of which 40.0 ms to go over
3 older ones are not kept any more
n3 (03030303) has not answered
",
        );
    }
    check(&server, &["events", "-o", "name"], 0, "moved\n");
}

#[test]
fn what_is_to_move_is_an_operator_of_an_application() {
    let server = Server::start(sample::answer);
    check(&server, &["move", "intrusion"], 2, "");
    assert_eq!(server.asked(), Vec::<String>::new());
}

#[test]
fn graphs_are_drawn() {
    let server = Server::start(sample::answer);
    check(
        &server,
        &["graph", "intrusion"],
        0,
        "\
intrusion
flows (source) on n1
└─ syn (filter) on n2
   └─ out (sink) on n1
",
    );
    for (drawing, first) in [
        ("dot", "digraph \"intrusion\" {"),
        ("mermaid", "flowchart LR"),
    ] {
        let output = server.synergy(&["graph", "intrusion", "-o", drawing]);
        assert_eq!(text(&output.stdout).lines().next(), Some(first));
    }
}

#[test]
fn a_node_is_stopped() {
    let server = Server::start(sample::answer);
    let output = server.synergy(&["node", "stop"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("has left the network"));
    check(&server, &["-q", "node", "stop"], 0, "");
    assert_eq!(server.asked(), ["stop", "stop"]);
}

/// Runs `synergy` with these variables and no others that it knows.
fn synergy(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synergy"));
    for name in [
        "SYNERGY_NODE",
        "SYNERGY_TOKEN",
        "SYNERGY_TESTBED",
        "SYNERGY_DATA_DIR",
    ] {
        command.env_remove(name);
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the binary is there")
}

#[test]
fn nodes_are_found_by_number_by_address_and_by_their_data_folder() {
    let server = Server::start(sample::answer);
    let folder = tempfile::tempdir().expect("a folder");
    let node = folder.path().join("node-3");
    std::fs::create_dir(&node).expect("a folder");
    std::fs::write(node.join(API), format!("{}\n", server.address)).expect("a file");
    std::fs::write(node.join(TOKEN_FILE), format!("{TOKEN}\n")).expect("a file");
    let (testbed, data) = (
        folder.path().to_str().expect("UTF-8"),
        node.to_str().expect("UTF-8"),
    );
    let token = node.join(TOKEN_FILE);
    let token = token.to_str().expect("UTF-8");
    let address = server.address.to_string();
    let nowhere = nowhere();
    let nowhere = nowhere.to_str().expect("UTF-8");
    for (arguments, variables) in [
        (&["--node", "3", "--dir", testbed, "app", "ls"][..], &[][..]),
        (
            &["app", "ls", "--node", "3"],
            &[("SYNERGY_TESTBED", testbed)],
        ),
        (&["app", "ls", "--dir", testbed], &[("SYNERGY_NODE", "3")]),
        (&["app", "ls"], &[("SYNERGY_DATA_DIR", data)]),
        (&["--data-dir", data, "app", "ls"], &[]),
        (
            &["app", "ls", "--node", &address, "--token-file", token],
            &[("SYNERGY_DATA_DIR", nowhere)],
        ),
        (
            &["app", "ls", "--node", &address],
            &[("SYNERGY_TOKEN", TOKEN), ("SYNERGY_DATA_DIR", nowhere)],
        ),
        (&["app", "ls", "--node", &address, "--data-dir", data], &[]),
    ] {
        let output = synergy(arguments, variables);
        assert_eq!(
            output.status.code(),
            Some(0),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
    }
    let output = synergy(
        &["app", "ls", "--node", &address],
        &[("SYNERGY_DATA_DIR", nowhere)],
    );
    assert_eq!(output.status.code(), Some(6), "without a token");
    assert!(
        text(&output.stderr).contains("token"),
        "{}",
        text(&output.stderr)
    );
    let output = synergy(
        &["app", "ls", "--node", &address],
        &[("SYNERGY_TOKEN", "wrong"), ("SYNERGY_DATA_DIR", nowhere)],
    );
    assert_eq!(output.status.code(), Some(6));
}

#[test]
fn a_node_that_is_not_there_has_status_5_and_says_what_to_do() {
    // A port of loopback that was just free, and is closed again.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("it is bound").to_string();
    drop(listener);
    let nowhere = nowhere();
    let variables = [("SYNERGY_DATA_DIR", nowhere.to_str().expect("UTF-8"))];
    let output = synergy(&["app", "ls", "--node", &address], &variables);
    assert_eq!(output.status.code(), Some(5));
    assert_eq!(
        text(&output.stderr),
        format!(
            "synergy: no node answers at {address}: start one with `synergy node start`, or name another with --node\n"
        )
    );
    let output = synergy(&["--node", "7", "app", "ls"], &variables);
    assert_eq!(output.status.code(), Some(5));
    assert!(
        text(&output.stderr).contains("synergy-testbed up"),
        "{}",
        text(&output.stderr)
    );
    let output = synergy(&["--node", "seven", "app", "ls"], &variables);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_id_of_this_hosts_node_is_known_while_it_does_not_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data");
    let data = node::data_dir::DataDir::open(&path).expect("a new folder");
    let node = data.identity().expect("new").node();
    drop(data);
    let output = synergy(
        &["node", "id", "-o", "name"],
        &[("SYNERGY_DATA_DIR", path.to_str().expect("UTF-8"))],
    );
    let id: String = node.0.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        text(&output.stdout),
        format!("{id}\n"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn wrong_settings_start_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("data");
    let data = path.to_str().expect("UTF-8");
    let output = synergy(
        &[
            "node",
            "start",
            "--listen",
            "/ip4/0.0.0.0/tcp/4170",
            "--set",
            "offer.cpus=1",
        ],
        &[("SYNERGY_DATA_DIR", data)],
    );
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(
        said.contains("--listen: /ip4/0.0.0.0/tcp/4170 can be reached by other machines"),
        "{said}"
    );
    assert!(said.contains("unknown key \"offer.cpus\""), "{said}");
    assert!(!path.exists());
}
