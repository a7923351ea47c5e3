//! Where the time of a request goes.

use std::time::Duration;

use model::Instant;

/// How long a request was in each of its stages: all of them together are the time from the order to the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Spent {
    /// Looking up what runs already, and who could run the rest.
    pub discovery: Duration,
    /// Probing hosts.
    pub probing: Duration,
    /// Confirming and starting graphs, also those that did not come about.
    pub commit: Duration,
}

/// What a request is about at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Discovery,
    Probing,
    Commit,
}

/// The time of a request as it passes: a request may come back to a stage that it has left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Watch {
    /// What is over.
    spent: Spent,
    stage: Stage,
    since: Instant,
}

impl Watch {
    /// A request begins by looking up.
    pub(crate) fn start(now: Instant) -> Self {
        Self {
            spent: Spent::default(),
            stage: Stage::Discovery,
            since: now,
        }
    }

    /// From now on it is about something else, or about the same again.
    pub(crate) fn enter(&mut self, now: Instant, stage: Stage) {
        self.spent = self.spent(now);
        self.stage = stage;
        self.since = now;
    }

    /// What was spent until now.
    pub(crate) fn spent(&self, now: Instant) -> Spent {
        let mut spent = self.spent;
        let current = match self.stage {
            Stage::Discovery => &mut spent.discovery,
            Stage::Probing => &mut spent.probing,
            Stage::Commit => &mut spent.commit,
        };
        *current = current.saturating_add(now.since(self.since));
        spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_that_comes_again_is_counted_on_and_all_together_are_the_whole() {
        let at = |millis| Instant::ZERO + Duration::from_millis(millis);
        let mut watch = Watch::start(at(100));
        for (millis, stage) in [
            (130, Stage::Probing),
            (200, Stage::Commit),
            (260, Stage::Discovery),
            (265, Stage::Probing),
            (300, Stage::Commit),
        ] {
            watch.enter(at(millis), stage);
        }
        let expected = Spent {
            discovery: Duration::from_millis(35),
            probing: Duration::from_millis(105),
            commit: Duration::from_millis(160),
        };
        assert_eq!(watch.spent(at(400)), expected);
    }
}
