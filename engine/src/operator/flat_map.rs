//! Flat map: a row for each element of a list that is computed from a row.
//!
//! ```toml
//! [operator.words]
//! use = "flat_map"
//! from = "lines"
//! each = { word = "string_to_array(line, ' ')" }
//! ```
//!
//! The element stands in the column that `each` names: behind the others, or in the place of the one of the
//! same name. All other columns are repeated. A row whose list is null or empty makes none. All rows that
//! one row makes have its position.
//!
//! Ports: `out`, and `bad` for rows whose list cannot be computed or has more than [`ELEMENTS_MAX`] elements.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray, RecordBatch, UInt32Array};
use arrow_schema::SchemaRef;
use model::{Arguments, Schema};

use super::arguments::{
    check, check_column_name, entry, only, put_column, table, texts, wrong, wrong_expression,
};
use super::evaluate::evaluate;
use super::{
    ArgumentError, Compiled, DefaultCost, Emitter, Inputs, Kind, Numbering, Operator, Parameter,
    Shape, bad_schema,
};
use crate::batch::Batch;
use crate::columns;
use crate::expression::{EvaluationError, ListExpression};

/// The most elements of one row's list.
///
/// Unit: elements. Source: guess; all rows of a full batch at this length are four million.
pub(super) const ELEMENTS_MAX: usize = 4_096;

pub(super) const KIND: Kind = Kind {
    name: "flat_map",
    doc: "A row for each element of a list that is computed from a row.",
    inputs: Inputs::One,
    parameters: PARAMETERS,
    numbering: Numbering::Kept,
    compile,
};

const PARAMETERS: &[Parameter] = &[Parameter {
    name: "each",
    shape: Shape::Expressions,
    required: true,
    doc: "The list, and the name of the column that takes its elements: exactly one entry.",
}];

#[derive(Debug)]
struct FlatMap {
    list: ListExpression,
    /// Where the elements stand: one of the input's columns, or the one behind the last.
    column: usize,
    schema: SchemaRef,
}

fn compile(arguments: &Arguments, inputs: &[Schema]) -> Result<Compiled, Vec<ArgumentError>> {
    check(arguments, PARAMETERS)?;
    let input = only(inputs)?;
    let entries = texts(arguments, "each")?.ok_or_else(|| vec![wrong("each", "missing")])?;
    let [(name, text)] = entries[..] else {
        let message = format!("{} entries where one is needed", entries.len());
        return Err(vec![wrong("each", message)]);
    };
    check_column_name("each", name).map_err(|error| vec![error])?;
    let list = ListExpression::parse(text, input)
        .map_err(|error| vec![wrong_expression(&entry("each", name), &error)])?;
    let mut fields = input.fields().to_vec();
    let column = put_column(&mut fields, name, list.element_type());
    let output = Schema::new(fields).map_err(|error| vec![wrong("each", error.to_string())])?;
    let normal = std::iter::once((name, list.text()));
    Ok(Compiled {
        parameters: Arguments::from_iter([("each", table(normal))]),
        operator: Box::new(FlatMap {
            list,
            column,
            schema: columns::to_arrow(&output),
        }),
        outputs: vec![
            ("out".to_owned(), output),
            ("bad".to_owned(), bad_schema(input)),
        ],
        cost: COST,
    })
}

impl FlatMap {
    fn lists(&self, columns: &RecordBatch) -> Result<Vec<ArrayRef>, EvaluationError> {
        let lists = self.list.evaluate(columns)?;
        let longest = (0..lists.len()).map(|row| len(&lists, row)).max();
        match longest {
            Some(longest) if longest > ELEMENTS_MAX => Err(EvaluationError::new(format!(
                "a list of {longest} elements is longer than {ELEMENTS_MAX}"
            ))),
            _ => Ok(vec![Arc::new(lists)]),
        }
    }
}

impl Operator for FlatMap {
    fn process(&mut self, _port: u16, batch: &Batch, emit: &mut Emitter) {
        let evaluated = evaluate(&batch.rows, emit, |columns| self.lists(columns));
        let Some((rows, values)) = evaluated else {
            return;
        };
        let (places, elements) = unfold(values[0].as_list());
        let input = rows.columns();
        let mut columns: Vec<ArrayRef> = (0..input.num_columns())
            .filter(|index| *index != self.column)
            .map(|index| {
                arrow_select::take::take(input.column(index), &places, None)
                    .expect("places lie within the batch")
            })
            .collect();
        columns.insert(self.column, elements);
        let columns = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("the other columns are repeated and the elements are of their type");
        emit.rows(0, rows.place(columns, &places));
    }
}

/// For each element of each list, the row that it is of; and the elements themselves.
fn unfold(lists: &ListArray) -> (UInt32Array, ArrayRef) {
    let rows = 0..lists.len();
    let places = rows.clone().flat_map(|row| {
        let place = u32::try_from(row).expect("a batch has fewer rows than 2^32");
        std::iter::repeat_n(place, len(lists, row))
    });
    let is_gapless = lists.null_count() == 0;
    let elements = match lists.value_offsets() {
        [first, .., last] if is_gapless => lists.values().slice(index(*first), index(last - first)),
        _ => gather(lists),
    };
    (places.collect(), elements)
}

/// The elements of lists between which others may stand: those of rows without a list.
fn gather(lists: &ListArray) -> ArrayRef {
    let parts: Vec<ArrayRef> = lists.iter().flatten().collect();
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    if parts.is_empty() {
        return lists.values().slice(0, 0);
    }
    arrow_select::concat::concat(&parts).expect("the elements are of one type")
}

/// How many elements a row's list has; none where there is no list.
fn len(lists: &ListArray, row: usize) -> usize {
    if lists.is_null(row) {
        return 0;
    }
    index(lists.value_length(row))
}

fn index(offset: i32) -> usize {
    usize::try_from(offset).expect("a list's offsets and lengths are not negative")
}

/// What a batch and a row cost, until they are measured.
///
/// Source: guess: a tenth of what a build without optimization takes for a batch of 1 and of 1,024 rows and
/// a line of three words, 10 µs and 1,040 µs on one core of the development machine.
const COST: DefaultCost = DefaultCost {
    batch_seconds: 1e-6,
    row_seconds: 1e-7,
};
