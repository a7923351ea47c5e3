//! Operators that go to other hosts while rows flow: nothing is lost, nothing comes twice, and every node says where they are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::process::Output;
use std::time::Duration;

use model::{Clock, Rng};
use serde_json::Value;

use crate::network::{NODES, Network, RECORD_COUNT, RECORDS, SPREAD_WAIT, counting, operators};
use crate::support::{end, run, text};

/// For how long rows flow while operators move. Unit: milliseconds. Source: a dozen moves of each application on a busy machine.
const FLOW_MS: u64 = 10_000;

/// How many milliseconds are between two rows.
const ROW_MS: u64 = 4;

/// How long applications may take to their end, from when they were asked for. Unit: time. Source: what flows, and a busy machine.
const END_WAIT: Duration = Duration::from_secs(60);

/// Applications, and the operators of each that move. All read the same file.
const APPLICATIONS: [(&str, &[&str], &str); 4] = [
    (
        "chain",
        &["some", "counted", "last"],
        "[operator.some]\nuse = \"filter\"\nfrom = \"rows\"\nwhere = \"value >= 100\"\n\
         [operator.counted]\nuse = \"window\"\nfrom = \"some\"\nwindow = { sliding = \"2s\", slide = \"500ms\" }\n\
         by = [\"key\"]\nselect = { n = \"count(*)\", total = \"sum(seq)\" }\n\
         [operator.last]\nuse = \"filter\"\nfrom = \"counted\"\nwhere = \"n > 1\"\n",
    ),
    (
        "pairs",
        &["left", "right", "last"],
        "[operator.left]\nuse = \"filter\"\nfrom = \"rows\"\nwhere = \"value < 300\"\n\
         [operator.right]\nuse = \"map\"\nfrom = \"rows\"\nselect = { other = \"key\", b = \"seq\" }\n\
         [operator.last]\nuse = \"join\"\nfrom = [\"left\", \"right\"]\non = { key = \"other\" }\n\
         window = { tumbling = \"1s\" }\n\
         select = { key = \"left_key\", seq = \"left_seq\", b = \"right_b\" }\n",
    ),
    (
        "firsts",
        &["last"],
        "[operator.last]\nuse = \"distinct\"\nfrom = \"rows\"\nby = [\"key\"]\nfor = \"700ms\"\n",
    ),
    (
        "greatest",
        &["last"],
        "[operator.last]\nuse = \"top\"\nfrom = \"rows\"\nof = \"value\"\nrows = 3\nwindow = { tumbling = \"1s\" }\nby = [\"key\"]\n",
    ),
];

/// An application over the file of rows, to a file of its own; as fast as the rows were, or at once.
fn application(name: &str, parts: &str, speed: &str, out: &str) -> String {
    format!(
        "name = \"{name}\"\n[qos]\nlatency = \"5s\"\n[source.rows]\nconnector = \"file\"\npath = \"rows.csv\"\n{speed}\
         time = {{ field = \"at\", unit = \"ms\", out_of_order = \"10ms\" }}\n{parts}\
         [sink.out]\nfrom = \"last\"\nconnector = \"file\"\npath = \"{out}.jsonl\"\n"
    )
}

fn rows() -> String {
    let mut rng = Rng::from_seed(1);
    let mut text = "seq,at,key,value\n".to_owned();
    for seq in 0..FLOW_MS / ROW_MS {
        let (at, key, value) = (
            1_700_000_000_000 + seq * ROW_MS,
            rng.below(20),
            rng.below(1_000),
        );
        writeln!(text, "{seq},{at},{key},{value}").expect("memory takes it");
    }
    text
}

/// The lines of a file, sorted: which of two that count at the same time leaves first is not promised.
fn sorted(network: &Network, name: &str) -> Vec<String> {
    let written = std::fs::read_to_string(network.bed.file_of(&format!("{name}.jsonl")));
    let mut lines: Vec<String> = written
        .unwrap_or_default()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort_unstable();
    lines
}

/// What a node answers to a move, whatever it is.
fn asked(network: &Network, node: u32, what: &str, to: &str) -> Output {
    let node = node.to_string();
    let arguments = ["--node", &node, "move", what, "--to", to, "-o", "json"];
    run(&mut network.bed.synergy(&arguments))
}

/// Moves an operator, which has to succeed.
fn moved(network: &Network, node: u32, what: &str, to: u32) -> Value {
    network.ask(node, &["move", what, "--to", &format!("n{to}")])
}

/// The host of an operator, as a node shows it.
fn host_of(shown: &Value, operator: &str) -> u32 {
    let parts = ["operators", "components"]
        .iter()
        .find_map(|it| shown[it].as_array());
    let mut parts = parts.expect("its parts").iter();
    let part = parts.find(|it| it["name"] == operator);
    number(part.expect("it has it")["host"].as_str().expect("a host"))
}

