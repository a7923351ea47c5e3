//! The binary: what it prints where, and how it ends.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn synergy(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_synergy"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary is there")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("synergy writes UTF-8")
}

fn file(folder: &Path, content: &str) -> String {
    let path = folder.join("app.toml");
    std::fs::write(&path, content).expect("a file");
    path.to_str().expect("a folder in UTF-8").to_owned()
}

#[test]
fn an_invalid_file_is_told_on_standard_error_with_status_2() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "name = \"a\"\nsnk = 1\n");
    let expected = format!(
        "{path}: nothing enters the application: it has no source\n  expected a table [source.NAME]\n\
         {path}:2:1: unknown key \"snk\"\n  2 | snk = 1\n    | ^^^\n  \
         expected one of: name, qos, source, operator, sink (did you mean \"sink\"?)\n"
    );
    for command in ["validate", "run"] {
        let output = synergy(&[command, &path]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert_eq!(text(&output.stdout), "", "{command}");
        assert_eq!(text(&output.stderr), expected, "{command}");
    }

    let output = synergy(&["validate", "-o", "json", &path]);
    assert_eq!(output.status.code(), Some(2));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["valid"], false);
    assert_eq!(found["problems"][1]["line"], 2);
    assert_eq!(found["problems"][1]["message"], "unknown key \"snk\"");
}

#[test]
fn wrong_usage_has_status_2() {
    for arguments in [
        &[][..],
        &["frobnicate"],
        &["run"],
        &["run", "app.toml", "--for", "soon"],
        &["run", "app.toml", "--memory", "64"],
        &["run", "app.toml", "--workers", "0"],
        &["run", "app.toml", "--limit", "0"],
        &["run", "app.toml", "--policy", "luck"],
        &["validate"],
        &["validate", "app.toml", "--schema"],
        &["completion", "teletype"],
    ] {
        let output = synergy(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn a_unit_that_is_not_understood_is_explained() {
    let output = synergy(&["run", "app.toml", "--for", "10m"]);
    let said = text(&output.stderr);
    assert!(
        said.contains("units are ns, us, ms, s, min, h, d"),
        "{said}"
    );
}

#[test]
fn what_is_asked_for_is_printed_on_standard_output() {
    let version = format!("synergy {}\n", env!("CARGO_PKG_VERSION"));
    for arguments in [&["version"], &["--version"]] {
        assert_eq!(text(&synergy(arguments).stdout), version);
    }
    for shell in ["bash", "zsh", "fish"] {
        let output = synergy(&["completion", shell]);
        assert!(output.status.success());
        assert!(text(&output.stdout).contains("validate"), "{shell}");
    }
    let output = synergy(&["help"]);
    assert!(output.status.success());
    assert!(text(&output.stdout).contains("validate"));
}

/// The reader of a pipe may leave at any time, as `head` does.
#[test]
fn a_closed_pipe_is_no_failure() {
    for arguments in [
        &["validate", "--schema"][..],
        &["completion", "zsh"],
        &["version"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_synergy"))
            .args(arguments)
            .stdout(writer)
            .stderr(Stdio::piped())
            .spawn()
            .and_then(std::process::Child::wait_with_output)
            .expect("the binary is there");
        assert!(output.status.success(), "{arguments:?}");
        assert_eq!(text(&output.stderr), "", "{arguments:?}");
    }
}

#[test]
fn several_nodes_give_the_rows_of_one_process() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/intrusion/app.toml"
    );
    let rows = |output: &Output| {
        let mut rows: Vec<String> = text(&output.stdout).lines().map(str::to_owned).collect();
        rows.sort_unstable();
        rows
    };
    let one = synergy(&["run", file]);
    let four = synergy(&["run", file, "--nodes", "4", "--spread"]);
    let said = text(&four.stderr);
    assert!(one.status.success() && four.status.success(), "{said}");
    assert!(!rows(&one).is_empty());
    assert_eq!(rows(&four), rows(&one), "{said}");
    // Four operators, each on a node of its own.
    assert_eq!(operator_hosts(said).len(), 4, "{said}");
}

/// On which nodes a run says that the operators of `intrusion` are.
fn operator_hosts(said: &str) -> std::collections::BTreeSet<&str> {
    let operators = ["attempts", "sources", "scanners", "alerts"];
    let host = |name: &&str| {
        let mut lines = said.lines().map(str::split_whitespace);
        lines.find_map(|mut words| (words.next() == Some(name)).then(|| words.nth(1))?)
    };
    operators.iter().filter_map(host).collect()
}

#[test]
fn the_application_that_readme_explains_is_there_and_runs() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let read = |path: &str| std::fs::read_to_string(format!("{root}/{path}")).expect("a file");
    let readme = read("README.md");
    let (_, explained) = readme.split_once("```toml\n").expect("an application");
    let (explained, _) = explained.split_once("```").expect("its end");
    assert_eq!(explained, read("examples/busy-pages/app.toml"));
    let ran = synergy(&["run", &format!("{root}/examples/busy-pages/app.toml")]);
    assert!(ran.status.success(), "{}", text(&ran.stderr));
    let rows = text(&ran.stdout);
    let page = read("examples/busy-pages/README.md");
    let mut lines = page.lines().map(str::trim);
    let row = lines.find(|line| line.starts_with('{')).expect("a row");
    assert!(rows.lines().any(|line| line == row), "{rows}");
}

#[test]
fn operators_that_could_not_be_spread_are_said() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../examples/intrusion/app.toml"
    );
    for nodes in ["1", "4"] {
        let ran = synergy(&["run", file, "--nodes", nodes, "--spread"]);
        let said = text(&ran.stderr);
        assert!(ran.status.success(), "{said}");
        // On one node it must be said; on four unless each operator has a node of its own.
        let hosts = operator_hosts(said).len();
        assert!((1..=4).contains(&hosts), "{said}");
        assert!(nodes == "4" || hosts == 1, "{said}");
        assert_eq!(
            said.contains("operators were to be spread"),
            hosts < 4,
            "{said}"
        );
    }
}

