use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::operator::harness::{
    Row, Run, any_row, any_turns, batch, late_row, row, show_weighted, weighted,
};

fn arguments(by: &[&str], horizon: Option<i64>) -> Arguments {
    let mut arguments = Arguments::new();
    if !by.is_empty() {
        let by = by.iter().map(|name| Scalar::from(*name));
        arguments.push("by", Value::List(by.collect()));
    }
    if let Some(ticks) = horizon {
        let micros = Scalar::Micros(ticks * TICK_MICROS);
        arguments.push("for", Value::Scalar(micros));
    }
    arguments
}

#[test]
fn the_first_row_of_each_key_leaves_with_its_tick() {
    let mut run = Run::new(&KIND, weighted(), &arguments(&["key"], None));
    run.rows(1, &[row(1, "a", 1), row(2, "b", 2), row(3, "a", 3)]);
    run.progress(TICK_MICROS - 1);
    assert_eq!(run.results, [""; 0]);
    run.progress(TICK_MICROS);
    assert_eq!(run.results, ["1 @9999 a 1 0.5", "1 @9999 b 2 1.0"]);
    assert_eq!(run.progress, Some(EventTime(2 * TICK_MICROS - 1)));
    run.rows(
        1,
        &[row(5 * TICK_MICROS, "b", 4), row(5 * TICK_MICROS, "c", 5)],
    );
    run.progress(i64::MAX);
    assert_eq!(run.results[2..], ["6 @59999 c 5 2.5"]);
    assert!(run.bytes > 0, "what is kept forever is counted");
}

#[test]
fn within_a_tick_origins_have_their_order_and_rows_count_when_they_are_due() {
    let mut run = Run::new(&KIND, weighted(), &arguments(&["key"], None));
    run.rows(2, &[row(1, "a", 1), late_row(2, TICK_MICROS, "b", 2)]);
    run.rows(1, &[row(3, "a", 3), row(TICK_MICROS + 1, "b", 4)]);
    run.progress(i64::MAX);
    assert_eq!(run.results, ["1 @9999 a 3 1.5", "2 @19999 b 4 2.0"]);
    assert_eq!(run.late, [""; 0]);
}

#[test]
fn a_key_is_forgotten_when_no_row_of_it_has_come_for_long() {
    let mut run = Run::new(&KIND, weighted(), &arguments(&["key"], Some(3)));
    for (tick, value) in [(0, 1), (2, 2), (4, 3), (7, 4)] {
        run.rows(1, &[row(tick * TICK_MICROS, "a", value)]);
    }
    run.end();
    assert_eq!(run.results, ["1 @9999 a 1 0.5", "8 @79999 a 4 2.0"]);
}

#[test]
fn who_began_in_the_middle_gives_what_it_has_seen_all_of() {
    let mut began = Vec::new();
    for horizon in [None, Some(3)] {
        let mut operator = (KIND.compile)(&arguments(&["key"], horizon), &[weighted()])
            .unwrap()
            .operator;
        let batch = batch(&weighted(), 1, &[row(50_001, "a", 1)]);
        let mut emit = Emitter::default();
        operator.process(0, &batch, &mut emit);
        operator.on_progress(EventTime::MAX, &mut emit);
        began.push(emit.ticks[0].began);
    }
    assert_eq!(began, [EventTime(50_000), EventTime(20_000)]);
}

#[test]
fn what_is_due_beyond_all_ticks_is_bad() {
    let mut run = Run::new(&KIND, weighted(), &arguments(&["key"], Some(1)));
    run.rows(
        1,
        &[
            row(i64::MAX - 5, "a", 1),
            row(i64::MIN, "b", 2),
            row(5, "c", 3),
        ],
    );
    run.end();
    assert_eq!(run.bad.len(), 2);
    assert_eq!(run.results, ["1 @9999 c 3 1.5"]);
}

