//! Bytes in and out: a reader that never reads beyond what is there, and numbers in bulk.

use super::{BYTES_MAX, FrameError};

/// What is left of a frame.
#[derive(Debug)]
pub(super) struct Reader<'b> {
    left: &'b [u8],
}

impl<'b> Reader<'b> {
    /// What stands behind the first byte of a frame, which must be of this kind.
    pub(super) fn of_frame(bytes: &'b [u8], kind: u8) -> Result<Self, FrameError> {
        match bytes.split_first() {
            Some((first, left)) if bytes.len() <= BYTES_MAX => match *first == kind {
                true => Ok(Self { left }),
                false => Err(FrameError::Kind(*first)),
            },
            _ => Err(FrameError::Size(bytes.len())),
        }
    }

    /// How many bytes are left.
    pub(super) const fn len(&self) -> usize {
        self.left.len()
    }

    /// The next bytes.
    pub(super) fn take(&mut self, len: usize) -> Result<&'b [u8], FrameError> {
        let Some((taken, left)) = self.left.split_at_checked(len) else {
            return Err(self.short(len));
        };
        self.left = left;
        Ok(taken)
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let Some((taken, left)) = self.left.split_first_chunk() else {
            return Err(self.short(N));
        };
        self.left = left;
        Ok(*taken)
    }

    /// The next byte.
    pub(super) fn byte(&mut self) -> Result<u8, FrameError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// The next `count` numbers. Allocates only for what is there.
    pub(super) fn numbers<T, const N: usize>(
        &mut self,
        count: usize,
        read: fn([u8; N]) -> T,
    ) -> Result<Vec<T>, FrameError> {
        let bytes = self.take(count.saturating_mul(N))?;
        let (words, _) = bytes.as_chunks::<N>();
        Ok(words.iter().map(|word| read(*word)).collect())
    }

    /// Nothing may be left.
    pub(super) const fn finish(self) -> Result<(), FrameError> {
        match self.left.len() {
            0 => Ok(()),
            rest => Err(FrameError::Trailing(rest)),
        }
    }

    const fn short(&self, wanted: usize) -> FrameError {
        FrameError::Short {
            wanted,
            left: self.left.len(),
        }
    }
}

/// Appends numbers. The compiler makes one copy of memory of it.
pub(super) fn put<const N: usize>(
    out: &mut Vec<u8>,
    numbers: impl ExactSizeIterator<Item = [u8; N]>,
) {
    let start = out.len();
    out.resize(start + numbers.len() * N, 0);
    let (places, _) = out[start..].as_chunks_mut::<N>();
    for (place, number) in places.iter_mut().zip(numbers) {
        *place = number;
    }
}
