//! `synergy top`: hosts, applications and what was decided of late, again and again.

use std::fmt::Write;
use std::io::IsTerminal;
use std::num::NonZeroU64;
use std::sync::mpsc;
use std::time::Duration;

use clap::Args;
use model::time::milliseconds;
use model::{Clock, Instant};
use serde_json::{Value, json};

use super::output::{Format, Output, Table, read, results};
use super::{Globals, Status, app, duration, events, node};
use crate::client::{Client, encoded};
use crate::clock::MachineClock;
use crate::node::{ApplicationRow, ApplicationStatus, EventList, Failure, FailureKind, NodeRow};
use crate::signals;

/// The most applications whose hosts are asked at each look; the others are listed as the node knows them.
///
/// Unit: count. Source: guess; what a screen has lines for.
const ASKED_MAX: usize = 20;

/// How many decisions are shown, the latest. Source: guess; what a screen has lines for.
const DECISIONS: usize = 10;

#[derive(Debug, Args)]
pub(super) struct Top {
    /// One application, with its parts and what its hosts decided about it; all applications and this host's decisions if not given.
    application: Option<String>,
    /// How often to look, such as 1s.
    #[arg(long, value_name = "DURATION", value_parser = duration, default_value = "1s")]
    every: Duration,
    /// Stop after this time, such as 10s.
    #[arg(long = "for", value_name = "DURATION", value_parser = duration)]
    for_: Option<Duration>,
    /// Stop after so many looks.
    #[arg(long, value_name = "LOOKS")]
    limit: Option<NonZeroU64>,
    #[command(flatten)]
    output: Output,
}

impl Top {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let client = globals.client()?;
        let clock = MachineClock::start();
        let (stop, stopped) = mpsc::channel();
        signals::stop(move || stop.send(()).is_ok()).map_err(|error| {
            let message = format!("the system lets nobody wait for signals: {error}");
            Failure::new(FailureKind::Failed, message)
        })?;
        let mut looks = 0;
        loop {
            let begun = clock.now();
            let look = match &self.application {
                Some(name) => Look::at_one(&client, name)?,
                None => Look::at_all(&client)?,
            };
            let text = match self.output.format() {
                Format::Json => format!("{}\n", look.0),
                Format::Table => screen(&look.table()?),
                Format::Name => look.names()?,
            };
            if results(&text) != Status::Ok {
                return Ok(Status::Failed);
            }
            looks += 1;
            let next = begun + self.every;
            let is_over = self
                .for_
                .is_some_and(|most| next.since(Instant::ZERO) >= most);
            if is_over || self.limit.is_some_and(|limit| looks >= limit.get()) {
                return Ok(Status::Ok);
            }
            let wait = next.since(clock.now());
            if stopped.recv_timeout(wait) != Err(mpsc::RecvTimeoutError::Timeout) {
                return Ok(Status::Ok);
            }
        }
    }
}

/// What is shown in the place of what was: on a terminal, which forgets what it showed.
fn screen(text: &str) -> String {
    match std::io::stdout().is_terminal() {
        true => format!("\x1b[H\x1b[2J{text}"),
        false => text.to_owned(),
    }
}

/// What nodes answer at one time: `nodes`, `apps` as listed, `status` of those that were asked, `events`.
struct Look(Value);

impl Look {
    fn at_all(client: &Client) -> Result<Self, Failure> {
        let nodes = client.get("/v1/nodes")?;
        let apps = client.get("/v1/apps")?;
        let rows: Vec<ApplicationRow> = read(apps.clone())?;
        let running = rows.iter().filter(|row| row.status != "stopped");
        let mut status = Vec::new();
        for row in running.take(ASKED_MAX) {
            let name = encoded(&format!("{}:{}", row.owner, row.name));
            // What has gone since it was listed is listed as that the next time.
            if let Ok(answer) = client.get(&format!("/v1/apps/{name}")) {
                status.push(answer);
            }
        }
        let events = client.get("/v1/events")?;
        let look = json!({ "nodes": nodes, "apps": apps, "status": status, "events": events });
        Ok(Self(look))
    }