fn number(host: &str) -> u32 {
    host.trim_start_matches('n').parse().expect("nK")
}

/// Every node says that an operator is where it is.
fn until_all_say(network: &Network, nodes: &[u32], application: &str, operator: &str, host: u32) {
    for node in nodes {
        let is_there =
            |shown: &Value| shown["status"] == "running" && host_of(shown, operator) == host;
        network.until_shown(*node, application, SPREAD_WAIT, is_there);
    }
}

/// Records flow through a filter and a window, each on another host than the source (1) and the sink (2).
fn flowing(network: &Network, pinned: Option<u32>) -> BTreeMap<&'static str, u32> {
    let records: String = (0..RECORD_COUNT)
        .map(|n| format!("{{\"at\": {}, \"n\": {n}}}\n", n * 20))
        .collect();
    network.bed.file("records.jsonl", &records);
    network.publish_source(1, 2, RECORDS);
    let mut file = counting("first");
    if let Some(host) = pinned {
        let place = format!("where = \"n >= 0\"\nplace = {{ node = \"n{host}\" }}");
        file = file.replace("where = \"n >= 0\"", &place);
    }
    let file = network.bed.file("first.toml", &file);
    let composed = network.ask(2, &["apply", "--spread", &file]);
    assert_eq!(operators(&composed).count(), 2, "{composed}");
    network.until_counted("first", 2);
    let hosts = ["known", "counted"].map(|operator| (operator, host_of(&composed, operator)));
    hosts.into()
}

/// All windows that have left are whole and follow one another, and more leave.
fn assert_flows(network: &Network, name: &str) {
    let before = network.counted(name).len();
    let counted = network.until_counted(name, before + 3);
    // The first may have begun in the middle: a stream is read from its latest row on.
    let whole = counted[1..].iter().all(|(count, _)| *count == 25);
    assert!(whole, "{counted:?}");
    let mut pairs = counted.iter().zip(&counted[1..]);
    let follows = |((_, last), (_, next)): (&(i64, i64), &(i64, i64))| last + 25 == *next;
    assert!(pairs.all(follows), "{counted:?}");
}

/// A host among those that are there that has nothing of these.
fn free(taken: &[u32]) -> u32 {
    let mut free = (1..=NODES).rev().filter(|host| !taken.contains(host));
    free.next().expect("there is one more")
}

