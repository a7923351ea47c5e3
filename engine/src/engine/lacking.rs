//! What shadows lack, and what is kept for them upstream: a shadow elsewhere, or on this host's own disk.

use model::{ComponentId, EdgeId, Instant, Positions};

use super::{Component, DeployError, Engine};
use crate::mailbox::Channel;

/// What is kept upstream for a shadow: what its state does not have.
#[derive(Debug)]
pub(crate) struct Lacking {
    edge: EdgeId,
    taken: Vec<Positions>,
    /// Whether somebody elsewhere holds it, who has yet to say that the component goes on there.
    is_elsewhere: bool,
}

impl Engine {
    /// Opens an edge by which the state of an operator goes to this host's own disk. The component stays no longer for that.
    ///
    /// # Errors
    /// As of [`Engine::open_state`].
    pub fn open_own_state(
        &mut self,
        now: Instant,
        component: ComponentId,
    ) -> Result<EdgeId, DeployError> {
        let edge = self.open_state(now, component)?;
        let mut shadows = self.component_mut(component).shadows.iter_mut();
        if let Some(shadow) = shadows.find(|shadow| shadow.edge == edge) {
            shadow.is_elsewhere = false;
        }
        Ok(edge)
    }
}

impl Component {
    /// What of a channel need not be asked for again, when everything up to `taken` was worked off: nothing that who reads it keeps,
    /// and nothing that a shadow lacks.
    pub(crate) fn kept(&self, channel: Channel, taken: u64) -> u64 {
        let held = self.shadows.iter().map(|shadow| shadow.has(channel));
        let kept = self.kept_by_readers(channel, taken);
        held.min().map_or(kept, |held| kept.min(held))
    }
}

impl Lacking {
    /// A shadow has this, by an edge.
    pub(super) const fn new(edge: EdgeId, taken: Vec<Positions>) -> Self {
        Self {
            edge,
            taken,
            is_elsewhere: true,
        }
    }

    /// The edge by which the shadow pulls.
    pub(super) const fn edge(&self) -> EdgeId {
        self.edge
    }

    /// A shadow has this now.
    pub(super) fn set_taken(&mut self, taken: Vec<Positions>) {
        self.taken = taken;
    }

    /// Whether the component stays for it.
    pub(super) const fn is_elsewhere(&self) -> bool {
        self.is_elsewhere
    }

    /// Up to where a shadow has a way in.
    pub(crate) fn has(&self, channel: Channel) -> u64 {
        let port = self.taken.get(usize::from(channel.port));
        port.and_then(|positions| positions.through(channel.origin))
            .unwrap_or(0)
    }
}
