//! How a node leaves: it gives away what it runs, within bounds, then others are told that it goes, and everything ends.

use std::future::pending;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::control::Control;
use crate::node::{Answer, Answered, Command};

/// A node that gives away what it runs before it leaves.
#[derive(Debug)]
pub(super) struct Draining {
    /// Who hears when it has left.
    told: oneshot::Sender<()>,
    drained: oneshot::Receiver<Answered>,
    until: Instant,
}

/// Waits until what can be given away has been, or the time for it is over: then nothing is known. For ever where nobody wants that.
pub(super) async fn drained(draining: &mut Option<Draining>) -> Option<Answered> {
    match draining {
        Some(draining) => {
            let drained = timeout_at(draining.until, &mut draining.drained).await;
            drained.ok().and_then(Result::ok)
        }
        None => pending().await,
    }
}

impl Control {
    /// Somebody wants the node to leave: it gives away what it runs, unless it is to leave at once, or is told for the second time.
    pub(super) fn stop(&mut self, told: oneshot::Sender<()>) {
        let limit = self.config.drain;
        if limit.is_zero() || self.parts.is_empty() || self.draining.is_some() {
            self.is_leaving = Some(told);
            return;
        }
        tracing::info!("gives away what it runs before it leaves, for {limit:?} at most");
        let (answer, drained) = oneshot::channel();
        self.draining = Some(Draining {
            told,
            drained,
            until: Instant::now() + limit,
        });
        self.command(Command::Drain(None), answer);
    }

    /// What could be given away has been, or the time for it is over.
    pub(super) fn on_drained(&mut self, drained: Option<Answered>) {
        match drained {
            Some(Ok(Answer::Drained(drained))) => {
                let moved = drained.moved.len();
                tracing::info!(
                    "{moved} components went elsewhere, {} are left",
                    drained.left
                );
                for it in &drained.stayed {
                    let (application, operator) = (&it.application, &it.operator);
                    tracing::warn!("{application}/{operator} ends here: {}", it.reason);
                }
            }
            Some(Ok(_)) => {}
            Some(Err(failure)) => tracing::warn!("gives nothing away: {}", failure.message),
            None => tracing::warn!("not all that runs here has gone elsewhere in time"),
        }
        if let Some(draining) = self.draining.take() {
            self.is_leaving = Some(draining.told);
        }
    }

    /// Leaves in order: what others hold of this node is withdrawn, then everything ends.
    pub(super) async fn leave(mut self) {
        if let Some(store) = &self.config.store {
            // What ends here goes on when this host is there again.
            store.seal();
        }
        for (_, part) in std::mem::take(&mut self.parts) {
            part.retire(&self.means.engine);
        }
        self.network.leave().await;
        self.means.engine.stop();
        let told = self.draining.take().map(|draining| draining.told);
        for told in self.is_leaving.take().into_iter().chain(told) {
            // Who asked may be gone.
            let _ = told.send(());
        }
    }
}
