//! What a window is given.

use super::*;

const SECOND: i64 = 1_000_000;

#[test]
fn results_have_keys_bounds_and_selected_columns() {
    let select = [
        ("attempts", "count(*)"),
        ("ports", "approx_distinct(value)"),
        ("mean", "sum(weight) / count(*)"),
    ];
    let compiled = compile(&arguments(&[("tumbling", SECOND)], &["key"], &select, 0)).unwrap();
    let (name, schema) = &compiled.outputs[0];
    assert_eq!(name, "out");
    assert_eq!(
        schema.to_string(),
        "key string, window_start timestamp, window_end timestamp, attempts int64, ports uint64, mean float64"
    );
    assert_eq!(compiled.outputs[1], ("late".to_owned(), weighted()));
    assert_eq!(compiled.outputs[2].0, "bad");
    assert_eq!(
        compiled.outputs[2].1,
        crate::operator::bad_schema(&weighted())
    );
}

#[test]
fn parameters_have_one_form_that_compiles_to_itself() {
    let loose = arguments(
        &[("slide", SECOND), ("sliding", SECOND)],
        &["key"],
        &[("n", "COUNT( * )"), ("m", "Sum(value)/count(*)")],
        0,
    );
    let strict = Arguments::from_iter([
        (
            "window",
            Value::Table(vec![("tumbling".into(), Scalar::Micros(SECOND))]),
        ),
        ("by", Value::List(vec![Scalar::from("key")])),
        (
            "select",
            Value::Table(vec![
                ("n".into(), Scalar::from("count(*)")),
                ("m".into(), Scalar::from("sum(value) / count(*)")),
            ]),
        ),
    ]);
    assert_eq!(compile(&loose).unwrap().parameters, strict);
    assert_eq!(compile(&strict).unwrap().parameters, strict);

    let late = arguments(
        &[("slide", SECOND), ("sliding", 2 * SECOND)],
        &[],
        &[("n", "count(*)")],
        5,
    );
    let once = compile(&late).unwrap().parameters;
    assert_eq!(compile(&once).unwrap().parameters, once);
    assert_eq!(once.find("by"), None);
    assert_eq!(
        once.find("lateness"),
        Some(&Value::Scalar(Scalar::Micros(5)))
    );
}

#[test]
fn what_is_wrong_is_said_of_the_parameter_that_is() {
    let good = [("n", "count(*)")];
    let cases: Vec<(Arguments, &str, &str)> = vec![
        (arguments(&[], &[], &good, 0), "window", "neither"),
        (
            arguments(&[("session", 9_999)], &[], &good, 0),
            "window.session",
            "9999 us",
        ),
        (
            arguments(&[("session", SECOND), ("slide", SECOND)], &[], &good, 0),
            "window",
            "neither tumbles nor slides",
        ),
        (
            arguments(&[("tumbling", 0)], &[], &good, 0),
            "window.tumbling",
            "0 us",
        ),
        (
            arguments(&[("tumbling", 999)], &[], &good, 0),
            "window.tumbling",
            "999 us",
        ),
        (
            arguments(&[("tumbling", -5)], &[], &good, 0),
            "window.tumbling",
            "-5 us",
        ),
        (
            arguments(&[("tumbling", i64::MAX)], &[], &good, 0),
            "window.tumbling",
            "out of range",
        ),
        (
            arguments(&[("tumbling", SECOND), ("slide", SECOND)], &[], &good, 0),
            "window",
            "does not slide",
        ),
        (
            arguments(&[("sliding", SECOND)], &[], &good, 0),
            "window.slide",
            "missing",
        ),
        (
            arguments(&[("slide", SECOND)], &[], &good, 0),
            "window.sliding",
            "missing",
        ),
        (
            arguments(&[("sliding", SECOND), ("slide", 0)], &[], &good, 0),
            "window.slide",
            "0 us",
        ),
        (
            arguments(
                &[("sliding", 3 * SECOND), ("slide", 2 * SECOND)],
                &[],
                &good,
                0,
            ),
            "window.sliding",
            "no multiple",
        ),
        (
            arguments(&[("sliding", SECOND), ("slide", 2 * SECOND)], &[], &good, 0),
            "window.sliding",
            "no multiple",
        ),
        (
            arguments(&[("sliding", 10_001_000), ("slide", 1_000)], &[], &good, 0),
            "window.sliding",
            "10001 slides",
        ),
        (
            arguments(&[("hopping", SECOND)], &[], &good, 0),
            "window.hopping",
            "no such",
        ),
        (
            arguments(&[("tumbling", SECOND)], &["name"], &good, 0),
            "by",
            "\"name\"",
        ),
        (
            arguments(&[("tumbling", SECOND)], &["key", "key"], &good, 0),
            "by",
            "twice",
        ),
        (
            arguments(&[("tumbling", SECOND)], &["key"; 17], &good, 0),
            "by",
            "17 columns",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &good, -1),
            "lateness",
            "-1 us",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[], 0),
            "select",
            "nothing",
        ),
        (
            arguments(&[("tumbling", SECOND)], &["key"], &[("key", "count(*)")], 0),
            "select.key",
            "already",
        ),
        (
            arguments(
                &[("tumbling", SECOND)],
                &[],
                &[("window_end", "count(*)")],
                0,
            ),
            "select.window_end",
            "already",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("a.b", "count(*)")], 0),
            "select.a.b",
            "no dots",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("n", "value")], 0),
            "select.n",
            "outside of an aggregate",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("n", "sum(valu)")], 0),
            "select.n",
            "valu",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("n", "max(window_end)")], 0),
            "select.n",
            "not known",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("n", "sum(key)")], 0),
            "select.n",
            "",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("n", "sum(count(*))")], 0),
            "select.n",
            "",
        ),
        (
            arguments(
                &[("tumbling", SECOND)],
                &[],
                &[("n", "array_agg(value)")],
                0,
            ),
            "select.n",
            "array_agg",
        ),
        (
            arguments(
                &[("tumbling", SECOND)],
                &[],
                &[("n", "first(value order by weight)")],
                0,
            ),
            "select.n",
            "order",
        ),
        (
            arguments(&[("tumbling", SECOND)], &[], &[("n", "sum(random())")], 0),
            "select.n",
            "random",
        ),
        (
            arguments(
                &[("tumbling", SECOND)],
                &[],
                &[("n", "count(*) over ()")],
                0,
            ),
            "select.n",
            "window",
        ),
    ];
    for (arguments, parameter, message) in cases {
        let errors = compile(&arguments).expect_err(&format!("{parameter}: {message}"));
        assert_eq!(errors[0].parameter, parameter, "{errors:?}");
        assert!(errors[0].message.contains(message), "{errors:?}");
    }
}

