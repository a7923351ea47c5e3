//! What a host measures of itself once a second, and what follows from it for the next seconds.
//!
//! [`Monitor::note`] takes a second's measures. It keeps the host's load, smoothed, and the interval in which that lies, which is all that
//! others are told; for each component a bounded past of its rate and of how long it took, and from these an [`Outlook`]: how old batches
//! will be when they start there, and what slack that leaves.
//!
//! An execution time is how long a batch is at a component: how long it waits and how long it runs. It grows with the total rate of the
//! host, for which all components compete (papers, section 8.4); what it grows by, batches will be older:
//!
//! ```text
//! predicted age = age + (predicted execution - execution);  predicted slack = budget - predicted age
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use model::{ComponentId, LoadInterval, Slack, convert};

use crate::predict::{Line, OTHERS_MAX, Rate};

/// The gain by which a host's load is smoothed. Range: 0 to 1. Source: papers, section 8.1.
const LOAD_GAIN: f64 = 0.3;

/// What a host measured of itself in a second, each as a part of what it offers; above 1 where more is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct HostMeasure {
    /// Processor time.
    pub cpu_fraction: f64,
    /// Bytes that left.
    pub uplink_fraction: f64,
    /// Memory that is held.
    pub memory_fraction: f64,
}

/// What was measured of a component in a second.
#[derive(Debug, Clone, PartialEq)]
pub struct ComponentMeasure {
    /// Which one.
    pub id: ComponentId,
    /// Rows that came in. Unit: rows per second. Nothing where it could not be measured.
    pub rate: Option<f64>,
    /// What it took of the processors. Unit: part of what the host offers.
    pub load_fraction: f64,
    /// How long a batch takes on a host that does nothing else.
    pub idle_execution: Duration,
    /// How long batches were here in this second, waiting and running, in the mean; nothing where there were none.
    pub execution: Option<Duration>,
    /// How long they were to be here, as it was projected when the component was admitted.
    pub promise: Duration,
    /// The greatest age at which a batch may start here and still meet every target; [`Slack::MAX`] where no target lies behind.
    pub budget: Slack,
    /// How old batches were when they started, in the mean; nothing where there were none.
    pub age: Option<Duration>,
    /// The rates of what it reads, on this host or another. Unit: rows per second.
    pub upstream: Vec<(ComponentId, f64)>,
    /// Whether it may run elsewhere: sources and sinks are where their files are.
    pub is_movable: bool,
}

/// What is expected of a component at the horizon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// Which one.
    pub id: ComponentId,
    /// Its rate. Unit: rows per second.
    pub rate: f64,
    /// How long batches are here now, in the mean.
    pub execution: Duration,
    /// How long they will be.
    pub predicted_execution: Duration,
    /// How long they take on a host that does nothing else.
    pub idle_execution: Duration,
    /// How long they were to be here, as it was projected.
    pub promise: Duration,
    /// How old batches are when they start.
    pub age: Duration,
    /// How old they will be.
    pub predicted_age: Duration,
    /// What slack is now: budget less age; [`Slack::MAX`] where no target lies behind.
    pub slack: Slack,
    /// What slack will be.
    pub predicted_slack: Slack,
    /// What it takes of the processors. Unit: part of what the host offers.
    pub load_fraction: f64,
    /// Whether it may run elsewhere.
    pub is_movable: bool,
}

/// What a host knows of itself and expects. It grows with what runs here and with nothing else.
#[derive(Debug, Clone, Default)]
pub struct Monitor {
    load: Option<f64>,
    interval: LoadInterval,
    memory_fraction: f64,
    components: BTreeMap<ComponentId, Known>,
    updates: u64,
}

/// What is kept of a component.
#[derive(Debug, Clone)]
struct Known {
    rate: Rate,
    line: Line,
    last: ComponentMeasure,
    execution: Duration,
    age: Duration,
}

