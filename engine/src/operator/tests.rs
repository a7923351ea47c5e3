//! Tests of the operators without state: what they make of rows, and what they refuse.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use model::{DataType, Field, Instant, Interval, Origin, Value};
use proptest::prelude::*;

use super::*;
use crate::batch::{Header, Token};
use crate::columns;

fn schema() -> Schema {
    Schema::new(vec![
        Field::new("price", DataType::Int64),
        Field::new("lots", DataType::Int64),
        Field::new("line", DataType::Utf8),
    ])
    .unwrap()
}

#[derive(Debug, Clone)]
struct Row(Option<i64>, i64, Option<&'static str>);

const ROWS: [Row; 6] = [
    Row(Some(2000), 10, Some("to be or")),
    Row(Some(40), 0, Some("not")),
    Row(None, 4, None),
    Row(Some(5), 0, Some("")),
    Row(Some(20), 2, Some("to be")),
    Row(Some(0), 1, Some("that")),
];

/// Rows that stand behind the index `after`.
fn batch(after: usize, rows: &[Row]) -> Batch {
    let prices: Int64Array = rows.iter().map(|row| row.0).collect();
    let lots: Int64Array = rows.iter().map(|row| Some(row.1)).collect();
    let lines: StringArray = rows.iter().map(|row| row.2).collect();
    let arrays: Vec<ArrayRef> = vec![Arc::new(prices), Arc::new(lots), Arc::new(lines)];
    let columns = RecordBatch::try_new(columns::to_arrow(&schema()), arrays).unwrap();
    let (after, len) = (after as u64, rows.len() as u64);
    let times = (after + 1..=after + len)
        .map(|index| i64::try_from(index).unwrap() * 100)
        .collect();
    Batch {
        header: Header {
            origin: Origin(1),
            interval: Interval::new(after, after + len),
            arrival: Instant::ZERO,
            progress: EventTime::MIN,
            token: Token::Unmetered,
            missing: 0,
            note: None,
        },
        rows: Rows::dense(columns, times, None),
    }
}

/// A row as text, with its index and event time.
type Seen = (u64, i64, String);

fn seen(interval: Interval, rows: &Rows) -> Vec<Seen> {
    let columns: Vec<ArrayRef> = rows
        .columns()
        .columns()
        .iter()
        .map(|column| arrow_cast::cast(column, &arrow_schema::DataType::Utf8).unwrap())
        .collect();
    let value = |column: &ArrayRef, row| {
        let texts = column.as_string::<i32>();
        if texts.is_null(row) {
            "-".to_owned()
        } else {
            texts.value(row).to_owned()
        }
    };
    (0..rows.len())
        .map(|row| {
            let values: Vec<String> = columns.iter().map(|column| value(column, row)).collect();
            let index = interval.through() - u64::from(rows.back(row));
            (index, rows.times()[row], values.join(" | "))
        })
        .collect()
}

/// What left at each port, by its name; what is bad with its reason behind it.
fn run(compiled: &mut Compiled, batches: &[Batch]) -> BTreeMap<String, Vec<Seen>> {
    let mut ports: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
    for batch in batches.iter().filter(|batch| !batch.rows.is_empty()) {
        let mut emit = Emitter::default();
        compiled.operator.process(0, batch, &mut emit);
        for (port, rows) in &emit.kept {
            let (name, schema) = &compiled.outputs[usize::from(*port)];
            assert_eq!(rows.columns().schema(), columns::to_arrow(schema), "{name}");
            let port = ports.entry(name.clone()).or_default();
            port.extend(seen(batch.header.interval, rows));
        }
        for (rows, reason) in &emit.bad {
            let port = ports.entry("bad".to_owned()).or_default();
            let bad = seen(batch.header.interval, rows);
            port.extend(
                bad.into_iter()
                    .map(|(index, time, row)| (index, time, format!("{row}: {reason}"))),
            );
        }
    }
    ports
}

fn table(entries: &[(&str, &str)]) -> Value {
    Value::Table(
        entries
            .iter()
            .map(|(name, text)| ((*name).to_owned(), (*text).into()))
            .collect(),
    )
}

fn arguments<const N: usize>(arguments: [(&str, Value); N]) -> Arguments {
    Arguments::from_iter(arguments)
}

fn compile(
    kind: &str,
    arguments: &Arguments,
    inputs: &[Schema],
) -> Result<Compiled, Vec<ArgumentError>> {
    let compiled = (find(kind).expect("a known kind").compile)(arguments, inputs)?;
    let again = (find(kind).expect("a known kind").compile)(&compiled.parameters, inputs)?;
    assert_eq!(
        again.parameters, compiled.parameters,
        "normal parameters stay as they are"
    );
    assert_eq!(again.outputs, compiled.outputs);
    Ok(compiled)
}

/// Runs an operator on [`ROWS`], whole and cut at every place, and expects these rows as `index: values`.
fn check(kind: &str, given: &Arguments, expected: &[(&str, &[&str])]) {
    let mut compiled = compile(kind, given, &[schema()]).unwrap();
    let whole = run(&mut compiled, &[batch(0, &ROWS)]);
    let said: BTreeMap<&str, Vec<String>> = whole
        .iter()
        .map(|(port, rows)| {
            assert!(
                rows.iter()
                    .all(|(index, time, _)| i64::try_from(*index).unwrap() * 100 == *time)
            );
            (
                port.as_str(),
                rows.iter()
                    .map(|(index, _, row)| format!("{index}: {row}"))
                    .collect(),
            )
        })
        .collect();
    let expected = expected
        .iter()
        .map(|(port, rows)| (*port, rows.iter().map(|row| (*row).to_owned()).collect()))
        .collect();
    assert_eq!(said, expected, "{kind} {given:?}");
    for cut in 0..=ROWS.len() {
        let (left, right) = ROWS.split_at(cut);
        let parts = [batch(0, left), batch(cut, right)];
        assert_eq!(
            run(&mut compiled, &parts),
            whole,
            "{kind} {given:?}, cut at {cut}"
        );
    }
}

fn refused(kind: &str, given: &Arguments) -> Vec<String> {
    let errors = compile(kind, given, &[schema()]).expect_err("refused");
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_filter_passes_rows_for_which_the_condition_holds() {
    let given = |text: &str| arguments([("where", text.into())]);
    check(
        "filter",
        &given("price > 10"),
        &[(
            "out",
            &[
                "1: 2000 | 10 | to be or",
                "2: 40 | 0 | not",
                "5: 20 | 2 | to be",
            ],
        )],
    );
    check(
        "filter",
        &given("price / lots >= 10"),
        &[
            ("out", &["1: 2000 | 10 | to be or", "5: 20 | 2 | to be"]),
            (
                "bad",
                &[
                    "2: 40 | 0 | not: divide by zero error",
                    "4: 5 | 0 | : divide by zero error",
                ],
            ),
        ],
    );
    check(
        "filter",
        &given("lots <> 0 and price / lots >= 10"),
        &[("out", &["1: 2000 | 10 | to be or", "5: 20 | 2 | to be"])],
    );
    check("filter", &given("price > 99999"), &[]);
}

#[test]
fn a_filters_parameter_is_normalized() {
    let given = arguments([("where", "( price>10 )".into())]);
    let compiled = compile("filter", &given, &[schema()]).unwrap();
    assert_eq!(
        compiled.parameters,
        arguments([("where", "price > 10".into())])
    );
    assert_eq!(compiled.outputs[0], ("out".to_owned(), schema()));
    assert_eq!(
        compiled.outputs[1],
        ("bad".to_owned(), bad_schema(&schema()))
    );
}

#[test]
fn a_map_selects_or_adds() {
    let select = table(&[
        ("value", "price*lots"),
        ("line", "upper(line)"),
        ("one", "1"),
    ]);
    check(
        "map",
        &arguments([("select", select)]),
        &[(
            "out",
            &[
                "1: 20000 | TO BE OR | 1",
                "2: 0 | NOT | 1",
                "3: - | - | 1",
                "4: 0 |  | 1",
                "5: 40 | TO BE | 1",
                "6: 0 | THAT | 1",
            ],
        )],
    );
    // What is computed reads what came in: two columns can be exchanged.
    let add = table(&[
        ("price", "lots"),
        ("lots", "price"),
        ("each", "price / lots"),
    ]);
    check(
        "map",
        &arguments([("add", add)]),
        &[
            (
                "out",
                &[
                    "1: 10 | 2000 | to be or | 200",
                    "3: 4 | - | - | -",
                    "5: 2 | 20 | to be | 10",
                    "6: 1 | 0 | that | 0",
                ],
            ),
            (
                "bad",
                &[
                    "2: 40 | 0 | not: each: divide by zero error",
                    "4: 5 | 0 | : each: divide by zero error",
                ],
            ),
        ],
    );
}

#[test]
fn rows_are_bad_each_for_its_own_reason() {
    let add = table(&[("per", "price / lots"), ("number", "CAST(line AS bigint)")]);
    let given = arguments([("add", add)]);
    check(
        "map",
        &given,
        &[
            ("out", &["3: - | 4 | - | - | -"]),
            (
                "bad",
                &[
                    "1: 2000 | 10 | to be or: number: cannot cast string 'to be or' to value of Int64 type",
                    "2: 40 | 0 | not: per: divide by zero error",
                    "4: 5 | 0 | : per: divide by zero error",
                    "5: 20 | 2 | to be: number: cannot cast string 'to be' to value of Int64 type",
                    "6: 0 | 1 | that: number: cannot cast string 'that' to value of Int64 type",
                ],
            ),
        ],
    );
}

#[test]
fn a_flat_map_makes_a_row_of_each_element() {
    let words = |name: &str| arguments([("each", table(&[(name, "string_to_array(line, ' ')")]))]);
    check(
        "flat_map",
        &words("word"),
        &[(
            "out",
            &[
                "1: 2000 | 10 | to be or | to",
                "1: 2000 | 10 | to be or | be",
                "1: 2000 | 10 | to be or | or",
                "2: 40 | 0 | not | not",
                "5: 20 | 2 | to be | to",
                "5: 20 | 2 | to be | be",
                "6: 0 | 1 | that | that",
            ],
        )],
    );
    // In the place of the column of the same name.
    let given = arguments([("each", table(&[("lots", "[price / lots, lots]")]))]);
    check(
        "flat_map",
        &given,
        &[
            (
                "out",
                &[
                    "1: 2000 | 200 | to be or",
                    "1: 2000 | 10 | to be or",
                    "3: - | - | -",
                    "3: - | 4 | -",
                    "5: 20 | 10 | to be",
                    "5: 20 | 2 | to be",
                    "6: 0 | 0 | that",
                    "6: 0 | 1 | that",
                ],
            ),
            (
                "bad",
                &[
                    "2: 40 | 0 | not: divide by zero error",
                    "4: 5 | 0 | : divide by zero error",
                ],
            ),
        ],
    );
}

#[test]
fn a_row_with_too_long_a_list_is_bad() {
    let given = arguments([("each", table(&[("word", "string_to_array(line, ' ')")]))]);
    let mut compiled = compile("flat_map", &given, &[schema()]).unwrap();
    let long: &'static str = " ".repeat(flat_map::ELEMENTS_MAX).leak();
    let rows = [
        Row(None, 1, Some("a b")),
        Row(None, 2, Some(long)),
        Row(None, 3, Some("c")),
    ];
    let ports = run(&mut compiled, &[batch(0, &rows)]);
    let indices = |port: &str| {
        ports[port]
            .iter()
            .map(|(index, ..)| *index)
            .collect::<Vec<_>>()
    };
    assert_eq!(indices("out"), [1, 1, 3]);
    assert_eq!(indices("bad"), [2]);
    assert!(
        ports["bad"][0]
            .2
            .ends_with(": a list of 4097 elements is longer than 4096")
    );
}

#[test]
fn a_split_sends_each_row_to_the_first_port_whose_condition_holds() {
    let given = |conditions| arguments([("when", table(conditions))]);
    check(
        "split",
        &given(&[("big", "price > 1000"), ("small", "price > 10")]),
        &[
            ("big", &["1: 2000 | 10 | to be or"]),
            ("small", &["2: 40 | 0 | not", "5: 20 | 2 | to be"]),
            ("rest", &["3: - | 4 | -", "4: 5 | 0 | ", "6: 0 | 1 | that"]),
        ],
    );
    // The second condition is asked only where the first does not hold: the row at 2 has its port by then.
    check(
        "split",
        &given(&[("small", "price = 40"), ("dear", "price / lots > 100")]),
        &[
            ("small", &["2: 40 | 0 | not"]),
            ("dear", &["1: 2000 | 10 | to be or"]),
            (
                "rest",
                &["3: - | 4 | -", "5: 20 | 2 | to be", "6: 0 | 1 | that"],
            ),
            ("bad", &["4: 5 | 0 | : dear: divide by zero error"]),
        ],
    );
    let compiled = compile(
        "split",
        &given(&[("b", "price>1"), ("a", "lots>1")]),
        &[schema()],
    )
    .unwrap();
    let ports: Vec<&str> = compiled
        .outputs
        .iter()
        .map(|(port, _)| port.as_str())
        .collect();
    assert_eq!(ports, ["b", "a", "rest", "bad"]);
}

#[test]
fn a_union_passes_rows_of_equal_schemas() {
    let mut compiled = compile("union", &Arguments::new(), &[schema(), schema()]).unwrap();
    assert_eq!(compiled.outputs, [("out".to_owned(), schema())]);
    let rows = run(&mut compiled, &[batch(0, &ROWS)]);
    assert_eq!(rows["out"].len(), ROWS.len());

    let with = |fields: &[(&str, DataType)]| {
        Schema::new(
            fields
                .iter()
                .map(|(name, kind)| Field::new(*name, *kind))
                .collect(),
        )
        .unwrap()
    };
    let (int, float) = (DataType::Int64, DataType::Float64);
    let ab = with(&[("a", int), ("b", int)]);
    let cases = [
        (vec![], "from: missing"),
        (vec![ab.clone()], "from: a union of one stream"),
        (
            vec![ab.clone(), ab.clone(), with(&[("a", int), ("b", float)])],
            "from: input 3 is not like input 1: column 2 is \"b\" float64 instead of \"b\" int64",
        ),
        (
            vec![ab.clone(), with(&[("a", int)])],
            "from: input 2 is not like input 1: column 2, \"b\", is missing",
        ),
        (
            vec![ab.clone(), with(&[("a", int), ("b", int), ("c", int)])],
            "from: input 2 is not like input 1: column 3, \"c\", is too many",
        ),
    ];
    for (inputs, message) in cases {
        let errors = compile("union", &Arguments::new(), &inputs).unwrap_err();
        assert_eq!(
            errors.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [message]
        );
    }
}

#[test]
fn arguments_are_refused_by_table() {
    let cases: Vec<(&str, Arguments, Vec<&str>)> = vec![
        ("filter", arguments([]), vec!["where: missing"]),
        (
            "filter",
            arguments([("where", table(&[]))]),
            vec!["where: not an expression in quotes"],
        ),
        (
            "filter",
            arguments([("where", "price".into())]),
            vec!["where: the value is of type int64, not a condition"],
        ),
        (
            "filter",
            arguments([("where", "prise > 1".into())]),
            vec!["where: no column is called \"prise\""],
        ),
        (
            "filter",
            arguments([
                ("where", "price > 1".into()),
                ("when", "x".into()),
                ("where", "true".into()),
            ]),
            vec!["when: there is no such parameter", "where: given twice"],
        ),
        (
            "map",
            arguments([]),
            vec!["select: neither select nor add is given"],
        ),
        (
            "map",
            arguments([("select", table(&[]))]),
            vec!["select: there is nothing in it"],
        ),
        (
            "map",
            arguments([
                ("select", table(&[("a", "price")])),
                ("add", table(&[("a", "price")])),
            ]),
            vec!["add: given together with select"],
        ),
        (
            "map",
            arguments([(
                "add",
                table(&[
                    ("a.b", "price"),
                    ("", "lots"),
                    ("c", "lots +"),
                    ("d", "lost"),
                ]),
            )]),
            vec![
                "add.a.b: a column's name has no dots",
                "add.: a column has no name",
                "add.c: expected: an expression, found: EOF",
                "add.d: no column is called \"lost\"",
            ],
        ),
        (
            "map",
            arguments([("add", table(&[("a", "price"), ("a", "lots")]))]),
            vec!["add.a: given twice"],
        ),
        ("flat_map", arguments([]), vec!["each: missing"]),
        (
            "flat_map",
            arguments([("each", table(&[("a", "[1]"), ("b", "[2]")]))]),
            vec!["each: 2 entries where one is needed"],
        ),
        (
            "flat_map",
            arguments([("each", table(&[("a", "line")]))]),
            vec!["each.a: the value is of type utf8, not a list"],
        ),
        ("split", arguments([]), vec!["when: missing"]),
        (
            "split",
            arguments([(
                "when",
                table(&[
                    ("rest", "true"),
                    ("bad", "true"),
                    ("1st", "true"),
                    ("a", "1"),
                ]),
            )]),
            vec![
                "when.rest: \"rest\" is a port of another meaning",
                "when.bad: \"bad\" is a port of another meaning",
                "when.1st: \"1st\" is no name of a port",
                "when.a: the value is of type int64, not a condition",
            ],
        ),
    ];
    for (kind, given, messages) in cases {
        assert_eq!(refused(kind, &given), messages, "{kind} {given:?}");
    }
    let many: Vec<(String, String)> = (0..=split::CONDITIONS_MAX)
        .map(|number| (format!("p{number}"), format!("price = {number}")))
        .collect();
    let many: Vec<(&str, &str)> = many
        .iter()
        .map(|(name, text)| (name.as_str(), text.as_str()))
        .collect();
    assert_eq!(
        refused("split", &arguments([("when", table(&many))])),
        ["when: 65 conditions are more than 64"]
    );
    for kind in ["filter", "map", "flat_map", "split"] {
        let errors = compile(kind, &Arguments::new(), &[schema(), schema()]).unwrap_err();
        assert_eq!(errors[0].to_string(), "from: 2 inputs where one is read");
        let errors = compile(kind, &Arguments::new(), &[widest()]).unwrap_err();
        assert_eq!(errors[0].to_string(), "from: more than 1023 columns");
    }
}

/// A schema without place for one more column.
fn widest() -> Schema {
    let fields = (0..model::COLUMNS_MAX).map(|n| Field::new(format!("c{n}"), DataType::Int64));
    Schema::new(fields.collect()).unwrap()
}

#[test]
fn every_kind_can_be_found_by_its_name() {
    for kind in KINDS {
        assert_eq!(find(kind.name).map(|found| found.doc), Some(kind.doc));
    }
    assert!(find("flatmap").is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// However rows are cut into batches, the same rows leave at the same ports with the same positions.
    #[test]
    fn cuts_change_nothing(
        values in prop::collection::vec((prop::option::of(-2..50_i64), -1..3_i64, 0..6_usize), 1..40),
        cuts in prop::collection::vec(1..12_usize, 1..12),
    ) {
        let rows: Vec<Row> = values.iter().map(|(price, lots, line)| Row(*price, *lots, ROWS[*line].2)).collect();
        let kinds = [
            ("filter", arguments([("where", "price / lots > 3 OR lots = 0".into())])),
            ("map", arguments([("add", table(&[("per", "price / lots"), ("root", "sqrt(price)")]))])),
            ("flat_map", arguments([("each", table(&[("word", "array_append(string_to_array(line, ' '), CAST(lots / price AS varchar))")]))])),
            ("split", arguments([("when", table(&[("one", "lots = 0"), ("two", "10 % lots = price"), ("three", "1 / price = 0")]))])),
        ];
        // What has windows or ticks has a reference of its own, and a union has nothing that a cut could change.
        let held: Vec<&str> = kinds.iter().map(|(kind, _)| *kind).chain(["union", "window", "join", "distinct", "top"]).collect();
        for kind in KINDS {
            prop_assert!(held.contains(&kind.name), "{} is cut by no test: add it above", kind.name);
        }
        for (kind, given) in kinds {
            let mut compiled = compile(kind, &given, &[schema()]).unwrap();
            let whole = run(&mut compiled, &[batch(0, &rows)]);
            let mut parts = Vec::new();
            let mut start = 0;
            for len in cuts.iter().cycle() {
                let end = rows.len().min(start + len);
                parts.push(batch(start, &rows[start..end]));
                start = end;
                if start == rows.len() {
                    break;
                }
            }
            prop_assert_eq!(run(&mut compiled, &parts), whole, "{}", kind);
        }
    }
}
