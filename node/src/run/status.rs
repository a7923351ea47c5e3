//! What a run tells people while it goes on.

use std::fmt::Write as _;
use std::time::Duration;

use engine::report::{ComponentReport, Delays, Report, RoleReport};
use model::Qos;

use super::End;

/// Who is told how a run goes.
pub trait Status {
    /// Takes a line, or several.
    fn say(&mut self, text: &str);
}

impl dyn Status + '_ {
    pub(super) fn composing(&mut self, application: &str, remarks: &[String]) {
        self.say(&format!("composing {application}"));
        for remark in remarks {
            self.say(&format!("  note: {remark}"));
        }
    }

    pub(super) fn running(&mut self, report: &Report, predicted: Duration, qos: &Qos) {
        let mut text = String::new();
        for component in &report.components {
            writeln!(text, "  {:<24} {}", component.name, role(component)).expect(INTO_MEMORY);
        }
        write!(
            text,
            "running {}: predicted delay {}, before anything is measured; target {}",
            report.application,
            human(predicted),
            human(qos.latency),
        )
        .expect(INTO_MEMORY);
        self.say(&text);
        if predicted > qos.latency {
            self.say("warning: the target is below the predicted delay: results will be late");
        }
    }

    pub(super) fn degraded(&mut self, component: &str, reason: &str) {
        self.say(&format!(
            "degraded: {component}: {reason}; what was read before still leaves"
        ));
    }

    pub(super) fn ended(&mut self, application: &str, end: &End, report: &Report) {
        self.say(&format!("{application} {}", verdict(end)));
        self.say(&table(report));
        for component in &report.components {
            if component.bad > 0 && component.bad == component.rows_in {
                let count = component.rows_in;
                self.say(&format!(
                    "warning: all {count} rows of {} are bad",
                    component.name
                ));
            }
            if *end != End::Finished && component.state_bytes > 0 {
                let name = &component.name;
                self.say(&format!(
                    "note: windows of {name} that were open have not left; so a run ends early"
                ));
            }
        }
    }
}

/// How a run ended, in words that follow the application's name.
pub(super) fn verdict(end: &End) -> String {
    match end {
        End::Finished => "finished".to_owned(),
        End::Limit => "stopped (as many rows as asked for)".to_owned(),
        End::NobodyReads => "stopped (nobody reads the results any more)".to_owned(),
        End::Time => "stopped (the time is over)".to_owned(),
        End::Signal => "stopped (by a signal)".to_owned(),
        End::Failed { component, reason } => format!("failed: {component}: {reason}"),
    }
}

const INTO_MEMORY: &str = "writing into memory does not fail";

fn role(component: &ComponentReport) -> &'static str {
    match component.role {
        RoleReport::Source => "source",
        RoleReport::Operator => "operator",
        RoleReport::Sink(_) => "sink",
    }
}

/// What was counted and measured, a line for each component.
fn table(report: &Report) -> String {
    let mut text = format!(
        "  {:<24} {:<9} {:>12} {:>12} {:>8} {:>8} {:>12}\n",
        "component", "role", "rows in", "rows out", "late", "bad", "cost a row"
    );
    for component in &report.components {
        let per_row = component
            .busy
            .checked_div(u32::try_from(component.rows_in).unwrap_or(u32::MAX));
        let per_row = match component.role {
            RoleReport::Operator => human(per_row.unwrap_or_default()),
            RoleReport::Source | RoleReport::Sink(_) => "-".to_owned(),
        };
        writeln!(
            text,
            "  {:<24} {:<9} {:>12} {:>12} {:>8} {:>8} {per_row:>12}",
            component.name,
            role(component),
            component.rows_in,
            component.rows_out,
            component.late,
            component.bad,
        )
        .expect(INTO_MEMORY);
        if let Some(reason) = &component.bad_reason {
            writeln!(text, "    first bad one: {reason}").expect(INTO_MEMORY);
        }
        if let RoleReport::Sink(delays) = &component.role {
            writeln!(text, "    {}", delay_line(delays)).expect(INTO_MEMORY);
        }
    }
    let kib = model::convert::count_to_f64(report.memory_peak_bytes) / 1024.0;
    let peak = if kib < 1024.0 {
        format!("{kib:.0} KiB")
    } else {
        format!("{:.1} MiB", kib / 1024.0)
    };
    write!(text, "  memory for data: at most {peak}").expect(INTO_MEMORY);
    text
}

fn delay_line(delays: &Delays) -> String {
    let all = &delays.times.all;
    if all.count == 0 {
        return format!("no results; {} rows known to be missing", delays.missing);
    }
    format!(
        "delay p50 {} p95 {} p99 {} of {}; {} rows over it, {} rows known to be missing",
        human(all.p50),
        human(all.p95),
        human(all.p99),
        human(delays.target),
        delays.misses,
        delays.missing,
    )
}

/// A time span as people read it: three digits and a unit.
fn human(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    match seconds {
        s if s >= 1.0 => format!("{s:.2} s"),
        s if s >= 1e-3 => format!("{:.2} ms", s * 1e3),
        s if s >= 1e-6 => format!("{:.1} us", s * 1e6),
        s => format!("{:.0} ns", s * 1e9),
    }
}
