//! What composers say to each other.

use std::sync::Arc;
use std::time::Duration;

use model::plan::Stream;
use model::{ApplicationId, ComponentGraph, CompositionId, NodeId, QueryPlan};

use crate::effect::Check;
use crate::measure::{Lack, Spare};
use crate::migration::Said;
use crate::order::Place;
use crate::policy::Projection;
use crate::queue::Job;
use crate::request::{HostIndex, PATH_MAX, Part, Request, TARGET_MAX};
use crate::serving::Charge;
use crate::share::Share;

/// The longest text of why something could not be deployed. Unit: bytes. Source: guess; a sentence.
pub(crate) const TEXT_BYTES_MAX: usize = 256;

/// What composers of two nodes say to each other. What it says is for them alone.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Message(pub(crate) Body);

#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) enum Body {
    /// To the host that is probed.
    Probe(Box<Probe>),
    /// To the composing node: a probe has come to an end.
    Ended(Box<Ended>),
    /// To a host of a graph: turn what is reserved into an allocation and deploy.
    Confirm(Box<Confirm>),
    /// To the composing node: it is deployed.
    Confirmed(Box<Confirmed>),
    /// To the composing node: it is not, or no longer, deployed.
    Declined {
        id: CompositionId,
        attempt: u8,
        why: Decline,
    },
    /// To the host of a sink: the applications whose results leave there would be slowed.
    Charge {
        id: CompositionId,
        attempt: u8,
        charges: Vec<(CompositionId, Duration)>,
        /// The delay of the graph itself, where its own sink is told: from now on that can be asked what it can spare.
        delay: Option<Duration>,
    },
    /// To the composing node: they may be.
    Granted { id: CompositionId, attempt: u8 },
    /// To all hosts of a graph, from the composing node and from each other: everybody has confirmed.
    Start(Box<Start>),
    /// To whoever said to start: it has started.
    Started { id: CompositionId, attempt: u8 },
    /// To a host that was probed: let go of what is held, up to this attempt.
    Release { id: CompositionId, attempt: u8 },
    /// To whoever said to release: nothing of it is held.
    Released { id: CompositionId, attempt: u8 },
    /// To the host upstream of a part: how long is the way?
    Ping { id: CompositionId, attempt: u8 },
    /// To whoever asked.
    Pong { id: CompositionId, attempt: u8 },
    /// To the hosts of a graph, from that of a sink: this is its delay now.
    Delay { id: CompositionId, delay: Duration },
    /// Of an operator that is to run elsewhere, between the host that gives it away and the hosts of the graph.
    Migration(Box<Said>),
}

impl Body {
    /// Whether no time in it is longer than any target: sums of them are times.
    pub(crate) fn is_bounded(&self) -> bool {
        fn all(mut times: impl Iterator<Item = Duration>) -> bool {
            times.all(|it| it <= TARGET_MAX)
        }
        match self {
            Self::Probe(it) => all(&mut it
                .path
                .iter()
                .map(|hop| hop.link)
                .chain([it.link, it.delay])),
            Self::Ended(it) => all(it.path.iter().map(|hop| hop.link)),
            Self::Confirm(it) => all(it.jobs.iter().map(|job| job.laxity)),
            Self::Confirmed(it) => {
                let links = it
                    .told
                    .iter()
                    .flat_map(|told| told.links.iter().map(|link| link.1));
                let executions = it.told.iter().map(|told| told.execution);
                let increases = it.charges.iter().map(|charge| charge.increase);
                all(links.chain(executions).chain(increases))
            }
            Self::Charge { charges, delay, .. } => {
                all(charges.iter().map(|(_, increase)| *increase).chain(*delay))
            }
            Self::Start(it) => all(it.ages.iter().copied().chain([it.delay])),
            Self::Delay { delay, .. } => *delay <= TARGET_MAX,
            Self::Migration(said) => all(said.times()),
            Self::Declined { .. }
            | Self::Granted { .. }
            | Self::Started { .. }
            | Self::Release { .. }
            | Self::Released { .. }
            | Self::Ping { .. }
            | Self::Pong { .. } => true,
        }
    }
}

/// A probe on its way to a part's candidate.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub(crate) struct Probe {
    pub(crate) id: CompositionId,
    /// Which of the composing node's rounds of probing it belongs to.
    pub(crate) round: u8,
    /// How many graphs had failed before the round.
    pub(crate) failed: u8,
    pub(crate) request: Arc<Request>,
    pub(crate) share: Share,
    /// How many probes were sent that no other end will tell of: this one and its ancestors of which it is the first child.
    pub(crate) sent: u32,
    /// The hops behind it, from a source on.
    pub(crate) path: Vec<Hop>,
    /// What it probes for, and where.
    pub(crate) part: Part,
    pub(crate) host: HostIndex,
    /// The delay of the way that it came over; nothing for the first hop.
    pub(crate) link: Duration,
    /// The delay up to the end of the last hop of the path.
    pub(crate) delay: Duration,
}

