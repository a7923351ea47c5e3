//! Figures of some series over an axis, each over seeds.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::interval::Interval;
use crate::bench::report::Report;

/// Figures of an experiment.
#[derive(Debug, Clone)]
pub struct Grid {
    name: &'static str,
    axis: &'static str,
    /// Their names, in the order in which they are shown.
    series: Vec<String>,
    /// By series, by place on the axis, by figure: a number for each seed.
    cells: BTreeMap<(usize, Place), BTreeMap<&'static str, Vec<f64>>>,
}

/// A place on the axis: a number, ordered.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Place(f64);

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// A figure of a series.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// The name of the series.
    pub name: String,
    /// The figure at each place of the axis.
    pub points: Vec<(f64, Interval)>,
}

impl Grid {
    /// No figures yet, of the experiment called `name`. The axis carries its unit.
    pub const fn new(name: &'static str, axis: &'static str) -> Self {
        Self {
            name,
            axis,
            series: Vec::new(),
            cells: BTreeMap::new(),
        }
    }

    /// The same figures as those of another experiment, which shows others of them.
    #[must_use]
    pub fn named(&self, name: &'static str) -> Self {
        Self {
            name,
            ..self.clone()
        }
    }

    /// The name of the experiment.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// What the axis shows.
    pub const fn axis(&self) -> &'static str {
        self.axis
    }

    /// Adds what one seed gave for a series at a place of the axis.
    pub fn add(&mut self, series: &str, place: f64, figure: &'static str, number: f64) {
        let known = self.series.iter().position(|it| it == series);
        let index = known.unwrap_or_else(|| {
            self.series.push(series.to_owned());
            self.series.len() - 1
        });
        let cell = self.cells.entry((index, Place(place))).or_default();
        cell.entry(figure).or_default().push(number);
    }

    /// A figure of one series at one place.
    pub fn find(&self, series: &str, place: f64, figure: &str) -> Option<Interval> {
        let index = self.series.iter().position(|it| it == series)?;
        let cell = self.cells.get(&(index, Place(place)))?;
        Interval::of(cell.get(figure)?)
    }

    /// A figure of all series that have it.
    pub fn curves(&self, figure: &str) -> Vec<Curve> {
        let curve = |(index, name): (usize, &String)| {
            let all = (index, Place(f64::NEG_INFINITY))..=(index, Place(f64::INFINITY));
            let points = self
                .cells
                .range(all)
                .filter_map(|((_, place), cell)| Some((place.0, Interval::of(cell.get(figure)?)?)));
            Curve {
                name: name.clone(),
                points: points.collect(),
            }
        };
        let curves = self.series.iter().enumerate().map(curve);
        curves.filter(|curve| !curve.points.is_empty()).collect()
    }

    /// The names of all figures, in order.
    pub fn figures(&self) -> Vec<&'static str> {
        let mut figures: Vec<&'static str> = self
            .cells
            .values()
            .flat_map(|it| it.keys())
            .copied()
            .collect();
        figures.sort_unstable();
        figures.dedup();
        figures
    }

    /// Adds all figures to a report, as `name.series.place.figure`.
    pub fn report(&self, report: &mut Report) {
        for ((series, place), cell) in &self.cells {
            for (figure, numbers) in cell {
                let series = &self.series[*series];
                let name = format!("{}.{series}.{}.{figure}", self.name, place.0);
                report.interval(&name, numbers);
            }
        }
    }

    /// A table of each of some figures for a terminal, a line for each series and a column for each place: the median, the mean, and half of
    /// its interval.
    pub fn tables(&self, figures: &[&str]) -> String {
        let mut text = String::new();
        for figure in figures {
            let lines = self.lines(figure);
            let width = lines.iter().map(|line| line[0].chars().count()).max();
            let width = width.unwrap_or(0);
            writeln!(text, "  {figure}").expect(INTO_MEMORY);
            for line in lines {
                let fields = line[1..].iter().map(|it| format!("  {it:>24}"));
                let fields: String = fields.collect();
                writeln!(text, "  {:<width$}{fields}", line[0]).expect(INTO_MEMORY);
            }
            text.push('\n');
        }
        text
    }

    /// The same for a page.
    pub fn page(&self, figures: &[&str]) -> String {
        let mut text = String::new();
        for figure in figures {
            let lines = self.lines(figure);
            writeln!(text, "\n## {figure}\n").expect(INTO_MEMORY);
            for (number, line) in lines.iter().enumerate() {
                writeln!(text, "| {} |", line.join(" | ")).expect(INTO_MEMORY);
                if number == 0 {
                    writeln!(text, "|{}", " --- |".repeat(line.len())).expect(INTO_MEMORY);
                }
            }
        }
        text
    }

    /// The lines of a figure's table: the head, and one for each series that has it.
    fn lines(&self, figure: &str) -> Vec<Vec<String>> {
        let curves = self.curves(figure);
        let points = curves.iter().flat_map(|it| &it.points);
        let mut places: Vec<Place> = points.map(|(place, _)| Place(*place)).collect();
        places.sort_unstable();
        places.dedup();
        let head = std::iter::once(self.axis.to_owned());
        let mut lines = vec![
            head.chain(places.iter().map(|it| it.0.to_string()))
                .collect(),
        ];
        for curve in &curves {
            let field = |place: &Place| {
                let found = curve.points.iter().find(|(at, _)| Place(*at) == *place);
                found.map_or_else(|| "-".to_owned(), |(_, it)| short(*it))
            };
            let name = std::iter::once(curve.name.clone());
            lines.push(name.chain(places.iter().map(field)).collect());
        }
        lines
    }
}

