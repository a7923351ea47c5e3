//! Commands, and what becomes of their answers.

use super::{
    Answered, ApplicationId, Asked, Command, CommandId, Event, Input, Outcome, Ticket, World,
    convert,
};
use crate::simulator::outcome::Admitted;
use node::node::Answer;

impl World {
    pub(super) fn ask(
        &mut self,
        host: usize,
        application: Option<ApplicationId>,
        is_trial: bool,
        command: Command,
    ) -> Ticket {
        self.asked.push(Asked {
            host,
            at: self.now,
            application,
            is_trial,
            composition: None,
            answered: None,
            outcome: Outcome::default(),
        });
        let number = u32::try_from(self.asked.len()).unwrap_or(u32::MAX);
        let ticket = Ticket(number);
        self.open += 1;
        self.hosts[host].open.push(ticket);
        let input = Input::Command {
            id: CommandId(u64::from(number)),
            command,
        };
        let start = self.hosts[host].start;
        let event = Event::Input {
            host,
            start,
            input: Box::new(input),
        };
        self.queue.push(self.now, number, event);
        ticket
    }

    pub(super) fn on_answer(&mut self, host: usize, id: CommandId, answered: Answered) {
        self.checker.check_answer(self.now, host, id.0);
        let Some(asked) = self.asked.get_mut(convert::index(id.0.wrapping_sub(1))) else {
            let what = format!("an answer to {id:?}, which nobody asked");
            return self.checker.report(self.now, Some(host), what);
        };
        if asked.host != host {
            let what = format!("an answer to {id:?}, which another host was asked");
            return self.checker.report(self.now, Some(host), what);
        }
        if asked.answered.is_some() {
            return;
        }
        self.open -= 1;
        self.hosts[host].open.retain(|it| u64::from(it.0) != id.0);
        asked.outcome.elapsed = self.now - asked.at;
        match &answered {
            Ok(Answer::Composition(composition)) => {
                let application = asked.application.clone();
                let latest = application.as_ref().and_then(|it| self.latest.get(it));
                let latest = latest.copied().filter(|_| !asked.is_trial);
                asked.composition = latest;
                asked.outcome.probes = composition.probes;
                let milliseconds = composition.predicted_delay_ms.unwrap_or(0.0);
                asked.outcome.admitted = application.map(|application| Admitted {
                    application,
                    composition: latest.unwrap_or(model::CompositionId {
                        node: self.hosts[host].id,
                        number: 0,
                    }),
                    graph: latest.and_then(|id| self.graphs.get(&id).cloned()),
                    predicted_delay: convert::seconds(milliseconds / 1e3),
                    congestion: composition.congestion.unwrap_or(0.0),
                    shared: composition.shared,
                    saved_cores: composition.saved_cores,
                });
            }
            Ok(_) => {}
            Err(failure) => {
                let refusal = failure.refusal.as_ref();
                asked.outcome.probes = refusal.map_or(0, |it| it.probes);
                asked.outcome.refusal = Some(failure.clone());
            }
        }
        asked.answered = Some(answered);
    }

    /// Charges what was sent to the request that it follows from.
    pub(super) fn charge(&mut self, cause: u32, charge: impl FnOnce(&mut Outcome)) {
        if let Some(index) = cause.checked_sub(1)
            && let Some(asked) = self.asked.get_mut(convert::index(u64::from(index)))
        {
            charge(&mut asked.outcome);
        }
    }
}
