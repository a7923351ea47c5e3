//! What is cut depends on the bytes alone.

use proptest::prelude::*;

use super::*;

/// What a record says: its values, or its text; `None` for one that is too long.
type Said = Option<Vec<String>>;

/// Cuts `pieces` as they would arrive one after another.
fn cut_all(mut cutter: Cutter, pieces: &[&[u8]]) -> Vec<Said> {
    let mut said = Vec::new();
    let mut bytes: Vec<u8> = Vec::new();
    for (index, piece) in pieces.iter().enumerate() {
        bytes.extend_from_slice(piece);
        let is_end = index + 1 == pieces.len();
        loop {
            match cutter.cut(&bytes, is_end) {
                Cut::Partial { done } => {
                    bytes.drain(..done);
                    break;
                }
                Cut::Record { record, done } => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let fields = cutter.fields();
                    said.push(Some(match fields.len() {
                        0 => vec![text(&bytes[record])],
                        len => (0..len).map(|index| text(fields.at(index))).collect(),
                    }));
                    bytes.drain(..done);
                }
                Cut::TooLong { done, .. } => {
                    said.push(None);
                    bytes.drain(..done);
                }
            }
        }
    }
    said
}

fn check(cutter: fn() -> Cutter, input: &[u8], expected: &[&[&str]]) {
    let expected: Vec<Said> = expected
        .iter()
        .map(|values| Some(values.iter().map(|value| (*value).to_owned()).collect()))
        .collect();
    assert_eq!(cut_all(cutter(), &[input]), expected, "{input:?}");
    for at in 0..=input.len() {
        let (left, right) = input.split_at(at);
        assert_eq!(
            cut_all(cutter(), &[left, right]),
            expected,
            "{input:?} cut at {at}"
        );
    }
    let bytes: Vec<&[u8]> = input.chunks(1).collect();
    if !bytes.is_empty() {
        assert_eq!(
            cut_all(cutter(), &bytes),
            expected,
            "{input:?} byte by byte"
        );
    }
}

#[test]
fn lines_end_at_line_ends_or_at_the_end() {
    check(Cutter::lines, b"", &[]);
    check(Cutter::lines, b"a\nb", &[&["a"], &["b"]]);
    check(
        Cutter::lines,
        b"\xEF\xBB\xBFa\r\n\r\n  \nb\n",
        &[&["a\r"], &["b"]],
    );
}

#[test]
fn values_are_unquoted_and_may_hold_line_ends() {
    check(
        Cutter::csv,
        b"a,b\r\n1,\r\n\r\n2,x",
        &[&["a", "b"], &["1", ""], &["2", "x"]],
    );
    check(
        Cutter::csv,
        b"\xEF\xBB\xBFa,\"b \"\"c\"\",\r\n\"\n,d\n",
        &[&["a", "b \"c\",\r\n"], &["", "d"]],
    );
    check(
        Cutter::csv,
        b"\xEF\xBB\xBF\xEF\xBB\xBFa\n",
        &[&["\u{FEFF}a"]],
    );
    check(Cutter::csv, b"a,\"open\nx", &[&["a", "open\nx"]]);
    let wide = vec!["x"; 40];
    check(Cutter::csv, wide.join(",").as_bytes(), &[&wide]);
}

#[test]
fn a_record_that_is_too_long_is_one_and_the_next_line_is_read() {
    for (cutter, quote) in [(Cutter::lines as fn() -> Cutter, ""), (Cutter::csv, "\"")] {
        let long = format!("{quote}{}", "x".repeat(3 * RECORD_BYTES_MAX));
        let input = format!("a\n{long}\nb\n");
        let expected = vec![Some(vec!["a".into()]), None, Some(vec!["b".into()])];
        assert_eq!(cut_all(cutter(), &[input.as_bytes()]), expected);
        let pieces: Vec<&[u8]> = input.as_bytes().chunks(65_537).collect();
        assert_eq!(cut_all(cutter(), &pieces), expected);
    }
}

#[test]
fn the_longest_record_is_still_one() {
    for cutter in [Cutter::lines as fn() -> Cutter, Cutter::csv] {
        let long = "x".repeat(RECORD_BYTES_MAX);
        for (input, is_cut) in [
            (long.clone(), true),
            (format!("{long}\n"), true),
            (format!("{long}x\n"), false),
            (format!("{long}x"), false),
        ] {
            let said = cut_all(cutter(), &[input.as_bytes()]);
            assert_eq!(said.len(), 1);
            assert_eq!(said[0].is_some(), is_cut, "{} bytes", input.len());
            let pieces: Vec<&[u8]> = input.as_bytes().chunks(1_000).collect();
            assert_eq!(cut_all(cutter(), &pieces), said);
        }
    }
}

proptest! {
    #[test]
    fn any_bytes_in_any_pieces_are_cut_alike(
        bytes in proptest::collection::vec(prop_oneof![Just(b','), Just(b'"'), Just(b'\n'), Just(b'\r'), any::<u8>()], 0..200),
        size in 1_usize..50,
    ) {
        for cutter in [Cutter::lines as fn() -> Cutter, Cutter::csv] {
            let whole = cut_all(cutter(), &[&bytes]);
            let mut pieces: Vec<&[u8]> = bytes.chunks(size).collect();
            if pieces.is_empty() {
                pieces.push(&[]);
            }
            prop_assert_eq!(cut_all(cutter(), &pieces), whole);
        }
    }
}
