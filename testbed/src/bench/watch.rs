//! Following a process: samples of it at intervals until it ends.

use std::process::{Child, ExitStatus};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use model::Clock;
use node::clock::MachineClock;

use super::machine::Sample;

/// A process that is followed.
#[derive(Debug)]
pub struct Watch {
    process: u32,
    exit: Receiver<Result<ExitStatus, std::io::Error>>,
    interval: Duration,
}

impl Watch {
    /// Follows a process, looking at it at intervals.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn start(mut child: Child, interval: Duration) -> Result<Self, std::io::Error> {
        let process = child.id();
        let (sender, exit) = mpsc::sync_channel(1);
        thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                // Nobody may care any more how it ended.
                drop(sender.send(child.wait()));
            })?;
        Ok(Self {
            process,
            exit,
            interval,
        })
    }

    /// Shows samples to `visit` until the process ends.
    ///
    /// # Errors
    /// When it cannot be waited for, or ends other than well.
    pub fn until_end(&self, mut visit: impl FnMut(Sample)) -> anyhow::Result<()> {
        loop {
            if let Some(status) = self.look(self.interval, &mut visit)? {
                anyhow::ensure!(status.success(), "what was measured failed: {status}");
                return Ok(());
            }
        }
    }

    /// Shows samples to `visit` for a time.
    ///
    /// # Errors
    /// When the process ends before, or cannot be waited for.
    pub fn during(&self, duration: Duration, mut visit: impl FnMut(Sample)) -> anyhow::Result<()> {
        let clock = MachineClock::start();
        let until = clock.now() + duration;
        loop {
            let left = until.since(clock.now());
            if left.is_zero() {
                return Ok(());
            }
            if let Some(status) = self.look(self.interval.min(left), &mut visit)? {
                anyhow::bail!("what was measured ended too early: {status}");
            }
        }
    }

    /// Takes one sample after `wait`; gives how the process ended, if it did before.
    fn look(
        &self,
        wait: Duration,
        visit: &mut impl FnMut(Sample),
    ) -> Result<Option<ExitStatus>, std::io::Error> {
        match self.exit.recv_timeout(wait) {
            Ok(status) => status.map(Some),
            Err(RecvTimeoutError::Timeout) => {
                // A process that has just ended has nothing to show.
                if let Some(sample) = Sample::of(self.process) {
                    visit(sample);
                }
                Ok(None)
            }
            Err(RecvTimeoutError::Disconnected) => {
                unreachable!("the thread sends before it ends, and once")
            }
        }
    }
}