#[test]
fn the_schema_describes_every_kind() {
    let output = synergy(&["validate", "--schema"]);
    assert!(output.status.success());
    let schema: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    let kinds = &node::application::Kinds::ALL;
    let groups = [
        (
            "operator",
            kinds
                .operators
                .iter()
                .map(|kind| kind.name)
                .collect::<Vec<_>>(),
        ),
        ("sink", kinds.sinks.iter().map(|kind| kind.name).collect()),
        (
            "source",
            kinds.sources.iter().map(|kind| kind.name).collect(),
        ),
    ];
    for (group, names) in groups {
        let variants = &schema["properties"][group]["additionalProperties"]["oneOf"];
        let variants: Vec<&Value> = variants.as_array().into_iter().flatten().collect();
        let titles: Vec<&str> = variants
            .iter()
            .filter_map(|it| it["title"].as_str())
            .collect();
        assert_eq!(titles, names);
        for variant in variants {
            check_object(variant);
        }
    }
}

/// Nothing may stand in a table that its schema does not describe, and all that must be there is described.
fn check_object(object: &Value) {
    assert_eq!(object["additionalProperties"], false, "{object}");
    let properties = object["properties"].as_object().expect("properties");
    for required in object["required"].as_array().expect("a list") {
        let required = required.as_str().expect("a key");
        assert!(properties.contains_key(required), "{object}");
    }
    for (key, property) in properties {
        assert!(property["description"].is_string(), "{key}: {property}");
    }
}

const GOOD: &str = r#"
name = "intrusion"

[source.flows]
connector = "file"
path = "conn.csv"
schema = { ts = "timestamp", state = "string", src_ip = "string" }
time = { field = "ts" }

