//! What follows from a plan alone, wherever its parts run: ways in, depths, and who waits for whom.

use std::collections::BTreeSet;

use model::plan::Stream;
use model::{Origin, QueryPlan};

use super::{DeployError, Deployment, OperatorPart};
use crate::mailbox::Channel;
use crate::operator::{self, Numbering};
use crate::step;

/// The shape of a plan.
#[derive(Debug)]
pub(super) struct Shape {
    /// Who numbers the records of each source.
    sources: Vec<Origin>,
    /// How each operator numbers, and as which origin.
    numberings: Vec<(Numbering, Origin)>,
    /// The ways into each operator.
    pub(super) channels: Vec<Vec<Channel>>,
    /// How many parts lie before each operator on the longest way.
    pub(super) depths: Vec<u32>,
    /// For each source the group of those that it meets at stateful operators: they wait for one another.
    pub(super) groups: Vec<usize>,
}

/// The shape of a plan of which some parts are here.
///
/// # Errors
/// When an operator that is not here is of an unknown kind.
pub(super) fn shape(deployment: &Deployment) -> Result<Shape, DeployError> {
    let plan = &deployment.plan;
    let mut shape = Shape {
        sources: deployment.origins.clone(),
        numberings: Vec::new(),
        channels: Vec::new(),
        depths: Vec::new(),
        groups: Vec::new(),
    };
    for (index, operator) in plan.operators().iter().enumerate() {
        let numbering = match &deployment.operators[index] {
            OperatorPart::Here(part) | OperatorPart::Rebuilt(part) => part.numbering,
            OperatorPart::Resumed(resumed) => resumed.part.numbering,
            OperatorPart::Elsewhere
            | OperatorPart::RunningElsewhere
            | OperatorPart::Running(_)
            | OperatorPart::Followed(_) => {
                let kind = operator::find(&operator.kind);
                let unknown = || DeployError::UnknownKind(operator.kind.clone());
                kind.ok_or_else(unknown)?.numbering
            }
        };
        let depths = operator
            .inputs
            .iter()
            .map(|input| shape.depth_behind(*input));
        let depth = depths.max().unwrap_or(0);
        let channels = shape.channels_of(&operator.inputs);
        shape.depths.push(depth);
        shape.channels.push(channels);
        shape.numberings.push((numbering, origin_of(plan, index)));
    }
    shape.groups = groups(plan, &shape.numberings);
    Ok(shape)
}

/// As which origin an operator numbers rows, where it does.
pub(super) fn origin_of(plan: &QueryPlan, operator: usize) -> Origin {
    Origin::of_component(plan.stream_name(Stream::Operator(operator, 0)))
}

impl Shape {
    /// The ways into a part that reads these streams.
    pub(super) fn channels_of(&self, inputs: &[Stream]) -> Vec<Channel> {
        let ports = (0..).zip(inputs).flat_map(|(port, input)| {
            let origins = match *input {
                Stream::Source(index, _) => vec![self.sources[index]],
                Stream::Operator(index, output) => {
                    let (numbering, origin) = self.numberings[index];
                    step::origins(numbering, origin, &self.channels[index], output)
                }
            };
            origins
                .into_iter()
                .map(move |origin| Channel { port, origin })
        });
        ports.collect()
    }

    /// How many parts lie before whoever reads a stream, on the longest way to it.
    pub(super) fn depth_behind(&self, stream: Stream) -> u32 {
        match stream {
            Stream::Source(..) => 1,
            Stream::Operator(index, _) => self.depths[index] + 1,
        }
    }
}

fn groups(plan: &QueryPlan, numberings: &[(Numbering, Origin)]) -> Vec<usize> {
    let mut groups: Vec<usize> = (0..plan.sources().len()).collect();
    // The sources that lie before each operator.
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for (operator, (numbering, _)) in plan.operators().iter().zip(numberings) {
        let mut sources = BTreeSet::new();
        for input in &operator.inputs {
            match input {
                Stream::Source(source, _) => {
                    sources.insert(*source);
                }
                Stream::Operator(index, _) => sources.extend(before[*index].iter().copied()),
            }
        }
        if *numbering == Numbering::Own {
            let met: BTreeSet<usize> = sources.iter().map(|source| groups[*source]).collect();
            if let Some(first) = met.first() {
                groups
                    .iter_mut()
                    .filter(|group| met.contains(group))
                    .for_each(|group| *group = *first);
            }
        }
        before.push(sources);
    }
    groups
}
