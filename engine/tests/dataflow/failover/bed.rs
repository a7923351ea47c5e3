//! What goes on elsewhere when a host has vanished.

use std::collections::BTreeSet;

use engine::operator::Numbering;
use engine::{OperatorPart, Provider};
use model::EdgeId;
use model::plan::{Reader, Stream};

use super::{Bed, StateLink};
use crate::hosts::part;

/// Who reads which stream, and the edge by which it is yielded, with its host.
type Way = ((Stream, Reader), (usize, EdgeId));

impl Bed {
    /// Whether an operator keeps positions, and so has no state.
    pub(crate) fn is_stateless(&self, operator: usize) -> bool {
        let deployment = (self.flow)().deployment();
        let OperatorPart::Here(part) = &deployment.operators[operator] else {
            unreachable!("flows have all their operators here");
        };
        part.numbering != Numbering::Own
    }

    /// An operator as it is where nothing of it is left.
    pub(crate) fn rebuilt(&self, operator: usize) -> OperatorPart {
        let mut deployment = (self.flow)().deployment();
        let OperatorPart::Here(part) = deployment.operators.swap_remove(operator) else {
            unreachable!("flows have all their operators here");
        };
        OperatorPart::Rebuilt(part)
    }

    /// A host has vanished. What ran there goes on at other hosts, that with a shadow from what the shadow holds.
    pub(crate) fn fail_over(&mut self, gone: usize, mut backups: Vec<StateLink>, spares: &[usize]) {
        let lost: Vec<usize> = (0..self.places.operators.len())
            .filter(|operator| self.places.operators[*operator] == gone)
            .collect();
        let mut anew = BTreeSet::new();
        for operator in lost {
            self.linger();
            let backup = backups.iter().position(|link| link.operator == operator);
            let (to, part) = match backup.map(|place| backups.swap_remove(place)) {
                Some(link) => {
                    let resumed = link.shadow.activate().expect("the shadow holds a state");
                    (link.to, OperatorPart::Resumed(Box::new(resumed)))
                }
                None => {
                    let spare = self.draws.below(spares.len() as u64);
                    (
                        spares[usize::try_from(spare).unwrap()],
                        self.rebuilt(operator),
                    )
                }
            };
            self.make_anew(operator, to, part, &anew, true);
            anew.insert(operator);
            for (stream, reader) in self.readers(operator) {
                if self.host_of_reader(reader) != gone {
                    self.linger();
                    self.turn(stream, reader);
                }
            }
        }
    }

    /// Deploys and starts an operator on a host. What feeds it has an edge for it already where that was made anew itself; else one is made
    /// beside that of the one before, which is closed then if it has vanished.
    pub(crate) fn make_anew(
        &mut self,
        operator: usize,
        to: usize,
        part_anew: OperatorPart,
        anew: &BTreeSet<usize>,
        closes: bool,
    ) {
        let inputs = self.plan.operators()[operator].inputs.clone();
        let mut ways: Vec<Way> = Vec::new();
        for (port, stream) in inputs.into_iter().enumerate() {
            let reader = Reader::Operator(operator, port);
            let way = match stream {
                Stream::Operator(index, _) if anew.contains(&index) => {
                    let host = self.host_of(stream);
                    (host, self.yielding_end(host, stream, reader))
                }
                _ => self.fork(stream, reader, closes),
            };
            ways.push(((stream, reader), way));
        }
        let mut deployment = part((self.flow)(), &self.nowhere(), to);
        deployment.operators[operator] = part_anew;
        self.deploy_anew(to, deployment, &ways);
        self.places.operators[operator] = to;
    }

    /// Deploys and starts a sink on a host, where the one before has vanished.
    pub(crate) fn sink_anew(&mut self, sink: usize, to: usize, anew: &BTreeSet<usize>) {
        let stream = self.plan.sinks()[sink].input;
        let reader = Reader::Sink(sink);
        let way = match stream {
            Stream::Operator(index, _) if anew.contains(&index) => {
                let host = self.host_of(stream);
                (host, self.yielding_end(host, stream, reader))
            }
            _ => self.fork(stream, reader, true),
        };
        let mut places = self.nowhere();
        places.sinks[sink] = to;
        let deployment = part((self.flow)(), &places, to);
        self.deploy_anew(to, deployment, &[((stream, reader), way)]);
        self.places.sinks[sink] = to;
    }

    fn deploy_anew(&mut self, to: usize, deployment: engine::Deployment, ways: &[Way]) {
        let now = self.hosts.now_at(to);
        let deployed = self.hosts.engines[to].deploy(now, deployment).unwrap();
        for end in &deployed.upstream {
            let way = ways
                .iter()
                .find(|(way, _)| *way == (end.stream, end.reader));
            let (_, (host, edge)) = way.unwrap();
            if *host == to {
                let provider = Provider::Here(*edge);
                self.hosts.engines[to]
                    .rebind(now, end.edge, provider)
                    .unwrap();
            } else {
                self.hosts.link((*host, *edge), (to, end.edge));
            }
        }
        self.hosts.engines[to].start(now, deployed.application);
        self.deployed[to].push(deployed);
    }

    /// Opens an edge for who comes after a reader, and closes that of the one before.
    fn fork(&mut self, stream: Stream, reader: Reader, closes: bool) -> (usize, EdgeId) {
        let host = self.host_of(stream);
        let old = self.yielding(host, stream, reader);
        let now = self.hosts.now_at(host);
        let fork = self.hosts.engines[host].fork_edge(now, old).unwrap();
        if closes {
            self.hosts.engines[host].close_edge(now, old);
        }
        (host, fork)
    }
}
