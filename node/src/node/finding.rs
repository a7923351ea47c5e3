//! Finding an application by its name.

use std::time::Duration;

use model::{Instant, NodeId, Outcome, Query};

use super::record::Listing;
use super::task::{OVERLAY_WAIT, Phase, overlay_failure};
use super::{
    Answer, ApplicationStatus, CommandId, Effect, Failure, FailureKind, Node, names, status, tap,
};

/// How long the index is waited for where this node knows an application of that name already.
const FIND_WAIT: Duration = Duration::from_millis(400);

/// What is to be done with an application once it is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Intent {
    /// Describe it.
    Show,
    /// Say why it is where it is.
    Why,
    /// Say whether all of it runs, to who asked for it once more.
    Again,
    /// Stop it.
    Stop,
    /// Tell the decisions about it.
    Events,
    /// Move an operator of it, to a host where one was named.
    Move {
        /// Its name.
        operator: String,
        /// Where to.
        to: Option<NodeId>,
    },
    /// Find a stream of it.
    Stream(tap::Wanted),
    /// Look up what the overlay has of it, or of one of its streams.
    Lookup(Option<tap::Wanted>),
}

/// An application that is looked for by its name.
#[derive(Debug)]
pub(super) struct Finding {
    pub(super) name: String,
    pub(super) intent: Intent,
    /// Whether the overlay was asked before for a stream that is published under the whole name, and has none.
    pub(super) is_unpublished: bool,
}

impl Finding {
    pub(super) const fn new(name: String, intent: Intent) -> Self {
        Self {
            name,
            intent,
            is_unpublished: false,
        }
    }

    /// What it means that there is no application of the name, to who asked for something else.
    fn not_found(&self, failure: Failure) -> Failure {
        let name = match &self.intent {
            Intent::Stream(wanted) | Intent::Lookup(Some(wanted)) => {
                let port = wanted.port.as_ref();
                let port = port.map_or_else(String::new, |port| format!(".{port}"));
                format!("{}/{}{port}", self.name, wanted.component)
            }
            Intent::Lookup(None) => self.name.clone(),
            Intent::Show
            | Intent::Why
            | Intent::Again
            | Intent::Stop
            | Intent::Events
            | Intent::Move { .. } => {
                return failure;
            }
        };
        if !self.is_unpublished {
            return failure;
        }
        let message = format!(
            "No stream is published as {name}: `synergy stream ls` lists what there is. Nor is it of an application: {}",
            failure.message
        );
        Failure::new(FailureKind::NotFound, message)
    }
}

impl Node {
    pub(super) fn on_describe(
        &mut self,
        now: Instant,
        command: CommandId,
        name: String,
        is_why: bool,
        out: &mut Vec<Effect>,
    ) {
        let intent = if is_why { Intent::Why } else { Intent::Show };
        if let Some(status) = self.composing_status(&name) {
            let answered = if is_why {
                let message = format!("{name} is being composed: nothing is decided yet.");
                Err(Failure::new(FailureKind::Failed, message))
            } else {
                Ok(Answer::Application(Box::new(status)))
            };
            self.answer(command, answered, out);
            return;
        }
        let ticket = self.take_number();
        self.find_application(now, ticket, command, Finding::new(name, intent), out);
    }

    /// What can be said of an application that is being composed here and never ran before.
    fn composing_status(&self, name: &str) -> Option<ApplicationStatus> {
        let order = self.composing_order(name)?;
        let id = &order.application;
        if self.records.listing(id).is_some_and(Listing::is_running) {
            return None;
        }
        Some(status::composing(id, order.plan.qos().latency))
    }

    /// Begins to look for an application; what is to be done with it follows.
    pub(super) fn find_application(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        finding: Finding,
        out: &mut Vec<Effect>,
    ) {
        // A whole name that is kept here needs no list: there can be no other of it.
        if let Some(id) = names::exact(&finding.name)
            && let Some(listing) = self.records.listing(&id).cloned()
        {
            self.pursue(now, ticket, command, finding.intent, listing, out);
            return;
        }
        let is_known = names::find(&finding.name, &self.records.known(), &self.view).is_ok();
        let wait = if is_known { FIND_WAIT } else { OVERLAY_WAIT };
        self.go_on(ticket, command, now + wait, Phase::Finding(finding));
        let index = model::Index::Applications;
        self.query_for(ticket, Query::List { index }, out);
    }

    /// The index was read, or could not be.
    pub(super) fn on_names(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        finding: Finding,
        outcome: Option<Outcome>,
        out: &mut Vec<Effect>,
    ) {
        let mut error = None;
        let mut read = None;
        match outcome {
            Some(Outcome::Entries(entries)) => read = Some(self.read_listings(now, &entries).0),
            Some(Outcome::Failed(failed)) => error = Some(failed),
            Some(Outcome::Nodes(_) | Outcome::Done) | None => {}
        }
        let is_read = read.is_some();
        let known = read.unwrap_or_else(|| self.records.known());
        match names::find(&finding.name, &known, &self.view) {
            Ok(listing) => {
                let listing = listing.clone();
                self.pursue(now, ticket, command, finding.intent, listing, out);
            }
            // Who cannot read the index does not know that there is no such application.
            Err(failure) if failure.kind == FailureKind::NotFound && !is_read => {
                let failure = overlay_failure("The list of applications", error.as_ref());
                self.answer(command, Err(failure), out);
            }
            Err(failure) if failure.kind == FailureKind::NotFound => {
                self.answer(command, Err(finding.not_found(failure)), out);
            }
            Err(failure) => self.answer(command, Err(failure), out),
        }
    }

    /// An application was found: what was wanted of it is done.
    fn pursue(
        &mut self,
        now: Instant,
        ticket: u64,
        command: CommandId,
        intent: Intent,
        listing: Listing,
        out: &mut Vec<Effect>,
    ) {
        match intent {
            Intent::Stop => self.begin_stopping(now, ticket, command, listing, out),
            Intent::Lookup(None) => {
                let id = listing.head.application;
                self.look_up_application(now, ticket, command, &id, out);
            }
            Intent::Show
            | Intent::Why
            | Intent::Again
            | Intent::Events
            | Intent::Move { .. }
            | Intent::Stream(_)
            | Intent::Lookup(Some(_)) => {
                self.begin_asking(now, ticket, command, intent, listing, out);
            }
        }
    }
}
