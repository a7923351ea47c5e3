use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::{DataType, Field, Schema};

use super::*;

/// A batch of rows that are due at these times, behind index 10; those of `backs` share indices.
fn batch(dues: &[i64], progress: i64, backs: Option<Vec<u32>>) -> Batch {
    let column: ArrayRef = Arc::new(Int64Array::from(dues.to_vec()));
    let schema = Schema::new(vec![Field::new("x", DataType::Int64, true)]);
    let columns = RecordBatch::try_new(Arc::new(schema), vec![column]).expect("one column");
    let header = Header {
        origin: Origin(1),
        interval: Interval::new(10, 10 + convert::size(dues.len())),
        arrival: Instant::ZERO,
        progress: EventTime(progress),
        token: Token::Unmetered,
        missing: 3,
        note: None,
    };
    let rows = match backs {
        Some(backs) => Rows::sparse(columns, dues.to_vec(), None, backs),
        None => Rows::dense(columns, dues.to_vec(), None),
    };
    Batch { header, rows }
}

#[test]
fn what_is_due_from_a_time_on_is_parted_off_and_the_origin_is_that_far_before_it() {
    // When each row is due, the progress, from when, and how many rows come before.
    for (dues, progress, from, before) in [
        (&[1, 2, 5, 6][..], 6, 5, Some(2)),
        (&[5, 6, 7, 8], 8, 5, Some(0)),
        (&[1, 6, 4, 7, 9], 5, 5, Some(3)),
        (&[1, 2, 5, 4], 5, 5, None),
        (&[1, 2, 3, 4], 4, 5, None),
    ] {
        let whole = batch(dues, progress, None);
        let parts = whole.split_due(EventTime(from));
        assert_eq!(parts.as_ref().map(|it| it.0.rows.len()), before, "{dues:?}");
        let Some((front, rest)) = parts else {
            continue;
        };
        assert!(rest.rows.dues().iter().all(|due| *due >= from), "{dues:?}");
        let least = rest.rows.dues().iter().copied().min().expect("rows");
        assert_eq!(front.header.progress, EventTime(least.min(progress)));
        assert_eq!(front.header.missing + rest.header.missing, 3);
        let joined = Batch::join(&[Arc::new(front), Arc::new(rest)]).expect("one schema");
        assert_eq!(joined.header, whole.header);
        assert_eq!(joined.rows.columns(), whole.rows.columns());
        assert!(joined.indices().eq(whole.indices()), "{dues:?}");
    }
}

#[test]
fn rows_that_share_an_index_stay_together() {
    let parted = |backs: Vec<u32>| {
        let whole = batch(&[1, 5, 6, 7], 7, Some(backs));
        whole.split_due(EventTime(5)).map(|it| it.0.rows.len())
    };
    assert_eq!(parted(vec![3, 2, 1, 0]), Some(1));
    assert_eq!(parted(vec![2, 2, 2, 0]), Some(3));
    assert_eq!(parted(vec![0, 0, 0, 0]), None);
}
