//! What the handles of a network and its driver share.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use libp2p::Stream;
use model::{HostSummary, NodeId, Outcome, Query};
use tokio::sync::{Notify, mpsc, oneshot};

use super::NetworkStats;
use super::gauge::{Held, Refused, Sent};
use crate::message::Message;

/// How many commands may wait for the driver. Unit: commands. Source: guess; it takes them in microseconds.
pub(super) const COMMANDS_MAX: usize = 4_096;

/// How many bytes of messages may wait for the driver. Unit: bytes. Source: guess.
const BYTES_MAX: usize = 64 << 20;

/// What the driver is asked to do.
#[derive(Debug)]
pub(super) enum Command {
    Query {
        query: Query,
        reply: oneshot::Sender<Outcome>,
    },
    Send {
        to: NodeId,
        bytes: Vec<u8>,
        weight: Weight,
    },
    Open {
        to: NodeId,
        reply: oneshot::Sender<(Stream, Option<Held>)>,
    },
    Say {
        to: NodeId,
        message: Box<Message>,
    },
    Describe(Box<HostSummary>),
    Stats(oneshot::Sender<NetworkStats>),
    Leave(oneshot::Sender<()>),
}

/// What the handles of a network and its driver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) node: NodeId,
    pub(super) refused: Refused,
    pub(super) sent: Sent,
    /// Where this node listens, with its peer id.
    addresses: Mutex<Vec<String>>,
    /// To whom messages found no room on their way to the driver.
    lost: Mutex<BTreeSet<NodeId>>,
    pub(super) overflown: Notify,
    bytes: Arc<AtomicUsize>,
}

impl Shared {
    pub(super) fn new(node: NodeId, refused: Refused) -> Self {
        Self {
            node,
            refused,
            sent: Sent::default(),
            addresses: Mutex::default(),
            lost: Mutex::default(),
            overflown: Notify::new(),
            bytes: Arc::default(),
        }
    }

    pub(super) fn addresses(&self) -> Vec<String> {
        let addresses = self.addresses.lock();
        addresses.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn set_addresses(&self, addresses: Vec<String>) {
        *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    /// Sends without waiting; what finds no room is told as lost.
    pub(super) fn send(&self, commands: &mpsc::Sender<Command>, to: NodeId, bytes: Vec<u8>) {
        let weight = Weight::of(&self.bytes, bytes.len());
        let sent = weight.is_some_and(|weight| {
            let command = Command::Send { to, bytes, weight };
            commands.try_send(command).is_ok()
        });
        if !sent {
            self.refused.count("own message beyond the queue");
            let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
            // One node of many is enough to be told: all of this is a fault of ours.
            if lost.len() < COMMANDS_MAX {
                lost.insert(to);
            }
            drop(lost);
            self.overflown.notify_one();
        }
    }

    pub(super) fn take_lost(&self) -> BTreeSet<NodeId> {
        std::mem::take(&mut *self.lost.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The bytes of a message that waits for the driver; they count until this is dropped.
#[derive(Debug)]
pub(super) struct Weight {
    of: Arc<AtomicUsize>,
    bytes: usize,
}

impl Weight {
    fn of(total: &Arc<AtomicUsize>, bytes: usize) -> Option<Self> {
        let more = |count: usize| {
            let sum = count.saturating_add(bytes);
            (sum <= BYTES_MAX).then_some(sum)
        };
        total
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            .ok()
            .map(|_| Self {
                of: Arc::clone(total),
                bytes,
            })
    }
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.of.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
