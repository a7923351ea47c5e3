//! Numbers with units: time spans and sizes, as files and the command line give them.

use std::time::Duration;

/// What a time span looks like.
pub const DURATION_FORM: &str =
    "a number and a unit, such as \"250ms\"; units are ns, us, ms, s, min, h, d";

/// What a size looks like.
pub const SIZE_FORM: &str = "a number and a unit, such as \"64MiB\"; units are B, k, M, G (or kB, MB, GB) and KiB, MiB, GiB";

/// What a rate of a network looks like.
pub const RATE_FORM: &str = "a number and a unit, such as \"10Mbit/s\"; units are bit/s, kbit/s, Mbit/s, Gbit/s, B/s, kB/s, MB/s, GB/s";

/// Why a text is no number with a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// It does not begin with a number.
    #[error("there is no number")]
    Number,
    /// There is nothing behind the number.
    #[error("there is no unit")]
    Missing,
    /// What follows the number is no unit.
    #[error("the unit is not known")]
    Unknown,
    /// It is not a whole number of the smallest unit.
    #[error("it is finer than can be told apart")]
    TooFine,
    /// It is larger than can be held.
    #[error("it is too large")]
    TooLarge,
}

/// Nanoseconds by unit.
const DURATION_UNITS: &[(&str, u64)] = &[
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("min", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Bytes by unit.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("k", 1_000),
    ("kB", 1_000),
    ("K", 1_000),
    ("KB", 1_000),
    ("KiB", 1 << 10),
    ("M", 1_000_000),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("G", 1_000_000_000),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

/// Bits a second by unit.
const RATE_UNITS: &[(&str, u64)] = &[
    ("bit/s", 1),
    ("kbit/s", 1_000),
    ("Mbit/s", 1_000_000),
    ("Gbit/s", 1_000_000_000),
    ("B/s", 8),
    ("kB/s", 8_000),
    ("MB/s", 8_000_000),
    ("GB/s", 8_000_000_000),
];

/// The time span that `text` says, exactly: `250ms`, `1.5h`.
///
/// # Errors
/// When it is none, has no unit, or is no whole number of nanoseconds below 2^64.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, DURATION_UNITS).map(Duration::from_nanos)
}

/// The size that `text` says, exactly, in bytes: `64MiB`, `1.5GB`.
///
/// # Errors
/// When it is none, has no unit, or is no whole number of bytes below 2^64.
pub fn size(text: &str) -> Result<u64, UnitError> {
    parse(text, SIZE_UNITS)
}

/// The rate of a network that `text` says, in bytes a second: `10Mbit/s`, `1.25MB/s`.
///
/// # Errors
/// When it is none, has no unit, is nothing, or is no whole number of bits a second below 2^64.
pub fn rate(text: &str) -> Result<f64, UnitError> {
    match parse(text, RATE_UNITS)? {
        0 => Err(UnitError::Number),
        bits => Ok(model::convert::count_to_f64(bits) / 8.0),
    }
}

/// A decimal number times its unit.
fn parse(text: &str, units: &[(&str, u64)]) -> Result<u64, UnitError> {
    let number_end = text.find(|c: char| !c.is_ascii_digit() && c != '.');
    let (number, unit) = text.split_at(number_end.unwrap_or(text.len()));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(UnitError::Number);
    }
    if unit.is_empty() {
        return Err(UnitError::Missing);
    }
    let known = units.iter().find(|(name, _)| *name == unit);
    let scale = u128::from(known.ok_or(UnitError::Unknown)?.1);

    // Eighteen digits times the largest unit stay below 2^128.
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 18 {
        return Err(UnitError::TooFine);
    }
    let whole: u64 = whole.parse().map_err(|_| UnitError::TooLarge)?;
    let numerator: u64 = match fraction {
        "" => 0,
        digits => digits.parse().map_err(|_| UnitError::TooFine)?,
    };
    let denominator = fraction.chars().fold(1_u128, |power, _| power * 10);
    let parts = u128::from(numerator) * scale;
    if parts % denominator != 0 {
        return Err(UnitError::TooFine);
    }
    let total = u128::from(whole) * scale + parts / denominator;
    u64::try_from(total).map_err(|_| UnitError::TooLarge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_are_exact() {
        for (text, expected) in [
            ("250ms", Ok(Duration::from_millis(250))),
            ("10s", Ok(Duration::from_secs(10))),
            ("2min", Ok(Duration::from_secs(120))),
            ("1h", Ok(Duration::from_secs(3600))),
            ("1d", Ok(Duration::from_secs(86_400))),
            ("500us", Ok(Duration::from_micros(500))),
            ("0.1s", Ok(Duration::from_millis(100))),
            ("1.50min", Ok(Duration::from_secs(90))),
            ("0.0000000000115740740d", Err(UnitError::TooFine)),
            ("0s", Ok(Duration::ZERO)),
            ("1.5ns", Err(UnitError::TooFine)),
            ("10", Err(UnitError::Missing)),
            ("s", Err(UnitError::Number)),
            ("", Err(UnitError::Number)),
            (".5s", Err(UnitError::Number)),
            ("5.s", Err(UnitError::Number)),
            ("1.2.3s", Err(UnitError::Number)),
            ("-1s", Err(UnitError::Number)),
            ("10 s", Err(UnitError::Unknown)),
            ("10S", Err(UnitError::Unknown)),
            ("10m", Err(UnitError::Unknown)),
            ("99999999999d", Err(UnitError::TooLarge)),
            ("99999999999999999999999s", Err(UnitError::TooLarge)),
        ] {
            assert_eq!(duration(text), expected, "{text}");
        }
    }

    #[test]
    fn sizes_are_exact() {
        for (text, expected) in [
            ("64MiB", Ok(64 << 20)),
            ("1GB", Ok(1_000_000_000)),
            ("500k", Ok(500_000)),
            ("1.5KiB", Ok(1536)),
            ("7B", Ok(7)),
            ("1.5B", Err(UnitError::TooFine)),
            ("7", Err(UnitError::Missing)),
            ("7 GiB", Err(UnitError::Unknown)),
            ("99999999999GiB", Err(UnitError::TooLarge)),
        ] {
            assert_eq!(size(text), expected, "{text}");
        }
    }

    #[test]
    fn rates_are_in_bits_or_bytes() {
        for (text, expected) in [
            ("10Mbit/s", Ok(1_250_000.0)),
            ("1.5MB/s", Ok(1_500_000.0)),
            ("1bit/s", Ok(0.125)),
            ("0Mbit/s", Err(UnitError::Number)),
            ("10Mbps", Err(UnitError::Unknown)),
            ("10", Err(UnitError::Missing)),
        ] {
            assert_eq!(rate(text), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.a-zA-Z ]{0,40}|.*") {
            let _ = duration(&text);
            let _ = size(&text);
        }

        #[test]
        fn whole_numbers_come_back(nanos in any::<u64>()) {
            prop_assert_eq!(duration(&format!("{nanos}ns")), Ok(Duration::from_nanos(nanos)));
        }
    }
}