const INTO_MEMORY: &str = "writing into memory does not fail";

/// The median; and where there is an interval, the mean and half of it.
fn short(interval: Interval) -> String {
    let half = (interval.high - interval.low) / 2.0;
    let digits = match interval.mean.abs() {
        mean if mean >= 100.0 => 0,
        mean if mean >= 10.0 => 1,
        _ => 3,
    };
    match interval.count {
        1 => format!("{:.digits$}", interval.mean),
        _ => {
            let Interval { median, mean, .. } = interval;
            format!("{median:.digits$} ({mean:.digits$} ±{half:.digits$})")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grid() -> Grid {
        let mut grid = Grid::new("C0", "requests");
        for (series, seeds) in [("ours", [0.9, 1.0]), ("theirs", [0.5, 0.5])] {
            for number in seeds {
                grid.add(series, 200.0, "success_fraction", number);
                grid.add(series, 1000.0, "success_fraction", number / 2.0);
            }
        }
        grid
    }

    #[test]
    fn numbers_of_seeds_become_intervals() {
        let ours = grid().find("ours", 200.0, "success_fraction");
        assert!((ours.expect("a figure").mean - 0.95).abs() < 1e-12);
        assert_eq!(grid().find("ours", 300.0, "success_fraction"), None);
        let curves = grid().curves("success_fraction");
        assert_eq!(curves[1].name, "theirs");
        assert_eq!(curves[1].points.len(), 2);
    }

    #[test]
    fn figures_are_named_by_series_place_and_figure() {
        let mut report = Report::new("C0", vec![1, 2]);
        grid().report(&mut report);
        let json = report.json();
        let figure = &json["figures"]["C0.theirs.1000.success_fraction"];
        assert_eq!(figure["mean"], 0.25);
        assert_eq!(figure["low"], 0.25);
        let table = grid().tables(&["success_fraction"]);
        assert!(table.contains("theirs"), "{table}");
        assert!(table.contains("0.250 (0.250 ±0.000)"), "{table}");
        let page = grid().page(&["success_fraction"]);
        let line = "| theirs | 0.500 (0.500 ±0.000) | 0.250 (0.250 ±0.000) |";
        assert!(page.contains(line), "{page}");
        assert!(page.contains("| requests | 200 | 1000 |\n| --- | --- | --- |"));
    }

    #[test]
    fn a_figure_is_told_of_the_series_that_have_it() {
        let mut grid = grid();
        grid.add("ours", 200.0, "delay_ms", 3.0);
        assert_eq!(grid.curves("delay_ms").len(), 1);
        assert!(!grid.tables(&["delay_ms"]).contains("theirs"));
        assert!(
            grid.named("C9")
                .page(&["delay_ms"])
                .contains("| requests | 200 |")
        );
    }

    #[test]
    fn a_plot_shows_every_series() {
        let svg = super::super::plot::draw(&grid(), "success_fraction").expect("a plot");
        assert!(svg.starts_with("<svg"), "{svg}");
        for word in ["ours", "theirs", "requests", "C0"] {
            assert!(svg.contains(word), "{word}");
        }
    }
}
