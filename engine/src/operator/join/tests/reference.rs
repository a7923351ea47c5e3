//! Joins against a naive computation of them, on random rows.

use proptest::prelude::*;

use super::*;
use crate::operator::harness::{any_row, any_turns};

/// How long ticks are, and windows slide.
const TICK: i64 = 1_000;

/// When rows meet, and what more must hold.
#[derive(Debug, Clone, Copy)]
struct Case {
    /// Windows of so many slides, or bounds.
    meeting: Meeting,
    lateness: i64,
    keeps_left: bool,
    has_condition: bool,
}

#[derive(Debug, Clone, Copy)]
enum Meeting {
    Windows(i64),
    Interval(i64, i64),
}

impl Case {
    fn arguments(self) -> Arguments {
        let mut more = vec![("lateness", Value::Scalar(Scalar::Micros(self.lateness)))];
        if self.keeps_left {
            more.push(("type", "left".into()));
        }
        if self.has_condition {
            more.push(("where", "left_value / right_value >= 1".into()));
        }
        match self.meeting {
            Meeting::Windows(panes) => sliding(panes * TICK, TICK, &more),
            Meeting::Interval(lower, upper) => interval(lower, upper, &more),
        }
    }

    /// The ticks in which a row counts, or none where it is late.
    fn ticks(self, side: usize, row: &Row) -> Option<(i64, i64)> {
        let pane = |time: i64| time.div_euclid(TICK) + 1;
        let (first, last) = match self.meeting {
            Meeting::Windows(panes) => {
                let windows = row.windows(TICK, panes, self.lateness);
                (*windows.first()?, *windows.last()?)
            }
            Meeting::Interval(lower, upper) => {
                let wait = [upper, -lower][side].max(0) + self.lateness;
                (pane(row.due), pane(row.time + wait))
            }
        };
        (first <= last).then_some((first, last))
    }

    fn agrees(self, left: &Row, right: &Row) -> bool {
        let is_near = match self.meeting {
            Meeting::Windows(_) => true,
            Meeting::Interval(lower, upper) => (lower..=upper).contains(&(right.time - left.time)),
        };
        let holds = || match (left.value, right.value) {
            (Some(_), Some(0)) | (None, _) | (_, None) => false,
            (Some(left), Some(right)) => left / right >= 1,
        };
        left.key.is_some() && left.key == right.key && is_near && (!self.has_condition || holds())
    }
}

/// Where a row stands among those of its key: time, origin, tick and index.
type Order = (i64, usize, i64, usize);

/// What a join comes to, looked at pair after pair; rows by side and origin. And how many rows are late.
fn reference(origins: &[(u16, Vec<Row>)], case: Case) -> (Vec<String>, usize) {
    let mut sides: [Vec<(Order, i64, &Row)>; 2] = [Vec::new(), Vec::new()];
    let mut late = 0;
    for (origin, (side, rows)) in origins.iter().enumerate() {
        for (index, row) in rows.iter().enumerate() {
            let side = usize::from(*side);
            match case.ticks(side, row) {
                None => late += 1,
                Some((first, last)) => {
                    sides[side].push(((row.time, origin, first, index), last, row));
                }
            }
        }
    }
    let [lefts, rights] = sides;
    let mut results = Vec::new();
    let show =
        |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let mut result =
        |tick: i64, task: u8, order: (Order, Order), left: &Row, right: Option<i64>| {
            let key = left.key.unwrap_or("-");
            let text = format!(
                "{tick} @{} {key} {} {}",
                tick * TICK - 1,
                left.number,
                show(right)
            );
            results.push(((tick, left.key, task, order), text));
        };
    for (left_order, left_last, left) in &lefts {
        let mut met = Vec::new();
        for (right_order, right_last, right) in &rights {
            let (from, through) = (left_order.2.max(right_order.2), *left_last.min(right_last));
            if from > through || !case.agrees(left, right) {
                continue;
            }
            match case.meeting {
                Meeting::Windows(_) => {
                    for tick in from..=through {
                        met.push(tick);
                        result(
                            tick,
                            0,
                            (*left_order, *right_order),
                            left,
                            Some(right.number),
                        );
                    }
                }
                Meeting::Interval(..) => {
                    met.extend(left_order.2..=*left_last);
                    let (task, order) = if left_order.2 == from {
                        (0, (*left_order, *right_order))
                    } else {
                        (1, (*right_order, *left_order))
                    };
                    result(from, task, order, left, Some(right.number));
                }
            }
        }
        let alone = match case.meeting {
            Meeting::Windows(_) => left_order.2..=*left_last,
            Meeting::Interval(..) => *left_last..=*left_last,
        };
        for tick in alone.filter(|tick| case.keeps_left && !met.contains(tick)) {
            result(tick, 2, (*left_order, *left_order), left, None);
        }
    }
    results.sort();
    (results.into_iter().map(|(_, text)| text).collect(), late)
}

fn any_case() -> impl Strategy<Value = Case> {
    let bounds = (-4_000..4_000_i64, 0..5_000_i64);
    let meeting = prop_oneof![
        (1_i64..5).prop_map(Meeting::Windows),
        bounds.prop_map(|(lower, width)| Meeting::Interval(lower, lower + width)),
    ];
    let lateness = prop_oneof![Just(0_i64), 0..2_500_i64];
    (meeting, lateness, any::<bool>(), any::<bool>()).prop_map(
        |(meeting, lateness, keeps_left, has_condition)| Case {
            meeting,
            lateness,
            keeps_left,
            has_condition,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever the interleaving of sides and origins, the cuts, the progress in between and the transfers of state,
    /// results are those of the naive computation, in the same order.
    #[test]
    fn joins_are_what_they_are_said_to_be(
        origins in prop::collection::vec((0_u16..2, prop::collection::vec(any_row(6_000, 4_000, -2..3), 0..20)), 2..5),
        case in any_case(),
        turns in any_turns(),
    ) {
        let mut run = begin(&case.arguments());
        run.interleave(origins.iter().map(|(side, rows)| (*side, rows.as_slice())), &turns);
        run.end();
        let (results, late) = reference(&origins, case);
        prop_assert_eq!(run.results, results);
        prop_assert_eq!(run.late.len(), late);
        prop_assert_eq!(run.bad.len(), 0);
    }
}

#[test]
fn a_cut_at_any_index_changes_nothing() {
    let rows: Vec<Row> = (0..40)
        .map(|n| {
            let time = n * 137 % 4_000;
            let key = ["a", "b", "c"][usize::try_from(n % 3).unwrap()];
            late_row(time, time + n % 3 * 900, key)
        })
        .collect();
    for arguments in [
        sliding(2_000, 1_000, &[]),
        interval(-500, 500, &[("type", "left".into())]),
    ] {
        let mut whole = begin(&arguments);
        whole.left(&rows);
        whole.right(&rows);
        whole.end();
        assert!(!whole.late.is_empty());
        assert!(whole.results.len() > 20);
        for cut in 0..=rows.len() {
            let mut run = begin(&arguments);
            run.right(&rows[..cut]);
            run.left(&rows[..cut]);
            run.left(&rows[cut..]);
            run.right(&rows[cut..]);
            run.end();
            assert_eq!(run.results, whole.results, "cut at {cut}");
        }
    }
}
