//! The frame of what is kept beside packs: a version, a digest of the body, and the body deflated.
//!
//! Owns that nothing is read whose version is not known, that is not what was written, or that grows beyond its bound. What the body says is not
//! looked at.

use sha2::{Digest as _, Sha256};

use super::{PackError, deflate, inflate, leb::Reader};

/// Frames a body.
pub(crate) fn seal(version: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![version];
    out.extend_from_slice(&Sha256::digest(body)[..8]);
    out.extend_from_slice(&deflate(body));
    out
}

/// Reads what [`seal`] framed: its version, from 1 to the `newest`, else the error is that it is `unknown`, and the body, at most so long.
pub(crate) fn unseal(
    bytes: &[u8],
    newest: u8,
    unknown: &'static str,
    bytes_max: usize,
) -> Result<(u8, Vec<u8>), PackError> {
    let mut r = Reader::new(bytes);
    let version = r.byte()?;
    if !(1..=newest).contains(&version) {
        return Err(PackError::Malformed(unknown));
    }
    let expected = r.take(8)?;
    let body = inflate(r.rest(), bytes_max)?;
    if Sha256::digest(&body)[..8] != *expected {
        return Err(PackError::DigestMismatch);
    }
    Ok((version, body))
}
