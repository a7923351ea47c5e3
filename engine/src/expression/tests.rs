use std::thread;

use arrow_array::{
    Array, BooleanArray, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    UInt32Array, UInt64Array,
};
use model::Field;
use proptest::prelude::*;

use super::*;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("a", DataType::Int64),
        Field::new("b", DataType::Int64),
        Field::new("n", DataType::UInt64),
        Field::new("x", DataType::Float64),
        Field::new("line", DataType::Utf8),
        Field::new("ok", DataType::Boolean),
        Field::new("ts", DataType::Timestamp),
        Field::new("Mixed Case", DataType::Int64),
        Field::new("state", DataType::Utf8),
    ])
    .unwrap()
}

/// Three rows, the last of nulls only.
fn rows() -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from(vec![Some(1), Some(2), None])),
        Arc::new(Int64Array::from(vec![Some(0), Some(5), None])),
        Arc::new(UInt64Array::from(vec![Some(7), Some(8), None])),
        Arc::new(Float64Array::from(vec![Some(0.5), Some(-1.5), None])),
        Arc::new(StringArray::from(vec![Some("to be or"), Some("not"), None])),
        Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![
            Some(0),
            Some(86_400_000_000),
            None,
        ])),
        Arc::new(Int64Array::from(vec![Some(3), Some(4), None])),
        Arc::new(StringArray::from(vec![Some("S0"), Some("SF"), None])),
    ];
    RecordBatch::try_new(crate::columns::to_arrow(&schema()), columns).unwrap()
}

fn parse(text: &str) -> Result<Expression, ExpressionError> {
    Expression::parse(text, &schema())
}

/// The type of an expression and its values as text.
fn evaluated(text: &str) -> (DataType, Vec<String>) {
    let expression = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let array = expression
        .evaluate(&rows())
        .unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(
        *array.data_type(),
        crate::columns::to_arrow_type(expression.data_type()),
        "{text}"
    );
    (expression.data_type(), texts(&array))
}

fn texts(array: &ArrayRef) -> Vec<String> {
    let texts = evaluation::cast(array, &arrow_schema::DataType::Utf8).unwrap();
    let texts = texts.as_string::<i32>();
    texts
        .iter()
        .map(|text| text.unwrap_or("null").to_owned())
        .collect()
}

