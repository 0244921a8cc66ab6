//! Termination messages: what a container can say at its end, small enough for the kubelet to keep.

use std::fmt;
use std::io::{Read, Write};

use base64::prelude::{BASE64_STANDARD_NO_PAD, Engine};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The most that the kubelet keeps of a termination message, in bytes. Of a whole pod it keeps three times as much.
pub const MESSAGE_LIMIT: usize = 4096;
/// The most that a message may hold once unpacked, in bytes.
const UNPACKED_LIMIT: u64 = 1 << 20;

/// Why a termination message is not a probe's answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The answers do not fit.
    #[error("the answers take {bytes} bytes of a termination message, which holds {MESSAGE_LIMIT}")]
    TooLong {
        /// Their size.
        bytes: usize,
    },
    /// The text is something else.
    #[error("the termination message is not a probe's answer: {0}")]
    Malformed(String),
}

/// Packs answers into a termination message.
pub fn pack(answers: &impl Serialize) -> Result<String, MessageError> {
    let malformed = |e: &dyn fmt::Display| MessageError::Malformed(e.to_string());
    let json = serde_json::to_vec(answers).map_err(|e| malformed(&e))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(&json).and_then(|()| encoder.finish()).map_err(|e| malformed(&e))?;
    let message = BASE64_STANDARD_NO_PAD.encode(packed);
    if message.len() > MESSAGE_LIMIT { Err(MessageError::TooLong { bytes: message.len() }) } else { Ok(message) }
}

/// Unpacks a termination message.
pub fn unpack<T: DeserializeOwned>(message: &str) -> Result<T, MessageError> {
    let malformed = |e: &dyn fmt::Display| MessageError::Malformed(e.to_string());
    let packed = BASE64_STANDARD_NO_PAD.decode(message.trim()).map_err(|e| malformed(&e))?;
    let mut json = Vec::new();
    DeflateDecoder::new(&packed[..]).take(UNPACKED_LIMIT).read_to_end(&mut json).map_err(|e| malformed(&e))?;
    serde_json::from_slice(&json).map_err(|e| malformed(&e))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::probe::Answers;

    proptest! {
        #[test]
        fn a_foreign_message_is_an_error(text in ".{0,200}") {
            prop_assert!(unpack::<Answers>(&text).is_err());
        }
    }
}
