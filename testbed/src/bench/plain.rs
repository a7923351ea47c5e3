//! The plain loop beside which the engine is measured: arrow's reader and kernels and a map, on one thread,
//! with no position, no progress, no deadline and no bound on memory.
//!
//! It computes what `applications/bench/engine.toml` does and writes the same file. It may rely on what holds
//! for this one input and for no other: rows in the order of their times.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use arrow_arith::numeric;
use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{
    Array, ArrayRef, Float64Array, Int64Array, PrimitiveArray, RecordBatch,
    TimestampMicrosecondArray,
};
use arrow_csv::{ReaderBuilder, Writer};
use arrow_ord::cmp;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use arrow_select::filter;
use foldhash::fast::FixedState;
use indexmap::IndexMap;
use model::convert;

/// How many rows are read at once. Unit: rows. Source: guess; larger ones do not leave the processor's cache
/// any more.
const BATCH_ROWS: usize = 8_192;

/// The length of a window. Unit: milliseconds.
const WINDOW_MILLIS: i64 = 1_000;

/// Reads one file, writes the other, and says how many rows were read.
///
/// # Errors
/// When one of them cannot be, or rows are not in order.
pub fn run(input: &Path, output: &Path) -> anyhow::Result<u64> {
    let columns = [
        ("time", DataType::Int64),
        ("key", DataType::Int64),
        ("value", DataType::Int64),
        ("price", DataType::Float64),
    ];
    let fields = columns.map(|(name, data_type)| Field::new(name, data_type, false));
    let reader = ReaderBuilder::new(Arc::new(Schema::new(fields.to_vec())))
        .with_header(true)
        .with_batch_size(BATCH_ROWS)
        .build(File::open(input).context("the input")?)?;
    let mut results = Results {
        writer: Writer::new(File::create(output).context("the output")?),
        window: i64::MIN,
        totals: IndexMap::default(),
    };
    let mut rows = 0;
    for batch in reader {
        let batch = batch?;
        rows += convert::size(batch.num_rows());
        results.add(&batch)?;
    }
    results.close()?;
    Ok(rows)
}

/// The window in hand, and where those before it went.
struct Results {
    writer: Writer<File>,
    window: i64,
    totals: IndexMap<i64, Total, FixedState>,
}

/// What the rows of a key in a window come to.
#[derive(Debug, Clone, Copy)]
struct Total {
    count: i64,
    sum: f64,
    max: f64,
}

impl Results {
    fn add(&mut self, batch: &RecordBatch) -> anyhow::Result<()> {
        let remainders = numeric::rem(batch.column(2), &Int64Array::new_scalar(10))?;
        let is_kept = cmp::neq(&remainders, &Int64Array::new_scalar(0))?;
        let kept = filter::filter_record_batch(batch, &is_kept)?;
        let prices = numeric::mul(kept.column(3), &Float64Array::new_scalar(0.908))?;

        let times = column::<Int64Type>(kept.column(0))?;
        let keys = column::<Int64Type>(kept.column(1))?;
        let prices = column::<Float64Type>(&prices)?;
        for ((time, key), price) in times
            .values()
            .iter()
            .zip(keys.values())
            .zip(prices.values())
        {
            let window = time.div_euclid(WINDOW_MILLIS);
            if window != self.window {
                anyhow::ensure!(window > self.window, "rows are not in order");
                self.close()?;
                self.window = window;
            }
            let total = self.totals.entry(*key).or_insert(Total {
                count: 0,
                sum: 0.0,
                max: f64::NEG_INFINITY,
            });
            total.count += 1;
            total.sum += price;
            total.max = total.max.max(*price);
        }
        Ok(())
    }

    /// Writes the window in hand.
    fn close(&mut self) -> Result<(), ArrowError> {
        if self.totals.is_empty() {
            return Ok(());
        }
        self.totals.sort_unstable_keys();
        let count = self.totals.len();
        let bound = |window: i64| -> ArrayRef {
            let micros = vec![window * WINDOW_MILLIS * 1_000; count];
            Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
        };
        let keys: Int64Array = self.totals.keys().copied().collect();
        let totals = || self.totals.values();
        let counts: Int64Array = totals().map(|total| total.count).collect();
        let sums: Float64Array = totals().map(|total| total.sum).collect();
        let maxima: Float64Array = totals().map(|total| total.max).collect();
        let columns: [(&str, ArrayRef); 6] = [
            ("key", Arc::new(keys)),
            ("window_start", bound(self.window)),
            ("window_end", bound(self.window + 1)),
            ("count", Arc::new(counts)),
            ("sum", Arc::new(sums)),
            ("max", Arc::new(maxima)),
        ];
        self.writer.write(&RecordBatch::try_from_iter(columns)?)?;
        self.totals.clear();
        Ok(())
    }
}

fn column<T: arrow_array::ArrowPrimitiveType>(
    column: &ArrayRef,
) -> anyhow::Result<&PrimitiveArray<T>> {
    let column = column.as_any().downcast_ref();
    column.context("a column has the type that the reader was told")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_file_comes_to_what_a_person_computes() {
        let folder = tempfile::tempdir().unwrap();
        let (input, output) = (folder.path().join("in.csv"), folder.path().join("out.csv"));
        let rows = "time,key,value,price\n0,7,1,100.0\n999,3,2,10.0\n999,7,10,1.0\n999,7,3,50.0\n1000,7,4,1.0\n";
        std::fs::write(&input, rows).unwrap();
        assert_eq!(run(&input, &output).unwrap(), 5);
        let expected = "key,window_start,window_end,count,sum,max\n\
             3,1970-01-01T00:00:00Z,1970-01-01T00:00:01Z,1,9.08,9.08\n\
             7,1970-01-01T00:00:00Z,1970-01-01T00:00:01Z,2,136.2,90.8\n\
             7,1970-01-01T00:00:01Z,1970-01-01T00:00:02Z,1,0.908,0.908\n";
        assert_eq!(std::fs::read_to_string(&output).unwrap(), expected);
    }
}
