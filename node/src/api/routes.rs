//! Routes: which call is which request of the node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{DefaultBodyLimit, Path, Request as HttpRequest, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::access::{self, Access};
use super::failure::{Failed, json};
use super::gate::{self, File, Gate, Request};
use super::stats::NetworkRow;
use super::{metrics, tap};
use crate::application::FILE_BYTES_MAX;
use crate::node::{Command, FailureKind};

/// What `POST /v1/apps` and `POST /v1/plan` take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyBody {
    /// What the file is called to people.
    pub file: String,
    /// What stands in it.
    pub text: String,
    /// The folder that relative paths in it start from, at the node.
    #[serde(default)]
    pub folder: PathBuf,
    /// Whether no two operators may share a host as long as there are enough.
    #[serde(default)]
    pub spread: bool,
}

/// What `POST /v1/apps/{name}/move` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveBody {
    /// Which operator of the application.
    pub operator: String,
    /// Where to: the name of a host or the beginning of its id; the host that fits best where absent.
    #[serde(default)]
    pub to: Option<String>,
}

/// What `POST /v1/node/drain` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainBody {
    /// Which host: its name or the beginning of its id; the one that is asked where absent.
    #[serde(default)]
    pub host: Option<String>,
}

/// What `POST /v1/streams` takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PublishBody {
    /// The name to publish under.
    pub name: String,
    /// What the source file is called to people.
    pub file: String,
    /// What stands in it.
    pub text: String,
    /// The folder that relative paths in it start from, at the node.
    #[serde(default)]
    pub folder: PathBuf,
}

/// The largest body of a request: a file of the largest size, in which every other byte must be escaped.
///
/// Unit: bytes. Source: [`FILE_BYTES_MAX`].
const BODY_BYTES_MAX: usize = 2 * FILE_BYTES_MAX;

/// How long a request may take until its answer begins.
///
/// Unit: time. Source: three attempts at a composition of four seconds each, and some time to load the file.
const REQUEST_MAX: Duration = Duration::from_secs(14);

/// How many requests are carried out at once. Unit: count. Source: guess.
const REQUESTS_MAX: usize = 64;

/// How many taps are open at once. Unit: count. Source: guess; each holds a bounded queue of rows.
const TAPS_MAX: usize = 32;

/// What requests need.
#[derive(Debug, Clone)]
struct Shared {
    gate: Gate,
    requests: Arc<Semaphore>,
    taps: Arc<Semaphore>,
    stopped: watch::Receiver<bool>,
}

pub(super) fn router(gate: Gate, access: Access, stopped: watch::Receiver<bool>) -> Router {
    let shared = Shared {
        gate,
        requests: Arc::new(Semaphore::new(REQUESTS_MAX)),
        taps: Arc::new(Semaphore::new(TAPS_MAX)),
        stopped,
    };
    Router::new()
        .route("/v1/apps", get(applications).post(apply))
        .route("/v1/apps/{name}", get(application).delete(stop))
        .route("/v1/apps/{name}/why", get(why))
        .route("/v1/apps/{name}/events", get(application_events))
        .route("/v1/events", get(events))
        .route("/v1/apps/{name}/move", post(move_operator))
        .route("/v1/plan", post(plan))
        .route("/v1/streams", get(streams).post(publish))
        .route("/v1/streams/{name}", get(stream).delete(unpublish))
        .route("/v1/streams/{name}/tap", get(tap))
        .route("/v1/nodes", get(nodes))
        .route("/v1/node", get(info))
        .route("/v1/node/stop", post(stop_node))
        .route("/v1/node/drain", post(drain))
        .route("/v1/dht", get(stats))
        .route("/v1/dht/{name}", get(lookup))
        .route("/metrics", get(measure))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .fallback(unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), bound))
        .layer(middleware::from_fn_with_state(access, access::check))
        .with_state(shared)
}

/// Carries out so many requests at once, each in bounded time.
async fn bound(State(shared): State<Shared>, request: HttpRequest, next: Next) -> Response {
    // Whether the process lives is not asked of the node, and must not depend on how busy that is.
    if request.uri().path() == "/healthz" {
        return next.run(request).await;
    }
    let announced = request.headers().get(header::CONTENT_LENGTH);
    let announced = announced.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > model::convert::size(BODY_BYTES_MAX)) {
        return too_large().into_response();
    }
    let Ok(_permit) = shared.requests.try_acquire() else {
        return too_busy().into_response();
    };
    match timeout(REQUEST_MAX, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Failed::new(
            StatusCode::GATEWAY_TIMEOUT,
            FailureKind::Unreachable,
            format!(
                "the node did not answer within {} s: what was asked may or may not be done; look with \
                 `synergy app ls`",
                REQUEST_MAX.as_secs()
            ),
        )
        .into_response(),
    }
}

fn too_large() -> Failed {
    Failed::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        FailureKind::Invalid,
        format!("the request is larger than {BODY_BYTES_MAX} bytes"),
    )
}

fn too_busy() -> Failed {
    Failed {
        status: StatusCode::SERVICE_UNAVAILABLE,
        failure: Box::new(gate::busy()),
    }
}

type Answer = Result<Response, Failed>;
type Name = Result<Path<String>, PathRejection>;
type Body = Result<Bytes, BytesRejection>;

async fn applications(State(shared): State<Shared>) -> Answer {
    command(&shared, Command::Applications).await
}

async fn application(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Application(named(name)?)).await
}

async fn why(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Why(named(name)?)).await
}

async fn stop(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Stop(named(name)?)).await
}

async fn application_events(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Events(Some(named(name)?))).await
}

