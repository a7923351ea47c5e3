//! How a node's network begins.

use std::sync::Arc;
use std::time::Duration;

use libp2p::core::transport::ListenerId;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm};
use model::{Clock, HostSummary, Rng};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::behavior::{Behavior, BehaviorEvent, swarm_config};
use super::driver::{Driver, Parts};
use super::gauge::Refused;
use super::shared::{COMMANDS_MAX, Shared};
use super::transport::{self, Lives};
use super::{Config, EVENTS_READY, Event, Network, StartError, address, identity};
use crate::machine::{self, Overlay};

/// How long the system may take to say at which addresses it listens. Unit: time. Source: guess.
const LISTEN_TIME: Duration = Duration::from_secs(5);

/// How long further interfaces may take to be told when a node listens on all of them. Those that are told
/// later are advertised later. Unit: time. Source: guess.
const INTERFACES_TIME: Duration = Duration::from_millis(20);

pub(super) async fn start(
    config: Config,
    clock: Arc<dyn Clock>,
    rng: Rng,
) -> Result<(Network, mpsc::Receiver<Event>), StartError> {
    let node = config.identity.node();
    let network = name(&config.network)?;
    let join = parse(&config.join)?;
    let listen = parse(&config.listen)?;
    let keypair = identity::keypair(&config.identity);
    let lives = Lives::default();
    let transport = transport::build(&keypair, network, lives.clone(), config.ways)
        .map_err(|error| StartError::Listen(config.listen.join(" "), error.to_string()))?;
    let behavior = Behavior::new(&keypair, network);
    let peer = identity::peer_id(node);
    let mut swarm = Swarm::new(transport, behavior, peer, swarm_config());
    let mut early = Vec::new();
    for address in listen {
        listen_on(&mut swarm, address, &mut early).await?;
    }
    let told = address::advertised(swarm.listeners());
    let host = HostSummary {
        node,
        addresses: told.iter().map(ToString::to_string).collect(),
        ..config.host
    };
    let overlay = machine::Config {
        identity: config.identity,
        host: host.clone(),
        first_version: config.first_version,
    };
    let (commands, taken) = mpsc::channel(COMMANDS_MAX);
    let (events, heard) = mpsc::channel(EVENTS_READY);
    let refused = Refused::default();
    let shared = Arc::new(Shared::new(node, refused.clone()));
    let driver = Driver::new(Parts {
        node,
        swarm,
        overlay: Overlay::new(clock.now(), overlay, rng.keyed("overlay")),
        host,
        lives,
        join,
        clock,
        rng: rng.keyed("join"),
        refused,
        shared: Arc::clone(&shared),
        commands: taken,
        events,
        early,
    });
    tokio::spawn(driver.run());
    Ok((Network { commands, shared }, heard))
}

/// A network's name: part of the names of protocols, and so without what separates their parts.
fn name(network: &str) -> Result<&str, StartError> {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if network.is_empty() || network.len() > 64 || !network.chars().all(is_fit) {
        return Err(StartError::Network(network.to_owned()));
    }
    Ok(network)
}

fn parse(texts: &[String]) -> Result<Vec<Multiaddr>, StartError> {
    let parse = |text: &String| {
        text.parse().map_err(|error: libp2p::multiaddr::Error| {
            StartError::Address(text.clone(), error.to_string())
        })
    };
    texts.iter().map(parse).collect()
}

/// Listens at an address, and waits until the system says which one it became.
async fn listen_on(
    swarm: &mut Swarm<Behavior>,
    address: Multiaddr,
    early: &mut Early,
) -> Result<(), StartError> {
    let text = address.to_string();
    let failed = |reason: String| StartError::Listen(text.clone(), reason);
    let listener = swarm
        .listen_on(address)
        .map_err(|error| failed(error.to_string()))?;
    match timeout(LISTEN_TIME, listening(swarm, listener, early)).await {
        Ok(Ok(())) => {}
        Ok(Err(reason)) => return Err(failed(reason)),
        Err(_) => return Err(failed("the system names no address".to_owned())),
    }
    // Nothing is lost where the time is over: the driver hears of the others.
    while let Ok(Ok(())) = timeout(INTERFACES_TIME, listening(swarm, listener, early)).await {}
    Ok(())
}

/// What else happens while a node begins to listen: somebody may connect already.
type Early = Vec<SwarmEvent<BehaviorEvent>>;

async fn listening(
    swarm: &mut Swarm<Behavior>,
    listener: ListenerId,
    early: &mut Early,
) -> Result<(), String> {
    loop {
        match futures::StreamExt::select_next_some(swarm).await {
            SwarmEvent::NewListenAddr { listener_id, .. } if listener_id == listener => {
                return Ok(());
            }
            SwarmEvent::ListenerClosed {
                listener_id,
                reason,
                ..
            } if listener_id == listener => {
                let reason = reason.err().map(|error| error.to_string());
                return Err(reason.unwrap_or_else(|| "closed".to_owned()));
            }
            event => early.push(event),
        }
    }
}