impl Monitor {
    /// Notes a second's measures: of the host, and of all components that are here. What is not among them is forgotten.
    pub fn note(&mut self, host: HostMeasure, components: Vec<ComponentMeasure>) {
        let sample = host.cpu_fraction.max(host.uplink_fraction);
        if sample.is_finite() {
            let load = self.load.unwrap_or(sample);
            let load = load + LOAD_GAIN * (sample - load);
            self.load = Some(load);
            let interval = self.interval.moved_to(load);
            self.updates += u64::from(interval != self.interval);
            self.interval = interval;
        }
        self.memory_fraction = host.memory_fraction;
        let total: f64 = components.iter().filter_map(|it| it.rate).sum();
        let rates: Vec<(ComponentId, f64)> = components
            .iter()
            .map(|it| (it.id, it.rate.unwrap_or(0.0)))
            .collect();
        let mut before = std::mem::take(&mut self.components);
        for measure in components {
            let mut known = before
                .remove(&measure.id)
                .unwrap_or_else(|| Known::new(&measure));
            known.note(measure, total, &rates);
            self.components.insert(known.last.id, known);
        }
    }

    /// The host's load, smoothed: the greater of processor and uplink, as a part of what it offers. Nothing before the first sample.
    pub const fn load(&self) -> Option<f64> {
        self.load
    }

    /// The interval in which the load lies: what others are told, each time that it is another one.
    pub const fn interval(&self) -> LoadInterval {
        self.interval
    }

    /// How often the interval became another one.
    pub const fn updates(&self) -> u64 {
        self.updates
    }

    /// The memory that is held, as a part of what the host offers.
    pub const fn memory_fraction(&self) -> f64 {
        self.memory_fraction
    }

    /// What is expected of every component that batches came to, in order.
    pub fn outlook(&self) -> Vec<Outlook> {
        let expected = |known: &Known| known.rate.forecast().map(|it| it.chosen);
        let total: f64 = self.components.values().filter_map(expected).sum();
        let components = self.components.values();
        components
            .filter_map(|known| known.outlook(expected(known)?, total))
            .collect()
    }

    /// What is known of the rate of a component.
    pub fn rate(&self, id: ComponentId) -> Option<&Rate> {
        self.components.get(&id).map(|known| &known.rate)
    }
}

impl Known {
    fn new(measure: &ComponentMeasure) -> Self {
        Self {
            rate: Rate::default(),
            line: Line::default(),
            execution: measure.idle_execution,
            age: Duration::ZERO,
            last: measure.clone(),
        }
    }

    fn note(&mut self, measure: ComponentMeasure, total: f64, rates: &[(ComponentId, f64)]) {
        // Who is read first, then who competes with it, always the same ones.
        let mut others = measure.upstream.clone();
        others.truncate(OTHERS_MAX);
        for (id, rate) in rates.iter().take(2 * OTHERS_MAX) {
            if others.len() < OTHERS_MAX
                && *id != measure.id
                && others.iter().all(|(other, _)| other != id)
            {
                others.push((*id, *rate));
            }
        }
        self.rate.note(measure.rate, &others);
        if let Some(execution) = measure.execution {
            self.execution = execution;
            self.line.note(total, execution.as_secs_f64());
        }
        if let Some(age) = measure.age {
            self.age = age;
        }
        self.last = measure;
    }

    fn outlook(&self, rate: f64, total: f64) -> Option<Outlook> {
        let last = &self.last;
        let idle = last.idle_execution.as_secs_f64();
        let predicted_execution = convert::seconds(self.line.predict(total, idle)?);
        let predicted_age = (self.age + predicted_execution).saturating_sub(self.execution);
        Some(Outlook {
            id: last.id,
            rate,
            execution: self.execution,
            predicted_execution,
            idle_execution: last.idle_execution,
            promise: last.promise,
            age: self.age,
            predicted_age,
            slack: last.budget.less(self.age),
            predicted_slack: last.budget.less(predicted_age),
            load_fraction: last.load_fraction,
            is_movable: last.is_movable,
        })
    }
}

#[cfg(test)]
mod tests;