#[test]
fn values_and_types_by_table() {
    use DataType::{Boolean, Float64, Int64, Timestamp, UInt64, Utf8};
    let cases: &[(&str, DataType, [&str; 3])] = &[
        ("a + b * 2", Int64, ["1", "12", "null"]),
        ("a / 2", Int64, ["0", "1", "null"]),
        ("a / 2.0", Float64, ["0.5", "1.0", "null"]),
        ("n", UInt64, ["7", "8", "null"]),
        ("n > a", Boolean, ["true", "true", "null"]),
        ("x", Float64, ["0.5", "-1.5", "null"]),
        ("-a", Int64, ["-1", "-2", "null"]),
        ("- - a", Int64, ["1", "2", "null"]),
        ("\"Mixed Case\" % 2", Int64, ["1", "0", "null"]),
        ("state = 'S0'", Boolean, ["true", "false", "null"]),
        ("state IN ('S0', 'S1')", Boolean, ["true", "false", "null"]),
        ("state IS NULL", Boolean, ["false", "false", "true"]),
        ("NOT ok", Boolean, ["false", "true", "null"]),
        ("ok AND a > 0", Boolean, ["true", "false", "null"]),
        ("a BETWEEN 2 AND 3", Boolean, ["false", "true", "null"]),
        ("line LIKE 'to%'", Boolean, ["true", "false", "null"]),
        ("line ~ 'n.t'", Boolean, ["false", "true", "null"]),
        // Narrow numbers are widened.
        ("length(line)", Int64, ["8", "3", "null"]),
        ("CAST(x AS REAL)", Float64, ["0.5", "-1.5", "null"]),
        ("CAST(a AS DECIMAL(10, 2))", Float64, ["1.0", "2.0", "null"]),
        ("upper(state) || '!'", Utf8, ["S0!", "SF!", "null"]),
        ("substring(line, 1, 2)", Utf8, ["to", "no", "null"]),
        (
            "string_to_array(line, ' ')[2]",
            Utf8,
            ["be", "null", "null"],
        ),
        // Functions that the planner must rewrite before they can be evaluated.
        ("coalesce(a, 9)", Int64, ["1", "2", "9"]),
        ("nvl(a, 9)", Int64, ["1", "2", "9"]),
        ("nvl2(a, 1, 2)", Int64, ["1", "1", "2"]),
        ("nullif(a, 1)", Int64, ["null", "2", "null"]),
        ("greatest(a, b)", Int64, ["1", "5", "null"]),
        ("CASE WHEN ok THEN 'y' ELSE 'n' END", Utf8, ["y", "n", "n"]),
        ("round(x)", Float64, ["1.0", "-2.0", "null"]),
        ("floor(x)", Float64, ["0.0", "-2.0", "null"]),
        ("abs(x)", Float64, ["0.5", "1.5", "null"]),
        // A scalar is expanded to all rows.
        ("1 + 1", Int64, ["2", "2", "2"]),
        ("true", Boolean, ["true", "true", "true"]),
        // Dates and times of all units become timestamps.
        (
            "date_trunc('day', ts) + INTERVAL '1 hour'",
            Timestamp,
            ["1970-01-01T01:00:00", "1970-01-02T01:00:00", "null"],
        ),
        (
            "CAST(ts AS DATE)",
            Timestamp,
            ["1970-01-01T00:00:00", "1970-01-02T00:00:00", "null"],
        ),
        (
            "to_timestamp('2020-01-01T00:00:00Z')",
            Timestamp,
            ["2020-01-01T00:00:00"; 3],
        ),
        (
            "ts > TIMESTAMP '1970-01-01 12:00:00'",
            Boolean,
            ["false", "true", "null"],
        ),
        ("extract(day from ts)", Int64, ["1", "2", "null"]),
    ];
    for (text, data_type, values) in cases {
        let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
        assert_eq!(evaluated(text), (*data_type, values), "{text}");
    }
}

#[test]
fn texts_of_the_same_shape_have_one_form() {
    let cases: &[(&str, &[&str])] = &[
        (
            "a = 1 AND ok",
            &[
                "a=1 and ok",
                "  a\n=\t1 And ok ",
                "(a = 1 AND ok)",
                "((a) = (1) AND ok)",
                "\"a\" = 1 AND \"ok\"",
                "a = 1 -- why\n AND /* so */ ok",
            ],
        ),
        (
            "length(line)",
            &["LENGTH( line )", "Length(line)", "(length((line)))"],
        ),
        (
            "state <> 'It''s'",
            &["state != 'It''s'", "\"state\"<>'It''s'"],
        ),
        ("\"Mixed Case\" + 1", &["\"Mixed Case\"+1"]),
        ("(a + b) * 2", &["( a+b )*2", "((a + b)) * 2"]),
        (
            "CASE WHEN ok THEN 1 ELSE 2 END",
            &["case when ok then 1 else 2 end"],
        ),
        ("-(-a)", &["- - a", "-(-a)", "- (- a)"]),
        ("a IS NOT NULL", &["a is not null"]),
    ];
    for (form, texts) in cases {
        for text in texts.iter().chain([form]) {
            let expression = parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(expression.text(), *form, "{text}");
        }
    }
    // What says something else keeps another form.
    assert_ne!(
        parse("a + b").unwrap().text(),
        parse("b + a").unwrap().text()
    );
    assert_ne!(
        parse("1.0 * a").unwrap().text(),
        parse("1 * a").unwrap().text()
    );
}

