//! `synergy move` and `synergy drain`: components that go to other hosts.

use std::fmt::Write;

use clap::Args;
use model::time::milliseconds;

use super::output::{Output, Progress, bytes};
use super::{Globals, Status};
use crate::api::{DrainBody, MoveBody};
use crate::application::problem::printable;
use crate::client::encoded;
use crate::node::{Drained, Failure, FailureKind, Moved};

#[derive(Debug, Args)]
pub(super) struct Move {
    /// Which operator: APP/OPERATOR, the application as OWNER:NAME where several have the same name.
    name: String,
    /// The host that is to run it, by its name or the beginning of its id; without it, the one that fits best.
    #[arg(long, value_name = "HOST")]
    to: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Args)]
pub(super) struct Drain {
    /// The host, by its name or the beginning of its id; without it, the one that is asked.
    host: Option<String>,
    #[command(flatten)]
    output: Output,
}

impl Move {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let Some((application, operator)) = self.name.rsplit_once('/') else {
            let message = format!(
                "{:?} names no operator: write APP/OPERATOR, as `synergy app show` lists them",
                self.name
            );
            return Err(Failure::new(FailureKind::Invalid, message));
        };
        let body = MoveBody {
            operator: operator.to_owned(),
            to: self.to,
        };
        let client = globals.client()?;
        let progress = Progress::start(&globals.verbosity, format!("moving {}", self.name));
        let answer = client.post(&format!("/v1/apps/{}/move", encoded(application)), &body);
        drop(progress);
        self.output
            .print(answer?, moved, |moved: &Moved| vec![moved.to.clone()])
    }
}

impl Drain {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let client = globals.client()?;
        let what = self.host.as_deref().unwrap_or("the host");
        let progress = Progress::start(&globals.verbosity, format!("draining {what}"));
        let answer = client.post("/v1/node/drain", &DrainBody { host: self.host });
        drop(progress);
        let names = |drained: &Drained| {
            let moved = drained.moved.iter();
            let names = moved.map(|it| format!("{}/{}", it.application, it.operator));
            names.collect()
        };
        self.output.print(answer?, drained, names)
    }
}

fn moved(moved: &Moved) -> String {
    let name = printable(&format!("{}/{}", moved.application, moved.operator));
    let mut text = format!(
        "{name} moved from {} to {} in {}: all had gone over {} after they were ready, {} of state went along in {}\n",
        printable(&moved.from),
        printable(&moved.to),
        milliseconds(moved.total_ms),
        milliseconds(moved.switch_ms),
        bytes(moved.state_bytes),
        milliseconds(moved.transfer_ms)
    );
    if !moved.shared_with.is_empty() {
        let with = printable(&moved.shared_with.join(", "));
        // Writing into a string does not fail.
        let _ = writeln!(text, "with it went what {with} read of it");
    }
    for candidate in &moved.candidates {
        let host = printable(&candidate.host);
        let _ = match &candidate.reason {
            Some(reason) => writeln!(text, "asked {host}: {}", printable(reason)),
            None => writeln!(text, "asked {host}: it had room"),
        };
    }
    text
}

fn drained(drained: &Drained) -> String {
    let mut text = String::new();
    for it in &drained.moved {
        text.push_str(&moved(it));
    }
    for it in &drained.stayed {
        let name = printable(&format!("{}/{}", it.application, it.operator));
        // Writing into a string does not fail.
        let _ = writeln!(text, "{name} stays: {}", printable(&it.reason));
    }
    let (gone, stayed) = (drained.moved.len(), drained.stayed.len());
    let left = match drained.left {
        0 => String::new(),
        left => format!(", {left} are still to go"),
    };
    let host = printable(&drained.host);
    let _ = writeln!(text, "{host}: {gone} operators moved, {stayed} stay{left}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Candidate, Stayed};

    fn example() -> Moved {
        Moved {
            application: "intrusion".to_owned(),
            operator: "syn".to_owned(),
            from: "n1".to_owned(),
            from_node: "aa".repeat(32),
            to: "n3".to_owned(),
            to_node: "cc".repeat(32),
            candidates: vec![
                Candidate {
                    host: "n2".to_owned(),
                    node: "bb".repeat(32),
                    reason: Some("no room for 0.5 cores".to_owned()),
                },
                Candidate {
                    host: "n3".to_owned(),
                    node: "cc".repeat(32),
                    reason: None,
                },
            ],
            state_bytes: 10 << 20,
            sent_bytes: 4 << 20,
            transfer_ms: 240.0,
            switch_ms: 80.0,
            total_ms: 420.0,
            shared_with: vec!["scans".to_owned()],
        }
    }

    #[test]
    fn a_move_says_where_to_and_what_it_cost() {
        let expected = "\
intrusion/syn moved from n1 to n3 in 420 ms: all had gone over 80.0 ms after they were ready, 10 MiB of state went along in 240 ms
with it went what scans read of it
asked n2: no room for 0.5 cores
asked n3: it had room
";
        assert_eq!(moved(&example()), expected);
    }

    #[test]
    fn a_drained_host_says_what_stays_and_why() {
        let stayed = Stayed {
            application: "scans".to_owned(),
            operator: "few\u{1b}".to_owned(),
            reason: "nobody has room".to_owned(),
        };
        let it = Drained {
            host: "n1".to_owned(),
            node: "aa".repeat(32),
            moved: Vec::new(),
            stayed: vec![stayed],
            left: 2,
        };
        let expected = "\
scans/few\\u{1b} stays: nobody has room
n1: 0 operators moved, 1 stay, 2 are still to go
";
        assert_eq!(drained(&it), expected);
    }
}
