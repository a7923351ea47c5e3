//! The network between hosts: rules that are asked in order for each message, each of which may change the verdict.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use model::{Instant, Rng, convert};

use crate::topology::Topology;

/// A message that is sent.
#[derive(Debug, Clone, Copy)]
pub struct Passing {
    /// When.
    pub now: Instant,
    /// By whom.
    pub from: usize,
    /// To whom.
    pub to: usize,
    /// How large it is as it is encoded. Unit: bytes.
    pub bytes: usize,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Verdict {
    /// How long it is under way.
    pub delay: Duration,
    /// By how much each copy may come later, so that some overtake others.
    pub jitter: Duration,
    /// How many more copies come.
    pub repeats: u8,
    /// It is lost, and nobody is told.
    pub is_lost: bool,
    /// It is lost, and the sender hears so after a while, as where a connection breaks.
    pub is_cut: bool,
}

/// A rule of the network.
pub trait Rule: Debug + Send {
    /// Changes the verdict of those before it.
    fn judge(&mut self, passing: &Passing, verdict: &mut Verdict, rng: &mut Rng);

    /// Whether nothing comes from one host to another as long as it is there.
    fn cuts(&self, _from: usize, _to: usize) -> bool {
        false
    }
}

/// The delay of the way, as a topology has it.
#[derive(Debug)]
pub struct Ways(pub Arc<dyn Topology>);

impl Rule for Ways {
    fn judge(&mut self, passing: &Passing, verdict: &mut Verdict, _rng: &mut Rng) {
        verdict.delay += self.0.delay(passing.from, passing.to);
    }
}

/// What hosts can send: one message after the other.
#[derive(Debug)]
pub struct Uplinks {
    bytes_per_second: Vec<f64>,
    free_at: Vec<Instant>,
}

impl Uplinks {
    /// Of each host, in bytes per second.
    pub fn new(bytes_per_second: Vec<f64>) -> Self {
        let free_at = vec![Instant::ZERO; bytes_per_second.len()];
        Self {
            bytes_per_second,
            free_at,
        }
    }
}

impl Rule for Uplinks {
    fn judge(&mut self, passing: &Passing, verdict: &mut Verdict, _rng: &mut Rng) {
        let rate = self.bytes_per_second[passing.from];
        if rate <= 0.0 {
            verdict.is_lost = true;
            return;
        }
        let bytes = convert::count_to_f64(convert::size(passing.bytes));
        let begins = self.free_at[passing.from].max(passing.now);
        let ends = begins + convert::seconds(bytes / rate);
        self.free_at[passing.from] = ends;
        verdict.delay += ends - passing.now;
    }
}

/// Some messages are lost.
#[derive(Debug)]
pub struct Loss(
    /// Which part of them: a fraction.
    pub f64,
);

impl Rule for Loss {
    fn judge(&mut self, _passing: &Passing, verdict: &mut Verdict, rng: &mut Rng) {
        verdict.is_lost |= rng.fraction() < self.0;
    }
}

/// Some messages come twice.
#[derive(Debug)]
pub struct Duplicate(
    /// Which part of them: a fraction.
    pub f64,
);

impl Rule for Duplicate {
    fn judge(&mut self, _passing: &Passing, verdict: &mut Verdict, rng: &mut Rng) {
        verdict.repeats += u8::from(rng.fraction() < self.0);
    }
}

/// Messages come later by as much as this, each by another time: some overtake others.
#[derive(Debug)]
pub struct Jitter(
    /// The most.
    pub Duration,
);

impl Rule for Jitter {
    fn judge(&mut self, _passing: &Passing, verdict: &mut Verdict, _rng: &mut Rng) {
        verdict.jitter += self.0;
    }
}

/// The network falls apart: some hosts reach only each other, and the others only themselves.
#[derive(Debug)]
pub struct Partition(
    /// The hosts of one side.
    pub BTreeSet<usize>,
);

impl Rule for Partition {
    fn judge(&mut self, passing: &Passing, verdict: &mut Verdict, _rng: &mut Rng) {
        verdict.is_cut |= self.cuts(passing.from, passing.to);
    }

