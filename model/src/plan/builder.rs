//! Building plans, part by part.

use std::collections::BTreeSet;

use crate::name::{self, SourceName};
use crate::qos::Qos;
use crate::schema::Schema;

use super::{
    ARGUMENTS_MAX, Arguments, Connector, INPUTS_MAX, Live, Names, OPERATORS_MAX, Operator,
    PlanError, QueryPlan, Sink, Source, Stream, WAYS_MAX,
};

/// Builds a [`QueryPlan`], part by part, from the sources to the sinks.
#[derive(Debug, Clone)]
pub struct Builder {
    plan: QueryPlan,
    names: BTreeSet<String>,
    /// How many ways lead from sources to each operator; a commutative one tells its ways apart.
    ways: Vec<usize>,
}

/// A source or an operator that a builder accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Accepted {
    /// What it yields at its first port.
    first: Stream,
    ports: usize,
}

impl Accepted {
    /// The stream at an output port, if there is such a port.
    pub fn port(self, port: usize) -> Option<Stream> {
        let number = u16::try_from(port).ok()?;
        (port < self.ports).then_some(match self.first {
            Stream::Source(index, _) => Stream::Source(index, number),
            Stream::Operator(index, _) => Stream::Operator(index, number),
        })
    }
}

impl Builder {
    /// An empty plan for the application called `name`.
    ///
    /// # Errors
    /// When the name is none or the requirement makes no sense.
    pub fn new(name: &str, qos: Qos) -> Result<Self, PlanError> {
        check_name(name)?;
        qos.check()?;
        let plan = QueryPlan {
            application: name.to_owned(),
            qos,
            sources: Vec::new(),
            operators: Vec::new(),
            sinks: Vec::new(),
            names: Names::default(),
        };
        Ok(Self {
            plan,
            names: BTreeSet::new(),
            ways: Vec::new(),
        })
    }

    /// Adds a source.
    ///
    /// # Errors
    /// When a name is none or taken, there are too many sources or ports, or there is no port.
    pub fn source(
        &mut self,
        name: &str,
        source: SourceName,
        outputs: Vec<(String, Schema)>,
    ) -> Result<Accepted, PlanError> {
        self.check_new(name, "sources", self.plan.sources.len())?;
        if outputs.is_empty() {
            return Err(PlanError::NoOutput(name.to_owned()));
        }
        if !source.is_valid() {
            return Err(PlanError::SourceName(name.to_owned()));
        }
        check_ports(&outputs)?;
        let accepted = Accepted {
            first: Stream::Source(self.plan.sources.len(), 0),
            ports: outputs.len(),
        };
        let source = Source {
            name: name.to_owned(),
            source,
            outputs,
            connector: None,
            live: None,
        };
        self.names.insert(name.to_owned());
        self.plan.names.push_source(&source);
        self.plan.sources.push(source);
        Ok(accepted)
    }

    /// Adds an operator whose inputs are ordered.
    ///
    /// # Errors
    /// When a name is none or taken, there are too many operators, parameters, inputs or ports, or an input is not of
    /// this plan.
    pub fn operator(
        &mut self,
        name: &str,
        kind: &str,
        parameters: Arguments,
        inputs: &[Stream],
        outputs: Vec<(String, Schema)>,
    ) -> Result<Accepted, PlanError> {
        self.add_operator(name, kind, parameters, inputs.to_vec(), false, outputs)
    }

    /// Adds an operator to which the order of its inputs does not matter.
    ///
    /// # Errors
    /// As [`Builder::operator`].
    pub fn commutative_operator(
        &mut self,
        name: &str,
        kind: &str,
        parameters: Arguments,
        inputs: &[Stream],
        outputs: Vec<(String, Schema)>,
    ) -> Result<Accepted, PlanError> {
        self.add_operator(name, kind, parameters, inputs.to_vec(), true, outputs)
    }

    fn add_operator(
        &mut self,
        name: &str,
        kind: &str,
        parameters: Arguments,
        mut inputs: Vec<Stream>,
        commutative: bool,
        outputs: Vec<(String, Schema)>,
    ) -> Result<Accepted, PlanError> {
        self.check_new(name, "operators", self.plan.operators.len())?;
        if inputs.is_empty() {
            return Err(PlanError::NoInput(name.to_owned()));
        }
        if inputs.len() > INPUTS_MAX {
            return Err(PlanError::TooMany {
                what: "inputs",
                limit: INPUTS_MAX,
            });
        }
        check_name(kind)?;
        check_ports(&outputs)?;
        check_parameters(&parameters)?;
        if !inputs.iter().all(|input| self.plan.has(*input)) {
            return Err(PlanError::UnknownStream(name.to_owned()));
        }
        if commutative {
            // Port numbers rename origins, so that the order must be one that every host finds by itself.
            inputs.sort_by_key(|input| self.plan.names.of(*input));
        }
        let ways = inputs.iter().map(|input| match input {
            Stream::Source(..) => 1,
            Stream::Operator(index, _) => self.ways[*index],
        });
        let ways = if commutative {
            ways.sum()
        } else {
            ways.max().unwrap_or(1)
        };
        if ways > WAYS_MAX {
            return Err(PlanError::TooMany {
                what: "ways from sources to an operator",
                limit: WAYS_MAX,
            });
        }
        let accepted = Accepted {
            first: Stream::Operator(self.plan.operators.len(), 0),
            ports: outputs.len(),
        };
        let operator = Operator {
            name: name.to_owned(),
            kind: kind.to_owned(),
            parameters,
            inputs,
            commutative,
            outputs,
        };
        self.names.insert(name.to_owned());
        self.plan.names.push_operator(&operator);
        self.plan.operators.push(operator);
        self.ways.push(ways);
        Ok(accepted)
    }

