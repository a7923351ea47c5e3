//! States of operators that outlive the process that runs them, or do not.

use model::{CompositionId, Instant};

use super::command::Decision;
use super::{Effect, Node};

impl Node {
    /// An operator here begins with nothing, since its state was lost with a process.
    pub(super) fn on_state_lost(&mut self, now: Instant, id: CompositionId, component: String) {
        self.counts.add("states_lost");
        if let Some(part) = self.parts.get(&id) {
            let application = part.application.clone();
            self.decided(now, &application, Decision::StateLost { component });
        }
    }

    /// The state of an operator here would outlive this process; or would not, and why.
    pub(super) fn on_surviving(
        &mut self,
        id: CompositionId,
        operator: &str,
        refused: Option<String>,
        out: &mut Vec<Effect>,
    ) {
        let Some(part) = self.parts.get_mut(&id) else {
            return;
        };
        let name = format!("the state of {operator}");
        let application = part.application.clone();
        let is_news = match refused {
            None => part.degraded.remove(&name).is_some(),
            Some(reason) => {
                self.counts.add("states_not_kept");
                part.degraded.insert(name, reason).is_none()
            }
        };
        if is_news {
            self.list_application(&application, out);
        }
    }
}
