//! SHA-256 in the notation of container images, and of everything that passes through a writer.

use std::fmt;
use std::io::{self, Write};

use aws_lc_rs::digest::{Context, SHA256, digest};
use serde::Serialize;

/// The SHA-256 digest of a blob: `sha256:` and 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Digest(String);

impl Digest {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self::from_raw(digest(&SHA256, bytes).as_ref())
    }

    fn from_raw(raw: &[u8]) -> Self {
        let digits = raw.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
        let hex = digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]));
        Self("sha256:".chars().chain(hex).collect())
    }

    /// The digest with its algorithm, as manifests state it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of the blob in an OCI image layout.
    pub(super) fn layout_path(&self) -> String {
        format!("blobs/{}", self.0.replace(':', "/"))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A writer that passes everything on and computes its digest.
pub(super) struct Hashing<W> {
    inner: W,
    context: Context,
}

impl<W: Write> Hashing<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, context: Context::new(&SHA256) }
    }

    /// The writer and the digest of everything written.
    pub(super) fn finish(self) -> (W, Digest) {
        (self.inner, Digest::from_raw(self.context.finish().as_ref()))
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.context.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ABC: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn the_known_digest_of_abc() {
        assert_eq!(Digest::of(b"abc").as_str(), ABC);
        assert_eq!(Digest::of(b"abc").layout_path(), ABC.replacen("sha256:", "blobs/sha256/", 1));
    }

    #[test]
    fn hashing_in_pieces_is_hashing_at_once() {
        let mut hashing = Hashing::new(Vec::new());
        hashing.write_all(b"a").unwrap();
        hashing.write_all(b"bc").unwrap();
        let (bytes, digest) = hashing.finish();
        assert_eq!((bytes.as_slice(), digest.as_str()), (b"abc".as_slice(), ABC));
    }
}
