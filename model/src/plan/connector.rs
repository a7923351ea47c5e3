//! Connectors: how a source or a sink of a plan is opened, by whoever runs it.

use super::builder::{check_name, check_parameters};
use super::{Arguments, PlanError};

/// The longest folder that a connector starts from.
///
/// Unit: bytes. Source: the longest path that Linux takes.
pub const FOLDER_BYTES_MAX: usize = 4096;

/// How a source or a sink is opened.
///
/// It says where rows are and not which rows they are: no name of a stream depends on it.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Connector {
    /// The word that says what it is: `file`.
    pub kind: String,
    /// The folder that relative paths start from, from the root on, at the host that accepted the application. Empty where there are no paths.
    pub folder: String,
    /// What it is opened with.
    pub arguments: Arguments,
}

/// How time passes for a source that gives rows as things happen, and cannot be read again.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Live {
    /// Unit: event time per time. Range: finite, above 0.
    pub speed: f64,
    /// Whether event times are those of its host's clock.
    pub is_by_clock: bool,
}

impl Live {
    /// Whether it could be one.
    pub fn is_sound(&self) -> bool {
        self.speed.is_finite() && self.speed > 0.0
    }
}

impl Connector {
    /// Whether it could be one, known or not.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        check_name(&self.kind)?;
        check_parameters(&self.arguments)?;
        let is_folder = self.folder.is_empty() || self.folder.starts_with('/');
        if !is_folder || self.folder.len() > FOLDER_BYTES_MAX || self.folder.contains('\0') {
            return Err(PlanError::Folder(self.kind.clone()));
        }
        Ok(())
    }
}
