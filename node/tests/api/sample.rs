//! Answers that a node may give.

use std::collections::BTreeMap;

use node::api::{Measured, Request};
use node::node::{
    Answer, Answered, ApplicationRow, ApplicationStatus, Binding, Candidate, Command, ComponentRow,
    Composition, Counted, Decision, Drained, EntryRow, EventList, EventRow, Failure, FailureKind,
    Moved, NodeInfo, NodeRow, PartReport, Placed, Quantiles, Stopped, StreamRow, Why,
};
use overlay::net::NetworkStats;

pub(crate) fn composition() -> Composition {
    let placed = |name: &str, kind: &str, host: &str| Placed {
        name: name.to_owned(),
        kind: kind.to_owned(),
        host: host.to_owned(),
        node: id(1),
        shared: false,
    };
    Composition {
        application: "intrusion".to_owned(),
        status: "running".to_owned(),
        predicted_delay_ms: Some(42.0),
        target_delay_ms: 250.0,
        operators: vec![
            placed("flows", "source", "n1"),
            placed("syn", "filter", "n2"),
            placed("out", "sink", "n1"),
        ],
        edges: vec![
            ("flows".to_owned(), "syn".to_owned()),
            ("syn".to_owned(), "out".to_owned()),
        ],
        shared: 0,
        saved_cores: 0.0,
        runner_up: None,
        congestion: Some(0.25),
        probes: 6,
        lookups: 1,
        discovery_ms: Some(4.0),
        probing_ms: Some(21.5),
        commit_ms: Some(9.0),
        delay_from_sharing_ms: None,
        binding: None,
        feasible_target_ms: None,
        remarks: Vec::new(),
    }
}

pub(crate) fn refusal() -> Failure {
    Failure {
        kind: FailureKind::Refused,
        message:
            "intrusion is refused: no host meets the target; nothing is reserved; raise the target"
                .to_owned(),
        refusal: Some(Box::new(Composition {
            status: "refused".to_owned(),
            predicted_delay_ms: None,
            target_delay_ms: 1.0,
            operators: Vec::new(),
            binding: Some(Binding {
                operator: "syn".to_owned(),
                check: "delay".to_owned(),
                needed: "1 ms".to_owned(),
                had: "3.1 ms".to_owned(),
                hosts_asked: 4,
            }),
            feasible_target_ms: Some(3.1),
            ..composition()
        })),
    }
}

pub(crate) fn component() -> ComponentRow {
    ComponentRow {
        name: "syn".to_owned(),
        kind: "filter".to_owned(),
        host: "n2".to_owned(),
        node: id(2),
        status: "running".to_owned(),
        rows_in: 100,
        rows_out: 40,
        rows_per_second: 10.0,
        cost_us_per_row: 0.5,
        slack_ms: Some(200.0),
        late: 1,
        bad: 2,
        drops: 3,
        waiting: 0,
        state_bytes: 0,
        batches: 9,
        queueing_ms: Some(quantiles(4.0)),
        recent_queueing_ms: Some(quantiles(2.0)),
        queueing_total_ms: 5_000.0,
        execution_ms: Some(quantiles(0.4)),
        recent_execution_ms: Some(quantiles(0.5)),
        execution_total_ms: 250.0,
        duplicates: 4,
        gaps: 5,
        refused: 6,
        clamped: 7,
    }
}

fn quantiles(p50: f64) -> Quantiles {
    Quantiles {
        p50,
        p95: 2.0 * p50,
        p99: 3.0 * p50,
        p999: 4.0 * p50,
    }
}

pub(crate) fn info() -> NodeInfo {
    NodeInfo {
        name: "n1".to_owned(),
        node: id(1),
        version: "0.1.0".to_owned(),
        network: "main".to_owned(),
        addresses: vec!["/ip4/127.0.0.1/tcp/4170".to_owned()],
        uptime_s: 12.0,
        hosts_known: 3,
        delays_known: 1,
        delays_known_ms: Some(12.5),
        components: 2,
        applications: 1,
        cores: 2.0,
        cores_taken: 0.5,
        memory_bytes: 256 << 20,
        memory_taken_bytes: 1 << 20,
        counts: BTreeMap::from([("garbage".to_owned(), 4)]),
    }
}

pub(crate) fn stream() -> StreamRow {
    StreamRow {
        name: "lab/flows".to_owned(),
        host: "n1".to_owned(),
        node: id(1),
        columns: vec![("state".to_owned(), "string".to_owned())],
        rows_per_second: Some(10.0),
        status: "running".to_owned(),
    }
}

/// The id of a node, in full.
pub(crate) fn id(number: u8) -> String {
    format!("{number:02x}").repeat(32)
}

fn status() -> ApplicationStatus {
    ApplicationStatus {
        name: "intrusion".to_owned(),
        owner: id(1),
        status: "running".to_owned(),
        reason: None,
        target_delay_ms: 250.0,
        ended_s: None,
        predicted_delay_ms: Some(42.0),
        delay_ms: Some(quantiles(10.0)),
        recent_delay_ms: Some(quantiles(5.0)),
        counted: Some(Counted {
            results: 40,
            misses: 0,
            missing: 0,
            late: 1,
            bad: 2,
            drops: 3,
            recent_results: 7,
            recent_misses: 1,
            duplicates: 4,
            gaps: 5,
            refused: 6,
        }),
        components: vec![component()],
    }
}

fn moved() -> Moved {
    Moved {
        application: "intrusion".to_owned(),
        operator: "syn".to_owned(),
        from: "n1".to_owned(),
        from_node: id(1),
        to: "n2".to_owned(),
        to_node: id(2),
        candidates: vec![Candidate {
            host: "n2".to_owned(),
            node: id(2),
            reason: None,
        }],
        state_bytes: 1 << 20,
        sent_bytes: 4 << 20,
        transfer_ms: 240.0,
        switch_ms: 40.0,
        total_ms: 160.0,
        shared_with: Vec::new(),
    }
}

