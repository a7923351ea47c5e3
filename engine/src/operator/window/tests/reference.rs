//! Windows against a naive computation of them, on random rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::operator::harness::{any_row, any_turns};

const SLIDE: i64 = 1_000;

pub(super) const SELECT: [(&str, &str); 7] = [
    ("n", "count(value)"),
    ("sum", "sum(value)"),
    ("least", "min(value)"),
    ("greatest", "max(value)"),
    ("mean", "avg(value)"),
    ("first", "first(value)"),
    ("last", "last(value)"),
];

/// What the windows come to, computed one row after another: rows by origin, `panes` slides to a window.
fn reference(origins: &[Vec<Row>], panes: i64, lateness: i64) -> (Vec<String>, usize) {
    /// By origin, pane, first window and index.
    type Ordered = BTreeMap<(usize, i64, i64, usize), Option<i64>>;
    let mut windows: BTreeMap<(i64, Option<&str>), Ordered> = BTreeMap::new();
    let mut late = 0;
    for (origin, rows) in origins.iter().enumerate() {
        for (index, row) in rows.iter().enumerate() {
            let pane = row.time.div_euclid(SLIDE) + 1;
            let counted = row.windows(SLIDE, panes, lateness);
            let Some(first) = counted.first() else {
                late += 1;
                continue;
            };
            for window in &counted {
                let order = (origin, pane, *first, index);
                windows
                    .entry((*window, row.key))
                    .or_default()
                    .insert(order, row.value);
            }
        }
    }
    let results = windows.iter().map(|((window, key), rows)| {
        let all: Vec<Option<i64>> = rows.values().copied().collect();
        format!(
            "{window} @{} {} {} {} {}",
            window * SLIDE - 1,
            key.unwrap_or("-"),
            (window - panes) * SLIDE,
            window * SLIDE,
            show_values(&all),
        )
    });
    (results.collect(), late)
}

/// What [`SELECT`] gives for the values of some rows, in order.
pub(super) fn show_values(all: &[Option<i64>]) -> String {
    let values: Vec<i64> = all.iter().flatten().copied().collect();
    let show = |value: Option<i64>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    let count = values.len();
    let sum: i64 = values.iter().sum();
    #[expect(clippy::cast_precision_loss, reason = "the values are small")]
    let mean = (count > 0).then(|| sum as f64 / count as f64);
    format!(
        "{count} {} {} {} {} {} {}",
        show((count > 0).then_some(sum)),
        show(values.iter().min().copied()),
        show(values.iter().max().copied()),
        mean.map_or_else(|| "-".to_owned(), |mean| format!("{mean:?}")),
        show(all[0]),
        show(all[all.len() - 1]),
    )
}

fn window(panes: i64, lateness: i64) -> Arguments {
    let window = [("sliding", panes * SLIDE), ("slide", SLIDE)];
    arguments(&window, &["key"], &SELECT, lateness)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever the interleaving of origins, the cuts, the progress in between and the transfers of state,
    /// results are those of the naive computation.
    #[test]
    fn windows_are_what_they_are_said_to_be(
        origins in prop::collection::vec(prop::collection::vec(any_row(6_000, 4_000, -5..5), 0..30), 1..4),
        panes in 1_i64..5,
        lateness in prop_oneof![Just(0_i64), 0..2_500_i64],
        turns in any_turns(),
    ) {
        let mut run = begin(&window(panes, lateness));
        run.interleave(origins.iter().map(|rows| (0, rows.as_slice())), &turns);
        run.end();
        let (results, late) = reference(&origins, panes, lateness);
        prop_assert_eq!(run.results, results);
        prop_assert_eq!(run.late.len(), late);
        prop_assert_eq!(run.bad.len(), 0);
    }
}

#[test]
fn a_cut_at_any_index_changes_nothing() {
    let rows: Vec<Row> = (0..40)
        .map(|n| {
            late_row(
                n * 137 % 4_000,
                n * 137 % 4_000 + n % 3 * 900,
                ["a", "b", "c"][usize::try_from(n % 3).unwrap()],
                n,
            )
        })
        .collect();
    let whole = cut_anywhere(&window(2, 100), &rows);
    assert!(!whole.late.is_empty());
}

#[test]
fn digests_depend_on_no_cut() {
    let select = [
        ("p", "approx_percentile_cont(value, 0.95)"),
        ("m", "approx_median(weight)"),
    ];
    let arguments = arguments(&[("tumbling", 1_000_000)], &["key"], &select, 0);
    let rows: Vec<Row> = (0..4_000)
        .map(|n| {
            row(
                n,
                ["a", "b"][usize::try_from(n % 2).unwrap()],
                n * 7919 % 10_007,
            )
        })
        .collect();
    let mut whole = begin(&arguments);
    whole.rows(1, &rows);
    whole.end();
    for cut in [1, 7, 100, 512, 1_000] {
        let mut run = begin(&arguments);
        for part in rows.chunks(cut) {
            run.rows(1, part);
        }
        run.end();
        assert_eq!(run.results, whole.results, "cuts of {cut}");
    }
}
