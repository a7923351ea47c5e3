//! The rate of a component, some seconds from now.

use std::collections::{BTreeMap, VecDeque};

use model::ComponentId;
use model::convert::{count_to_f64, size};

use super::correlation::Own;
use super::{Choice, Correlation, Exponential, HISTORY, HORIZON, Holt, HoltWinters, LAG_MAX};

/// With how many other rates one is compared at most. Unit: components. Source: 2 KiB and a microsecond each; those upstream come first.
pub const OTHERS_MAX: usize = 3;

/// Over how many samples the mean goes that is taken where nothing correlates. Unit: samples. Source: papers, section 8.5.
const RECENT: usize = 5;

/// Over how many samples the median goes. Unit: samples, an odd number. Source: guess; a burst of four seconds does not move it.
const MEDIAN: usize = 9;

/// How far above all that was seen a prediction may lie, as a multiple of it. Source: guess; trends do not go on for long.
const BEYOND: f64 = 2.0;

/// A way of predicting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Predictor {
    /// As it is now.
    Naive,
    /// The mean of the last samples.
    Mean,
    /// As published: the best lag of auto-correlation and cross-correlation, where there is one, else the mean.
    Correlation,
    /// The mean of the past, the nearer the more.
    Exponential,
    /// A level and a trend.
    Holt,
    /// A level, a trend and seasons, where the series repeats itself; else as [`Self::Holt`].
    HoltWinters,
    /// The mean of the past, and of how far it is from there now what was left of that by the horizon so far: auto-correlation at the
    /// horizon itself.
    Autoregression,
    /// The median of the last samples, which bursts do not move.
    Median,
}

impl Predictor {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Naive,
        Self::Mean,
        Self::Correlation,
        Self::Exponential,
        Self::Holt,
        Self::HoltWinters,
        Self::Autoregression,
        Self::Median,
    ];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Naive => "naive",
            Self::Mean => "mean",
            Self::Correlation => "correlation",
            Self::Exponential => "exponential",
            Self::Holt => "holt",
            Self::HoltWinters => "holt_winters",
            Self::Autoregression => "autoregression",
            Self::Median => "median",
        }
    }
}

const PREDICTORS: usize = Predictor::ALL.len();

/// What a rate is expected to be at the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Forecast {
    /// The prediction that counts: all others, each weighted by how little it erred lately. Unit: that of the samples.
    pub chosen: f64,
    /// What each predictor expects, in the order of [`Predictor::ALL`].
    pub each: [f64; PREDICTORS],
    /// Who has the greatest weight.
    pub best: Predictor,
    /// How far that one was off lately, in the mean. Unit: that of the samples.
    pub error: f64,
}

/// The past of a rate, and what it tells of the next seconds.
#[derive(Debug, Clone, Default)]
pub struct Rate {
    past: VecDeque<f64>,
    own: Correlation,
    others: BTreeMap<ComponentId, Correlation>,
    exponential: Exponential,
    holt: Holt,
    seasons: Option<HoltWinters>,
    choice: Choice<PREDICTORS>,
    /// What was expected, the oldest first: of the next sample, the one after it, and so on.
    expected: VecDeque<[f64; PREDICTORS]>,
    forecast: Option<Forecast>,
    noted: usize,
}

impl Rate {
    /// Notes the rate of the second that has passed, and those of other components in it: upstream ones first, of which at most
    /// [`OTHERS_MAX`] count. Of a second of which nothing is known, or what is no rate, the last one is taken; nobody is measured by it.
    pub fn note(&mut self, rate: Option<f64>, others: &[(ComponentId, f64)]) {
        let is_rate = |rate: &f64| rate.is_finite() && *rate >= 0.0;
        let known = rate.filter(is_rate);
        let Some(rate) = known.or_else(|| self.past.back().copied()) else {
            return;
        };
        if self.expected.len() == HORIZON
            && let Some(expected) = self.expected.pop_front()
            && known.is_some()
        {
            self.choice
                .note(&expected.map(|expected| (expected - rate).abs()));
        }
        let own = self.take(rate, others);
        let each = self.predict(rate, own.as_ref());
        self.expected.push_back(each);
        let weights = self.choice.weights();
        let best =
            (0..PREDICTORS).max_by(|a, b| weights[*a].total_cmp(&weights[*b]).then(b.cmp(a)));
        let best = best.unwrap_or(0);
        self.forecast = Some(Forecast {
            chosen: each
                .iter()
                .zip(weights)
                .map(|(it, weight)| it * weight)
                .sum(),
            each,
            best: Predictor::ALL[best],
            error: self.choice.errors()[best],
        });
    }

    /// What it is expected to be at the horizon; nothing before the first sample.
    pub const fn forecast(&self) -> Option<&Forecast> {
        self.forecast.as_ref()
    }

    /// The last one.
    pub fn now(&self) -> Option<f64> {
        self.past.back().copied()
    }

    fn take(&mut self, rate: f64, others: &[(ComponentId, f64)]) -> Option<Own> {
        if self.past.len() == HISTORY {
            self.past.pop_front();
        }
        self.past.push_back(rate);
        self.own.note(rate, rate);
        let counted = &others[..others.len().min(OTHERS_MAX)];
        self.others
            .retain(|id, _| counted.iter().any(|(counted, _)| counted == id));
        for (id, other) in counted {
            let known = self.others.entry(*id).or_default();
            known.note(if other.is_finite() { *other } else { 0.0 }, rate);
        }
        self.exponential.note(rate);
        self.holt.note(rate);
        if let Some(seasons) = &mut self.seasons {
            seasons.note(rate);
        }
        self.noted += 1;
        let own = self.own.own();
        // A period is looked for anew each time that half of the past is another.
        if self.noted.is_multiple_of(LAG_MAX) {
            let period = own.as_ref().and_then(Own::period);
            if period != self.seasons.as_ref().map(HoltWinters::period) {
                let past = self.past.make_contiguous();
                self.seasons = period.and_then(|period| HoltWinters::begin(period, past));
            }
        }
        own
    }

    fn predict(&self, rate: f64, own: Option<&Own>) -> [f64; PREDICTORS] {
        let most = BEYOND * self.past.iter().copied().fold(0.0, f64::max);
        let recent = self.past.iter().rev().take(RECENT);
        let count = count_to_f64(size(recent.len()));
        let mean = recent.sum::<f64>() / count;
        let others = self.others.values().filter_map(Correlation::cross);
        let related = own.and_then(|own| self.own.best(own));
        let related = related.into_iter().chain(others);
        let related = related.max_by(|a, b| a.coefficient.abs().total_cmp(&b.coefficient.abs()));
        let holt = self.holt.predict(HORIZON).unwrap_or(rate);
        let seasons = self.seasons.as_ref();
        let reverting = |own: &Own| own.mean + own.coefficients[HORIZON] * (rate - own.mean);
        let expected = [
            rate,
            mean,
            related.map_or(mean, |related| related.expected),
            self.exponential.predict().unwrap_or(rate),
            holt,
            seasons.and_then(|it| it.predict(HORIZON)).unwrap_or(holt),
            own.map_or(rate, reverting),
            self.median(rate),
        ];
        expected.map(|expected| expected.clamp(0.0, most))
    }

    fn median(&self, rate: f64) -> f64 {
        let mut recent = [rate; MEDIAN];
        for (slot, past) in recent.iter_mut().zip(self.past.iter().rev()) {
            *slot = *past;
        }
        recent.sort_by(f64::total_cmp);
        recent[MEDIAN / 2]
    }
}

#[cfg(test)]
mod tests;
