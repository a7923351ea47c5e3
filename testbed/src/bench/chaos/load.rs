//! What runs while hosts fail: applications of a few families, and the files that their sources replay.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use model::{Rng, convert};

/// The event time of the first row. Unit: milliseconds since 1970. Source: midnight in UTC, which every window used here begins at.
const BEGIN_MS: u64 = 1_704_067_200_000;

/// How often an application yields results. Unit: milliseconds. Source: a tenth of the recovery that is wanted, so that it can be
/// told from one that misses it.
pub(super) const SLIDE_MS: u64 = 200;

/// How much event time a result of [`Family::Slides`] is made of. Unit: milliseconds, of [`SLIDE_MS`]. Source: what a host is away for and no
/// less, so that such a result is only right where state survives.
pub(super) const SPAN_MS: u64 = 5_000;

/// Rows have keys and values below these. Source: guess; a window has several rows of a key, and a join some dozens of pairs.
const KEYS: u64 = 4;
const VALUES: u64 = 1_000;

/// Rows of a value below this are dropped by the filters of sums. Source: guess; a tenth of the rows.
pub(super) const SOME_FROM: u64 = 100;

/// Rows of a value below this are dropped before a join. Source: guess; half of the rows.
pub(super) const HIGH_FROM: u64 = 500;

/// What an application computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// A filter, tumbling sums and counts by key, a filter.
    Sums,
    /// A map, a filter, sliding sums and counts by key over [`SPAN_MS`].
    Slides,
    /// Two sources, a filter, a map, a join within a tumbling window.
    Pairs,
}

impl Family {
    /// All of them.
    pub(super) const ALL: [Self; 3] = [Self::Sums, Self::Slides, Self::Pairs];

    const fn word(self) -> &'static str {
        match self {
            Self::Sums => "sums",
            Self::Slides => "slides",
            Self::Pairs => "pairs",
        }
    }

    const fn sources(self) -> &'static [&'static str] {
        match self {
            Self::Sums | Self::Slides => &["rows"],
            Self::Pairs => &["left", "right"],
        }
    }

    /// Its operators; the last is called `last`.
    fn operators(self) -> String {
        match self {
            Self::Sums => format!(
                "[operator.some]\nuse = \"filter\"\nfrom = \"rows\"\nwhere = \"value >= {SOME_FROM}\"\n\
                 [operator.counted]\nuse = \"window\"\nfrom = \"some\"\nwindow = {{ tumbling = \"{SLIDE_MS}ms\" }}\n\
                 by = [\"key\"]\nselect = {{ n = \"count(*)\", total = \"sum(seq)\", last = \"max(seq)\" }}\n\
                 [operator.last]\nuse = \"filter\"\nfrom = \"counted\"\nwhere = \"n > 1\"\n"
            ),
            Self::Slides => format!(
                "[operator.twice]\nuse = \"map\"\nfrom = \"rows\"\nadd = {{ twice = \"value * 2\" }}\n\
                 [operator.some]\nuse = \"filter\"\nfrom = \"twice\"\nwhere = \"twice >= {}\"\n\
                 [operator.last]\nuse = \"window\"\nfrom = \"some\"\n\
                 window = {{ sliding = \"{SPAN_MS}ms\", slide = \"{SLIDE_MS}ms\" }}\n\
                 by = [\"key\"]\nselect = {{ n = \"count(*)\", total = \"sum(seq)\", last = \"max(seq)\" }}\n",
                2 * SOME_FROM
            ),
            Self::Pairs => format!(
                "[operator.high]\nuse = \"filter\"\nfrom = \"left\"\nwhere = \"value >= {HIGH_FROM}\"\n\
                 [operator.renamed]\nuse = \"map\"\nfrom = \"right\"\nselect = {{ other = \"key\", b = \"seq\" }}\n\
                 [operator.last]\nuse = \"join\"\nfrom = [\"high\", \"renamed\"]\non = {{ key = \"other\" }}\n\
                 window = {{ tumbling = \"{SLIDE_MS}ms\" }}\n\
                 select = {{ key = \"left_key\", a = \"left_seq\", b = \"right_b\", window_end = \"window_end\" }}\n"
            ),
        }
    }
}

/// An application, and by whom it is asked for.
#[derive(Debug, Clone)]
pub(super) struct Load {
    /// Its name, which is that of its sink's file too.
    pub(super) name: String,
    pub(super) family: Family,
    /// Who accepts it, counted from 0: its sources are there, and so is its sink at first.
    pub(super) owner: usize,
    /// Whether no two of its operators are on one host; else where the composer likes them, all on one perhaps.
    pub(super) is_spread: bool,
}

impl Load {
    /// The K-th of several, on so many nodes.
    pub(super) fn of(index: usize, nodes: usize) -> Self {
        let family = Family::ALL[index % Family::ALL.len()];
        Self {
            name: format!("{}-{index}", family.word()),
            family,
            owner: index % nodes,
            is_spread: (index / Family::ALL.len()).is_multiple_of(2),
        }
    }

    /// What its sink writes.
    pub(super) fn output(&self) -> String {
        format!("{}.jsonl", self.name)
    }

