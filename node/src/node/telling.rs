//! Telling who asks what this host has of an application.

use std::collections::BTreeSet;
use std::time::Duration;

use model::name::Digest;
use model::{ApplicationId, CompositionId, Instant, NodeId};

use super::message::{Message, PARTS_MAX, PartTold, Told};
use super::{Effect, Node, PartReport};

/// How long the driver may take to say what it counted: less than who asked waits. Source: guess.
const REPORT_WAIT: Duration = Duration::from_millis(700);

/// The most questions of peers that wait for the driver. Source: guess.
const REPORTS_MAX: usize = 1024;

/// Who wants to know what was counted here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A task of this node.
    Task(u64),
    /// A peer, and its ticket.
    Peer(NodeId, u64),
}

/// A question that waits for the driver.
#[derive(Debug)]
pub(super) struct ReportFor {
    asker: Asker,
    application: ApplicationId,
    composition: CompositionId,
    body: Option<Digest>,
    wants_events: bool,
    pub(super) deadline: Instant,
}

impl Node {
    /// Somebody asks what runs here of an application.
    pub(super) fn on_ask(
        &mut self,
        now: Instant,
        asker: Asker,
        application: ApplicationId,
        composition: CompositionId,
        (body, wants_events): (Option<Digest>, bool),
        out: &mut Vec<Effect>,
    ) {
        let runs = self.parts.get(&composition);
        let runs = runs.is_some_and(|part| part.application == application);
        let waiting = ReportFor {
            asker,
            application,
            composition,
            body,
            wants_events,
            deadline: now + REPORT_WAIT,
        };
        if !runs || wants_events {
            self.tell(now, waiting, None, out);
            return;
        }
        if self.reports.len() >= REPORTS_MAX {
            self.counts.add("questions_over_limit");
            return;
        }
        let ticket = self.take_number();
        self.reports.insert(ticket, waiting);
        let id = composition;
        out.push(Effect::Report { ticket, id });
    }

    /// The driver says what it counted.
    pub(super) fn on_reported(
        &mut self,
        now: Instant,
        ticket: u64,
        report: PartReport,
        out: &mut Vec<Effect>,
    ) {
        if let Some(waiting) = self.reports.remove(&ticket) {
            self.tell(now, waiting, Some(report), out);
        }
    }

    /// The driver did not say in time what it counted: what is known without it is told.
    pub(super) fn end_late_reports(&mut self, now: Instant, out: &mut Vec<Effect>) {
        let late = self.reports.iter();
        let late: Vec<u64> = late
            .filter(|(_, report)| report.deadline <= now)
            .map(|(ticket, _)| *ticket)
            .collect();
        for ticket in late {
            if let Some(waiting) = self.reports.remove(&ticket) {
                self.counts.add("reports_late");
                let lacking = (
                    "counts".to_owned(),
                    "nothing was counted in time".to_owned(),
                );
                let report = PartReport {
                    lacking: vec![lacking],
                    ..PartReport::default()
                };
                self.tell(now, waiting, Some(report), out);
            }
        }
    }

    /// Tells who asked what runs here of an application.
    fn tell(
        &mut self,
        now: Instant,
        waiting: ReportFor,
        report: Option<PartReport>,
        out: &mut Vec<Effect>,
    ) {
        let part = self.parts.get(&waiting.composition);
        let here = self.id();
        let part = part.zip(report).map(|(part, mut report)| PartTold {
            degraded: {
                let lacking = std::mem::take(&mut report.lacking).into_iter();
                let all: BTreeSet<(String, String)> = lacking.chain(part.troubles()).collect();
                all.into_iter().take(PARTS_MAX).collect()
            },
            report,
            failed: part.failed.clone(),
            disconnected: part.disconnected.keys().copied().collect(),
            is_finished: part.finished.contains(&here),
        });
        let record = self.records.find(&waiting.application).map(|record| {
            let mut record = record.clone();
            if waiting.body == Some(record.listing.body()) {
                record.body = None;
            }
            record
        });
        let events = waiting.wants_events;
        let events = events.then(|| self.journal.told(now, &waiting.application));
        let told = Told {
            part,
            record,
            events,
        };
        match waiting.asker {
            Asker::Task(ticket) => self.on_heard(now, ticket, here, told, out),
            Asker::Peer(node, ticket) => {
                let told = Box::new(told);
                self.send(node, &Message::Told { ticket, told }, out);
            }
        }
    }
}