    /// Adds a sink.
    ///
    /// # Errors
    /// When the name is none or taken, there are too many sinks, or the input is not of this plan.
    pub fn sink(&mut self, name: &str, input: Stream) -> Result<(), PlanError> {
        self.check_new(name, "sinks", self.plan.sinks.len())?;
        if !self.plan.has(input) {
            return Err(PlanError::UnknownStream(name.to_owned()));
        }
        self.names.insert(name.to_owned());
        self.plan.sinks.push(Sink {
            name: name.to_owned(),
            input,
            connector: None,
        });
        Ok(())
    }

    /// Says how a sink, or a source that is read where the application was accepted, is opened there.
    ///
    /// # Errors
    /// When there is no such part, it is published by somebody, or the connector has too much of something.
    pub fn connect(&mut self, name: &str, connector: Connector) -> Result<(), PlanError> {
        connector.check()?;
        let mut sources = self.plan.sources.iter_mut();
        let source = sources.find(|it| it.name == name && !it.source.is_published());
        let mut sinks = self.plan.sinks.iter_mut();
        let place = match source {
            Some(source) => Some(&mut source.connector),
            None => sinks.find(|it| it.name == name).map(|it| &mut it.connector),
        };
        let place = place.ok_or_else(|| PlanError::Connected(name.to_owned()))?;
        *place = Some(connector);
        Ok(())
    }

    /// Says how time passes for the source that was added last, where that cannot be read again.
    pub fn set_live(&mut self, live: Option<Live>) {
        if let Some(source) = self.plan.sources.last_mut() {
            source.live = live.filter(Live::is_sound);
        }
    }

    /// The columns of a stream that this builder handed out.
    pub fn schema(&self, stream: Stream) -> &Schema {
        self.plan.schema(stream)
    }

    /// The plan.
    ///
    /// # Errors
    /// When it has no sink, or a source or operator is read by nobody: all of those, in order.
    pub fn build(self) -> Result<QueryPlan, Vec<PlanError>> {
        let plan = self.plan;
        let mut errors = Vec::new();
        if plan.sinks.is_empty() {
            errors.push(PlanError::NoSink);
        }
        let read: BTreeSet<Stream> = plan
            .operators
            .iter()
            .flat_map(|operator| operator.inputs.iter().copied())
            .chain(plan.sinks.iter().map(|sink| sink.input))
            .collect();
        for (index, source) in plan.sources.iter().enumerate() {
            let range = Stream::Source(index, 0)..=Stream::Source(index, u16::MAX);
            if read.range(range).next().is_none() {
                errors.push(PlanError::Unread(source.name.clone()));
            }
        }
        for (index, operator) in plan.operators.iter().enumerate() {
            let range = Stream::Operator(index, 0)..=Stream::Operator(index, u16::MAX);
            if read.range(range).next().is_none() {
                errors.push(PlanError::Unread(operator.name.clone()));
            }
        }
        if errors.is_empty() {
            Ok(plan)
        } else {
            Err(errors)
        }
    }

    fn check_new(&self, name: &str, what: &'static str, count: usize) -> Result<(), PlanError> {
        check_name(name)?;
        if self.names.contains(name) {
            return Err(PlanError::Repeated(name.to_owned()));
        }
        if count >= OPERATORS_MAX {
            return Err(PlanError::TooMany {
                what,
                limit: OPERATORS_MAX,
            });
        }
        Ok(())
    }
}

/// Whether output ports have names, each its own.
fn check_ports(outputs: &[(String, Schema)]) -> Result<(), PlanError> {
    if outputs.len() > INPUTS_MAX {
        return Err(PlanError::TooMany {
            what: "ports",
            limit: INPUTS_MAX,
        });
    }
    let mut names = BTreeSet::new();
    for (port, _) in outputs {
        check_name(port)?;
        if !names.insert(port) {
            return Err(PlanError::Repeated(port.clone()));
        }
    }
    Ok(())
}

/// Whether parameters are few, each with its own name.
pub(super) fn check_parameters(parameters: &Arguments) -> Result<(), PlanError> {
    if parameters.len() > ARGUMENTS_MAX {
        return Err(PlanError::TooMany {
            what: "parameters",
            limit: ARGUMENTS_MAX,
        });
    }
    let mut names = BTreeSet::new();
    match parameters.iter().find(|(name, _)| !names.insert(*name)) {
        Some((name, _)) => Err(PlanError::Repeated(name.to_owned())),
        None => Ok(()),
    }
}

pub(super) fn check_name(name: &str) -> Result<(), PlanError> {
    if name::is_valid(name) {
        Ok(())
    } else {
        Err(PlanError::Name(name.to_owned()))
    }
}
