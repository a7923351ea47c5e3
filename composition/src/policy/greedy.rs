//! The nearest host that has room, hop by hop. What comes of it is judged when it runs (papers, section 7.1).

use super::{Policy, Projection, Search, Sharing};

/// The nearest host that has room, hop by hop. What comes of it is judged when it runs.
#[derive(Debug, Clone, Copy)]
pub struct Greedy;

impl Policy for Greedy {
    fn name(&self) -> &'static str {
        "greedy"
    }

    fn sharing(&self) -> Sharing {
        Sharing::None
    }

    fn projection(&self) -> Projection {
        Projection::None
    }

    fn search(&self) -> Search {
        Search::Nearest
    }
}
