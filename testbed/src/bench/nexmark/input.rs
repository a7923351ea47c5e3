//! The input, as often as it takes: each copy is later, and of other people and auctions, than the one before.

use std::io::{self, Write};

/// The event time that one copy of the input takes, so that the next begins behind it.
///
/// Unit: milliseconds. Source: the input has 50,000 events at 1,000 a second. A multiple of all windows of the queries.
const COPY_MILLIS: i64 = 50_000;

/// What the numbers in a column grow by from one copy to the next.
///
/// Source: the input has 50,000 events, of which 1,000 are persons and 3,000 auctions, each numbered without gaps.
fn step(table: &str, column: &str) -> Option<i64> {
    match (table, column) {
        (_, "seq") => Some(50_000),
        (_, "date_time" | "expires") => Some(COPY_MILLIS),
        ("person", "id") | (_, "bidder" | "seller") => Some(1_000),
        ("auction", "id") | (_, "auction") => Some(3_000),
        _ => None,
    }
}

/// Writes a table, as csv with a header, so many times behind itself.
///
/// # Errors
/// When it cannot be written, or a number is none.
pub(super) fn repeat(
    table: &str,
    text: &str,
    copies: u64,
    into: &mut impl Write,
) -> io::Result<()> {
    let mut lines = text.lines();
    let header = lines.next().unwrap_or_default();
    writeln!(into, "{header}")?;
    let steps: Vec<Option<i64>> = header
        .split(',')
        .map(|column| step(table, column))
        .collect();
    for copy in (0_i64..).zip(0..copies).map(|(copy, _)| copy) {
        for line in lines.clone() {
            for (index, (cell, step)) in line.split(',').zip(&steps).enumerate() {
                if index > 0 {
                    into.write_all(b",")?;
                }
                match step {
                    Some(step) => {
                        let number: i64 = cell.parse().map_err(io::Error::other)?;
                        write!(into, "{}", number + copy * step)?;
                    }
                    None => into.write_all(cell.as_bytes())?,
                }
            }
            into.write_all(b"\n")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_are_later_and_of_others() {
        let mut twice = Vec::new();
        let auctions = "seq,id,item_name,date_time,seller\n1,1000,lamp,5,7\n3,1001,rug,6,8\n";
        repeat("auction", auctions, 2, &mut twice).unwrap();
        assert_eq!(
            String::from_utf8(twice).unwrap(),
            format!("{auctions}50001,4000,lamp,50005,1007\n50003,4001,rug,50006,1008\n")
        );
        assert!(repeat("bid", "seq\nx\n", 1, &mut Vec::new()).is_err());
    }
}
