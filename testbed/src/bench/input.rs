//! The rows that benchmarks run on.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use model::Rng;

/// How many keys there are. Unit: count. Source: guess; as many sensors or items as a site has.
const KEYS: u64 = 1_000;

/// How many rows there are in a second of event time.
///
/// Unit: rows. Source: guess; a window of one second has a hundred rows for each key, so that results are a
/// hundredth of the input.
const ROWS_PER_EVENT_SECOND: u64 = 100_000;

/// When the first row is, in milliseconds since 1970. Source: none; any whole second does.
const START_MILLIS: u64 = 1_700_000_000_000;

/// The first line of a file of rows.
pub const HEADER: &str = "time,key,value,price";

/// A row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Milliseconds since 1970.
    pub time: u64,
    /// Below the number of keys.
    pub key: u64,
    /// Below a thousand.
    pub value: u64,
    /// Hundredths of a currency's unit, below a million.
    pub price_cents: u64,
}

/// The rows that come from a seed, without end.
pub fn rows(seed: u64) -> impl Iterator<Item = Row> {
    let mut rng = Rng::from_seed(seed).keyed("rows");
    (0..).map(move |index: u64| Row {
        time: START_MILLIS + index * 1000 / ROWS_PER_EVENT_SECOND,
        key: rng.below(KEYS),
        value: rng.below(1_000),
        price_cents: rng.below(1_000_000),
    })
}

/// Writes rows as comma-separated values, and shows each to `visit`.
///
/// # Errors
/// When the file cannot be written.
pub fn write(
    path: &Path,
    rows: impl Iterator<Item = Row>,
    mut visit: impl FnMut(&Row),
) -> Result<(), std::io::Error> {
    let mut file = BufWriter::new(File::create(path)?);
    writeln!(file, "{HEADER}")?;
    for row in rows {
        let Row {
            time, key, value, ..
        } = row;
        let (whole, cents) = (row.price_cents / 100, row.price_cents % 100);
        writeln!(file, "{time},{key},{value},{whole}.{cents:02}")?;
        visit(&row);
    }
    file.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_its_rows() {
        let of = |seed| rows(seed).take(100).collect::<Vec<_>>();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        assert!(of(1).is_sorted_by_key(|row| row.time));
    }

    #[test]
    fn rows_are_written_as_they_are() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let row = Row {
            time: 7,
            key: 2,
            value: 33,
            price_cents: 1205,
        };
        let mut seen = Vec::new();
        write(file.path(), std::iter::once(row), |row| seen.push(*row)).unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert_eq!(text, "time,key,value,price\n7,2,33,12.05\n");
        assert_eq!(seen, [row]);
    }
}
