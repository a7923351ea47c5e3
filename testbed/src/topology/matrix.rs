//! Measured round trips between hosts, from files.
//!
//! Four forms are read, each plain or packed by gzip (a name that ends in `.gz`):
//!
//! - a square of numbers, a row a line, with blanks, tabs, commas or semicolons between: milliseconds (PlanetLab). What is empty between
//!   commas, no number, not finite or below zero is a hole;
//! - several such squares, each behind a line `# slice N`: **seconds**, and only the first is read (Seattle);
//! - JSON, `{"data": {"from": {"to": milliseconds}}}` (cloud regions);
//! - a table with the header `src_city,dst,distance_km,rtt_avg_ms,…` (cities).
//!
//! A zero between two hosts is below what was measured with; it counts as half of the least that was measured at all.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use flate2::read::MultiGzDecoder;
use model::{Rng, convert};
use serde::Deserialize;

use super::{Topology, choose};

/// The most hosts that a matrix may have.
///
/// Unit: hosts. Source: guess; ten times the largest data set at hand, and 400 MB.
pub const HOSTS_MAX: usize = 5000;

/// The longest file that is read, unpacked.
///
/// Unit: bytes. Source: twelve characters for each pair of [`HOSTS_MAX`].
const FILE_BYTES_MAX: u64 = 300_000_000;

/// Round trips between hosts, as measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// What the hosts are called: their number, from 1, where the file does not say.
    pub names: Vec<String>,
    /// From each host to each; nothing where it was not measured. As many rows, and as many in each row, as there are names.
    pub round_trips: Vec<Vec<Option<Duration>>>,
}

/// Why a file is no matrix. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum MatrixError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is longer than any matrix.
    #[error("{}: more than {FILE_BYTES_MAX} bytes", .0.display())]
    Long(PathBuf),
    /// What it holds is no matrix.
    #[error("{}: {what}", path.display())]
    Form {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// More hosts are asked for than have round trips to each other.
    #[error("{asked} hosts are asked for, and {complete} have round trips to each other")]
    Few {
        /// How many are asked for.
        asked: usize,
        /// How many there are.
        complete: usize,
    },
}

