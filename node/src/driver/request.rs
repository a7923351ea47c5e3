//! What comes through the gate, and what peers open.

use std::sync::Arc;

use engine::EdgeKind;
use model::wire;
use overlay::net::Incoming;
use tokio::sync::{mpsc, oneshot};

use super::control::{Control, Inbound};
use super::hello::Hello;
use super::load::{self, Wish};
use super::publish;
use super::tap::{self, Link, Tap};
use super::{edge, effects, state};
use crate::api::{File, Measured, Request, Tapped};
use crate::application;
use crate::node::{Answer, Answered, Command, Failure, FailureKind, NodeInfo, TapTarget};

impl Control {
    /// Takes a request of this host.
    pub(super) fn on_request(&mut self, request: Request) {
        match request {
            Request::Apply {
                file,
                spread,
                is_trial,
                answer,
            } => self.apply(file, Wish { spread, is_trial }, answer),
            Request::Publish { name, file, answer } => self.open(name, file, answer),
            Request::Command {
                command: Command::Unpublish(name),
                answer,
            } => {
                self.end_publication(&name);
                self.command(Command::Unpublish(name), answer);
            }
            Request::Command { command, answer } => self.command(command, answer),
            Request::Tap { name, answer } => self.tap(name, answer),
            Request::Stats { answer } => {
                let network = self.network.clone();
                tokio::spawn(async move { drop(answer.send(network.stats().await)) });
            }
            Request::Measure { answer } => self.measure(answer),
            Request::Ready { answer } => drop(answer.send(self.readiness())),
            Request::Stop { answer } => self.stop(answer),
        }
    }

    /// Loads a file and hands it on to be composed.
    fn apply(&self, file: File, wish: Wish, answer: oneshot::Sender<Answered>) {
        let inbox = self.means.inbox.clone();
        let node = self.network.node();
        let (clock, epoch) = (self.clock.clone(), self.clock.epoch());
        tokio::spawn(async move {
            let answered = async {
                let names = application::published_names(&file.text);
                let streams = match ask(&inbox, Command::Resolve(names)).await? {
                    Answer::Resolved(streams) => streams,
                    other => return Err(unexpected(&other)),
                };
                let mut hosts = Vec::new();
                if application::names_hosts(&file.text) {
                    // A complete list takes many questions.
                    hosts = match ask(&inbox, Command::Nodes).await? {
                        Answer::Nodes(hosts) => hosts,
                        other => return Err(unexpected(&other)),
                    };
                }
                let loaded = tokio::task::spawn_blocking(move || {
                    load::load(&file, node, streams, &hosts, wish, clock, epoch)
                });
                let loaded = loaded.await.map_err(|error| failed(&error.to_string()))??;
                if !wish.is_trial {
                    let (kept, is_kept) = oneshot::channel();
                    let inbound = Inbound::Loaded {
                        application: loaded.order.application.clone(),
                        local: loaded.local,
                        kept,
                    };
                    drop(inbox.send(inbound).await);
                    drop(is_kept.await);
                }
                let mut answer = ask(&inbox, Command::Apply(Box::new(loaded.order))).await;
                let composition = match &mut answer {
                    Ok(Answer::Composition(composition)) => Some(composition),
                    Err(failure) => failure.refusal.as_mut(),
                    Ok(_) => None,
                };
                if let Some(composition) = composition {
                    composition.remarks.extend(loaded.remarks);
                }
                answer
            };
            drop(answer.send(answered.await));
        });
    }

    /// Opens a source to be published.
    fn open(&self, name: String, file: File, answer: oneshot::Sender<Answered>) {
        let inbox = self.means.inbox.clone();
        let node = self.network.node();
        let (clock, epoch) = (self.clock.clone(), self.clock.epoch());
        tokio::spawn(async move {
            let opened = tokio::task::spawn_blocking(move || {
                publish::open(name, &file, node, clock, epoch, None)
            });
            match opened.await {
                Ok(Ok(opened)) => {
                    let opened = Box::new(opened);
                    drop(inbox.send(Inbound::Opened { opened, answer }).await);
                }
                Ok(Err(failure)) => drop(answer.send(Err(failure))),
                Err(error) => drop(answer.send(Err(failed(&error.to_string())))),
            }
        });
    }

