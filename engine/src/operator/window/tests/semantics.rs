//! What counts where, and when it leaves.

use super::*;

const SECOND: i64 = 1_000_000;

fn tumbling(select: &[(&str, &str)], lateness: i64) -> Arguments {
    arguments(&[("tumbling", SECOND)], &["key"], select, lateness)
}

#[test]
fn a_tumbling_window_counts_by_key_and_leaves_in_key_order() {
    let mut run = begin(&tumbling(&[("n", "count(*)"), ("sum", "sum(value)")], 0));
    run.rows(
        1,
        &[
            row(0, "b", 1),
            row(999_999, "a", 2),
            row(5, "b", 3),
            row(SECOND, "a", 4),
        ],
    );
    run.progress(SECOND - 1);
    assert_eq!(run.results, [""; 0]);
    assert_eq!(run.progress, Some(EventTime(SECOND - 1)));
    run.progress(SECOND);
    assert_eq!(
        run.results,
        ["1 @999999 a 0 1000000 1 2", "1 @999999 b 0 1000000 2 4"]
    );
    assert_eq!(run.progress, Some(EventTime(2 * SECOND - 1)));
    run.end();
    assert_eq!(run.results[2..], ["2 @1999999 a 1000000 2000000 1 4"]);
}

#[test]
fn a_sliding_window_counts_rows_in_all_that_contain_them() {
    let window = [("sliding", 3 * SECOND), ("slide", SECOND)];
    let mut run = begin(&arguments(
        &window,
        &[],
        &[("n", "count(*)"), ("last", "last(value)")],
        0,
    ));
    run.rows(
        1,
        &[row(0, "a", 1), row(SECOND, "a", 2), row(SECOND + 1, "a", 3)],
    );
    run.end();
    let expected = [
        "1 @999999 -2000000 1000000 1 1",
        "2 @1999999 -1000000 2000000 3 3",
        "3 @2999999 0 3000000 3 3",
        "4 @3999999 1000000 4000000 2 3",
    ];
    assert_eq!(run.results, expected);
}

#[test]
fn a_row_is_late_by_its_own_due_time_whether_or_not_the_window_has_closed() {
    let mut run = begin(&tumbling(&[("n", "count(*)")], 100));
    run.rows(
        1,
        &[
            late_row(5, SECOND + 99, "a", 1),
            late_row(6, SECOND + 100, "a", 2),
        ],
    );
    assert_eq!(run.late, ["a 2 1.0"]);
    run.progress(SECOND + 99);
    assert_eq!(run.results, [""; 0]);
    run.progress(SECOND + 100);
    assert_eq!(run.results, ["1 @999999 a 0 1000000 1"]);
}

#[test]
fn a_row_that_is_late_for_some_windows_counts_in_the_others() {
    let window = [("sliding", 3 * SECOND), ("slide", SECOND)];
    let mut run = begin(&arguments(&window, &[], &[("n", "count(*)")], 0));
    // In windows 1, 2 and 3; too late for the first two, and for all three.
    run.rows(
        1,
        &[
            late_row(7, 2 * SECOND, "a", 1),
            late_row(7, 3 * SECOND, "a", 2),
        ],
    );
    run.end();
    assert_eq!(run.results, ["3 @2999999 0 3000000 1"]);
    assert_eq!(run.late, ["a 2 1.0"]);
}

#[test]
fn times_before_the_epoch_are_windows_like_others() {
    let mut run = begin(&tumbling(&[("n", "count(*)")], 0));
    run.rows(
        1,
        &[
            row(-1, "a", 1),
            row(-SECOND, "a", 2),
            row(-SECOND - 1, "a", 3),
        ],
    );
    run.end();
    assert_eq!(
        run.results,
        ["-1 @-1000001 a -2000000 -1000000 1", "0 @-1 a -1000000 0 2"]
    );
}

#[test]
fn times_too_far_from_the_epoch_are_bad_and_no_others() {
    for window in [
        vec![("tumbling", 1_000)],
        vec![("tumbling", SPAN_MAX_MICROS)],
        vec![("sliding", 10_000 * SECOND), ("slide", SECOND)],
        vec![
            ("sliding", SPAN_MAX_MICROS),
            ("slide", SPAN_MAX_MICROS / 366),
        ],
    ] {
        for lateness in [0, SPAN_MAX_MICROS] {
            let mut run = begin(&arguments(&window, &[], &[("n", "sum(value)")], lateness));
            let extremes = [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX];
            let rows: Vec<Row> = extremes.iter().map(|time| row(*time, "a", 1)).collect();
            run.rows(1, &rows);
            run.rows(
                1,
                &[rows.clone(), vec![row(0, "b", 7)], rows.clone()].concat(),
            );
            assert_eq!(run.bad.len(), 12, "{window:?}");
            assert!(
                run.bad[0].starts_with("a 1 0.5: the event time"),
                "{:?}",
                run.bad[0]
            );
            for progress in [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1] {
                run.progress(progress);
            }
            run.end();
            assert!(run.results.iter().all(|text| text.ends_with(" 7")));
            assert!(!run.results.is_empty(), "{window:?}");
        }
    }
}

