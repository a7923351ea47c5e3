//! The applications do what their files and READMEs say.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use examples::intrusion_sample;
use model::convert::index;
use node::run::{self, Ends, Options, Status};
use serde_json::Value;
use toml::Table;

/// The application that comes with this package, as it is in its file.
fn application(name: &str) -> Table {
    let path = folder(name).join("app.toml");
    let text = std::fs::read_to_string(path).expect("the application has a file");
    text.parse().expect("the file is TOML")
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// The entry at a path of keys, each separated by a dot.
fn entry<'a>(application: &'a mut Table, path: &str) -> &'a mut toml::Value {
    let mut keys = path.split('.');
    let first = keys.next().expect("a path has a first key");
    keys.fold(&mut application[first], |value, key| &mut value[key])
}

/// Runs an application until it ends, its sinks being files, and gives the rows of each.
fn run(mut application: Table, limits: Limits) -> BTreeMap<String, Vec<Value>> {
    let folder = tempfile::tempdir().expect("a folder");
    let sinks = application["sink"].as_table_mut().expect("sinks");
    let names: Vec<String> = sinks.keys().cloned().collect();
    for (name, sink) in sinks {
        sink["connector"] = "file".into();
        let sink = sink.as_table_mut().expect("a sink is a table");
        sink.insert("path".to_owned(), format!("{name}.jsonl").into());
    }
    let file = folder.path().join("app.toml");
    std::fs::write(&file, application.to_string()).expect("a file");
    let options = Options {
        file,
        duration: limits.duration,
        limit: limits.rows,
        memory_bytes: 64 << 20,
        workers: 2,
        policy: Default::default(),
    };
    let mut said = Said::default();
    run::run(&options, Ends::default(), &mut said)
        .unwrap_or_else(|error| panic!("{error}\n{said:?}"));
    let rows = |name: String| {
        let text = std::fs::read_to_string(folder.path().join(format!("{name}.jsonl")));
        let lines = text.expect("a sink writes its file");
        let rows = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("a row is JSON"));
        (name, rows.collect())
    };
    names.into_iter().map(rows).collect()
}

/// What ends a run before its sources do.
#[derive(Debug, Default)]
struct Limits {
    duration: Option<Duration>,
    rows: Option<u64>,
}

impl Limits {
    /// A few rows, which must come within seconds: with the time limit alone there would be fewer.
    const FIRST_ROWS: Self = Self {
        duration: Some(Duration::from_secs(10)),
        rows: Some(4),
    };
}

/// What a run said, for whoever wants to know why it failed.
#[derive(Debug, Default)]
struct Said(Vec<String>);

impl Status for Said {
    fn say(&mut self, text: &str) {
        self.0.push(text.to_owned());
    }
}

#[test]
fn host_load_tells_the_load_within_seconds() {
    let rows = run(application("host-load"), Limits::FIRST_ROWS);
    check_loads(&rows);
    for alert in &rows["alarm"] {
        let is_high = match alert["alert"].as_str() {
            Some("processors") => alert["cpu"].as_f64() > Some(0.8),
            _ => alert["memory"].as_f64() > Some(0.9),
        };
        assert!(is_high, "{alert}");
    }
}

/// The load of whoever tests is not known, so here any load is high.
#[test]
fn host_load_alerts_with_the_averages() {
    let mut application = application("host-load");
    *entry(&mut application, "operator.busy.where") = "cpu >= 0".into();
    let rows = run(application, Limits::FIRST_ROWS);
    check_loads(&rows);
    assert!(!rows["alarm"].is_empty(), "{rows:?}");
}

/// What `host-load` says has its columns, and they hold what can be.
fn check_loads(rows: &BTreeMap<String, Vec<Value>>) {
    let (averages, alerts) = (&rows["out"], &rows["alarm"]);
    let count = averages.len() + alerts.len();
    assert_eq!(Some(count), Limits::FIRST_ROWS.rows.map(index), "{rows:?}");
    // An alert is of an average, so they cannot all be alerts.
    assert!(!averages.is_empty(), "{rows:?}");
    for row in averages {
        let times = ["host", "window_start", "window_end"];
        let values = ["cpu", "cpu_max", "memory", "received_bytes_per_second"];
        check_columns(row, &[&times[..], &values].concat());
        let [cpu, cpu_max, memory, received] =
            values.map(|column| row[column].as_f64().expect("a number"));
        assert!((0.0..=1.0).contains(&cpu), "{row}");
        assert!((cpu..=1.0).contains(&cpu_max), "{row}");
        assert!((0.0..=1.0).contains(&memory), "{row}");
        assert!(received >= 0.0, "{row}");
    }
    for row in alerts {
        check_columns(row, &["alert", "host", "at", "cpu", "memory"]);
        let is_reason = ["processors", "memory"]
            .map(Value::from)
            .contains(&row["alert"]);
        assert!(is_reason, "{row}");
    }
}

