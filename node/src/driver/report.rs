//! What an engine counted, in the words of the control plane.

use std::time::Duration;

use engine::report::{ComponentReport, Report, RoleReport};
use model::{QueryPlan, Slack, convert};

use crate::node::{ComponentRow, PartReport, Quantiles};

/// What was counted of an application's parts here in `elapsed`, and of what it shares here, by its names in the plan.
pub(super) fn part(
    report: &Report,
    shared: &[ComponentReport],
    plan: &QueryPlan,
    elapsed: Duration,
) -> PartReport {
    let own = report.components.iter();
    let own = own.map(|component| row(component, plan, elapsed));
    let shared = shared.iter().map(|component| ComponentRow {
        // It ran before this application did.
        rows_per_second: component.rate,
        ..row(component, plan, elapsed)
    });
    let mut part = PartReport {
        components: own.chain(shared).collect(),
        ..PartReport::default()
    };
    for component in &report.components {
        let RoleReport::Sink(delays) = &component.role else {
            continue;
        };
        part.results += component.rows_in;
        part.misses += delays.misses;
        part.missing += delays.missing;
        if delays.longest.is_zero() {
            continue;
        }
        let longest = part.delay_ms.get_or_insert(Quantiles {
            p50: 0.0,
            p95: 0.0,
            p99: 0.0,
        });
        longest.p50 = longest.p50.max(millis(delays.p50));
        longest.p95 = longest.p95.max(millis(delays.p95));
        longest.p99 = longest.p99.max(millis(delays.p99));
    }
    part
}

fn row(component: &ComponentReport, plan: &QueryPlan, elapsed: Duration) -> ComponentRow {
    let seconds = elapsed.as_secs_f64();
    let rows = convert::count_to_f64(component.rows_in);
    let operator = plan.operators().iter();
    let kind = match component.role {
        RoleReport::Source => "source",
        RoleReport::Sink(_) => "sink",
        RoleReport::Operator => operator
            .into_iter()
            .find(|operator| operator.name == component.name)
            .map_or("operator", |operator| operator.kind.as_str()),
    };
    ComponentRow {
        name: component.name.clone(),
        kind: kind.to_owned(),
        host: String::new(),
        node: String::new(),
        status: if component.is_here { "running" } else { "gone" }.to_owned(),
        rows_in: component.rows_in,
        rows_out: component.rows_out,
        rows_per_second: if seconds > 0.0 { rows / seconds } else { 0.0 },
        cost_us_per_row: if component.rows_in > 0 {
            component.busy.as_secs_f64() * 1e6 / rows
        } else {
            0.0
        },
        slack_ms: component.slack.map(slack_millis),
        late: component.late,
        bad: component.bad,
        drops: component.drops,
        waiting: convert::size(component.waiting),
        state_bytes: component.state_bytes,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn slack_millis(slack: Slack) -> f64 {
    slack.as_seconds() * 1e3
}
