//! Reading an operator's arguments: from parameters as files or peers give them to expressions and names.

use model::{Arguments, COLUMNS_MAX, DataType, Field, Scalar, Schema, Value};

use super::{ArgumentError, Parameter};
use crate::expression::ExpressionError;

/// An argument that is wrong, without a word on what would be right.
pub(super) fn wrong(parameter: &str, message: impl Into<String>) -> ArgumentError {
    ArgumentError {
        parameter: parameter.to_owned(),
        message: message.into(),
        expected: None,
    }
}

/// What is wrong with an expression, as the argument that it was given for.
pub(super) fn wrong_expression(parameter: &str, error: &ExpressionError) -> ArgumentError {
    ArgumentError {
        parameter: parameter.to_owned(),
        message: error.to_string(),
        expected: error.expected(),
    }
}

/// The only input of an operator that has one and a port for bad rows.
pub(super) fn only(inputs: &[Schema]) -> Result<&Schema, Vec<ArgumentError>> {
    match inputs {
        // The port for bad rows has a column more.
        [input] if input.fields().len() >= COLUMNS_MAX => Err(vec![wrong(
            "from",
            format!("more than {} columns", COLUMNS_MAX - 1),
        )]),
        [input] => Ok(input),
        _ => Err(vec![wrong(
            "from",
            format!("{} inputs where one is read", inputs.len()),
        )]),
    }
}

/// Whether all arguments are parameters of this kind, each given once.
pub(super) fn check(
    arguments: &Arguments,
    parameters: &[Parameter],
) -> Result<(), Vec<ArgumentError>> {
    let mut errors = Vec::new();
    for (index, (name, _)) in arguments.iter().enumerate() {
        if parameters.iter().all(|known| known.name != name) {
            errors.push(wrong(name, "there is no such parameter"));
        }
        if arguments
            .iter()
            .take(index)
            .any(|(before, _)| before == name)
        {
            errors.push(wrong(name, "given twice"));
        }
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(errors)
    }
}

/// The text given for `parameter`.
pub(super) fn text<'a>(
    arguments: &'a Arguments,
    parameter: &str,
) -> Result<&'a str, ArgumentError> {
    match arguments.find(parameter) {
        Some(Value::Scalar(Scalar::Text(text))) => Ok(text),
        Some(_) => Err(wrong(parameter, "not an expression in quotes")),
        None => Err(wrong(parameter, "missing")),
    }
}

/// Expressions by the names of what they make, in order.
pub(super) type Texts<'a> = Vec<(&'a str, &'a str)>;

/// The expressions given for `parameter` by name, at least one; nothing where it is not given.
pub(super) fn texts<'a>(
    arguments: &'a Arguments,
    parameter: &str,
) -> Result<Option<Texts<'a>>, Vec<ArgumentError>> {
    let Some(value) = arguments.find(parameter) else {
        return Ok(None);
    };
    let Value::Table(entries) = value else {
        return Err(vec![wrong(parameter, "not a table of expressions")]);
    };
    if entries.is_empty() {
        return Err(vec![wrong(parameter, "there is nothing in it")]);
    }
    let mut texts = Texts::with_capacity(entries.len());
    let mut errors = Vec::new();
    for (name, value) in entries {
        let Scalar::Text(text) = value else {
            errors.push(wrong(
                &entry(parameter, name),
                "not an expression in quotes",
            ));
            continue;
        };
        if texts.iter().any(|(known, _)| known == name) {
            errors.push(wrong(&entry(parameter, name), "given twice"));
        }
        texts.push((name, text));
    }
    if errors.is_empty() {
        Ok(Some(texts))
    } else {
        Err(errors)
    }
}

/// How errors call an entry of a table.
pub(super) fn entry(parameter: &str, name: &str) -> String {
    format!("{parameter}.{name}")
}

/// Whether a column that an operator makes may be called `name`.
pub(super) fn check_column_name(parameter: &str, name: &str) -> Result<(), ArgumentError> {
    let message = if name.is_empty() {
        "a column has no name"
    } else if name.contains('.') {
        "a column's name has no dots"
    } else if name.len() > model::name::NAME_BYTES_MAX {
        "a column's name is too long"
    } else {
        return Ok(());
    };
    Err(ArgumentError {
        parameter: entry(parameter, name),
        message: message.to_owned(),
        expected: Some(format!(
            "1 to {} bytes without dots",
            model::name::NAME_BYTES_MAX
        )),
    })
}

/// The columns of `input` with one more, or with another in the place of the one that has its name.
pub(super) fn put_column(fields: &mut Vec<Field>, name: &str, data_type: DataType) -> usize {
    let field = Field::new(name, data_type);
    match fields.iter().position(|known| known.name == name) {
        Some(index) => {
            fields[index] = field;
            index
        }
        None => {
            fields.push(field);
            fields.len() - 1
        }
    }
}

/// Normalized expressions by name.
pub(super) fn table<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Value {
    Value::Table(
        entries
            .map(|(name, text)| (name.to_owned(), text.into()))
            .collect(),
    )
}
