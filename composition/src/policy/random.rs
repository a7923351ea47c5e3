//! Any host that has room, for each operator. What comes of it is judged when it runs (papers, section 7.1).

use super::{Policy, Projection, Search, Sharing};

/// Any host that has room, for each operator. What comes of it is judged when it runs.
#[derive(Debug, Clone, Copy)]
pub struct Random;

impl Policy for Random {
    fn name(&self) -> &'static str {
        "random"
    }

    fn sharing(&self) -> Sharing {
        Sharing::None
    }

    fn projection(&self) -> Projection {
        Projection::None
    }

    fn search(&self) -> Search {
        Search::Random
    }
}
