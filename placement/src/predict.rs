//! Prediction: what rates and execution times will be a few seconds from now.
//!
//! [`Line`] is execution time against the total rate of a host, by least squares (papers, section 8.4). [`Rate`] predicts a rate: by
//! correlation with its own past and with that of other components, as published (section 8.5), and beyond that by exponential smoothing,
//! double and triple, and naively. Which of them to believe is a [`Choice`] by their recent errors. All of it takes one sample at a
//! time, keeps a bounded past, and costs a few microseconds a sample.
//!
//! Differences from the papers: a slope counts only where rates vary by a part of their mean, and not by an absolute number, since rates
//! have any size; the forecast that counts is a mixture, since no one method is best on every series.

pub use choice::Choice;
pub use correlation::{Correlation, Own, Related};
pub use line::Line;
pub use rate::{Forecast, OTHERS_MAX, Predictor, Rate};
pub use smoothing::{Exponential, Holt, HoltWinters};

mod choice;
mod correlation;
mod line;
mod rate;
mod smoothing;

/// How far ahead predictions are made.
///
/// Unit: samples, which are taken once a second. Range: at least twice what a migration takes. Source: design, papers section 8.5: a
/// migration took 1.144 s.
pub const HORIZON: usize = 5;

/// How much of the past of a rate is kept. Unit: samples. Range: at least twice [`LAG_MAX`]. Source: papers, section 8.5.
pub const HISTORY: usize = 120;

/// The greatest lag at which correlation is looked for. Unit: samples. Source: papers, section 8.5: half of the history.
pub const LAG_MAX: usize = HISTORY / 2;

const _: () = assert!(HORIZON >= 1 && HORIZON < LAG_MAX && 2 * LAG_MAX <= HISTORY);
