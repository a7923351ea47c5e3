//! Preparing parts of a plan: with what a loaded file has opened, without it, and on other hosts than the owner's.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use model::{Binding, Clock, NodeId, Origin};

use super::super::open::tests::{ELSEWHERE, HERE, connector, folder, opener, plan};
use super::*;
use crate::application::{self, Host, Kinds};
use crate::clock::MachineClock;
use crate::connector::{Opening, Reading};

/// Prepares on [`HERE`] what a graph binds to it.
fn prepare(
    opener: Opener,
    plan: QueryPlan,
    local: Option<&mut Local>,
    (source, sink): (NodeId, NodeId),
) -> Result<Prepared, String> {
    let sources = vec![Binding::new(source)];
    let sinks = vec![Binding::new(sink)];
    let origins = vec![Origin(1)];
    let graph = ComponentGraph::new(plan, origins, sources, Vec::new(), sinks).unwrap();
    let nothing = (BTreeMap::new(), BTreeMap::new());
    Preparation::new(opener, Box::new(graph), local, nothing.0, nothing.1).prepare()
}

fn write(sink: &mut Option<OpenSink>, value: i64) {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let open = sink.as_mut().unwrap();
    open.sink.write(&rows).unwrap();
}

fn rows(source: &mut Option<Box<dyn connector::Source>>) -> usize {
    match source.as_mut().unwrap().read(Duration::ZERO).unwrap() {
        Reading::Records(records) => records.columns.num_rows(),
        Reading::Idle | Reading::End => 0,
    }
}

#[test]
fn a_host_that_was_started_anew_opens_what_the_plan_says_and_goes_on_writing() {
    let folder = folder();
    let out = folder.path().join("out.csv");
    fs::write(&out, "n\n1\n2").unwrap();
    let connect = |path| Some(connector("file", folder.path(), path));
    let plan = plan((HERE, HERE), connect("in.csv"), connect("out.csv"));
    let mut prepared = prepare(opener(HERE, None), plan.clone(), None, (HERE, HERE)).unwrap();
    assert!(matches!(prepared.deployment.sources[0], SourcePart::Here));
    assert_eq!(rows(&mut prepared.sources[0]), 2);
    write(&mut prepared.sinks[0], 7);
    assert_eq!(fs::read_to_string(&out).unwrap(), "n\n1\n7\n");
    drop(prepared);

    let anew = Opener {
        opening: Opening::Anew,
        ..opener(HERE, None)
    };
    let mut prepared = prepare(anew, plan.clone(), None, (HERE, HERE)).unwrap();
    write(&mut prepared.sinks[0], 8);
    assert_eq!(fs::read_to_string(&out).unwrap(), "n\n8\n");

    // What is bound to other hosts is left alone.
    let prepared = prepare(opener(HERE, None), plan, None, (ELSEWHERE, ELSEWHERE)).unwrap();
    assert!(prepared.sources[0].is_none() && prepared.sinks[0].is_none());
}

#[test]
fn the_first_attempt_takes_what_the_loaded_file_has_opened_and_the_next_opens_anew() {
    let folder = folder();
    let clock = Arc::new(MachineClock::start());
    let host = Host {
        owner: HERE,
        node: HERE,
        streams: Some(BTreeMap::new()),
        clock: clock.clone(),
        epoch: clock.epoch(),
    };
    let load = |path: &str| {
        let text = format!(
            "name = \"counts\"\n[source.rows]\nconnector = \"file\"\npath = \"{path}\"\n\
             [sink.out]\nfrom = \"rows\"\nconnector = \"discard\"\n"
        );
        let file = folder.path().join("app.toml");
        application::load_text(&text, &file, &Kinds::ALL, &host).unwrap()
    };
    fs::copy(
        folder.path().join("in.csv"),
        folder.path().join("other.csv"),
    )
    .unwrap();
    let (application, other) = (load("in.csv"), load("other.csv"));
    let plan = application.plan.clone();
    assert_eq!(
        plan.sources()[0].connector,
        Some(connector("file", folder.path(), "in.csv"))
    );
    let sink = plan.sinks()[0].connector.as_ref().unwrap();
    assert_eq!((sink.kind.as_str(), sink.folder.as_str()), ("discard", ""));

    fs::remove_file(folder.path().join("in.csv")).unwrap();
    let mut local = Local::new(clock.now(), application);
    let attempt =
        |local: &mut Local| prepare(opener(HERE, None), plan.clone(), Some(local), (HERE, HERE));
    let mut first = attempt(&mut local).unwrap();
    assert_eq!(rows(&mut first.sources[0]), 2, "it was open");
    let second = attempt(&mut local).unwrap_err();
    assert!(second.contains("there is no such file"), "{second}");
    // What another file of this name has opened is not taken for it.
    let second = attempt(&mut Local::new(clock.now(), other)).unwrap_err();
    assert!(second.contains("there is no such file"), "{second}");
}

#[test]
fn a_sink_of_another_owner_writes_below_the_data_folder_of_its_host() {
    let (theirs, data_dir) = (folder(), folder());
    let sink = |path: &str| Some(connector("file", theirs.path(), path));
    let prepare = |data_dir: Option<&Path>, path: &str| {
        let plan = plan((ELSEWHERE, ELSEWHERE), sink("in.csv"), sink(path));
        prepare(opener(ELSEWHERE, data_dir), plan, None, (ELSEWHERE, HERE))
    };
    let out = theirs.path().join("out.csv");
    let mut prepared = prepare(Some(data_dir.path()), "out.csv").unwrap();
    assert!(
        prepared.sources[0].is_none(),
        "its source stays where it is"
    );
    write(&mut prepared.sinks[0], 7);
    assert!(!out.exists(), "nothing is written where the plan says");
    let owner = "02".repeat(32);
    let file = format!("results/counts@{owner}-7/out/out.csv");
    let file = data_dir.path().join(file);
    assert_eq!(fs::read_to_string(&file).unwrap(), "n\n7\n");
    drop(prepared);

    let mut prepared = prepare(Some(data_dir.path()), "out.csv").unwrap();
    write(&mut prepared.sinks[0], 8);
    assert_eq!(fs::read_to_string(&file).unwrap(), "n\n7\n8\n");

    let refusal = prepare(None, "out.csv").unwrap_err();
    assert!(refusal.contains("has no data folder"), "{refusal}");
    let refusal = prepare(Some(data_dir.path()), "out").unwrap_err();
    assert!(refusal.contains("does not tell the format"), "{refusal}");
}
