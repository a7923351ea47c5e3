//! What a benchmark found: figures with their spread, and claims that hold or not.

use std::fmt::Write as _;

use model::convert;
use serde_json::{Map, Value, json};

use super::machine::{self, Machine};
use crate::experiment::interval::Interval;

/// What a benchmark found.
#[derive(Debug)]
pub struct Report {
    name: &'static str,
    seeds: Vec<u64>,
    simulated: Vec<String>,
    tables: String,
    figures: Vec<(String, Figure)>,
    claims: Vec<(String, bool)>,
}

/// A figure; its name carries the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// Measured or counted once.
    Number(f64),
    /// Measured several times.
    Spread {
        /// The one in the middle, or the mean of the two there.
        median: f64,
        /// The least.
        low: f64,
        /// The greatest.
        high: f64,
    },
    /// Of several seeds.
    Interval(Interval),
}

impl Report {
    /// A report without figures of the benchmark called `name`, whose input is made from `seeds`.
    pub const fn new(name: &'static str, seeds: Vec<u64>) -> Self {
        Self {
            name,
            seeds,
            simulated: Vec::new(),
            tables: String::new(),
            figures: Vec::new(),
            claims: Vec::new(),
        }
    }

    /// Adds what was counted.
    pub fn count(&mut self, name: &str, count: u64) {
        self.number(name, convert::count_to_f64(count));
    }

    /// Adds what was measured once.
    pub fn number(&mut self, name: &str, number: f64) {
        self.figures.push((name.to_owned(), Figure::Number(number)));
    }

    /// Adds what was measured several times; nothing, where it could not be.
    pub fn spread(&mut self, name: &str, numbers: &[f64]) {
        if let Some(figure) = Figure::of(numbers) {
            self.figures.push((name.to_owned(), figure));
        }
    }

    /// Adds a number of each seed; nothing, where there is none.
    pub fn interval(&mut self, name: &str, numbers: &[f64]) {
        if let Some(interval) = Interval::of(numbers) {
            let figure = Figure::Interval(interval);
            self.figures.push((name.to_owned(), figure));
        }
    }

    /// Adds a part that was not run, but modelled.
    pub fn simulated(&mut self, part: &str) {
        self.simulated.push(part.to_owned());
    }

    /// Adds something that must be true.
    pub fn claim(&mut self, name: &str, holds: bool) {
        self.claims.push((name.to_owned(), holds));
    }

    /// Whether all that must be true is.
    pub fn holds(&self) -> bool {
        self.claims.iter().all(|(_, holds)| *holds)
    }

    /// One object, in the form that is the same for all benchmarks and experiments. A claim is a figure of 1
    /// where it holds and 0 where not.
    pub fn json(&self) -> Value {
        let mut figures = Map::new();
        for (name, figure) in &self.figures {
            figures.insert(name.clone(), figure.json());
        }
        for (name, holds) in &self.claims {
            figures.insert(name.clone(), json!(u8::from(*holds)));
        }
        json!({
            "name": self.name,
            "command": command(),
            "commit": machine::commit(),
            "machine": Machine::here(),
            "seeds": self.seeds,
            "simulated": self.simulated,
            "figures": figures,
        })
    }

    /// Adds tables for people; who reads them gets no list of all figures.
    pub fn tables(&mut self, tables: &str) {
        self.tables.push_str(tables);
    }

    /// The beginning of a page: what was run, where and how, and what must hold.
    pub fn page(&self) -> String {
        let machine = Machine::here();
        let memory = convert::count_to_f64(machine.memory_bytes) / f64::from(1 << 30);
        let mut text = format!(
            "# {}\n\n    {}\n\nCommit {}; {}, {} cores, {memory:.1} GiB, {}; {} seeds. Medians over seeds; means and half of \
             their 95 % intervals.\n",
            self.name,
            command(),
            machine::commit(),
            machine.processor,
            machine.cores,
            machine.system,
            self.seeds.len(),
        );
        let mut list = |title: &str, items: Vec<String>| {
            if !items.is_empty() {
                writeln!(text, "\n{title}\n").expect(INTO_MEMORY);
            }
            for item in items {
                writeln!(text, "- {item}").expect(INTO_MEMORY);
            }
        };
        list("Modelled, and not run:", self.simulated.clone());
        let word = |holds| if holds { "yes" } else { "**no**" };
        let claims = self.claims.iter();
        let claims = claims.map(|(name, holds)| format!("`{name}`: {}", word(*holds)));
        list("What must hold:", claims.collect());
        text
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let machine = Machine::here();
        let seeds: Vec<String> = self.seeds.iter().map(ToString::to_string).collect();
        let mut text = format!(
            "{}\n  command  {}\n  commit   {}\n  machine  {}, {} cores, {:.1} GiB, {}\n  seeds    {}\n\n",
            self.name,
            command(),
            machine::commit(),
            machine.processor,
            machine.cores,
            convert::count_to_f64(machine.memory_bytes) / f64::from(1 << 30),
            machine.system,
            seeds.join(", "),
        );
        text.push_str(&self.body());
        text
    }

