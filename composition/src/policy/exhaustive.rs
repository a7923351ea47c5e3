//! All graphs of all candidates, for small cases: what the others are measured by.

use super::{Policy, Search, Sharing};

/// All graphs of all candidates, for small cases: what the others are measured by.
#[derive(Debug, Clone, Copy)]
pub struct Exhaustive;

impl Policy for Exhaustive {
    fn name(&self) -> &'static str {
        "exhaustive"
    }

    fn sharing(&self) -> Sharing {
        Sharing::None
    }

    fn search(&self) -> Search {
        Search::All
    }
}
