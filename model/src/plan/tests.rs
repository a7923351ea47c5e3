use proptest::prelude::*;

use super::*;
use crate::id::NodeId;
use crate::schema::{DataType, Field};
use crate::wire;

fn columns() -> Schema {
    Schema::new(vec![Field::new("x", DataType::Int64)]).expect("one column")
}

fn published(name: &str) -> SourceName {
    SourceName::Published {
        publisher: NodeId([1; 32]),
        name: name.to_owned(),
    }
}

fn one_port() -> Vec<(String, Schema)> {
    vec![("out".to_owned(), columns())]
}

fn connector(path: &str) -> Connector {
    Connector {
        kind: "file".into(),
        folder: "/srv/app".into(),
        arguments: Arguments::from_iter([("path", Value::from(path))]),
    }
}

#[test]
fn how_parts_are_opened_names_nothing() {
    let inline = SourceName::Inline {
        owner: NodeId([1; 32]),
        application: "a".into(),
        source: "s".into(),
        host: NodeId([1; 32]),
    };
    let build = |connectors: Option<[&str; 2]>| {
        let mut plan = Builder::new("a", Qos::default()).unwrap();
        let rows = plan.source("s", inline.clone(), one_port()).unwrap();
        let input = [rows.port(0).unwrap()];
        let kept = plan.operator("f", "filter", Arguments::new(), &input, one_port());
        plan.sink("out", kept.unwrap().port(0).unwrap()).unwrap();
        let nothing = plan.connect("f", connector("x.csv"));
        assert_eq!(nothing, Err(PlanError::Connected("f".into())));
        for (part, path) in ["s", "out"]
            .into_iter()
            .zip(connectors.into_iter().flatten())
        {
            plan.connect(part, connector(path)).unwrap();
        }
        plan.build().unwrap()
    };
    let (open, other) = (build(Some(["a.csv", "b.csv"])), build(Some(["c", "d"])));
    let decoded: QueryPlan = wire::decode(&wire::encode(&open)).unwrap();
    assert_eq!(decoded, open);
    assert_eq!(decoded.sources()[0].connector, Some(connector("a.csv")));
    assert_eq!(decoded.sinks()[0].connector, Some(connector("b.csv")));
    assert_ne!(open, other, "another way to open a part is another plan");
    for stream in [Stream::Source(0, 0), Stream::Operator(0, 0)] {
        let name = open.stream_name(stream);
        assert_eq!(name, other.stream_name(stream));
        assert_eq!(name, build(None).stream_name(stream));
    }
}

#[test]
fn what_is_no_plan_is_refused() {
    assert_eq!(
        Builder::new("a b", Qos::default()).err(),
        Some(PlanError::Name("a b".into()))
    );
    let mut plan = Builder::new("a", Qos::default()).expect("a valid name");
    let source = plan
        .source("s", published("s"), one_port())
        .expect("a new source")
        .port(0)
        .expect("one port");
    assert_eq!(
        plan.source("s", published("t"), one_port()),
        Err(PlanError::Repeated("s".into()))
    );
    assert_eq!(
        plan.source("t", published("t"), Vec::new()),
        Err(PlanError::NoOutput("t".into()))
    );
    assert_eq!(
        plan.operator("f", "filter", Arguments::new(), &[], one_port()),
        Err(PlanError::NoInput("f".into()))
    );
    let unknown = Stream::Operator(3, 0);
    assert_eq!(
        plan.operator("f", "filter", Arguments::new(), &[unknown], one_port()),
        Err(PlanError::UnknownStream("f".into()))
    );
    plan.operator("f", "filter", Arguments::new(), &[source], one_port())
        .expect("a good operator");
    assert_eq!(
        plan.build(),
        Err(vec![PlanError::NoSink, PlanError::Unread("f".into())])
    );
}

