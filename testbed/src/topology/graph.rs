//! Graphs of routers: transit domains, and stub domains that hang on them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

use model::{Rng, convert};

/// Routers and the links between them; connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Graph {
    routers: Vec<Router>,
    links: Vec<Link>,
    /// For each router, its links by number.
    links_of: Vec<Vec<usize>>,
}

/// Where a router stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// In the core, in the transit domain of this number.
    Transit(usize),
    /// At the edge, in the stub domain of this number; they are counted through the whole graph.
    Stub(usize),
}

/// A link, the same in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Link {
    /// The routers that it joins.
    pub ends: (usize, usize),
    /// How long something small takes over it.
    pub delay: Duration,
}

/// From which range the delays of links are drawn, evenly, by what they join. Unit: time, one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delays {
    /// Two routers of a stub domain.
    pub within_stub: (Duration, Duration),
    /// A stub domain and something else.
    pub to_stub: (Duration, Duration),
    /// Two routers of a transit domain.
    pub within_transit: (Duration, Duration),
    /// Two transit domains.
    pub between_transits: (Duration, Duration),
}

impl Default for Delays {
    /// Source: papers, section 10; between hosts they give 106 ms on average and 181 ms at most, as wide-area measurements do.
    fn default() -> Self {
        let millis = |low, high| (Duration::from_millis(low), Duration::from_millis(high));
        Self {
            within_stub: millis(1, 4),
            to_stub: millis(5, 15),
            within_transit: millis(10, 30),
            between_transits: millis(30, 60),
        }
    }
}

/// What tells one graph from another, as GT-ITM's own evaluation has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Evaluation {
    /// The mean number of links at a router.
    pub degree_mean: f64,
    /// How many routers have so many links, by the number of links.
    pub degrees: Vec<usize>,
    /// The most links on a shortest path.
    pub diameter: usize,
    /// The mean over routers of the most links on a shortest path from there.
    pub depth_mean: f64,
}

impl Graph {
    /// A graph whose links are between routers that there are.
    ///
    /// # Panics
    /// When a link is not.
    pub fn new(routers: Vec<Router>, links: Vec<Link>) -> Self {
        let mut links_of = vec![Vec::new(); routers.len()];
        for (number, link) in links.iter().enumerate() {
            links_of[link.ends.0].push(number);
            links_of[link.ends.1].push(number);
        }
        Self {
            routers,
            links,
            links_of,
        }
    }

    /// The same graph with delays that are drawn for its links, one after the other.
    #[must_use]
    pub fn with_delays(mut self, delays: &Delays, rng: &mut Rng) -> Self {
        for link in &mut self.links {
            let ends = (self.routers[link.ends.0], self.routers[link.ends.1]);
            let (low, high) = match ends {
                (Router::Stub(a), Router::Stub(b)) if a == b => delays.within_stub,
                (Router::Stub(_), _) | (_, Router::Stub(_)) => delays.to_stub,
                (Router::Transit(a), Router::Transit(b)) if a == b => delays.within_transit,
                (Router::Transit(_), Router::Transit(_)) => delays.between_transits,
            };
            link.delay = low + high.saturating_sub(low).mul_f64(rng.fraction());
        }
        self
    }

    /// The routers, numbered from 0.
    pub fn routers(&self) -> &[Router] {
        &self.routers
    }

