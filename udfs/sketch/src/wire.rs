//! Bytes on the wire: little-endian fields, varints, and a reader that checks before it believes.
//!
//! A length is only ever taken together with the number of bytes that its elements need at the least, and is refused when
//! the rest of the input is shorter ([`Reader::count`]): so nothing is allocated that the input does not pay for.

use crate::Error;

/// Appends fields to a buffer.
#[derive(Default)]
pub(crate) struct Writer {
    pub bytes: Vec<u8>,
}

impl Writer {
    pub fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    pub fn u32(&mut self, value: u32) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    /// LEB128: seven bits a byte, low bits first.
    pub fn varint(&mut self, mut value: u128) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    /// A length and that many bytes.
    pub fn slice(&mut self, bytes: &[u8]) {
        self.varint(bytes.len() as u128);
        self.bytes.extend_from_slice(bytes);
    }
}

/// Takes fields off a buffer.
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub fn take(&mut self, n: usize) -> Result<&'a [u8], Error> {
        match self.rest.split_at_checked(n) {
            Some((head, rest)) => {
                self.rest = rest;
                Ok(head)
            }
            None => Err(Error::Corrupt("it ends too early")),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        self.take(N)?
            .try_into()
            .map_err(|_| Error::Corrupt("it ends too early"))
    }

    pub fn u8(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub fn u32(&mut self) -> Result<u32, Error> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub fn u64(&mut self) -> Result<u64, Error> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// A varint in its shortest form; a longer one would make the bytes ambiguous.
    pub fn varint128(&mut self) -> Result<u128, Error> {
        let mut value = 0u128;
        for shift in (0..128).step_by(7) {
            let byte = self.u8()?;
            let part = u128::from(byte & 0x7f);
            if shift == 126 && part > 3 {
                return Err(Error::Corrupt("a number is too large"));
            }
            value |= part << shift;
            if byte < 0x80 {
                if byte == 0 && shift > 0 {
                    return Err(Error::Corrupt("a number is not in its shortest form"));
                }
                return Ok(value);
            }
        }
        Err(Error::Corrupt("a number is too long"))
    }

    pub fn varint(&mut self) -> Result<u64, Error> {
        // Most are small.
        if let [low @ ..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok((*low).into());
        }
        if let [low, high @ 1..0x80, rest @ ..] = self.rest {
            self.rest = rest;
            return Ok(u64::from(low & 0x7F) | u64::from(*high) << 7);
        }
        u64::try_from(self.varint128()?).map_err(|_| Error::Corrupt("a number is too large"))
    }

    /// A number of elements of at least `least` bytes each, all of which must still be there.
    pub fn count(&mut self, least: usize) -> Result<usize, Error> {
        let count = usize::try_from(self.varint()?).map_err(|_| Error::Corrupt("a length is too large"))?;
        match count.checked_mul(least) {
            Some(bytes) if bytes <= self.rest.len() => Ok(count),
            _ => Err(Error::Corrupt("a length exceeds the bytes")),
        }
    }

    /// A length and that many bytes.
    pub fn slice(&mut self) -> Result<&'a [u8], Error> {
        let n = self.count(1)?;
        self.take(n)
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Corrupt("bytes are left over"))
        }
    }
}
