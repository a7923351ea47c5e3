//! Benchmarks on little input: what they claim holds, and their output has the form that all share.

use std::process::{Command, Stdio};

use serde_json::Value;

fn bench(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_synergy-testbed"))
        .arg("bench")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .expect("the binary is there");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON, and nothing else");
    let keys: Vec<&String> = report.as_object().expect("an object").keys().collect();
    let expected = [
        "name",
        "command",
        "commit",
        "machine",
        "seeds",
        "simulated",
        "figures",
    ];
    assert_eq!(keys, expected);
    assert_eq!(report["seeds"], serde_json::json!([1]));
    report
}

#[test]
fn the_engine_gives_the_rows_of_the_plain_loop() {
    let report = bench(&["engine", "--rows", "30000", "--repeat", "2", "-o", "json"]);
    let figures = &report["figures"];
    assert_eq!(figures["rows"], 30_000);
    for claim in ["ledger_within_memory", "rows_read", "results_equal"] {
        assert_eq!(figures[claim], 1, "{claim}: {figures}");
    }
    for figure in [
        "engine.rows_per_core_second",
        "plain.rows_per_core_second",
        "engine_over_plain_rows_per_core_second",
        "engine.resident_bytes_peak",
    ] {
        let value = |key: &str| figures[figure][key].as_f64().expect(figure);
        assert!(0.0 < value("low"), "{figure}: {figures}");
        assert!(value("low") <= value("median") && value("median") <= value("high"));
    }
}

#[test]
fn a_sink_that_stalls_makes_the_source_wait_and_loses_nothing() {
    // The file has several times the rows that fit in the memory that is given.
    let arguments = [
        "stalled-sink",
        "--rows",
        "600000",
        "--seconds",
        "1",
        "--memory",
        "64MiB",
    ];
    let report = bench(&arguments);
    let figures = &report["figures"];
    assert_eq!(figures["rows_arrived"], figures["rows_expected"]);
    for claim in [
        "ledger_within_memory",
        "resident_within_limit",
        "source_waited",
        "rows_equal",
    ] {
        assert_eq!(figures[claim], 1, "{claim}: {figures}");
    }
}
