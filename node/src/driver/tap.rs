//! Taps: somebody looks at a stream as it goes by. A tap holds nobody back, and says what it did not get.

use std::future::poll_fn;
use std::sync::Arc;

use arrow_schema::SchemaRef;
use engine::edge::{Arrival, Consumer, Pull};
use engine::frame;
use engine::runtime::Handle;
use engine::{Batch, Note};
use model::{Clock, EdgeId, EventTime, convert};
use overlay::net::{FrameReceiver, FrameSender};
use tokio::sync::mpsc;

use crate::api::Tapped;
use crate::clock::MachineClock;
use crate::connector::Text;

/// How many bytes of rows may be on their way to a tap. Unit: bytes. Source: guess; some full batches.
const CREDIT: u64 = 1 << 20;

/// How many pieces may wait for whoever reads a tap. Unit: count. Source: guess; a batch each.
pub(super) const WAITING_MAX: usize = 16;

/// Where the batches of a tap come from.
#[derive(Debug)]
pub(super) enum Link {
    /// This host's engine.
    Here(EdgeId),
    /// Another host.
    There(FrameSender, FrameReceiver),
}

/// A tap.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) engine: Handle,
    pub(super) clock: Arc<MachineClock>,
    pub(super) link: Link,
    pub(super) schema: SchemaRef,
    pub(super) rows: mpsc::Sender<Tapped>,
}

impl Tap {
    /// Shows rows until the stream ends or nobody looks any more.
    pub(super) async fn run(mut self) {
        let rows = self.rows.clone();
        let reason = tokio::select! {
            reason = self.show() => reason,
            // Whoever has gone wants nothing more, also while nothing comes.
            () = rows.closed() => String::new(),
        };
        if let Link::Here(edge) = self.link {
            self.engine.close_edge(edge);
        }
        if !reason.is_empty() {
            drop(rows.send(Tapped::Ended(reason)).await);
        }
    }

    /// Says why the stream ended.
    async fn show(&mut self) -> String {
        let mut consumer = Consumer::tap(CREDIT);
        let mut batches: Vec<Arc<Batch>> = Vec::new();
        let mut is_finished = std::collections::BTreeMap::new();
        if let Err(reason) = self.pull(consumer.pull()).await {
            return reason;
        }
        loop {
            if let Err(reason) = self.receive(&mut batches).await {
                return reason;
            }
            for batch in batches.drain(..) {
                let Arrival::Next(batch) = consumer.handle_batch(batch) else {
                    continue;
                };
                let header = &batch.header;
                if matches!(header.note, Some(Note::Gone | Note::Finished)) {
                    return "the stream has ended".to_owned();
                }
                is_finished.insert(header.origin, header.progress == EventTime::MAX);
                let through = header.interval.through();
                consumer.take(header.origin, through, through);
                if self.tell(&batch).await.is_err() {
                    return String::new();
                }
            }
            if !is_finished.is_empty() && is_finished.values().all(|ended| *ended) {
                return "the stream has come to its end".to_owned();
            }
            if let Err(reason) = self.pull(consumer.pull()).await {
                return reason;
            }
        }
    }

    async fn tell(&self, batch: &Batch) -> Result<(), mpsc::error::SendError<Tapped>> {
        if batch.header.missing > 0 {
            let missing = Tapped::Missing(batch.header.missing.into());
            self.rows.send(missing).await?;
        }
        if batch.rows.is_empty() {
            return Ok(());
        }
        let mut text = Vec::new();
        match Text::Jsonl.write(batch.rows.columns(), false, &mut text) {
            Ok(()) => {
                let text = String::from_utf8_lossy(&text).into_owned();
                self.rows.send(Tapped::Rows(text)).await
            }
            Err(error) => {
                tracing::warn!(%error, "rows cannot be shown");
                let missing = Tapped::Missing(convert::size(batch.rows.len()));
                self.rows.send(missing).await
            }
        }
    }

    async fn pull(&mut self, pull: Pull) -> Result<(), String> {
        match &mut self.link {
            Link::Here(edge) => {
                let pulled = self.engine.handle_pull(*edge, &pull);
                pulled.map_err(|_| "the stream has ended".to_owned())
            }
            Link::There(sender, _) => {
                let mut bytes = Vec::new();
                frame::encode_pull(&pull, &mut bytes).map_err(|error| error.to_string())?;
                let lost = |error: std::io::Error| format!("the host that has it is lost: {error}");
                sender.send(&bytes).await.map_err(lost)?;
                sender.flush().await.map_err(lost)
            }
        }
    }

    async fn receive(&mut self, batches: &mut Vec<Arc<Batch>>) -> Result<(), String> {
        match &mut self.link {
            Link::Here(edge) => {
                let (engine, edge) = (&self.engine, *edge);
                poll_fn(|cx| engine.poll_batches(edge, cx, batches))
                    .await
                    .map_err(|_| "the stream has ended".to_owned())
            }
            Link::There(_, receiver) => {
                let frame = receiver
                    .receive()
                    .await
                    .map_err(|error| format!("the host that has it is lost: {error}"))?
                    .ok_or_else(|| "the stream has ended".to_owned())?;
                let now = self.clock.now();
                let decoded = frame::decode_batch(frame, &self.schema, now);
                let received =
                    decoded.map_err(|error| format!("the host that has it sends {error}"))?;
                batches.push(Arc::new(received.batch));
                Ok(())
            }
        }
    }
}
