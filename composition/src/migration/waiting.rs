//! For whom a migration waits, and how long: for the target until it may have taken over a large state, for others no longer than messages take.

use model::{CompositionId, Instant, NodeId, NodeView};

use super::Migration;
use crate::composer::{Composer, Outbox};

impl Migration {
    /// Whether everybody has answered but who takes the operator.
    fn is_left_to_target(&self) -> bool {
        self.waiting.iter().all(|it| *it == self.to)
    }
}

impl Composer {
    /// Once everybody else is ready the target has the time that a state takes.
    pub(super) fn wait_for_target(&self, now: Instant, migration: &mut Migration) {
        if migration.is_left_to_target() {
            migration.until = now + self.config.migration_max;
        }
    }

    /// Nobody waits for a host that cannot be reached.
    pub(crate) fn on_unreachable_in_migrations(
        &mut self,
        now: Instant,
        view: &NodeView,
        node: NodeId,
        out: &mut Outbox<'_>,
    ) {
        let waiting = self.migrations.values();
        let waiting = waiting.filter(|it| !it.is_switching && it.waiting.contains(&node));
        let waiting: Vec<CompositionId> = waiting.map(|it| it.id.composition).collect();
        for composition in waiting {
            if let Some(migration) = self.migrations.remove(&composition) {
                let why = "it cannot be reached".to_owned();
                self.abandon(now, view, *migration, (node, why), out);
            }
        }
    }

    /// Gives up what takes too long.
    pub(crate) fn time_out_migrations(
        &mut self,
        now: Instant,
        view: &NodeView,
        out: &mut Outbox<'_>,
    ) {
        let due = self.migrations.values().filter(|it| it.until <= now);
        let due: Vec<CompositionId> = due.map(|it| it.id.composition).collect();
        for composition in due {
            let Some(mut migration) = self.migrations.remove(&composition) else {
                continue;
            };
            if migration.is_switching {
                // Who was not heard learns it from the record.
                self.end_migration(now, *migration, out);
                continue;
            }
            let mut others = migration.waiting.iter().filter(|it| **it != migration.to);
            let silent = others.next().copied();
            if silent.is_some() {
                // Whoever is asked next: who is silent is asked as well.
                migration.targets.clear();
            }
            let silent = silent.unwrap_or(migration.to);
            let why = "it was not ready in time".to_owned();
            self.abandon(now, view, *migration, (silent, why), out);
        }
    }
}
