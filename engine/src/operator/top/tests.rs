use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::operator::harness::{
    Row, Run, any_row, any_turns, late_row, row, show_weighted, weighted,
};

const SLIDE: i64 = 1_000;

/// The best `rows` by value; spans in slides.
fn arguments(panes: i64, rows: usize, ties: Ties, by: &[&str], lateness: i64) -> Arguments {
    let window = [("sliding", panes * SLIDE), ("slide", SLIDE)];
    let window = window.map(|(name, micros)| (name.to_owned(), Scalar::Micros(micros)));
    Arguments::from_iter([
        ("window", Value::Table(window.to_vec())),
        ("rows", rows.to_string().as_str().into()),
        ("of", "value".into()),
        (
            "by",
            Value::List(by.iter().map(|name| Scalar::from(*name)).collect()),
        ),
        ("ties", ties.word().into()),
        ("lateness", Value::Scalar(Scalar::Micros(lateness))),
    ])
}

#[test]
fn the_greatest_rows_of_each_key_leave_greatest_first() {
    let mut run = Run::new(
        &KIND,
        weighted(),
        &arguments(1, 2, Ties::First, &["key"], 0),
    );
    run.rows(
        1,
        &[
            row(1, "b", 3),
            row(2, "a", 5),
            row(3, "a", 9),
            row(4, "a", 7),
            row(5, "a", 1),
        ],
    );
    run.progress(SLIDE - 1);
    assert_eq!(run.results, [""; 0]);
    run.progress(SLIDE);
    assert_eq!(
        run.results,
        ["1 @999 a 9 4.5", "1 @999 a 7 3.5", "1 @999 b 3 1.5"]
    );
    assert_eq!(run.progress, Some(EventTime(2 * SLIDE - 1)));
    run.end();
    assert_eq!(run.results.len(), 3);
}

#[test]
fn of_equal_rows_the_first_by_time_origin_and_index_leaves_or_all_of_them() {
    let rows = |run: &mut Run| {
        run.rows(2, &[row(3, "late", 9), row(1, "second", 9)]);
        run.rows(
            1,
            &[row(1, "first", 9), row(1, "again", 9), row(0, "less", 8)],
        );
        run.end();
    };
    let mut run = Run::new(&KIND, weighted(), &arguments(1, 1, Ties::First, &[], 0));
    rows(&mut run);
    assert_eq!(run.results, ["1 @999 first 9 4.5"]);
    let mut run = Run::new(&KIND, weighted(), &arguments(1, 1, Ties::All, &[], 0));
    rows(&mut run);
    let keys: Vec<&str> = run
        .results
        .iter()
        .filter_map(|result| result.split(' ').nth(2))
        .collect();
    assert_eq!(keys, ["first", "again", "second", "late"]);
}

#[test]
fn parameters_have_one_form_and_what_is_wrong_is_said() {
    let given = arguments(1, 3, Ties::First, &["key"], 0);
    let compiled = (KIND.compile)(&given, &[weighted()]).unwrap();
    assert_eq!(compiled.parameters.find("ties"), None);
    assert_eq!(compiled.parameters.find("lateness"), None);
    assert_eq!(
        compiled.parameters.find("window"),
        Some(&Value::Table(vec![(
            "tumbling".to_owned(),
            Scalar::Micros(SLIDE)
        )]))
    );
    let again = (KIND.compile)(&compiled.parameters, &[weighted()]).unwrap();
    assert_eq!(again.parameters, compiled.parameters);
    assert_eq!(compiled.outputs[0], ("out".to_owned(), weighted()));

    let with = |name: &str, value: Value| {
        let others = given.iter().filter(|(known, _)| *known != name);
        let mut changed: Arguments = others.map(|(name, value)| (name, value.clone())).collect();
        changed.push(name, value);
        changed
    };
    let session = Value::Table(vec![("session".to_owned(), Scalar::Micros(1_000_000))]);
    let cases = [
        (with("rows", "0".into()), "rows: not a number of rows"),
        (with("rows", "1.5".into()), "rows: not a number of rows"),
        (with("rows", "1001".into()), "rows: not a number of rows"),
        (
            with("of", "values".into()),
            "of: no column is called \"values\"",
        ),
        (
            with("ties", "some".into()),
            "ties: no word for what becomes of equal rows",
        ),
        (
            with("window", session),
            "window: a session is of one key alone",
        ),
        (
            with("by", Value::List(vec!["keys".into()])),
            "by: no column is called \"keys\"",
        ),
    ];
    for (given, message) in cases {
        let errors = (KIND.compile)(&given, &[weighted()]).unwrap_err();
        let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
        assert_eq!(texts, [message]);
    }
}

