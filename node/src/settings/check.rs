//! Checks: from values of the right form to settings that a node can start with.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use engine::scheduler::Policy;

use super::keys::{Mistake, Value};
use super::layers::{Layers, Place};
use super::{
    API_DEFAULT, Api, DISK_DEFAULT, DRAIN_MAX, LISTEN_DEFAULT, MEMORY_DEFAULT, Machine,
    NETWORK_DEFAULT, Network, Offer, Settings, UPLINK_DEFAULT,
};
use crate::application::Problems;
use crate::application::nearest;
use crate::application::report::quoted;

/// The longest name of a node, and of a label and its value. Unit: bytes. Source: what a host may say of itself.
const NAME_BYTES_MAX: usize = 64;

/// The longest name of a network. Unit: bytes. Source: it is part of every protocol's name.
const NETWORK_BYTES_MAX: usize = 32;

/// How many labels a node may have. Unit: count. Source: what a host may say of itself.
const LABELS_MAX: usize = 16;

/// How many addresses a list may have. Unit: count. Source: guess; networks and ways into them that a person keeps.
const ADDRESSES_MAX: usize = 16;

/// The most cores that a node may offer. Unit: cores. Source: guess; beyond any machine.
const CORES_MAX: f64 = 4096.0;

/// The settings that the layers come to.
pub(super) fn settings(mut layers: Layers, machine: &Machine) -> Result<Settings, Problems> {
    let insecure_listen = match layers.take("network.insecure_listen") {
        Some((Value::Switch(is_on), _)) => is_on,
        _ => false,
    };
    let memory_bytes = match layers.take("memory") {
        Some((Value::Bytes(bytes), place)) => {
            if bytes < engine::MEMORY_MIN {
                let expected = format!("at least {}MiB", engine::MEMORY_MIN >> 20);
                layers.is_wrong(
                    &place,
                    ("that is too little to work with".to_owned(), expected),
                );
            }
            bytes
        }
        _ => MEMORY_DEFAULT,
    };
    let settings = Settings {
        name: name(&mut layers, machine),
        data_dir: data_dir(&mut layers, machine),
        memory_bytes,
        disk_bytes: match layers.take("disk") {
            Some((Value::Bytes(bytes), _)) => bytes,
            _ => DISK_DEFAULT,
        },
        policy: policy(&mut layers),
        migrates: migrates(&mut layers),
        drain: drain(&mut layers),
        network: Network {
            id: network_id(&mut layers),
            listen: listen(&mut layers, insecure_listen),
            join: join(&mut layers),
            insecure_listen,
        },
        offer: offer(&mut layers, machine, memory_bytes),
        api: Api {
            listen: api_listen(&mut layers, insecure_listen),
        },
    };
    match layers.into_problems() {
        None => Ok(settings),
        Some(problems) => Err(problems),
    }
}

fn policy(layers: &mut Layers) -> Policy {
    let Some((Value::Text(name), place)) = layers.take("policy") else {
        return Policy::default();
    };
    Policy::find(&name).unwrap_or_else(|| {
        let names = Policy::ALL.map(|policy| policy.kind().name).join(", ");
        let message = format!("no policy is called \"{name}\"");
        layers.is_wrong(&place, (message, format!("one of {names}")));
        Policy::default()
    })
}

fn migrates(layers: &mut Layers) -> bool {
    let Some((Value::Text(word), place)) = layers.take("migrate") else {
        return true;
    };
    match word.as_str() {
        "auto" => true,
        "never" => false,
        _ => {
            let message = format!("\"{word}\" is neither");
            let expected = "auto, or never: components move only when somebody wants it";
            layers.is_wrong(&place, (message, expected.to_owned()));
            true
        }
    }
}

fn drain(layers: &mut Layers) -> Duration {
    let Some((Value::Time(time), place)) = layers.take("drain") else {
        return DRAIN_MAX;
    };
    if time > DRAIN_MAX {
        let message = "nobody who stops a node waits that long".to_owned();
        layers.is_wrong(&place, (message, format!("at most {DRAIN_MAX:?}")));
    }
    time
}

fn name(layers: &mut Layers, machine: &Machine) -> String {
    if let Some((Value::Text(name), place)) = layers.take("name") {
        if !is_word(&name, NAME_BYTES_MAX) {
            layers.is_wrong(&place, no_word("name", &name, NAME_BYTES_MAX));
        }
        return name;
    }
    let named = machine.name.clone();
    named
        .filter(|name| is_word(name, NAME_BYTES_MAX))
        .unwrap_or_else(|| "node".to_owned())
}

fn data_dir(layers: &mut Layers, machine: &Machine) -> PathBuf {
    match layers.take("data_dir") {
        Some((Value::Text(path), place)) if path.is_empty() => {
            let mistake = ("the path is empty".to_owned(), "a folder".to_owned());
            layers.is_wrong(&place, mistake);
            PathBuf::new()
        }
        Some((Value::Text(path), _)) => path.into(),
        _ => machine.data_dir.clone().unwrap_or_else(|| {
            let message = "there is no place for the node's data: HOME is not set";
            let mistake = (message.to_owned(), "a folder with --data-dir".to_owned());
            layers.is_wrong(&Place::Other("data_dir".to_owned()), mistake);
            PathBuf::new()
        }),
    }
}

fn network_id(layers: &mut Layers) -> String {
    match layers.take("network.id") {
        Some((Value::Text(id), place)) => {
            if !is_word(&id, NETWORK_BYTES_MAX) {
                layers.is_wrong(&place, no_word("network", &id, NETWORK_BYTES_MAX));
            }
            id
        }
        _ => NETWORK_DEFAULT.to_owned(),
    }
}

