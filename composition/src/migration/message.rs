//! What hosts say to each other of a migration.

use std::time::Duration;

use model::{ApplicationId, ComponentGraph, CompositionId, NodeId};

use crate::message::{Decline, Told, Wants};
use crate::policy::Projection;
use crate::queue::Job;

/// Which migration: nobody uses one twice.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct MigrationId {
    /// What is moved is of this composition.
    pub composition: CompositionId,
    /// The generation of its graph that comes of it: one more than that of the graph before.
    pub generation: u64,
    /// Who moves it: a host of the graph before.
    pub by: NodeId,
    /// Which of the attempts of that host with that composition: of 256 in a row each has its own.
    pub attempt: u8,
}

/// Something that is said of a migration.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Said {
    pub(crate) id: MigrationId,
    pub(crate) word: Word,
}

/// What is said.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) enum Word {
    /// To every host of the graphs before and after: make ready for the graph after.
    Prepare(Box<Prepare>),
    /// To who moves: it is ready.
    Prepared(Box<Prepared>),
    /// To who moves: it is not, and holds nothing of it.
    Declined(Decline),
    /// To every host of both graphs, from who moves and from each other: the graph after holds from now on.
    Switch,
    /// To whoever said to switch: it does here.
    Switched,
    /// To everybody who was asked to prepare: it does not come about.
    Abandon,
}

/// What a host is to make ready for.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub(crate) struct Prepare {
    pub(crate) application: ApplicationId,
    /// The attempt of the composition that came about.
    pub(crate) attempt: u8,
    /// The graph as it is to be.
    pub(crate) graph: ComponentGraph,
    /// Which operator goes elsewhere.
    pub(crate) operator: u16,
    /// Where it runs, and has its state.
    pub(crate) from: NodeId,
    /// What it takes, and can wait.
    pub(crate) job: Job,
    pub(crate) wants: Wants,
    pub(crate) projection: Projection,
    /// The delay of the graph as it is.
    pub(crate) delay: Duration,
    /// How old what each operator of the plan yields is.
    pub(crate) ages: Vec<Duration>,
}

impl Prepare {
    /// Whether a host was of the graph before, too: who has nothing of it any more has lost what it had.
    pub(crate) fn was_of(&self, host: NodeId) -> bool {
        let graph = &self.graph;
        let operators = (0..).zip(graph.operators());
        let mut others = operators.filter(|(index, _)| *index != self.operator);
        let mut ends = graph.sources().iter().chain(graph.sinks());
        self.from == host
            || others.any(|(_, binding)| binding.host == host)
            || ends.any(|binding| binding.host == host)
            || graph.backups().iter().flatten().any(|it| *it == host)
    }
}

/// What a host tells that is ready.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Prepared {
    /// Of each operator and sink of the graph after that is there.
    pub(crate) told: Vec<Told>,
    /// The state that it has taken over.
    pub(crate) taken: Taken,
}

/// State that a host has taken over for an operator that comes; nothing of each where none did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, bincode::Encode, bincode::Decode)]
pub struct Taken {
    /// How much memory it holds. Unit: bytes.
    pub state_bytes: u64,
    /// How much came over the network for it. Unit: bytes.
    pub sent_bytes: u64,
    /// How long that took, from when its first piece was there until it could go on from it.
    pub transfer: Duration,
}

impl Said {
    /// All times in it.
    pub(crate) fn times(&self) -> impl Iterator<Item = Duration> + '_ {
        let (own, told): (Vec<Duration>, &[Told]) = match &self.word {
            Word::Prepare(it) => {
                let ages = it.ages.iter().copied();
                (ages.chain([it.delay, it.job.laxity]).collect(), &[])
            }
            Word::Prepared(it) => (vec![it.taken.transfer], &it.told),
            Word::Declined(_) | Word::Switch | Word::Switched | Word::Abandon => (Vec::new(), &[]),
        };
        let links = told.iter().flat_map(|told| told.links.iter());
        let told = told.iter().map(|told| told.execution);
        own.into_iter().chain(told).chain(links.map(|(_, it)| *it))
    }
}

type DecodeError = bincode::error::DecodeError;

impl<Context> bincode::Decode<Context> for Prepare {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let prepare = Self {
            application: ApplicationId::decode(decoder)?,
            attempt: u8::decode(decoder)?,
            graph: ComponentGraph::decode(decoder)?,
            operator: u16::decode(decoder)?,
            from: NodeId::decode(decoder)?,
            job: Job::decode(decoder)?,
            wants: Wants::decode(decoder)?,
            projection: Projection::decode(decoder)?,
            delay: Duration::decode(decoder)?,
            ages: Vec::decode(decoder)?,
        };
        let plan = prepare.graph.plan();
        let operators = plan.operators().len();
        let is_whole = usize::from(prepare.operator) < operators
            && prepare.wants.fits(plan)
            && prepare.ages.len() == operators;
        if !is_whole {
            return Err(DecodeError::Other("a migration of another plan"));
        }
        if !prepare.job.is_valid() {
            return Err(DecodeError::Other("a component that takes no amount"));
        }
        Ok(prepare)
    }
}
bincode::impl_borrow_decode!(Prepare);
