//! Columns of text, for people.

/// Rows under their headings, each column as wide as its widest cell; numbers are to the right.
pub fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let is_number = |text: &str| text.starts_with(|first: char| first.is_ascii_digit());
    let mut text = String::new();
    let headings: Vec<String> = headings.iter().map(|it| (*it).to_owned()).collect();
    let widths: Vec<usize> = (0..headings.len())
        .map(|column| {
            let cells = std::iter::once(&headings).chain(rows);
            let lengths = cells.filter_map(|row| row.get(column));
            lengths.map(|cell| cell.chars().count()).max().unwrap_or(0)
        })
        .collect();
    let to_right: Vec<bool> = (0..headings.len())
        .map(|column| {
            let mut cells = rows.iter().filter_map(|row| row.get(column));
            cells.all(|cell| cell == ABSENT || is_number(cell) && !cell.contains(':'))
        })
        .collect();
    for row in std::iter::once(&headings).chain(rows) {
        let mut line = String::new();
        for ((cell, width), to_right) in row.iter().zip(&widths).zip(&to_right) {
            let cell = match to_right {
                true => format!("{cell:>width$}  "),
                false => format!("{cell:<width$}  "),
            };
            line.push_str(&cell);
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// What stands where there is nothing to say.
pub const ABSENT: &str = "-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = [row(["1", "n1", "127.0.0.1:1"]), row(["12", "n12", "-"])];
        let expected = " K  NAME  API\n 1  n1    127.0.0.1:1\n12  n12   -\n";
        assert_eq!(table(&["K", "NAME", "API"], &rows), expected);
    }
}
