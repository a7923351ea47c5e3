//! The testbed's own commands, with programs in the place of nodes that do what real nodes seldom do.

use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Bed, end, json, run, signal, text};

/// A node that never answers, and does nothing more: it waits for what nobody writes into its data folder.
const MUTE: &str = "mkfifo \"$4/wait\"\nwhile :; do read nothing < \"$4/wait\"; done";

/// How long it takes at most until a process is there. Unit: time.
const START_WAIT: Duration = Duration::from_secs(20);

/// Waits until node 1 is there.
fn until_started(bed: &Bed) {
    let data = bed.dir().join("node-1");
    bed.until("node 1 runs", START_WAIT, || {
        let named = |id: &u32| {
            let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0)
                .any(|part| part == data.as_os_str().as_encoded_bytes())
        };
        bed.processes().into_iter().find(named)
    });
}

#[test]
fn a_node_that_does_not_come_up_is_told_with_what_it_said_last() {
    let bed = Bed::new();
    bed.node_is("echo 'the sky is falling' >&2\nexit 7");
    let output = run(&mut bed.testbed(&["up", "-n", "3"]));
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("node 1 ended: exit status: 7"), "{said}");
    assert!(said.contains("\n  the sky is falling"), "{said}");
    assert_eq!(text(&output.stdout), "");
    bed.assert_nothing_is_left();
}

#[test]
fn what_an_up_that_was_killed_has_started_is_found_and_ended() {
    let bed = Bed::new();
    bed.node_is(MUTE);
    let mut up = bed.testbed(&["up", "-n", "3"]).spawn().expect("it starts");
    until_started(&bed);
    up.kill().expect("it runs");
    up.wait().expect("it was ours");

    let rows = json(&mut bed.testbed(&["status", "-o", "json"]));
    assert_eq!(rows.as_array().map(Vec::len), Some(3), "{rows}");
    assert_ne!(rows[0]["state"], "dead", "{rows}");
    assert_eq!(rows[2]["state"], "dead", "{rows}");
    let again = run(&mut bed.testbed(&["up", "-n", "3"]));
    assert!(text(&again.stderr).contains("runs already"), "{again:?}");

    let output = run(&mut bed.testbed(&["down"]));
    assert!(output.status.success(), "{output:?}");
    bed.assert_nothing_is_left();
    let output = run(&mut bed.testbed(&["down"]));
    assert!(text(&output.stderr).contains("nothing ran"), "{output:?}");
}

#[test]
fn a_node_that_does_not_leave_is_killed() {
    let bed = Bed::new();
    bed.node_is(&format!("trap '' TERM\n{MUTE}"));
    let mut up = bed.testbed(&["up", "-n", "1"]).spawn().expect("it starts");
    until_started(&bed);
    up.kill().expect("it runs");
    up.wait().expect("it was ours");
    let output = run(&mut bed.testbed(&["down"]));
    assert!(output.status.success(), "{output:?}");
    let said = text(&output.stderr);
    assert!(said.contains("1 more did not leave in time"), "{said}");
    bed.assert_nothing_is_left();
}

#[test]
fn an_up_that_is_told_to_stop_takes_down_what_it_started() {
    let bed = Bed::new();
    bed.node_is(MUTE);
    let up = bed.testbed(&["up", "-n", "2"]).spawn().expect("it starts");
    until_started(&bed);
    signal(up.id(), Signal::INT);
    let output = end(up, "up");
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("told to stop"), "{said}");
    bed.assert_nothing_is_left();
}

#[test]
fn a_folder_of_somebody_else_is_left_as_it_is() {
    let bed = Bed::new();
    std::fs::create_dir_all(bed.dir().join("node-1")).expect("a folder");
    let notes = bed.dir().join("node-1/notes");
    std::fs::write(&notes, "mine").expect("a file");
    for command in [
        &["up", "-n", "1"][..],
        &["down"],
        &["status"],
        &["kill", "1"],
    ] {
        let output = run(&mut bed.testbed(command));
        assert_eq!(output.status.code(), Some(1), "{command:?}: {output:?}");
    }
    assert_eq!(
        std::fs::read_to_string(&notes).expect("it is there"),
        "mine"
    );
}

#[test]
fn a_program_that_is_not_there_is_told_with_how_to_build_it() {
    let bed = Bed::new();
    let mut command = bed.testbed(&["up", "-n", "1", "--synergy", "nowhere/synergy"]);
    let output = run(&mut command);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(said.contains("there is no program"), "{said}");
    bed.assert_nothing_is_left();
}