#[test]
fn what_cannot_win_is_not_held() {
    let mut run = Run::new(
        &KIND,
        weighted(),
        &arguments(1, 2, Ties::First, &["key"], 0),
    );
    run.rows(1, &[row(1, "a", 8), row(2, "a", 9)]);
    let bytes = run.bytes;
    for _ in 0..100 {
        run.rows(1, &[row(3, "a", 7), row(4, "a", 6)]);
    }
    assert_eq!(run.bytes, bytes);
    run.rows(1, &[row(5, "b", 7)]);
    assert!(run.bytes > bytes);
}

#[test]
fn state_of_another_operator_is_refused_and_changes_nothing() {
    let given = arguments(3, 2, Ties::First, &["key"], 0);
    let mut run = Run::new(&KIND, weighted(), &given);
    run.rows(1, &[row(1, "a", 8)]);
    let good = run.state().pop().unwrap();
    let mut refused = Vec::new();
    for (tick, number) in [
        (0, 1),
        (4, 1),
        (2, 2),
        (i64::MAX, i64::MAX),
        (i64::MIN, i64::MIN + 1),
    ] {
        let mut chunk = good.clone();
        chunk.tick = Tick(tick);
        chunk.part.number = number;
        refused.push(chunk);
    }
    let mut narrow = good.clone();
    narrow.columns = good.columns.project(&[0, 1, 2, 3]).unwrap();
    refused.push(narrow);
    run.refuses(refused);
    run.end();
    assert_eq!(run.results.len(), 3);
}

/// The greatest rows, computed one window after another: rows by origin.
fn reference(
    origins: &[Vec<Row>],
    panes: i64,
    (count, ties): (usize, Ties),
    lateness: i64,
) -> (Vec<String>, usize) {
    type Ranked = (Reverse<Option<i64>>, i64, usize, usize);
    let mut windows: BTreeMap<(i64, Option<&str>), Vec<Ranked>> = BTreeMap::new();
    let mut late = 0;
    for (origin, rows) in origins.iter().enumerate() {
        for (index, row) in rows.iter().enumerate() {
            let counted = row.windows(SLIDE, panes, lateness);
            late += usize::from(counted.is_empty());
            for window in counted {
                let rows = windows.entry((window, row.key)).or_default();
                rows.push((Reverse(row.value), row.time, origin, index));
            }
        }
    }
    let mut results = Vec::new();
    for ((window, key), mut rows) in windows {
        rows.sort_unstable();
        let last = rows[count.min(rows.len()) - 1].0;
        for (at, (value, ..)) in rows.into_iter().enumerate() {
            if at < count || ties == Ties::All && value == last {
                let shown = show_weighted(key, value.0);
                results.push(format!("{window} @{} {shown}", window * SLIDE - 1));
            }
        }
    }
    (results, late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the interleaving of origins, the cuts, the progress in between and the transfers of state,
    /// results are those of the naive computation.
    #[test]
    fn the_greatest_rows_are_found(
        origins in prop::collection::vec(prop::collection::vec(any_row(4_000, 4_000, -3..4), 0..40), 1..4),
        panes in 1_i64..4,
        count in 1_usize..5,
        all in any::<bool>(),
        lateness in prop_oneof![Just(0_i64), 0..2_500_i64],
        turns in any_turns(),
    ) {
        let ties = if all { Ties::All } else { Ties::First };
        let given = arguments(panes, count, ties, &["key"], lateness);
        let mut run = Run::new(&KIND, weighted(), &given);
        run.interleave(origins.iter().map(|rows| (0, rows.as_slice())), &turns);
        run.end();
        let (results, late) = reference(&origins, panes, (count, ties), lateness);
        prop_assert_eq!(run.results, results);
        prop_assert_eq!(run.late.len(), late);
        prop_assert_eq!(run.bad.len(), 0);
    }
}

#[test]
fn a_late_row_counts_nowhere() {
    let mut run = Run::new(&KIND, weighted(), &arguments(1, 1, Ties::First, &[], 0));
    run.rows(1, &[late_row(1, SLIDE, "a", 9), row(2, "b", 1)]);
    run.end();
    assert_eq!(run.late, ["a 9 4.5"]);
    assert_eq!(run.results, ["1 @999 b 1 0.5"]);
}
