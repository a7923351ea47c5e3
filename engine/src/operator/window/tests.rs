use model::{Arguments, EventTime, Scalar, Value};

use super::*;
use crate::operator::harness::{self, Row, Run, late_row, row, weighted};
use crate::operator::{ArgumentError, Compiled};

mod parameters;
mod reference;
mod semantics;
mod sessions;
mod transfer;

/// The arguments of a window; spans in microseconds.
fn arguments(
    window: &[(&str, i64)],
    by: &[&str],
    select: &[(&str, &str)],
    lateness: i64,
) -> Arguments {
    let table = |entries: Vec<(String, Scalar)>| Value::Table(entries);
    let spans = window
        .iter()
        .map(|(name, micros)| ((*name).to_owned(), Scalar::Micros(*micros)));
    let texts = select
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Scalar::from(*text)));
    Arguments::from_iter([
        ("window", table(spans.collect())),
        (
            "by",
            Value::List(by.iter().map(|name| Scalar::from(*name)).collect()),
        ),
        ("select", table(texts.collect())),
        ("lateness", Value::Scalar(Scalar::Micros(lateness))),
    ])
}

fn compile(arguments: &Arguments) -> Result<Compiled, Vec<ArgumentError>> {
    harness::compile(&KIND, &weighted(), arguments)
}

/// An operator at the beginning.
fn begin(arguments: &Arguments) -> Run {
    Run::new(&KIND, weighted(), arguments)
}

/// What rows come to, wherever they are cut in two.
fn cut_anywhere(arguments: &Arguments, rows: &[Row]) -> Run {
    let mut whole = begin(arguments);
    whole.rows(1, rows);
    whole.end();
    for cut in 0..=rows.len() {
        let mut run = begin(arguments);
        run.rows(1, &rows[..cut]);
        run.rows(1, &rows[cut..]);
        run.end();
        assert_eq!(run.results, whole.results, "cut at {cut}");
        assert_eq!(run.late, whole.late, "cut at {cut}");
    }
    whole
}
