//! How control messages cross the wire: a version byte, then bincode with a limit, every byte consumed.
//!
//! This module alone names the codec, so that another can take its place.

use bincode::config::{Configuration, Limit, LittleEndian, Varint};

/// The first byte of every message.
pub const VERSION: u8 = 1;

/// The largest message that is encoded or decoded.
///
/// Unit: bytes. Source: guess; a request with a plan of 256 operators is well below it.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

const CONFIG: Configuration<LittleEndian, Varint, Limit<MESSAGE_BYTES_MAX>> =
    bincode::config::standard().with_limit::<MESSAGE_BYTES_MAX>();

/// Why bytes are no message. Nothing was kept of them.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There is no byte.
    #[error("an empty message")]
    Empty,
    /// Another version wrote it.
    #[error("a message of version {0}, not {VERSION}")]
    Version(u8),
    /// It is larger than any message may be.
    #[error("a message of {0} bytes is larger than {MESSAGE_BYTES_MAX}")]
    TooLarge(usize),
    /// The bytes are not what they should be.
    #[error("a damaged message: {0}")]
    Damaged(bincode::error::DecodeError),
    /// Something follows the message.
    #[error("{0} bytes behind the message")]
    Trailing(usize),
}

/// The bytes of a message.
///
/// # Panics
/// When the message cannot be encoded, which only an impossible length could cause: what is sent is
/// bounded where it is made.
pub fn encode<T: bincode::Encode + ?Sized>(message: &T) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    bincode::encode_into_std_write(message, &mut bytes, bincode::config::standard())
        .expect("encoding into memory fails for no value of our own types");
    bytes
}

/// The message that `bytes` are.
///
/// # Errors
/// When the bytes are not exactly one message of this version within the limit.
pub fn decode<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(DecodeError::TooLarge(bytes.len()));
    }
    let (message, used) = bincode::decode_from_slice(body, CONFIG).map_err(DecodeError::Damaged)?;
    match body.len() - used {
        0 => Ok(message),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

/// The largest value that [`decode_large`] takes. Unit: bytes. Source: guess; for files of our own.
pub const LARGE_BYTES_MAX: usize = 64 << 20;

/// The value that `bytes` from a file of our own are: as [`decode`], with room for more than a message.
///
/// # Errors
/// As [`decode`].
pub fn decode_large<T: bincode::Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    let (version, body) = bytes.split_first().ok_or(DecodeError::Empty)?;
    if *version != VERSION {
        return Err(DecodeError::Version(*version));
    }
    let config = CONFIG.with_limit::<LARGE_BYTES_MAX>();
    let (value, used) = bincode::decode_from_slice(body, config).map_err(DecodeError::Damaged)?;
    match body.len() - used {
        0 => Ok(value),
        rest => Err(DecodeError::Trailing(rest)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Arguments, Scalar, Value};
    use crate::position::{Interval, Origin, Positions};

    fn scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![
            any::<bool>().prop_map(Scalar::Boolean),
            any::<i64>().prop_map(Scalar::Integer),
            any::<i64>().prop_map(Scalar::Micros),
            ".*".prop_map(Scalar::Text),
        ]
    }

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            scalar().prop_map(Value::Scalar),
            prop::collection::vec(scalar(), 0..4).prop_map(Value::List),
            prop::collection::vec((".*", scalar()), 0..4).prop_map(Value::Table),
        ]
    }

    proptest! {
        #[test]
        fn what_is_encoded_comes_back(values in prop::collection::vec(("[a-z]+", value()), 0..5)) {
            let arguments: Arguments = values.into_iter().collect();
            let decoded: Arguments = decode(&encode(&arguments)).expect("our own bytes");
            prop_assert_eq!(decoded, arguments);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            // What comes of them does not matter; that it comes does.
            drop(decode::<Arguments>(&bytes));
            drop(decode::<Positions>(&bytes));
            drop(decode::<Interval>(&bytes));
            drop(decode::<crate::QueryPlan>(&bytes));
            drop(decode::<crate::ComponentGraph>(&bytes));
            drop(decode::<crate::Entry>(&bytes));
            drop(decode::<crate::HostSummary>(&bytes));
        }
    }

    #[test]
    fn each_refusal_has_its_reason() {
        let good = encode(&Origin(5));
        assert!(matches!(decode::<Origin>(&[]), Err(DecodeError::Empty)));
        assert!(matches!(
            decode::<Origin>(&[9, 1]),
            Err(DecodeError::Version(9))
        ));
        let longer = [good.as_slice(), &[0]].concat();
        assert!(matches!(
            decode::<Origin>(&longer),
            Err(DecodeError::Trailing(1))
        ));
        assert!(matches!(
            decode::<(u64, u64)>(&good[..1]),
            Err(DecodeError::Damaged(_))
        ));
        let backward = encode(&(7u64, 3u64));
        assert!(matches!(
            decode::<Interval>(&backward),
            Err(DecodeError::Damaged(_))
        ));
        let huge = vec![VERSION; MESSAGE_BYTES_MAX + 1];
        assert!(matches!(
            decode::<Origin>(&huge),
            Err(DecodeError::TooLarge(_))
        ));
    }
}
