//! `synergy graph`: the component graph of an application, drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use clap::{Args, ValueEnum};

use super::output::{self, results};
use super::{Globals, Status};
use crate::application::problem::printable;
use crate::client::encoded;
use crate::node::{Failure, Why};

#[derive(Debug, Args)]
pub(super) struct Graph {
    /// The application.
    name: String,
    /// How to draw it.
    #[arg(short, long, value_enum, default_value_t)]
    output: Drawing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Drawing {
    /// A tree, for people.
    #[default]
    Text,
    /// For Graphviz.
    Dot,
    /// For Mermaid, in Markdown.
    Mermaid,
}

impl Graph {
    pub(super) fn execute(self, globals: &Globals) -> Result<Status, Failure> {
        let path = format!("/v1/apps/{}/why", encoded(&self.name));
        let why: Why = output::read(globals.client()?.get(&path)?)?;
        let parts = Parts::of(&why);
        Ok(results(&match self.output {
            Drawing::Text => parts.text(),
            Drawing::Dot => parts.dot(),
            Drawing::Mermaid => parts.mermaid(),
        }))
    }
}

/// What is drawn.
#[derive(Debug)]
struct Parts<'w> {
    application: &'w str,
    parts: Vec<Part<'w>>,
    edges: Vec<Edge<'w>>,
}

#[derive(Debug)]
struct Part<'w> {
    name: &'w str,
    kind: &'w str,
    host: &'w str,
    /// What its host says of it now; running where nothing else is known.
    status: &'w str,
}

/// A part reads what another gives at a port; the first port has no name here.
#[derive(Debug)]
struct Edge<'w> {
    from: &'w str,
    port: &'w str,
    to: &'w str,
}

impl<'w> Parts<'w> {
    fn of(why: &'w Why) -> Self {
        let status: BTreeMap<&str, &str> = why
            .components
            .iter()
            .map(|row| (row.name.as_str(), row.status.as_str()))
            .collect();
        let composition = &why.composition;
        let parts = composition.operators.iter().map(|placed| Part {
            name: &placed.name,
            kind: &placed.kind,
            host: &placed.host,
            status: status
                .get(placed.name.as_str())
                .copied()
                .unwrap_or("running"),
        });
        let edges = composition.edges.iter().map(|(stream, to)| {
            let (from, port) = stream.split_once('.').unwrap_or((stream, ""));
            Edge { from, port, to }
        });
        Self {
            application: &composition.application,
            parts: parts.collect(),
            edges: edges.collect(),
        }
    }

    /// A tree from the sources on. What is read by several stands under each, and what follows it under the first.
    fn text(&self) -> String {
        let mut text = format!("{}\n", printable(self.application));
        let read: BTreeSet<&str> = self.edges.iter().map(|edge| edge.to).collect();
        let roots = self.parts.iter().filter(|part| !read.contains(part.name));
        let mut drawn = BTreeSet::new();
        for root in roots {
            let _ = writeln!(text, "{}", root.line());
            drawn.insert(root.name);
            self.branches(root.name, "", &mut drawn, &mut text);
        }
        text
    }

    fn branches(&self, from: &str, indent: &str, drawn: &mut BTreeSet<&'w str>, text: &mut String) {
        let edges: Vec<&Edge<'_>> = self.edges.iter().filter(|edge| edge.from == from).collect();
        for (index, edge) in edges.iter().enumerate() {
            let is_last = index + 1 == edges.len();
            let (branch, below) = if is_last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            let port = match edge.port {
                "" => String::new(),
                port => format!(".{} ─ ", printable(port)),
            };
            let part = self.parts.iter().find(|part| part.name == edge.to);
            let line = part.map_or_else(|| printable(edge.to), Part::line);
            let is_new = part.is_some_and(|part| drawn.insert(part.name));
            let again = if is_new { "" } else { " …" };
            // Writing into a string does not fail.
            let _ = writeln!(text, "{indent}{branch}{port}{line}{again}");
            if is_new {
                self.branches(edge.to, &format!("{indent}{below}"), drawn, text);
            }
        }
    }

    fn dot(&self) -> String {
        let mut text = format!(
            "digraph {} {{\n  rankdir=LR;\n  node [shape=box];\n",
            quoted(self.application)
        );
        for (index, (host, parts)) in self.by_host().into_iter().enumerate() {
            let _ = writeln!(
                text,
                "  subgraph cluster_{index} {{\n    label={};",
                quoted(host)
            );
            for part in parts {
                let label = quoted(&format!("{}\n{}{}", part.name, part.kind, part.state()));
                let _ = writeln!(text, "    {} [label={label}];", quoted(part.name));
            }
            text.push_str("  }\n");
        }
        for edge in &self.edges {
            let label = match edge.port {
                "" => String::new(),
                port => format!(" [label={}]", quoted(port)),
            };
            let _ = writeln!(
                text,
                "  {} -> {}{label};",
                quoted(edge.from),
                quoted(edge.to)
            );
        }
        text.push_str("}\n");
        text
    }