#[test]
fn what_operators_are_called_does_not_matter() {
    let name = |operator: &str| {
        let mut plan = Builder::new("a", Qos::default()).expect("a valid name");
        let source = plan
            .source("s", published("s"), one_port())
            .expect("a new source")
            .port(0)
            .expect("one port");
        let accepted = plan
            .operator(operator, "filter", Arguments::new(), &[source], one_port())
            .expect("good");
        let stream = accepted.port(0).expect("one port");
        plan.sink("out", stream).expect("a new sink");
        plan.build().expect("a whole plan").stream_name(stream)
    };
    assert_eq!(name("f"), name("g"));
}

/// A sub-plan written down as plainly as possible: what names must be equal for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Tree {
    Source {
        source: SourceName,
        port: String,
    },
    Operator {
        kind: String,
        parameters: Arguments,
        port: String,
        inputs: Vec<Self>,
    },
}

fn tree(plan: &QueryPlan, stream: Stream) -> Tree {
    match stream {
        Stream::Source(index, port) => {
            let source = &plan.sources()[index];
            Tree::Source {
                source: source.source.clone(),
                port: source.outputs[usize::from(port)].0.clone(),
            }
        }
        Stream::Operator(index, port) => {
            let operator = &plan.operators()[index];
            let mut inputs: Vec<Tree> = operator
                .inputs
                .iter()
                .map(|input| tree(plan, *input))
                .collect();
            if operator.commutative {
                inputs.sort();
            }
            Tree::Operator {
                kind: operator.kind.clone(),
                parameters: operator.parameters.clone(),
                port: operator.outputs[usize::from(port)].0.clone(),
                inputs,
            }
        }
    }
}

/// One random operator: its kind, its parameter, and which of the streams so far it reads.
type Step = (bool, i64, Vec<usize>);

fn build(steps: &[Step]) -> QueryPlan {
    let mut plan = Builder::new("a", Qos::default()).expect("a valid name");
    let ports = ["out", "late"].map(|port| (port.to_owned(), columns()));
    let ports = ports.to_vec();
    let mut streams: Vec<Stream> = Vec::new();
    for index in 0..2 {
        let source = published(&format!("p{index}"));
        let accepted = plan.source(&format!("s{index}"), source, ports.clone());
        let accepted = accepted.expect("a new source");
        plan.set_live((index % 2 == 0).then_some(Live {
            speed: 1.5,
            is_by_clock: false,
        }));
        streams.extend((0..2).filter_map(|port| accepted.port(port)));
    }
    for (index, (union, parameter, picks)) in steps.iter().enumerate() {
        let inputs: Vec<Stream> = picks
            .iter()
            .map(|pick| streams[pick % streams.len()])
            .collect();
        let parameters = Arguments::from_iter([("p", Value::Scalar(Scalar::Integer(*parameter)))]);
        let name = format!("o{index}");
        let accepted = if *union {
            plan.commutative_operator(&name, "union", parameters, &inputs, ports.clone())
        } else {
            plan.operator(&name, "join", parameters, &inputs, ports.clone())
        };
        let accepted = accepted.expect("a good operator");
        streams.extend((0..2).filter_map(|port| accepted.port(port)));
    }
    for (index, stream) in streams.iter().enumerate() {
        plan.sink(&format!("k{index}"), *stream)
            .expect("a new sink");
    }
    plan.build().expect("every stream is read")
}

proptest! {
    /// Equal names if and only if equal sub-plans, within a plan and between two.
    #[test]
    fn equal_names_mean_equal_sub_plans(
        left in prop::collection::vec((any::<bool>(), 0i64..2, prop::collection::vec(0usize..8, 1..3)), 0..6),
        right in prop::collection::vec((any::<bool>(), 0i64..2, prop::collection::vec(0usize..8, 1..3)), 0..6),
    ) {
        let plans = [build(&left), build(&right)];
        let all: Vec<(StreamName, Tree)> = plans
            .iter()
            .flat_map(|plan| plan.sinks().iter().map(|sink| (plan.stream_name(sink.input), tree(plan, sink.input))))
            .collect();
        for (name, sub_plan) in &all {
            for (other_name, other) in &all {
                prop_assert_eq!(name == other_name, sub_plan == other, "{:?} and {:?}", sub_plan, other);
            }
        }
    }
}

