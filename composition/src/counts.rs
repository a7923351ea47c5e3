//! What was refused and what was ignored, by reason.

use std::collections::BTreeMap;

use crate::effect::Check;

/// Why something that a peer said was not heeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ignored {
    /// It came before.
    Repeated,
    /// What it belongs to has ended or was overtaken.
    Late,
    /// It was meant for another host.
    Misdirected,
    /// It does not fit what was asked.
    Unfit,
    /// It belongs to nothing that is known here.
    Unknown,
    /// It came from somebody who has no say in it.
    Foreign,
    /// There is no room for it.
    Full,
}

/// What was refused and what was ignored, by reason, since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Probes that were refused here, by the check that failed.
    pub refused: BTreeMap<Check, u64>,
    /// Messages that were not heeded, by reason.
    pub ignored: BTreeMap<Ignored, u64>,
    /// Probes that ended here because others go on in their place.
    pub pruned: u64,
    /// Reservations and confirmed graphs that lapsed here.
    pub lapsed: u64,
    /// Probes that came here.
    pub probes: u64,
}

impl Counts {
    pub(crate) fn refuse(&mut self, check: Check) {
        *self.refused.entry(check).or_default() += 1;
    }

    pub(crate) fn ignore(&mut self, reason: Ignored) {
        *self.ignored.entry(reason).or_default() += 1;
    }
}
