//! Experiments on few hosts and requests: their figures have the names that are fixed, and what must hold of any run does.

use std::process::{Command, Stdio};

use serde_json::Value;

/// Runs an experiment, into a folder of its own, and gives the figures and the names of the files.
fn experiment(arguments: &[&str]) -> (Value, Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_synergy-testbed"))
        .arg("experiment")
        .args(arguments)
        .args(["-o", "json", "--out"])
        .arg(folder.path())
        .stdin(Stdio::null())
        .output()
        .expect("the binary is there");
    let said = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("JSON, and nothing else: {error}: {said}"));
    assert!(
        report["simulated"]
            .as_array()
            .is_some_and(|it| !it.is_empty())
    );
    // What places hosts and lets them fail runs in no simulator, and has no checkers.
    if !arguments[0].starts_with('R') {
        assert_eq!(report["figures"]["checkers_silent"], 1, "{said}");
    }
    let files = std::fs::read_dir(folder.path()).expect("a folder");
    let name = |it: std::io::Result<std::fs::DirEntry>| {
        let name = it.expect("a file").file_name();
        name.into_string().expect("names are in UTF-8")
    };
    let mut files: Vec<String> = files.map(name).collect();
    files.sort();
    (report["figures"].clone(), files)
}

/// The mean of a figure.
fn mean(figures: &Value, name: &str) -> f64 {
    figures[name]["mean"]
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: {figures}"))
}

#[test]
fn what_is_admitted_is_successful_or_violated() {
    let (figures, files) = experiment(&[
        "C6",
        "--hosts",
        "30",
        "--requests",
        "10,30",
        "--seeds",
        "2",
        "--jobs",
        "2",
    ]);
    for policy in [
        "random",
        "greedy",
        "composition",
        "composition_projected",
        "synergy_unprojected",
        "synergy_paper",
        "synergy",
    ] {
        for requests in [10, 30] {
            let figure = |name: &str| mean(&figures, &format!("C6.{policy}.{requests}.{name}"));
            let admitted = figure("admitted_fraction");
            let success = figure("success_fraction");
            let violated = figure("violated_fraction");
            assert!((0.0..=1.0).contains(&admitted) && (0.0..=admitted).contains(&success));
            // Means of products are not products of means; where nothing is violated they are.
            if violated <= 0.0 {
                assert!((success - admitted).abs() < 1e-9, "{policy}: {figures}");
            }
            assert!(success <= 0.0 || figure("delay_ms") > 0.0);
            assert!(figure("new_delay_ms") <= figure("delay_ms") + 1e-9);
        }
    }
    // C3 and C5 show other figures of the same runs.
    for file in [
        "C6.json",
        "C6.md",
        "C6.success_fraction.svg",
        "C6.delay_ms.svg",
        "C3.json",
        "C3.probes_per_request.svg",
        "C5.md",
    ] {
        assert!(files.iter().any(|it| it == file), "{file}: {files:?}");
    }
}

#[test]
fn a_run_gives_the_same_twice_and_on_more_threads() {
    let run = |jobs: &str| {
        let arguments = [
            "C3",
            "--hosts",
            "20",
            "--requests",
            "12",
            "--seeds",
            "2",
            "--policies",
            "synergy,random",
            "--jobs",
            jobs,
        ];
        experiment(&arguments).0
    };
    assert_eq!(run("1"), run("2"));
}

#[test]
fn strictness_and_popularity_have_their_places() {
    for (name, places) in [
        ("C7", ["350", "450", "600", "900"]),
        ("C8", ["0", "0.5", "1", "1.6"]),
    ] {
        let (figures, _) = experiment(&[
            name,
            "--hosts",
            "20",
            "--requests",
            "10",
            "--seeds",
            "1",
            "--policies",
            "synergy,greedy",
        ]);
        for place in places {
            for policy in ["synergy", "greedy"] {
                mean(
                    &figures,
                    &format!("{name}.{policy}.{place}.success_fraction"),
                );
            }
        }
    }
}