proptest! {
    #[test]
    fn a_plan_comes_as_it_was(
        steps in prop::collection::vec((any::<bool>(), 0i64..2, prop::collection::vec(0usize..8, 1..3)), 0..6),
    ) {
        let plan = build(&steps);
        let decoded: QueryPlan = wire::decode(&wire::encode(&plan)).expect("our own bytes");
        for sink in decoded.sinks() {
            prop_assert_eq!(decoded.stream_name(sink.input), plan.stream_name(sink.input));
        }
        prop_assert_eq!(decoded, plan);
    }

    /// A plan in which bytes were changed is refused, or a plan that can be asked for everything of it.
    #[test]
    fn a_damaged_plan_is_refused_or_another_plan(
        steps in prop::collection::vec((any::<bool>(), 0i64..2, prop::collection::vec(0usize..8, 1..3)), 0..4),
        changes in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        let mut bytes = wire::encode(&build(&steps));
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        if let Ok(plan) = wire::decode::<QueryPlan>(&bytes) {
            let inputs = plan.operators().iter().flat_map(|operator| operator.inputs.clone());
            for stream in inputs.chain(plan.sinks().iter().map(|sink| sink.input)) {
                plan.schema(stream);
                plan.stream_name(stream);
                prop_assert!(plan.readers(stream).next().is_some());
            }
            prop_assert_eq!(wire::decode::<QueryPlan>(&wire::encode(&plan)).expect("a plan"), plan);
        }
    }
}

/// What somebody could put on the wire in place of a plan: the parts, unchecked.
fn forged(change: impl FnOnce(&mut Forged)) -> Result<QueryPlan, wire::DecodeError> {
    let source = Source {
        name: "s".into(),
        source: published("s"),
        outputs: one_port(),
        connector: None,
        live: None,
    };
    let operator = Operator {
        name: "o".into(),
        kind: "filter".into(),
        parameters: Arguments::new(),
        inputs: vec![Stream::Source(0, 0)],
        commutative: false,
        outputs: one_port(),
    };
    let sink = Sink {
        name: "k".into(),
        input: Stream::Operator(0, 0),
        connector: Some(connector("out.csv")),
    };
    let qos = Qos::default();
    let mut parts = (
        "a".to_owned(),
        qos,
        vec![source],
        vec![operator],
        vec![sink],
    );
    change(&mut parts);
    wire::decode(&wire::encode(&parts))
}

type Forged = (String, Qos, Vec<Source>, Vec<Operator>, Vec<Sink>);

#[test]
fn what_is_no_plan_is_not_decoded() {
    forged(|_| {}).expect("nothing was changed");
    let many = |count: usize| (0..count).map(|n| (format!("p{n}"), columns())).collect();
    let changed = |change: fn(&mut Connector)| {
        let mut connector = connector("out.csv");
        change(&mut connector);
        Some(connector)
    };
    let changes: [&dyn Fn(&mut Forged); 25] = [
        // A published source is opened by whoever publishes it.
        &|it| it.2[0].connector = Some(connector("in.csv")),
        &|it| it.4[0].connector = changed(|it| it.kind = "../file".into()),
        &|it| it.4[0].connector = changed(|it| it.folder = "here".into()),
        &|it| it.4[0].connector = changed(|it| it.folder = "/a\0b".into()),
        &|it| it.4[0].connector = changed(|it| it.folder = "/".repeat(FOLDER_BYTES_MAX + 1)),
        &|it| {
            let arguments = (0..=ARGUMENTS_MAX).map(|n| (format!("a{n}"), Value::from("x")));
            it.4[0].connector.as_mut().unwrap().arguments = arguments.collect();
        },
        &|it| it.0 = "x".repeat(65),
        &|it| it.1.latency = std::time::Duration::MAX,
        &|it| it.1.quantile = f64::NAN,
        &|it| it.2[0].source = published("a/../b"),
        &|it| it.2[0].source = published(&"x".repeat(1000)),
        &|it| it.2[0].outputs = Vec::new(),
        &|it| it.2[0].outputs = vec![(String::new(), columns())],
        &|it| it.2[0].outputs = many(INPUTS_MAX + 1),
        &|it| it.3[0].outputs = [one_port(), one_port()].concat(),
        &|it| it.3[0].kind = "rm -rf".into(),
        &|it| it.3[0].name = "s".into(),
        &|it| it.3[0].inputs = vec![Stream::Source(usize::MAX, 9)],
        &|it| it.3[0].inputs = vec![Stream::Source(0, 1)],
        &|it| it.3[0].inputs = vec![Stream::Operator(0, 0)],
        &|it| it.3[0].inputs = vec![Stream::Source(0, 0); INPUTS_MAX + 1],
        &|it| {
            it.3[0].parameters = [("p", 1), ("p", 2)]
                .map(|(name, n)| (name, Value::Scalar(Scalar::Integer(n))))
                .into_iter()
                .collect();
        },
        &|it| it.4[0].input = Stream::Operator(1, 0),
        &|it| it.4[0].input = Stream::Source(0, u16::MAX),
        &|it| it.4 = Vec::new(),
    ];
    for (number, change) in changes.iter().enumerate() {
        assert!(forged(change).is_err(), "change {number}");
    }
}