fn check_columns(row: &Value, expected: &[&str]) {
    let columns: Vec<&String> = row
        .as_object()
        .expect("a row is an object")
        .keys()
        .collect();
    assert_eq!(columns, expected);
}

/// The alerts of `intrusion` on a log, of which no flow may be late or not understood.
fn alerts(mut application: Table, log: &Path) -> Vec<Value> {
    let path = log.to_str().expect("a path in UTF-8");
    *entry(&mut application, "source.flows.path") = path.into();
    let lost = r#"
        late = { from = "sources.late", connector = "discard" }
        bad = { from = "flows.bad", connector = "discard" }
    "#;
    let lost: Table = lost.parse().expect("TOML");
    let sinks = entry(&mut application, "sink");
    sinks.as_table_mut().expect("sinks").extend(lost);
    let mut rows = run(application, Limits::default());
    assert_eq!(rows["late"], [Value::Null; 0]);
    assert_eq!(rows["bad"], [Value::Null; 0]);
    rows.remove("out").expect("the application has this sink")
}

/// The sources that alerts name.
fn named(alerts: &[Value]) -> BTreeSet<&str> {
    let sources = alerts.iter().map(|alert| alert["source"].as_str());
    sources
        .map(|source| source.expect("a source is a text"))
        .collect()
}

fn sample() -> PathBuf {
    folder("intrusion").join("conn.log")
}

#[test]
fn the_sample_is_what_its_generator_makes() {
    let sample = std::fs::read_to_string(sample()).expect("the sample is there");
    // Not compared by `assert_eq`, which would print both.
    assert!(
        sample == intrusion_sample::conn_log(),
        "cargo run -p synergy-examples --bin intrusion-sample > examples/intrusion/conn.log"
    );
}

#[test]
fn intrusion_names_exactly_the_scanners_of_its_sample() {
    let alerts = alerts(application("intrusion"), &sample());
    assert_eq!(named(&alerts), BTreeSet::from(intrusion_sample::SCANNERS));
    let kinds = alerts
        .iter()
        .map(|alert| (alert["source"].as_str(), alert["alert"].as_str()));
    let kinds: BTreeMap<_, _> = kinds.collect();
    let expected = ["port scan", "address sweep", "port scan"];
    for (scanner, kind) in intrusion_sample::SCANNERS.iter().zip(expected) {
        assert_eq!(kinds[&Some(*scanner)], Some(kind), "{scanner}");
    }
}

#[test]
fn busy_pages_count_only_errors_and_the_busiest_page_has_most() {
    let mut application = application("busy-pages");
    let path = folder("busy-pages").join("hits.csv");
    *entry(&mut application, "source.hits.path") = path.display().to_string().into();
    let rows = run(application, Limits::default());
    let requests = std::fs::read_to_string(path).expect("the requests are there");
    let failed = requests.lines().filter(|line| line.contains(",503,"));
    // A minute that slides by ten seconds has each of them six times.
    let counted = rows["out"].iter().filter_map(|row| row["errors"].as_u64());
    assert_eq!(counted.sum::<u64>(), 6 * failed.count() as u64);
    let most = rows["out"].iter().max_by_key(|row| row["errors"].as_u64());
    assert_eq!(most.expect("a row")["page"], "/cart");
}

/// The sample holds somebody harmless for each condition, who would be named without it.
#[test]
fn each_condition_of_intrusion_is_needed() {
    for (operator, condition, others) in [
        (
            "attempts",
            "conn_state <> 'OTH'",
            &["192.0.2.201", "192.0.2.202", "192.0.2.203", "192.0.2.204"][..],
        ),
        ("scanners", "failed >= 10", &["192.0.2.9"]),
        ("scanners", "failed * 2 > attempts", &["192.0.2.77"]),
    ] {
        let mut application = application("intrusion");
        let place = entry(&mut application, &format!("operator.{operator}.where"));
        let whole = place.as_str().expect("a condition is a text");
        assert!(whole.contains(condition) && whole != condition, "{whole}");
        *place = condition.into();
        let alerts = alerts(application, &sample());
        let expected = intrusion_sample::SCANNERS.iter().chain(others).copied();
        assert_eq!(named(&alerts), expected.collect(), "only {condition}");
    }
}