/// A hop that passed its checks.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Hop {
    pub(crate) part: Part,
    pub(crate) host: HostIndex,
    /// The delay of the way into it.
    pub(crate) link: Duration,
    /// What the host could give this request before any of it was placed.
    pub(crate) spare: Spare,
}

/// A probe that has come to an end.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub(crate) struct Ended {
    pub(crate) id: CompositionId,
    pub(crate) round: u8,
    pub(crate) share: Share,
    pub(crate) sent: u32,
    /// The hops that passed: facts, however the probe ended.
    pub(crate) path: Vec<Hop>,
    pub(crate) ending: Ending,
}

impl Ended {
    /// How many cores hosts have left, as far as it tells.
    pub(crate) fn cores_left(&self) -> impl Iterator<Item = (HostIndex, f64)> {
        let hops = self.path.iter();
        let hops = hops.map(|hop| (hop.host, hop.spare.available.cpu_cores));
        let refused = match &self.ending {
            Ending::Refused { host, lack, .. } if lack.check == Check::Cpu => {
                Some((*host, lack.had))
            }
            Ending::Refused { .. } | Ending::Returned | Ending::Pruned | Ending::Lost { .. } => {
                None
            }
        };
        hops.chain(refused)
    }
}

/// How a probe ended.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) enum Ending {
    /// It came to a sink.
    Returned,
    /// Others go on in its place.
    Pruned,
    /// A check failed for the next hop.
    Refused {
        part: Part,
        host: HostIndex,
        lack: Lack,
    },
    /// The next host cannot be reached or takes no more probes.
    Lost { part: Part, host: HostIndex },
}

/// What a host of a graph is to run.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub(crate) struct Confirm {
    pub(crate) id: CompositionId,
    pub(crate) attempt: u8,
    pub(crate) application: ApplicationId,
    pub(crate) graph: ComponentGraph,
    /// What each operator of the plan takes, and can wait.
    pub(crate) jobs: Vec<Job>,
    pub(crate) wants: Wants,
    pub(crate) projection: Projection,
}

/// What else has to be known of the parts of a plan by whoever runs or moves them.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub(crate) struct Wants {
    /// What each reader of a source on another host takes of its uplink. Unit: bytes per second.
    pub(crate) sources: Vec<f64>,
    pub(crate) operators: Vec<Want>,
}

impl Wants {
    /// Whether all parts of a plan are in it, with amounts.
    pub(crate) fn fits(&self, plan: &QueryPlan) -> bool {
        let operators = self.operators.iter().map(|it| it.bytes_per_second);
        let mut amounts = self.sources.iter().copied().chain(operators);
        self.sources.len() == plan.sources().len()
            && self.operators.len() == plan.operators().len()
            && amounts.all(|it| it.is_finite() && it >= 0.0)
    }

    /// What leaves a host by a graph: of each stream there, what each port takes that reads it elsewhere. Who shares a stream takes it for
    /// itself; what others' parts read of each other is theirs. Unit: bytes per second.
    pub(crate) fn leaves(&self, graph: &ComponentGraph, host: NodeId) -> f64 {
        let away = graph.plan().edges().filter(|(stream, reader)| {
            let reader = graph.reader(*reader);
            graph.producer(*stream).host == host && reader.host != host && !reader.shared
        });
        let bytes = away.map(|(stream, _)| match stream {
            Stream::Source(index, _) => self.sources[index],
            Stream::Operator(index, _) => self.operators[index].bytes_per_second,
        });
        bytes.fold(0.0, |sum, it| sum + it)
    }
}

/// Where an operator may be, and what it sends.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Want {
    pub(crate) place: Place,
    /// What each reader on another host takes of its uplink.
    pub(crate) bytes_per_second: f64,
}

/// What a host of a graph found when it made its part of it.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Confirmed {
    pub(crate) id: CompositionId,
    pub(crate) attempt: u8,
    /// Of each operator and sink of the plan that is there, whoever made it.
    pub(crate) told: Vec<Told>,
    /// Whom it slows, and by how much.
    pub(crate) charges: Vec<Charge>,
}

/// How long a part takes on its host now, and the ways into it.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Told {
    /// By its place in the plan.
    pub(crate) part: Part,
    pub(crate) execution: Duration,
    /// From each part that it reads.
    pub(crate) links: Vec<(Part, Duration)>,
}

