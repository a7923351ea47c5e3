//! Published streams and taps.

use std::time::Duration;

use model::{SourceName, StreamName};
use node::node::{Answer, Command, Failure, FailureKind, Publication, StreamRow, TapTarget};

use crate::support::{Net, order, schema};

fn publication(net: &Net, at: usize, name: &str) -> Publication {
    let source = SourceName::Published {
        publisher: net.ids[at],
        name: name.to_owned(),
    };
    Publication {
        name: name.to_owned(),
        stream: StreamName::of_source(&source),
        origin: model::Origin(9),
        outputs: vec![("out".to_owned(), schema()), ("bad".to_owned(), schema())],
        publisher: net.ids[at],
        rate_hz: Some(100.0),
        row_bytes: None,
        live: None,
    }
}

fn publish(net: &mut Net, at: usize, name: &str) -> Result<StreamRow, Failure> {
    let publication = publication(net, at, name);
    match net.command(at, Command::Publish(publication))? {
        Answer::Stream(row) => Ok(*row),
        other => panic!("no stream: {other:?}"),
    }
}

fn tap(net: &mut Net, at: usize, name: &str) -> Result<TapTarget, Failure> {
    match net.command(at, Command::Tap(name.to_owned()))? {
        Answer::Tap(target) => Ok(target),
        other => panic!("no target: {other:?}"),
    }
}

#[test]
fn a_stream_is_published_once_and_found_everywhere() {
    let mut net = Net::new(4, 1);
    let row = publish(&mut net, 0, "lab/flows").expect("published");
    assert_eq!((row.host.as_str(), row.status.as_str()), ("n0", "running"));
    let again = publish(&mut net, 0, "lab/flows").expect_err("it is published");
    assert_eq!(again.kind, FailureKind::Invalid);
    let other = publish(&mut net, 1, "lab/flows").expect_err("the name is taken");
    assert_eq!(other.kind, FailureKind::Refused);
    assert!(other.message.contains("n0 ("), "{other:?}");
    for at in 0..4 {
        let listed = net.command(at, Command::Streams);
        assert_eq!(listed, Ok(Answer::Streams(vec![row.clone()])), "at {at}");
        let names = vec!["lab/flows".to_owned()];
        let Ok(Answer::Resolved(found)) = net.command(at, Command::Resolve(names)) else {
            panic!("not resolved at {at}");
        };
        assert_eq!(found["lab/flows"], publication(&net, 0, "lab/flows"));
        let target = tap(&mut net, at, "lab/flows").expect("a target");
        assert_eq!((target.host, target.composition), (net.ids[0], None));
        let bad = tap(&mut net, at, "stream:lab/flows.bad").expect("a target");
        assert_eq!(bad.stream, target.stream.at_port("bad"));
        let rows = net.command(at, Command::Lookup("lab/flows".to_owned()));
        let Ok(Answer::Entries(rows)) = rows else {
            panic!("nothing found: {rows:?}");
        };
        assert!(rows[0].says.contains("published by n0"), "{rows:?}");
    }
    let missing = net.command(2, Command::Resolve(vec!["lab/none".to_owned()]));
    assert_eq!(missing.expect_err("no such").kind, FailureKind::NotFound);
    let elsewhere = net.command(2, Command::Unpublish("lab/flows".to_owned()));
    assert_eq!(elsewhere.expect_err("not here").kind, FailureKind::NotFound);
    net.command(0, Command::Unpublish("lab/flows".to_owned()))
        .expect("it ends");
    net.pass(Duration::from_secs(1));
    assert_eq!(
        net.command(3, Command::Streams),
        Ok(Answer::Streams(Vec::new()))
    );
    publish(&mut net, 1, "lab/flows").expect("the name is free");
}

