//! What meets, and when it leaves.

use super::*;

const SECOND: i64 = 1_000_000;

#[test]
fn rows_of_one_window_meet_and_leave_when_it_closes_in_key_order() {
    let mut run = begin(&sliding(SECOND, SECOND, &[]));
    run.left(&[row(7, "b"), row(8, "a"), row(SECOND, "a")]);
    run.right(&[row(3, "a"), row(999_999, "b"), row(SECOND + 1, "c")]);
    run.progress(SECOND - 1);
    assert_eq!(run.results, [""; 0]);
    run.progress(SECOND);
    assert_eq!(run.results, ["1 @999999 a 8 3", "1 @999999 b 7 999999"]);
    assert_eq!(run.progress, Some(EventTime(2 * SECOND - 1)));
    run.end();
    assert_eq!(run.results.len(), 2);
}

#[test]
fn rows_meet_in_every_window_that_both_are_in() {
    let select = table(&[
        ("left", "left_number".into()),
        ("right", "right_number".into()),
        ("start", "window_start".into()),
        ("end", "window_end".into()),
    ]);
    let more = [
        ("select", select),
        ("where", "window_end > CAST(0 AS timestamp)".into()),
    ];
    let mut run = begin(&sliding(3 * SECOND, SECOND, &more));
    run.left(&[row(1, "a")]);
    run.right(&[row(SECOND + 1, "a")]);
    run.end();
    let expected = [
        "2 @1999999 1 1000001 -1000000 2000000",
        "3 @2999999 1 1000001 0 3000000",
    ];
    assert_eq!(run.results, expected);
}

#[test]
fn rows_within_bounds_leave_as_soon_as_both_are_certain_to_be_there() {
    let mut run = begin(&interval(-2_000, 5_000, &[]));
    run.left(&[row(10_000, "a")]);
    run.right(&[row(7_999, "a"), row(8_000, "a"), row(10_500, "a")]);
    run.progress(10_999);
    assert_eq!(run.results, [""; 0]);
    run.progress(11_000);
    assert_eq!(
        run.results,
        ["11 @10999 a 10000 8000", "11 @10999 a 10000 10500"]
    );
    assert_eq!(run.progress, Some(EventTime(11_999)));
    run.right(&[row(15_000, "a"), row(15_001, "a"), row(15_000, "b")]);
    run.progress(16_000);
    assert_eq!(run.results[2..], ["16 @15999 a 10000 15000"]);
    run.end();
    assert_eq!(run.results.len(), 3);
}

#[test]
fn what_no_row_can_meet_any_more_is_not_held() {
    let mut run = begin(&interval(0, 5_000, &[]));
    run.left(&[row(0, "a"), row(4_000, "b")]);
    run.right(&[row(0, "c")]);
    let full = run.bytes;
    // Right rows wait for nothing, left ones for five milliseconds.
    run.progress(1_000);
    let without_right = run.bytes;
    assert!(0 < without_right && without_right < full + 1_000);
    run.progress(6_000);
    let without_first = run.bytes;
    assert!(0 < without_first && without_first < without_right);
    run.progress(10_000);
    assert_eq!(run.bytes, 0);
}

#[test]
fn a_left_row_leaves_alone_when_nothing_can_meet_it_any_more() {
    let left = ("type", Value::from("left"));
    let mut run = begin(&interval(-2_000, 5_000, std::slice::from_ref(&left)));
    let nowhere = Row {
        key: None,
        ..row(10_001, "")
    };
    run.left(&[row(10_000, "a"), nowhere, row(10_000, "b")]);
    run.right(&[row(9_000, "a"), row(9_000, "c")]);
    run.progress(15_999);
    assert_eq!(run.results, ["11 @10999 a 10000 9000"]);
    run.progress(16_000);
    assert_eq!(
        run.results[1..],
        ["16 @15999 - 10001 -", "16 @15999 b 10000 -"]
    );
    run.end();
    assert_eq!(run.results.len(), 3);

    let mut run = begin(&sliding(2 * SECOND, SECOND, &[left]));
    run.left(&[row(1, "a")]);
    run.right(&[row(SECOND, "a")]);
    run.end();
    assert_eq!(run.results, ["1 @999999 a 1 -", "2 @1999999 a 1 1000000"]);
}

#[test]
fn a_condition_that_cannot_be_evaluated_does_not_hold_and_such_a_result_is_null() {
    let condition = ("where", "10 / right_number > 1".into());
    let select = table(&[
        ("left", "left_number".into()),
        ("per", "6 / (right_number - 3)".into()),
    ]);
    let more = [condition, ("select", select), ("type", "left".into())];
    let mut run = begin(&interval(-5, 5, &more));
    run.left(&[row(1, "a"), row(2, "b")]);
    run.right(&[row(0, "b"), row(3, "a"), row(4, "a")]);
    run.end();
    assert_eq!(run.results, ["1 @999 1 -", "1 @999 1 6", "1 @999 2 -"]);
    assert_eq!(run.bad, [""; 0]);
}

