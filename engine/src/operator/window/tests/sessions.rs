//! Sessions: what belongs together, when it leaves, and a naive computation of it on random rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::reference::{SELECT, show_values};
use super::*;
use crate::operator::Part;
use crate::operator::harness::{any_row, any_turns, batch};

const GAP: i64 = 50_000;
const TICK: i64 = 10_000;

fn session(gap: i64, lateness: i64) -> Arguments {
    arguments(&[("session", gap)], &["key"], &SELECT, lateness)
}

fn counting(lateness: i64) -> Arguments {
    let select = [("n", "count(*)"), ("last", "last(value)")];
    arguments(&[("session", GAP)], &["key"], &select, lateness)
}

#[test]
fn rows_closer_than_the_gap_are_one_session() {
    let mut run = begin(&counting(0));
    run.rows(
        1,
        &[
            row(1, "a", 1),
            row(GAP, "a", 2),
            row(GAP + 5, "b", 3),
            row(2 * GAP - 1, "a", 4),
            // The gap itself lies between this and the one before.
            row(3 * GAP - 1, "a", 5),
        ],
    );
    run.progress(2 * GAP + 5 + TICK - 6);
    assert_eq!(run.results, [""; 0]);
    // The session of b ends 5 us behind a border of ticks: its tick is complete at the next.
    run.progress(2 * GAP + TICK);
    assert_eq!(run.results, ["11 @109999 b 50005 100005 1 3"]);
    run.progress(3 * GAP);
    assert_eq!(run.results[1..], ["15 @149999 a 1 149999 3 4"]);
    assert_eq!(run.progress, Some(EventTime(16 * TICK - 1)));
    run.end();
    assert_eq!(run.results[2..], ["20 @199999 a 149999 199999 1 5"]);
}

#[test]
fn a_row_between_two_makes_them_one() {
    let mut run = begin(&counting(GAP));
    run.rows(1, &[row(0, "a", 1), row(GAP + 20_000, "a", 2)]);
    run.rows(2, &[late_row(40_000, 80_000, "a", 3)]);
    run.end();
    assert_eq!(run.results, ["12 @119999 a 0 120000 3 3"]);
    assert_eq!(run.late, [""; 0]);
}

#[test]
fn a_row_is_late_by_how_much_later_it_is_due() {
    let mut run = begin(&counting(100));
    run.rows(1, &[late_row(5, 105, "a", 1), late_row(5, 106, "a", 2)]);
    assert_eq!(run.late, ["a 2 1.0"]);
    run.progress(6 * TICK + 99);
    assert_eq!(run.results, [""; 0]);
    run.progress(6 * TICK + 100);
    assert_eq!(run.results, ["6 @59999 a 5 50005 1 1"]);
}

#[test]
fn a_session_that_goes_on_holds_what_one_pane_holds() {
    let mut run = begin(&counting(0));
    let mut most = 0;
    for n in 0..2_000 {
        let time = n * (GAP - 1);
        run.rows(1, &[row(time, "a", n)]);
        run.progress(time);
        most = most.max(run.bytes);
    }
    let mut few = begin(&counting(0));
    let mut least = 0;
    for n in 0..6 {
        few.rows(1, &[row(n * (GAP - 1), "a", n)]);
        few.progress(n * (GAP - 1));
        least = least.max(few.bytes);
    }
    assert_eq!(most, least, "the memory of a session does not grow with it");
    run.end();
    let end = 1_999 * (GAP - 1) + GAP;
    let tick = (end + TICK - 1) / TICK;
    let at = tick * TICK - 1;
    assert_eq!(run.results, [format!("{tick} @{at} a 0 {end} 2000 1999")]);
}

#[test]
fn times_beyond_all_sessions_are_bad() {
    let mut run = begin(&counting(0));
    run.rows(1, &[row(i64::MAX - 5, "a", 1), row(i64::MIN + 5, "a", 2)]);
    assert_eq!(run.bad.len(), 2);
    run.end();
    assert_eq!(run.results, [""; 0]);
}

#[test]
fn a_tick_says_when_the_first_of_its_sessions_could_have_begun() {
    let mut operator = compile(&counting(0)).unwrap().operator;
    let mut emit = Emitter::default();
    operator.process(0, &batch(&weighted(), 1, &[row(GAP, "a", 1)]), &mut emit);
    operator.on_progress(EventTime::MAX, &mut emit);
    assert_eq!(emit.ticks[0].began, EventTime(0));
    let slide = operator.slide().unwrap();
    assert_eq!((slide.every_micros, slide.lateness_micros), (TICK, 0));
}