    fn at_one(client: &Client, name: &str) -> Result<Self, Failure> {
        let name = encoded(name);
        let nodes = client.get("/v1/nodes")?;
        let status = client.get(&format!("/v1/apps/{name}"))?;
        let events = client.get(&format!("/v1/apps/{name}/events"))?;
        let look = json!({ "nodes": nodes, "status": [status], "events": events });
        Ok(Self(look))
    }

    fn part<T: serde::de::DeserializeOwned>(&self, part: &str) -> Result<T, Failure> {
        read(self.0[part].clone())
    }

    fn names(&self) -> Result<String, Failure> {
        let status: Vec<ApplicationStatus> = self.part("status")?;
        Ok(status.iter().map(|it| format!("{}\n", it.name)).collect())
    }

    fn table(&self) -> Result<String, Failure> {
        let nodes: Vec<NodeRow> = self.part("nodes")?;
        let status: Vec<ApplicationStatus> = self.part("status")?;
        let mut text = node::list(&nodes);
        text.push('\n');
        match (self.0.get("apps"), status.as_slice()) {
            (None, [one]) => text.push_str(&app::show(one)),
            (apps, _) => {
                text.push_str(&applications(&status));
                let listed: Vec<ApplicationRow> = read(apps.cloned().unwrap_or(json!([])))?;
                if listed.len() > status.len() {
                    let more = listed.len() - status.len();
                    // Writing into a string does not fail.
                    let _ = writeln!(text, "{more} more: see `app ls`");
                }
            }
        }
        let mut events: EventList = self.part("events")?;
        let older = events.events.len().saturating_sub(DECISIONS);
        events.events.drain(..older);
        events.dropped += model::convert::size(older);
        text.push('\n');
        text.push_str(&events::table(&events));
        Ok(text)
    }
}

/// A line for each application: how it does against its target in the last minute, and what is nearest to missing it.
fn applications(rows: &[ApplicationStatus]) -> String {
    let mut table = Table::new(&[
        "NAME",
        "STATUS",
        "TARGET",
        "P50",
        "P99",
        "RESULTS",
        "MISSED",
        "LEAST SLACK",
        "AT",
    ]);
    for row in rows {
        let delays = row.recent_delay_ms.or(row.delay_ms);
        let delay = |of: Option<f64>| of.map_or_else(|| "-".to_owned(), milliseconds);
        let slack = row
            .components
            .iter()
            .filter_map(|it| Some((it.slack_ms?, &it.name)));
        let least = slack.min_by(|(one, _), (other, _)| one.total_cmp(other));
        let count = |of: Option<u64>| of.map_or_else(|| "-".to_owned(), |it| it.to_string());
        let counted = row.counted.as_ref();
        table.row(&[
            &row.name,
            &row.status,
            &milliseconds(row.target_delay_ms),
            &delay(delays.map(|it| it.p50)),
            &delay(delays.map(|it| it.p99)),
            &count(counted.map(|it| it.recent_results)),
            &count(counted.map(|it| it.recent_misses)),
            &delay(least.map(|(slack, _)| slack)),
            least.map_or("-", |(_, name)| name),
        ]);
    }
    table.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::ComponentRow;

    #[test]
    fn an_application_is_a_line_with_what_is_nearest_to_missing_its_target() {
        let component = |name: &str, slack_ms| ComponentRow {
            name: name.to_owned(),
            slack_ms,
            ..ComponentRow::default()
        };
        let status = ApplicationStatus {
            name: "intrusion".to_owned(),
            owner: "aa".repeat(32),
            status: "running".to_owned(),
            reason: None,
            target_delay_ms: 250.0,
            ended_s: None,
            predicted_delay_ms: None,
            delay_ms: None,
            recent_delay_ms: None,
            counted: None,
            components: vec![
                component("flows", None),
                component("syn", Some(240.0)),
                component("scan", Some(-3.0)),
            ],
        };
        let expected = "\
NAME       STATUS   TARGET  P50  P99  RESULTS  MISSED  LEAST SLACK  AT
intrusion  running  250 ms  -    -    -        -       -3.00 ms     scan
";
        assert_eq!(applications(&[status]), expected);
    }
}
