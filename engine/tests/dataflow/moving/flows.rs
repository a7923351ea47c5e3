//! Dataflows with every kind of operator, and where their parts run at first.

use model::{Scalar, Value};

use crate::hosts::Places;
use crate::support::{Flow, table};

/// A dataflow, where it runs on four hosts at first, and how many sources it has.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) flow: fn() -> Flow,
    pub(crate) places: fn() -> Places,
    pub(crate) sources: usize,
}

pub(crate) const CASES: &[Case] = &[
    Case {
        name: "tumbling windows that two read",
        flow: windows,
        places: || places(1, &[0, 1, 2], &[2, 0]),
        sources: 1,
    },
    Case {
        name: "sliding windows of a union",
        flow: sliding,
        places: || places(2, &[1, 1], &[2]),
        sources: 2,
    },
    Case {
        name: "sessions, and late rows",
        flow: sessions,
        places: || places(1, &[1, 2], &[0, 3]),
        sources: 1,
    },
    Case {
        name: "a join",
        flow: joins,
        places: || places(2, &[1, 3], &[2]),
        sources: 2,
    },
    Case {
        name: "distinct keys",
        flow: distinct,
        places: || places(1, &[1, 2], &[3]),
        sources: 1,
    },
    Case {
        name: "the best of windows",
        flow: best,
        places: || places(1, &[0, 1], &[2]),
        sources: 1,
    },
    Case {
        name: "a chain and windows behind it",
        flow: filtered,
        places: || places(1, &[1, 2, 3, 1], &[0, 2]),
        sources: 1,
    },
    Case {
        name: "a stateless chain that several read",
        flow: chain,
        places: || places(1, &[1, 2, 3, 1], &[0, 2, 3]),
        sources: 1,
    },
];

fn places(sources: usize, operators: &[usize], sinks: &[usize]) -> Places {
    Places {
        sources: (0..sources).collect(),
        operators: operators.to_vec(),
        sinks: sinks.to_vec(),
    }
}

fn span(entries: &[(&str, i64)]) -> Value {
    let micros = |(name, millis): &(&str, i64)| ((*name).to_owned(), Scalar::Micros(millis * 1000));
    Value::Table(entries.iter().map(micros).collect())
}

pub(crate) fn windows() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v % 7 <> 3", source);
    let counted = flow.window(10, passed);
    let coarse = flow.filter("n > 0", counted);
    flow.sink(coarse);
    flow.sink(counted);
    flow
}

/// A chain that keeps positions, and windows behind it.
pub(crate) fn filtered() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let passed = flow.filter("v % 7 <> 3", source);
    let renamed = [("select", table([("k", "k"), ("v", "v + 1")]))];
    let mapped = flow.operator("map", renamed, &[passed]).port(0).unwrap();
    let few = flow.filter("v % 5 <> 2", mapped);
    let counted = flow.window(10, mapped);
    flow.sink(few);
    flow.sink(counted);
    flow
}

fn sliding() -> Flow {
    let mut flow = Flow::new();
    let sources = [flow.source(), flow.source()];
    let both = flow.operator("union", [], &sources).port(0).unwrap();
    let given = [
        ("window", span(&[("sliding", 40), ("slide", 10)])),
        ("by", Value::List(vec!["k".into()])),
        (
            "select",
            table([
                ("n", "count(*)"),
                ("middle", "median(v)"),
                ("keys", "count(distinct v)"),
            ]),
        ),
    ];
    let counted = flow.operator("window", given, &[both]).port(0).unwrap();
    flow.sink(counted);
    flow
}

fn sessions() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let given = [
        ("window", span(&[("session", 10)])),
        ("by", Value::List(vec!["k".into()])),
        ("select", table([("n", "count(*)"), ("total", "sum(v)")])),
    ];
    let sessions = flow.operator("window", given, &[source]);
    let late = flow.filter("v >= 0", sessions.port(1).unwrap());
    flow.sink(sessions.port(0).unwrap());
    flow.sink(late);
    flow
}

fn joins() -> Flow {
    let mut flow = Flow::new();
    let sources = [flow.source(), flow.source()];
    let select = table([
        ("k", "left_k"),
        ("v", "left_v"),
        ("w", "coalesce(right_v, -1)"),
    ]);
    let given = [
        ("on", table([("k", "k")])),
        ("type", "left".into()),
        ("select", select),
        ("interval", span(&[("lower", -20), ("upper", 5)])),
    ];
    let joined = flow.operator("join", given, &sources).port(0).unwrap();
    let passed = flow.filter("v >= 0", joined);
    flow.sink(passed);
    flow
}

fn distinct() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let by = [
        ("by", Value::List(vec!["k".into()])),
        ("for", Value::Scalar(Scalar::Micros(10_000))),
    ];
    let first = flow.operator("distinct", by, &[source]).port(0).unwrap();
    let passed = flow.filter("v >= 0", first);
    flow.sink(passed);
    flow
}

fn best() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let given = [
        ("window", span(&[("tumbling", 20)])),
        ("rows", "3".into()),
        ("of", "v".into()),
    ];
    let best = flow.operator("top", given, &[source]).port(0).unwrap();
    let passed = flow.filter("v >= 0", best);
    flow.sink(passed);
    flow
}

fn chain() -> Flow {
    let mut flow = Flow::new();
    let source = flow.source();
    let split = flow.operator(
        "split",
        [("when", table([("even", "v % 2 = 0")]))],
        &[source],
    );
    let even = flow.filter("v % 3 <> 1", split.port(0).unwrap());
    let odd = flow.filter("v % 5 <> 1", split.port(1).unwrap());
    let both = flow.operator("union", [], &[even, odd]).port(0).unwrap();
    flow.sink(both);
    flow.sink(even);
    flow.sink(both);
    flow
}
