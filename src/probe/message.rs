//! Termination messages: what a container leaves behind at its end, small enough for the kubelet to keep.

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
/// The most that it keeps of all messages of a pod, each of whose containers gets an equal share.
const POD_LIMIT: usize = 3 * MESSAGE_LIMIT;
/// The most that a message may hold once unpacked, in bytes.
const UNPACKED_LIMIT: u64 = 1 << 20;

/// Why a termination message is not a probe's answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// The answers do not fit.
    #[error("the answers take {bytes} bytes of a termination message, which holds {limit}")]
    TooLong {
        /// Their size.
        bytes: usize,
        /// What fits.
        limit: usize,
    },
    /// The text is something else.
    #[error("the termination message is not a probe's answer: {0}")]
    Malformed(String),
}

/// The most that the kubelet keeps of each message of a pod with this many containers.
pub fn limit(containers: usize) -> usize {
    MESSAGE_LIMIT.min(POD_LIMIT / containers.max(1))
}

/// Packs answers into a termination message for which there is this much room.
pub fn pack_within(answers: &impl Serialize, limit: usize) -> Result<String, MessageError> {
    let malformed = |e: &dyn fmt::Display| MessageError::Malformed(e.to_string());
    let json = serde_json::to_vec(answers).map_err(|e| malformed(&e))?;
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    let packed = encoder.write_all(&json).and_then(|()| encoder.finish()).map_err(|e| malformed(&e))?;
    let message = BASE64_STANDARD_NO_PAD.encode(packed);
    let bytes = message.len();
    if bytes > limit { Err(MessageError::TooLong { bytes, limit }) } else { Ok(message) }
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

    #[test]
    fn more_containers_share_what_a_pod_may_say() {
        assert_eq!([1, 2, 3, 4, 6].map(limit), [4096, 4096, 4096, 3072, 2048]);
        assert!(matches!(pack_within(&"a long text", 4), Err(MessageError::TooLong { limit: 4, .. })));
    }

    proptest! {
        #[test]
        fn a_foreign_message_is_an_error(text in ".{0,200}") {
            prop_assert!(unpack::<Answers>(&text).is_err());
        }
    }
}
