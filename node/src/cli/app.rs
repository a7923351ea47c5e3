//! `synergy app`: applications.

use std::fmt::Write;

use clap::{Args, Subcommand};
use model::time::milliseconds;

use super::output::{Output, Progress, Table, bytes, short};
use super::{Globals, Status, composition, events};
use crate::application::problem::printable;
use crate::client::encoded;
use crate::node::{
    ApplicationRow, ApplicationStatus, ComponentRow, Failure, Quantiles, Stopped, Why,
};

#[derive(Debug, Subcommand)]
pub(super) enum App {
    /// List all applications of the network.
    Ls {
        #[command(flatten)]
        output: Output,
    },
    /// Show an application as its hosts describe it now.
    Show(Named),
    /// Say why the parts of an application are where they are.
    Why(Named),
    /// Tell what its hosts decided about an application, and by which numbers.
    Events(Named),
    /// Stop an application, whichever node accepted it.
    Stop(Named),
}

/// An application.
#[derive(Debug, Args)]
pub(super) struct Named {
    /// The application: its name or a beginning of it, as OWNER:NAME where several have the same.
    pub(super) name: String,
    #[command(flatten)]
    pub(super) output: Output,
}

impl App {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        match self {
            Self::Ls { output } => {
                let answer = globals.client()?.get("/v1/apps")?;
                output.print(
                    answer,
                    |rows: &Vec<ApplicationRow>| list(rows),
                    |rows| rows.iter().map(|row| row.name.clone()).collect(),
                )
            }
            Self::Show(named) => {
                let path = format!("/v1/apps/{}", encoded(&named.name));
                let answer = globals.client()?.get(&path)?;
                named
                    .output
                    .print(answer, show, |status| vec![status.name.clone()])
            }
            Self::Why(named) => {
                let path = format!("/v1/apps/{}/why", encoded(&named.name));
                let answer = globals.client()?.get(&path)?;
                named
                    .output
                    .print(answer, why, |why| vec![why.composition.application.clone()])
            }
            Self::Events(named) => events::of_application(&named, globals),
            Self::Stop(named) => stop(&named, globals),
        }
    }
}

/// Stops an application.
pub(super) fn stop(named: &Named, globals: &Globals) -> Result<Status, Failure> {
    let client = globals.client()?;
    let progress = Progress::start(&globals.verbosity, format!("stopping {}", named.name));
    let answer = client.delete(&format!("/v1/apps/{}", encoded(&named.name)));
    drop(progress);
    named
        .output
        .print(answer?, stopped, |stopped| vec![stopped.name.clone()])
}

fn list(rows: &[ApplicationRow]) -> String {
    let mut table = Table::new(&["NAME", "OWNER", "STATUS", "TARGET", "OPERATORS", "HOSTS"]);
    for row in rows {
        let owner = match row.owner_name.as_str() {
            "" => short(&row.owner),
            name => name,
        };
        let target = milliseconds(row.target_delay_ms);
        let (operators, hosts) = (row.operators.to_string(), row.hosts.to_string());
        table.row(&[&row.name, owner, &row.status, &target, &operators, &hosts]);
    }
    table.to_string()
}

pub(super) fn show(status: &ApplicationStatus) -> String {
    let name = printable(&status.name);
    let mut text = match (status.status.as_str(), status.ended_s) {
        ("stopped", Some(ago)) => format!("{name} was stopped {ago:.0} s ago"),
        (word, Some(ago)) => format!("{name} is {}, since {ago:.0} s", printable(word)),
        (word, None) => format!("{name} is {}", printable(word)),
    };
    // Writing into a string does not fail.
    let _ = match &status.reason {
        Some(reason) => writeln!(text, ": {}", printable(reason)),
        None => writeln!(text),
    };
    let delays = match &status.delay_ms {
        Some(delay) => format!("delay {}", quantiles(delay)),
        None => match &status.counted {
            Some(counted) if counted.results == 0 => "no result yet".to_owned(),
            Some(_) => "no delay is known".to_owned(),
            None => "nobody has figures of it".to_owned(),
        },
    };
    let predicted = status.predicted_delay_ms.map(milliseconds);
    let predicted = predicted.map_or_else(String::new, |delay| format!("predicted {delay}, "));
    let target = milliseconds(status.target_delay_ms);
    let _ = writeln!(text, "{delays}; {predicted}target {target}");
    if let Some(counted) = &status.counted {
        if let Some(delay) = &status.recent_delay_ms {
            let _ = writeln!(
                text,
                "in the last minute {}; results {}, after the target {}",
                quantiles(delay),
                counted.recent_results,
                counted.recent_misses
            );
        }
        let _ = writeln!(
            text,
            "results {}, after the target {}, missing {}, late {}, bad {}, dropped {}",
            counted.results,
            counted.misses,
            counted.missing,
            counted.late,
            counted.bad,
            counted.drops
        );
        let _ = writeln!(
            text,
            "batches dropped: duplicate {}, behind a gap {}, refused {}",
            counted.duplicates, counted.gaps, counted.refused
        );
    }
    if !status.components.is_empty() {
        text.push_str(&components(&status.components));
        text.push_str(&times(&status.components));
    }
    text
}

