//! Hosts at routers of a graph.

use std::time::Duration;

use model::Rng;

use super::graph::{Graph, Router};
use super::{Topology, choose};

/// Hosts at stub routers; delays are those of shortest paths.
///
/// Where each stub domain has one link that leads out of it, a path to another one is the way to the core, the way through it, and the
/// way from it: the delays of 10,000 hosts take a few megabytes. Else all pairs of hosts are kept.
#[derive(Debug, Clone)]
pub struct Hosts {
    /// The router of each host.
    routers: Vec<usize>,
    paths: Paths,
}

#[derive(Debug, Clone)]
enum Paths {
    Core {
        places: Vec<Place>,
        /// From transit router to transit router, row by row.
        core: Vec<Duration>,
        transit_count: usize,
        /// For each stub domain from router to router within, row by row.
        within: Vec<Vec<Duration>>,
    },
    /// From host to host, row by row.
    Pairs(Vec<Duration>),
}

/// Where a host is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Its stub domain.
    domain: usize,
    /// Which of its routers.
    member: usize,
    /// How many of these it has.
    members: usize,
    /// The transit router that it hangs on, counted among these.
    transit: usize,
    /// How long it takes to there.
    to_transit: Duration,
}

impl Hosts {
    /// `count` hosts at stub routers that are drawn; at all of them where there are fewer.
    ///
    /// # Panics
    /// When the graph is in parts.
    pub fn choose(graph: &Graph, count: usize, rng: &mut Rng) -> Self {
        Self::at(graph, choose(graph.stubs().collect(), count, rng))
    }

    /// Hosts at these routers, in this order.
    ///
    /// # Panics
    /// When the graph is in parts, or there is no such router, or it is none at the edge.
    pub fn at(graph: &Graph, routers: Vec<usize>) -> Self {
        let paths = core(graph, &routers).unwrap_or_else(|| pairs(graph, &routers));
        Self { routers, paths }
    }

    /// The router of each host.
    pub fn routers(&self) -> &[usize] {
        &self.routers
    }
}

const CONNECTED: &str = "the graph is connected";

fn pairs(graph: &Graph, routers: &[usize]) -> Paths {
    let mut pairs = Vec::with_capacity(routers.len() * routers.len());
    for from in routers {
        let delays = graph.delays_from(*from, |_| true);
        pairs.extend(routers.iter().map(|to| delays[*to].expect(CONNECTED)));
    }
    Paths::Pairs(pairs)
}

/// Paths over the core; nothing where a stub domain has several links that lead out of it.
fn core(graph: &Graph, routers: &[usize]) -> Option<Paths> {
    let domains = members(graph);
    let mut ways_out = vec![None; domains.len()];
    for link in graph.links() {
        let ends = (graph.routers()[link.ends.0], graph.routers()[link.ends.1]);
        let (domain, way) = match ends {
            (Router::Stub(a), Router::Stub(b)) if a == b => continue,
            (Router::Transit(_), Router::Transit(_)) => continue,
            (Router::Stub(_), Router::Stub(_)) => return None,
            (Router::Stub(domain), Router::Transit(_)) => (domain, link.ends),
            (Router::Transit(_), Router::Stub(domain)) => (domain, (link.ends.1, link.ends.0)),
        };
        let delay = link.delay;
        if ways_out[domain].replace((way, delay)).is_some() {
            return None;
        }
    }
    let all = graph.routers().iter().enumerate();
    let transits: Vec<usize> = all
        .filter_map(|(number, router)| matches!(router, Router::Transit(_)).then_some(number))
        .collect();
    let mut core = Vec::with_capacity(transits.len() * transits.len());
    for from in &transits {
        let delays = graph.delays_from(*from, |router| matches!(router, Router::Transit(_)));
        for to in &transits {
            core.push(delays[*to]?);
        }
    }
    let within: Vec<Vec<Duration>> = domains
        .iter()
        .enumerate()
        .map(|(domain, members)| within(graph, domain, members))
        .collect::<Option<_>>()?;
    let places = routers.iter().map(|router| {
        let Router::Stub(domain) = graph.routers()[*router] else {
            return None;
        };
        let members = &domains[domain];
        let place = |router: usize| members.binary_search(&router).ok();
        let ((gate, transit), delay) = ways_out[domain]?;
        let member = place(*router)?;
        Some(Place {
            domain,
            member,
            members: members.len(),
            transit: transits.binary_search(&transit).ok()?,
            to_transit: within[domain][member * members.len() + place(gate)?] + delay,
        })
    });
    Some(Paths::Core {
        places: places.collect::<Option<_>>()?,
        core,
        transit_count: transits.len(),
        within,
    })
}

