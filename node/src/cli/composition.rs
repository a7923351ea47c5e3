//! Compositions for people: the verdict, where everything runs, what was shared, and what stood in the way.

use std::fmt::Write;

use model::time::milliseconds;

use super::output::Table;
use crate::application::problem::printable;
use crate::node::{Binding, Composition};

/// A composition as text.
pub(super) fn table(composition: &Composition) -> String {
    let mut text = verdict(composition);
    if let Some(binding) = &composition.binding {
        text.push_str(&reason(binding));
    }
    if let Some(target) = composition.feasible_target_ms
        && composition.status == "refused"
    {
        // Writing into a string does not fail.
        let _ = writeln!(
            text,
            "feasible now: put this into the file\n  [qos]\n  latency = \"{}\"",
            duration_at_least(target)
        );
    } else if composition.status == "refused" {
        text.push_str("no other target is known to be feasible now\n");
    }
    if !composition.operators.is_empty() {
        let mut table = Table::new(&["NAME", "KIND", "HOST", "SHARED"]);
        for placed in &composition.operators {
            let shared = if placed.shared { "yes" } else { "" };
            table.row(&[&placed.name, &placed.kind, &placed.host, shared]);
        }
        let _ = write!(text, "{table}");
    }
    if composition.status != "refused" {
        let _ = match composition.shared {
            0 => writeln!(text, "shared: nothing"),
            1 => writeln!(
                text,
                "shared: 1 operator, which saves {:.2} cores",
                composition.saved_cores
            ),
            count => writeln!(
                text,
                "shared: {count} operators, which saves {:.2} cores",
                composition.saved_cores
            ),
        };
        if let Some(delay) = composition.delay_from_sharing_ms {
            let delay = milliseconds(delay);
            let _ = writeln!(text, "predicted delay behind what is shared: {delay}");
        }
        if let Some(target) = composition.feasible_target_ms {
            let target = milliseconds(target.ceil());
            let _ = writeln!(text, "tightest target that would be accepted now: {target}");
        }
    }
    if let Some(runner_up) = &composition.runner_up {
        let hosts = printable(&runner_up.hosts.join(", "));
        let delay = milliseconds(runner_up.predicted_delay_ms);
        let _ = writeln!(
            text,
            "runner-up: operators on {hosts}, predicted delay {delay}"
        );
    }
    for remark in &composition.remarks {
        let _ = writeln!(text, "remark: {}", printable(remark));
    }
    text
}

fn verdict(composition: &Composition) -> String {
    let name = printable(&composition.application);
    let verdict = match composition.status.as_str() {
        "feasible" => "can be composed; nothing is reserved".to_owned(),
        "unchanged" => "runs already, as it is asked for: nothing is changed".to_owned(),
        status => format!("is {}", printable(status)),
    };
    let target = milliseconds(composition.target_delay_ms);
    match composition.predicted_delay_ms {
        Some(delay) => {
            let margin = milliseconds((composition.target_delay_ms - delay).max(0.0));
            format!(
                "{name} {verdict}\npredicted delay {}, target {target}, margin {margin}\n",
                milliseconds(delay)
            )
        }
        None => format!("{name} {verdict}\ntarget {target}\n"),
    }
}

fn reason(binding: &Binding) -> String {
    let Binding {
        operator,
        check,
        needed,
        had,
        hosts_asked,
    } = binding;
    let hosts = match hosts_asked {
        0 => "no host was asked".to_owned(),
        1 => "1 host was asked".to_owned(),
        count => format!("{count} hosts were asked"),
    };
    let line =
        format!("{operator}: {check}: needed {needed}, the best that was found is {had}; {hosts}");
    format!("{}\n", printable(&line))
}

/// A time span of at least so many milliseconds, as files give it.
fn duration_at_least(milliseconds: f64) -> String {
    format!("{:.0}ms", milliseconds.ceil().max(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::application::units;
    use crate::node::{Placed, RunnerUp};

    fn placed(name: &str, kind: &str, host: &str) -> Placed {
        Placed {
            name: name.to_owned(),
            kind: kind.to_owned(),
            host: host.to_owned(),
            node: "aa".repeat(32),
            shared: false,
        }
    }

    fn composition() -> Composition {
        Composition {
            application: "intrusion".to_owned(),
            status: "running".to_owned(),
            predicted_delay_ms: Some(42.06),
            target_delay_ms: 250.0,
            operators: vec![
                placed("flows", "source", "n1"),
                placed("syn", "filter", "n4"),
            ],
            edges: vec![("flows".to_owned(), "syn".to_owned())],
            shared: 0,
            saved_cores: 0.0,
            runner_up: Some(RunnerUp {
                hosts: vec!["n2".to_owned()],
                predicted_delay_ms: 48.0,
                congestion: 0.5,
            }),
            congestion: Some(0.4),
            probes: 12,
            lookups: 1,
            discovery_ms: None,
            probing_ms: None,
            commit_ms: None,
            delay_from_sharing_ms: None,
            binding: None,
            feasible_target_ms: None,
            remarks: vec!["syn: the cost is a default".to_owned()],
        }
    }

    #[test]
    fn a_verdict_comes_first_and_reasons_last() {
        let expected = "\
intrusion is running
predicted delay 42.1 ms, target 250 ms, margin 208 ms
NAME   KIND    HOST  SHARED
flows  source  n1
syn    filter  n4
shared: nothing
runner-up: operators on n2, predicted delay 48.0 ms
remark: syn: the cost is a default
";
        assert_eq!(table(&composition()), expected);
    }

    #[test]
    fn a_refusal_says_what_would_be_accepted() {
        let refused = Composition {
            status: "refused".to_owned(),
            predicted_delay_ms: None,
            target_delay_ms: 1.0,
            operators: Vec::new(),
            runner_up: None,
            binding: Some(Binding {
                operator: "syn".to_owned(),
                check: "delay".to_owned(),
                needed: "1 ms".to_owned(),
                had: "12.3 ms".to_owned(),
                hosts_asked: 4,
            }),
            feasible_target_ms: Some(12.31),
            remarks: Vec::new(),
            ..composition()
        };
        let expected = "\
intrusion is refused
target 1.00 ms
syn: delay: needed 1 ms, the best that was found is 12.3 ms; 4 hosts were asked
feasible now: put this into the file
  [qos]
  latency = \"13ms\"
";
        assert_eq!(table(&refused), expected);
    }

    #[test]
    fn what_is_said_to_be_feasible_is_what_files_can_say() {
        for target in [0.0, 0.0004, 0.3, 9.9999, 12.31, 250.0, 86_400_000.5] {
            let text = duration_at_least(target);
            let span = units::duration(&text).expect("files can say it");
            assert!(span.as_secs_f64() * 1e3 >= target, "{target}: {text}");
            let is_near = span.as_secs_f64() * 1e3 < target + 1.001;
            assert!(is_near, "{target}: {text}");
        }
    }
}
