//! Values of one cell: parsed from text or taken from JSON, as the column's type says.

use std::borrow::Cow;
use std::fmt;

use arrow_cast::parse::string_to_timestamp_nanos;
use model::{DataType, convert};
use serde_json::Value;

/// The event times that are taken for such: from the year 1 to 9999, in microseconds since the epoch.
///
/// Beyond lie no dates that can be written, but numbers in the wrong unit.
pub(super) const TIMES: std::ops::RangeInclusive<i64> =
    -62_135_596_800_000_000..=253_402_300_799_999_999;

/// What a number counts that is a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit {
    Seconds,
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

impl Unit {
    /// The words that files use.
    pub(super) const WORDS: &'static [&'static str] = &["s", "ms", "us", "ns"];

    /// The unit that files call `word`.
    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "s" => Some(Self::Seconds),
            "ms" => Some(Self::Milliseconds),
            "us" => Some(Self::Microseconds),
            "ns" => Some(Self::Nanoseconds),
            _ => None,
        }
    }

    /// So many of these since the epoch as microseconds, if that is a time.
    fn integer_micros(self, count: i64) -> Option<i64> {
        let micros = match self {
            Self::Seconds => count.checked_mul(1_000_000)?,
            Self::Milliseconds => count.checked_mul(1_000)?,
            Self::Microseconds => count,
            Self::Nanoseconds => count.div_euclid(1_000),
        };
        TIMES.contains(&micros).then_some(micros)
    }

    /// The same for a fraction, rounded. Not-a-number is no time.
    fn float_micros(self, count: f64) -> Option<i64> {
        let micros = match self {
            Self::Seconds => count * 1e6,
            Self::Milliseconds => count * 1e3,
            Self::Microseconds => count,
            Self::Nanoseconds => count / 1e3,
        };
        let rounded = convert::round(micros);
        (!micros.is_nan() && TIMES.contains(&rounded)).then_some(rounded)
    }
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    Null,
    Boolean(bool),
    Int64(i64),
    UInt64(u64),
    Float64(f64),
    Text(Cow<'a, str>),
    /// In microseconds since the epoch.
    Time(i64),
}

impl<'a> Cell<'a> {
    /// What `text` says in a column of this type; `unit` is that of numbers in a column of times. Nothing
    /// at all is null. `None` when it says no such value.
    #[inline]
    pub(super) fn of_text(text: &'a [u8], data_type: DataType, unit: Option<Unit>) -> Option<Self> {
        if data_type == DataType::Utf8 {
            return match text {
                [] => Some(Self::Null),
                _ => Some(Self::Text(Cow::Borrowed(std::str::from_utf8(text).ok()?))),
            };
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return Some(Self::Null);
        }
        match data_type {
            DataType::Boolean => boolean(text).map(Self::Boolean),
            DataType::Int64 => integer(text).map(Self::Int64),
            DataType::UInt64 => number(text).map(Self::UInt64),
            DataType::Float64 => finite(text).map(Self::Float64),
            DataType::Timestamp => match unit {
                Some(unit) => number(text).and_then(|count| unit.float_micros(count)),
                None => None,
            }
            .or_else(|| std::str::from_utf8(text).ok().and_then(date))
            .map(Self::Time),
            DataType::Utf8 => unreachable!("text was taken above"),
        }
    }

    /// What a JSON value says in a column of this type. A column of text takes every value, those that are
    /// no text as JSON.
    pub(super) fn of_json(
        value: &'a Value,
        data_type: DataType,
        unit: Option<Unit>,
    ) -> Option<Self> {
        match (data_type, value) {
            (_, Value::Null) => Some(Self::Null),
            (DataType::Boolean, Value::Bool(value)) => Some(Self::Boolean(*value)),
            (DataType::Int64, Value::Number(number)) => number.as_i64().map(Self::Int64),
            (DataType::UInt64, Value::Number(number)) => number.as_u64().map(Self::UInt64),
            (DataType::Float64, Value::Number(number)) => number.as_f64().map(Self::Float64),
            (DataType::Timestamp, Value::Number(number)) => {
                let unit = unit?;
                match number.as_i64() {
                    Some(count) => unit.integer_micros(count),
                    None => number.as_f64().and_then(|count| unit.float_micros(count)),
                }
                .map(Self::Time)
            }
            (DataType::Timestamp, Value::String(text)) => date(text.trim()).map(Self::Time),
            (DataType::Utf8, Value::String(text)) => Some(Self::Text(Cow::Borrowed(text))),
            (DataType::Utf8, value) => Some(Self::Text(Cow::Owned(value.to_string()))),
            _ => None,
        }
    }

    /// The value as an event time, if it is one.
    pub(super) fn micros(&self, unit: Option<Unit>) -> Option<i64> {
        match self {
            Self::Time(micros) => TIMES.contains(micros).then_some(*micros),
            Self::Int64(count) => unit?.integer_micros(*count),
            Self::UInt64(count) => unit?.integer_micros(i64::try_from(*count).ok()?),
            Self::Float64(count) => unit?.float_micros(*count),
            Self::Text(text) => date(text.trim()),
            Self::Null | Self::Boolean(_) => None,
        }
    }
}

