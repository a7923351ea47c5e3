//! A round of probing, as it begins.

use std::sync::Arc;
use std::time::Duration;

use model::{CompositionId, Instant};

use super::{Phase, Session};
use crate::composer::{Composer, Outbox};
use crate::message::{Body, Probe};
use crate::policy::Search;
use crate::request::{Goal, HostIndex, Part};
use crate::share::{Coverage, Share};
use crate::spent::Stage;

/// How a round of probing asks. In the order in which they follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Round {
    /// Probes that others dominate are pruned.
    Pruning,
    /// The same, of other hosts: those before lacked something.
    Wider,
    /// None are, within what may be under way.
    Full,
    /// For the target that would be accepted, without reserving.
    Relaxed,
}

impl Composer {
    /// Begins a round: sends its first probes, one to the host of each source, and keeps the request until their ends have told.
    pub(super) fn begin_round(
        &mut self,
        now: Instant,
        id: CompositionId,
        mut session: Session,
        round: Round,
        out: &mut Outbox<'_>,
    ) {
        let config = &self.config;
        session.watch.enter(now, Stage::Probing);
        let is_trial = session.order.is_trial;
        let is_whole = config.policy.search() == Search::All;
        if round != Round::Wider {
            session.facts.clear_refused();
        }
        let target = session.relaxed.target;
        if round == Round::Relaxed {
            // What was too slow for one target may do for another.
            session.tried.clear();
            session.facts.ask_anew();
        }
        session.request = Arc::new(session.request.with(|body| {
            body.prunes = round != Round::Full && !is_whole;
            body.reserves = !is_trial && round != Round::Relaxed;
            if round == Round::Relaxed {
                body.target = target;
                body.goal = Goal::Offer;
            }
        }));
        session.number = session.number.saturating_add(1);
        let latency = session.order.plan.qos().latency;
        let longest = latency.saturating_mul(2);
        let collection = longest.clamp(config.collection_min, config.collection_max);
        let request = &session.request;
        session
            .asked
            .extend(request.body().hosts.iter().map(|it| it.node));
        let starts: Vec<(Part, HostIndex)> = (0..)
            .zip(&request.body().sources)
            .flat_map(|(number, source)| {
                let hosts = source.hosts.iter();
                hosts.map(move |host| (Part::Source(number), *host))
            })
            .collect();
        let shares = Share::WHOLE.split(starts.len());
        for ((part, host), share) in starts.into_iter().zip(shares) {
            let probe = Probe {
                id,
                round: session.number,
                failed: session.attempts,
                request: Arc::clone(request),
                share,
                sent: 1,
                path: Vec::new(),
                part,
                host,
                link: Duration::ZERO,
                delay: request.age(part, host),
            };
            out.send(request.node(host), Body::Probe(Box::new(probe)));
        }
        let phase = Phase::Probing {
            round,
            until: now + collection,
            coverage: Coverage::default(),
        };
        self.sessions.insert(id, (session, phase));
    }
}