#[test]
fn what_was_published_before_a_restart_ends_with_it() {
    let mut net = Net::new(4, 5);
    net.has_old_entries = true;
    publish(&mut net, 0, "lab/flows").expect("published");
    publish(&mut net, 0, "lab/others").expect("published");
    publish(&mut net, 1, "lab/third").expect("published");
    net.restart(0);
    // What is published anew before the old is found stays.
    publish(&mut net, 0, "lab/others").expect("published anew");
    net.pass(Duration::from_secs(2));
    for at in 0..4 {
        let Ok(Answer::Streams(rows)) = net.command(at, Command::Streams) else {
            panic!("no list at {at}");
        };
        let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, ["lab/others", "lab/third"], "at {at}");
        let names = vec!["lab/flows".to_owned()];
        let failure = net.command(at, Command::Resolve(names));
        assert_eq!(
            failure.expect_err("nobody has it").kind,
            FailureKind::NotFound
        );
    }
    let row = publish(&mut net, 2, "lab/flows").expect("the name is free");
    assert_eq!(row.host, "n2");
}

#[test]
fn any_stream_of_an_application_can_be_tapped() {
    let mut net = Net::new(5, 2);
    let composed = net.apply(0, order(0, "intrusion", "5"));
    net.pass(Duration::from_secs(2));
    let order = order(0, "intrusion", "5");
    for at in 0..5 {
        for (index, name) in ["first", "second", "third"].into_iter().enumerate() {
            let target = tap(&mut net, at, &format!("intrusion/{name}")).expect("a target");
            let stream = model::plan::Stream::Operator(index, 0);
            assert_eq!(target.stream, order.plan.stream_name(stream));
            assert!(target.composition.is_some());
            let placed = &composed.operators[index + 1];
            assert_eq!(placed.name, name);
            let host: String = target.host.0.iter().map(|it| format!("{it:02x}")).collect();
            assert_eq!(placed.node, host);
        }
        let source = tap(&mut net, at, "app:intrusion/flows.bad").expect("a target");
        let stream = model::plan::Stream::Source(0, 1);
        assert_eq!(source.stream, order.plan.stream_name(stream));
        let sink = tap(&mut net, at, "intrusion/out").expect("a target");
        let stream = model::plan::Stream::Operator(2, 0);
        assert_eq!(sink.stream, order.plan.stream_name(stream));
    }
    for unknown in [
        "intrusion/fourth",
        "intrusion/first.late",
        "nothing/first",
        "x",
    ] {
        let failure = tap(&mut net, 3, unknown).expect_err("no such stream");
        assert_eq!(
            failure.kind,
            FailureKind::NotFound,
            "{unknown}: {failure:?}"
        );
    }
    // What is neither is not taken for an application alone.
    let absent = |name: &str| {
        let name = name.to_owned();
        [
            Command::Tap(name.clone()),
            Command::Stream(name.clone()),
            Command::Lookup(name),
        ]
    };
    for command in absent("lab/x").into_iter().chain(absent("lab/x.bad")) {
        let failure = net.command(3, command).expect_err("no such stream");
        assert_eq!(failure.kind, FailureKind::NotFound);
        let said = "No stream is published as lab/x";
        assert!(failure.message.starts_with(said), "{failure:?}");
    }
    let rows = net.command(4, Command::Lookup("intrusion/second".to_owned()));
    let Ok(Answer::Entries(rows)) = rows else {
        panic!("nothing found: {rows:?}");
    };
    assert!(rows[0].says.contains("second"), "{rows:?}");
    let rows = net.command(4, Command::Lookup("intrusion".to_owned()));
    let Ok(Answer::Entries(rows)) = rows else {
        panic!("nothing found: {rows:?}");
    };
    assert!(rows[0].says.starts_with("running on"), "{rows:?}");
}

#[test]
fn every_host_is_listed_with_what_it_offers() {
    let mut net = Net::new(4, 3);
    net.lose(3);
    let Ok(Answer::Nodes(rows)) = net.command(0, Command::Nodes) else {
        panic!("no hosts");
    };
    let by_name = |name: &str| {
        let row = rows.iter().find(|row| row.name == name);
        row.map(|row| row.status.as_str())
    };
    assert_eq!(rows.len(), 4);
    assert_eq!(by_name("n0"), Some("self"));
    assert_eq!(by_name("n1"), Some("up"));
    assert_eq!(by_name("n3"), Some("unheard"));
}
