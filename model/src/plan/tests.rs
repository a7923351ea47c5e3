use proptest::prelude::*;

use super::*;
use crate::id::NodeId;
use crate::schema::{DataType, Field};

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
