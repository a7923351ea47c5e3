//! Canonical names: equal names if and only if the same function of the same sources.
//!
//! A derived stream's name is the hash of its operator's kind, its normalized parameters, the output port
//! and the canonical names of the inputs in port order. What an operator is called in a file does not
//! count: two people who ask for the same thing in other words ask for the same stream.

use std::fmt;

use crate::id::NodeId;
use crate::plan::Arguments;
use crate::wire;

/// The longest name that a person may give to an application, operator, source, sink or column.
///
/// Unit: bytes. Source: guess; what fits a terminal's line.
pub const NAME_BYTES_MAX: usize = 64;

/// The longest name under which a stream may be published, all of its parts together.
///
/// Unit: bytes. Source: guess; two names that people give, and what stands between.
pub const PUBLISHED_BYTES_MAX: usize = 2 * NAME_BYTES_MAX;

/// A 32-byte BLAKE3 hash of labelled parts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The hash of `parts` as a thing of this `kind`.
    ///
    /// Each part is preceded by its length, so that no two lists of parts are hashed as the same bytes.
    pub fn of(kind: &str, parts: &[&[u8]]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(kind);
        for part in parts {
            hasher.update(&crate::convert::size(part.len()).to_le_bytes());
            hasher.update(part);
        }
        Self(*hasher.finalize().as_bytes())
    }

    /// What a file is called that is found by this: 32 hexadecimal digits, half of it.
    pub fn file_name(&self) -> String {
        let half = self.0[..16].iter();
        half.map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0[..6]
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The canonical name of a stream.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode,
)]
pub struct StreamName(pub Digest);

impl StreamName {
    /// The name of a source's stream of rows.
    pub fn of_source(source: &SourceName) -> Self {
        Self(Digest::of("synergy 2026 source", &[&wire::encode(source)]))
    }

    /// The name of what the source of this stream yields at another port, such as `bad`.
    #[must_use]
    pub fn at_port(self, port: &str) -> Self {
        Self(Digest::of(
            "synergy 2026 source port",
            &[&self.0.0, port.as_bytes()],
        ))
    }

    /// What names of all ports have in common that `kind` with normalized `parameters` makes of `inputs`: however long
    /// the parameters are, they are hashed once.
    ///
    /// Inputs of a commutative operator must come sorted; [`crate::plan::Builder`] sees to it.
    pub(crate) fn operator(kind: &str, parameters: &Arguments, inputs: &[Self]) -> Digest {
        Digest::of(
            "synergy 2026 operator",
            &[
                kind.as_bytes(),
                &wire::encode(parameters),
                &wire::encode(inputs),
            ],
        )
    }

    /// The name of what an operator gives at the port called `port`.
    pub(crate) fn derived_at(operator: &Digest, port: &str) -> Self {
        Self(Digest::of(
            "synergy 2026 operator port",
            &[&operator.0, port.as_bytes()],
        ))
    }
}

/// Where rows enter the overlay.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, bincode::Encode, bincode::Decode)]
pub enum SourceName {
    /// A stream that somebody publishes for all.
    Published {
        /// Who publishes it; bound when an application is composed, never later.
        publisher: NodeId,
        /// Its published name, `lab/flows`.
        name: String,
    },
    /// A connector written into an application's file; shared with nobody.
    Inline {
        /// Whose application it is.
        owner: NodeId,
        /// The application's name.
        application: String,
        /// The source's name in the file.
        source: String,
        /// The host that reads it.
        host: NodeId,
    },
}

impl SourceName {
    /// Whether somebody publishes it for all.
    pub const fn is_published(&self) -> bool {
        matches!(self, Self::Published { .. })
    }

    /// Whether its parts are names.
    pub fn is_valid(&self) -> bool {
        match self {
            Self::Published { name, .. } => is_valid_published(name),
            Self::Inline {
                application,
                source,
                ..
            } => is_valid(application) && is_valid(source),
        }
    }
}

/// Whether a stream may be published under `name`: names with `/` between them.
pub fn is_valid_published(name: &str) -> bool {
    name.len() <= PUBLISHED_BYTES_MAX && name.split('/').all(is_valid)
}

/// Whether `name` may be given to an application, operator, source, sink or port.
pub fn is_valid(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(
            Digest::of("k", &[b"ab", b"c"]),
            Digest::of("k", &[b"a", b"bc"])
        );
        assert_ne!(Digest::of("k", &[b"ab"]), Digest::of("l", &[b"ab"]));
    }

    #[test]
    fn names_that_people_may_give() {
        for name in ["a", "host-load", "top_10", "A"] {
            assert!(is_valid(name), "{name}");
        }
        for name in ["", "1st", "a.b", "a b", "é", "-a", &"x".repeat(65)] {
            assert!(!is_valid(name), "{name}");
            assert!(!is_valid_published(name), "{name}");
        }
        for name in ["flows", "lab/flows", "a/b/c"] {
            assert!(is_valid_published(name), "{name}");
        }
        let long = ["x".repeat(64), "y".repeat(64)].join("/");
        for name in ["/", "a/", "/a", "a//b", "a/../b", &long] {
            assert!(!is_valid_published(name), "{name}");
        }
    }
}
