//! Sources that begin in the middle, and sources that are read again from before where they are.
//!
//! What reads a source asks for positions and nothing else. A source that was read before, by another process, begins where it is asked
//! to go on; one that is asked for what was released goes back.

use model::{ComponentId, Instant};

use super::{Component, Engine, Role};
use crate::batch::Header;
use crate::edge::{Asked, Mark};

impl Engine {
    /// From now on a source may be asked to go back: see [`Engine::goes_back`].
    pub fn set_again(&mut self, source: ComponentId) {
        if let Some(component) = self.components.get_mut(&source) {
            for output in &mut component.outputs {
                output.producer.set_again();
            }
        }
    }

    /// The index behind which a source is to be read again, where somebody asks for what is no longer retained. Until it says by
    /// [`Engine::read_again`] where it goes on, what it offers is not taken.
    pub fn goes_back(&self, source: ComponentId) -> Option<u64> {
        self.components.get(&source)?.goes_back()
    }

    /// From where those who have pulled a source want it.
    pub fn asked(&self, source: ComponentId) -> Asked {
        let Some(component) = self.components.get(&source) else {
            return Asked::default();
        };
        let outputs = component.read_outputs();
        let asked = outputs.map(|(_, output)| output.producer.asked(component.origin));
        asked.fold(Asked::default(), Asked::with)
    }

    /// The last index of a source that nobody will ask for again, as far as is known.
    pub fn kept(&self, source: ComponentId) -> Option<u64> {
        let component = self.components.get(&source)?;
        let outputs = component.read_outputs();
        let kept = outputs.map(|(_, output)| output.producer.kept(component.origin));
        kept.min().flatten()
    }

    /// A source goes on behind `mark`, which may lie before what it gave; nobody is sent again what he was sent. Who takes whatever
    /// comes next begins behind `latest`.
    pub fn read_again(&mut self, source: ComponentId, mark: Mark, latest: u64) {
        let Some(component) = self.components.get_mut(&source) else {
            return;
        };
        let (origin, wanted) = (component.origin, component.wanted());
        for (port, output) in (0..).zip(&mut component.outputs) {
            if wanted.contains(port) {
                output.producer.read_again(origin, mark, latest);
            }
        }
        component.enter_retained(&mut self.ledger);
        self.signals.name_source(source);
    }

    /// A source cannot go back after all: who asked for what lies before what is retained is told that it is missing.
    pub fn end_again(&mut self, now: Instant, source: ComponentId) {
        let mut sends = std::mem::take(&mut self.sends);
        if let Some(component) = self.components.get_mut(&source) {
            for output in &mut component.outputs {
                output.producer.end_again(&mut sends);
            }
        }
        self.deliver(now, sends);
    }
}

impl Component {
    /// See [`Engine::goes_back`].
    pub(super) fn goes_back(&self) -> Option<u64> {
        let outputs = self.outputs.iter();
        outputs.filter_map(|it| it.producer.goes_back()).min()
    }

    /// Notes how far a source is with what has this header; says whether that was never read before.
    pub(super) fn reaches(&mut self, header: &Header) -> bool {
        let Role::Source(source) = &mut self.role else {
            return false;
        };
        source.progress = source.progress.max(header.progress);
        let interval = header.interval;
        let is_new = interval.is_empty() || interval.through() > source.through;
        source.through = interval.through().max(source.through);
        is_new
    }
}