#[test]
fn intrusion_names_the_most_active_attackers_of_a_labelled_day() {
    let Some(log) = real("008-zeek-mixed_conn.log.labeled.gz") else {
        return;
    };
    let sources = labelled(&log);
    let mut attackers: Vec<_> = sources
        .iter()
        .filter(|(_, flows)| flows.malicious > 0)
        .collect();
    attackers.sort_by_key(|(_, flows)| std::cmp::Reverse(flows.malicious));
    // Whoever is as active as the tenth is one of the ten.
    let tenth = attackers[9].1.malicious;
    let most_active = attackers
        .iter()
        .take_while(|(_, flows)| flows.malicious >= tenth);

    let alerts = alerts(application("intrusion"), &log);
    let named = named(&alerts);
    for (attacker, flows) in most_active {
        assert!(named.contains(attacker.as_str()), "{attacker} {flows:?}");
    }
    check_no_benign_source(&named, &sources);
}

/// A network of other people, on which the conditions must hold as well.
#[test]
fn intrusion_names_the_infected_machine_and_no_other() {
    let Some(log) = real("001-zeek-scenario-malicious_labeled-conn.log.gz") else {
        return;
    };
    let sources = labelled(&log);
    let infected = sources.iter().filter(|(_, flows)| flows.malicious > 0);
    let infected: BTreeSet<&str> = infected.map(|(source, _)| source.as_str()).collect();
    assert_eq!(infected.len(), 1, "{sources:?}");

    let alerts = alerts(application("intrusion"), &log);
    assert_eq!(named(&alerts), infected);
    check_no_benign_source(&named(&alerts), &sources);
}

#[test]
fn intrusion_names_a_port_scanner() {
    let Some(log) = real("002-zeek-scenario-port-scanning_conn.log.gz") else {
        return;
    };
    // Nothing is labelled here: the log is of the machine that scanned, and of no other.
    let sources = labelled(&log);
    assert_eq!(sources.len(), 1, "{sources:?}");
    let alerts = alerts(application("intrusion"), &log);
    assert!(named(&alerts).into_iter().eq(sources.keys()), "{alerts:?}");
    assert_eq!(alerts[0]["alert"], "port scan");
}

fn check_no_benign_source(named: &BTreeSet<&str>, sources: &BTreeMap<String, Flows>) {
    let mut benign = sources
        .iter()
        .filter(|(_, flows)| flows.malicious == 0)
        .peekable();
    assert!(
        benign.peek().is_some(),
        "nobody is benign, so nothing is shown"
    );
    for (source, flows) in benign {
        assert!(!named.contains(source.as_str()), "{source} {flows:?}");
    }
}

/// How many flows of a source have which label.
#[derive(Debug, Default)]
struct Flows {
    malicious: u64,
    other: u64,
}

/// Counts flows by source and label, which is what an application is good at.
fn labelled(log: &Path) -> BTreeMap<String, Flows> {
    let application = r#"
        name = "labels"

        [source.flows]
        connector = "file"
        path = "conn.log"
        format = "zeek"
        time = { field = "ts", out_of_order = "366d" }
        schema = { ts = "timestamp", id_orig_h = "string", label = "string" }

        [operator.counts]
        use = "window"
        from = "flows"
        window = { tumbling = "1d" }
        by = ["id_orig_h", "label"]
        select = { flows = "count(*)" }

        [sink.out]
        from = "counts"
        connector = "requester"
    "#;
    let mut application: Table = application.parse().expect("TOML");
    *entry(&mut application, "source.flows.path") = log.to_str().expect("a path in UTF-8").into();
    let mut sources: BTreeMap<String, Flows> = BTreeMap::new();
    for row in &run(application, Limits::default())["out"] {
        let source = row["id_orig_h"].as_str().expect("a source is a text");
        let count = row["flows"].as_u64().expect("a count");
        let flows = sources.entry(source.to_owned()).or_default();
        match row["label"].as_str() {
            Some("Malicious") => flows.malicious += count,
            _ => flows.other += count,
        }
    }
    sources
}

/// A real log. Where nobody said where data are, they may be absent.
fn real(name: &str) -> Option<PathBuf> {
    let said = std::env::var_os("SYNERGY_DATA").map(PathBuf::from);
    let data = said.clone().unwrap_or_else(|| folder("../../shared/data"));
    let log = data.join("zeek_stratosphere").join(name);
    if log.exists() {
        return Some(log);
    }
    assert_eq!(said, None, "there is no {}", log.display());
    #[expect(
        clippy::print_stderr,
        reason = "who runs the tests is told what was not tested"
    )]
    {
        eprintln!("skipped: there is no {}", log.display());
    }
    None
}