[operator.syn]
use = "filter"
from = "flows"
where = "state = 'S0'"

[operator.scanners]
use = "window"
from = "syn"
window = { tumbling = "10s" }
by = ["src_ip"]
select = { attempts = "count(*)" }

[sink.out]
from = "scanners"
connector = "requester"

[sink.bad]
from = "flows.bad"
connector = "discard"
"#;

const ROWS: &str = "ts,state,src.ip\n2024-01-01T00:00:00Z,S0,a\n";

#[test]
fn a_valid_file_is_shown_with_the_columns_of_every_port() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("conn.csv"), ROWS).expect("a file");
    let path = file(folder.path(), GOOD);
    let output = synergy(&["validate", &path]);
    assert_eq!(text(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0));
    let expected = "\
intrusion is valid
source flows (file)
  out: ts timestamp, state string, src_ip string
  bad: record string, error string
operator syn (filter) from flows
  out: ts timestamp, state string, src_ip string
  bad: ts timestamp, state string, src_ip string, error string
operator scanners (window) from syn
  out: src_ip string, window_start timestamp, window_end timestamp, attempts int64
  late: ts timestamp, state string, src_ip string
  bad: ts timestamp, state string, src_ip string, error string
sink out (requester) from scanners
sink bad (discard) from flows.bad
remark: flows: dots in column names become underscores: src.ip is src_ip
";
    assert_eq!(text(&output.stdout), expected);

    let output = synergy(&["validate", "-o", "json", &path]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["valid"], true);
    assert_eq!(found["parts"][2]["name"], "scanners");
    let attempts = &found["parts"][2]["outputs"]["out"][3];
    assert_eq!(attempts["name"], "attempts");
    assert_eq!(attempts["type"], "int64");
}

#[test]
fn a_valid_file_says_what_is_to_have_backups() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("conn.csv"), ROWS).expect("a file");
    let path = file(folder.path(), &format!("{GOOD}\n[qos]\nreplicas = 2\n"));
    let output = synergy(&["validate", &path]);
    let said = text(&output.stdout);
    assert!(
        said.contains("\nreplicas: 2 of each of scanners\n"),
        "{said}"
    );
    let output = synergy(&["validate", "-o", "json", &path]);
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(found["replicas"], 2);
    assert_eq!(found["replication"], "passive");
    assert_eq!(found["backed"], serde_json::json!(["scanners"]));
    let active = format!("{GOOD}\n[qos]\nreplicas = 2\nreplication = \"active\"\n");
    let output = synergy(&["validate", &file(folder.path(), &active)]);
    let said = text(&output.stdout);
    let expected = "\nreplicas: 2 of each of scanners, which run as well\n";
    assert!(said.contains(expected), "{said}");
}

#[test]
fn what_kinds_find_wrong_is_shown_at_their_parameters() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("conn.csv"), ROWS).expect("a file");
    for (old, new, place) in [
        ("conn.csv", "none.csv", ":6:8: "),
        ("field = \"ts\"", "field = \"st\"", ":8:18: "),
        ("state = 'S0'", "stat = 'S0'", ":13:9: "),
        ("\"10s\"", "\"0s\"", ":18:23: "),
        ("[\"src_ip\"]", "[\"src\"]", ":19:6: "),
        ("count(*)", "cuont(*)", ":20:23: "),
    ] {
        assert!(GOOD.contains(old), "{old}");
        let path = file(folder.path(), &GOOD.replacen(old, new, 1));
        let output = synergy(&["validate", &path]);
        assert_eq!(output.status.code(), Some(2), "{old}");
        let said = text(&output.stderr);
        assert!(said.starts_with(&format!("{path}{place}")), "{old}: {said}");
        let problem_count = said.lines().filter(|line| line.starts_with(&path)).count();
        assert_eq!(problem_count, 1, "one mistake is one problem: {said}");
    }
}
