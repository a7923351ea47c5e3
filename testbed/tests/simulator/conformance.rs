//! The model of the overlay, held to the cases that production's overlay is held to in memory and over libp2p.

use std::sync::Arc;
use std::time::Duration;

use model::{
    Coordinate, HostSummary, Instant, LoadInterval, NodeId, Outcome, Query, Resources, Rng,
};
use overlay::suite::{Bed, CASES};
use overlay::{Identity, Message};
use testbed::simulator::overlay::{Overlay, Ways};

/// As long a way from everywhere to everywhere.
struct Equal;

impl Ways for Equal {
    fn delay(&self, _from: usize, _to: usize) -> Option<Duration> {
        Some(Duration::from_millis(10))
    }
}

struct Modelled {
    overlay: Overlay,
    now: Instant,
}

impl Modelled {
    fn new(count: usize) -> Self {
        let mut bed = Self {
            overlay: Overlay::new(Rng::from_seed(3)),
            now: Instant::ZERO,
        };
        for _ in 0..count {
            bed.join();
        }
        bed.pass(Duration::from_secs(3));
        bed
    }

    fn join(&mut self) -> usize {
        let number = u8::try_from(self.overlay.node_count()).expect("few nodes");
        let identity = Identity::from_secret([number + 1; 32]);
        let summary = HostSummary {
            node: identity.node(),
            name: format!("n{number}"),
            addresses: vec![format!("/ip4/127.0.0.1/tcp/{}", 4000 + u16::from(number))],
            coordinate: Coordinate::default(),
            load: LoadInterval::default(),
            capacity: Resources::default(),
            labels: std::collections::BTreeMap::new(),
            operators: None,
            version: 1,
        };
        self.overlay.join(self.now, identity, Arc::new(summary))
    }
}

impl Bed for Modelled {
    fn node_count(&self) -> usize {
        self.overlay.node_count()
    }

    fn identity(&self, node: usize) -> Identity {
        self.overlay.identity(node).clone()
    }

    fn start(&mut self, _via: usize) -> usize {
        self.join()
    }

    fn query(&mut self, node: usize, query: Query) -> Outcome {
        let asked = self.overlay.ask(self.now, node, query, &Equal);
        assert!(
            asked.cost.time <= Duration::from_secs(3),
            "{:?}",
            asked.cost
        );
        self.pass(asked.cost.time);
        asked.outcome
    }

    fn crash(&mut self, node: usize) {
        self.overlay.crash(self.now, node, &Equal);
    }

    fn leave(&mut self, node: usize) {
        self.overlay.leave(self.now, node, &Equal);
        self.pass(Duration::from_secs(1));
    }

    /// The model has everybody know everybody where there are few; who knows whom among many is not the overlay's.
    fn hosts(&mut self, node: usize) -> Vec<NodeId> {
        let others = (0..self.overlay.node_count()).filter(|it| *it != node);
        let up = others.filter(|it| self.overlay.is_up(*it));
        up.map(|it| self.overlay.identity(it).node()).collect()
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.overlay.poll_timeout()
            && at <= until
        {
            self.now = self.now.max(at);
            self.overlay.on_timeout(self.now, &Equal);
        }
        self.now = until;
    }

    /// Its nodes say nothing but what it has them say: the case that has them lie is of the other beds.
    fn say(&mut self, _from: usize, _to: usize, _message: Message) -> bool {
        false
    }

    fn refused(&mut self, node: usize) -> u64 {
        self.overlay.refused(node)
    }
}

#[test]
#[expect(
    clippy::print_stdout,
    reason = "shown where a case fails: which one it was"
)]
fn the_model_passes_the_cases_of_the_overlay() {
    for case in CASES {
        println!("{}", case.name);
        let mut bed = Modelled::new(case.node_count);
        (case.run)(&mut bed);
    }
}

#[test]
fn a_look_up_among_many_takes_hops_and_among_few_none() {
    for (count, hops) in [(10, 0), (60, 1)] {
        let mut bed = Modelled::new(count);
        let key = model::Key::published("lab/flows");
        let ask = Query::Lookup {
            key,
            near: None,
            count: 8,
        };
        let asked = bed.overlay.ask(bed.now, 0, ask, &Equal);
        assert_eq!(asked.cost.hops, hops);
        // Five are asked and answer, one of them perhaps this one; a hop asks three.
        assert!((8..=10 + 6 * hops).contains(&asked.cost.messages));
    }
}
