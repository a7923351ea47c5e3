//! `synergy events` and `synergy app events`: decisions, and the numbers that they were taken by.

use std::fmt::Write;

use clap::Args;
use model::time::milliseconds;

use super::app::Named;
use super::output::{Output, Table, bytes};
use super::{Globals, Status};
use crate::application::problem::printable;
use crate::client::encoded;
use crate::node::{Decision, EventList, Failure, Moved};

#[derive(Debug, Args)]
pub(super) struct Events {
    #[command(flatten)]
    output: Output,
}

impl Events {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let answer = globals.client()?.get("/v1/events")?;
        self.output.print(answer, table, names)
    }
}

/// Prints what the hosts of an application decided about it.
pub(super) fn of_application(named: &Named, globals: &Globals) -> Result<Status, Failure> {
    let path = format!("/v1/apps/{}/events", encoded(&named.name));
    let answer = globals.client()?.get(&path)?;
    named.output.print(answer, table, names)
}

fn names(list: &EventList) -> Vec<String> {
    let events = list.events.iter();
    events.map(|row| word(&row.decision).to_owned()).collect()
}

pub(super) fn table(list: &EventList) -> String {
    let mut table = Table::new(&["AGO", "HOST", "APPLICATION", "EVENT", "WHAT"]);
    for row in &list.events {
        let ago = format!("{:.1} s", row.age_s);
        let says = says(&row.decision);
        let word = word(&row.decision);
        table.row(&[&ago, &row.host, &row.application, word, &says]);
    }
    let mut text = table.to_string();
    // Writing into a string does not fail.
    if list.dropped > 0 {
        let _ = writeln!(text, "{} older ones are not kept any more", list.dropped);
    }
    for host in &list.silent {
        let _ = writeln!(text, "{} has not answered", printable(host));
    }
    text
}

const fn word(decision: &Decision) -> &'static str {
    match decision {
        Decision::Composed { .. } => "composed",
        Decision::Refused { .. } => "refused",
        Decision::Moved { .. } => "moved",
        Decision::Rebound { .. } => "rebound",
        Decision::Repaired { .. } => "repaired",
        Decision::Restored { .. } => "restored",
        Decision::StateLost { .. } => "state lost",
        Decision::HotSpot { .. } => "hot-spot",
        Decision::Degraded { .. } => "degraded",
        Decision::Disconnected { .. } => "disconnected",
        Decision::Returned { .. } => "returned",
        Decision::Passed { .. } => "passed",
        Decision::Missing => "missing",
        Decision::Retired => "retired",
        Decision::Stopped { .. } => "stopped",
        Decision::Finished { .. } => "finished",
        Decision::Failed { .. } => "failed",
        Decision::Lost { .. } => "lost",
    }
}

/// A decision in a line; cells of a table are made printable there.
fn says(decision: &Decision) -> String {
    match decision {
        Decision::Composed {
            operators,
            shared,
            hosts,
            predicted_delay_ms,
            target_delay_ms,
            probes,
        } => {
            let predicted = predicted_delay_ms.map_or_else(|| "-".to_owned(), milliseconds);
            let target = milliseconds(*target_delay_ms);
            format!(
                "{operators} operators on {hosts} hosts, {shared} shared; predicted {predicted}, target {target}; {probes} probes"
            )
        }
        Decision::Refused { operator, reason } => match operator {
            Some(operator) => format!("{operator}: {reason}"),
            None => reason.clone(),
        },
        Decision::Moved {
            why,
            slack_ms,
            load,
            moved,
        } => moved_says(why, *slack_ms, *load, moved),
        Decision::Rebound { version, by, hosts } => {
            format!("version {version} by {by}: on {}", hosts.join(", "))
        }
        Decision::Repaired {
            lost,
            components,
            hosts,
            after_ms,
        } => {
            let placed = components.iter().zip(hosts);
            let placed: Vec<String> = placed
                .map(|(part, host)| format!("{part} at {host}"))
                .collect();
            let (placed, after) = (placed.join(", "), milliseconds(*after_ms));
            format!("{placed}, in place of {lost}, {after} after it was missed")
        }
        Decision::Restored {
            component,
            state_bytes,
        } => format!("{component}, with {state_bytes} bytes of state"),
        Decision::StateLost { component } => {
            format!("{component} begins with nothing: its results lack rows")
        }
        Decision::HotSpot {
            operator,
            reason,
            load,
            load_after,
            slack_ms,
            horizon_s,
            candidates,
            stays,
        } => {
            let at = operator.as_deref().unwrap_or("the host");
            let mut says = format!("{at}: {reason}; load {load:.2}");
            // Writing into a string does not fail.
            if let Some(after) = load_after {
                let _ = write!(says, ", {after:.2} without it");
            }
            if let Some(slack) = slack_ms {
                let _ = write!(says, ", slack expected {}", milliseconds(*slack));
            }
            if let Some(horizon) = horizon_s {
                let _ = write!(says, " in {horizon} s");
            }
            for host in candidates {
                let slack = host.slack_ms.map_or_else(|| "-".to_owned(), milliseconds);
                let (name, before, after) = (&host.host, host.load, host.load_after);
                let _ = write!(
                    says,
                    "; {name}: load {before:.2}, then {after:.2}, slack {slack}"
                );
            }
            if let Some(stays) = stays {
                let _ = write!(says, "; it stays: {stays}");
            }
            says
        }
        Decision::Degraded { component, reason }
        | Decision::Failed { component, reason }
        | Decision::Lost { component, reason } => format!("{component}: {reason}"),
        Decision::Disconnected { to } | Decision::Returned { to } => format!("the edge to {to}"),
        Decision::Passed { source, of } => {
            format!(
                "time goes on without {source}, whose host {of} is away: what it still gives of that time is late"
            )
        }
        Decision::Missing => "what its record binds to this host is not there".to_owned(),
        Decision::Retired => "nobody reads what ran here".to_owned(),
        Decision::Stopped { by } | Decision::Finished { by } => format!("as {by} says"),
    }
}

fn moved_says(why: &str, slack_ms: Option<f64>, load: Option<f64>, moved: &Moved) -> String {
    let asked = moved.candidates.iter();
    let asked: Vec<&str> = asked.map(|candidate| candidate.host.as_str()).collect();
    let slack = slack_ms.map_or_else(String::new, |slack| {
        format!(", slack expected {}", milliseconds(slack))
    });
    let load = load.map_or_else(String::new, |load| format!(", load {load:.3}"));
    format!(
        "{} from {} to {}, since {why}{slack}{load}; asked {}; {} of state, {} sent, in {}, of which {} to go over",
        moved.operator,
        moved.from,
        moved.to,
        asked.join(", "),
        bytes(moved.state_bytes),
        bytes(moved.sent_bytes),
        milliseconds(moved.total_ms),
        milliseconds(moved.switch_ms)
    )
}
