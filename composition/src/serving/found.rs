//! What runs here, found by what it yields and by who depends on it.

use model::{CompositionId, StreamName};

use super::component::Component;
use super::{FIRST, MadeOf, Name, Serving, Shared};

impl Serving {
    /// What runs here and yields a stream, made of this.
    pub(crate) fn find(&self, stream: StreamName, made_of: &MadeOf) -> Option<Name> {
        let mut yielding = self.yielding(stream);
        yielding
            .find(|(_, component)| component.made_of == *made_of)
            .map(|(name, _)| *name)
    }

    /// What another has here that yields what is to be shared: what it is made of, which may be on other hosts by now.
    pub(crate) fn provider(&self, id: CompositionId, shared: &Shared) -> Option<MadeOf> {
        let others = self.yielding(shared.stream);
        let mut others = others
            .filter(|(name, _)| name.1 != id)
            .map(|it| &it.1.made_of);
        let exact = others.clone().find(|it| **it == shared.made_of);
        exact.or_else(|| others.next()).cloned()
    }

    /// Whether an application depends on a component that is here.
    pub(crate) fn uses(&self, id: CompositionId, name: Name) -> bool {
        let user = self.users.get(&id);
        user.is_some_and(|user| user.uses.contains(&name)) && self.components.contains_key(&name)
    }

    /// Whether something runs here that yields a stream.
    pub(crate) fn has(&self, stream: StreamName) -> bool {
        self.yielding(stream).next().is_some()
    }

    fn yielding(&self, stream: StreamName) -> impl Iterator<Item = (&Name, &Component)> + Clone {
        let range = self.components.range((stream, FIRST, 0)..);
        let yielding = range.take_while(move |(name, _)| name.0 == stream);
        yielding.map(|(name, component)| (name, &**component))
    }
}
