//! The thread of a sink: takes results, writes them, and says that they have left.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;

use arrow_array::RecordBatch;
use engine::runtime::Handle;
use model::{ComponentId, convert};

use super::{End, News};
use crate::connector::Sink;

/// How many rows may still leave, over all sinks.
#[derive(Debug)]
pub(super) struct Limit {
    left: AtomicU64,
}

impl Limit {
    pub(super) fn new(rows: Option<u64>) -> Self {
        Self {
            left: AtomicU64::new(rows.unwrap_or(u64::MAX)),
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
pub(super) struct Thread {
    pub(super) handle: Handle,
    pub(super) application: u64,
    pub(super) id: ComponentId,
    pub(super) sink: Box<dyn Sink>,
    pub(super) limit: Arc<Limit>,
    pub(super) ends: SyncSender<News>,
}

impl Thread {
    pub(super) fn run(mut self) {
        while let Ok((channel, batch)) = self.handle.receive(self.application, self.id) {
            if !batch.rows.is_empty() {
                let end = self.write(batch.rows.columns());
                if let Some(end) = end {
                    // A full channel holds an end already.
                    drop(self.ends.try_send(News::End(end)));
                    return;
                }
            }
            self.handle.acknowledge(self.id, channel, &batch);
        }
    }

    /// Writes rows; gives what ends the run, if that does.
    fn write(&mut self, columns: &RecordBatch) -> Option<End> {
        let (rows, are_last) = self.limit.take(columns.num_rows());
        match self.sink.write(&columns.slice(0, rows)) {
            Ok(()) => are_last.then_some(End::Limit),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Some(End::NobodyReads),
            Err(error) => {
                self.handle
                    .fail(self.id, &format!("results cannot be written: {error}"));
                None
            }
        }
    }
}
