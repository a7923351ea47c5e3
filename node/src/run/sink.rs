//! The thread of a sink: takes results, writes them, and says that they have left.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use engine::Batch;
use engine::runtime::Handle;
use model::{ComponentId, convert};

use super::lease::Lease;
use super::{End, News};
use crate::connector::Sink;

mod journal;

pub(crate) use journal::{Journal, journal_name};

/// How many rows may still leave, over all sinks.
#[derive(Debug)]
pub struct Limit {
    left: AtomicU64,
}

impl Limit {
    /// So many.
    pub const fn new(rows: u64) -> Self {
        Self {
            left: AtomicU64::new(rows),
        }
    }

    /// Takes up to `rows` of what may still leave; says how many, and whether they are the last.
    fn take(&self, rows: usize) -> (usize, bool) {
        let rows = convert::size(rows);
        let take = |left: u64| Some(left.saturating_sub(rows));
        let before = self
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .expect("the update is always made");
        (convert::index(before.min(rows)), before <= rows)
    }
}

/// What the thread of a sink works with.
#[derive(Debug)]
pub(crate) struct Thread {
    pub(crate) handle: Handle,
    pub(crate) application: u64,
    pub(crate) id: ComponentId,
    pub(crate) sink: Box<dyn Sink>,
    /// Where it notes what it has written, if that is kept.
    pub(crate) journal: Option<Journal>,
    /// How many rows may still leave, where this sink counts.
    pub(crate) limit: Option<Arc<Limit>>,
    /// Who hears that as many rows have left as were asked for, or that nobody reads them.
    pub(crate) ends: Option<SyncSender<News>>,
    /// By what it writes, where others may go on in its place.
    pub(crate) lease: Option<Arc<Lease>>,
}

impl Thread {
    pub(crate) fn run(mut self) {
        self.take_all();
        if let Some(journal) = &self.journal
            && !self.handle.is_stopping()
        {
            journal.forget();
        }
    }

    /// Takes results until nobody is to write them any more.
    fn take_all(&mut self) {
        while let Ok((channel, mut batch)) = self.handle.receive(self.application, self.id) {
            let mut end = None;
            let has_waited = self.lease.as_ref().is_some_and(|lease| lease.wait());
            if has_waited && !self.handle.is_running(self.id) {
                // It goes on elsewhere.
                return;
            }
            if !batch.rows.is_empty() {
                let (rows, are_last) = match self.limit.as_ref() {
                    Some(limit) => limit.take(batch.rows.len()),
                    None => (batch.rows.len(), false),
                };
                if rows < batch.rows.len() {
                    let rows = batch.rows.slice(0, rows);
                    batch = Arc::new(Batch {
                        header: batch.header.clone(),
                        rows,
                    });
                }
                match self.sink.write(batch.rows.columns()) {
                    Ok(()) => end = are_last.then_some(End::Limit),
                    Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                        end = Some(End::NobodyReads);
                    }
                    Err(error) => {
                        self.handle
                            .fail(self.id, &format!("results cannot be written: {error}"));
                        return;
                    }
                }
            }
            if end != Some(End::NobodyReads) {
                let (origin, through) = (batch.header.origin, batch.header.interval.through());
                self.journal
                    .take_if(|journal| !journal.note(origin, through, &*self.sink));
                self.handle.acknowledge(self.id, channel, &batch);
            }
            if let Some(end) = end {
                if let Some(ends) = &self.ends {
                    // Nobody hears it only where the run has ended.
                    drop(ends.send(News::End(end)));
                }
                return;
            }
        }
    }
}