#[test]
fn parameters_have_one_form_and_what_is_wrong_is_said() {
    let compile = |given: &Arguments| (KIND.compile)(given, &[weighted()]);
    let all = compile(&arguments(&["weight", "value", "key"], None)).unwrap();
    assert_eq!(all.parameters, Arguments::new());
    let some = compile(&arguments(&["value", "key"], Some(2))).unwrap();
    assert_eq!(some.parameters, arguments(&["key", "value"], Some(2)));
    assert_eq!(
        compile(&some.parameters).unwrap().parameters,
        some.parameters
    );
    assert_eq!(some.outputs[0], ("out".to_owned(), weighted()));
    let with = |micros| Arguments::from_iter([("for", Value::Scalar(Scalar::Micros(micros)))]);
    let cases = [
        (
            with(0),
            "for: 0 us are out of range or no multiple of 10 ms",
        ),
        (
            with(10_001),
            "for: 10001 us are out of range or no multiple of 10 ms",
        ),
        (
            arguments(&["keys"], None),
            "by: no column is called \"keys\"",
        ),
    ];
    for (given, message) in cases {
        let errors = compile(&given).unwrap_err();
        assert_eq!(errors[0].to_string(), message);
    }
}

#[test]
fn state_of_another_operator_is_refused() {
    let given = arguments(&["key"], None);
    let mut run = Run::new(&KIND, weighted(), &given);
    run.rows(1, &[row(1, "a", 1)]);
    run.progress(TICK_MICROS);
    run.rows(1, &[row(TICK_MICROS, "b", 1)]);
    let chunks = run.state();
    let [seen, rows] = &chunks[..] else {
        panic!("a chunk of keys and one of rows: {chunks:?}");
    };
    let mut refused = Vec::new();
    for (good, other) in [(seen, rows), (rows, seen)] {
        let mut chunk = good.clone();
        chunk.columns = other.columns.clone();
        refused.push(chunk);
        let mut chunk = good.clone();
        chunk.tick = Tick(i64::MAX);
        refused.push(chunk);
        let mut chunk = good.clone();
        chunk.part.number = 7;
        refused.push(chunk);
    }
    run.refuses(refused);
    run.progress(i64::MAX);
    assert_eq!(run.results.len(), 2);
}

/// The first rows, computed one after another: rows by origin.
fn reference(origins: &[Vec<Row>], horizon: Option<i64>) -> Vec<String> {
    let mut ordered = BTreeMap::new();
    for (origin, rows) in origins.iter().enumerate() {
        for (index, row) in rows.iter().enumerate() {
            let tick = row.due.div_euclid(TICK_MICROS) + 1;
            ordered.insert((tick, origin, index), row);
        }
    }
    let mut seen: BTreeMap<Option<&str>, i64> = BTreeMap::new();
    let mut results = Vec::new();
    for ((tick, ..), row) in ordered {
        let before = seen.insert(row.key, tick);
        let is_known = |before: i64| horizon.is_none_or(|horizon| tick - before < horizon);
        if !before.is_some_and(is_known) {
            let time = tick * TICK_MICROS - 1;
            let shown = show_weighted(row.key, row.value);
            results.push(format!("{tick} @{time} {shown}"));
        }
    }
    results
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the interleaving of origins, the cuts, the progress in between and the transfers of state,
    /// results are those of the naive computation.
    #[test]
    fn the_first_rows_are_found(
        origins in prop::collection::vec(prop::collection::vec(any_row(200_000, 40_000, -3..4), 0..40), 1..4),
        horizon in prop::option::of(1_i64..15),
        turns in any_turns(),
    ) {
        let mut run = Run::new(&KIND, weighted(), &arguments(&["key"], horizon));
        run.interleave(origins.iter().map(|rows| (0, rows.as_slice())), &turns);
        run.progress(i64::MAX);
        prop_assert_eq!(run.results, reference(&origins, horizon));
        prop_assert_eq!(run.late.len() + run.bad.len(), 0);
    }
}