fn listen(layers: &mut Layers, insecure_listen: bool) -> Vec<String> {
    let Some((Value::Texts(addresses), place)) = layers.take("network.listen") else {
        return vec![LISTEN_DEFAULT.to_owned()];
    };
    are_multiaddresses(layers, &addresses, &place);
    if addresses.is_empty() {
        let expected = format!("at least one, such as {LISTEN_DEFAULT}");
        layers.is_wrong(&place, ("a node listens somewhere".to_owned(), expected));
    }
    let reachable = addresses.iter().find(|address| !is_loopback(address));
    if let (Some(address), false) = (reachable, insecure_listen) {
        layers.is_wrong(&place, reaches_others(address));
    }
    addresses
}

fn join(layers: &mut Layers) -> Vec<String> {
    let Some((Value::Texts(addresses), place)) = layers.take("network.join") else {
        return Vec::new();
    };
    are_multiaddresses(layers, &addresses, &place);
    addresses
}

fn api_listen(layers: &mut Layers, insecure_listen: bool) -> SocketAddr {
    match layers.take("api.listen") {
        Some((Value::Socket(address), place)) => {
            if !address.ip().is_loopback() && !insecure_listen {
                layers.is_wrong(&place, reaches_others(&address.to_string()));
            }
            address
        }
        _ => API_DEFAULT.parse().expect("the default is an address"),
    }
}

fn offer(layers: &mut Layers, machine: &Machine, memory_bytes: u64) -> Offer {
    let cpu_cores = match layers.take("offer.cpu") {
        Some((Value::Number(cores), place)) => {
            if cores > CORES_MAX {
                let mistake = (
                    format!("{cores} cores are more than any host has"),
                    format!("at most {CORES_MAX}"),
                );
                layers.is_wrong(&place, mistake);
            }
            cores
        }
        _ => machine.cores,
    };
    let offered = match layers.take("offer.memory") {
        Some((Value::Bytes(bytes), place)) => {
            if bytes > memory_bytes {
                let message = "more memory is offered than the node may take".to_owned();
                let expected = format!("at most \"memory\", which is {memory_bytes} bytes");
                layers.is_wrong(&place, (message, expected));
            }
            bytes
        }
        _ => memory_bytes,
    };
    let uplink_bytes_per_second = match layers.take("offer.uplink") {
        Some((Value::Number(rate), _)) => rate,
        _ => UPLINK_DEFAULT,
    };
    Offer {
        operators: operators(layers),
        labels: labels(layers),
        cpu_cores,
        memory_bytes: offered,
        uplink_bytes_per_second,
    }
}

fn operators(layers: &mut Layers) -> Option<Vec<String>> {
    let Some((Value::Texts(kinds), place)) = layers.take("offer.operators") else {
        return None;
    };
    if kinds.iter().any(|kind| kind == "*") {
        return None;
    }
    let known: Vec<&str> = engine::operator::KINDS
        .iter()
        .map(|kind| kind.name)
        .collect();
    for kind in kinds.iter().filter(|kind| !known.contains(&kind.as_str())) {
        let expected = nearest::one_of(kind, &known).unwrap_or_default();
        layers.is_wrong(
            &place,
            (format!("unknown operator {}", quoted(kind)), expected),
        );
    }
    Some(kinds)
}

fn labels(layers: &mut Layers) -> BTreeMap<String, String> {
    let Some((Value::Labels(labels), place)) = layers.take("offer.labels") else {
        return BTreeMap::new();
    };
    if labels.len() > LABELS_MAX {
        let mistake = (
            format!("{} labels", labels.len()),
            format!("at most {LABELS_MAX}"),
        );
        layers.is_wrong(&place, mistake);
    }
    let words = labels.iter().flat_map(|(name, value)| [name, value]);
    for word in words.filter(|word| !is_word(word, NAME_BYTES_MAX)) {
        layers.is_wrong(&place, no_word("label", word, NAME_BYTES_MAX));
    }
    labels
}

fn are_multiaddresses(layers: &mut Layers, addresses: &[String], place: &Place) {
    if addresses.len() > ADDRESSES_MAX {
        let mistake = (
            format!("{} addresses", addresses.len()),
            format!("at most {ADDRESSES_MAX}"),
        );
        layers.is_wrong(place, mistake);
    }
    for address in addresses {
        let is_known = address.starts_with('/') && address.contains("/tcp/");
        if !is_known {
            let message = format!("{} is no multiaddress of a TCP port", quoted(address));
            let expected = "one such as /ip4/192.168.1.7/tcp/4170 or /dns4/hq.example/tcp/4170";
            layers.is_wrong(place, (message, expected.to_owned()));
        }
    }
}

/// Whether only this machine can reach a multiaddress. What is not an address is left to be found out elsewhere.
fn is_loopback(address: &str) -> bool {
    let mut parts = address.split('/').skip(1);
    match (parts.next(), parts.next()) {
        (Some("ip4" | "ip6"), Some(address)) => address
            .parse()
            .is_ok_and(|address: IpAddr| address.is_loopback()),
        (Some("dns" | "dns4" | "dns6"), Some(name)) => name == "localhost",
        _ => false,
    }
}

fn reaches_others(address: &str) -> Mistake {
    (
        format!("{address} can be reached by other machines, and nothing keeps strangers out yet"),
        "a loopback address, or --insecure-listen where the network is your own".to_owned(),
    )
}

/// Whether a text can be a name: it needs no quoting anywhere.
fn is_word(text: &str, bytes_max: usize) -> bool {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    !text.is_empty() && text.len() <= bytes_max && text.bytes().all(is_of_word)
}

fn no_word(what: &str, text: &str, bytes_max: usize) -> Mistake {
    (
        format!("{} is no name of a {what}", quoted(text)),
        format!("letters, digits, \"-\", \"_\" and \".\", at most {bytes_max}"),
    )
}
