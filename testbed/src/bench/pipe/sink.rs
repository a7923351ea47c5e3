//! The process that counts rows, and says what it measured.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context;
use model::{Clock, NodeId};
use node::clock::MachineClock;
use node::driver::edge;
use overlay::net::Network;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use super::echo::{Line, RoundTrips};
use super::flow::{self, Count, PATIENCE};
use super::session::Said;
use super::{network, plain};

/// For how long the way there and back is measured without load.
///
/// Unit: time. Source: 500 frames a second make a thousand, so that ten are beyond the 99th percentile.
const IDLE: Duration = Duration::from_secs(2);

/// Counts what the engine at `at` produces.
pub(super) async fn synergy(
    at: &str,
    workers: NonZeroUsize,
    times: (Duration, Duration),
    delay: Duration,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let (network, host) = join(at, &clock, delay).await?;
    let (sender, receiver) = network.open(host, network::ECHO.to_vec()).await?;
    let mut line = Line::Synergy(sender, receiver);
    let idle = line.measure(&clock, IDLE).await?;

    let part = flow::Part::deploy(false, workers, Arc::clone(&clock))?;
    let handle = part.runtime.handle();
    let sink = part.deployed.sinks[0].context("the consumer is here")?;
    let edge = part.deployed.upstream.first().context("an edge")?.edge;
    let (application, counted) = (part.deployed.application, Arc::new(Count::default()));
    let (counting, receiving) = (Arc::clone(&counted), handle.clone());
    std::thread::Builder::new().spawn(move || {
        flow::count(&receiving, application, sink, &counting);
    })?;
    let (sender, receiver) = network.open(host, network::EDGE.to_vec()).await?;
    let half_round_trip = Duration::from_secs_f64(idle.p50_us / 2e6);
    let reading = tokio::spawn(edge::receive_batches(
        handle.clone(),
        edge,
        engine::columns::to_arrow(&flow::schema()),
        sender,
        receiver,
        Arc::clone(&clock),
        move || half_round_trip,
    ));
    handle.start(application);
    let window = Window {
        clock: &clock,
        times,
    };
    window.measure(&mut line, idle, &counted).await?;
    if reading.is_finished() {
        let end = reading.await?;
        anyhow::bail!("the edge ended too early: {end}");
    }
    handle.stop();
    network.leave().await;
    Ok(())
}

/// Joins the node at `at`, as one that hears of nothing else.
async fn join(
    at: &str,
    clock: &Arc<dyn Clock>,
    delay: Duration,
) -> anyhow::Result<(Network, NodeId)> {
    let (network, mut events) =
        network::start(2, vec![at.to_owned()], Arc::clone(clock), delay).await?;
    let host = network::first_seen(&mut events).await?;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    Ok((network, host))
}

/// Counts the frames that come over a data stream from `at`. Nothing looks into them.
pub(super) async fn stream(
    at: &str,
    size: usize,
    times: (Duration, Duration),
    delay: Duration,
) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let (network, host) = join(at, &clock, delay).await?;
    let (sender, receiver) = network.open(host, network::ECHO.to_vec()).await?;
    let mut line = Line::Synergy(sender, receiver);
    let idle = line.measure(&clock, IDLE).await?;
    let counted = Arc::new(Count::default());
    let (_sender, mut receiver) = network.open(host, network::BARE.to_vec()).await?;
    let (counting, rows) = (Arc::clone(&counted), flow::batch_rows(size));
    tokio::spawn(async move {
        while let Ok(Some(_)) = receiver.receive().await {
            let rows = model::convert::size(rows);
            counting.rows.fetch_add(rows, Ordering::Relaxed);
        }
    });
    let window = Window {
        clock: &clock,
        times,
    };
    window.measure(&mut line, idle, &counted).await?;
    network.leave().await;
    Ok(())
}

/// Counts what comes over plain TCP from `at`.
pub(super) async fn tcp(at: &str, size: usize, times: (Duration, Duration)) -> anyhow::Result<()> {
    let clock: Arc<dyn Clock> = Arc::new(MachineClock::start());
    let connect = async |purpose: u8| -> std::io::Result<TcpStream> {
        let mut stream = TcpStream::connect(at).await?;
        stream.set_nodelay(true)?;
        stream.write_u8(purpose).await?;
        Ok(stream)
    };
    let mut line = Line::Tcp(connect(plain::ECHO).await?);
    let idle = line.measure(&clock, IDLE).await?;
    let counted = Arc::new(Count::default());
    let stream = connect(plain::DATA).await?;
    tokio::spawn(count(stream, Arc::clone(&counted), flow::batch_rows(size)));
    let window = Window {
        clock: &clock,
        times,
    };
    window.measure(&mut line, idle, &counted).await
}

/// Takes frames off a connection until it breaks. Nothing looks into them.
async fn count(stream: TcpStream, counted: Arc<Count>, rows: usize) -> anyhow::Result<()> {
    let mut stream = BufReader::with_capacity(plain::READ_BYTES, stream);
    let mut frame = Vec::new();
    loop {
        let length = stream.read_u32_le().await?;
        frame.resize(usize::try_from(length)?, 0);
        stream.read_exact(&mut frame).await?;
        let rows = model::convert::size(rows);
        counted.rows.fetch_add(rows, Ordering::Relaxed);
    }
}

/// When rows are counted.
struct Window<'w> {
    clock: &'w Arc<dyn Clock>,
    /// For how long nothing is counted, and then they are.
    times: (Duration, Duration),
}

impl Window<'_> {
    async fn measure(
        &self,
        line: &mut Line,
        idle: RoundTrips,
        counted: &Count,
    ) -> anyhow::Result<()> {
        let (warm_up, time) = self.times;
        let wait = async {
            while counted.rows.load(Ordering::Relaxed) == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, wait).await;
        waited.context("no row arrives")?;
        tokio::time::sleep(warm_up).await;
        Said::Begin { idle }.say()?;
        let (began, before) = (self.clock.now(), counted.rows.load(Ordering::Relaxed));
        let loaded = line.measure(self.clock, time).await?;
        let seconds = self.clock.now().since(began).as_secs_f64();
        let rows = counted.rows.load(Ordering::Relaxed) - before;
        Said::End {
            rows,
            seconds,
            is_whole: !counted.is_broken.load(Ordering::Relaxed),
            loaded,
        }
        .say()
    }
}
