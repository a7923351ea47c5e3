//! The daemon of a host: a node with its data folder and its HTTP interface, until it is told to stop.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::Arc;

use model::{Resources, Rng};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Config, Hooks, Results, StartError};
use crate::api::{self, Access, Request};
use crate::clock::MachineClock;
use crate::data_dir::{self, DataDir, DataDirError};
use crate::settings::Settings;
use crate::signals;
use crate::store::Store;

/// Why a daemon did not start, or did not come to a good end.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// Its data folder cannot be used; nothing was started.
    #[error(transparent)]
    DataDir(#[from] DataDirError),
    /// The node was not started.
    #[error(transparent)]
    Node(#[from] StartError),
    /// Nobody can listen where its HTTP interface is to be; nothing was started.
    #[error("cannot listen at {0} for the HTTP interface: {1}; name another place with --api")]
    Api(SocketAddr, std::io::Error),
    /// The system refused something else that a daemon needs.
    #[error("the system refused what a node needs: {0}")]
    System(#[from] std::io::Error),
}

/// Runs a node until a signal or a person ends it. `told` hears when it listens, for people. It has `workers` threads
/// for operators, unless the hooks say otherwise.
///
/// # Errors
/// See [`DaemonError`].
pub fn run(
    settings: &Settings,
    workers: usize,
    hooks: Hooks,
    told: impl FnOnce(&str),
) -> Result<(), DaemonError> {
    let folder = DataDir::open(&settings.data_dir)?;
    let is_new = folder.is_new();
    let identity = folder.identity()?;
    let token = folder.token()?;
    let store = Store::open(&settings.data_dir.join(data_dir::KEPT))?;
    let clock = Arc::new(MachineClock::ahead_by(hooks.clock_ahead));
    let io = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(IO_THREADS)
        .thread_name("io")
        .enable_all()
        .build()?;
    io.block_on(async {
        let listener = TcpListener::bind(settings.api.listen);
        let listener = listener
            .await
            .map_err(|error| DaemonError::Api(settings.api.listen, error))?;
        let address = listener.local_addr()?;
        let config = Config {
            identity,
            is_new,
            name: settings.name.clone(),
            network: settings.network.id.clone(),
            listen: settings.network.listen.clone(),
            join: settings.network.join.clone(),
            labels: settings.offer.labels.clone(),
            operators: settings.offer.operators.clone(),
            capacity: Resources {
                cpu_cores: settings.offer.cpu_cores,
                memory_bytes: settings.offer.memory_bytes,
                uplink_bytes_per_second: settings.offer.uplink_bytes_per_second,
            },
            memory_bytes: settings.memory_bytes,
            workers: hooks.workers.map_or(workers, NonZeroUsize::get),
            policy: settings.policy,
            migrates: settings.migrates,
            drain: settings.drain,
            data_dir: Some(folder.path().to_owned()),
            results: Results::Tapped,
            store: Some(store),
            hooks,
        };
        let rng = Rng::from_secret(data_dir::entropy()?);
        let node = super::start(config, clock, rng).await?;
        let addresses = node.network.addresses();
        folder.announce(address, &addresses)?;
        told(&format!(
            "node {} ({}) listens at {} and answers at http://{address}",
            settings.name,
            node.node,
            addresses.join(", "),
        ));
        let gate = node.gate.clone();
        signals::stop(move || {
            let (answer, _) = oneshot::channel();
            gate.put(Request::Stop { answer })
        })?;
        let (ended, has_ended) = oneshot::channel::<()>();
        let access = Access::new(&token, address);
        let server = tokio::spawn(api::serve(listener, node.gate.clone(), access, async {
            // Also where the node went down without a word.
            drop(has_ended.await);
        }));
        node.ended().await;
        drop(ended);
        // The last answers leave, within the server's bounds.
        drop(server.await);
        Ok(())
    })
}

/// How many threads carry input and output. Unit: threads. Source: guess; encryption of one link fills one.
const IO_THREADS: usize = 2;
