//! What the ends of probes told the composing node.
//!
//! A path that was checked hop by hop tells what each of its hosts has left and how long each of its ways takes. None of that depends
//! on the rest of the path, so that hops of different paths can be put together wherever they agree on a component: this
//! is how paths merge, and why a pruned probe loses nothing that was found before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use model::{NodeView, Resources};

use crate::measure::{Lack, Spare};
use crate::merge::Blocked;
use crate::message::{self, Ended, Ending, Hop};
use crate::path;
use crate::request::{HostIndex, Part, Request};

/// A hop from a producer on a host to a reader on another.
pub(crate) type Way = (Part, HostIndex, Part, HostIndex);

/// What is known of the hosts and ways of a request. At most an entry for each pair of candidates of each edge.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Facts {
    /// What each host has left, as it last said.
    spares: BTreeMap<HostIndex, Spare>,
    /// The delay of each way that passed.
    links: BTreeMap<Way, Duration>,
    /// The mildest reason for which a host was refused for a part.
    refused: BTreeMap<(Part, HostIndex), Lack>,
    /// Which hosts were asked, and could be reached or not.
    asked: BTreeSet<(Part, HostIndex)>,
    /// Parts that a host declined when it was to confirm them.
    declined: BTreeSet<(Part, HostIndex)>,
    /// Hosts that cannot be reached: no graph may have them.
    out: BTreeSet<HostIndex>,
    /// Whether any probe was pruned.
    pub(crate) has_pruned: bool,
}

impl Facts {
    /// Takes for granted that all starts are there, where nobody is asked: who confirms checks it.
    pub(crate) fn assume(&mut self, view: &NodeView, request: &Request) {
        let spare = Spare {
            available: Resources {
                cpu_cores: f64::MAX,
                memory_bytes: u64::MAX,
                uplink_bytes_per_second: f64::MAX,
            },
            cores: f64::MAX,
            found: None,
        };
        for (part, from) in request
            .parts()
            .flat_map(|part| request.places(part).iter().map(move |host| (part, *host)))
        {
            self.spares.insert(from, spare);
            for (reader, _) in request.readers(part) {
                for to in request.places(*reader) {
                    let delay = path::delay(view, request, from, *to);
                    self.links.insert((part, from, *reader, *to), delay);
                }
            }
        }
    }

    /// Whether nothing is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.spares.is_empty()
    }

    /// A way was measured.
    pub(crate) fn measure(&mut self, way: Way, link: Duration) {
        self.links.insert(way, link);
    }

    /// Takes what an end tells; says whether it fits the request.
    pub(crate) fn add(&mut self, request: &Request, ended: &Ended) -> bool {
        let next = match ended.ending {
            Ending::Refused { part, host, .. } | Ending::Lost { part, host } => Some((part, host)),
            Ending::Returned | Ending::Pruned => None,
        };
        // Who refuses for the delay alone is a hop all the same.
        let last = ended.path.last().map(|hop| (hop.part, hop.host));
        let next = next.filter(|next| Some(*next) != last);
        let next_alone = ended.path.is_empty();
        let fits = if next_alone {
            // A lost probe is told without its path: that is known from its siblings, or of no use.
            next.is_some_and(|(part, host)| {
                request.has_part(part) && request.places(part).contains(&host)
            })
        } else {
            message::is_path(request, &ended.path, next)
        };
        if !fits {
            return false;
        }
        for hop in &ended.path {
            self.spares.insert(hop.host, hop.spare);
            self.asked.insert((hop.part, hop.host));
        }
        for pair in ended.path.windows(2) {
            if let [from, to] = pair {
                self.add_link(from, to);
            }
        }
        match &ended.ending {
            Ending::Refused { part, host, lack } => {
                let place = (*part, *host);
                self.asked.insert(place);
                let known = self.refused.entry(place).or_insert_with(|| lack.clone());
                if lack.severity() < known.severity() {
                    *known = lack.clone();
                }
            }
            Ending::Lost { part, host } => {
                self.asked.insert((*part, *host));
            }
            Ending::Pruned => self.has_pruned = true,
            Ending::Returned => {}
        }
        true
    }

    fn add_link(&mut self, from: &Hop, to: &Hop) {
        let way = (from.part, from.host, to.part, to.host);
        self.links.insert(way, to.link);
    }

    /// That a host does not take a part now, whatever it had left when it was probed.
    pub(crate) fn decline(&mut self, part: Part, host: HostIndex) {
        self.declined.insert((part, host));
    }

    pub(crate) fn has_declined(&self, part: Part, host: HostIndex) -> bool {
        self.declined.contains(&(part, host))
    }

    /// That a host cannot be reached.
    pub(crate) fn exclude(&mut self, host: HostIndex) {
        self.out.insert(host);
    }

    pub(crate) fn is_out(&self, host: HostIndex) -> bool {
        self.out.contains(&host)
    }

    /// Forgets what was refused: another round asks otherwise.
    pub(crate) fn clear_refused(&mut self) {
        self.refused.clear();
        self.has_pruned = false;
    }

    /// Forgets what hosts said to another target: who found it bearable for others may not find this one so.
    pub(crate) fn ask_anew(&mut self) {
        self.spares.clear();
        self.links.clear();
    }

    /// What a host that can be reached has left.
    pub(crate) fn spare(&self, host: HostIndex) -> Option<Spare> {
        let spare = self.spares.get(&host).copied();
        spare.filter(|_| !self.is_out(host))
    }

    /// The delay of a way that passed, between hosts that can be reached.
    pub(crate) fn link(&self, way: Way) -> Option<Duration> {
        let link = self.links.get(&way).copied();
        link.filter(|_| !self.is_out(way.1) && !self.is_out(way.3))
    }

    /// Why hosts were refused for a part.
    pub(crate) fn refused(&self, part: Part) -> impl Iterator<Item = (HostIndex, Lack)> {
        let range = (part, HostIndex::MIN)..=(part, HostIndex::MAX);
        let refused = self.refused.range(range);
        refused.map(|((_, host), lack)| (*host, lack.clone()))
    }

    /// Whether a host was asked for a part.
    pub(crate) fn has_asked(&self, part: Part, host: HostIndex) -> bool {
        self.asked.contains(&(part, host))
    }

    /// The parts that some host declined when it was to confirm them.
    pub(crate) fn declined(&self) -> impl Iterator<Item = Part> {
        self.declined.iter().map(|(part, _)| *part)
    }

    /// Remembers what hosts lacked for a part, beyond what they refused by themselves.
    pub(crate) fn note_lacks(&mut self, blocked: &Blocked) {
        for (host, lack) in &blocked.lacks {
            self.refused.insert((blocked.part, *host), lack.clone());
        }
    }

    /// How many hosts were asked for a part.
    pub(crate) fn asked_count(&self, part: Part) -> usize {
        let range = (part, HostIndex::MIN)..=(part, HostIndex::MAX);
        self.asked.range(range).count()
    }
}
