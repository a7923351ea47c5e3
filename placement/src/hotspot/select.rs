//! Which component of a host moves.

use std::cmp::Ordering;

use model::Slack;

use crate::monitor::Outlook;

/// Of some components that may move, the one without which the load is below a limit, and of several such the one with the least load, then
/// the smallest slack for its load. Where none is enough, the one with the most load.
pub(super) fn by_load<'a>(
    movable: impl Iterator<Item = &'a Outlook>,
    load: f64,
    limit: f64,
) -> Option<&'a Outlook> {
    let is_enough = |it: &Outlook| load - it.load_fraction < limit;
    movable.filter(|it| it.load_fraction > 0.0).min_by(|a, b| {
        let by_load = a.load_fraction.total_cmp(&b.load_fraction);
        let by_load = match (is_enough(a), is_enough(b)) {
            (true, true) => by_load,
            (false, false) => by_load.reverse(),
            (true, false) => Ordering::Less,
            (false, true) => Ordering::Greater,
        };
        by_load
            .then(slack_to_load(a).total_cmp(&slack_to_load(b)))
            .then(a.id.cmp(&b.id))
    })
}

/// Of components that suffer and may move, the one that exceeds its promise by most; of equal ones the one with the least predicted slack.
/// One that keeps its promise stays.
pub(super) fn by_promise<'a>(suffering: impl Iterator<Item = &'a Outlook>) -> Option<&'a Outlook> {
    let excess = |it: &Outlook| it.predicted_execution.checked_sub(it.promise);
    let broken = suffering.filter(|it| it.predicted_execution > it.promise);
    broken.min_by(|a, b| {
        let by_excess = excess(b).cmp(&excess(a));
        by_excess
            .then(a.predicted_slack.cmp(&b.predicted_slack))
            .then(a.id.cmp(&b.id))
    })
}

/// The slack of a component for the load that it is. Unit: seconds; infinite without a target.
fn slack_to_load(outlook: &Outlook) -> f64 {
    match outlook.predicted_slack == Slack::MAX {
        true => f64::INFINITY,
        false => outlook.predicted_slack.as_seconds() / outlook.load_fraction,
    }
}