    /// The table without its head: tables for people, or all figures where there are none, and what must hold.
    pub fn body(&self) -> String {
        let mut text = self.tables.clone();
        let figures = match self.tables.is_empty() {
            true => &self.figures[..],
            false => &[],
        };
        let names = figures.iter().map(|(name, _)| name);
        let names = names.chain(self.claims.iter().map(|(name, _)| name));
        let width = names.map(String::len).max().unwrap_or(0);
        for (name, figure) in figures {
            let line = figure.line();
            writeln!(text, "  {name:<width$}  {line}").expect(INTO_MEMORY);
        }
        for (name, holds) in &self.claims {
            let word = if *holds { "yes" } else { "NO" };
            writeln!(text, "  {name:<width$}  {word}").expect(INTO_MEMORY);
        }
        text
    }
}

const INTO_MEMORY: &str = "writing into memory does not fail";

impl Figure {
    /// The spread of some numbers, if there are any.
    fn of(numbers: &[f64]) -> Option<Self> {
        let mut sorted = numbers.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (low, high) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted[sorted.len() / 2];
        let lower = sorted[(sorted.len() - 1) / 2];
        Some(Self::Spread {
            median: f64::midpoint(lower, upper),
            low,
            high,
        })
    }

    fn line(self) -> String {
        let (middle, low, high) = match self {
            Self::Number(number) => return human(number),
            Self::Spread { median, low, high } => (median, low, high),
            Self::Interval(it) => (it.mean, it.low, it.high),
        };
        format!("{}  ({} .. {})", human(middle), human(low), human(high))
    }

    fn json(self) -> Value {
        match self {
            Self::Number(number) => number_json(number),
            Self::Spread { median, low, high } => json!({
                "median": number_json(median),
                "low": number_json(low),
                "high": number_json(high),
            }),
            Self::Interval(it) => json!({
                "median": number_json(it.median),
                "mean": number_json(it.mean),
                "low": number_json(it.low),
                "high": number_json(it.high),
            }),
        }
    }
}

/// A number as JSON; counts without a decimal point.
fn number_json(number: f64) -> Value {
    match number.fract() == 0.0 && number.abs() < WHOLE_MAX {
        true => json!(convert::round(number)),
        false => json!(number),
    }
}

/// From here on a float does not tell every whole number apart. Source: 2^53, of the format.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// The command that this process was started with, without the folder of the program.
fn command() -> String {
    let arguments = std::env::args().skip(1);
    std::iter::once("synergy-testbed".to_owned())
        .chain(arguments)
        .collect::<Vec<_>>()
        .join(" ")
}

/// A number as people read it: whole ones by thousands, others with four digits that count.
fn human(number: f64) -> String {
    if number.abs() < 1000.0 {
        let whole_digits = match number.abs() {
            magnitude if magnitude >= 100.0 => 3,
            magnitude if magnitude >= 10.0 => 2,
            _ => 1,
        };
        let text = format!("{number:.*}", 4 - whole_digits);
        return match text.contains('.') {
            true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
            false => text,
        };
    }
    let digits = convert::round(number).unsigned_abs().to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if number < 0.0 {
        format!("-{text}")
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = |median, low, high| Some(Figure::Spread { median, low, high });
        assert_eq!(Figure::of(&[3.0, 1.0, 2.0]), spread(2.0, 1.0, 3.0));
        assert_eq!(Figure::of(&[4.0, 1.0]), spread(2.5, 1.0, 4.0));
        assert_eq!(Figure::of(&[]), None);
    }

    #[test]
    fn numbers_are_written_for_people() {
        for (number, text) in [
            (0.0, "0"),
            (0.1234, "0.123"),
            (-2.5, "-2.5"),
            (12.345, "12.35"),
            (100.0, "100"),
            (999.96, "1000"),
            (1000.0, "1,000"),
            (-1_234_567.4, "-1,234,567"),
        ] {
            assert_eq!(human(number), text);
        }
    }

    #[test]
    fn a_claim_that_does_not_hold_is_seen() {
        let mut report = Report::new("luck", vec![1]);
        report.spread("never_measured", &[]);
        report.spread("rows_per_second", &[2.5]);
        report.count("rows", 7);
        report.claim("rows_equal", true);
        assert!(report.holds());
        report.claim("memory_within_limit", false);
        assert!(!report.holds());
        let json = report.json();
        assert_eq!(json["figures"]["rows_per_second"]["median"], 2.5);
        assert_eq!(json["figures"]["rows"].to_string(), "7");
        assert_eq!(json["figures"]["memory_within_limit"], 0);
        assert!(json["figures"].get("never_measured").is_none());
        assert!(report.table().contains("memory_within_limit  NO"));
    }
}
