//! Rows by what they belong to.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take_arrays;
use datafusion_common::Result;
use model::convert;

/// Calls `apply` once for each class that has rows: with which rows these are, in their order, and their columns. The n-th row is of the n-th of
/// these classes.
///
/// # Errors
/// The first that `apply` gives.
pub(super) fn for_each_class(
    classes: &[usize],
    columns: &[ArrayRef],
    mut apply: impl FnMut(usize, &[u32], &[ArrayRef]) -> Result<()>,
) -> Result<()> {
    let Some(first) = classes.first() else {
        return Ok(());
    };
    let mut order: Vec<u32> = (0u32..).take(classes.len()).collect();
    if classes.iter().all(|class| class == first) {
        return apply(*first, &order, columns);
    }
    let class_of = |row: u32| classes[convert::index(row.into())];
    order.sort_by_key(|row| class_of(*row));
    let columns = take_arrays(columns, &UInt32Array::from(order.clone()), None)?;
    let mut offset = 0;
    for run in order.chunk_by(|a, b| class_of(*a) == class_of(*b)) {
        let slice = |column: &ArrayRef| column.slice(offset, run.len());
        let of_run: Vec<ArrayRef> = columns.iter().map(slice).collect();
        apply(class_of(run[0]), run, &of_run)?;
        offset += run.len();
    }
    Ok(())
}