#[test]
fn refusals_by_table() {
    let cases = [
        ("", "an expression is missing"),
        (" \n -- nothing", "an expression is missing"),
        ("a +", "expected: an expression, found: EOF"),
        (
            "a b",
            "b stands behind the expression at Line: 1, Column: 3",
        ),
        (
            "a, b",
            ", stands behind the expression at Line: 1, Column: 2",
        ),
        (
            "a; b",
            "; stands behind the expression at Line: 1, Column: 2",
        ),
        ("'open", "unterminated string literal at Line: 1, Column: 1"),
        ("prise > 1", "no column is called \"prise\""),
        ("A", "no column is called \"A\""),
        ("lenght(line)", "no function is called \"lenght\""),
        (
            "flows.a",
            "flows.a cannot be used here: columns are named without a prefix",
        ),
        (
            "now()",
            "now cannot be used here: it would give another value on another host",
        ),
        (
            "random() > 0.5",
            "random cannot be used here: it would give another value on another host",
        ),
        (
            "uuid()",
            "uuid cannot be used here: it would give another value on another host",
        ),
        (
            "version()",
            "version cannot be used here: it would give another value on another host",
        ),
        (
            "ts > current_timestamp",
            "current_timestamp cannot be used here: it would give another value on another host",
        ),
        (
            "CASE WHEN ok THEN ts ELSE now() END",
            "now cannot be used here: it would give another value on another host",
        ),
        (
            "repeat(line, 2000000000)",
            "repeat cannot be used here: one number could make it take all memory of a host",
        ),
        (
            "list_repeat(a, b)[1]",
            "list_repeat cannot be used here: one number could make it take all memory of a host",
        ),
        (
            "count(*)",
            "count cannot be used here: aggregates are computed by the operator window",
        ),
        (
            "a > max(a)",
            "max cannot be used here: aggregates are computed by the operator window",
        ),
        (
            "sum(a) OVER ()",
            "sum cannot be used here: windows are an operator of their own",
        ),
        (
            "row_number() OVER ()",
            "row_number cannot be used here: windows are an operator of their own",
        ),
        (
            "(SELECT 1)",
            "a subquery cannot be used here: an expression reads one row",
        ),
        (
            "a IN (SELECT 1)",
            "a subquery cannot be used here: an expression reads one row",
        ),
        (
            "EXISTS (SELECT 1)",
            "a subquery cannot be used here: an expression reads one row",
        ),
        ("?", "? cannot be used here: nothing fills in a placeholder"),
        (
            "$1 + a",
            "$1 cannot be used here: nothing fills in a placeholder",
        ),
        (
            "*",
            "expected: an expression, found: * at Line: 1, Column: 1",
        ),
        (
            "unnest(string_to_array(line, ' '))",
            "no function is called \"unnest\"",
        ),
        (
            "a + line",
            "cannot coerce arithmetic expression Int64 + Utf8 to valid types",
        ),
        (
            "upper(a)",
            "function 'upper' requires String, but received Int64 (DataType: Int64)",
        ),
        (
            "power(a)",
            "function 'power' expects 2 arguments but received 1",
        ),
        (
            "a > 'x'",
            "cast error: Cannot cast string 'x' to value of Int64 type",
        ),
        ("1 / 0", "it always fails: divide by zero error"),
        (
            "NULL",
            "the value is of type null, which no column may have",
        ),
        (
            "INTERVAL '1 day'",
            "the value is of type interval(monthdaynano), which no column may have",
        ),
        (
            "ts - ts",
            "the value is of type duration(µs), which no column may have",
        ),
        (
            "string_to_array(line, ' ')",
            "the value is of type list(utf8), which no column may have",
        ),
    ];
    for (text, message) in cases {
        let error = parse(text).expect_err(text);
        assert_eq!(error.to_string(), message, "{text}");
    }
}

