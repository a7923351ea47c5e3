//! What a host says of an operator that runs there, so that others may read what it yields.

use std::collections::BTreeMap;
use std::time::Duration;

use model::plan::{OPERATORS_MAX, Stream};
use model::{CompositionId, NodeId, Origin, QueryPlan, StreamName};

use crate::request::TARGET_MAX;

/// An operator that runs, under the name of its first stream: what an entry of the overlay carries.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub struct StreamRecord {
    /// Its first stream.
    pub stream: StreamName,
    /// Who made it.
    pub composition: CompositionId,
    /// What people call the application that it was made for.
    pub application: String,
    /// What they call the operator there.
    pub operator: String,
    /// How old what it yields is: what execution and ways need, not what the scheduler lets it wait.
    pub age: Duration,
    /// All that it is made of, itself included: the first stream of each source and operator, and where that is.
    pub parts: Vec<(StreamName, NodeId)>,
    /// Who numbers the records of the sources that it is made of, by their first streams.
    pub origins: Vec<(StreamName, Origin)>,
}

impl<Context> bincode::Decode<Context> for StreamRecord {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, bincode::error::DecodeError> {
        let record = Self {
            stream: bincode::Decode::decode(decoder)?,
            composition: bincode::Decode::decode(decoder)?,
            application: bincode::Decode::decode(decoder)?,
            operator: bincode::Decode::decode(decoder)?,
            age: bincode::Decode::decode(decoder)?,
            parts: bincode::Decode::decode(decoder)?,
            origins: bincode::Decode::decode(decoder)?,
        };
        let is_sound = record.age <= TARGET_MAX
            && record.parts.len() <= 2 * OPERATORS_MAX
            && record.origins.len() <= OPERATORS_MAX
            && model::name::is_valid(&record.application)
            && model::name::is_valid(&record.operator);
        if is_sound {
            Ok(record)
        } else {
            Err(bincode::error::DecodeError::Other("a stream of nothing"))
        }
    }
}
bincode::impl_borrow_decode!(StreamRecord);

/// A part of a plan that comes before an operator, or the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Before {
    Source(usize),
    Operator(usize),
}

impl Before {
    /// The part's first stream.
    pub(crate) fn stream(self, plan: &QueryPlan) -> StreamName {
        plan.stream_name(match self {
            Self::Source(index) => Stream::Source(index, 0),
            Self::Operator(index) => Stream::Operator(index, 0),
        })
    }
}

/// All that an operator of a plan is made of, itself included, each part once.
pub(crate) fn made_of(plan: &QueryPlan, operator: usize) -> Vec<Before> {
    let mut parts = Vec::new();
    let mut next = vec![Before::Operator(operator)];
    while let Some(part) = next.pop() {
        if parts.contains(&part) {
            continue;
        }
        parts.push(part);
        if let Before::Operator(index) = part {
            let inputs = plan.operators()[index].inputs.iter();
            next.extend(inputs.map(|input| match *input {
                Stream::Source(index, _) => Before::Source(index),
                Stream::Operator(index, _) => Before::Operator(index),
            }));
        }
    }
    parts.sort_unstable();
    parts
}

/// Where each part is that an operator is made of, if the record says it of all of them as this plan has them.
pub(crate) fn placed(
    plan: &QueryPlan,
    origins: &[Origin],
    operator: usize,
    record: &StreamRecord,
) -> Option<BTreeMap<Before, NodeId>> {
    let places: BTreeMap<StreamName, NodeId> = record.parts.iter().copied().collect();
    let numbered: BTreeMap<StreamName, Origin> = record.origins.iter().copied().collect();
    let parts = made_of(plan, operator).into_iter();
    parts
        .map(|part| {
            let stream = part.stream(plan);
            if let Before::Source(index) = part
                && numbered.get(&stream) != origins.get(index)
            {
                return None;
            }
            Some((part, *places.get(&stream)?))
        })
        .collect()
}
