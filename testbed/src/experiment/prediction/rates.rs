//! H1: how far off predictions are, of real series.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use model::{ComponentId, Rng, convert};
use placement::predict::{HORIZON, Line, Predictor, Rate};

use super::series::{self, Series};
use crate::bench::report::Report;
use crate::experiment::at_once::at_once;

/// From which sample of a series on errors count. Unit: samples. Source: before, correlations have too few pairs.
const WARM_UP: usize = 40;

/// How much worse than naive the mixture may be on a family, as a multiple. Source: design.
const WORSE_MAX: f64 = 1.01;

/// How far off it may be on smooth rates, in the mean. Source: papers, section 12.4: 3.7016 %.
const SMOOTH_ERROR_MAX: f64 = 0.037;

/// By which part of its mean a smooth rate changes at most from one sample to the next, in the mean. Source: that of [`SMOOTH_ERROR_MAX`]:
/// nobody can be expected to know the fifth sample from now better than it is to the next one.
const SMOOTH: f64 = SMOOTH_ERROR_MAX;

/// In what pieces it is looked where a rate is smooth: traffic is at noon and not at night. Unit: samples. Source: guess; twice the history.
const STRETCH: usize = 240;

/// At which load the rate that only one sample in a hundred exceeds drives a host, where execution times are computed. Source: design: a
/// host is overloaded above.
const LOAD: f64 = 0.8;

/// The greatest load that is computed with. Source: as composition's projection.
const LOAD_MAX: f64 = 0.95;

/// By how much measured execution times are off at most, as a part of them. Source: guess.
const NOISE: f64 = 0.05;

/// The errors on a series, as parts of its mean.
#[derive(Debug, Clone)]
struct Errors {
    family: &'static str,
    name: String,
    /// In the order of [`Predictor::ALL`].
    each: Vec<f64>,
    chosen: f64,
    /// Of execution times: naive, and by the line.
    execution: (f64, f64),
    /// How far a sample is from the one before, as a part of the mean.
    roughness: f64,
    /// Its smooth stretches.
    smooth: Vec<Stretch>,
}

/// Sums over a piece of a series.
#[derive(Debug, Clone, Copy, Default)]
struct Stretch {
    samples: usize,
    actual: f64,
    changed: f64,
    naive: f64,
    chosen: f64,
}

impl Stretch {
    fn is_smooth(&self) -> bool {
        self.samples == STRETCH && self.changed <= SMOOTH * self.actual && self.changed > 0.0
    }
}

impl Errors {
    fn naive(&self) -> f64 {
        self.each[0]
    }
}

/// Runs the experiment on all series in a folder, so many samples of each and so many series at a time.
///
/// # Errors
/// When the folder has no series, or a file cannot be read.
pub(super) fn run(data: &Path, samples: usize, jobs: usize) -> anyhow::Result<Report> {
    let all = series::load(data, samples)?;
    anyhow::ensure!(!all.is_empty(), "{} has no series", data.display());
    let found = at_once(jobs, 0..all.len(), |number| errors(&all[number], &all));
    let mut report = Report::new("H1", vec![SEED]);
    report.simulated(
        "execution times: idle time / (1 - load) of the replayed rate, measured with up to 5 % of noise",
    );
    for errors in &found {
        let mut figure = |predictor: &str, error: f64| {
            report.number(
                &format!("{}.{predictor}.error_fraction", errors.name),
                error,
            );
        };
        for (predictor, error) in Predictor::ALL.into_iter().zip(&errors.each) {
            figure(predictor.name(), *error);
        }
        figure("chosen", errors.chosen);
        figure("execution_naive", errors.execution.0);
        figure("execution_chosen", errors.execution.1);
        report.number(
            &format!("{}.roughness_fraction", errors.name),
            errors.roughness,
        );
    }
    report.tables(&tables(&found));
    claims(&found, &mut report);
    Ok(report)
}

/// What is drawn is drawn from it.
const SEED: u64 = 1;