#[test]
fn hints_name_what_is_near() {
    let hint = |text: &str| parse(text).unwrap_err().expected().unwrap_or_default();
    assert!(hint("sate = 'S0'").starts_with("state; columns are a, b, n, x, line"));
    assert!(hint("A > 1").starts_with("a; columns are"));
    assert!(hint("something_else > 1").starts_with("one of a, b, n"));
    assert_eq!(hint("lenght(line)"), "length");
    assert_eq!(hint("concatenate_all(line)"), "");
    let condition = Expression::parse_predicate("a + 1", &schema()).unwrap_err();
    assert_eq!(condition, ExpressionError::NoCondition(DataType::Int64));
}

#[test]
fn lists_have_elements_of_the_closed_list() {
    let list = ListExpression::parse("STRING_TO_ARRAY(line, ' ')", &schema()).unwrap();
    assert_eq!(list.text(), "string_to_array(line, ' ')");
    assert_eq!(list.element_type(), DataType::Utf8);
    let lists = list.evaluate(&rows()).unwrap();
    let lens: Vec<usize> = lists
        .iter()
        .map(|list| list.map_or(0, |list| list.len()))
        .collect();
    assert_eq!(lens, [3, 1, 0]);

    let ascii = ListExpression::parse("[ascii(line), 1]", &schema()).unwrap();
    assert_eq!(ascii.element_type(), DataType::Int64);
    assert_eq!(
        texts(&ascii.evaluate(&rows()).unwrap().value(1)),
        ["110", "1"]
    );

    let refused = |text: &str| {
        ListExpression::parse(text, &schema())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(refused("line"), "the value is of type utf8, not a list");
    assert_eq!(
        refused("[string_to_array(line, ' ')]"),
        "the value is of type list(utf8), which no column may have"
    );
}

/// Numbers whose quotient fails where the second is zero.
fn quotients(pairs: &[(i64, i64)]) -> RecordBatch {
    let schema = Schema::new(vec![
        Field::new("a", DataType::Int64),
        Field::new("b", DataType::Int64),
    ])
    .unwrap();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(
            pairs.iter().map(|pair| pair.0),
        )),
        Arc::new(Int64Array::from_iter_values(
            pairs.iter().map(|pair| pair.1),
        )),
    ];
    RecordBatch::try_new(crate::columns::to_arrow(&schema), columns).unwrap()
}

#[test]
fn a_condition_before_a_division_guards_it_in_any_company() {
    let rows = quotients(&[(10, 0), (10, 2), (3, 0), (10, 9), (10, 1)]);
    let guarded = parse("b <> 0 AND a / b > 1").unwrap();
    let outcome = evaluate_rows(&rows, |rows| Ok(vec![guarded.evaluate(rows)?]));
    assert_eq!(outcome.bad, None);
    assert_eq!(
        texts(&outcome.values[0]),
        ["false", "true", "false", "false", "true"]
    );
}

#[test]
fn when_all_rows_are_bad_there_are_no_values() {
    let divided = parse("a / b").unwrap();
    let outcome = evaluate_rows(&quotients(&[(1, 0), (2, 0)]), |rows| {
        Ok(vec![divided.evaluate(rows)?])
    });
    assert!(outcome.values.is_empty());
    let bad = outcome.bad.unwrap();
    assert_eq!(bad.places.values(), &[0, 1]);
    assert!(bad.good.is_empty());
    let by_reason: Vec<(UInt32Array, String)> = bad
        .by_reason()
        .map(|(places, reason)| (places, reason.to_string()))
        .collect();
    assert_eq!(
        by_reason,
        [(bad.places.clone(), "divide by zero error".to_owned())]
    );
}