#[test]
fn state_that_is_not_of_sessions_is_refused() {
    let mut run = begin(&counting(0));
    let mut other = begin(&arguments(&[("tumbling", GAP)], &["key"], &SELECT, 0));
    for run in [&mut run, &mut other] {
        run.rows(1, &[row(1, "a", 1)]);
    }
    let good = run.state().pop().unwrap();
    let mut refused = vec![other.state().pop().unwrap()];
    for (tick, number) in [(6, 1), (0, -1), (i64::MAX, i64::MAX)] {
        refused.push(StateChunk {
            tick: Tick(tick),
            part: Part {
                number,
                ..good.part
            },
            columns: good.columns.clone(),
        });
    }
    run.refuses(refused);
    let mut heir = begin(&counting(0));
    heir.operator.import(good).unwrap();
    for mut run in [run, heir] {
        run.end();
        assert_eq!(run.results, ["6 @59999 a 1 50001 1 1"]);
    }
}

/// What the sessions come to, computed one row after another: rows by origin.
fn reference(origins: &[Vec<Row>], gap: i64, lateness: i64) -> (Vec<String>, usize) {
    /// Time, origin, index and value.
    type Ordered = (i64, usize, usize, Option<i64>);
    let mut late = 0;
    let mut by_key: BTreeMap<Option<&str>, Vec<Ordered>> = BTreeMap::new();
    for (origin, rows) in origins.iter().enumerate() {
        for (index, row) in rows.iter().enumerate() {
            if row.due - row.time > lateness {
                late += 1;
            } else {
                let rows = by_key.entry(row.key).or_default();
                rows.push((row.time, origin, index, row.value));
            }
        }
    }
    let mut results = BTreeMap::new();
    for (key, mut rows) in by_key {
        rows.sort_unstable();
        for session in rows.chunk_by(|before, row| row.0 - before.0 < gap) {
            let (start, end) = (session[0].0, session[session.len() - 1].0 + gap);
            let tick = (end - 1).div_euclid(TICK) + 1;
            let mut ordered = session.to_vec();
            ordered.sort_by_key(|(time, origin, index, _)| (*origin, time.div_euclid(gap), *index));
            let values: Vec<Option<i64>> = ordered.iter().map(|row| row.3).collect();
            let text = format!(
                "{tick} @{} {} {start} {end} {}",
                tick * TICK - 1,
                key.unwrap_or("-"),
                show_values(&values)
            );
            assert!(results.insert((tick, key), text).is_none());
        }
    }
    (results.into_values().collect(), late)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever the interleaving of origins, the cuts, the progress in between and the transfers of state,
    /// results are those of the naive computation.
    #[test]
    fn sessions_are_what_they_are_said_to_be(
        origins in prop::collection::vec(prop::collection::vec(any_row(400_000, 40_000, -5..5), 0..30), 1..4),
        gap in prop_oneof![Just(TICK), TICK..60_000_i64, Just(7 * TICK)],
        lateness in prop_oneof![Just(0_i64), 0..25_000_i64],
        turns in any_turns(),
        in_order in any::<bool>(),
    ) {
        let mut origins = origins;
        if in_order {
            for rows in &mut origins {
                rows.sort_by_key(|row| row.time);
            }
        }
        let mut run = begin(&session(gap, lateness));
        run.interleave(origins.iter().map(|rows| (0, rows.as_slice())), &turns);
        run.end();
        let (results, late) = reference(&origins, gap, lateness);
        prop_assert_eq!(run.results, results);
        prop_assert_eq!(run.late.len(), late);
        prop_assert_eq!(run.bad.len(), 0);
    }
}

#[test]
fn a_cut_at_any_index_changes_nothing() {
    let rows: Vec<Row> = (0..60)
        .map(|n| {
            let time = n * 137 % 4_000 * 100;
            let key = ["a", "b", "c"][usize::try_from(n % 3).unwrap()];
            late_row(time, time + n % 4 * 900, key, n)
        })
        .collect();
    let whole = cut_anywhere(&session(2 * TICK, 2_000), &rows);
    assert!(!whole.late.is_empty() && whole.results.len() > 3);
}
