//! The process that produces rows.

use std::io::Read;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use engine::runtime::Handle;
use model::{Clock, EdgeId};
use node::clock::MachineClock;
use node::driver::edge;
use overlay::net::{Event, Incoming};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::echo::Line;
use super::session::Said;
use super::{flow, network, plain};

/// Produces rows for whoever opens an edge, until standard input ends.
pub(super) async fn synergy(
    size: usize,
    workers: NonZeroUsize,
    delay: Duration,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let part = flow::Part::deploy(true, workers, Arc::clone(&clock))?;
    let handle = part.runtime.handle();
    let source = part.deployed.sources[0].context("the generator is here")?;
    let edge = part.deployed.downstream.first().context("an edge")?.edge;
    let (network, mut events) = network::start(1, Vec::new(), Arc::clone(&clock), delay).await?;
    let address = network.addresses().into_iter().next();
    Said::Address(address.context("it listens")?).say()?;

    let application = part.deployed.application;
    let (offering, generating) = (handle.clone(), Arc::clone(&clock));
    let generator = std::thread::Builder::new().spawn(move || {
        flow::generate(&offering, application, source, size, &*generating);
    })?;
    let mut ended = std::pin::pin!(end_of_input());
    loop {
        tokio::select! {
            () = &mut ended => break,
            event = events.recv() => {
                if let Event::Incoming(incoming) = event.context("the network has ended")? {
                    tokio::spawn(serve(incoming, handle.clone(), edge, Arc::clone(&clock)));
                }
            }
        }
    }
    handle.stop();
    drop(generator.join());
    network.leave().await;
    Ok(())
}

/// Serves a data stream. What goes wrong with it is seen at its other end.
async fn serve(incoming: Incoming, handle: Handle, edge: EdgeId, clock: Arc<dyn Clock>) {
    let is_echo = incoming.hello == network::ECHO;
    let Ok((sender, receiver)) = incoming.accept().await else {
        return;
    };
    if is_echo {
        drop(Line::Synergy(sender, receiver).serve().await);
    } else {
        edge::send_batches(handle, edge, sender, receiver, clock).await;
    }
}

/// Sends the frame of a batch to whoever opens a data stream, again and again, until standard input ends.
pub(super) async fn stream(size: usize, delay: Duration) -> anyhow::Result<()> {
    let frame: Arc<[u8]> = plain::bytes(size)?.split_off(plain::LENGTH_BYTES).into();
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let (network, mut events) = network::start(1, Vec::new(), clock, delay).await?;
    let address = network.addresses().into_iter().next();
    Said::Address(address.context("it listens")?).say()?;
    let mut ended = std::pin::pin!(end_of_input());
    loop {
        tokio::select! {
            () = &mut ended => break,
            event = events.recv() => {
                if let Event::Incoming(incoming) = event.context("the network has ended")? {
                    tokio::spawn(send(incoming, Arc::clone(&frame)));
                }
            }
        }
    }
    network.leave().await;
    Ok(())
}

async fn send(incoming: Incoming, frame: Arc<[u8]>) -> anyhow::Result<()> {
    let is_echo = incoming.hello == network::ECHO;
    let (mut sender, receiver) = incoming.accept().await?;
    if is_echo {
        return Line::Synergy(sender, receiver).serve().await;
    }
    loop {
        sender.send(&frame).await?;
    }
}

/// Writes the bytes of a batch to whoever connects for them, until standard input ends.
pub(super) async fn tcp(size: usize) -> anyhow::Result<()> {
    let bytes: Arc<[u8]> = plain::bytes(size)?.into();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    Said::Address(listener.local_addr()?.to_string()).say()?;
    let mut ended = std::pin::pin!(end_of_input());
    loop {
        tokio::select! {
            () = &mut ended => return Ok(()),
            accepted = listener.accept() => {
                let (stream, _) = accepted?;
                stream.set_nodelay(true)?;
                tokio::spawn(write(stream, Arc::clone(&bytes)));
            }
        }
    }
}

async fn write(mut stream: TcpStream, bytes: Arc<[u8]>) -> anyhow::Result<()> {
    if stream.read_u8().await? == plain::ECHO {
        return Line::Tcp(stream).serve().await;
    }
    loop {
        stream.write_all(&bytes).await?;
    }
}

/// Waits for standard input to end: whoever started this process is gone, or wants it to go.
async fn end_of_input() {
    let read = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    drop(read.await);
}
