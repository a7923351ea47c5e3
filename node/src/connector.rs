//! Connectors: where rows come from and where results go. One file for each kind, a line here makes it known.

use std::fmt::Debug;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use engine::intake::Records;
use engine::operator::{ArgumentError, Parameter};
use model::{Arguments, Clock, EventTime, Schema};

/// All kinds of source.
pub const SOURCES: &[&SourceKind] = &[];

/// All kinds of sink.
pub const SINKS: &[&SinkKind] = &[];

/// A kind of source: its word, what it asks for, and how one is opened.
#[derive(Debug)]
pub struct SourceKind {
    /// The word that application files use as `connector`.
    pub name: &'static str,
    /// What it reads, in a sentence.
    pub doc: &'static str,
    /// What may and must be given, [`connector` itself](SourceKind::name) left out.
    pub parameters: &'static [Parameter],
    /// Opens one and finds its schema. Reads no more than it needs for that, and loses nothing of it.
    pub open: fn(&Arguments, &Context<'_>) -> Result<Box<dyn Source>, Vec<ArgumentError>>,
}

/// What a connector may need of where it runs.
#[derive(Clone)]
pub struct Context<'a> {
    /// The folder that relative paths start from: that of the application file.
    pub folder: &'a Path,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The event time of [`model::Instant::ZERO`], for rows that carry none.
    pub epoch: EventTime,
}

impl Debug for Context<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Context")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// An open source.
pub trait Source: Send + Debug {
    /// The columns of its rows; they do not change.
    fn schema(&self) -> &Schema;

    /// What people should know of how it was opened: renamed columns, inferred types.
    fn remarks(&self) -> &[String] {
        &[]
    }

    /// The records that are there, at most [`engine::batch::ROWS_MAX`]; waits at most `wait` for the first.
    ///
    /// # Errors
    /// When the source cannot be read on. What was read before stands.
    fn read(&mut self, wait: Duration) -> Result<Reading, SourceError>;
}

/// What a reading of a source gave.
#[derive(Debug)]
pub enum Reading {
    /// These records.
    Records(Records),
    /// Nothing yet.
    Idle,
    /// Nothing, and nothing will come.
    End,
}

/// Why a source cannot be read on.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub struct SourceError {
    /// What was read, and where in it: `conn.log.gz, record 512`.
    pub place: String,
    /// What happened.
    pub reason: String,
}

/// A kind of sink: its word, what it asks for, and how one is opened.
#[derive(Debug)]
pub struct SinkKind {
    /// The word that application files use as `connector`.
    pub name: &'static str,
    /// Where it writes, in a sentence.
    pub doc: &'static str,
    /// What may and must be given.
    pub parameters: &'static [Parameter],
    /// Opens one for rows of this schema. Called when the application starts, not when it is checked.
    pub open: fn(&Arguments, &Schema, &Context<'_>) -> Result<Box<dyn Sink>, Vec<ArgumentError>>,
}

/// An open sink.
pub trait Sink: Send + Debug {
    /// Writes rows; when it returns they have left the process.
    ///
    /// # Errors
    /// When they could not be written.
    fn write(&mut self, rows: &RecordBatch) -> Result<(), std::io::Error>;
}
