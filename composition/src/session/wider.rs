//! Other hosts are asked where those that were lack something.

use std::sync::Arc;

use model::{CompositionId, Instant, NodeView};

use super::{Round, Session};
use crate::candidates::{self, Known};
use crate::composer::{Composer, Outbox};
use crate::effect::Check;
use crate::merge::Blocked;
use crate::policy::Search;
use crate::request::{Part, Request};

/// How many rounds of a request ask other hosts.
///
/// Unit: rounds, each of eight more hosts for one operator. Source: all of 128 known hosts for two operators.
const WIDER_MAX: u8 = 32;

impl Composer {
    /// The request with other hosts for the operator that nothing was found for: nothing where that does not lie in the hosts, or all were asked.
    pub(super) fn widen(
        &self,
        view: &NodeView,
        session: &Session,
        blocked: &Blocked,
    ) -> Option<Request> {
        let mut lacks = blocked.lacks.values();
        let is_late = lacks.all(|lack| lack.check == Check::Delay);
        let part = match blocked.part {
            // What comes too late to a sink may come earlier from elsewhere.
            Part::Sink(index) => session.request.body().sinks[usize::from(index)].input,
            // Nobody has asked for it.
            Part::Source(_) | Part::Operator(_) if blocked.lacks.is_empty() => return None,
            part @ (Part::Source(_) | Part::Operator(_)) => part,
        };
        self.other_hosts(view, session, (part, is_late))
    }

    /// The same, for the first operator that a host declined when it was to confirm it.
    pub(crate) fn widen_declined(&self, view: &NodeView, session: &Session) -> Option<Request> {
        let mut parts = session.facts.declined();
        parts.find_map(|part| self.other_hosts(view, session, (part, false)))
    }

    fn other_hosts(
        &self,
        view: &NodeView,
        session: &Session,
        (part, is_late): (Part, bool),
    ) -> Option<Request> {
        let Part::Operator(number) = part else {
            return None;
        };
        let is_search = self.config.policy.search() == Search::Probing;
        if !is_search || session.wider_count >= WIDER_MAX {
            return None;
        }
        let known = Known {
            view,
            hosts: &session.discovery.hosts,
            heard: &self.heard,
        };
        candidates::widen(
            &known,
            &session.order,
            &self.config,
            (&session.split, &session.parts),
            (&session.request, &session.facts),
            (number, is_late),
        )
    }

    /// Begins a round of a request that asks other hosts.
    pub(crate) fn ask_others(
        &mut self,
        now: Instant,
        id: CompositionId,
        mut session: Session,
        request: Request,
        out: &mut Outbox<'_>,
    ) {
        self.release_tried(now, id, &session, out);
        session.wider_count += 1;
        session.attempts_here = 0;
        session.request = Arc::new(request);
        self.begin_round(now, id, session, Round::Wider, out);
    }
}
