//! What people call applications: `NAME`, `OWNER:NAME`, or a beginning that is unique. An owner is called by its name, or by
//! the beginning of its id.

use std::collections::BTreeMap;

use model::{ApplicationId, NodeId};

use super::record::{Listing, State};
use super::view::{View, hex};
use super::{Failure, FailureKind};

/// How many names a message lists. Source: guess; what fits a terminal.
const LISTED_MAX: usize = 8;

/// An application that is known by its whole name.
pub(super) fn exact(name: &str) -> Option<ApplicationId> {
    let (owner, name) = name.split_once(':')?;
    Some(ApplicationId {
        owner: whole(owner)?,
        name: name.to_owned(),
    })
}

/// The one application that `name` stands for.
///
/// A whole name goes before the beginning of a longer one, an application that is there before one that was
/// stopped.
///
/// # Errors
/// When there is none, or more than one: the message lists them.
pub(super) fn find<'l>(
    name: &str,
    listings: &'l BTreeMap<ApplicationId, Listing>,
    view: &View,
) -> Result<&'l Listing, Failure> {
    let (owner, wanted) = name.split_once(':').unwrap_or(("", name));
    // A host is called as lists call it, or by the beginning of its id.
    let is_host = |id: &ApplicationId| !owner.is_empty() && view.known_name(id.owner) == owner;
    let is_name = listings.keys().any(is_host);
    let beginning = owner.to_ascii_lowercase();
    let owned = |id: &&ApplicationId| match is_name {
        true => is_host(id),
        false => hex(id.owner).starts_with(&beginning),
    };
    let is_there = |id: &&ApplicationId| *listings[*id].state() != State::Stopped;
    let choices: [Vec<&ApplicationId>; 3] = [
        listings
            .keys()
            .filter(|id| id.name == wanted)
            .filter(owned)
            .filter(is_there)
            .collect(),
        listings
            .keys()
            .filter(|id| id.name.starts_with(wanted))
            .filter(owned)
            .filter(is_there)
            .collect(),
        listings
            .keys()
            .filter(|id| id.name.starts_with(wanted))
            .filter(owned)
            .collect(),
    ];
    match choices.into_iter().find(|found| !found.is_empty()) {
        Some(found) if found.len() == 1 => Ok(&listings[found[0]]),
        Some(found) => Err(ambiguous(name, &found, view)),
        None => Err(unknown(name, listings, view)),
    }
}

/// The host that `name` stands for: its name, or a beginning of its id. An id in full need not be known.
///
/// # Errors
/// When no host is called so, or more than one.
pub(super) fn host(name: &str, view: &View) -> Result<NodeId, Failure> {
    let own = &view.hosts.host;
    let known = || view.hosts.hosts.values().map(|host| &**host).chain([own]);
    let called: Vec<NodeId> = known()
        .filter(|host| host.name == name)
        .map(|host| host.node)
        .collect();
    let beginning = name.to_ascii_lowercase();
    let begins = |node: &NodeId| !beginning.is_empty() && hex(*node).starts_with(&beginning);
    let found = match called.is_empty() {
        true => known().map(|host| host.node).filter(begins).collect(),
        false => called,
    };
    if let [host] = found.as_slice() {
        return Ok(*host);
    }
    if found.is_empty()
        && let Some(host) = whole(name)
    {
        return Ok(host);
    }
    let (kind, message) = match found.len() {
        0 => (
            FailureKind::NotFound,
            format!("No host is called {name:?}: `synergy node ls` lists all."),
        ),
        _ => {
            let ids = found.iter().map(|host| hex(*host)).collect();
            let ids = joined(ids);
            let message =
                format!("{name:?} may mean any of {ids}: give the beginning of its id instead.");
            (FailureKind::Invalid, message)
        }
    };
    Err(Failure::new(kind, message))
}

/// An id in full.
fn whole(text: &str) -> Option<NodeId> {
    let mut id = [0; 32];
    if text.len() != 2 * id.len() || !text.is_ascii() {
        return None;
    }
    for (index, byte) in id.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(NodeId(id))
}

/// Applications as commands take them: with the names of their owners, or the beginnings of their ids where two owners
/// are called the same.
fn owned_names(ids: &[&ApplicationId], view: &View) -> Vec<String> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let named = |id: &ApplicationId| format!("{}:{}", view.name(id.owner), id.name);
    for id in ids {
        *names.entry(named(id)).or_default() += 1;
    }
    let unique = |id: &&ApplicationId| match named(id) {
        name if names[&name] == 1 => name,
        _ => format!("{}:{}", id.owner, id.name),
    };
    ids.iter().map(unique).collect()
}

fn ambiguous(name: &str, found: &[&ApplicationId], view: &View) -> Failure {
    let names = owned_names(found, view);
    Failure::new(
        FailureKind::Invalid,
        format!(
            "{name:?} may mean any of {}: give more of the name, or its owner as in OWNER:NAME.",
            joined(names)
        ),
    )
}

fn unknown(name: &str, listings: &BTreeMap<ApplicationId, Listing>, view: &View) -> Failure {
    let there = listings
        .iter()
        .filter(|(_, listing)| *listing.state() != State::Stopped);
    let there: Vec<&ApplicationId> = there.map(|(id, _)| id).collect();
    let mut names: Vec<String> = there.iter().map(|id| id.name.clone()).collect();
    names.sort();
    if names.windows(2).any(|two| two[0] == two[1]) {
        names = owned_names(&there, view);
    }
    let others = if names.is_empty() {
        "There is none at all.".to_owned()
    } else {
        format!("There are: {}.", joined(names))
    };
    Failure::new(
        FailureKind::NotFound,
        format!("No application is called {name:?}. {others}"),
    )
}

/// Names in a sentence, the first of many.
fn joined(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(LISTED_MAX);
    names.truncate(LISTED_MAX);
    let names = names.join(", ");
    if more > 0 {
        format!("{names} and {more} more")
    } else {
        names
    }
}
