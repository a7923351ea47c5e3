//! What the thread of a source needs that begins in the middle, or goes back.

use model::ComponentId;

use super::{Ended, Handle};
use crate::edge::{Asked, Mark};

/// What a source is to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// It may offer more.
    Offer,
    /// Somebody asks for what lies behind this index, and is no longer retained.
    Back(u64),
}

impl Handle {
    /// Waits until a source may offer more, or is to go back.
    ///
    /// # Errors
    /// When the application has ended or the runtime is stopping.
    pub fn wait_for_turn(&self, application: u64, source: ComponentId) -> Result<Turn, Ended> {
        self.wait_at_source(application, source, |engine| {
            let back = engine.goes_back(source).map(Turn::Back);
            back.or_else(|| engine.has_room(source).then_some(Turn::Offer))
        })
    }

    /// Waits until a source is to go back, and says behind which index.
    ///
    /// # Errors
    /// When the application has ended or the runtime is stopping.
    pub fn wait_to_go_back(&self, application: u64, source: ComponentId) -> Result<u64, Ended> {
        self.wait_at_source(application, source, |engine| engine.goes_back(source))
    }

    /// Whether the runtime is stopping, rather than an application having ended.
    pub fn is_stopping(&self) -> bool {
        self.shared.lock().is_stopping
    }

    /// See [`Engine::goes_back`](crate::Engine::goes_back).
    pub fn goes_back(&self, source: ComponentId) -> Option<u64> {
        self.shared.lock().engine.goes_back(source)
    }

    /// See [`Engine::set_again`](crate::Engine::set_again).
    pub fn set_again(&self, source: ComponentId) {
        self.change(|engine, _| engine.set_again(source));
    }

    /// See [`Engine::asked`](crate::Engine::asked).
    pub fn asked(&self, source: ComponentId) -> Asked {
        self.shared.lock().engine.asked(source)
    }

    /// See [`Engine::kept`](crate::Engine::kept).
    pub fn kept(&self, source: ComponentId) -> Option<u64> {
        self.shared.lock().engine.kept(source)
    }

    /// See [`Engine::read_again`](crate::Engine::read_again).
    pub fn read_again(&self, source: ComponentId, mark: Mark, latest: u64) {
        self.change(|engine, _| engine.read_again(source, mark, latest));
    }

    /// See [`Engine::end_again`](crate::Engine::end_again).
    pub fn end_again(&self, source: ComponentId) {
        self.change(|engine, now| engine.end_again(now, source));
    }
}