impl fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(value) => value.fmt(f),
            Self::Int64(value) | Self::Time(value) => value.fmt(f),
            Self::UInt64(value) => value.fmt(f),
            // The other way to write a float has up to three hundred digits.
            Self::Float64(value) => fmt::Debug::fmt(value, f),
            Self::Text(value) => fmt::Debug::fmt(value, f),
        }
    }
}

/// A date, with or without a time of day, in microseconds since the epoch; UTC if it does not say.
pub(super) fn date(text: &str) -> Option<i64> {
    let nanos = string_to_timestamp_nanos(text).ok()?;
    Some(nanos.div_euclid(1_000))
}

/// A truth value in one of the usual spellings.
fn boolean(text: &[u8]) -> Option<bool> {
    match text {
        b"1" | b"t" | b"T" => Some(true),
        b"0" | b"f" | b"F" => Some(false),
        _ if text.eq_ignore_ascii_case(b"true") => Some(true),
        _ if text.eq_ignore_ascii_case(b"false") => Some(false),
        _ => None,
    }
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A float that is a number. Infinities, also of numbers too large, would pass through sums and extremes as if
/// they had been measured.
fn finite(text: &[u8]) -> Option<f64> {
    number::<f64>(text).filter(|number| number.is_finite())
}

/// An integer. Most are short, and then no digit can overflow.
#[inline]
pub(super) fn integer(text: &[u8]) -> Option<i64> {
    const SAFE_DIGITS: usize = 18;
    let (is_negative, digits) = match text {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > SAFE_DIGITS {
        return number(text);
    }
    let mut value = 0_i64;
    for digit in digits {
        let digit = digit.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        value = value * 10 + i64::from(digit);
    }
    Some(if is_negative { -value } else { value })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(data_type: DataType, unit: Option<Unit>, cases: &[(&str, Option<Cell<'_>>)]) {
        for (text, expected) in cases {
            let cell = Cell::of_text(text.as_bytes(), data_type, unit);
            assert_eq!(cell, *expected, "{text:?} as {data_type}");
        }
    }

    #[test]
    fn text_is_read_as_the_type_says() {
        let int = |value| Some(Cell::Int64(value));
        check(
            DataType::Int64,
            None,
            &[
                ("", Some(Cell::Null)),
                (" 7 ", int(7)),
                ("-12", int(-12)),
                ("+3", int(3)),
                ("-9223372036854775808", int(i64::MIN)),
                ("9223372036854775808", None),
                ("-", None),
                ("1.5", None),
                ("1_000", None),
            ],
        );
        check(
            DataType::Float64,
            None,
            &[
                ("1", Some(Cell::Float64(1.0))),
                ("-1e3", Some(Cell::Float64(-1000.0))),
                ("inf", None),
                ("NaN", None),
                ("1e400", None),
                ("one", None),
            ],
        );
        check(
            DataType::Boolean,
            None,
            &[
                ("T", Some(Cell::Boolean(true))),
                ("False", Some(Cell::Boolean(false))),
                ("yes", None),
            ],
        );
        check(
            DataType::Utf8,
            None,
            &[
                ("", Some(Cell::Null)),
                (" x", Some(Cell::Text(" x".into()))),
            ],
        );
        assert_eq!(Cell::of_text(b"\xFF", DataType::Utf8, None), None);
    }

    #[test]
    fn times_are_dates_or_numbers_in_their_unit() {
        let time = |micros| Some(Cell::Time(micros));
        check(
            DataType::Timestamp,
            None,
            &[
                ("1970-01-01T00:00:01.5Z", time(1_500_000)),
                ("1970-01-01 01:00:00+01:00", time(0)),
                ("1970-01-02", time(86_400_000_000)),
                ("1969-12-31T23:59:59.9999999Z", time(-1)),
                ("17", None),
                ("1970-13-01", None),
            ],
        );
        check(
            DataType::Timestamp,
            Some(Unit::Seconds),
            &[
                ("1664462456.755299", time(1_664_462_456_755_299)),
                ("1970-01-01", time(0)),
                ("1e300", None),
                ("nan", None),
            ],
        );
        assert_eq!(
            Cell::Int64(1_500).micros(Some(Unit::Milliseconds)),
            Some(1_500_000)
        );
        assert_eq!(Cell::Int64(-1).micros(Some(Unit::Nanoseconds)), Some(-1));
        assert_eq!(
            Cell::Int64(1_664_462_456_755_299_000).micros(Some(Unit::Microseconds)),
            None
        );
        assert_eq!(Cell::UInt64(u64::MAX).micros(Some(Unit::Nanoseconds)), None);
        assert_eq!(Cell::Int64(5).micros(None), None);
    }

    #[test]
    fn json_is_not_bent() {
        let as_type = |text: &str, data_type| {
            let value: Value = serde_json::from_str(text).unwrap();
            Cell::of_json(&value, data_type, None).map(|cell| format!("{cell:?}"))
        };
        assert_eq!(as_type("3", DataType::Int64), Some("Int64(3)".into()));
        assert_eq!(as_type("3.0", DataType::Int64), None);
        assert_eq!(as_type("\"3\"", DataType::Int64), None);
        assert_eq!(as_type("3", DataType::Float64), Some("Float64(3.0)".into()));
        assert_eq!(
            as_type("[1, \"a\"]", DataType::Utf8),
            Some(r#"Text("[1,\"a\"]")"#.into())
        );
        assert_eq!(as_type("null", DataType::Boolean), Some("Null".into()));
    }
}