    /// The links.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The routers at the edge, where hosts may be.
    pub fn stubs(&self) -> impl Iterator<Item = usize> + '_ {
        let routers = self.routers.iter().enumerate();
        routers.filter_map(|(number, router)| matches!(router, Router::Stub(_)).then_some(number))
    }

    /// The links of a router.
    pub fn links_at(&self, router: usize) -> impl Iterator<Item = Link> + '_ {
        self.links_of[router].iter().map(|link| self.links[*link])
    }

    fn neighbors(&self, router: usize) -> impl Iterator<Item = (usize, Duration)> + '_ {
        self.links_at(router).map(move |Link { ends, delay }| {
            (if ends.0 == router { ends.1 } else { ends.0 }, delay)
        })
    }

    /// How long something small takes from a router to each; nothing where there is no way over routers that `passes`.
    pub fn delays_from(
        &self,
        router: usize,
        passes: impl Fn(Router) -> bool,
    ) -> Vec<Option<Duration>> {
        let mut delays = vec![None; self.routers.len()];
        let mut next = BinaryHeap::from([Reverse((Duration::ZERO, router))]);
        while let Some(Reverse((delay, router))) = next.pop() {
            if delays[router].is_some() {
                continue;
            }
            delays[router] = Some(delay);
            for (neighbor, more) in self.neighbors(router) {
                if delays[neighbor].is_none() && passes(self.routers[neighbor]) {
                    next.push(Reverse((delay + more, neighbor)));
                }
            }
        }
        delays
    }

    /// How many links are on the shortest way to the farthest router; nothing where one cannot be reached.
    fn depth(&self, router: usize) -> Option<usize> {
        let mut hops = vec![None; self.routers.len()];
        hops[router] = Some(0);
        let mut next = VecDeque::from([router]);
        let mut depth = 0;
        let mut reached = 0;
        while let Some(router) = next.pop_front() {
            reached += 1;
            depth = hops[router]?;
            for (neighbor, _) in self.neighbors(router) {
                if hops[neighbor].is_none() {
                    hops[neighbor] = Some(depth + 1);
                    next.push_back(neighbor);
                }
            }
        }
        (reached == self.routers.len()).then_some(depth)
    }

    /// What it is like; nothing where it is in parts or empty. Takes a moment for each router.
    pub fn evaluate(&self) -> Option<Evaluation> {
        let count = convert::count_to_f64(convert::size(self.routers.len()));
        let depths: Option<Vec<usize>> = (0..self.routers.len()).map(|it| self.depth(it)).collect();
        let depths = depths?;
        let mut degrees = Vec::new();
        for links in &self.links_of {
            degrees.resize(degrees.len().max(links.len() + 1), 0);
            degrees[links.len()] += 1;
        }
        let sum = |numbers: &[usize]| convert::count_to_f64(convert::size(numbers.iter().sum()));
        Some(Evaluation {
            degree_mean: sum(&[2 * self.links.len()]) / count,
            degrees,
            diameter: *depths.iter().max()?,
            depth_mean: sum(&depths) / count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transit router with a stub domain of two, and one of one.
    fn small() -> Graph {
        let link = |a, b, millis| Link {
            ends: (a, b),
            delay: Duration::from_millis(millis),
        };
        let routers = vec![
            Router::Transit(0),
            Router::Stub(0),
            Router::Stub(0),
            Router::Stub(1),
        ];
        Graph::new(routers, vec![link(0, 1, 5), link(1, 2, 1), link(0, 3, 7)])
    }

    #[test]
    fn a_small_graph_is_what_it_is() {
        let evaluation = small().evaluate().expect("it is connected");
        let expected = Evaluation {
            degree_mean: 1.5,
            degrees: vec![0, 2, 2],
            diameter: 3,
            depth_mean: 2.5,
        };
        assert_eq!(evaluation, expected);
        let parts = Graph::new(small().routers, vec![small().links[0]]);
        assert_eq!(parts.evaluate(), None);
    }

    #[test]
    fn delays_add_up_over_what_may_be_passed() {
        let millis = |millis| Some(Duration::from_millis(millis));
        let all = small().delays_from(2, |_| true);
        assert_eq!(all, [millis(6), millis(1), millis(0), millis(13)]);
        let within = small().delays_from(2, |router| router == Router::Stub(0));
        assert_eq!(within, [None, millis(1), millis(0), None]);
    }

    #[test]
    fn delays_are_drawn_by_what_a_link_joins() {
        let graph = small().with_delays(&Delays::default(), &mut Rng::from_seed(1));
        let is_within = |link: usize, low, high| {
            let delay = graph.links[link].delay;
            assert!(Duration::from_millis(low) <= delay && delay < Duration::from_millis(high));
        };
        is_within(0, 5, 15);
        is_within(1, 1, 4);
        is_within(2, 5, 15);
    }
}
