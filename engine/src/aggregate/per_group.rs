//! One accumulator for each group, for aggregates that have none for all groups at once.

use std::fmt;

use arrow_array::{Array, ArrayRef, BooleanArray};
use arrow_select::concat::concat;
use arrow_select::filter::{filter, prep_null_mask_filter};
use datafusion_common::{Result, ScalarValue, not_impl_err};
use datafusion_expr_common::accumulator::Accumulator;
use datafusion_expr_common::groups_accumulator::{EmitTo, GroupsAccumulator};

use super::classes::for_each_class;

/// Makes an accumulator for a new group.
pub(super) type Make = Box<dyn Fn() -> Result<Box<dyn Accumulator>> + Send>;

/// An accumulator for each group.
///
/// A batch costs what its rows and the groups that they belong to cost; groups without a row in it are not
/// looked at.
pub(super) struct PerGroup {
    make: Make,
    groups: Vec<Box<dyn Accumulator>>,
    bytes: usize,
}

impl fmt::Debug for PerGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerGroup")
            .field("groups", &self.groups.len())
            .finish_non_exhaustive()
    }
}

impl PerGroup {
    /// No group yet.
    pub(super) fn new(make: Make) -> Self {
        Self {
            make,
            groups: Vec::new(),
            bytes: 0,
        }
    }

    /// Calls `apply` once for each group that has rows, with those rows in their order.
    fn for_each_group(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
        apply: impl Fn(&mut dyn Accumulator, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        while self.groups.len() < total_num_groups {
            let group = (self.make)()?;
            self.bytes += group.size();
            self.groups.push(group);
        }
        for_each_class(group_indices, values, |group, _, values| {
            self.apply_to(group, values, &apply)
        })
    }

    fn apply_to(
        &mut self,
        group: usize,
        values: &[ArrayRef],
        apply: impl Fn(&mut dyn Accumulator, &[ArrayRef]) -> Result<()>,
    ) -> Result<()> {
        let group = &mut self.groups[group];
        let before = group.size();
        let outcome = apply(group.as_mut(), values);
        self.bytes = (self.bytes + group.size()).saturating_sub(before);
        outcome
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<Box<dyn Accumulator>> {
        let taken = emit_to.take_needed(&mut self.groups);
        self.bytes = self.groups.iter().map(|group| group.size()).sum();
        taken
    }
}

impl GroupsAccumulator for PerGroup {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        let update = |group: &mut dyn Accumulator, values: &[ArrayRef]| group.update_batch(values);
        let Some(mask) = opt_filter else {
            return self.for_each_group(values, group_indices, total_num_groups, update);
        };
        let mask = if mask.null_count() == 0 {
            mask.clone()
        } else {
            prep_null_mask_filter(mask)
        };
        let values = values
            .iter()
            .map(|column| filter(column, &mask))
            .collect::<Result<Vec<_>, _>>()?;
        let group_indices: Vec<usize> = group_indices
            .iter()
            .enumerate()
            .filter(|(row, _)| mask.value(*row))
            .map(|(_, group)| *group)
            .collect();
        self.for_each_group(&values, &group_indices, total_num_groups, update)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let values = self
            .take(emit_to)
            .into_iter()
            .map(|mut group| group.evaluate())
            .collect::<Result<Vec<_>>>()?;
        ScalarValue::iter_to_array(values)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut columns: Vec<Vec<ScalarValue>> = Vec::new();
        for mut group in self.take(emit_to) {
            let state = group.state()?;
            columns.resize_with(state.len(), Vec::new);
            for (column, value) in columns.iter_mut().zip(state) {
                column.push(value);
            }
        }
        columns
            .into_iter()
            .map(ScalarValue::iter_to_array)
            .collect()
    }

    fn merge_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        total_num_groups: usize,
    ) -> Result<()> {
        self.for_each_group(values, group_indices, total_num_groups, |group, values| {
            group.merge_batch(values)
        })
    }

    /// Only plans that skip their first phase ask for this; there are none here.
    fn convert_to_state(
        &self,
        _values: &[ArrayRef],
        _opt_filter: Option<&BooleanArray>,
    ) -> Result<Vec<ArrayRef>> {
        not_impl_err!("rows are always accumulated before they become state")
    }

    fn size(&self) -> usize {
        self.bytes + self.groups.capacity() * size_of::<Box<dyn Accumulator>>()
    }
}

/// An accumulator that is given its rows in chunks of one size.
///
/// A digest depends on how its rows were cut; behind this it depends on their order alone.
#[derive(Debug)]
pub(super) struct Chunked {
    inner: Box<dyn Accumulator>,
    /// What is still less than a chunk, by argument.
    pending: Vec<ArrayRef>,
}

/// Unit: rows. Source: guess; a digest keeps about 100 centroids, and sorts what it is given.
const CHUNK_ROWS: usize = 512;

impl Chunked {
    /// Puts chunks before `inner`.
    pub(super) fn new(inner: Box<dyn Accumulator>) -> Self {
        Self {
            inner,
            pending: Vec::new(),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let pending = std::mem::take(&mut self.pending);
        if pending.is_empty() {
            Ok(())
        } else {
            self.inner.update_batch(&pending)
        }
    }
}

impl Accumulator for Chunked {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        if self.pending.is_empty() {
            self.pending = values.iter().map(|column| column.slice(0, 0)).collect();
        }
        let columns = self
            .pending
            .iter()
            .zip(values)
            .map(|(pending, new)| concat(&[pending, new]))
            .collect::<Result<Vec<_>, _>>()?;
        let len = columns.first().map_or(0, |column| column.len());
        let slice = |offset: usize, len: usize| -> Vec<ArrayRef> {
            columns
                .iter()
                .map(|column| column.slice(offset, len))
                .collect()
        };
        let whole = len / CHUNK_ROWS * CHUNK_ROWS;
        for offset in (0..whole).step_by(CHUNK_ROWS) {
            self.inner.update_batch(&slice(offset, CHUNK_ROWS))?;
        }
        self.pending = slice(whole, len - whole);
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.flush()?;
        self.inner.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.flush()?;
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.inner.merge_batch(states)
    }

    fn size(&self) -> usize {
        let pending: usize = self
            .pending
            .iter()
            .map(|column| column.to_data().get_slice_memory_size().unwrap_or(0))
            .sum();
        self.inner.size() + pending
    }
}
