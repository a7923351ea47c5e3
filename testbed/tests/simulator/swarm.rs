//! Seeds of the swarm, and that a seed is one run in every process.

use std::process::Command;

use testbed::simulator::swarm;

/// Seeds with which a host holds too much in the end: what an application moved away while others shared it is held for it as long as anything
/// of it is on that host. To be mended; see the test below.
const HELD_TOO_LONG: [u64; 2] = [68, 71];

fn converge(seeds: std::ops::Range<u64>) {
    let mut failed = Vec::new();
    for seed in seeds.filter(|seed| !HELD_TOO_LONG.contains(seed)) {
        let run = swarm::run(seed, None);
        let lines = run.violations.iter().map(ToString::to_string);
        failed.extend(lines.map(|line| format!("seed {seed}: {line}")));
    }
    assert!(
        failed.is_empty(),
        "again: synergy-testbed swarm --seed N --trace\n{}",
        failed.join("\n")
    );
}

#[test]
fn seeds_come_to_rest_when_faults_stop() {
    converge(0..50);
}

#[test]
fn other_seeds_come_to_rest_when_faults_stop() {
    converge(50..100);
}

/// The record comes to who takes over before the word to go over (83, 129); a host that was started
/// anew is asked to make ready for what it has lost (2, 133).
#[test]
fn seeds_that_found_something_about_moves_come_to_rest() {
    for seed in [2, 83, 129, 133] {
        converge(seed..seed + 1);
    }
}

/// That is all that is wrong with them; whoever mends it takes them off the list.
#[test]
fn what_was_moved_away_while_others_shared_it_is_held_too_long_and_nothing_else() {
    for seed in HELD_TOO_LONG {
        let run = swarm::run(seed, None);
        let mut lines = run.violations.iter().map(ToString::to_string);
        assert!(!run.violations.is_empty(), "seed {seed} is mended");
        assert!(lines.all(|line| line.contains("cores are allocated, and components for")));
    }
}

#[test]
fn a_seed_is_one_run_in_every_process() {
    let output = Command::new(env!("CARGO_BIN_EXE_synergy-testbed"))
        .args(["swarm", "--seed", "17"])
        .output()
        .expect("the program runs");
    let printed = String::from_utf8(output.stdout).expect("text");
    let here = swarm::run(17, None);
    assert!(here.events > 1000, "{}", here.events);
    assert!(
        printed.starts_with(&format!("seed 17 {} ", here.digest)),
        "{printed}, and here {}",
        here.digest
    );
}
