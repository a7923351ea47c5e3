//! GT-ITM's graphs, in the form that its `sgb2alt` writes.
//!
//! A line of numbers below `GRAPH`, the routers below `VERTICES` (`8 S:0.0/0.1 84 131`: number, name, place), the links below
//! `EDGES` (`0 200 56 2`: its ends, its length and GT-ITM's weight of it). `T:domain.router` is in the core, `S:domain.router/stub.router`
//! hangs on that router of it. Delays are not in the file; see [`Graph::with_delays`].

use std::collections::BTreeMap;
use std::time::Duration;

use super::graph::{Graph, Link, Router};

/// The most routers that a graph may have. Unit: routers. Source: guess; thirty times the largest at hand.
const ROUTERS_MAX: usize = 50_000;

/// The most links that a graph may have. Unit: links. Source: as [`ROUTERS_MAX`].
const LINKS_MAX: usize = 1_000_000;

/// Reads a graph.
///
/// # Errors
/// With the first line that is none of a graph, and why.
pub fn parse(text: &str) -> Result<Graph, String> {
    let mut section = "";
    let mut routers = Vec::new();
    let mut stubs = BTreeMap::new();
    let mut links = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let Some(first) = words.first() else { continue };
        if ["GRAPH", "VERTICES", "EDGES"].contains(first) {
            section = first;
            continue;
        }
        let wrong = |what: &str| Err(format!("line {number}: {what}"));
        match (section, &words[..]) {
            ("GRAPH", _) => {}
            ("VERTICES", [index, name, ..]) => {
                if index.parse() != Ok(routers.len()) {
                    return wrong("routers are numbered from 0");
                }
                let Some(router) = router(name, &mut stubs) else {
                    return wrong("no name of a router");
                };
                routers.push(router);
            }
            ("EDGES", [from, to, ..]) => match (from.parse(), to.parse()) {
                (Ok(from), Ok(to)) if from < routers.len() && to < routers.len() => {
                    links.push(Link {
                        ends: (from, to),
                        delay: Duration::ZERO,
                    });
                }
                _ => return wrong("a link between routers that there are not"),
            },
            _ => return wrong("neither a router nor a link"),
        }
        if routers.len() > ROUTERS_MAX || links.len() > LINKS_MAX {
            return wrong("too many routers or links");
        }
    }
    let graph = Graph::new(routers, links);
    if graph.evaluate().is_none() {
        return Err("the graph is empty or in parts".to_owned());
    }
    Ok(graph)
}

/// What a router's name says; stub domains are numbered as they come.
fn router<'t>(name: &'t str, stubs: &mut BTreeMap<(&'t str, &'t str), usize>) -> Option<Router> {
    let (kind, place) = name.split_once(':')?;
    match kind {
        "T" => Some(Router::Transit(place.split_once('.')?.0.parse().ok()?)),
        "S" => {
            let (transit, stub) = place.split_once('/')?;
            let domain = (transit, stub.split_once('.')?.0);
            let next = stubs.len();
            Some(Router::Stub(*stubs.entry(domain).or_insert(next)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routers_and_links_are_read() {
        let text = "GRAPH (#nodes #edges id uu vv ww xx yy zz):\n4 6 transtub(0) 219 3 5 1\n\n\
                    VERTICES (index name u v w x y z):\n0 T:0.0 70 132\n1 S:0.0/0.0 84 131\n2 S:0.0/1.0 4 1\n3 S:0.0/0.1 1 1\n\n\
                    EDGES (from-node to-node length a b):\n0 1 56 2\n0 2 5 1\n1 3 24 6\n";
        let graph = parse(text).expect("a graph");
        let expected = [
            Router::Transit(0),
            Router::Stub(0),
            Router::Stub(1),
            Router::Stub(0),
        ];
        assert_eq!(graph.routers(), expected);
        assert_eq!(graph.links().len(), 3);
        for (from, to) in [
            ("0 1 56 2", "0 9 56 2"),
            ("T:0.0", "X:0.0"),
            ("1 3 24 6\n", ""),
        ] {
            assert!(parse(&text.replace(from, to)).is_err(), "{from} as {to}");
        }
        assert!(parse("").is_err());
    }
}
