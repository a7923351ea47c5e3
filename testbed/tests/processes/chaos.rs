//! Hosts that fail while applications run over them, in the small: what `bench chaos` does, and that it says the truth.

use std::time::Duration;

use serde_json::Value;

use crate::support::{Bed, Turn, run_within, text};

/// How long a run may take. Unit: time. Source: three times what it takes where nothing else runs.
const RUN_WAIT: Duration = Duration::from_secs(180);

/// What a run says in the end, and whether all that must hold does. Time is not what is looked at here: the machine may be busy.
fn figures(arguments: &str) -> (Value, bool) {
    let _turn = Turn::take();
    let bed = Bed::new();
    let common = "bench -o json chaos --recovery 1min --settle 30s";
    let arguments: Vec<&str> = common.split(' ').chain(arguments.split(' ')).collect();
    let output = run_within(&mut bed.testbed(&arguments), RUN_WAIT);
    let said = text(&output.stderr);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
    bed.assert_nothing_is_left();
    (report["figures"].clone(), output.status.success())
}

#[test]
fn hosts_that_stop_for_a_moment_change_nothing() {
    let (figures, holds) = figures("-n 3 -a 3 -k 3 --fault silence --away 200ms");
    assert!(holds, "{figures}");
    assert_eq!(figures["kills"], 3, "{figures}");
    for count in ["lost", "doubled", "rewritten", "wrong", "never_recovered"] {
        assert_eq!(figures[count], 0, "{count}: {figures}");
    }
    assert!(figures["results"].as_u64() > Some(100), "{figures}");
}

#[test]
fn hosts_that_are_killed_one_after_the_other_lose_nothing() {
    let (figures, _) = figures("-n 4 -a 3 -k 4");
    assert_eq!(figures["kills"], 4, "{figures}");
    // What a sink wrote before it was killed with what feeds it may be written again at another host, and is counted there.
    for count in ["lost", "wrong", "never_recovered"] {
        assert_eq!(figures[count], 0, "{count}: {figures}");
    }
    for claim in ["none_lost", "none_wrong", "none_stays_degraded"] {
        assert_eq!(figures[claim], 1, "{claim}: {figures}");
    }
}

#[test]
fn copies_that_run_go_on_for_hosts_that_are_killed() {
    let (figures, _) = figures("-n 4 -a 3 -k 4 --active");
    assert_eq!(figures["kills"], 4, "{figures}");
    // A copy retains what the operator before it had released: a sink that begins with nothing must not get that.
    for count in ["lost", "doubled", "wrong", "never_recovered"] {
        assert_eq!(figures[count], 0, "{count}: {figures}");
    }
    for claim in ["none_lost", "none_wrong", "none_stays_degraded"] {
        assert_eq!(figures[claim], 1, "{claim}: {figures}");
    }
}