#[test]
fn what_moves_under_load_yields_what_a_run_without_moves_yields() {
    let network = Network::up();
    network.bed.file("rows.csv", &rows());
    for (name, _, parts) in APPLICATIONS {
        let file = application(name, parts, "", &format!("{name}-run"));
        let file = network.bed.file(&format!("{name}-run.toml"), &file);
        let output = run(&mut network.bed.synergy(&["run", &file]));
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    for (name, _, parts) in APPLICATIONS {
        let file = application(name, parts, "speed = 1\n", name);
        let file = network.bed.file(&format!("{name}.toml"), &file);
        network.ask(1, &["apply", "--spread", &file]);
    }
    let begin = network.bed.clock.now();
    let until = begin + Duration::from_millis(FLOW_MS * 3 / 4);
    let mut rng = Rng::from_seed(2);
    let mut below = |count: usize| usize::try_from(rng.below(count as u64)).expect("an index");
    let mut moves: BTreeMap<String, u32> = BTreeMap::new();
    let mut refused = Vec::new();
    while network.bed.clock.now() < until {
        let (name, parts, _) = APPLICATIONS[below(APPLICATIONS.len())];
        let what = format!("{name}/{}", parts[below(parts.len())]);
        let mut node = || u32::try_from(below(NODES as usize)).expect("a few") + 1;
        let (to, by) = (node(), node());
        let output = asked(&network, by, &what, &format!("n{to}"));
        match output.status.success() {
            true => *moves.entry(name.to_owned()).or_default() += 1,
            false => refused.push(format!("{what} to n{to}: {}", text(&output.stderr))),
        }
    }
    // Those that were asked to go where they are stay there.
    let strange: Vec<&String> = refused
        .iter()
        .filter(|it| !it.contains("already"))
        .collect();
    assert_eq!(strange, Vec::<&String>::new());
    assert_eq!(moves.len(), APPLICATIONS.len(), "{moves:?}");
    for (name, ..) in APPLICATIONS {
        let expected = sorted(&network, &format!("{name}-run"));
        assert!(expected.len() > 5, "{name}: {expected:?}");
        let has_ended = |shown: &Value| shown["status"] == "finished";
        network.until_shown(2, name, END_WAIT, has_ended);
        let found = sorted(&network, name);
        assert!(found == expected, "{name}, {moves:?}: {found:?}");
    }
    network.down();
}

#[test]
fn what_two_applications_share_goes_with_both() {
    let network = Network::up();
    flowing(&network, None);
    let second = network.bed.file("second.toml", &counting("second"));
    network.bed.until("it is found", SPREAD_WAIT, || {
        let planned = network.ask(3, &["plan", &second]);
        (planned["shared"] == 2).then_some(())
    });
    network.ask(3, &["apply", &second]);
    network.until_counted("second", 2);
    // To the host where the other one is as well, and away from there.
    for (operator, is_beside) in [("counted", false), ("known", true), ("counted", false)] {
        let shown = network.ask(1, &["app", "show", "first"]);
        let (from, other) = (host_of(&shown, operator), host_of(&shown, "counted"));
        let to = match is_beside {
            true => other,
            false => free(&[from, host_of(&shown, "known"), 1, 2]),
        };
        let moved = moved(&network, 4, &format!("first/{operator}"), to);
        assert_eq!(moved["shared_with"][0], "second", "{moved}");
        until_all_say(&network, &[1, 2, 3, 4, 5], "first", operator, to);
        until_all_say(&network, &[1, 2, 3, 4, 5], "second", operator, to);
        assert_flows(&network, "first");
        assert_flows(&network, "second");
    }
    network.down();
}

#[test]
fn what_may_not_move_stays_and_a_drained_host_has_nothing_left() {
    let network = Network::up();
    let before = flowing(&network, Some(4));
    let counted = before["counted"];
    let there = format!("n{counted}");
    for (what, to) in [
        ("first/known", "n5"),
        ("first/counted", "n77"),
        ("first/counted", &there),
        ("first/nothing", "n5"),
        ("nothing/counted", "n5"),
    ] {
        let output = asked(&network, 3, what, to);
        assert!(!output.status.success(), "{what} to {to}: {output:?}");
        let shown = network.ask(1, &["app", "show", "first"]);
        let hosts = ["known", "counted"].map(|it| (it, host_of(&shown, it)));
        assert_eq!(BTreeMap::from(hosts), before, "{what} to {to}");
    }
    assert_flows(&network, "first");

    let drained = network.ask(1, &["drain", &there]);
    assert_eq!(drained["moved"][0]["operator"], "counted", "{drained}");
    assert_eq!(drained["left"], 0, "{drained}");
    let to = number(drained["moved"][0]["to"].as_str().expect("a host"));
    assert_ne!(to, counted);
    until_all_say(&network, &[1, 2, 3, 4, 5], "first", "counted", to);
    assert_flows(&network, "first");
    let told = text(
        &run(&mut network
            .bed
            .synergy(&["--node", &counted.to_string(), "events", "-o", "json"]))
        .stdout,
    );
    assert!(told.contains("gives away"), "{told}");

    // Who was away meanwhile learns where it is.
    let away = free(&[1, 2, 4, to]);
    network.kill(away);
    // Of five hosts none may be left but those that publish and accept.
    let target = free(&[4, to, away]);
    moved(&network, 1, "first/counted", target);
    let output = run(&mut network.bed.testbed(&["start", &away.to_string()]));
    assert!(output.status.success(), "{output:?}");
    until_all_say(&network, &[away], "first", "counted", target);
    assert_flows(&network, "first");
    network.down();
}

#[test]
fn a_host_that_dies_in_the_middle_changes_nothing_and_one_that_was_left_is_not_missed() {
    let network = Network::up();
    let before = flowing(&network, None);
    let counted = before["counted"];
    let target = free(&[1, 2, before["known"], counted]);
    // It hears nothing from here on, so that the move cannot end before it is dead.
    let output = run(&mut network.bed.testbed(&["pause", &target.to_string()]));
    assert!(output.status.success(), "{output:?}");
    let to = format!("n{target}");
    let arguments = ["--node", "1", "move", "first/counted", "--to", &to];
    let moving = network.bed.synergy(&arguments).spawn().expect("it starts");
    assert_flows(&network, "first");
    network.kill(target);
    let output = end(moving, "a move to who is dead");
    assert!(!output.status.success(), "{output:?}");
    let others: Vec<u32> = (1..=NODES).filter(|node| *node != target).collect();
    until_all_say(&network, &others, "first", "counted", counted);
    assert_flows(&network, "first");

    let output = run(&mut network.bed.testbed(&["start", &target.to_string()]));
    assert!(output.status.success(), "{output:?}");
    network.bed.until("it is known again", SPREAD_WAIT, || {
        let output = asked(&network, 1, "first/counted", &to);
        output.status.success().then_some(())
    });
    until_all_say(&network, &others, "first", "counted", target);
    assert!(![1, 2, before["known"]].contains(&counted), "{before:?}");
    network.kill(counted);
    assert_flows(&network, "first");
    let others: Vec<u32> = (1..=NODES).filter(|node| *node != counted).collect();
    until_all_say(&network, &others, "first", "counted", target);
    network.down();
}
