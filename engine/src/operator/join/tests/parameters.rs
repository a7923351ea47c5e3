//! What a join is given.

use super::*;

fn refused(arguments: &Arguments) -> Vec<String> {
    let errors = compile(arguments).expect_err("refused");
    errors.iter().map(ToString::to_string).collect()
}

fn given(entries: &[(&str, Value)]) -> Arguments {
    let mut arguments = Arguments::new();
    for (name, value) in entries {
        arguments.push(*name, value.clone());
    }
    arguments
}

fn micros(micros: i64) -> Scalar {
    Scalar::Micros(micros)
}

#[test]
fn what_is_left_out_is_put_in() {
    let on = table(&[("upper( key )", "key".into()), ("value", "number".into())]);
    let bounds = table(&[("upper", micros(2)), ("lower", micros(-3))]);
    let compiled = compile(&given(&[("interval", bounds), ("on", on)])).unwrap();
    let quoted = |name: &str| Scalar::Text(format!("\"{name}\""));
    let names = [
        "left_key",
        "left_value",
        "left_number",
        "right_key",
        "right_value",
        "right_number",
    ];
    let everything: Vec<(&str, Scalar)> = names.iter().map(|name| (*name, quoted(name))).collect();
    let select = compiled.parameters.find("select").unwrap().clone();
    let Value::Table(selected) = &select else {
        panic!("{select:?}")
    };
    assert_eq!(selected.len(), everything.len());
    assert_eq!(
        compiled.parameters,
        given(&[
            (
                "on",
                table(&[("upper(key)", "key".into()), ("value", "number".into())])
            ),
            (
                "interval",
                table(&[("lower", micros(-3)), ("upper", micros(2))])
            ),
            ("granularity", Value::Scalar(micros(10_000))),
            ("as", Value::List(vec!["left".into(), "right".into()])),
            ("select", select.clone()),
        ])
    );
    let (out, late, bad) = (
        &compiled.outputs[0],
        &compiled.outputs[1],
        &compiled.outputs[2],
    );
    assert_eq!(
        (out.0.as_str(), late.0.as_str(), bad.0.as_str()),
        ("out", "late", "bad")
    );
    let known: Vec<&str> = out
        .1
        .fields()
        .iter()
        .map(|field| field.name.as_str())
        .collect();
    assert_eq!(known, names);
    assert_eq!(late.1, out.1);
    assert_eq!(bad.1, bad_schema(&late.1));
}

#[test]
fn a_window_that_slides_by_its_own_length_tumbles() {
    let one = compile(&sliding(5_000, 5_000, &[("type", "inner".into())])).unwrap();
    let tumbling = table(&[("tumbling", micros(5_000))]);
    let other = compile(&arguments(&[("window", tumbling)])).unwrap();
    assert_eq!(one.parameters, other.parameters);
}

#[test]
fn columns_are_called_by_chosen_words() {
    let more = [
        ("as", Value::List(vec!["bid".into(), "ask".into()])),
        ("select", table(&[("gap", "ask_value - bid_value".into())])),
    ];
    let mut run = begin(&interval(0, 9, &more));
    run.left(&[row(1, "a")]);
    run.right(&[row(8, "a")]);
    run.end();
    assert_eq!(run.results, ["1 @999 7"]);
}

#[test]
fn nothing_need_be_read_of_either_side() {
    let mut run = begin(&interval(
        0,
        9,
        &[("select", table(&[("one", "1".into())]))],
    ));
    run.left(&[row(1, "a"), row(2, "a")]);
    run.right(&[row(8, "a")]);
    run.end();
    assert_eq!(run.results, ["1 @999 1", "1 @999 1"]);
}

#[test]
fn arguments_are_refused_by_table() {
    let tumbling = || table(&[("tumbling", micros(5_000))]);
    let on = || table(&[("key", "key".into())]);
    let bounds = |lower, upper| table(&[("lower", micros(lower)), ("upper", micros(upper))]);
    let far = operator::window::SPAN_MAX_MICROS + 1;
    let cases: Vec<(Arguments, Vec<&str>)> = vec![
        (
            given(&[]),
            vec![
                "window: neither window nor interval is given",
                "on: missing",
            ],
        ),
        (
            given(&[
                ("on", on()),
                ("window", tumbling()),
                ("interval", bounds(0, 1)),
            ]),
            vec!["interval: given together with window"],
        ),
        (
            given(&[
                ("on", on()),
                ("window", tumbling()),
                ("granularity", Value::Scalar(micros(5_000))),
            ]),
            vec!["granularity: the results of a window leave when it closes"],
        ),
        (
            given(&[
                ("on", on()),
                ("interval", bounds(0, 1)),
                ("granularity", Value::Scalar(micros(999))),
            ]),
            vec!["granularity: 999 us are out of range"],
        ),
        (
            given(&[("on", on()), ("interval", bounds(2, 1))]),
            vec!["interval.lower: 2 us lie behind the upper bound, 1 us"],
        ),
        (
            given(&[("on", on()), ("interval", bounds(-far, 1))]),
            vec!["interval.lower: -31622400000001 us are out of range"],
        ),
        (
            given(&[("on", on()), ("interval", table(&[("lower", micros(1))]))]),
            vec!["interval.upper: missing"],
        ),
        (
            given(&[
                (
                    "on",
                    table(&[("kee", "key".into()), ("key", "value".into())]),
                ),
                ("window", tumbling()),
            ]),
            vec![
                "on.kee: left stream: no column is called \"kee\"",
                "on.key: key of type string cannot equal value of type int64",
            ],
        ),
        (
            given(&[
                (
                    "on",
                    table(&[("key", "key".into()), ("(key)", "key".into())]),
                ),
                ("window", tumbling()),
            ]),
            vec!["on.(key): given twice"],
        ),
        (
            given(&[
                ("on", on()),
                ("window", tumbling()),
                ("type", "outer".into()),
            ]),
            vec!["type: no type of a join"],
        ),
        (
            given(&[
                ("on", on()),
                ("window", tumbling()),
                ("as", Value::List(vec!["a".into(), "a".into()])),
            ]),
            vec!["as: not two words that differ"],
        ),
        (
            given(&[
                ("on", on()),
                ("window", tumbling()),
                ("where", "key = 'a'".into()),
            ]),
            vec!["where: no column is called \"key\""],
        ),
        (
            given(&[
                ("on", on()),
                ("interval", bounds(0, 1)),
                ("select", table(&[("a", "window_start".into())])),
            ]),
            vec!["select.a: no column is called \"window_start\""],
        ),
        (
            given(&[
                ("on", on()),
                ("window", tumbling()),
                ("lateness", "5s".into()),
            ]),
            vec!["lateness: not a time span"],
        ),
    ];
    for (arguments, messages) in cases {
        assert_eq!(refused(&arguments), messages, "{arguments:?}");
    }
    let one = (KIND.compile)(&given(&[("on", on())]), &[numbered()]).unwrap_err();
    assert_eq!(one[0].to_string(), "from: 1 inputs where two are read");
    let wide = (0..model::COLUMNS_MAX - 1).map(|n| Field::new(format!("c{n}"), DataType::Int64));
    let wide = Schema::new(wide.collect()).unwrap();
    let on = table(&[("c0", "number".into())]);
    let errors = (KIND.compile)(
        &given(&[("on", on), ("window", tumbling())]),
        &[wide, numbered()],
    );
    assert_eq!(
        errors.unwrap_err()[0].to_string(),
        "from: 1026 columns of both streams are too many"
    );
}