/// The routers of each stub domain, in order.
fn members(graph: &Graph) -> Vec<Vec<usize>> {
    let mut members: Vec<Vec<usize>> = Vec::new();
    for (number, router) in graph.routers().iter().enumerate() {
        if let Router::Stub(domain) = router {
            members.resize(members.len().max(domain + 1), Vec::new());
            members[*domain].push(number);
        }
    }
    members
}

/// From router to router of a stub domain, without leaving it; nothing where it is in parts.
fn within(graph: &Graph, domain: usize, members: &[usize]) -> Option<Vec<Duration>> {
    // Of the graph only this part, or each domain would cost as much as all routers.
    let routers = vec![Router::Stub(domain); members.len()];
    let mut links = Vec::new();
    for (place, member) in members.iter().enumerate() {
        for link in graph.links_at(*member) {
            let other = if link.ends.0 == *member {
                link.ends.1
            } else {
                link.ends.0
            };
            if let Ok(other) = members.binary_search(&other)
                && place < other
            {
                links.push(super::graph::Link {
                    ends: (place, other),
                    ..link
                });
            }
        }
    }
    let part = Graph::new(routers, links);
    let rows = (0..members.len()).flat_map(|from| part.delays_from(from, |_| true));
    rows.collect()
}

impl Topology for Hosts {
    fn host_count(&self) -> usize {
        self.routers.len()
    }

    fn delay(&self, from: usize, to: usize) -> Duration {
        match &self.paths {
            Paths::Pairs(pairs) => {
                assert!(to < self.routers.len(), "there is no host {to}");
                pairs[from * self.routers.len() + to]
            }
            Paths::Core {
                places,
                core,
                transit_count,
                within,
            } => {
                let (from, to) = (places[from], places[to]);
                if from.domain == to.domain {
                    return within[from.domain][from.member * from.members + to.member];
                }
                from.to_transit + core[from.transit * transit_count + to.transit] + to.to_transit
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::graph::Delays;
    use super::super::transit_stub::Shape;
    use super::*;

    #[test]
    fn paths_over_the_core_are_the_shortest() {
        let mut rng = Rng::from_seed(11);
        let graph = Shape::default().generate(&mut rng);
        let graph = graph.with_delays(&Delays::default(), &mut rng);
        let hosts = Hosts::choose(&graph, 60, &mut rng);
        assert!(matches!(hosts.paths, Paths::Core { .. }));
        let all = Hosts {
            paths: pairs(&graph, &hosts.routers),
            ..hosts.clone()
        };
        for from in 0..60 {
            for to in 0..60 {
                let delay = hosts.delay(from, to);
                assert_eq!(delay, all.delay(from, to), "{from} to {to}");
                assert_eq!(delay, hosts.delay(to, from));
                assert_eq!(delay.is_zero(), from == to);
            }
        }
    }

    #[test]
    fn delays_between_hosts_are_those_of_a_wide_area() {
        let mut rng = Rng::from_seed(7);
        let graph = Shape::default().generate(&mut rng);
        let graph = graph.with_delays(&Delays::default(), &mut rng);
        let hosts = Hosts::choose(&graph, 200, &mut rng);
        let mut sum = Duration::ZERO;
        for from in 0..200 {
            sum += (0..200).map(|to| hosts.delay(from, to)).sum::<Duration>();
        }
        let mean = sum / (200 * 199);
        // The reference's sketch has 106 ms of one seed.
        let expected = Duration::from_millis(80)..Duration::from_millis(130);
        assert!(expected.contains(&mean), "{mean:?}");
    }
}