/// Reads a file.
///
/// # Errors
/// When it cannot be read, is too long or has none of the forms.
pub fn read(path: &Path) -> Result<Matrix, MatrixError> {
    let failed = |source| MatrixError::Read {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(failed)?;
    let mut text = String::new();
    let length = match path.extension().is_some_and(|it| it == "gz") {
        true => MultiGzDecoder::new(file)
            .take(FILE_BYTES_MAX)
            .read_to_string(&mut text),
        false => file.take(FILE_BYTES_MAX).read_to_string(&mut text),
    };
    if convert::size(length.map_err(failed)?) >= FILE_BYTES_MAX {
        return Err(MatrixError::Long(path.to_owned()));
    }
    parse(&text).map_err(|what| MatrixError::Form {
        path: path.to_owned(),
        what,
    })
}

/// The matrix in a text.
///
/// # Errors
/// With what is wrong with it.
pub fn parse(text: &str) -> Result<Matrix, String> {
    let matrix = if text.trim_start().starts_with('{') {
        regions(text)?
    } else if text.starts_with("src_city,") {
        cities(text)?
    } else {
        square(text)?
    };
    if matrix.names.len() < 2 {
        return Err("fewer than two hosts".to_owned());
    }
    Ok(matrix.without_zeros())
}

impl Matrix {
    /// `count` hosts, drawn from those that have round trips to each other, in the order of the file.
    ///
    /// Those are found by leaving out, one after the other, the host that lacks most; that a pair was measured in one direction is
    /// enough.
    ///
    /// # Errors
    /// When there are fewer.
    pub fn choose(&self, count: usize, rng: &mut Rng) -> Result<Vec<usize>, MatrixError> {
        let complete = self.complete();
        if complete.len() < count {
            return Err(MatrixError::Few {
                asked: count,
                complete: complete.len(),
            });
        }
        let mut chosen = choose(complete, count, rng);
        chosen.sort_unstable();
        Ok(chosen)
    }

    /// The hosts of these rows, which may repeat no host, as a topology: one way takes half of a round trip.
    ///
    /// A hole is filled by the other direction; where there is none, by the median of what is known from the one host and to the
    /// other among all hosts of the file.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn hosts(&self, rows: &[usize]) -> Hosts {
        let mut delays = Vec::with_capacity(rows.len() * rows.len());
        for &from in rows {
            for &to in rows {
                let round_trip = match from == to {
                    true => Duration::ZERO,
                    false => self.filled(from, to),
                };
                delays.push(round_trip / 2);
            }
        }
        Hosts {
            names: rows.iter().map(|row| self.names[*row].clone()).collect(),
            delays,
        }
    }

    fn filled(&self, from: usize, to: usize) -> Duration {
        self.either(from, to).unwrap_or_else(|| {
            let from_row = self.round_trips[from].iter().enumerate();
            let from_row = from_row.filter(|(other, _)| *other != from);
            let to_column = self.round_trips.iter().enumerate();
            let to_column = to_column.filter(|(other, _)| *other != to);
            let mut known: Vec<Duration> = from_row
                .filter_map(|(_, it)| *it)
                .chain(to_column.filter_map(|(_, row)| row[to]))
                .collect();
            known.sort_unstable();
            known.get(known.len() / 2).copied().unwrap_or_default()
        })
    }

    /// What was measured in this direction, else in the other.
    fn either(&self, from: usize, to: usize) -> Option<Duration> {
        self.round_trips[from][to].or(self.round_trips[to][from])
    }

    fn complete(&self) -> Vec<usize> {
        let mut kept: Vec<usize> = (0..self.names.len()).collect();
        loop {
            let lacks = |row: &usize| {
                let others = kept.iter().filter(|other| *other != row);
                others
                    .filter(|other| self.either(*row, **other).is_none())
                    .count()
            };
            let Some(worst) = kept.iter().copied().max_by_key(lacks) else {
                return kept;
            };
            if lacks(&worst) == 0 {
                return kept;
            }
            kept.retain(|row| *row != worst);
        }
    }

    fn without_zeros(mut self) -> Self {
        let measured = self.round_trips.iter().flatten().flatten();
        let least = measured.filter(|it| !it.is_zero()).min().copied();
        for (from, row) in self.round_trips.iter_mut().enumerate() {
            for (to, round_trip) in row.iter_mut().enumerate() {
                match round_trip {
                    _ if from == to => *round_trip = Some(Duration::ZERO),
                    Some(it) if it.is_zero() => *round_trip = least.map(|least| least / 2),
                    Some(_) | None => {}
                }
            }
        }
        self
    }
}

/// Hosts with measured delays.
#[derive(Debug, Clone, PartialEq)]
pub struct Hosts {
    names: Vec<String>,
    /// One way, row by row.
    delays: Vec<Duration>,
}

impl Hosts {
    /// What the hosts are called, in order.
    pub fn names(&self) -> &[String] {
        &self.names
    }
}

impl Topology for Hosts {
    fn host_count(&self) -> usize {
        self.names.len()
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        assert!(to < self.names.len(), "there is no host {to}");
        self.delays[from * self.names.len() + to]
    }
}

