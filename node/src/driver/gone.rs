//! Streams that are no longer to be had where they were read: who loses what, and what is done about it.

use engine::RemoteEdge;
use model::plan::{Reader, Stream};
use model::{CompositionId, NodeId};

use super::control::Control;
use super::parts::Part;
use crate::node::{Input, PartEvent};

/// What is no longer to be had.
#[derive(Debug)]
struct Lost {
    /// The stream, as the plan calls it.
    stream: String,
    /// Who had it.
    host: NodeId,
    /// Which part read it.
    reader: String,
}

impl Control {
    /// What a part reads has gone, or has been replaced: so it has for all that share the part.
    pub(super) fn on_gone(
        &mut self,
        id: CompositionId,
        (stream, reader): (Stream, Reader),
        is_gone: bool,
    ) {
        let Some(part) = self.parts.get(&id) else {
            return;
        };
        let parts = self.parts.iter();
        let losing = parts.filter_map(|(id, it)| Some((*id, it.loses(part, stream, reader)?)));
        let losing: Vec<(CompositionId, Lost)> = losing.collect();
        for (id, lost) in losing {
            let (component, stream) = (lost.reader, lost.stream);
            let event = match is_gone {
                true => PartEvent::Gone {
                    component,
                    stream,
                    host: lost.host,
                },
                false => PartEvent::Replaced { component, stream },
            };
            self.handle(Input::Happened { id, event });
        }
    }

    /// A reader here was told that a stream has gone: what it read may have been an instance that was left behind, opened before its host knew of the
    /// graph that holds. It is turned to the one that the graph says as soon as that is open, if it ever is.
    pub(super) fn read_again(
        &mut self,
        id: CompositionId,
        number: u64,
        (stream, reader): (Stream, Reader),
    ) {
        let here = self.network.node();
        let Some(part) = self.parts.get_mut(&id).filter(|part| !part.is_released) else {
            return;
        };
        let (from, to) = (part.graph.producer(stream), part.graph.reader(reader));
        if from.host == here || to.host != here || to.shared {
            return;
        }
        let edge = self.means.engine.reading_edge(number, stream, reader);
        if let Some(edge) = edge {
            let edge = RemoteEdge {
                edge,
                stream,
                reader,
            };
            part.pull(&self.means, id, (edge, from.host), true);
        }
    }
}

impl Part {
    /// What this application loses where another, perhaps itself, loses what a part of it reads: who reads may be
    /// shared.
    fn loses(&self, other: &Self, stream: Stream, reader: Reader) -> Option<Lost> {
        if std::ptr::eq(self, other) {
            return Some(self.lost(stream, reader));
        }
        let Reader::Operator(index, port) = reader else {
            return None;
        };
        let component = other.operators[index]?;
        let mut operators = self.operators.iter();
        let index = operators.position(|it| *it == Some(component))?;
        let stream = self.graph.plan().operators()[index].inputs.get(port)?;
        Some(self.lost(*stream, Reader::Operator(index, port)))
    }

    /// What a reader of this application reads, and who has it, as people call them.
    fn lost(&self, stream: Stream, reader: Reader) -> Lost {
        let plan = self.graph.plan();
        let (name, outputs, port) = match stream {
            Stream::Source(index, port) => {
                let source = &plan.sources()[index];
                (&source.name, &source.outputs, port)
            }
            Stream::Operator(index, port) => {
                let operator = &plan.operators()[index];
                (&operator.name, &operator.outputs, port)
            }
        };
        let port = match port {
            0 => String::new(),
            port => format!(".{}", outputs[usize::from(port)].0),
        };
        Lost {
            stream: format!("{name}{port}"),
            host: self.graph.producer(stream).host,
            reader: match reader {
                Reader::Operator(index, _) => plan.operators()[index].name.clone(),
                Reader::Sink(index) => plan.sinks()[index].name.clone(),
            },
        }
    }
}
