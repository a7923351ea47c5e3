//! What an engine keeps of each application.

use std::time::Duration;

use model::{ComponentId, EdgeId};

use super::admitted::Admitted;
use crate::report::ComponentReport;
use crate::share::Share;

/// An application.
#[derive(Debug)]
pub(crate) struct Application {
    pub(crate) name: String,
    /// The latency target of its plan; none where it has no plan.
    pub(crate) target: Duration,
    /// What it was let in with, where somebody said.
    pub(crate) admitted: Option<Admitted>,
    /// Its components that are here, in the order of their ids.
    pub(crate) members: Vec<ComponentId>,
    /// It cannot go on.
    pub(crate) has_failed: bool,
    /// All its results have left that leave here.
    pub(crate) has_finished: bool,
    /// Whether one of its sources cannot be read on.
    pub(crate) is_broken: bool,
    /// It was ended: what is left of it is there for others who read it.
    pub(crate) is_released: bool,
    /// A record tells what of it runs here and who reads it: see [`Engine::follow_record`](super::Engine::follow_record).
    pub(crate) follows_record: bool,
    /// Edges of others that are read for it too: what they feed is shared by it.
    pub(crate) joined: Vec<EdgeId>,
    /// How many of its rows go first, where that is limited.
    pub(crate) share: Option<Share>,
    /// What was last known of those of its components that are not here any more.
    pub(crate) gone: Vec<ComponentReport>,
}
