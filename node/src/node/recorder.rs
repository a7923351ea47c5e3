//! Recording what happens to a node, and replaying it.
//!
//! Because all that happens comes in by one door, what was written down makes the same node do the same again.
//! The secret key is never written: who replays hands it in.

use std::io::{Read, Write};

use model::name::Digest;
use model::{HostSummary, Instant, Rng, wire};
use overlay::Identity;

use super::{Config, Effect, Input, Node};

/// The version of recordings.
const VERSION: u32 = 5;

/// The largest input that is read back. Unit: bytes. Source: guess; a complete list of 16,384 entries of 1 KiB.
const INPUT_BYTES_MAX: usize = 64 << 20;

/// What a recording starts with.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Header {
    version: u32,
    seed: u64,
    host: HostSummary,
    network: String,
    policy: String,
    first_number: u64,
    is_new: bool,
    migrates: bool,
    repairs: bool,
}

/// Writes down what happens to a node.
#[derive(Debug)]
pub struct Recorder<W> {
    writer: W,
}

impl<W: Write> Recorder<W> {
    /// Starts a recording of a node that is made of `config` and the generator of `seed`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn start(mut writer: W, config: &Config, seed: u64) -> std::io::Result<Self> {
        let header = Header {
            version: VERSION,
            seed,
            host: config.host.clone(),
            network: config.network.clone(),
            policy: config.composition.policy.name().to_owned(),
            first_number: config.first_number,
            is_new: config.is_new,
            migrates: config.migrates,
            repairs: config.repairs,
        };
        write_frame(&mut writer, &wire::encode(&header))?;
        Ok(Self { writer })
    }

    /// Writes down an input, before the node takes it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn record(&mut self, now: Instant, input: &Input) -> std::io::Result<()> {
        write_frame(&mut self.writer, &wire::encode(&(now.as_nanos(), input)))
    }

    /// What was written to.
    pub fn into_writer(self) -> W {
        self.writer
    }
}

/// Why a recording was not replayed to its end.
#[derive(Debug, thiserror::Error)]
pub enum RecordedError {
    /// It cannot be read.
    #[error("cannot read the recording: {0}")]
    Read(#[from] std::io::Error),
    /// It is damaged, or written by another version.
    #[error("the recording is damaged: {0}")]
    Damaged(#[from] wire::DecodeError),
    /// It is of another version.
    #[error("a recording of version {0}, not {VERSION}")]
    Version(u32),
    /// It was made of another node.
    #[error("the recording is of another node than the identity")]
    Identity,
    /// It was made with a policy that this version does not have.
    #[error("a recording of a policy that is not known")]
    Policy,
}

/// Does again what a recorded node did, and gives the hash of all its effects, with the node as it is then.
///
/// A recording that was cut off, as by a crash, is replayed up to there.
///
/// # Errors
/// When the recording cannot be read, or is of another version or node.
pub fn replay(mut reader: impl Read, identity: Identity) -> Result<(Digest, Node), RecordedError> {
    let Some(header) = read_frame(&mut reader)? else {
        return Err(RecordedError::Damaged(wire::DecodeError::Empty));
    };
    let header: Header = wire::decode(&header)?;
    if header.version != VERSION {
        return Err(RecordedError::Version(header.version));
    }
    if identity.node() != header.host.node {
        return Err(RecordedError::Identity);
    }
    let policy = composition::policy::find(&header.policy).ok_or(RecordedError::Policy)?;
    let config = Config {
        identity,
        host: header.host,
        network: header.network,
        composition: composition::Config {
            policy,
            ..composition::Config::default()
        },
        first_number: header.first_number,
        is_new: header.is_new,
        migrates: header.migrates,
        repairs: header.repairs,
    };
    let mut node = Node::new(config, Rng::from_seed(header.seed));
    let mut digest = EffectsDigest::default();
    while let Some(frame) = read_frame(&mut reader)? {
        let (nanos, input): (u64, Input) = wire::decode_large(&frame)?;
        let mut effects = Vec::new();
        node.handle_input(Instant::from_nanos(nanos), input, &mut effects);
        digest.add(&effects);
    }
    Ok((digest.digest(), node))
}

/// The hash of all effects of a node so far.
#[derive(Debug)]
pub struct EffectsDigest {
    digest: Digest,
}

impl Default for EffectsDigest {
    fn default() -> Self {
        Self {
            digest: Digest::of("synergy 2026 effects", &[]),
        }
    }
}

impl EffectsDigest {
    /// Adds the effects of one input.
    pub fn add(&mut self, effects: &[Effect]) {
        let effects = wire::encode(effects);
        self.digest = Digest::of("synergy 2026 effects", &[&self.digest.0, &effects]);
    }

    /// The hash.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

/// A length of four bytes, little-endian, and the bytes.
fn write_frame(writer: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(|_| std::io::ErrorKind::FileTooLarge)?;
    writer.write_all(&length.to_le_bytes())?;
    writer.write_all(bytes)
}

/// The next frame; nothing at the end, or where the recording was cut off.
fn read_frame(reader: &mut impl Read) -> Result<Option<Vec<u8>>, RecordedError> {
    let mut length = [0; 4];
    if !read_whole(reader, &mut length)? {
        return Ok(None);
    }
    let length = model::convert::index(u64::from(u32::from_le_bytes(length)));
    if length > INPUT_BYTES_MAX {
        return Err(RecordedError::Damaged(wire::DecodeError::TooLarge(length)));
    }
    let mut bytes = vec![0; length];
    Ok(read_whole(reader, &mut bytes)?.then_some(bytes))
}

fn read_whole(reader: &mut impl Read, bytes: &mut [u8]) -> std::io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
