//! Groups: rows by key, accumulated; live, or frozen as state that merges.

use std::fmt;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, UInt64Array};
use arrow_select::take::take_arrays;
use datafusion_common::Result;
use datafusion_expr_common::groups_accumulator::{EmitTo, GroupsAccumulator};

use super::{EncodedKeys, Keys};

/// Groups that take in rows.
pub(crate) struct Groups {
    keys: Keys,
    accumulators: Vec<Accumulating>,
}

/// An aggregate at work, and how many of the arguments are its own.
pub(super) struct Accumulating {
    pub(super) accumulator: Box<dyn GroupsAccumulator>,
    pub(super) arguments: usize,
    pub(super) has_filter: bool,
}

/// Groups that take in no more rows: their keys, and for each aggregate its state by group.
#[derive(Debug, Clone)]
pub(crate) struct Frozen {
    keys: Keys,
    states: Vec<Vec<ArrayRef>>,
    bytes: usize,
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Groups")
            .field("keys", &self.keys.len())
            .field("aggregates", &self.accumulators.len())
            .finish()
    }
}

impl Groups {
    /// No group yet.
    pub(super) const fn new(accumulators: Vec<Accumulating>) -> Self {
        Self {
            keys: Keys::new(),
            accumulators,
        }
    }

    /// Takes in rows, given the arguments of all aggregates for them, and for each row the place of its key.
    ///
    /// `groups` is scratch space.
    ///
    /// # Errors
    /// When an accumulator refuses the values.
    pub(crate) fn update(
        &mut self,
        keys: &EncodedKeys,
        places: impl Iterator<Item = usize>,
        mut arguments: &[ArrayRef],
        groups: &mut Vec<usize>,
    ) -> Result<()> {
        self.keys.intern_rows(keys, places, groups);
        let total = self.keys.len();
        for aggregate in &mut self.accumulators {
            let (values, rest) = arguments.split_at(aggregate.arguments);
            let (filter, rest) = rest.split_at(usize::from(aggregate.has_filter));
            arguments = rest;
            let filter = filter.first().map(|filter| filter.as_boolean());
            aggregate
                .accumulator
                .update_batch(values, groups, filter, total)?;
        }
        Ok(())
    }

    /// Takes in what others have accumulated.
    ///
    /// # Errors
    /// When the state is not of the same aggregates.
    pub(crate) fn merge(&mut self, frozen: &Frozen) -> Result<()> {
        let groups: Vec<usize> = frozen
            .keys
            .iter()
            .map(|key| self.keys.intern(key))
            .collect();
        self.merge_states(&frozen.states, &groups)
    }

    /// Takes in state whose n-th row is that of the n-th of these encoded keys.
    ///
    /// # Errors
    /// When the state is not of the same aggregates.
    pub(crate) fn merge_rows(
        &mut self,
        keys: &EncodedKeys,
        rows: usize,
        states: &[Vec<ArrayRef>],
    ) -> Result<()> {
        let mut groups = Vec::with_capacity(rows);
        self.keys.intern_rows(keys, 0..rows, &mut groups);
        self.merge_states(states, &groups)
    }

    fn merge_states(&mut self, states: &[Vec<ArrayRef>], groups: &[usize]) -> Result<()> {
        let total = self.keys.len();
        for (aggregate, state) in self.accumulators.iter_mut().zip(states) {
            aggregate.accumulator.merge_batch(state, groups, total)?;
        }
        Ok(())
    }

    /// The groups as state.
    ///
    /// # Errors
    /// When an accumulator cannot give its state.
    pub(crate) fn freeze(mut self) -> Result<Frozen> {
        let states = self
            .accumulators
            .iter_mut()
            .map(|aggregate| aggregate.accumulator.state(EmitTo::All))
            .collect::<Result<Vec<_>>>()?;
        Ok(Frozen::new(self.keys, states))
    }

    /// The keys, and for each aggregate its value by group.
    pub(crate) fn evaluate(mut self) -> (Keys, Vec<Result<ArrayRef>>) {
        let values = self
            .accumulators
            .iter_mut()
            .map(|aggregate| aggregate.accumulator.evaluate(EmitTo::All))
            .collect();
        (self.keys, values)
    }

    /// The memory that the groups hold, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let accumulators: usize = self
            .accumulators
            .iter()
            .map(|aggregate| aggregate.accumulator.size())
            .sum();
        accumulators + self.keys.bytes()
    }
}

impl Frozen {
    fn new(keys: Keys, states: Vec<Vec<ArrayRef>>) -> Self {
        let arrays = states.iter().flatten();
        let arrays: usize = arrays.map(|array| array.get_array_memory_size()).sum();
        Self {
            bytes: arrays + keys.bytes(),
            keys,
            states,
        }
    }

    /// These groups alone, each once.
    ///
    /// # Errors
    /// When a column would grow too large.
    ///
    /// # Panics
    /// When there is no such group.
    pub(crate) fn take(&self, groups: &[usize]) -> Result<Self> {
        let mut keys = Keys::new();
        for group in groups {
            keys.intern(self.keys.key(*group));
        }
        let places = groups.iter().map(|group| u64::try_from(*group).ok());
        let places: UInt64Array = places.collect();
        let states = self
            .states
            .iter()
            .map(|state| take_arrays(state, &places, None));
        Ok(Self::new(keys, states.collect::<Result<_, _>>()?))
    }

    /// The keys, by group.
    pub(crate) const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The state columns of all aggregates, in order.
    pub(crate) fn states(&self) -> impl Iterator<Item = &ArrayRef> + '_ {
        self.states.iter().flatten()
    }

    /// The memory that the state holds, in bytes.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }
}
