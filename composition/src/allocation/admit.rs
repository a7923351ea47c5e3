//! Whom a host comes to serve, and whether anybody suffers from it.

use model::{ApplicationId, ComponentGraph, CompositionId, NodeId, NodeView};

use crate::composer::Composer;
use crate::ledger::Claim;
use crate::measure::Lack;
use crate::message::Decline;
use crate::policy::Projection;
use crate::queue::Job;
use crate::request::number;
use crate::serving::{Change, Charge, Newcomer, Ranks, Shared};
use crate::stream::Before;

impl Composer {
    /// Takes in who comes with a graph, of which so much leaves this host, if there is room and nobody who is served suffers: whom that slows,
    /// and by how much.
    ///
    /// # Errors
    /// Why not; nothing of it is here then.
    pub(crate) fn take_in(
        &mut self,
        view: &NodeView,
        claim: Claim,
        newcomer: Newcomer,
        leaves: f64,
        projection: Projection,
    ) -> Result<Vec<Charge>, Decline> {
        let room = self.make_room(view, claim, &newcomer, leaves);
        room.map_err(|lack| {
            self.counts.refuse(lack.check);
            Decline::Lacks(lack)
        })?;
        self.admit(view, claim.id, newcomer, projection)
    }

    /// Serves somebody, or more of somebody, if nobody who is served suffers.
    fn admit(
        &mut self,
        view: &NodeView,
        id: CompositionId,
        newcomer: Newcomer,
        projection: Projection,
    ) -> Result<Vec<Charge>, Decline> {
        let change = Change {
            newcomers: newcomer.own.iter().map(|(_, _, job, _)| *job).collect(),
            stricter: self.serving.stricter(&newcomer.shared),
        };
        let mut charges = Vec::new();
        if projection != Projection::None {
            let ranked = Ranks::both(id).map(|ranks| {
                let queue =
                    |change: &Change| self.serving.queue(view, projection, 0.0, ranks, change);
                (ranks, queue(&Change::default()), queue(&change))
            });
            charges = self.serving.charges(&ranked, &change, id);
            if let Some((suffers, increase, slack)) = self.serving.suffering(&charges, 1) {
                let lack = Lack::of_impact(suffers, increase, slack);
                self.counts.refuse(lack.check);
                return Err(Decline::Lacks(lack));
            }
        }
        self.serving.admit(id, newcomer).map_err(|_| {
            Decline::failed("what it was to be shared from does not run here any more")
        })?;
        self.serving.slow(&charges);
        Ok(charges)
    }
}

/// Who comes with a graph: what of it is here and was not with the one before, where there was one; each as its job says.
pub(crate) fn newcomer(
    here: NodeId,
    application: ApplicationId,
    (before, graph): (Option<&ComponentGraph>, &ComponentGraph),
    job: impl Fn(usize) -> Job,
) -> Newcomer {
    let plan = graph.plan();
    let new = graph.operators().iter().enumerate().filter(|(index, at)| {
        at.host == here && before.is_none_or(|before| before.operators()[*index] != **at)
    });
    let (shared, own): (Vec<_>, Vec<_>) = new.partition(|(_, at)| at.shared);
    let stream = |index: usize| Before::Operator(index).stream(plan);
    Newcomer {
        application,
        sink: graph.sinks()[0].host,
        target: plan.qos().latency,
        own: own
            .into_iter()
            .map(|(index, _)| {
                let made_of = graph.made_of(index);
                (stream(index), number(index), job(index), made_of)
            })
            .collect(),
        shared: shared
            .into_iter()
            .map(|(index, _)| Shared {
                stream: stream(index),
                operator: number(index),
                made_of: graph.made_of(index),
                laxity: job(index).laxity,
            })
            .collect(),
    }
}
