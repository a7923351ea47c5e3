//! Seeded transit-stub graphs, after Zegura, Calvert and Bhattacharjee, "How to model an internetwork" (INFOCOM 1996).
//!
//! Transit domains are joined to a core; on each of their routers hang stub domains by one link each. A domain's routers are joined
//! at random, each pair with one probability (GT-ITM's edge method 3), and drawn again until the domain is connected. Sizes are means:
//! as in GT-ITM they vary, and add up to the same. There are no extra links between stub domains, so that a shortest path between two
//! of them leads over the core ([`super::hosts`]).

use std::time::Duration;

use model::{Rng, convert};

use super::graph::{Graph, Link, Router};

/// How many routers and links a graph has.
#[derive(Debug, Clone, PartialEq)]
pub struct Shape {
    /// Transit domains, and the probability of a link between two of them.
    pub domains: (usize, f64),
    /// Routers of a transit domain on average, and the probability of a link between two of them.
    pub transits: (usize, f64),
    /// Stub domains at a transit router, on average over those of a domain.
    pub stubs: usize,
    /// Routers of a stub domain, on average over those at a transit router, and the probability of a link between two of them.
    pub stub_routers: (usize, f64),
}

impl Default for Shape {
    /// 5 x 6 x (1 + 7 x 7) = 1,500 routers. Source: papers, section 10.
    fn default() -> Self {
        Self {
            domains: (5, 1.0),
            transits: (6, 0.6),
            stubs: 7,
            stub_routers: (7, 0.42),
        }
    }
}

impl Shape {
    /// The default up to 500 hosts, a third of its stub routers; beyond, as many times more stub domains: delays stay as they
    /// are.
    pub fn for_hosts(count: usize) -> Self {
        let shape = Self::default();
        Self {
            stubs: shape.stubs.max((shape.stubs * count).div_ceil(500)),
            ..shape
        }
    }

    /// How many routers a graph of this shape has.
    pub const fn router_count(&self) -> usize {
        self.domains.0 * self.transits.0 * (1 + self.stubs * self.stub_routers.0)
    }

    /// A graph of this shape; its links have no delay yet.
    ///
    /// # Panics
    /// When a number is zero, or a domain of more than one router has links with no probability.
    pub fn generate(&self, rng: &mut Rng) -> Graph {
        let mut made = Made::default();
        let sizes = varied(self.domains.0, self.transits.0, rng);
        let domains: Vec<Vec<usize>> = (0..)
            .zip(sizes)
            .map(|(domain, size)| made.domain(size, self.transits.1, Router::Transit(domain), rng))
            .collect();
        for (a, b) in connected(self.domains.0, self.domains.1, rng) {
            made.join(*pick(&domains[a], rng), *pick(&domains[b], rng));
        }
        let mut stub_domain = 0;
        for transits in domains {
            let counts = varied(transits.len(), self.stubs, rng);
            for (transit, count) in transits.into_iter().zip(counts) {
                for size in varied(count, self.stub_routers.0, rng) {
                    let router = Router::Stub(stub_domain);
                    let stub = made.domain(size, self.stub_routers.1, router, rng);
                    made.join(transit, *pick(&stub, rng));
                    stub_domain += 1;
                }
            }
        }
        Graph::new(made.routers, made.links)
    }
}

/// What was made so far.
#[derive(Default)]
struct Made {
    routers: Vec<Router>,
    links: Vec<Link>,
}

impl Made {
    /// Adds the routers of a domain, and joins them.
    fn domain(
        &mut self,
        count: usize,
        probability: f64,
        router: Router,
        rng: &mut Rng,
    ) -> Vec<usize> {
        let first = self.routers.len();
        self.routers.extend(std::iter::repeat_n(router, count));
        for (a, b) in connected(count, probability, rng) {
            self.join(first + a, first + b);
        }
        (first..self.routers.len()).collect()
    }

    fn join(&mut self, a: usize, b: usize) {
        self.links.push(Link {
            ends: (a, b),
            delay: Duration::ZERO,
        });
    }
}

fn pick<'a, T>(from: &'a [T], rng: &mut Rng) -> &'a T {
    &from[convert::index(rng.below(convert::size(from.len())))]
}

/// `count` sizes from 1 on with this mean: three times for each, one of them gives one to another, if it can.
fn varied(count: usize, mean: usize, rng: &mut Rng) -> Vec<usize> {
    let mut sizes = vec![mean; count];
    let which = convert::size(count);
    for _ in 0..3 * count {
        let from = convert::index(rng.below(which));
        let to = convert::index(rng.below(which));
        if sizes[from] > 1 {
            sizes[from] -= 1;
            sizes[to] += 1;
        }
    }
    sizes
}

/// The links of a random graph, drawn until it is connected.
fn connected(count: usize, probability: f64, rng: &mut Rng) -> Vec<(usize, usize)> {
    assert!(count > 0, "a domain has a router");
    assert!(count == 1 || probability > 0.0, "a domain is connected");
    loop {
        let pairs = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b)));
        let links: Vec<(usize, usize)> = pairs.filter(|_| rng.fraction() < probability).collect();
        if is_connected(count, &links) {
            return links;
        }
    }
}

fn is_connected(count: usize, links: &[(usize, usize)]) -> bool {
    let mut parts: Vec<usize> = (0..count).collect();
    for (a, b) in links {
        let (kept, gone) = (parts[*a], parts[*b]);
        parts
            .iter_mut()
            .filter(|part| **part == gone)
            .for_each(|part| *part = kept);
    }
    parts.windows(2).all(|pair| pair[0] == pair[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_graph_has_its_shape_and_is_connected() {
        let shape = Shape::default();
        assert_eq!(shape.router_count(), 1500);
        let graph = shape.generate(&mut Rng::from_seed(7));
        assert_eq!(graph.routers().len(), 1500);
        assert_eq!(graph.stubs().count(), 1470);
        let evaluation = graph.evaluate().expect("it is connected");
        assert!(evaluation.diameter < 20, "{evaluation:?}");
    }

    #[test]
    fn a_seed_gives_one_graph() {
        let graph = |seed| Shape::default().generate(&mut Rng::from_seed(seed));
        assert_eq!(graph(3), graph(3));
        assert_ne!(graph(3), graph(4));
    }

    #[test]
    fn many_hosts_have_more_stub_domains() {
        assert_eq!(Shape::for_hosts(500), Shape::default());
        let shape = Shape::for_hosts(10_000);
        assert_eq!(shape.stubs, 140);
        assert_eq!(shape.router_count(), 29_430);
    }
}