#[test]
fn values_of_a_wrong_shape_are_refused() {
    for name in ["window", "by", "select", "lateness"] {
        let good = arguments(&[("tumbling", SECOND)], &["key"], &[("n", "count(*)")], 0);
        for wrong in [
            Value::Scalar(Scalar::Boolean(true)),
            Value::List(vec![Scalar::Integer(1)]),
            Value::Table(vec![("tumbling".into(), Scalar::Integer(1))]),
        ] {
            let wrong = good.iter().map(|(key, value)| {
                (
                    key,
                    if key == name {
                        wrong.clone()
                    } else {
                        value.clone()
                    },
                )
            });
            let errors = compile(&wrong.collect()).expect_err(name);
            assert!(errors[0].parameter.starts_with(name), "{errors:?}");
        }
    }
    assert_eq!(
        compile(&Arguments::new())
            .expect_err("nothing is given")
            .len(),
        2
    );
}

#[test]
fn there_are_at_most_64_aggregates() {
    let texts: Vec<(String, String)> = (0..65)
        .map(|n| (format!("n{n}"), format!("sum(value + {n})")))
        .collect();
    let select: Vec<(&str, &str)> = texts
        .iter()
        .map(|(n, t)| (n.as_str(), t.as_str()))
        .collect();
    let window = [("tumbling", SECOND)];
    assert!(compile(&arguments(&window, &[], &select[..64], 0)).is_ok());
    let errors = compile(&arguments(&window, &[], &select, 0)).expect_err("one too many");
    assert_eq!(errors[0].parameter, "select.n64");
}

#[test]
fn a_window_reads_what_a_window_made() {
    let first = arguments(
        &[("tumbling", SECOND)],
        &["key"],
        &[("n", "count(*)"), ("#0", "max(value)")],
        0,
    );
    let made = compile(&first).unwrap().outputs.swap_remove(0).1;
    let select = [
        ("n", "sum(n)"),
        ("earliest", "min(window_start)"),
        ("start", "window_start"),
        ("most", "max(\"#0\")"),
    ];
    let second = arguments(&[("tumbling", 60 * SECOND)], &["key"], &select, 0);
    let compiled = (KIND.compile)(&second, std::slice::from_ref(&made)).unwrap();
    assert_eq!(
        compiled.outputs[0].1.to_string(),
        "key string, window_start timestamp, window_end timestamp, n int64, earliest timestamp, start timestamp, most int64"
    );
    for text in ["\"#0\"", "\"#0\" + sum(n)"] {
        let select = [("n", text)];
        let wrong = arguments(&[("tumbling", 60 * SECOND)], &["key"], &select, 0);
        let errors = (KIND.compile)(&wrong, std::slice::from_ref(&made)).unwrap_err();
        assert!(
            errors[0].message.contains("outside of an aggregate"),
            "{errors:?}"
        );
    }
}
