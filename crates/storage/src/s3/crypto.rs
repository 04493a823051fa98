//! The hashes that sign requests, by the crates that the SQL functions use too: no second library of cryptography is built.

use hmac::{Hmac, KeyInit, Mac};
use object_store::client::{CryptoProvider, DigestAlgorithm, DigestContext, HmacContext, Signer, SigningAlgorithm};
use object_store::{Error, Result};
use sha2::{Digest, Sha256};

/// SHA-256 and its HMAC: all that S3 asks for.
#[derive(Debug)]
pub struct Sha2;

impl CryptoProvider for Sha2 {
    fn digest(&self, algorithm: DigestAlgorithm) -> Result<Box<dyn DigestContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => Ok(Box::new(Hash {
                hash: Sha256::new(),
                result: [0; 32],
            })),
            other => Err(unknown(&format!("{other:?}"))),
        }
    }

    fn hmac(&self, algorithm: DigestAlgorithm, secret: &[u8]) -> Result<Box<dyn HmacContext>> {
        match algorithm {
            DigestAlgorithm::Sha256 => {
                let hmac = Hmac::new_from_slice(secret).map_err(|error| unknown(&error.to_string()))?;
                Ok(Box::new(Keyed { hmac, result: [0; 32] }))
            }
            other => Err(unknown(&format!("{other:?}"))),
        }
    }

    fn sign(&self, algorithm: SigningAlgorithm, _pem: &[u8]) -> Result<Box<dyn Signer>> {
        Err(unknown(&format!("{algorithm:?}")))
    }
}

struct Hash {
    hash: Sha256,
    result: [u8; 32],
}

impl DigestContext for Hash {
    fn update(&mut self, data: &[u8]) {
        self.hash.update(data);
    }

    fn finish(&mut self) -> Result<&[u8]> {
        self.result = self.hash.finalize_reset().into();
        Ok(&self.result)
    }
}

struct Keyed {
    hmac: Hmac<Sha256>,
    result: [u8; 32],
}

impl HmacContext for Keyed {
    fn update(&mut self, data: &[u8]) {
        self.hmac.update(data);
    }

    fn finish(&mut self) -> Result<&[u8]> {
        self.result = self.hmac.clone().finalize().into_bytes().into();
        Ok(&self.result)
    }
}

fn unknown(what: &str) -> Error {
    Error::NotSupported {
        source: format!("{what} is not what S3 signs with").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// FIPS 180-2, "abc"; RFC 4231, case 2.
    #[test]
    fn hashes_are_those_of_the_standards() {
        let mut hash = Sha2.digest(DigestAlgorithm::Sha256).unwrap();
        hash.update(b"a");
        hash.update(b"bc");
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(hash.finish().unwrap()), abc);
        let mut hmac = Sha2.hmac(DigestAlgorithm::Sha256, b"Jefe").unwrap();
        hmac.update(b"what do ya want for nothing?");
        let jefe = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(hex(hmac.finish().unwrap()), jefe);
    }
}