async fn events(State(shared): State<Shared>) -> Answer {
    command(&shared, Command::Events(None)).await
}

async fn move_operator(State(shared): State<Shared>, name: Name, body: Body) -> Answer {
    let application = named(name)?;
    let MoveBody { operator, to } = read(body)?;
    let command_of = Command::Move {
        application,
        operator,
        to,
    };
    command(&shared, command_of).await
}

async fn drain(State(shared): State<Shared>, body: Body) -> Answer {
    let DrainBody { host } = read(body)?;
    command(&shared, Command::Drain(host)).await
}

async fn streams(State(shared): State<Shared>) -> Answer {
    command(&shared, Command::Streams).await
}

async fn stream(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Stream(named(name)?)).await
}

async fn unpublish(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Unpublish(named(name)?)).await
}

async fn nodes(State(shared): State<Shared>) -> Answer {
    command(&shared, Command::Nodes).await
}

async fn info(State(shared): State<Shared>) -> Answer {
    command(&shared, Command::Info).await
}

async fn lookup(State(shared): State<Shared>, name: Name) -> Answer {
    command(&shared, Command::Lookup(named(name)?)).await
}

async fn apply(State(shared): State<Shared>, body: Body) -> Answer {
    compose(&shared, body, false).await
}

async fn plan(State(shared): State<Shared>, body: Body) -> Answer {
    compose(&shared, body, true).await
}

async fn compose(shared: &Shared, body: Body, is_trial: bool) -> Answer {
    let body: ApplyBody = read(body)?;
    let file = file(body.file, body.text, body.folder)?;
    let answered = shared.gate.ask(|answer| Request::Apply {
        file,
        spread: body.spread,
        is_trial,
        answer,
    });
    Ok(json(StatusCode::OK, &answered.await??))
}

async fn publish(State(shared): State<Shared>, body: Body) -> Answer {
    let body: PublishBody = read(body)?;
    let file = file(body.file, body.text, body.folder)?;
    let answered = shared.gate.ask(|answer| Request::Publish {
        name: body.name,
        file,
        answer,
    });
    Ok(json(StatusCode::OK, &answered.await??))
}

async fn tap(State(shared): State<Shared>, name: Name) -> Answer {
    let name = named(name)?;
    let permit = Arc::clone(&shared.taps).try_acquire_owned();
    let permit = permit.map_err(|_| {
        Failed::new(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Unreachable,
            format!("{TAPS_MAX} taps are open at this node, which is as many as it shows: end one"),
        )
    })?;
    let rows = shared.gate.ask(|answer| Request::Tap { name, answer });
    Ok(tap::response(rows.await??, shared.stopped.clone(), permit))
}

async fn stats(State(shared): State<Shared>) -> Answer {
    let stats = shared.gate.ask(|answer| Request::Stats { answer }).await?;
    Ok(json(StatusCode::OK, &NetworkRow::from(&stats)))
}

async fn measure(State(shared): State<Shared>) -> Answer {
    let measured = shared.gate.ask(|answer| Request::Measure { answer });
    let text = metrics::text(&measured.await?);
    Ok(([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response())
}

async fn ready(State(shared): State<Shared>) -> Answer {
    match shared.gate.ask(|answer| Request::Ready { answer }).await? {
        Ok(()) => Ok("ready\n".into_response()),
        Err(missing) => Err(Failed::new(
            StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Unreachable,
            missing,
        )),
    }
}

async fn stop_node(State(shared): State<Shared>) -> Answer {
    shared.gate.ask(|answer| Request::Stop { answer }).await?;
    let stopped = serde_json::json!({ "status": "stopped" });
    Ok(json(StatusCode::OK, &stopped))
}

async fn unknown(request: HttpRequest) -> Failed {
    Failed::new(
        StatusCode::NOT_FOUND,
        FailureKind::NotFound,
        format!(
            "there is no {} here: names with slashes are percent-encoded, as in /v1/streams/lab%2Fflows",
            request.uri().path()
        ),
    )
}

async fn wrong_method(request: HttpRequest) -> Failed {
    Failed::new(
        StatusCode::METHOD_NOT_ALLOWED,
        FailureKind::Invalid,
        format!(
            "{} is not called with {}",
            request.uri().path(),
            request.method()
        ),
    )
}

async fn command(shared: &Shared, command: Command) -> Answer {
    let answered = shared
        .gate
        .ask(|answer| Request::Command { command, answer });
    Ok(json(StatusCode::OK, &answered.await??))
}

/// A name from the path.
fn named(name: Name) -> Result<String, Failed> {
    match name {
        Ok(Path(name)) if name.len() <= NAME_BYTES_MAX => Ok(name),
        Ok(_) => Err(Failed::invalid(format!(
            "a name is longer than {NAME_BYTES_MAX} bytes, which no name is"
        ))),
        Err(error) => Err(Failed::invalid(error.body_text())),
    }
}

/// The longest name in a path. Unit: bytes. Source: an owner's id, and a published name of four parts.
const NAME_BYTES_MAX: usize = 512;

fn read<T: DeserializeOwned>(body: Body) -> Result<T, Failed> {
    let bytes = body.map_err(|error| match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => too_large(),
        _ => Failed::invalid(error.body_text()),
    })?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Failed::invalid(format!("the request is not understood: {error}")))
}

fn file(name: String, text: String, folder: PathBuf) -> Result<File, Failed> {
    if text.len() > FILE_BYTES_MAX {
        return Err(Failed::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            FailureKind::Invalid,
            format!("{name}: the file is larger than {FILE_BYTES_MAX} bytes"),
        ));
    }
    Ok(File { name, text, folder })
}