    /// Its sources' files, whose rows are drawn from `rng`, in a folder.
    pub(super) fn write_inputs(
        &self,
        rng: &Rng,
        rate: Rate,
        folder: &Path,
    ) -> anyhow::Result<Vec<Input>> {
        let written = self.family.sources().iter().map(|source| {
            let name = format!("{}-{source}", self.name);
            let input = Input::draw(&mut rng.keyed(&name), rate);
            let path = folder.join(format!("{name}.csv"));
            std::fs::write(&path, input.text(rate)).with_context(|| path.display().to_string())?;
            Ok(input)
        });
        written.collect()
    }

    /// Its file. Rows come as fast as they once did, or all at once.
    pub(super) fn file(&self, replicas: u32, is_active: bool, is_replayed: bool) -> String {
        let name = &self.name;
        let mut text = format!("name = \"{name}\"\n[qos]\nlatency = \"2s\"\n");
        if replicas > 0 {
            writeln!(text, "replicas = {replicas}").expect(INTO_MEMORY);
        }
        if is_active {
            text.push_str("replication = \"active\"\n");
        }
        let speed = if is_replayed { "speed = 1\n" } else { "" };
        for source in self.family.sources() {
            writeln!(
                text,
                "[source.{source}]\nconnector = \"file\"\npath = \"{name}-{source}.csv\"\n{speed}\
                 time = {{ field = \"at\", unit = \"ms\", out_of_order = \"0s\" }}"
            )
            .expect(INTO_MEMORY);
        }
        text.push_str(&self.family.operators());
        write!(
            text,
            "[sink.out]\nfrom = \"last\"\nconnector = \"file\"\npath = \"{}\"\n",
            self.output()
        )
        .expect(INTO_MEMORY);
        text
    }
}

const INTO_MEMORY: &str = "writing into memory does not fail";

/// How many rows a source has, and how fast they come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    /// Unit: rows per second. Range: 1 to 1,000.
    pub(super) rows_per_second: u64,
    /// For how long they come.
    pub(super) duration: Duration,
}

impl Rate {
    fn rows(self) -> u64 {
        self.duration.as_secs() * self.rows_per_second
    }

    /// When a row is due. Unit: milliseconds behind the first.
    pub(super) const fn due_ms(self, seq: u64) -> u64 {
        seq * 1_000 / self.rows_per_second
    }
}

/// The rows of a source: keys and values, by their sequence numbers.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) rows: Vec<(u64, u64)>,
}

impl Input {
    fn draw(rng: &mut Rng, rate: Rate) -> Self {
        let rows = (0..rate.rows()).map(|_| (rng.below(KEYS), rng.below(VALUES)));
        Self {
            rows: rows.collect(),
        }
    }

    fn text(&self, rate: Rate) -> String {
        let mut text = "seq,at,key,value\n".to_owned();
        for (seq, (key, value)) in (0..).zip(&self.rows) {
            let at = BEGIN_MS + rate.due_ms(seq);
            writeln!(text, "{seq},{at},{key},{value}").expect(INTO_MEMORY);
        }
        text
    }
}

/// Where a time of a result lies, as its sink writes it. Unit: milliseconds behind the first row; nothing where it is no time of that day.
pub(super) fn since_begin(text: &str) -> Option<u64> {
    let clock = text.strip_prefix("2024-01-01T")?.strip_suffix('Z')?;
    let mut parts = clock.split(':');
    let (hours, minutes, seconds) = (parts.next()?, parts.next()?, parts.next()?);
    let (seconds, fraction) = seconds.split_once('.').unwrap_or((seconds, ""));
    let number = |text: &str| text.parse::<u64>().ok();
    let whole = (number(hours)? * 60 + number(minutes)?) * 60 + number(seconds)?;
    let millis = match fraction.len() {
        0 => 0,
        length @ 1..=3 => number(fraction)? * 10_u64.pow(3 - u32::try_from(length).ok()?),
        _ => return None,
    };
    Some(whole * 1_000 + millis)
}

/// Puts numbers in an order drawn from a seed.
pub(super) fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for last in (1..items.len()).rev() {
        let other = convert::index(rng.below(convert::size(last + 1)));
        items.swap(last, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_results_are_read() {
        for (text, millis) in [
            ("2024-01-01T00:00:00Z", Some(0)),
            ("2024-01-01T00:00:00.2Z", Some(200)),
            ("2024-01-01T01:02:03.045Z", Some(3_723_045)),
            ("2024-01-02T00:00:00Z", None),
            ("2024-01-01T00:00Z", None),
            ("soon", None),
        ] {
            assert_eq!(since_begin(text), millis, "{text}");
        }
    }

    #[test]
    fn every_host_owns_applications_and_all_families_are_there() {
        let loads: Vec<Load> = (0..20).map(|index| Load::of(index, 8)).collect();
        for node in 0..8 {
            assert!(loads.iter().any(|load| load.owner == node));
        }
        for family in Family::ALL {
            let of_family = || loads.iter().filter(|load| load.family == family);
            assert!(of_family().any(|load| load.is_spread));
            assert!(of_family().any(|load| !load.is_spread));
        }
    }
}
