//! Whether a query gave the rows that another engine computed.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::Order;

/// What expected floats, which are written with 6 decimals, may be off.
const DECIMALS: f64 = 1e-6;

/// The text of a file, unpacked if its name says that it is packed.
///
/// # Errors
/// When it cannot be read.
pub fn read(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let mut text = String::new();
    match path.extension().is_some_and(|extension| extension == "gz") {
        true => MultiGzDecoder::new(file).read_to_string(&mut text)?,
        false => file.read_to_string(&mut text)?,
    };
    Ok(text)
}

/// The first place where a result is not what is expected, in words. Both have a header.
pub fn difference(result: &str, expected: &str, order: Order) -> Option<String> {
    let (result, expected) = (in_order(result, order), in_order(expected, order));
    let differs = |(result, expected): &(&str, &str)| {
        let mut cells = result.split(',').zip(expected.split(','));
        result.split(',').count() != expected.split(',').count()
            || !cells.all(|(result, expected)| is_same_cell(result, expected))
    };
    let mut rows = result.iter().copied().zip(expected.iter().copied());
    if let Some((result, expected)) = rows.find(differs) {
        return Some(format!("{result:?} is not {expected:?}"));
    }
    let (given, wanted) = (result.len(), expected.len());
    (given != wanted).then(|| format!("{given} lines are not {wanted}"))
}

/// A header and rows, these sorted where the order is not told by what is expected.
fn in_order(text: &str, order: Order) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    if order == Order::Other
        && let Some(rows) = lines.get_mut(1..)
    {
        rows.sort_unstable();
    }
    lines
}

/// Whether two cells hold the same; only numbers with a decimal point may be off, by what it leaves out.
fn is_same_cell(result: &str, expected: &str) -> bool {
    match (result.parse::<f64>(), expected.parse::<f64>()) {
        (Ok(result), Ok(number)) if expected.contains('.') => (result - number).abs() <= DECIMALS,
        _ => result == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_differ_where_they_should() {
        assert!(is_same_cell("1.50000000001", "1.500000"));
        assert!(!is_same_cell("1.500002", "1.500000"));
        assert!(!is_same_cell("15", "14"));
        assert!(!is_same_cell("", "0.000000"));
    }

    #[test]
    fn results_differ_in_rows_in_their_number_and_where_it_is_told_in_their_order() {
        let difference = |result, order| difference(result, "a,b\n1,2\n3,4.5\n", order);
        for order in [Order::Kept, Order::Other] {
            assert_eq!(difference("a,b\n1,2\n3,4.5\n", order), None);
            let other = difference("a,b\n1,2\n3,4.6\n", order);
            assert_eq!(other.unwrap(), "\"3,4.6\" is not \"3,4.5\"");
            let fewer = difference("a,b\n1,2\n", order);
            assert_eq!(fewer.unwrap(), "2 lines are not 3");
            assert!(difference("", order).is_some());
        }
        let turned = "a,b\n3,4.5\n1,2\n";
        assert_eq!(difference(turned, Order::Other), None);
        assert!(difference(turned, Order::Kept).is_some());
    }
}