fn quantiles(times: &Quantiles) -> String {
    format!(
        "p50 {}, p95 {}, p99 {}, p99.9 {}",
        milliseconds(times.p50),
        milliseconds(times.p95),
        milliseconds(times.p99),
        milliseconds(times.p999)
    )
}

/// How long batches waited at each component and how long they ran: in the last minute, or since the start where nothing was worked off
/// lately. Nothing where nothing ever was.
fn times(rows: &[ComponentRow]) -> String {
    let is_recent = rows.iter().any(|row| row.recent_queueing_ms.is_some());
    let of = |row: &ComponentRow| match is_recent {
        true => (row.recent_queueing_ms, row.recent_execution_ms),
        false => (row.queueing_ms, row.execution_ms),
    };
    if rows.iter().all(|row| of(row).0.is_none()) {
        return String::new();
    }
    let mut table = Table::new(&[
        "NAME", "WAITED", "P95", "P99", "P99.9", "RAN", "P95", "P99", "P99.9",
    ]);
    let cells = |times: Option<Quantiles>| match times {
        Some(it) => [it.p50, it.p95, it.p99, it.p999].map(milliseconds),
        None => ["-"; 4].map(str::to_owned),
    };
    for row in rows {
        let (waited, ran) = of(row);
        let ([a, b, c, d], [e, f, g, h]) = (cells(waited), cells(ran));
        table.row(&[&row.name, &a, &b, &c, &d, &e, &f, &g, &h]);
    }
    let when = match is_recent {
        true => "in the last minute",
        false => "since the start",
    };
    format!("how long batches waited and ran {when}\n{table}")
}

fn components(rows: &[ComponentRow]) -> String {
    let mut table = Table::new(&[
        "NAME", "KIND", "HOST", "STATUS", "ROWS/S", "IN", "OUT", "COST/ROW", "SLACK", "LATE",
        "BAD", "DROPS", "WAITING", "STATE",
    ]);
    for row in rows {
        table.row(&[
            &row.name,
            &row.kind,
            &row.host,
            &row.status,
            &format!("{:.0}", row.rows_per_second),
            &row.rows_in.to_string(),
            &row.rows_out.to_string(),
            &format!("{:.2} us", row.cost_us_per_row),
            &row.slack_ms.map_or_else(|| "-".to_owned(), milliseconds),
            &row.late.to_string(),
            &row.bad.to_string(),
            &row.drops.to_string(),
            &row.waiting.to_string(),
            &bytes(row.state_bytes),
        ]);
    }
    table.to_string()
}

fn why(why: &Why) -> String {
    let mut text = composition::table(&why.composition);
    if let Some(reason) = &why.reason {
        let status = printable(&why.composition.status);
        // Writing into a string does not fail.
        let _ = writeln!(text, "{status}: {}", printable(reason));
    }
    for (operator, reason) in &why.reasons {
        let _ = writeln!(text, "why {}: {}", printable(operator), printable(reason));
    }
    text.push_str(&components(&why.components));
    text
}

