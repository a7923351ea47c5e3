use model::name::Digest;
use model::{HostSummary, Resources};

use super::*;

const fn id(number: u64) -> CompositionId {
    CompositionId {
        node: NodeId([1; 32]),
        number,
    }
}

fn stream(name: &str) -> StreamName {
    StreamName(Digest::of("test stream", &[name.as_bytes()]))
}

fn view() -> NodeView {
    NodeView::alone(HostSummary {
        capacity: Resources {
            cpu_cores: 1.0,
            ..Resources::default()
        },
        ..HostSummary::new(NodeId([2; 32]), "h2")
    })
}

const fn job(laxity_ms: u64, cores: f64) -> Job {
    Job {
        laxity: Duration::from_millis(laxity_ms),
        cores,
        burst_cores: 0.0,
        execution: Duration::from_millis(4),
    }
}

fn newcomer() -> Newcomer {
    Newcomer {
        application: ApplicationId {
            owner: NodeId([1; 32]),
            name: "test".to_owned(),
        },
        sink: NodeId([3; 32]),
        target: Duration::from_secs(1),
        own: Vec::new(),
        shared: Vec::new(),
    }
}

fn shared(laxity_ms: u64) -> Shared {
    Shared {
        operator: 0,
        stream: stream("shared"),
        made_of: MadeOf::new(),
        laxity: Duration::from_millis(laxity_ms),
    }
}

/// A component that can wait, one beside it that can wait less, and somebody who has not started and would make the first the strictest.
fn meeting() -> Serving {
    let mut serving = Serving::default();
    for (number, name, job) in [(1, "shared", job(500, 0.4)), (2, "beside", job(200, 0.3))] {
        let own = vec![(stream(name), 0, job, MadeOf::new())];
        serving
            .admit(id(number), Newcomer { own, ..newcomer() })
            .unwrap();
        serving.start(id(number), Duration::from_millis(100));
    }
    depend(&mut serving, id(3), 50);
    serving
}

fn depend(serving: &mut Serving, id: CompositionId, laxity_ms: u64) {
    let shared = vec![shared(laxity_ms)];
    let newcomer = Newcomer {
        shared,
        ..newcomer()
    };
    serving.admit(id, newcomer).unwrap();
}

fn queue(serving: &Serving, ranks: Ranks, change: &Change) -> Queue {
    serving.queue(&view(), Projection::Rank, 0.0, ranks, change)
}

fn execution(serving: &Serving, ranks: &[Ranks]) -> Duration {
    let change = Change::default();
    let ranked: Vec<_> = ranks
        .iter()
        .map(|ranks| (*ranks, queue(serving, *ranks, &change)))
        .collect();
    let name = (stream("shared"), id(1), 0);
    serving.execution(&ranked, name).unwrap()
}

#[test]
fn nobody_is_told_a_time_that_holds_only_if_somebody_else_starts() {
    let mut serving = meeting();
    depend(&mut serving, id(4), 400);
    let told = execution(&serving, &Ranks::both(id(4)));
    let if_it_starts = execution(&serving, &[Ranks::All]);
    serving.remove(id(3));
    let left = execution(&serving, &[Ranks::All]);
    assert!(if_it_starts < left, "the other is let before it no more");
    assert!(told >= left, "{told:?} was told, and it takes {left:?}");
}

#[test]
fn who_makes_something_stricter_is_charged_as_if_nobody_else_did_who_has_not_started() {
    let charged = |serving: &Serving, ranks: &[Ranks]| {
        let change = Change {
            stricter: serving.stricter(&[shared(100)]),
            ..Change::default()
        };
        let ranked: Vec<_> = ranks
            .iter()
            .map(|ranks| {
                let before = queue(serving, *ranks, &Change::default());
                (*ranks, before, queue(serving, *ranks, &change))
            })
            .collect();
        serving.charges(&ranked, &change, id(4))
    };
    let mut serving = meeting();
    let asked = charged(&serving, &Ranks::both(id(4)));
    assert_eq!(charged(&serving, &[Ranks::All]), [], "it is strict already");
    serving.remove(id(3));
    let slowed = charged(&serving, &[Ranks::All]);
    assert_eq!(slowed.len(), 1, "the one beside it");
    assert_eq!(asked, slowed);
}

#[test]
fn who_has_started_is_relied_on() {
    let mut serving = meeting();
    let before = execution(&serving, &Ranks::both(id(4)));
    serving.start(id(3), Duration::from_millis(100));
    assert!(execution(&serving, &Ranks::both(id(4))) < before);
}
