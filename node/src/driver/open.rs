//! Opening the sources and sinks of a plan, as the plan says: whoever opens one needs neither the application's file nor the process that loaded it.
//!
//! Plans come from anywhere, so that what they name is opened for nobody but this host: a source where the host is in its name and whose composition is
//! of this host, and a file of its choice by a sink of such a composition. A sink of somebody else writes where [`super::elsewhere`] says.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::operator::ArgumentError;
use model::plan::{self, Connector};
use model::{ApplicationId, CompositionId, NodeId, QueryPlan, SourceName};

use super::control::Control;
use super::{Results, elsewhere};
use crate::clock::MachineClock;
use crate::connector::{self, Context, Elsewhere, Opening, SINKS, SOURCES, SinkKind};
use crate::run::{Journal, journal_name};
use crate::store::Store;

/// An open sink.
#[derive(Debug)]
pub(super) struct OpenSink {
    pub(super) sink: Box<dyn connector::Sink>,
    /// Whether people see what it writes.
    pub(super) is_shown: bool,
    /// Where it notes what it has written, if that is kept.
    pub(super) journal: Option<Journal>,
}

/// What opens the sources and sinks of a composition here.
#[derive(Debug, Clone)]
pub(super) struct Opener {
    pub(super) node: NodeId,
    /// Of a composition of this host, nothing but its own order, or a record that it has signed, may have brought the plan.
    pub(super) composition: CompositionId,
    pub(super) application: ApplicationId,
    /// What becomes of what sinks of it have written before.
    pub(super) opening: Opening,
    /// Where this host keeps what it writes for others.
    pub(super) data_dir: Option<PathBuf>,
    /// What is kept for a restart.
    pub(super) store: Option<Store>,
    pub(super) results: Results,
    pub(super) clock: Arc<MachineClock>,
}

impl Control {
    /// What opens the sources and sinks of a composition here.
    pub(super) fn opener(
        &self,
        composition: CompositionId,
        application: ApplicationId,
        opening: Opening,
    ) -> Opener {
        Opener {
            node: self.network.node(),
            composition,
            application,
            opening,
            data_dir: self.config.data_dir.clone(),
            store: self.config.store.clone(),
            results: self.config.results.clone(),
            clock: self.clock.clone(),
        }
    }
}

impl Opener {
    /// Opens a source of the plan, or goes on with one that was opened `already`. May block.
    ///
    /// # Errors
    /// Why this host does not open it, for people.
    pub(super) fn source(
        &self,
        plan: &QueryPlan,
        index: usize,
        already: Option<Box<dyn connector::Source>>,
    ) -> Result<Box<dyn connector::Source>, String> {
        let part = &plan.sources()[index];
        let name = &part.name;
        let is_here = matches!(
            &part.source,
            SourceName::Inline { owner, host, .. } if *owner == self.node && *host == self.node
        );
        if !is_here || !self.is_own()? {
            return Err(format!("{name} is not read on this host"));
        }
        let source = match already {
            Some(source) => source,
            None => {
                let connector = connector_of(name, part.connector.as_ref())?;
                let kind = SOURCES.iter().find(|kind| kind.name == connector.kind);
                let kind = kind.ok_or_else(|| unknown(name, connector))?;
                let opened = (kind.open)(&connector.arguments, &self.context(connector));
                opened.map_err(|errors| cannot(name, &errors))?
            }
        };
        if part.outputs.first().map(|(_, schema)| schema) != Some(source.schema()) {
            return Err(format!(
                "{name} has other columns than it had when it was composed"
            ));
        }
        Ok(source)
    }

    /// Opens a sink of the plan. May block.
    ///
    /// # Errors
    /// Why this host does not open it, for people.
    pub(super) fn sink(&self, plan: &QueryPlan, index: usize) -> Result<OpenSink, String> {
        let part = &plan.sinks()[index];
        let name = &part.name;
        let connector = connector_of(name, part.connector.as_ref())?;
        let kind = SINKS.iter().find(|kind| kind.name == connector.kind);
        let kind = kind.ok_or_else(|| unknown(name, connector))?;
        let is_tapped = kind.is_shown && matches!(self.results, Results::Tapped);
        let mut sink = if is_tapped {
            self.open(&connector::DISCARD, plan, part, connector)?
        } else if self.is_own()? || kind.elsewhere == Elsewhere::Same {
            self.open(kind, plan, part, connector)?
        } else {
            let place = elsewhere::place(self, kind, name, &connector.arguments)?;
            let connector = elsewhere::connector(connector, &place);
            let sink = self.open(kind, plan, part, &connector)?;
            elsewhere::bounded(sink, place)
        };
        let journal = self.store.as_ref().and_then(|store| {
            let name = journal_name(&self.composition, name);
            Journal::open(store, name, &mut *sink, self.opening == Opening::Anew)
        });
        Ok(OpenSink {
            sink,
            is_shown: kind.is_shown,
            journal,
        })
    }

    fn open(
        &self,
        kind: &SinkKind,
        plan: &QueryPlan,
        part: &plan::Sink,
        connector: &Connector,
    ) -> Result<Box<dyn connector::Sink>, String> {
        let (arguments, schema) = (&connector.arguments, plan.schema(part.input));
        let opened = (kind.open)(arguments, schema, &self.context(connector), self.opening);
        opened.map_err(|errors| cannot(&part.name, &errors))
    }

    /// Whether what is composed is of this host.
    ///
    /// # Errors
    /// When it is composed by one host for another.
    fn is_own(&self) -> Result<bool, String> {
        let (owner, composer) = (self.application.owner, self.composition.node);
        if owner != composer {
            return Err(format!(
                "{} is of {owner} and was composed by {composer}",
                self.application.name
            ));
        }
        Ok(owner == self.node)
    }

    fn context<'c>(&self, connector: &'c Connector) -> Context<'c> {
        Context {
            folder: Path::new(&connector.folder),
            clock: self.clock.clone(),
            epoch: self.clock.epoch(),
        }
    }
}

fn connector_of<'c>(name: &str, connector: Option<&'c Connector>) -> Result<&'c Connector, String> {
    connector.ok_or_else(|| format!("the plan does not say how {name} is opened"))
}

fn unknown(name: &str, connector: &Connector) -> String {
    let kind = &connector.kind;
    format!("{name} needs the connector {kind:?}, which this host does not know")
}

fn cannot(name: &str, errors: &[ArgumentError]) -> String {
    format!("{name} cannot be opened: {}", listed(errors))
}

/// What is wrong with arguments, in one line.
pub(super) fn listed(errors: &[ArgumentError]) -> String {
    let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
    errors.join("; ")
}

#[cfg(test)]
pub(super) mod tests;