/// A square of numbers, or the first of several.
fn square(text: &str) -> Result<Matrix, String> {
    let mut unit = MILLISECOND;
    let mut round_trips = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix('#') {
            if comment.trim_start().starts_with("slice") {
                if !round_trips.is_empty() {
                    break;
                }
                unit = 1.0;
            }
            continue;
        }
        if line.trim().is_empty() {
            continue;
        }
        let row: Vec<Option<Duration>> = match line.contains(&[',', ';', '\t'][..]) {
            true => line
                .trim_end_matches('\r')
                .split([',', ';', '\t'])
                .map(|word| round_trip(word, unit))
                .collect(),
            false => line
                .split_whitespace()
                .map(|word| round_trip(word, unit))
                .collect(),
        };
        if row.len() > HOSTS_MAX || round_trips.len() >= HOSTS_MAX {
            return Err(format!("more than {HOSTS_MAX} hosts"));
        }
        round_trips.push(row);
    }
    let count = round_trips.len();
    if let Some(row) = round_trips.iter().position(|row| row.len() != count) {
        return Err(format!(
            "row {} has {} numbers, and there are {count} rows",
            row + 1,
            round_trips[row].len()
        ));
    }
    if round_trips.iter().flatten().all(Option::is_none) {
        return Err("no number".to_owned());
    }
    Ok(Matrix {
        names: (1..=count).map(|number| number.to_string()).collect(),
        round_trips,
    })
}

const MILLISECOND: f64 = 1e-3;

/// A number, in units of so many seconds.
fn round_trip(word: &str, unit: f64) -> Option<Duration> {
    let number: f64 = word.trim().parse().ok()?;
    (number.is_finite() && number >= 0.0).then(|| convert::seconds(number * unit))
}

/// Round trips by the names of their ends, in milliseconds.
#[derive(Deserialize)]
struct Regions {
    data: BTreeMap<String, BTreeMap<String, f64>>,
}

fn regions(text: &str) -> Result<Matrix, String> {
    let regions: Regions = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let names: Vec<String> = regions.data.keys().cloned().collect();
    let pairs = regions.data.iter().flat_map(|(from, row)| {
        row.iter()
            .map(move |(to, millis)| (from.as_str(), to.as_str(), *millis))
    });
    from_pairs(names, pairs, str::to_owned)
}

/// Cities are called differently as an end: with their country behind.
fn cities(text: &str) -> Result<Matrix, String> {
    let mut pairs = Vec::new();
    for (number, line) in (1..).zip(text.lines()).skip(1) {
        let mut fields = line.split(',');
        let (from, to, _, millis) = (fields.next(), fields.next(), fields.next(), fields.next());
        let (Some(from), Some(to), Some(millis)) = (from, to, millis) else {
            return Err(format!("line {number} has fewer than four fields"));
        };
        let millis: f64 = millis.parse().unwrap_or(f64::NAN);
        pairs.push((from, to, millis));
    }
    let mut names: Vec<String> = pairs
        .iter()
        .map(|(from, _, _)| (*from).to_owned())
        .collect();
    names.sort_unstable();
    names.dedup();
    let known = names.clone();
    let city = |end: &str| {
        let is_of = |name: &&String| {
            let rest = end.strip_prefix(name.as_str());
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
        };
        let longest = known.iter().filter(is_of).max_by_key(|name| name.len());
        longest.cloned().unwrap_or_default()
    };
    from_pairs(names, pairs.into_iter(), city)
}