    /// Finds a stream and shows it.
    fn tap(&self, name: String, answer: oneshot::Sender<Result<mpsc::Receiver<Tapped>, Failure>>) {
        let inbox = self.means.inbox.clone();
        tokio::spawn(async move {
            let target = match ask(&inbox, Command::Tap(name)).await {
                Ok(Answer::Tap(target)) => target,
                Ok(other) => return drop(answer.send(Err(unexpected(&other)))),
                Err(failure) => return drop(answer.send(Err(failure))),
            };
            drop(inbox.send(Inbound::Tap { target, answer }).await);
        });
    }

    /// Opens a tap on what was found.
    pub(super) fn open_tap(
        &self,
        target: TapTarget,
        answer: oneshot::Sender<Result<mpsc::Receiver<Tapped>, Failure>>,
    ) {
        let schema = engine::columns::to_arrow(&target.schema);
        let hello = Hello::Tap {
            composition: target.composition,
            stream: target.stream,
        };
        let (rows, receiver) = mpsc::channel(tap::WAITING_MAX);
        let engine = self.means.engine.clone();
        let clock = Arc::clone(&self.clock);
        let tap = move |link: Link| Tap {
            engine,
            clock,
            link,
            schema,
            rows,
        };
        if target.host == self.network.node() {
            let Some(edge) = self.open_tap_edge(&hello) else {
                let message = "the stream is not here any more: its application has ended";
                drop(answer.send(Err(Failure::new(FailureKind::NotFound, message))));
                return;
            };
            if answer.send(Ok(receiver)).is_ok() {
                tokio::spawn(tap(Link::Here(edge)).run());
            } else {
                self.means.engine.close_edge(edge);
            }
            return;
        }
        let network = self.network.clone();
        tokio::spawn(async move {
            match network.open(target.host, wire::encode(&hello)).await {
                Ok((sender, frames)) => {
                    if answer.send(Ok(receiver)).is_ok() {
                        tap(Link::There(sender, frames)).run().await;
                    }
                }
                Err(error) => {
                    let message = format!("the stream cannot be had from its host: {error}");
                    drop(answer.send(Err(Failure::new(FailureKind::Unreachable, message))));
                }
            }
        });
    }

    fn open_tap_edge(&self, hello: &Hello) -> Option<model::EdgeId> {
        let Hello::Tap {
            composition,
            stream,
        } = hello
        else {
            return None;
        };
        let (component, port) = match composition {
            Some(id) => self.parts.get(id)?.find(*stream, None)?,
            None => {
                let published = self.published.values();
                let mut ports = published.flat_map(|published| {
                    let outputs = (0..).zip(&published.publication.outputs);
                    outputs.map(move |(port, (name, _))| {
                        let rows = published.publication.stream;
                        let stream = if port == 0 { rows } else { rows.at_port(name) };
                        (stream, published.component, port)
                    })
                });
                let (_, component, port) = ports.find(|(name, _, _)| name == stream)?;
                (component, port)
            }
        };
        let opened = self
            .means
            .engine
            .open_edge(component, port, None, EdgeKind::Tap);
        opened.ok()
    }

