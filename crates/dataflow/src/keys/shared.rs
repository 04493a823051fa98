//! Copies of a vector that only grows: what was copied once is shared by the copies after it.
//!
//! A copy of a million keys at every checkpoint would hold rows up for some ten milliseconds, most of them for new memory. From the
//! first copy on, whole chunks are copied when they are full: a second time in memory, but only where copies are taken.

use arrow::buffer::{Buffer, MutableBuffer};
use arrow::datatypes::ArrowNativeType;

/// Values of a chunk.
const CHUNK: usize = 16 << 10;

/// Chunks of the beginning of a vector.
#[derive(Default)]
pub struct Shared {
    chunks: Vec<Buffer>,
    asked: bool,
}

impl Shared {
    /// Copies chunks that are full by now, if there was a copy before. The values are there to stay.
    pub fn follow<T: ArrowNativeType>(&mut self, values: &[T]) {
        if self.asked {
            let full = values.chunks_exact(CHUNK).skip(self.chunks.len());
            self.chunks.extend(full.map(Buffer::from_slice_ref));
        }
    }

    /// The values, in pieces.
    pub fn copy<T: ArrowNativeType>(&mut self, values: &[T]) -> Vec<Buffer> {
        self.asked = true;
        self.follow(values);
        let rest = Buffer::from_slice_ref(&values[self.chunks.len() * CHUNK..]);
        self.chunks.iter().cloned().chain([rest]).collect()
    }

    /// Bytes held.
    pub fn size(&self) -> usize {
        self.chunks
            .iter()
            .map(|chunk| chunk.capacity() + size_of::<Buffer>())
            .sum()
    }
}

/// Pieces as one.
pub fn joined(pieces: Vec<Buffer>) -> Buffer {
    match <[Buffer; 1]>::try_from(pieces) {
        Ok([one]) => one,
        Err(pieces) => {
            let mut all = MutableBuffer::with_capacity(pieces.iter().map(Buffer::len).sum());
            pieces.iter().for_each(|piece| all.extend_from_slice(piece));
            all.into()
        }
    }
}
