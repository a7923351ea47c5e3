//! Windows against a naive computation of them, on random rows.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

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
            let counted: Vec<i64> = (pane..pane + panes)
                .filter(|window| row.due < window * SLIDE + lateness)
                .collect();
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

fn any_row() -> impl Strategy<Value = Row> {
    let key = prop::sample::select(vec![None, Some("a"), Some("b"), Some("")]);
    let value = prop::option::weighted(0.9, -5_i64..5);
    let delay = prop_oneof![3 => Just(0_i64), 1 => 0..4_000_i64];
    (-6_000..6_000_i64, delay, key, value).prop_map(|(time, delay, key, value)| Row {
        time,
        due: time + delay,
        key,
        value,
    })
}

/// What happens between two batches.
#[derive(Debug, Clone, Copy)]
enum Event {
    Nothing,
    /// Progress reaches the earliest row that is left.
    Progress,
    /// Another operator takes over.
    Transfer,
}

fn any_event() -> impl Strategy<Value = Event> {
    prop::sample::select(vec![Event::Nothing, Event::Progress, Event::Transfer])
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
        origins in prop::collection::vec(prop::collection::vec(any_row(), 0..30), 1..4),
        panes in 1_i64..5,
        lateness in prop_oneof![Just(0_i64), 0..2_500_i64],
        turns in prop::collection::vec((0_usize..4, 1_usize..8, any_event()), 0..40),
    ) {
        let mut run = Run::new(&window(panes, lateness));
        let mut left: Vec<&[Row]> = origins.iter().map(Vec::as_slice).collect();
        let rest = (0..origins.len()).map(|origin| (origin, usize::MAX, Event::Nothing));
        for (turn, count, event) in turns.into_iter().chain(rest) {
            let origin = turn % origins.len();
            let (taken, behind) = left[origin].split_at(count.min(left[origin].len()));
            left[origin] = behind;
            run.rows(u128::try_from(origin).unwrap(), taken);
            match event {
                Event::Nothing => {}
                Event::Progress => {
                    let due = left.iter().flat_map(|rows| rows.iter()).map(|row| row.due).min();
                    if let Some(due) = due {
                        run.progress(due);
                    }
                }
                Event::Transfer => run.transfer(&window(panes, lateness)),
            }
        }
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
    let mut whole = Run::new(&window(2, 100));
    whole.rows(1, &rows);
    whole.end();
    assert!(!whole.late.is_empty());
    for cut in 0..=rows.len() {
        let mut run = Run::new(&window(2, 100));
        run.rows(1, &rows[..cut]);
        run.rows(1, &rows[cut..]);
        run.end();
        assert_eq!(run.results, whole.results, "cut at {cut}");
        assert_eq!(run.late, whole.late, "cut at {cut}");
    }
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
    let mut whole = Run::new(&arguments);
    whole.rows(1, &rows);
    whole.end();
    for cut in [1, 7, 100, 512, 1_000] {
        let mut run = Run::new(&arguments);
        for part in rows.chunks(cut) {
            run.rows(1, part);
        }
        run.end();
        assert_eq!(run.results, whole.results, "cuts of {cut}");
    }
}
