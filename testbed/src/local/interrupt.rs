//! The wish to stop, as people express it: a key at the terminal, or a signal.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether this process was told to stop.
#[derive(Debug, Clone, Default)]
pub struct Interrupt {
    is_told: Arc<AtomicBool>,
}

impl Interrupt {
    /// From now on signals to stop are heard here, and end what is under way in order.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn by_signals() -> Result<Self, io::Error> {
        let interrupt = Self::default();
        for signal in [SIGHUP, SIGINT, SIGTERM] {
            signal_hook::flag::register(signal, Arc::clone(&interrupt.is_told))?;
        }
        Ok(interrupt)
    }

    /// Fails when this process was told to stop.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self) -> anyhow::Result<()> {
        anyhow::ensure!(!self.is_told.load(Ordering::Relaxed), "told to stop");
        Ok(())
    }
}