    fn cuts(&self, from: usize, to: usize) -> bool {
        self.0.contains(&from) != self.0.contains(&to)
    }
}

/// A host takes longer for everything that it sends and hears.
#[derive(Debug)]
pub struct Slow {
    /// Which.
    pub host: usize,
    /// By how much.
    pub by: Duration,
}

impl Rule for Slow {
    fn judge(&mut self, passing: &Passing, verdict: &mut Verdict, _rng: &mut Rng) {
        if passing.from == self.host || passing.to == self.host {
            verdict.delay += self.by;
        }
    }
}

/// All rules: those that always hold, then those that were added as faults.
#[derive(Debug)]
pub(super) struct Network {
    always: Vec<Box<dyn Rule>>,
    faults: Vec<Box<dyn Rule>>,
    rng: Rng,
}

impl Network {
    pub(super) fn new(always: Vec<Box<dyn Rule>>, rng: Rng) -> Self {
        Self {
            always,
            faults: Vec::new(),
            rng,
        }
    }

    pub(super) fn add_fault(&mut self, rule: Box<dyn Rule>) {
        self.faults.push(rule);
    }

    pub(super) fn clear_faults(&mut self) {
        self.faults.clear();
    }

    /// What becomes of a message.
    pub(super) fn judge(&mut self, passing: &Passing) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in self.always.iter_mut().chain(&mut self.faults) {
            rule.judge(passing, &mut verdict, &mut self.rng);
        }
        verdict
    }

    /// What becomes of a frame on a stream, which loses, repeats and reorders nothing: the delay of the way and the wait
    /// before it, and whether it is cut.
    pub(super) fn judge_stream(&mut self, passing: &Passing) -> Verdict {
        let mut verdict = Verdict::default();
        for rule in &mut self.always {
            rule.judge(passing, &mut verdict, &mut self.rng);
        }
        verdict.is_cut |= self.cuts(passing.from, passing.to);
        verdict
    }

    /// How long one copy of a message is under way.
    pub(super) fn delay(&mut self, verdict: &Verdict) -> Duration {
        if verdict.jitter.is_zero() {
            return verdict.delay;
        }
        verdict.delay + verdict.jitter.mul_f64(self.rng.fraction())
    }

    /// Whether nothing comes from one host to another now.
    pub(super) fn cuts(&self, from: usize, to: usize) -> bool {
        let mut rules = self.always.iter().chain(&self.faults);
        rules.any(|rule| rule.cuts(from, to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn passing(from: usize, to: usize, bytes: usize) -> Passing {
        Passing {
            now: Instant::from_nanos(1),
            from,
            to,
            bytes,
        }
    }

    fn network(rules: Vec<Box<dyn Rule>>) -> Network {
        Network::new(rules, Rng::from_seed(1))
    }

    #[test]
    fn an_uplink_sends_one_message_after_the_other() {
        let mut network = network(vec![Box::new(Uplinks::new(vec![1000.0, 0.0]))]);
        let delays = [0, 1].map(|_| network.judge(&passing(0, 1, 500)).delay);
        assert_eq!(delays, [500, 1000].map(Duration::from_millis));
        assert!(network.judge(&passing(1, 0, 1)).is_lost);
    }

    #[test]
    fn a_partition_cuts_both_ways_and_only_between_its_sides() {
        let network = network(vec![Box::new(Partition([0, 1].into()))]);
        let cuts = |from, to| network.cuts(from, to);
        assert!(cuts(0, 2) && cuts(2, 1));
        assert!(!cuts(0, 1) && !cuts(2, 3));
    }

    #[test]
    fn faults_are_as_frequent_as_they_say_and_end() {
        let mut network = network(Vec::new());
        network.add_fault(Box::new(Loss(0.2)));
        network.add_fault(Box::new(Duplicate(0.5)));
        let verdicts: Vec<_> = (0..2000)
            .map(|_| network.judge(&passing(0, 1, 9)))
            .collect();
        let lost = verdicts.iter().filter(|it| it.is_lost).count();
        let twice = verdicts.iter().filter(|it| it.repeats == 1).count();
        assert!((300..500).contains(&lost), "{lost}");
        assert!((850..1150).contains(&twice), "{twice}");
        network.clear_faults();
        assert_eq!(network.judge(&passing(0, 1, 9)), Verdict::default());
    }

    #[test]
    fn jitter_lets_messages_overtake_one_another() {
        let mut network = network(vec![Box::new(Jitter(Duration::from_millis(10)))]);
        let delays: Vec<_> = (0..20)
            .map(|_| {
                let verdict = network.judge(&passing(0, 1, 9));
                network.delay(&verdict)
            })
            .collect();
        assert!(!delays.is_sorted());
        assert!(delays.iter().all(|it| *it < Duration::from_millis(10)));
    }
}