/// What a node answers that knows one application, one stream and three hosts.
pub(crate) fn answered(command: &Command) -> Answered {
    let unknown = |name: &str| {
        let message =
            format!("there is no {name:?} in this network; `synergy app ls` lists what there is");
        Err(Failure::new(FailureKind::NotFound, message))
    };
    let is_known =
        |name: &str| ["intrusion", "int", "lab/flows", "intrusion/syn.late"].contains(&name);
    match command {
        Command::Application(name)
        | Command::Why(name)
        | Command::Events(Some(name))
        | Command::Stop(name)
        | Command::Stream(name)
        | Command::Unpublish(name)
            if !is_known(name) =>
        {
            unknown(name)
        }
        Command::Applications => Ok(Answer::Applications(vec![ApplicationRow {
            name: "intrusion".to_owned(),
            owner: id(1),
            owner_name: "n1".to_owned(),
            status: "running".to_owned(),
            target_delay_ms: 250.0,
            operators: 1,
            hosts: 2,
        }])),
        Command::Application(_) => Ok(Answer::Application(Box::new(status()))),
        Command::Why(_) => Ok(Answer::Why(Box::new(Why {
            composition: composition(),
            reason: None,
            reasons: vec![("syn".to_owned(), "the idlest of 4 hosts".to_owned())],
            components: vec![component()],
        }))),
        Command::Stop(_) => Ok(Answer::Stopped(Stopped {
            name: "intrusion".to_owned(),
            confirmed: vec!["n1".to_owned(), "n2".to_owned()],
            unconfirmed: Vec::new(),
        })),
        Command::Events(_) => Ok(Answer::Events(Box::new(EventList {
            events: vec![EventRow {
                age_s: 12.5,
                host: "n1".to_owned(),
                node: id(1),
                application: "intrusion".to_owned(),
                decision: Decision::Moved {
                    why: "it would have been late".to_owned(),
                    slack_ms: Some(-20.0),
                    load: Some(0.1),
                    moved: Box::new(moved()),
                },
            }],
            dropped: 3,
            silent: vec!["n3 (03030303)".to_owned()],
        }))),
        Command::Move { to, .. } if to.as_deref() == Some("n9") => {
            let message = "No host is called \"n9\": `synergy node ls` lists all.";
            Err(Failure::new(FailureKind::NotFound, message))
        }
        Command::Move { .. } => Ok(Answer::Moved(Box::new(moved()))),
        Command::Drain(_) => Ok(Answer::Drained(Box::new(Drained {
            host: "n1".to_owned(),
            node: id(1),
            moved: vec![moved()],
            stayed: Vec::new(),
            left: 0,
        }))),
        Command::Stream(_) | Command::Unpublish(_) => Ok(Answer::Stream(Box::new(stream()))),
        Command::Streams => Ok(Answer::Streams(vec![stream()])),
        Command::Nodes => Ok(Answer::Nodes(vec![NodeRow {
            name: "n1".to_owned(),
            node: id(1),
            addresses: vec!["/ip4/127.0.0.1/tcp/4170".to_owned()],
            load: 0.25,
            cores: 2.0,
            memory_bytes: 256 << 20,
            round_trip_ms: None,
            status: "self".to_owned(),
        }])),
        Command::Info => Ok(Answer::Info(Box::new(info()))),
        Command::Lookup(name) if name == "intrusion" => Ok(Answer::Entries(vec![EntryRow {
            kind: "application".to_owned(),
            owner: id(1),
            version: 7,
            addresses: Vec::new(),
            says: "running".to_owned(),
        }])),
        Command::Lookup(_) => Ok(Answer::Entries(Vec::new())),
        other => panic!("the server never asks {other:?}"),
    }
}

/// Answers as a good node does; taps and publications are left to tests of their own.
pub(crate) fn answer(request: Request) {
    match request {
        Request::Apply { file, answer, .. } => {
            let answered = if file.text.contains("1ms") {
                Err(refusal())
            } else {
                Ok(Answer::Composition(Box::new(composition())))
            };
            drop(answer.send(answered));
        }
        Request::Publish { answer, .. } => {
            drop(answer.send(Ok(Answer::Stream(Box::new(stream())))));
        }
        Request::Command { command, answer } => drop(answer.send(answered(&command))),
        Request::Tap { name, answer } => {
            let message = format!("there is no stream {name:?}");
            drop(answer.send(Err(Failure::new(FailureKind::NotFound, message))));
        }
        Request::Stats { answer } => {
            drop(answer.send(NetworkStats {
                connections: 3,
                refused: BTreeMap::from([("oversize", 2)]),
                ..NetworkStats::default()
            }));
        }
        Request::Measure { answer } => {
            let part = PartReport {
                lacking: Vec::new(),
                components: vec![component()],
                target_ms: Some(250.0),
                delay_ms: Some(quantiles(10.0)),
                recent_delay_ms: Some(quantiles(5.0)),
                results: 40,
                misses: 1,
                recent_results: 7,
                recent_misses: 1,
                missing: 0,
            };
            drop(answer.send(Measured {
                info: info(),
                network: NetworkStats::default(),
                applications: vec![("intrusion".to_owned(), part)],
                resident_bytes: Some(1 << 20),
                cpu_seconds: 0.5,
            }));
        }
        Request::Ready { answer } => drop(answer.send(Ok(()))),
        Request::Stop { answer } => drop(answer.send(())),
    }
}
