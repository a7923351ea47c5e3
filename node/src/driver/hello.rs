//! What a data stream is for: the first thing that is said on it.

use model::plan::{Reader, Stream};
use model::{CompositionId, StreamName};

/// What a data stream is for.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub(super) enum Hello {
    /// A part of an application pulls what another part yields.
    Edge {
        /// Of which composition.
        composition: CompositionId,
        /// What is pulled.
        stream: Stream,
        /// Who pulls.
        reader: Reader,
    },
    /// Somebody who may go on in its place pulls the state of an operator.
    State {
        /// Of which composition.
        composition: CompositionId,
        /// Its place in the plan.
        operator: u16,
    },
    /// Somebody looks at a stream.
    Tap {
        /// Of which composition; of a published stream, none.
        composition: Option<CompositionId>,
        /// Which one.
        stream: StreamName,
    },
}
