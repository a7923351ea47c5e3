//! The HTTP interface of a node: one call for each verb of the command line, JSON in and out.
//!
//! | call | verb |
//! | --- | --- |
//! | `GET /v1/apps` | `app ls` |
//! | `POST /v1/apps` with `{ file, text, folder, spread }` | `apply` |
//! | `POST /v1/plan` with the same | `plan` |
//! | `GET /v1/apps/{name}`, `DELETE /v1/apps/{name}` | `app show`, `app stop` |
//! | `GET /v1/apps/{name}/why` | `app why`, `graph` |
//! | `GET /v1/apps/{name}/events`, `GET /v1/events` | `app events`, `events` |
//! | `POST /v1/apps/{name}/move` with `{ operator, to }` | `move` |
//! | `POST /v1/node/drain` with `{ host }` | `drain` |
//! | `GET /v1/streams` | `stream ls` |
//! | `POST /v1/streams` with `{ name, file, text, folder }` | `stream publish` |
//! | `GET /v1/streams/{name}`, `DELETE /v1/streams/{name}` | `stream show`, `stream stop` |
//! | `GET /v1/streams/{name}/tap` | `tap`, as server-sent events |
//! | `GET /v1/nodes`, `GET /v1/node`, `POST /v1/node/stop` | `node ls`, `node info`, `node stop` |
//! | `GET /v1/dht/{name}`, `GET /v1/dht` | `dht lookup`, `dht stats` |
//! | `GET /metrics`, `GET /healthz`, `GET /readyz` | for Prometheus and for whoever watches the process |
//!
//! A name with a slash in it is percent-encoded: `/v1/streams/lab%2Fflows/tap`. All but `/healthz` and `/readyz` ask
//! for `Authorization: Bearer` and the token of the node's data folder. What fails is told as a
//! [`crate::node::Failure`] with the status that fits its kind.
//!
//! The server knows nothing of the node but [`Gate`], and bounds what anybody can make it hold: connections,
//! requests at once, the bytes and the time of each, taps.

use std::future::{Future, IntoFuture};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

mod access;
mod failure;
mod gate;
mod listen;
mod metrics;
mod routes;
mod stats;
mod tap;

pub use access::Access;
pub use gate::{File, Gate, Measured, Request, Tapped, WAITING_MAX};
pub use routes::{ApplyBody, DrainBody, MoveBody, PublishBody};
pub use stats::NetworkRow;

/// How long requests that are under way may take to their end once the server is to stop.
///
/// Unit: time. Source: guess; what is left then are clients that do not read.
const STOP_MAX: Duration = Duration::from_secs(2);

/// Serves until `stop` is over; then takes no further requests, ends taps, and lets the others come to an end.
///
/// # Errors
/// When the system takes the listener away.
pub async fn serve(
    listener: TcpListener,
    gate: Gate,
    access: Access,
    stop: impl Future<Output = ()>,
) -> Result<(), std::io::Error> {
    let (stopping, stopped) = watch::channel(false);
    let router = routes::router(gate, access, stopped.clone());
    let server = axum::serve(listen::Limited::new(listener), router)
        .with_graceful_shutdown(until(stopped))
        .into_future();
    tokio::pin!(server);
    tokio::select! {
        ended = &mut server => return ended,
        () = stop => {}
    }
    stopping.send_replace(true);
    timeout(STOP_MAX, server).await.unwrap_or(Ok(()))
}

/// Waits until the server is to stop.
async fn until(mut stopped: watch::Receiver<bool>) {
    // An error says that the server is gone, which is the same.
    let _ = stopped.wait_for(|is_stopping| *is_stopping).await;
}