/// A matrix of pairs, in milliseconds. Ends that are none of the names, as `called` gives them, are left out.
fn from_pairs<'p>(
    names: Vec<String>,
    pairs: impl Iterator<Item = (&'p str, &'p str, f64)>,
    called: impl Fn(&str) -> String,
) -> Result<Matrix, String> {
    if names.len() > HOSTS_MAX {
        return Err(format!("more than {HOSTS_MAX} hosts"));
    }
    let mut called_so: BTreeMap<&str, Option<usize>> = BTreeMap::new();
    let mut round_trips = vec![vec![None; names.len()]; names.len()];
    for (from, to, millis) in pairs {
        let from = names.binary_search_by(|name| name.as_str().cmp(from)).ok();
        let to = *called_so
            .entry(to)
            .or_insert_with(|| names.binary_search(&called(to)).ok());
        if let (Some(from), Some(to)) = (from, to)
            && millis.is_finite()
            && millis >= 0.0
        {
            round_trips[from][to] = Some(convert::seconds(millis * MILLISECOND));
        }
    }
    Ok(Matrix { names, round_trips })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(millis: u64) -> Option<Duration> {
        Some(Duration::from_millis(millis))
    }

    #[test]
    fn holes_are_what_was_not_measured() {
        for text in [
            "0 10 -1\n20 0 30\nNaN 40 0\n",
            "# a comment\n0,10,\n20,0,30\n,40,0\n",
            "0\t10\t\n20\t0\t30\n\t40\t0\r\n",
        ] {
            let matrix = parse(text).expect("a square");
            assert_eq!(matrix.names, ["1", "2", "3"]);
            let expected = [
                [millis(0), millis(10), None],
                [millis(20), millis(0), millis(30)],
                [None, millis(40), millis(0)],
            ];
            assert_eq!(matrix.round_trips, expected, "{text:?}");
        }
    }

    #[test]
    fn slices_are_in_seconds_and_only_the_first_is_read() {
        let matrix = parse("# slice 1\n0\t0.2\n0.3\t0\n# slice 9\n0\t9\n9\t0\n").expect("a slice");
        assert_eq!(matrix.round_trips[0][1], millis(200));
        assert_eq!(matrix.round_trips[1][0], millis(300));
    }

    #[test]
    fn regions_and_cities_have_names() {
        let text = r#"{"data":{"b":{"a":20,"b":1},"a":{"b":10,"c":5}}}"#;
        let matrix = parse(text).expect("regions");
        assert_eq!(matrix.names, ["a", "b"]);
        assert_eq!(matrix.round_trips[0], [millis(0), millis(10)]);
        let text = "src_city,dst,distance_km,rtt_avg_ms,rtt_min_ms\nSan Juan,San Jose Costa Rica,1,50,4\n\
                    San Jose,San Juan Puerto Rico,1,,4\nSan Jose,Oz,1,7,4\n";
        let matrix = parse(text).expect("cities");
        assert_eq!(matrix.names, ["San Jose", "San Juan"]);
        assert_eq!(matrix.round_trips[0][1], None);
        assert_eq!(matrix.round_trips[1][0], millis(50));
    }

    #[test]
    fn what_is_no_matrix_is_refused() {
        for text in [
            "",
            "1",
            "0 1\n2\n",
            "a b\nc d\n",
            "{\"data\":7}",
            "src_city,\nA,B\n",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_hole_is_filled_by_the_other_direction_then_by_the_median() {
        let matrix = parse("0 10 -1 -1\n20 0 30 -1\n-1 40 0 50\n-1 60 -1 0\n").expect("a square");
        let hosts = matrix.hosts(&[0, 1, 2, 3]);
        // Measured; by the other direction; from 0 are 10, to 3 are 50: the upper one of two.
        for (from, to, expected) in [(0, 1, 5), (1, 3, 30), (0, 3, 25), (2, 2, 0)] {
            let expected = Duration::from_millis(expected);
            assert_eq!(hosts.delay(from, to), expected, "{from} to {to}");
        }
    }

    #[test]
    fn zeros_are_half_of_the_least() {
        let matrix = parse("0 0 8\n4 0 6\n8 6 0\n").expect("a square");
        assert_eq!(matrix.round_trips[0][1], millis(2));
        assert_eq!(matrix.round_trips[0][0], millis(0));
    }

    #[test]
    fn chosen_hosts_know_each_other_and_depend_on_the_seed_alone() {
        // Host 1 lacks a round trip to two others, these lack none to each other.
        let matrix = parse("0 -1 8 8\n-1 0 -1 6\n8 -1 0 7\n8 6 7 0\n").expect("a square");
        let all = matrix.choose(3, &mut Rng::from_seed(1)).expect("three");
        assert_eq!(all, [0, 2, 3]);
        let two = |seed| matrix.choose(2, &mut Rng::from_seed(seed)).expect("two");
        assert_eq!(two(5), two(5));
        assert!((0..20).any(|seed| two(seed) != two(5)));
        let error = matrix.choose(4, &mut Rng::from_seed(1)).expect_err("three");
        assert!(
            error.to_string().contains("4 hosts are asked for"),
            "{error}"
        );
    }
}