#[test]
fn the_outermost_reachable_times_close_without_overflow() {
    for window in [
        vec![("tumbling", 1_000)],
        vec![("tumbling", SPAN_MAX_MICROS)],
        vec![("sliding", 300 * SECOND), ("slide", SECOND)],
    ] {
        // Finds the last time that is taken, either way, by halving.
        for sign in [1, -1] {
            let (mut taken, mut refused) = (0_i64, i64::MAX);
            while refused - taken > 1 {
                let middle = taken + (refused - taken) / 2;
                let mut run = begin(&arguments(&window, &[], &[("n", "count(*)")], SECOND));
                run.rows(1, &[row(sign * middle, "a", 1)]);
                if run.bad.is_empty() {
                    taken = middle;
                } else {
                    refused = middle;
                }
            }
            let mut run = begin(&arguments(&window, &[], &[("n", "count(*)")], SECOND));
            run.rows(
                1,
                &[late_row(
                    sign * taken,
                    (sign * taken).saturating_add(5),
                    "a",
                    1,
                )],
            );
            run.progress(sign * taken);
            run.end();
            assert!(
                run.results.iter().all(|text| text.ends_with(" 1")),
                "{:?}",
                run.results
            );
            assert!(!run.results.is_empty());
        }
    }
}

#[test]
fn a_jump_of_progress_over_years_passes_only_windows_with_rows() {
    let mut run = begin(&arguments(
        &[("tumbling", 1_000)],
        &[],
        &[("n", "count(*)")],
        0,
    ));
    let year = 366 * 24 * 3600 * SECOND;
    run.rows(1, &[row(0, "a", 1), row(2_000 * year, "a", 1)]);
    run.progress(1_000 * year);
    assert_eq!(run.results, ["1 @999 0 1000 1"]);
    run.progress(i64::MAX - 1);
    run.end();
    assert_eq!(run.results.len(), 2);
}

#[test]
fn rows_whose_arguments_fail_are_bad_and_spoil_no_others() {
    let mut run = begin(&tumbling(&[("n", "sum(10 / value)"), ("m", "count(*)")], 0));
    run.rows(
        1,
        &[
            row(1, "a", 5),
            row(2, "a", 0),
            row(3, "b", 2),
            row(4, "b", 0),
        ],
    );
    run.rows(1, &[row(5, "c", 0)]);
    run.end();
    assert_eq!(
        run.results,
        ["1 @999999 a 0 1000000 2 1", "1 @999999 b 0 1000000 5 1"]
    );
    assert_eq!(run.bad.len(), 3);
    assert!(run.bad[0].starts_with("a 0 0.0: "), "{:?}", run.bad);
}

#[test]
fn a_result_that_cannot_be_computed_is_null_and_spoils_no_others() {
    let mut run = begin(&tumbling(&[("q", "12 / sum(value)"), ("n", "count(*)")], 0));
    run.rows(1, &[row(1, "a", 2), row(2, "b", 0), row(3, "c", 3)]);
    run.rows(1, &[row(SECOND, "a", 0)]);
    run.end();
    let expected = [
        "1 @999999 a 0 1000000 6 1",
        "1 @999999 b 0 1000000 - 1",
        "1 @999999 c 0 1000000 4 1",
        "2 @1999999 a 1000000 2000000 - 1",
    ];
    assert_eq!(run.results, expected);
}

#[test]
fn expressions_may_name_keys_bounds_and_the_same_aggregate_again() {
    let select = [
        ("twice", "count(*) + count(*)"),
        ("mean", "sum(weight) / count(*)"),
        ("name", "upper(key)"),
        ("end", "window_end"),
        ("some", "count(*) FILTER (WHERE value > 1)"),
    ];
    let mut run = begin(&tumbling(&select, 0));
    run.rows(1, &[row(1, "a", 1), row(2, "a", 3)]);
    run.end();
    assert_eq!(run.results, ["1 @999999 a 0 1000000 4 1.0 A 1000000 1"]);
}

#[test]
fn null_keys_are_a_group_and_null_values_count_in_no_sum() {
    let mut run = begin(&tumbling(
        &[
            ("n", "count(*)"),
            ("v", "count(value)"),
            ("s", "sum(value)"),
        ],
        0,
    ));
    let nameless = Row {
        key: None,
        value: None,
        ..row(1, "", 0)
    };
    run.rows(1, &[row(1, "a", 1), nameless.clone(), nameless]);
    run.end();
    assert_eq!(
        run.results,
        ["1 @999999 - 0 1000000 2 0 -", "1 @999999 a 0 1000000 1 1 1"]
    );
}

#[test]
fn what_is_held_goes_when_windows_close() {
    let window = [("sliding", 4 * SECOND), ("slide", SECOND)];
    let mut run = begin(&arguments(
        &window,
        &["key"],
        &[("n", "count(distinct value)")],
        0,
    ));
    run.rows(1, &[row(0, "a", 1)]);
    let one = run.bytes;
    assert!(one > 0);
    run.rows(1, &[row(SECOND, "b", 1), row(SECOND, "c", 2)]);
    assert!(run.bytes > one);
    run.end();
}

#[test]
fn a_filter_holds_where_it_is_true_for_every_kind_of_accumulator() {
    // Sums have one accumulator for all groups, the others one for each.
    let select = [
        ("sum", "sum(value) filter (where value > 2)"),
        ("first", "first(value) filter (where value > 2)"),
        ("texts", "count(distinct key) filter (where value > 2)"),
    ];
    let mut run = begin(&tumbling(&select, 0));
    let valueless = Row {
        value: None,
        ..row(4, "a", 0)
    };
    run.rows(
        1,
        &[
            valueless,
            row(1, "a", 1),
            row(2, "b", 3),
            row(3, "a", 4),
            row(4, "a", 5),
            row(5, "c", 2),
        ],
    );
    run.end();
    let expected = [
        "1 @999999 a 0 1000000 9 4 1",
        "1 @999999 b 0 1000000 3 3 1",
        "1 @999999 c 0 1000000 - - 0",
    ];
    assert_eq!(run.results, expected);
}