#[test]
fn what_hosts_project_is_held_against_what_engines_measure() {
    let (figures, files) = experiment(&[
        "C9",
        "--hosts",
        "4",
        "--requests",
        "8",
        "--seeds",
        "2",
        "--jobs",
        "2",
        "--policies",
        "synergy",
    ]);
    for series in ["regular", "bursty"] {
        for seconds in ["20", "40"] {
            let figure = |name: &str| mean(&figures, &format!("C9.{series}.{seconds}.{name}"));
            // A row costs 2 ms at least, 20 ms on average at most, and waits beside.
            let measured = figure("measured_ms");
            assert!((1.0..200.0).contains(&measured), "{figures}");
            assert!(figure("projected_ms") > 2.0, "{figures}");
            assert!(figure("measured_p95_ms") > measured, "{figures}");
            assert!(figure("components") > 0.0, "{figures}");
            for fraction in ["covered_fraction", "violated_fraction", "late_fraction"] {
                assert!((0.0..=1.0).contains(&figure(fraction)), "{fraction}");
            }
        }
        let more = |seconds| mean(&figures, &format!("C9.{series}.{seconds}.components"));
        assert!(more("40") > more("20"), "newcomers join: {figures}");
    }
    // Bursts are declared: what is projected with them is more than without.
    let projected = |series: &str| mean(&figures, &format!("C9.{series}.20.projected_ms"));
    assert!(projected("bursty") > projected("regular"), "{figures}");
    for file in ["C9.json", "C9.md", "C9.execution_ms.svg"] {
        assert!(files.iter().any(|it| it == file), "{file}: {files:?}");
    }
}

#[test]
fn nothing_is_better_than_exhaustive_search() {
    let (figures, _) = experiment(&[
        "C10",
        "--requests",
        "4",
        "--seeds",
        "1",
        "--policies",
        "composition,random,exhaustive",
    ]);
    for operators in ["2", "3", "4", "6"] {
        let phi = |policy: &str| {
            mean(
                &figures,
                &format!("C10.{policy}.{operators}.phi_over_exhaustive"),
            )
        };
        assert!((phi("exhaustive") - 1.0).abs() < 1e-9, "{figures}");
        assert!(phi("composition") >= 1.0 - 1e-9, "{figures}");
    }
}

#[test]
fn costs_are_told_for_each_number_of_hosts() {
    let (figures, _) = experiment(&["C11", "--hosts", "10,30", "--seeds", "1"]);
    for hosts in ["10", "30"] {
        for figure in ["elapsed_s", "resident_bytes", "messages_per_request"] {
            assert!(mean(&figures, &format!("C11.synergy.{hosts}.{figure}")) > 0.0);
        }
    }
}

#[test]
fn what_is_asked_wrongly_is_said() {
    let output = Command::new(env!("CARGO_BIN_EXE_synergy-testbed"))
        .args(["experiment", "C6", "--policies", "luck"])
        .output()
        .expect("the binary is there");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("luck"), "{said}");
}

#[test]
fn availability_equals_the_closed_form() {
    let (figures, files) = experiment(&["R1", "--seeds", "2"]);
    for claim in [
        "equals_closed_form",
        "enumeration_equals_closed_form",
        "sampling_within_its_error",
        "measured_as_computed",
    ] {
        assert_eq!(figures[claim], 1, "{claim}: {figures}");
    }
    // Papers, section 9.2: six operators on pairs of hosts of 0.9.
    let six = |series| mean(&figures, &format!("R1.{series}.6.availability_a90_k2"));
    assert!((six("one on a set") - 0.9415).abs() < 5e-5);
    assert!((six("five on a set") - 0.9801).abs() < 5e-5);
    assert!((six("all on one set") - 0.99).abs() < 1e-9);
    assert!(
        files.contains(&"R1.measured_a90_k2.svg".to_owned()),
        "{files:?}"
    );
}

#[test]
fn who_is_ranked_together_is_up_together() {
    let (figures, files) = experiment(&["R2", "--seeds", "8", "--jobs", "2"]);
    for claim in [
        "more_available_than_random",
        "more_available_than_least_loaded",
        "more_available_than_closest",
        "more_available_than_concentrate_paper",
        "faster_than_random",
        "faster_than_least_loaded",
        "all_are_placed",
    ] {
        assert_eq!(figures[claim], 1, "{claim}: {figures}");
    }
    for name in ["R2.measured_availability.svg", "R3.delay_ms.svg", "R3.json"] {
        assert!(files.contains(&name.to_owned()), "{files:?}");
    }
}

#[test]
fn in_small_cases_ours_is_close_to_the_best_there_is() {
    let (figures, _) = experiment(&["R2-small", "--seeds", "4"]);
    assert_eq!(figures["close_to_exhaustive"], 1, "{figures}");
}
