//! What a host tells that confirms: how long parts take there, and how long the ways into them are.

use std::time::Duration;

use model::{ComponentGraph, CompositionId, NodeId, NodeView};

use super::{part_of, parts};
use crate::composer::Composer;
use crate::message::Told;
use crate::policy::Projection;
use crate::request::{Part, number};
use crate::serving::{Change, Ranks};
use crate::stream::Before;

impl Composer {
    /// How long the parts of a graph take that are here, and the ways into them.
    pub(crate) fn tell(
        &self,
        view: &NodeView,
        id: CompositionId,
        projection: Projection,
        graph: &ComponentGraph,
    ) -> Vec<Told> {
        let here = view.node();
        let ranked = Ranks::both(id).map(|ranks| {
            let change = Change::default();
            let queue = self.serving.queue(view, projection, 0.0, ranks, &change);
            (ranks, queue)
        });
        let plan = graph.plan();
        let parts = parts(graph, here).into_iter();
        parts
            .map(|(part, inputs)| {
                let execution = match part {
                    Part::Operator(index) => {
                        let index = usize::from(index);
                        let stream = Before::Operator(index).stream(plan);
                        let is_shared = graph.operators()[index].shared;
                        let name = match is_shared {
                            true => {
                                let made_of = graph.made_of(index);
                                self.serving.find(stream, &made_of)
                            }
                            false => Some((stream, id, number(index))),
                        };
                        name.and_then(|name| self.serving.execution(&ranked, name))
                    }
                    Part::Source(_) | Part::Sink(_) => None,
                };
                let links = inputs.iter().map(|input| {
                    let host = graph.producer(*input).host;
                    (part_of(*input), self.way(view, host))
                });
                let mut links: Vec<(Part, Duration)> = links.collect();
                links.sort_unstable();
                links.dedup_by_key(|(part, _)| *part);
                Told {
                    part,
                    execution: execution.unwrap_or_default(),
                    links,
                }
            })
            .collect()
    }

    /// The delay of the way from a host: measured where it was, else as it is believed to be.
    fn way(&self, view: &NodeView, from: NodeId) -> Duration {
        let measured = self.ways.get(&from).map(|(way, _)| *way);
        let is_known = view.round_trips.contains_key(&from);
        let believed = || view.delay(from, view.node()).unwrap_or_default();
        match measured {
            Some(measured) if !is_known => measured,
            _ => believed(),
        }
    }
}
