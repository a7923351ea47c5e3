//! What an application has to yield, by plain code over the rows of its sources: nothing here knows of operators, positions or windows of
//! the engine.

use std::collections::{BTreeMap, BTreeSet};

use super::load::{Family, HIGH_FROM, Input, Rate, SLIDE_MS, SOME_FROM, SPAN_MS, since_begin};

/// A result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Row {
    /// The end of the window that it is of. Unit: milliseconds behind the first row.
    pub(super) end_ms: u64,
    /// Of a pair its key and the sequence numbers of both; of a sum its key, how many rows, their sum and their last.
    pub(super) values: [u64; 4],
}

impl Row {
    /// The row of a line that a sink wrote; nothing where it is none.
    pub(super) fn read(family: Family, line: &str) -> Option<Self> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        let number = |name: &str| line.get(name)?.as_u64();
        let values = match family {
            Family::Sums | Family::Slides => [
                number("key")?,
                number("n")?,
                number("total")?,
                number("last")?,
            ],
            Family::Pairs => [number("key")?, number("a")?, number("b")?, 0],
        };
        let end_ms = since_begin(line.get("window_end")?.as_str()?)?;
        Some(Self { end_ms, values })
    }
}

/// All results of an application whose sources have these rows.
pub(super) fn results(family: Family, rate: Rate, inputs: &[Input]) -> BTreeSet<Row> {
    match (family, inputs) {
        (Family::Sums, [rows]) => sums(rate, rows, SLIDE_MS, 2),
        (Family::Slides, [rows]) => sums(rate, rows, SPAN_MS, 1),
        (Family::Pairs, [left, right]) => pairs(rate, left, right),
        (Family::Sums | Family::Slides | Family::Pairs, _) => {
            unreachable!("sums have one source, pairs two")
        }
    }
}

/// Rows of a key: how many, their sum, the last.
type Sum = (u64, u64, u64);

/// Sums by key over spans of `span_ms`, one each [`SLIDE_MS`], of at least so many rows.
fn sums(rate: Rate, rows: &Input, span_ms: u64, least: u64) -> BTreeSet<Row> {
    let mut slides: BTreeMap<u64, BTreeMap<u64, Sum>> = BTreeMap::new();
    for (seq, (key, value)) in (0..).zip(&rows.rows) {
        if *value >= SOME_FROM {
            let slide = slides.entry(rate.due_ms(seq) / SLIDE_MS).or_default();
            let (count, total, last) = slide.entry(*key).or_default();
            (*count, *total, *last) = (*count + 1, *total + seq, seq);
        }
    }
    let (Some(first), Some(last)) = (slides.keys().next(), slides.keys().next_back()) else {
        return BTreeSet::new();
    };
    let width = span_ms / SLIDE_MS;
    let windows = (first + 1)..=(last + width);
    let of_window = |end: u64| {
        let mut sums: BTreeMap<u64, Sum> = BTreeMap::new();
        for (key, (count, total, last)) in slides
            .range(end.saturating_sub(width)..end)
            .flat_map(|(_, slide)| slide)
        {
            let sum = sums.entry(*key).or_default();
            *sum = (sum.0 + count, sum.1 + total, sum.2.max(*last));
        }
        let rows = sums.into_iter().filter(move |(_, sum)| sum.0 >= least);
        rows.map(move |(key, (count, total, last))| Row {
            end_ms: end * SLIDE_MS,
            values: [key, count, total, last],
        })
    };
    windows.flat_map(of_window).collect()
}

/// Rows of equal keys that meet within [`SLIDE_MS`].
fn pairs(rate: Rate, left: &Input, right: &Input) -> BTreeSet<Row> {
    let mut others: BTreeMap<(u64, u64), Vec<u64>> = BTreeMap::new();
    for (seq, (key, _)) in (0..).zip(&right.rows) {
        let window = rate.due_ms(seq) / SLIDE_MS;
        others.entry((window, *key)).or_default().push(seq);
    }
    let high = (0..).zip(&left.rows);
    let high = high.filter(|(_, (_, value))| *value >= HIGH_FROM);
    let met = high.flat_map(|(a, (key, _))| {
        let window = rate.due_ms(a) / SLIDE_MS;
        let others = others.get(&(window, *key)).into_iter().flatten();
        others.map(move |b| Row {
            end_ms: (window + 1) * SLIDE_MS,
            values: [*key, a, *b, 0],
        })
    });
    met.collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: Rate = Rate {
        rows_per_second: 10,
        duration: Duration::from_secs(1),
    };

    fn input(rows: &[(u64, u64)]) -> Input {
        Input {
            rows: rows.to_vec(),
        }
    }

    fn row(end_ms: u64, values: [u64; 4]) -> Row {
        Row { end_ms, values }
    }

    #[test]
    fn sums_are_of_what_lies_in_a_window() {
        // Two rows a window; the third is below the filter, so that the second window has one, and yields nothing.
        let rows = input(&[(1, 100), (1, 900), (1, 99), (1, 100), (2, 100), (2, 100)]);
        let found = results(Family::Sums, RATE, std::slice::from_ref(&rows));
        let expected = [row(200, [1, 2, 1, 1]), row(600, [2, 2, 9, 5])];
        assert_eq!(found, expected.into());
    }

    #[test]
    fn a_row_is_in_every_window_that_slides_over_it() {
        let found = results(Family::Slides, RATE, &[input(&[(3, 500)])]);
        let count = usize::try_from(SPAN_MS / SLIDE_MS).unwrap();
        assert_eq!(found.len(), count);
        assert_eq!(found.first(), Some(&row(200, [3, 1, 0, 0])));
        assert_eq!(found.last(), Some(&row(SPAN_MS, [3, 1, 0, 0])));
    }

    #[test]
    fn rows_meet_within_a_window_and_not_over_its_end() {
        let left = input(&[(1, 500), (1, 499), (1, 500)]);
        let right = input(&[(2, 0), (1, 0), (1, 0)]);
        let found = results(Family::Pairs, RATE, &[left, right]);
        let expected = [row(200, [1, 0, 1, 0]), row(400, [1, 2, 2, 0])];
        assert_eq!(found, expected.into());
    }

    #[test]
    fn lines_of_sinks_are_read() {
        let line = r#"{"key":1,"a":2,"b":3,"window_end":"2024-01-01T00:00:00.4Z"}"#;
        let found = Row::read(Family::Pairs, line);
        assert_eq!(found, Some(row(400, [1, 2, 3, 0])));
        assert_eq!(Row::read(Family::Sums, line), None);
        assert_eq!(Row::read(Family::Pairs, &line[..20]), None);
    }
}
