//! What an engine counted, in the words of the control plane.

use std::time::Duration;

use engine::report::{ComponentReport, Report, RoleReport, Spread};
use model::{QueryPlan, Slack, convert};

use crate::node::{ComponentRow, PartReport, Quantiles};

/// What was counted of an application's parts here in `elapsed`, and of what it shares here, by its names in the plan.
pub(super) fn part(
    reports: &[Report],
    shared: &[ComponentReport],
    plan: &QueryPlan,
    elapsed: Duration,
) -> PartReport {
    let all = || reports.iter().flat_map(|report| &report.components);
    // What has gone and come back is here.
    let is_back = |gone: &ComponentReport| {
        all().any(|component| component.is_here && component.name == gone.name)
    };
    let own = || all().filter(|component| component.is_here || !is_back(component));
    let rows = own().map(|component| row(component, plan, elapsed));
    let shared = shared.iter().map(|component| ComponentRow {
        // It ran before this application did.
        rows_per_second: component.rate,
        ..row(component, plan, elapsed)
    });
    let mut part = PartReport {
        components: rows.chain(shared).collect(),
        ..PartReport::default()
    };
    for component in own() {
        let RoleReport::Sink(delays) = &component.role else {
            continue;
        };
        part.results += component.rows_in;
        part.misses += delays.misses;
        part.missing += delays.missing;
        part.recent_results += delays.recent.0;
        part.recent_misses += delays.recent.1;
        part.target_ms = Some(part.target_ms.map_or_else(
            || millis(delays.target),
            |target: f64| target.min(millis(delays.target)),
        ));
        part.delay_ms = longest(part.delay_ms, quantiles(&delays.times.all));
        part.recent_delay_ms = longest(part.recent_delay_ms, quantiles(&delays.times.recent));
    }
    part
}

/// Times in milliseconds; nothing where there are none.
fn quantiles(times: &Spread) -> Option<Quantiles> {
    (times.count > 0).then(|| Quantiles {
        p50: millis(times.p50),
        p95: millis(times.p95),
        p99: millis(times.p99),
        p999: millis(times.p999),
    })
}

/// Of several sinks the longest.
fn longest(one: Option<Quantiles>, other: Option<Quantiles>) -> Option<Quantiles> {
    let (Some(one), Some(other)) = (one, other) else {
        return one.or(other);
    };
    Some(Quantiles {
        p50: one.p50.max(other.p50),
        p95: one.p95.max(other.p95),
        p99: one.p99.max(other.p99),
        p999: one.p999.max(other.p999),
    })
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
        batches: component.batches,
        queueing_ms: quantiles(&component.waited.all),
        recent_queueing_ms: quantiles(&component.waited.recent),
        queueing_total_ms: millis(component.waited.total),
        execution_ms: quantiles(&component.ran.all),
        recent_execution_ms: quantiles(&component.ran.recent),
        execution_total_ms: millis(component.ran.total),
        duplicates: component.dropped.0,
        gaps: component.dropped.1,
        refused: component.refused,
        clamped: component.clamped,
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn slack_millis(slack: Slack) -> f64 {
    slack.as_seconds() * 1e3
}
