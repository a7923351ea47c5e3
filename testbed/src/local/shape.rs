//! How the ways between the nodes of a testbed are shaped: what is written for its nodes to follow.
//!
//! Two files in the testbed's folder. `shape.json` is written once, before the first node starts; `faults.json` changes
//! while they run, and whoever changes it tells the nodes by a signal (see [`super::hook`]).

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use model::{NodeId, Rng, convert};
use node::data_dir::DataDir;
use overlay::net::Way;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::background::Background;
use super::folder::Folder;
use crate::topology::Topology;
use crate::topology::matrix::{self, Hosts};

/// The names of the files, in the testbed's folder.
pub(super) const SHAPE: &str = "shape.json";
/// See [`SHAPE`].
pub(super) const FAULTS: &str = "faults.json";

/// The longest round trip that nodes are given; hosts with longer ones were as good as unreachable when that was measured, and
/// no nodes stand for them.
///
/// Unit: time. Source: a connection takes two and a half of them, and a node waits 3 s for it; of 490 hosts of PlanetLab
/// one pair in a hundred is above 0.44 s.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Where the round trips between nodes stand; without it, ways are as short as they are on this machine.
    pub latency: Option<PathBuf>,
    /// Which hosts of that file the nodes stand for.
    pub seed: u64,
    /// The word for how nodes compose; as every node does if not given.
    pub policy: Option<String>,
    /// How many worker threads each node has, if not one for each core.
    pub workers: Option<NonZeroUsize>,
    /// By how much the clock of each node is ahead, in their order; that of a node that is not named is right.
    pub clocks: Vec<Duration>,
    /// What nodes have to do beside, if anything.
    pub background: Option<Background>,
}

/// Where nodes stand for hosts of a wide area.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Area {
    /// The file.
    pub file: PathBuf,
    /// What its hosts are called that nodes stand for, in the order of the nodes.
    pub hosts: Vec<String>,
    /// Over all pairs of them.
    pub mean_round_trip_ms: f64,
    /// See [`Self::mean_round_trip_ms`].
    pub longest_round_trip_ms: f64,
    /// From each to each, by the places of nodes from 0.
    #[serde(skip)]
    pub one_way: Vec<Vec<Duration>>,
}

/// What nodes are told at their start.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Shape {
    /// Who they are, in the order of their numbers.
    pub(super) nodes: Vec<[u8; 32]>,
    /// From each to each, in microseconds; empty where nothing is delayed.
    one_way_us: Vec<Vec<u64>>,
    /// See [`Options::policy`].
    pub(super) policy: Option<String>,
    /// See [`Options::workers`].
    pub(super) workers: Option<NonZeroUsize>,
    /// See [`Options::clocks`]; in microseconds.
    clocks_us: Vec<u64>,
    /// See [`Options::background`].
    #[serde(default)]
    pub(super) background: Option<Background>,
}

/// What is wrong with the ways at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Faults {
    /// How much longer everything takes to and from a node, each way, in microseconds.
    pub(super) slow_us: BTreeMap<u32, u64>,
    /// Nodes that reach only one another. Those that are in no group are one more.
    pub(super) groups: Vec<Vec<u32>>,
}

impl Shape {
    /// Makes what is asked for: the nodes' identities first, since ways are known by them.
    pub(super) fn make(
        folder: &Folder,
        nodes: u32,
        options: &Options,
    ) -> anyhow::Result<(Self, Option<Area>)> {
        let hosts = options.latency.as_ref().map(|file| {
            let mut matrix = matrix::read(file)?;
            for round_trip in matrix.round_trips.iter_mut().flatten() {
                *round_trip = round_trip.filter(|it| *it <= ROUND_TRIP_MAX);
            }
            let count = usize::try_from(nodes)?;
            let rows = matrix.choose(count, &mut Rng::from_seed(options.seed))?;
            anyhow::Ok((file.clone(), matrix.hosts(&rows)))
        });
        let hosts = hosts.transpose()?;
        let mut ids = Vec::new();
        for node in 1..=nodes {
            folder.create_node(node)?;
            let data = DataDir::open(&folder.node(node))?;
            ids.push(data.identity()?.node().0);
        }
        let shape = Self {
            nodes: ids,
            one_way_us: hosts
                .as_ref()
                .map(|(_, hosts)| ways(hosts, micros))
                .unwrap_or_default(),
            policy: options.policy.clone(),
            background: options.background.clone(),
            workers: options.workers,
            clocks_us: options.clocks.iter().copied().map(micros).collect(),
        };
        Ok((shape, hosts.map(|(file, hosts)| Area::of(file, &hosts))))
    }

    /// By how much the clock of a node is ahead.
    pub(super) fn clock_ahead(&self, node: u32) -> Duration {
        let micros = index(node).and_then(|index| self.clocks_us.get(index));
        Duration::from_micros(micros.copied().unwrap_or(0))
    }

    /// The way from each node to one of them, by who it leads from.
    pub(super) fn ways(&self, to: u32, faults: &Faults) -> BTreeMap<NodeId, Way> {
        let ways = (1..).zip(&self.nodes).map(|(from, id)| {
            let micros = index(from)
                .zip(index(to))
                .and_then(|(from, to)| self.one_way_us.get(from)?.get(to))
                .map_or(0, |micros| *micros);
            (
                NodeId(*id),
                faults.way(Duration::from_micros(micros), from, to),
            )
        });
        ways.collect()
    }
}

