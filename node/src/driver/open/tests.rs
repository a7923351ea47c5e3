//! What a plan may have opened here, and what not.

use std::fs;

use model::plan::Builder;
use model::{Arguments, DataType, Field, Qos, Schema, Value};

use super::*;

pub(in crate::driver) const HERE: NodeId = NodeId([1; 32]);
pub(in crate::driver) const ELSEWHERE: NodeId = NodeId([2; 32]);

/// What opens parts of a composition of `owner` on [`HERE`].
pub(in crate::driver) fn opener(owner: NodeId, data_dir: Option<&Path>) -> Opener {
    Opener {
        node: HERE,
        composition: CompositionId {
            node: owner,
            number: 7,
        },
        application: ApplicationId {
            owner,
            name: "counts".to_owned(),
        },
        opening: Opening::Again,
        data_dir: data_dir.map(Path::to_owned),
        store: None,
        results: Results::Tapped,
        clock: Arc::new(MachineClock::start()),
    }
}

pub(in crate::driver) fn connector(kind: &str, folder: &Path, path: &str) -> Connector {
    Connector {
        kind: kind.to_owned(),
        folder: folder.to_str().unwrap().to_owned(),
        arguments: Arguments::from_iter([("path", Value::from(path))]),
    }
}

/// A plan that passes the rows of a source of `owner` and `host` on to a sink.
pub(in crate::driver) fn plan(
    (owner, host): (NodeId, NodeId),
    source: Option<Connector>,
    sink: Option<Connector>,
) -> QueryPlan {
    let mut plan = Builder::new("counts", Qos::default()).unwrap();
    let name = SourceName::Inline {
        owner,
        application: "counts".to_owned(),
        source: "rows".to_owned(),
        host,
    };
    let columns = Schema::new(vec![Field::new("n", DataType::Int64)]).unwrap();
    let outputs = vec![
        ("out".to_owned(), columns),
        ("bad".to_owned(), engine::intake::bad_schema()),
    ];
    let rows = plan.source("rows", name, outputs).unwrap();
    plan.sink("out", rows.port(0).unwrap()).unwrap();
    for (part, connector) in [("rows", source), ("out", sink)] {
        if let Some(connector) = connector {
            plan.connect(part, connector).unwrap();
        }
    }
    plan.build().unwrap()
}

/// A folder with the rows 1 and 2.
pub(in crate::driver) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("in.csv"), "n\n1\n2\n").unwrap();
    folder
}

fn refused<T: std::fmt::Debug>(opened: Result<T, String>, reason: &str) {
    let refusal = opened.unwrap_err();
    assert!(refusal.contains(reason), "{refusal:?} says not {reason:?}");
}

#[test]
fn a_source_is_opened_where_its_name_says_for_a_composition_of_that_host() {
    let folder = folder();
    let file = || Some(connector("file", folder.path(), "in.csv"));
    let open = |composer: NodeId, owner: NodeId, host: NodeId| {
        let plan = plan((owner, host), file(), None);
        opener(composer, None).source(&plan, 0, None)
    };
    assert!(open(HERE, HERE, HERE).is_ok());
    let reason = "rows is not read on this host";
    // Whoever composes names this host in its plan.
    refused(open(ELSEWHERE, HERE, HERE), reason);
    refused(open(ELSEWHERE, ELSEWHERE, HERE), reason);
    refused(open(HERE, ELSEWHERE, HERE), reason);
    refused(open(HERE, HERE, ELSEWHERE), reason);
    let plan = plan((HERE, HERE), file(), None);
    let mut forged = opener(HERE, None);
    forged.composition.node = ELSEWHERE;
    refused(forged.source(&plan, 0, None), "was composed by");
}

#[test]
fn what_cannot_be_opened_says_why() {
    let folder = folder();
    let open = |source: Option<Connector>| {
        let plan = plan((HERE, HERE), source.clone(), source);
        let opener = opener(HERE, None);
        (opener.source(&plan, 0, None), opener.sink(&plan, 0))
    };
    let (source, sink) = open(None);
    refused(source, "the plan does not say how rows is opened");
    refused(sink, "the plan does not say how out is opened");
    let (source, sink) = open(Some(connector("carrier-pigeon", folder.path(), "x")));
    refused(source, "rows needs the connector \"carrier-pigeon\"");
    refused(sink, "out needs the connector \"carrier-pigeon\"");
    let (source, sink) = open(Some(connector("file", folder.path(), "no/such.csv")));
    refused(source, "there is no such file");
    refused(sink, "there is no folder");
    fs::write(folder.path().join("in.csv"), "m\n1\n").unwrap();
    let (source, _) = open(Some(connector("file", folder.path(), "in.csv")));
    refused(source, "other columns");
}

#[test]
fn what_people_see_is_tapped_on_any_host() {
    for owner in [HERE, ELSEWHERE] {
        for (kind, is_seen) in [("requester", true), ("stdout", true), ("discard", false)] {
            let sink = connector(kind, Path::new("/"), "ignored");
            let plan = plan((owner, owner), None, Some(sink));
            let OpenSink { sink, is_shown, .. } = opener(owner, None).sink(&plan, 0).unwrap();
            assert_eq!(is_shown, is_seen, "{kind}");
            let name = format!("{sink:?}");
            assert_eq!(name, "Discard", "nobody reads this process's output");
        }
    }
}
