//! A server on loopback, and a node behind it that answers as a test says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use node::api::{Access, Gate, Request, serve};
use node::client::Client;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

/// What opens the server.
pub(crate) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// The server. It ends with this.
pub(crate) struct Server {
    pub address: SocketAddr,
    /// What the node was asked, in words.
    pub asked: Arc<Mutex<Vec<String>>>,
    stop: Option<oneshot::Sender<()>>,
    served: Option<tokio::task::JoinHandle<Result<(), std::io::Error>>>,
    runtime: Option<Runtime>,
}

impl Server {
    /// A server before a node that answers so.
    pub(crate) fn start(mut answer: impl FnMut(Request) + Send + 'static) -> Self {
        let (gate, mut requests) = Gate::new();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&asked);
        let server = Self::over(gate, asked);
        server.runtime().spawn(async move {
            while let Some(request) = requests.recv().await {
                heard.lock().expect("nobody panics").push(words(&request));
                answer(request);
            }
        });
        server
    }

    /// A server before a node that answers nothing: the requests stay here.
    pub(crate) fn silent() -> (Self, mpsc::Receiver<Request>) {
        let (gate, requests) = Gate::new();
        (Self::over(gate, Arc::default()), requests)
    }

    fn over(gate: Gate, asked: Arc<Mutex<Vec<String>>>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime");
        let bound = runtime.block_on(TcpListener::bind("127.0.0.1:0"));
        let listener = bound.expect("a port of loopback is free");
        let address = listener.local_addr().expect("it is bound");
        let access = Access::new(TOKEN, address);
        let (stop, stopped) = oneshot::channel::<()>();
        let served = runtime.spawn(serve(listener, gate, access, async {
            let _ = stopped.await;
        }));
        Self {
            address,
            asked,
            stop: Some(stop),
            served: Some(served),
            runtime: Some(runtime),
        }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        self.runtime.as_ref().expect("it runs until it is dropped")
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(self.address.to_string(), Some(TOKEN.to_owned()))
    }

    /// What the node was asked since the last time.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("nobody panics"))
    }

    /// Lets the server end in order, which takes a bounded time.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(served) = self.served.take() {
            let ended = self.runtime().block_on(served);
            ended.expect("no panic").expect("the listener stays");
        }
    }

    /// Runs `synergy` against the server.
    pub(crate) fn synergy(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_synergy"))
            .args(arguments)
            .env("SYNERGY_NODE", self.address.to_string())
            .env("SYNERGY_TOKEN", TOKEN)
            .env("SYNERGY_DATA_DIR", nowhere())
            .stdin(Stdio::null())
            .output()
            .expect("the binary is there")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// A folder that is not there, so that no node of this machine is found by accident.
pub(crate) fn nowhere() -> PathBuf {
    std::env::temp_dir().join("synergy-tests-have-no-data-folder")
}

pub(crate) fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("synergy writes UTF-8")
}

fn words(request: &Request) -> String {
    match request {
        Request::Apply {
            file,
            spread,
            is_trial,
            ..
        } => format!("apply {file:?} spread={spread} trial={is_trial}"),
        Request::Publish { name, file, .. } => format!("publish {name} {file:?}"),
        Request::Command { command, .. } => format!("{command:?}"),
        Request::Tap { name, .. } => format!("tap {name}"),
        Request::Stats { .. } => "stats".to_owned(),
        Request::Measure { .. } => "measure".to_owned(),
        Request::Ready { .. } => "ready".to_owned(),
        Request::Stop { .. } => "stop".to_owned(),
    }
}
