//! Bits on the wire: low bits first, Rice codes for numbers that are mostly small.
//!
//! A Rice code of parameter `k` writes `value >> k` ones and a zero, then the low `k` bits. From [`ESCAPE`] ones on there is no zero: the
//! value follows in 64 bits. The parameter is a function of the sum and the number of the values that it codes ([`parameter`]), so that equal
//! values give equal bits, and a reader refuses any other.

use crate::Error;

/// That many ones announce 64 plain bits.
const ESCAPE: u32 = 24;

/// The parameter for `n` values of that sum: the logarithm of their mean.
pub(crate) fn parameter(sum: u128, n: usize) -> u32 {
    let mean = sum.saturating_mul(7) / (n as u128 * 10).max(1);
    (128 - mean.leading_zeros()).min(63)
}

#[derive(Default)]
pub(crate) struct BitWriter {
    pub bytes: Vec<u8>,
    pending: u64,
    filled: u32,
}

impl BitWriter {
    /// The low `n` bits of a value, `n` at most 64.
    pub fn bits(&mut self, value: u64, n: u32) {
        let value = if n < 64 { value & ((1 << n) - 1) } else { value };
        self.pending |= value << self.filled;
        if self.filled + n >= 64 {
            self.bytes.extend_from_slice(&self.pending.to_le_bytes());
            self.pending = if self.filled == 0 {
                0
            } else {
                value >> (64 - self.filled)
            };
            self.filled = self.filled + n - 64;
        } else {
            self.filled += n;
        }
    }

    pub fn rice(&mut self, value: u64, k: u32) {
        let ones = value >> k;
        if ones >= u64::from(ESCAPE) {
            self.bits((1 << ESCAPE) - 1, ESCAPE);
            self.bits(value, 64);
        } else {
            self.bits((1 << ones) - 1, ones as u32 + 1);
            self.bits(value, k);
        }
    }

    pub fn finish(mut self) -> Vec<u8> {
        let rest = self.pending.to_le_bytes();
        self.bytes.extend_from_slice(&rest[..self.filled.div_ceil(8) as usize]);
        self.bytes
    }
}

pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    /// Position in bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        BitReader { bytes, at: 0 }
    }

    /// Bits that are still there.
    pub fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// The next 57 bits or more, zero behind the end.
    #[inline]
    fn peek(&self) -> u64 {
        let (byte, bit) = (self.at / 8, self.at % 8);
        let word = match self.bytes.get(byte..byte + 8).and_then(|b| <[u8; 8]>::try_from(b).ok()) {
            Some(word) => u64::from_le_bytes(word),
            None => {
                let mut word = [0u8; 8];
                let rest = self.bytes.get(byte..).unwrap_or_default();
                word[..rest.len()].copy_from_slice(rest);
                u64::from_le_bytes(word)
            }
        };
        word >> bit
    }

    #[inline]
    fn skip(&mut self, n: u32) -> Result<(), Error> {
        if self.left() < n as usize {
            return Err(Error::Corrupt("it ends too early"));
        }
        self.at += n as usize;
        Ok(())
    }

    /// `n` bits, at most 64.
    #[inline]
    pub fn bits(&mut self, n: u32) -> Result<u64, Error> {
        if n > 32 {
            let low = self.bits(32)?;
            return Ok(low | self.bits(n - 32)? << 32);
        }
        let value = self.peek() & ((1u64 << n) - 1);
        self.skip(n)?;
        Ok(value)
    }

    #[inline]
    pub fn rice(&mut self, k: u32) -> Result<u64, Error> {
        let word = self.peek();
        let ones = (!word).trailing_zeros();
        if ones >= ESCAPE || k > 32 {
            return self.long_rice(ones, k);
        }
        // All of the code is among the bits that were looked at.
        self.skip(ones + 1 + k)?;
        Ok(u64::from(ones) << k | (word >> (ones + 1)) & ((1 << k) - 1))
    }

    /// A code that begins with that many ones, and may be longer than one look.
    #[cold]
    fn long_rice(&mut self, ones: u32, k: u32) -> Result<u64, Error> {
        if ones >= ESCAPE {
            self.skip(ESCAPE)?;
            let value = self.bits(64)?;
            return if value >> k < u64::from(ESCAPE) {
                Err(Error::Corrupt("a number is not in its shortest form"))
            } else {
                Ok(value)
            };
        }
        self.skip(ones + 1)?;
        if u64::from(ones) > u64::MAX >> k {
            return Err(Error::Corrupt("a number is too large"));
        }
        Ok(u64::from(ones) << k | self.bits(k)?)
    }

    /// Checks that nothing is left but the zero bits of the last byte.
    pub fn finish(self) -> Result<(), Error> {
        let left = self.left();
        if left >= 8 || left > 0 && self.peek() & ((1 << left) - 1) != 0 {
            return Err(Error::Corrupt("bytes are left over"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_back_what_was_written() {
        let values = [0, 1, 2, 3, 100, 12345, u64::from(u32::MAX), u64::MAX - 1, u64::MAX];
        for k in [0, 1, 5, 17, 40, 63] {
            let mut w = BitWriter::default();
            for v in values {
                w.rice(v, k);
                w.bits(v, 13);
                w.bits(v, 64);
            }
            let bytes = w.finish();
            let mut r = BitReader::new(&bytes);
            for v in values {
                assert_eq!(r.rice(k), Ok(v));
                assert_eq!(r.bits(13), Ok(v & 0x1FFF));
                assert_eq!(r.bits(64), Ok(v));
            }
            r.finish().unwrap();
        }
    }
}