/// What must hold: of families, since a single series may be one that nobody can predict.
fn claims(found: &[Errors], report: &mut Report) {
    let families = families(found);
    let ratios: Vec<f64> = families
        .iter()
        .map(|(family, members)| {
            let ratio = mean(members, |it| it.chosen) / mean(members, Errors::naive);
            report.number(&format!("{family}.chosen_over_naive"), ratio);
            ratio
        })
        .collect();
    let below = ratios.iter().filter(|it| **it < 1.0).count();
    report.claim(
        "chosen_within_1.01_of_naive_on_every_family",
        ratios.iter().all(|it| *it <= WORSE_MAX),
    );
    report.claim(
        "chosen_below_naive_on_most_families",
        2 * below > ratios.len(),
    );
    let smooth: Vec<&Stretch> = found.iter().flat_map(|it| &it.smooth).collect();
    report.count("smooth.stretches", convert::size(smooth.len()));
    if !smooth.is_empty() {
        let count = convert::count_to_f64(convert::size(smooth.len()));
        let chosen = smooth.iter().map(|it| it.chosen / it.actual).sum::<f64>() / count;
        let naive = smooth.iter().map(|it| it.naive / it.actual).sum::<f64>() / count;
        report.number("smooth.chosen.error_fraction", chosen);
        report.number("smooth.naive.error_fraction", naive);
        report.claim(
            "chosen_within_3.7_percent_on_smooth_rates",
            chosen <= SMOOTH_ERROR_MAX,
        );
    }
}

fn families(found: &[Errors]) -> BTreeMap<&'static str, Vec<&Errors>> {
    let mut families: BTreeMap<&str, Vec<&Errors>> = BTreeMap::new();
    for errors in found {
        families.entry(errors.family).or_default().push(errors);
    }
    families
}

fn mean(of: &[&Errors], figure: impl Fn(&Errors) -> f64) -> f64 {
    of.iter().map(|it| figure(it)).sum::<f64>() / convert::count_to_f64(convert::size(of.len()))
}

fn errors(series: &Series, all: &[Series]) -> Errors {
    let beside = series.beside.as_ref();
    let beside = beside.and_then(|name| all.iter().find(|it| it.name == *name));
    let mut sums = Sums::default();
    for (number, run) in series.runs.iter().enumerate() {
        sums.replay(run, beside.and_then(|it| it.runs.get(number)));
    }
    Errors {
        family: series.family,
        name: series.name.clone(),
        each: sums.each.iter().map(|it| it / sums.actual).collect(),
        chosen: sums.chosen / sums.actual,
        execution: (
            sums.execution_naive / sums.execution,
            sums.execution_chosen / sums.execution,
        ),
        roughness: sums.changed / sums.actual,
        smooth: sums.smooth,
    }
}

/// Sums of samples and of absolute errors.
#[derive(Debug, Default)]
struct Sums {
    actual: f64,
    changed: f64,
    each: [f64; Predictor::ALL.len()],
    chosen: f64,
    execution: f64,
    execution_naive: f64,
    execution_chosen: f64,
    smooth: Vec<Stretch>,
}

/// What was expected of a sample.
struct Expected {
    each: [f64; Predictor::ALL.len()],
    chosen: f64,
    execution_naive: f64,
    execution_chosen: f64,
}

