//! The order in which components stand behind one another.

use std::collections::BTreeSet;

use model::{ComponentId, EdgeId};

use super::{Component, Engine};

impl Engine {
    /// All components, whoever reads behind what it reads. Those of one deployment have their numbers in that order; one that came
    /// here later in the place of another has readers before it.
    pub(super) fn from_upstream_on(&self) -> Vec<ComponentId> {
        let mut seen: BTreeSet<ComponentId> = BTreeSet::new();
        let mut behind: Vec<ComponentId> = Vec::with_capacity(self.components.len());
        let mut way: Vec<(ComponentId, Vec<ComponentId>)> = Vec::new();
        let mut ids: Vec<ComponentId> = self.components.keys().copied().collect();
        while let Some(id) = ids.pop() {
            if seen.insert(id) {
                way.push((id, self.readers_of(id)));
            }
            while let Some((id, readers)) = way.last_mut() {
                match readers.pop() {
                    Some(reader) if seen.insert(reader) => {
                        let readers = self.readers_of(reader);
                        way.push((reader, readers));
                    }
                    Some(_) => {}
                    None => {
                        behind.push(*id);
                        way.pop();
                    }
                }
            }
        }
        behind.reverse();
        behind
    }

    /// The components here that read one.
    fn readers_of(&self, id: ComponentId) -> Vec<ComponentId> {
        let edges = |component: &Component| -> Vec<EdgeId> {
            let outputs = component.outputs.iter();
            outputs
                .flat_map(|output| output.readers.iter().copied())
                .collect()
        };
        let edges = self.components.get(&id).map(edges).unwrap_or_default();
        let reader = |edge: EdgeId| Some(self.edges.get(&edge)?.inbound()?.component);
        edges.into_iter().filter_map(reader).collect()
    }
}