/// That a graph goes on.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub(crate) struct Start {
    pub(crate) id: CompositionId,
    pub(crate) attempt: u8,
    /// The delay that is expected.
    pub(crate) delay: Duration,
    /// How old what each operator of the plan yields is expected to be.
    pub(crate) ages: Vec<Duration>,
}

/// Why a host does not run its part of a graph.
#[derive(Debug, Clone, PartialEq, bincode::Encode)]
pub(crate) enum Decline {
    /// It lacks something by now.
    Lacks(Lack),
    /// It could not be deployed.
    Failed(String),
    /// It had confirmed, and lapsed or was released.
    Gone,
}

impl Decline {
    /// That it could not be deployed, in at most [`TEXT_BYTES_MAX`].
    pub(crate) fn failed(reason: &str) -> Self {
        let end = reason.floor_char_boundary(TEXT_BYTES_MAX);
        Self::Failed(reason[..end].to_owned())
    }
}

type DecodeError = bincode::error::DecodeError;

impl<Context> bincode::Decode<Context> for Probe {
    /// Takes only a path that the request allows: each hop at a place of its part, and reading the one before.
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let probe = Self {
            id: CompositionId::decode(decoder)?,
            round: u8::decode(decoder)?,
            failed: u8::decode(decoder)?,
            request: Arc::decode(decoder)?,
            share: Share::decode(decoder)?,
            sent: u32::decode(decoder)?,
            path: path(decoder)?,
            part: Part::decode(decoder)?,
            host: HostIndex::decode(decoder)?,
            link: Duration::decode(decoder)?,
            delay: Duration::decode(decoder)?,
        };
        if is_path(&probe.request, &probe.path, Some((probe.part, probe.host))) {
            Ok(probe)
        } else {
            Err(DecodeError::Other("a path that the request does not have"))
        }
    }
}
bincode::impl_borrow_decode!(Probe);

impl<Context> bincode::Decode<Context> for Ended {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Ok(Self {
            id: CompositionId::decode(decoder)?,
            round: u8::decode(decoder)?,
            share: Share::decode(decoder)?,
            sent: u32::decode(decoder)?,
            path: path(decoder)?,
            ending: Ending::decode(decoder)?,
        })
    }
}
bincode::impl_borrow_decode!(Ended);

impl<Context> bincode::Decode<Context> for Confirm {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        let confirm = Self {
            id: CompositionId::decode(decoder)?,
            attempt: u8::decode(decoder)?,
            application: ApplicationId::decode(decoder)?,
            graph: ComponentGraph::decode(decoder)?,
            jobs: Vec::decode(decoder)?,
            wants: Wants::decode(decoder)?,
            projection: Projection::decode(decoder)?,
        };
        let plan = confirm.graph.plan();
        let has_jobs = confirm.jobs.len() == plan.operators().len();
        if has_jobs && confirm.jobs.iter().all(Job::is_valid) && confirm.wants.fits(plan) {
            Ok(confirm)
        } else {
            Err(DecodeError::Other(
                "a promise for other parts than there are, or of no amount",
            ))
        }
    }
}
bincode::impl_borrow_decode!(Confirm);

impl<Context> bincode::Decode<Context> for Decline {
    fn decode<D: bincode::de::Decoder<Context = Context>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        match u32::decode(decoder)? {
            0 => Ok(Self::Lacks(Lack::decode(decoder)?)),
            1 => Ok(Self::failed(&String::decode(decoder)?)),
            2 => Ok(Self::Gone),
            _ => Err(DecodeError::Other("an unknown reason")),
        }
    }
}
bincode::impl_borrow_decode!(Decline);

/// A path within its limits, its hosts with amounts.
fn path<D: bincode::de::Decoder>(decoder: &mut D) -> Result<Vec<Hop>, DecodeError> {
    let path: Vec<Hop> = bincode::Decode::decode(decoder)?;
    if path.len() > PATH_MAX {
        return Err(DecodeError::Other("a path longer than any plan"));
    }
    if !path.iter().all(|hop| hop.spare.is_valid()) {
        return Err(DecodeError::Other("a host that has no amount left"));
    }
    Ok(path)
}

/// Whether hops, and a next one, are a way through a request from a source on.
pub(crate) fn is_path(request: &Request, path: &[Hop], next: Option<(Part, HostIndex)>) -> bool {
    let places = path.iter().map(|hop| (hop.part, hop.host)).chain(next);
    let mut before = None;
    for (part, host) in places {
        if !request.has_part(part) || !request.places(part).contains(&host) {
            return false;
        }
        let is_joined = match before {
            None => matches!(part, Part::Source(_)),
            Some(before) => request.is_edge(before, part),
        };
        if !is_joined {
            return false;
        }
        before = Some(part);
    }
    true
}
