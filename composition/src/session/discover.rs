//! The beginning of a request: what runs already is looked up, and hosts for the rest are gathered.

use std::collections::BTreeSet;
use std::sync::Arc;

use model::{CompositionId, Entry, Instant, NodeView};

use super::{Phase, Relaxed, Round, Session, refuse};
use crate::candidates::{self, Known, Parts};
use crate::composer::{Composer, Outbox};
use crate::counts::Ignored;
use crate::discovery::{Discovery, ENTRIES, Split};
use crate::effect::{Effect, Reason};
use crate::facts::Facts;
use crate::order::Order;
use crate::policy::Sharing;
use crate::request::Request;
use crate::spent::{Stage, Watch};

impl Composer {
    pub(crate) fn on_compose(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        order: Order,
        out: &mut Outbox<'_>,
    ) {
        if self.sessions.contains_key(&id) {
            return self.counts.ignore(Ignored::Repeated);
        }
        if self.sessions.len() >= self.config.sessions_max {
            return refuse(id, Reason::Busy, None, None, (0, 0), out);
        }
        if !candidates::is_complete(&order) {
            return refuse(id, Reason::Infeasible, None, None, (0, 0), out);
        }
        let session = Session {
            order,
            discovery: Discovery::default(),
            split: Split::default(),
            parts: Parts::default(),
            request: Arc::new(Request::nothing()),
            facts: Facts::default(),
            number: 0,
            attempts: 0,
            attempts_here: 0,
            closest: None,
            wider_count: 0,
            relaxed: Relaxed::default(),
            tried: BTreeSet::new(),
            asked: BTreeSet::new(),
            watch: Watch::start(now),
            probe_count: 0,
            binding: None,
        };
        self.discover(now, view, id, session, out);
    }

    /// Looks up what runs already, a level after the other; then asks hosts for the rest.
    pub(super) fn discover(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        out: &mut Outbox<'_>,
    ) {
        session.watch.enter(now, Stage::Discovery);
        let sharing = self.config.policy.sharing();
        let Self {
            lookups,
            next_lookup,
            ..
        } = self;
        let number = || {
            *next_lookup += 1;
            lookups.insert(*next_lookup, id);
            *next_lookup
        };
        let order = &session.order;
        let split = match session.discovery.next(now, view, order, sharing, number) {
            Ok(split) => split,
            Err(asks) => {
                for (lookup, key) in asks {
                    let count = ENTRIES;
                    out.effect(Effect::Lookup { lookup, key, count });
                }
                self.sessions.insert(id, (session, Phase::Discovering));
                return;
            }
        };
        let known = Known {
            view,
            hosts: &session.discovery.hosts,
            heard: &self.heard,
        };
        let gathered = candidates::gather(&known, order, &self.config, &split, &mut self.rng);
        let (request, parts) = match gathered {
            Ok(gathered) => gathered,
            Err(binding) => {
                self.release_all(now, id, &session, out);
                let counts = session.counts();
                return refuse(id, Reason::Infeasible, binding, None, counts, out);
            }
        };
        session.facts = Facts::default();
        session.tried.clear();
        session.attempts_here = 0;
        if parts.operators.is_empty() && !split.shared.is_empty() && split.sources.is_empty() {
            // All that is asked for runs already.
            session.facts.assume(view, &request);
        }
        session.request = Arc::new(request);
        session.split = split;
        session.parts = parts;
        if !session.facts.is_empty() {
            return self.finish_round(now, view, id, session, (Round::Pruning, true), out);
        }
        self.begin_round(now, id, session, Round::Pruning, out);
    }

    /// The overlay says what runs already.
    pub(crate) fn on_found(
        &mut self,
        now: Instant,
        view: &NodeView,
        lookup: u64,
        entries: &[Entry],
        out: &mut Outbox<'_>,
    ) {
        let Some(id) = self.lookups.remove(&lookup) else {
            return self.counts.ignore(Ignored::Late);
        };
        let Some((session, phase)) = self.sessions.get_mut(&id) else {
            return self.counts.ignore(Ignored::Late);
        };
        let is_all = session
            .discovery
            .found(view, &session.order, lookup, entries);
        if is_all
            && matches!(phase, Phase::Discovering)
            && let Some((session, _)) = self.sessions.remove(&id)
        {
            self.discover(now, view, id, session, out);
        }
    }

    /// Nothing came about with what is shared: less is.
    pub(crate) fn share_less(
        &mut self,
        now: Instant,
        view: &NodeView,
        id: CompositionId,
        mut session: Session,
        out: &mut Outbox<'_>,
    ) {
        if self.config.policy.sharing() == Sharing::Fallback
            && session.discovery.pass_over(&session.split)
        {
            self.release_tried(now, id, &session, out);
            return self.discover(now, view, id, session, out);
        }
        self.try_next(now, view, id, session, Vec::new(), out);
    }
}
