//! State that is exported and imported.

use super::*;
use crate::aggregate::FUNCTIONS;
use crate::operator::{Cursor, Part};

const SLIDE: i64 = 1_000;

fn sliding(select: &[(&str, &str)]) -> Arguments {
    let window = [("sliding", 3 * SLIDE), ("slide", SLIDE)];
    arguments(&window, &["key"], select, 0)
}

/// A call of each function that may be used.
fn call(function: &str) -> String {
    match function {
        "approx_percentile_cont" => "approx_percentile_cont(value, 0.5)".to_owned(),
        "bool_and" | "bool_or" => format!("{function}(value > 3)"),
        "corr" | "covar_pop" | "covar_samp" => format!("{function}(value, weight)"),
        _ => format!("{function}(value)"),
    }
}

#[test]
fn an_operator_and_its_copy_go_on_alike_with_every_function() {
    let mut calls: Vec<String> = FUNCTIONS.iter().map(|function| call(function)).collect();
    calls.extend([
        "count(distinct key)".to_owned(),
        "count(distinct value)".to_owned(),
        "count(distinct weight)".to_owned(),
        "sum(distinct value)".to_owned(),
        "approx_distinct(key)".to_owned(),
        "first_value(key)".to_owned(),
        "last_value(key)".to_owned(),
        "last_value(value) ignore nulls".to_owned(),
        "min(key)".to_owned(),
        "max(value > 3)".to_owned(),
        "median(weight)".to_owned(),
        "count(*)".to_owned(),
        "sum(value) filter (where value > 4)".to_owned(),
    ]);
    let rows: Vec<Row> = (0..60)
        .map(|n| {
            row(
                n * 100,
                ["a", "b", "c"][usize::try_from(n % 3).unwrap()],
                n * 31 % 17,
            )
        })
        .collect();
    for call in calls {
        let arguments = sliding(&[("x", &call)]);
        let mut alone = begin(&arguments);
        alone.rows(1, &rows[..25]);
        alone.progress(1_500);
        alone.rows(1, &rows[25..]);
        alone.end();
        assert!(alone.results.len() > 10, "{call}");

        let mut first = begin(&arguments);
        first.rows(1, &rows[..25]);
        first.progress(1_500);
        let closed = first.results.len();
        let (mut second, mut third) = (first.copy(), first.copy());
        for run in [&mut first, &mut second, &mut third] {
            run.rows(1, &rows[25..40]);
        }
        // And once more, while rows lie behind what was told.
        let mut fourth = third.copy();
        for run in [&mut first, &mut second, &mut third, &mut fourth] {
            run.rows(1, &rows[40..]);
            run.end();
        }
        // To the last digit, since their rows are cut alike.
        assert_eq!(second.results, first.results[closed..], "{call}");
        assert_eq!(fourth.results, third.results, "{call}");
        for (cut, whole) in [
            (&first.results[..], &alone.results[..]),
            (&third.results[..], &alone.results[closed..]),
        ] {
            assert_eq!(cut.len(), whole.len(), "{call}");
            let mut pairs = cut.iter().zip(whole);
            assert!(
                pairs.all(|(a, b)| is_close(a, b)),
                "{call}: {cut:?} {whole:?}"
            );
        }
    }
}

/// Whether two rows are equal but for the last digits of their last column.
fn is_close(a: &str, b: &str) -> bool {
    let number = |text: &str| text.rsplit(' ').next().unwrap().parse::<f64>().ok();
    match (number(a), number(b)) {
        (Some(x), Some(y)) => (x - y).abs() <= 1e-9 * x.abs().max(1.0),
        _ => a == b,
    }
}

#[test]
fn an_export_has_nothing_of_ticks_that_were_exported() {
    let arguments = sliding(&[("n", "count(*)")]);
    let mut run = begin(&arguments);
    let mut backup = begin(&arguments);
    let mut since = None;
    for second in 0..12 {
        let rows: Vec<Row> = (0..5).map(|n| row(second * SLIDE + n, "a", n)).collect();
        run.rows(1, &rows);
        run.progress(second * SLIDE);
        run.tell(&mut *backup.operator, Cursor::behind(since));
        since = Some(Tick(second));
    }
    let closed = run.results.len();
    run.end();
    backup.end();
    assert_eq!(backup.results, run.results[closed..]);
}

#[test]
fn an_imported_state_replaces_the_one_before_it() {
    let arguments = sliding(&[("n", "count(*)")]);
    let mut run = begin(&arguments);
    run.rows(1, &[row(1, "a", 1)]);
    let mut backup = run.copy();
    run.rows(1, &[row(2, "a", 1)]);
    run.tell(&mut *backup.operator, Cursor::default());
    backup.end();
    assert_eq!(backup.results[0], "1 @999 a -2000 1000 2");
}

#[test]
fn state_of_another_operator_is_refused_and_changes_nothing() {
    let arguments = sliding(&[("n", "sum(value)")]);
    let mut other = begin(&sliding(&[("n", "min(key)"), ("m", "count(*)")]));
    let mut alike = begin(&sliding(&[("n", "min(key)")]));
    let mut run = begin(&arguments);
    for run in [&mut other, &mut alike, &mut run] {
        run.rows(1, &[row(1, "a", 1)]);
    }
    let mut chunks = other.state();
    chunks.extend(alike.state());
    // Windows that do not contain their pane, and panes beyond all times.
    for (tick, number) in [
        (0, 1),
        (4, 1),
        (i64::MAX, i64::MAX),
        (1 << 50, 1 << 50),
        (i64::MIN, i64::MIN + 1),
    ] {
        for mut chunk in run.state() {
            chunk.tick = Tick(tick);
            chunk.part = Part {
                origin: Origin(1),
                number,
            };
            chunks.push(chunk);
        }
    }
    assert_eq!(chunks.len(), 7);
    run.refuses(chunks);
    run.end();
    assert_eq!(run.results.len(), 3);
    assert_eq!(run.results[0], "1 @999 a -2000 1000 1");
}