#[test]
fn late_and_bad_rows_leave_with_the_columns_of_both_sides() {
    let on = table(&[("key", "CAST(10 / value AS varchar)".into())]);
    let mut arguments = Arguments::new();
    for (name, value) in interval(0, 5_000, &[]).iter() {
        let value = if name == "on" {
            on.clone()
        } else {
            value.clone()
        };
        arguments.push(name, value);
    }
    let mut run = begin(&arguments);
    run.left(&[late_row(1, 6_000, "10"), late_row(1, 5_999, "10")]);
    run.right(&[
        late_row(1, 1_000, "a"),
        row(0, "a"),
        row(i64::MAX - 1, "far"),
    ]);
    assert_eq!(run.late, ["10 1 1 - - -", "- - - a 1 1"]);
    let far = i64::MAX - 1;
    assert_eq!(
        run.bad,
        [
            format!("- - - far {far} {far}: the event time lies too far from the epoch"),
            "- - - a 0 0: CAST(10 / value AS VARCHAR): divide by zero error".to_owned(),
        ]
    );
}

#[test]
fn a_key_of_many_rows_leaves_in_parts_whose_chunks_are_the_same() {
    let rows = |first: i64| -> Vec<Row> { (first..first + 300).map(|n| row(n, "a")).collect() };
    let arguments = interval(-SECOND, SECOND, &[("type", "left".into())]);
    let fill = || {
        let mut run = begin(&arguments);
        run.left(&rows(0));
        run.right(&rows(100));
        run
    };
    let mut run = fill();
    run.progress(2_000);
    assert_eq!(run.results.len(), 300 * 300);
    assert!(run.parts >= 5, "{} parts", run.parts);
    assert_eq!(run.results[0], "1 @999 a 0 100");
    assert_eq!(run.results[300], "1 @999 a 1 100");

    // Whoever takes over in the middle begins the tick anew: its rows have the same positions as before.
    let mut first = fill();
    assert_eq!(first.advance(2_000), operator::Closing::More);
    let given = first.results.len();
    assert!(given > 0 && given.is_multiple_of(ROWS_MAX));
    assert_eq!(first.results[..], run.results[..given]);
    first.transfer();
    first.progress(2_000);
    assert_eq!(first.results[given..], run.results[..]);
}

#[test]
fn a_condition_that_rarely_holds_does_not_hold_a_worker_for_long() {
    let rows: Vec<Row> = (0..400).map(|n| row(n, "a")).collect();
    let more = [
        ("where", "left_number + right_number = 798".into()),
        ("type", "left".into()),
    ];
    let mut run = begin(&interval(-SECOND, SECOND, &more));
    run.left(&rows);
    run.right(&rows);
    assert_eq!(run.advance(1_000), operator::Closing::More);
    assert_eq!(run.results, [""; 0]);
    run.end();
    assert_eq!(run.results.len(), 400);
    assert_eq!(run.results[0], "1 @999 a 399 399");
    assert_eq!(run.results[1], "1001 @1000999 a 0 -");
    assert!(run.parts > 3, "{} parts", run.parts);
}

#[test]
fn it_says_when_it_closes_something() {
    let slide = |arguments: &Arguments| compile(arguments).unwrap().operator.slide().unwrap();
    let lateness = ("lateness", Value::Scalar(Scalar::Micros(70)));
    let window = slide(&sliding(
        2 * SECOND,
        SECOND,
        std::slice::from_ref(&lateness),
    ));
    assert_eq!((window.every_micros, window.lateness_micros), (SECOND, 70));
    // What waits for late rows is held for longer, and leaves no later.
    let bounds = slide(&interval(-5, 5, &[lateness]));
    assert_eq!((bounds.every_micros, bounds.lateness_micros), (1_000, 0));
}

#[test]
fn the_outermost_reachable_times_meet_without_overflow() {
    let longest = operator::window::SPAN_MAX_MICROS;
    let span = |micros| Value::Scalar(Scalar::Micros(micros));
    for (lower, upper) in [(-longest, longest), (longest, longest), (0, 0)] {
        for granularity in [1_000, longest] {
            for lateness in [0, longest] {
                let given = interval(lower, upper, &[("type", "left".into())]);
                let given = given.iter().map(|(name, value)| match name {
                    "granularity" => (name, span(granularity)),
                    _ => (name, value.clone()),
                });
                let arguments = given.chain([("lateness", span(lateness))]).collect();
                let mut run = begin(&arguments);
                // Every distance from the epoch of a bit more, and the ends of time.
                let times = (20..63).flat_map(|bit| [-(1_i64 << bit), 1 << bit]);
                let ends = [i64::MIN, i64::MIN + 1, i64::MAX - 1];
                let mut rows: Vec<Row> = times.chain(ends).map(|time| row(time, "a")).collect();
                rows.sort_by_key(|row| row.time);
                run.left(&rows);
                run.right(&rows);
                let admitted = rows.len() - run.bad.len() / 2;
                assert!(admitted >= 2 * 25 && run.bad.len() >= 2 * 3);
                assert_eq!(run.late, [""; 0]);
                run.end();
                assert!(
                    run.results.len() >= admitted,
                    "each meets another, or leaves alone"
                );
            }
        }
    }
}