/// Texts of one shape, this deep or this long.
fn deep_texts(count: usize) -> Vec<String> {
    let around = |before: &str, inner: &str, after: &str| {
        format!("{}{inner}{}", before.repeat(count), after.repeat(count))
    };
    vec![
        around("", "a", " + a"),
        around("", "a = 1", " OR a = 1"),
        around("", "a = 1", " OR a = 1 AND ok"),
        around("", "line", " || line"),
        around("", "a", "::double"),
        around("", "a", " IS NULL"),
        around("", "line", " COLLATE c"),
        around("", "ts", " AT TIME ZONE 'UTC'"),
        around("", "string_to_array(line, ' ')", "[1]"),
        around("NOT ", "ok", ""),
        around("- ", "a", ""),
        around("~ ", "a", ""),
        around("INTERVAL ", "'1 day'", ""),
        around("INTERVAL '1 day' + ", "ts", ""),
        around("(", "a", ")"),
        around("(a + ", "a", ")"),
        around("[", "a", "]"),
        around("{", "a", "}"),
        around("{fn abs(", "a", ")}"),
        around("abs(", "a", ")"),
        around("concat('a', ", "line", ")"),
        around("coalesce(a, ", "a", ")"),
        around("CASE WHEN ok THEN a ELSE ", "a", " END"),
        around("CASE WHEN ", "ok", " THEN ok END"),
        around("CAST(", "a", " AS bigint)"),
        around("ok IN (ok, ", "ok", ")"),
        around("a + CASE WHEN a BETWEEN 1 AND ", "a", " THEN 1 END"),
        around("trim(", "line", ")"),
        around("substring(", "line", " FROM 1)"),
        around("position('a' IN ", "line", ")"),
        around("overlay(", "line", " PLACING 'a' FROM 1)"),
        around("(SELECT ", "1", ")"),
        around("EXISTS (SELECT ", "1", ")"),
        around("ok = ANY(", "ok", ")"),
        around("struct(", "a", ")"),
        format!(
            "CAST(a AS {}int{})",
            "table(x ".repeat(count),
            ")".repeat(count)
        ),
        format!(
            "CAST(a AS {}int{})",
            "array<".repeat(count),
            ">".repeat(count)
        ),
    ]
}

/// Every text is either an expression that can be evaluated or refused, however many levels it has: with two thirds
/// of the 2 MiB that threads get, the least of all stacks here.
#[test]
fn deep_texts_are_refused_and_never_overflow() {
    const STACK_BYTES: usize = (2 << 20) / 3 * 2;
    let tried = thread::Builder::new().stack_size(STACK_BYTES).spawn(|| {
        let mut accepted = 0;
        for count in (1..40).chain([48, 49, 50, 51, 64, 100, 200, 400, 1000, 2000]) {
            for text in deep_texts(count) {
                if let Ok(expression) = parse(&text) {
                    accepted += 1;
                    let again = parse(expression.text()).expect("the form is one");
                    assert_eq!(again.text(), expression.text());
                    expression.evaluate(&rows()).expect("no division in it");
                }
            }
        }
        accepted
    });
    let accepted = tried.unwrap().join().unwrap();
    assert!(accepted > 200, "only {accepted} were accepted");
}

#[test]
fn limits_are_said() {
    let chain = |count: usize| format!("a{}", " + a".repeat(count));
    assert!(parse(&chain(DEPTH_MAX)).is_ok());
    assert_eq!(
        parse(&chain(DEPTH_MAX + 1)).unwrap_err(),
        ExpressionError::TooDeep
    );
    let calls = |count: usize| format!("{}a{}", "abs(".repeat(count), ")".repeat(count));
    assert!(parse(&calls(DEPTH_MAX / ENCLOSURE_DEPTH)).is_ok());
    assert_eq!(
        parse(&calls(DEPTH_MAX / ENCLOSURE_DEPTH + 1)).unwrap_err(),
        ExpressionError::TooDeep
    );
    let long = format!("line = '{}'", "é".repeat(TEXT_BYTES_MAX));
    assert_eq!(
        parse(&long).unwrap_err(),
        ExpressionError::TooLong(long.len())
    );
}

