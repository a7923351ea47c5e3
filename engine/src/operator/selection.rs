//! Some of the rows of a batch: what operators part batches into.

use arrow_array::{ArrayRef, UInt32Array};
use arrow_schema::ArrowError;
use arrow_select::take::take_arrays;

use crate::batch::Rows;

/// Some of the rows of a batch.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Selection {
    /// Consecutive ones.
    Range { offset: usize, len: usize },
    /// Those at these places, ascending.
    Places(UInt32Array),
}

impl Selection {
    /// These rows, which ascend.
    pub(super) fn of(rows: Vec<u32>) -> Self {
        let index = |row: u32| usize::try_from(row).expect("32 bits fit a pointer");
        match (rows.first(), rows.last()) {
            (Some(first), Some(last)) if index(last - first) + 1 == rows.len() => Self::Range {
                offset: index(*first),
                len: rows.len(),
            },
            _ => Self::Places(rows.into()),
        }
    }

    /// Where the rows stand.
    pub(super) fn rows(&self) -> impl Iterator<Item = usize> + '_ {
        let (range, places) = match self {
            Self::Range { offset, len } => (*offset..offset + len, [].as_slice()),
            Self::Places(places) => (0..0, &**places.values()),
        };
        let index = |place: &u32| usize::try_from(*place).expect("32 bits fit a pointer");
        range.chain(places.iter().map(index))
    }

    /// These rows of some columns.
    ///
    /// # Errors
    /// When a column would grow too large.
    pub(super) fn of_columns(&self, columns: &[ArrayRef]) -> Result<Vec<ArrayRef>, ArrowError> {
        match self {
            Self::Range { offset, len } => {
                let slice = |column: &ArrayRef| column.slice(*offset, *len);
                Ok(columns.iter().map(slice).collect())
            }
            Self::Places(places) => take_arrays(columns, places, None),
        }
    }

    /// These rows of a batch.
    pub(super) fn of_rows(&self, rows: &Rows) -> Rows {
        match self {
            Self::Range { offset, len } => rows.slice(*offset, *len),
            Self::Places(places) => rows.take(places),
        }
    }
}