fn index(node: u32) -> Option<usize> {
    usize::try_from(node).ok()?.checked_sub(1)
}

fn micros(delay: Duration) -> u64 {
    u64::try_from(delay.as_micros()).unwrap_or(u64::MAX)
}

/// From each to each.
fn ways<T>(hosts: &Hosts, of: impl Fn(Duration) -> T) -> Vec<Vec<T>> {
    let all = 0..hosts.host_count();
    let row = |from| all.clone().map(|to| of(hosts.delay(from, to))).collect();
    all.clone().map(row).collect()
}

impl Area {
    fn of(file: PathBuf, hosts: &Hosts) -> Self {
        let all = 0..hosts.host_count();
        let pairs = all
            .clone()
            .flat_map(|from| all.clone().map(move |to| (from, to)))
            .filter(|(from, to)| from < to);
        let round_trips: Vec<f64> = pairs
            .map(|(a, b)| (hosts.delay(a, b) + hosts.delay(b, a)).as_secs_f64() * 1e3)
            .collect();
        let count = convert::count_to_f64(convert::size(round_trips.len().max(1)));
        Self {
            file,
            hosts: hosts.names().to_vec(),
            mean_round_trip_ms: round_trips.iter().sum::<f64>() / count,
            longest_round_trip_ms: round_trips.iter().copied().fold(0.0, f64::max),
            one_way: ways(hosts, |delay| delay),
        }
    }
}

impl Faults {
    /// What they make of a way.
    fn way(&self, delay: Duration, from: u32, to: u32) -> Way {
        let slow = |node| {
            let micros = self.slow_us.get(&node).copied().unwrap_or(0);
            Duration::from_micros(micros)
        };
        let side = |node| self.groups.iter().position(|group| group.contains(&node));
        Way {
            delay: delay.saturating_add(slow(from)).saturating_add(slow(to)),
            is_cut: side(from) != side(to),
        }
    }
}

/// Reads one of the files; nothing where it is not there.
pub(super) fn read<T: DeserializeOwned>(folder: &Folder, name: &str) -> anyhow::Result<Option<T>> {
    let path = folder.path().join(name);
    let text = match fs::read(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.with_context(|| path.display().to_string())?,
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).with_context(|| path.display().to_string())
}

/// Writes one of the files. Whoever reads it meanwhile finds all of it, or all of what was there before.
pub(super) fn write(folder: &Folder, name: &str, what: &impl Serialize) -> anyhow::Result<()> {
    let path = folder.path().join(name);
    let next = folder.path().join(format!("{name}.new"));
    fs::write(&next, serde_json::to_string(what)?)?;
    fs::rename(next, &path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_slow_both_ways_and_groups_reach_only_themselves() {
        let shape = Shape {
            nodes: (1..=4).map(|node| [node; 32]).collect(),
            one_way_us: (0..4)
                .map(|from| (0..4).map(|to| (from + 1) * 1000 + to + 1).collect())
                .collect(),
            policy: None,
            workers: None,
            clocks_us: Vec::new(),
            background: None,
        };
        let ways = |to, faults: &Faults| {
            let ways = shape.ways(to, faults).into_values();
            ways.map(|way| (way.delay.as_micros(), way.is_cut))
                .collect::<Vec<_>>()
        };
        let none = Faults::default();
        assert_eq!(
            ways(2, &none),
            [(1002, false), (2002, false), (3002, false), (4002, false)]
        );
        let slow = Faults {
            slow_us: BTreeMap::from([(1, 50_000)]),
            groups: vec![vec![1, 2], vec![3]],
        };
        assert_eq!(
            ways(1, &slow),
            [
                (101_001, false),
                (52_001, false),
                (53_001, true),
                (54_001, true)
            ]
        );
        assert_eq!(
            ways(4, &slow)[2],
            (3004, true),
            "the rest is a group as well"
        );
        assert_eq!(ways(4, &slow)[3], (4004, false));
    }

    #[test]
    fn nodes_stand_for_hosts_that_are_drawn_by_a_seed() {
        let around = tempfile::tempdir().unwrap();
        let folder = Folder::at(&around.path().join("testbed")).unwrap();
        folder.create().unwrap();
        let file = around.path().join("square.csv");
        fs::write(&file, "0,10,20\n10,0,60\n20,60,0\n").unwrap();
        let options = Options {
            latency: Some(file),
            seed: 1,
            clocks: vec![Duration::ZERO, Duration::from_hours(1)],
            ..Options::default()
        };
        let (shape, area) = Shape::make(&folder, 3, &options).unwrap();
        let area = area.unwrap();
        assert_eq!(area.hosts, ["1", "2", "3"]);
        assert!((area.mean_round_trip_ms - 30.0).abs() < 1e-9, "{area:?}");
        assert_eq!(shape.one_way_us[2], [10_000, 30_000, 0]);
        let ahead = |node| shape.clock_ahead(node);
        assert_eq!(
            [ahead(1), ahead(2), ahead(3)],
            [Duration::ZERO, Duration::from_hours(1), Duration::ZERO]
        );
        write(&folder, SHAPE, &shape).unwrap();
        assert_eq!(read::<Shape>(&folder, SHAPE).unwrap(), Some(shape));
        let error = Shape::make(&folder, 4, &options).unwrap_err();
        assert!(error.to_string().contains("4 hosts are asked"), "{error}");
    }
}
