//! The composer: one node's part of composition.

use model::{CompositionId, Instant, NodeId, NodeView, Rng};

use crate::effect::Effect;
use crate::order::Order;

/// What a composer is told at its start.
#[derive(Debug, Clone)]
pub struct Config {}

/// What composers of two nodes say to each other.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub enum Message {
    /// Replaced by those that are needed.
    Nothing,
}

/// What happens to a composer.
#[derive(Debug, Clone, PartialEq)]
pub enum Input {
    /// This node is asked for an application.
    Compose {
        /// Which answer belongs to it. Its node is this one.
        id: CompositionId,
        /// What is asked for.
        order: Order,
    },
    /// A peer said something.
    Message {
        /// Who.
        from: NodeId,
        /// What.
        message: Message,
    },
    /// A peer cannot be reached.
    Unreachable(NodeId),
    /// What [`Effect::Deploy`] asked for is there.
    Deployed(CompositionId),
    /// What [`Effect::Deploy`] asked for could not be made; nothing of it is there.
    DeployFailed {
        /// For which composition.
        id: CompositionId,
        /// Why.
        reason: String,
    },
    /// The components that this node ran for a composition are gone: what they took is free.
    Retired(CompositionId),
    /// The time of [`Composer::poll_timeout`] has come.
    Timeout,
}

/// One node's part of composition.
#[derive(Debug)]
pub struct Composer {
    config: Config,
    rng: Rng,
}

impl Composer {
    /// A composer that has reserved nothing.
    pub const fn new(config: Config, rng: Rng) -> Self {
        Self { config, rng }
    }

    /// Takes what happened, and says what is to be done.
    pub fn handle_input(
        &mut self,
        now: Instant,
        view: &NodeView,
        input: Input,
        out: &mut Vec<Effect>,
    ) {
        let _ = (now, view, input, out, &self.config, &mut self.rng);
    }

    /// When [`Input::Timeout`] is wanted.
    pub const fn poll_timeout(&self) -> Option<Instant> {
        None
    }
}
