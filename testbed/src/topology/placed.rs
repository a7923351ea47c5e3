//! Hosts at places that somebody chose: for small cases, where every delay is known.

use std::time::Duration;

use model::{Rng, convert};

use super::Topology;

/// Hosts on a plane, in milliseconds, or around a ring.
#[derive(Debug, Clone, PartialEq)]
pub enum Placed {
    /// At these points; the delay is the distance. Unit: milliseconds.
    Plane(Vec<[f64; 2]>),
    /// Evenly around a ring; the delay is that of the shorter way.
    Ring {
        /// How many hosts.
        count: usize,
        /// From one to the next.
        step: Duration,
    },
}

impl Placed {
    /// Rows of `columns` hosts, each `step` from the next.
    ///
    /// # Panics
    /// When there are no columns.
    pub fn grid(count: usize, columns: usize, step: Duration) -> Self {
        let place = |number: usize| convert::count_to_f64(convert::size(number)) * millis(step);
        let point = |host| [place(host % columns), place(host / columns)];
        Self::Plane((0..count).map(point).collect())
    }

    /// Hosts drawn evenly from a square.
    pub fn drawn(count: usize, side: Duration, rng: &mut Rng) -> Self {
        let points =
            (0..count).map(|_| [rng.fraction(), rng.fraction()].map(|it| it * millis(side)));
        Self::Plane(points.collect())
    }

    /// Hosts at the points of a text: two numbers a line, in milliseconds, with blanks or commas between. Lines that start with `#` say nothing.
    ///
    /// # Errors
    /// With the line that is none.
    pub fn parse(text: &str) -> Result<Self, String> {
        let lines = (1..).zip(text.lines());
        let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
        let points: Result<Vec<[f64; 2]>, String> = lines
            .map(|(number, line)| {
                let words = line.split(|c: char| c == ',' || c.is_whitespace());
                let words = words.filter(|word| !word.is_empty());
                let numbers: Vec<f64> = words.filter_map(|word| word.parse().ok()).collect();
                match numbers[..] {
                    [x, y] if x.is_finite() && y.is_finite() => Ok([x, y]),
                    _ => Err(format!("line {number} does not have two numbers: {line}")),
                }
            })
            .collect();
        points.map(Self::Plane)
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

impl Topology for Placed {
    fn host_count(&self) -> usize {
        match self {
            Self::Plane(points) => points.len(),
            Self::Ring { count, .. } => *count,
        }
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        assert!(
            from.max(to) < self.host_count(),
            "{from} or {to} is no host"
        );
        match self {
            Self::Plane(points) => {
                let ([x, y], [u, v]) = (points[from], points[to]);
                convert::seconds((x - u).hypot(y - v) / 1e3)
            }
            Self::Ring { count, step } => {
                let hops = from.abs_diff(to);
                let hops = hops.min(count - hops);
                *step * u32::try_from(hops).unwrap_or(u32::MAX)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_are_distances() {
        let step = Duration::from_millis(10);
        let ring = Placed::Ring { count: 5, step };
        let grid = Placed::grid(6, 3, step);
        let file = Placed::parse("# x y\n0 0\n\n30, 40\n").expect("two points");
        for (placed, from, to, expected) in [
            (&ring, 0, 1, 10),
            (&ring, 0, 4, 10),
            (&ring, 4, 2, 20),
            (&grid, 0, 2, 20),
            (&grid, 1, 4, 10),
            (&file, 1, 0, 50),
            (&file, 1, 1, 0),
        ] {
            let expected = Duration::from_millis(expected);
            assert_eq!(
                placed.delay(from, to),
                expected,
                "{placed:?}: {from} to {to}"
            );
        }
        assert!(Placed::parse("1 2 3").is_err());
        assert!(Placed::parse("1 nan").is_err());
    }

    #[test]
    fn drawn_hosts_depend_on_the_seed_alone() {
        let drawn = |seed| Placed::drawn(9, Duration::from_millis(50), &mut Rng::from_seed(seed));
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
        assert!(drawn(1).delay(0, 8) < Duration::from_millis(71));
    }
}
