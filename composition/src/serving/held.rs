//! What components hold: each by itself, from when it is ordered until it runs no more, whoever reads it.

use std::collections::BTreeSet;

use model::{CompositionId, Resources};

use super::{Newcomer, Serving, component};

impl Serving {
    /// Of a composition's own components these are here, those that its graph wants here may not have come yet, and these are coming.
    pub(crate) fn keep(
        &mut self,
        id: CompositionId,
        here: &BTreeSet<u16>,
        wanted: &BTreeSet<u16>,
        coming: &BTreeSet<u16>,
    ) {
        self.components.retain(|(_, owner, operator), component| {
            if *owner != id {
                return true;
            }
            component.was_here |= here.contains(operator);
            let is_awaited = wanted.contains(operator) && !component.was_here;
            here.contains(operator) || coming.contains(operator) || is_awaited
        });
    }

    /// What all that runs here takes.
    pub(crate) fn takes(&self) -> Resources {
        let all = self.components.values().map(|it| it.takes());
        all.fold(Resources::default(), |sum, it| sum + it)
    }

    /// What somebody takes who comes, beside what is here already.
    pub(crate) fn takes_more(&self, id: CompositionId, newcomer: &Newcomer) -> Resources {
        let own = newcomer.own.iter();
        let more = own.filter(|(stream, operator, ..)| {
            !self.components.contains_key(&(*stream, id, *operator))
        });
        more.fold(Resources::default(), |sum, (_, _, job, _)| {
            sum + component::takes(job)
        })
    }

    /// What the components that an application has here for its own were admitted with. Unit: cores.
    pub(crate) fn cores(&self, id: CompositionId) -> f64 {
        let own = self.components.iter().filter(|(name, _)| name.1 == id);
        own.fold(0.0, |sum, (_, component)| sum + component.takes().cpu_cores)
    }
}