    /// A peer opens a data stream.
    pub(super) fn on_incoming(&mut self, incoming: Incoming) {
        let Ok(hello) = wire::decode::<Hello>(&incoming.hello) else {
            tokio::spawn(refuse(
                incoming,
                "what the stream is for cannot be understood",
            ));
            return;
        };
        match hello {
            Hello::Edge {
                composition,
                stream,
                reader,
            } => {
                let part = self.parts.get_mut(&composition);
                let opened = part.and_then(|part| {
                    part.serve_standby(&self.means.engine, (stream, reader, incoming.from));
                    part.downstream(stream, reader, incoming.from)
                });
                let Some((edge, task)) = opened else {
                    tokio::spawn(refuse(incoming, "the stream is not here, or not for you"));
                    return;
                };
                let (engine, clock) = (self.means.engine.clone(), self.clock.clone());
                if let Some(before) = task.take() {
                    // The reader has opened the edge again: what it had before is broken.
                    before.abort();
                }
                *task = Some(tokio::spawn(async move {
                    if let Ok((sender, receiver)) = incoming.accept().await {
                        edge::send_batches(engine.clone(), edge, sender, receiver, clock).await;
                    }
                }));
            }
            Hello::State {
                composition,
                operator,
            } => {
                let part = self.parts.get(&composition);
                let component = part.and_then(|part| *part.operators.get(usize::from(operator))?);
                let opened = component.map(|it| self.means.engine.open_state(it));
                let edge = match opened {
                    Some(Ok(edge)) => edge,
                    refused => {
                        // It is asked for again and again; who asks says what it lacks.
                        let error = refused.and_then(Result::err);
                        tracing::debug!(?composition, operator, ?error, "no state is given");
                        tokio::spawn(refuse(incoming, "the operator is not here"));
                        return;
                    }
                };
                let (engine, clock) = (self.means.engine.clone(), self.clock.clone());
                tokio::spawn(async move {
                    if let Ok((sender, receiver)) = incoming.accept().await {
                        let stream = (sender, receiver);
                        state::send_state(&engine, edge, stream, &*clock).await;
                    }
                    engine.close_state(edge);
                });
            }
            Hello::Tap { .. } => {
                let Some(edge) = self.open_tap_edge(&hello) else {
                    tokio::spawn(refuse(incoming, "the stream is not here"));
                    return;
                };
                let (engine, clock) = (self.means.engine.clone(), self.clock.clone());
                tokio::spawn(async move {
                    if let Ok((sender, receiver)) = incoming.accept().await {
                        edge::send_batches(engine.clone(), edge, sender, receiver, clock).await;
                    }
                    engine.close_edge(edge);
                });
            }
        }
    }

    fn readiness(&self) -> Result<(), String> {
        let has_joined = self.config.join.is_empty() || self.machine.knows_hosts();
        if has_joined {
            Ok(())
        } else {
            Err(format!(
                "joining: nobody of {} has answered yet",
                self.config.join.join(", ")
            ))
        }
    }

    fn measure(&mut self, answer: oneshot::Sender<Measured>) {
        let applications = self.parts.iter().map(|(id, part)| {
            let name = part.graph.plan().application().to_owned();
            (name, effects::measure(self, *id))
        });
        let applications: Vec<_> = applications.collect();
        let (info, told) = oneshot::channel();
        self.command(Command::Info, info);
        let network = self.network.clone();
        tokio::spawn(async move {
            let Ok(Ok(Answer::Info(info))) = told.await else {
                return;
            };
            let info: NodeInfo = *info;
            let cpu = crate::clock::process_cpu();
            drop(answer.send(Measured {
                info,
                network: network.stats().await,
                applications,
                resident_bytes: resident_bytes(),
                cpu_seconds: cpu.as_secs_f64(),
            }));
        });
    }
}

async fn refuse(incoming: Incoming, reason: &'static str) {
    incoming.refuse(reason).await;
}

/// The resident memory of this process, where the system tells.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

/// Asks the control plane, from a task.
pub(super) async fn ask(inbox: &mpsc::Sender<Inbound>, command: Command) -> Answered {
    let (answer, answered) = oneshot::channel();
    drop(inbox.send(Inbound::Command { command, answer }).await);
    answered.await.unwrap_or_else(|_| Err(going_down()))
}

fn going_down() -> Failure {
    Failure::new(
        FailureKind::Unreachable,
        "the node goes down: ask another one",
    )
}

pub(super) fn failed(reason: &str) -> Failure {
    Failure::new(FailureKind::Failed, reason)
}

fn unexpected(answer: &Answer) -> Failure {
    failed(&format!("an answer that does not fit: {answer:?}"))
}
