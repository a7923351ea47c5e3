//! "Did you mean": the known word nearest to one that is not known.

/// The longest word for which a near one is looked for. Unit: characters. Source: longest name allowed.
const WORD_CHARS_MAX: usize = model::name::NAME_BYTES_MAX;

/// How many known words are listed to people. Unit: count. Source: guess; some lines of a terminal.
const LISTED_MAX: usize = 24;

/// What was expected instead of `word`: the known words, and the nearest of them.
pub(crate) fn one_of(word: &str, known: &[&str]) -> Option<String> {
    let hint = nearest(word, known).map(|near| format!("did you mean \"{near}\"?"));
    let listed = match known {
        [] => return None,
        [only] => format!("\"{only}\""),
        _ if known.len() <= LISTED_MAX => format!("one of: {}", known.join(", ")),
        _ => format!("one of: {}, …", known[..LISTED_MAX].join(", ")),
    };
    Some(match hint {
        Some(hint) if known.len() > 1 => format!("{listed} ({hint})"),
        _ => listed,
    })
}

/// The known word that takes the fewest edits to reach from `word`, if few enough of its letters change.
pub(crate) fn nearest<'w>(word: &str, known: &[&'w str]) -> Option<&'w str> {
    if word.is_empty() || word.chars().count() > WORD_CHARS_MAX {
        return None;
    }
    let ranked = known.iter().map(|candidate| {
        let edits = edit_count(&word.to_lowercase(), &candidate.to_lowercase());
        (edits, *candidate)
    });
    let (edits, candidate) = ranked.min_by_key(|(edits, _)| *edits)?;
    let longest = word.chars().count().max(candidate.chars().count());
    (edits * 3 <= longest.max(3)).then_some(candidate)
}

/// How many letters must be put in, left out, replaced or swapped with their neighbor to make one of the other.
fn edit_count(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=right.len()).collect();
    let mut previous = None;
    for (row, from) in left.chars().enumerate() {
        let mut current = vec![row + 1];
        for (column, to) in right.iter().enumerate() {
            let replaced = last[column] + usize::from(from != *to);
            let mut edits = replaced.min(last[column + 1] + 1).min(current[column] + 1);
            let is_swap = column > 0 && previous == Some(*to) && right[column - 1] == from;
            if is_swap {
                edits = edits.min(before_last[column - 1] + 1);
            }
            current.push(edits);
        }
        before_last = std::mem::replace(&mut last, current);
        previous = Some(from);
    }
    last[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["filter", "flat_map", "map", "union"];
        for (word, near) in [
            ("fliter", Some("filter")),
            ("Filter", Some("filter")),
            ("mpa", Some("map")),
            ("unions", Some("union")),
            ("flatmap", Some("flat_map")),
            ("window", None),
            ("", None),
        ] {
            assert_eq!(nearest(word, &known), near, "{word}");
        }
        assert_eq!(nearest(&"x".repeat(100_000), &known), None);
        assert_eq!(nearest("a", &[]), None);
    }

    #[test]
    fn edits_are_counted() {
        for (left, right, edits) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("abc", "acb", 1),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(edit_count(left, right), edits, "{left} {right}");
            assert_eq!(edit_count(right, left), edits, "{right} {left}");
        }
    }
}