fn stopped(stopped: &Stopped) -> String {
    let name = printable(&stopped.name);
    let confirmed = match stopped.confirmed.as_slice() {
        [] => "no host has confirmed yet".to_owned(),
        hosts => format!("confirmed by {}", printable(&hosts.join(", "))),
    };
    match stopped.unconfirmed.as_slice() {
        [] => format!("{name} is stopped: {confirmed}\n"),
        hosts => format!(
            "{name} is stopped: {confirmed}; not by {}, told again until they do\n",
            printable(&hosts.join(", "))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Counted;

    #[test]
    fn a_stop_says_who_has_not_heard_it_yet() {
        let mut it = Stopped {
            name: "intrusion".to_owned(),
            confirmed: vec!["n1".to_owned(), "n2".to_owned()],
            unconfirmed: Vec::new(),
        };
        assert_eq!(stopped(&it), "intrusion is stopped: confirmed by n1, n2\n");
        it.unconfirmed = vec!["n3".to_owned()];
        assert_eq!(
            stopped(&it),
            "intrusion is stopped: confirmed by n1, n2; not by n3, told again until they do\n"
        );
    }

    #[test]
    fn a_degraded_application_says_why_first() {
        let status = ApplicationStatus {
            name: "intrusion".to_owned(),
            owner: "aa".repeat(32),
            status: "degraded".to_owned(),
            reason: Some("host n3 is unreachable: it runs syn".to_owned()),
            target_delay_ms: 250.0,
            ended_s: None,
            predicted_delay_ms: Some(40.0),
            delay_ms: None,
            recent_delay_ms: None,
            counted: Some(Counted {
                results: 7,
                misses: 1,
                missing: 2,
                late: 3,
                bad: 4,
                drops: 5,
                recent_results: 6,
                recent_misses: 1,
                duplicates: 7,
                gaps: 8,
                refused: 9,
            }),
            components: vec![ComponentRow {
                name: "syn".to_owned(),
                kind: "filter".to_owned(),
                host: "n3".to_owned(),
                node: "bb".repeat(32),
                status: "unreachable".to_owned(),
                rows_in: 10,
                rows_out: 5,
                rows_per_second: 2.0,
                cost_us_per_row: 0.5,
                ..ComponentRow::default()
            }],
        };
        let expected = "\
intrusion is degraded: host n3 is unreachable: it runs syn
no delay is known; predicted 40.0 ms, target 250 ms
results 7, after the target 1, missing 2, late 3, bad 4, dropped 5
batches dropped: duplicate 7, behind a gap 8, refused 9
NAME  KIND    HOST  STATUS       ROWS/S  IN  OUT  COST/ROW  SLACK  LATE  BAD  DROPS  WAITING  STATE
syn   filter  n3    unreachable  2       10  5    0.50 us   -      0     0    0      0        0 KiB
";
        assert_eq!(show(&status), expected);
        // Of what was stopped nobody has figures, and none are printed.
        let stopped = ApplicationStatus {
            status: "stopped".to_owned(),
            reason: None,
            ended_s: Some(12.3),
            predicted_delay_ms: None,
            counted: None,
            components: Vec::new(),
            ..status
        };
        let expected = "\
intrusion was stopped 12 s ago
nobody has figures of it; target 250 ms
";
        assert_eq!(show(&stopped), expected);
    }

    #[test]
    fn waiting_and_running_are_told_beside_one_another_and_as_they_are_now() {
        let of = |p50: f64| {
            Some(Quantiles {
                p50,
                p95: 2.0 * p50,
                p99: 3.0 * p50,
                p999: 4.0 * p50,
            })
        };
        let mut rows = [
            ComponentRow {
                name: "syn".to_owned(),
                queueing_ms: of(900.0),
                recent_queueing_ms: of(1.0),
                execution_ms: of(0.1),
                recent_execution_ms: of(0.2),
                ..ComponentRow::default()
            },
            ComponentRow {
                name: "alerts".to_owned(),
                queueing_ms: of(10.0),
                ..ComponentRow::default()
            },
        ];
        let expected = "\
how long batches waited and ran in the last minute
NAME    WAITED   P95      P99      P99.9    RAN       P95       P99       P99.9
syn     1.00 ms  2.00 ms  3.00 ms  4.00 ms  0.200 ms  0.400 ms  0.600 ms  0.800 ms
alerts  -        -        -        -        -         -         -         -
";
        assert_eq!(times(&rows), expected);
        rows[0].recent_queueing_ms = None;
        assert!(times(&rows).starts_with("how long batches waited and ran since the start\n"));
        assert!(times(&rows).contains("900 ms"), "{}", times(&rows));
        assert_eq!(times(&[ComponentRow::default()]), "");
    }
}