/// Texts of valid expressions: numbers, then conditions.
fn number() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("a".to_owned()),
        Just("\"b\"".to_owned()),
        Just("\"Mixed Case\"".to_owned()),
        (0..100_i32).prop_map(|number| number.to_string()),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            (inner.clone(), "[-+*/%]", inner.clone())
                .prop_map(|(left, operator, right)| format!("{left}{operator} {right}")),
            inner.clone().prop_map(|inner| format!("( {inner} )")),
            inner.clone().prop_map(|inner| format!("- {inner}")),
            inner.clone().prop_map(|inner| format!("ABS({inner})")),
            (inner.clone(), inner.clone(), inner.clone()).prop_map(|(one, two, three)| {
                format!("case when {one}>{two} then {three} else {one} end")
            }),
            (inner.clone(), inner).prop_map(|(one, two)| format!("Coalesce({one},{two})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forms_are_forms_of_themselves(text in number()) {
        match parse(&text) {
            Ok(expression) => {
                let again = parse(expression.text()).expect("the form is an expression");
                prop_assert_eq!(again.text(), expression.text());
                let spread = text.replace(' ', "\n\t ").replace("Mixed\n\t Case", "Mixed Case");
                let spread = parse(&spread).expect("white space does not count");
                prop_assert_eq!(spread.text(), expression.text());
            }
            Err(error) => prop_assert!(
                matches!(error, ExpressionError::TooDeep | ExpressionError::Fails(_)),
                "{}: {}", text, error
            ),
        }
    }

    #[test]
    fn nothing_that_looks_like_sql_panics(
        words in prop::collection::vec(
            prop::sample::select(&[
                "a", "line", "ok", "ts", "\"b\"", "'x'", "1", "1.5", "99999999999999999999", "(", ")", "[", "]", "{",
                "}", ",", "+", "-", "*", "/", "%", "=", "<", "<>", "||", "::", "~", ".", "?", "$1", "@a", ":", "int",
                "AND", "OR", "NOT", "IS", "NULL", "IN", "LIKE", "BETWEEN", "CASE", "WHEN", "THEN", "ELSE", "END",
                "CAST", "AS", "INTERVAL", "DATE", "TIMESTAMP", "ARRAY", "abs(", "sum(", "now(", "extract(", "FROM",
                "SELECT", "EXISTS", "OVER", "DISTINCT", "day", "substring(", "position(", "TRIM(", "struct(", "'",
            ][..]),
            0..12,
        )
    ) {
        let text = words.join(" ");
        if let Ok(expression) = parse(&text) {
            let _ = expression.evaluate(&rows());
            let again = parse(expression.text()).expect("the form is an expression");
            prop_assert_eq!(again.text(), expression.text());
        }
    }

    /// Whether a row is bad, and its value, depend on the row alone.
    #[test]
    fn bad_rows_are_isolated(pairs in prop::collection::vec((-3..3_i64, -1..3_i64), 0..40)) {
        let divided = parse("a / b").expect("valid");
        let rows = quotients(&pairs);
        let outcome = evaluate_rows(&rows, |rows| Ok(vec![divided.evaluate(rows)?]));
        let is_bad = |pair: &&(i64, i64)| pair.1 == 0;
        let values: Vec<i64> = pairs.iter().filter(|pair| !is_bad(pair)).map(|pair| pair.0 / pair.1).collect();
        let places: Vec<u32> = (0..).zip(&pairs).filter(|(_, pair)| is_bad(pair)).map(|(place, _)| place).collect();
        let found = outcome.values.first().map(|array| array.as_primitive::<arrow_array::types::Int64Type>().values().to_vec());
        prop_assert_eq!(found.unwrap_or_default(), values);
        prop_assert_eq!(outcome.bad.as_ref().map(|bad| bad.places.values().to_vec()).unwrap_or_default(), places);
        prop_assert_eq!(outcome.bad.is_some(), pairs.iter().any(|pair| pair.1 == 0));
    }
}