    fn mermaid(&self) -> String {
        // Names may be words of Mermaid's; numbers are not.
        let number: BTreeMap<&str, usize> = self
            .parts
            .iter()
            .enumerate()
            .map(|(index, part)| (part.name, index))
            .collect();
        let mut text = "flowchart LR\n".to_owned();
        for (index, (host, parts)) in self.by_host().into_iter().enumerate() {
            let _ = writeln!(text, "  subgraph h{index}[\"{}\"]", entities(host));
            for part in parts {
                let label = entities(&format!("{} ({}{})", part.name, part.kind, part.state()));
                let _ = writeln!(text, "    p{}[\"{label}\"]", number[part.name]);
            }
            text.push_str("  end\n");
        }
        for edge in &self.edges {
            let (Some(from), Some(to)) = (number.get(edge.from), number.get(edge.to)) else {
                continue;
            };
            let arrow = match edge.port {
                "" => "-->".to_owned(),
                port => format!("-- \"{}\" -->", entities(port)),
            };
            let _ = writeln!(text, "  p{from} {arrow} p{to}");
        }
        text
    }

    fn by_host(&self) -> BTreeMap<&str, Vec<&Part<'w>>> {
        let mut hosts: BTreeMap<&str, Vec<&Part<'_>>> = BTreeMap::new();
        for part in &self.parts {
            hosts.entry(part.host).or_default().push(part);
        }
        hosts
    }
}

impl Part<'_> {
    fn line(&self) -> String {
        let line = format!(
            "{} ({}) on {}{}",
            self.name,
            self.kind,
            self.host,
            self.state()
        );
        printable(&line)
    }

    /// What is to be said of it beside its kind: nothing where it runs.
    fn state(&self) -> String {
        match self.status {
            "running" => String::new(),
            status => format!(", {status}"),
        }
    }
}

/// A text in quotes, as Graphviz reads it.
fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            c if c.is_control() => {}
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A text as Mermaid reads it between quotes.
fn entities(text: &str) -> String {
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '"' | '#' | '<' | '>' | '&' | ';' => {
                let _ = write!(shown, "#{};", u32::from(c));
            }
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Composition, Placed};

    /// O1 -> {O2 -> O4, O3 -> O5} -> O6, and what O2 could not evaluate.
    fn diamond() -> Why {
        let placed = |(name, kind, host): &(&str, &str, &str)| Placed {
            name: (*name).to_owned(),
            kind: (*kind).to_owned(),
            host: (*host).to_owned(),
            node: String::new(),
            shared: false,
        };
        let edge = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
        Why {
            composition: Composition {
                application: "diamond".to_owned(),
                status: "running".to_owned(),
                predicted_delay_ms: None,
                target_delay_ms: 1.0,
                operators: [
                    ("rows", "source", "n1"),
                    ("o1", "filter", "n1"),
                    ("o2", "map", "n2"),
                    ("o3", "map", "n1"),
                    ("o6", "union", "n2"),
                    ("out", "sink", "n1"),
                    ("bad", "sink", "n1"),
                ]
                .iter()
                .map(placed)
                .collect(),
                edges: [
                    ("rows", "o1"),
                    ("o1", "o2"),
                    ("o1", "o3"),
                    ("o2", "o6"),
                    ("o3", "o6"),
                    ("o6", "out"),
                    ("o2.bad", "bad"),
                ]
                .iter()
                .map(edge)
                .collect(),
                shared: 0,
                saved_cores: 0.0,
                runner_up: None,
                congestion: None,
                probes: 0,
                lookups: 1,
                discovery_ms: None,
                probing_ms: None,
                commit_ms: None,
                delay_from_sharing_ms: None,
                binding: None,
                feasible_target_ms: None,
                remarks: Vec::new(),
            },
            reason: None,
            reasons: Vec::new(),
            components: Vec::new(),
        }
    }

    #[test]
    fn a_tree_shows_every_part_and_every_edge() {
        let expected = "\
diamond
rows (source) on n1
└─ o1 (filter) on n1
   ├─ o2 (map) on n2
   │  ├─ o6 (union) on n2
   │  │  └─ out (sink) on n1
   │  └─ .bad ─ bad (sink) on n1
   └─ o3 (map) on n1
      └─ o6 (union) on n2 …
";
        assert_eq!(Parts::of(&diamond()).text(), expected);
    }

    #[test]
    fn graphviz_and_mermaid_get_what_they_read() {
        let why = diamond();
        let dot = Parts::of(&why).dot();
        assert!(
            dot.starts_with("digraph \"diamond\" {\n  rankdir=LR;\n"),
            "{dot}"
        );
        assert!(
            dot.contains("  \"o2\" -> \"bad\" [label=\"bad\"];\n"),
            "{dot}"
        );
        assert!(
            dot.contains("    \"o6\" [label=\"o6\\nunion\"];\n"),
            "{dot}"
        );
        let mermaid = Parts::of(&why).mermaid();
        assert!(
            mermaid.contains("  subgraph h1[\"n2\"]\n    p2[\"o2 (map)\"]\n"),
            "{mermaid}"
        );
        assert!(mermaid.contains("  p2 -- \"bad\" --> p6\n"), "{mermaid}");
        assert_eq!(entities("a\"b"), "a#34;b");
        assert_eq!(quoted("a\"b\\"), "\"a\\\"b\\\\\"");
    }
}