impl Sums {
    fn replay(&mut self, run: &[f64], beside: Option<&Vec<f64>>) {
        let mut rng = Rng::from_seed(SEED);
        let (mut rate, mut line) = (Rate::default(), Line::default());
        let mut stretch = Stretch::default();
        let mut expected: Vec<Expected> = Vec::with_capacity(run.len());
        let scale = LOAD / percentile(run, 0.99).max(f64::MIN_POSITIVE);
        // In units of the time that it takes on an idle host.
        let execution = |rate: f64| 1.0 / (1.0 - (rate * scale).clamp(0.0, LOAD_MAX));
        for (now, sample) in run.iter().enumerate() {
            let took = execution(*sample);
            if now >= WARM_UP {
                let expected = &expected[now - HORIZON];
                self.actual += sample;
                self.changed += (sample - run[now - 1]).abs();
                for (sum, expected) in self.each.iter_mut().zip(&expected.each) {
                    *sum += (expected - sample).abs();
                }
                self.chosen += (expected.chosen - sample).abs();
                stretch.samples += 1;
                stretch.actual += sample;
                stretch.changed += (sample - run[now - 1]).abs();
                stretch.naive += (run[now - HORIZON] - sample).abs();
                stretch.chosen += (expected.chosen - sample).abs();
                if stretch.samples == STRETCH {
                    let whole = std::mem::take(&mut stretch);
                    self.smooth.extend(Some(whole).filter(Stretch::is_smooth));
                }
                self.execution += took;
                self.execution_naive += (expected.execution_naive - took).abs();
                self.execution_chosen += (expected.execution_chosen - took).abs();
            }
            let other = beside.and_then(|it| it.get(now));
            let other = other.map(|other| (ComponentId(1), *other));
            rate.note(Some(*sample), other.as_slice());
            let measured = took * (1.0 + NOISE * (2.0 * rng.fraction() - 1.0));
            line.note(*sample, measured);
            // The first sample is one, so that something is expected from then on.
            let Some(forecast) = rate.forecast() else {
                continue;
            };
            expected.push(Expected {
                each: forecast.each,
                chosen: forecast.chosen,
                execution_naive: measured,
                execution_chosen: line.predict(forecast.chosen, 1.0).unwrap_or(measured),
            });
        }
    }
}

/// The number that such a part of others do not exceed.
fn percentile(numbers: &[f64], part: f64) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = convert::count_to_f64(convert::size(sorted.len())) * part;
    let index = usize::try_from(convert::round(place)).unwrap_or(0);
    let index = index.min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or(0.0)
}

/// Errors in per cent of the mean: of every series and family, by predictor.
fn tables(found: &[Errors]) -> String {
    let mut text = String::new();
    let mut line = |name: &str, numbers: &[f64], ratio: f64| {
        let numbers = numbers.iter().map(|it| format!("{:>8.2}", it * 100.0));
        let numbers: String = numbers.collect();
        writeln!(text, "  {name:<38}{numbers}{ratio:>8.3}")
            .expect("writing into memory does not fail");
    };
    for errors in found {
        let mut numbers = errors.each.clone();
        let (naive, line_through) = errors.execution;
        numbers.extend([errors.chosen, naive, line_through, errors.roughness]);
        line(&errors.name, &numbers, errors.chosen / errors.naive());
    }
    for (family, members) in families(found) {
        let each = (0..Predictor::ALL.len()).map(|index| mean(&members, |it| it.each[index]));
        let mut numbers: Vec<f64> = each.collect();
        let chosen = mean(&members, |it| it.chosen);
        numbers.extend([
            chosen,
            mean(&members, |it| it.execution.0),
            mean(&members, |it| it.execution.1),
            mean(&members, |it| it.roughness),
        ]);
        line(&format!("family {family}"), &numbers, chosen / numbers[0]);
    }
    let heads: String = [
        "naive", "mean", "correl.", "expon.", "holt", "holt-w.", "autoreg.", "median", "chosen",
    ]
    .into_iter()
    .chain(["x naive", "x line", "rough", "ratio"])
    .map(|it| format!("{it:>8}"))
    .collect();
    let mut smooth = String::new();
    for errors in found.iter().filter(|it| !it.smooth.is_empty()) {
        let count = convert::count_to_f64(convert::size(errors.smooth.len()));
        let of = |figure: fn(&Stretch) -> f64| {
            let all = errors.smooth.iter().map(|it| figure(it) / it.actual);
            100.0 * all.sum::<f64>() / count
        };
        let (naive, chosen) = (of(|it| it.naive), of(|it| it.chosen));
        writeln!(
            smooth,
            "  {:<38}{count:>8}{naive:>8.2}{chosen:>8.2}",
            errors.name
        )
        .expect("writing into memory does not fail");
    }
    let smooth_head = format!(
        "  {:<38}{:>8}{:>8}{:>8}",
        "smooth stretches of", "number", "naive", "chosen"
    );
    format!(
        "  mean absolute error in per cent of the mean, {HORIZON} samples ahead; x: of execution times; ratio: chosen over naive\n  {:<38}{heads}\n{text}\n{smooth_head}\n{smooth}\n",
        "series"
    )
}
