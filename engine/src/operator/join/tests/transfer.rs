//! State that is exported and imported.

use super::*;
use crate::operator::{Cursor, Part};

#[test]
fn an_export_has_nothing_of_ticks_that_were_exported() {
    for arguments in [
        sliding(3_000, 1_000, &[]),
        interval(-3_000, 2_000, &[("type", "left".into())]),
    ] {
        let mut run = begin(&arguments);
        let mut backup = begin(&arguments);
        let mut since = None;
        for tick in 0..12 {
            let rows: Vec<Row> = (0..3).map(|n| row(tick * 1_000 + n * 300, "a")).collect();
            run.left(&rows);
            run.right(&rows[..2]);
            run.progress(tick * 1_000);
            run.tell(&mut *backup.operator, Cursor::behind(since));
            since = Some(Tick(tick));
        }
        let closed = run.results.len();
        run.end();
        backup.end();
        assert!(run.results.len() > closed);
        assert_eq!(backup.results, run.results[closed..]);
    }
}

#[test]
fn an_imported_state_replaces_the_one_before_it() {
    let arguments = interval(-5_000, 5_000, &[]);
    let mut run = begin(&arguments);
    let mut backup = begin(&arguments);
    for number in 0..3 {
        run.left(&[row(number, "a")]);
        run.right(&[row(number + 10, "a")]);
        run.tell(&mut *backup.operator, Cursor::default());
    }
    // Also where what is replaced has entered already.
    backup.progress(1_500);
    run.tell(&mut *backup.operator, Cursor::default());
    backup.right(&[row(2_000, "a")]);
    backup.end();
    assert_eq!(backup.results.len(), 9 + 3);
    assert_eq!(backup.results[8], "1 @999 a 2 12");
    assert_eq!(backup.results[9], "3 @2999 a 0 2000");
}

#[test]
fn state_of_another_operator_is_refused_and_changes_nothing() {
    let arguments = interval(-5_000, 5_000, &[]);
    let more = [(
        "select",
        table(&[
            ("value", "left_value + right_value".into()),
            ("sum", "left_number".into()),
        ]),
    )];
    let mut other = begin(&interval(-5_000, 5_000, &more));
    let mut run = begin(&arguments);
    let rows = [row(1, "a")];
    for run in [&mut other, &mut run] {
        run.left(&rows);
        run.right(&rows);
    }
    let mut chunks = other.state();
    // What is kept of the right side has equal columns here.
    chunks.retain(|chunk| chunk.part.number == 0);
    assert_eq!(chunks.len(), 1);
    for (tick, number) in [
        (0, 0),
        (8, 0),
        (i64::MAX, 0),
        (i64::MIN, 1),
        (1, 2),
        (1, -1),
    ] {
        for mut chunk in run.state() {
            chunk.tick = Tick(tick);
            let origin = Origin(1);
            chunk.part = Part { origin, number };
            chunks.push(chunk);
        }
    }
    assert_eq!(chunks.len(), 1 + 6 * 2);
    run.refuses(chunks);
    run.end();
    assert_eq!(run.results, ["1 @999 a 1 1"]);
}

#[test]
fn rows_of_a_window_that_is_open_leave_a_few_at_a_time_while_others_come() {
    let arguments = sliding(1_000_000, 1_000_000, &[]);
    let mut run = begin(&arguments);
    let mut backup = begin(&arguments);
    let rows = |from: i64| -> Vec<Row> { (from..from + 500).map(|time| row(time, "a")).collect() };
    run.left(&rows(0));
    run.right(&rows(500)[..4]);
    let (mut at, mut parts) = (Cursor::default(), 0);
    loop {
        let part = run.operator.export(&mut at, 2_000);
        let rows_told = part.chunks.iter().map(|chunk| chunk.columns.num_rows());
        let count: usize = rows_told.sum();
        assert!(count <= 40, "{count} rows in one part");
        for chunk in part.chunks {
            backup.operator.import(chunk).unwrap();
        }
        parts += 1;
        if part.is_last {
            break;
        }
        if parts == 5 {
            run.left(&rows(1_000));
        }
    }
    assert!(parts > 20, "{parts} parts");
    // The last rows came when some had left.
    run.end();
    backup.end();
    assert_eq!(run.results.len(), 4 * 1_000);
    assert_eq!(backup.results, run.results);
}