#[test]
fn a_source_is_read_at_any_of_its_ports() {
    let mut plan = Builder::new("a", Qos::default()).expect("a valid name");
    let ports = vec![
        ("out".to_owned(), columns()),
        ("bad".to_owned(), Schema::default()),
    ];
    let source = plan.source("s", published("s"), ports).expect("new");
    assert_eq!(source.port(2), None);
    let bad = source.port(1).expect("two ports");
    plan.sink("k", bad).expect("a new sink");
    let plan = plan.build().expect("one port is read");
    assert_eq!(plan.schema(bad), &Schema::default());
    assert_ne!(
        plan.stream_name(bad),
        plan.stream_name(Stream::Source(0, 0))
    );
}

#[test]
fn unions_of_unions_do_not_multiply_without_end() {
    let mut plan = Builder::new("a", Qos::default()).expect("a valid name");
    let outputs = vec![("out".to_owned(), columns())];
    let source = plan
        .source("s", published("s"), outputs.clone())
        .expect("a new source");
    let mut stream = source.port(0).expect("one port");
    let mut doublings = 0;
    let refused = loop {
        let name = format!("u{doublings}");
        let parameters = Arguments::new();
        match plan.commutative_operator(
            &name,
            "union",
            parameters,
            &[stream, stream],
            outputs.clone(),
        ) {
            Ok(accepted) => stream = accepted.port(0).expect("one port"),
            Err(refused) => break refused,
        }
        doublings += 1;
    };
    assert_eq!(doublings, 12, "2 to the power of 12 ways are the limit");
    assert!(
        matches!(
            refused,
            PlanError::TooMany {
                limit: WAYS_MAX,
                ..
            }
        ),
        "{refused}"
    );
}

#[test]
fn a_stream_is_found_by_its_name_as_often_as_it_is_there() {
    let mut plan = Builder::new("twice", Qos::default()).unwrap();
    plan.source("flows", published("lab/flows"), one_port())
        .unwrap();
    for name in ["one", "other"] {
        let input = [Stream::Source(0, 0)];
        plan.operator(name, "filter", Arguments::new(), &input, one_port())
            .unwrap();
    }
    plan.sink("a", Stream::Operator(0, 0)).unwrap();
    plan.sink("b", Stream::Operator(1, 0)).unwrap();
    let plan = plan.build().unwrap();
    let named = |stream| -> Vec<Stream> { plan.streams_named(plan.stream_name(stream)).collect() };
    assert_eq!(named(Stream::Source(0, 0)), [Stream::Source(0, 0)]);
    let both = [Stream::Operator(0, 0), Stream::Operator(1, 0)];
    assert_eq!(named(both[0]), both);
    let unknown = StreamName::of_source(&published("lab/other"));
    assert_eq!(plan.streams_named(unknown).count(), 0);
}
