//! What is placed: a chain of operators on hosts that are drawn.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{NodeId, Resources, Rng, convert};
use placement::replicas::{Component, End, Host, Link, Placement, Policy, Request, usable};

use super::drawn;
use crate::experiment::build_up;
use crate::simulator::coordinates;
use crate::topology::Topology;

/// How many hosts there are, operators, and hosts that can run each of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) hosts: usize,
    pub(super) operators: usize,
    pub(super) candidates: usize,
}

/// How many hosts each operator has. Source: papers, section 9.5.
pub(super) const RANKS: usize = 2;

/// Between what hosts are available. Source: papers, section 9.5.
const AVAILABLE: (f64, f64) = (0.85, 0.99);

/// The most that others take of a host. Unit: fraction. Source: papers, section 11.
const BACKGROUND: f64 = 0.4;

/// What an operator asks of a processor of one, where it runs and where it is held ready. Source: guess; a host has room for five
/// and more, so that nobody has room for all.
const ASKED: f64 = 0.1;

/// A request, and the network that its hosts are in.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) request: Request,
    topology: Arc<dyn Topology>,
}

impl Case {
    /// A chain from a drawn host to a drawn host, of operators that drawn hosts can run.
    pub(super) fn draw(seed: u64, size: Size) -> Self {
        let topology = build_up::topology(seed, size.hosts);
        let mut rng = drawn(seed, "hosts");
        let coordinates = coordinates::settled(&*topology, &mut rng);
        let whole = Resources {
            cpu_cores: 1.0,
            memory_bytes: 1 << 30,
            uplink_bytes_per_second: 10e6 / 8.0,
        };
        let hosts = coordinates.into_iter().enumerate();
        let hosts: Vec<Host> = hosts
            .map(|(number, coordinate)| {
                let background = Resources {
                    cpu_cores: BACKGROUND * rng.fraction(),
                    ..Resources::default()
                };
                let mut node = NodeId([0; 32]);
                node.0[..8].copy_from_slice(&convert::size(number).to_be_bytes());
                Host {
                    node,
                    room: usable(&whole, &background),
                    coordinate,
                    available: AVAILABLE.0 + (AVAILABLE.1 - AVAILABLE.0) * rng.fraction(),
                }
            })
            .collect();
        let pick = |rng: &mut Rng| convert::index(rng.below(convert::size(size.hosts)));
        let ends = [pick(&mut rng), pick(&mut rng)];
        // Each operator draws on its own, so that a longer chain begins as a shorter one does.
        let component = |operator: usize| {
            let mut rng = drawn(seed, &format!("operator {operator}"));
            let mut candidates = BTreeSet::new();
            while candidates.len() < size.candidates {
                candidates.insert(pick(&mut rng));
            }
            let asked = Resources {
                cpu_cores: ASKED,
                ..Resources::default()
            };
            Component {
                active: asked,
                standby: asked,
                state_bytes_per_second: 0.0,
                ranks: RANKS,
                candidates: candidates.into_iter().collect(),
                primary: None,
                weight: 1.0,
            }
        };
        let place = |number: usize| match number {
            0 => End::Host(ends[0]),
            last if last == size.operators + 1 => End::Host(ends[1]),
            operator => End::Component(operator - 1),
        };
        let link = |number: usize| Link {
            from: place(number),
            to: place(number + 1),
            weight: 1.0,
        };
        Self {
            request: Request {
                hosts,
                components: (0..size.operators).map(component).collect(),
                links: (0..=size.operators).map(link).collect(),
            },
            topology,
        }
    }

    /// The same case, where operators run already on the hosts that a policy ranks first; nothing where it finds none.
    pub(super) fn with_primaries(&self, policy: &dyn Policy, rng: &mut Rng) -> Option<Self> {
        let placement = policy.place(&self.request, rng).ok()?;
        let mut request = self.request.clone();
        for (component, ranked) in request.components.iter_mut().zip(placement.ranked) {
            component.primary = Some(ranked[0]);
            let host = &mut request.hosts[ranked[0]];
            host.room = host.room - component.active;
        }
        Some(Self {
            request,
            topology: Arc::clone(&self.topology),
        })
    }

    /// The delays of a placement in milliseconds: along the chain, and from primaries to backups.
    pub(super) fn delays_ms(&self, placement: &Placement) -> (f64, f64) {
        let true_cost = self.request.cost_by(placement, |from, to| {
            self.topology.delay(from, to).as_secs_f64()
        });
        (true_cost.between * 1e3, true_cost.within * 1e3)
    }
}
