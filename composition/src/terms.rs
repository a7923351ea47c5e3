//! The terms under which a graph was admitted: what whoever comes to run a part of it later has to know beside the graph.

use std::time::Duration;

use model::QueryPlan;

use crate::message::Wants;
use crate::policy::Projection;
use crate::queue::Job;
use crate::request::TARGET_MAX;

/// The terms under which a graph was admitted. They go along with it wherever it is recorded.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Terms {
    /// Which of its attempts came about.
    pub(crate) attempt: u8,
    pub(crate) projection: Projection,
    /// What each operator of the plan takes, and can wait, as it was declared.
    pub(crate) jobs: Vec<Job>,
    /// What else is known of its parts.
    pub(crate) wants: Wants,
    /// How old what each operator yields was expected to be.
    pub(crate) ages: Vec<Duration>,
    /// The delay that was expected.
    pub(crate) delay: Duration,
}

impl Default for Terms {
    /// Of a graph that nobody has admitted.
    fn default() -> Self {
        Self {
            attempt: 0,
            projection: Projection::None,
            jobs: Vec::new(),
            wants: Wants::default(),
            ages: Vec::new(),
            delay: Duration::ZERO,
        }
    }
}

impl Terms {
    /// Whether they are of this plan, and name amounts.
    pub fn is_of(&self, plan: &QueryPlan) -> bool {
        let operators = plan.operators().len();
        self.jobs.len() == operators
            && self.wants.fits(plan)
            && self.ages.len() == operators
            && self.jobs.iter().all(Job::is_valid)
            && self.jobs.iter().all(|job| job.laxity <= TARGET_MAX)
            && self.ages.iter().all(|age| *age <= TARGET_MAX)
            && self.delay <= TARGET_MAX
    }
}
